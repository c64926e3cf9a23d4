//! Lines of a text, each of them an item: a text itself, whatever stands in it. (A mark that some editors begin a text
//! with is none of it, and what begins as a compressed file does is refused.)
//!
//! A line ends with a newline, before which a carriage return is none of the text; the last need not end. Held in memory:
//! one buffer of lines, and none that is longer than a batch has room for.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::base::error::{Error, Result};
use crate::data::batch::{BatchWriter, TEXT};
use crate::data::schema::{ColumnType, Schema};
use crate::input::lines::{LineBuffer, Whole, fill_up, next_line};
use crate::input::stamp::Stamp;
use crate::input::text::Input;
use crate::input::{Source, start};

/// A stream of lines.
pub struct TextLines {
    lines: LineBuffer,
    name: PathBuf,
    /// Lines delivered.
    line: u64,
    failed: Option<Error>,
}

impl TextLines {
    /// Those that `reader` reads; `name` is for messages.
    pub fn new(reader: Box<dyn Input>, name: PathBuf) -> Self {
        Self { lines: LineBuffer::new(reader, 1), name, line: 0, failed: None }
    }

    /// Bytes of whole lines that wait; 0 at the end, and where there are none yet and nobody may wait.
    fn whole(&mut self, may_wait: bool) -> Result<usize> {
        let failed = |e: &std::io::Error| Error::io("read", &self.name, e);
        let whole = match self.lines.whole(may_wait, TEXT + 1).map_err(|e| failed(&e))? {
            Whole::Bytes(count) => count,
            Whole::TooLong => return Err(self.too_long()),
        };
        if let Some(kind) = start::kind(self.lines.waiting()).filter(|_| self.line == 0) {
            return Err(Error::Failed(format!("cannot read {} as lines: it is {kind}", self.name.display())));
        }
        Ok(whole)
    }

    fn too_long(&self) -> Error {
        Error::Failed(format!(
            "{}, line {}: it is longer than {} MiB, which no item can be; parpy read takes lines of any length",
            self.name.display(),
            self.line + 1,
            TEXT >> 20
        ))
    }

    /// Puts lines that wait into `batch` from row `row` on, as many as there is room for; as [`fill_up`] wants it.
    fn fill_some(&mut self, batch: &mut BatchWriter, row: usize) -> (usize, Result<bool>) {
        let whole = match self.whole(row == 0) {
            Ok(0) => return (0, Ok(false)),
            Ok(whole) => whole,
            Err(error) => return (0, Err(error)),
        };
        let lines = &self.lines.waiting()[..whole];
        let (mut count, mut at) = (0, 0);
        while at < whole && row + count < batch.capacity() {
            let end = next_line(lines, at);
            let text = lines[at..end].strip_suffix(b"\n").unwrap_or(&lines[at..end]);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if batch.text_left(row + count) < text.len() || batch.put_bytes(0, row + count, text).is_err() {
                break;
            }
            count += 1;
            at = end;
        }
        self.lines.pass(at);
        self.line += count as u64;
        match count {
            0 if row == 0 => (0, Err(self.too_long())),
            // There is no more room.
            _ => (count, Ok(at == whole)),
        }
    }
}

impl Source for TextLines {
    fn schema(&self) -> Schema {
        Schema::single("", ColumnType::Bytes)
    }

    fn fill(&mut self, batch: &mut BatchWriter) -> Result<usize> {
        let mut failed = self.failed.take();
        let filled = fill_up(batch.capacity(), &mut failed, |count| self.fill_some(batch, count));
        self.failed = failed;
        filled
    }

    fn count(&self) -> Option<u64> {
        None
    }

    fn skip(&mut self, count: u64) -> Result<u64> {
        let mut skipped = 0;
        while skipped < count {
            let whole = self.whole(true)?;
            if whole == 0 {
                break;
            }
            skipped += self.lines.skip(whole, count - skipped, &mut self.line, |_| true);
        }
        Ok(skipped)
    }

    fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        self.lines.awaited().filter(|_| self.failed.is_none())
    }

    fn stamp(&self) -> Stamp {
        self.lines.stamp()
    }
}
