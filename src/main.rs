//! parpy as users start it. Without MPI, which it finds in another program when it is one of several ranks.

use std::process::ExitCode;

fn main() -> ExitCode {
    parpy::cmd::entry::main(&parpy::mpi::communicator::EXEC)
}
