//! Promises of wall-clock time. Each of these tests runs alone: one after the other, and after those of the other
//! test programs, which cargo runs before or after this one.

#[allow(dead_code)]
#[path = "../parpy/data.rs"]
mod data;
#[allow(dead_code)]
#[path = "../parpy/dsl.rs"]
mod dsl;

mod blocked;

use std::io::{BufRead, BufReader, Write};
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::data::*;
use crate::dsl::*;

/// Nobody else runs while this is held.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A parpy whose own process number is known.
fn start(args: &str) -> Child {
    parpy(args).start()
}

/// Ctrl-C: gone within a second, children too, what was done is kept, exit code 130.
#[test]
fn an_interrupted_run() {
    let _alone = alone();
    for pattern in ["serial", "threads", "pool", "process"] {
        for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-USR1", 138)] {
            let dir = Dir::new();
            let out = dir.path("out.txt");
            let naps = "5 5 5 5".to_owned() + &" 100".repeat(200);
            let run = format!("-v map {naps} -f nap -p {pattern} --schedule dynamic,1 -o {}", out.display());
            let jobs = if pattern == "serial" { "" } else { " -j 2" };
            let child = start(&(run + jobs));
            let id = child.id();
            let is_partial = |name: &String| name.ends_with(".partial");
            until(|| {
                let name = dir.names().into_iter().find(is_partial)?;
                dir.read(&name).starts_with(b"25\n25\n25\n25\n").then_some(())
            });
            let workers = children(id);
            let began = Instant::now();
            kill(signal, id);
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{pattern} {signal}\n{said}");
            // Twice what is promised, for a machine that runs all tests at once.
            assert!(began.elapsed() < Duration::from_secs(2), "{pattern}: {:?}", began.elapsed());
            assert!(workers.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()));
            assert!(said.contains("parpy: stopped by"), "{said}");
            let kept = String::from_utf8(dir.read("out.txt.partial")).unwrap();
            assert!(kept.starts_with("25\n25\n25\n25\n") && !out.exists(), "{pattern}: {kept}");
        }
    }
}

/// Nothing comes from the pipe when Ctrl-C does.
#[test]
fn interrupted_while_it_waits_for_input() {
    let _alone = alone();
    for pattern in ["serial", "threads", "pool", "process"] {
        let mut child = start(&format!("-v map --from - -p {pattern} --schedule dynamic,1"));
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"1\n2\n").unwrap();
        let mut first = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        if pattern != "serial" {
            out.read_line(&mut first).unwrap();
            assert_eq!(first, "1\n", "{pattern}: an answer that is there is not held back");
        } else {
            logged(&mut BufReader::new(child.stderr.take().unwrap()), "lanes");
        }
        kill("-INT", child.id());
        let began = Instant::now();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{pattern}");
        assert!(began.elapsed() < Duration::from_secs(2), "{pattern}");
        drop(stdin);
    }
}

#[test]
fn a_closed_pipe_ends_the_workers() {
    let _alone = alone();
    for pattern in ["threads", "pool", "process"] {
        let script = format!("{BINARY} map --range 0..100000000 -p {pattern} -j 2 | head -n 2");
        let began = Instant::now();
        let output = program("sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(output.stdout, b"0\n1\n");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert!(began.elapsed() < Duration::from_secs(10), "{pattern}");
    }
}

/// Of a huge file that a small job has read a little of, the digest takes longer than the job.
#[test]
fn ctrl_c_is_heard_while_the_input_is_digested() {
    let _alone = alone();
    let dir = Dir::new();
    let path = npy(&dir, "huge.npy", "<i8", 1, |_| [0; 8]);
    std::fs::File::options().write(true).open(&path).unwrap().set_len(15 << 30).unwrap();
    for pattern in ["serial", "pool"] {
        let run = parpy("map -p").arg(pattern).arg("--from").arg(&path).arg("-o").arg(dir.path("a.json"));
        let child = run.start();
        until(|| dir.names().into_iter().find(|name| name.ends_with(".partial")));
        let began = std::time::Instant::now();
        kill("-INT", child.id());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        // Fifteen gigabytes take longer on any machine.
        assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
        let _ = std::fs::remove_file(dir.path("a.json.partial"));
    }
}
