//! Ranks: how launchers start them, and how they speak to each other.

pub mod communicator;
pub mod launch;
#[cfg(feature = "mpi")]
pub mod linked;
