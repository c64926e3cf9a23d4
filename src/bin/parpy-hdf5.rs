//! parpy linked with HDF5, and with MPI where that is built: what `parpy` becomes when HDF5 files are read
//! or written.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Err(error) = parpy::output::hdf5::provide() {
        return parpy::run::refuse(&error);
    }
    #[cfg(feature = "mpi")]
    let door = &parpy::pattern::mpi::HERE;
    #[cfg(not(feature = "mpi"))]
    let door = &parpy::pattern::ranks::ELSEWHERE;
    parpy::run::main(door)
}
