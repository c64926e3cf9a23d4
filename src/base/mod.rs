//! What every program needs: errors, names of files, streams, signals, time, files that are complete or not
//! there. Nothing here knows of tasks.

pub mod atomic_file;
pub mod blocking;
pub mod error;
pub mod escape;
pub mod fmt;
pub mod fork_join;
pub mod futex;
pub mod isolate;
pub mod lanes;
pub mod names;
pub mod program;
pub mod scratch;
pub mod signals;
pub mod spool;
pub mod streams;
pub mod table;
pub mod time;
