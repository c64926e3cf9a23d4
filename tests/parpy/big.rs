//! What does not fit: lines longer than any buffer, files longer than the memory that is allowed.

use std::process::Command;

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

/// A gigabyte of NULs is one line, takes no disk, and must not be held in memory.
#[test]
fn memory_does_not_grow_with_the_file() {
    let dir = Dir::new();
    let path = dir.write("sparse", "");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
    for (args, ranks) in [("read -o none", 0), ("read -o none", 2), ("read --do count -o none", 2)] {
        if ranks > 0 && !has_mpi() {
            continue;
        }
        // The limit is set in each rank, below mpirun: 256 MiB of data beyond what the MPI itself takes.
        let script = format!("ulimit -d 262144; exec {BINARY} {args} {}", path.display());
        let mut command = Command::new("timeout");
        allow_everything(&mut command);
        command.args(["-k", "5", "120"]);
        if ranks > 0 {
            command.args([mpirun(), "-n", &ranks.to_string()]);
        }
        let output = command.args(["sh", "-c", &script]).output().unwrap();
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
