//! A runner: a process apart that starts one program after the other for its worker, and when that has gone, however it
//! has ended, ends what it has started, and itself. Ctrl-C is for the process that leads the run.

use std::ffi::CString;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
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
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
pub(super) const NAP: Duration = Duration::from_millis(20);

/// Bytes that are read at once, and that are gathered before they are sent: four times what a pipe holds at first.
const PIECE: usize = 256 * 1024;

/// Bytes of a line that are passed on as one, where it has no end.
const LONGEST_LINE: usize = 8 * 1024;

/// What programs inherit.
pub(super) struct Heritage {
    pub env: Vec<CString>,
    pub path: Vec<u8>,
    /// Signals that were ignored when parpy was started, as `nohup` has it.
    pub ignored: Vec<i32>,
    pub nothing: OwnedFd,
}

pub(super) fn set_action(signal: i32, action: libc::sighandler_t) -> libc::sighandler_t {
    // SAFETY: sets a disposition to a constant, or to a handler that does nothing.
    unsafe { libc::signal(signal, action) }
}

/// Does nothing, but that a signal ends a wait.
extern "C" fn wake(_signal: i32) {}

/// The worker has gone.
struct Gone;

/// What a worker gives to its programs.
pub(super) enum Given {
    Nothing,
    /// They read parts of this file.
    File(OwnedFd),
    /// The standard input and output of the first, which nobody else has when it has started: it ends when its worker does.
    Streams(OwnedFd, OwnedFd),
}

/// Runs programs for one worker.
pub(super) struct Runner<'a> {
    heritage: &'a Heritage,
    /// The group of the program that runs, or 0: for the spawner, which ends it when this process is killed.
    group: &'a AtomicI32,
    socket: UnixStream,
    given: Given,
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
    /// How often it has been found stopped, and when for the last time.
    ticks: u32,
    ticked: Option<Instant>,
    leaves_process: bool,
}

impl<'a> Runner<'a> {
    pub(super) fn new(
        heritage: &'a Heritage,
        group: &'a AtomicI32,
        socket: UnixStream,
        given: Given,
    ) -> Self {
        group.store(0, Ordering::Relaxed);
        Self { heritage, group, socket, given, reports: vec![], room: vec![0; PIECE] }
    }

    /// Runs what the worker wants to be run, until it has gone.
    pub(super) fn serve(mut self) {
        while let Ok(Some(request)) = Request::receive(&mut self.socket) {
            let began = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
            let start = Instant::now();
            let (ending, leaves_process) = match self.start(&request, start) {
                Ok(program) => {
                    if matches!(self.given, Given::Streams(..)) {
                        self.given = Given::Nothing;
                    }
                    let watched = self.watch(program, &request);
                    self.group.store(0, Ordering::Relaxed);
                    match watched {
                        Ok(ending) => ending,
                        Err(Gone) => return,
                    }
                }
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
        let (Heritage { env, path, ignored, nothing }, group) = (self.heritage, self.group);
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
        let (input_of_child, out_of_child, out) = match &self.given {
            Given::Streams(input, output) => (input.as_fd(), output.as_fd(), None),
            Given::Nothing | Given::File(_) => (input_of_child.as_fd(), out_of_child.as_fd(), Some(out)),
        };
        let streams = [input_of_child, out_of_child, err_of_child.as_fd()];
        for pipe in out.iter().chain([&err]) {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        let start = |program: &CString, argv: &[CString]| {
            child::spawn(&Start { program, argv, env: &env, streams, memory: request.memory, ignored, group })
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
        let stream = |pipe| Stream { pipe, line: Vec::new() };
        Ok(Program {
            pid,
            feed,
            out: stream(out),
            err: stream(Some(err)),
            began,
            printed: 0,
            ends: None,
            is_killed: false,
            ended: None,
            ticks: 0,
            ticked: None,
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
            program.see_to(deadline, ready.out || ready.err);
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
        let file = match &self.given {
            Given::File(file) => Some(file),
            Given::Nothing | Given::Streams(..) => None,
        };
        match feed.give(file, &mut self.room) {
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
            let now = Instant::now();
            if self.ticked.is_some_and(|last| now < last + TICK) {
                return;
            }
            self.ticked = Some(now);
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
    fn see_to(&mut self, deadline: Option<Instant>, has_come: bool) {
        let now = Instant::now();
        if let Some((_, since)) = self.ended {
            // What it has left behind is ended as well.
            if now >= since + TO_CLOSE && !self.is_killed {
                self.kill();
            }
            // And what keeps the output open all the same has left its group. What is there still is read first, as this
            // process may have been kept from that.
            self.leaves_process = now >= since + TO_CLOSE + TICK && !has_come;
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
    let is_ready = sleep_for_child(&mut polled, left);
    // Where it was interrupted, nothing is said of them. Between requests the worker sends nothing but an end.
    let [has_gone, out, err, input] = polled.map(|polled| is_ready && polled.revents != 0);
    Ready { has_gone, out, err, input }
}

/// Waits for one of some descriptors, the end of a child, or `time`. Is one of them ready?
pub(super) fn sleep_for_child(polled: &mut [libc::pollfd], time: Option<Duration>) -> bool {
    let time = time.map(|time| libc::timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: descriptors, a time and a set of signals that all live until the call returns. That of no signals lets
    // SIGCHLD, which is held back otherwise, come in no other place.
    let ready = unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::ppoll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, time, &none)
    };
    ready > 0
}

/// From now on the end of a child is heard of in [`sleep_for_child`], and nowhere else.
pub(super) fn hear_of_children() {
    set_action(libc::SIGCHLD, wake as *const () as libc::sighandler_t);
    // SAFETY: a set of this function's own, valid once it has been made empty.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
}
