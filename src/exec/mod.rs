//! Programs that are run for items, each in a process group of its own: started, watched, limited in time and memory,
//! their output gathered, and nothing of them left when they are over.
//!
//! A worker does not start them itself: it may be a thread, or a rank whose memory a network card writes to, and it may
//! be killed at any time. A small process apart, the spawner, is forked from this one before there are threads and
//! before MPI is initialised ([`begin`]); for each worker it forks a runner ([`Runner`] is the worker's end of it), which
//! starts one program after the other and ends them all when its worker has gone.
//!
//! What programs are run for, and what becomes of their output, is not known here. What they read is nothing, or parts of
//! a file that a runner hands on as the system has them, without a copy by the worker or the runner (`feed`).

mod child;
mod client;
mod feed;
mod message;
mod peer;
mod resident;
mod runner;
mod spawner;

use std::ops::Range;
use std::time::Duration;

pub use client::{Ended, Runner, begin, end};
pub use peer::{News, Peer};
pub use resident::{Heard, Resident};

/// A program to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Its name, and its arguments. None has a NUL in it.
    pub argv: Vec<Vec<u8>>,
    /// Variables that it has besides those of parpy, or in place of them: `NAME=VALUE`.
    pub env: Vec<Vec<u8>>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Bytes of memory that each of its processes may have (`RLIMIT_AS`).
    pub memory: Option<u64>,
    /// Bytes that it may print.
    pub most_output: u64,
    /// What it reads.
    pub input: Input,
}

/// What a program reads on its standard input, where it is no [`Resident`], which is spoken to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Input {
    /// Nothing: it is at its end.
    #[default]
    Nothing,
    /// Parts of the file that [`Runner::start`] was given, one behind the other. A program need not read all of them.
    Parts(Vec<Range<u64>>),
}

impl Input {
    /// How many bytes there are to be read.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Parts(parts) => parts.iter().map(|part| part.end - part.start).sum(),
        }
    }
}

/// How a program has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// What has started it was killed, each time that it was run.
    Abandoned,
    /// It could not be started, for this reason (`errno`).
    NotStarted(i32),
    /// It took longer than it may, and was killed.
    TimedOut,
    /// It printed more than it may, and was killed.
    TooLong,
    /// It was stopped by this signal, nobody let it go on, and it was killed.
    Stopped(i32),
    /// Its input could not be read, for this reason (`errno`), or ended before it should (0), and it was killed.
    Unfed(i32),
}

/// What has become of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it has ended.
    pub ending: Ending,
    /// When it was started, in nanoseconds since 1970.
    pub began: u64,
    /// How long it took.
    pub took: Duration,
    /// It has left a process behind that keeps its output open.
    pub leaves_process: bool,
}
