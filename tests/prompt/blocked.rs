//! Signals that come while somebody else keeps parpy waiting: a reader that does not read, a writer that does not
//! write, a FIFO that nobody opens. It ends within a second all the same.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::alone;
use crate::dsl::*;

const PATTERNS: [&str; 5] = ["serial", "simd", "threads", "process", "pool"];

/// Starts a parpy, and waits until it listens.
fn start(args: &str) -> Child {
    let child = parpy(args).start();
    until(|| is_watching(child.id()).then_some(()));
    child
}

/// Sends the signal; the run must end soon.
#[track_caller]
fn ends(mut child: Child, signal: &str, code: i32) -> String {
    kill(signal, child.id());
    let began = Instant::now();
    let (_stdin, _stdout) = (child.stdin.take(), child.stdout.take());
    let ended = child.wait().unwrap();
    // Twice what is promised, for a machine that does something else as well.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut said).unwrap();
    }
    assert_eq!(ended.code(), Some(code), "{said}");
    said
}

/// Does the process, which is parpy by now, catch all signals that ask for an end?
fn is_watching(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let numbers = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2].into_iter();
    let numbers = numbers.chain([libc::SIGXCPU, libc::SIGQUIT, libc::SIGALRM]);
    let all: u64 = numbers.map(|signal| 1 << (signal - 1)).sum();
    is_parpy(pid) && caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & all == all)
}

/// Waits until nearly as many bytes wait in a pipe as fit in.
fn until_full(pipe: impl AsFd) {
    until(|| (rustix::io::ioctl_fionread(&pipe).unwrap() > 60_000).then_some(()));
}

#[test]
fn a_reader_that_does_not_read() {
    let _alone = alone();
    let dir = Dir::new();
    let text = dir.write("text", b"a line of it\n".repeat(100_000)).display().to_string();
    // A process for each value would take its time.
    for what in ["map --range 0..3000000 --schedule dynamic,50000".to_owned(), format!("read {text}")] {
        for pattern in PATTERNS {
            let run = start(&format!("{what} -p {pattern}"));
            until_full(run.stdout.as_ref().unwrap());
            let workers = children(run.id());
            let said = ends(run, "-TERM", 143);
            assert_eq!(said, "parpy: stopped by SIGTERM\n", "{what} {pattern}");
            assert!(workers.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
        }
    }
    for (signal, code) in ENDS {
        let run = start("map --range 0..3000000");
        until_full(run.stdout.as_ref().unwrap());
        ends(run, signal, code);
    }
}

#[test]
fn an_output_that_nobody_opens() {
    let _alone = alone();
    let dir = Dir::new();
    let pipe = dir.fifo("out").display().to_string();
    let text = dir.write("text", b"a line\n").display().to_string();
    for what in ["map 1 2 3".to_owned(), format!("read {text}")] {
        for pattern in PATTERNS {
            let run = start(&format!("{what} -p {pattern} -o {pipe}"));
            ends(run, "-TERM", 143);
        }
    }
    for what in ["--report", "--trace"] {
        let json = dir.fifo(&format!("{what}.json")).display().to_string();
        ends(start(&format!("map 1 2 3 -o none {what} {json}")), "-INT", 130);
    }
}

#[test]
fn an_input_that_nobody_opens() {
    let _alone = alone();
    let dir = Dir::new();
    for pattern in PATTERNS {
        for name in ["in.txt", "in.csv", "in"] {
            let pipe = dir.fifo(&format!("{pattern}-{name}")).display().to_string();
            ends(start(&format!("map --from {pipe} -p {pattern}")), "-TERM", 143);
        }
    }
    let job = dir.fifo("job.toml").display().to_string();
    ends(start(&format!("run {job}")), "-HUP", 129);
}

/// Of all ranks, whichever of the patterns of a rank keeps rank 0 waiting.
#[test]
fn ranks_whose_output_nobody_reads() {
    let _alone = alone();
    if !has_mpi() {
        return;
    }
    for ranks in 1..=3 {
        let dir = Dir::new();
        let (out, from) = (dir.fifo("out.txt"), dir.fifo("in.txt"));
        let text = dir.write("text", b"a line of it\n".repeat(100_000));
        let runs: [(Run, bool); 4] = [
            (parpy("map --range 0..3000000 -o").arg(&out), false),
            (parpy("map --range 0..3000000 -o").arg(&out), true),
            (parpy("read").arg(&text).args("-o").arg(&out), true),
            (parpy("map --from").arg(&from), false),
        ];
        for (run, has_reader) in runs {
            let run = run.args("-p mpi").ranks(ranks);
            let mut child = run.spawn();
            let pids = until(|| {
                // A rank becomes the program with MPI, and hears no signal while it does.
                let is_rank = |pid: &u32| name_of(*pid).starts_with("parpy-mpi");
                let pids: Vec<u32> = descendants(child.id()).into_iter().filter(is_rank).collect();
                (pids.len() == ranks && pids.iter().all(|pid| is_watching(*pid))).then_some(pids)
            });
            let reader = has_reader.then(|| File::open(&out).unwrap());
            if let Some(reader) = &reader {
                until_full(reader);
            }
            let began = Instant::now();
            kill_all("-TERM", &pids);
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            let code = child.wait().unwrap().code();
            assert_eq!(code, Some(143), "{ranks} ranks, {:?}: {said}", run.words());
            assert_eq!(said.matches("parpy: stopped by SIGTERM").count(), 1, "{said}");
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        }
    }
}

fn descendants(of: u32) -> Vec<u32> {
    let own = children(of);
    own.iter().flat_map(|pid| [vec![*pid], descendants(*pid)].concat()).collect()
}

fn is_parpy(pid: u32) -> bool {
    name_of(pid).starts_with("parpy")
}

/// The program that a process runs, or none where it has ended.
fn name_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}

/// What parpy says of itself waits for its reader too.
#[test]
fn messages_that_nobody_reads() {
    let _alone = alone();
    for pattern in ["serial", "threads", "pool"] {
        let mut run = start(&format!("-vv map --range 0..3000000 -p {pattern} --schedule dynamic,100"));
        let stderr = run.stderr.take().unwrap();
        let mut stdout = run.stdout.take().unwrap();
        let reader = std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        until_full(&stderr);
        ends(run, "-TERM", 143);
        reader.join().unwrap().unwrap();
        drop(stderr);
    }
}
