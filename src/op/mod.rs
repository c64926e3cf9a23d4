//! What is done with one block. Functions have names, because a closure cannot cross to another process
//! or rank.
//!
//! Every pattern runs blocks through the same [`Operator`], so that the answers cannot differ; patterns
//! decide only who runs a block and where its answer goes.

pub mod expr;
pub mod formula;
pub mod functions;
pub mod lines;
pub mod reduce;

use bytemuck::{Pod, Zeroable};

use crate::base::error::{Error, Result};
use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::data::dtype::Dtype;
use crate::data::schema::{Field, Schema};
use crate::input::InputInfo;
use crate::job::{Task, Work};
use crate::op::formula::Formula;

/// A task whose input is open: what is known of that, and what follows from it. The same on every rank.
#[derive(Debug, Clone, Default)]
pub struct Bound {
    /// The input.
    pub info: InputInfo,
    /// What a `map` does with each row; `None` for a `read`.
    pub formula: Option<Formula>,
}

impl Bound {
    /// `task`, whose input is as `info` says. Pure: the same on every rank.
    ///
    /// # Errors
    /// As those of [`Formula::bind`].
    pub fn of(task: &Task, info: InputInfo) -> Result<Self> {
        let formula = match &task.work {
            Work::Map { function, .. } => Some(Formula::bind(function, &info.schema)?),
            Work::Read { .. } => None,
        };
        Ok(Self { info, formula })
    }

    /// Type of the answers of a `map`.
    pub fn answers(&self) -> Dtype {
        self.formula.as_ref().map_or(Dtype::I64, Formula::dtype)
    }

    /// The columns of a table of results: those of the input, and the answers. Each has a name, and no two the same.
    pub fn table(&self) -> Schema {
        let mut names: Vec<String> = Vec::new();
        for field in &self.info.schema.fields {
            let mut name = match &*field.name {
                "" => NAMELESS.to_owned(),
                // As where one parpy reads what another has written.
                ANSWERS if self.info.schema.len() == 1 => NAMELESS.to_owned(),
                name => name.to_owned(),
            };
            while name == ANSWERS || names.contains(&name) {
                name.push('_');
            }
            names.push(name);
        }
        let dtypes = self.info.schema.dtypes().chain([self.answers().into()]);
        let names = names.into_iter().chain([ANSWERS.to_owned()]);
        Schema { fields: names.zip(dtypes).map(|(name, dtype)| Field { name, dtype }).collect() }
    }
}

/// What a column of the input without a name is called in results.
const NAMELESS: &str = "input";

/// What answers are called in results.
const ANSWERS: &str = "output";

/// What a worker reports of one block, or of one more piece of a long answer.
#[derive(Debug, Default)]
pub struct BlockResult {
    /// Bytes of answer written to the front of the room.
    pub bytes: usize,
    /// Items answered: values, or lines of the section.
    pub items: u64,
    /// Bytes of input worked through.
    pub input_bytes: u64,
    /// There is more than the room could hold; ask with [`Operator::more`].
    pub more: bool,
    /// Why the answer ends here. What was written before stands.
    pub failure: Option<Error>,
    /// Items without an answer that were passed over, as `--keep-going` wants it.
    pub failed: u64,
    /// Why the first of these has none.
    pub first_failed: Option<String>,
}

impl BlockResult {
    /// Nothing but a failure.
    pub fn failed(error: Error) -> Self {
        Self { failure: Some(error), ..Self::default() }
    }
}

/// What to do with one block. One per worker; made anew for each run of a task.
pub trait Operator: Send {
    /// Works on `block` and writes the answer to the front of `buf`. `rows` are those of the block, where they travel
    /// with it.
    fn apply(&mut self, block: &Block, rows: Option<BatchRef>, buf: &mut [u8]) -> BlockResult;

    /// Goes on with an answer that was longer than the room. Only after an answer whose `more` was set.
    fn more(&mut self, _room: &mut [u8]) -> BlockResult {
        BlockResult::default()
    }
}

/// A page of a buffer that files are read into: where buffers begin at a page the system copies faster to
/// them, and no vector crosses a cache line. Measured: 2 GB counted by 2 threads in 0.15 s, and in 0.26 s
/// where the buffers began 16 bytes behind a page, as allocators have it.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
pub struct Page([u8; 4096]);

/// Pages for `bytes`.
pub fn pages(bytes: usize) -> Vec<Page> {
    vec![Page::zeroed(); bytes.div_ceil(size_of::<Page>())]
}
