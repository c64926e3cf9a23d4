//! What workers have in common, be they threads, processes or ranks: a function that is made when it is
//! needed, and answers piece by piece. Who hands out the blocks, and where answers go, is not known here.

use crate::error::Result;
use crate::function::{self, Answer, Function, lanes::Lanes};
use crate::input::{Block, Facts};
use crate::job::Task;

/// One worker's own function for a task, in vector lanes.
pub struct Hands {
    /// The worker's number, or its rank.
    rank: usize,
    pid: u32,
    function: Option<Box<dyn Function>>,
}

impl Hands {
    /// Of worker, or rank, number `rank`, in this process.
    pub fn of(rank: usize) -> Self {
        Self { rank, pid: std::process::id(), function: None }
    }

    /// The process that they belong to.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Makes the function, unless it has been made, and so opens what it needs.
    ///
    /// # Errors
    /// The worker cannot open the file.
    pub fn open(&mut self, task: &Task, facts: &Facts) -> Result<&mut dyn Function> {
        let function = match self.function.take() {
            Some(function) => function,
            None => function::make(task, facts, self.rank, Lanes::best())?,
        };
        Ok(&mut **self.function.insert(function))
    }

    /// The first piece of the answer to a block, of which the values are given too where they travel; with
    /// `None` the next piece of the same answer. That nothing could be opened is an answer, too.
    pub fn answer(
        &mut self,
        task: &Task,
        facts: &Facts,
        block: Option<(&Block, &[u64])>,
        room: &mut [u8],
    ) -> Answer {
        match (self.open(task, facts), block) {
            (Ok(function), Some((block, values))) => function.apply(block, values, room),
            (Ok(function), None) => function.more(room),
            (Err(error), _) => Answer { failure: Some(error), ..Answer::default() },
        }
    }
}
