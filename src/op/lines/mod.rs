//! What can be done with the lines of a section. A new operation is a file here, and a line of [`ALL`].

mod count;
mod text;

use crate::base::error::Result;
use crate::base::lanes::Lanes;
use crate::data::schema::Schema;
use crate::input::InputInfo;
use crate::job::input::TextFile;
use crate::op::accumulator::Accumulator;
use crate::op::{BlockResult, Operator};

pub use count::Tally;

/// An operation on lines.
#[derive(Debug)]
pub struct LineOp {
    /// By which it is called.
    pub name: &'static str,
    /// What comes of it, in a few words.
    pub help: &'static str,
    /// What it answers.
    pub answers: Answers,
    /// Opens the file on a worker; errors as [`crate::input::section::SectionReader::open`].
    pub open: fn(&TextFile, &InputInfo, Lanes) -> Result<Box<dyn Operator>>,
}

/// What is answered to a section.
#[derive(Debug, Clone, Copy)]
pub enum Answers {
    /// Its lines: about as many bytes as it has.
    Lines,
    /// What it comes to, which is put together with what others come to.
    States {
        /// Bytes of one.
        bytes: usize,
        /// The columns of the row that all come to.
        table: fn() -> Schema,
        /// Puts them together, for a file.
        new: fn(&TextFile) -> Box<dyn Accumulator>,
        /// What a row with these whole numbers has been; none where nothing can have come to that.
        of_row: fn(&[u64]) -> Option<State>,
    },
}

/// A state that is read back.
#[derive(Debug)]
pub struct State {
    /// As a worker would send it.
    pub bytes: Vec<u8>,
    /// Lines that it is of.
    pub lines: u64,
    /// Bytes that these have.
    pub line_bytes: u64,
}

/// All of them.
pub static ALL: &[LineOp] = &[text::TEXT, count::COUNT];

/// What is done where nothing is said.
pub const DEFAULT: &str = text::TEXT.name;

/// The operation of that name.
pub fn by_name(name: &str) -> Option<&'static LineOp> {
    ALL.iter().find(|op| op.name == name)
}

/// Are the answers of the operation of that name lines?
pub fn answers_lines(name: &str) -> bool {
    by_name(name).is_some_and(|op| matches!(op.answers, Answers::Lines))
}

/// Bytes read, and looked at while they are in the cache, at once.
const PIECE: usize = 256 * 1024;

fn or_failure(answer: Result<BlockResult>) -> BlockResult {
    answer.unwrap_or_else(BlockResult::failed)
}
