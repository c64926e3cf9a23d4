//! The lines of a section as they are.

use super::{Answers, LineOp, PIECE, or_failure};
use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::input::section::SectionReader;
use crate::op::{BlockResult, Operator};

pub const TEXT: LineOp = LineOp {
    name: "text",
    help: "the lines as they are",
    answers: Answers::Lines,
    open: |file, info, _| Ok(Box::new(Text { reader: SectionReader::open(file, info)? })),
};

/// Passes the lines of a section on.
struct Text {
    reader: SectionReader,
}

impl Text {
    fn fill(&mut self, buf: &mut [u8]) -> BlockResult {
        let mut answer = BlockResult::default();
        while answer.bytes < buf.len() && !self.reader.ended() {
            let most = buf.len().min(answer.bytes + PIECE);
            let count = match self.reader.read(&mut buf[answer.bytes..most]) {
                Ok(count) => count,
                Err(error) => {
                    answer.failure = Some(error);
                    break;
                }
            };
            let piece = &buf[answer.bytes..answer.bytes + count];
            answer.items += memchr::memchr_iter(b'\n', piece).count() as u64;
            answer.bytes += count;
            // A last line of the file without a newline is a line too.
            if self.reader.ended() && piece.last().is_some_and(|byte| *byte != b'\n') {
                answer.items += 1;
            }
        }
        answer.input_bytes = answer.bytes as u64;
        answer.more = answer.failure.is_none() && !self.reader.ended();
        answer
    }
}

impl Operator for Text {
    fn apply(
        &mut self,
        block: &Block,
        _rows: Option<BatchRef>,
        buf: &mut [u8],
        _is_wanted: &dyn Fn() -> bool,
    ) -> BlockResult {
        or_failure(self.reader.start(block).map(|()| self.fill(buf)))
    }

    fn more(&mut self, buf: &mut [u8]) -> BlockResult {
        self.fill(buf)
    }
}
