//! Signals that ask for an end: Ctrl-C (SIGINT), SIGTERM, SIGHUP, those that batch systems send some time before
//! a job's time is over (SIGUSR1, SIGUSR2, SIGXCPU), and what else is sent to that end (SIGQUIT, SIGALRM); and the
//! one that should not be one (SIGXFSZ).
//!
//! They are only noted here; whoever works looks for them between two blocks, so that what has been done
//! is kept and workers are gone before the process is. A second Ctrl-C ends the process at once; a second
//! SIGTERM does not, because timeout(1) and others send two. A rank of an MPI run tells rank 0 with its next
//! result header, if rank 0 has not been sent the signal as well, and all ranks leave together; where a rank that is
//! waited for never answers, rank 0 gives up after a while ([`give_up_waiting`]).
//!
//! Who would wait within a system call waits for signals as well: [`wait_readable`], [`wait_writable`], [`nap`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ};
use signal_hook::{flag, low_level, low_level::pipe};

use crate::base::error::{Error, Result, plain};
use crate::base::time::Timestamp;

/// Those that ask for an end.
pub const SIGNALS: [i32; 8] = [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU, SIGQUIT, SIGALRM];

/// Those of them that a terminal or a batch system sends to all processes of a run: whoever leads it decides what
/// they mean.
pub const SENT_TO_ALL: [i32; 4] = [SIGINT, SIGQUIT, SIGUSR1, SIGUSR2];

/// Those of them that a launcher sends to the process that it knows, and means for all of its run. (Ctrl-C goes to
/// all of them by itself.)
pub const PASSED_ON: [i32; 7] = [SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU, SIGQUIT, SIGALRM];

/// What the handlers write to.
struct Watch {
    /// The signal that came last; 0 for none.
    caught: Arc<AtomicUsize>,
    /// Readable once a signal has come.
    pipe: OwnedFd,
}

static WATCH: OnceLock<Watch> = OnceLock::new();

/// Begins to watch for signals in this process; later calls do nothing. A signal that whoever started this
/// process wants to be ignored (as `nohup` does with SIGHUP) stays ignored.
///
/// # Errors
/// The system has no descriptors or handlers left.
pub fn watch() -> Result<()> {
    if WATCH.get().is_some() {
        return Ok(());
    }
    let start = || -> io::Result<Watch> {
        let (read, write) = std::io::pipe()?;
        let caught = Arc::new(AtomicUsize::new(0));
        for signal in SIGNALS.into_iter().filter(|signal| !is_ignored(*signal)) {
            if signal == SIGINT {
                // SAFETY: the handler reads a clock, compares numbers, and perhaps ends the process with _exit,
                // all of which signal-safety(7) allows.
                unsafe { low_level::register(signal, end_when_asked_again)? };
            }
            flag::register_usize(signal, Arc::clone(&caught), signal as usize)?;
            pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Watch { caught, pipe: read.into() })
    };
    let watch = start().map_err(|e| Error::Failed(format!("cannot watch for signals: {}", plain(&e))))?;
    let _ = WATCH.set(watch);
    Ok(())
}

/// Does `work`, which may take signals that are watched for itself, as MPICH takes SIGUSR1 when it is initialised.
/// Afterwards they are watched for as before.
pub fn watch_again_after<T>(work: impl FnOnce() -> T) -> T {
    let before = SIGNALS.map(disposition);
    let done = work();
    for (signal, action) in SIGNALS.into_iter().zip(before) {
        let Some(action) = action else { continue };
        // SAFETY: the disposition that the process had a moment ago.
        unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
    }
    done
}

/// How long rank 0, once it has been asked to end, waits for an answer of the others: shorter than SLURM
/// (`KillWait`, 30 s) and others wait before they kill.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it looks whether it still waits for the same answer.
const LOOK: Duration = Duration::from_millis(100);

/// Nanoseconds within which two Ctrl-C are one.
const SAME_PRESS: u64 = 300_000_000;

/// How often this process has begun or ended to wait for other ranks: odd while it waits.
static WAITS: AtomicUsize = AtomicUsize::new(0);

/// This process waits for other ranks for as long as this lives.
pub struct Waiting(());

impl Waiting {
    /// Begins to wait.
    pub fn begin() -> Self {
        WAITS.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ctrl-C ends this process at once when it comes for the second time, and not with the first: timeout(1) sends a
/// process two of the same.
fn end_when_asked_again() {
    static FIRST: AtomicU64 = AtomicU64::new(0);
    let Timestamp(now) = Timestamp::now();
    if let Err(first) = FIRST.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed)
        && now > first + SAME_PRESS
    {
        low_level::exit(128 + SIGINT);
    }
}

/// From now on rank 0 does not wait for ever once it has been asked to end: where one and the same [`Waiting`]
/// lasts for ten seconds, `say` tells the user so, and the process ends by force, whereupon its launcher ends
/// the others. Not for the other ranks, which cannot tell a rank 0 that is gone from one that still writes.
///
/// # Errors
/// There can be no further thread.
pub fn give_up_waiting(say: impl FnOnce(&str) + Send + 'static) -> io::Result<()> {
    let Some(signals) = descriptor() else { return Ok(()) };
    let last_resort = move || {
        let error = loop {
            // Whatever ends the waiting, the next look says whether it was a signal.
            let _ = poll(&mut [PollFd::new(&signals, PollFlags::IN)], None);
            if let Err(error) = check() {
                break error;
            }
        };
        let (mut last, mut since) = (WAITS.load(Ordering::Relaxed), Instant::now());
        while last % 2 == 0 || since.elapsed() < PATIENCE {
            thread::sleep(LOOK);
            let now = WAITS.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        say(&format!("{error}; other ranks do not answer"));
        low_level::exit(error.exit_code().into());
    };
    thread::Builder::new().name("last resort".into()).stack_size(64 * 1024).spawn(last_resort).map(drop)
}

/// From now on a file that grows beyond what this process may write (`ulimit -f`) is an error, as a full disk
/// is, and not the end of the process. Ranks do this too.
pub fn survive_file_limit() {
    // A handler and not SIG_IGN, which other programs that this one starts would inherit. Where there is no
    // room for one the process ends as it would have.
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Is the signal ignored in this process?
fn is_ignored(signal: i32) -> bool {
    disposition(signal).is_some_and(|action| action.sa_sigaction == libc::SIG_IGN)
}

/// What this process does when the signal comes; `None` where the system does not say.
fn disposition(signal: i32) -> Option<libc::sigaction> {
    // SAFETY: asks for a disposition and sets none; all zeros is a valid one to be written over.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        (libc::sigaction(signal, std::ptr::null(), &mut action) == 0).then_some(action)
    }
}

/// Has a signal come?
///
/// # Errors
/// [`Error::Interrupted`] when one has.
pub fn check() -> Result<()> {
    match WATCH.get().map_or(0, |watch| watch.caught.load(Ordering::Relaxed)) {
        0 => Ok(()),
        signal => Err(Error::Interrupted(signal as i32)),
    }
}

/// Nobody wants what this process works on: the run has ended elsewhere.
static UNWANTED: AtomicBool = AtomicBool::new(false);

/// From now on, does anybody want what this process works on?
#[cfg_attr(not(feature = "mpi"), allow(dead_code))]
pub fn set_wanted(is_wanted: bool) {
    UNWANTED.store(!is_wanted, Ordering::Relaxed);
}

/// Is the work worth going on with? To be asked between two items of which each may take long.
///
/// # Errors
/// A signal has come, as those of [`check`], or the run has ended elsewhere, so that nobody hears of the error.
pub fn check_wanted() -> Result<()> {
    check()?;
    if UNWANTED.load(Ordering::Relaxed) {
        return Err(Error::Failed("is not wanted any more".into()));
    }
    Ok(())
}

/// What becomes readable when a signal comes; `None` where nobody watches.
pub fn descriptor() -> Option<BorrowedFd<'static>> {
    WATCH.get().map(|watch| watch.pipe.as_fd())
}

/// Waits until `input` can be read without waiting, or has ended.
///
/// # Errors
/// A signal has come: an error that [`from_io`] knows again.
pub fn wait_readable(input: BorrowedFd) -> io::Result<()> {
    let signals = descriptor();
    // Where nobody watches, only the first counts.
    let count = 1 + usize::from(signals.is_some());
    loop {
        let mut both =
            [input, signals.unwrap_or(input)].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        match poll(&mut both[..count], None) {
            Ok(_) if count == 2 && !both[1].revents().is_empty() => return Err(interrupted()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Can `input` be read without waiting for longer than `most`? Also after an error, or a signal.
pub fn is_readable_within(input: BorrowedFd, most: Duration) -> bool {
    poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&timespec(most))) != Ok(0)
}

/// For how long a reader that is slow may still take what is being written once a signal has come: from when
/// somebody first waits for it.
#[derive(Debug, Default)]
pub struct Grace(OnceLock<Instant>);

/// Short of the second within which a run ends.
const GRACE: Duration = Duration::from_millis(300);

impl Grace {
    /// One that has not begun.
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    fn left(&self) -> Duration {
        self.0.get_or_init(|| Instant::now() + GRACE).saturating_duration_since(Instant::now())
    }
}

/// Waits until something can be written to `output`, or nobody reads it any more.
///
/// # Errors
/// A signal has come, and `grace` is over: an error that [`from_io`] knows again.
pub fn wait_writable(output: BorrowedFd, grace: &Grace) -> io::Result<()> {
    let signals = descriptor();
    let mut heard = check().is_err();
    loop {
        let most = heard.then(|| timespec(grace.left()));
        let mut both = [
            PollFd::from_borrowed_fd(output, PollFlags::OUT),
            PollFd::from_borrowed_fd(signals.unwrap_or(output), PollFlags::IN),
        ];
        // Once a signal has been heard, and where nobody watches, only the first counts.
        let count = 1 + usize::from(signals.is_some() && !heard);
        match poll(&mut both[..count], most.as_ref()) {
            Ok(0) => return Err(interrupted()),
            Ok(_) if !both[0].revents().is_empty() => return Ok(()),
            Ok(_) => heard = true,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Waits for a moment.
///
/// # Errors
/// A signal has come, as those of [`wait_readable`].
pub fn nap() -> io::Result<()> {
    sleep(Duration::from_millis(10))
}

/// Waits for `time`, or somewhat less.
///
/// # Errors
/// A signal has come, as those of [`wait_readable`].
pub fn sleep(time: Duration) -> io::Result<()> {
    match descriptor() {
        Some(signals) if is_readable_within(signals, time) && check().is_err() => Err(interrupted()),
        Some(_) => Ok(()),
        None => {
            thread::sleep(time);
            Ok(())
        }
    }
}

/// The error of a signal that has come.
fn interrupted() -> io::Error {
    check().err().map_or(io::ErrorKind::Interrupted.into(), io::Error::other)
}

fn timespec(time: Duration) -> Timespec {
    // More than a century is no time that the system can wait for.
    let time = time.min(Duration::from_secs(u32::MAX.into()));
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() }
}

/// The error of a signal that [`wait_readable`] has met, if that is what `error` is.
pub fn from_io(error: &io::Error) -> Option<Error> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::Interrupted(signal) => Some(Error::Interrupted(*signal)),
        _ => None,
    }
}
