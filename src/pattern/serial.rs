//! One block after another in this process: with scalar lanes the reference that every other pattern must
//! equal to the byte, with vector lanes the simd pattern, and what a single thread of threads comes to.

use crate::error::Result;
use crate::function::{self, lanes::Lanes};
use crate::input::{Facts, Feed};
use crate::interrupt;
use crate::job::Task;
use crate::moment::{Moment, Span};
use crate::pattern::{Desk, Layout, Of, Opened};
use crate::report::Report;

/// Runs `task` once. `first` as in [`crate::output::open`].
///
/// # Errors
/// The first thing that fails, in block order; all answers before it have been written.
pub fn run(task: &Task, lanes: Lanes, first: bool) -> Result<Report> {
    run_opened(task, &Layout::in_rounds(task, 1, false), Opened::of(task)?, lanes, first)
}

/// As [`run`], of a task whose input is open.
pub(super) fn run_opened(
    task: &Task,
    layout: &Layout,
    opened: Opened,
    lanes: Lanes,
    first: bool,
) -> Result<Report> {
    let Opened { began, feed, facts } = opened;
    let mut desk = Desk::open(task, &facts, &feed, 1, began, first)?;
    let outcome = blocks(task, layout, feed, &facts, lanes, &mut desk);
    desk.close(outcome)
}

fn blocks(
    task: &Task,
    layout: &Layout,
    mut feed: Feed,
    facts: &Facts,
    lanes: Lanes,
    desk: &mut Desk,
) -> Result<()> {
    tracing::debug!("lanes: {}", lanes.name());
    let mut function = function::make(task, facts, 0, lanes)?;
    let pid = std::process::id();
    let mut values = vec![0; if feed.is_stream() { layout.values } else { 0 }];
    // Of words, so that raw numbers are aligned.
    let mut room = vec![0u64; layout.room.div_ceil(size_of::<u64>())];
    let room = &mut bytemuck::cast_slice_mut(&mut room)[..layout.room];
    while let Some(round) = desk.load(|| feed.next_round(1, layout.block, &mut values))? {
        let block = round[0];
        tracing::trace!("block from {} to {}", block.start, block.end);
        let values = if feed.is_stream() { &values[..block.len() as usize] } else { &[] };
        let mut new_block = true;
        loop {
            interrupt::check()?;
            let began = Moment::now();
            let answer = desk.map(|| match new_block {
                true => function.apply(&block, values, room),
                false => function.more(room),
            });
            let (bytes, more) = (answer.bytes, answer.more);
            let of = Of { worker: Some(0), block, pid, span: Span::since(began), new_block };
            desk.take(of, answer, &room[..bytes])?;
            if !more {
                break;
            }
            new_block = false;
        }
        desk.flush()?;
    }
    Ok(())
}
