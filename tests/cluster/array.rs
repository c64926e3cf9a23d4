//! Job arrays: each element does its part of the input, and a job that waits for all of them joins the parts.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use crate::dsl::*;
use crate::ends::signalling;
use crate::lab::*;

/// A job of array.sbatch that is one of `PARTS=4`: some elements, or with no `--array` the join.
fn of_four<'a>(cluster: &'a Cluster, dir: &'a Dir, options: &str) -> Batch<'a> {
    // All elements write to one log, and the join has a plain number.
    cluster.batch(dir, "array.sbatch", &format!("{options} -o array-%A.log")).var("PARTS", "4")
}

/// The join, when all elements of `job` have ended, however they have.
fn join_after<'a>(cluster: &'a Cluster, dir: &'a Dir, job: &Job) -> Batch<'a> {
    let dependency = format!("--dependency=afterany:{}", job.id);
    cluster.batch(dir, "array.sbatch", &format!("{dependency} -o array-%j.log")).var("PARTS", "4")
}

#[test]
fn an_array_and_its_join_write_what_one_run_writes() {
    let Some(cluster) = cluster() else { return };
    let dir = Dir::new();
    let work = "map --range 0..100000 -o squares.csv";
    // As many parts as elements, where nobody says otherwise.
    let array = cluster.batch(&dir, "array.sbatch", "--array=1-4 -c 2 -o array-%A.log").args(work).submit();
    let join = join_after(&cluster, &dir, &array).args(work).done().succeeds();
    join.says(&["--join 4", "ended with exit code 0"]);
    let log = array.done().succeeds().log;
    for element in 1..=4 {
        assert!(log.contains(&format!("job {}_{element}, --part {element}/4, on n", array.id)), "{log}");
        assert!(dir.path(&format!("squares.part-{element}-of-4.csv")).exists(), "{log}");
    }
    assert_eq!(log.matches("ended with exit code 0").count(), 4, "{log}");
    parpy("map --range 0..100000 -p serial -o").arg(dir.path("serial.csv")).done().succeeds();
    // Not assert_eq: it would print all of both.
    assert!(dir.read("squares.csv") == dir.read("serial.csv"));
}

#[test]
fn an_element_that_has_failed_is_named_and_run_again_alone() {
    let Some(cluster) = cluster() else { return };
    let dir = Dir::new();
    let lines = |third: &str| -> String {
        (0..400).map(|i| if i == 250 { format!("{third}\n") } else { format!("{i}\n") }).collect()
    };
    dir.write("values.txt", lines("no number"));
    let work = "map --from values.txt -o squares.txt";
    let array = of_four(&cluster, &dir, "--array=1-4").args(work).submit();
    let join = join_after(&cluster, &dir, &array).args(work).done().ends_with(1);
    join.says(&["part 3 of 4 is missing", "--array=3", "ended with exit code 1"]);
    array.done().says(&["values.txt, line 251: 'no number'"]);
    assert!(!dir.path("squares.txt").exists());
    dir.write("values.txt", lines("250"));
    let again = of_four(&cluster, &dir, "--array=3").args(work).submit();
    join_after(&cluster, &dir, &again).args(work).done().succeeds();
    again.done().succeeds();
    assert_eq!(dir.read("squares.txt"), parpy("map --range 0..400").stdout());
}

/// As before a time limit.
#[test]
fn elements_that_are_stopped_keep_what_is_done_and_are_named() {
    let Some(cluster) = cluster() else { return };
    let dir = Dir::new();
    dir.write("naps.txt", "20\n".repeat(40_000));
    let work = "map --from naps.txt -f nap -j 1 --schedule dynamic,1 -o squares.txt";
    let array = of_four(&cluster, &dir, "--array=2-3").args(work).submit();
    array.wait_until("results of both elements", |_| {
        let begun = |name: &String| name.ends_with(".partial") && !dir.read(name).is_empty();
        dir.names().iter().filter(|name| begun(name)).count() == 2
    });
    array.cancel(&["-b", "-s", "USR1"]);
    let join = join_after(&cluster, &dir, &array).args(work).done().ends_with(1);
    join.says(&[
        "parts 1-4 of 4 are missing",
        "squares.part-2-of-4.txt.partial is of one that was cut short, with 1 more",
    ]);
    let log = array.done().ends_with(138).log;
    assert_eq!(log.matches("ended with exit code 138").count(), 2, "{log}");
    assert!(dir.read("squares.part-3-of-4.txt.partial").starts_with(b"400\n"));
}

#[test]
fn an_array_of_which_nobody_knows_how_many_parts_there_are_is_refused() {
    let Some(cluster) = cluster() else { return };
    let dir = Dir::new();
    for options in ["--array=3", "--array=1", "--array=1,3"] {
        let array = cluster.batch(&dir, "array.sbatch", &format!("{options} -o array-%A.log"));
        array.args("map 1 2 3").done().ends_with(2).says(&["of how many parts?"]);
    }
    cluster.batch(&dir, "array.sbatch", "-o array-%j.log").args("map 1 2 3").done().ends_with(2);
}

/// As elements are by many an example; parts are not, and the last one would be missing.
#[test]
fn elements_from_0_are_refused() {
    let Some(cluster) = cluster() else { return };
    let dir = Dir::new();
    let batch = |options: &str| {
        cluster.batch(&dir, "array.sbatch", &format!("{options} -o array-%A.log")).args("map 1 2 3")
    };
    for array in [batch("--array=0-3"), batch("--array=0-1").var("PARTS", "4")] {
        let log = array.done().ends_with(2).says(&["numbered from 1", "sbatch --array=1-4"]).log;
        assert_eq!(log.matches("numbered from 1").count(), log.lines().count(), "{log}");
    }
}

#[test]
fn a_signal_before_parpy_is_there() {
    let Some(cluster) = cluster() else { return };
    let dir = Dir::new();
    let array = cluster.batch(&dir, "array.sbatch", "--array=1-2 -o array-%A.log");
    let array = array.var("PARPY", signalling(&dir, "cpus", "USR1")).args("map 1 2 3 -o squares.txt");
    let done = array.done().ends_with(138).says(&["SIGUSR1: on to parpy", "stopped before parpy was there"]);
    assert_eq!(dir.names(), ["a-parpy".to_owned(), format!("array-{}.log", done.id)], "{}", done.log);
}

/// What runs in the background of a script is deaf to Ctrl-C. This one is run by hand, and needs no cluster.
#[test]
fn ctrl_c_ends_parpy_too() {
    let dir = Dir::new();
    dir.write("naps.txt", "20\n".repeat(40_000));
    let mut command = bare("bash");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("slurm/array.sbatch"));
    command.args("map --from naps.txt -f nap -j 1 --schedule dynamic,1 -o squares.txt".split(' '));
    command.env("PARPY", BINARY).env("PARTS", "4").env("SLURM_ARRAY_TASK_ID", "2");
    // As a terminal does, to all that it runs.
    command.current_dir(dir.path(".")).stdout(Stdio::piped()).process_group(0);
    for (signal, name) in [("-INT", "SIGINT"), ("-HUP", "SIGHUP")] {
        let script = start(&mut command);
        let results = || dir.names().into_iter().find(|name| name.ends_with(".partial"));
        until(|| results().filter(|name| !dir.read(name).is_empty()));
        let group = script.id();
        kill_group(signal, group);
        let output = script.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        // parpy has had its end before the script has.
        assert_eq!(output.status.code(), Some(143), "{said}");
        assert!(said.contains(&format!("{name}: on to parpy")), "{said}");
        assert!(!has_group(group), "{said}");
        std::fs::remove_file(dir.path("squares.part-2-of-4.txt.partial")).unwrap();
    }
}
