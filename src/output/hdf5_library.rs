//! What parpy asks of the program that is linked with HDF5 about results.
//!
//! Only `parpy-hdf5` is; see [`crate::base::program`].

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::base::error::Result;
use crate::input::hdf5_library::provided;
use crate::job::Task;
use crate::op::Bound;
use crate::output::Sink;
use crate::output::reader::ResultReader;

/// Writes results to HDF5 files, and reads them back.
pub trait Hdf5Outputs: Sync {
    /// A file for the answers of `task`.
    ///
    /// # Errors
    /// It cannot be created.
    fn create<'a>(&self, task: &'a Task, path: &Path, bound: &Bound) -> Result<Box<dyn Sink + 'a>>;

    /// This rank's end of a file that all ranks write to: number `rank` of `over`, over which this is
    /// collective.
    ///
    /// # Errors
    /// It cannot be written here.
    #[cfg(feature = "mpio")]
    fn join(
        &self,
        task: &Task,
        bound: &Bound,
        plan: &SharedFilePlan,
        rank: usize,
        over: mpi::ffi::MPI_Comm,
    ) -> Result<Box<dyn SharedFile>>;

    /// The job that made a file.
    ///
    /// # Errors
    /// It cannot be read, or no job is kept in it.
    fn job(&self, path: &Path) -> Result<String>;

    /// Reads back the file that [`Hdf5Outputs::create`] has made of a part of `task`.
    ///
    /// # Errors
    /// It cannot be read, or is not what `task` writes.
    fn read_back(&self, task: &Task, path: &Path, bound: &Bound) -> Result<Box<dyn ResultReader>>;
}

/// What every rank must know of a file that all of them write to.
#[derive(Debug, Clone)]
pub struct SharedFilePlan {
    /// Its name for now. Rank 0 has created it, empty.
    pub path: PathBuf,
    /// The number of the first of them, which stands at the file's beginning.
    pub first: u64,
    /// How many there will be, where that is known.
    pub extent: Option<u64>,
}

/// One rank's end of a file that all ranks write to. All calls but [`SharedFile::leave`] are collective.
pub trait SharedFile {
    /// Makes room for `extent` values in all, and writes this rank's, which begin at place `start` of the
    /// file: their columns, one behind the other, and the answers behind them. There may be none.
    ///
    /// # Errors
    /// They cannot be written.
    fn write(&mut self, extent: u64, start: u64, columns: &[u8]) -> Result<()>;

    /// The file is complete with `count` values; what has been written behind them goes.
    ///
    /// # Errors
    /// It cannot be completed.
    fn close(self: Box<Self>, count: u64) -> Result<()>;

    /// Lets go of a file that could not be written on some rank.
    fn leave(self: Box<Self>);
}

static LIBRARY: OnceLock<&'static dyn Hdf5Outputs> = OnceLock::new();

/// This program is linked with HDF5: from now on it is there.
pub fn provide(library: &'static dyn Hdf5Outputs) {
    let _ = LIBRARY.set(library);
}

/// HDF5, as far as results are concerned.
///
/// # Errors
/// It is not part of this build, or another of parpy's programs should have been started.
pub fn library() -> Result<&'static dyn Hdf5Outputs> {
    provided(&LIBRARY)
}
