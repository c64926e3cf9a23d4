//! The node that this process is on: CPUs that it may use, file systems.

pub mod cpus;
pub mod gpus;
pub mod host;
pub mod mounts;
