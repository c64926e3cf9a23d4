//! A program as a child process: from a name to a process that leads a group of its own, with nothing of its parent's
//! but what it is given.
//!
//! The child shares its parent's memory until it is another program (`CLONE_VM` and `CLONE_VFORK`, as posix_spawn(3)
//! does it), so starting one takes no longer however large the parent is; posix_spawn itself cannot bind it to the life of
//! its parent, nor limit its memory.

use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::Pid;

/// Bytes of the stack that a child has until it is another program.
const STACK: usize = 64 * 1024;

/// The numbers of signals.
const SIGNALS: std::ops::Range<i32> = 1..65;

/// What a child needs to become another program.
pub(super) struct Start<'a> {
    /// The program's file.
    pub program: &'a CStr,
    pub argv: &'a [CString],
    pub env: &'a [CString],
    /// Its standard input, output and error.
    pub streams: [BorrowedFd<'a>; 3],
    /// Bytes of memory that it may have.
    pub memory: Option<u64>,
    /// Signals that it ignores, because whoever started parpy wants it so.
    pub ignored: &'a [i32],
    /// Where the number of its group stands from its first moment on.
    pub group: &'a AtomicI32,
}

/// The same as the child sees it: plain memory, from which it only reads, but for the error.
struct Plan {
    program: *const c_char,
    argv: *const *const c_char,
    env: *const *const c_char,
    streams: [RawFd; 3],
    memory: Option<u64>,
    ignored: *const i32,
    ignored_len: usize,
    group: *const AtomicI32,
    parent: i32,
    /// Why it could not become that program.
    errno: i32,
}

/// Starts a program. The caller has one thread, and all of its signals but SIGCHLD have no handlers.
///
/// # Errors
/// The system's: there is no room for another process, or the file is no program, or has too many arguments.
#[cfg(target_os = "linux")]
pub(super) fn spawn(start: &Start) -> Result<Pid, Errno> {
    let pointers = |list: &[CString]| -> Vec<*const c_char> {
        list.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, env) = (pointers(start.argv), pointers(start.env));
    let mut plan = Plan {
        program: start.program.as_ptr(),
        argv: argv.as_ptr(),
        env: env.as_ptr(),
        streams: start.streams.map(|stream| stream.as_raw_fd()),
        memory: start.memory,
        ignored: start.ignored.as_ptr(),
        ignored_len: start.ignored.len(),
        group: start.group,
        parent: rustix::process::getpid().as_raw_nonzero().get(),
        errno: 0,
    };
    let mut stack = vec![0u128; STACK / size_of::<u128>()];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the child runs `become_program` on a stack of its own, on which nobody else works, and this thread waits
    // until it has ended or become another program; so what the plan points to lives as long as the child looks at it.
    // It calls nothing but system calls, and no handler of a signal runs in it: there is none but that of SIGCHLD, which
    // does nothing.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.len());
        libc::clone(become_program, top.cast(), flags, (&raw mut plan).cast())
    };
    let Some(pid) = Pid::from_raw(pid.max(0)) else {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::AGAIN));
    };
    // SAFETY: the child has written to it, if it has; volatile, because the compiler cannot know that.
    match unsafe { std::ptr::read_volatile(&raw const plan.errno) } {
        0 => Ok(pid),
        errno => {
            start.group.store(0, Ordering::Relaxed);
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
            Err(Errno::from_raw_os_error(errno))
        }
    }
}

/// Starts a program: not on this system.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub(super) fn spawn(_start: &Start) -> Result<Pid, Errno> {
    Err(Errno::NOSYS)
}

/// The child's life until it is another program.
#[cfg(target_os = "linux")]
extern "C" fn become_program(plan: *mut libc::c_void) -> libc::c_int {
    let plan: *mut Plan = plan.cast();
    // SAFETY: the parent's plan, which lives until this process has another memory, and which nobody else looks at. All
    // calls are system calls, or as simple (sigemptyset), on memory of this function or of the plan.
    unsafe {
        // Of its own, so that it and all that it starts can be ended together.
        libc::setpgid(0, 0);
        (*(*plan).group).store(libc::getpid(), Ordering::Relaxed);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != (*plan).parent {
            libc::_exit(127);
        }
        for signal in SIGNALS {
            libc::signal(signal, libc::SIG_DFL);
        }
        for i in 0..(*plan).ignored_len {
            libc::signal(*(*plan).ignored.add(i), libc::SIG_IGN);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        // None of them is one of the three itself: the runner has these open already.
        for (number, stream) in (0..).zip((*plan).streams) {
            if libc::dup2(stream, number) < 0 {
                (*plan).errno = *libc::__errno_location();
                libc::_exit(127);
            }
        }
        if let Some(memory) = (*plan).memory {
            let limit = libc::rlimit { rlim_cur: memory, rlim_max: memory };
            libc::setrlimit(libc::RLIMIT_AS, &limit);
        }
        libc::execve((*plan).program, (*plan).argv, (*plan).env);
        (*plan).errno = *libc::__errno_location();
        libc::_exit(127)
    }
}

/// The file of the program `name`, as a shell finds it: as it is where it has a slash, else in the folders of `path`.
///
/// # Errors
/// `ENOENT` where there is none, `EACCES` where there is only what may not be run.
pub(super) fn find(name: &[u8], path: &[u8]) -> Result<CString, Errno> {
    let file = |name: &[u8]| CString::new(name).map_err(|_| Errno::NOENT);
    if name.contains(&b'/') || name.is_empty() {
        return file(name);
    }
    let mut error = Errno::NOENT;
    for folder in path.split(|byte| *byte == b':') {
        let folder = if folder.is_empty() { b"." } else { folder };
        let whole = file(&[folder, b"/", name].concat())?;
        let there = Path::new(std::ffi::OsStr::from_bytes(whole.as_bytes()));
        if !there.is_file() {
            continue;
        }
        match access(&*whole, Access::EXEC_OK) {
            Ok(()) => return Ok(whole),
            Err(_) => error = Errno::ACCESS,
        }
    }
    Err(error)
}
