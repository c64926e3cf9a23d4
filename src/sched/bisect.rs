//! A block that keeps killing workers, looked into: halves of it on workers of their own, one at a time,
//! until the item that does it is found.

use crate::base::error::{Error, Result};
use crate::base::fmt::counted;
use crate::data::block::Block;
use crate::data::own_row::OwnRow;
use crate::input;
use crate::sched::collector::Results;
use crate::sched::map::{self, MapSettings};
use crate::sched::scheduler::{Scheduler, describe};
use crate::sched::transport::{State, Transport};

/// How far the block `head` has been looked into.
pub(super) struct Bisection {
    whole: Block,
    /// Parts that are still to be answered, the next one last, with how many workers each has killed by itself.
    rest: Vec<(Block, usize)>,
    /// The part that a worker of its own has now.
    current: Option<(Block, usize)>,
    /// How that worker is known.
    known_as: usize,
    /// Bytes of answers to parts before it.
    seen: usize,
}

impl<T: Transport, R: Results> Scheduler<'_, T, R> {
    /// Begins to look into block `head`, which has killed too many workers.
    pub(super) fn begin_bisection(&mut self) {
        let whole = self.transport.block(self.head);
        if self.bound.reduce.is_some() {
            // What a part of a block comes to is no part of what the block comes to.
            self.taker.progress.taken = 0;
            self.taker.results.forget_begun();
        }
        let rest = vec![(whole, self.task.retries)];
        self.bisection = Some(Bisection { whole, rest, current: None, known_as: 0, seen: 0 });
    }

    /// Goes on with answering block `head` part by part, as far as that is possible now. Is it over?
    ///
    /// # Errors
    /// An item kills every worker, and is not to be passed over.
    pub(super) fn bisect(&mut self) -> Result<bool> {
        loop {
            let Some(bisection) = &mut self.bisection else { return Ok(true) };
            if let Some((block, _)) = bisection.current {
                let known_as = bisection.known_as;
                let State::Done(worker) = self.transport.state(self.head) else { return Ok(false) };
                if self.take_chunk(worker, known_as, block)? {
                    continue;
                }
                let seen = self.taker.progress.seen;
                if let Some(bisection) = &mut self.bisection {
                    (bisection.current, bisection.seen) = (None, seen);
                }
                continue;
            }
            let Some((block, deaths)) = bisection.rest.pop() else {
                self.bisection = None;
                return Ok(true);
            };
            let whole = bisection.whole;
            self.taker.progress.seen = bisection.seen;
            if deaths <= self.task.retries && block != whole {
                self.taker.pieces.clear();
                let known_as = self.transport.alone(self.head, block)?;
                if let Some(bisection) = &mut self.bisection {
                    (bisection.current, bisection.known_as) = (Some((block, deaths)), known_as);
                }
            } else if block.len() > 1 && !self.bound.has_whole_blocks() {
                let middle = block.start + block.len() / 2;
                bisection.rest.push((Block { start: middle, ..block }, 0));
                bisection.rest.push((Block { end: middle, ..block }, 0));
            } else {
                self.pass_over(whole, block)?;
                let seen = self.taker.progress.seen;
                if let Some(bisection) = &mut self.bisection {
                    bisection.seen = seen;
                }
            }
        }
    }

    /// The worker that had a part has died.
    pub(super) fn lost_alone(&mut self, how: &str) {
        let retries = self.task.retries;
        let Some(bisection) = &mut self.bisection else { return };
        let Some((block, deaths)) = bisection.current.take() else { return };
        tracing::warn!("a worker {how} while it had {}", describe(self.task, &block));
        // A part is halved at once, a single item gets as many tries as any block.
        let deaths = if block.len() > 1 { retries + 1 } else { deaths + 1 };
        bisection.rest.push((block, deaths));
    }

    /// One item has killed every worker that had it.
    fn pass_over(&mut self, whole: Block, item: Block) -> Result<()> {
        let task = self.task;
        let settings = MapSettings::of(task, self.bound);
        let row = self.row(whole, item);
        let what = match &row {
            Some(row) => format!("value {} (no. {})", settings.describe_row(&row.view()), item.start + 1),
            None => describe(task, &item),
        };
        let tries = counted(1 + task.retries as u64, "worker");
        let complaint = format!("{what} has killed {tries}, one after the other");
        if let Some(row) = &row {
            let record = map::record(&settings, &row.view(), item.start, &complaint);
            self.taker.results.take_record(&record)?;
        } else if let (Some(pipe), Some(file)) = (&self.bound.pipe, task.work.text()) {
            let record = pipe.killed(file, &self.bound.info, &item, &complaint);
            self.taker.results.take_record(&record)?;
        }
        if !task.keep_going {
            return Err(Error::Item(format!("{complaint}; --keep-going passes over it")));
        }
        tracing::warn!("{complaint}; passed over");
        self.failures.note_killer(item.start, &complaint);
        self.taker.results.pass_over(1, Some(complaint));
        let gap = row.map_or(Vec::new(), |row| map::gap(&settings, &row.view(), item.start));
        self.taker.take_gap(item, &gap)
    }

    /// The row that block `item`, a part of block `head`, consists of.
    fn row(&self, whole: Block, item: Block) -> Option<OwnRow> {
        let (task, bound) = (self.task, self.bound);
        let schema = &bound.info.schema;
        if !bound.info.indexed {
            let (rows, number) = (self.transport.rows(self.head)?, (item.start - whole.start) as usize);
            return (number < rows.len()).then(|| OwnRow::of(schema, &rows.rows(number..number + 1)))?;
        }
        input::row_at(task, &bound.info, item.start).ok()
    }
}
