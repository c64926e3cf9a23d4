//! Every signal that asks for an end, FIFOs with partners, and standard streams that were closed.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Output};

use crate::dsl::*;

const PATTERNS: [&str; 5] = ["serial", "simd", "threads", "process", "pool"];

/// What was done is kept, and workers do not take a signal that is sent to all processes for their own.
#[test]
fn every_signal_keeps_what_was_done() {
    for (signal, code) in ENDS {
        for pattern in ["threads", "process", "pool"] {
            let dir = Dir::new();
            let out = dir.path("out.txt");
            let run = parpy("map --from - --schedule dynamic,1 -p").arg(pattern).arg("-o").arg(&out);
            let mut child = run.start();
            child.stdin.as_mut().unwrap().write_all(b"1\n2\n").unwrap();
            until(|| {
                let name = dir.names().into_iter().find(|name| name.ends_with(".partial"))?;
                (dir.read(&name) == b"1\n4\n").then_some(())
            });
            // As a terminal does, or a batch system.
            kill_all(signal, &[children(child.id()), vec![child.id()]].concat());
            let said = said_at_its_end(child, code);
            assert_eq!(dir.read("out.txt.partial"), b"1\n4\n", "{signal} {pattern}: {said}");
            assert!(said.contains(&format!("parpy: stopped by {}", name_of(signal))), "{said}");
        }
    }
}

/// The run must end with that code, and not for want of input.
#[track_caller]
fn said_at_its_end(mut child: Child, code: i32) -> String {
    let _stdin = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

fn name_of(signal: &str) -> String {
    match signal {
        "-INT" => "Ctrl-C (SIGINT)".to_owned(),
        other => other.replace('-', "SIG"),
    }
}

/// Partners of a FIFO that come later, also one that has nothing to say.
#[test]
fn fifos_with_partners() {
    let dir = Dir::new();
    let (from, to) = (dir.fifo("in.txt"), dir.fifo("out.txt"));
    let numbers: String = (0..200_000).map(|i| format!("{i}\n")).collect();
    let squares: String = (0..200_000u64).map(|i| format!("{}\n", i * i)).collect();
    for (text, expected) in [(&*numbers, &*squares), ("", ""), ("3", "9\n")] {
        for pattern in ["serial", "threads", "pool"] {
            let run = parpy("-q map -p").arg(pattern).arg("--from").arg(&from).arg("-o").arg(&to);
            let mut child = run.start();
            let (from, text) = (from.clone(), text.to_owned());
            let writer =
                std::thread::spawn(move || _ = File::create(from).unwrap().write_all(text.as_bytes()));
            let mut answers = String::new();
            File::open(&to).unwrap().read_to_string(&mut answers).unwrap();
            assert!(answers == expected, "{pattern}");
            writer.join().unwrap();
            assert!(child.wait().unwrap().success());
        }
    }
    // A report goes to whoever waits for it.
    let json = dir.fifo("r.json");
    let mut child = parpy("map 1 2 3 -o none --report").arg(&json).start();
    let mut report = String::new();
    File::open(&json).unwrap().read_to_string(&mut report).unwrap();
    assert!(report.contains("\"items\": 3"), "{report}");
    assert!(child.wait().unwrap().success());
}

/// Whoever looks at a FIFO waits for its writer, and reads to its end.
#[test]
fn looks_into_fifos() {
    let dir = Dir::new();
    let rows: String = (0..100_000).map(|i| format!("{i},{i}\n")).collect();
    for (name, text, part) in [
        ("a.csv", format!("x,y\n{rows}"), "99,998 rows more"),
        ("a.txt", rows.clone(), "99,998 rows more"),
        ("a.jsonl", "{\"output\": 3}\n".repeat(100_000), "100,000 lines"),
    ] {
        let path = dir.fifo(name);
        let child = parpy("show -n 1").arg(&path).start();
        let writer = std::thread::spawn(move || _ = File::create(path).unwrap().write_all(text.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.contains(part), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn with_streams(args: &str, streams: &str) -> Output {
    program("sh").arg("-c").arg(format!("exec {BINARY} {args} {streams}")).output().unwrap()
}

#[track_caller]
fn says(output: &Output, code: i32, part: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(part), "{said}");
}

#[test]
fn a_closed_output_is_no_place_for_results() {
    let dir = Dir::new();
    let text = dir.write("text", b"1\n2\n").display().to_string();
    let job = dir.write("job.toml", "[[task]]\nmap = { values = [3] }\n").display().to_string();
    let people = dir.write("people.toml", "[[task]]\nmap = { values = [3] }\noutput = 'people'\n");
    let mut commands = PATTERNS.map(|pattern| format!("map 3 -p {pattern}")).to_vec();
    commands.extend(PATTERNS.map(|pattern| format!("read {text} -p {pattern}")));
    commands.extend(["cpus", "--version", "doctor"].map(str::to_owned));
    commands.push(format!("read {text} --do count"));
    commands.push(format!("run {job}"));
    commands.push(format!("run {}", people.display()));
    commands.push(format!("show {text}"));
    commands.push("scale map 3 --patterns serial --repeat 1".to_owned());
    commands.extend(["map 3 -o /dev/stdout", "map 3 -o /dev/fd/1"].map(str::to_owned));
    if cfg!(feature = "hdf5") {
        let h5 = dir.path("out.h5").display().to_string();
        parpy("map 3 -o").arg(&h5).done().succeeds();
        // Of another program than the one that was started.
        commands.push(format!("map --from {h5}:/input"));
        commands.push(format!("show {h5}"));
    }
    for command in commands {
        let output = with_streams(&command, ">&-");
        says(&output, 1, "cannot write standard output: it is closed");
        // One that cannot be written to is none either.
        let output = with_streams(&command, "1</dev/null");
        says(&output, 1, "cannot write standard output: it is not open for writing");
    }
    assert_eq!(with_streams("--help", ">&-").status.code(), Some(1));
    // Who needs none does without.
    let out = dir.path("out.txt");
    says(&with_streams(&format!("map 3 -o {}", out.display()), ">&- <&- 2>&-"), 0, "");
    assert_eq!(dir.read("out.txt"), b"9\n");
}

#[test]
fn a_closed_input_is_not_an_empty_one() {
    for pattern in PATTERNS {
        let output = with_streams(&format!("map --from - -p {pattern}"), "<&-");
        says(&output, 1, "cannot read standard input: it is closed");
    }
    says(&with_streams("map --from /dev/stdin", "<&-"), 1, "cannot open /dev/stdin: it is closed");
    says(&with_streams("run /dev/stdin", "<&-"), 2, "cannot open /dev/stdin: it is closed");
    says(&with_streams("map --from -", "0>/dev/null"), 1, "cannot read standard input: ");
    // An empty one is.
    let output = with_streams("map --from -", "</dev/null");
    assert_eq!((output.status.code(), output.stdout), (Some(0), Vec::new()));
}
