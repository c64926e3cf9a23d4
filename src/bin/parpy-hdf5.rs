//! parpy linked with HDF5, and with MPI where that is built: what `parpy` becomes when HDF5 files are read
//! or written.

use std::process::ExitCode;

fn main() -> ExitCode {
    parpy::run_with(&[])
}
