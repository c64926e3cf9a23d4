//! A worker: takes blocks from the arena and leaves its answers there, in a thread or in a forked
//! process.

use std::hint;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::arena::Arena;
use super::local::TaskContext;
use super::protocol::{Look, ManagerSide, WorkerSide};
use crate::base::error::{Error, Result};
use crate::base::lanes::Lanes;
use crate::base::time::{Interval, Timestamp};
use crate::op::BlockResult;
use crate::sched::instance::Instance;
use crate::sched::result_header::{MESSAGE, ResultHeader};

/// How often to look for work before going to sleep: some 20 µs, which is less than falling asleep and waking up takes.
/// Measured: 10^8 squares by two threads in 15 ms, and in 17 ms where it was 100 times.
const SPIN_LIMIT: usize = 2000;

/// The only thread of its process.
pub const ALONE: (usize, usize) = (0, 1);

/// What a worker starts with.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// Its place.
    pub worker: usize,
    /// The number by which it is known.
    pub number: usize,
    /// A block that is held for it: its slot, and its number.
    pub held: Option<(usize, u64)>,
    /// It ends after that block.
    pub once: bool,
    /// The first block that it may look at.
    pub from: u64,
}

/// How a worker and its manager wake each other, and what else they say besides what stands in the arena.
pub trait Waker: Send {
    /// Sleeps until the manager has woken `worker`, which has said in its flag that it sleeps; perhaps not so long. False
    /// when the manager has gone.
    fn sleep(&mut self, arena: &Arena, worker: usize) -> bool;

    /// Wakes the manager.
    fn wake_manager(&mut self, arena: &Arena);

    /// `worker` has answered one more block.
    fn has_answered(&mut self, _arena: &Arena, _worker: usize) {}

    /// Is the worker to begin nothing more?
    ///
    /// # Errors
    /// A signal has come, which the manager may not have heard of.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// A failure as the manager is to say it.
    fn tell(&self, error: &Error) -> String {
        error.to_string()
    }
}

/// Wakes by a byte through a socket; ends when the manager does.
impl Waker for UnixStream {
    fn sleep(&mut self, _arena: &Arena, _worker: usize) -> bool {
        let mut heard = [0; 64];
        loop {
            match self.read(&mut heard) {
                Ok(count) => return count > 0,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    fn wake_manager(&mut self, _arena: &Arena) {
        // Full, the socket wakes already; broken, nobody is there to hear it.
        let _ = self.write(&[1]);
    }
}

/// Of the manager itself as a worker: there is nobody to wake.
struct Nobody;

impl Waker for Nobody {
    fn sleep(&mut self, _arena: &Arena, _worker: usize) -> bool {
        false
    }

    fn wake_manager(&mut self, _arena: &Arena) {}
}

/// A worker at work.
pub struct Worker<'a> {
    context: TaskContext<'a>,
    waker: Box<dyn Waker + 'a>,
    instance: Instance,
    /// Blocks and items done.
    done: (u64, u64),
}

impl<'a> Worker<'a> {
    /// Worker number `number`, for `context`; or of the rank with that number the worker `thread`, as
    /// [`Instance::of`] has it.
    pub fn new(
        context: TaskContext<'a>,
        number: usize,
        thread: (usize, usize),
        waker: impl Waker + 'a,
    ) -> Self {
        let instance = Instance::of(number, thread, Lanes::best());
        Self { context, waker: Box::new(waker), instance, done: (0, 0) }
    }

    /// The manager itself as worker 0, which computes with `lanes`.
    ///
    /// # Errors
    /// It cannot open the file.
    pub fn manager(context: TaskContext<'a>, lanes: Lanes) -> Result<Self> {
        let instance = Instance::of(0, ALONE, lanes);
        Self { context, waker: Box::new(Nobody), instance, done: (0, 0) }.ready()
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

    /// Works until there are no more blocks, or nobody wants them. Returns how many blocks and items it has done.
    pub fn run(mut self, start: Start) -> (u64, u64) {
        let Start { worker, held, once, mut from, .. } = start;
        let arena = self.context.arena;
        if let Some((slot, number)) = held {
            let goes_on = !arena.take_held(slot, number, worker) || self.answer(slot, worker);
            if once || !goes_on {
                return self.done;
            }
        }
        let no_more = || arena.is_closed();
        while let Some((slot, _)) = self.wait_for(worker, || arena.take(worker, &mut from), no_more) {
            if !self.answer(slot, worker) {
                break;
            }
            self.waker.has_answered(arena, worker);
        }
        self.done
    }

    /// Answers the block in a slot, chunk by chunk; false when nobody wants more.
    fn answer(&mut self, slot: usize, worker: usize) -> bool {
        let arena = self.context.arena;
        let mut new_block = true;
        loop {
            let more = self.chunk(slot, worker, new_block);
            if !more {
                return true;
            }
            new_block = false;
            let go_on = || if arena.take_more(slot, worker) { Look::Found(()) } else { Look::Nothing };
            if self.wait_for(worker, go_on, || arena.is_stopped()).is_none() {
                return false;
            }
        }
    }

    /// One chunk of the answer to the block in a slot. Are there more?
    pub fn chunk(&mut self, slot: usize, worker: usize, new_block: bool) -> bool {
        let began = Timestamp::now();
        let arena = self.context.arena;
        let (block, rows, buf) = arena.work(slot, worker);
        if new_block {
            tracing::trace!("worker {worker}: block from {} to {}", block.start, block.end);
        }
        let space = buf.len() - MESSAGE;
        let TaskContext { task, bound, .. } = self.context;
        let begun = new_block.then_some((&block, rows));
        let is_wanted = || !arena.is_stopped();
        let work = || match self.waker.check() {
            Ok(()) => self.instance.answer(task, bound, begun, &mut buf[..space], &is_wanted),
            Err(interrupted) => BlockResult::failed(interrupted),
        };
        // A fault in parpy itself ends the run with a message, and not with a dead worker that is replaced.
        let answer =
            catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| BlockResult::failed(fault(&*panic)));
        let more = answer.more;
        let interval = Interval::since(began);
        let tell = |error: &Error| self.waker.tell(error);
        let header = ResultHeader::pack(answer, self.instance.pid(), interval, buf, tell);
        self.done = (self.done.0 + u64::from(new_block), self.done.1 + header.items());
        if arena.finish(slot, worker, header) {
            self.waker.wake_manager(arena);
        }
        more
    }

    /// What `look` finds, as soon as it finds something; `None` when nothing is to come any more, which
    /// `ended` says.
    fn wait_for<T>(
        &mut self,
        worker: usize,
        mut look: impl FnMut() -> Look<T>,
        ended: impl Fn() -> bool,
    ) -> Option<T> {
        let arena = self.context.arena;
        let mut lacks_buffer = false;
        for _ in 0..SPIN_LIMIT {
            match look() {
                Look::Found(found) => return Some(found),
                Look::Nothing => lacks_buffer = false,
                Look::NoBuffer => lacks_buffer = true,
            }
            hint::spin_loop();
        }
        loop {
            arena.sleeps(worker, lacks_buffer);
            // In this order: what came before the end is found by looking after it.
            let is_end = ended();
            let found = look();
            match found {
                Look::Found(found) => {
                    arena.wakes(worker);
                    return Some(found);
                }
                // It sleeps for another reason than it has said.
                Look::NoBuffer if !lacks_buffer => lacks_buffer = true,
                Look::Nothing if lacks_buffer => lacks_buffer = false,
                Look::Nothing if is_end => {
                    arena.wakes(worker);
                    return None;
                }
                Look::Nothing | Look::NoBuffer => {
                    if !self.waker.sleep(arena, worker) {
                        arena.wakes(worker);
                        return None;
                    }
                }
            }
            arena.wakes(worker);
        }
    }
}

/// A fault in parpy itself as an error.
fn fault(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
    Error::Failed(format!("met a fault in parpy itself: {text}"))
}
