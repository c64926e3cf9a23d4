//! `--report`, as a table and as JSON.

use approx::assert_relative_eq;
use serde_json::Value;

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
