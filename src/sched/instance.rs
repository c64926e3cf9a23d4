//! What workers have in common, be they threads, processes or ranks: a function that is made when it is
//! needed, and answers piece by piece. Who hands out the blocks, and where answers go, is not known here.

use crate::base::error::{Error, Result};
use crate::base::lanes::Lanes;
use crate::data::block::Block;
use crate::input::{self, InputInfo};
use crate::job::{Do, Task, Work};
use crate::op::numbers::Named;
use crate::op::{BlockResult, Function, lines};
use crate::output::encode::Encoding;
use crate::sched::map::{MapSettings, Numbers};

/// One worker's own function for a task, in vector lanes.
pub struct Instance {
    /// The worker's number, or its rank.
    rank: usize,
    pid: u32,
    function: Option<Box<dyn Function>>,
}

impl Instance {
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
    pub fn open(&mut self, task: &Task, info: &InputInfo) -> Result<&mut dyn Function> {
        let function = match self.function.take() {
            Some(function) => function,
            None => make(task, info, self.rank, Lanes::best())?,
        };
        Ok(&mut **self.function.insert(function))
    }

    /// The first piece of the answer to a block, of which the values are given too where they travel; with
    /// `None` the next chunk of the same answer. That nothing could be opened is an answer, too.
    pub fn answer(
        &mut self,
        task: &Task,
        info: &InputInfo,
        block: Option<(&Block, &[u64])>,
        buf: &mut [u8],
    ) -> BlockResult {
        match (self.open(task, info), block) {
            (Ok(function), Some((block, values))) => function.apply(block, values, buf),
            (Ok(function), None) => function.more(buf),
            (Err(error), _) => BlockResult { failure: Some(error), ..BlockResult::default() },
        }
    }
}

/// The function for a task of worker (or rank) number `rank`, with what it needs opened, computed with
/// `lanes`.
///
/// # Errors
/// The worker cannot open the file.
pub fn make(task: &Task, info: &InputInfo, rank: usize, lanes: Lanes) -> Result<Box<dyn Function>> {
    Ok(match &task.work {
        Work::Map { numbers, function, .. } => {
            let source = if info.indexed { Some(input::open_indexed(numbers, info)?) } else { None };
            let settings = MapSettings {
                function: Named::from_name(function)
                    .ok_or_else(|| Error::Failed(format!("there is no function {function}")))?,
                dtype: info.dtype,
                form: Encoding::of(task),
                lanes,
                keep_going: task.keep_going,
            };
            Box::new(Numbers::new(settings, rank, source))
        }
        Work::Read { file, action: Do::Text } => Box::new(lines::Text::open(file, info)?),
        Work::Read { file, action: Do::Count } => Box::new(lines::Count::open(file, info, lanes)?),
    })
}
