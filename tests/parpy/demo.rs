//! `parpy` with no arguments.

use crate::dsl::*;

/// 0 ranks: alone, where at least one worker thread does both.
#[track_caller]
fn check(text: &str, ranks: usize) {
    let is_alone = ranks == 0;
    let ranks = ranks.max(1);
    assert!(text.contains("in order: 0 1 4 9 16 25 36 49 64 81\n"), "{text}");
    assert!(text.contains("lines, 17,185 bytes, equal to the file"), "{text}");
    for rank in 0..ranks {
        let start = if is_alone { "  worker" } else { "  rank" };
        let start = format!("{start} {rank} (pid ");
        let mine: Vec<&str> = text.lines().filter(|l| l.starts_with(&start)).collect();
        assert_eq!(mine.len(), 2, "rank {rank} did not do both:\n{text}");
        assert!(mine[0].contains("squared") && mine[1].contains("read bytes"), "{text}");
    }
    let mut pids: Vec<&str> =
        text.lines().filter_map(|l| l.split("(pid ").nth(1)?.split(' ').next()).collect();
    pids.sort();
    pids.dedup();
    assert_eq!(pids.len(), ranks, "each rank is a process of its own:\n{text}");
}

#[test]
fn from_the_checkout_and_from_elsewhere() {
    let elsewhere = Dir::new();
    check(&parpy("").text(), 0);
    check(&parpy("").folder(elsewhere.path("")).text(), 0);
    if has_mpi() {
        check(&parpy("").ranks(4).text(), 4);
        check(&parpy("").ranks(4).folder(elsewhere.path("")).text(), 4);
        check(&parpy("run jobs/demo.toml").ranks(2).text(), 2);
    }
    assert!(elsewhere.names().is_empty(), "nothing is left behind");
}

#[test]
fn more_ranks_than_values() {
    if has_mpi() {
        let text = parpy("").ranks(12).text();
        assert!(text.contains("in order: 0 1 4 9 16 25 36 49 64 81\n"), "{text}");
        assert!(text.contains("equal to the file"), "{text}");
    }
}

#[test]
fn people_are_told_of_whole_answers() {
    let dir = Dir::new();
    dir.write("long.txt", [b"short\n".to_vec(), b"long ".repeat(600_000), b"\nend\n".to_vec()].concat());
    let job = dir.write("job.toml", "[[task]]\nread = { file = 'long.txt' }\noutput = 'people'\n");
    let text = parpy("run").arg(&job).ranks(if has_mpi() { 2 } else { 0 }).text();
    assert!(text.contains(" read bytes 0 to 3000007: 2 lines\n"), "{text}");
    assert!(text.contains("gathered in order: 3 lines, 3,000,011 bytes, equal to the file"), "{text}");
}

#[test]
fn the_demo_can_be_asked_for_plain_output() {
    let text = parpy("-o -").text();
    assert!(text.starts_with("0\n1\n4\n9\n"));
    assert!(text.ends_with(&std::fs::read_to_string("jobs/sample.txt").unwrap()));
}
