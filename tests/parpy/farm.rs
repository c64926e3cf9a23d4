//! Processes that one launcher has started, each with a job of its own: a task farm, which is no run over ranks.

use std::process::Output;

use crate::dsl::*;

/// What a launcher's process calls its rank.
const RANK: &str = "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}";

/// `mpirun -n RANKS sh -c SCRIPT`, in the folder, where `parpy` is the binary and `$rank` the rank.
fn script(ranks: usize, dir: &Dir, script: &str, variables: &[(&str, &str)]) -> Output {
    let script = script.replace("parpy", BINARY).replace("$rank", RANK);
    let mut command = program(mpirun());
    command.args(["-n", &ranks.to_string(), "bash", "-c", &script]).envs(variables.iter().copied());
    command.current_dir(dir.path("")).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Lines of all ranks, in whichever order they came.
fn lines(output: &Output) -> Vec<String> {
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn different_jobs_are_refused() {
    if !has_mpi() {
        return;
    }
    let farms = [
        ("parpy map $(($rank + 5)) -o part$rank.txt", "different command lines, and"),
        ("mkdir -p $rank; cd $rank; parpy map 5 -o part.txt", "different current folders, and"),
        (
            "mkdir -p $rank; cd $rank; cp ../job$rank.toml job.toml; parpy run job.toml",
            "folders and job files",
        ),
        ("if [ $rank = 0 ]; then parpy map 5; else parpy map -1x; fi", "different command lines, and"),
    ];
    for ranks in 2..=3 {
        for (farm, what) in farms {
            let dir = Dir::new();
            (0..ranks).for_each(|rank| {
                let job = format!("[[task]]\nmap = {{ values = [{rank}] }}\n");
                dir.write(&format!("job{rank}.toml"), job);
            });
            let output = script(ranks, &dir, farm, &[]);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(2), "{farm}\n{said}");
            let complaint = format!("parpy: the {ranks} ranks were given ");
            assert_eq!(said.matches(&complaint).count(), 1, "{said}");
            assert!(said.contains(what) && said.contains("--alone, or PARPY_ALONE=1"), "{said}");
            assert!(output.stdout.is_empty());
        }
    }
}

/// Not a word to the others, so that they cannot know.
#[test]
fn different_jobs_without_mpi_are_refused_too() {
    if !has_mpi() {
        return;
    }
    for what in ["-p serial", "-p threads", "-p pool", "-p process"] {
        let dir = Dir::new();
        let output = script(2, &dir, &format!("parpy map $(($rank + 5)) -o part$rank.txt {what}"), &[]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains("--alone, or PARPY_ALONE=1"), "{}", said(&output));
        assert!(dir.names().is_empty());
    }
}

#[test]
fn each_process_alone() {
    if !has_mpi() {
        return;
    }
    let runs: [(&str, &[(&str, &str)]); 3] =
        [("--alone", &[]), ("", &[("PARPY_ALONE", "1")]), ("--alone -p pool", &[])];
    for ranks in 1..=3 {
        for (flags, variables) in runs {
            let dir = Dir::new();
            let farm =
                format!("parpy map $(($rank + 5)) {flags} -q -o part$rank.txt; parpy map $rank {flags} -q");
            let output = script(ranks, &dir, &farm, variables);
            assert_eq!(output.status.code(), Some(0), "{}", said(&output));
            let squares: Vec<String> = (0..ranks).map(|rank| (rank * rank).to_string()).collect();
            assert_eq!(lines(&output), squares);
            for rank in 0..ranks {
                let square = (rank + 5) * (rank + 5);
                assert_eq!(dir.read(&format!("part{rank}.txt")), format!("{square}\n").into_bytes());
            }
        }
    }
    // It is no rank of anything.
    let dir = Dir::new();
    let output = script(2, &dir, "parpy map 3 --alone -p mpi", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("leave out one of them"), "{}", said(&output));
    let none = script(2, &dir, "parpy map 3", &[("PARPY_ALONE", "0")]);
    assert_eq!((none.status.code(), lines(&none)), (Some(0), vec!["9".to_owned()]), "{}", said(&none));
}

/// What needs no ranks is said by each that was given it, also by one alone, and leaves MPI to whoever comes next.
#[test]
fn commands_that_need_no_ranks() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    (0..3).for_each(|i| _ = dir.write(&format!("part{i}.txt"), format!("4{i}\n")));
    for ranks in 2..=3 {
        let output = script(ranks, &dir, "parpy show part$rank.txt", &[]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let shown = lines(&output);
        (0..ranks).for_each(|i| assert!(shown.contains(&format!("part{i}.txt")), "{shown:?}"));
    }
    let output = script(2, &dir, "if [ $rank = 1 ]; then parpy cpus --json; fi", &[]);
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
    assert!(serde_json::from_slice::<serde_json::Value>(&output.stdout).is_ok());
    let output = script(2, &dir, "if [ $rank = 1 ]; then parpy --version; else true; fi", &[]);
    assert!(lines(&output).iter().any(|line| line.starts_with("parpy ")), "{output:?}");
    // The same words, and a run over ranks behind them.
    let output = script(2, &dir, "parpy show part1.txt && parpy map 3", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(lines(&output).iter().filter(|line| *line == "9").count(), 1);
    // Each is examined by itself.
    script(2, &dir, "parpy doctor part$rank.txt --json > found$rank.json", &[]);
    for rank in 0..2 {
        let found: serde_json::Value =
            serde_json::from_slice(&dir.read(&format!("found{rank}.json"))).unwrap();
        assert_eq!((&found["ranks"][0]["rank"], found["ranks"].as_array().unwrap().len()), (&rank.into(), 1));
    }
}

/// What the launcher was given itself is the same for all, and said once.
#[test]
fn one_command_for_all_is_no_farm() {
    if has_mpi() {
        for words in ["cpus", "map 3 -p pool -q", "map 3 -p threads -q", "map 3"] {
            let done = parpy(words).ranks(3).done().succeeds();
            let text = String::from_utf8(done.stdout).unwrap();
            let expected = if words == "cpus" { "parpy uses" } else { "9\n" };
            assert_eq!(text.matches(expected).count(), 1, "{words}: {text}");
        }
    }
}

#[test]
fn threads_that_slurm_asks_for() {
    if !has_mpi() {
        return;
    }
    let (most, job) = (("SLURM_CPUS_PER_TASK", "100000"), ("SLURM_JOB_ID", "7"));
    // Only in a job of SLURM's.
    for count in ["100000", "1000000", "18446744073709551615", "lots"] {
        let run = parpy("map 1 2 3").var(most.0, count).ranks(2);
        assert_eq!(run.done().succeeds().stdout, b"1\n4\n9\n");
    }
    let dir = Dir::new();
    for count in ["100000", "1000000", "18446744073709551615"] {
        let output = script(2, &dir, "parpy map 1 2 3", &[job, (most.0, count)]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        let complaint = format!("SLURM_CPUS_PER_TASK={count}: parpy starts 4096 threads at the most");
        assert!(said(&output).contains(&complaint), "{}", said(&output));
    }
    // Three values need three threads, be there ever so many.
    for values in ["1 2 3", "--from -"] {
        let report = dir.path("r.json");
        let run =
            parpy("--threads 4096 -q map").args(values).args("--report").arg(&report).stdin("1\n2\n3\n");
        assert_eq!(run.ranks(2).done().succeeds().stdout, b"1\n4\n9\n");
        let report: serde_json::Value = serde_json::from_slice(&dir.read("r.json")).unwrap();
        let workers = report["worker"].as_array().unwrap().len();
        assert!(workers == 4 || values == "--from -", "{workers}");
    }
}

/// MPI waits for all processes, and some never come to it. Where mpirun itself notices that, it may be earlier.
#[test]
fn a_rank_that_never_joins_is_not_waited_for_without_end() {
    if !has_mpi() {
        return;
    }
    for (late, rank) in [("1", 0), ("0", 1)] {
        let dir = Dir::new();
        let farm = format!("if [ $rank = {late} ]; then parpy cpus; else parpy map 5; fi");
        let output = script(2, &dir, &farm, &[]);
        let said = said(&output);
        assert_ne!(output.status.code(), Some(0), "{said}");
        if said.contains("exiting improperly") {
            continue;
        }
        let complaint =
            format!("parpy: rank {rank} of 2 has waited 5 s in MPI_Init for the others: a rank that does");
        assert!(said.contains(&complaint) && said.contains("PARPY_ALONE=1"), "{said}");
        assert!(said.contains("waits for them no longer"), "{said}");
    }
}
