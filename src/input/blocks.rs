//! The blocks of one task in order: cut from what can be found by number, or read from a stream.
//!
//! Nothing here decides who runs a block.

use std::fs;
use std::os::fd::BorrowedFd;
use std::path::Path;

use super::{ArrayFile, InputInfo, Source, Values, file, open_text, open_values, text_stamp};
use crate::base::blocking::STDIN;
use crate::base::error::{Error, Result};
use crate::data::batch::{self, BatchWriter};
use crate::data::block::Block;
use crate::data::format::Format;
use crate::data::fraction::Fraction;
use crate::data::partition;
use crate::data::schema::Schema;
use crate::input::hdf5_library;
use crate::job::input::Numbers;
use crate::job::pattern::PatternName;
use crate::job::shard::ShardMode;
use crate::job::{Task, Unit, Work};
use crate::node::cpus;

/// The blocks of one task in order, so few at a time that what is in flight is bounded whatever the size of
/// the input.
pub struct BlockSource {
    /// Where values come from that travel.
    stream: Option<Box<dyn Source>>,
    /// The first value, or byte of the file, that is handed out.
    first: u64,
    /// The first behind the last of them, where that is known.
    end: Option<u64>,
    /// The first that has not been handed out yet.
    next: u64,
    /// Blocks handed out in rounds so far, of those that all is cut into.
    parts: std::ops::Range<u64>,
    ended: bool,
    /// Blocks end at multiples of this, and nowhere else but at the end, whoever works on them.
    fixed: Option<u64>,
    /// Of a row, or 1 for bytes.
    item_bytes: u64,
    /// Columns of rows that travel.
    schema: Schema,
    /// Bytes of texts that are enough for a batch.
    enough: usize,
}

impl BlockSource {
    /// Opens the input of a task on rank 0.
    ///
    /// # Errors
    /// The input is missing, unreadable, or not what its name says.
    pub fn open(task: &Task) -> Result<(Self, InputInfo)> {
        let (mut source, info) = Self::open_whole(task)?;
        if task.share == Fraction::ALL && task.portion == ShardMode::Whole {
            return Ok((source, info));
        }
        let total = match source.end {
            Some(total) => total,
            None if task.portion != ShardMode::Whole => count(task)?,
            None => {
                return Err(Error::Usage(
                    "--weak and --quick take a part of the input, and how many values text or CSV holds is not \
                     known before it is read; save them as .npy or .h5"
                        .into(),
                ));
            }
        };
        let share = source.share(task, total);
        if let Some(source) = &mut source.stream
            && source.skip(share.start)? < share.start
        {
            let name = file(task).unwrap_or(Path::new(STDIN)).display();
            return Err(Error::Failed(format!(
                "cannot use {name}: it had {total} values a moment ago, and has fewer now, so it is being written"
            )));
        }
        (source.first, source.next) = (share.start, share.start);
        source.end = Some(share.end);
        source.ended = share.is_empty();
        Ok((source, info))
    }

    /// The values, or bytes, of `total` that `task` works on.
    fn share(&self, task: &Task, total: u64) -> std::ops::Range<u64> {
        match (self.fixed, task.portion) {
            // A part has whole sections: those that it would have where there are no parts.
            (Some(section), ShardMode::Shard(_)) => {
                let share = task.share.of(total.div_ceil(section));
                share.start.saturating_mul(section).min(total)..share.end.saturating_mul(section).min(total)
            }
            _ => task.share.of(total),
        }
    }

    fn open_whole(task: &Task) -> Result<(Self, InputInfo)> {
        let of = |stream, end, schema: &Schema| Self {
            stream,
            first: 0,
            end,
            next: 0,
            parts: 0..0,
            ended: end == Some(0),
            fixed: end.and_then(|total| task.fixed_section(total)),
            item_bytes: if schema.is_empty() { 1 } else { 8 * schema.len() as u64 },
            schema: schema.clone(),
            enough: batch::TEXT,
        };
        match &task.work {
            Work::Map { numbers, dtype, .. } => {
                if let [path] = numbers.files()[..]
                    && (task.repeat > 1 || task.portion != ShardMode::Whole)
                    && fs::metadata(path).is_ok_and(|meta| !meta.is_file())
                {
                    return Err(match task.portion {
                        ShardMode::Whole => Error::once_only(path),
                        ShardMode::Shard(_) | ShardMode::Merged(_) => Error::not_in_parts(path),
                    });
                }
                if let Numbers::File { path, part, by_element, .. } = numbers
                    && Format::of_name(path) == Some(Format::Hdf5)
                {
                    hdf5_library::library()?.probe(&ArrayFile {
                        path,
                        part: part.as_deref(),
                        wanted: *dtype,
                        by_element: *by_element,
                        may_lack: task.keep_going,
                    })?;
                }
                Ok(match open_values(task, readers(task))? {
                    Values::Stream(source) => {
                        let (schema, total, stamp) = (source.schema(), source.count(), source.stamp());
                        (
                            of(Some(source), total, &schema),
                            InputInfo { schema, total: 0, indexed: false, stamp },
                        )
                    }
                    Values::Indexed(values) => {
                        let (schema, total, stamp) = (values.schema(), values.count(), values.stamp());
                        if let Some(note) = values.note() {
                            tracing::warn!("{note}");
                        }
                        (of(None, Some(total), &schema), InputInfo { schema, total, indexed: true, stamp })
                    }
                })
            }
            Work::Read { file, .. } => {
                let (opened, total) = open_text(file)?;
                let stamp = text_stamp(file, &opened);
                let info = InputInfo { schema: Schema::default(), total, indexed: true, stamp };
                Ok((of(None, Some(total), &info.schema), info))
            }
        }
    }

    /// The blocks of the next round, in order, one per worker, of `most` rows or bytes each at the most
    /// and of nearly the same size. Rows that travel become one batch of all at the front of `buf`, which has room for
    /// it. `None` at the end.
    ///
    /// # Errors
    /// As [`Source::fill`].
    pub fn next_round(&mut self, workers: usize, most: u64, buf: &mut [u8]) -> Result<Option<Vec<Block>>> {
        let workers = workers as u64;
        match (&mut self.stream, self.end) {
            (None, Some(end)) if self.fixed.is_some() => {
                let mut round = Vec::new();
                while (round.len() as u64) < workers
                    && let Some(block) = self.next_block(most, buf)?
                {
                    round.push(block);
                }
                if round.is_empty() {
                    return Ok(None);
                }
                // The others have none.
                round.resize(workers as usize, Block { start: end, end });
                Ok(Some(round))
            }
            (None, Some(end)) => {
                let total = end - self.first;
                if self.parts.end == 0 {
                    self.parts.end = partition::parts_in_rounds(total, workers, most);
                }
                if self.parts.is_empty() {
                    return Ok(None);
                }
                let round = self.parts.start..self.parts.start + workers;
                self.parts.start = round.end;
                Ok(Some(blocks(total, self.parts.end, round, self.first)))
            }
            _ => {
                let Some(all) = self.next_block(most.saturating_mul(workers), buf)? else { return Ok(None) };
                Ok(Some(blocks(all.len(), workers, 0..workers, all.start)))
            }
        }
    }

    /// The next block, of `most` rows or bytes at the most. Rows that travel become a batch at the front of `buf`, which
    /// has room for it. `None` at the end.
    ///
    /// # Errors
    /// As [`Source::fill`].
    pub fn next_block(&mut self, most: u64, buf: &mut [u8]) -> Result<Option<Block>> {
        if self.ended {
            return Ok(None);
        }
        let count = match &mut self.stream {
            Some(source) => {
                let most = most.min(self.end.map_or(u64::MAX, |end| end - self.next));
                let texts = batch::texts_of(&self.schema);
                let most = batch::rows_for(self.schema.len(), buf.len().saturating_sub(texts))
                    .min(usize::try_from(most).unwrap_or(usize::MAX));
                let Some(mut batch) = BatchWriter::begin(buf, &self.schema, most) else {
                    return Err(Error::Failed("a row has more columns than there is room for".into()));
                };
                batch = batch.with_enough(self.enough);
                let count = source.fill(&mut batch)?;
                batch.set_rows(count);
                count as u64
            }
            None => {
                let most = self.fixed.map_or(most, |section| section - self.next % section);
                self.left().unwrap_or(0).min(most)
            }
        };
        // A short fill can also mean that a fault comes next, or nothing yet: only an empty one is the end.
        if count == 0 {
            self.ended = true;
            return Ok(None);
        }
        let start = self.next;
        self.next += count;
        Ok(Some(Block { start, end: self.next }))
    }

    /// What the next value is to come from, when it is not here yet: [`BlockSource::next_block`] may wait for it.
    pub fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().filter(|_| !self.ended).and_then(|source| source.waits_for())
    }

    /// So many bytes of texts are enough for a block from now on, unless a row has more.
    pub fn limit_texts(&mut self, enough: usize) {
        self.enough = enough;
    }

    /// Do values travel with the blocks?
    pub fn is_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Values, or bytes of the file, that [`BlockSource::next_block`] has not handed out yet, where that is known.
    pub fn left(&self) -> Option<u64> {
        self.end.map(|end| end - self.next)
    }

    /// All values, or bytes of the file, of this run, where that is known.
    pub fn total(&self) -> Option<u64> {
        self.end.map(|end| end - self.first)
    }

    /// Bytes of all values, or of the file, where that is known.
    pub fn bytes(&self) -> Option<u64> {
        self.end.map(|end| (end - self.first).saturating_mul(self.item_bytes))
    }

    /// The number of the first value, or the first byte of the file: not 0 where a part of the input is worked
    /// on.
    pub fn first(&self) -> u64 {
        self.first
    }
}

fn blocks(n: u64, k: u64, which: std::ops::Range<u64>, first: u64) -> Vec<Block> {
    which
        .map(|i| partition::part(n, k, i))
        .map(|p| Block { start: first + p.start, end: first + p.end })
        .collect()
}

/// How many values there are in the input of `task`, which must be read to know.
///
/// # Errors
/// It cannot be read, or only once.
fn count(task: &Task) -> Result<u64> {
    if task.work.unit() == Unit::Bytes {
        return Ok(0);
    }
    match open_values(task, 1)? {
        Values::Stream(mut source) => source.skip(u64::MAX),
        Values::Indexed(values) => Ok(values.count()),
    }
}

/// How many threads may turn the text that `task` takes into numbers: as many as work on them in the process
/// that reads it.
fn readers(task: &Task) -> usize {
    match task.pattern {
        PatternName::Serial | PatternName::Simd => 1,
        PatternName::Mpi => cpus::threads_of_rank(task.threads).unwrap_or(1).min(cpus::usable()),
        _ => task.workers.or(task.threads).unwrap_or(usize::MAX).min(cpus::usable()),
    }
}
