//! No work at all: the results of all parts of an input, which others have made, put together in order.
//!
//! They go through the same sinks as answers do, so that what comes out is what a run of the whole input
//! writes. Every part must hold as much as its share of the input gives, but what commands have printed, which may be of
//! any length; that the answers are right is not looked into.

use crate::base::error::{Error, Result};
use crate::base::fmt::counted;
use crate::base::signals;
use crate::base::time::{Interval, Timestamp};
use crate::data::block::Block;
use crate::data::schema::ColumnType;
use crate::input::InputInfo;
use crate::input::section::SectionReader;
use crate::job::shard::{Shard, check_all_there};
use crate::job::{Task, Unit};
use crate::observe::report::Report;
use crate::op::{BlockResult, Bound};
use crate::output::encode::missing;
use crate::output::reader::{self, ReadChunk, damaged};
use crate::sched::collector::{ChunkInfo, Collector};
use crate::sched::{Attempt, Opened};

/// Joins the results of `parts` parts of the input of `task`. `attempt` says which run of it this is.
///
/// # Errors
/// A part is missing, or does not fit the input; says which, and how to make it again. Nothing has been written
/// then, and the parts stay.
pub fn run(task: &Task, parts: u64, attempt: &Attempt) -> Result<Report> {
    if let Some(whole) = task.output_file() {
        check_all_there(whole, parts)?;
    }
    let Opened { began, source, bound } = Opened::of(task)?;
    let mut measure = Measure::of(task, &bound.info, source.left().unwrap_or(0))?;
    let own = own_types(task, &bound, parts)?;
    // Parts without any answer are of whole numbers.
    let is_of_floats = |own: &&Bound| own.answers() == ColumnType::F64;
    let bound = own.iter().find(is_of_floats).or(own.first()).cloned().unwrap_or(bound);
    let mut collector = Collector::open(task, &bound, &source, 1, began, attempt)?;
    collector.whole(|collector| {
        Shard::all(parts).enumerate().try_for_each(|(i, part)| {
            let expected = measure.block(part)?;
            let mut joint = Joint { task, part, expected, own: own.get(i).unwrap_or(&bound) };
            joint.join(collector, &bound)
        })
    })?;
    // Not closed where that has failed: what has been joined is of no use, because the parts are still there.
    collector.close(Ok(()))
}

/// What each part has made of answers whose type is open; nothing where it is known.
fn own_types(task: &Task, bound: &Bound, parts: u64) -> Result<Vec<Bound>> {
    let Some(whole) = task.output_file().filter(|_| bound.is_open) else { return Ok(Vec::new()) };
    let own = |part: Shard| {
        reader::as_found(task, &part.file(whole), bound).map_err(|error| explain(task, part, error))
    };
    Shard::all(parts).map(own).collect()
}

/// Says how much each part must hold.
struct Measure {
    total: u64,
    /// Of a file that is read by sections.
    lines: Option<SectionReader>,
}

impl Measure {
    fn of(task: &Task, info: &InputInfo, total: u64) -> Result<Self> {
        let lines = task.work.text().map(|file| SectionReader::open(file, info)).transpose()?;
        Ok(Self { total, lines })
    }

    /// The values, or the bytes of lines, that are of `part`.
    fn block(&mut self, part: Shard) -> Result<Block> {
        let share = part.share().of(self.total);
        let Some(lines) = &mut self.lines else { return Ok(Block { start: share.start, end: share.end }) };
        Ok(Block { start: lines.line_from(share.start)?, end: lines.line_from(share.end)? })
    }
}

/// One part that is being joined.
struct Joint<'a> {
    task: &'a Task,
    part: Shard,
    /// What its results must be of.
    expected: Block,
    /// What type its answers have.
    own: &'a Bound,
}

impl Joint<'_> {
    /// Passes all of it to `collector`.
    fn join(&mut self, collector: &mut Collector, bound: &Bound) -> Result<()> {
        let Some(whole) = self.task.output_file() else { return Ok(()) };
        let path = self.part.file(whole);
        let has_length = self.task.work.pipe().is_none();
        let mut results = reader::open(self.task, &path, self.own).map_err(|error| self.explain(error))?;
        let (mut bytes, mut seen, mut new_block, pid) = (Vec::new(), 0, true, std::process::id());
        loop {
            signals::check()?;
            let began = Timestamp::now();
            let found = results.next(&mut bytes).map_err(|error| self.explain(error))?;
            let Some(ReadChunk { items, failed, line_bytes, rank }) = found else { break };
            let (mine, input_bytes) = match self.task.work.unit() {
                Unit::Values => (items, items * size_of::<u64>() as u64),
                Unit::Bytes => (line_bytes, line_bytes),
            };
            seen = u64::saturating_add(seen, mine);
            if has_length && seen > self.expected.len() {
                return Err(self.explain(self.misfit(&path, "more")));
            }
            // Those of a Python function may be missing, where none has failed.
            let failed = if self.task.work.is_python() && !self.task.keep_going { 0 } else { failed };
            if failed > 0 && !self.task.keep_going {
                return Err(Error::Failed(format!(
                    "cannot join {}: {} of {} have no answer, because it was made with --keep-going; give that to \
                     --join too",
                    whole.display(),
                    counted(failed, "value"),
                    path.display()
                )));
            }
            if self.own.answers() != bound.answers() {
                self.retype(items, failed, bound, &mut bytes)?;
            }
            let answer = BlockResult {
                bytes: bytes.len(),
                items: items - failed,
                input_bytes,
                failed,
                first_failed: (failed > 0).then(|| format!("see what was said of part {}", self.part)),
                ..BlockResult::default()
            };
            let of = ChunkInfo {
                worker: Some(0),
                block: self.expected,
                pid,
                interval: Interval::since(began),
                new_block,
            };
            collector.take_of(rank, of, answer, &bytes)?;
            new_block = false;
        }
        if has_length && seen < self.expected.len() {
            return Err(self.explain(self.misfit(&path, &seen.to_string())));
        }
        Ok(())
    }

    /// Makes of columns without any answer, as readers have them, the same of the type that all others have.
    fn retype(&self, items: u64, failed: u64, bound: &Bound, bytes: &mut [u8]) -> Result<()> {
        let (own, all) = (self.own.answers(), bound.answers());
        if failed < items {
            let whole = self.task.output_file().unwrap_or(std::path::Path::new("")).display();
            return Err(Error::Failed(format!(
                "cannot join {whole}: the answers of part {} are {}, and those of another {}, because each went by its own \
                 first ones; make the parts again with --answers {}",
                self.part,
                own.name(),
                all.name(),
                all.name()
            )));
        }
        let column = items as usize * size_of::<u64>();
        let answers = bytes.chunks_exact_mut(column.max(1)).nth(bound.kept.len()).unwrap_or_default();
        answers
            .chunks_exact_mut(size_of::<u64>())
            .for_each(|word| word.copy_from_slice(&missing(all).to_ne_bytes()));
        Ok(())
    }

    fn misfit(&self, path: &std::path::Path, found: &str) -> Error {
        let what = if self.task.work.unit() == Unit::Values { "value" } else { "byte" };
        let expected = counted(self.expected.len(), what);
        damaged(path, &format!("it is of {found}, and this part of the input is of {expected}"))
    }

    fn explain(&self, error: Error) -> Error {
        explain(self.task, self.part, error)
    }
}

/// What is wrong with the part, and what to do.
fn explain(task: &Task, part: Shard, error: Error) -> Error {
    let whole = task.output_file().unwrap_or(std::path::Path::new("")).display();
    match error {
        Error::Failed(why) | Error::CannotOpen(why) => Error::Failed(format!(
            "cannot join {whole}: {why}. Make this part again, with the same command and --part {part} in place of --join \
             {}; in a job array: --array={}",
            part.of, part.number
        )),
        other => other,
    }
}
