//! Answers as they are, to standard output or to a file.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::base::atomic_file::AtomicFile;
use crate::base::blocking::{Outlet, STDOUT};
use crate::base::error::{Error, Result};
use crate::base::fmt::counted;
use crate::base::streams;
use crate::data::schema::Schema;
use crate::input::open_regular;
use crate::observe::report::Report;
use crate::output::encode::{RowTemplate, Who};
use crate::output::quote::{self, Quoting};
use crate::output::reader::{PIECE, ReadChunk, ResultReader, damaged};
use crate::output::{ResultChunk, Sink};

/// Bytes of small pieces that are written together; larger ones pass by.
const BUFFER: usize = 64 * 1024;
/// Bytes of a longer row than any result has, without texts in it and with such.
const LONGEST_ROW: [usize; 2] = [64 << 10, 64 << 20];

/// Bytes of a longer row than any that has the columns of `table`.
pub fn longest_row(table: &Schema) -> usize {
    LONGEST_ROW[usize::from(table.has_texts())]
}

/// A row of values and answer; `who` is `None` without the process behind them, and has `None` where nobody has answered.
pub fn template(table: &Schema, who: Option<Option<&Who>>) -> RowTemplate {
    let close = match who {
        None => "\n".to_owned(),
        Some(None) => "\t\n".to_owned(),
        Some(Some(who)) => format!("\t{}\n", who.pid),
    };
    RowTemplate { before: separated(table, "\t"), missing: "", close, quoting: Quoting::Plain }
}

/// What stands before each column where `separator` stands between them.
pub fn separated(table: &Schema, separator: &str) -> Vec<String> {
    (0..table.len()).map(|i| if i == 0 { String::new() } else { separator.to_owned() }).collect()
}

/// Is a row, in which so many columns stand before the answer with tabs between them, that of a value without one?
pub fn is_gap(row: &[u8], columns: usize) -> bool {
    let answer = row.split(|byte| matches!(byte, b'\t' | b'\n')).nth(columns);
    answer.is_some_and(<[u8]>::is_empty)
}

/// Standard output.
pub struct ToStdout {
    out: BufWriter<Outlet>,
}

impl ToStdout {
    /// Takes hold of standard output.
    ///
    /// # Errors
    /// It is closed.
    pub fn new() -> Result<Self> {
        let out = Outlet::stdout().map_err(|e| Error::writing(name(), &e))?;
        Ok(Self { out: BufWriter::with_capacity(BUFFER, out) })
    }
}

/// For messages.
fn name() -> &'static Path {
    Path::new(STDOUT)
}

impl Sink for ToStdout {
    fn take(&mut self, chunk: &ResultChunk) -> Result<()> {
        streams::results(chunk.bytes);
        self.out.write_all(chunk.bytes).map_err(|e| Error::writing(name(), &e))
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
    file: AtomicFile,
    /// Small pieces that have not been written yet.
    waiting: Vec<u8>,
    /// Bytes that stand at the beginning of the file whatever is answered.
    heading: u64,
    written: u64,
    /// A write has failed.
    is_broken: bool,
}

impl ToFile {
    /// Creates the file; errors as [`AtomicFile::create`].
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self::of(AtomicFile::create(path)?))
    }

    /// Writes to `file`.
    pub fn of(file: AtomicFile) -> Self {
        Self { file, waiting: Vec::new(), heading: 0, written: 0, is_broken: false }
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
        self.file.replace_beginning(heading)
    }

    /// The run has failed: what has been written is kept, behind the beginning that `heading` makes of its
    /// bytes, which is as long as the one that there is.
    pub fn keep(&mut self, heading: impl FnOnce(u64) -> Vec<u8>) {
        // The run has failed already, and says why. After a failed write nothing more may follow.
        if !self.is_broken {
            let _ = self.flush();
        }
        if self.written > self.heading {
            let _ = self.file.replace_beginning(&heading(self.written - self.heading));
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
        let outcome = self.file.append(bytes, &mut self.written);
        self.is_broken |= outcome.is_err();
        outcome
    }
}

impl Sink for ToFile {
    fn take(&mut self, chunk: &ResultChunk) -> Result<()> {
        self.put(chunk.bytes)
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
        self.file.publish()
    }

    fn fail(&mut self) {
        // The run has failed already, and says why. After a failed write nothing more may follow.
        if !self.is_broken {
            let _ = self.flush();
        }
        let what = (self.written > self.heading).then(|| counted(self.written, "byte"));
        self.file.keep(what.as_deref());
    }
}

/// Says whether a row is that of a value without an answer.
pub type IsGap = Box<dyn Fn(&[u8]) -> bool>;

/// What stands in a file that is read back.
pub enum Rule {
    /// The lines of a file, whatever they are; the last need not end.
    Lines,
    /// Rows that parpy has written.
    Rows {
        /// Where they are CSV: what stands in quotes is part of a row, whatever it is.
        quoted: bool,
        /// Says of a whole row, with its end, whether it has no answer, where that is asked for.
        is_gap: Option<IsGap>,
        /// Bytes of a longer row than any.
        longest: usize,
    },
}

/// What [`ToFile`] has written, behind its heading.
pub struct FromFile {
    file: File,
    path: PathBuf,
    rule: Rule,
    /// The beginning of a row whose end has not been read yet.
    begun: Vec<u8>,
    /// The last byte so far, of [`Rule::Lines`].
    last: u8,
    ended: bool,
}

impl FromFile {
    /// Opens `path`, which begins with `heading`.
    ///
    /// # Errors
    /// It cannot be read, or begins otherwise.
    pub fn open(path: &Path, heading: &[u8], rule: Rule) -> Result<Self> {
        let file = open_regular(path)?;
        let mut new =
            Self { file, path: path.to_owned(), rule, begun: Vec::new(), last: b'\n', ended: false };
        let mut begins = Vec::new();
        new.read(heading.len(), &mut begins)?;
        if begins != heading {
            let heading = String::from_utf8_lossy(heading.trim_ascii_end());
            return Err(damaged(path, &format!("it does not begin with '{heading}'")));
        }
        Ok(new)
    }

    /// Reads up to `most` bytes, and puts them behind `bytes`.
    fn read(&mut self, most: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let start = bytes.len();
        bytes.resize(start + most, 0);
        let mut end = start;
        while end < bytes.len() && !self.ended {
            match self.file.read(&mut bytes[end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => end += count,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read", &self.path, &e)),
            }
        }
        bytes.truncate(end);
        Ok(())
    }
}

impl ResultReader for FromFile {
    fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<ReadChunk>> {
        bytes.clear();
        bytes.append(&mut self.begun);
        if !self.ended {
            self.read(PIECE, bytes)?;
        }
        let mut found = ReadChunk::default();
        match &self.rule {
            Rule::Lines => {
                found.line_bytes = bytes.len() as u64;
                self.last = *bytes.last().unwrap_or(&self.last);
                // A last line that does not end is a line too.
                found.items = memchr::memchr_iter(b'\n', bytes).count() as u64
                    + u64::from(self.ended && self.last != b'\n');
                if self.ended {
                    self.last = b'\n';
                }
            }
            Rule::Rows { quoted, is_gap, longest } => {
                let ends: Vec<usize> = match quoted {
                    true => quote::csv_row_ends(bytes).collect(),
                    false => memchr::memchr_iter(b'\n', bytes).map(|at| at + 1).collect(),
                };
                let whole = ends.last().copied().unwrap_or(0);
                if whole == 0 && !self.ended && bytes.len() < *longest {
                    // A row of texts may be long.
                    self.begun = std::mem::take(bytes);
                    return self.next(bytes);
                }
                if whole < bytes.len() && (self.ended || whole == 0) {
                    return Err(damaged(&self.path, "it ends in the middle of a line"));
                }
                self.begun.extend_from_slice(&bytes[whole..]);
                bytes.truncate(whole);
                found.items = ends.len() as u64;
                if let Some(is_gap) = is_gap {
                    let starts = [0].iter().chain(&ends);
                    found.failed =
                        starts.zip(&ends).filter(|(start, end)| is_gap(&bytes[**start..**end])).count()
                            as u64;
                }
            }
        }
        Ok((found.items > 0 || !bytes.is_empty()).then_some(found))
    }
}
