//! Why a command has given no answer, in words.

use std::time::Duration;

use signal_hook::low_level::signal_name;

use crate::base::fmt::counted;
use crate::exec::Ending;

/// The exit code by which shells say that there is no such program, and that it may not be run.
const NO_PROGRAM: i32 = 127;
const NO_RIGHT: i32 = 126;

/// Letters of the last line that a message shows.
const LONGEST_LINE: usize = 200;

/// What an ending that is none in good order means.
pub(super) fn of(ending: Ending, timeout: Option<Duration>, most: u64) -> String {
    match ending {
        Ending::Exited(NO_PROGRAM) => "exit code 127: a program of it is not there".to_owned(),
        Ending::Exited(NO_RIGHT) => "exit code 126: a program of it may not be run".to_owned(),
        Ending::Exited(code) => format!("exit code {code}"),
        Ending::Killed(signal) => format!("it was killed by {}", name(signal)),
        Ending::Abandoned => "what starts it was killed, each time that it was run".to_owned(),
        Ending::TimedOut => {
            format!(
                "it took longer than {} (--timeout), and was killed",
                seconds(timeout.unwrap_or_default())
            )
        }
        Ending::TooLong => format!(
            "it has printed more than {}, and was killed; have it write to a file, or print text to -o FILE.txt",
            counted(most >> 20, "MiB").trim_end_matches('s')
        ),
        Ending::Stopped(signal) => {
            format!("it was stopped by {}, nobody let it go on, and it was killed", name(signal))
        }
        Ending::NotStarted(errno) => format!("it cannot be started: {}", why_not(errno)),
        Ending::Unfed(errno) => format!("its input cannot be read: {}", unread(errno)),
    }
}

/// The same, with the last line of what it has said.
pub(super) fn with_said(fault: String, said: &[u8]) -> String {
    let last = said.split(|byte| *byte == b'\n').rfind(|line| !line.trim_ascii().is_empty());
    let text = |line: &[u8]| {
        String::from_utf8_lossy(line.trim_ascii()).chars().take(LONGEST_LINE).collect::<String>()
    };
    last.map_or_else(|| fault.clone(), |line| format!("{fault}: {}", text(line)))
}

fn name(signal: i32) -> String {
    signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// Why a file could not be handed on: 0 where it ended too early.
pub(super) fn unread(errno: i32) -> String {
    match errno {
        0 => "it has been cut short since the run began".to_owned(),
        errno => crate::base::error::plain(&std::io::Error::from_raw_os_error(errno)),
    }
}

fn why_not(errno: i32) -> String {
    match errno {
        libc::ENOENT => "there is no such program, or not the one that its first line names".to_owned(),
        libc::EACCES => "it is no program, or may not be run".to_owned(),
        libc::E2BIG => {
            "its arguments are too long; a single one may have 128 KiB, and all of them as much as `getconf ARG_MAX` says"
                .to_owned()
        }
        libc::EAGAIN => "there may be no more processes (ulimit -u)".to_owned(),
        libc::EMFILE | libc::ENFILE => "there may be no more open files (ulimit -n)".to_owned(),
        libc::ENOMEM => "there is no memory for another process".to_owned(),
        errno => crate::base::error::plain(&std::io::Error::from_raw_os_error(errno)),
    }
}
