//! Results and messages at the same time: none of either ends up in the other, whichever mpirun carries them.

use crate::dsl::{Dir, has_mpi, is_thorough, parpy};

/// Runs of each kind: what mpirun mixes it does not mix each time.
fn times() -> usize {
    if is_thorough() { 10 } else { 2 }
}

/// The squares of `range`, one per line.
fn squares(range: std::ops::Range<i64>) -> String {
    range.map(|i| format!("{}\n", i * i)).collect()
}

#[test]
fn results_are_whole_beside_a_message() {
    if !has_mpi() {
        return;
    }
    // Open MPI 5.0.7 with PMIx 5.0.7: lines that are broken at each 4,096 bytes went to standard error.
    let expected = squares(3_037_000_000..3_037_000_500);
    for ranks in [1, 2, 3] {
        for _ in 0..times() {
            let done = parpy("map --range 3037000000..3037001000").ranks(ranks).done();
            assert_eq!(String::from_utf8_lossy(&done.stdout), expected, "{ranks} ranks");
            done.fails(1, &["3037000500"]);
        }
    }
}

#[test]
fn results_are_whole_beside_what_is_said_meanwhile() {
    if !has_mpi() {
        return;
    }
    let expected = squares(0..5000);
    for (ranks, more) in
        [(1, ""), (1, "-p pool -j 2"), (1, "-p process --schedule dynamic,500"), (2, ""), (3, "")]
    {
        for _ in 0..times() / 2 {
            let run = parpy("map --range 0..5000 -vv --progress always --report").args(more).ranks(ranks);
            let done = run.done().succeeds();
            assert_eq!(String::from_utf8_lossy(&done.stdout), expected, "{ranks} ranks {more}");
            assert!(
                done.stderr.contains("100 %") && done.stderr.contains("seconds: load"),
                "{}",
                done.stderr
            );
            let is_result = |line: &str| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit());
            assert!(!done.stderr.lines().any(is_result), "{}", done.stderr);
        }
    }
}

#[test]
fn a_file_that_does_not_end_its_last_line_stays_whole() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    let text = squares(0..2000) + "the last line";
    let file = dir.write("open.txt", &text);
    for ranks in [1, 2] {
        for _ in 0..times() / 2 {
            let run = parpy("read --report").arg(&file).ranks(ranks);
            assert_eq!(run.text(), text, "{ranks} ranks");
        }
    }
}
