//! A block that keeps killing workers, looked into: halves of it on workers of their own, one at a time,
//! until the item that does it is found.

use super::deaths::how;
use super::spawn::Spawn;
use super::{Manager, TaskContext};
use crate::base::error::{Error, Result};
use crate::base::fmt::counted;
use crate::base::lanes::Lanes;
use crate::base::time::Interval;
use crate::data::batch::{BatchRef, BatchWriter, bytes_for};
use crate::data::block::Block;
use crate::data::schema::{ColumnType, Schema};
use crate::input;
use crate::observe::report::WorkerReport;
use crate::sched::manager::ring::State;
use crate::sched::manager::worker::Start;
use crate::sched::map::{self, MapSettings};
use crate::sched::{ChunkInfo, Collector};

impl<H: Spawn> Manager<'_, H> {
    /// Answers block `head`, which has killed too many workers, part by part.
    ///
    /// # Errors
    /// An item kills every worker, and is not to be passed over.
    pub(super) fn find_killer(&mut self, collector: &mut Collector) -> Result<()> {
        let whole = self.context.ring.block(self.head);
        let mut seen = 0;
        if self.context.bound.reduce.is_some() {
            // What a part of a block comes to is no part of what the block comes to.
            self.progress.taken = 0;
            collector.forget_begun();
        }
        let mut rest = vec![(whole, self.context.task.retries)];
        while let Some((block, deaths)) = rest.pop() {
            self.progress.seen = seen;
            if deaths > self.context.task.retries || block == whole {
                if block.len() > 1 {
                    let middle = block.start + block.len() / 2;
                    rest.push((Block { start: middle, ..block }, 0));
                    rest.push((Block { end: middle, ..block }, 0));
                } else {
                    self.pass_over(whole, block, collector)?;
                    seen = self.progress.seen;
                }
                continue;
            }
            match self.alone(whole, block, collector)? {
                None => seen = self.progress.seen,
                Some(how) => {
                    tracing::warn!("a worker {how} while it had {}", self.context.describe(&block));
                    // A part is halved at once, a single item gets as many tries as any block.
                    let deaths = if block.len() > 1 { self.context.task.retries + 1 } else { deaths + 1 };
                    rest.push((block, deaths));
                }
            }
        }
        Ok(())
    }

    /// Has a worker answer `block`, a part of block `head`. Returns how that worker died if it did.
    fn alone(&mut self, whole: Block, block: Block, collector: &mut Collector) -> Result<Option<String>> {
        let TaskContext { ring, layout, .. } = self.context;
        ring.hold(self.head, block, block.start - whole.start);
        self.alone = None;
        self.pieces.clear();
        let worker = layout.workers;
        // It counts as one that is gone, most often the one that has died of the block; as another besides those
        // that there may be where all are at work, because nobody does two things at a time.
        let number = self.handles[..worker].iter().position(Option::is_none).unwrap_or(worker);
        self.helper = number;
        let start = Start { worker, number, held: Some(self.head), once: true, from: 0 };
        let handle = self.spawn.spawn(start, &self.handles).map_err(|e| super::no_worker(&e))?;
        if number == collector.workers.len() {
            collector.workers.push(WorkerReport::here(number));
        }
        if number >= self.used {
            self.used = number + 1;
            collector.workers[number].pid =
                handle.process.map_or(collector.workers[number].pid, |pid| pid.as_raw_nonzero().get() as u32);
        }
        self.handles[worker] = Some(handle);
        loop {
            if ring.state(self.head) == State::Done(worker) {
                if self.take_chunk(worker, block, collector)? {
                    continue;
                }
                if let Some(mut handle) = self.handles[worker].take() {
                    handle.reap();
                }
                return Ok(None);
            }
            if self.handles[worker].is_none() {
                return Ok(Some(how(self.alone.take())));
            }
            self.sleep(self.head, None, None)?;
        }
    }

    /// One item has killed every worker that had it.
    fn pass_over(&mut self, whole: Block, item: Block, collector: &mut Collector) -> Result<()> {
        let task = self.context.task;
        let settings = MapSettings::of(task, self.context.bound);
        let row = self.row(whole, item);
        let what = match &row {
            Some(row) => format!("value {} (no. {})", settings.describe_row(&row.view()), item.start + 1),
            None => self.context.describe(&item),
        };
        let tries = counted(1 + task.retries as u64, "worker");
        let complaint = format!("{what} has killed {tries}, one after the other");
        if !task.keep_going {
            return Err(Error::Item(format!("{complaint}; --keep-going passes over it")));
        }
        tracing::warn!("{complaint}; passed over");
        collector.pass_over(1, Some(complaint));
        let gap = row.map_or(Vec::new(), |row| map::gap(&settings, &row.view(), item.start));
        let known = self.progress.see(gap.len());
        let of =
            ChunkInfo { worker: None, block: item, pid: 0, interval: Interval::default(), new_block: false };
        collector.take(of, crate::op::BlockResult::default(), &gap[known..])
    }

    /// The row that block `item`, a part of block `head`, consists of.
    fn row(&self, whole: Block, item: Block) -> Option<OwnRow> {
        let TaskContext { task, bound, ring, .. } = self.context;
        let schema = &bound.info.schema;
        if !bound.info.indexed {
            let (rows, number) = (ring.rows(self.head)?, (item.start - whole.start) as usize);
            return (number < rows.len()).then(|| OwnRow::of(schema, &rows.rows(number..number + 1)))?;
        }
        let mut row = vec![0; schema.len()];
        let mut space: Vec<&mut [u64]> = row.iter_mut().map(std::slice::from_mut).collect();
        let mut source = input::open_indexed(task, &bound.info).ok()?;
        let (found, _) = source.fill_at(item.start, &mut space, Lanes::best());
        let lacks = |column: usize| {
            source.holes().and_then(|holes| holes.of_column(column)).is_some_and(|lacking| lacking.has(0))
        };
        (found == 1).then(|| OwnRow::of_words(schema, &row, lacks))?
    }
}

/// A batch of one row.
struct OwnRow(Vec<u64>);

impl OwnRow {
    /// A copy of the only row of `rows`.
    fn of(schema: &Schema, rows: &BatchRef) -> Option<Self> {
        let texts = (0..rows.columns()).filter(|column| rows.dtype(*column) == ColumnType::Bytes);
        let bytes =
            bytes_for(schema.len(), 1) + texts.map(|column| rows.bytes(column, 0).len()).sum::<usize>();
        let mut memory = vec![0; bytes.div_ceil(size_of::<u64>())];
        rows.pack(schema, bytemuck::cast_slice_mut(&mut memory))?;
        Some(Self(memory))
    }

    /// A row of numbers, some of which may be missing.
    fn of_words(schema: &Schema, words: &[u64], lacks: impl Fn(usize) -> bool) -> Option<Self> {
        let mut memory = vec![0; bytes_for(schema.len(), 1).div_ceil(size_of::<u64>())];
        let mut batch = BatchWriter::begin(bytemuck::cast_slice_mut(&mut memory), schema, 1)?;
        for (column, word) in words.iter().enumerate() {
            batch.words_mut(column)[0] = *word;
            if lacks(column) {
                batch.set_null(column, 0);
            }
        }
        batch.set_rows(1);
        Some(Self(memory))
    }

    fn view(&self) -> BatchRef<'_> {
        BatchRef::new(bytemuck::cast_slice(&self.0)).unwrap_or_default()
    }
}

impl TaskContext<'_> {
    /// A block in words.
    pub(super) fn describe(&self, block: &Block) -> String {
        match self.task.work.text() {
            None if block.len() == 1 => format!("value no. {}", block.start + 1),
            None => format!("values no. {} to {}", block.start + 1, block.end),
            Some(file) => {
                format!(
                    "the lines that begin in bytes {} to {} of {}",
                    block.start,
                    block.end,
                    file.name().display()
                )
            }
        }
    }
}
