//! Why a run stops early, and which exit code says so.
//!
//! A message names what failed, on what, and what to do about it, in one line: `Display` sees to that, whatever
//! names and words stand in it. Nothing is printed here: [`crate::cmd::run`] prints, and only on rank 0.

use std::fmt;
use std::io;
use std::path::Path;

use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU};

use crate::base::{escape, signals};

/// Why a run stopped early.
#[derive(Debug)]
pub enum Error {
    /// The command line or the job file is wrong (exit code 2).
    Usage(String),
    /// The same, of a job file that is no TOML or has other keys, or of an expression that does not parse. The one
    /// message of several lines, because it shows the place.
    Marked(String),
    /// One item has no answer: everything before it stands, nothing after it was written (exit code 1).
    Item(String),
    /// A worker, the input or the output failed (exit code 1).
    Failed(String),
    /// The same: a file is not there, or may not be opened, by whoever says so.
    CannotOpen(String),
    /// A signal asked for the end (exit code 128 + its number, as shells have it).
    Interrupted(i32),
    /// Whoever read our output has closed it, as `| head` does: no fault (exit code 0, no message).
    ClosedPipe,
    /// Rank 0 has said why; this rank leaves with the same exit code.
    ReportedByRoot(u8),
}

/// What nearly every function of parpy returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of the run from the operating system's own, in one style: `cannot open FILE: why`.
    pub fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        if let Some(interrupted) = signals::from_io(error) {
            return interrupted;
        }
        let text = format!("cannot {what} {}: {}", path.display(), plain(error));
        if what == "open" { Self::CannotOpen(text) } else { Self::Failed(text) }
    }

    /// A failed write; one to a closed pipe is none.
    pub fn writing(path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::io("write", path, error),
        }
    }

    /// What can be read once is to be read several times.
    pub fn once_only(what: &Path) -> Self {
        let what = what.display();
        Self::Usage(format!(
            "{what} can be read only once, and is to be read several times; save it to a file, and give that"
        ))
    }

    /// What can be read once, front to back, is to be cut into parts.
    pub fn not_in_parts(what: &Path) -> Self {
        let what = what.display();
        Self::Usage(format!(
            "--part, --join: {what} can be read only once, so that nobody can say where a part of it begins; \
             save it to a file, and give that"
        ))
    }

    /// A file says nothing of how it was made.
    pub fn no_job(path: &Path) -> Self {
        Self::Usage(format!(
            "{}: it does not say which job has made it; parpy writes that to .h5 and .json files",
            path.display()
        ))
    }

    /// The same error, of one task of several.
    pub fn of_task(self, number: usize) -> Self {
        let told = |text| format!("task {number}: {text}");
        match self {
            Self::Usage(text) => Self::Usage(told(text)),
            Self::Marked(text) => Self::Marked(told(text)),
            Self::Item(text) => Self::Item(told(text)),
            Self::Failed(text) => Self::Failed(told(text)),
            Self::CannotOpen(text) => Self::CannotOpen(told(text)),
            other => other,
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Marked(_) => 2,
            Self::Item(_) | Self::Failed(_) | Self::CannotOpen(_) => 1,
            Self::Interrupted(signal) => 128 + *signal as u8,
            Self::ClosedPipe => 0,
            Self::ReportedByRoot(code) => *code,
        }
    }

    /// What there is to say, where there is something, as it was put together.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Usage(text)
            | Self::Marked(text)
            | Self::Item(text)
            | Self::Failed(text)
            | Self::CannotOpen(text) => Some(text),
            Self::Interrupted(SIGINT) => Some("stopped by Ctrl-C (SIGINT)"),
            Self::Interrupted(SIGHUP) => Some("stopped by SIGHUP"),
            Self::Interrupted(SIGTERM) => Some("stopped by SIGTERM"),
            Self::Interrupted(SIGUSR1) => Some("stopped by SIGUSR1"),
            Self::Interrupted(SIGUSR2) => Some("stopped by SIGUSR2"),
            Self::Interrupted(SIGXCPU) => Some("stopped by SIGXCPU"),
            Self::Interrupted(SIGQUIT) => Some("stopped by SIGQUIT"),
            Self::Interrupted(SIGALRM) => Some("stopped by SIGALRM"),
            Self::Interrupted(_) => Some("stopped by a signal"),
            Self::ClosedPipe | Self::ReportedByRoot(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let text = self.message().unwrap_or("stopped early");
        f.write_str(&match self {
            Self::Marked(_) => escape::lines(text),
            _ => escape::line(text),
        })
    }
}

impl std::error::Error for Error {}

/// An operating system's error without Rust's ` (os error N)`.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// The name among `known` that `wrong` was probably meant to be.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// `; did you mean NAME?` for a message that says that there is no `wrong`; empty where no name is near.
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wrong, known).map_or(String::new(), |near| format!("; did you mean {near}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        assert_eq!(nearest("sqaure", ["cube", "square"]), Some("square"));
        assert_eq!(nearest("xyz", ["cube", "square"]), None);
    }

    #[test]
    fn a_message_is_one_line_whatever_stands_in_it() {
        let error = Error::io("open", Path::new("a\x1b[2J\nparpy: b"), &io::Error::from_raw_os_error(2));
        assert_eq!(error.to_string(), r"cannot open a\x1b[2J\nparpy: b: No such file or directory");
        assert_eq!(Error::Marked("a\x1b\n b".into()).to_string(), "a\\x1b\n b");
    }

    #[test]
    fn system_errors_read_as_people_know_them() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(plain(&error), "No such file or directory");
    }
}
