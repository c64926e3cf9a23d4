//! What the rest of parpy sees of an MPI run, and the backends that lead into one.
//!
//! parpy's programs differ in their backend: one that is linked with MPI joins the run; any other becomes one
//! that is ([`crate::base::program`]).

use std::any::Any;

use crate::base::error::{Error, Result};
use crate::mpi::launch::Launch;
use crate::mpi::launch::words::Given;

/// What rank 0 says to the others in a few numbers.
pub type Words = [u64; 4];

/// A member of a run of several ranks. All calls but the first are collective: every rank makes them in the
/// same order.
pub trait Communicator {
    /// The communicator itself, for what needs to know which it is.
    fn as_any(&self) -> &dyn Any;

    /// Is this the rank that speaks?
    fn is_root(&self) -> bool;

    /// A text that rank 0 can get, on every rank.
    ///
    /// # Errors
    /// Rank 0 could not get it; [`Error::ReportedByRoot`] on the other ranks.
    fn bcast_text(&self, text: &mut dyn FnMut() -> Result<String>) -> Result<String>;

    /// Makes rank 0's outcome everybody's.
    ///
    /// # Errors
    /// Rank 0's error; [`Error::ReportedByRoot`] on the other ranks.
    fn bcast_result(&self, outcome: Result<()>) -> Result<()>;

    /// How many ranks there are.
    fn count(&self) -> usize;

    /// How many CPUs the ranks may use, all together: on each node those that one of its ranks may use.
    fn cpus(&self) -> usize;

    /// Is each of the digests the same on all ranks that have one?
    fn is_same(&self, mine: Given) -> [bool; 3];

    /// Every rank's text, in the order of ranks, on rank 0.
    fn gather(&self, mine: &str) -> Option<Vec<String>>;

    /// The first `size` ranks as a run of their own; `None` on the others.
    ///
    /// # Errors
    /// It cannot be made.
    fn split(&self, size: usize) -> Result<Option<Box<dyn Communicator>>>;

    /// Rank 0's words, on every rank.
    fn bcast(&self, words: Words) -> Words;

    /// As [`Communicator::bcast`], where rank 0 may be long in saying them: the others sleep until then, and are some
    /// milliseconds late.
    fn ibcast_sleeping(&self, words: Words) -> Words;
}

/// What has become of joining an MPI run where the MPI library may end the process.
pub enum Began<T> {
    /// Joined.
    Here(T),
    /// MPI has ended the process (which was a child of this one), and said this.
    Not(String),
}

/// The same of a member of the run.
pub type Joined = Began<Box<dyn Communicator>>;

/// A way into an MPI run.
#[derive(Clone, Copy)]
pub struct Backend {
    /// Joins the run that this process is a rank of.
    ///
    /// # Errors
    /// There is none to join for this program, or MPI could not be initialised.
    pub join: fn(&Launch) -> Result<Box<dyn Communicator>>,
    /// As `join`, and stays to tell where MPI ends the process.
    ///
    /// # Errors
    /// As those of `join`.
    pub try_join: fn(&Launch) -> Result<Joined>,
    /// Ends this process, and with it all ranks of its run, at once.
    pub abort: fn() -> !,
    /// Who says which MPI there is.
    pub library: MpiLibrary,
}

/// The backend of a program without MPI: it becomes the one with MPI, where that has been built.
pub const EXEC: Backend = Backend {
    join: |launch| Err(elsewhere(launch)),
    try_join: |launch| Err(elsewhere(launch)),
    abort: || std::process::exit(1),
    library: MpiLibrary::Elsewhere,
};

/// Who knows which MPI library there is.
#[derive(Clone, Copy)]
pub enum MpiLibrary {
    /// This program, which is linked with it.
    Here {
        /// Says its name and version.
        name: fn() -> String,
        /// Says which version of the MPI standard it follows.
        standard: fn() -> String,
    },
    /// The other program.
    Elsewhere,
}

impl MpiLibrary {
    /// Its name and version, for people. Elsewhere this process becomes one that knows, or says why it
    /// cannot.
    pub fn name(self) -> String {
        match self {
            Self::Here { name, .. } => name(),
            Self::Elsewhere if cfg!(feature = "mpi") => elsewhere(&Launch::alone()).to_string(),
            Self::Elsewhere => "none (built without the feature mpi)".to_owned(),
        }
    }
}

/// Becomes the program with MPI; returns only when that fails.
#[cfg(feature = "mpi")]
fn elsewhere(_launch: &Launch) -> Error {
    crate::base::program::MPI.become_it()
}

/// Says that there is no program with MPI, and what to do.
#[cfg(not(feature = "mpi"))]
fn elsewhere(launch: &Launch) -> Error {
    let how = "rebuild it with an MPI installed: cargo build --release";
    Error::Usage(if launch.ranks > 1 {
        format!(
            "{} processes were started by {}, but this parpy was built without MPI; {how} (or start it alone, \
             or with -p serial)",
            launch.ranks, launch.by
        )
    } else {
        format!("-p mpi: this parpy was built without MPI; {how}")
    })
}
