//! Bad input: one clear message from rank 0 alone, exit code 1 or 2, within seconds, alone and under mpirun.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use crate::by_rank::by_rank;
use crate::data::*;
use crate::dsl::*;

/// Fails alike without mpirun and with it.
#[track_caller]
fn fails(run: &Run, code: i32, parts: &[&str]) {
    run.done().fails(code, parts);
    if has_mpi() {
        run.clone().ranks(3).done().fails(code, parts);
    }
}

#[test]
fn not_a_number() {
    let dir = Dir::new();
    let path = dir.write("n.txt", "1\n2\n\tthree\nfour\n");
    fails(&parpy("map --from").arg(&path), 1, &["n.txt, line 3: 'three' is not a whole number"]);
    fails(
        &parpy("map --dtype i64 --from -").stdin("1\n2.5\n"),
        1,
        &["standard input, line 2", "--dtype f64"],
    );
    fails(&parpy("map 1 x"), 2, &["'x' is not a whole number"]);
    fails(&parpy("map --range 0..x"), 2, &["--range 0..x"]);
    fails(&parpy("map 99999999999999999999"), 2, &["does not fit", "--dtype f64"]);
}

/// Whichever rank a scheduler asks.
#[test]
fn every_rank_leaves_with_the_same_exit_code() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    let cases = [
        ("map 3037000500 1 2 3", 1),
        ("map 1 x", 2),
        ("map --nonsense", 2),
        ("read missing", 1),
        ("map 1", 0),
    ];
    for (args, code) in cases {
        // The wrapper succeeds, so that no launcher ends the other ranks before they have told.
        let script = format!("{BINARY} {args} -o /dev/null; echo $? >code.$$");
        let mut command = program(mpirun());
        command.args(["-n", "3", "sh", "-c", &script]).current_dir(dir.path(""));
        assert!(command.output().unwrap().status.success(), "{args}");
        let names = dir.names();
        assert_eq!(names.len(), 3, "{args}: {names:?}");
        for name in names {
            assert_eq!(dir.read(&name), format!("{code}\n").as_bytes(), "{args}");
            std::fs::remove_file(dir.path(&name)).unwrap();
        }
    }
}

#[test]
fn out_of_64_bits() {
    fails(&parpy("map 1 3037000500 2"), 1, &["3037000500: square(3037000500) does not fit", "--dtype f64"]);
}

#[test]
fn files_that_are_not_there_or_no_files() {
    let dir = Dir::new();
    for command in ["read", "map --from"] {
        fails(
            &parpy(command).arg(dir.path("missing")),
            1,
            &["cannot open", "missing: No such file or directory"],
        );
        fails(&parpy(command).arg(dir.path("")), 1, &["is a directory"]);
    }
    fails(&parpy("read /dev/null"), 1, &["not a regular file"]);
    fails(&parpy("read /proc/self/status"), 1, &["makes it up as it is read"]);
    fails(&parpy("read -"), 2, &["cannot be read by sections"]);
    let pipe = dir.path("pipe");
    assert!(program("mkfifo").arg(&pipe).status().unwrap().success());
    // Without waiting for somebody to write into it.
    fails(&parpy("read").arg(&pipe), 1, &["not a regular file"]);
}

#[test]
fn unreadable() {
    let dir = Dir::new();
    let path = dir.write("secret", "1\n");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).unwrap();
    for run in [parpy("read"), parpy("map --from")] {
        if let Some(done) = run.arg(&path).done_without_rights(&dir) {
            done.fails(1, &["cannot open", "Permission denied"]);
        }
    }
}

#[test]
fn numpy_files_that_are_wrong() {
    let dir = Dir::new();
    let case = |bytes: &[u8], parts: &[&str]| {
        let path = dir.write("x.npy", bytes);
        fails(&parpy("map --from").arg(&path), 1, parts);
    };
    case(b"1\n2\n", &["not a .npy file"]);
    case(b"", &["not a .npy file"]);
    case(&npy_header("<f8", "()"), &["single number, without dimensions"]);
    case(&[npy_header("<i8", "(5,)"), vec![0; 8 * 3 + 4]].concat(), &["after 3 of the 5 values"]);
}

#[test]
fn wrong_words_offer_the_nearest_right_ones() {
    fails(&parpy("map 1 -f sqare"), 2, &["unknown function 'sqare'", "did you mean 'square'?"]);
    fails(&parpy("map 1 -f zzz"), 2, &["unknown function 'zzz'", "parpy functions lists"]);
    fails(&parpy("map 1 -p seral"), 2, &["invalid value 'seral'", "similar value exists: 'serial'"]);
    fails(&parpy("map 1 --functoin square"), 2, &["--functoin", "similar argument exists: '--function'"]);
    fails(&parpy("maps 1"), 2, &["maps", "similar subcommand exists: 'map'"]);
    fails(&parpy("map 1 --schedule statik"), 2, &["--schedule statik", "did you mean static?"]);
    fails(&parpy("map 1 --schedule static,0"), 2, &["from 1"]);
    fails(&parpy("map 1 --range 0..2"), 2, &["only one of them"]);
    fails(&parpy("map 1 --report=2"), 2, &[".json"]);
    fails(&parpy("map 1 2.5 abc"), 2, &["'abc' is not a number"]);
    fails(&parpy("map 1..5"), 2, &["--range A..B"]);
    fails(&parpy("map values.npy"), 2, &["--from FILE"]);
    fails(&parpy("map -"), 2, &["--from -"]);
    fails(&parpy("map --range 1...5"), 2, &["two dots"]);
    fails(&parpy("map 1e400"), 2, &["does not fit in a 64-bit float"]);
}

#[test]
fn numbers_of_workers_and_repeats() {
    for n in ["0", "-1"] {
        fails(&parpy("map 1 -j").arg(n), 2, &["--workers", "at least 1"]);
        fails(&parpy("map 1 --repeat").arg(n), 2, &["--repeat", "at least 1"]);
    }
    for pattern in ["serial", "simd"] {
        parpy("map 1 -j 2 -p")
            .arg(pattern)
            .done()
            .fails(2, &["runs on one worker", "-p pool", "mpirun -n 2"]);
    }
    fails(&parpy("map 1 -j 1000000"), 2, &["--workers 1000000", "4096 at the most", "parpy cpus"]);
    fails(&parpy("map 1 --threads 0"), 2, &["--threads", "at least 1"]);
    fails(&parpy("map 1 --retries -1"), 2, &["--retries", "from 0"]);
    parpy("map 1 -p pool --threads 2").done().fails(2, &["--threads", "pool has none"]);
    if has_mpi() {
        parpy("map 1 -j 4").ranks(3).done().fails(2, &["there are only 3 ranks", "mpirun -n 4"]);
    }
    fails(&parpy("map --from - --repeat 2").stdin("1\n"), 2, &["only once"]);
    fails(&parpy("map --from /dev/stdin --repeat 2").stdin("1\n"), 2, &["only once"]);
}

#[test]
fn nothing_to_do_is_no_fault() {
    let dir = Dir::new();
    let empty = dir.write("empty", "");
    for ranks in if has_mpi() { vec![0, 3] } else { vec![0] } {
        for run in [parpy("map --range 3..3"), parpy("map --from").arg(&empty), parpy("read").arg(&empty)] {
            let done = run.ranks(ranks).done().succeeds();
            assert!(done.stdout.is_empty() && done.said().is_empty());
        }
        // Nothing typed at all is hardly meant, and worth a word.
        let done = parpy("map").ranks(ranks).done().succeeds();
        assert!(done.stdout.is_empty() && done.said().len() == 1, "{}", done.stderr);
    }
}

#[test]
fn a_full_disk() {
    fails(&parpy("map --range 0..100000 -o /dev/full"), 1, &["cannot write /dev/full: No space left"]);
    fails(&parpy("read jobs/sample.txt -o /dev/full"), 1, &["cannot write /dev/full: No space left"]);
}

#[test]
fn outputs_that_cannot_be_written() {
    let dir = Dir::new();
    fails(&parpy("map 1 -o").arg(dir.path("no/such/folder.txt")), 1, &["cannot write", "No such file"]);
    fails(&parpy("map 1 -o").arg(dir.path("")), 1, &["is a directory"]);
    fails(&parpy("map 1 --report").arg(dir.path("no/r.json")), 1, &["cannot write", "r.json"]);
    let done = parpy("map 1 --report").arg(dir.path("no/r.json")).done();
    assert!(done.stdout.is_empty(), "noticed before the work, not after it");
    let file = dir.write("protected.txt", "mine\n");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o444)).unwrap();
    if let Some(done) = parpy("map 1 -o").arg(&file).done_without_rights(&dir) {
        done.fails(1, &["cannot write", "Permission denied"]);
    }
}

/// With streams that cannot be written to, the exit code still says how the work went.
#[test]
fn nobody_listens() {
    for (script, code) in [
        ("map x 2>/dev/full", 2),
        ("map 1 --report 2>/dev/full", 0),
        ("-vv map 1 2>/dev/full", 0),
        ("--help >/dev/full", 1),
        ("map 1 >/dev/full 2>/dev/full", 1),
    ] {
        let status = program("sh").arg("-c").arg(format!("{BINARY} {script}")).status().unwrap();
        assert_eq!(status.code(), Some(code), "{script}");
    }
}

#[test]
fn what_was_done_before_a_fault_is_kept_under_a_name_that_says_so() {
    let dir = Dir::new();
    dir.write("out.txt", "from before\n");
    let run = parpy("map 1 2 3037000500 4 -o").arg(dir.path("out.txt"));
    for run in [run.clone(), run.ranks(3)].into_iter().filter(|run| run.ranks == 0 || has_mpi()) {
        let done = run.done();
        assert_eq!(done.code, 1);
        assert!(done.stderr.contains("out.txt.partial"), "{}", done.stderr);
        assert_eq!(dir.read("out.txt.partial"), b"1\n4\n");
        assert_eq!(dir.read("out.txt"), b"from before\n");
        std::fs::remove_file(dir.path("out.txt.partial")).unwrap();
    }
    // An older one stays, though a new run fails too: before it has done anything, or after.
    dir.write("out.txt.partial", "precious");
    parpy("map 3037000500 -o").arg(dir.path("out.txt")).done().fails(1, &["does not fit"]);
    assert_eq!(dir.names(), ["out.txt", "out.txt.partial"]);
    let done = parpy("map 2 3037000500 -o").arg(dir.path("out.txt")).done();
    assert_eq!(done.code, 1);
    assert_eq!(dir.read("out.txt.partial"), b"precious");
    let kept: Vec<String> = dir.names().into_iter().filter(|n| n.len() > "out.txt.partial".len()).collect();
    assert!(kept.len() == 1 && done.stderr.contains(&kept[0]), "{kept:?}\n{}", done.stderr);
    assert_eq!(dir.read(&kept[0]), b"4\n");
}

/// The run stands still while the pipe that it writes to is full, which is when the file is cut short.
#[test]
fn a_file_that_shrinks_while_it_is_read() {
    let dir = Dir::new();
    for ranks in if has_mpi() { vec![0, 2] } else { vec![0] } {
        let path = dir.write("shrinking", b"0123456789abcde\n".repeat(2_000_000));
        // Alone: other patterns may find it too short before they have read any of it.
        let pattern = if ranks == 0 { "read -p serial" } else { "read" };
        let run = parpy(pattern).arg(&path).arg("-o").arg(dir.path("pipe")).ranks(ranks);
        let _ = std::fs::remove_file(dir.path("pipe"));
        assert!(program("mkfifo").arg(dir.path("pipe")).status().unwrap().success());
        let child = run.spawn();
        let mut pipe = std::fs::File::open(dir.path("pipe")).unwrap();
        pipe.read_exact(&mut [0; 1]).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
        std::io::copy(&mut pipe, &mut std::io::sink()).unwrap();
        Done::of(&run, child.wait_with_output().unwrap()).fails(1, &["shrinking", "cut short"]);
    }
}

/// Ranks that see two folders under one name, as those of two nodes may: a name that only one of them finds stands for a file on one node only.
#[test]
fn a_file_that_only_rank_0_sees() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    dir.write("here/text", "some\nlines\n");
    dir.write("there/other", "");
    let done = in_two_folders(&dir, &["read", "/dev/fd/9/text"]);
    let done = done.fails(1, &["rank 1 on host ", " cannot open /dev/fd/9/text: No such file"]);
    assert!(!done.stderr.contains("rank 0"), "{}", done.stderr);
    dir.write("there/text", "another file\n");
    in_two_folders(&dir, &["read", "/dev/fd/9/text"])
        .fails(1, &["rank 1 on host ", "13 bytes here and 11", "(1 more"]);
}

/// Rank 0 and two more, for which `/dev/fd/9` are two folders. (Ranks whose current folders differ are refused.)
pub fn in_two_folders(dir: &Dir, args: &[&str]) -> Done {
    let start = |folder: &str| format!("exec 9<'{}' && exec '{BINARY}' \"$@\"", dir.path(folder).display());
    let script = by_rank(&start("here"), &start("there"));
    let mut command = program(mpirun());
    command.args(["-n", "3", "sh", "-c", &script, "parpy"]).args(args);
    Done::of(&parpy("(in two folders)").ranks(3), command.output().unwrap())
}
