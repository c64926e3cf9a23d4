//! Workers of one machine: who they are, how they die, and how they are seen off.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Child;

use crate::dsl::*;

/// Columns of `--who`.
fn who(text: &str) -> Vec<[&str; 3]> {
    text.lines().map(|line| line.split('\t').collect::<Vec<_>>().try_into().unwrap()).collect()
}

#[test]
fn who_prints_value_square_and_pid() {
    for pattern in ["serial", "simd", "threads", "pool", "process"] {
        let run = parpy("map 1 2 3 4 5 --who -p").arg(pattern);
        let text = run.text();
        let lines = who(&text);
        assert_eq!(
            lines.iter().map(|[x, y, _]| (*x, *y)).collect::<Vec<_>>(),
            [("1", "1"), ("2", "4"), ("3", "9"), ("4", "16"), ("5", "25")]
        );
        let mut pids: Vec<u32> = lines.iter().map(|[_, _, pid]| pid.parse().unwrap()).collect();
        pids.sort();
        pids.dedup();
        match pattern {
            "process" => assert_eq!(pids.len(), 5, "a process for each value:\n{text}"),
            "pool" => assert!(pids.len() <= 5, "{text}"),
            _ => assert_eq!(pids.len(), 1, "one process:\n{text}"),
        }
    }
    assert_eq!(who(&parpy("map 0.5 --who -p pool").text())[0][..2], ["0.5", "0.25"]);
    if has_mpi() {
        let text = parpy("map 1 2 3 4 5 --who").ranks(2).text();
        let mut pids: Vec<&str> = who(&text).iter().map(|line| line[2]).collect();
        pids.dedup();
        assert_eq!(pids.len(), 2, "{text}");
    }
}

/// Each takes the value that is its own, and stays with it for as long as the others need to begin.
#[test]
fn a_pool_has_as_many_processes_as_it_is_asked_for() {
    let text = parpy("map 300 300 300 -f nap --who -p pool -j 3 --schedule static,1").text();
    let mut pids: Vec<&str> = who(&text).iter().map(|line| line[2]).collect();
    pids.sort();
    pids.dedup();
    assert_eq!(pids.len(), 3, "{text}");
}

/// Answers come in order though the first takes longest, and at most -j processes are alive at a time.
#[test]
fn late_answers_keep_their_place() {
    for pattern in ["threads", "pool", "process"] {
        let run = parpy("map 400 1 2 3 4 5 6 7 -f nap --schedule dynamic,1 -j 3 -p").arg(pattern);
        assert_eq!(run.text(), "160000\n1\n4\n9\n16\n25\n36\n49\n");
    }
}

#[test]
fn an_item_that_kills_its_worker_stops_the_run() {
    for (pattern, schedule) in [("pool", "dynamic,1"), ("pool", "static,3"), ("process", "dynamic")] {
        for signal in ["9", "11"] {
            let run = parpy("map 1 2 3 4 5 -f die -j 2 --schedule").arg(schedule).arg("-p").arg(pattern);
            let run = run.arg(format!("-{signal}")).args("7 8 -q");
            let done = run.done();
            assert_eq!(String::from_utf8_lossy(&done.stdout), "1\n4\n9\n16\n25\n");
            let killer = format!("value -{signal} (no. 6)");
            done.fails(1, &[&killer, "has killed 2 workers", "--keep-going"]);
        }
    }
    // No worker is tried again, and each death is told with the worker and what it had.
    let done = parpy("map 1 2 -9 -f die -p pool -j 1 --retries 0 --schedule dynamic,1").done();
    assert_eq!(done.code, 1);
    for part in ["worker 0 (pid ", "was killed by SIGKILL (signal 9", "while it had value no. 3", "1 worker"]
    {
        assert!(done.stderr.contains(part), "{part}\n{}", done.stderr);
    }
}

#[test]
fn an_item_that_kills_its_worker_is_passed_over() {
    let values = "map 1 2 3 -9 5 6 7 8 9 10 -11 12 -f die -k -q -j 2 -p";
    let expected = "1\n4\n9\n\n25\n36\n49\n64\n81\n100\n\n144\n";
    for pattern in ["pool", "process"] {
        for schedule in ["dynamic,1", "dynamic,5", "dynamic,12", "static", "static,2", "guided", "adaptive"] {
            let done = parpy(values).arg(pattern).arg("--schedule").arg(schedule).done();
            assert_eq!(
                String::from_utf8_lossy(&done.stdout),
                expected,
                "{pattern} {schedule}\n{}",
                done.stderr
            );
            done.fails(1, &["2 items have no answer", "value -9 (no. 4)"]);
        }
    }
    // Values that every worker finds by itself, and columns. (A worker lets SIGQUIT, no. 3, pass.)
    let done = parpy("map --range -9..4:4 -f die -k -q -p pool -j 2 --who --schedule dynamic,10").done();
    let text = String::from_utf8(done.stdout).unwrap();
    let lines: Vec<[&str; 2]> = who(&text).iter().map(|[x, y, _]| [*x, *y]).collect();
    assert_eq!(lines, [["-9", ""], ["-5", ""], ["-1", ""], ["3", "9"]]);
}

/// A parpy whose own process number is known.
fn start(args: &str) -> Child {
    parpy(args).start()
}

/// A worker that somebody else kills: its block runs again, and nothing is lost or doubled.
#[test]
fn a_killed_worker_is_replaced() {
    if !std::path::Path::new("/proc/self/task").exists() {
        return;
    }
    for args in [
        "-p pool -j 2 --schedule dynamic,1",
        "-p pool -j 2 --schedule static,1",
        "-p pool -j 2 --schedule dynamic,3",
        "-p process -j 2",
    ] {
        let mut child = start(&format!("map 900 2 3 1500 5 6 7 8 -f nap -vv {args}"));
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let victim = logged(&mut log, "block from 3 to");
        kill("-9", victim);
        let mut said = String::new();
        log.read_to_string(&mut said).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args}\n{said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "810000\n4\n9\n2250000\n25\n36\n49\n64\n");
        assert!(said.contains(&format!("(pid {victim}) was killed by SIGKILL")), "{args}\n{said}");
        assert!(said.contains("run again on a new worker"), "{args}\n{said}");
    }
}

/// Lines of which each is longer than the room for an answer.
fn long_lines() -> Vec<u8> {
    (b'a'..b'i').flat_map(|letter| [vec![letter; 1_500_000], b"\n".to_vec()].concat()).collect()
}

/// A worker that has begun such an answer must not begin another, and others must wait for its rest.
#[test]
fn answers_longer_than_their_room() {
    let dir = Dir::new();
    let lines = long_lines();
    let path = dir.write("long", &lines);
    for schedule in ["dynamic,100000", "dynamic,2000000", "static,100000", "static", "guided", "adaptive"] {
        for (pattern, jobs) in [("threads", "2"), ("threads", "4"), ("pool", "3"), ("process", "2")] {
            let run = parpy("read --schedule").arg(schedule).arg("-p").arg(pattern).arg("-j").arg(jobs);
            assert!(run.arg(&path).stdout() == lines, "{schedule} {pattern} -j {jobs}");
        }
    }
}

/// Workers that are killed while such an answer is on its way.
#[test]
fn a_worker_killed_in_the_middle_of_a_long_answer() {
    let dir = Dir::new();
    let lines = long_lines();
    let path = dir.write("long", &lines);
    let schedule = "--schedule dynamic,1500001";
    for args in [
        &format!("-p pool -j 2 {schedule}"),
        &format!("-p process -j 2 {schedule}"),
        "-p pool -j 3 --schedule static",
        "-p pool -j 3 --schedule static,100000",
    ] {
        for which in [0..1, 1..2, 0..9] {
            let mut child = start(&format!("read {} {args}", path.display()));
            let mut out = child.stdout.take().unwrap();
            let mut got = vec![0; 100_000];
            out.read_exact(&mut got).unwrap();
            // The pipe is full: the lead writes, and a worker waits with the rest or has been told to go on.
            for pid in children(child.id()).into_iter().skip(which.start).take(which.len()) {
                kill("-9", pid);
            }
            out.read_to_end(&mut got).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(got == lines, "{args}: {} bytes of {}", got.len(), lines.len());
        }
    }
}

/// Whoever writes one value and waits for its answer gets it, whatever the size of a block.
#[test]
fn answers_do_not_wait_for_more_input() {
    for pattern in ["serial", "simd", "threads", "pool", "process"] {
        for schedule in ["", "--schedule dynamic,10", "--schedule static,1", "--schedule static"] {
            let mut child = start(&format!("map --from - -p {pattern} {schedule}"));
            let mut stdin = child.stdin.take().unwrap();
            let mut out = BufReader::new(child.stdout.take().unwrap());
            for i in 1..40 {
                writeln!(stdin, "{i}").unwrap();
                let mut line = String::new();
                if i % 13 == 0 {
                    for j in i - 12..=i {
                        line.clear();
                        out.read_line(&mut line).unwrap();
                        assert_eq!(line, format!("{}\n", j * j), "{pattern} {schedule}");
                    }
                }
            }
            drop(stdin);
            assert!(child.wait().unwrap().success());
        }
    }
}

/// Threads of one task have gone before the processes of the next are forked.
#[test]
fn a_job_of_threads_and_then_processes() {
    let dir = Dir::new();
    let task = |pattern: &str| {
        format!(
            "[[task]]\nmap = {{ range = '0..100' }}\npattern = '{pattern}'\nworkers = 4\nschedule = 'dynamic,1'\n"
        )
    };
    let job = dir.write("job.toml", task("threads") + &task("pool") + &task("threads") + &task("process"));
    let expected: String = (0..100).map(|i| format!("{}\n", i * i)).collect();
    for _ in 0..20 {
        assert_eq!(parpy("run").arg(&job).text(), expected.repeat(4));
    }
}

/// Whoever starts parpy may ignore the deaths of children, and parpy inherits that.
#[test]
fn deaths_are_noticed_though_they_are_ignored() {
    let script =
        format!("trap '' CHLD; exec {BINARY} map -q -k -p pool -j 2 -f die --schedule dynamic,4 -- 1 -9 3");
    let output = program("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"1\n\n9\n");
}

/// A process that is killed at once, perhaps before it has taken what was held for it.
#[test]
fn a_process_killed_at_any_moment() {
    for round in 0..30 {
        let mut child = start("map --range 0..60 -p process -j 2 -q");
        // Or the run is over before this process has had its turn.
        let victim = until(|| match children(child.id()).last() {
            Some(pid) => Some(Some(*pid)),
            None => child.try_wait().unwrap().map(|_| None),
        });
        if let Some(victim) = victim {
            try_kill("-9", victim);
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "round {round}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let expected: String = (0..60).map(|i| format!("{}\n", i * i)).collect();
        assert!(output.stdout == expected.as_bytes());
    }
}

/// Reports count the workers that there were.
#[test]
fn workers_that_were_not_there_are_not_reported() {
    let dir = Dir::new();
    for (args, most) in [("-p pool -j 50", 3), ("-p process -j 50", 3), ("-p threads -j 50", 3)] {
        let run = parpy("map 1 2 3 --schedule dynamic,1 -o none --report").arg(dir.path("r.json")).args(args);
        run.done().succeeds();
        let report: serde_json::Value = serde_json::from_slice(&dir.read("r.json")).unwrap();
        let workers = report["workers"].as_u64().unwrap();
        assert!((1..=most).contains(&workers), "{args}: {workers}");
        assert_eq!(report["worker"].as_array().unwrap().len() as u64, workers);
    }
}

/// Workers that are killed without a break: the run ends, well or with a message, and never hangs.
#[test]
fn workers_killed_at_random() {
    for args in ["-p pool -j 3 --schedule dynamic,1", "-p pool -j 2 --schedule static,7", "-p process -j 3"] {
        let child = start(&format!("map --range 0..4000 --retries 1000 -q {args}"));
        let id = child.id();
        let killer = std::thread::spawn(move || {
            let mut killed = 0;
            for _ in 0..30 {
                for pid in children(id).into_iter().take(1) {
                    killed += 1;
                    try_kill("-9", pid);
                }
            }
            killed
        });
        let output = child.wait_with_output().unwrap();
        killer.join().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected: String = (0..4000).map(|i| format!("{}\n", i * i)).collect();
        match output.status.code() {
            Some(0) => assert!(output.stdout == expected.as_bytes(), "{args}"),
            // Ten in a row that died with nothing in their hands.
            Some(1) => {
                assert!(said.contains("before it had worked on anything"), "{args}\n{said}");
                assert!(expected.as_bytes().starts_with(&output.stdout), "{args}");
            }
            other => panic!("{args}: {other:?}\n{said}"),
        }
    }
}

#[test]
fn a_fault_in_a_worker_is_told_once() {
    for pattern in ["pool", "process"] {
        let done = parpy("map 1 2 3 -f panic -j 2 -p").arg(pattern).done();
        done.fails(1, &["a fault in parpy itself", "asked to"]);
    }
}

/// As under nohup: a signal that was ignored before parpy began stays ignored.
#[test]
fn an_ignored_signal_stays_ignored() {
    let script = format!("trap '' HUP; exec {BINARY} -v map --from - -p pool");
    let mut child = start_piped(bare("sh").arg("-c").arg(script));
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "3").unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    kill("-HUP", child.id());
    writeln!(stdin, "4").unwrap();
    drop(stdin);
    out.read_to_string(&mut line).unwrap();
    assert_eq!((line.as_str(), child.wait().unwrap().code()), ("9\n16\n", Some(0)));
}

/// Killed outright, parpy can see nobody off: the workers must notice.
#[test]
fn workers_of_a_killed_parpy_end() {
    for pattern in ["pool", "process"] {
        let mut child = start(&format!("map 60000 60000 -f nap -j 2 -p {pattern} --schedule dynamic,1"));
        let workers = until(|| Some(children(child.id())).filter(|workers| workers.len() == 2));
        child.kill().unwrap();
        child.wait().unwrap();
        let is_gone = |pid: &u32| {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // Whoever inherits it may not have reaped it yet.
            state.is_empty() || state.contains(") Z ")
        };
        until(|| workers.iter().all(is_gone).then_some(()));
    }
}

fn limited(limits: &str, args: &str) -> Done {
    let run = parpy(args);
    let output = program("sh").arg("-c").arg(format!("{limits}; exec {BINARY} {args}")).output().unwrap();
    Done::of(&run, output)
}

/// A thousand pools one after the other with room for sixty descriptors, and no child left at any time.
#[test]
fn pools_leave_nothing_behind() {
    let args = "map 1 2 3 -p pool -j 2 --schedule dynamic,1 --repeat 1000 -o none";
    limited("ulimit -n 64", args).succeeds();
    let process = "map 1 2 3 -p process -j 3 --repeat 300 -o none";
    limited("ulimit -n 64", process).succeeds();
    let threads = "map 1 2 3 -p threads -j 3 --schedule dynamic,1 --repeat 300 -o none";
    limited("ulimit -n 64", threads).succeeds();
    // Workers that are done are reaped before the run ends: none is there while the answers wait for a reader.
    let mut child = start("map --range 0..200000 -p process -j 2 --schedule dynamic,50");
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 1000]).unwrap();
    let zombies = children(child.id()).len();
    assert!(zombies <= 2, "{zombies} children");
    out.read_to_end(&mut Vec::new()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn fewer_workers_than_asked_for() {
    let expected: Vec<u8> = (0..3000).flat_map(|i: u64| format!("{}\n", i * i).into_bytes()).collect();
    for schedule in ["dynamic,1", "static,1", "guided,1"] {
        for pattern in ["pool", "threads", "process"] {
            let args = format!("map --range 0..3000 -p {pattern} -j 50 --schedule {schedule}");
            let done = limited("ulimit -n 24", &args).succeeds();
            assert!(done.stdout == expected, "{args}");
            // A process may be so quick that there are never enough of them to meet the limit.
            if pattern != "process" {
                assert!(done.stderr.contains("of 50 workers could be started"), "{args}\n{}", done.stderr);
                assert!(done.stderr.contains("ulimit -n"), "{}", done.stderr);
            }
        }
    }
    // Each thread opens the file, too.
    let dir = Dir::new();
    let text = dir.write("text", "line\n".repeat(100_000));
    let done = limited(
        "ulimit -n 64",
        &format!("read {} -p threads -j 100 --schedule dynamic,1000", text.display()),
    );
    assert!(done.succeeds().stdout == dir.read("text"));
    // With hardly any, how far it comes depends on what was open before; it never hangs, and never says
    // nothing.
    for limit in 4..14 {
        let done = limited(&format!("ulimit -n {limit}"), "map 1 2 3 -p pool -j 2");
        match done.code {
            0 => assert_eq!(done.stdout, b"1\n4\n9\n", "{limit}"),
            _ => assert!(!done.stderr.is_empty() && b"1\n4\n9\n".starts_with(&done.stdout), "{limit}"),
        }
    }
}

#[test]
fn no_room_for_processes() {
    // Root is not limited, and another user may have other processes: somebody else must try.
    if !is_root() || !has("setpriv") {
        return skip("root", "only root can become somebody who has no processes");
    }
    let dir = Dir::new();
    let run = |limit: u32, args: &str| {
        let run = parpy(args);
        let script = format!("ulimit -u {limit}; exec \"$@\"");
        Done::of(&run, run.as_nobody(&dir, &["bash", "-c", &script, "limited"]).output().unwrap())
    };
    let some = run(4, "map --range 0..100 -p pool -j 20 --schedule dynamic,1").succeeds();
    assert_eq!(some.stdout, parpy("map --range 0..100").stdout());
    assert!(some.stderr.contains("of 20 workers could be started"), "{}", some.stderr);
    assert!(some.stderr.contains("ulimit -u"), "{}", some.stderr);
    run(1, "map 1 2 -p pool -j 2").fails(1, &["cannot start a worker", "ulimit -u"]);
}

#[test]
fn one_cpu() {
    if !has("taskset") {
        return skip("taskset", "it gives a process one CPU");
    }
    let taskset = |args: &str| {
        program("taskset").args(["-c", "0", BINARY]).args(args.split_whitespace()).output().unwrap()
    };
    let output = taskset("cpus --json");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((json["affinity"].as_u64(), json["usable"].as_u64()), (Some(1), Some(1)));
    for pattern in ["threads", "pool", "process"] {
        let output = taskset(&format!("map --range 0..10000 -p {pattern} --schedule dynamic,100"));
        assert_eq!(output.stdout, parpy("map --range 0..10000").stdout());
        let more = taskset(&format!("map --range 0..10000 -p {pattern} -j 3 --schedule dynamic,100"));
        assert_eq!(more.stdout, output.stdout);
    }
}

/// A real cgroup, where this machine lets the tests make one: the limit stands on the parent of the one
/// that parpy is in.
#[test]
fn half_a_cpu() {
    struct Group(std::path::PathBuf);
    impl Drop for Group {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir(self.0.join("inner"));
            let _ = std::fs::remove_dir(&self.0);
        }
    }
    let name = format!("parpy-test-{}", std::process::id());
    let v1 = ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "50000");
    let v2 = ("/sys/fs/cgroup", "cpu.max", "50000 100000");
    let made = [v1, v2].into_iter().find_map(|(root, file, limit)| {
        let group = Group(std::path::Path::new(root).join(&name));
        std::fs::create_dir_all(group.0.join("inner")).ok()?;
        std::fs::write(group.0.join(file), limit).ok()?;
        Some(group)
    });
    let Some(group) = made else {
        return skip("cgroup", "none can be made here");
    };
    let inner = group.0.join("inner/cgroup.procs");
    let script = format!("echo $$ >{} && exec {BINARY} cpus --json", inner.display());
    let output = program("sh").arg("-c").arg(script).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["cgroup_quota"], 0.5);
    assert_eq!(json["usable"], 1);
    let cpus: usize = std::thread::available_parallelism().unwrap().into();
    assert!(cpus == 1 || json["decided_by"] == "cgroup quota", "{json}");
}

#[test]
fn cpus_says_which_limit_decides() {
    let text = parpy("cpus").text();
    assert!(text.contains("logical CPUs") && text.contains("parpy uses "), "{text}");
    let one = parpy("cpus --json").var("OMP_NUM_THREADS", "1").text();
    let json: serde_json::Value = serde_json::from_str(&one).unwrap();
    assert_eq!(json["usable"], 1);
    assert_eq!(json["omp_num_threads"], 1);
    // What it says is what is used.
    let dir = Dir::new();
    let run = parpy("map --range 0..1000000 -o none --report").arg(dir.path("r.json"));
    run.var("OMP_NUM_THREADS", "1").done().succeeds();
    let report: serde_json::Value = serde_json::from_slice(&dir.read("r.json")).unwrap();
    assert_eq!((report["pattern"].as_str(), report["workers"].as_u64()), (Some("threads"), Some(1)));
    if has_mpi() {
        let said = parpy("cpus").ranks(3).text();
        assert_eq!(said.matches("parpy uses 3 ranks here").count(), 1, "one of them says it:\n{said}");
        assert!(said.contains("MPI ranks on this node    3"), "{said}");
    }
}

#[test]
fn threads_of_ranks() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    let run = |run: Run| {
        run.args("map --range 0..100000 -o none --report").arg(dir.path("r.json")).ranks(2).done().succeeds()
    };
    let workers = || {
        let report: serde_json::Value = serde_json::from_slice(&dir.read("r.json")).unwrap();
        let pids = report["worker"].as_array().unwrap().iter().map(|w| w["pid"].as_u64().unwrap());
        pids.collect::<Vec<_>>()
    };
    let done = run(parpy("--threads 3"));
    let pids = workers();
    assert_eq!(pids.len(), 6);
    assert!(pids[0] == pids[2] && pids[3] == pids[5] && pids[0] != pids[3], "{pids:?}");
    let cpus: usize = std::thread::available_parallelism().unwrap().into();
    assert_eq!(done.stderr.contains("they take turns"), cpus < 6, "{}", done.stderr);
    let in_slurm = |run: Run| run.var("SLURM_JOB_ID", "7").var("SLURM_CPUS_PER_TASK", "2");
    run(in_slurm(parpy("")));
    assert_eq!(workers().len(), 4);
    run(in_slurm(parpy("--threads 1")));
    assert_eq!(workers().len(), 2);
}

#[test]
fn pools_and_mpi_do_not_mix() {
    if has_mpi() {
        let dir = Dir::new();
        let tasks = "[[task]]\nmap = { values = [1] }\npattern = 'mpi'\n[[task]]\nmap = { values = [2] }\n";
        let job = dir.write("job.toml", tasks.to_owned() + "pattern = 'pool'\n");
        parpy("run").arg(job).ranks(2).done().fails(2, &["mpi", "pool", "two jobs"]);
        // By itself, on the first rank alone, a pool does well.
        let done = parpy("map 3 -p pool -q").ranks(2).done().succeeds();
        assert_eq!(done.stdout, b"9\n");
    }
}
