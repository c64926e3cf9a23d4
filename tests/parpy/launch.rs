//! How runs start and how they end by force.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;
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
    match foreign_mpirun() {
        Some(mpirun) => {
            let done = parpy("map 1 2 3").ranks(3).launcher(mpirun).done();
            done.fails(2, &["3 processes were started by", "belongs to another MPI library", "MPICC="]);
        }
        None => eprintln!("SKIPPED: only one MPI is installed"),
    }
}

/// The set-up's idea of what a launcher needs.
#[test]
fn options_of_launchers() {
    let options = |mpirun: &str, ranks: &str| {
        let script = format!(". jobs/setup.sh; mpirun_options {mpirun} {ranks}");
        String::from_utf8(Command::new("bash").arg("-c").arg(script).output().unwrap().stdout).unwrap()
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
    if !cfg!(debug_assertions) {
        eprintln!("SKIPPED: only a debug build can be asked to panic");
        return;
    }
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
    assert!(Command::new("kill").args(["-9", &victim.unwrap()]).status().unwrap().success());
    // Standard input stays open: it must not be the end of the input that ends the run.
    let stdin = child.stdin.take();
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    let code = child.wait().unwrap().code();
    assert!(code != Some(0) && code != Some(124), "{code:?}\n{rest}");
    assert!(began.elapsed() < Duration::from_secs(15));
    drop(stdin);
}
