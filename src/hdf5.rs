//! The door to HDF5: what the rest of parpy asks of the program that is linked with it.
//!
//! Only `parpy-hdf5` opens it; see [`crate::program`].

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::input::{Facts, Indexed};
use crate::job::{Dtype, Task};
use crate::output::Sink;
use crate::output::back::Back;
use crate::scale::files::Row;
use crate::show::Look;

/// What can be done with HDF5 files.
pub trait Library: Sync {
    /// Its version.
    fn version(&self) -> String;

    /// The values of a dataset, of the type that they have or, where that loses nothing, `wanted`; without
    /// a name those of the only dataset of numbers.
    ///
    /// # Errors
    /// There is no such dataset, or not of numbers.
    fn open(
        &self,
        path: &Path,
        dataset: Option<&str>,
        wanted: Option<Dtype>,
    ) -> Result<(Box<dyn Indexed>, Dtype)>;

    /// Tries in a child, where there can be one, whether [`Library::open`] and reading the first and last values
    /// goes well: a damaged file may crash the library.
    ///
    /// # Errors
    /// As those of [`Library::open`]; or the child has crashed.
    fn probe(&self, path: &Path, dataset: Option<&str>, wanted: Option<Dtype>) -> Result<()>;

    /// A file for the answers of `task`.
    ///
    /// # Errors
    /// It cannot be created.
    fn create<'a>(&self, task: &'a Task, path: &Path, facts: &Facts) -> Result<Box<dyn Sink + 'a>>;

    /// This rank's end of a file that all ranks write to: number `rank` of `over`, over which this is
    /// collective.
    ///
    /// # Errors
    /// It cannot be written here.
    #[cfg(feature = "mpio")]
    fn join(
        &self,
        task: &Task,
        plan: &Plan,
        rank: usize,
        over: mpi::ffi::MPI_Comm,
    ) -> Result<Box<dyn SharedFile>>;

    /// A short look at a file, with so many of its first and last rows.
    ///
    /// # Errors
    /// It cannot be read.
    fn show(&self, path: &Path, rows: usize) -> Result<Look>;

    /// The job that made a file.
    ///
    /// # Errors
    /// It cannot be read, or no job is kept in it.
    fn job(&self, path: &Path) -> Result<String>;

    /// Reads back the file that [`Library::create`] has made of a part of `task`.
    ///
    /// # Errors
    /// It cannot be read, or is not what `task` writes.
    fn read_back(&self, task: &Task, path: &Path, facts: &Facts) -> Result<Box<dyn Back>>;

    /// Writes scaling studies: the dataset `/points` with a row for each point, and all of it as JSON in
    /// `/studies`.
    ///
    /// # Errors
    /// The file cannot be written.
    fn save_studies(&self, path: &Path, json: &str, points: &[Row]) -> Result<()>;

    /// The JSON of scaling studies that were saved.
    ///
    /// # Errors
    /// It cannot be read, or holds none.
    fn studies(&self, path: &Path) -> Result<String>;
}

/// What every rank must know of a file that all of them write to.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name for now. Rank 0 has created it, empty.
    pub path: PathBuf,
    /// Type of values and answers.
    pub dtype: Dtype,
    /// The number of the first of them, which stands at the file's beginning.
    pub first: u64,
    /// How many there will be, where that is known.
    pub extent: Option<u64>,
}

/// One rank's end of a file that all ranks write to. All calls but [`SharedFile::leave`] are collective.
pub trait SharedFile {
    /// Makes room for `extent` values in all, and writes this rank's, which begin at place `start` of the
    /// file: their bytes, and behind them as many of their answers. There may be none.
    ///
    /// # Errors
    /// They cannot be written.
    fn write(&mut self, extent: u64, start: u64, pairs: &[u8]) -> Result<()>;

    /// The file is complete with `count` values; what has been written behind them goes.
    ///
    /// # Errors
    /// It cannot be completed.
    fn close(self: Box<Self>, count: u64) -> Result<()>;

    /// Lets go of a file that could not be written on some rank.
    fn leave(self: Box<Self>);
}

static LIBRARY: OnceLock<&'static dyn Library> = OnceLock::new();

/// This program is linked with HDF5: from now on it is there.
pub fn provide(library: &'static dyn Library) {
    let _ = LIBRARY.set(library);
}

/// Is this program linked with HDF5?
pub fn is_here() -> bool {
    LIBRARY.get().is_some()
}

/// HDF5.
///
/// # Errors
/// It is not part of this build, or another of parpy's programs should have been started.
pub fn library() -> Result<&'static dyn Library> {
    LIBRARY.get().copied().ok_or_else(|| match cfg!(feature = "hdf5") {
        true => Error::Failed("cannot use HDF5: parpy-hdf5 should be doing this".into()),
        false => missing(),
    })
}

/// This build has no HDF5.
pub fn missing() -> Error {
    Error::Usage(
        "this parpy was built without HDF5; rebuild it with HDF5 installed: cargo build --release (or use \
         .npy, .csv or .json)"
            .into(),
    )
}

/// A text of a file, whatever bytes it may consist of.
#[cfg(feature = "hdf5")]
pub fn words(text: &::hdf5::types::VarLenUnicode) -> String {
    // Not `as_str`, which trusts the file to hold UTF-8.
    String::from_utf8_lossy(text.as_bytes()).into_owned()
}

/// What has gone wrong, as people say it: the system's own reason where there is one.
#[cfg(feature = "hdf5")]
pub fn plain(error: &::hdf5::Error) -> String {
    let Some(stack) = error.stack() else { return error.to_string() };
    // `…, errno = 28, error message = 'No space left on device', buf = …`
    let of_system = |text: &str| {
        let reason = text.split_once("error message = '")?.1.split_once('\'')?.0;
        Some(reason.to_owned())
    };
    let reason = stack.iter().find_map(|frame| of_system(frame.desc()));
    reason.unwrap_or_else(|| stack.description().to_owned())
}
