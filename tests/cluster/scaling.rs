//! `scaling.sbatch`: the study over 1, 2, 4 ranks within one allocation.

use serde_json::Value;

use crate::dsl::Dir;
use crate::lab::*;

#[test]
fn table_picture_and_data() {
    let Some(cluster) = cluster() else { return };
    let dir = Dir::new();
    let jobs = launchers().map(|launcher| {
        let batch = cluster.batch(&dir, "scaling.sbatch", "-N 2 -n 4").launch(launcher);
        batch.args("map --range 0..200000 --patterns mpi --repeat 3").submit()
    });
    for job in jobs {
        let done = job.done().succeeds();
        let name = |end: &str| format!("scaling-{}.{end}", done.id);
        let picture = String::from_utf8(dir.read(&name("svg"))).unwrap();
        assert!(picture.contains("<svg") && picture.trim_end().ends_with("</svg>"), "{picture}");
        let saved: Value = serde_json::from_slice(&dir.read(&name("json"))).unwrap();
        let found = workers(&saved);
        assert_eq!(found, [1, 2, 4], "{saved}");
        // The table says the same.
        for ranks in found {
            let row =
                done.log.lines().find(|line| line.split_whitespace().take(2).eq(["mpi", &ranks.to_string()]));
            assert!(row.is_some(), "{}", done.log);
        }
    }
}

/// Numbers of workers of a saved study's points.
fn workers(saved: &Value) -> Vec<u64> {
    let points = saved["studies"][0]["points"].as_array().unwrap_or_else(|| panic!("{saved}"));
    points.iter().map(|point| point["workers"].as_u64().unwrap()).collect()
}

/// A name that is no name of a file.
#[test]
fn a_job_with_a_slash_in_its_name() {
    let Some(cluster) = cluster() else { return };
    let dir = Dir::new();
    let batch = cluster.batch(&dir, "scaling.sbatch", "-N 2 --job-name=big/log -o scaling-%j.log");
    let done = batch.args("map --range 0..1000 --repeat 1 --patterns mpi").done().succeeds();
    let name = |end: &str| format!("big_log-{}.{end}", done.id);
    assert_eq!(dir.names(), [name("json"), name("svg"), format!("scaling-{}.log", done.id)]);
}

#[test]
fn names_of_the_users_own() {
    let Some(cluster) = cluster() else { return };
    let dir = Dir::new();
    let batch =
        cluster.batch(&dir, "scaling.sbatch", "-N 2").args("map --range 0..1000 --repeat 1 --patterns mpi");
    let done = batch.args("--save study.csv --plot study.png").done().succeeds();
    let log = format!("scaling-{}.log", done.id);
    assert_eq!(dir.names(), [log.as_str(), "study.csv", "study.png"]);
}
