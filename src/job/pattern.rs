//! Who may run a task, by name, and when to say how far it has come.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A pattern by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PatternName {
    /// mpi when started by mpirun or srun with more than one rank, else threads
    Auto,
    /// One value after another in this process: the reference
    Serial,
    /// One worker, vector lanes: AVX-512, AVX2, SSE2 or NEON, whatever the CPU has
    Simd,
    /// Threads of this process
    Threads,
    /// One process for each value (or block, with --schedule), or section of a file, -j of them at a time
    Process,
    /// Long-lived worker processes
    Pool,
    /// Blocks scattered over MPI ranks, answers gathered on rank 0
    Mpi,
}

impl PatternName {
    /// As typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Serial => "serial",
            Self::Simd => "simd",
            Self::Threads => "threads",
            Self::Process => "process",
            Self::Pool => "pool",
            Self::Mpi => "mpi",
        }
    }
}

/// When to say how far a run has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum ProgressWhen {
    #[default]
    Auto,
    Always,
    Never,
    Json,
}
