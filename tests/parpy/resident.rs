//! Programs that stay (`--worker`): a line for each item, and an answer for each; and programs that do something else.

use crate::dsl::*;

/// Squares of lines, as a program in Python.
const SQUARES: &str = "import sys\nfor line in sys.stdin: print(int(line) ** 2, flush=True)\n";

/// A program in Python, as `--worker` is given it.
fn python(dir: &Dir, name: &str, source: &str) -> Option<String> {
    let interpreter = std::env::var("PARPY_TEST_PYTHON").unwrap_or("python3".into());
    tool(&interpreter)?;
    Some(format!("'{interpreter}' '{}'", dir.write(name, source).display()))
}

/// Asks the program, which ends behind `--timeout` seconds at the latest.
fn ask(args: &str, program: &str) -> Run {
    parpy("map").args(args).arg("--worker").arg(program)
}

#[test]
fn an_answer_for_each_item_under_every_pattern() {
    let dir = Dir::new();
    let Some(program) = python(&dir, "squares.py", SQUARES) else { return };
    let expected = parpy("map --range 0..300").text();
    for pattern in ["serial", "simd", "threads -j 3", "pool -j 2", "process -j 2 --schedule dynamic,100"] {
        let text = ask(&format!("--range 0..300 -p {pattern}"), &program).text();
        assert!(text == expected, "{pattern}");
    }
    if has_mpi() {
        for (ranks, way) in [(1, "always"), (2, "never"), (3, "always")] {
            let run = ask("--range 0..300", &program).ranks(ranks).var("PARPY_MPI_SHARED", way);
            assert!(run.text() == expected, "{ranks} {way}");
        }
    }
    // More than the pipes hold, both ways, and types of numbers.
    assert_eq!(
        ask("--range 0..20000 -j 2 --answers i64 --reduce sum,count", &program).text(),
        "sum\t2666466670000\ncount\t20000\n"
    );
    let long = dir.write("long.txt", format!("{}\nb\n", "a".repeat(1 << 20)));
    let text = parpy("map --lines").arg(&long).args("--worker cat").text();
    assert_eq!(text.into_bytes(), std::fs::read(&long).unwrap());
}

#[test]
fn programs_in_awk_and_in_other_languages() {
    let dir = Dir::new();
    let table = dir.write("t.csv", "a,b\n3,4\n5,0.10\n");
    let from = |program: &str| parpy("map --from").arg(&table).arg("--worker").arg(program);
    // Some awks wait for more lines than there are unless they are told not to.
    let version = tool("awk").map(|mut awk| awk.args(["-W", "version"]).output().unwrap());
    let is_mawk = version.is_some_and(|output| String::from_utf8_lossy(&output.stdout).contains("mawk"));
    let awk = if is_mawk { "awk -W interactive" } else { "awk" };
    assert_eq!(from(&format!("{awk} -F '\\t' '{{ print $1 + $2; fflush() }}'")).text(), "7\n5.1\n");
    assert_eq!(from("cat").text(), "3\t4\n5\t0.10\n");
    assert_eq!(from("cat").args("--worker-format json").text(), "{\"a\":3,\"b\":4}\n{\"a\":5,\"b\":0.10}\n");
    let json = ask("1 -0.5 01 nan --worker-format json", "cat");
    assert_eq!(json.text(), "1\n-0.5\n01\nnan\n");
    let texts = dir.write("x.jsonl", "{\"s\": \"a\\tb\\n\\\"c\\\"\", \"n\": null}\n");
    let json = parpy("map -k --worker-format json --worker cat --columns output -o - --from").arg(texts);
    assert!(json.done().stderr.len() < 500);
    for (program, source) in [
        (
            "Rscript",
            "f <- file('stdin'); open(f); while (length(x <- readLines(f, 1))) { cat(as.numeric(x) / 2, '\\n'); flush(stdout()) }",
        ),
        ("julia", "for x in eachline(); println(parse(Float64, x) / 2); flush(stdout); end"),
    ] {
        if has(program) {
            let file = dir.write(program, source);
            let text = ask("1 3 --answers f64", &format!("{program} '{}'", file.display())).text();
            assert_eq!(text, "0.5\n1.5\n");
        }
    }
}

#[test]
fn deaths_and_answers_that_are_none() {
    let dir = Dir::new();
    let source = "import sys, os, signal\n\
                  for line in sys.stdin:\n    \
                      if line == '7\\n': os.kill(os.getpid(), signal.SIGKILL)\n    \
                      if line == '9\\n': raise ValueError('nine')\n    \
                      print('x' if line == '3\\n' else int(line) * 2, flush=True)\n";
    let Some(program) = python(&dir, "dies.py", source) else { return };
    for pattern in ["-p serial", "-p threads -j 2", "-p pool -j 3 --schedule dynamic,5"] {
        let failed = dir.path("failed.csv");
        let done = ask("--range 0..12 -k --answers i64", &program)
            .args(pattern)
            .arg("--failed")
            .arg(&failed)
            .arg("--joblog")
            .arg(dir.path("log"))
            .done();
        let expected = "0\n2\n4\n\n8\n10\n12\n\n16\n\n20\n22\n";
        assert_eq!(
            (done.code, &*String::from_utf8_lossy(&done.stdout)),
            (1, expected),
            "{pattern}\n{}",
            done.stderr
        );
        let list = String::from_utf8(dir.read("failed.csv")).unwrap();
        let rows: Vec<&str> = list.lines().filter(|line| line.split(',').count() > 3).collect();
        assert!(rows[1].starts_with("3,3,0,0,") && rows[1].contains("which is no i64"), "{list}");
        assert!(rows[2].starts_with("7,7,-1,9,") && list.contains("9,9,1,0,"), "{list}");
        assert!(list.contains("ValueError: nine"), "{list}");
        let log = String::from_utf8(dir.read("log")).unwrap();
        assert_eq!(log.lines().count(), 13, "{log}");
    }
    ask("--range 0..12", &program).done().fails(1, &["7: it was killed by SIGKILL"]);
    // One that answers once, and ends, is asked again.
    assert_eq!(ask("1 2 3 -j 1", "head -n 1").text(), "1\n2\n3\n");
    ask("1", "true").done().fails(1, &["'1': it has ended before it answered"]);
    ask("1", "printf ab").done().fails(1, &["in the middle of an answer: 'ab'"]);
    ask("1", "no-such-program").done().fails(1, &["it cannot be started: there is no such program"]);
}

#[test]
fn programs_that_answer_too_much_or_nothing() {
    for pattern in ["serial", "pool -j 2"] {
        let done = ask(&format!("1 2 3 -p {pattern}"), "sed -u p").done();
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert!(done.stderr.contains("answered more lines than it was given"), "{}", done.stderr);
    }
    // One that leaves a line out gives no other item its answer.
    let dir = Dir::new();
    let source =
        "import sys\nfor line in sys.stdin:\n    if line != '11\\n': print(int(line) * 2, flush=True)\n";
    let Some(program) = python(&dir, "leaves.py", source) else { return };
    for rest in ["-p serial --schedule static,15", "-j 2", "-p pool -j 2 --schedule dynamic,30"] {
        let done = ask(&format!("--range 0..30 -k --timeout 1 {rest}"), &program).done();
        let expected: String =
            (0..30).map(|i| if i == 11 { "\n".to_owned() } else { format!("{}\n", i * 2) }).collect();
        assert_eq!((done.code, String::from_utf8_lossy(&done.stdout).into_owned()), (1, expected), "{rest}");
        assert!(done.stderr.contains("11: it took longer than 1 s"), "{}", done.stderr);
    }
    // In the middle, and where each block is one item.
    let source = "import sys\nfor i, line in enumerate(sys.stdin):\n    print(line.strip(), flush=True)\n    \
                  if i == 5: print('extra', flush=True)\n";
    let Some(program) = python(&dir, "extra.py", source) else { return };
    for pattern in ["serial", "pool -j 2", "threads -j 2 --schedule dynamic,1"] {
        let done = ask(&format!("--range 0..400 -p {pattern}"), &program).done();
        assert_eq!(done.code, 1, "{pattern}");
        assert!(done.stderr.contains("more lines than it was given"), "{pattern}: {}", done.stderr);
    }
    ask("1", "sh -c 'echo x; cat'").args("-p serial").done().fails(1, &["more lines than it was given"]);
    let done = ask("1 2 --timeout 1.5 -p serial", "sh -c 'cat > /dev/null'").done();
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("has not answered for a second, and owes 1 line"), "{}", done.stderr);
    assert!(done.stderr.contains("'1': it took longer than 1.5 s (--timeout)"), "{}", done.stderr);
    // One that talks on has its time, too, and one that never ends is not waited for.
    let done = ask("1 --timeout 1 -p serial", "sh -c 'exec yes >&2'").done();
    assert!(done.code == 1 && done.stderr.contains("longer than 1 s (--timeout)"), "{}", done.code);
    let script = "sh -c 'while read x; do echo $x; echo said $x >&2; done; exec yes'";
    let done = ask("1 2 -p serial", script).done();
    assert_eq!((done.code, &done.stdout[..]), (0, &b"1\n2\n"[..]));
    assert!(done.stderr.contains("1: said 1\n") && done.stderr.contains("2: said 2\n"), "{}", done.stderr);
    assert!(done.stderr.contains("at its end"), "{}", done.stderr);
    // It hears of the end of its input, and does what is to be done then.
    let end = dir.path("end");
    let program = format!("sh -c 'while read x; do echo $x; done; echo over > {}'", end.display());
    for pattern in ["serial", "threads -j 1", "pool -j 1"] {
        let _ = std::fs::remove_file(&end);
        assert_eq!(ask(&format!("1 2 -p {pattern}"), &program).text(), "1\n2\n");
        assert_eq!(dir.read("end"), b"over\n", "{pattern}");
    }
}

#[test]
fn what_is_typed_of_programs() {
    for (args, expected) in [
        (&["--worker", ""][..], "say which program it is"),
        (&["--worker", "a 'b"], "a quote is not closed"),
        (&["--worker", "cat", "-f", "square"], "cannot be used with"),
        (&["--worker", "cat", "--dtype", "i64"], "--dtype is of numbers"),
        (&["--worker-format", "json"], "--worker <CMD>"),
        (&["--worker", "cat", "--worker-format", "xml"], "invalid value 'xml'"),
    ] {
        let done = args.iter().fold(parpy("map 1"), |run, arg| run.arg(arg)).done();
        assert!(done.code == 2 && done.stderr.contains(expected), "{args:?}: {}", done.stderr);
    }
    let dir = Dir::new();
    let table = dir.write("t.jsonl", "{\"s\": \"a\\tb\"}\n");
    let done = parpy("map --worker cat --from").arg(&table).done();
    done.fails(1, &["no line of tab-separated values can hold 'a\\tb'; --worker-format json can"]);
    let job = dir.write(
        "job.toml",
        "[[task]]\nmap = { values = [1, 2], worker = 'sed -u s/^/a/' }\noutput = 'o.json'\n",
    );
    parpy("run").arg(job).done().succeeds();
    let text = String::from_utf8(dir.read("o.json")).unwrap();
    assert!(text.contains("a1") && text.contains("sed -u s/^/a/"), "{text}");
}
