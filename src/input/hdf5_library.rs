//! What parpy asks of the program that is linked with HDF5 about files that it reads.
//!
//! Only `parpy-hdf5` is; see [`crate::base::program`]. What is asked about results is in
//! [`crate::output::hdf5_library`].

use std::sync::OnceLock;

use crate::base::error::{Error, Result};
use crate::input::{ArrayFile, Indexed};

/// Reads HDF5 files.
pub trait Hdf5Inputs: Sync {
    /// Its version.
    fn version(&self) -> String;

    /// The values of datasets, with commas between their names, of the types that they have or, where that loses
    /// nothing, that are wanted; without a name those of the only dataset of numbers. They are called as the datasets are in
    /// their groups. One of two dimensions has columns, unless what is done is done by element.
    ///
    /// # Errors
    /// There is no such dataset, or not of numbers, or they are of different lengths.
    fn open(&self, file: &ArrayFile) -> Result<Box<dyn Indexed>>;

    /// Tries in a child, where there can be one, whether [`Hdf5Inputs::open`] and reading the first and last values
    /// goes well: a damaged file may crash the library.
    ///
    /// # Errors
    /// As those of [`Hdf5Inputs::open`]; or the child has crashed.
    fn probe(&self, file: &ArrayFile) -> Result<()>;
}

static LIBRARY: OnceLock<&'static dyn Hdf5Inputs> = OnceLock::new();

/// This program is linked with HDF5: from now on it is there.
pub fn provide(library: &'static dyn Hdf5Inputs) {
    let _ = LIBRARY.set(library);
}

/// Is this program linked with HDF5?
pub fn is_here() -> bool {
    LIBRARY.get().is_some()
}

/// HDF5, as far as files are read.
///
/// # Errors
/// It is not part of this build, or another of parpy's programs should have been started.
pub fn library() -> Result<&'static dyn Hdf5Inputs> {
    provided(&LIBRARY)
}

/// What has been provided as `library`.
///
/// # Errors
/// As those of [`library`].
pub fn provided<T: ?Sized>(library: &OnceLock<&'static T>) -> Result<&'static T> {
    library.get().copied().ok_or_else(|| match cfg!(feature = "hdf5") {
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
