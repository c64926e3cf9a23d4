//! parpy linked with HDF5, and with MPI where that is built: what `parpy` becomes when HDF5 files are read
//! or written.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Err(error) = parpy::cmd::hdf5::provide() {
        return parpy::cmd::entry::refuse(&error);
    }
    #[cfg(feature = "mpi")]
    let backend = {
        parpy::sched::rounds::provide();
        &parpy::mpi::linked::LINKED
    };
    #[cfg(not(feature = "mpi"))]
    let backend = &parpy::mpi::communicator::EXEC;
    parpy::cmd::entry::main(backend)
}
