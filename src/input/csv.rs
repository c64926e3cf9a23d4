//! Values from one column of a CSV file, front to back.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, nearest};
use crate::input::text::{Input, shown};
use crate::input::{Source, open, regular};
use crate::job::Dtype;

/// A column of a CSV file with a header.
pub struct Column {
    reader: csv::Reader<Box<dyn Input>>,
    path: PathBuf,
    /// Which column, from 0.
    index: usize,
    dtype: Dtype,
    record: csv::ByteRecord,
    /// Where the record began that was read last.
    last: Option<csv::Position>,
    failed: Option<Error>,
}

impl Column {
    /// The column of that name (or, where no column has it, of that number, from 1) as numbers of type
    /// `dtype`; without a name the only one.
    ///
    /// # Errors
    /// There is no such column; lists those that there are.
    pub fn open(reader: Box<dyn Input>, path: &Path, name: Option<&str>, dtype: Dtype) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(reader);
        let header = reader.byte_headers().map_err(|e| wrong(path, &e))?;
        let columns: Vec<String> = header
            .iter()
            .map(|field| String::from_utf8_lossy(field).trim_start_matches('\u{feff}').to_owned())
            .collect();
        let there_are = || match columns[..] {
            [] => "it is empty".to_owned(),
            [ref only] if only.contains([';', '\t']) => {
                format!("its only column is '{only}', as columns must have commas between them")
            }
            _ => format!("its columns are {}", columns.join(", ")),
        };
        let by_number =
            |name: &str| name.parse::<usize>().ok()?.checked_sub(1).filter(|i| *i < columns.len());
        let index = match name {
            Some(name) => columns.iter().position(|column| column == name).or_else(|| by_number(name)),
            None if columns.len() == 1 => Some(0),
            None => None,
        };
        let index = index.ok_or_else(|| {
            let near = name.and_then(|name| nearest(name, columns.iter().map(String::as_str)));
            let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            Error::Failed(match name {
                Some(name) => {
                    format!("cannot read column {name} of {}: {}{near}", path.display(), there_are())
                }
                None if columns.is_empty() => format!("cannot read {}: it is empty", path.display()),
                None => {
                    format!("cannot read {0}: {1}; name one: --from {0}:COLUMN", path.display(), there_are())
                }
            })
        })?;
        let record = csv::ByteRecord::new();
        Ok(Self { reader, path: path.to_owned(), index, dtype, record, last: None, failed: None })
    }

    /// Reads the next row; false at the end.
    fn next_record(&mut self) -> Result<bool> {
        if !self.reader.read_byte_record(&mut self.record).map_err(|e| wrong(&self.path, &e))? {
            return self.check_end().map(|()| false);
        }
        self.last = self.record.position().cloned();
        Ok(true)
    }

    fn next(&mut self) -> Result<Option<u64>> {
        if !self.next_record()? {
            return Ok(None);
        }
        let field = self.record.get(self.index).unwrap_or_default();
        let word = std::str::from_utf8(field).ok();
        match word.and_then(|word| self.dtype.parse(word)) {
            Some(bits) => Ok(Some(bits)),
            None => {
                let line = self.record.position().map_or(0, |position| self.line(position));
                let what = self.dtype.complaint(&shown(field));
                Err(Error::Failed(format!("{}, line {line}: {what}", self.path.display())))
            }
        }
    }
}

impl Column {
    /// A quote that is never closed makes one field of all that follows, which the reader takes for the last.
    ///
    /// # Errors
    /// The last record has such a quote, and the file can be looked at again.
    fn check_end(&self) -> Result<()> {
        let Some(last) = self.last.clone() else { return Ok(()) };
        let is_open = || {
            regular(&self.path).ok()?;
            let mut file = open(&self.path).ok()?;
            file.seek(SeekFrom::Start(last.byte())).ok()?;
            let (mut is_quoted, mut may_begin) = (false, true);
            for byte in BufReader::new(file).bytes() {
                let byte = byte.ok()?;
                // One that is doubled closes the field and begins it again.
                let closes = is_quoted && byte == b'"';
                is_quoted = if byte == b'"' { !is_quoted && may_begin } else { is_quoted };
                may_begin = closes || !is_quoted && matches!(byte, b',' | b'\r' | b'\n');
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
    fn line(&self, position: &csv::Position) -> u64 {
        let lines_before = || {
            regular(&self.path).ok()?;
            let mut before = BufReader::new(open(&self.path).ok()?);
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

fn wrong(path: &Path, error: &csv::Error) -> Error {
    match error.kind() {
        csv::ErrorKind::Io(e) => Error::io("read", path, e),
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => Error::Failed(format!(
            "{}, line {}: it has {len} fields, and those before it have {expected_len}",
            path.display(),
            pos.as_ref().map_or(0, csv::Position::line),
        )),
        _ => Error::Failed(format!("cannot read {} as CSV: {error}", path.display())),
    }
}

impl Source for Column {
    fn fill(&mut self, room: &mut [u64]) -> Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        for (count, word) in room.iter_mut().enumerate() {
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
        Ok(room.len())
    }

    fn count(&self) -> Option<u64> {
        None
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
