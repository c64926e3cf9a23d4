//! Commands of one worker, run one after the other, and again where they fail: with what they need to know of the worker,
//! and with what they say on standard error passed on. What a command is run for is not known here.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::faults;
use crate::base::blocking::{PORTION, Stderr};
use crate::base::error::{Error, Result, plain};
use crate::base::signals;
use crate::base::spool::{self, Spool};
use crate::exec::{Ended, Ending, Input, Outcome, Request, Runner};
use crate::job::command::Limits;
use crate::op::Worker;
use crate::op::record::{NO_EXIT, Tried};

/// Bytes that a command may print that are to be in memory all at once.
pub(super) const MOST_OUTPUT: u64 = 256 << 20;

/// Bytes of standard error that are kept to say why a command has failed.
const MOST_SAID: usize = 2048;

/// What is said of a command whose output is kept open by a process out of its group, which cannot be ended with it.
const LEFT_BEHIND: &[u8] =
    b"parpy: it has left a process that keeps its output open; what that prints from now on is not part of the answer\n";

/// How long to wait at the most until there is memory for a command, and how often to look.
const FOR_MEMORY: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// How often an item is run again whose runner was killed.
const RUNNERS: usize = 2;

/// Variables that say how many threads a program may start, as the libraries have them that many programs use.
const THREADS: [&str; 3] = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"];

/// A worker, as its commands know it.
pub(super) struct Place {
    /// The worker's number.
    pub slot: usize,
    /// Variables of all of its commands.
    env: Vec<Vec<u8>>,
}

impl Place {
    pub(super) fn of(worker: &Worker) -> Self {
        let env = |name: &str, value: usize| format!("{name}={value}").into_bytes();
        let threads = THREADS.into_iter().filter(|name| std::env::var_os(name).is_none());
        let mut all: Vec<Vec<u8>> = threads.map(|name| env(name, worker.cpus)).collect();
        all.extend([env("PARPY_SLOT", worker.slot), env("PARPY_RANK", worker.rank)]);
        all.extend(worker.gpu.as_ref().map(|gpu| format!("CUDA_VISIBLE_DEVICES={gpu}").into_bytes()));
        Self { slot: worker.slot, env: all }
    }

    /// Variables of a program for all items.
    pub(super) fn of_all(&self) -> Vec<Vec<u8>> {
        self.env.clone()
    }

    /// Variables of the command for an item, whose number is counted from 0, and which has that seed.
    pub(super) fn env(&self, item: u64, seed: Option<u64>) -> Vec<Vec<u8>> {
        let own = format!("PARPY_ITEM={item}").into_bytes();
        self.env.iter().cloned().chain([own]).chain(seed.map(seed_env)).collect()
    }
}

/// The variable that says a seed: of the command for an item that of the item, of a program for all items that of the run.
pub(super) fn seed_env(seed: u64) -> Vec<u8> {
    format!("PARPY_SEED={seed}").into_bytes()
}

/// Runs commands.
pub(super) struct Tries {
    limits: Limits,
    /// Bytes that they may print.
    most_output: u64,
    /// Started when it is needed.
    runner: Option<Runner>,
    /// How the last was run, and the last of what it has said where it has failed.
    tried: Tried,
    said: Vec<u8>,
}

/// What is run, and the file of which it reads parts, with its name.
pub(super) type Run<'a> = (&'a Request, Option<(&'a File, &'a Path)>);

impl Tries {
    /// Those of `worker`, each of which may take so much, and print so many bytes.
    pub(super) fn new(limits: Limits, most_output: u64, worker: &Worker) -> Self {
        let tried = Tried { rank: worker.rank, slot: worker.slot, exit: NO_EXIT, ..Tried::default() };
        Self { limits, most_output, runner: None, tried, said: Vec::new() }
    }

    /// How the last was run, and the last of what it has said where it has failed.
    pub(super) fn last(&self) -> (&Tried, &[u8]) {
        (&self.tried, &self.said)
    }

    /// None has been run.
    pub(super) fn forget(&mut self) {
        self.tried =
            Tried { rank: self.tried.rank, slot: self.tried.slot, exit: NO_EXIT, ..Tried::default() };
        self.said.clear();
    }

    /// Notes what a try has come to.
    fn note(&mut self, outcome: &Outcome, given: u64, printed: u64) {
        let (exit, signal) = status(outcome.ending);
        let (began, took) = (outcome.began, outcome.took);
        self.tried = Tried { exit, signal, began, took, given, printed, ..self.tried };
    }

    /// What is to be run, within these limits.
    pub(super) fn request(&self, argv: Vec<Vec<u8>>, env: Vec<Vec<u8>>, input: Input) -> Request {
        let Limits { timeout, memory, .. } = self.limits;
        Request { argv, env, timeout, memory, most_output: self.most_output, input }
    }

    /// Runs a command, again and again as far as that is wanted. What it prints is put into `made`, which is emptied before,
    /// and `answer` makes an answer of it. `before` stands before each line that the command says on
    /// standard error. Returns the answer, or why there is none; `made` is empty then.
    ///
    /// # Errors
    /// It cannot go on: a signal has come, what runs commands has gone, or the file cannot be read.
    pub(super) fn run<T>(
        &mut self,
        run: Run,
        before: &[u8],
        made: &mut Spool,
        is_wanted: &dyn Fn() -> bool,
        mut answer: impl FnMut(&mut Spool) -> std::result::Result<T, String>,
    ) -> Result<std::result::Result<T, String>> {
        made.truncate(0);
        let mut tried = 0;
        loop {
            let mut said = Vec::new();
            let (outcome, unkept) = self.run_once(run, before, (&mut *made, &mut said), is_wanted)?;
            self.note(&outcome, run.0.input.bytes(), made.bytes());
            if outcome.leaves_process {
                pass_on(before, LEFT_BEHIND);
            }
            let fault = match outcome.ending {
                _ if let Some(error) = unkept => spool::fault(&error),
                Ending::Exited(0) => match answer(made) {
                    Ok(answer) => return Ok(Ok(answer)),
                    Err(fault) => fault,
                },
                Ending::Unfed(errno) => {
                    // That says nothing of the command.
                    let name = run.1.map_or(Path::new(""), |(_, name)| name).display();
                    return Err(Error::Failed(format!("cannot read {name}: {}", faults::unread(errno))));
                }
                ending => faults::of(ending, self.limits.timeout, self.most_output),
            };
            made.truncate(0);
            tried += 1;
            if tried > self.limits.retries {
                let fault = faults::with_said(fault, &said);
                self.said = said;
                return Ok(Err(fault));
            }
            wait(self.limits.delay, is_wanted)?;
        }
    }

    /// Waits until the machine has as much memory as a command may have: others may end. Not for ever, as it may be that
    /// nothing of this run has what is lacking.
    fn wait_for_memory(&self, is_wanted: &dyn Fn() -> bool) -> Result<()> {
        let Some(wanted) = self.limits.memory else { return Ok(()) };
        let began = Instant::now();
        while available_memory().is_some_and(|bytes| bytes < wanted) && began.elapsed() < FOR_MEMORY {
            wait(LOOK, is_wanted)?;
        }
        Ok(())
    }

    /// Runs a command once. What it prints is made, and the last of what it says is said. Returns what has become of it, and
    /// why what it prints cannot be kept, if that is so.
    fn run_once(
        &mut self,
        (request, file): Run,
        before: &[u8],
        (made, said): (&mut Spool, &mut Vec<u8>),
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<(Outcome, Option<std::io::Error>)> {
        self.wait_for_memory(is_wanted)?;
        let cannot = |why: &str| Error::Failed(format!("cannot run commands: {why}"));
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
        let start_time = Instant::now();
        for _ in 0..=RUNNERS {
            let start = || Runner::start(file.map(|(file, _)| file.as_fd()));
            let runner = match &mut self.runner {
                Some(runner) => runner,
                None => self.runner.insert(start().map_err(|e| cannot(&plain(&e)))?),
            };
            let keep = |lines: &[u8]| {
                pass_on(before, lines);
                keep_last(said, lines);
            };
            match runner.run(request, &mut |bytes| made.put(bytes), keep, is_wanted) {
                Ok(outcome) => return Ok((outcome, None)),
                Err(Ended::Signal(signal)) => {
                    self.runner = None;
                    return Err(signal);
                }
                Err(Ended::Unwanted) => {
                    self.runner = None;
                    return Err(unwanted());
                }
                // The command ends with its runner.
                Err(Ended::Unkept(error)) => {
                    self.runner = None;
                    let (ending, took) = (Ending::Abandoned, start_time.elapsed());
                    return Ok((Outcome { ending, began: clock, took, leaves_process: false }, Some(error)));
                }
                // Somebody has killed it: that says nothing of the command.
                Err(Ended::Gone) => {
                    self.runner = None;
                    made.truncate(0);
                    said.clear();
                }
            }
        }
        let outcome =
            Outcome { ending: Ending::Abandoned, began: 0, took: Duration::ZERO, leaves_process: false };
        Ok((outcome, None))
    }
}

/// Bytes of memory that there are for a program that is started, as Linux estimates it.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The exit code and the signal that such an ending has in lists of items.
pub(super) fn status(ending: Ending) -> (i32, i32) {
    match ending {
        Ending::Exited(code) => (code, 0),
        Ending::Killed(signal) | Ending::Stopped(signal) => (NO_EXIT, signal),
        // As a shell has it.
        Ending::NotStarted(libc::ENOENT) => (127, 0),
        Ending::NotStarted(_) => (126, 0),
        Ending::Unfed(_) => (NO_EXIT, 0),
        Ending::TimedOut | Ending::TooLong | Ending::Abandoned => (NO_EXIT, libc::SIGKILL),
    }
}

/// Keeps the last of what has been said.
pub(super) fn keep_last(said: &mut Vec<u8>, lines: &[u8]) {
    said.extend_from_slice(lines);
    let surplus = said.len().saturating_sub(MOST_SAID);
    said.drain(..surplus);
}

/// Passes on lines of standard error, as many as are written at once, so that no line stands within another.
pub(super) fn pass_on(before: &[u8], lines: &[u8]) {
    let mut text = Vec::new();
    // Nobody listens: that is no fault of the command.
    let put = |text: &mut Vec<u8>| {
        let _ = Stderr.write_all(text);
        text.clear();
    };
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        if text.len() + before.len() + line.len() > PORTION {
            put(&mut text);
        }
        text.extend_from_slice(before);
        text.extend_from_slice(line);
    }
    put(&mut text);
}

/// Nobody hears of it.
pub(super) fn unwanted() -> Error {
    Error::Failed("nobody wants the answer any more".into())
}

/// Waits before an item is tried again.
pub(super) fn wait(delay: Duration, is_wanted: &dyn Fn() -> bool) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < delay {
        signals::check()?;
        if !is_wanted() {
            return Err(unwanted());
        }
        let left = delay.saturating_sub(began.elapsed());
        // A signal ends it: the next look says which.
        let _ = signals::sleep(left.min(Duration::from_millis(50)));
    }
    signals::check()
}
