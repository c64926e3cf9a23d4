//! What the rest of parpy sees of an MPI run, and the doors that lead into one.
//!
//! parpy's programs differ in their door: one that is linked with MPI joins the run; any other becomes one
//! that is ([`crate::program`]).

use crate::error::{Error, Result};
use crate::job::{Job, Task};
use crate::launch::Launch;
use crate::launch::words::Given;
use crate::report::Report;

/// What rank 0 says to the others in a few numbers.
pub type Words = [u64; 4];

/// A member of a run of several ranks. All calls but the first are collective: every rank makes them in the
/// same order.
pub trait Ranks {
    /// Is this the rank that speaks?
    fn is_root(&self) -> bool;

    /// A text that rank 0 can get, on every rank.
    ///
    /// # Errors
    /// Rank 0 could not get it; [`Error::Told`] on the other ranks.
    fn share(&self, text: &mut dyn FnMut() -> Result<String>) -> Result<String>;

    /// Makes rank 0's outcome everybody's.
    ///
    /// # Errors
    /// Rank 0's error; [`Error::Told`] on the other ranks.
    fn agree(&self, outcome: Result<()>) -> Result<()>;

    /// Runs `task` once, together with all other ranks; `first` as in [`crate::output::open`]. The report
    /// is on rank 0.
    ///
    /// # Errors
    /// The first thing that failed, in block order; [`Error::Told`] on the other ranks.
    fn run(&self, task: &Task, job: &Job, first: bool) -> Result<Option<Report>>;

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
    fn team(&self, size: usize) -> Result<Option<Box<dyn Ranks>>>;

    /// Rank 0's words, on every rank.
    fn word(&self, words: Words) -> Words;

    /// As [`Ranks::word`], where rank 0 may be long in saying them: the others sleep until then, and are some
    /// milliseconds late.
    fn word_to_sleepers(&self, words: Words) -> Words;
}

/// What has become of joining an MPI run where the MPI library may end the process.
pub enum Began<T> {
    /// Joined.
    Here(T),
    /// MPI has ended the process (which was a child of this one), and said this.
    Not(String),
}

/// The same of a member of the run.
pub type Joined = Began<Box<dyn Ranks>>;

/// A way into an MPI run.
#[derive(Clone, Copy)]
pub struct Door {
    /// Joins the run that this process is a rank of.
    ///
    /// # Errors
    /// There is none to join for this program, or MPI could not be initialised.
    pub join: fn(&Launch) -> Result<Box<dyn Ranks>>,
    /// As `join`, and stays to tell where MPI ends the process.
    ///
    /// # Errors
    /// As those of `join`.
    pub try_join: fn(&Launch) -> Result<Joined>,
    /// Ends this process, and with it all ranks of its run, at once.
    pub abort: fn() -> !,
    /// Who says which MPI there is.
    pub library: Library,
}

/// The door of a program without MPI: it becomes the one with MPI, where that has been built.
pub const ELSEWHERE: Door = Door {
    join: |launch| Err(elsewhere(launch)),
    try_join: |launch| Err(elsewhere(launch)),
    abort: || std::process::exit(1),
    library: Library::Elsewhere,
};

/// Who knows which MPI library there is.
#[derive(Clone, Copy)]
pub enum Library {
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

impl Library {
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
    crate::program::MPI.become_it()
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
