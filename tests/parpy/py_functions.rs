//! Functions in Python (`--python`): arguments, answers, failures, deaths, and modules that cannot be used.

use crate::dsl::*;

/// The module that most tests use.
const MODULE: &str = r#"
import os, signal, sys, time

def square(x): return x * x
def energy(x, y=1): return x * x + y
def only_named(*, y, x): return 10 * y + x
def label(name, size): return "%s:%d" % (name.upper(), size)
def any_of(x): return [1, 1.5, True, "a\nb", b"by", 10**30, None, float("inf")][x]
def large_or_none(x): return None if x % 2 else 2**60 + x
def stops(x): return next(i for i in [x] if x != 500)
def digits(x): return 10**5000 + x
class Odd:
    def __repr__(self): raise ValueError("no text")
def odd(x): return Odd() if x == 1 else x
def forks(x):
    if os.fork() == 0: return x * 100
    os.wait()
    return x
def lines(x): raise ValueError("first\nsecond")
def reconfigures(x):
    sys.stdout.reconfigure(line_buffering=True)
    return x
def all_of(*values, **more): return len(values), len(more)
def named_of(**values): return sorted(values)[-1]
def odd_is_none(x): return None if x % 2 else x
def wrong(x): return {x}
def halves(x): return x / 2
def raises(x):
    if x % 5 == 3:
        raise ValueError("no %d" % x)
    return x
def dies(x):
    if x == 2: os.kill(os.getpid(), signal.SIGSEGV)
    if x == 4: os._exit(7)
    if x == 6: sys.exit("it is over")
    return x
def talks(x):
    print("said", x); sys.stderr.write("open"); print(); os.system("echo by a child"); return x
def once(x):
    mark = os.environ["MARKS"] + "/%d" % x
    if x == 5 and not os.path.exists(mark):
        open(mark, "w").close()
        raise RuntimeError("not yet")
    if x == 6 and not os.path.exists(mark):
        open(mark, "w").close()
        os._exit(1)
    return x
def once_two(x): return once(x), x
def sleeps(x):
    if x == 3: time.sleep(1000)
    return x
def waits(x):
    open(os.environ["MARKS"] + "/%d" % os.getpid(), "w").close()
    time.sleep(1000)
def hog(x): return len(bytearray(10**11)) if x == 1 else x
def draws(x, rng): return rng.random()
def twice(xs): return xs * 2
def in_place(xs):
    xs += 1
    return xs
def kills(xs):
    if (xs == 7).any(): os._exit(5)
    return xs
def hangs(xs):
    if (xs == 7).any(): time.sleep(1000)
    return xs
def seeded(xs, rng): return xs
def masked(xs):
    import numpy
    return numpy.ma.masked_greater(xs, 3) * 1.5
def both(xs): return {"s": xs + 1, "h": xs / 2}
def pair(x): return x * 2, x / 4
def record(x):
    if x == 2: raise ValueError("two")
    return {"a": x, "b": "t,%d" % x, "c": None if x == 3 else x / 2, "d": [0]}
def sums(xs, ys): return xs + ys * 0.5
def short(xs): return xs[1:]
def picky(xs):
    if (xs == 7).any(): raise ValueError("seven")
    return xs
"#;

/// The interpreter of the tests, and the module; `None`, loudly, where there is no Python, or it lacks `wanted`.
fn module(dir: &Dir, wanted: &str) -> Option<Source> {
    let interpreter = std::env::var("PARPY_TEST_PYTHON").unwrap_or("python3".into());
    let output = tool(&interpreter)?.args(["-c", wanted]).output().unwrap();
    if !output.status.success() {
        skip("python", &format!("{interpreter} cannot do '{wanted}'; PARPY_TEST_PYTHON may name another"));
        return None;
    }
    Some(Source { interpreter, path: dir.write("model.py", MODULE).display().to_string() })
}

struct Source {
    interpreter: String,
    path: String,
}

impl Source {
    fn map(&self, function: &str, args: &str) -> Run {
        let function = format!("{}:{function}", self.path);
        parpy("map --interpreter").arg(&self.interpreter).args("--python").arg(function).args(args)
    }
}

/// Every pattern, with and without ranks.
fn in_all_ways(run: &Run) -> Vec<Run> {
    let patterns = ["serial", "simd", "threads -j 3", "pool -j 2", "process -j 2", "pool -j 3 --no-fork"];
    let mut ways: Vec<Run> = patterns.map(|pattern| run.clone().args("-p").args(pattern)).into();
    if has_mpi() {
        ways.extend([1, 2, 3].map(|ranks| run.clone().ranks(ranks)));
        ways.push(run.clone().ranks(2).var("PARPY_MPI_SHARED", "never"));
        ways.push(run.clone().args("--no-fork").ranks(2));
    }
    ways
}

#[test]
fn columns_become_arguments() {
    let dir = Dir::new();
    let Some(python) = module(&dir, "") else { return };
    for run in in_all_ways(&python.map("square", "--range 0..40")) {
        assert_eq!(run.text(), parpy("map --range 0..40").text(), "{}", run.name());
    }
    // By their names, whatever their order; by their places where the names are others.
    let table = dir.write("t.csv", "size,name\n3,ab\n5,c\u{e9}\n");
    for run in in_all_ways(&python.map("label", "--from").arg(&table)) {
        assert_eq!(run.text(), "AB:3\nC\u{c9}:5\n", "{}", run.name());
    }
    assert_eq!(python.map("energy", "--sweep y=1,2 --sweep x=0..3").text(), "1\n2\n5\n2\n3\n6\n");
    assert_eq!(python.map("energy", "--sweep a=1,2 --sweep b=5").text(), "6\n9\n");
    assert_eq!(python.map("only_named", "--sweep x=1,2 --sweep y=5").text(), "51\n52\n");
    let two = |function: &str| python.map(function, "--sweep a=1 --sweep b=5");
    assert_eq!(two("all_of").args("--answers n=i64,m=i64").text(), "2\t0\n");
    assert_eq!(two("named_of").text(), "b\n");
    // Types: whole numbers, floats, and texts.
    assert_eq!(python.map("square", "3 4").text(), "9\n16\n");
    assert_eq!(python.map("square", "3 0.5").text(), "9.0\n0.25\n");
    let lengths = |args: &str| parpy("map").args(args).args("--python builtins:len");
    assert_eq!(lengths("a bb 3").text(), "1\n2\n1\n");
    assert_eq!(lengths("--lines -").stdin("a b\n\nccc\n").text(), "3\n0\n3\n");
    assert_eq!(parpy("map --python math:hypot --sweep a=3 --sweep b=4").text(), "5.0\n");
    // A module of the current folder.
    let here = parpy("map 3 --python model:square").folder(dir.path(""));
    assert_eq!(here.text(), "9\n");
    let python_path =
        parpy("map 3 --python model:square").var("PYTHONPATH", &dir.path("").display().to_string());
    assert_eq!(python_path.text(), "9\n");
    assert_eq!(
        python.map("square", "-q --range 0..20001 --reduce sum,count --answers i64 -j 2").text(),
        "sum\t2666866670000\ncount\t20001\n"
    );
}

#[test]
fn what_it_may_answer() {
    let dir = Dir::new();
    let Some(python) = module(&dir, "") else { return };
    for run in in_all_ways(&python.map("any_of", "--range 0..8")) {
        let expected = format!("1\n1.5\nTrue\na\\nb\nby\n1{:030}\n\ninf\n", 0);
        assert_eq!(run.text(), expected, "{}", run.name());
    }
    for run in in_all_ways(&python.map("any_of", "--range 0..8 -k --answers f64")) {
        let done = run.done();
        assert_eq!(
            String::from_utf8_lossy(&done.stdout),
            "1.0\n1.5\n1.0\n\n\n1e30\n\ninf\n",
            "{}",
            run.name()
        );
        done.fails(1, &["2 items have no answer", "the first: 3: it has answered 'a\\nb', which is no f64"]);
    }
    python.map("halves", "3 --answers i64").done().fails(1, &["3: it has answered '1.5', which is no i64"]);
    python
        .map("wrong", "4 -p serial")
        .done()
        .fails(1, &["4: its answer, {4}, is of type set, and not a number"]);
    for run in in_all_ways(&python.map("odd", "0 1 2 -k")) {
        let done = run.done();
        assert_eq!(String::from_utf8_lossy(&done.stdout), "0\n\n2\n", "{}", run.name());
        done.fails(1, &["1: its answer cannot be taken: ValueError: no text"]);
    }
    assert_eq!(python.map("digits", "7").text().len(), 5002);
    let large = |flags: &str| {
        python.map("large_or_none", "--range 0..100 -q").args(flags).args("-o").arg(dir.path("l.npy")).done()
    };
    large("").fails(1, &["item no. 1: it has answered 1152921504606846976, which a float would round"]);
    large("-k").succeeds();
    // None is a missing answer, and none that has failed.
    let none = |args: &str| python.map("odd_is_none", &format!("--range 0..4 {args}"));
    assert_eq!(none("").text(), "0\n\n2\n\n");
    let out = dir.path("o.csv");
    for (flags, name, expected) in [
        ("", "o.csv", "input,output\n0,0\n1,\n2,2\n3,\n"),
        ("", "o.jsonl", "{\"input\":0,\"output\":\"0\"}\n{\"input\":1,\"output\":null}\n"),
        ("--answers i64", "n.jsonl", "{\"input\":0,\"output\":0}\n{\"input\":1,\"output\":null}\n"),
    ] {
        none(flags).args("-o").arg(dir.path(name)).done().succeeds();
        let text = String::from_utf8(dir.read(name)).unwrap();
        assert!(text.starts_with(expected), "{text}");
    }
    assert_eq!(
        parpy("map -k -f x --from").arg(format!("{}:output", out.display())).done().stdout,
        b"0\n\n2\n\n"
    );
    for (flags, expected) in [("", "5 numbers of type f64"), ("-k", "5 numbers of type i64")] {
        let out = dir.path("o.npy");
        python.map("odd_is_none", "--range 0..5").args(flags).args("-o").arg(&out).done().succeeds();
        let shown = parpy("show").arg(&out).text();
        assert!(shown.contains(expected) && shown.contains("without a number 2"), "{shown}");
    }
    let done = none("--answers i64 -o").arg(dir.path("i.npy")).done();
    assert!(done.code == 1 && done.stderr.contains("parpy: 1: it has answered None"), "{}", done.stderr);
    assert_eq!(none("--answers i64 --reduce sum,count").text(), "sum\t2\ncount\t2\n");
}

#[test]
fn answers_of_several_values() {
    let dir = Dir::new();
    let Some(python) = module(&dir, "") else { return };
    for run in in_all_ways(&python.map("pair", "1 2 --answers twice=i64,quarter")) {
        assert_eq!(run.text(), "2\t0.25\n4\t0.5\n", "{}", run.name());
    }
    let out = dir.path("o.csv");
    for run in in_all_ways(&python.map("record", "--range 0..5 -k --answers a=i64,b=text,c=f64 -o").arg(&out))
    {
        run.done().fails(1, &["2: ValueError: two"]);
        let text = String::from_utf8(dir.read("o.csv")).unwrap();
        let expected = "input,a,b,c\n0,0,\"t,0\",0.0\n1,1,\"t,1\",0.5\n2,,,\n3,3,\"t,3\",\n4,4,\"t,4\",2.0\n";
        assert_eq!(text, expected, "{}", run.name());
    }
    let of = |args: &str| python.map("record", &format!("0 1 3 {args} --answers a=i64,b=text,c=f64")).text();
    assert_eq!(of("--columns c,input,a -o -"), "0.0\t0\t0\n0.5\t1\t1\n\t3\t3\n");
    assert_eq!(of("--reduce max,sum(a),count(b)"), "max(a)\t3\nmax(c)\t0.5\nsum(a)\t4\ncount(b)\t3\n");
    for extension in ["npy", "jsonl"] {
        let out = dir.path(&format!("p.{extension}"));
        python.map("pair", "1 2 --answers twice=i64,quarter -o").arg(&out).done().succeeds();
        let from = format!("{}:quarter", out.display());
        assert_eq!(parpy("map -f x --from").arg(from).text(), "0.25\n0.5\n");
    }
    for (function, args, part) in [
        ("pair", "", "1: it has answered 2 values; give it names and types: --answers a=i64,b=f64"),
        ("record", "", "--answers a=i64,b=text,c=f64,d=text"),
        ("pair", "--answers a=i64,b,c", "1: it has answered 2 values, and --answers names 3"),
        ("record", "--answers a=i64,e=f64", "1: its answer has no e, but a, b, c, d"),
        ("square", "--answers a=i64,b=f64", "1: its answer, 1, is one value, and --answers names 2"),
        ("pair", "--answers a=i64,b=i64", "1: it has answered '0.25', which is no i64"),
    ] {
        python.map(function, &format!("1 {args} -p serial")).done().fails(1, &[part]);
    }
    for (args, part) in [
        ("--answers a=f32", "'f32' is no type; types are i64, f64, text"),
        ("--answers a=f64,a=i64", "a is there twice"),
        (
            "--answers a=f64,b=f64 --columns b,input",
            "the answers are a column of all results, a, b; give it last",
        ),
    ] {
        let done = python.map("pair", &format!("1 {args}")).done();
        assert!(done.code == 2 && done.stderr.contains(part), "{args}: {}", done.stderr);
    }
    let done = parpy("map 1 --answers a=f64,b=f64 --exec echo").done();
    assert!(done.code == 2 && done.stderr.contains("several columns of answers are for a Python function"));
}

#[test]
fn exceptions_are_failed_items() {
    let dir = Dir::new();
    let Some(python) = module(&dir, "") else { return };
    let expected: String =
        (0..20).map(|x| if x % 5 == 3 { "\n".to_owned() } else { format!("{x}\n") }).collect();
    for run in in_all_ways(&python.map("raises", "--range 0..20 -k")) {
        let done = run.done();
        assert_eq!(String::from_utf8_lossy(&done.stdout), expected, "{}", run.name());
        done.fails(1, &["4 items have no answer", "the first: 3: ValueError: no 3"]);
    }
    let (failed, log) = (dir.path("failed.csv"), dir.path("log"));
    let lists = |run: Run| run.args("--failed").arg(&failed).args("--joblog").arg(&log).done();
    lists(python.map("raises", "--range 0..20 -k -j 2"));
    let text = String::from_utf8(dir.read("failed.csv")).unwrap();
    assert!(
        text.starts_with("input,row,exit,signal,error\n3,3,1,0,\"Traceback (most recent call last):\n"),
        "{text}"
    );
    assert!(
        text.contains("in raises\n    raise ValueError(\"\"no %d\"\" % x)\n") && !text.contains("<parpy>"),
        "{text}"
    );
    let text = String::from_utf8(dir.read("log")).unwrap();
    let line = text.lines().nth(4).unwrap_or_default();
    assert_eq!(text.lines().count(), 21, "{text}");
    assert!(line.contains("\t1\t0\t") && line.contains("model.py:raises(3)"), "{line}");
    // For `map` this is the end.
    for run in in_all_ways(&python.map("stops", "--range 0..1000 -k")) {
        if run.words().contains(&"process".into()) {
            continue;
        }
        let done = run.done();
        assert_eq!(done.stdout.iter().filter(|byte| **byte == b'\n').count(), 1000, "{}", run.name());
        assert!(String::from_utf8_lossy(&done.stdout).contains("\n499\n\n501\n"), "{}", run.name());
        done.fails(1, &["500: StopIteration"]);
    }
    python.map("lines", "1 -p serial").done().fails(1, &["parpy: 1: ValueError: first"]);
    assert_eq!(python.map("reconfigures", "1").text(), "1\n");
    // What has failed is run again.
    let dir = Dir::new();
    let marks = dir.path("").display().to_string();
    let run = python.map("once", "--range 0..20 --retries 1 -p pool -j 2").var("MARKS", &marks);
    assert_eq!(run.text(), parpy("map -f x --range 0..20").text());
    let dir = Dir::new();
    let marks = dir.path("").display().to_string();
    let run = python
        .map("once_two", "--range 0..20 --retries 1 --answers a=i64,b=i64 -p serial")
        .var("MARKS", &marks);
    assert_eq!(run.text(), (0..20).map(|x| format!("{x}\t{x}\n")).collect::<String>());
    python.map("raises", "3 1 --retries 2").done().fails(1, &["3: ValueError: no 3"]);
}

#[test]
fn deaths_cost_what_has_killed_and_nothing_else() {
    let dir = Dir::new();
    let Some(python) = module(&dir, "") else { return };
    let failed = dir.path("failed.csv");
    for run in in_all_ways(&python.map("dies", "--range 0..9 -k --failed").arg(&failed)) {
        let done = run.done();
        let name = run.name();
        assert_eq!(
            String::from_utf8_lossy(&done.stdout),
            "0\n1\n\n3\n\n5\n\n7\n8\n",
            "{name}\n{}",
            done.stderr
        );
        let list = String::from_utf8(dir.read("failed.csv")).unwrap();
        assert!(list.contains("\n2,2,-1,11,"), "{name}\n{list}");
        assert!(list.contains("\n4,4,7,0,") && list.contains("\n6,6,1,0,"), "{name}\n{list}");
        assert!(done.stderr.contains("2: it was killed by SIGSEGV"), "{name}\n{}", done.stderr);
    }
    python.map("dies", "6").done().fails(1, &["6: exit code 1: it is over"]);
    // Rows that are answered at once are found, too: those before them have answers.
    // A copy of the process is not the process.
    for run in in_all_ways(&python.map("forks", "1 2 3")) {
        assert_eq!(run.text(), "1\n2\n3\n", "{}", run.name());
    }
    let text = String::from_utf8(python.map("dies", "--range -100000..9 -k -j 2").done().stdout).unwrap();
    assert_eq!(text.lines().count(), 100_009);
    assert!(text.ends_with("0\n1\n\n3\n\n5\n\n7\n8\n"));
    for run in in_all_ways(&python.map("sleeps", "--range 0..6 -k --timeout 0.5")) {
        let done = run.done();
        assert_eq!(String::from_utf8_lossy(&done.stdout), "0\n1\n2\n\n4\n5\n", "{}", run.name());
        assert!(done.stderr.contains("3: it took longer than 0.5 s (--timeout)"), "{}", done.stderr);
    }
    let done = python.map("hog", "0 1 2 -k --memory 2G").done();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "0\n\n2\n");
    done.fails(1, &["1: MemoryError"]);
}

#[test]
fn what_is_printed_names_its_item() {
    let dir = Dir::new();
    let Some(python) = module(&dir, "") else { return };
    for run in in_all_ways(&python.map("talks", "--range 5..8")) {
        let done = run.done().succeeds();
        assert_eq!(String::from_utf8_lossy(&done.stdout), "5\n6\n7\n");
        for item in 5..8 {
            let lines: Vec<&str> =
                done.stderr.lines().filter_map(|line| line.strip_prefix(&format!("{item}: "))).collect();
            // What a child prints goes its own way.
            assert!(lines.contains(&&*format!("said {item}")), "{}: {lines:?}", run.name());
            assert!(lines.contains(&"open") && lines.contains(&"by a child"), "{}: {lines:?}", run.name());
        }
    }
}

#[test]
fn modules_are_imported_once() {
    let dir = Dir::new();
    if module(&dir, "").is_none() {
        return;
    }
    let source = "import os\n\
                  with open(os.environ['MARKS'], 'a') as file: file.write('imported\\n')\n\
                  state = []\n\
                  def parpy_init():\n    \
                      state.append(1)\n    \
                      with open(os.environ['MARKS'], 'a') as file: file.write('begun\\n')\n\
                  def f(x): return x + len(state)\n";
    let path = dir.write("counted.py", source);
    let marks = dir.path("marks");
    let run = |args: &str| {
        let _ = std::fs::remove_file(&marks);
        let of = format!("{}:f", path.display());
        parpy("map --range 0..30 --schedule dynamic,1 --python")
            .arg(of)
            .args(args)
            .var("MARKS", &marks.display().to_string())
    };
    let count = |word: &str| {
        let text = String::from_utf8(dir.read("marks")).unwrap();
        text.lines().filter(|line| *line == word).count()
    };
    let expected = parpy("map -f x --range 1..31").text();
    for run in [run("-p serial"), run("-p threads -j 3"), run("-p pool -j 3"), run("-p process -j 2")] {
        let _ = std::fs::remove_file(&marks);
        assert_eq!(run.text(), expected, "{}", run.name());
        assert_eq!(count("imported"), 1, "{}", run.name());
        assert!(count("begun") >= 1);
    }
    if has_mpi() {
        assert_eq!(run("").ranks(3).text(), expected);
        assert_eq!(count("imported"), 1);
    }
    assert_eq!(run("-p serial --no-fork").text(), expected);
    assert_eq!(count("imported"), 1);
    // Files that it has open are whole in the end.
    let source = "import os\n\
                  def parpy_init():\n    \
                      global log\n    \
                      log = open(os.environ['MARKS'] + '.%d' % os.getpid(), 'w')\n\
                  def f(x): return log.write('%d\\n' % x)\n";
    let keeps = dir.write("keeps.py", source);
    for pattern in ["serial", "threads -j 2", "pool -j 2", "pool -j 2 --no-fork", "process -j 2"] {
        let logs = Dir::new();
        let run = parpy("map --range 0..10 -o none -p").args(pattern).arg("--python");
        let run =
            run.arg(format!("{}:f", keeps.display())).var("MARKS", &logs.path("log").display().to_string());
        run.done().succeeds();
        let lines = |name: &String| -> Vec<String> {
            String::from_utf8(logs.read(name)).unwrap().lines().map(str::to_owned).collect()
        };
        let mut written: Vec<String> = logs.names().iter().flat_map(lines).collect();
        written.sort_unstable();
        assert_eq!(written, (0..10).map(|i| i.to_string()).collect::<Vec<_>>(), "{pattern}");
    }
    // Names of modules that Python has itself, and standard input, which is empty.
    let source = "import sys\ntext = sys.stdin.read()\ndef f(x): return x, len(text)\n";
    let shadows = dir.write("shadows/own.py", source);
    for name in ["json", "array", "select", "socket", "signal", "inspect", "traceback"] {
        dir.write(&format!("shadows/{name}.py"), "raise ImportError('this is not that of Python')\n");
    }
    let run = parpy("map 1 --answers x=i64,n=i64 --python").arg(format!("{}:f", shadows.display()));
    assert_eq!(run.clone().folder(dir.path("shadows")).text(), "1\t0\n");
    assert_eq!(run.args("--no-fork").text(), "1\t0\n");
    // It may end by itself.
    let exits = dir.write("exits.py", "import sys\ndef parpy_init(): sys.exit(3)\ndef f(x): return x\n");
    for flags in ["-k", "-k --no-fork"] {
        let done =
            parpy("map 1 2 -p serial --python").arg(format!("{}:f", exits.display())).args(flags).done();
        done.fails(1, &["its process has ended 3 times before it began with an item: exit code 3"]);
    }
    // It may end with an exception.
    let broken =
        dir.write("begins.py", "def parpy_init(): raise OSError('no licence')\ndef f(x): return x\n");
    for ranks in [0, if has_mpi() { 2 } else { 0 }] {
        let run = parpy("map 1 2 3 -j 2 -k --python").arg(format!("{}:f", broken.display())).ranks(ranks);
        let done = run.done();
        assert_eq!(done.code, 1);
        assert!(
            done.stderr.contains("parpy_init has failed") && done.stderr.contains("OSError: no licence"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn what_cannot_be_used_is_told_once() {
    let dir = Dir::new();
    let Some(python) = module(&dir, "") else { return };
    let fails = |run: Run, parts: &[&str]| {
        let mut runs = vec![run.clone().args("-p pool -j 3"), run.clone().args("-p serial")];
        runs.extend(has_mpi().then(|| run.ranks(3)));
        for run in runs {
            let out = dir.path("never.csv");
            run.args("-o").arg(&out).done().fails(1, parts);
            assert!(!out.exists());
        }
    };
    fails(python.map("sqare", "1 2 3"), &["model has no function sqare; did you mean square?"]);
    fails(python.map("os", "1 2 3"), &["os of model is no function, but of type module"]);
    fails(
        python.map("square", "--sweep a=1 --sweep b=2"),
        &["square(x) cannot be called with the columns a, b: too many"],
    );
    fails(
        python.map("only_named", "--sweep x=1 --sweep z=2"),
        &["only_named(*, y, x) cannot be called", "x, z"],
    );
    let missing = dir.path("none.py").display().to_string();
    fails(parpy("map 1 --python").arg(format!("{missing}:f")), &["there is no file", "none.py"]);
    fails(parpy("map 1 --python no.such.module:f"), &["there is no module no for "]);
    let broken = dir.write("broken.py", "import os\nx = 1 / 0\n").display().to_string();
    let run = parpy("map 1 2 3 -j 3 --python").arg(format!("{broken}:f"));
    let mut runs = vec![run.clone()];
    runs.extend(has_mpi().then(|| run.ranks(3)));
    for run in runs {
        let done = run.done();
        assert_eq!(
            (done.code, done.stderr.matches("line 2, in <module>").count()),
            (1, 1),
            "{}",
            done.stderr
        );
        done.fails(1, &["its module cannot be imported: ZeroDivisionError: division by zero"]);
    }
    let exits = dir.write("exits.py", "import sys\nsys.exit(3)\n").display().to_string();
    parpy("map 1 --python")
        .arg(format!("{exits}:f"))
        .done()
        .fails(1, &["its module cannot be imported: SystemExit: 3"]);
    let dies = dir.write("dies.py", "import os\nos._exit(3)\n").display().to_string();
    parpy("map 1 --python")
        .arg(format!("{dies}:f"))
        .done()
        .fails(1, &["has ended while it began: exit code 3"]);
    let other = |interpreter: &str| parpy("map 1 --python math:sqrt --interpreter").arg(interpreter).done();
    other("no-such-python").fails(1, &["no-such-python cannot be started", "--interpreter"]);
    other("true").fails(1, &["true has ended while it began"]);
    for (args, part) in [
        ("--python x", "as in --python model.py:energy"),
        ("--python a-b:f", "neither a file"),
        ("--python x.py:f(1)", "no name of a function"),
        ("--interpreter python3", "--interpreter"),
        ("--no-fork -f square", "--no-fork"),
        ("--python m:f -f square", "--function"),
        ("--python m:f --shell", "--shell"),
    ] {
        let done = parpy("map 1").args(args).done();
        assert!(done.code == 2 && done.stderr.contains(part), "{args}: {}", done.stderr);
    }
}

#[test]
fn functions_of_arrays() {
    let dir = Dir::new();
    let Some(python) = module(&dir, "import numpy") else { return };
    for (end, schedule) in [(400, ""), (40_000, "--schedule static,5000")] {
        let expected = parpy(&format!("map -f 2*x --range 0..{end}")).text();
        for run in in_all_ways(&python.map("twice", &format!("--range 0..{end} --vectorized {schedule}"))) {
            assert_eq!(run.text(), expected, "{}", run.name());
        }
    }
    let of_both = python.map("both", "--range 1..4 --vectorized --answers s=i64,h");
    assert_eq!(of_both.text(), "2\t0.5\n3\t1.0\n4\t1.5\n");
    let table = dir.write("t.csv", "xs,ys\n1,4\n2.5,5\n");
    assert_eq!(python.map("sums", "--vectorized --from").arg(&table).text(), "3.0\n5.0\n");
    let done = python.map("picky", "--vectorized --range 0..9 -k --schedule static,4").done();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "0\n1\n2\n3\n4\n5\n6\n\n8\n");
    done.fails(1, &["7: ValueError: seven"]);
    python
        .map("in_place", "--vectorized 1 2 -p serial")
        .done()
        .fails(1, &["1: ValueError: output array is read-only"]);
    python.map("seeded", "--vectorized 1 2").done().fails(1, &["a function of arrays has no parameter rng"]);
    assert_eq!(python.map("masked", "--vectorized --range 1..6").text(), "1.5\n3.0\n4.5\n\n\n");
    for (function, why) in [("kills", "exit code 5"), ("hangs", "it took longer than 0.2 s")] {
        let log = dir.path("log");
        let run = python.map(function, "--vectorized --range 0..9 -k --timeout 0.2 -j 2 --joblog").arg(&log);
        let done = run.done();
        assert_eq!(
            String::from_utf8_lossy(&done.stdout),
            "0\n1\n2\n3\n4\n5\n6\n\n8\n",
            "{function}: {}",
            done.stderr
        );
        done.fails(1, &[&format!("7: {why}")]);
        let log = String::from_utf8(dir.read("log")).unwrap();
        assert!(
            log.lines().count() == 10 && log.lines().filter(|line| line.contains("\t0.000\t")).count() <= 1,
            "{log}"
        );
    }
    python
        .map("short", "--vectorized --range 0..9 -p serial")
        .done()
        .fails(1, &["an array of shape (8,) to 9 rows"]);
    // As if there were none.
    let plain = dir.write("plain.py", "import sys\nsys.modules['numpy'] = None\ndef f(x): return x\n");
    let run = parpy("map 1 --vectorized --python").arg(format!("{}:f", plain.display()));
    run.done().fails(1, &["--vectorized needs numpy, which "]);
}

#[test]
fn random_numbers_hang_on_the_seed_and_the_item_alone() {
    let dir = Dir::new();
    let Some(python) = module(&dir, "import numpy") else { return };
    let run = python.map("draws", "--range 0..50 --seed 7");
    let expected = run.text();
    for run in in_all_ways(&run) {
        assert_eq!(run.text(), expected, "{}", run.name());
    }
    for schedule in ["dynamic,1", "static,7", "guided"] {
        assert_eq!(run.clone().args("-p pool -j 3 --schedule").args(schedule).text(), expected, "{schedule}");
    }
    let lines: std::collections::HashSet<&str> = expected.lines().collect();
    assert_eq!(lines.len(), 50);
    let of = |seed: &str| python.map("draws", "1").args("--seed").args(seed).text();
    assert_ne!(of("9223372036854775808"), of("9223372036854775809"));
    let part = python.map("draws", "--range 0..50 --seed 7 --part 2/2").text();
    assert!(expected.ends_with(&part) && part.lines().count() == 25);
    // One is drawn, used, and recorded.
    let out = dir.path("o.jsonl");
    python.map("draws", "--range 0..50 -o").arg(&out).done().succeeds();
    let first = dir.read("o.jsonl");
    python.map("draws", "--range 0..50 -o").arg(&out).done().succeeds();
    assert!(first != dir.read("o.jsonl"));
    python.map("draws", "--range 0..50 --part 1/2").done().fails(1, &["--seed"]);
}

/// Nothing of a run is left when it has been stopped, or killed.
#[test]
fn nothing_outlives_the_run() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-KILL", -1)] {
        for args in ["-p threads -j 2", "-p pool -j 2", "-p pool -j 2 --no-fork"] {
            let dir = Dir::new();
            let Some(python) = module(&dir, "") else { return };
            let marks = dir.path("marks");
            std::fs::create_dir(&marks).unwrap();
            let run = python.map("waits", "1 2 3 4").args(args).var("MARKS", &marks.display().to_string());
            let mut child = run.start();
            let pids = until(|| {
                let names = std::fs::read_dir(&marks).unwrap().map(|entry| entry.unwrap().file_name());
                let pids: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
                (pids.len() == 2).then_some(pids)
            });
            kill(signal, child.id());
            let status = child.wait().unwrap();
            if signal != "-KILL" {
                assert_eq!(status.code(), Some(code), "{args}");
            }
            for pid in pids {
                until(|| (!std::path::Path::new("/proc").join(&pid).exists()).then_some(()));
            }
        }
    }
}

#[test]
fn job_files_have_functions_in_python() {
    let dir = Dir::new();
    let Some(python) = module(&dir, "") else { return };
    let text = format!(
        "[[task]]\nkeep_going = true\nmap = {{ range = '0..5', python = '{}:raises', interpreter = '{}', answers = 'i64' }}\n",
        python.path, python.interpreter
    );
    let done = parpy("run").arg(dir.write("job.toml", text)).done();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "0\n1\n2\n\n4\n");
    // Files are beside the job file, and what is recorded runs from any folder.
    let beside =
        dir.write("beside.toml", "[[task]]\nmap = { values = ['$1', 3], python = 'model.py:square' }\n");
    assert_eq!(parpy("run").arg(&beside).args("2").text(), "4\n9\n");
    let out = dir.path("o.json");
    parpy("map 2 3 --python model.py:square -o").arg(&out).folder(dir.path("")).done().succeeds();
    assert_eq!(parpy("run").arg(&out).args("-o -").text(), "4\n9\n");
    let shown = parpy("map 2 3 --python model.py:square --dry-run").folder(dir.path("")).text();
    assert!(
        shown.starts_with("map model.py:square over values as typed\n  1\t2\n  2\t3\n2 items, by "),
        "{shown}"
    );
}
