//! Workers that die, and those that are started in their place.

use std::io;
use std::net::Shutdown;

use rustix::io::Errno;
use rustix::process::WaitStatus;
use signal_hook::consts::SIGKILL;
use signal_hook::low_level::signal_name;

use super::ring::State;
use super::spawn::Spawn;
use super::worker::Start;
use super::{Lifetime, Manager};
use crate::base::error::{Error, Result, plain};
use crate::base::fmt::counted;
use crate::base::signals;
use crate::sched::Collector;

/// Workers that may die one after the other without having worked on anything.
const MOST_IDLE_DEATHS: usize = 10;

impl<H: Spawn> Manager<'_, H> {
    /// The system has no room for another worker: goes on with those that there are.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn make_do(&mut self, error: &io::Error) -> Result<()> {
        let alive = self.alive + usize::from(self.own.is_some());
        if alive == 0 {
            return Err(no_worker(error));
        }
        tracing::warn!(
            "only {alive} of {} could be started: {}{}",
            counted(self.most as u64, "worker"),
            plain(error),
            remedy(error)
        );
        self.most = if self.stay == Lifetime::Run { self.started } else { alive };
        if self.by_turns() {
            self.context.ring.set_turns(self.most);
        }
        Ok(())
    }

    /// Starts workers where there are too few.
    pub(super) fn look_after_workers(&mut self, collector: &mut Collector) -> Result<()> {
        match self.stay {
            Lifetime::Run => self.replace_dead(collector),
            Lifetime::Block => self.start_for_waiting(collector),
        }
    }

    /// Starts workers for blocks that wait for one of their own.
    pub(super) fn start_for_waiting(&mut self, collector: &mut Collector) -> Result<()> {
        while self.alive < self.most
            && let Some(number) = self.waiting.front().copied()
            && let Some(worker) = self.handles[..self.context.layout.workers].iter().position(Option::is_none)
        {
            let start = Start { worker, number: worker, held: Some(number), once: true, from: 0 };
            match self.start(start, collector) {
                Ok(()) => _ = self.waiting.pop_front(),
                // What another has died with may be what all others wait for.
                Err(error) if self.deaths(number) > 0 => {
                    return Err(no_worker(&error));
                }
                Err(error) => self.make_do(&error)?,
            }
        }
        Ok(())
    }

    /// Starts new workers in place of those that have died.
    pub(super) fn replace_dead(&mut self, collector: &mut Collector) -> Result<()> {
        for worker in usize::from(self.own.is_some())..self.started {
            if self.handles[worker].is_none() {
                let held = self.redo[worker];
                let start = Start { worker, number: worker, held, once: false, from: self.head };
                match self.start(start, collector) {
                    Ok(()) => self.redo[worker] = None,
                    // Others go on, and it is tried again when there is a next time.
                    Err(_) if held.is_none() && self.alive > 0 && !self.by_turns() => {}
                    Err(error) => return Err(no_worker(&error)),
                }
            }
        }
        Ok(())
    }

    /// A worker's wake-up socket has ended.
    pub(super) fn has_ended(&mut self, worker: usize) -> Result<()> {
        let Some(mut handle) = self.handles[worker].take() else { return Ok(()) };
        let was_for = handle.held;
        let pid = handle.process.map_or(0, |pid| pid.as_raw_nonzero().get());
        let status = handle.reap();
        drop(handle);
        // A signal to all processes of a group is not the worker's death but the end of the run.
        signals::check()?;
        if worker == self.context.layout.workers {
            self.alone = status;
            return Ok(());
        }
        self.alive -= 1;
        let ring = self.context.ring;
        // What it had: a block that it worked on, the rest of one of which it has given a part, or one that
        // it died too early to take.
        let had = |number: &u64| match ring.state(*number) {
            State::With(holder) => holder == worker,
            State::Done(holder) => holder == worker && ring.answer(*number).0.goes_on(),
            State::Waiting => was_for == Some(*number) && ring.is_held(*number),
        };
        let held = match (self.stay, was_for) {
            (Lifetime::Block, Some(number)) => Some(number).filter(|n| *n >= self.head).filter(had),
            _ => (self.head..self.next).find(had),
        };
        if self.stay == Lifetime::Block && held.is_none() {
            return Ok(());
        }
        let who = format!("worker {worker} (pid {pid}) {}", how(status));
        let Some(number) = held else { return self.idle_death(&who) };
        *self.killers.entry(number).or_default() += 1;
        let block = self.context.ring.block(number);
        let what = self.context.describe(&block);
        self.context.ring.hold(number, block, 0);
        if number == self.head {
            self.progress.seen = 0;
            self.pieces.clear();
        }
        if self.deaths(number) <= self.context.task.retries {
            tracing::warn!("{who} while it had {what}; run again on a new worker");
            match self.stay {
                Lifetime::Block => self.waiting.push_front(number),
                Lifetime::Run => self.redo[worker] = Some(number),
            }
        } else {
            tracing::warn!("{who} while it had {what}; looked into part by part");
        }
        Ok(())
    }

    /// How many workers block `number` has killed.
    pub(super) fn deaths(&self, number: u64) -> usize {
        self.killers.get(&number).copied().unwrap_or(0)
    }

    pub(super) fn idle_death(&mut self, who: &str) -> Result<()> {
        self.idle_deaths += 1;
        if self.idle_deaths > MOST_IDLE_DEATHS {
            return Err(Error::Failed(format!(
                "{who} before it had worked on anything, as did others before it"
            )));
        }
        tracing::warn!("{who} while it had nothing to do; replaced by a new worker");
        Ok(())
    }

    /// Sees all workers off.
    pub(super) fn dismiss(&mut self) {
        for handle in self.handles.iter().flatten() {
            // Its end wakes the worker, who finds that there is nothing more to do.
            let _ = handle.waker.shutdown(Shutdown::Both);
        }
        for mut handle in self.handles.iter_mut().filter_map(Option::take) {
            handle.reap();
        }
    }
}

pub(super) fn no_worker(error: &io::Error) -> Error {
    Error::Failed(format!("cannot start a worker: {}{}", plain(error), remedy(error)))
}

/// What to do about a system that has no room for workers.
pub(super) fn remedy(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => " (ulimit -n)",
        Some(Errno::AGAIN) => " (ulimit -u, or the pids.max of the cgroup)",
        _ => "",
    }
}

/// How a worker has ended, in words.
pub(super) fn how(status: Option<WaitStatus>) -> String {
    let Some(status) = status else { return "has ended".to_owned() };
    if let Some(signal) = status.terminating_signal() {
        let name = signal_name(signal).unwrap_or("a signal");
        let hint = if signal == SIGKILL { ", perhaps for want of memory" } else { "" };
        return format!("was killed by {name} (signal {signal}{hint})");
    }
    match status.exit_status() {
        Some(code) => format!("has left with exit code {code}"),
        None => "has ended".to_owned(),
    }
}
