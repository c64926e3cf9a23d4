//! Other programs, launchers above all: starting one, hearing what it says, and what it says of itself. What
//! follows from it is for others.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::base::error::{Error, Result, plain};
use crate::base::{scratch, signals};
use crate::mpi::launch;

/// Names of launchers, those that say whose they are first.
pub(crate) const LAUNCHERS: [&str; 4] = ["mpirun.openmpi", "mpirun.mpich", "mpirun", "mpiexec"];

/// What both of Open MPI's launchers call themselves.
const OPEN_MPI: [&str; 3] = ["Open MPI", "OpenRTE", "PRRTE"];

/// How often to see whether a program has ended.
const NAP: Duration = Duration::from_millis(5);

/// How long a program may take to answer, or to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(10);

/// Is a launcher, or a library, that says this of itself Open MPI's?
pub(crate) fn is_open_mpi(version: &str) -> bool {
    OPEN_MPI.iter().any(|mark| version.contains(mark))
}

/// What a program says to `word`, on standard output and standard error; `None` where it cannot be started, or
/// does not answer. It is not told that it is a rank, where this process is one.
///
/// # Errors
/// A signal has come.
pub(crate) fn said(program: &Path, word: &str) -> Result<Option<String>> {
    let mut command = Command::new(program);
    launch::variables().for_each(|name| _ = command.env_remove(name));
    command.arg(word);
    let Ok(said) = scratch::file() else { return Ok(None) };
    let (Ok(out), Ok(err)) = (said.try_clone(), said.try_clone()) else { return Ok(None) };
    let Ok(mut child) = Child::spawn(command.stdout(out).stderr(err), said) else { return Ok(None) };
    let began = Instant::now();
    while child.is_done(&program.to_string_lossy())?.is_none() {
        if began.elapsed() > PATIENCE {
            return Ok(None);
        }
    }
    Ok(Some(child.said()))
}

/// A program at work. It is ended when this is dropped.
pub(crate) struct Child {
    process: process::Child,
    /// What it says, in a file, so that it never waits for somebody to read it.
    said: File,
}

impl Child {
    /// Starts it, with nothing to read. What it says goes where `command` has it, into a clone of `said`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(command: &mut Command, said: File) -> std::io::Result<Self> {
        command.stdin(Stdio::null());
        #[cfg(target_os = "linux")]
        {
            let end_with_parent =
                || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?);
            // SAFETY: between fork and exec there is one system call, which allocates nothing and takes no lock.
            unsafe { command.pre_exec(end_with_parent) };
        }
        Ok(Self { process: command.spawn()?, said })
    }

    /// How it has ended, if it has; waits for a moment. `name` is what people call it.
    ///
    /// # Errors
    /// A signal has come.
    pub fn is_done(&mut self, name: &str) -> Result<Option<ExitStatus>> {
        signals::check()?;
        match self.process.try_wait() {
            Ok(None) => {
                thread::sleep(NAP);
                Ok(None)
            }
            Ok(status) => Ok(status),
            Err(e) => Err(Error::Failed(format!("cannot wait for {name}: {}", plain(&e)))),
        }
    }

    /// What it has said.
    pub fn said(&mut self) -> String {
        all_of(&mut self.said)
    }
}

/// All that has been written to a file, as far as it can be read.
pub(crate) fn all_of(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let _ = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Drop for Child {
    fn drop(&mut self) {
        // It ends what it has started.
        if let (Ok(None), Some(pid)) = (self.process.try_wait(), Pid::from_raw(self.process.id() as i32)) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let began = Instant::now();
        while began.elapsed() < PATIENCE && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(NAP);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
