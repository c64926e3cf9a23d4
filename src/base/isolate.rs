//! Reading in a child process what could crash this one: the HDF5 library, which is written in C, trusts many
//! bytes of a file, so that a damaged or malicious one can make it crash, abort, take all memory or never come
//! to an end. In a child that is a sentence of an error.
//!
//! The child may take so much memory, and so long for a piece of its work ([`go_on`] begins the next). What it
//! hands back is text, because nothing else that such a library has touched should be trusted. Where there can
//! be no child (this process has several threads, which do not survive a fork, or [`never_again`] was called)
//! the work is done in this process, as it would be without this module.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getrlimit, kill_process, setrlimit, waitpid,
};
use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::{SIGALRM, SIGKILL, SIGXCPU};
use signal_hook::low_level::signal_name;

use crate::base::error::{Error, Result, plain};
use crate::base::signals;

/// How much memory the child may take: two of the largest chunks that HDF5 knows.
const MOST_MEMORY: u64 = 8 << 30;
/// How long a piece of the work may keep a CPU busy: as long as unpacking one of the largest chunks takes.
const MOST_CPU: Duration = Duration::from_secs(20);
/// How long a piece may take, by the clock on the wall: a named pipe that a file may refer to waits for ever.
const MOST_TIME: Duration = Duration::from_secs(30);
/// Bytes of text that are taken from a child.
const MOST_TEXT: u64 = 1 << 30;

/// How a child says what kind of text follows.
const FOUND: u8 = b'+';
const FAILED: u8 = b'-';
const WRONG_USE: u8 = b'?';

/// The exit code of a child that has met a fault in parpy itself.
const PANICKED: i32 = 101;

static NEVER: AtomicBool = AtomicBool::new(false);

/// In a child: the limit on CPU time that it was started with.
static LIMIT: OnceLock<Rlimit> = OnceLock::new();

/// From now on this process has no children: MPI is about to be initialised, and network cards that write to
/// its memory do not know of copies of it.
pub fn never_again() {
    NEVER.store(true, Ordering::Relaxed);
}

/// How many threads this process has; 1 where the system does not say.
pub fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Can there be a child?
pub fn can_be() -> bool {
    !NEVER.load(Ordering::Relaxed) && LIMIT.get().is_none() && threads() == 1
}

/// Does `work`, which reads the file at `path`, in a child of this process, and returns what it returns.
///
/// # Errors
/// Those of `work`; or the child has crashed, was killed, or did not come to an end.
pub fn read(path: &Path, work: impl FnOnce() -> Result<String>) -> Result<String> {
    if !can_be() {
        return work();
    }
    let cannot = |e: &io::Error| Error::Failed(format!("cannot read {}: {}", path.display(), plain(e)));
    let (mut told, tell) = io::pipe().map_err(|e| cannot(&e))?;
    let parent = rustix::process::getpid();
    // Where whoever started parpy ignores it, nobody could learn how a child has ended.
    // SAFETY: sets a disposition to a constant; no handler is installed.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    // SAFETY: this process has one thread, so the child is a whole process like its parent. It leaves by `_exit`
    // below: it never returns into what its parent was doing, and drops nothing that is its parent's.
    let pid = match unsafe { libc::fork() } {
        0 => {
            drop(told);
            let code = be_a_child(parent, tell, work);
            // SAFETY: ends this process and nothing else.
            unsafe { libc::_exit(code) }
        }
        pid => Pid::from_raw(pid.max(0)).ok_or_else(|| cannot(&io::Error::last_os_error()))?,
    };
    drop(tell);
    let heard = hear(&mut told);
    if heard.is_err() {
        let _ = kill_process(pid, Signal::KILL);
    }
    let status = reap(pid);
    let said = heard.map_err(|e| Error::io("read", path, &e))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match (status.and_then(WaitStatus::exit_status), said.split_first()) {
        (Some(0), Some((&FOUND, found))) => Ok(text(found)),
        (Some(0), Some((&WRONG_USE, why))) => Err(Error::Usage(text(why))),
        (Some(0), Some((_, why))) => Err(Error::Failed(text(why))),
        _ => Err(Error::Failed(format!("cannot read {}: {}", path.display(), how(status)))),
    }
}

/// A piece of the work has been done, and the next may take as long again. Does nothing but in a child.
pub fn go_on() {
    let Some(limit) = LIMIT.get() else { return };
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec as u64;
    let next = used + MOST_CPU.as_secs();
    let current = Some(limit.current.map_or(next, |most| most.min(next)));
    let _ = setrlimit(Resource::Cpu, Rlimit { current, ..*limit });
    // SAFETY: sets a timer, which has no memory of ours.
    unsafe { libc::alarm(MOST_TIME.as_secs() as u32) };
}

/// The life of the child; its exit code.
fn be_a_child(parent: Pid, mut tell: io::PipeWriter, work: impl FnOnce() -> Result<String>) -> i32 {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior, set_parent_process_death_signal};
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        if rustix::process::getppid() != Some(parent) {
            return 0;
        }
        // Nobody wants a core file of what is expected to crash.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    for signal in [SIGXCPU, SIGALRM] {
        // SAFETY: sets a disposition to a constant; no handler is installed.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // What the C library says of a heap that was damaged; the parent says it in a sentence.
    if let Ok(nowhere) = std::fs::File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stderr(&nowhere);
    }
    panic::set_hook(Box::new(|_| {}));
    let memory = getrlimit(Resource::As);
    let current = Some(memory.current.map_or(MOST_MEMORY, |most| most.min(MOST_MEMORY)));
    let _ = setrlimit(Resource::As, Rlimit { current, ..memory });
    let _ = LIMIT.set(getrlimit(Resource::Cpu));
    go_on();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let (kind, text) = match work() {
            Ok(text) => (FOUND, text),
            Err(Error::Usage(why)) => (WRONG_USE, why),
            Err(error) => (FAILED, error.to_string()),
        };
        tell.write_all(&[kind]).and_then(|()| tell.write_all(text.as_bytes())).is_ok()
    }));
    match outcome {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(_) => PANICKED,
    }
}

/// All that the child says.
fn hear(told: &mut io::PipeReader) -> io::Result<Vec<u8>> {
    let (mut said, mut room) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        signals::wait_readable(told.as_fd())?;
        match told.read(&mut room) {
            Ok(0) => return Ok(said),
            Ok(_) if said.len() as u64 > MOST_TEXT => {
                return Err(io::Error::other("there is more text in it than parpy shows"));
            }
            Ok(count) => said.extend_from_slice(&room[..count]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn reap(pid: Pid) -> Option<WaitStatus> {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Err(Errno::INTR) => {}
            status => return status.ok().flatten().map(|(_, status)| status),
        }
    }
}

/// How a child has ended that has not said what it found.
fn how(status: Option<WaitStatus>) -> String {
    const REMEDY: &str = "so it is probably damaged; make it again, or get another copy";
    match status.and_then(WaitStatus::terminating_signal) {
        Some(SIGXCPU) => format!("the HDF5 library does not come to an end with it, {REMEDY}"),
        Some(SIGALRM) => format!(
            "nothing has come of it for {} s; a pipe or file system that it refers to may not answer",
            MOST_TIME.as_secs()
        ),
        Some(SIGKILL) => "its reader was killed, perhaps for want of memory".to_owned(),
        Some(signal) => {
            let name = signal_name(signal).unwrap_or("a signal");
            format!("the HDF5 library crashes on it ({name}), {REMEDY}")
        }
        None if status.and_then(WaitStatus::exit_status) == Some(PANICKED) => {
            format!("parpy cannot make sense of it, {REMEDY}")
        }
        None => "its reader has ended without a word".to_owned(),
    }
}
