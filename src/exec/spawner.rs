//! The spawner: a process apart that forks a runner for each worker that wants one, and ends when the last process that
//! could want one has gone, and with it all that they have started. It has one thread and nothing of the process that it was
//! forked from: no file, and no handler of a signal.

use std::ffi::CString;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::WaitOptions;

use super::message::Report;
use super::runner::{Heritage, NAP, PATIENCE, Runner, set_action};
use super::{Ending, Outcome};

/// Signals that end processes and that a terminal, a batch system or a launcher may send to all of a run.
const IGNORED: [i32; 11] = [
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGXCPU,
    libc::SIGALRM,
    libc::SIGPIPE,
    libc::SIGXFSZ,
    libc::SIGTTOU,
];

/// The life of the spawner, to which workers send through `control` what a runner is to listen to. `env` is what
/// programs inherit. Never returns.
pub(super) fn be_spawner(control: &OwnedFd, env: Vec<CString>) -> ! {
    let ignored = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTTOU, libc::SIGTTIN];
    let ignored: Vec<i32> =
        ignored.into_iter().filter(|signal| set_action(*signal, libc::SIG_IGN) == libc::SIG_IGN).collect();
    IGNORED.into_iter().for_each(|signal| _ = set_action(signal, libc::SIG_IGN));
    set_action(libc::SIGTTIN, libc::SIG_DFL);
    // Runners that have ended are nobody's business.
    set_action(libc::SIGCHLD, libc::SIG_IGN);
    std::panic::set_hook(Box::new(|_| {}));
    let path = env.iter().find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="));
    let path = path.unwrap_or(b"/usr/local/bin:/usr/bin:/bin").to_vec();
    if let Ok(nothing) = let_go_of_all(control) {
        let heritage = Heritage { env, path, ignored, nothing };
        while let Some((socket, file)) = next_worker(control) {
            match fork() {
                Ok(true) => {
                    // SAFETY: the child's copy, which nothing uses or drops any more.
                    unsafe { libc::close(control.as_raw_fd()) };
                    let run = std::panic::AssertUnwindSafe(|| Runner::new(&heritage, socket, file).serve());
                    let outcome = std::panic::catch_unwind(run);
                    // SAFETY: ends this process and nothing else.
                    unsafe { libc::_exit(i32::from(outcome.is_err())) }
                }
                Ok(false) => {}
                Err(errno) => refuse(socket, errno),
            }
        }
    }
    // Who waits for this process waits for all that it has started. Where the end of a child is nobody's business, this
    // returns when there are none.
    while let Err(Errno::INTR) = rustix::process::wait(WaitOptions::empty()) {}
    // SAFETY: as above.
    unsafe { libc::_exit(0) }
}

/// Forks this process: true in the child. Where the system has no room for it, it may have in a moment.
fn fork() -> Result<bool, Errno> {
    let began = Instant::now();
    loop {
        // SAFETY: this process has one thread. The child leaves by `_exit`, and drops nothing of its parent's.
        match unsafe { libc::fork() } {
            0 => return Ok(true),
            -1 => {
                let error = Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::AGAIN);
                if began.elapsed() > PATIENCE {
                    return Err(error);
                }
                std::thread::sleep(NAP);
            }
            _ => return Ok(false),
        }
    }
}

/// Says to a worker, whatever it will want to be run, that it cannot be.
fn refuse(mut socket: UnixStream, errno: Errno) {
    let mut report = Vec::new();
    let ending = Ending::NotStarted(errno.raw_os_error());
    Report::Done(Outcome { ending, began: 0, took: Duration::ZERO, leaves_process: false }).put(&mut report);
    // It has gone.
    let _ = socket.write_all(&report);
}

/// Closes all files of the process that this one was forked from, so that they end when that process ends them; its
/// standard streams lead nowhere now. Returns what they lead to.
fn let_go_of_all(control: &OwnedFd) -> io::Result<OwnedFd> {
    let nothing: OwnedFd = std::fs::File::options().read(true).write(true).open("/dev/null")?.into();
    for stream in 0..3 {
        // SAFETY: replaces one of this process's standard streams, which nothing in it uses.
        if unsafe { libc::dup2(nothing.as_raw_fd(), stream) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let kept: [RawFd; 2] = [control.as_raw_fd(), nothing.as_raw_fd()];
    let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2 && !kept.contains(fd))
        .collect();
    // SAFETY: this process's copies of descriptors that nothing in it will use or drop: it never returns to where they
    // are owned. (The folder's own, which is among them, is closed already.)
    open.iter().for_each(|fd| unsafe { _ = libc::close(*fd) });
    Ok(nothing)
}

/// What the next worker that wants a runner listens to, and the file of which its programs read parts, where there is one;
/// `None` when there can be no more.
fn next_worker(control: &OwnedFd) -> Option<(UnixStream, Option<OwnedFd>)> {
    loop {
        let mut byte = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut received = RecvAncillaryBuffer::new(&mut space);
        let mut room = [io::IoSliceMut::new(&mut byte)];
        match recvmsg(control, &mut room, &mut received, RecvFlags::CMSG_CLOEXEC) {
            Ok(message) if message.bytes == 0 => return None,
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return None,
        }
        let files = received.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        let mut files = files.flatten();
        if let Some(socket) = files.next() {
            return Some((socket.into(), files.next()));
        }
    }
}
