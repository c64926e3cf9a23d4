//! What is said of a run: log lines, how far it has come, who did what, and when.

pub mod log;
pub mod progress;
pub mod report;
pub mod trace;

/// Under this name files say which parpy has written them.
pub const VERSION: &str = "parpy_version";
