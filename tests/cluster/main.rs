//! Tests on a real cluster of several nodes: jobs under SLURM, and plain hosts under mpirun.
//!
//! `tests/cluster/run.sh` brings the cluster up, runs these, and ends it. Where none is up they are skipped.

mod array;
mod doctor;
#[allow(dead_code)]
#[path = "../parpy/dsl.rs"]
mod dsl;
mod ends;
mod hosts;
mod hybrid;
mod lab;
mod parpy;
mod scaling;
mod sweep;
mod traps;
