//! `parpy map` as a user types it.

use std::os::unix::fs::{PermissionsExt, symlink};

use approx::assert_relative_eq;

use crate::data::*;
use crate::dsl::*;

#[test]
fn values_on_the_command_line() {
    assert_eq!(parpy("map 1 2 3 4 5").text(), "1\n4\n9\n16\n25\n");
    assert_eq!(parpy("map -3 4").text(), "9\n16\n");
    assert_eq!(parpy("map").text(), "");
}

#[test]
fn whole_numbers_stay_exact_and_floats_come_back_the_same() {
    assert_eq!(parpy("map 3037000499").text(), "9223372030926249001\n");
    assert_eq!(parpy("map 3037000500 --dtype f64").text(), "9.22337203700025e18\n");
    assert_eq!(parpy("map 0.1 3").text(), "0.010000000000000002\n9.0\n");
    let back: Vec<f64> =
        parpy("map --range 0..2:0.125").text().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(back.len(), 16);
    for (i, y) in back.iter().enumerate() {
        assert_relative_eq!(*y, (i as f64 / 8.0).powi(2), epsilon = 1e-12);
    }
}

#[test]
fn ranges() {
    assert_eq!(parpy("map --range 0..5").text(), "0\n1\n4\n9\n16\n");
    assert_eq!(parpy("map --range=-2..3:2").text(), "4\n0\n4\n");
    assert_eq!(parpy("map --range -2..0").text(), "4\n1\n");
    assert_eq!(parpy("map --range 5..5").text(), "");
}

#[test]
fn numbers_from_text_and_standard_input() {
    let dir = Dir::new();
    let path = dir.write("n.txt", "1\n 2 \r\n3");
    assert_eq!(parpy("map --from").arg(path).text(), "1\n4\n9\n");
    assert_eq!(parpy("map --from -").stdin("4\n5\n").text(), "16\n25\n");
    assert_eq!(parpy("map --from - --dtype f64").stdin("1.5\n").text(), "2.25\n");
    assert_eq!(parpy("map --from -").text(), "");
}

#[test]
fn standard_input_reaches_rank_0_under_mpirun() {
    if has_mpi() {
        assert_eq!(parpy("map --from -").ranks(3).stdin("4\n5\n6\n7\n").text(), "16\n25\n36\n49\n");
    }
}

#[test]
fn numpy_files() {
    let dir = Dir::new();
    let whole = npy(&dir, "whole.npy", "<i8", 4, |i| (i as i64 - 2).to_le_bytes());
    assert_eq!(parpy("map --from").arg(&whole).text(), "4\n1\n0\n1\n");
    assert_eq!(parpy("map --dtype f64 --from").arg(&whole).text(), "4.0\n1.0\n0.0\n1.0\n");
    let floats = npy(&dir, "floats.npy", "<f8", 3, |i| (i as f64 / 2.0).to_le_bytes());
    assert_eq!(parpy("map --from").arg(&floats).text(), "0.0\n0.25\n1.0\n");
    let empty = npy(&dir, "empty.npy", "<f8", 0, |_| [0; 8]);
    assert_eq!(parpy("map --from").arg(&empty).text(), "");
}

#[test]
fn results_to_a_file() {
    let dir = Dir::new();
    parpy("map 1 2 3 -o").arg(dir.path("out.txt")).done().succeeds();
    assert_eq!(dir.read("out.txt"), b"1\n4\n9\n");
    assert_eq!(dir.names(), ["out.txt"], "no partial file is left");
    assert_eq!(parpy("map 1 2 3 -o none").text(), "");
    assert_eq!(parpy("map 1 2 3 -o -").text(), "1\n4\n9\n");
    // To a device or a pipe it goes as it is, and standard output is that under its other names too.
    assert_eq!(parpy("map 2 -o /dev/stdout").text(), "4\n");
    parpy("map 2 -o /dev/null").done().succeeds();
    let script = format!("(echo before; {BINARY} map 2 -o /dev/stdout; echo after) >log");
    assert!(program("sh").arg("-c").arg(script).current_dir(dir.path("")).status().unwrap().success());
    assert_eq!(dir.read("log"), b"before\n4\nafter\n");
    let script = format!("{BINARY} map 3 -o /dev/fd/3 3>>log; {BINARY} map 4 -o >(cat >>log); wait $!");
    assert!(program("bash").arg("-c").arg(script).current_dir(dir.path("")).status().unwrap().success());
    assert_eq!(dir.read("log"), b"before\n4\nafter\n9\n16\n");
    // An existing file is replaced, through a symbolic link too.
    symlink(dir.path("out.txt"), dir.path("link.txt")).unwrap();
    parpy("map 5 -o").arg(dir.path("link.txt")).done().succeeds();
    assert_eq!(dir.read("out.txt"), b"25\n");
    assert!(dir.path("link.txt").is_symlink());
    // Also where the link's target is still to be made.
    symlink("later.txt", dir.path("early.txt")).unwrap();
    parpy("map 6 -o").arg(dir.path("early.txt")).done().succeeds();
    assert_eq!(dir.read("later.txt"), b"36\n");
    // A new file has the permissions of any new file, and an old one keeps its own.
    let mode = |name: &str| std::fs::metadata(dir.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("out.txt"), mode("log"));
    std::fs::set_permissions(dir.path("out.txt"), PermissionsExt::from_mode(0o600)).unwrap();
    parpy("map 7 -o").arg(dir.path("out.txt")).done().succeeds();
    assert_eq!(mode("out.txt"), 0o600);
}

/// The partial file of another run, even of one that is still going on, is nobody's business.
#[test]
fn partial_files_do_not_meet() {
    let dir = Dir::new();
    let input = dir.write("out.txt.partial", "1\n2\n");
    parpy("map --from").arg(&input).arg("-o").arg(dir.path("out.txt")).done().succeeds();
    assert_eq!(dir.read("out.txt"), b"1\n4\n");
    assert_eq!(dir.read("out.txt.partial"), b"1\n2\n");
    let runs: Vec<_> = (0..4)
        .map(|_| parpy("map --range 0..200000 -o").arg(dir.path("same.txt")))
        .map(|run| (run.spawn(), run))
        .collect();
    for (child, run) in runs {
        Done::of(&run, child.wait_with_output().unwrap()).succeeds();
    }
    let squares: String = (0..200_000u64).map(|i| format!("{}\n", i * i)).collect();
    assert!(dir.read("same.txt") == squares.as_bytes());
}

#[test]
fn repeating_writes_once() {
    assert_eq!(parpy("map 1 2 --repeat 3").text(), "1\n4\n");
    let dir = Dir::new();
    parpy("map 1 2 --repeat 3 -o").arg(dir.path("out.txt")).done().succeeds();
    assert_eq!(dir.read("out.txt"), b"1\n4\n");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    // Of more the mpirun of Open MPI 5 keeps gigabytes in its memory, and notices nothing before it has them all.
    let runs = [parpy("map --range 0..100000000"), parpy("map --range 0..3000000").ranks(3)];
    for run in runs.into_iter().filter(|run| run.ranks == 0 || has_mpi()) {
        let mut child = run.spawn();
        let mut first = [0; 4];
        use std::io::Read;
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        assert_eq!(&first, b"0\n1\n");
        drop(child.stdin.take());
        let done = Done::of(&run, child.wait_with_output().unwrap());
        // Open MPI's mpirun has its own way to end by a closed pipe: it may send SIGTERM to the ranks. Of itself parpy
        // says nothing.
        assert!(run.ranks > 0 || done.code == 0, "{}", done.stderr);
        // What the launcher says next counts as part of it.
        let is_told = |said: &&str| run.ranks > 0 && said.starts_with("parpy: stopped by SIGTERM");
        assert!(done.said().iter().all(is_told), "{}", done.stderr);
    }
}

#[test]
fn a_closed_pipe_ends_its_task_and_not_the_job() {
    let dir = Dir::new();
    dir.write(
        "job.toml",
        "[[task]]\nmap = { range = '0..1000000' }\n[[task]]\nmap = { values = [3] }\noutput = 'second.txt'\n",
    );
    let script = format!("{BINARY} run job.toml --report r.json | head -n 1");
    let output = program("sh").arg("-c").arg(script).current_dir(dir.path("")).output().unwrap();
    assert_eq!(output.stdout, b"0\n");
    assert_eq!(dir.read("second.txt"), b"9\n");
    assert!(dir.path("r.json").exists());
}

/// The type of text and CSV is that of the first numbers, as it is of values that are typed.
#[test]
fn floats_are_found_by_looking() {
    let dir = Dir::new();
    let text = dir.write("f.txt", "1\n0.5\n2\n\n");
    let csv = dir.write("f.csv", "name,price\na,1\nb,0.5\nc,2\n");
    let column = format!("{}:price", csv.display());
    let patterns = ["-p serial", "-p simd", "-p threads -j 2", "-p pool -j 2", "-p process"];
    for words in patterns {
        for from in [text.to_str().unwrap(), &column] {
            assert_eq!(
                parpy(words).args("map --from").arg(from).text(),
                "1.0\n0.25\n4.0\n",
                "{words} {from}"
            );
        }
        assert_eq!(parpy(words).args("map --from -").stdin("1\n0.5\n").text(), "1.0\n0.25\n", "{words}");
    }
    for ranks in ways() {
        assert_eq!(parpy("map --from").arg(&text).ranks(*ranks).text(), "1.0\n0.25\n4.0\n");
        assert_eq!(parpy("map --from").arg(&column).ranks(*ranks).text(), "1.0\n0.25\n4.0\n");
    }
    // What is asked for counts more, and words that are no numbers for nothing.
    parpy("map --dtype i64 --from").arg(&text).done().fails(1, &["line 2: '0.5' is not a whole number"]);
    let words = dir.write("w.txt", "1\nnone\n0.5\n");
    parpy("map --from").arg(&words).done().fails(1, &["line 2: 'none' is not a number"]);
}

/// One that comes later is an error that says where, and what to do.
#[test]
fn a_float_that_comes_too_late() {
    let dir = Dir::new();
    let many = "7\n".repeat(40_000);
    let text = dir.write("late.txt", format!("{many}0.5\n"));
    let csv = dir.write("late.csv", format!("n\n{many}0.5\n"));
    for ranks in ways() {
        for (path, line) in [(&text, 40_001), (&csv, 40_002)] {
            let done = parpy("map -q -o none --from").arg(path).ranks(*ranks).done();
            assert_eq!(done.code, 1);
            for part in [&*format!("line {line}: '0.5' is not a whole number"), "--dtype f64"] {
                assert!(done.stderr.contains(part), "{}", done.stderr);
            }
        }
    }
}
