//! One block after another in this process: with scalar lanes the reference that every other pattern must
//! equal to the byte, with vector lanes the simd pattern, and what a single thread of threads comes to.

use crate::base::error::Result;
use crate::base::lanes::Lanes;
use crate::base::signals;
use crate::base::time::{Interval, Timestamp};
use crate::data::batch::BatchRef;
use crate::input::blocks::BlockSource;
use crate::job::Task;
use crate::observe::report::Report;
use crate::op::{Bound, pages};
use crate::sched::{Attempt, BlockSizing, ChunkInfo, Collector, Opened, instance};

/// Runs `task` once. `attempt` says which run of it this is.
///
/// # Errors
/// The first thing that fails, in block order; all answers before it have been written.
pub fn run(task: &Task, lanes: Lanes, attempt: &Attempt) -> Result<Report> {
    let opened = Opened::of(task)?;
    run_opened(task, &BlockSizing::in_rounds(task, &opened.bound, 1, false), opened, lanes, attempt)
}

/// As [`run`], of a task whose input is open.
pub(super) fn run_opened(
    task: &Task,
    layout: &BlockSizing,
    opened: Opened,
    lanes: Lanes,
    attempt: &Attempt,
) -> Result<Report> {
    let Opened { began, source, bound } = opened;
    let mut collector = Collector::open(task, &bound, &source, 1, began, attempt)?;
    let outcome = blocks(task, layout, source, &bound, lanes, &mut collector);
    collector.close(outcome)
}

fn blocks(
    task: &Task,
    layout: &BlockSizing,
    mut source: BlockSource,
    bound: &Bound,
    lanes: Lanes,
    collector: &mut Collector,
) -> Result<()> {
    tracing::debug!("lanes: {}", lanes.name());
    let mut operator = instance::make(task, bound, 0, lanes)?;
    let pid = std::process::id();
    let mut input = pages(layout.input + layout.texts);
    let input: &mut [u8] = bytemuck::cast_slice_mut(&mut input);
    // Of words, so that raw numbers are aligned.
    let mut buf = vec![0u64; layout.buf.div_ceil(size_of::<u64>())];
    let buf = &mut bytemuck::cast_slice_mut(&mut buf)[..layout.buf];
    while let Some(round) = collector.load(|| source.next_round(1, layout.block, input))? {
        let block = round[0];
        tracing::trace!("block from {} to {}", block.start, block.end);
        let rows = if source.is_stream() { BatchRef::new(input) } else { None };
        let mut new_block = true;
        loop {
            signals::check()?;
            let began = Timestamp::now();
            let answer = collector.map(|| match new_block {
                true => operator.apply(&block, rows.clone(), buf),
                false => operator.more(buf),
            });
            let (bytes, more) = (answer.bytes, answer.more);
            let of = ChunkInfo { worker: Some(0), block, pid, interval: Interval::since(began), new_block };
            collector.take(of, answer, &buf[..bytes])?;
            if !more {
                break;
            }
            new_block = false;
        }
        collector.flush()?;
    }
    Ok(())
}
