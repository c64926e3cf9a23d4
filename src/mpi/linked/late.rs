//! A word, and in the end an exit, while MPI is being initialised for longer than it should take. `MPI_Init` waits
//! for all processes that the launcher has started, and one of them may never call it: a script gave it
//! `parpy cpus` and the others `parpy map`.
//!
//! Nothing here knows which process is late; the launcher would.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::mpi::launch::{Launch, words};

/// When it is said that others are late. Thousands of ranks are there in some seconds.
const SAID: Duration = Duration::from_secs(if cfg!(feature = "fault-injection") { 5 } else { 20 });

/// How much later they are given up.
const GIVEN_UP: Duration = Duration::from_secs(if cfg!(feature = "fault-injection") { 10 } else { 280 });

/// Does `start`, which initialises MPI. Where it does not return for long, this process says so and at last ends
/// with code 1, upon which the launcher ends all others.
pub fn watched<T>(launch: &Launch, start: impl FnOnce() -> T) -> T {
    if launch.ranks < 2 {
        return start();
    }
    // The sender is dropped when MPI is there, and with it the thread ends.
    let (sender, receiver) = mpsc::channel::<()>();
    let is_late = move |time| receiver.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
    let (rank, ranks) = (launch.rank, launch.ranks);
    let watch = thread::Builder::new().name("late".into()).spawn(move || {
        if !is_late(SAID) {
            return;
        }
        let late =
            format!("rank {rank} of {ranks} has waited {} s in MPI_Init for the others", SAID.as_secs());
        // All that wait have the same to say. Rank 0 may be the one that does not come.
        if rank < 2 {
            eprintln!(
                "parpy: {late}: a rank that does not use MPI, as with parpy cpus, never comes ({})",
                words::how_alone()
            );
        }
        if is_late(GIVEN_UP) {
            if rank < 2 {
                eprintln!("parpy: rank {rank} waits for them no longer");
            }
            // Without the exit handlers: those of an MPI that is half there may wait, too.
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(1) };
        }
    });
    let started = start();
    drop(sender);
    // It may not have been possible; then nobody watches.
    if let Ok(watch) = watch {
        let _ = watch.join();
    }
    started
}
