//! What rank 0 tells each worker of each rank to do next.

use bytemuck::{Pod, Zeroable};

use crate::base::signals;
use crate::base::time::{Interval, Timestamp};
use crate::data::block::Block;
use crate::data::dtype::Dtype;
use crate::input::{self, InputInfo, Stamp};
use crate::job::{Task, Work};
use crate::mpi::linked::Teller;
use crate::node::host::node;
use crate::op::BlockResult;
use crate::sched::instance::Instance;
use crate::sched::result_header::ResultHeader;

/// What a worker is to do next.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Command {
    pub(super) kind: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Where the block's values stand among those of the round; 0 for a section.
    pub(super) offset: u64,
    /// As [`InputInfo::total`].
    pub(super) total: u64,
    /// 1 when the values are floats.
    pub(super) float: u64,
    /// 1 when every rank finds its values by itself.
    pub(super) indexed: u64,
    /// With [`STOP`]: how the task has ended. With [`TEAM`]: the threads of a rank. With [`WORK`] and
    /// [`WAIT`]: how many values there are up to the end of the round. With [`CLOSE`]: how many stand.
    pub(super) number: u64,
    /// As [`InputInfo::stamp`].
    pub(super) stamp: Stamp,
    /// The node where that was found.
    pub(super) node: u64,
}

/// Set up shared memory. Commands of this kind, [`NAME`], [`CLOCKS`], [`TEAM`], [`OPEN`], [`CLOSE`], [`CHECK`]
/// and [`STOP`] are the same for all ranks.
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
/// From now on each rank has so many threads, and gets as many commands.
pub(super) const TEAM: u64 = 7;
/// Open the file that all ranks write to.
pub(super) const OPEN: u64 = 8;
/// Close it.
pub(super) const CLOSE: u64 = 9;
/// Leave barriers together and say when, so that the clocks of all hosts can be compared.
pub(super) const CLOCKS: u64 = 10;
/// Say whether the input is still what it was.
pub(super) const CHECK: u64 = 11;

pub(super) const COMMAND_WORDS: usize = size_of::<Command>() / 8;

impl Command {
    /// Values of the block that it is about.
    pub(super) fn values(&self) -> u64 {
        if self.kind == WORK { self.end - self.start } else { 0 }
    }

    /// Does what it says.
    pub(super) fn carry_out(
        &self,
        (task, info): (&Task, &InputInfo),
        instance: &mut Instance,
        values: &[u64],
        slot: &mut [u8],
        buf: usize,
        tell: Teller,
    ) -> ResultHeader {
        let began = Timestamp::now();
        let block = Block { start: self.start, end: self.end };
        if self.kind == WORK {
            tracing::trace!("block from {} to {}", block.start, block.end);
        }
        let begun = (self.kind == WORK).then_some((&block, values));
        let answer = match signals::check() {
            Ok(()) => instance.answer(task, info, begun, &mut slot[..buf]),
            Err(interrupted) => BlockResult { failure: Some(interrupted), ..BlockResult::default() },
        };
        let interval = Interval::since(began);
        ResultHeader::pack(answer, instance.pid(), interval, slot, |error| tell.tell(error))
    }

    /// What rank 0 knew before the run; of the input of `task`, on another node, what is seen there.
    pub(super) fn info(&self, task: &Task) -> InputInfo {
        let dtype = if self.float != 0 { Dtype::F64 } else { Dtype::I64 };
        let (total, indexed) = (self.total, self.indexed != 0);
        let is_mine = indexed || matches!(task.work, Work::Read { .. });
        let stamp = match is_mine && !self.stamp.is_none() {
            true if self.node == node() => self.stamp,
            // Why it cannot be opened is said when it is.
            true => input::stamp_now(task, dtype).unwrap_or(Stamp::NONE),
            // Rank 0 alone reads it.
            false => Stamp::NONE,
        };
        InputInfo { dtype, total, indexed, stamp }
    }
}
