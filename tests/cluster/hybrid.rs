//! `hybrid.sbatch`: a rank on each node, threads inside.

use serde_json::Value;

use crate::dsl::{Dir, parpy};
use crate::lab::*;

#[test]
fn two_ranks_with_two_threads() {
    let Some(cluster) = cluster() else { return };
    for launcher in launchers() {
        let dir = Dir::new();
        let batch = cluster.batch(&dir, "hybrid.sbatch", "-N 2 --cpus-per-task=2").launch(launcher);
        let done = batch.args("map --range 0..3000000 -o out.npy --report r.json").done().succeeds();
        let report: Value = serde_json::from_slice(&dir.read("r.json")).unwrap();
        let workers = report["worker"].as_array().unwrap();
        let hosts: Vec<&str> = workers.iter().map(|worker| worker["host"].as_str().unwrap()).collect();
        assert_eq!(hosts, ["n1", "n1", "n2", "n2"], "{}", done.log);
        let mut pids: Vec<u64> = workers.iter().map(|worker| worker["pid"].as_u64().unwrap()).collect();
        pids.dedup();
        assert_eq!((pids.len(), &report["pattern"]), (2, &"mpi".into()), "{}", done.log);
        parpy("map --range 0..3000000 -p serial -o").arg(dir.path("serial.npy")).done().succeeds();
        assert!(dir.read("out.npy") == dir.read("serial.npy"));
    }
}

#[test]
fn it_asks_for_a_number_of_threads() {
    let Some(cluster) = cluster() else { return };
    let dir = Dir::new();
    cluster
        .batch(&dir, "hybrid.sbatch", "-N 2")
        .args("map 1")
        .done()
        .ends_with(2)
        .says(&["--cpus-per-task=N"]);
}
