//! What is said on standard output and standard error, and by which process.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use crate::base::blocking::{Outlet, STDOUT, Stderr};
use crate::base::error::Error;
use crate::base::streams;
use crate::cli::Cli;
use crate::mpi::launch::{Launch, words};

/// Prints to standard output; the exit code.
pub(super) fn print(text: &str) -> u8 {
    // Of some studies and examinations rank 0 alone has something to say.
    if text.is_empty() {
        return 0;
    }
    streams::results_follow();
    match Outlet::stdout().and_then(|mut out| out.write_all(text.as_bytes())) {
        Ok(()) => 0,
        Err(e) => {
            let error = Error::writing(Path::new(STDOUT), &e);
            if error.message().is_some() {
                say(&format!("parpy: {error}\n"));
            }
            error.exit_code()
        }
    }
}

/// Prints to standard error, and does not mind when nobody listens.
pub(super) fn say(text: &str) {
    let _ = Stderr.write_all(text.as_bytes());
}

/// The same, before the process ends by force.
pub(super) fn say_at_last(text: &str) {
    say(text);
    streams::results_end(true);
}

/// How this process was started, unless these words of its command line say that it is to be a run of its own.
pub(super) fn launch_for(words: &[OsString]) -> Launch {
    if words::is_alone(words) { Launch::alone() } else { Launch::detect() }
}

/// Is it for this process to say what needs no ranks? For the first of several, and for one that may have been
/// given other words than the first.
pub(super) fn speaks(launch: &Launch) -> bool {
    launch.rank == 0 || words::may_differ(launch)
}

/// Is this process to be a run of its own, whoever has started it?
pub(super) fn is_alone(cli: &Cli) -> bool {
    cli.alone || words::variable_says_so()
}
