//! The records of CSV files, one by one, whatever stands in quotes.
//!
//! Held in memory: one record, and none that is longer than [`LONGEST_RECORD`].

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use csv::{ByteRecord, Position, ReaderBuilder};

use crate::base::error::{Error, Result};
use crate::input::{open_regular, start};

/// Bytes of the longest record: past this the file is something else, or a quote is never closed.
pub const LONGEST_RECORD: usize = 4 * 1024 * 1024;
/// Bytes that say what a file is.
const STARTS_WITH: usize = 10;

/// A reader that fails when it has handed out what it may: what is read from it until then is held in memory.
pub struct Bounded<R> {
    reader: R,
    left: Rc<Cell<usize>>,
    /// The first bytes.
    start: Vec<u8>,
}

impl<R: Read> Bounded<R> {
    /// `reader`, and how many bytes more may come from it.
    pub fn new(reader: R) -> (Self, Rc<Cell<usize>>) {
        let left = Rc::new(Cell::new(LONGEST_RECORD));
        (Self { reader, left: Rc::clone(&left), start: Vec::new() }, left)
    }

    /// What it is, going by its first bytes.
    pub fn kind(&self) -> Option<&'static str> {
        start::kind(&self.start)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = buf.len().min(self.left.get());
        if most == 0 && !buf.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("a row of it is longer than {} MiB", LONGEST_RECORD >> 20),
            ));
        }
        let count = self.reader.read(&mut buf[..most])?;
        self.left.set(self.left.get() - count);
        self.start.extend(buf[..count].iter().take(STARTS_WITH.saturating_sub(self.start.len())));
        Ok(count)
    }
}

/// The records of a CSV file.
pub struct Records<R> {
    reader: csv::Reader<Bounded<R>>,
    /// Bytes that may be read for a record.
    left: Rc<Cell<usize>>,
    path: PathBuf,
    delimiter: u8,
    record: ByteRecord,
    /// Where the record began that was read last.
    last: Option<Position>,
    /// Lines and bytes of the file before those that are read here.
    behind: (u64, u64),
}

impl<R: Read> Records<R> {
    /// Those that `reader` reads, whose columns have `delimiter` between them; blanks around them are theirs. The file at `path` is looked into again
    /// for messages.
    pub fn new(builder: &mut ReaderBuilder, reader: R, path: &Path, delimiter: u8) -> Self {
        let (reader, left) = Bounded::new(reader);
        let reader = builder.has_headers(false).delimiter(delimiter).from_reader(reader);
        Self {
            reader,
            left,
            path: path.to_owned(),
            delimiter,
            record: ByteRecord::new(),
            last: None,
            behind: (0, 0),
        }
    }

    /// The same of what stands behind so many lines and bytes of the file.
    pub fn behind(self, lines: u64, bytes: u64) -> Self {
        Self { behind: (lines, bytes), ..self }
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or the record has more or fewer fields than those before it, or is too long.
    pub fn advance(&mut self) -> Result<Option<&ByteRecord>> {
        self.left.set(LONGEST_RECORD);
        match self.reader.read_byte_record(&mut self.record) {
            Err(error) => Err(self.wrong(&error)),
            Ok(false) => self.check_end().map(|()| None),
            Ok(true) => {
                self.last = self.record.position().cloned();
                Ok(Some(&self.record))
            }
        }
    }

    /// What kind of file it is, where that can be told by its first bytes.
    pub fn kind(&self) -> Option<&'static str> {
        self.reader.get_ref().kind()
    }

    /// What it reads from.
    pub fn source(&self) -> &R {
        &self.reader.get_ref().reader
    }

    /// The record that was read last.
    pub fn record(&self) -> &ByteRecord {
        &self.record
    }

    fn wrong(&self, error: &csv::Error) -> Error {
        let path = self.path.display();
        if let Some(kind) = self.reader.get_ref().kind() {
            return Error::Failed(format!("cannot read {path} as CSV: it is {kind}"));
        }
        match error.kind() {
            csv::ErrorKind::Io(e) if e.kind() == io::ErrorKind::FileTooLarge => Error::Failed(format!(
                "{path}, line {}: a record of more than {} MiB begins here; is a quote in it never closed?",
                self.here(),
                LONGEST_RECORD >> 20
            )),
            csv::ErrorKind::Io(e) => Error::io("read", &self.path, e),
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => Error::Failed(format!(
                "{path}, line {}: {}",
                self.here(),
                wrong_fields(*len as usize, *expected_len as usize)
            )),
            _ => Error::Failed(format!("cannot read {path} as CSV: {error}")),
        }
    }

    /// What can be said of the record that was read last.
    pub fn wrong_here(&self, what: &str) -> Error {
        Error::Failed(format!("{}, line {}: {what}", self.path.display(), self.here()))
    }

    /// The line in which the record begins that was read last, or could not be read.
    fn here(&self) -> u64 {
        self.record.position().map_or(1, |position| self.line(position))
    }

    /// A quote that is never closed makes one field of all that follows, which the reader takes for the last.
    ///
    /// # Errors
    /// The last record has such a quote, and the file can be looked at again.
    fn check_end(&self) -> Result<()> {
        let Some(last) = self.last.clone() else { return Ok(()) };
        let is_open = || {
            let mut file = open_regular(&self.path).ok()?;
            file.seek(SeekFrom::Start(self.behind.1 + last.byte())).ok()?;
            let (mut is_quoted, mut may_begin) = (false, true);
            for byte in BufReader::new(file).bytes() {
                let byte = byte.ok()?;
                // One that is doubled closes the field and begins it again.
                let closes = is_quoted && byte == b'"';
                is_quoted = if byte == b'"' { !is_quoted && may_begin } else { is_quoted };
                may_begin = closes || !is_quoted && (byte == self.delimiter || matches!(byte, b'\r' | b'\n'));
            }
            Some(is_quoted)
        };
        if is_open() != Some(true) {
            return Ok(());
        }
        let line = self.line(&last);
        Err(Error::Failed(format!(
            "{}, line {line}: a quote is opened in or behind it and never closed",
            self.path.display()
        )))
    }

    /// The line in which the record at `position` begins. What the reader itself says is the line of the record before
    /// where lines end with CRLF, and a blank one where there are such before the record.
    fn line(&self, position: &Position) -> u64 {
        let lines_before = || {
            let mut before = BufReader::new(open_regular(&self.path).ok()?);
            let (mut line, mut left) = (1, self.behind.1 + position.byte());
            loop {
                let bytes = before.fill_buf().ok()?;
                let here = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                if here == 0 {
                    let ends = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
                    return Some(line + ends.filter(|byte| **byte == b'\n').count() as u64);
                }
                line += memchr::memchr_iter(b'\n', &bytes[..here]).count() as u64;
                before.consume(here);
                left -= here as u64;
            }
        };
        // Of a pipe there is nothing better.
        lines_before().unwrap_or(self.behind.0 + position.line())
    }
}

/// What is wrong with a record that has other fields than those before it.
pub(super) fn wrong_fields(found: usize, expected: usize) -> String {
    format!("it has {found} fields, and those before it have {expected}")
}
