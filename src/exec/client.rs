//! A worker's end: the spawner of this process and those that it forks, and the runner of each worker.

use std::ffi::CString;
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::message::Report;
use super::spawner::be_spawner;
use super::{Outcome, Request};
use crate::base::error::{Error, Result, plain};
use crate::base::{isolate, signals};

/// How often a worker that waits for a program looks whether anybody wants its answer.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;

/// How long the spawner may take to end all that it has started.
const TO_END: Duration = Duration::from_secs(2);

/// This process's end of its spawner, and that process, as long as there is one.
static SPAWNER: Mutex<Option<(OwnedFd, Pid)>> = Mutex::new(None);

/// The same, whatever has become of a thread that had it: nothing of it is ever half done.
fn spawner() -> MutexGuard<'static, Option<(OwnedFd, Pid)>> {
    SPAWNER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the spawner of this process and of those that it forks, to whose programs the variables `hidden` by name are
/// unknown. Later calls do nothing. Before there are threads, and before MPI is initialised.
///
/// # Errors
/// This process has several threads, or the system has no room for another.
pub fn begin(hidden: impl Fn(&str) -> bool) -> Result<()> {
    if spawner().is_some() {
        return Ok(());
    }
    let threads = isolate::threads();
    if threads > 1 {
        return Err(Error::Failed(format!(
            "cannot start commands from a process that has {threads} threads when it begins"
        )));
    }
    let failed = |e: io::Error| Error::Failed(format!("cannot start commands: {}", plain(&e)));
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(|e| failed(e.into()))?;
    let env = std::env::vars_os().filter(|(name, _)| !name.to_str().is_some_and(&hidden));
    let env = env.filter_map(|(name, value)| {
        CString::new([name.into_vec(), b"=".to_vec(), value.into_vec()].concat()).ok()
    });
    let env = env.collect();
    // SAFETY: this process has one thread, so the child is a whole process like its parent. It never returns into what
    // its parent was doing.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: the child's copy of what it never uses; kept open it would never see its parent's end.
            unsafe { libc::close(ours.as_raw_fd()) };
            be_spawner(&theirs, env)
        }
        pid => {
            let pid = Pid::from_raw(pid.max(0)).ok_or_else(|| failed(io::Error::last_os_error()))?;
            *spawner() = Some((ours, pid));
            Ok(())
        }
    }
}

/// Ends the spawner, and waits until it, its runners and what they have started are gone; no longer than two seconds, as
/// something may not be to be killed. In the process that has begun it, when its workers have gone.
pub fn end() {
    let Some((socket, pid)) = spawner().take() else { return };
    drop(socket);
    // Whoever has stopped it.
    let _ = kill_process(pid, Signal::CONT);
    let (began, mut nap) = (Instant::now(), Duration::from_micros(100));
    while matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None)) && began.elapsed() < TO_END {
        std::thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(5));
    }
}

/// What runs programs for one worker. When it is dropped, what runs is ended.
pub struct Runner {
    socket: UnixStream,
    /// What has come and has not been looked at.
    received: Vec<u8>,
}

/// Why there is no outcome.
#[derive(Debug)]
pub enum Ended {
    /// Nobody wants it any more.
    Unwanted,
    /// A signal has come.
    Signal(Error),
    /// The runner has gone, as somebody kills it.
    Gone,
    /// What it prints cannot be kept, for this reason.
    Unkept(io::Error),
}

impl Runner {
    /// A new one, of the spawner that [`begin`] has started. Parts of `file` are what programs may be given to read: the
    /// file itself, and not its name, so that it is the one that the worker has looked at.
    ///
    /// # Errors
    /// The spawner has gone, or the system has no room.
    pub fn start(file: Option<BorrowedFd>) -> io::Result<Self> {
        Self::start_with(file.as_slice())
    }

    /// The same with what programs are to have: nothing, a file of which they read parts, or their standard input and output.
    pub(super) fn start_with(given: &[BorrowedFd]) -> io::Result<Self> {
        let spawner = spawner();
        let (spawner, _) =
            spawner.as_ref().ok_or_else(|| io::Error::other("there is nobody who starts programs"))?;
        let (ours, theirs) = UnixStream::pair()?;
        let files: Vec<BorrowedFd> = [theirs.as_fd()].into_iter().chain(given.iter().copied()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut sent = SendAncillaryBuffer::new(&mut space);
        sent.push(SendAncillaryMessage::ScmRights(&files));
        sendmsg(spawner, &[IoSlice::new(&[1])], &mut sent, SendFlags::NOSIGNAL)?;
        Ok(Self { socket: ours, received: Vec::new() })
    }

    /// Runs a program. What it prints is given to `out`, piece by piece, and `said` the lines of its standard error as they
    /// come. `is_wanted` is asked from time to time. After an error this runner is of no use.
    ///
    /// # Errors
    /// There is no outcome.
    pub fn run(
        &mut self,
        request: &Request,
        out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
        mut said: impl FnMut(&[u8]),
        is_wanted: &dyn Fn() -> bool,
    ) -> std::result::Result<Outcome, Ended> {
        signals::check().map_err(Ended::Signal)?;
        if !is_wanted() {
            return Err(Ended::Unwanted);
        }
        // Where it has gone, it may have said why.
        let is_sent = self.send(request).is_ok();
        loop {
            if let Some(outcome) = self.take_reports(out, &mut said)? {
                return Ok(outcome);
            }
            if is_sent {
                self.wait(is_wanted)?;
            }
            self.receive()?;
        }
    }

    /// Asks it to run a program.
    ///
    /// # Errors
    /// It has gone.
    pub(super) fn send(&mut self, request: &Request) -> io::Result<()> {
        request.send(&mut self.socket)
    }

    /// Takes what it has said; the outcome, where that has come.
    ///
    /// # Errors
    /// What it says makes no sense.
    pub(super) fn take_reports(
        &mut self,
        out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
        said: &mut dyn FnMut(&[u8]),
    ) -> std::result::Result<Option<Outcome>, Ended> {
        let mut at = 0;
        while let Some((report, len)) = Report::take(&self.received[at..]).map_err(|_| Ended::Gone)? {
            at += len;
            match report {
                Report::Out(bytes) => out(bytes).map_err(Ended::Unkept)?,
                Report::Err(lines) => said(lines),
                Report::Done(outcome) => {
                    self.received.clear();
                    return Ok(Some(outcome));
                }
            }
        }
        self.received.drain(..at);
        Ok(None)
    }

    /// Receives what it says, and waits for that where there is nothing yet.
    ///
    /// # Errors
    /// It has gone.
    pub(super) fn receive(&mut self) -> std::result::Result<(), Ended> {
        let begin = self.received.len();
        self.received.resize(begin + PIECE, 0);
        let count = self.socket.read(&mut self.received[begin..]);
        self.received.truncate(begin + *count.as_ref().unwrap_or(&0));
        match count {
            Ok(0) => Err(Ended::Gone),
            Err(e) if e.kind() != io::ErrorKind::Interrupted => Err(Ended::Gone),
            _ => Ok(()),
        }
    }

    /// What can be read when it has something to say.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Waits until there is something to read.
    fn wait(&self, is_wanted: &dyn Fn() -> bool) -> std::result::Result<(), Ended> {
        let signals = signals::descriptor();
        let look = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
        loop {
            signals::check().map_err(Ended::Signal)?;
            if !is_wanted() {
                return Err(Ended::Unwanted);
            }
            let socket = self.socket.as_fd();
            // Where nobody watches for signals, only the first counts.
            let mut both =
                [socket, signals.unwrap_or(socket)].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            let count = 1 + usize::from(signals.is_some());
            match poll(&mut both[..count], Some(&look)) {
                Ok(_) if !both[0].revents().is_empty() => return Ok(()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Err(Ended::Gone),
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Once;

    use super::*;
    use crate::exec::{Ending, Input};

    fn runner() -> Runner {
        runner_with(None)
    }

    /// The same, for programs that read parts of a file.
    fn runner_with(file: Option<BorrowedFd>) -> Runner {
        begin_for_test();
        Runner::start(file).unwrap()
    }

    /// A spawner of its own for a test, whose process has threads: what it may be forked with is held by no other thread
    /// for long, and what it does needs no lock but the allocator's, which survives a fork.
    pub(in crate::exec) fn begin_for_test() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let flags = SocketFlags::CLOEXEC;
            let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
            let env = vec![c"PATH=/usr/bin:/bin".to_owned(), c"KEPT=yes".to_owned()];
            // SAFETY: as said above.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                // SAFETY: the child's copy of what it never uses.
                unsafe { libc::close(ours.as_raw_fd()) };
                be_spawner(&theirs, env)
            }
            *spawner() = Some((ours, Pid::from_raw(pid).unwrap()));
        });
    }

    fn words(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    pub(in crate::exec) fn request(argv: &[&str]) -> Request {
        Request {
            argv: words(argv),
            most_output: 1 << 20,
            timeout: Some(Duration::from_secs(20)),
            ..Request::default()
        }
    }

    /// How it ends, what it prints, and what it says.
    fn run(runner: &mut Runner, request: &Request) -> (Outcome, String, String) {
        let (mut out, mut said) = (Vec::new(), Vec::new());
        let mut keep = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            Ok(())
        };
        let outcome =
            runner.run(request, &mut keep, |lines| said.extend_from_slice(lines), &|| true).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (outcome, text(out), text(said))
    }

    fn sh(script: &str) -> Request {
        request(&["sh", "-c", script])
    }

    #[test]
    fn programs_run_one_after_the_other() {
        let runner = &mut runner();
        for (script, ending, out, said) in [
            ("echo one; echo two >&2", Ending::Exited(0), "one\n", "two\n"),
            ("printf 'no end'; printf e >&2; exit 3", Ending::Exited(3), "no end", "e\n"),
            ("kill -9 $$", Ending::Killed(9), "", ""),
            ("cat; read x; echo $?", Ending::Exited(0), "1\n", ""),
            ("echo $KEPT $OWN", Ending::Exited(0), "yes 7\n", ""),
            ("ps -o pgid= -p $$ | tr -d ' '; [ $(ps -o pgid= -p $$) = $$ ]", Ending::Exited(0), "", ""),
            ("exec 1>&- 2>&-; sleep 0.1", Ending::Exited(0), "", ""),
        ] {
            let request = Request { env: words(&["OWN=7"]), ..sh(script) };
            let (outcome, printed, heard) = run(runner, &request);
            assert_eq!((outcome.ending, heard.as_str()), (ending, said), "{script}");
            assert!(printed == out || script.starts_with("ps"), "{script}: {printed}");
            assert!(
                !outcome.leaves_process && outcome.took < Duration::from_secs(5),
                "{script}: {outcome:?}"
            );
        }
        // All of a long output, and not more than it may be.
        let (outcome, printed, _) = run(runner, &sh("yes | head -c 1000000"));
        assert_eq!((outcome.ending, printed.len()), (Ending::Exited(0), 1_000_000));
        let (outcome, printed, _) = run(runner, &sh("yes"));
        assert_eq!(outcome.ending, Ending::TooLong);
        assert!(printed.len() <= 1 << 20);
    }

    #[test]
    fn programs_read_parts_of_a_file() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let line = |i: usize| format!("{i:07}\n");
        std::fs::write(&path, (0..500_000).map(line).collect::<String>()).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let runner = &mut runner_with(Some(file.as_fd()));
        let of = |script: &str, start: u64, end: u64| Request {
            input: Input::Parts(vec![0..8, start * 8..end * 8]),
            most_output: 1 << 30,
            ..sh(script)
        };
        for (script, end, out) in [
            ("wc -l", 500_000, "400001\n"),
            ("head -n 2", 500_000, "0000000\n0100000\n"),
            ("sort -r | head -n 1", 300_000, "0299999\n"),
            // What prints before it reads, more than there is room for, and what does not read at all.
            ("yes | head -c 3000000 | wc -c; tail -n 1", 400_000, "3000000\n0399999\n"),
            ("yes | head -c 3000000; cat", 101_000, ""),
            ("exec <&-; sleep 0.1; echo end", 500_000, "end\n"),
            ("true", 500_000, ""),
        ] {
            let (outcome, printed, _) = run(runner, &of(script, 100_000, end));
            assert_eq!(outcome.ending, Ending::Exited(0), "{script}");
            assert!(printed == out || script.ends_with("; cat") && printed.len() == 3_008_008, "{script}");
        }
        let (outcome, printed, _) = run(runner, &of("cat", 499_999, 500_001));
        assert_eq!((outcome.ending, printed.len() <= 16), (Ending::Unfed(0), true));
        // Others read nothing.
        assert_eq!(run(runner, &sh("cat")).1, "");
        let (outcome, ..) = run(&mut runner_with(None), &of("cat", 0, 1));
        assert_eq!(outcome.ending, Ending::Unfed(libc::EBADF));
    }

    #[test]
    fn what_cannot_be_started_says_why() {
        let runner = &mut runner();
        for (argv, errno) in [
            (&["no-such-program"][..], libc::ENOENT),
            (&["/no/such/program"], libc::ENOENT),
            (&[""], libc::ENOENT),
            (&["/etc/passwd"], libc::EACCES),
            (&["/"], libc::EACCES),
            (&["true", &"x".repeat(200_000)], libc::E2BIG),
        ] {
            assert_eq!(run(runner, &request(argv)).0.ending, Ending::NotStarted(errno), "{argv:.60?}");
        }
        assert_eq!(run(runner, &request(&["true"])).0.ending, Ending::Exited(0));
    }

    #[test]
    fn nothing_outlives_its_time() {
        let runner = &mut runner();
        let timed =
            |script: &str, time: u64| Request { timeout: Some(Duration::from_millis(time)), ..sh(script) };
        let began = Instant::now();
        // What keeps the output open is ended with it.
        let (outcome, out, _) = run(runner, &timed("echo x; sleep 100 & sleep 100", 100));
        assert_eq!((outcome.ending, out.as_str()), (Ending::TimedOut, "x\n"));
        assert!(began.elapsed() < Duration::from_secs(2));
        // What does not listen is killed.
        let (outcome, ..) = run(runner, &timed("trap '' TERM; sleep 100 & while :; do wait; done", 100));
        assert_eq!(outcome.ending, Ending::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(6));
        // A process that it leaves behind, in its group or elsewhere, holds nobody up.
        let (outcome, out, _) = run(runner, &sh("sleep 101 & echo left"));
        assert_eq!((outcome.ending, out.as_str()), (Ending::Exited(0), "left\n"));
        let (outcome, ..) = run(runner, &sh("setsid sleep 4 & echo left"));
        assert_eq!((outcome.ending, outcome.leaves_process), (Ending::Exited(0), true));
        // One that was stopped is given up.
        let (outcome, ..) = run(runner, &sh("kill -STOP $$; echo never"));
        assert_eq!(outcome.ending, Ending::Stopped(libc::SIGSTOP));
        assert!(began.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn what_nobody_wants_is_ended() {
        let mut runner = runner();
        let script = sh("echo $$ >&2; sleep 1000");
        let mut pid = String::new();
        let heard = std::cell::Cell::new(false);
        let ended = runner.run(
            &script,
            &mut |_| Ok(()),
            |line| {
                pid = String::from_utf8_lossy(line).trim().to_owned();
                heard.set(true);
            },
            &|| !heard.get(),
        );
        assert!(matches!(ended, Err(Ended::Unwanted)), "{ended:?}");
        drop(runner);
        let (process, began) = (format!("/proc/{pid}"), Instant::now());
        while std::path::Path::new(&process).exists() {
            assert!(began.elapsed() < Duration::from_secs(5), "{process} is still there");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
