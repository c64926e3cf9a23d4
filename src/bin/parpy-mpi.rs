//! parpy linked with MPI: what `parpy` becomes when it is one of several ranks.

use std::process::ExitCode;

fn main() -> ExitCode {
    parpy::sched::ranks::provide();
    parpy::cmd::entry::main(&parpy::mpi::linked::LINKED)
}
