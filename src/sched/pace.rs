//! How large the next block is, and how many workers are worth having, as it follows from what blocks have taken so far.

use std::time::Duration;

use crate::job::schedule::ScheduleKind;
use crate::sched::sizing::BlockSizing;

/// The time that a block is to take where what an item costs is not known beforehand: so long that handing out does not
/// matter, so short that a worker that is late does not.
const BLOCK: Duration = Duration::from_millis(20);

/// How much larger a block may be than the one before it.
const GROWTH: u64 = 4;

/// How large blocks are, and how many workers there are.
#[derive(Debug, Clone)]
pub struct Pace {
    /// How blocks are handed out.
    pub kind: ScheduleKind,
    /// Workers that there may be.
    most: usize,
    /// Workers that there are to be now.
    workers: usize,
    /// What is left must take so long for each worker to be worth its start; `None` where all are started.
    start: Option<Duration>,
    /// What one item has taken, or a byte, in seconds, the last ones more than those before.
    cost: Option<f64>,
    /// The time that the block has taken of which chunks are coming.
    begun: Duration,
    /// All that has been worked on, in seconds.
    spent: f64,
    /// The size of the last block, and whether it follows from what blocks take.
    last: u64,
    adapts: bool,
    /// What waits for a worker may be begun though nobody wants it any more.
    is_costly: bool,
}

impl Pace {
    /// For `most` workers. With `start`, what a worker's start costs, only as many are begun with as are worth it.
    pub fn new(kind: ScheduleKind, most: usize, start: Option<Duration>) -> Self {
        // By turns every worker has its share; and where an item may take long, no time is lost with finding that out.
        let start = start.filter(|_| !matches!(kind, ScheduleKind::Static | ScheduleKind::Adaptive));
        let workers = if start.is_some() { 1 } else { most };
        Self {
            kind,
            most,
            workers,
            start,
            cost: None,
            begun: Duration::ZERO,
            spent: 0.0,
            last: 0,
            adapts: kind == ScheduleKind::Adaptive,
            is_costly: false,
        }
    }

    /// The same where an item may take its time, so that as few as possible wait.
    pub fn with_cost(self, is_costly: bool) -> Self {
        Self { is_costly, ..self }
    }

    /// Items, or bytes, of the next block, of which `left` are left where that is known.
    pub fn block(&mut self, layout: &BlockSizing, left: Option<u64>) -> u64 {
        // As OpenMP: in proportion to what is left, and to what one worker would get of it.
        let share = left.map_or(u64::MAX, |left| left / (2 * self.most as u64)).max(1);
        let smallest = layout.smallest.min(layout.block);
        self.adapts = match self.kind {
            // Nobody knows what a share of the rest is.
            ScheduleKind::Guided => left.is_none(),
            kind => kind == ScheduleKind::Adaptive,
        };
        let size = if self.adapts {
            let cost = self.cost.map(|cost| (BLOCK.as_secs_f64() / cost.max(1e-12)) as u64);
            let size = cost.unwrap_or(0).min(self.last.saturating_mul(GROWTH));
            size.min(share).clamp(smallest, layout.block)
        } else if self.kind == ScheduleKind::Guided {
            share.clamp(smallest, layout.block)
        } else {
            layout.block
        };
        self.last = size;
        size
    }

    /// Blocks that may wait for a worker: few where their size is still to be found, or each takes its time. By turns all
    /// of a worker's may.
    pub fn ahead(&self) -> u64 {
        let is_costly = self.is_costly && self.kind != ScheduleKind::Static;
        if self.adapts || is_costly || self.workers < self.most { self.workers as u64 } else { u64::MAX }
    }

    /// A chunk of the answer to a block of `len` items, or bytes, has taken so long, and there may be more.
    pub fn note(&mut self, len: u64, took: Duration, more: bool) {
        self.begun += took;
        if more || len == 0 {
            return;
        }
        let took = std::mem::take(&mut self.begun).as_secs_f64();
        self.spent += took;
        let cost = took / len as f64;
        self.cost = Some(self.cost.map_or(cost, |before| (before + cost) / 2.0));
    }

    /// Workers that there are to be, where `left` items, or bytes, are left to be handed out.
    pub fn workers(&mut self, left: Option<u64>) -> usize {
        let (Some(start), Some(cost)) = (self.start, self.cost) else { return self.workers };
        // Of an input without an end that is known, as much is to come as there has been.
        let left = left.map_or(self.spent, |left| left as f64 * cost);
        let worth = (left / start.as_secs_f64()) as usize;
        self.workers = self.workers.max(worth.min(self.most)).max(1);
        self.workers
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layout(block: u64, smallest: u64) -> BlockSizing {
        BlockSizing { workers: 4, block, smallest, ..BlockSizing::default() }
    }

    #[test]
    fn blocks_grow_to_some_milliseconds_and_shrink_at_the_end() {
        let mut pace = Pace::new(ScheduleKind::Adaptive, 2, None);
        let layout = layout(1 << 16, 1);
        let mut left = 100_000;
        let mut sizes = Vec::new();
        while left > 0 {
            let size = pace.block(&layout, Some(left)).min(left);
            left -= size;
            sizes.push(size);
            // Each item takes a hundredth of a millisecond.
            pace.note(size, Duration::from_micros(10 * size), false);
        }
        assert_eq!(sizes[..6], [1, 4, 16, 64, 256, 1024]);
        assert!((1990..=2000).contains(sizes.iter().max().unwrap()), "{sizes:?}");
        assert_eq!(sizes.last(), Some(&1));
    }

    #[test]
    fn workers_are_started_for_what_is_worth_it() {
        let start = Duration::from_micros(500);
        let mut pace = Pace::new(ScheduleKind::Dynamic, 8, Some(start));
        assert_eq!(pace.workers(Some(1_000_000)), 1);
        pace.note(1000, Duration::from_micros(1), false);
        assert_eq!(pace.workers(Some(100_000)), 1);
        assert_eq!(pace.workers(Some(1_100_000)), 2);
        assert_eq!(pace.workers(Some(100_000_000)), 8);
        // Nobody is sent home.
        assert_eq!(pace.workers(Some(0)), 8);
        assert_eq!(Pace::new(ScheduleKind::Dynamic, 8, None).workers(None), 8);
    }

    proptest! {
        #[test]
        fn no_block_is_empty_or_larger_than_allowed(
            (block, smallest, left) in (1u64..1 << 40, 1u64..1 << 40, proptest::option::of(1u64..1 << 50)),
            kind in proptest::sample::select(vec![
                ScheduleKind::Adaptive, ScheduleKind::Guided, ScheduleKind::Dynamic, ScheduleKind::Static,
            ]),
            took in proptest::collection::vec((1u64..1 << 30, 0u64..1 << 40, any::<bool>()), 0..20),
        ) {
            let mut pace = Pace::new(kind, 3, Some(Duration::from_micros(1)));
            let layout = layout(block, smallest);
            for (len, nanoseconds, more) in took {
                let size = pace.block(&layout, left);
                prop_assert!((1..=block).contains(&size));
                pace.note(len, Duration::from_nanos(nanoseconds), more);
                prop_assert!((1..=3).contains(&pace.workers(left)));
                prop_assert!(pace.ahead() > 0);
            }
        }
    }
}
