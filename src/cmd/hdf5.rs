//! What the commands of parpy ask of the program that is linked with HDF5, and how that program provides it.

use std::path::Path;
use std::sync::OnceLock;

use crate::base::error::Result;
use crate::cmd::scale::files::PointRow;
use crate::cmd::show::Look;
use crate::input::hdf5_library::provided;

/// What commands do with HDF5 files, beside reading values and writing results.
pub trait Hdf5Commands: Sync {
    /// A short look at a file, with so many of its first and last rows.
    ///
    /// # Errors
    /// It cannot be read.
    fn show(&self, path: &Path, rows: usize) -> Result<Look>;

    /// Writes scaling studies: the dataset `/points` with a row for each point, and all of it as JSON in
    /// `/studies`.
    ///
    /// # Errors
    /// The file cannot be written.
    fn save_studies(&self, path: &Path, json: &str, points: &[PointRow]) -> Result<()>;

    /// The JSON of scaling studies that were saved.
    ///
    /// # Errors
    /// It cannot be read, or holds none.
    fn studies(&self, path: &Path) -> Result<String>;
}

static LIBRARY: OnceLock<&'static dyn Hdf5Commands> = OnceLock::new();

/// HDF5, as far as commands are concerned.
///
/// # Errors
/// It is not part of this build, or another of parpy's programs should have been started.
pub fn library() -> Result<&'static dyn Hdf5Commands> {
    provided(&LIBRARY)
}

#[cfg(feature = "hdf5")]
pub use linked::provide;

#[cfg(feature = "hdf5")]
mod linked {
    use super::*;
    use crate::base::error::Error;
    use crate::base::isolate;
    use crate::cmd::scale;
    use crate::cmd::show;
    use crate::input;
    use crate::output;

    /// This program is linked with HDF5. To be called before MPI is initialised.
    ///
    /// # Errors
    /// Its HDF5 was built for another MPI than parpy.
    pub fn provide() -> Result<()> {
        check_mpi()?;
        // A parallel HDF5 that is initialised after MPI has itself ended by `MPI_Finalize`, and would then try
        // once more, and for ever, what could not be written to a full disk.
        let _ = ::hdf5::library_version();
        input::hdf5::provide();
        output::hdf5::provide();
        let _ = LIBRARY.set(&Linked);
        Ok(())
    }

    /// Two MPIs in one process call each other's functions. They get there where HDF5 was built for another MPI
    /// than parpy, which no linker minds.
    fn check_mpi() -> Result<()> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        match (maps.contains("/libmpi.so"), maps.contains("/libmpich.so")) {
            (true, true) => Err(Error::Usage(
                "this parpy and its HDF5 were built for two different MPIs, Open MPI and MPICH. Rebuild it with an \
                 HDF5 for the MPI that MPICC names, or for none: HDF5_DIR=/usr/lib/x86_64-linux-gnu/hdf5/serial (or \
                 …/openmpi, …/mpich) cargo build --release"
                    .into(),
            )),
            _ => Ok(()),
        }
    }

    /// HDF5, as this program is linked with it.
    struct Linked;

    impl Hdf5Commands for Linked {
        fn show(&self, path: &Path, rows: usize) -> Result<Look> {
            show::hdf5::look(path, rows)
        }

        fn save_studies(&self, path: &Path, json: &str, points: &[PointRow]) -> Result<()> {
            scale::hdf5::save(path, json, points)
        }

        fn studies(&self, path: &Path) -> Result<String> {
            isolate::read(path, || scale::hdf5::load(path))
        }
    }
}
