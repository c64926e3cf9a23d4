//! A worker: takes blocks from the ring and leaves its answers there, in a thread or in a forked
//! process.

use std::hint;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::TaskContext;
use crate::base::error::{Error, Result};
use crate::base::time::{Interval, Timestamp};
use crate::op::BlockResult;
use crate::sched::instance::Instance;
use crate::sched::result_header::{MESSAGE, ResultHeader};

/// How often to look for work before going to sleep: about as long as falling asleep and waking up takes.
const SPIN_LIMIT: usize = 100;

/// What a worker starts with.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// Its place.
    pub worker: usize,
    /// The number by which it is known.
    pub number: usize,
    /// A block that is held for it.
    pub held: Option<u64>,
    /// It ends after that block.
    pub once: bool,
    /// The first block that it may look at.
    pub from: u64,
}

/// A worker at work.
pub struct Worker<'a> {
    context: TaskContext<'a>,
    /// Rings when there is work, and ends when the manager does; the other way round it wakes the manager.
    waker: Option<UnixStream>,
    instance: Instance,
}

impl<'a> Worker<'a> {
    /// Worker number `number`, for `context`; without a waker it is the manager itself, which works while it
    /// would wait.
    pub fn new(context: TaskContext<'a>, number: usize, waker: Option<UnixStream>) -> Self {
        Self { context, waker, instance: Instance::of(number) }
    }

    /// The same worker with all that it needs opened: threads share the limit of their process on open
    /// files, and one more of them must not leave the others without.
    ///
    /// # Errors
    /// It cannot open the file.
    pub fn ready(mut self) -> Result<Self> {
        self.instance.open(self.context.task, self.context.bound)?;
        Ok(self)
    }

    /// Works until there are no more blocks, or nobody wants them.
    pub fn run(mut self, start: Start) {
        let Start { worker, held, once, mut from, .. } = start;
        if let Some(number) = held {
            let goes_on = !self.context.ring.take_held(number, worker) || self.answer(number, worker);
            if once || !goes_on {
                return;
            }
        }
        let ring = self.context.ring;
        let no_more = || ring.is_closed();
        while let Some(number) = self.wait_for(worker, || ring.take(worker, &mut from), no_more) {
            if !self.answer(number, worker) {
                return;
            }
        }
    }

    /// Answers block `number`, chunk by chunk; false when nobody wants more.
    fn answer(&mut self, number: u64, worker: usize) -> bool {
        let ring = self.context.ring;
        let mut new_block = true;
        loop {
            let more = self.chunk(number, worker, new_block);
            if !more {
                return true;
            }
            new_block = false;
            let go_on = || ring.take_more(number, worker).then_some(());
            if self.wait_for(worker, go_on, || ring.is_stopped()).is_none() {
                return false;
            }
        }
    }

    /// One piece of the answer to block `number`. Are there more?
    pub fn chunk(&mut self, number: u64, worker: usize, new_block: bool) -> bool {
        let began = Timestamp::now();
        let (block, rows, buf) = self.context.ring.work(number, worker);
        if new_block {
            tracing::trace!("worker {worker}: block from {} to {}", block.start, block.end);
        }
        let space = buf.len() - MESSAGE;
        let TaskContext { task, bound, .. } = self.context;
        let begun = new_block.then_some((&block, rows));
        let work = || self.instance.answer(task, bound, begun, &mut buf[..space]);
        // A fault in parpy itself ends the run with a message, and not with a dead worker that is replaced.
        let answer =
            catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| BlockResult::failed(fault(&*panic)));
        let more = answer.more;
        let interval = Interval::since(began);
        let header = ResultHeader::pack(answer, self.instance.pid(), interval, buf, Error::to_string);
        if self.context.ring.done(number, worker, header) {
            self.wake_manager();
        }
        more
    }

    /// What `look` finds, as soon as it finds something; `None` when nothing is to come any more, which
    /// `ended` says.
    fn wait_for<T>(
        &mut self,
        worker: usize,
        mut look: impl FnMut() -> Option<T>,
        ended: impl Fn() -> bool,
    ) -> Option<T> {
        for _ in 0..SPIN_LIMIT {
            if let Some(found) = look() {
                return Some(found);
            }
            hint::spin_loop();
        }
        loop {
            self.context.ring.sleeps(worker);
            // In this order: what came before the end is found by looking after it.
            let is_end = ended();
            let found = look();
            if found.is_some() || is_end || !self.hear() {
                self.context.ring.wakes(worker);
                return found;
            }
            self.context.ring.wakes(worker);
            if let Some(found) = look() {
                return Some(found);
            }
        }
    }

    /// Sleeps until the wake-up socket rings; false when the manager has gone.
    fn hear(&mut self) -> bool {
        let Some(waker) = &mut self.waker else { return false };
        let mut heard = [0; 64];
        loop {
            match waker.read(&mut heard) {
                Ok(count) => return count > 0,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    fn wake_manager(&mut self) {
        // Full, the wake-up socket rings already; broken, nobody is there to hear it.
        if let Some(waker) = &mut self.waker {
            let _ = waker.write(&[1]);
        }
    }
}

/// A fault in parpy itself as an error.
fn fault(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
    Error::Failed(format!("met a fault in parpy itself: {text}"))
}
