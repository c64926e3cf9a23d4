//! parpy from a Python script: `parpy python-module`, as `map`, `imap` and an `Executor`, by each of its roads.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output};

use crate::dsl::*;

/// A folder with the module, and the interpreter; `None` where there is none.
fn folder() -> Option<(Dir, String)> {
    let interpreter = std::env::var("PARPY_TEST_PYTHON").unwrap_or("python3".into());
    tool(&interpreter)?;
    let dir = Dir::new();
    dir.write("parpy.py", parpy("python-module").stdout());
    Some((dir, interpreter))
}

/// The command that runs a script of the folder, with this parpy.
fn python(dir: &Dir, interpreter: &str, args: &[&str]) -> Command {
    let mut command = program(interpreter);
    command.args(args).current_dir(dir.path("")).env("PARPY", BINARY).env("MPIRUN", mpirun_or_nothing());
    command
}

/// Is there a launcher of ranks that takes what it is given on standard input? MPICH's gives up when that comes faster than it
/// is read.
fn has_ranks() -> bool {
    has_mpi() && mpirun_is_open_mpi()
}

fn mpirun_or_nothing() -> &'static str {
    if has_ranks() { mpirun() } else { "" }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a script, whose asserts all hold, after which nothing that works in the folder is left, and no file of it.
#[track_caller]
fn holds(script: &str) -> String {
    let Some((dir, interpreter)) = folder() else { return String::new() };
    dir.write("script.py", script);
    let output = python(&dir, &interpreter, &["script.py"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    is_left_clean(&dir);
    said(&output)
}

/// Waits until no process has the folder as its own; checks that none has left files in it.
#[track_caller]
fn is_left_clean(dir: &Dir) {
    let folder = std::fs::canonicalize(dir.path("")).unwrap();
    let is_in = |process: &Path| std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == folder);
    until(|| {
        let mut processes = std::fs::read_dir("/proc").unwrap();
        let is_one = processes.any(|entry| entry.is_ok_and(|entry| is_in(&entry.path())));
        (!is_one).then_some(())
    });
    let names = dir.names();
    assert!(names.iter().all(|name| !name.starts_with(".parpy")), "{names:?}");
}

/// What every script begins with: ways to run, of which there is one for each number of workers and of ranks.
const WAYS: &str = "
import os, sys, time
import parpy
ways = [{}, {'workers': 1}, {'workers': 2}, {'workers': 3}]
if os.environ['MPIRUN']:
    ways += [{'launcher': '%s -n %d' % (os.environ['MPIRUN'], n)} for n in (1, 2, 3)]
";

#[test]
fn the_same_answers_as_map() {
    holds(&format!(
        "{WAYS}
import functools
class Point:
    def __init__(self, x): self.x = x
    def __eq__(self, other): return self.x == other.x
def square(x): return x * x
def moved(point): return Point(point.x + 1)
def add(x, y, z=0): return x + y + z
def outer(x): return sum(parpy.map(square, range(x), workers=2))
def text(x): return 'ä\\n' * x, None, {{x: 1.5}}, True
def check(function, *iterables, **way):
    expected = list(map(function, *iterables))
    found = parpy.map(function, *iterables, **way)
    assert found == expected and list(map(type, found)) == list(map(type, expected)), (way, found[:9])
    assert list(parpy.imap(function, *map(iter, iterables), **way)) == expected, way
if __name__ == '__main__':
    for way in ways:
        check(square, range(30000), **way)
        check(square, [1, 2.5, True, 1 << 80, -1 << 63, 1j], **way)
        check(text, (3, 1, 2), **way)
    for way in ways[2::3]:
        check(square, [], **way)
        check(square, [0.5 * i for i in range(5000)], **way)
        check(add, range(7), [2.5] * 9, **way)
        check(moved, [Point(i) for i in range(50)], **way)
        check(len, ['a' * 3_000_000, b'b' * 10, 'c' * 6_000_000], chunksize=1, **way)
        check('{{}}'.format, [bytes(1), 'x' * 5_000_000], **way)
        check(functools.partial(add, 'a' * 5_000_000, z='z'), ['b', 'c'], **way)
        check(square, range(1000), chunksize=7, **way)
        # In workers, too.
        check(outer, range(4), **way)
    try:
        parpy.map(square)
    except TypeError as error:
        assert 'at least one iterable' in str(error)
    for wrong in {{'workers': 0}}, {{'chunksize': 0}}:
        try:
            parpy.map(square, [1], **wrong)
        except ValueError as error:
            assert 'from 1' in str(error)
"
    ));
}

#[test]
fn arrays_of_any_size() {
    let Some((dir, interpreter)) = folder() else { return };
    if !crate::python::python(&dir, "numpy", "") {
        return;
    }
    let script = format!(
        "{WAYS}
import numpy as np
def double(x):
    x *= 2  # its own: it may be written to
    return x
def check(values, **way):
    expected = [2 * x for x in values]
    found = parpy.map(double, values, **way)
    assert all(type(a) is type(b) and np.array_equal(a, b) for a, b in zip(found, expected)), way
    assert len(found) == len(expected)
    if isinstance(found[0], np.ndarray):
        found[0] += 1
if __name__ == '__main__':
    for way in ways[2::3]:
        check(np.arange(1000), **way)
        check(np.arange(12.0).reshape(3, 4), **way)
        check([np.arange(n) for n in (3, 100_000, 1_000_000)], **way)
        check(np.ones((4, 300_000)), **way)
        check([np.arange(1_000_000.0).reshape(1000, 1000).T, np.array(['a'], object) * 2], **way)
"
    );
    dir.write("script.py", script);
    let output = python(&dir, &interpreter, &["script.py"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    is_left_clean(&dir);
}

#[test]
fn exceptions_come_back_with_their_items() {
    holds(&format!(
        "{WAYS}
class Odd(ValueError):
    def __init__(self, x, why):
        super().__init__(why)
        self.x = x
def check(x):
    if x % 10 == 7:
        raise KeyError('seven', x)
    return x
def odd(x): raise Odd(x, 'odd')
def unsent(x): return (i for i in range(x))
def quits(x): sys.exit(3)
def caught(function, *args, **way):
    try:
        parpy.map(function, *args, **way)
    except Exception as error:
        return error
    raise AssertionError('nothing was raised')
if __name__ == '__main__':
    for way in ways:
        error = caught(check, range(30), **way)
        assert type(error) is KeyError and error.args == ('seven', 7) and error.parpy_item == 7, error
        assert 'in check' in str(error.__cause__) and 'item 7: 7' in error.__notes__[0]
        found = parpy.map(check, range(30), return_exceptions=True, **way)
        assert [x for x in found if isinstance(x, int)] == [x for x in range(30) if x % 10 != 7]
        assert [x.parpy_item for x in found if isinstance(x, KeyError)] == [7, 17, 27]
        answers = []
        try:
            for answer in parpy.imap(check, iter(range(30)), **way):
                answers.append(answer)
        except KeyError:
            pass
        assert answers == list(range(7))
    error = caught(odd, [1])
    assert type(error) is parpy.Error and 'Odd: odd' in str(error) and 'in odd' in str(error.__cause__)
    error = caught(unsent, [1, 2], chunksize=2)
    assert type(error) is TypeError and 'generator' in str(error) and error.parpy_item == 1
    assert type(caught(quits, [1])) is parpy.WorkerDied
    def fails():
        yield from range(5)
        raise LookupError('no more')
    assert type(caught(check, fails())) is LookupError
    answers = parpy.imap(check, fails())
    assert [next(answers) for _ in range(5)] == list(range(5))
    try:
        next(answers)
    except LookupError as error:
        assert error.args == ('no more',)
"
    ));
}

#[test]
fn a_worker_that_is_killed_costs_its_item() {
    holds(&format!(
        "{WAYS}
import signal
def kills(x):
    if x == 7:
        os._exit(3)
    if x == 500:
        os.kill(os.getpid(), signal.SIGSEGV)
    return x
if __name__ == '__main__':
    for way in ways:
        found = parpy.map(kills, range(1000), return_exceptions=True, **way)
        dead = {{at: answer for at, answer in enumerate(found) if answer != at}}
        assert sorted(dead) == [7, 500] and all(type(error) is parpy.WorkerDied for error in dead.values()), dead
        assert [dead[at].exitcode for at in dead] == [3, -signal.SIGSEGV], way
        assert 'exit code 3' in str(dead[7]) and 'SIGSEGV' in str(dead[500]) and dead[7].parpy_item == 7
        try:
            parpy.map(kills, range(1000), **way)
            assert False
        except parpy.WorkerDied as error:
            assert isinstance(error, RuntimeError) and error.parpy_item == 7
        with parpy.Executor(**way) as executor:
            futures = [executor.submit(kills, x) for x in range(5, 9)]
            assert [type(future.exception()) for future in futures] == [type(None)] * 2 + [parpy.WorkerDied, type(None)]
            answers = executor.map(kills, range(20), chunksize=10)
            assert [next(answers) for _ in range(7)] == list(range(7))
            try:
                next(answers)
                assert False
            except parpy.WorkerDied:
                pass
"
    ));
}

#[test]
fn answers_come_while_values_do() {
    holds(&format!(
        "{WAYS}
import itertools
def square(x): return x * x
def slow_first(x):
    if x == 0:
        while not os.path.exists('go'):
            time.sleep(0.01)
    return x
if __name__ == '__main__':
    for way in ways:
        given = []
        def values():
            for x in itertools.count():
                given.append(x)
                yield x
        answers = parpy.imap(square, values(), chunksize=2, **way)
        assert [next(answers) for _ in range(5)] == [0, 1, 4, 9, 16]
        time.sleep(0.2)
        # Some way ahead, and no further.
        assert len(given) <= 2 * (8 * 3 + 4) or not way, len(given)
        answers.close()
        # Of each value before the next of them is there.
        asked = []
        def next_ones():
            for x in range(4):
                while len(asked) < x:
                    time.sleep(0.001)
                yield x
        for answer in parpy.imap(square, next_ones(), **way):
            asked.append(answer)
        assert asked == [0, 1, 4, 9]
    # Nobody has asked for any, and nobody will.
    parpy.imap(square, itertools.count(), workers=2)
    answers = parpy.imap(square, itertools.count(), workers=2)
    # Those behind one that takes long are worked on meanwhile.
    def until_done():
        yield from range(8)
        open('go', 'w').close()
    assert list(parpy.imap(slow_first, until_done(), workers=2, chunksize=1)) == list(range(8))
"
    ));
}

#[test]
fn an_executor_as_concurrent_futures_has_it() {
    let said = holds(&format!(
        "{WAYS}
import concurrent.futures as cf
import functools
def power(x, n=2): return x ** n
def waits(path):
    while not os.path.exists(path):
        time.sleep(0.005)
    return path
def refuses(f):
    try:
        f()
    except RuntimeError as error:
        assert 'after shutdown' in str(error)
    else:
        assert False
if __name__ == '__main__':
    for number, way in enumerate(ways):
        path = 'go%d' % number
        with parpy.Executor(**way) as executor:
            assert isinstance(executor, cf.Executor)
            assert executor.submit(power, 3).result() == 9 and executor.submit(power, 2, n=10).result() == 1024
            futures = [executor.submit(power, x) for x in range(300)]
            assert sorted(f.result() for f in cf.as_completed(futures)) == sorted(x * x for x in range(300))
            assert list(executor.map(power, range(1000))) == [x * x for x in range(1000)]
            assert list(executor.map(power, iter(range(10)), [3] * 7, chunksize=3)) == [x ** 3 for x in range(7)]
            assert list(executor.map(power, [])) == []
            long = executor.submit(waits, path)
            try:
                next(executor.map(waits, [path], timeout=0.05))
                assert False
            except cf.TimeoutError:
                pass
            assert not long.done()
            open(path, 'w').close()
            assert long.result() == path
            error = executor.submit(power, 'a').exception()
            assert type(error) is TypeError and error.parpy_item == 'a' and 'in power' in str(error.__cause__)
            error = executor.submit(power, sys.stdin).exception()
            assert type(error) is TypeError and 'cannot be sent' in str(error), error
            big = functools.partial(str.__add__, 'a' * 1_000_000)
            assert [len(executor.submit(big, 'b').result()) for _ in range(9)] == [1_000_001] * 9
            if 'launcher' in way:
                kept = [name for name in os.listdir('.') if name.startswith('.parpy')]
                assert [os.listdir(name) for name in kept] == [['failed.jsonl']], kept
        refuses(lambda: executor.submit(power, 1))
        refuses(lambda: executor.map(power, [1]))
    executor = parpy.Executor(workers=1)
    first, futures = executor.submit(waits, 'last'), [executor.submit(power, x) for x in range(100)]
    while not first.running():
        time.sleep(0.001)
    executor.shutdown(wait=False, cancel_futures=True)
    assert futures[-1].cancelled()
    open('last', 'w').close()
    assert first.result() == 'last'
    parpy.Executor().shutdown()
    # What nobody has shut down is done all the same.
    parpy.Executor(workers=2).submit(print, 'printed at the end')
    executor = parpy.Executor(workers=2)
    executor.submit(print, 'and then')
"
    ));
    let at_end = ["printed at the end\n", "and then\n"];
    assert!(said.is_empty() || at_end.iter().all(|line| said.contains(line)), "{said}");
}

/// Sends Ctrl-C to a script, once it works, and looks what is left.
#[test]
fn ctrl_c_leaves_nothing() {
    let uses = [
        "parpy.map(work, range(100), **way)",
        "list(parpy.imap(work, range(100), **way))",
        "with parpy.Executor(**way) as executor:\n        [f.result() for f in [executor.submit(work, x) for x in range(9)]]",
        "with parpy.Executor(**way) as executor:\n        [executor.submit(work, x) for x in range(9)]",
    ];
    for (at, use_of) in uses.into_iter().enumerate() {
        let ways = if has_ranks() && at % 2 == 0 { 2 } else { 1 };
        for way in 0..ways {
            let Some((dir, interpreter)) = folder() else { return };
            dir.write(
                "script.py",
                format!(
                    "{WAYS}
def work(x):
    sys.stderr.write('begun\\n')
    time.sleep(1000)
if __name__ == '__main__':
    way = [{{'workers': 2}}, ways[-1]][{way}]
    {use_of}
"
                ),
            );
            let mut command = bare(&interpreter);
            command.arg("script.py").current_dir(dir.path("")).env("PARPY", BINARY);
            command.env("MPIRUN", mpirun_or_nothing());
            allow_everything(&mut command);
            let mut child = start_piped(&mut command);
            let mut stderr = BufReader::new(child.stderr.take().unwrap());
            let mut line = String::new();
            while !line.contains("begun") {
                line.clear();
                assert!(stderr.read_line(&mut line).unwrap() > 0, "{use_of}");
            }
            kill("-INT", child.id());
            let mut rest = String::new();
            stderr.read_to_string(&mut rest).unwrap();
            assert!(!child.wait().unwrap().success());
            assert!(rest.contains("KeyboardInterrupt"), "{use_of}: {rest}");
            is_left_clean(&dir);
        }
    }
}

#[test]
fn functions_that_workers_do_not_find() {
    let Some((dir, interpreter)) = folder() else { return };
    let run = |args: &[&str]| python(&dir, &interpreter, args).output().unwrap();
    let succeeds = |args: &[&str]| {
        let output = run(args);
        assert!(output.status.success(), "{}", said(&output));
    };
    let fails = |args: &[&str], parts: &[&str]| {
        let output = run(args);
        let said = said(&output);
        assert!(!output.status.success() && parts.iter().all(|part| said.contains(part)), "{args:?}: {said}");
    };
    const WITHOUT: &str = "import sys; sys.modules['cloudpickle'] = None\nimport parpy\n";
    // As in a notebook: there is no file.
    let typed = format!("{WITHOUT}def f(x): return x\nparpy.map(f, [1])");
    fails(&["-c", &typed], &["TypeError", "the function f", "cloudpickle", "NAME.py"]);
    let typed =
        format!("{WITHOUT}class C: pass\nimport operator\nparpy.map(operator.attrgetter('x'), [C()])");
    fails(&["-c", &typed], &["TypeError", "the class C", "cloudpickle"]);
    dir.write("lambda.py", format!("{WITHOUT}if __name__ == '__main__': parpy.map(lambda x: x, [1])"));
    fails(&["lambda.py"], &["TypeError", "<lambda>", "cloudpickle"]);
    dir.write(
        "typed.py",
        format!("{WITHOUT}exec('def f(x): return x')\nif __name__ == '__main__': parpy.map(f, [1])"),
    );
    fails(&["typed.py"], &["TypeError", "the function f", "cloudpickle"]);
    fails(&["-c", "import parpy; parpy.map(3, [1])"], &["TypeError: 3 is no function"]);
    // Those of a module are found, whatever the script is.
    dir.write("tools/__init__.py", "");
    dir.write("tools/squares.py", "def square(x): return x * x");
    let unguarded = "import parpy\nfrom tools.squares import square\nassert parpy.map(square, range(5)) == [0, 1, 4, 9, 16]";
    dir.write("unguarded.py", unguarded);
    succeeds(&["unguarded.py"]);
    succeeds(&["-c", unguarded]);
    dir.write("tools/run.py", unguarded.replace("tools.squares", ".squares"));
    succeeds(&["-m", "tools.run"]);
    let of_package = "import parpy\nfrom .squares import square\ndef f(x): return square(x)\n\
                      if __name__ == '__main__': assert parpy.map(f, range(4)) == [0, 1, 4, 9]";
    dir.write("tools/own.py", of_package);
    succeeds(&["-m", "tools.own"]);
    // A script whose functions are wanted is imported, so that it must not run then.
    dir.write("loop.py", "import parpy\ndef f(x): return x\nparpy.map(f, range(5))");
    fails(&["loop.py"], &["RuntimeError", "if __name__ == \"__main__\":"]);
    dir.write("ends.py", "import parpy, sys\ndef f(x): return x\nif __name__ != '__main__': sys.exit()\nparpy.map(f, range(5))");
    fails(&["ends.py"], &["RuntimeError", "ends itself", "if __name__ == \"__main__\":"]);
    is_left_clean(&dir);
}

#[test]
fn typed_functions_travel_by_cloudpickle() {
    let Some((dir, interpreter)) = folder() else { return };
    if !crate::python::python(&dir, "cloudpickle", "") {
        return;
    }
    let script = "
import parpy
class C:
    def __init__(self, x): self.x = x
by = 3
assert parpy.map(lambda x: C(by * x), range(4))[3].x == 9
assert [c.x for c in parpy.map(lambda c: C(c.x + 1), [C(1), C(2)])] == [2, 3]
def outer(n):
    def inner(x): return x + n
    return inner
assert list(parpy.imap(outer(5), range(3), workers=2)) == [5, 6, 7]
with parpy.Executor() as executor:
    assert executor.submit(outer(1), 1).result() == 2
";
    let output = python(&dir, &interpreter, &["-c", script]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn what_is_printed_and_what_is_wrong() {
    let said = holds(&format!(
        "{WAYS}
def speaks(x):
    print('of', x)
    return x
if __name__ == '__main__':
    for way in ways[2::3]:
        assert parpy.map(speaks, range(3), **way) == [0, 1, 2]
    def fails(kind, parts, **how):
        try:
            parpy.map(speaks, [1], **how)
        except kind as error:
            assert all(part in str(error) for part in parts), error
        else:
            assert False
    fails(parpy.Error, ['cannot start ./none', 'program='], program='./none')
    fails(parpy.Error, ['no parpy'], program='/bin/true')
    fails(parpy.Error, ['exit code'], program='/bin/true', workers=2)
    fails(parpy.Error, ['cannot start the launcher ./none'], launcher='./none -n 2')
    with parpy.Executor(program='/bin/false', workers=1) as executor:
        assert type(executor.submit(speaks, 1).exception()) is parpy.Error
    del os.environ['PARPY']
    os.environ['PATH'] = ''
    fails(parpy.Error, ['no program parpy', 'PATH', 'PARPY'])
"
    ));
    let ways = if has_ranks() { 2 } else { 1 };
    assert!(said.is_empty() || said.matches("of 2\n").count() == ways, "{said}");
    assert!(!said.contains("no. "), "{said}");
}

#[test]
fn parpy_itself_is_killed() {
    holds(&format!(
        "{WAYS}
import glob, itertools, signal
def square(x): return x * x
def kill():
    children = ' '.join(open(name).read() for name in glob.glob('/proc/self/task/*/children')).split()
    assert len(children) == 1
    os.kill(int(children[0]), signal.SIGKILL)
if __name__ == '__main__':
    answers = parpy.imap(square, itertools.count(), workers=2)
    next(answers)
    kill()
    try:
        for answer in answers:
            pass
    except parpy.Error as error:
        assert 'before its time' in str(error)
    with parpy.Executor(workers=2) as executor:
        assert executor.submit(square, 3).result() == 9
        first = executor.submit(time.sleep, 1000)
        kill()
        assert type(first.exception()) is parpy.Error
        try:
            executor.submit(square, 3)
            assert False
        except parpy.Error:
            pass
"
    ));
}

#[test]
fn the_file_needs_nothing_that_python_3_8_has_not() {
    let Some((dir, interpreter)) = folder() else { return };
    let script = "import ast; ast.parse(open('parpy.py').read(), feature_version=(3, 8))";
    assert!(python(&dir, &interpreter, &["-c", script]).status().unwrap().success());
    parpy("python-module -p pool").done().fails(2, &["python-module", "runs nothing"]);
}
