//! `parpy doctor` as a job: what stands in the way of a run on several nodes, before it is tried.

use crate::dsl::Dir;
use crate::lab::*;

#[test]
fn two_nodes_that_are_well() {
    let Some(cluster) = cluster() else { return };
    for launcher in launchers() {
        let dir = Dir::new();
        let text = dir.write("text", "some\nlines\n");
        let batch = cluster.batch(&dir, "parpy.sbatch", "-N 2 -n 4").launch(launcher);
        let done = batch.args("doctor").arg(text).done().succeeds();
        for node in NODES {
            let row = done.log.lines().find(|line| line.split_whitespace().take(2).eq([node, "2"]));
            assert!(row.is_some(), "no {node} with 2 ranks in\n{}", done.log);
        }
        assert!(!done.log.contains("PROBLEM"), "{}", done.log);
    }
}

#[test]
fn a_file_that_one_node_alone_can_see() {
    let Some(cluster) = cluster() else { return };
    for (node, other) in [("n1", "n2"), ("n2", "n1")] {
        let dir = Dir::new();
        let file = cluster.private(node, &format!("doctor-{node}"), b"some\nlines\n");
        let batch = cluster.batch(&dir, "parpy.sbatch", "-N 2 -n 2").args("doctor --json").arg(&file);
        let told = format!("{} is on {node} and not on {other} (No such file", file.display());
        batch.done().ends_with(1).says(&[&told]);
    }
}
