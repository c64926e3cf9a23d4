//! Parse, run, exit code.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use parpy::{cli::Cli, launch::Launch, pattern, run};

fn main() -> ExitCode {
    let launch = Launch::detect();
    let version = format!("{}\nMPI: {}", env!("CARGO_PKG_VERSION"), pattern::mpi::library());
    let matches = Cli::command().version(version).try_get_matches();
    let code = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => run::run(&cli, &launch),
        Err(error) => {
            // All ranks were given the same words: one of them says what is wrong with them.
            if launch.rank == 0 {
                let _ = error.print();
            }
            run::leave_together(&launch, error.exit_code() as u8)
        }
    };
    ExitCode::from(code)
}
