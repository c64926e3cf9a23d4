//! Ranks that differ, of one and the same command: the mpirun of Debian 13 (Open MPI 5.0.7) dies of a segmentation
//! fault where it is given several, as in `mpirun … : …` (open-mpi/ompi, issue 13303).

/// A script for `sh -c` that does `first` on rank 0, and `other` on the others.
pub fn by_rank(first: &str, other: &str) -> String {
    // MPICH has the second.
    format!("case ${{OMPI_COMM_WORLD_RANK:-$PMI_RANK}} in 0) {first} ;; *) {other} ;; esac")
}
