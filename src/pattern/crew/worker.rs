//! A worker of a crew: takes blocks from the ring and leaves its answers there, in a thread or in a forked
//! process.

use std::hint;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Errand;
use crate::error::{Error, Result};
use crate::function::Answer;
use crate::moment::{Moment, Span};
use crate::pattern::hands::Hands;
use crate::pattern::receipt::{MESSAGE, Receipt};

/// How often to look for work before going to sleep: about as long as falling asleep and waking up takes.
const LOOKS: usize = 100;

/// What a worker starts with.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// Its seat.
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
    errand: Errand<'a>,
    /// Rings when there is work, and ends when the lead does; the other way round it wakes the lead.
    bell: Option<UnixStream>,
    hands: Hands,
}

impl<'a> Worker<'a> {
    /// Worker number `number`, for `errand`; without a bell it is the lead itself, which works while it
    /// would wait.
    pub fn new(errand: Errand<'a>, number: usize, bell: Option<UnixStream>) -> Self {
        Self { errand, bell, hands: Hands::of(number) }
    }

    /// The same worker with all that it needs opened: threads share the limit of their process on open
    /// files, and one more of them must not leave the others without.
    ///
    /// # Errors
    /// It cannot open the file.
    pub fn ready(mut self) -> Result<Self> {
        self.hands.open(self.errand.task, self.errand.facts)?;
        Ok(self)
    }

    /// Works until there are no more blocks, or nobody wants them.
    pub fn run(mut self, start: Start) {
        let Start { worker, held, once, mut from, .. } = start;
        if let Some(number) = held {
            let goes_on = !self.errand.ring.take_held(number, worker) || self.answer(number, worker);
            if once || !goes_on {
                return;
            }
        }
        let ring = self.errand.ring;
        let no_more = || ring.is_closed();
        while let Some(number) = self.wait_for(worker, || ring.take(worker, &mut from), no_more) {
            if !self.answer(number, worker) {
                return;
            }
        }
    }

    /// Answers block `number`, piece by piece; false when nobody wants more.
    fn answer(&mut self, number: u64, worker: usize) -> bool {
        let ring = self.errand.ring;
        let mut new_block = true;
        loop {
            let more = self.piece(number, worker, new_block);
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
    pub fn piece(&mut self, number: u64, worker: usize, new_block: bool) -> bool {
        let began = Moment::now();
        let (block, values, room) = self.errand.ring.work(number, worker);
        if new_block {
            tracing::trace!("worker {worker}: block from {} to {}", block.start, block.end);
        }
        let space = room.len() - MESSAGE;
        let Errand { task, facts, .. } = self.errand;
        let begun = new_block.then_some((&block, values));
        let work = || self.hands.answer(task, facts, begun, &mut room[..space]);
        // A fault in parpy itself ends the run with a message, and not with a dead worker that is replaced.
        let answer = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|panic| Answer { failure: Some(fault(&*panic)), ..Answer::default() });
        let more = answer.more;
        let span = Span::since(began);
        let receipt = Receipt::pack(answer, self.hands.pid(), span, room, Error::to_string);
        if self.errand.ring.done(number, worker, receipt) {
            self.wake_lead();
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
        for _ in 0..LOOKS {
            if let Some(found) = look() {
                return Some(found);
            }
            hint::spin_loop();
        }
        loop {
            self.errand.ring.sleeps(worker);
            // In this order: what came before the end is found by looking after it.
            let is_end = ended();
            let found = look();
            if found.is_some() || is_end || !self.hear() {
                self.errand.ring.wakes(worker);
                return found;
            }
            self.errand.ring.wakes(worker);
            if let Some(found) = look() {
                return Some(found);
            }
        }
    }

    /// Sleeps until the bell rings; false when the lead has gone.
    fn hear(&mut self) -> bool {
        let Some(bell) = &mut self.bell else { return false };
        let mut heard = [0; 64];
        loop {
            match bell.read(&mut heard) {
                Ok(count) => return count > 0,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    fn wake_lead(&mut self) {
        // Full, the bell rings already; broken, nobody is there to hear it.
        if let Some(bell) = &mut self.bell {
            let _ = bell.write(&[1]);
        }
    }
}

/// A fault in parpy itself as an error.
fn fault(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
    Error::Failed(format!("met a fault in parpy itself: {text}"))
}
