//! MPI is initialised in a child process, for when an MPI library may end the process instead of saying what is
//! wrong: then the parent is there to tell. Where it goes well the child is the rank, and the parent passes its
//! exit code on, as a shell script around parpy would.
//!
//! Nothing here knows why MPI may fail; [`crate::mpi::launch::foreign`] does.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::exit;

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, kill_process, set_parent_process_death_signal, waitpid,
};
use rustix::stdio::{dup2_stderr, stderr};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::base::error::Error;
use crate::base::scratch;
use crate::base::signals::{self, PASSED_ON};
use crate::mpi::communicator::Began;
use crate::mpi::launch::programs::all_of;

/// Calls `start` in a child of this process, which must have no other threads. Returns in the child with what
/// `start` returns; and in the parent only if the child has ended within it.
///
/// # Errors
/// There can be no child.
pub fn begin<T>(start: impl FnOnce() -> T) -> io::Result<Began<T>> {
    // All ranks say the same, and at length: it is kept until it is known whether it matters.
    let mut said = scratch::file()?;
    let (mut told, tell) = io::pipe()?;
    let parent = getpid();
    // SAFETY: this process has one thread, so the child is a whole process like its parent.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        drop(told);
        return Ok(Began::Here(in_child(parent, start, &mut said, tell)));
    }
    drop(tell);
    let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 0) else { return Err(io::Error::last_os_error()) };
    pass_on_signals(pid);
    // One that has come since the fork, when nobody passed it on.
    if let Err(Error::Interrupted(signal)) = signals::check()
        && PASSED_ON.contains(&signal)
    {
        pass_on(pid, signal);
    }
    let began = told.read(&mut [0]).is_ok_and(|count| count > 0);
    let (code, was_stopped) = loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                let signal = status.terminating_signal();
                let code = status.exit_status().unwrap_or_else(|| 128 + signal.unwrap_or(0));
                break (code, signal.is_some_and(|signal| signal == SIGINT || PASSED_ON.contains(&signal)));
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => break (1, false),
        }
    };
    // A rank that was told to stop says nothing of MPI.
    if began || was_stopped {
        exit(code);
    }
    Ok(Began::Not(first_sentence(&all_of(&mut said))))
}

fn pass_on_signals(rank: Pid) {
    for signal in PASSED_ON {
        // SAFETY: the handler makes a single system call, which signal-safety(7) allows.
        let _ = unsafe { signal_hook::low_level::register(signal, move || pass_on(rank, signal)) };
    }
}

fn pass_on(rank: Pid, signal: i32) {
    let _ = Signal::from_named_raw(signal).map(|signal| kill_process(rank, signal));
}

fn in_child<T>(parent: Pid, start: impl FnOnce() -> T, said: &mut File, mut tell: io::PipeWriter) -> T {
    // Whoever ends the run ends the parent, which is the process that the launcher knows.
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    // Unless it was gone before that was asked for: then nobody waits for this process any more.
    if getppid() != Some(parent) {
        exit(128 + SIGTERM);
    }
    let own = stderr().try_clone_to_owned();
    let is_kept = own.is_ok() && dup2_stderr(&said).is_ok();
    let started = start();
    if let (Ok(own), true) = (own, is_kept) {
        let _ = dup2_stderr(own);
        let _ = io::stderr().write_all(all_of(said).as_bytes());
    }
    let _ = tell.write_all(&[1]);
    started
}

/// The first sentence that stands in a frame, as Open MPI has it, or else the first line.
fn first_sentence(text: &str) -> String {
    let is_rule = |line: &&str| line.starts_with("-----");
    let framed = text.lines().skip_while(|line| !is_rule(line)).skip(1).map(str::trim);
    let paragraph: Vec<&str> = framed.take_while(|line| !line.is_empty() && !is_rule(line)).collect();
    match paragraph.is_empty() {
        false => {
            let text = paragraph.join(" ");
            text.split_once(". ").map_or(&*text, |(first, _)| first).to_owned()
        }
        true => text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sentence_is_the_reason() {
        let text = "[n1:1] OPAL ERROR\n-------\nIt was launched using\nsrun, but. There\nare options.\n\nPlease\n-------\n*** more\n";
        assert_eq!(first_sentence(text), "It was launched using srun, but");
        assert_eq!(first_sentence("\n  cannot open x\nmore\n"), "cannot open x");
        assert_eq!(first_sentence(""), "");
    }
}
