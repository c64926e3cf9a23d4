//! Commands for items (`map … --exec CMD`) as a user types them: what they are given, what they answer, how they fail, and
//! that nothing of them is left.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::data::npy;
use crate::dsl::*;

/// `parpy map ITEMS FLAGS --exec COMMAND`.
fn exec(flags: &str, command: &[&str]) -> Run {
    command.iter().fold(parpy("map").args(flags).arg("--exec"), |run, word| run.arg(*word))
}

/// The same in each way to run it.
fn in_all_ways(flags: &str, command: &[&str]) -> Vec<Run> {
    let mut ways: Vec<Run> = ["serial", "simd", "threads", "threads -j 3", "pool -j 2", "process -j 3"]
        .iter()
        .map(|pattern| exec(&format!("{flags} -p {pattern}"), command))
        .collect();
    if has_mpi() {
        ways.extend([1, 2, 3].map(|ranks| exec(flags, command).ranks(ranks)));
        ways.push(exec(flags, command).ranks(2).var("PARPY_MPI_SHARED", "never"));
    }
    ways
}

#[track_caller]
fn prints(flags: &str, command: &[&str], expected: &str) {
    for run in in_all_ways(flags, command) {
        assert_eq!(run.text(), expected, "{}", run.name());
    }
}

/// Messages of commands, in whichever order they come.
fn lines_of_commands(done: &Done) -> Vec<&str> {
    let mut lines: Vec<&str> =
        done.stderr.lines().filter(|line| line.contains(": said ") && !line.starts_with("parpy")).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_command_is_given_the_item_as_it_was_typed() {
    prints("0.10 b -3", &["echo", "-n", "x{}x", "{}"], "x0.10x 0.10\nxbx b\nx-3x -3\n");
    // Without a placeholder the item comes last; all words behind --exec are the command's.
    prints("1 2", &["echo", "--report", "-j", "--", "-p"], "--report -j -- -p 1\n--report -j -- -p 2\n");
    let shown = |item: &str| exec("", &["printf", "<%s>", "{}"]).words().len() > 2 && !item.is_empty();
    assert!(shown("x"));
    for item in ["two words", "it's \"so\"", "$(echo no) `no` $HOME *", "a\\b", "\u{e9}\u{4e16}"] {
        let run = parpy("map").arg(item).args("--exec printf <%s>").arg("{}");
        assert_eq!(run.text(), format!("<{item}>\n"));
        let run = parpy("map").arg(item).args("--shell --exec printf '<%s>' {} | cat");
        assert_eq!(run.text(), format!("<{item}>\n"));
    }
}

#[test]
fn numbers_and_places_of_items() {
    prints("a b c", &["echo", "{#} {row} {}"], "1 0 a\n2 1 b\n3 2 c\n");
    prints("a b", &["sh", "-c", "echo $PARPY_ITEM {}"], "0 a\n1 b\n");
    prints("d/x.tar.gz y", &["echo", "{.} {/} {//} {/.}"], "d/x.tar x.tar.gz d x.tar\ny y . y\n");
    let slots = exec("a b c d -p pool -j 2 --schedule dynamic,1", &["echo", "{slot}"]).text();
    assert!(slots.lines().all(|slot| slot == "0" || slot == "1"), "{slots}");
    // And its graphics processor.
    let gpus = |flags: &str| {
        exec(&format!("a b {flags} -p serial"), &["sh", "-c", "echo \"$CUDA_VISIBLE_DEVICES\" #{}"])
    };
    assert_eq!(gpus("--gpus 2").text(), "0\n0\n");
    assert_eq!(gpus("--gpus GPU-5,GPU-6").text(), "GPU-5\nGPU-5\n");
    assert_eq!(gpus("--gpus all").var("CUDA_VISIBLE_DEVICES", "3,4").text(), "3\n3\n");
    if has_mpi() {
        let two =
            exec("a b c d --gpus 7,8 --schedule static,1", &["sh", "-c", "echo $CUDA_VISIBLE_DEVICES #{}"])
                .ranks(2);
        assert_eq!(two.text(), "7\n8\n7\n8\n");
    }
    // Each worker knows how many CPUs it has, unless the user has said something else.
    let threads = |run: Run| run.text().trim().to_owned();
    let cpus = threads(exec("a -p serial", &["sh", "-c", "echo $OMP_NUM_THREADS #{}"]));
    assert!(cpus.parse::<usize>().unwrap() >= 1);
    assert_eq!(
        threads(exec("a", &["sh", "-c", "echo $OMP_NUM_THREADS #{}"]).var("OMP_NUM_THREADS", "77")),
        "77"
    );
}

#[test]
fn every_input_is_given_as_it_stands_there() {
    let dir = Dir::new();
    let csv = dir.write("t.csv", "name,x\n\"a, b\",0.10\nc,1e3\n");
    let lines = dir.write("l.txt", " one \n\nthree");
    let json = dir.write("t.jsonl", "{\"name\":\"q\\\"\",\"x\":0.10}\n{\"name\":\"r\",\"x\":1e3}\n");
    let array = npy(&dir, "v.npy", "<f8", 2, |i| (i as f64 / 4.0).to_le_bytes());
    for (input, file, command, expected) in [
        ("--from", csv.to_str().unwrap().to_owned(), "<{name}|{2}>", "<a, b|0.10>\n<c|1e3>\n"),
        ("--from", format!("{}:x", csv.display()), "<{}>", "<0.10>\n<1e3>\n"),
        ("--from", lines.to_str().unwrap().to_owned(), "<{}>", "< one >\n<>\n<three>\n"),
        ("--lines", lines.to_str().unwrap().to_owned(), "<{}>", "< one >\n<>\n<three>\n"),
        ("--from", json.to_str().unwrap().to_owned(), "<{name}|{x}>", "<q\"|0.10>\n<r|1e3>\n"),
        ("--from", array.to_str().unwrap().to_owned(), "<{}>", "<0.0>\n<0.25>\n"),
        ("--range", "3..5".to_owned(), "<{}>", "<3>\n<4>\n"),
    ] {
        let run = parpy("map").arg(input).arg(&file).args("--exec printf %s").arg(command);
        assert_eq!(run.text(), expected, "{file}");
    }
    assert_eq!(exec("--from -", &["echo", "{}"]).stdin("a\n b").text(), "a\n b\n");
    // Bytes that are no text.
    let bytes = dir.write("b.txt", b"caf\xe9\n");
    assert_eq!(parpy("map --lines").arg(bytes).args("--exec printf %s").stdout(), b"caf\xe9\n");
}

#[test]
fn what_is_printed_is_the_answer() {
    prints("1 2", &["printf", "a{}\\nb\\n\\n"], "a1\nb\n\na2\nb\n\n");
    prints("1 2 --raw", &["printf", "a{}\\nb\\n"], "a1\nb\na2\nb\n");
    prints("1 2 --raw", &["printf", "{}"], "12");
    prints("1 2", &["true"], "\n\n");
    // Standard input is empty.
    prints("1", &["sh", "-c", "cat; echo end {}"], "end 1\n");
    let dir = Dir::new();
    let file = |name: &str, flags: &str, command: &[&str]| {
        let path = dir.path(name);
        exec(&format!("{flags} -o {}", path.display()), command).done().succeeds();
        dir.read(name)
    };
    assert_eq!(file("o.csv", "a 2", &["printf", "x,\\n{}"]), b"input,output\na,\"x,\na\"\n2,\"x,\n2\"\n");
    assert_eq!(file("o.csv", "1 2 --answers i64", &["echo", "{}0"]), b"input,output\n1,10\n2,20\n");
    let json = file("o.jsonl", "1 2 --answers f64", &["echo", "{}.50"]);
    assert_eq!(json, b"{\"input\":\"1\",\"output\":1.5}\n{\"input\":\"2\",\"output\":2.5}\n");
    let array = file("o.npy", "1 2 --answers f64", &["echo", "{}.25"]);
    assert!(array.ends_with(&[1.25f64.to_le_bytes(), 2.25f64.to_le_bytes()].concat()));
    // What does not fit is a failed item.
    let misfits = exec("1 x 3 --answers i64 -k", &["echo", "{}"]).done();
    assert_eq!(String::from_utf8_lossy(&misfits.stdout), "1\n\n3\n");
    misfits.fails(1, &["'x': it has printed 'x', which is no i64"]);
    exec("1 --answers f64", &["true"]).done().fails(1, &["it has printed nothing, and no f64"]);
    assert_eq!(exec("1 2 3 --answers i64 --reduce sum", &["echo", "{}0"]).text(), "sum\t60\n");
}

#[test]
fn a_long_answer_comes_whole() {
    let digits: String = (0..20_000).map(|i| format!("{i}\n")).collect();
    prints("20000 2", &["seq", "0", "{}"], &format!("{digits}20000\n0\n1\n2\n"));
    // Longer than what is kept in memory, and with the end that it has or has not.
    let long = ["sh", "-c", "test {} = 2 || head -c 5000001 /dev/zero; printf '{}\\n\\n'"];
    for (flags, end) in [("", "\n\n"), ("--raw", "\n\n")] {
        let zeros = "\0".repeat(5_000_001);
        let expected = format!("{zeros}1{end}2{end}{zeros}3{end}");
        for run in in_all_ways(&format!("1 2 3 {flags}"), &long) {
            assert!(run.text() == expected, "{}", run.name());
        }
    }
    let done = exec("1 2 -k", &["sh", "-c", "test {} = 2 || cat /dev/zero; echo {}"]);
    let done = done.var("TMPDIR", "/no/such/folder").done();
    assert_eq!(done.stdout, b"\n2\n");
    done.fails(1, &["'1': it has printed more", "/no/such/folder", "TMPDIR=FOLDER"]);
    // A field of a table is read as one.
    let dir = Dir::new();
    let done = parpy("map x -o").arg(dir.path("o.csv")).args("--exec yes").done();
    done.fails(1, &["'x': it has printed more than 256 MiB, and was killed; have it write to a file"]);
}

#[test]
fn a_failed_item_stops_the_run_behind_all_before_it() {
    let command = ["sh", "-c", "echo {}; echo said {} >&2; test {} != 3"];
    for run in in_all_ways("1 2 3 4 5 6 7 8", &command) {
        let done = run.done();
        assert_eq!(String::from_utf8_lossy(&done.stdout), "1\n2\n", "{}", run.name());
        assert!(
            done.stderr.contains("\n3: said 3\n") || done.stderr.starts_with("3: said 3\n"),
            "{}",
            done.stderr
        );
        done.fails(1, &["'3': exit code 1: said 3"]);
    }
    for run in in_all_ways("1 2 3 4 -k", &command) {
        let done = run.done();
        assert_eq!(String::from_utf8_lossy(&done.stdout), "1\n2\n\n4\n", "{}", run.name());
        assert_eq!(lines_of_commands(&done), ["1: said 1", "2: said 2", "3: said 3", "4: said 4"]);
        done.fails(1, &["1 item has no answer and was passed over: '3': exit code 1: said 3"]);
    }
}

#[test]
fn ways_to_fail() {
    let dir = Dir::new();
    let no_program = dir.write("file", "#!/no/such/program\n");
    for (command, parts) in [
        (&["no-such-program"][..], &["it cannot be started: there is no such program"][..]),
        (&["/etc/passwd"], &["it is no program, or may not be run"]),
        (&["sh", "-c", "exit 7 #{}"], &["exit code 7"]),
        (&["sh", "-c", "kill -SEGV $$ #{}"], &["it was killed by SIGSEGV"]),
        (&["sh", "-c", "no-such-program {}"], &["exit code 127: a program of it is not there"]),
        (&["sh", "-c", "kill -STOP $$ #{}"], &["it was stopped by SIGSTOP, nobody let it go on"]),
        (&[no_program.to_str().unwrap()], &["it is no program, or may not be run"]),
    ] {
        exec("x", command).done().fails(1, parts);
    }
    let long = dir.write("long", "y".repeat(200_000));
    let done = parpy("map --lines").arg(long).args("--exec true").done();
    done.fails(1, &["'yyy", "its arguments are too long", "128 KiB"]);
    let nul = dir.write("nul", b"a\0b\n");
    parpy("map --lines")
        .arg(nul)
        .args("--exec echo")
        .done()
        .fails(1, &["no argument of a command can have a NUL"]);
}

#[test]
fn what_a_command_does_to_itself_is_its_own_affair() {
    // It closes its output early, changes its folder, reads nothing, leaves a process in its group or elsewhere.
    prints("1 2", &["sh", "-c", "echo {}; exec >&- 2>&-; cd /; sleep 0.05"], "1\n2\n");
    let began = Instant::now();
    assert_eq!(exec("1", &["sh", "-c", "sleep 300 & echo {}"]).text(), "1\n");
    let done = exec("1", &["sh", "-c", "setsid sleep 3 & echo {}"]).done();
    assert_eq!((done.code, &done.stdout[..]), (0, &b"1\n"[..]));
    assert!(
        done.stderr.contains("1: parpy: it has left a process that keeps its output open"),
        "{}",
        done.stderr
    );
    assert!(began.elapsed() < Duration::from_secs(20));
    prints("1 2", &["sh", "-c", "printf 'a\\0b'; echo {}"], "a\0b1\na\0b2\n");
}

#[test]
fn time_and_tries() {
    let began = Instant::now();
    let done = exec("60 0.1 61 --timeout 0.5 -k -j 3 -p pool", &["sh", "-c", "sleep {}; echo {}"]).done();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "\n0.1\n\n");
    done.fails(1, &["2 items have no answer", "'60': it took longer than 0.5 s (--timeout), and was killed"]);
    // Also what does not listen, and what keeps the output open.
    let deaf = "trap '' TERM; sleep 300 & while :; do sleep 300; done #{}";
    exec("1 --timeout 200ms", &["sh", "-c", deaf]).done().fails(1, &["it took longer than 0.2 s"]);
    assert!(began.elapsed() < Duration::from_secs(30));
    let dir = Dir::new();
    let count = dir.path("count");
    let script = format!("echo x >> {0}; test $(wc -l < {0}) = 3 && echo done {{}}", count.display());
    let done = exec("a --retries 1", &["sh", "-c", &script]).done();
    done.fails(1, &["'a': exit code 1"]);
    assert_eq!(dir.read("count"), b"x\nx\n");
    std::fs::remove_file(&count).unwrap();
    assert_eq!(exec("a --retries 5 --retry-delay 50ms", &["sh", "-c", &script]).text(), "done a\n");
    assert_eq!(dir.read("count"), b"x\nx\nx\n");
    // A limit on memory is each process's own.
    let hungry = ["sh", "-c", "head -c 300000000 /dev/zero | tail -n 1 | wc -c #{}"];
    assert_eq!(exec("1", &hungry).text(), "300000000\n");
    assert_eq!(exec("1 --memory 100M", &hungry).done().stdout, b"0\n");
}

#[test]
fn the_log_and_the_list_of_those_that_have_failed() {
    for (i, way) in in_all_ways("", &["x"]).iter().enumerate() {
        let dir = Dir::new();
        let table = dir.write("t.csv", "name,code\none,0\n\"two, three\",3\nfour,0\nfive,5\n");
        let path = |name: &str| dir.path(name).display().to_string();
        let words: Vec<String> = way.words().iter().map(|word| word.display().to_string()).collect();
        let flags = words[1..words.len() - 2].join(" ");
        let flags = format!(
            "--from {} -k --joblog {} --failed {} {flags}",
            table.display(),
            path("log"),
            path("failed.csv")
        );
        let run = exec(&flags, &["sh", "-c", "echo out; echo why {name} >&2; exit {code}"]).ranks(way.ranks);
        assert_eq!(run.done().code, 1);
        let log = String::from_utf8(dir.read("log")).unwrap();
        let rows: Vec<Vec<&str>> = log.lines().map(|line| line.split('\t').collect()).collect();
        assert_eq!(
            rows[0][..9].join(" "),
            "Seq Host Starttime JobRuntime Send Receive Exitval Signal Command"
        );
        let column = |k: usize| rows[1..].iter().map(|row| row[k].trim()).collect::<Vec<_>>();
        assert_eq!((column(0), column(6)), (vec!["1", "2", "3", "4"], vec!["0", "3", "0", "5"]), "way {i}");
        assert_eq!((column(5), column(7)), (vec!["4"; 4], vec!["0"; 4]));
        assert!(rows[2][8].contains("echo why two, three >&2; exit 3"), "{log}");
        assert!(rows[1..].iter().all(|row| row[2].parse::<f64>().unwrap() > 1e9 && row.len() == 11), "{log}");
        let failed = String::from_utf8(dir.read("failed.csv")).unwrap();
        let expected = "name,code,row,exit,signal,error\n\"two, three\",3,1,3,0,\"why two, three\"\nfive,5,3,5,0,why five\n";
        assert_eq!(failed, expected);
        // The list is an input again.
        let again = parpy("map --from").arg(format!("{}:name", path("failed.csv"))).args("--exec echo again");
        assert_eq!(again.text(), "again two, three\nagain five\n");
    }
}

#[test]
fn lists_of_failed_items_in_other_formats() {
    let dir = Dir::new();
    let path = |name: &str| dir.path(name).display().to_string();
    // Also of formulas, and of items that kill their workers.
    let run = parpy("map 1 -1 4 -f nap -k --failed").arg(path("f.jsonl"));
    assert_eq!(run.done().code, 0);
    assert_eq!(dir.read("f.jsonl"), b"");
    let overflow = parpy("map 2 9999999999 -k --failed").arg(path("f.jsonl")).done();
    overflow.fails(1, &["9999999999"]);
    let text = String::from_utf8(dir.read("f.jsonl")).unwrap();
    assert!(
        text.starts_with("{\"input\":9999999999,\"row\":1,\"exit\":0,\"signal\":0,\"error\":\"9999999999: "),
        "{text}"
    );
    exec(&format!("1 2 -k --failed {}", path("f.tsv")), &["sh", "-c", "exit {}"]).done();
    assert_eq!(
        dir.read("f.tsv").split(|byte| *byte == b'\n').next().unwrap(),
        b"input\trow\texit\tsignal\terror"
    );
    let again = parpy("map --from").arg(format!("{}:input", path("f.tsv"))).args("--exec echo");
    assert_eq!(again.text(), "1\n2\n");
    let killed = parpy("map 1 -9 3 -f die -p pool -j 2 -k --failed").arg(path("f.csv")).done();
    assert_eq!(killed.code, 1, "{}", killed.stderr);
    let text = String::from_utf8(dir.read("f.csv")).unwrap();
    assert!(text.contains("has killed"), "{text}");
}

/// Is there a process with that word in its command line?
fn is_running(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let has = |path: &Path| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|found| found == word.as_bytes())
    };
    processes
        .filter(|path| path.file_name().unwrap().to_str().unwrap().parse::<u32>().is_ok())
        .any(|path| has(&path))
}

/// Whatever ends the run, nothing that it has started is left a moment later.
#[test]
fn nothing_outlives_the_run() {
    let mut mark = std::process::id() % 10_000 * 100 + 1_000_000;
    for pattern in ["serial", "threads -j 2", "pool -j 2", "process -j 2"] {
        for signal in ["-INT", "-TERM", "-KILL"] {
            mark += 1;
            let word = mark.to_string();
            let script = "trap '' INT; echo said {} >&2; sleep {} & sleep {}";
            let mut child = exec(&format!("{word} {word} -p {pattern}"), &["sh", "-c", script]).start();
            until(|| is_running(&word).then_some(()));
            kill_all(signal, &[child.id()]);
            let status = child.wait().unwrap();
            assert_ne!(status.code(), Some(0));
            let ended = Instant::now();
            until(|| (!is_running(&word)).then_some(()));
            assert!(ended.elapsed() < Duration::from_secs(2), "{pattern} {signal}: {:?}", ended.elapsed());
        }
    }
}

/// A runner that somebody kills is replaced, and its item run again.
#[test]
fn a_killed_runner_is_replaced() {
    let dir = Dir::new();
    let (mark, item) = (dir.path("mark"), dir.path("item"));
    // The parent of the command is what has started it.
    let script = format!(
        "if mkdir {} 2>/dev/null; then kill -KILL $PPID; sleep 100; fi; touch {}; echo {{}}",
        mark.display(),
        item.display()
    );
    for pattern in ["serial", "threads", "pool"] {
        let run = exec(&format!("1 2 3 -p {pattern} --schedule dynamic,1"), &["sh", "-c", &script]);
        assert_eq!(run.text(), "1\n2\n3\n");
        std::fs::remove_dir(&mark).unwrap();
    }
}

/// What fails in one run and not in the other: the list is of the run that the answers are of.
#[test]
fn lists_are_of_the_run_that_is_kept() {
    let dir = Dir::new();
    let script =
        "n=$(cat n{} 2>/dev/null || echo 0); echo $((n + 1)) >n{}; test {} != $((n * 2 + 3)) && echo {}";
    for (output, expected) in [("-o r.csv", "5,5,1,0,"), ("-o -", "3,3,1,0,")] {
        (0..8).for_each(|i| _ = std::fs::remove_file(dir.path(&format!("n{i}"))));
        let args = format!("--range 0..8 --repeat 2 -k --failed f.csv {output} --shell -p pool -j 2");
        let done = exec(&args, &[script]).folder(dir.path("")).done();
        assert_eq!(done.code, 1);
        let list = String::from_utf8(dir.read("f.csv")).unwrap();
        assert!(
            list.lines().count() == 2 && list.lines().nth(1).unwrap().starts_with(expected),
            "{output} {list}"
        );
    }
}

#[test]
fn what_is_said_wrong_is_told() {
    for (flags, command, parts) in [
        ("1 -f square", &["echo"][..], &["--function", "--exec"][..]),
        ("1 --dtype i64", &["echo"], &["--dtype is of numbers"]),
        ("1 --timeout 0", &["echo"], &["--timeout 0: no command ends in no time"]),
        ("1 --timeout soon", &["echo"], &["--timeout soon: it is a time, as in 1.5 (seconds)"]),
        ("1 --memory much", &["echo"], &["--memory much: it is a size, as in 512M"]),
        ("1 --range 0..3", &["echo"], &["only one of them"]),
        ("1", &[""], &["say which command is to be run"]),
        ("a -o x.npy", &["echo"], &["output would be text", "--answers", "the answer of 'a' is 'a'"]),
        (
            "1 --retry-delay 1",
            &["echo"],
            &["--retry-delay 1: nothing is run again; say how often with --retries"],
        ),
        ("1 --retry-delay 1 --retries 0", &["echo"], &["--retry-delay"]),
        ("1 -k --failed f.json", &["echo"], &["--failed f.json", "f.jsonl"]),
        ("1 -k --failed f.h5", &["echo"], &["--failed f.h5", ".csv"]),
        ("1 2 -o x.txt --part 1/2", &["echo"], &["--part", ".csv"]),
    ] {
        exec(flags, command).done().fails(2, parts);
    }
    for (args, parts) in [
        ("map 1 --exec", &["--exec"][..]),
        ("map 1 --raw", &["--exec"]),
        ("map 1 --timeout 1", &["for programs: --exec"]),
        ("map 1 --joblog x", &["--joblog is of programs"]),
        ("read README.md --failed x", &["--failed is of items"]),
        ("read README.md --joblog x", &["--joblog is of programs", "--pipe"]),
    ] {
        parpy(args).done().fails(2, parts);
    }
}

/// An item is its bytes, wherever they were typed.
#[test]
fn items_need_not_be_text() {
    let dir = Dir::new();
    let item = || OsString::from_vec(b"a\xff b\xfe".to_vec());
    let of_items = |run: Run, out: &str| {
        let run = run.arg(item()).arg("-5").arg("é");
        if out.is_empty() { run } else { run.arg("-o").arg(dir.path(out)) }
    };
    let expected = b"a\xff b\xfe|\n-5|\n\xc3\xa9|\n";
    for ranks in if has_mpi() { &[0, 1, 3][..] } else { &[0] } {
        for shared in ["", "never"] {
            let run = of_items(parpy("map").var("PARPY_MPI_SHARED", shared), "").ranks(*ranks);
            let run = run.args("--exec printf").arg("%s|\\n");
            assert_eq!(run.stdout(), expected, "{}", run.name());
        }
    }
    assert_eq!(
        of_items(parpy("map -p pool -j 2 --retries 1"), "").args("--exec printf").arg("%s|\\n").stdout(),
        expected
    );
    // The job that is kept in the result, and one that is typed.
    of_items(parpy("map"), "o.json").args("--exec printf").arg("%s|").done().succeeds();
    assert_eq!(parpy("run").arg(dir.path("o.json")).args("-o -").stdout(), expected);
    let job = dir.write(
        "job.toml",
        "[[task]]\nmap = { values = ['$1', '$$1', \"\\u0000ff\"], exec = ['printf', '%s|'] }\n",
    );
    let run = parpy("run").arg(job).arg(item());
    assert_eq!(run.stdout(), b"a\xff b\xfe|\n$a\xff b\xfe|\n\xff|\n");
    // Nobody can compute with them.
    for flags in ["", "-f x+1", "-f length", "--reduce sum"] {
        of_items(parpy("map"), "").args(flags).done().fails(2, &["is not a number", "--exec"]);
    }
    of_items(parpy("scale map -j 1 --quick"), "").done().fails(2, &["is not a number"]);
    let job = dir.write("range.toml", "[[task]]\nmap = { range = '0..$1' }\n");
    parpy("run").arg(job).arg(item()).done().fails(2, &["0..$1", "UTF-8"]);
}

#[test]
fn job_files_have_commands() {
    let dir = Dir::new();
    let job = dir.write(
        "job.toml",
        "[[task]]\nmap = { values = ['a', 'b c', 0.5], exec = ['sh', '-c', 'echo $1 {}; exit $((0))'], raw = true }\n\
         timeout = '5'\nretries = 2\njoblog = 'log.tsv'\n",
    );
    assert_eq!(parpy("run").arg(&job).text(), "a\nb c\n0.5\n");
    assert!(dir.path("log.tsv").exists());
    if has_mpi() {
        assert_eq!(parpy("run").arg(&job).ranks(2).text(), "a\nb c\n0.5\n");
    }
    // A result holds the job that has made it.
    let out = dir.path("o.json");
    exec(&format!("1 2 --timeout 1m30s --answers i64 -o {}", out.display()), &["echo", "{}$1"])
        .done()
        .fails(1, &["1$1"]);
    exec(&format!("1 2 --timeout 1m30s --answers i64 -o {}", out.display()), &["echo", "{}0"])
        .done()
        .succeeds();
    let again = parpy("run").arg(&out).args("-o -").text();
    assert_eq!(again, "10\n20\n");
}

#[test]
fn a_run_is_given_up_when_enough_items_have_failed() {
    let command = ["sh", "-c", "test $(({} % 3)) != 2 && echo {}"];
    for (flags, failed) in
        // Another may fail before those that run are ended.
        [("soon,fail=2", "items have"), ("now,fail=1", "no answer"), ("soon,fail=10%", "items have")]
    {
        let run = exec(&format!("--range 0..100 --halt {flags} --schedule dynamic,1 -p pool -j 2"), &command);
        let done = run.done();
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let lines = text.lines().enumerate();
        lines.for_each(|(i, line)| assert_eq!(line, if i % 3 == 2 { String::new() } else { i.to_string() }));
        done.fails(1, &["stopped because", failed, "--halt", "the first: 2: exit code 1"]);
    }
    // Those that run are awaited, or ended.
    let began = Instant::now();
    let long = ["sh", "-c", "test {} = 1 && exit 1; sleep {}; echo {}"];
    let done = exec("300 1 --halt now,fail=1 -p pool -j 2", &long).done();
    done.fails(1, &["stopped because 1 item has no answer (--halt now,fail=1)"]);
    assert!(began.elapsed() < Duration::from_secs(20));
    exec("1 --halt later", &["echo"]).done().fails(2, &["--halt later: it is now or soon"]);
}

#[test]
fn a_run_that_is_given_up_stays_so() {
    let dir = Dir::new();
    let log = dir.path("log").display().to_string();
    // Those that run when it is enough have answers, and then it would not be. 2 and 3 fail when
    // 5 and 6 have begun, so that there are three of them, however late the answers are seen.
    let begun = dir.path("begun").display().to_string();
    let command = format!(
        "touch '{begun}.{{}}'
         case {{}} in
         1) exit 1 ;;
         [23]) until test -e '{begun}.'$(({{}} + 3)); do sleep 0.01; done; exit 1 ;;
         esac
         until test $(wc -l < '{log}') -ge 4; do sleep 0.01; done
         echo {{}}"
    );
    let flags = "--from - --halt soon,fail=60% --schedule dynamic,1 -p pool -j 4 --joblog";
    let input: String = (1..=200).map(|i| format!("{i}\n")).collect();
    let done = exec(&format!("{flags} {log}"), &["sh", "-c", &command]).stdin(&*input).done();
    let answers = done.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert!((3..100).contains(&answers), "{answers}");
    done.fails(1, &["stopped because 3 items have no answer", "the first: '1': exit code 1"]);
}

#[test]
fn answers_as_they_come() {
    let text = exec("0.9 0.1 --unordered -p pool -j 2", &["sh", "-c", "sleep {}; echo {}"]).text();
    assert_eq!(text, "0.1\n0.9\n");
    for run in in_all_ways("--range 0..40 --unordered --schedule dynamic,1", &["echo", "{}"]) {
        let text = run.text();
        let mut numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..40).collect::<Vec<_>>(), "{}", run.name());
    }
    exec("1 --unordered -o x.npy --answers i64", &["echo"])
        .done()
        .fails(2, &["--unordered: rows of .h5 and .npy"]);
}

#[test]
fn how_far_it_has_come_for_a_program() {
    let done = exec("1 2 3 -k --progress json -p serial", &["sh", "-c", "exit $(({} / 3))"]).done();
    let last = done.stderr.lines().rfind(|line| line.starts_with('{')).unwrap();
    let object: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!((&object["done"], &object["total"], &object["failed"]), (&3.into(), &3.into(), &1.into()));
    assert_eq!(object["unit"], "values");
    assert!(object["seconds"].as_f64().unwrap() > 0.0 && object["left_seconds"] == 0.0);
}

#[test]
fn nothing_is_done_but_told() {
    let dir = Dir::new();
    let mark = dir.path("mark").display().to_string();
    let run = exec("--range 0..1000000 --dry-run -p pool -j 3", &["touch", &mark, "{#} {}"]);
    let text = run.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 14);
    assert_eq!(lines[1], format!("  1\ttouch {mark} '1 0'"));
    assert_eq!(lines[12], format!("  1,000,000\ttouch {mark} '1000000 999999'"));
    assert_eq!(lines[13], "1,000,000 items, by 3 worker processes at the most, schedule adaptive");
    assert!(!dir.path("mark").exists());
    let out = dir.path("out.txt");
    let text = parpy("map --from - --dry-run -o").arg(&out).stdin("5\n6\n").text();
    assert!(text.starts_with("map square over standard input\n  1\t5\n  2\t6\n2 items, by "), "{text}");
    assert!(!out.exists());
    if has_mpi() {
        let text = exec("a b --dry-run", &["echo"]).ranks(2).text();
        assert!(text.ends_with("  2\techo b\n2 items, by 2 ranks, schedule adaptive\n"), "{text}");
    }
}

/// What starts a command is killed by it, each time; or stopped, or killed by somebody.
#[test]
fn commands_that_turn_on_what_has_started_them() {
    let dir = Dir::new();
    let failed = dir.path("f.csv").display().to_string();
    for pattern in ["serial", "threads -j 2", "pool -j 2"] {
        let run = exec(
            &format!("1 2 3 4 -k -p {pattern} --failed {failed}"),
            &["sh", "-c", "test {} = 3 && kill -KILL $PPID; echo {}"],
        );
        let done = run.done();
        assert_eq!(String::from_utf8_lossy(&done.stdout), "1\n2\n\n4\n", "{pattern}");
        done.fails(1, &["'3': what starts it was killed, each time that it was run"]);
        assert!(String::from_utf8(dir.read("f.csv")).unwrap().contains("\n3,2,-1,9,"));
        let began = Instant::now();
        let stopped =
            exec(&format!("1 2 3 4 -p {pattern}"), &["sh", "-c", "test {} = 3 && kill -STOP $PPID; echo {}"]);
        assert_eq!(stopped.text(), "1\n2\n3\n4\n", "{pattern}");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    // What the command has started goes with it.
    let word = (std::process::id() % 10_000 * 100 + 2_000_000).to_string();
    let script = format!("test {{}} = 2 && {{ sleep {word} & kill -KILL $PPID; }}; echo {{}}");
    assert_eq!(exec("1 2 -k", &["sh", "-c", &script]).done().code, 1);
    until(|| (!is_running(&word)).then_some(()));
}

/// Who kills parpy's process group kills nothing of what would end its commands.
#[test]
fn a_killed_group_leaves_nothing() {
    for (i, pattern) in ["serial", "threads -j 2", "pool -j 2", "process -j 2"].iter().enumerate() {
        let word = (std::process::id() % 10_000 * 100 + 3_000_000 + i as u32).to_string();
        let dir = Dir::new();
        let script = format!("touch {}; sleep {{}}; true", dir.path("mark").display());
        let run = exec(&format!("{word} -p {pattern}"), &["sh", "-c", &script]);
        let mut command = bare("setsid");
        let mut child = start_piped(command.arg(BINARY).args(run.words()));
        until(|| dir.path("mark").exists().then_some(()));
        kill_group("-KILL", child.id());
        child.wait().unwrap();
        until(|| (!is_running(&word)).then_some(()));
    }
}

#[test]
fn every_item_is_in_its_lists_whatever_the_order() {
    let dir = Dir::new();
    let path = |name: &str| dir.path(name).display().to_string();
    for pattern in ["threads -j 3", "pool -j 3", "process -j 3"] {
        let flags =
            format!("0.4 0 0.2 -p {pattern} --unordered -k --failed {} --joblog {}", path("f"), path("j"));
        assert_eq!(exec(&flags, &["sh", "-c", "sleep {}; exit 3"]).done().code, 1);
        for name in ["f", "j"] {
            assert_eq!(dir.read(name).split(|byte| *byte == b'\n').count(), 5, "{pattern}");
        }
    }
    // Also of those whose answers are not taken any more.
    let script =
        format!("test {{}} = 0 && sleep 300; touch {}/mark{{}}; test {{}} = 6 && sleep 300; echo", path(""));
    let flags = format!("--range 0..7 -p pool -j 2 --schedule dynamic,1 --joblog {}", path("j"));
    let mut child = exec(&flags, &["sh", "-c", &script]).start();
    // One worker has done all but the first when it begins the last.
    until(|| dir.path("mark6").exists().then_some(()));
    kill_all("-TERM", &[child.id()]);
    child.wait().unwrap();
    let log = String::from_utf8(dir.read("j")).unwrap();
    assert_eq!(log.lines().count(), 6, "{log}");
}

/// What would run commands more often than it is said, or nothing where it is said.
#[test]
fn nothing_is_run_unasked() {
    let dir = Dir::new();
    let log = dir.path("log").display().to_string();
    let script = format!("echo x >> {log}; echo {{}}");
    for args in ["scale map 1 2 --dry-run", "scale map 1 2 --joblog j", "scale map 1 2 --failed f"] {
        let run = parpy(args).args("--exec sh -c").arg(&script);
        run.done().fails(2, &["it is for a single run"]);
    }
    let histogram = exec("1 2 3 --answers f64 --reduce hist:3", &["sh", "-c", &script]);
    histogram.done().fails(2, &["hist:N:A:B"]);
    assert!(!dir.path("log").exists());
    // A worker that waits before it tries again begins nothing when the run is over.
    let began = Instant::now();
    let wait = format!("echo x >> {log}; test {{}} = 1 && sleep 0.5; exit 1");
    let run = exec("0 1 -p threads -j 2 --retries 1 --retry-delay 1 --halt now,fail=1", &["sh", "-c", &wait]);
    assert_eq!(run.done().code, 1);
    assert_eq!(dir.read("log"), b"x\nx\nx\n");
    assert!(began.elapsed() < Duration::from_secs(20));
}

/// Parts of a job array have lists of their own, and the job of a result names them as they were typed.
#[test]
fn lists_of_parts() {
    let dir = Dir::new();
    let path = |name: &str| dir.path(name).display().to_string();
    let flags = |part: &str| format!("1 2 3 4 -k -o {} --failed {} {part}", path("o.json"), path("f.csv"));
    for part in ["--part 1/2", "--part 2/2"] {
        assert_eq!(exec(&flags(part), &["sh", "-c", "exit {}"]).done().code, 1);
    }
    let lines = |name: &str| String::from_utf8(dir.read(name)).unwrap().lines().count();
    assert_eq!((lines("f.part-1-of-2.csv"), lines("f.part-2-of-2.csv")), (3, 3));
    assert_eq!(exec(&flags("--join 2"), &["sh", "-c", "exit {}"]).done().code, 1);
    assert!(!dir.path("f.csv").exists());
    let job = parpy("show --job").arg(dir.path("o.part-1-of-2.json")).text();
    assert!(job.contains("/f.csv\"") && !job.contains("f.part-1"), "{job}");
    // Items as they are, also in job files.
    exec(&format!("a$1b -o {}", path("r.json")), &["echo", "{}"]).done().succeeds();
    assert_eq!(parpy("run").arg(dir.path("r.json")).args("-o -").text(), "a$1b\n");
}
