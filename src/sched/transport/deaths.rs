//! How workers that die, or cannot be started, are told of.

use std::io;

use rustix::io::Errno;
use rustix::process::WaitStatus;
use signal_hook::consts::SIGKILL;
use signal_hook::low_level::signal_name;

use crate::base::error::{Error, plain};

/// No worker could be started.
pub fn no_worker(error: &io::Error) -> Error {
    Error::Failed(format!("cannot start a worker: {}{}", plain(error), remedy(error)))
}

/// What to do about a system that has no room for workers.
pub(super) fn remedy(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => " (ulimit -n)",
        Some(Errno::AGAIN) => " (ulimit -u, or the pids.max of the cgroup)",
        _ => "",
    }
}

/// How a worker has ended, in words.
pub(super) fn how(status: Option<WaitStatus>) -> String {
    let Some(status) = status else { return "has ended".to_owned() };
    if let Some(signal) = status.terminating_signal() {
        let name = signal_name(signal).unwrap_or("a signal");
        let hint = if signal == SIGKILL { ", perhaps for want of memory" } else { "" };
        return format!("was killed by {name} (signal {signal}{hint})");
    }
    match status.exit_status() {
        Some(code) => format!("has left with exit code {code}"),
        None => "has ended".to_owned(),
    }
}
