//! What rank 0 tells each worker of each rank to do next.

use bytemuck::{Pod, Zeroable};

use super::rounds::NUMBER;
use crate::base::signals;
use crate::base::time::{Interval, Timestamp};
use crate::data::block::Block;
use crate::job::Task;
use crate::mpi::linked::Teller;
use crate::op::{BlockResult, Bound};
use crate::sched::instance::Instance;
use crate::sched::result_header::{MESSAGE, ResultHeader};
use crate::sched::transport::arena::Arena;
use crate::sched::transport::protocol::ManagerSide;

/// What a worker is to do next.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Command {
    pub(super) kind: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Where the block's rows stand among those of the round; 0 for a section.
    pub(super) offset: u64,
    /// In the first of a rank's commands: words of the message with the rows of all of them.
    pub(super) words: u64,
    /// With [`STOP`]: how the task has ended. With [`BEGIN`]: the threads of a rank. With [`WORK`] and
    /// [`WAIT`]: how many values there are up to the end of the round. With [`CLOSE`]: how many stand. With [`TASKS`]: how many
    /// values or bytes there are, or [`u64::MAX`] where nobody knows.
    pub(super) number: u64,
}

/// Set up shared memory. Commands of this kind, [`NAME`], [`CLOCKS`], [`BEGIN`], [`OPEN`], [`CLOSE`], [`CHECK`],
/// [`TASKS`] and [`STOP`] are the same for all ranks.
pub(super) const SHARE: u64 = 1;
/// Start on a block.
pub(super) const WORK: u64 = 2;
/// Go on with the answer that was longer than the slot.
pub(super) const MORE: u64 = 3;
/// Take part in the round's collectives with nothing.
pub(super) const WAIT: u64 = 4;
/// Say who you are.
pub(super) const NAME: u64 = 5;
/// The task has ended.
pub(super) const STOP: u64 = 6;
/// What the input is like follows in a broadcast. From now on each rank has so many threads, and gets as many
/// commands.
pub(super) const BEGIN: u64 = 7;
/// Open the file that all ranks write to.
pub(super) const OPEN: u64 = 8;
/// Close it.
pub(super) const CLOSE: u64 = 9;
/// Leave barriers together and say when, so that the clocks of all hosts can be compared.
pub(super) const CLOCKS: u64 = 10;
/// Say whether the input is still what it was.
pub(super) const CHECK: u64 = 11;
/// Work on tasks until rank 0 says that there are no more.
pub(super) const TASKS: u64 = 12;

pub(super) const COMMAND_WORDS: usize = size_of::<Command>() / 8;

impl Command {
    /// Rows of the block that it is about.
    pub(super) fn rows(&self) -> u64 {
        if self.kind == WORK { self.end - self.start } else { 0 }
    }

    /// Puts its block into a slot of this process's own memory, whose first row is number `first_row` of the round.
    pub(super) fn offer(&self, arena: &Arena, slot: usize, first_row: u64) {
        if self.kind == WORK {
            let block = Block { start: self.start, end: self.end };
            arena.put(slot, NUMBER, block, self.offset.saturating_sub(first_row));
            arena.hold(slot, NUMBER);
        } else {
            arena.order_more(slot, NUMBER, slot);
        }
    }

    /// Does what it says, with the block in a slot that its worker has claimed.
    pub(super) fn carry_out(
        &self,
        (task, bound): (&Task, &Bound),
        instance: &mut Instance,
        (arena, slot): (&Arena, usize),
        tell: Teller,
    ) -> ResultHeader {
        let began = Timestamp::now();
        let (block, rows, buf) = arena.work(slot, slot);
        if self.kind == WORK {
            tracing::trace!("block from {} to {}", block.start, block.end);
        }
        let begun = (self.kind == WORK).then_some((&block, rows));
        let space = buf.len() - MESSAGE;
        let answer = match signals::check() {
            Ok(()) => instance.answer(task, bound, begun, &mut buf[..space], &|| true),
            Err(interrupted) => BlockResult::failed(interrupted),
        };
        let interval = Interval::since(began);
        ResultHeader::pack(answer, instance.pid(), interval, buf, |error| tell.tell(error))
    }
}
