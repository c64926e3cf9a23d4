//! What goes wrong on clusters: files that are not everywhere, launchers of another MPI. parpy says so, and does
//! not go on.

use crate::dsl::{Dir, foreign_mpirun, mpirun_is_open_mpi};
use crate::lab::*;

#[test]
fn a_file_that_one_node_alone_can_see() {
    let Some(cluster) = cluster() else { return };
    for launcher in launchers() {
        // Rank 0 is on n1, and speaks of itself without a name. Of ranks 2 and 3, on n2, the first is told of.
        for (node, culprit) in [("n1", "rank 2 on host n2"), ("n2", "")] {
            let dir = Dir::new();
            let name = format!("only-{node}-{}", launcher.replace(' ', ""));
            let file = cluster.private(node, &name, &b"some\nlines\nof text\n".repeat(50));
            let batch = cluster.batch(&dir, "parpy.sbatch", "-N 2 -n 4").launch(launcher);
            let done = batch.args("read -o out.txt").arg(&file).done().ends_with(1);
            let said: Vec<&str> = done.log.lines().filter(|line| line.starts_with("parpy: ")).collect();
            assert_eq!(said.len(), 1, "not one message\n{}", done.log);
            for part in ["cannot open", file.to_str().unwrap(), culprit] {
                assert!(said[0].contains(part), "no '{part}' in: {}", said[0]);
            }
            assert!(!dir.path("out.txt").exists());
        }
    }
}

#[test]
fn the_launcher_of_another_mpi() {
    let Some(cluster) = cluster() else { return };
    let foreign_srun = if mpirun_is_open_mpi() { "srun --mpi=pmi2" } else { "srun --mpi=pmix" };
    for launcher in ["srun --mpi=none", foreign_srun].into_iter().chain(foreign_mpirun()) {
        let dir = Dir::new();
        let batch = cluster.batch(&dir, "parpy.sbatch", "-N 2 -n 4").launch(launcher);
        let [to_log, to_file] =
            ["map 11111", "map 11111 -o out.txt"].map(|args| batch.clone().args(args).submit());
        for job in [to_log, to_file] {
            let done = job.done();
            assert_ne!(done.code, 0, "{launcher}: {}", done.log);
            // Done not four times, and not once.
            assert!(!done.log.contains("123454321"), "{launcher}\n{}", done.log);
            // Where an mpirun starts its daemons by srun, the ranks meet SLURM's, and end where parpy has no say.
            if launcher.starts_with("srun") {
                let said = done.log.matches("parpy: 4 processes were started by srun").count();
                assert_eq!(said, 1, "{launcher}\n{}", done.log);
            }
        }
        assert!(!dir.path("out.txt").exists(), "{launcher}");
    }
}
