//! Standard output and standard error, kept apart where a launcher would mix them.
//!
//! The mpirun of Open MPI 5 takes both from each rank in pieces of 4,096 bytes, and puts the line that a piece
//! breaks off before the piece that comes next. Up to PMIx 5.0.10 (and in 6.0 and 6.1.0) that may be a piece of the
//! other stream (openpmix, issue 3858): as soon as a rank says something while its results are on their way,
//! part of a result is missing on standard output, and stands before a message. So under such an mpirun, what
//! this process, its workers and its libraries say on standard error waits in a file, from the first result on
//! until mpirun has taken the last.
//!
//! Nothing here knows what is said or written. Where the results end within a line (those of a file that does),
//! mpirun keeps that line to its own end, and whatever was said then would take it away: results go before
//! messages, which are left out unless the run has failed. Where other processes have the same standard output
//! (`mpirun sh -c 'parpy …; parpy …'`), nothing tells when mpirun has taken all of it: it gets a second. What
//! waits is lost with a process that is killed.

use std::env;
use std::fs::File;
use std::io::{IsTerminal, Seek, copy, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Stat, fstat, stat};
use rustix::io::ioctl_fionread;
use rustix::process::getppid;
use rustix::stdio::{self, dup2_stderr, dup2_stdout};

use crate::base::blocking::Stderr;

/// How long mpirun may take to read what it has been given, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same, where nothing will tell when it has.
const GUESS: Duration = Duration::from_secs(1);

/// How often to see whether it has.
const LOOK: Duration = Duration::from_micros(100);

/// What mpirun calls its version of PMIx.
const PMIX_VERSION: &str = "PMIX_VERSION";

/// What the daemons of PRRTE, Open MPI's mpirun among them, tell all that they start.
const PRRTE: &str = "PRTE_LAUNCHED";

/// Standard error while it waits.
struct Waiting {
    /// What has been said.
    said: File,
    /// Where it is to go.
    own: OwnedFd,
}

static WAITING: Mutex<Option<Waiting>> = Mutex::new(None);

/// The results so far end with a whole line.
static IS_LINE: AtomicBool = AtomicBool::new(true);

/// Says that from now on results may go to standard output. What is said on standard error waits from here on, if
/// it has to.
pub fn results_follow() {
    let Ok(mut waiting) = WAITING.lock() else { return };
    if waiting.is_some() || !would_be_mixed() {
        return;
    }
    // What has been said so far goes before the results.
    until(PATIENCE, || is_read(stdio::stderr()));
    *waiting = keep();
    if waiting.is_none() {
        tracing::warn!(
            "there is no room to keep messages apart from results, which this mpirun may mix; use -o FILE, or \
             mpirun --output :raw"
        );
    }
}

/// Notes that `bytes` of results are on their way to standard output.
pub fn results(bytes: &[u8]) {
    if let Some(last) = bytes.last() {
        IS_LINE.store(*last == b'\n', Ordering::Relaxed);
    }
}

/// Passes on what has been said, when all results have been written; `failed` says whether the run has. After
/// that no results may follow. Does nothing where nothing waits.
pub fn results_end(failed: bool) {
    let Ok(mut waiting) = WAITING.lock() else { return };
    let Some(kept) = &mut *waiting else { return };
    let has_text = kept.said.metadata().is_ok_and(|meta| meta.len() > 0);
    if !has_text || !(failed || IS_LINE.load(Ordering::Relaxed)) {
        return;
    }
    until_taken();
    let _ = dup2_stderr(&kept.own);
    let _ = kept.said.rewind().and_then(|()| copy(&mut kept.said, &mut Stderr));
    *waiting = None;
}

/// Waits, for a second at most, until what was written to standard output and standard error has been read, where
/// those are pipes: a launcher that learns first that the run is aborted leaves the rest in them unread, as that of
/// MPICH does.
pub fn until_read() {
    let began = Instant::now();
    for stream in [stdio::stdout(), stdio::stderr()] {
        let is_pipe = fstat(stream).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
        if is_pipe {
            until(GUESS.saturating_sub(began.elapsed()), || is_read(stream));
        }
    }
}

/// The version of PMIx that the mpirun which has started this process has, where that mixes the streams.
pub fn mixing_pmix() -> Option<String> {
    env::var_os(PRRTE)?;
    env::var(PMIX_VERSION).ok().filter(|version| mixes(version))
}

/// Are both streams on their way to an mpirun that mixes them?
fn would_be_mixed() -> bool {
    let kind = |stat: &Stat| FileType::from_raw_mode(stat.st_mode);
    // As mpirun makes them, and not as a script may have led them elsewhere.
    mixing_pmix().is_some()
        && match (fstat(stdio::stdout()), fstat(stdio::stderr())) {
            (Ok(out), Ok(err)) => {
                kind(&err) == FileType::Fifo
                    && (kind(&out) == FileType::Fifo || stdout().is_terminal())
                    && !is_same(&out, &err)
            }
            _ => false,
        }
}

/// Does the PMIx of this version mix the streams of a rank? (`pmix_iof_write_output` in its iof.c: the fault came
/// with 4.1.1, and 5.0.11 and 6.1.1 are without.)
fn mixes(version: &str) -> bool {
    // `5.0.7a1` has a number in its third part, too.
    let number = |part: &str| part.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok();
    let mut parts = version.split('.').map(number);
    let [Some(major), minor, patch] = [(); 3].map(|()| parts.next().flatten()) else { return false };
    let version = (major, minor.unwrap_or(0), patch.unwrap_or(0));
    ((4, 1, 1)..(5, 0, 11)).contains(&version) || ((6, 0, 0)..(6, 1, 1)).contains(&version)
}

/// Leads standard error into a file; `None` where there can be none.
fn keep() -> Option<Waiting> {
    let (said, own) = (file()?, stdio::stderr().try_clone_to_owned().ok()?);
    dup2_stderr(&said).ok()?;
    Some(Waiting { said, own })
}

/// A file without a name, in memory where that is possible: what is to be said may be that the disk is full.
fn file() -> Option<File> {
    #[cfg(target_os = "linux")]
    if let Ok(file) = rustix::fs::memfd_create("messages", rustix::fs::MemfdFlags::CLOEXEC) {
        return Some(file.into());
    }
    tempfile::tempfile().ok()
}

/// Ends standard output, and waits until mpirun has taken all of it.
fn until_taken() {
    let out = stdio::stdout();
    // A terminal does not tell its one end what the other has still to read. But that end closes it when it has
    // read all, and then the terminal's name goes.
    let name = stdout().is_terminal().then(name_of_stdout);
    let patience = if matches!(name, Some(None)) || is_shared() { GUESS } else { PATIENCE };
    if name.is_none() {
        until(PATIENCE, || is_read(out));
    }
    if let Ok(nothing) = File::options().write(true).open("/dev/null") {
        let _ = dup2_stdout(nothing.as_fd());
    }
    if let Some(name) = name {
        let is_gone = |name: &OwnedFd| fstat(name).is_ok_and(|stat| stat.st_nlink == 0);
        until(patience, || name.as_ref().is_some_and(is_gone));
    }
}

/// The name of standard output, which does not hold the terminal itself; `None` where the system has no such thing.
fn name_of_stdout() -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Mode, OFlags, open};
        open("/proc/self/fd/1", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Has the parent, a shell or the like, the same standard output? Then it keeps it open.
fn is_shared() -> bool {
    let parent = getppid().map_or(0, |parent| parent.as_raw_nonzero().get());
    match (fstat(stdio::stdout()), stat(format!("/proc/{parent}/fd/1"))) {
        (Ok(own), Ok(other)) => is_same(&own, &other),
        // A parent that does not show it is another user's, and so no shell of ours.
        _ => false,
    }
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// Has all been read that was written to a pipe? Also where nobody can say.
fn is_read(pipe: BorrowedFd) -> bool {
    ioctl_fionread(pipe).map_or(true, |left| left == 0)
}

/// Waits until it is so, but no longer than `most`.
fn until(most: Duration, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() && began.elapsed() < most {
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_that_mix() {
        for version in ["4.1.1", "4.2.2", "5.0.0", "5.0.7a1", "5.0.10", "6.0.0", "6.1.0rc1"] {
            assert!(mixes(version), "{version}");
        }
        for version in ["", "x", "3.2.5", "4.1.0", "5.0.11", "5.1", "6.1.1", "7.0.0"] {
            assert!(!mixes(version), "{version}");
        }
    }
}
