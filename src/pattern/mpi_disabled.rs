//! Stands in for the mpi pattern in a parpy that was built without it, and says what to rebuild with.

use crate::error::{Error, Result};
use crate::job::{Job, Task};
use crate::launch::Launch;
use crate::report::Report;

/// A member of an MPI run: here there can be none.
pub enum Mpi {}

impl Mpi {
    /// Fails, and says what to do.
    ///
    /// # Errors
    /// Always.
    pub fn start(launch: &Launch) -> Result<Self> {
        let how = "rebuild it with an MPI installed: cargo build --release";
        Err(Error::Usage(if launch.ranks > 1 {
            format!(
                "{} processes were started by {}, but this parpy was built without MPI; {how} (or start it \
                 alone, or with -p serial)",
                launch.ranks, launch.by
            )
        } else {
            format!("-p mpi: this parpy was built without MPI; {how}")
        }))
    }

    /// As in the real pattern.
    pub fn share(&self, _text: impl FnOnce() -> Result<String>) -> Result<String> {
        match *self {}
    }

    /// As in the real pattern.
    pub fn agree(&self, _outcome: Result<()>) -> Result<()> {
        match *self {}
    }

    /// As in the real pattern.
    pub fn is_root(&self) -> bool {
        match *self {}
    }

    /// As in the real pattern.
    pub fn run(&self, _task: &Task, _job: &Job, _last: bool) -> Result<Option<Report>> {
        match *self {}
    }
}

/// Ends the process.
pub fn abort() -> ! {
    std::process::exit(1)
}

/// What `--version` says of MPI.
pub fn library() -> String {
    "none (built without the feature mpi)".into()
}
