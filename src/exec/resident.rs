//! A program that stays: its worker writes to it and reads what it answers, through pipes that only these two have, as often
//! as it likes. Its runner watches it, passes on what it says on standard error, and ends it when the worker has gone.
//!
//! What is written and read is not known here. Nothing is awaited on one pipe alone: a program that is given more than it
//! has room for may have to get rid of answers first.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::client::LOOK;
use super::{Ended, Outcome, Request, Runner};
use crate::base::signals;

/// Bytes that are read at once: what a pipe holds.
const PIECE: usize = 64 * 1024;

/// Bytes that a pipe holds at the most, as the system gives them to everybody.
const MOST_LEFT: usize = 1 << 20;

/// A program that stays. When it is dropped, the program is ended.
pub struct Resident {
    runner: Runner,
    /// The program's standard input; `None` when it takes no more.
    to: Option<OwnedFd>,
    /// Its standard output; `None` when it has closed that.
    from: Option<OwnedFd>,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It has taken so many bytes, or has answered, or said something.
    Some(usize),
    /// Nothing, until the time that was given.
    Nothing,
    /// It is over. All that it has answered has been read.
    Over(Outcome),
}

impl Resident {
    /// Starts a program, of which the time and the output have no limits: the worker looks after them.
    ///
    /// # Errors
    /// There is nobody who starts programs, or the system has no room.
    pub fn start(request: &Request) -> io::Result<Self> {
        let (input, to) = pipe_with(PipeFlags::CLOEXEC)?;
        let (from, output) = pipe_with(PipeFlags::CLOEXEC)?;
        for pipe in [&to, &from] {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        let mut runner = Runner::start_with(&[input.as_fd(), output.as_fd()])?;
        // Where it has gone, it may have said why.
        let _ = runner.send(request);
        Ok(Self { runner, to: Some(to), from: Some(from) })
    }

    /// The program is given nothing more: its input ends.
    pub fn end_input(&mut self) {
        self.to = None;
    }

    /// Has it closed its output?
    pub fn is_mute(&self) -> bool {
        self.from.is_none()
    }

    /// Gives the program as much of `bytes` as it has room for, puts what it answers behind what is in `answers`, and hands
    /// the lines of its standard error to `said`. Waits until one of these is possible, or until a time. `is_wanted` is
    /// asked from time to time. After an error the program is of no use.
    ///
    /// # Errors
    /// Nobody wants it any more, a signal has come, or its runner was killed.
    pub fn exchange(
        &mut self,
        bytes: &[u8],
        answers: &mut Vec<u8>,
        said: &mut dyn FnMut(&[u8]),
        until: Option<Instant>,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Heard, Ended> {
        loop {
            signals::check().map_err(Ended::Signal)?;
            if !is_wanted() {
                return Err(Ended::Unwanted);
            }
            // What there is room for at once needs no call of the system before.
            let sent = self.give(bytes);
            if sent > 0 {
                return Ok(Heard::Some(sent));
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let time = left.unwrap_or(LOOK).min(LOOK);
            let ready = self.wait(!bytes.is_empty(), time)?;
            if ready.answers {
                self.read(answers);
                return Ok(Heard::Some(0));
            }
            if ready.runner {
                self.runner.receive()?;
                // What it prints goes elsewhere.
                if let Some(outcome) = self.runner.take_reports(&mut |_| Ok(()), said)? {
                    // As much as its pipe has, and no more, as it may have left a process that goes on.
                    let most = answers.len() + MOST_LEFT;
                    while answers.len() < most && self.read(answers) > 0 {}
                    return Ok(Heard::Over(outcome));
                }
                return Ok(Heard::Some(0));
            }
            if left.is_some_and(|left| left <= time) && !ready.room {
                return Ok(Heard::Nothing);
            }
        }
    }

    /// Writes what there is room for.
    fn give(&mut self, bytes: &[u8]) -> usize {
        let Some(pipe) = self.to.as_ref().filter(|_| !bytes.is_empty()) else { return 0 };
        match rustix::io::write(pipe, bytes) {
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            // It reads no more, and may answer still.
            Err(_) => {
                self.to = None;
                0
            }
        }
    }

    /// Reads what there is. Returns how many bytes that were.
    fn read(&mut self, answers: &mut Vec<u8>) -> usize {
        let Some(pipe) = &self.from else { return 0 };
        answers.reserve(PIECE);
        match rustix::io::read(pipe, spare_capacity(answers)) {
            Ok(count @ 1..) => count,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Ok(0) | Err(_) => {
                self.from = None;
                0
            }
        }
    }

    /// Waits until something can be done, for so long at the most.
    fn wait(&self, wants_room: bool, time: Duration) -> Result<Ready, Ended> {
        let mut polled = vec![PollFd::from_borrowed_fd(self.runner.socket(), PollFlags::IN)];
        let to = self.to.as_ref().filter(|_| wants_room);
        for (pipe, flags) in [(self.from.as_ref(), PollFlags::IN), (to, PollFlags::OUT)] {
            polled.extend(pipe.map(|pipe| PollFd::new(pipe, flags)));
        }
        polled.extend(signals::descriptor().map(|signals| PollFd::from_borrowed_fd(signals, PollFlags::IN)));
        let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
        match poll(&mut polled, Some(&time)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return Err(Ended::Gone),
        }
        let mut is_ready = polled.iter().map(|polled| !polled.revents().is_empty());
        let runner = is_ready.next().unwrap_or(false);
        let answers = self.from.is_some() && is_ready.next().unwrap_or(false);
        let room = to.is_some() && is_ready.next().unwrap_or(false);
        Ok(Ready { runner, answers, room })
    }
}

/// What can be done without waiting.
struct Ready {
    /// The runner has said something, or has gone.
    runner: bool,
    /// Answers can be read.
    answers: bool,
    /// There is room for what is to be written.
    room: bool,
}

#[cfg(test)]
mod tests {
    use super::super::Ending;
    use super::super::client::tests::{begin_for_test, request};
    use super::*;

    fn start(argv: &[&str]) -> Resident {
        begin_for_test();
        Resident::start(&request(argv)).unwrap()
    }

    /// What it answers to `bytes`, and says, until it is over or has answered `count` lines.
    fn ask(resident: &mut Resident, mut bytes: &[u8], count: usize) -> (Vec<u8>, Vec<u8>, Option<Ending>) {
        let (mut answers, mut said) = (Vec::new(), Vec::new());
        while memchr::memchr_iter(b'\n', &answers).count() < count {
            let until = Instant::now() + Duration::from_secs(20);
            let mut say = |lines: &[u8]| said.extend_from_slice(lines);
            match resident.exchange(bytes, &mut answers, &mut say, Some(until), &|| true).unwrap() {
                Heard::Some(sent) => bytes = &bytes[sent..],
                Heard::Nothing => panic!("it is silent after {:?}", String::from_utf8_lossy(&answers)),
                Heard::Over(outcome) => return (answers, said, Some(outcome.ending)),
            }
        }
        (answers, said, None)
    }

    #[test]
    fn a_program_is_asked_again_and_again() {
        let mut cat = start(&["cat"]);
        assert_eq!(ask(&mut cat, b"one\ntwo\n", 2).0, b"one\ntwo\n");
        // More than the pipes hold, in both directions.
        let much: Vec<u8> = (0..200_000).flat_map(|i| format!("{i}\n").into_bytes()).collect();
        assert!(ask(&mut cat, &much, 200_000).0 == much);
        cat.end_input();
        assert_eq!(ask(&mut cat, b"", 1), (vec![], vec![], Some(Ending::Exited(0))));
        assert!(cat.is_mute());
    }

    #[test]
    fn how_it_ends_is_heard_behind_what_it_has_answered() {
        let script = "read x; echo $x; echo said >&2; read y; echo $y$y; kill -9 $$";
        let mut sh = start(&["sh", "-c", script]);
        assert_eq!(ask(&mut sh, b"a\n", 1).0, b"a\n");
        let (answers, said, ending) = ask(&mut sh, b"b\nc\n", 9);
        assert_eq!(
            (&answers[..], &said[..], ending),
            (&b"bb\n"[..], &b"said\n"[..], Some(Ending::Killed(9)))
        );
        let mut none = start(&["no-such-program"]);
        assert_eq!(ask(&mut none, b"a\n", 1).2, Some(Ending::NotStarted(libc::ENOENT)));
        // One that reads nothing more answers still.
        let mut deaf = start(&["sh", "-c", "exec <&-; sleep 0.1; echo x; exit 3"]);
        let much = vec![b'\n'; 1 << 20];
        assert_eq!(ask(&mut deaf, &much, 9), (b"x\n".to_vec(), vec![], Some(Ending::Exited(3))));
    }

    #[test]
    fn silence_has_its_end_and_what_is_dropped_is_ended() {
        let mut sleeper = start(&["sh", "-c", "echo $$; exec sleep 1000"]);
        let (answers, ..) = ask(&mut sleeper, b"", 1);
        let until = Some(Instant::now() + Duration::from_millis(120));
        let heard = sleeper.exchange(b"", &mut Vec::new(), &mut |_| {}, until, &|| true).unwrap();
        assert_eq!((heard, Some(Instant::now()) >= until), (Heard::Nothing, true));
        let ended = sleeper.exchange(b"", &mut Vec::new(), &mut |_| {}, None, &|| false);
        assert!(matches!(ended, Err(Ended::Unwanted)));
        drop(sleeper);
        let process = format!("/proc/{}", String::from_utf8(answers).unwrap().trim());
        let began = Instant::now();
        while std::path::Path::new(&process).exists() {
            assert!(began.elapsed() < Duration::from_secs(5), "{process} is still there");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
