//! parpy: one function over many values, or over the sections of one huge file, run serially, in vector lanes, over
//! threads, worker processes or MPI ranks: the same bytes in the same order whichever way it runs.
//!
//! The command line is the product; this library is its rooms. Each imports only from rooms above it in this list (a
//! test holds that), and data flows downwards through them:
//!
//! - [`data`]: types of values, blocks, and how n items are cut into k parts
//! - [`base`]: errors, signals, streams, files that are complete or not there, vector instructions
//! - [`exec`]: programs that are run for items, and nothing left of them
//! - [`node`]: the CPUs, file systems and name of the node
//! - [`mpi`]: how launchers start ranks, and how ranks speak to each other
//! - [`job`]: tasks, checked: plain data
//! - [`observe`]: log lines, progress, reports, traces
//! - [`input`]: where values and lines come from
//! - [`op`]: what is done with them
//! - [`output`]: encodings and files of results, and where a result came from
//! - [`sched`]: who runs which block, and the order of the results
//! - [`cli`]: flags and job files as typed, and their check
//! - [`cmd`]: the commands
//!
//! A program of your own has all of it with functions of your own, by [`run_with`].
//!
//! What is linked with MPI or HDF5 is a program of its own ([`base::program`]), which provides what the others only
//! name: [`mpi::communicator::Backend`], [`input::hdf5_library`], [`output::hdf5_library`] and [`cmd::hdf5`].
//!
//! ```
//! use clap::Parser;
//! use parpy::{cli::Cli, mpi::communicator::EXEC, mpi::launch::Launch};
//!
//! let out = std::env::temp_dir().join(format!("parpy-doc-{}.txt", std::process::id()));
//! let cli = Cli::parse_from(["parpy", "map", "1", "2", "3", "-o", out.to_str().unwrap()]);
//! assert_eq!(parpy::cmd::run::run(&cli, &Launch::detect(), &EXEC), 0);
//! assert_eq!(std::fs::read_to_string(&out)?, "1\n4\n9\n");
//! # std::fs::remove_file(out)?;
//! # Ok::<(), std::io::Error>(())
//! ```

/// The code in the text about how parpy is built.
#[cfg(doctest)]
#[doc = include_str!("README.md")]
struct Architecture;

pub use cmd::entry::run_with;
pub use op::functions::{Function, OfText};

pub mod base;
pub mod cli;
pub mod cmd;
pub mod data;
pub mod exec;
pub mod input;
pub mod job;
pub mod mpi;
pub mod node;
pub mod observe;
pub mod op;
pub mod output;
pub mod sched;
