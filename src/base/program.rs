//! Which of its programs parpy is, and becoming another.
//!
//! Loading MPI or HDF5 takes longer than a small job, so parpy is built as several programs from the same
//! source, which stand side by side: `parpy` is linked with neither, `parpy-mpi` with MPI, `parpy-hdf5` with
//! both. Users start `parpy`, which becomes one of the others (`exec`, in the same process) when it turns out
//! to be one of several ranks, or that the job has to do with HDF5 files.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::base::error::{Error, plain};
use crate::base::{blocking, signals};

/// A program that is linked with more than `parpy` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    name: &'static str,
    library: &'static str,
}

/// Linked with MPI.
pub const MPI: Program = Program { name: "parpy-mpi", library: "MPI" };

/// Linked with HDF5, and with MPI where that is built.
pub const HDF5: Program = Program { name: "parpy-hdf5", library: "HDF5" };

/// Which signal UCX stops at, or 0. It reads this when it is loaded.
const UCX_STOPS_AT: &str = "UCX_DEBUG_SIGNO";

impl Program {
    /// Where it must be: beside this one.
    ///
    /// # Errors
    /// The system does not say where this one is.
    pub fn path(self) -> io::Result<PathBuf> {
        Ok(std::env::current_exe()?.with_file_name(self.name))
    }

    /// Becomes it; returns, with the reason, only when that fails, or when a signal has come, of which the other
    /// program would not know.
    pub fn become_it(self) -> Error {
        if let Err(interrupted) = signals::check() {
            return interrupted;
        }
        let exec = || -> io::Result<Infallible> {
            let path = self.path()?;
            let mut words = std::env::args_os();
            blocking::hand_on_closed();
            // Under the name that the user knows.
            let name = words.next().unwrap_or_default();
            let mut program = Command::new(&path);
            // UCX, which many an MPI loads, would otherwise stop the process for a debugger when SIGHUP comes.
            if std::env::var_os(UCX_STOPS_AT).is_none() {
                program.env(UCX_STOPS_AT, "0");
            }
            Err(program.arg0(name).args(words).exec())
        };
        let Err(error) = exec();
        Error::Failed(self.missing(&plain(&error)))
    }

    /// Says that it is missing, or why it does not start.
    pub fn missing(self, why: &str) -> String {
        format!(
            "cannot start {}, the part of parpy that is linked with {} and stands beside it: {why}; cargo build \
             --release makes both",
            self.name, self.library
        )
    }
}

/// May a command line of these words have to do with HDF5? Asked before it is understood, because a rank
/// must know which program to be before it says anything. What a job file says is not known yet, and one that
/// comes through a pipe can be read only once.
pub fn may_need_hdf5(words: &[OsString], is_rank: bool) -> bool {
    let names_it = |word: &OsString| {
        let word = word.to_string_lossy().to_ascii_lowercase();
        word.contains(".h5") || word.contains(".hdf5")
    };
    let is_pipe = |word: &OsString| fs::metadata(word).is_ok_and(|meta| !meta.is_file() && !meta.is_dir());
    let runs = words.iter().any(|word| word == "run");
    words.iter().skip(1).any(names_it) || runs && (is_rank || words.iter().skip(1).any(is_pipe))
}
