//! How runs start and how they end by force.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr};
use std::time::{Duration, Instant};

use crate::dsl::*;

#[test]
fn help_and_version() {
    let help = parpy("--help").text();
    for word in ["map", "read", "run", "Examples:", "--schedule", "Exit codes"] {
        assert!(help.contains(word), "{word}");
    }
    assert!(parpy("map --help").text().contains("parpy map --range"));
    assert!(parpy("run --help").text().contains("[[task]]"));
    // Commands that only look offer no flag of a run, and say why they take none.
    for (command, own) in [("show x.npy", "--job"), ("cpus", "--json"), ("doctor", "--json")] {
        let help = parpy(&format!("{command} --help")).text();
        assert!(help.contains(own) && help.contains("--verbose"), "{help}");
        assert!(!help.contains("--pattern") && !help.contains("--progress"), "{help}");
        parpy(&format!("{command} -o x.txt")).done().fails(2, &["runs nothing", own]);
    }
    let version = parpy("--version").text();
    assert!(version.contains(env!("CARGO_PKG_VERSION")) && version.contains("MPI: "), "{version}");
}

#[test]
fn help_under_mpirun_is_said_once() {
    if has_mpi() {
        // mpirun gives its ranks a terminal, for which help would have colours.
        let help = parpy("map --help").var("NO_COLOR", "1");
        assert_eq!(help.clone().ranks(3).text(), help.text());
    }
}

#[test]
fn auto_follows_the_launcher() {
    let dir = Dir::new();
    let pattern = |run: Run| {
        run.args("map 1 --report").arg(dir.path("r.json")).done().succeeds();
        let json: serde_json::Value = serde_json::from_slice(&dir.read("r.json")).unwrap();
        (json["pattern"].as_str().unwrap().to_owned(), json["workers"].as_u64().unwrap())
    };
    assert_eq!(pattern(parpy("")), ("threads".into(), 1));
    if has_mpi() {
        assert_eq!(pattern(parpy("").ranks(3)), ("mpi".into(), 3));
        assert_eq!(pattern(parpy("-p mpi")), ("mpi".into(), 1));
        assert_eq!(pattern(parpy("-j 2").ranks(3)), ("mpi".into(), 2));
    }
}

#[test]
fn serial_under_mpirun_works_once() {
    if has_mpi() {
        let done = parpy("map 2 -p serial").ranks(3).done().succeeds();
        assert_eq!(done.stdout, b"4\n");
        assert!(done.stderr.contains("only the first works"), "{}", done.stderr);
    }
}

#[test]
fn without_mpi_it_says_what_to_rebuild_with() {
    if !has_mpi() {
        parpy("map 1 -p mpi").done().fails(2, &["built without MPI", "cargo build --release"]);
        let started = parpy("map 1").var("PMI_RANK", "0").var("PMI_SIZE", "4");
        started.done().fails(2, &["4 processes", "built without MPI"]);
    }
}

#[test]
fn the_mpirun_of_another_mpi_is_noticed() {
    if !has_mpi() {
        return;
    }
    if let Some(mpirun) = foreign_mpirun() {
        let done = parpy("map 1 2 3").ranks(3).launcher(mpirun).done();
        done.fails(2, &["3 processes were started by", "belongs to another MPI library", "MPICC="]);
    }
}

/// The set-up's idea of what a launcher needs.
#[test]
fn options_of_launchers() {
    let options = |mpirun: &str, ranks: &str| {
        let script = format!(". jobs/setup.sh; mpirun_options {mpirun} {ranks}");
        String::from_utf8(program("bash").arg("-c").arg(script).output().unwrap().stdout).unwrap()
    };
    if has_mpi() {
        let asked = options(mpirun(), "100000");
        assert_eq!(asked.contains("--oversubscribe"), mpirun_is_open_mpi(), "{asked}");
        assert!(!options(mpirun(), "1").contains("--oversubscribe"));
    }
    assert_eq!(options("/no/such/launcher", "100000"), "");
}

#[test]
fn every_log_line_names_rank_and_pid() {
    if has_mpi() {
        let done = parpy("-v map 1 2 3").ranks(3).done().succeeds();
        for rank in 0..3 {
            let start = format!("parpy[rank {rank} pid ");
            assert!(done.stderr.lines().any(|line| line.starts_with(&start)), "{}", done.stderr);
        }
        assert_eq!(parpy("map 1 2 3").ranks(3).done().stderr, "");
    }
}

#[test]
fn a_panic_on_one_rank_ends_the_run() {
    for ranks in if has_mpi() { vec![0, 3] } else { vec![0] } {
        let began = Instant::now();
        // One value for three ranks: only one of them has anything to panic at.
        let done = parpy("map 1 -f panic").ranks(ranks).done();
        assert_ne!(done.code, 0);
        assert!(done.stderr.contains("a fault in parpy itself"), "{}", done.stderr);
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}

/// Rank 0 waits for standard input and the others for rank 0 when one of them is killed.
#[test]
fn a_killed_rank_ends_the_run() {
    if !has_mpi() {
        return;
    }
    let run = parpy("-v map --from -").ranks(3);
    let mut child = run.spawn();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut victim = None;
    let mut ready = 0;
    while ready < 3 {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "ended before all ranks were there");
        let words: Vec<&str> = line.split([' ', '[']).collect();
        if line.contains("of 3, ") {
            ready += 1;
            if words[2] == "1" {
                victim = Some(words[4].to_owned());
            }
        }
    }
    let began = Instant::now();
    kill("-9", victim.unwrap().parse().unwrap());
    // Standard input stays open: it must not be the end of the input that ends the run.
    let stdin = child.stdin.take();
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    let code = child.wait().unwrap().code();
    assert!(code != Some(0) && code != Some(124), "{code:?}\n{rest}");
    assert!(began.elapsed() < Duration::from_secs(15));
    drop(stdin);
}

/// A run over ranks that is long enough to be stopped, and has written its first answers.
struct Stoppable {
    dir: Dir,
    child: Child,
    log: BufReader<ChildStderr>,
    /// Of the ranks, in order.
    pids: Vec<u32>,
}

impl Stoppable {
    fn start(ranks: usize) -> Self {
        Self::of(ranks, &("5 5 5 5 5 5 ".to_owned() + &"300 ".repeat(100)))
    }

    /// Naps of so many milliseconds, and flags.
    fn of(ranks: usize, naps: &str) -> Self {
        let dir = Dir::new();
        let run = parpy("-vv map").args(naps).args("-f nap --schedule static,1 -o").arg(dir.path("out.txt"));
        let mut child = run.ranks(ranks).spawn();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let pids = pids_of(ranks, &mut log);
        until(|| {
            let name = dir.names().into_iter().find(|name| name.ends_with(".partial"))?;
            dir.read(&name).starts_with(b"25\n25\n").then_some(())
        });
        Self { dir, child, log, pids }
    }

    /// Waits for the end, and returns the exit code and what was said since. What was done is kept, and no more
    /// than that.
    fn end(self) -> (Option<i32>, String) {
        let (code, said, kept) = self.end_with();
        let whole = "25\n".repeat(6) + &"90000\n".repeat(100);
        assert!(kept.len() >= 6 && whole.starts_with(&kept), "{kept}");
        (code, said)
    }

    /// The exit code, what was said since, and what was kept.
    fn end_with(mut self) -> (Option<i32>, String, String) {
        let mut said = String::new();
        self.log.read_to_string(&mut said).unwrap();
        let code = self.child.wait().unwrap().code();
        assert!(!self.dir.path("out.txt").exists(), "{said}");
        let kept = String::from_utf8(self.dir.read("out.txt.partial")).unwrap();
        (code, said, kept)
    }
}

/// What each of several ranks, which have been started with `-v`, says its process is, in order.
fn pids_of(ranks: usize, log: &mut impl BufRead) -> Vec<u32> {
    let mut pids = vec![0; ranks];
    while pids.contains(&0) {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "ended before all ranks were there");
        let words: Vec<&str> = line.split([' ', '[']).collect();
        // `parpy[rank 1 pid 4711 host n1] DEBUG rank 1 of 3, …`; a single rank is not numbered.
        if line.contains(&format!(" of {ranks}, ")) {
            let after = |word| words.iter().skip_while(move |w| **w != word).nth(1);
            let rank = words.iter().skip_while(|word| **word != "DEBUG").nth(2).unwrap();
            pids[rank.parse::<usize>().unwrap()] = after("pid").unwrap().parse().unwrap();
        }
    }
    pids
}

/// What SLURM sends before the time is over reaches all ranks, through srun or mpirun.
#[test]
fn ranks_stop_when_they_are_asked_to() {
    if !has_mpi() {
        return;
    }
    for ranks in 2..=4 {
        let run = Stoppable::start(ranks);
        let began = Instant::now();
        kill_all("-USR1", &run.pids);
        let (code, said) = run.end();
        assert_eq!(code, Some(138), "{said}");
        assert_eq!(said.matches("parpy: stopped by SIGUSR1").count(), 1, "{said}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

/// Whichever rank is asked, all end, and rank 0 says why.
#[test]
fn one_rank_that_is_asked_to_stop_stops_all() {
    if !has_mpi() {
        return;
    }
    let naps = "5 5 5 5 5 5 ".to_owned() + &"300 ".repeat(100);
    // The last of three ranks works, or has nothing to do.
    for (rank, workers) in [(0, ""), (2, ""), (2, "-j 2")] {
        let run = Stoppable::of(3, &(naps.clone() + workers));
        kill("-TERM", run.pids[rank]);
        let (code, said) = run.end();
        assert_eq!(code, Some(143), "{said}");
        assert_eq!(said.matches("parpy: stopped by SIGTERM").count(), 1, "{said}");
    }
}

/// Who is asked to stop in the middle of a long piece of work is waited for, and what comes of it is kept.
#[test]
fn a_rank_that_works_is_waited_for() {
    if !has_mpi() {
        return;
    }
    let mut run = Stoppable::of(2, "5 5 11500 12000 5 5");
    // Who has not begun when the signal comes does not begin.
    said_until(&mut run.log, &["11500 ms", "12000 ms"]);
    kill_all("-USR1", &run.pids);
    let (code, said, kept) = run.end_with();
    assert_eq!((code, kept.as_str()), (Some(138), "25\n25\n132250000\n144000000\n"), "{said}");
    assert!(!said.contains("do not answer"), "{said}");
}

/// Reads the log until it has had all of `parts`, and returns what was said.
#[track_caller]
fn said_until(log: &mut impl BufRead, parts: &[&str]) -> String {
    let mut said = String::new();
    while !parts.iter().all(|part| said.contains(part)) {
        assert!(log.read_line(&mut said).unwrap() > 0, "ended before {parts:?}: {said}");
    }
    said
}

/// A rank that will never answer, because it is stopped (as a debugger does), does not keep the others.
#[test]
fn a_rank_that_does_not_answer_is_not_waited_for() {
    if !has_mpi() {
        return;
    }
    let mut run = Stoppable::start(2);
    kill("-STOP", run.pids[1]);
    let began = Instant::now();
    kill("-TERM", run.pids[0]);
    let said = said_until(&mut run.log, &["other ranks do not answer"]);
    assert!(said.contains("parpy: stopped by SIGTERM; other ranks do not answer"), "{said}");
    // Its launcher may have ended it by now.
    try_kill("-CONT", run.pids[1]);
    let code = run.child.wait().unwrap().code();
    assert!(code != Some(0) && code != Some(124), "{code:?}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

/// Two ranks that have answered what they were sent. Rank 0 waits for more, and the other for rank 0.
struct WaitingForInput {
    child: Child,
    log: BufReader<ChildStderr>,
    pids: Vec<u32>,
}

impl WaitingForInput {
    fn start() -> Self {
        let mut child = parpy("-v map --from -").ranks(2).spawn();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let pids = pids_of(2, &mut log);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        child.stdin.as_mut().unwrap().write_all(b"7\n").unwrap();
        let mut answer = String::new();
        out.read_line(&mut answer).unwrap();
        assert_eq!(answer, "49\n");
        Self { child, log, pids }
    }
}

/// Rank 0 waits for input that does not come, and the others for rank 0.
#[test]
fn ranks_that_wait_for_input_stop_too() {
    if !has_mpi() {
        return;
    }
    let mut run = WaitingForInput::start();
    kill("-USR1", run.pids[0]);
    let mut said = String::new();
    run.log.read_to_string(&mut said).unwrap();
    assert_eq!(run.child.wait().unwrap().code(), Some(138), "{said}");
    assert!(said.contains("parpy: stopped by SIGUSR1"), "{said}");
}

/// Ten seconds are all that rank 0 waits for a rank that does not answer, also where it begins to wait only after
/// it has been asked to stop.
#[test]
fn a_rank_is_waited_for_once() {
    if !has_mpi() {
        return;
    }
    let mut run = WaitingForInput::start();
    kill("-STOP", run.pids[1]);
    let began = Instant::now();
    kill("-TERM", run.pids[0]);
    let said = said_until(&mut run.log, &["other ranks do not answer"]);
    assert!(began.elapsed() < Duration::from_secs(16), "{:?}: {said}", began.elapsed());
    // Its launcher may have ended it by now.
    try_kill("-CONT", run.pids[1]);
    let code = run.child.wait().unwrap().code();
    assert!(code != Some(0) && code != Some(124), "{code:?}\n{said}");
}
