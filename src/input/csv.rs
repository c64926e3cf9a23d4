//! Values from one column of a CSV file, front to back, and its records one by one.
//!
//! Held in memory: one record, and none that is longer than [`LONGEST_RECORD`].

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use csv::{ByteRecord, Position, ReaderBuilder, Trim};

use crate::base::error::{Error, Result, nearest};
use crate::base::fmt::shown;
use crate::data::batch::BatchWriter;
use crate::data::dtype::Dtype;
use crate::data::format::delimiter;
use crate::data::schema::Schema;
use crate::input::look::Ahead;
use crate::input::stamp::Stamp;
use crate::input::text::{Input, LOOKED_AT};
use crate::input::{Source, open_regular, start};
use crate::job::input::TableLayout;

/// Bytes of the longest record: past this the file is something else, or a quote is never closed.
pub const LONGEST_RECORD: usize = 4 * 1024 * 1024;
/// Bytes that say what a file is.
const STARTS_WITH: usize = 10;
/// Of more columns only the first are named.
const NAMED: usize = 20;
/// Letters of a name that are shown.
const LONGEST_NAME: usize = 60;

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
}

impl<R: Read> Records<R> {
    /// Those that `reader` reads, whose columns have `delimiter` between them. The file at `path` is looked into again
    /// for messages.
    pub fn new(builder: &mut ReaderBuilder, reader: R, path: &Path, delimiter: u8) -> Self {
        let (reader, left) = Bounded::new(reader);
        let reader = builder.has_headers(false).delimiter(delimiter).trim(Trim::All).from_reader(reader);
        Self { reader, left, path: path.to_owned(), delimiter, record: ByteRecord::new(), last: None }
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
                "{path}, line {}: it has {len} fields, and those before it have {expected_len}",
                self.here()
            )),
            _ => Error::Failed(format!("cannot read {path} as CSV: {error}")),
        }
    }

    /// What can be said of the record that was read last.
    fn wrong_here(&self, what: &str) -> Error {
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
            file.seek(SeekFrom::Start(last.byte())).ok()?;
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
            let (mut line, mut left) = (1, position.byte());
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
        lines_before().unwrap_or(position.line())
    }
}

/// A column of a CSV file.
pub struct Column {
    records: Records<Box<dyn Input>>,
    /// Which column, from 0.
    index: usize,
    /// Its name; empty where it has none.
    name: String,
    dtype: Dtype,
    /// The record that was read last is a value that has not been delivered.
    is_waiting: bool,
    failed: Option<Error>,
}

impl Column {
    /// The column of that name (or, where no column has it, of that number, from 1) as numbers of type
    /// `dtype`, or else of that of the first of them; without a name the only one.
    ///
    /// # Errors
    /// There is no such column, or there are several, or it has a number where its name should be; says which
    /// columns there are.
    pub fn open(
        reader: Box<dyn Input>,
        path: &Path,
        name: Option<&str>,
        layout: TableLayout,
        dtype: Option<Dtype>,
    ) -> Result<Self> {
        let delimiter = layout.delimiter.or(delimiter(path)).unwrap_or(b',');
        let ahead = Ahead::of(reader).map_err(|e| Error::io("read", path, &e))?;
        let start = if dtype.is_none() { ahead.start().to_vec() } else { Vec::new() };
        let reader: Box<dyn Input> = Box::new(ahead);
        let mut records = Records::new(&mut ReaderBuilder::new(), reader, path, delimiter);
        let header = match records.advance() {
            Ok(Some(record)) => record.clone(),
            Ok(None) if name.is_none() => {
                return Err(Error::Failed(format!("cannot read {}: it is empty", path.display())));
            }
            Ok(None) => ByteRecord::new(),
            Err(error) => return Err(error),
        };
        if let Some(kind) = records.reader.get_ref().kind() {
            return Err(Error::Failed(format!("cannot read {} as CSV: it is {kind}", path.display())));
        }
        let columns = Columns { path, delimiter, header: &header, has_names: !layout.no_header };
        let index = columns.find(name)?;
        let dtype = dtype.unwrap_or_else(|| first_type(&start, delimiter, index, layout.no_header));
        let name = header.get(index).filter(|_| !layout.no_header).unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        Ok(Self {
            records,
            index,
            name,
            dtype,
            is_waiting: layout.no_header && !header.is_empty(),
            failed: None,
        })
    }

    /// Reads the next row; false at the end.
    fn next_record(&mut self) -> Result<bool> {
        Ok(std::mem::take(&mut self.is_waiting) || self.records.advance()?.is_some())
    }

    fn next(&mut self) -> Result<Option<u64>> {
        if !self.next_record()? {
            return Ok(None);
        }
        let field = self.records.record().get(self.index).unwrap_or_default();
        let word = std::str::from_utf8(field).ok();
        match word.and_then(|word| self.dtype.parse(word)) {
            Some(bits) => Ok(Some(bits)),
            None => Err(self.records.wrong_here(&self.dtype.complaint(&shown(field)))),
        }
    }
}

/// Type of the numbers of column `index` in the bytes that a file starts with. Of what is cut off there, or is wrong,
/// it knows nothing.
fn first_type(start: &[u8], delimiter: u8, index: usize, no_header: bool) -> Dtype {
    let mut builder = ReaderBuilder::new();
    let mut reader = builder
        .has_headers(!no_header)
        .delimiter(delimiter)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(start);
    let mut fields: Vec<ByteRecord> = reader.byte_records().map_while(|record| record.ok()).collect();
    if start.len() == LOOKED_AT {
        fields.pop();
    }
    let words = fields.iter().filter_map(|record| std::str::from_utf8(record.get(index)?).ok());
    Dtype::of_words(words)
}

/// As much of a column's name as a message shows.
fn start_of(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(LONGEST_NAME).collect()
}

/// The columns that a file has, by its first record.
struct Columns<'a> {
    path: &'a Path,
    delimiter: u8,
    header: &'a ByteRecord,
    /// Its fields are names of columns, and no values.
    has_names: bool,
}

impl Columns<'_> {
    /// The index of the column that `name` stands for.
    fn find(&self, name: Option<&str>) -> Result<usize> {
        let path = self.path.display();
        let names: Vec<String> = self.header.iter().map(start_of).collect();
        let count = names.len();
        let by_number = |name: &str| name.parse::<usize>().ok()?.checked_sub(1).filter(|i| *i < count);
        let Some(name) = name else {
            return match count {
                1 => self.check_name(0).map(|()| 0),
                _ => Err(Error::Failed(format!(
                    "cannot read {path}: {}; {}",
                    self.there_are(&names),
                    if self.has_names {
                        format!("name one: --from {path}:COLUMN")
                    } else {
                        format!("say which: --from {path}:1 to {path}:{count}")
                    }
                ))),
            };
        };
        let is_named = |i: &usize| self.has_names && self.header.get(*i) == Some(name.as_bytes());
        let called: Vec<usize> = (0..count).filter(is_named).collect();
        match (&called[..], by_number(name)) {
            ([index], _) => Ok(*index),
            ([], Some(index)) => self.check_name(index).map(|()| index),
            ([], None) => {
                let near = nearest(name, names.iter().map(String::as_str)).filter(|_| self.has_names);
                let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
                let what = self.there_are(&names);
                Err(Error::Failed(format!("cannot read column {name} of {path}: {what}{near}")))
            }
            ([first, second, ..], _) => Err(Error::Failed(format!(
                "cannot read column {name} of {path}: {} columns have this name; say by its number which: \
                 {path}:{} or {path}:{}",
                called.len(),
                first + 1,
                second + 1
            ))),
        }
    }

    /// # Errors
    /// The column, which nobody has named, is called by a number: it is probably a value, and would be lost.
    fn check_name(&self, index: usize) -> Result<()> {
        let name = self.header.get(index).unwrap_or_default();
        let is_number = std::str::from_utf8(name).is_ok_and(|name| name.parse::<f64>().is_ok());
        match self.has_names && is_number {
            false => Ok(()),
            true => {
                let name = start_of(name);
                Err(Error::Failed(format!(
                    "cannot read {0}: the name of its column {1} in the first line is the number {name}; if that \
                     is a value: --no-header; if it is the name: --from {0}:{name}",
                    self.path.display(),
                    index + 1
                )))
            }
        }
    }

    fn there_are(&self, names: &[String]) -> String {
        match names {
            [] => "it is empty".to_owned(),
            [only] if self.delimiter == b',' && self.header[0].iter().any(|byte| b";\t".contains(byte)) => {
                format!(
                    "its only column is '{only}', as columns must have commas between them; for others: \
                     --delimiter ';' or --delimiter tab"
                )
            }
            _ if !self.has_names => format!("it has {} columns", names.len()),
            _ if names.len() > NAMED => {
                let more = names.len() - NAMED;
                format!("its columns are {}, and {more} more", names[..NAMED].join(", "))
            }
            _ => format!("its columns are {}", names.join(", ")),
        }
    }
}

impl Source for Column {
    fn schema(&self) -> Schema {
        Schema::single(&self.name, self.dtype)
    }

    fn fill(&mut self, batch: &mut BatchWriter) -> Result<usize> {
        let buf = batch.words_mut(0);
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        for (count, word) in buf.iter_mut().enumerate() {
            match self.next() {
                Ok(Some(bits)) => *word = bits,
                Ok(None) => return Ok(count),
                Err(error) if count == 0 => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    return Ok(count);
                }
            }
        }
        Ok(buf.len())
    }

    fn count(&self) -> Option<u64> {
        None
    }

    fn stamp(&self) -> Stamp {
        self.records.source().descriptor().map_or(Stamp::NONE, Stamp::of_descriptor)
    }

    fn skip(&mut self, count: u64) -> Result<u64> {
        for skipped in 0..count {
            if !self.next_record()? {
                return Ok(skipped);
            }
        }
        Ok(count)
    }
}
