//! The spawner: a process apart that forks a runner for each worker that wants one, and ends when the last process that
//! could want one has gone, and with it all that they have started. It has one thread and nothing of the process that it was
//! forked from: no file, and no handler of a signal.

use std::ffi::CString;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group};

use super::message::Report;
use super::runner::{Given, Heritage, NAP, PATIENCE, Runner, hear_of_children, set_action, sleep_for_child};
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

/// Runners at a time: twice as many as there may be workers, because one that ends may still be there when the next comes.
const MOST_RUNNERS: usize = 8192;

/// The life of the spawner, to which workers send through `control` what a runner is to listen to. `env` is what
/// programs inherit. Never returns.
pub(super) fn be_spawner(control: &OwnedFd, env: Vec<CString>) -> ! {
    let ignored = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTTOU, libc::SIGTTIN];
    let ignored: Vec<i32> =
        ignored.into_iter().filter(|signal| set_action(*signal, libc::SIG_IGN) == libc::SIG_IGN).collect();
    IGNORED.into_iter().for_each(|signal| _ = set_action(signal, libc::SIG_IGN));
    set_action(libc::SIGTTIN, libc::SIG_DFL);
    // Of its own, and of all runners: who ends parpy's by force leaves these to end what they have started.
    let _ = rustix::process::setpgid(None, None);
    hear_of_children();
    std::panic::set_hook(Box::new(|_| {}));
    let path = env.iter().find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="));
    let path = path.unwrap_or(b"/usr/local/bin:/usr/bin:/bin").to_vec();
    if let (Ok(nothing), Some(mut runners)) = (let_go_of_all(control), Runners::new()) {
        let heritage = Heritage { env, path, ignored, nothing };
        while let Some((socket, given)) = next_worker(control, &mut runners) {
            let Some((place, group)) = runners.place() else {
                refuse(socket, Errno::AGAIN);
                continue;
            };
            match fork() {
                Ok(None) => {
                    // SAFETY: the child's copy, which nothing uses or drops any more.
                    unsafe { libc::close(control.as_raw_fd()) };
                    let serve = || Runner::new(&heritage, group, socket, given).serve();
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(serve));
                    // SAFETY: ends this process and nothing else.
                    unsafe { libc::_exit(i32::from(outcome.is_err())) }
                }
                Ok(runner) => runners.processes[place] = runner,
                Err(errno) => refuse(socket, errno),
            }
        }
        // Who waits for this process waits for all that it has started.
        runners.look_after(WaitOptions::empty());
    }
    // SAFETY: as above.
    unsafe { libc::_exit(0) }
}

/// The runners that there are.
struct Runners {
    processes: Vec<Option<Pid>>,
    /// The group of the program that each runs, in memory that they share.
    groups: &'static [AtomicI32],
}

impl Runners {
    /// None; `None` where there is no memory.
    fn new() -> Option<Self> {
        let bytes = MOST_RUNNERS * size_of::<AtomicI32>();
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: new memory of this process and its children, all zeros, which is never given back: a number in it is
        // valid whatever it is, and all of them are looked at as atomic ones.
        let groups = unsafe {
            let start = mmap_anonymous(std::ptr::null_mut(), bytes, protection, flags).ok()?;
            std::slice::from_raw_parts(start.cast::<AtomicI32>(), MOST_RUNNERS)
        };
        Some(Self { processes: vec![None; MOST_RUNNERS], groups })
    }

    /// A place for one more, and where it says which group it runs; `None` where there are too many.
    fn place(&self) -> Option<(usize, &'static AtomicI32)> {
        let place = self.processes.iter().position(Option::is_none)?;
        Some((place, &self.groups[place]))
    }

    /// Sees to runners that have ended, whose programs end with them, or that somebody has stopped, which go on: at once, or
    /// with no options until there are none.
    fn look_after(&mut self, options: WaitOptions) {
        loop {
            let (pid, status) = match rustix::process::wait(options | WaitOptions::UNTRACED) {
                Ok(Some(found)) => found,
                Err(Errno::INTR) => continue,
                _ => return,
            };
            if status.stopped() {
                let _ = kill_process(pid, Signal::CONT);
                continue;
            }
            let Some(place) = self.processes.iter().position(|process| *process == Some(pid)) else {
                continue;
            };
            self.processes[place] = None;
            if let Some(group) = Pid::from_raw(self.groups[place].swap(0, Ordering::Relaxed)) {
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
    }
}

/// Forks this process: in the parent its child. Where the system has no room for it, it may have in a moment.
fn fork() -> Result<Option<Pid>, Errno> {
    let began = Instant::now();
    loop {
        // SAFETY: this process has one thread. The child leaves by `_exit`, and drops nothing of its parent's.
        match unsafe { libc::fork() } {
            0 => return Ok(None),
            -1 => {
                let error = Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::AGAIN);
                if began.elapsed() > PATIENCE {
                    return Err(error);
                }
                std::thread::sleep(NAP);
            }
            pid => return Ok(Pid::from_raw(pid)),
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

/// What the next worker that wants a runner listens to, and what it gives to its programs; `None` when there can be no more.
fn next_worker(control: &OwnedFd, runners: &mut Runners) -> Option<(UnixStream, Given)> {
    loop {
        runners.look_after(WaitOptions::NOHANG);
        let polled = libc::pollfd { fd: control.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        if !sleep_for_child(&mut [polled], None) {
            continue;
        }
        let mut byte = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
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
            let given = match (files.next(), files.next()) {
                (Some(input), Some(output)) => Given::Streams(input, output),
                (Some(file), None) => Given::File(file),
                (None, _) => Given::Nothing,
            };
            return Some((socket.into(), given));
        }
    }
}
