//! What workers have in common, be they threads, processes or ranks: an operator that is made when it is
//! needed, and answers chunk by chunk. Who hands out the blocks, and where answers go, is not known here.

use crate::base::error::Result;
use crate::base::lanes::Lanes;
use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::input;
use crate::job::Task;
use crate::job::pattern::PatternName;
use crate::node::{cpus, gpus};
use crate::op::{BlockResult, Bound, Operator, Worker};
use crate::sched::map::{MapRows, MapSettings};

/// One worker's own operator for a task.
pub struct Instance {
    /// The worker's number, or its rank.
    rank: usize,
    /// Its number among the threads of its rank, and how many these are.
    thread: usize,
    threads: usize,
    pid: u32,
    lanes: Lanes,
    operator: Option<Box<dyn Operator>>,
}

impl Instance {
    /// Of worker, or rank, number `rank`, in this process, which computes with `lanes`; of a rank the worker number `thread`
    /// of so many.
    pub fn of(rank: usize, (thread, threads): (usize, usize), lanes: Lanes) -> Self {
        Self { rank, thread, threads, pid: std::process::id(), lanes, operator: None }
    }

    /// Who this is, as commands know it.
    pub fn worker(&self, task: &Task) -> Worker {
        if task.pattern == PatternName::Mpi {
            let slot = cpus::local_rank().unwrap_or(self.rank) * self.threads + self.thread;
            let cpus = (cpus::usable() / self.threads).max(1);
            return Worker { rank: self.rank, slot, cpus, gpu: gpu(task, slot) };
        }
        let is_alone = matches!(task.pattern, PatternName::Serial | PatternName::Simd);
        let all = || if is_alone { 1 } else { cpus::usable() };
        let workers = task.workers.or(task.threads).unwrap_or_else(all).max(1);
        let cpus = (cpus::usable() / workers).max(1);
        Worker { rank: 0, slot: self.rank, cpus, gpu: gpu(task, self.rank) }
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
            None => make(task, bound, (self.rank, self.lanes), || self.worker(task))?,
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
/// `lanes`. Who `worker` is takes some time to find out.
///
/// # Errors
/// The worker cannot open the file, or what the function needs.
fn make(
    task: &Task,
    bound: &Bound,
    (rank, lanes): (usize, Lanes),
    worker: impl FnOnce() -> Worker,
) -> Result<Box<dyn Operator>> {
    let info = &bound.info;
    if let (Some(op), Some(file)) = (bound.lines, task.work.text()) {
        return (op.open)(file, info, lanes);
    }
    if let (Some(pipe), Some(file)) = (&bound.pipe, task.work.text()) {
        return Ok(Box::new(pipe.open(file, info, worker())?));
    }
    let source = if info.indexed { Some(input::open_indexed(task, info)?) } else { None };
    let settings = MapSettings::of(task, bound);
    let is_of_any_length = settings.answers_are_of_any_length();
    let function = bound.function.as_ref();
    let function = function.map(|function| function.function(lanes, is_of_any_length, worker)).transpose()?;
    Ok(Box::new(MapRows::new(settings, function, lanes, rank, source)))
}

/// The graphics processor of worker number `slot` of this node, where `task` gives workers some.
fn gpu(task: &Task, slot: usize) -> Option<String> {
    let gpus = task.gpus.as_ref()?;
    // As CUDA has it, an empty list is none.
    Some(gpus.of_slot(slot, gpus::all).unwrap_or_default())
}
