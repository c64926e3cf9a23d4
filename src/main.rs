//! Parse, run, exit code.

use std::env::args_os;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use parpy::{
    cli::{Cli, join_report},
    launch::Launch,
    pattern, run,
};

fn main() -> ExitCode {
    let launch = Launch::detect();
    run::stop_all_on_panic(launch.rank);
    let version = format!("{}\nMPI: {}", env!("CARGO_PKG_VERSION"), pattern::mpi::library());
    let matches = Cli::command().version(version).try_get_matches_from(join_report(args_os()));
    let code = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => run::run(&cli, &launch),
        Err(error) => {
            // All ranks were given the same words: one of them says what is wrong with them.
            let printed = if launch.rank == 0 { error.print() } else { Ok(()) };
            match error.exit_code() as u8 {
                // Help that could not be printed is rank 0's trouble alone: nobody would wait with it.
                0 => u8::from(printed.is_err()),
                code => run::leave_together(&launch, code),
            }
        }
    };
    ExitCode::from(code)
}
