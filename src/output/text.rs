//! Answers as they are, to standard output or to a file.

use std::io::{BufWriter, StdoutLock, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::function::lines::Tally;
use crate::output::file::Draft;
use crate::output::{Frame, Piece, STDOUT, Sink, Who};
use crate::report::Report;

/// Bytes of small pieces that are written together; larger ones pass by.
const BUFFER: usize = 64 * 1024;

/// A row of value, answer and process.
pub fn frame(who: Option<&Who>) -> Frame {
    let close = who.map_or("\t\n".to_owned(), |who| format!("\t{}\n", who.pid));
    Frame { open: "", between: "\t", missing: "", close, is_json: false }
}

/// What is counted of a file, as `wc` writes it.
pub fn total(tally: &Tally, name: &Path) -> Vec<u8> {
    let Tally { lines, words, bytes } = tally;
    let width = bytes.to_string().len();
    let mut line = format!("{lines:>width$} {words:>width$} {bytes:>width$} ").into_bytes();
    // As it is: a file's name need not be UTF-8.
    line.extend_from_slice(name.as_os_str().as_encoded_bytes());
    line.push(b'\n');
    line
}

/// Standard output.
pub struct ToStdout {
    out: BufWriter<StdoutLock<'static>>,
}

impl ToStdout {
    /// Takes hold of standard output.
    pub fn new() -> Self {
        Self { out: BufWriter::with_capacity(BUFFER, std::io::stdout().lock()) }
    }
}

/// For messages.
fn name() -> &'static Path {
    Path::new(STDOUT)
}

impl Sink for ToStdout {
    fn take(&mut self, piece: &Piece) -> Result<()> {
        self.out.write_all(piece.bytes).map_err(|e| Error::writing(name(), &e))
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(|e| Error::writing(name(), &e))
    }

    fn finish(&mut self, _report: &Report) -> Result<()> {
        self.flush()
    }

    fn fail(&mut self) {
        // The run has failed already, and says why.
        let _ = self.out.flush();
    }
}

/// A file that is written front to back.
pub struct ToFile {
    draft: Draft,
    /// Small pieces that have not been written yet.
    waiting: Vec<u8>,
    /// Bytes that stand at the beginning of the file whatever is answered.
    heading: u64,
    written: u64,
    /// A write has failed.
    is_broken: bool,
}

impl ToFile {
    /// Creates the file; errors as [`Draft::create`].
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self::of(Draft::create(path)?))
    }

    /// Writes to `draft`.
    pub fn of(draft: Draft) -> Self {
        Self { draft, waiting: Vec::new(), heading: 0, written: 0, is_broken: false }
    }

    /// What comes before all answers.
    pub fn begin(&mut self, heading: &[u8]) {
        self.waiting.extend_from_slice(heading);
        self.heading = heading.len() as u64;
    }

    /// Replaces the heading by one of the same length.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin_anew(&mut self, heading: &[u8]) -> Result<()> {
        self.flush()?;
        self.draft.replace_beginning(heading)
    }

    /// The run has failed: what has been written is kept, behind the beginning that `heading` makes of its
    /// bytes, which is as long as the one that there is.
    pub fn keep(&mut self, heading: impl FnOnce(u64) -> Vec<u8>) {
        // The run has failed already, and says why. After a failed write nothing more may follow.
        if !self.is_broken {
            let _ = self.flush();
        }
        if self.written > self.heading {
            let _ = self.draft.replace_beginning(&heading(self.written - self.heading));
        }
        self.fail();
    }

    /// Writes `bytes` behind what has been written.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if self.waiting.len() + bytes.len() <= BUFFER {
            self.waiting.extend_from_slice(bytes);
            return Ok(());
        }
        self.flush()?;
        if bytes.len() > BUFFER { self.write(bytes) } else { self.put(bytes) }
    }

    /// The run has failed: `bytes` end what is kept, unless nothing more may follow.
    pub fn end(&mut self, bytes: &[u8]) {
        if !self.is_broken {
            let _ = self.put(bytes);
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let outcome = self.draft.append(bytes, &mut self.written);
        self.is_broken |= outcome.is_err();
        outcome
    }
}

impl Sink for ToFile {
    fn take(&mut self, piece: &Piece) -> Result<()> {
        self.put(piece.bytes)
    }

    fn flush(&mut self) -> Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let outcome = if waiting.is_empty() { Ok(()) } else { self.write(&waiting) };
        waiting.clear();
        self.waiting = waiting;
        outcome
    }

    fn finish(&mut self, _report: &Report) -> Result<()> {
        self.flush()?;
        self.draft.publish()
    }

    fn fail(&mut self) {
        // The run has failed already, and says why. After a failed write nothing more may follow.
        if !self.is_broken {
            let _ = self.flush();
        }
        let what = (self.written > self.heading).then(|| format!("{} bytes", self.written));
        self.draft.keep(what.as_deref());
    }
}
