//! What workers have in common, be they threads, processes or ranks: an operator that is made when it is
//! needed, and answers chunk by chunk. Who hands out the blocks, and where answers go, is not known here.

use crate::base::error::Result;
use crate::base::lanes::Lanes;
use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::input;
use crate::job::Task;
use crate::job::pattern::PatternName;
use crate::node::cpus;
use crate::op::{BlockResult, Bound, Operator, Worker};
use crate::sched::map::{MapRows, MapSettings};

/// One worker's own operator for a task.
pub struct Instance {
    /// The worker's number, or its rank.
    rank: usize,
    pid: u32,
    lanes: Lanes,
    operator: Option<Box<dyn Operator>>,
}

impl Instance {
    /// Of worker, or rank, number `rank`, in this process, which computes with `lanes`.
    pub fn of(rank: usize, lanes: Lanes) -> Self {
        Self { rank, pid: std::process::id(), lanes, operator: None }
    }

    /// The process that they belong to.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Makes the operator, unless it has been made, and so opens what it needs.
    ///
    /// # Errors
    /// The worker cannot open the file.
    pub fn open(&mut self, task: &Task, bound: &Bound) -> Result<&mut dyn Operator> {
        let operator = match self.operator.take() {
            Some(operator) => operator,
            None => make(task, bound, self.rank, self.lanes)?,
        };
        Ok(&mut **self.operator.insert(operator))
    }

    /// The first piece of the answer to a block, of which the rows are given too where they travel; with
    /// `None` the next chunk of the same answer. That nothing could be opened is an answer, too. `is_wanted` says whether
    /// anybody wants it still.
    pub fn answer(
        &mut self,
        task: &Task,
        bound: &Bound,
        block: Option<(&Block, Option<BatchRef>)>,
        buf: &mut [u8],
        is_wanted: &dyn Fn() -> bool,
    ) -> BlockResult {
        match (self.open(task, bound), block) {
            (Ok(operator), Some((block, rows))) => operator.apply(block, rows, buf, is_wanted),
            (Ok(operator), None) => operator.more(buf),
            (Err(error), _) => BlockResult::failed(error),
        }
    }
}

/// The operator for a task of worker (or rank) number `rank`, with what it needs opened, computed with
/// `lanes`.
///
/// # Errors
/// The worker cannot open the file.
fn make(task: &Task, bound: &Bound, rank: usize, lanes: Lanes) -> Result<Box<dyn Operator>> {
    let info = &bound.info;
    if let (Some(op), Some(file)) = (bound.lines, task.work.text()) {
        return (op.open)(file, info, lanes);
    }
    if let (Some(pipe), Some(file)) = (&bound.pipe, task.work.text()) {
        return Ok(Box::new(pipe.open(file, info, place(task, rank))?));
    }
    let source = if info.indexed { Some(input::open_indexed(task, info)?) } else { None };
    let settings = MapSettings::of(task, bound);
    let worker = place(task, rank);
    let function = bound.function.as_ref().map(|function| function.function(lanes, worker));
    Ok(Box::new(MapRows::new(settings, function, lanes, rank, source)))
}

/// Who worker (or rank) number `number` is.
fn place(task: &Task, number: usize) -> Worker {
    let workers = task.workers.or(task.threads).unwrap_or_else(cpus::usable).max(1);
    let cpus = (cpus::usable() / workers).max(1);
    match task.pattern {
        PatternName::Mpi => Worker { rank: number, slot: 0, cpus: cpus::usable() },
        _ => Worker { rank: 0, slot: number, cpus },
    }
}
