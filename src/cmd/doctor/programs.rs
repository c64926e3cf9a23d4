//! What other programs say of themselves: parpy's own with their libraries, launchers, SLURM.

use std::env;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::program::{self, Program};
use crate::input::hdf5_library;
use crate::mpi::communicator::{Backend, MpiLibrary};
use crate::mpi::launch::{Launch, SRUN, programs};

/// A launcher that is found by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnPath {
    /// Its name, as in `mpirun`.
    pub name: String,
    /// Where it is.
    pub path: String,
    /// The first line of what it says to `--version` in which there is a version.
    pub version: String,
    /// Is it Open MPI's?
    pub is_open_mpi: bool,
}

/// What was said.
#[derive(Debug, Clone)]
pub struct Programs {
    /// parpy's program with MPI starts here, or it is this one.
    pub can_be_mpi: bool,
    /// Why it does not.
    pub why_not_mpi: Option<String>,
    /// HDF5's version, or why there is none; `Ok(None)` where this parpy is built without it.
    pub hdf5: Result<Option<String>, String>,
    /// Of the process that speaks: SLURM's version, where there is one.
    pub slurm: Option<String>,
    /// Of the process that speaks: the launchers on the PATH.
    pub launchers: Vec<OnPath>,
}

/// Asks them. To be done before MPI is initialised.
pub fn ask(backend: &Backend, launch: &Launch) -> Programs {
    let why_not_mpi = match backend.library {
        MpiLibrary::Elsewhere if cfg!(feature = "mpi") => why_not(program::MPI),
        _ => None,
    };
    let speaks = launch.rank == 0;
    Programs {
        can_be_mpi: cfg!(feature = "mpi") && why_not_mpi.is_none(),
        why_not_mpi,
        hdf5: hdf5_version(),
        slurm: speaks.then(slurm_version).flatten(),
        launchers: if speaks { launchers() } else { Vec::new() },
    }
}

/// What a program prints; empty where it cannot be started, or is silent for too long.
fn said(program: &Path, word: &str) -> String {
    // The only error is a signal, which ends the next wait too.
    programs::said(program, word).ok().flatten().unwrap_or_default()
}

/// Why one of parpy's programs does not start; asked for its help, because to say its version it may become
/// another.
fn why_not(program: Program) -> Option<String> {
    let said = said(&program.path().ok()?, "--help");
    (!said.contains("Usage:")).then(|| program.missing(reason(&said)))
}

/// Of what the dynamic linker says: `libmpi.so.40: cannot open shared object file: …`.
fn reason(said: &str) -> &str {
    let line =
        said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it is not there, or does not answer");
    line.split_once("shared libraries: ").map_or(line, |(_, reason)| reason).trim()
}

fn hdf5_version() -> Result<Option<String>, String> {
    if !cfg!(feature = "hdf5") {
        return Ok(None);
    }
    if let (true, Ok(library)) = (hdf5_library::is_here(), hdf5_library::library()) {
        return Ok(Some(library.version()));
    }
    let path = program::HDF5.path().map_err(|e| e.to_string())?;
    let said = said(&path, "--version");
    let version = said.lines().find_map(|line| line.strip_prefix("HDF5: "));
    version.map(|version| Some(version.to_owned())).ok_or_else(|| program::HDF5.missing(reason(&said)))
}

fn slurm_version() -> Option<String> {
    // `slurm-wlm 22.05.8`, or `slurm 23.11.4`.
    let said = said(&on_path(SRUN)?, "--version");
    said.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
}

fn launchers() -> Vec<OnPath> {
    let found = programs::LAUNCHERS.iter().filter_map(|name| {
        let path = on_path(name)?;
        let said = said(&path, "--version");
        let has_digit = |line: &&str| line.contains(|c: char| c.is_ascii_digit());
        let version = said.lines().find(has_digit)?.split_whitespace().collect::<Vec<_>>().join(" ");
        let path = path.to_string_lossy().into_owned();
        Some(OnPath { name: (*name).to_owned(), path, version, is_open_mpi: programs::is_open_mpi(&said) })
    });
    found.collect()
}

/// Where the PATH finds a program.
fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linker_s_reason_is_passed_on() {
        let said = "parpy-mpi: error while loading shared libraries: libmpi.so.40: cannot open shared object \
                    file: No such file or directory\n";
        assert!(reason(said).starts_with("libmpi.so.40: cannot open"));
        assert!(reason("").contains("not there"));
    }
}
