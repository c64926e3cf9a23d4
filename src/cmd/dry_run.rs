//! `--dry-run`: what a job would do, and who would do it, without any of it being done. The input is opened, and read as
//! far as it takes to know how many items it has.

use crate::base::error::Result;
use crate::base::fmt::{counted, grouped};
use crate::data::batch::BatchRef;
use crate::input;
use crate::input::blocks::BlockSource;
use crate::job::pattern::PatternName;
use crate::job::schedule::ScheduleKind;
use crate::job::{Job, Task, Unit};
use crate::mpi::launch::Launch;
use crate::node::cpus;
use crate::op::{Bound, BoundFunction};
use crate::sched::map::{self, MapSettings};
use crate::sched::sizing::{BlockSizing, kind_of};

/// Items of the beginning that are shown.
const SHOWN: u64 = 10;

/// What the tasks of `job` would do.
///
/// # Errors
/// An input cannot be opened or read, or cannot be done with what is to be done with it.
pub fn text(job: &Job, launch: &Launch) -> Result<String> {
    job.tasks.iter().map(|task| of_task(task, launch)).collect()
}

fn of_task(task: &Task, launch: &Launch) -> Result<String> {
    let (mut source, info) = BlockSource::open(task)?;
    let bound = Bound::of(task, info)?;
    let mut text = format!("{}\n", task.title());
    let count = match task.work.unit() {
        Unit::Bytes => {
            let bytes = source.left().unwrap_or(0);
            let sections = task.fixed_section(bound.info.total).filter(|_| task.work.pipe().is_some());
            let sections =
                sections.map(|section| format!(" in {}", counted(bytes.div_ceil(section), "section")));
            counted(bytes, "byte") + &sections.unwrap_or_default()
        }
        Unit::Values => {
            let items = items(task, &bound, &mut source)?;
            for (row, line) in &items.shown {
                if *row > items.first + SHOWN {
                    text.push_str("  …\n");
                }
                text.push_str(&format!("  {}\t{line}\n", grouped(row + 1)));
            }
            counted(items.count, "item")
        }
    };
    text.push_str(&format!("{count}, by {}\n", who(task, &bound, launch)));
    Ok(text)
}

/// Who would work on it.
fn who(task: &Task, bound: &Bound, launch: &Launch) -> String {
    let workers = |what: &str| {
        let workers = task.workers.or(task.threads).unwrap_or_else(cpus::usable);
        format!("{} at the most", counted(workers as u64, what))
    };
    let (who, kind) = match task.pattern {
        PatternName::Mpi => {
            let ranks = task.workers.unwrap_or(usize::MAX).min(launch.ranks);
            let threads = cpus::threads_of_rank(task.threads).unwrap_or(1);
            let each = if threads > 1 {
                format!(" with {} each", counted(threads as u64, "thread"))
            } else {
                "".into()
            };
            // Cheap items are in rounds of all ranks.
            let is_in_rounds = task.schedule.kind.is_none() && !bound.is_costly();
            let kind = if is_in_rounds { ScheduleKind::Static } else { kind_of(task, bound) };
            (format!("{}{each}", counted(ranks as u64, "rank")), kind)
        }
        PatternName::Threads | PatternName::Auto => (workers("thread"), kind_of(task, bound)),
        PatternName::Pool => (workers("worker process"), kind_of(task, bound)),
        PatternName::Process => return format!("a process for each block, {}", workers("process")),
        PatternName::Serial | PatternName::Simd => {
            return format!("this process alone ({})", task.pattern.name());
        }
    };
    let schedule = match kind {
        ScheduleKind::Static => "static",
        ScheduleKind::Dynamic => "dynamic",
        ScheduleKind::Guided => "guided",
        ScheduleKind::Adaptive => "adaptive",
    };
    format!("{who}, schedule {schedule}")
}

/// The items of an input.
struct Items {
    /// The number of the first.
    first: u64,
    count: u64,
    /// Some of the first ones and the last, each with its number.
    shown: Vec<(u64, String)>,
}

fn items(task: &Task, bound: &Bound, source: &mut BlockSource) -> Result<Items> {
    let first = source.first();
    let mut items = Items { first, count: 0, shown: Vec::new() };
    if !source.is_stream() {
        items.count = source.left().unwrap_or(0);
        let last = (items.count > SHOWN).then(|| first + items.count - 1);
        for row in (first..first + items.count.min(SHOWN)).chain(last) {
            let own = input::row_at(task, &bound.info, row)?;
            items.shown.push((row, line(task, bound, &own.view(), row)));
        }
        return Ok(items);
    }
    let layout = BlockSizing::in_rounds(task, bound, 1, false);
    let mut memory = vec![0u64; (layout.input + layout.texts).div_ceil(size_of::<u64>())];
    let mut last = None;
    while let Some(block) = source.next_block(layout.block, bytemuck::cast_slice_mut(&mut memory))? {
        items.count += block.len();
        let Some(batch) = BatchRef::new(bytemuck::cast_slice(&memory)) else { break };
        let line_of = |row: u64| {
            let at = (row - block.start) as usize;
            (row, line(task, bound, &batch.rows(at..at + 1), row))
        };
        items.shown.extend((block.start..block.end.min(first + SHOWN)).map(line_of));
        last = (block.end > first + SHOWN).then(|| line_of(block.end - 1)).or(last);
    }
    items.shown.extend(last);
    Ok(items)
}

/// What would be done with the only row of `batch`: its command, the line that a program is given, or its values.
fn line(task: &Task, bound: &Bound, batch: &BatchRef, row: u64) -> String {
    let settings = MapSettings::of(task, bound);
    let record = || map::record(&settings, batch, row, "");
    match &bound.function {
        Some(BoundFunction::Command(command)) => {
            String::from_utf8_lossy(&command.lines().of(&record())).into_owned()
        }
        Some(BoundFunction::Program(program)) => program.line_of(&record()),
        _ => settings.describe_row(batch),
    }
}
