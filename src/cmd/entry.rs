//! The programs' way in: from the words of the command line to an exit code.

use std::env::args_os;
use std::ffi::OsString;
use std::panic;
use std::process::ExitCode;

use clap::FromArgMatches;
use clap::error::ErrorKind;

use crate::base::blocking::Outlet;
use crate::base::error::Error;
use crate::base::{escape, program, streams};
use crate::cli::{self, Cli, split_words};
use crate::cmd::run::{leave_together, run};
use crate::cmd::say::{launch_for, print, say, say_at_last, speaks};
use crate::input::hdf5_library;
use crate::mpi::communicator::{Backend, MpiLibrary};
use crate::node::host::host;
use crate::op::functions::{self, Function};

/// The whole program, with functions of your own, which have all patterns, formats and clusters that parpy's have: what
/// a `main` returns. It is linked with the libraries that the features of this crate stand for, so `mpirun` starts it as
/// it starts parpy.
///
/// ```no_run
/// use parpy::Function;
///
/// fn main() -> std::process::ExitCode {
///     parpy::run_with(const { &[Function::of_floats("half", "x / 2", |x| x / 2.0)] })
/// }
/// ```
pub fn run_with(functions: &'static [Function]) -> ExitCode {
    if let Err(error) = functions::provide(functions) {
        return refuse(&error);
    }
    #[cfg(feature = "hdf5")]
    if let Err(error) = crate::cmd::hdf5::provide() {
        return refuse(&error);
    }
    #[cfg(feature = "mpi")]
    let backend = {
        crate::sched::ranks::provide();
        &crate::mpi::linked::LINKED
    };
    #[cfg(not(feature = "mpi"))]
    let backend = &crate::mpi::communicator::EXEC;
    main(backend)
}

/// The whole program: parse, run, exit code.
pub fn main(backend: &Backend) -> ExitCode {
    let words: Vec<OsString> = args_os().collect();
    let launch = launch_for(&words);
    stop_all_on_panic(launch.rank, backend.abort);
    let is_rank = launch.ranks > 1;
    // Before anything is said: the other program would say it again. Where there is none, that is said when
    // it is needed.
    if cfg!(feature = "hdf5") && !hdf5_library::is_here() && program::may_need_hdf5(&words, is_rank) {
        let _ = program::HDF5.become_it();
    }
    if is_rank && matches!(backend.library, MpiLibrary::Elsewhere) {
        let _ = (backend.join)(&launch);
    }
    let matches = cli::parser(&words).try_get_matches_from(split_words(words.clone()));
    let code = match matches.and_then(|matches| Cli::from_arg_matches(&matches)).map(Cli::unmarked) {
        Ok(cli) => run(&cli, &launch, backend),
        Err(error) if error.kind() == ErrorKind::DisplayVersion => {
            if speaks(&launch) {
                version(backend)
            } else {
                0
            }
        }
        Err(error) => {
            // Where all ranks were given the same words, one of them says what is wrong with them.
            let code = error.exit_code() as u8;
            let is_open = if error.use_stderr() { Ok(()) } else { Outlet::stdout().map(drop) };
            let print = || is_open.and_then(|()| safe(error, &words).print());
            let printed = if speaks(&launch) { print() } else { Ok(()) };
            match code {
                // Help that could not be printed is rank 0's trouble alone: nobody would wait with it.
                0 => u8::from(printed.is_err()),
                code => leave_together(&launch, backend, code),
            }
        }
    };
    // What MPI has said at its end.
    streams::results_end(code != 0);
    ExitCode::from(code)
}

/// The same error, of words that can be printed: it shows some of them.
fn safe(error: clap::Error, words: &[OsString]) -> clap::Error {
    // This one shows none, and there would be no fault any more.
    if error.kind() == ErrorKind::InvalidUtf8 {
        return error;
    }
    let safe = words.iter().map(|word| OsString::from(escape::line(&word.to_string_lossy())));
    let safe: Vec<OsString> = safe.collect();
    if safe == words {
        return error;
    }
    match cli::parser(&safe).try_get_matches_from(split_words(safe)) {
        Err(error) => error,
        Ok(_) => clap::Error::raw(error.kind(), escape::line(&error.to_string()) + "\n"),
    }
}

/// Says why this program cannot run at all, once for all ranks.
pub fn refuse(error: &Error) -> ExitCode {
    // Without MPI the ranks cannot wait for each other, so none but the one that speaks may fail.
    if launch_for(&args_os().collect::<Vec<_>>()).rank > 0 {
        return ExitCode::SUCCESS;
    }
    say(&format!("parpy: {error}\n"));
    ExitCode::from(error.exit_code())
}

/// Says which version this is, and of which libraries: those of the program that is linked with them all.
fn version(backend: &Backend) -> u8 {
    if cfg!(feature = "hdf5") && !hdf5_library::is_here() {
        let _ = program::HDF5.become_it();
    }
    let hdf5 = match hdf5_library::library() {
        Ok(library) => library.version(),
        Err(_) if cfg!(feature = "hdf5") => program::HDF5.missing("it is not there"),
        Err(_) => "none (built without the feature hdf5)".to_owned(),
    };
    let (version, commit) = (env!("CARGO_PKG_VERSION"), env!("PARPY_COMMIT"));
    print(&format!("parpy {version} ({commit})\nMPI: {}\nHDF5: {hdf5}\n", backend.library.name()))
}

/// A panic on one rank must not leave the others waiting for it.
fn stop_all_on_panic(rank: usize, abort: fn() -> !) {
    panic::set_hook(Box::new(move |info| {
        let (pid, host) = (std::process::id(), host());
        say_at_last(&format!(
            "parpy: rank {rank} (pid {pid} on host {host}) has met a fault in parpy itself and stops the run: \
             {}\n",
            escape::lines(&info.to_string())
        ));
        abort();
    }));
}
