//! `--report`, as a table and as JSON.

use approx::assert_relative_eq;
use serde_json::Value;

use crate::data::*;
use crate::dsl::*;

fn report(dir: &Dir, run: Run) -> Value {
    run.arg("--report").arg(dir.path("report.json")).done().succeeds();
    serde_json::from_slice(&dir.read("report.json")).unwrap()
}

fn numbers(value: &Value, key: &str) -> Vec<u64> {
    value["worker"].as_array().unwrap().iter().map(|w| w[key].as_u64().unwrap()).collect()
}

#[test]
fn the_keys_and_what_they_add_up_to() {
    let dir = Dir::new();
    let ranks = if has_mpi() { 3 } else { 0 };
    let json = report(&dir, parpy("map --range 0..1000 -o none --repeat 3").ranks(ranks));
    let workers = ranks.max(1);
    assert_eq!(json["workers"], workers);
    assert_eq!(json["items"], 1000);
    assert_eq!(json["bytes"], 8000);
    assert_eq!(numbers(&json, "worker"), (0..workers as u64).collect::<Vec<_>>());
    assert_eq!(numbers(&json, "items").iter().sum::<u64>(), 1000);
    assert_eq!(numbers(&json, "bytes").iter().sum::<u64>(), 8000);
    assert!(numbers(&json, "blocks").iter().all(|blocks| *blocks == 1));
    let mut pids = numbers(&json, "pid");
    pids.dedup();
    assert_eq!(pids.len(), workers);
    let seconds = |key: &str| json["seconds"][key].as_f64().unwrap();
    assert!(seconds("total") >= seconds("map") && seconds("map") > 0.0);
    assert!(seconds("load") >= 0.0 && seconds("write") >= 0.0);
    for worker in json["worker"].as_array().unwrap() {
        assert!(!worker["host"].as_str().unwrap().is_empty());
        assert!(worker["busy_seconds"].as_f64().unwrap() >= 0.0);
        assert!(worker["wait_seconds"].as_f64().unwrap() >= 0.0);
    }
}

/// What is said of the balance follows from the workers' seconds, whatever these are of.
fn check_balance(json: &Value) {
    let workers = json["worker"].as_array().unwrap();
    let seconds = |value: &Value, key: &str| value[key].as_f64().unwrap();
    let share = |value: &Value| {
        let (busy, wait) = (seconds(value, "busy_seconds"), seconds(value, "wait_seconds"));
        assert_relative_eq!(seconds(value, "wait_share"), wait / (busy + wait), epsilon = 1e-9);
    };
    workers.iter().for_each(share);
    let busy: Vec<f64> = workers.iter().map(|worker| seconds(worker, "busy_seconds")).collect();
    let (most, sum) = (busy.iter().copied().fold(0.0, f64::max), busy.iter().sum::<f64>());
    assert_relative_eq!(seconds(json, "imbalance"), most * busy.len() as f64 / sum, epsilon = 1e-9);
    match json["straggler"].as_u64() {
        Some(worker) => assert_eq!(busy[worker as usize], most),
        None => assert_eq!(busy.len(), 1),
    }
    let [host] = &json["host"].as_array().unwrap()[..] else { panic!("not one host: {json}") };
    assert_eq!((&host["host"], host["workers"].as_u64()), (&workers[0]["host"], Some(busy.len() as u64)));
    assert_relative_eq!(seconds(host, "busy_seconds"), sum, epsilon = 1e-9);
    share(host);
}

#[test]
fn balance_follows_from_the_seconds_of_all_workers() {
    let dir = Dir::new();
    for ranks in ways() {
        for args in ["map --range 0..5000 -o none", "map --range 0..5000 -o none --repeat 4"] {
            check_balance(&report(&dir, parpy(args).ranks(*ranks)));
        }
        let json = report(&dir, parpy("run jobs/shakespeare.toml jobs/sample.txt -o none").ranks(*ranks));
        check_balance(&json);
        json["tasks"].as_array().unwrap().iter().for_each(check_balance);
    }
    check_balance(&report(&dir, parpy("map --range 0..5000 -o none -p serial")));
    check_balance(&report(&dir, parpy("map --range 0..5000 -o none -p pool -j 2")));
}

#[test]
fn the_table_says_who_was_late() {
    let done =
        parpy("map --range 0..1000 -o none -p threads -j 2 --schedule static --report").done().succeeds();
    let [.., balance] = &done.stderr.lines().collect::<Vec<_>>()[..] else { panic!("no table") };
    let parts = ["imbalance ", ": worker ", " on host ", " was busy for ", " s, the mean is "];
    assert!(parts.iter().all(|part| balance.contains(part)), "{balance}");
    assert!(done.stderr.contains("wait %"), "{}", done.stderr);
    let alone = parpy("map 1 2 3 -o none -p serial --report").done().succeeds();
    assert!(!alone.stderr.contains("imbalance"), "{}", alone.stderr);
}

#[test]
fn reading_counts_lines_and_bytes() {
    let dir = Dir::new();
    let text = dir.write("text", "one\ntwo\n\nfour, without an end");
    for task in ["text", "count"] {
        let json = report(&dir, parpy("read -o none --do").arg(task).arg(&text));
        assert_eq!((&json["items"], &json["bytes"]), (&4.into(), &29.into()), "{task}");
    }
}

#[test]
fn several_tasks_are_summed_and_listed() {
    let dir = Dir::new();
    let json = report(&dir, parpy("run jobs/shakespeare.toml jobs/sample.txt -o none"));
    assert_eq!(json["items"], 690);
    let tasks = json["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 2);
    let total = |value: &Value| value["seconds"]["total"].as_f64().unwrap();
    assert_relative_eq!(total(&json), total(&tasks[0]) + total(&tasks[1]), epsilon = 1e-9);
}

#[test]
fn the_table_goes_to_standard_error() {
    let done = parpy("map 1 2 3 --report").done().succeeds();
    assert_eq!(done.stdout, b"1\n4\n9\n");
    // It takes no value but the name of a .json file, so that it can stand anywhere.
    assert_eq!(parpy("map --report 1 2").text(), "1\n4\n");
    assert_eq!(parpy("--report map 1 2").text(), "1\n4\n");
    assert!(done.stderr.contains("3 items") && done.stderr.contains("seconds: load"), "{}", done.stderr);
}

/// A line begins with what has been done, and then says in how long.
#[track_caller]
fn says_how_far(said: &str, done: &str) {
    let (what, time) = said.split_once(" in ").unwrap_or((said, ""));
    assert_eq!(what, done, "{said}");
    assert!(time.starts_with(|first: char| first.is_ascii_digit()), "{said}");
}

/// Lines for a log, on standard error alone; answers are the same.
#[test]
fn how_far_a_run_has_come() {
    let said = |run: Run| {
        let done = run.done().succeeds();
        assert_eq!(done.stdout, b"0\n1\n4\n9\n16\n");
        done.stderr
    };
    let patterns: &[&str] = &["serial", "threads", "pool", "process"];
    for pattern in patterns {
        let line = said(parpy("map --range 0..5 --progress always -p").arg(*pattern));
        says_how_far(&line, "parpy: 100 %, 5 of 5 values");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
    if has_mpi() {
        for ranks in [2, 7] {
            let line = said(parpy("map --range 0..5 --progress always").ranks(ranks));
            says_how_far(&line, "parpy: 100 %, 5 of 5 values");
            assert_eq!(line.matches("parpy: ").count(), 1, "{line}");
        }
    }
    // How many come from a pipe is not known before.
    let line = said(parpy("map --from - --progress always").stdin("0\n1\n2\n3\n4\n"));
    says_how_far(&line, "parpy: 5 values");
    // A short run says nothing of its own accord, be it a batch job or not.
    assert_eq!(said(parpy("map --range 0..5").var("SLURM_JOB_ID", "1")), "");
    assert_eq!(said(parpy("map --range 0..5")), "");
    assert_eq!(said(parpy("map --range 0..5 -q --progress always")), "");
    let dir = Dir::new();
    let text = dir.write("x.txt", "one\ntwo\n");
    let done = parpy("read --progress always").arg(text).done().succeeds();
    says_how_far(&done.stderr, "parpy: 100 %, 8 B of 8 B");
}
