//! What is done with one block. Functions have names, because a closure cannot cross to another process
//! or rank.
//!
//! Every pattern runs blocks through the same [`Function`], so that the answers cannot differ; patterns
//! decide only who runs a block and where its answer goes.

pub mod lines;
pub mod numbers;

use crate::error::{Error, Result};
use crate::input::{Block, Facts};
use crate::job::{Do, Work};
use crate::output::Form;

/// What a worker reports of one block, or of one more piece of a long answer.
#[derive(Debug, Default)]
pub struct Answer {
    /// Bytes of answer written to the front of the room.
    pub bytes: usize,
    /// Items answered: values, or lines of the section.
    pub items: u64,
    /// Bytes of input worked through.
    pub input_bytes: u64,
    /// There is more than the room could hold; ask with [`Function::more`].
    pub more: bool,
    /// Why the answer ends here. What was written before stands.
    pub failure: Option<Error>,
}

/// What to do with one block. One per worker; made anew for each run of a task.
pub trait Function {
    /// Works on `block` and writes the answer to the front of `room`. `values` are the block's values as
    /// bits of the task's type; empty for a section of a file.
    fn apply(&mut self, block: &Block, values: &[u64], room: &mut [u8]) -> Answer;

    /// Goes on with an answer that was longer than the room. Only after an answer whose `more` was set.
    fn more(&mut self, _room: &mut [u8]) -> Answer {
        Answer::default()
    }
}

/// This worker's function for a task, with what it needs opened.
///
/// # Errors
/// The worker cannot open the file.
pub fn make(work: &Work, facts: Facts, form: Form) -> Result<Box<dyn Function>> {
    Ok(match work {
        Work::Map { function, .. } => Box::new(numbers::Numbers::new(*function, facts.dtype, form)),
        Work::Read { file, action: Do::Text } => Box::new(lines::Text::open(file, facts.file_len)?),
        Work::Read { file, action: Do::Count } => Box::new(lines::Count::open(file, facts.file_len)?),
    })
}
