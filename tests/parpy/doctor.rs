//! `parpy doctor`: what it finds here, under mpirun, and where something is wrong.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::by_rank::by_rank;
use crate::dsl::*;

/// What it says as JSON, however it ends.
fn examined(run: Run) -> Value {
    json_of(&run.arg("--json").done().stdout)
}

fn json_of(bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes);
    serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The findings of one level about one thing, as text.
fn found(said: &Value, level: &str, id: &str) -> Vec<String> {
    let findings = said["findings"].as_array().unwrap().iter();
    let wanted = findings.filter(|finding| finding["level"] == level && finding["id"] == id);
    wanted.map(|f| format!("{} -> {}", f["what"].as_str().unwrap(), f["remedy"].as_str().unwrap())).collect()
}

/// A command line, in an environment where no launcher has left anything.
fn limited(words: &[&str]) -> Command {
    let mut command = program(words[0]);
    command.args(&words[1..]);
    command
}

fn said(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.code() != Some(124), "still running after 60 s: {command:?}");
    output
}

#[test]
fn alone_it_looks_at_this_machine() {
    let text = parpy("doctor").text();
    let version = parpy("--version").text();
    let first = version.lines().next().unwrap();
    assert!(text.starts_with(first), "{first}\n{text}");
    for word in ["node", "memory", "file system", "started alone"] {
        assert!(text.contains(word), "no '{word}' in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
    let long = text.lines().find(|line| line.chars().count() > 120);
    assert_eq!(long, None, "{text}");
}

#[test]
fn help_has_examples() {
    let help = parpy("doctor --help").text();
    for word in ["mpirun -n 4 parpy doctor", "srun", "jq", "PROBLEM", "exit code"] {
        assert!(help.contains(word), "no '{word}' in\n{help}");
    }
    assert!(parpy("--help").text().contains("doctor"));
}

#[test]
fn it_takes_no_flags_of_runs() {
    parpy("doctor -j 2").done().fails(2, &["takes no flag but --json"]);
}

#[test]
fn as_json_with_all_facts() {
    let dir = Dir::new();
    let file = dir.write("x.txt", "one\ntwo\n");
    let said = examined(parpy("doctor").arg(&file));
    assert_eq!(said["problems"], 0, "{said:#}");
    let facts = &said["ranks"][0];
    assert_eq!(said["ranks"].as_array().unwrap().len(), 1);
    assert_eq!(facts["files"][0]["found"]["bytes"], 8);
    assert_eq!(facts["files"][0]["path"].as_str(), file.to_str());
    assert_eq!(facts["versions"]["parpy"], env!("CARGO_PKG_VERSION"));
    assert_eq!(facts["versions"]["mpi"].is_string(), has_mpi(), "{facts:#}");
    assert_eq!(facts["versions"]["hdf5"].is_string(), cfg!(feature = "hdf5"), "{facts:#}");
    // The same as elsewhere.
    let cpus: Value = serde_json::from_str(&parpy("cpus --json").text()).unwrap();
    assert_eq!(facts["cpus"], cpus);
    let on = |path: &Path| {
        let output = program("stat").args(["-f", "-c", "%a %S"]).arg(path).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().map(|word| word.parse::<f64>().unwrap()).product::<f64>()
    };
    let free = facts["files"][0]["free"].as_f64().unwrap();
    assert!((free - on(&file)).abs() < 0.2 * free + 1e9, "{free} and {}", on(&file));
}

#[test]
fn a_missing_file_is_a_problem_that_is_named() {
    for ranks in if has_mpi() { vec![0, 2] } else { vec![0] } {
        let done = parpy("doctor /no/such/file").ranks(ranks).done();
        let text = String::from_utf8(done.stdout).unwrap();
        assert_eq!(done.code, 1, "{text}{}", done.stderr);
        let told: Vec<&str> = text.lines().filter(|line| line.starts_with("PROBLEM")).collect();
        assert_eq!(told.len(), 1, "{text}");
        assert!(told[0].contains("/no/such/file cannot be read: No such file"), "{text}");
        assert!(
            text.ends_with("1 PROBLEM, 0 warnings.\n") || text.contains("1 PROBLEM, 1 warning."),
            "{text}"
        );
    }
}

#[test]
fn what_is_hdf5_does_not_matter_to_it() {
    let dir = Dir::new();
    let file = dir.write("x.h5", "not HDF5 at all");
    assert_eq!(found(&examined(parpy("doctor").arg(file)), "ok", "file").len(), 1);
}

#[test]
fn under_mpirun_it_looks_at_every_rank_and_speaks_once() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    let file = dir.write("x.txt", "one\n");
    for ranks in [1, 2, 3, 5] {
        let said = examined(parpy("doctor").arg(&file).ranks(ranks));
        assert_eq!(said["problems"], 0, "{said:#}");
        let all = said["ranks"].as_array().unwrap();
        let numbers: Vec<u64> = all.iter().map(|facts| facts["rank"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..ranks as u64).collect::<Vec<_>>());
        let pids: std::collections::BTreeSet<u64> =
            all.iter().map(|facts| facts["pid"].as_u64().unwrap()).collect();
        assert_eq!(pids.len(), ranks);
        assert_eq!(said["nodes"].as_array().unwrap().len(), 1);
        assert_eq!(said["nodes"][0]["ranks"].as_u64(), Some(ranks as u64));
        if ranks > 1 {
            assert!(all.iter().all(|facts| facts["started"]["found"].as_u64() == Some(ranks as u64)));
            assert!(said["nodes"][0]["clock_offset_seconds"].as_f64().unwrap().abs() < 1.0);
        }
        let cpus = said["nodes"][0]["cpus"].as_u64().unwrap();
        let crowded = found(&said, "warning", "oversubscribed").len();
        assert_eq!(crowded == 1, ranks as u64 > cpus, "{said:#}");
    }
    let text = parpy("doctor").ranks(3).text();
    assert_eq!(text.matches("has started 3 ranks").count(), 1, "{text}");
}

#[test]
fn the_mpirun_of_another_mpi_is_a_problem() {
    if !has_mpi() {
        return;
    }
    let Some(mpirun) = foreign_mpirun() else { return };
    let run = parpy("doctor").ranks(3).launcher(mpirun);
    let done = run.done();
    let text = String::from_utf8(done.stdout).unwrap();
    assert_ne!(done.code, 0, "{text}");
    assert_eq!(text.matches("PROBLEM  ").count(), 1, "{text}");
    for word in ["3 processes were started by", "another MPI library", "MPICC=", "1 PROBLEM"] {
        assert!(text.contains(word), "no '{word}' in\n{text}");
    }
    // The same as a normal run says, and nothing else of parpy's on standard error.
    assert_eq!(done.stderr.matches("parpy: ").count(), 0, "{}", done.stderr);
    let said = examined(run);
    let problem = &found(&said, "problem", "launcher")[0];
    let done = parpy("map 1").ranks(3).launcher(mpirun).done();
    let (what, remedy) = problem.split_once(" -> ").unwrap();
    done.fails(2, &[what, remedy]);
}

/// As SLURM sets them in a batch script.
fn in_batch(run: Run, tasks: &str, nodes: &str) -> Run {
    run.var("SLURM_JOB_ID", "7")
        .var("SLURM_NTASKS", tasks)
        .var("SLURM_JOB_NUM_NODES", nodes)
        .var("SLURM_PROCID", "0")
}

#[test]
fn a_batch_script_over_two_nodes_is_one_process() {
    let said = examined(in_batch(parpy("doctor"), "4", "2"));
    let told = found(&said, "warning", "launcher");
    assert!(told[0].contains("4 tasks on 2 nodes") && told[0].contains("srun parpy"), "{told:?}");
    let said = examined(in_batch(parpy("doctor"), "4", "1"));
    assert_eq!(found(&said, "note", "launcher").len(), 1, "{said:#}");
    // A run says so too, once, and does its work.
    let done = in_batch(parpy("map 1 2"), "4", "2").done().succeeds();
    assert_eq!(done.stdout, b"1\n4\n");
    assert_eq!(done.stderr.matches("SLURM gave this job 4 tasks on 2 nodes").count(), 1, "{}", done.stderr);
    // Not one that was asked to do it here, or has but one node.
    assert_eq!(in_batch(parpy("map 1 2 -p serial"), "4", "2").done().succeeds().stderr, "");
    assert_eq!(in_batch(parpy("map 1 2"), "4", "1").done().succeeds().stderr, "");
}

/// As `srun --mpi=none` sets them for one of two ranks: nothing by which an MPI library could find the other.
fn in_step(run: Run, rank: &str) -> Run {
    let ids = ["SLURM_JOBID", "SLURM_JOB_ID", "SLURM_STEPID", "SLURM_STEP_ID"];
    let run = ids.into_iter().fold(run, |run, name| run.var(name, "7"));
    let run = run.var("SLURM_NTASKS", "2").var("SLURM_NODELIST", "n[1-2]");
    run.var("SLURM_PROCID", rank).var("SLURM_STEP_NUM_TASKS", "2")
}

/// Open MPI ends the process in MPI_Init, and says much; MPICH makes each rank 0 of 1.
#[test]
fn srun_that_offers_no_way_to_meet_is_told_once() {
    if !has_mpi() {
        return;
    }
    let done = in_step(parpy("map 1"), "0").done();
    let fits = if mpirun_is_open_mpi() { "srun --mpi=pmix" } else { "srun --mpi=pmi2" };
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    done.fails(2, &["2 processes were started by srun", fits, "srun --mpi=list", "MPICC="]);
    let other = in_step(parpy("map 1"), "1").done().succeeds();
    assert_eq!((other.stdout.len(), other.stderr.len()), (0, 0), "{}", other.stderr);
    let done = in_step(parpy("doctor --json"), "0").done();
    assert_eq!((done.code, done.stderr.len()), (1, 0), "{}", done.stderr);
    let told = found(&json_of(&done.stdout), "problem", "launcher");
    assert!(told.len() == 1 && told[0].contains(fits), "{told:?}");
    assert_eq!(in_step(parpy("doctor"), "1").done().succeeds().stdout, b"");
}

#[test]
fn variables_of_two_launchers_are_noticed() {
    let one = parpy("doctor").var("OMPI_COMM_WORLD_RANK", "0").var("OMPI_COMM_WORLD_SIZE", "1");
    assert!(found(&examined(one.clone()), "warning", "variables").is_empty());
    let two = one.var("PMI_RANK", "0").var("PMI_SIZE", "4");
    let told = found(&examined(two), "warning", "variables");
    assert!(told.len() == 1 && told[0].contains("OMPI_COMM_WORLD_SIZE=1, PMI_SIZE=4"), "{told:?}");
}

/// The doctor initialises MPI in a child of the process that the launcher knows.
#[test]
fn a_signal_to_the_process_that_the_launcher_knows_ends_the_rank() {
    if !has_mpi() {
        return;
    }
    let signals = [("-TERM", "143\n"), ("-HUP", "129\n"), ("-USR1", "138\n")];
    // While it is being initialised, MPICH takes SIGUSR1 for itself.
    let heard = if mpirun_is_open_mpi() { 3 } else { 2 };
    for (signal, expected) in signals.into_iter().take(heard) {
        let dir = Dir::new();
        let (id, code) = (dir.path("id"), dir.path("code"));
        let script = format!(
            "'{BINARY}' doctor & echo $! > '{}'; wait $!; echo $? > '{}'",
            id.display(),
            code.display()
        );
        // The second rank never gets there, so the first waits for it while MPI is initialised.
        let script = by_rank(&script, "exec sleep 60");
        let words = [mpirun(), "-n", "2", "sh", "-c", &script];
        let mut launcher = limited(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let line = |path: &Path| std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'));
        let parent = until(|| line(&id)).trim().to_owned();
        let child = until(|| rank_behind(&parent));
        kill(signal, parent.parse().unwrap());
        assert_eq!(until(|| line(&code)), expected);
        until(|| (!Path::new(&format!("/proc/{child}")).exists()).then_some(()));
        // timeout(1) passes it on.
        kill("-TERM", launcher.id());
        launcher.wait().unwrap();
    }
}

/// The child of parpy `parent` in which MPI is being initialised: parpy too, whose standard error is a file without
/// a name. (Programs that are asked for their versions are children as well.)
fn rank_behind(parent: &str) -> Option<String> {
    children(parent.parse().unwrap()).into_iter().map(|child| child.to_string()).find(|child| {
        let words = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        let stderr = std::fs::read_link(format!("/proc/{child}/fd/2")).unwrap_or_default();
        words.ends_with(b"doctor\0") && stderr.to_string_lossy().ends_with("(deleted)")
    })
}

/// As in `srun -n2 parpy … : -n2 parpy …`: each rank is told of the two of its component, and MPI knows all four.
#[test]
fn components_of_one_step_are_one_run() {
    if !has_mpi() || !mpirun_is_open_mpi() {
        // Only Open MPI's ranks meet without variables that say how many they are.
        return;
    }
    let script = format!(
        "export SLURM_PROCID=$OMPI_COMM_WORLD_RANK SLURM_NTASKS=4 SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NUM_NODES=1; \
         unset OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_LOCAL_SIZE; exec '{BINARY}' \"$@\""
    );
    let step = |words: &[&str]| {
        let start = [mpirun(), "-n", "4", "sh", "-c", &script, "parpy"];
        said(&mut limited(&[&start[..], words].concat()))
    };
    let output = step(&["map", "1", "2", "3", "4", "5", "-j", "3"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n4\n9\n16\n25\n", "{stderr}");
    assert!(output.status.success(), "{stderr}");
    let all = json_of(&step(&["doctor", "--json"]).stdout);
    assert_eq!(all["ranks"].as_array().unwrap().len(), 4, "{all:#}");
    let told = found(&all, "ok", "launcher");
    assert!(told[0].contains("started 2 ranks") && told[0].contains("finds 4"), "{told:?}");
}

#[test]
fn without_mpi_ranks_are_a_problem() {
    if !has_mpi() {
        let done = parpy("doctor --json").var("PMI_RANK", "0").var("PMI_SIZE", "4").done();
        assert_eq!(done.code, 1, "{}", done.stderr);
        let told = found(&json_of(&done.stdout), "problem", "launcher");
        assert!(told[0].contains("4 ranks, but this parpy is built without MPI"), "{told:?}");
    }
}

/// A CPU that this process may use; `None` where there is no other.
fn one_of_several_cpus() -> Option<String> {
    let facts = &examined(parpy("doctor"))["ranks"][0];
    let first = facts["allowed_cpus"].as_str()?.split([',', '-']).next()?.to_owned();
    (facts["cpus"]["affinity"].as_u64()? > 1).then_some(first)
}

#[test]
fn a_narrow_mask_is_noticed() {
    let Some(cpu) = one_of_several_cpus() else { return skip("cpus", "there is one only") };
    let output = said(&mut limited(&["taskset", "-c", &cpu, BINARY, "doctor", "--json"]));
    let told = found(&json_of(&output.stdout), "note", "affinity");
    assert!(told.len() == 1 && told[0].contains(&format!("1 CPU ({cpu})")), "{told:?}");
    if !has_mpi() {
        return;
    }
    // Ranks of a step that srun has bound to one CPU, though sbatch -c 2 was asked for.
    let words = ["taskset", "-c", &cpu, BINARY, "doctor", "--json"];
    let words: Vec<&str> = [&[mpirun(), "-n", "1"], &words[..]].concat();
    let mut command = limited(&words);
    let output = said(command.env("SLURM_JOB_ID", "7").env("SLURM_CPUS_PER_TASK", "2"));
    let told = found(&json_of(&output.stdout), "warning", "affinity");
    assert!(told[0].contains("of the 2 that SLURM has given each task"), "{told:?}");
    assert!(told[0].contains("--bind-to none"), "{told:?}");
    // Two ranks on one CPU while there is another.
    let words = [mpirun(), "-n", "2", "taskset", "-c", &cpu, BINARY, "doctor", "--json"];
    let told = found(&json_of(&said(&mut limited(&words)).stdout), "warning", "overlap");
    assert!(told.len() == 1 && told[0].contains(&format!("all bound to 1 CPU ({cpu})")), "{told:?}");
}

/// A rank on what it takes for another node: one with another name, and with a folder of its own.
#[test]
fn a_file_that_one_node_does_not_see() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    let file = dir.write("own/x.txt", "one\n");
    let folder = file.parent().unwrap().display().to_string();
    let elsewhere = format!("hostname elsewhere && mount -t tmpfs none '{folder}' && ");
    // One user for both ranks, so that they may share memory.
    let root = ["unshare", "-r"];
    let unshare = ["unshare", "--mount", "--uts", "sh", "-c"];
    let can = said(&mut limited(&[&root[..], &unshare[..], &[&format!("{elsewhere} true")]].concat()));
    if !can.status.success() {
        return skip("namespaces", "without them there is no other node");
    }
    let path = file.to_str().unwrap();
    let here = format!("exec '{BINARY}' doctor --json '{path}'");
    let both = |before: &str| {
        let there = format!("exec {} \"$0\"", unshare.join(" "));
        let (script, own) = (by_rank(&here, &there), format!("{elsewhere}{before} {here}"));
        let words = [&root[..], &[mpirun(), "-n", "2", "sh", "-c", &script, &own]].concat();
        json_of(&said(&mut limited(&words)).stdout)
    };
    let all = both("");
    assert_eq!(all["nodes"].as_array().unwrap().len(), 2, "{all:#}");
    let told = found(&all, "problem", "file");
    assert!(told.len() == 1 && told[0].contains(path), "{told:?}");
    assert!(told[0].contains("and not on elsewhere (No such file"), "{told:?}");
    let told = found(&both(&format!("echo another > '{path}';")), "problem", "file");
    assert!(told.len() == 1 && told[0].contains("4 bytes on"), "{told:?}");
    assert!(told[0].contains("8 bytes on elsewhere"), "{told:?}");
    // A copy.
    let told = found(&both(&format!("echo one > '{path}';")), "warning", "file");
    assert!(told.len() == 1 && told[0].contains("copies"), "{told:?}");
}
