//! What does not fit: lines longer than any buffer, files longer than the memory that is allowed.

use crate::data::*;
use crate::dsl::*;

/// Longer than the megabyte of a rank's slot, so that its text comes in pieces.
fn long_lines(dir: &Dir) -> std::path::PathBuf {
    let mut bytes = b"first\n".to_vec();
    bytes.extend(b"0123456789".repeat(350_000));
    bytes.extend(b"\nmiddle\n");
    bytes.extend(b"abcdefg ".repeat(300_000));
    bytes.extend(b"\nlast");
    dir.write("long.txt", bytes)
}

#[test]
fn a_line_longer_than_a_slot_comes_in_pieces() {
    let dir = Dir::new();
    let path = long_lines(&dir);
    let expected = std::fs::read(&path).unwrap();
    assert!(parpy("read").arg(&path).stdout() == expected);
    if !has_mpi() {
        return;
    }
    for ranks in [1, 2, 5] {
        for shared in ["always", "never"] {
            let run = parpy("read").arg(&path).ranks(ranks).var("PARPY_MPI_SHARED", shared);
            assert!(run.stdout() == expected, "{ranks} ranks, shared memory: {shared}");
            let run = run.args("--schedule static,4M");
            assert!(run.stdout() == expected, "{ranks} ranks, shared memory: {shared}, large sections");
        }
    }
}

#[test]
fn many_rounds_of_values() {
    let squares: String = (0..300_000u64).map(|i| format!("{}\n", i * i)).collect();
    let run = parpy("map --range 0..300000");
    assert!(run.text() == squares);
    if has_mpi() {
        assert!(run.clone().ranks(2).text() == squares);
        assert!(run.ranks(3).var("PARPY_MPI_SHARED", "never").text() == squares);
    }
}

/// Every rank's peak memory in MiB, as it says itself.
fn peaks(run: Run) -> Vec<u64> {
    let done = run.args("-v").done().succeeds();
    let peak = |line: &str| line.split("peak memory ").nth(1)?.split(' ').next()?.parse::<u64>().ok();
    done.stderr.lines().filter_map(peak).map(|kib| kib / 1024).collect()
}

#[test]
fn memory_does_not_grow_with_the_input() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    // A gigabyte of NULs is one line, takes no disk, and must not be held in memory.
    let path = dir.write("sparse", "");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
    let jobs = [
        parpy("read -o none").arg(&path),
        parpy("read --do count -o none").arg(&path),
        parpy("map --range 0..60000000 -o none"),
        parpy("map --from").arg(dir.write("sevens", "7\n".repeat(3_000_000))).args("-o none"),
    ];
    let values = npy(&dir, "values.npy", "<f8", 0, |_| [0; 8]);
    std::fs::write(&values, npy_header("<f8", "(16000000,)")).unwrap();
    std::fs::File::options().write(true).open(&values).unwrap().set_len(128 + 128_000_000).unwrap();
    let files = extensions().into_iter().map(|extension| {
        parpy("map --from").arg(&values).arg("-o").arg(dir.path(&format!("out.{extension}")))
    });
    for job in jobs.into_iter().chain(files) {
        for shared in ["always", "never"] {
            let peaks = peaks(job.clone().ranks(2).var("PARPY_MPI_SHARED", shared));
            assert_eq!(peaks.len(), 2, "each rank says its own");
            assert!(peaks.iter().all(|mib| *mib < 100), "{peaks:?} {:?}", job.command());
        }
    }
}

/// Offsets that do not fit in 32 bits.
#[test]
fn a_file_of_more_than_4_gib() {
    let dir = Dir::new();
    let path = dir.write("sparse", "");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    use std::os::unix::fs::FileExt;
    for (i, at) in [0, (1u64 << 32) - 3, 1 << 32, (1 << 32) + 5].into_iter().enumerate() {
        file.write_at(format!("{i} x\n").as_bytes(), at).unwrap();
    }
    file.set_len((1 << 32) + 100).unwrap();
    let run = parpy("read --do count").arg(&path).ranks(if has_mpi() { 2 } else { 0 });
    // The second line has lost its newline to the third, and begins in the first part; the last part is what follows.
    // NULs neither begin nor end a word.
    let text = run.clone().args("--part 64/64").text();
    assert_eq!(text.split_whitespace().take(3).collect::<Vec<_>>(), ["1", "2", "96"], "{text}");
    // Without optimisation it would take a minute.
    if !cfg!(debug_assertions) {
        assert_eq!(run.text(), format!("         3          7 4294967396 {}\n", path.display()));
    }
}

/// Nor with how long answers are: one alone, and those of a block.
#[test]
fn memory_does_not_grow_with_the_answers() {
    if !has_mpi() {
        return;
    }
    let one = ("1", "head -c 600000000 /dev/zero #{}");
    let many = ("--range 0..400 --schedule dynamic,200", "head -c 1000000 /dev/zero #{}");
    let by_turns = ("--range 0..400 --schedule static,200", many.1);
    for (flags, script) in [one, many, by_turns] {
        let run = parpy("map -v").args(flags).args("--exec sh -c").arg(script).ranks(2);
        let peaks = peaks(run);
        assert!(peaks.len() == 2 && peaks.iter().all(|mib| *mib < 80), "{flags}: {peaks:?}");
    }
}
