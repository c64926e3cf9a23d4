//! How workers come into being: as threads of this process, or as forked processes.

use std::io::{self, Read};
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic;
use std::thread::Scope;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};

use super::local::TaskContext;
use super::worker::{ALONE, Start, Worker};
use crate::base::error::{Error, Result};
use crate::base::time::Timestamp;
use crate::base::{isolate, signals};

/// The manager's end of a worker.
pub struct WorkerHandle {
    /// Wakes the worker, and is woken by it; ends when the worker does.
    pub waker: UnixStream,
    /// Its process, where it has one of its own.
    pub process: Option<Pid>,
    /// The block that was held for it when it was started.
    pub held: Option<u64>,
    /// When that was.
    pub began: Timestamp,
}

/// Starts workers.
pub trait Spawn {
    /// Starts one. `handles` are those that are there.
    ///
    /// # Errors
    /// The system has no room for another.
    fn spawn(&mut self, start: Start, handles: &[Option<WorkerHandle>]) -> io::Result<WorkerHandle>;
}

/// No workers but the manager.
pub struct Nobody;

impl Spawn for Nobody {
    fn spawn(&mut self, _start: Start, _handles: &[Option<WorkerHandle>]) -> io::Result<WorkerHandle> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Workers that are threads.
pub struct ThreadSpawner<'scope, 'env> {
    /// Ends when all of them have.
    pub scope: &'scope Scope<'scope, 'env>,
    /// What they work with.
    pub context: TaskContext<'scope>,
}

impl Spawn for ThreadSpawner<'_, '_> {
    fn spawn(&mut self, start: Start, _mates: &[Option<WorkerHandle>]) -> io::Result<WorkerHandle> {
        let (ours, theirs) = waker()?;
        let context = self.context;
        // Whether there is room for the file that it works on, too, as the system's own error.
        drop(theirs.try_clone()?);
        // Opened here and not in the thread, which other threads could leave without a descriptor.
        let worker = Worker::new(context, start.number, ALONE, theirs).ready().map_err(io::Error::other)?;
        let thread = std::thread::Builder::new().name(format!("worker {}", start.worker));
        thread.spawn_scoped(self.scope, move || worker.run(start))?;
        Ok(WorkerHandle {
            waker: ours,
            process: None,
            held: start.held.map(|(_, number)| number),
            began: Timestamp::now(),
        })
    }
}

/// Workers that are forked processes.
///
/// A fork has one thread, the one that forked; what other threads held (locks, above all) stays held for
/// ever. So this is for a process that has one thread: [`ForkSpawner::new`] sees to that, and threads that help the
/// lead of forks to read numbers have ended before it forks. Nothing that does not survive a fork has been
/// initialised then: MPI is not even loaded. HDF5, where it is, is used by the manager between forks, never in
/// the middle of one; a child reads through files of its own, and leaves by `_exit` without closing the manager's.
pub struct ForkSpawner<'a> {
    context: TaskContext<'a>,
}

/// Milliseconds that threads may take to leave.
const LAST_THREADS: usize = 1000;

impl<'a> ForkSpawner<'a> {
    /// Workers that work with `context`.
    ///
    /// # Errors
    /// This process has several threads.
    pub fn new(context: TaskContext<'a>) -> Result<Self> {
        let mut threads = isolate::threads();
        // Threads of an earlier task have ended for this process before they have for the system.
        for _ in 0..LAST_THREADS {
            if threads == 1 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
            threads = isolate::threads();
        }
        // Where whoever started parpy ignores it, nobody could learn how a worker has ended.
        // SAFETY: sets a disposition to a constant; no handler is installed.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        if threads > 1 {
            return Err(Error::Failed(format!(
                "cannot start worker processes from a process that has {threads} threads (under mpirun it has some); \
                 use -p threads, or -p mpi"
            )));
        }
        Ok(Self { context })
    }
}

impl Spawn for ForkSpawner<'_> {
    fn spawn(&mut self, start: Start, handles: &[Option<WorkerHandle>]) -> io::Result<WorkerHandle> {
        let (ours, theirs) = waker()?;
        let parent = rustix::process::getpid();
        // A signal that came before the child has its own idea of signals would be taken for the manager's.
        let signals = HeldBack::all();
        // SAFETY: this process has one thread now (see `ForkSpawner`), so the child has a whole copy of it. The child
        // leaves by `_exit` below: it never returns into what its parent was doing, and drops nothing that
        // is its parent's, such as temporary files.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let _ours = ManuallyDrop::new(ours);
                let code = be_a_worker(self.context, start, theirs, parent, handles, signals);
                // SAFETY: ends this process and nothing else.
                unsafe { libc::_exit(code) }
            }
            pid => Ok(WorkerHandle {
                waker: ours,
                process: Pid::from_raw(pid),
                held: start.held.map(|(_, number)| number),
                began: Timestamp::now(),
            }),
        }
    }
}

/// Two ends of a wake-up socket. Ringing never waits, and neither does the manager's listening.
fn waker() -> io::Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((ours, theirs))
}

/// Signals held back in this thread for as long as this lives.
struct HeldBack(libc::sigset_t);

impl HeldBack {
    fn all() -> Self {
        // SAFETY: both sets are this function's own, and valid once filled by the first two calls.
        unsafe {
            let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&mut all);
            libc::sigemptyset(&mut before);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            Self(before)
        }
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        // SAFETY: the set that the system gave.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}

/// The life of a forked worker; its exit code.
fn be_a_worker(
    context: TaskContext<'_>,
    start: Start,
    waker: UnixStream,
    parent: Pid,
    handles: &[Option<WorkerHandle>],
    signals: HeldBack,
) -> i32 {
    // Where the system can do it, a worker ends with its parent however that ends; the second line is for
    // a parent that has ended already. Elsewhere it ends when it next listens to its wake-up socket, which it can
    // hear the end of only when no worker holds the manager's end of another's.
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        if rustix::process::getppid() != Some(parent) {
            return 0;
        }
    }
    for handle in handles.iter().flatten() {
        // SAFETY: this process's copy of a descriptor that nothing in it will use or drop.
        unsafe { libc::close(handle.waker.as_raw_fd()) };
    }
    // Ctrl-C goes to all processes of the terminal, and SLURM's SIGUSR1 to all of the job: the manager decides what
    // they mean. Other signals that are sent to the worker itself have their usual meaning, and not that of the
    // lead's handlers or of Rust's.
    let others = signals::SIGNALS.into_iter().filter(|signal| !signals::SENT_TO_ALL.contains(signal));
    let usual = others.chain([libc::SIGSEGV, libc::SIGBUS]).map(|s| (s, libc::SIG_DFL));
    for (signal, action) in usual.chain(signals::SENT_TO_ALL.map(|s| (s, libc::SIG_IGN))) {
        // SAFETY: sets a disposition to a constant; no handler is installed.
        unsafe { libc::signal(signal, action) };
    }
    drop(signals);
    // The manager says what happened: it gets the text of a panic as the failure of the block.
    panic::set_hook(Box::new(|_| {}));
    let worker = Worker::new(context, start.number, ALONE, waker);
    let outcome = panic::catch_unwind(panic::AssertUnwindSafe(|| worker.run(start)));
    if outcome.is_ok() { 0 } else { PANICKED }
}

/// The exit code of a worker that has met a fault outside of its work.
const PANICKED: i32 = 101;

impl WorkerHandle {
    /// How its process has ended; `None` for a thread. Waits for a process that is about to end.
    pub fn reap(&mut self) -> Option<WaitStatus> {
        let pid = self.process.take()?;
        loop {
            match waitpid(Some(pid), WaitOptions::empty()) {
                Err(Errno::INTR) => {}
                status => return status.ok().flatten().map(|(_, status)| status),
            }
        }
    }

    /// Has its wake-up socket ended? Hears all that has rung until now.
    pub fn has_ended(&mut self) -> bool {
        let mut heard = [0; 256];
        loop {
            match self.waker.read(&mut heard) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return e.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Ends its process at once.
    pub fn kill(&mut self) {
        if let Some(pid) = self.process {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
