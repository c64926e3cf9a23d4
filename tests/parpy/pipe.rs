//! `parpy read FILE --pipe CMD` as a user types it, against what sh prints for each section.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::dsl::*;

/// Where the sections of `block` bytes are: a line is of the section in which it begins.
fn sections(text: &[u8], block: usize) -> Vec<(usize, Range<usize>)> {
    let line_from = |at: usize| match at {
        0 => 0,
        at if at >= text.len() => text.len(),
        at => text[at - 1..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |i| at + i),
    };
    let bounds =
        (0..text.len().div_ceil(block)).map(|i| (i, line_from(i * block)..line_from((i + 1) * block)));
    bounds.filter(|(_, range)| !range.is_empty()).collect()
}

/// What sh prints where it runs `script` for each section, `$N` being the number of the section.
fn by_sh(dir: &Dir, text: &[u8], block: usize, script: &str, has_header: bool) -> Vec<u8> {
    let header = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
    let mut all = Vec::new();
    for (i, range) in sections(text, block) {
        let before = if has_header && range.start > 0 { &text[..header] } else { b"" };
        let input = dir.write("section", [before, &text[range]].concat());
        let mut sh = program("sh");
        sh.args(["-c", script]).env("N", (i + 1).to_string()).env("LC_ALL", "C");
        let output = sh.stdin(File::open(input).unwrap()).output().unwrap();
        assert!(output.status.success(), "{script}");
        all.extend(output.stdout);
    }
    all
}

/// Lines of many lengths, one of them longer than most sections, and the last without an end.
fn text() -> Vec<u8> {
    let line = |i: usize| match i {
        700 => "long ".repeat(2500) + "\n",
        i => format!("{i},{}\n", "x".repeat(i * 7 % 61)),
    };
    let mut text = "number,letters\n".to_owned();
    text.extend((0..1500).map(line));
    (text + "the last").into_bytes()
}

/// Ways of running the same thing, without ranks and with.
fn ways() -> Vec<Run> {
    let mut ways: Vec<Run> = [
        "-p serial",
        "-p simd",
        "-p threads",
        "-p threads -j 3",
        "-p threads -j 2 --schedule static",
        "-p pool -j 2",
        "-p pool -j 3 --schedule dynamic",
        "-p process -j 2",
    ]
    .map(parpy)
    .into();
    if has_mpi() {
        ways.extend([1, 2, 3].map(|ranks| parpy("-p mpi").ranks(ranks)));
        ways.push(parpy("-p mpi --threads 2").ranks(2));
        ways.push(parpy("-p mpi").ranks(3).var("PARPY_MPI_SHARED", "never"));
    }
    ways
}

/// `read FILE ARGS --pipe WORDS` in one of these ways.
fn read(way: &Run, file: &Path, args: &str, words: &[&str]) -> Run {
    let run = way.clone().args("read").arg(file).args(args).arg("--pipe");
    words.iter().fold(run, |run, word| run.arg(*word)).var("LC_ALL", "C")
}

#[test]
fn what_commands_print_comes_out_in_order_under_every_pattern() {
    let (dir, text) = (Dir::new(), text());
    let file = dir.write("text", &text);
    let block = 4000;
    let counts = by_sh(&dir, &text, block, "wc -l", false);
    let sorted = by_sh(&dir, &text, block, "sort | sed \"s/^/$N:/\"", false);
    let headed = by_sh(&dir, &text, block, "cut -d, -f1 | head -n 3", true);
    for way in ways() {
        let args = format!("--block {block}");
        assert!(read(&way, &file, &args, &["wc", "-l"]).stdout() == counts, "{}", way.name());
        let shell = read(&way, &file, &format!("{args} --shell"), &["sort", "| sed s/^/{#}:/"]);
        assert!(shell.stdout() == sorted, "{}", way.name());
        let header = read(&way, &file, &format!("{args} --header --shell"), &["cut -d, -f1 | head -n 3"]);
        assert!(header.stdout() == headed, "{}", way.name());
        assert!(read(&way, &file, "", &["cat"]).stdout() == text, "{}", way.name());
    }
    // To a file, and nowhere.
    let out = dir.path("out.txt");
    let run = parpy("-o").arg(&out);
    let counts = by_sh(&dir, &text, 4096, "wc -l", false);
    assert!(read(&run, &file, "--block 4K", &["wc", "-l"]).stdout().is_empty());
    assert!(dir.read("out.txt") == counts);
    assert!(read(&parpy("-o none"), &file, "", &["wc", "-l"]).stdout().is_empty());
}

#[test]
fn sections_of_every_size() {
    let (dir, text) = (Dir::new(), text());
    let file = dir.write("text", &text);
    // From a pipe, as it looks at how large a file is.
    let wc = "cat | wc -lc";
    for (args, block) in [
        ("--block 1000", 1000),
        ("--block 1k", 1024),
        ("--block 64K", 65536),
        ("--block 1G", 1 << 30),
        ("--schedule dynamic,2000", 2000),
        ("--schedule static,3K", 3072),
        // A 64th of the file would be smaller.
        ("", 65536),
    ] {
        let expected = by_sh(&dir, &text, block, wc, false);
        for way in ["-p serial", "-p threads -j 2"] {
            assert!(read(&parpy(way), &file, args, &["wc", "-lc"]).stdout() == expected, "{way} {args}");
        }
    }
    // Each byte a block.
    let small = dir.write("small", "a\nbcd\n\nef");
    assert_eq!(read(&parpy(""), &small, "--block 1", &["echo", "{#}"]).text(), "1\n3\n7\n8\n");
    // Larger than what a pipe holds, by default a 64th of it.
    let large = text.repeat(80);
    let file = dir.write("large", &large);
    let expected = by_sh(&dir, &large, large.len().div_ceil(64), "md5sum", false);
    for way in ["-p threads -j 2", "-p pool -j 3"] {
        assert!(read(&parpy(way), &file, "", &["md5sum"]).stdout() == expected, "{way}");
    }
}

#[test]
fn the_number_of_a_section_and_its_worker() {
    let dir = Dir::new();
    let file = dir.write("text", "a\nb\nc\nd\n");
    let say = "echo {#} {row} $PARPY_ITEM {} {1} {/} $PARPY_RANK; test $PARPY_SLOT = {slot}";
    let expected = "1 0 0 {} {1} {/} 0\n2 1 1 {} {1} {/} 0\n3 2 2 {} {1} {/} 0\n4 3 3 {} {1} {/} 0\n";
    for way in ["-p serial", "-p threads -j 2", "-p pool -j 2"] {
        assert_eq!(read(&parpy(way), &file, "--block 2", &["sh", "-c", say]).text(), expected, "{way}");
    }
    let awk = read(&parpy(""), &file, "", &["awk", "{print $1 {slot}}"]);
    assert_eq!(awk.text(), "a0\nb0\nc0\nd0\n");
}

#[test]
fn nothing_is_run_for_nothing() {
    let dir = Dir::new();
    let file = dir.write("empty", "");
    for way in ways() {
        assert_eq!(read(&way, &file, "--header", &["touch", "never"]).text(), "", "{}", way.name());
    }
    for (text, expected) in [("\n", "1\n"), ("x", "0\n"), ("head\n", "1\n"), ("head", "0\n")] {
        let file = dir.write("text", text);
        assert_eq!(read(&parpy(""), &file, "--header", &["wc", "-l"]).text(), expected, "{text:?}");
    }
    // The first line alone is longer than a section.
    let file = dir.write("text", "a long first line\n1\n2\n");
    let out = read(&parpy(""), &file, "--header --block 4", &["paste", "-sd,"]).text();
    assert_eq!(out, "a long first line\na long first line,1\na long first line,2\n");
}

#[test]
fn a_command_that_fails() {
    let dir = Dir::new();
    let file = dir.write("text", "a\nb\nc\nd\n");
    let words = ["sh", "-c", "cat; echo about {#} >&2; test {#} != 3 || exit 7"];
    for way in ways() {
        let run = read(&way, &file, "--block 2", &words);
        let done = run.done();
        assert_eq!((done.code, &*done.stdout), (1, &b"a\nb\n"[..]), "{}: {}", way.name(), done.stderr);
        let told = format!("section 3 (bytes 4 to 6 of {}): exit code 7: about 3", file.display());
        assert!(done.said().iter().any(|said| said.contains(&told)), "{}", done.stderr);
        assert!(done.stderr.contains("section 1: about 1\n"), "{}", done.stderr);
        let done = read(&way, &file, "-k --block 2", &words).done();
        assert_eq!((done.code, &*done.stdout), (1, &b"a\nb\nd\n"[..]), "{}: {}", way.name(), done.stderr);
        let told = format!("1 item has no answer and was passed over: {told}");
        assert!(done.said().iter().any(|said| said.contains(&told)), "{}", done.stderr);
    }
    let missing = read(&parpy(""), &file, "", &["no-such-program"]);
    missing.done().fails(1, &["section 1 (bytes 0 to 8", "cannot be started: there is no such program"]);
    let done = read(&parpy(""), &file, "-k --block 2", &["false"]).done();
    assert!(done.stderr.contains("4 items have no answer"), "{}", done.stderr);
}

#[test]
fn a_command_is_tried_again() {
    let dir = Dir::new();
    let file = dir.write("text", "a\nb\nc\n");
    let script = format!("cat; cd {}; test -e m{{#}} || {{ touch m{{#}}; exit 1; }}", dir.path("").display());
    for way in ["-p serial", "-p pool -j 2"] {
        let run =
            read(&parpy(way), &file, "--block 2 --retries 1 --retry-delay 10ms", &["sh", "-c", &script]);
        assert_eq!(run.text(), "a\nb\nc\n");
        (1..=3).for_each(|i| std::fs::remove_file(dir.path(&format!("m{i}"))).unwrap());
    }
}

#[test]
fn a_command_need_not_read() {
    let (dir, large) = (Dir::new(), text().repeat(100));
    let file = dir.write("large", &large);
    for way in ["-p serial", "-p threads -j 2", "-p pool -j 2"] {
        let text = |args: &str, words: &[&str]| read(&parpy(way), &file, args, words).text();
        assert_eq!(text("--block 4M", &["echo", "{#}"]), "1\n2\n", "{way}");
        assert_eq!(text("--block 3M", &["head", "-c", "3"]), heads(&large, 3 << 20), "{way}");
        // It goes on when it has closed its input.
        assert_eq!(text("--block 1G", &["sh", "-c", "exec <&-; sleep 0.2; echo end"]), "end\n", "{way}");
    }
}

/// Three letters of each section.
fn heads(text: &[u8], block: usize) -> String {
    let head =
        |(_, section): (usize, Range<usize>)| String::from_utf8_lossy(&text[section][..3]).into_owned();
    sections(text, block).into_iter().map(head).collect()
}

#[test]
fn a_command_may_print_more_than_it_reads() {
    let (dir, text) = (Dir::new(), text().repeat(40));
    let file = dir.write("text", &text);
    let script = "yes {#} | head -c 3000000; cat; cat /dev/null; yes end | head -c 2000000";
    let expected = by_sh(&dir, &text, 1 << 20, &script.replace("{#}", "$N"), false);
    assert!(expected.len() > 15_000_000);
    for way in ways() {
        let run = read(&way, &file, "--block 1M", &["sh", "-c", script]);
        assert!(run.stdout() == expected, "{}", way.name());
    }
    // More than is kept in memory goes to a file, if there can be one.
    let small = dir.write("small", "a\nb\n");
    let zeros = ["sh", "-c", "test {#} = 2 || head -c 6000000 /dev/zero; cat"];
    let expected = ["\0".repeat(6_000_000).as_bytes(), b"a\nb\n"].concat();
    for way in ways() {
        assert!(read(&way, &small, "--block 2", &zeros).stdout() == expected, "{}", way.name());
    }
    let run = read(&parpy("-k").var("TMPDIR", "/no/such/folder"), &small, "--block 2", &zeros).done();
    assert_eq!(run.stdout, b"b\n");
    run.fails(1, &["section 1", "it has printed more", "/no/such/folder", "TMPDIR=FOLDER"]);
}

#[test]
fn a_command_that_takes_too_long() {
    let (dir, began) = (Dir::new(), Instant::now());
    let file = dir.write("text", text().repeat(40));
    for words in [&["sleep", "100"][..], &["sh", "-c", "cat; sleep 100"], &["sh", "-c", "cat >&2; sleep 100"]]
    {
        for way in ["-p threads", "-p pool -j 2"] {
            let done = read(&parpy(way), &file, "--block 1G --timeout 300ms", words).done();
            let told = done.said().join("");
            assert!(done.code == 1 && told.contains("section 1 (bytes 0 to"), "{told}");
            assert!(told.contains("it took longer than 0.3 s (--timeout)"), "{told}");
        }
    }
    assert!(began.elapsed() < Duration::from_secs(40));
}

/// Ctrl-C, to the run alone and as a terminal sends it, leaves no command behind.
#[test]
fn nothing_is_left_of_a_run_that_is_stopped() {
    for way in ["-p serial", "-p threads -j 2", "-p pool -j 2", "-p process -j 2"] {
        let dir = Dir::new();
        let file = dir.write("text", text().repeat(40));
        let script = format!(
            "echo $$ > {}/pid.tmp.$$; mv {0}/pid.tmp.$$ {0}/pid.$$; sleep 1000; cat",
            dir.path("").display()
        );
        let run = read(&parpy(way), &file, "--block 1M -o none", &["sh", "-c", &script]);
        let child = run.start();
        let pids = || -> Vec<u32> {
            dir.names().iter().filter_map(|name| name.strip_prefix("pid.")?.parse().ok()).collect()
        };
        let wanted = if way == "-p serial" { 1 } else { 2 };
        until(|| (pids().len() == wanted).then_some(()));
        kill("-INT", child.id());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{way}: {}", String::from_utf8_lossy(&output.stderr));
        // What is killed last may be there for a moment.
        until(|| pids().iter().all(|group| !has_group(*group)).then_some(()));
    }
}

#[test]
fn dead_workers_and_dead_runners() {
    let dir = Dir::new();
    let file = dir.write("text", text().repeat(40));
    let expected = by_sh(&dir, &text().repeat(40), 1 << 20, "wc -l", false);
    // What starts commands is killed by the first of them.
    let path = dir.path("").display().to_string();
    let script = format!("mkdir {path}/killed 2>/dev/null && {{ kill -9 $PPID; sleep 100; }}; wc -l");
    for way in ["-p serial", "-p threads -j 2", "-p pool -j 2"] {
        assert!(read(&parpy(way), &file, "--block 1M", &["sh", "-c", &script]).stdout() == expected, "{way}");
        std::fs::remove_dir(dir.path("killed")).unwrap();
    }
    // A worker is killed while it waits for a command.
    let script = format!("mkdir {path}/waits 2>/dev/null && sleep 100; wc -l");
    for way in ["-p pool -j 1", "-p process -j 1"] {
        let child = read(&parpy(way), &file, "--block 1M", &["sh", "-c", &script]).start();
        until(|| dir.path("waits").exists().then_some(()));
        // The other child, which has children itself, starts the commands.
        let worker = children(child.id()).into_iter().find(|pid| children(*pid).is_empty()).unwrap();
        kill("-9", worker);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stdout == expected, "{way}");
        std::fs::remove_dir(dir.path("waits")).unwrap();
    }
}

/// A section is one item: it is not halved, as half of it would be another one.
#[test]
fn a_section_that_kills_every_worker() {
    for (way, args) in [("-p pool -j 1", ""), ("-p pool -j 1", "-k"), ("-p process -j 1", "-k")] {
        let dir = Dir::new();
        let file = dir.write("text", "a\nb\nc\nd\n");
        let path = dir.path("").display().to_string();
        let script = format!("test {{#}} != 3 || {{ touch {path}/run.$$; sleep 100; }}; cat");
        let args = format!("--block 2 {args} --failed {path}/f.csv --joblog {path}/log");
        let child = read(&parpy(way), &file, &args, &["sh", "-c", &script]).start();
        for tries in 1..=2 {
            let begun = || dir.names().iter().filter(|name| name.starts_with("run.")).count();
            until(|| (begun() == tries).then_some(()));
            let worker = children(child.id()).into_iter().rfind(|pid| children(*pid).is_empty()).unwrap();
            kill("-9", worker);
        }
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{way} {args}: {said}");
        let told = format!("the lines that begin in bytes 4 to 6 of {} has killed 2 workers", file.display());
        assert!(said.contains(&told), "{said}");
        let expected = if args.contains("-k") { "a\nb\nd\n" } else { "a\nb\n" };
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{way} {args}: {said}");
        let failed = fields(&dir, "f.csv", ',');
        assert_eq!(failed[1][..5].join(","), "3,4,2,-1,9", "{failed:?}");
        assert_eq!(fields(&dir, "log", '\t')[3][6..8].join(" "), "-1 9");
    }
}

#[test]
fn a_file_that_is_cut_short_meanwhile() {
    let dir = Dir::new();
    for block in ["1G", "1M"] {
        let file = dir.write("text", text().repeat(100));
        let script = format!(": > {}; cat > /dev/null", file.display());
        let done =
            read(&parpy("-p threads -j 1"), &file, &format!("--block {block}"), &["sh", "-c", &script])
                .done();
        done.fails(1, &["text", "cut short"]);
    }
}

const JOB: &str = r#"
[[task]]
read = { file = "$1", pipe = ["sh", "-c", "head -n 1; echo $1 {#}", "sh", "$2"], header = true, block = "3" }
output = "out.txt"

[[task]]
read = { file = "$1", pipe = ["tr ab AB", "| cat"], shell = true }
timeout = "10s"
retries = 1
"#;

#[test]
fn in_a_job_file() {
    let dir = Dir::new();
    let job = dir.write("job.toml", JOB);
    let file = dir.write("text", "a\nb\nc\n");
    for ranks in if has_mpi() { vec![0, 2] } else { vec![0] } {
        let run = parpy("run").arg(&job).arg(&file).ranks(ranks);
        assert_eq!(run.text(), "A\nB\nc\n");
        assert_eq!(dir.read("out.txt"), b"a\n$2 1\na\n$2 2\n");
    }
    let wrong = |read: &str, parts: &[&str]| {
        let job = dir.write("wrong.toml", format!("[[task]]\nread = {{ file = 'x', {read} }}\n"));
        parpy("run").arg(job).done().fails(2, parts);
    };
    wrong("pipe = ['wc'], do = 'count'", &["task 1", "--do", "--pipe"]);
    wrong("pipe = ['']", &["--pipe: say which command"]);
    wrong("header = true", &["--header", "--pipe"]);
}

#[test]
fn parts_have_whole_sections() {
    let (dir, text) = (Dir::new(), text());
    let file = dir.write("text", &text);
    let expected = by_sh(&dir, &text, 5000, "wc -l", false);
    let run = |args: &str| {
        let out = parpy("-o").arg(dir.path("out.txt")).args(args);
        read(&out, &file, "--block 5000", &["wc", "-l"]).done().succeeds();
    };
    for parts in [1, 3, 200] {
        (1..=parts).for_each(|part| run(&format!("--part {part}/{parts}")));
        run(&format!("--join {parts}"));
        assert!(dir.read("out.txt") == expected, "{parts} parts");
        std::fs::remove_file(dir.path("out.txt")).unwrap();
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_is_run() {
    let dir = Dir::new();
    let file = dir.write("text", "a\n");
    let fails = |args: &str, parts: &[&str]| {
        read(&parpy(""), &file, args, &["touch", "never"]).done().fails(2, parts);
    };
    fails("--do count", &["--do", "--pipe"]);
    fails("--block none", &["--block none: it is a size"]);
    fails("--block 0", &["--block 0: it is a size"]);
    fails("--schedule guided", &["all of one size", "dynamic or static"]);
    fails("--schedule adaptive,3", &["all of one size"]);
    fails("--schedule static,3 --block 3", &["give one of them"]);
    fails("-o out.h5", &[if cfg!(feature = "hdf5") { "written as it is" } else { "HDF5" }]);
    fails("-o out.npy", &["written as it is"]);
    fails("--timeout 0", &["--timeout 0"]);
    parpy("read x --header").done().fails(2, &["--pipe"]);
    parpy("read x --block 3").done().fails(2, &["--pipe"]);
    parpy("read x --timeout 3").done().fails(2, &["--pipe CMD ARGS"]);
    parpy("read - --pipe cat").done().fails(2, &["a pipe cannot be read by sections"]);
    parpy("read x --pipe").done().fails(2, &["--pipe"]);
}

/// The file itself, and not what its name leads to elsewhere.
#[test]
fn standard_input_that_is_a_file() {
    let dir = Dir::new();
    let file = dir.write("text", "a\nb\nc\n");
    for way in ["-p serial", "-p pool -j 2"] {
        let mut command =
            read(&parpy(way), Path::new("/dev/stdin"), "--block 2", &["tr", "abc", "xyz"]).command();
        let output = command.stdin(File::open(&file).unwrap()).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "x\ny\nz\n",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn a_run_is_given_up_when_enough_sections_have_failed() {
    let dir = Dir::new();
    let file = dir.write("t.txt", "line\n".repeat(100_000));
    let begun = dir.path("begun").display().to_string();
    let script = format!("echo x >> {begun}; sleep 0.02; exit 1");
    let run = parpy("read --block 1K --halt now,fail=5% -p threads -j 2")
        .arg(file)
        .args("--pipe sh -c")
        .arg(script);
    run.done().fails(1, &["stopped because", "--halt now,fail=5%"]);
    let begun = dir.read("begun").len() / 2;
    assert!((20..100).contains(&begun), "{begun}");
}

/// Fields of the lines of a file, and of its first.
fn fields(dir: &Dir, name: &str, delimiter: char) -> Vec<Vec<String>> {
    let text = String::from_utf8(dir.read(name)).unwrap();
    text.lines().map(|line| line.split(delimiter).map(|field| field.trim().to_owned()).collect()).collect()
}

/// A section is an item: in the log, and in the list of those that have failed.
#[test]
fn the_log_of_sections_and_the_list_of_those_that_have_failed() {
    let (dir, text) = (Dir::new(), text());
    let file = dir.write("text", &text);
    let block = 4000;
    let header = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    // Of a line that is longer than a section, some sections have nothing.
    let all = sections(&text, block);
    assert!(all.len() + 1 < text.len().div_ceil(block));
    let script = "head -n 1; echo about {#} >&2; test {#} -ge 3 || exit 7; test {#} != 4 || kill -9 $$";
    for way in ways() {
        for flags in ["-k", "-k --header --retries 1 --retry-delay 1ms", "--halt soon,fail=100"] {
            let args = format!(
                "--block {block} {flags} --joblog {} --failed {}",
                dir.path("log").display(),
                dir.path("f.csv").display()
            );
            let done = read(&way, &file, &args, &["sh", "-c", script]).done();
            assert_eq!(done.code, 1, "{}: {}", way.name(), done.stderr);
            let log = fields(&dir, "log", '\t');
            let columns = "Seq Host Starttime JobRuntime Send Receive Exitval Signal Command Rank Node";
            assert_eq!(log[0].join(" "), columns);
            assert_eq!(log.len(), all.len() + 1, "{}", way.name());
            for ((i, range), row) in all.iter().zip(&log[1..]) {
                let is_given_header = flags.contains("--header") && range.start > 0;
                let given = range.len() + if is_given_header { header } else { 0 };
                let first = if is_given_header { 0 } else { range.start };
                let line = text[first..].iter().position(|byte| *byte == b'\n');
                let printed = line.map_or(text.len() - first, |at| at + 1);
                let (exit, signal) = match i + 1 {
                    1 | 2 => ("7", "0"),
                    4 => ("-1", "9"),
                    _ => ("0", "0"),
                };
                let expected =
                    [&*(i + 1).to_string(), &*given.to_string(), &*printed.to_string(), exit, signal];
                assert_eq!([0, 4, 5, 6, 7].map(|k| &*row[k]), expected, "{} {flags}", way.name());
                assert!(row[8].contains(&format!("echo about {} >&2", i + 1)), "{row:?}");
                assert!(row[2].parse::<f64>().unwrap() > 1e9 && row.len() == 11, "{row:?}");
            }
            let of = |section: usize, end: &str| {
                let (_, range) = all.iter().find(|(i, _)| i + 1 == section).unwrap();
                format!("{section},{},{},{end},about {section}\n", range.start, range.len())
            };
            let expected = ["section,start,length,exit,signal,error\n".to_owned()];
            let expected = expected.into_iter().chain([of(1, "7,0"), of(2, "7,0"), of(4, "-1,9")]);
            let failed = String::from_utf8(dir.read("f.csv")).unwrap();
            assert_eq!(failed, expected.collect::<String>(), "{} {flags}", way.name());
        }
    }
    // The list says where it is in the file, for whoever tries it again.
    let part = format!("tail -c +$(({{start}} + 1)) {} | head -c {{length}}", file.display());
    let again = parpy("map --raw --columns output --from").arg(dir.path("f.csv"));
    let again = again.args("--exec sh -c").arg(part).stdout();
    let failed = all.iter().filter(|(i, _)| [0, 1, 3].contains(i));
    assert!(again == failed.flat_map(|(_, range)| &text[range.clone()]).copied().collect::<Vec<u8>>());
}

#[test]
fn sections_in_the_log_of_a_run_that_ends_early() {
    let dir = Dir::new();
    let file = dir.write("text", "a\nb\nc\nd\n");
    for way in ways() {
        let args = |flags: &str| {
            format!(
                "--block 2 {flags} --joblog {} --failed {}",
                dir.path("log").display(),
                dir.path("f.jsonl").display()
            )
        };
        let words = ["sh", "-c", "cat; test {#} != 2 || exit 3"];
        let done = read(&way, &file, &args(""), &words).done();
        assert_eq!((done.code, &*done.stdout), (1, &b"a\n"[..]), "{}: {}", way.name(), done.stderr);
        let log = fields(&dir, "log", '\t');
        // Those that were begun meanwhile may stand there, too.
        assert_eq!(
            [&*log[1][0], &*log[1][6], &*log[2][0], &*log[2][6]],
            ["1", "0", "2", "3"],
            "{}",
            way.name()
        );
        let failed = String::from_utf8(dir.read("f.jsonl")).unwrap();
        let said =
            "{\"section\":2,\"start\":2,\"length\":2,\"exit\":3,\"signal\":0,\"error\":\"exit code 3\"}\n";
        assert_eq!(failed, said, "{}", way.name());
        let words = ["sh", "-c", "test {#} != 3 || sleep 100; cat"];
        let done = read(&way, &file, &args("-k --timeout 300ms"), &words).done();
        assert_eq!((done.code, &*done.stdout), (1, &b"a\nb\nd\n"[..]), "{}: {}", way.name(), done.stderr);
        let failed = String::from_utf8(dir.read("f.jsonl")).unwrap();
        assert!(
            failed.starts_with("{\"section\":3,\"start\":4,\"length\":2,\"exit\":-1,\"signal\":9,"),
            "{failed}"
        );
        assert!(failed.contains("it took longer than 0.3 s") && failed.lines().count() == 1, "{failed}");
        let done = read(&way, &file, &args("--halt now,fail=1"), &["false"]).done();
        assert!(done.code == 1 && done.said().join("").contains("stopped because"), "{}", done.stderr);
        let failed = String::from_utf8(dir.read("f.jsonl")).unwrap();
        assert!(failed.starts_with("{\"section\":"), "{}: {failed}", way.name());
    }
}
