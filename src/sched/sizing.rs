//! How large the blocks of a task are, and how much memory they take. Pure, and the same on every rank.

use crate::data::batch;
use crate::job::Task;
use crate::job::schedule::ScheduleKind;
use crate::op::Bound;
use crate::op::record::{self, Recorded};
use crate::output::encode::Encoding;

/// How large the blocks of a task are, and how much memory a worker's answer gets. The same on every rank.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockSizing {
    /// Workers that take part.
    pub workers: usize,
    /// Values, or bytes of a section (before its ends move to starts of lines), of a block at the most.
    pub block: u64,
    /// The same of the smallest block that a guided schedule makes.
    pub smallest: u64,
    /// Rows of a block at the most; 0 for a `read`.
    pub rows: usize,
    /// Bytes of the batch of rows that travels with a block, its texts apart; 0 where none does.
    pub input: usize,
    /// Bytes of texts of the rows that travel at once; 0 where there are none.
    pub texts: usize,
    /// Bytes that a worker's answer has room for. Longer answers come in pieces.
    pub buf: usize,
    /// Bytes that workers may have answered before an answer that takes longer.
    pub run_ahead: usize,
}

/// Values of a block, unless the user says otherwise: measured as the size where handing out costs
/// nothing any more and a round of two workers still lies in the cache.
const VALUES: u64 = 64 * 1024;
/// Bytes of a section whose text is gathered.
const SECTION: u64 = 1024 * 1024;
/// Bytes of what a command has printed that are handed over at once, where that costs little.
const PRINTED: u64 = 4 * 1024 * 1024;
/// How much larger blocks are where handing them out costs more: between nodes, where a round costs
/// milliseconds, and for ranks that start threads for each round.
const LARGER: u64 = 16;
/// Bytes of a section of which only a tally is gathered: a round is then limited only by how long the
/// others work on when one rank has failed.
const TALLIED_SECTION: u64 = 256 * 1024 * 1024;
/// The same where blocks go to whoever is free: a worker that is late with its last one keeps the others
/// waiting for no longer than a few milliseconds.
const SMALL_TALLIED_SECTION: u64 = 16 * 1024 * 1024;
/// Sections of fewer bytes are not worth handing out.
const SMALLEST_SECTION: u64 = 64 * 1024;
/// Bytes that all blocks in flight may take on rank 0, unless the user asks for larger blocks.
const ROUND_MEMORY: usize = 64 * 1024 * 1024;
/// The same, whatever the user asks for.
const MOST_ROUND_MEMORY: usize = 256 * 1024 * 1024;
/// Bytes of an answer of states at least.
const STATES: usize = 4096;
/// The same of texts, which may be long.
const PIECES: usize = 64 * 1024;
/// How many blocks a worker gets in all when there are enough items: so many that one that is late does
/// not matter, so few that handing out does not.
const BLOCKS_PER_WORKER: u64 = 4;

/// Bytes that the answer to a row of `task` takes at the most, or where it has texts, in most cases.
fn width(task: &Task, bound: &Bound) -> usize {
    Encoding::of(task, bound).width(&bound.table()) + record_width(task, bound)
}

/// Bytes of what is said of a row beside its answer, its texts apart.
fn record_width(task: &Task, bound: &Bound) -> usize {
    match Recorded::of(task, bound.is_open) {
        Recorded::None => 0,
        Recorded::Failed | Recorded::All => record::MOST + bound.info.schema.len() * record::VALUE,
    }
}

/// Rows of a block that the user has asked for, or else `default`, each within what memory allows when `blocks`
/// are in flight.
fn rows_of_block(task: &Task, bound: &Bound, kind: ScheduleKind, blocks: usize, default: u64) -> usize {
    let row = bound.info.schema.len() * size_of::<u64>() + width(task, bound);
    let fits = |memory: usize| (memory / blocks / row).max(1);
    let limit = |memory: usize, n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(fits(memory)).max(1);
    match (task.schedule.block, kind) {
        // There the user's block is the smallest, and part of the default.
        (Some(_), ScheduleKind::Guided | ScheduleKind::Adaptive) => limit(MOST_ROUND_MEMORY, default),
        (Some(n), ScheduleKind::Static | ScheduleKind::Dynamic) => limit(MOST_ROUND_MEMORY, n),
        (None, _) => limit(ROUND_MEMORY, default),
    }
}

/// How the blocks of `task` are handed out where they are not in rounds.
pub fn kind_of(task: &Task, bound: &Bound) -> ScheduleKind {
    match task.schedule.kind {
        Some(kind) => kind,
        // Of one size, whatever they take.
        None if bound.has_whole_blocks() => ScheduleKind::Dynamic,
        None if bound.is_costly() && task.schedule.block.is_none() => ScheduleKind::Adaptive,
        None => ScheduleKind::Dynamic,
    }
}

impl BlockSizing {
    /// Bytes of texts that are enough for a block, where so many are in flight with texts of their own.
    pub fn enough_texts(slots: usize) -> usize {
        (ROUND_MEMORY / slots.max(1)).clamp(64 * 1024, 1024 * 1024)
    }

    /// Of blocks of a map, of `rows` rows at the most.
    fn of_rows(task: &Task, bound: &Bound, workers: usize, rows: usize, smallest: u64) -> Self {
        let schema = &bound.info.schema;
        let (input, texts) = match bound.info.indexed {
            true => (0, 0),
            false => (batch::bytes_for(schema.len(), rows), batch::texts_of(schema)),
        };
        // Not so little that a state, or a long text, would come in hundreds of pieces.
        let has_texts = Encoding::of(task, bound).has_texts(&bound.table());
        let least = if has_texts {
            PIECES
        } else if bound.reduce.is_some() {
            STATES
        } else {
            0
        };
        // What is said of rows has their texts, too.
        let said =
            if Recorded::of(task, bound.is_open) == Recorded::None { 0 } else { batch::texts_of(schema) };
        let buf = (rows * width(task, bound)).max(least) + said;
        let run_ahead = if bound.is_costly() { ROUND_MEMORY } else { 0 };
        Self { workers, block: rows as u64, smallest, rows, input, texts, buf, run_ahead }
    }

    /// Of sections of `block` bytes at the most.
    fn of_sections(workers: usize, block: u64, smallest: u64, buf: usize) -> Self {
        Self { workers, block, smallest, buf, ..Self::default() }
    }

    /// Of sections that commands read, which are as large as the file wants it. What they print is longer or shorter:
    /// `buf` bytes of it are handed over at once.
    fn of_pipe(workers: usize, section: u64, buf: u64) -> Self {
        // What is said of a section has room at the least.
        let buf = (buf as usize).min(ROUND_MEMORY / 2 / workers).max(4096);
        Self { run_ahead: ROUND_MEMORY, ..Self::of_sections(workers, section, section, buf) }
    }

    /// Blocks that are handed out in rounds, one to each of `workers`. They are larger where a round
    /// `costs_more`.
    pub fn in_rounds(task: &Task, bound: &Bound, workers: usize, costs_more: bool) -> Self {
        let larger = if costs_more { LARGER } else { 1 };
        if let Some(pipe) = &bound.pipe {
            return Self::of_pipe(workers, pipe.section(), SECTION * larger);
        }
        // In rounds no block is larger than another, so that a schedule that would vary them says how small they may be.
        let kind = task.schedule.kind.unwrap_or(ScheduleKind::Static);
        let varies = matches!(kind, ScheduleKind::Guided | ScheduleKind::Adaptive);
        let asked = task.schedule.block.filter(|_| !varies);
        let smallest = task.schedule.block.filter(|_| varies).unwrap_or(0);
        match bound.lines.map(|_| bound.state_of_section()) {
            None => {
                // By turns, too, answers are there as soon as they can be.
                let default = if bound.is_costly() { 1 } else { VALUES * larger };
                let rows = rows_of_block(task, bound, kind, workers, default.max(smallest));
                Self::of_rows(task, bound, workers, rows, rows as u64)
            }
            Some(None) => {
                let buf = ((SECTION * larger) as usize).min(ROUND_MEMORY / workers).max(4096);
                // A little less than the room, so that the rest of a last line still fits.
                let block = asked.unwrap_or(((buf - buf / 16) as u64).max(smallest));
                Self::of_sections(workers, block, block, buf)
            }
            Some(Some(state)) => {
                let block = asked.unwrap_or(TALLIED_SECTION.max(smallest));
                Self::of_sections(workers, block, block, state)
            }
        }
    }

    /// Blocks that are handed out one by one to whoever is free, or by turns. `left` is how many values or
    /// bytes there are, and `grain` how many values are worth handing out; 1 also makes sections small.
    pub fn one_by_one(task: &Task, bound: &Bound, workers: usize, left: Option<u64>, grain: u64) -> Self {
        if let Some(pipe) = &bound.pipe {
            return Self::of_pipe(workers, pipe.section(), PRINTED);
        }
        let kind = kind_of(task, bound);
        let share = match kind {
            ScheduleKind::Static => 1,
            ScheduleKind::Dynamic => BLOCKS_PER_WORKER,
            ScheduleKind::Guided | ScheduleKind::Adaptive => 2,
        };
        let share = left.map_or(u64::MAX, |left| left.div_ceil(workers as u64 * share).max(1));
        let share = if kind == ScheduleKind::Static && bound.is_costly() { 1 } else { share };
        let grain = match kind {
            // Who asks for static wants every worker to have its share, be it ever so small.
            ScheduleKind::Static | ScheduleKind::Adaptive => 1,
            ScheduleKind::Dynamic | ScheduleKind::Guided => grain,
        };
        let smallest_section =
            if grain == 1 && kind != ScheduleKind::Adaptive { 1 } else { SMALLEST_SECTION };
        match bound.lines.map(|_| bound.state_of_section()) {
            None => {
                let rows = match kind {
                    // Here the user's block is the smallest.
                    ScheduleKind::Guided | ScheduleKind::Adaptive => {
                        let smallest = task.schedule.block.unwrap_or(grain);
                        rows_of_block(task, bound, kind, 2 * workers, share.clamp(1, VALUES).max(smallest))
                    }
                    _ => rows_of_block(task, bound, kind, 2 * workers, share.clamp(grain, VALUES.max(grain))),
                };
                let smallest = task.schedule.block.unwrap_or(grain).min(rows as u64);
                Self::of_rows(task, bound, workers, rows, smallest)
            }
            Some(state) => {
                let largest = match state {
                    None => (SECTION - SECTION / 16).min((ROUND_MEMORY / 2 / workers) as u64),
                    Some(_) => SMALL_TALLIED_SECTION,
                };
                let default = share.clamp(smallest_section.min(largest), largest);
                let (block, smallest) = match (kind, task.schedule.block) {
                    (ScheduleKind::Guided | ScheduleKind::Adaptive, Some(smallest)) => {
                        (default.max(smallest), smallest)
                    }
                    (_, Some(block)) => (block, block),
                    (_, None) => (default, smallest_section.min(default)),
                };
                let buf = match state {
                    // A little more than the section, so that the rest of a last line still fits.
                    None => (block.min(largest) as usize / 15 * 16).max(4096),
                    Some(state) => state,
                };
                Self::of_sections(workers, block, smallest, buf)
            }
        }
    }
}
