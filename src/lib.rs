//! One function over many values, or the sections of one huge file, run serially, in vector lanes, over
//! threads, worker processes or MPI ranks: the same answers in the same order whichever way it runs.
//!
//! The command line is the product; this library is its rooms, in the order in which data flows:
//! [`cli`] (flags as typed), [`job`] (checked), [`input`] (blocks of values, or sections of a file, as
//! [`cut`] cuts them), [`pattern`] (who runs the blocks), [`function`] (what is done with one), [`output`]
//! (answers in block order), and [`report`] (who did what). [`run`] is the road through them; [`cpus`]
//! says how many workers are of use, [`interrupt`] when to stop, also in what is [`blocking`], and [`progress`]
//! how far it has come; [`streams`] keeps what is said apart from the answers.
//! [`trace`] writes who worked when, in [`moment`]s that processes can tell each other. [`part`] is what one
//! element of a job array does. [`provenance`] says where a result comes from, and [`show`] looks into one.
//! [`scale`] times the whole road with several patterns and numbers of workers. [`doctor`] looks at the nodes
//! and says what will go wrong. A file that could crash a library is read in a process [`apart`]. What is linked with
//! MPI or HDF5 is a program of its own ([`program`]), reached
//! through a door each: [`pattern::ranks`] and [`hdf5`].
//!
//! ```
//! use clap::Parser;
//! use parpy::{cli::Cli, launch::Launch, pattern::ranks::ELSEWHERE};
//!
//! let out = std::env::temp_dir().join(format!("parpy-doc-{}.txt", std::process::id()));
//! let cli = Cli::parse_from(["parpy", "map", "1", "2", "3", "-o", out.to_str().unwrap()]);
//! assert_eq!(parpy::run::run(&cli, &Launch::detect(), &ELSEWHERE), 0);
//! assert_eq!(std::fs::read_to_string(&out)?, "1\n4\n9\n");
//! # std::fs::remove_file(out)?;
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod apart;
pub mod blocking;
pub mod cli;
pub mod cpus;
pub mod cut;
pub mod doctor;
pub mod error;
mod escape;
pub mod function;
pub mod hdf5;
pub mod input;
pub mod interrupt;
pub mod job;
pub mod launch;
mod log;
pub mod moment;
pub mod mounts;
mod names;
pub mod output;
pub mod part;
pub mod pattern;
pub mod program;
pub mod progress;
pub mod provenance;
pub mod report;
pub mod run;
pub mod scale;
mod scratch;
pub mod show;
mod side_by_side;
pub mod streams;
mod table;
pub mod trace;
