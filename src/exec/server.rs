//! The spawner and its runners: processes apart that start programs.
//!
//! The spawner waits for workers that want a runner, and ends when the last process that could want one has gone. A
//! runner starts one program after the other for its worker, and when the worker has gone, however that has ended, it ends
//! what it has started, and itself. Both have one thread and nothing of the process that they were forked from: no file,
//! and no handler of a signal. Ctrl-C is for the process that leads the run; they end with it.

use std::ffi::CString;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, waitid, waitpid};

use super::child::{self, Start};
use super::feed::{FIRST, Fed, Feed, widen};
use super::message::Report;
use super::{Ending, Input, Outcome, Request};

/// How long a program that has been asked to end (SIGTERM) may take.
const TO_END: Duration = Duration::from_secs(2);

/// The same when its worker has gone: the run is over, and nothing of it is to be left a second later.
const TO_END_NOW: Duration = Duration::from_millis(300);

/// How long what a program has started may keep its output open when the program itself has ended.
const TO_CLOSE: Duration = Duration::from_secs(1);

/// How often to look at a program that was stopped, and how many times until it is given up. Counted, and not timed: a
/// batch system may stop all of a job, this process too, for hours.
const TICK: Duration = Duration::from_millis(100);
const MOST_TICKS: u32 = 50;

/// How long to try again where the system has no room for another process: others may end.
const PATIENCE: Duration = Duration::from_secs(5);
const NAP: Duration = Duration::from_millis(20);

/// Bytes that are read at once, and that are gathered before they are sent: four times what a pipe holds at first.
const PIECE: usize = 256 * 1024;

/// Bytes of a line that are passed on as one, where it has no end.
const LONGEST_LINE: usize = 8 * 1024;

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

/// What programs inherit.
struct Heritage {
    env: Vec<CString>,
    path: Vec<u8>,
    /// Signals that were ignored when parpy was started, as `nohup` has it.
    ignored: Vec<i32>,
    nothing: OwnedFd,
}

/// Does nothing, but that a signal ends a wait.
extern "C" fn wake(_signal: i32) {}

fn set_action(signal: i32, action: libc::sighandler_t) -> libc::sighandler_t {
    // SAFETY: sets a disposition to a constant, or to a handler that does nothing.
    unsafe { libc::signal(signal, action) }
}

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

/// The worker has gone.
struct Gone;

/// Runs programs for one worker.
struct Runner<'a> {
    heritage: &'a Heritage,
    socket: UnixStream,
    /// Of which programs read parts.
    file: Option<OwnedFd>,
    /// What is to be sent.
    reports: Vec<u8>,
    room: Vec<u8>,
}

/// One end of a program's output.
struct Stream {
    /// `None` when it has ended.
    pipe: Option<OwnedFd>,
    /// What has no end of line yet.
    line: Vec<u8>,
}

/// A program at work.
struct Program {
    pid: Pid,
    /// What it is still to be given.
    feed: Option<Feed>,
    out: Stream,
    err: Stream,
    began: Instant,
    /// Bytes that it has printed.
    printed: u64,
    /// Why it has been told to end, and since when.
    ends: Option<(Ending, Instant)>,
    /// It was told so for the last time.
    is_killed: bool,
    /// How it has ended, and since when.
    ended: Option<(Ending, Instant)>,
    /// How often it has been found stopped.
    ticks: u32,
    leaves_process: bool,
}

impl<'a> Runner<'a> {
    fn new(heritage: &'a Heritage, socket: UnixStream, file: Option<OwnedFd>) -> Self {
        set_action(libc::SIGCHLD, wake as *const () as libc::sighandler_t);
        hold_back(libc::SIGCHLD);
        Self { heritage, socket, file, reports: vec![], room: vec![0; PIECE] }
    }

    /// Runs what the worker wants to be run, until it has gone.
    fn serve(mut self) {
        while let Ok(Some(request)) = Request::receive(&mut self.socket) {
            let began = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
            let start = Instant::now();
            let (ending, leaves_process) = match self.start(&request, start) {
                Ok(program) => match self.watch(program, &request) {
                    Ok(ending) => ending,
                    Err(Gone) => return,
                },
                Err(errno) => (Ending::NotStarted(errno.raw_os_error()), false),
            };
            let outcome = Outcome { ending, began, took: start.elapsed(), leaves_process };
            Report::Done(outcome).put(&mut self.reports);
            if self.send().is_err() {
                return;
            }
        }
    }

    fn send(&mut self) -> Result<(), Gone> {
        let sent = self.socket.write_all(&self.reports);
        self.reports.clear();
        sent.map_err(|_| Gone)
    }

    /// Starts a program. Where the system has no room for one, it may have in a moment.
    fn start(&self, request: &Request, began: Instant) -> Result<Program, Errno> {
        loop {
            match self.try_start(request, began) {
                Err(Errno::AGAIN | Errno::NFILE | Errno::MFILE | Errno::NOMEM)
                    if began.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(NAP);
                }
                other => return other,
            }
        }
    }

    fn try_start(&self, request: &Request, began: Instant) -> Result<Program, Errno> {
        let Heritage { env, path, ignored, nothing } = self.heritage;
        let words = |words: &[Vec<u8>]| -> Result<Vec<CString>, Errno> {
            words.iter().map(|word| CString::new(&word[..]).map_err(|_| Errno::INVAL)).collect()
        };
        let (argv, own) = (words(&request.argv)?, words(&request.env)?);
        let name =
            |variable: &CString| variable.to_bytes().split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
        let replaced: Vec<_> = own.iter().map(name).collect();
        let inherited = env.iter().filter(|variable| !replaced.contains(&name(variable)));
        let env: Vec<CString> = inherited.chain(&own).cloned().collect();
        let program = child::find(request.argv.first().map_or(&b""[..], |name| name), path)?;
        let (out, out_of_child) = pipe_with(PipeFlags::CLOEXEC)?;
        let (err, err_of_child) = pipe_with(PipeFlags::CLOEXEC)?;
        let (feed, input_of_child) = match &request.input {
            Input::Nothing => (None, None),
            Input::Parts(parts) => {
                let (feed, of_child) = Feed::new(parts)?;
                (Some(feed), Some(of_child))
            }
        };
        let input_of_child = input_of_child.as_ref().unwrap_or(nothing);
        let streams = [input_of_child.as_fd(), out_of_child.as_fd(), err_of_child.as_fd()];
        for pipe in [&out, &err] {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        let start = |program: &CString, argv: &[CString]| {
            child::spawn(&Start { program, argv, env: &env, streams, memory: request.memory, ignored })
        };
        let pid = match start(&program, &argv) {
            // As a shell does with a script that does not say whose it is.
            Err(Errno::NOEXEC) => {
                let shell = c"/bin/sh".to_owned();
                let script = [shell.clone(), program];
                start(&shell, &[&script, argv.get(1..).unwrap_or_default()].concat())?
            }
            pid => pid?,
        };
        let stream = |pipe| Stream { pipe: Some(pipe), line: Vec::new() };
        Ok(Program {
            pid,
            feed,
            out: stream(out),
            err: stream(err),
            began,
            printed: 0,
            ends: None,
            is_killed: false,
            ended: None,
            ticks: 0,
            leaves_process: false,
        })
    }

    /// Passes on what a program prints until it is over. Returns how it has ended, and whether it leaves a process.
    fn watch(&mut self, mut program: Program, request: &Request) -> Result<(Ending, bool), Gone> {
        let deadline = request.timeout.and_then(|time| program.began.checked_add(time));
        loop {
            let rest = program.feed.as_mut().and_then(Feed::take_rest);
            let ready = wait(&self.socket, &program, rest, program.wait_until(deadline));
            if ready.has_gone {
                program.end_now();
                return Err(Gone);
            }
            if ready.input {
                self.feed(&mut program);
            }
            if ready.out {
                self.read_out(&mut program, request.most_output);
            }
            if ready.err {
                self.read_err(&mut program);
            }
            program.look();
            if program.is_over() {
                break;
            }
            program.see_to(deadline);
            if self.reports.len() >= PIECE {
                self.send().inspect_err(|_| program.end_now())?;
            }
        }
        if !program.err.line.is_empty() {
            program.err.line.push(b'\n');
            Report::Err(&program.err.line).put(&mut self.reports);
        }
        Ok((program.bury(), program.leaves_process))
    }

    /// Gives a program what it has room for now.
    fn feed(&mut self, program: &mut Program) {
        let Some(feed) = &mut program.feed else { return };
        match feed.give(self.file.as_ref(), &mut self.room) {
            Fed::Some => {}
            Fed::All => program.feed = None,
            Fed::Failed(errno) => {
                // Before its input ends, which it would take for the end of all that there is.
                program.end(Ending::Unfed(errno));
                program.kill();
                program.feed = None;
            }
        }
    }

    /// Reads what there is on standard output.
    fn read_out(&mut self, program: &mut Program, most: u64) {
        while let Some(pipe) = &program.out.pipe {
            match read(pipe, &mut self.room) {
                Some(0) => program.out.pipe = None,
                Some(count) => {
                    // Who prints much is not to wait for every bit of it to be taken.
                    if count >= FIRST && program.printed < FIRST as u64 {
                        let _ = widen(pipe);
                    }
                    program.printed += count as u64;
                    if program.printed <= most {
                        Report::Out(&self.room[..count]).put(&mut self.reports);
                    } else {
                        program.end(Ending::TooLong);
                        program.kill();
                    }
                    if self.reports.len() >= PIECE || count < self.room.len() {
                        return;
                    }
                }
                None => return,
            }
        }
    }

    /// Reads what there is on standard error, and passes on whole lines, soon: somebody may wait for them.
    fn read_err(&mut self, program: &mut Program) {
        let Stream { pipe, line } = &mut program.err;
        let Some(open) = pipe else { return };
        match read(open, &mut self.room) {
            Some(0) => *pipe = None,
            Some(count) => {
                line.extend_from_slice(&self.room[..count]);
                let end = match memchr::memrchr(b'\n', line) {
                    Some(at) => at + 1,
                    None if line.len() >= LONGEST_LINE => {
                        line.push(b'\n');
                        line.len()
                    }
                    None => 0,
                };
                if end > 0 {
                    Report::Err(&line[..end]).put(&mut self.reports);
                    line.drain(..end);
                    // Whoever does not take it has gone, which the next wait finds.
                    let _ = self.send();
                }
            }
            None => {}
        }
    }
}

/// What can be read without waiting: some bytes, 0 at the end, `None` where there is nothing now.
fn read(pipe: &OwnedFd, room: &mut [u8]) -> Option<usize> {
    loop {
        match rustix::io::read(pipe, &mut *room) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return None,
            Err(_) => return Some(0),
            Ok(count) => return Some(count),
        }
    }
}

impl Program {
    /// When there is something to do though nothing happens.
    fn wait_until(&self, deadline: Option<Instant>) -> Option<Instant> {
        let told = self.ends.filter(|_| !self.is_killed).map(|(_, since)| since + TO_END);
        let to_close = if self.is_killed { TO_CLOSE + TICK } else { TO_CLOSE };
        let closing = self.ended.map(|(_, since)| since + to_close);
        let tick = (self.ticks > 0 && self.ended.is_none()).then(|| Instant::now() + TICK);
        let deadline = deadline.filter(|_| self.ends.is_none() && self.ended.is_none());
        [told, closing, tick, deadline].into_iter().flatten().min()
    }

    /// Looks whether it has ended, or was stopped.
    fn look(&mut self) {
        if self.ended.is_some() {
            return;
        }
        let options =
            WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let Ok(Some(status)) = waitid(WaitId::Pid(self.pid), options) else {
            self.ticks = 0;
            return;
        };
        if let Some(signal) = status.stopping_signal() {
            self.ticks += 1;
            if self.ticks > MOST_TICKS {
                self.end(Ending::Stopped(signal));
                self.kill();
            }
            return;
        }
        let ending = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Ending::Exited(code),
            (None, Some(signal)) => Ending::Killed(signal),
            (None, None) => return,
        };
        self.ended = Some((ending, Instant::now()));
    }

    /// Has it ended, and all of its output come?
    fn is_over(&self) -> bool {
        self.ended.is_some() && (self.out.pipe.is_none() && self.err.pipe.is_none() || self.leaves_process)
    }

    /// Does what time asks for.
    fn see_to(&mut self, deadline: Option<Instant>) {
        let now = Instant::now();
        if let Some((_, since)) = self.ended {
            // What it has left behind is ended as well.
            if now >= since + TO_CLOSE && !self.is_killed {
                self.kill();
            }
            // And what keeps the output open all the same has left its group.
            self.leaves_process = now >= since + TO_CLOSE + TICK;
        } else if let Some((_, since)) = self.ends {
            if now >= since + TO_END {
                self.kill();
            }
        } else if deadline.is_some_and(|deadline| now >= deadline) {
            self.end(Ending::TimedOut);
        }
    }

    /// Asks it to end, and all that it has started.
    fn end(&mut self, why: Ending) {
        if self.ends.is_none() {
            self.ends = Some((why, Instant::now()));
            let _ = kill_process_group(self.pid, Signal::TERM);
            // What is stopped hears nothing.
            let _ = kill_process_group(self.pid, Signal::CONT);
        }
    }

    fn kill(&mut self) {
        self.is_killed = true;
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    /// Ends it because nobody wants it any more.
    fn end_now(&mut self) {
        self.end(Ending::TimedOut);
        let began = Instant::now();
        while self.ended.is_none() && began.elapsed() < TO_END_NOW {
            std::thread::sleep(Duration::from_millis(5));
            self.look();
        }
        self.kill();
    }

    /// Lets go of a program that is over, of which nothing is left then. Returns how it has ended.
    fn bury(&mut self) -> Ending {
        // Its number is its own, and its group's, until it is waited for.
        let _ = kill_process_group(self.pid, Signal::KILL);
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
        let by_itself = self.ended.map_or(Ending::Killed(libc::SIGKILL), |(ending, _)| ending);
        self.ends.map_or(by_itself, |(why, _)| why)
    }
}

/// What there is to do.
#[derive(Debug, Clone, Copy)]
struct Ready {
    /// The worker has gone.
    has_gone: bool,
    /// Output can be read.
    out: bool,
    err: bool,
    /// There is room for input.
    input: bool,
}

/// Waits for a worker that has gone, output, room for input, or the end of a program, until `time` at the most; with `rest`
/// so long at the most, and not for room.
fn wait(socket: &UnixStream, program: &Program, rest: Option<Duration>, time: Option<Instant>) -> Ready {
    // A number that is none is passed over.
    let polled = |file: Option<BorrowedFd>, events| libc::pollfd {
        fd: file.map_or(-1, |file| file.as_raw_fd()),
        events,
        revents: 0,
    };
    let mut polled = [
        polled(Some(socket.as_fd()), libc::POLLIN),
        polled(program.out.pipe.as_ref().map(|pipe| pipe.as_fd()), libc::POLLIN),
        polled(program.err.pipe.as_ref().map(|pipe| pipe.as_fd()), libc::POLLIN),
        polled(program.feed.as_ref().filter(|_| rest.is_none()).map(|feed| feed.as_fd()), libc::POLLOUT),
    ];
    let left = time.map(|time| time.saturating_duration_since(Instant::now()));
    let left = left.into_iter().chain(rest).min();
    let left = left.map(|left| libc::timespec {
        tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    let left = left.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: open descriptors, a time and a set of signals that all live until the call returns. That of no signals lets
    // SIGCHLD, which is held back otherwise, come in no other place.
    let ready = unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::ppoll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, left, &none)
    };
    // Where it was interrupted, nothing is said of them. Between requests the worker sends nothing but an end.
    let [has_gone, out, err, input] = polled.map(|polled| ready > 0 && polled.revents != 0);
    Ready { has_gone, out, err, input }
}

/// Holds a signal back in this thread.
fn hold_back(signal: i32) {
    // SAFETY: a set of this function's own, valid once it has been made empty.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
}
