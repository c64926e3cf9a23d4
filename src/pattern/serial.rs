//! One block after another in this process: the reference that every other pattern must equal to the byte.

use std::time::Instant;

use crate::error::Result;
use crate::function;
use crate::input::Feed;
use crate::job::{Task, Work};
use crate::output::{self, Form, Piece, Sink};
use crate::pattern::{Layout, Stopwatch, note};
use crate::report::{Report, WorkerReport};

/// Runs `task` once. `first` as in [`output::open`].
///
/// # Errors
/// The first thing that fails, in block order; all answers before it have been written.
pub fn run(task: &Task, first: bool) -> Result<Report> {
    let mut watch = Stopwatch::start();
    let layout = Layout::of(task, 1, true);
    let (feed, facts) = Feed::open(task, &layout)?;
    let mut function = function::make(&task.work, facts, Form::of(&task.output))?;
    let mut sink = output::open(task, first)?;
    let report = blocks(task, &layout, feed, &mut *function, &mut *sink, &mut watch)
        .and_then(|worker| watch.finish(Report::new("serial", vec![worker]), &mut *sink));
    if report.is_err() {
        sink.fail();
    }
    report
}

fn blocks(
    task: &Task,
    layout: &Layout,
    mut feed: Feed,
    function: &mut dyn function::Function,
    sink: &mut dyn Sink,
    watch: &mut Stopwatch,
) -> Result<WorkerReport> {
    let mut worker = WorkerReport::here(0);
    let mut values = vec![0; layout.values];
    // Of words, so that raw numbers are aligned.
    let mut room = vec![0u64; layout.room.div_ceil(size_of::<u64>())];
    let room = &mut bytemuck::cast_slice_mut(&mut room)[..layout.room];
    while let Some(round) = watch.load(&mut feed, 1, &mut values)? {
        let block = round[0];
        tracing::trace!("block from {} to {}", block.start, block.end);
        let count = if matches!(task.work, Work::Map { .. }) { block.len() as usize } else { 0 };
        let mut new_block = true;
        loop {
            let began = Instant::now();
            let answer = watch.map(|| match new_block {
                true => function.apply(&block, &values[..count], room),
                false => function.more(room),
            });
            note(&mut worker, &answer, began.elapsed(), new_block);
            let bytes = &room[..answer.bytes];
            watch.write(sink, &Piece { worker: 0, block, items: answer.items, bytes })?;
            if let Some(error) = answer.failure {
                return Err(error);
            }
            if !answer.more {
                break;
            }
            new_block = false;
        }
    }
    Ok(worker)
}
