//! Rows from columns of a CSV file, front to back: by lines where nothing stands in quotes, else by records.

use std::io::{self, Cursor};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder, Trim};

use crate::base::error::{Error, Result, did_you_mean};
use crate::base::fmt::{listed, shown};
use crate::data::batch::BatchWriter;
use crate::data::dtype::Dtype;
use crate::data::format::delimiter;
use crate::data::schema::{ColumnType, Schema};
use crate::input::Source;
use crate::input::csv::{LONGEST_RECORD, Records, wrong_fields};
use crate::input::csv_lines::{PlainRows, Wrong, is_plain};
use crate::input::lines::{LineBuffer, fill_up};
use crate::input::look::Ahead;
use crate::input::parsed::{is_text, too_long};
use crate::input::stamp::Stamp;
use crate::input::text::{Input, LOOKED_AT};
use crate::job::input::{TableLayout, quoted, split_columns};

/// Letters of a name that are shown.
const LONGEST_NAME: usize = 60;

/// A column that is taken.
struct Taken {
    /// Which one of the file, from 0.
    index: usize,
    /// Its name; empty where it has none.
    name: String,
    dtype: ColumnType,
}

/// Columns of a CSV file.
pub struct Table {
    /// Lines in which nothing stands in quotes, as long as there are such.
    plain: Option<PlainRows>,
    /// Records of any kind, behind them.
    records: Records<Box<dyn Input>>,
    path: PathBuf,
    delimiter: u8,
    /// How many fields a record has.
    fields: usize,
    columns: Vec<Taken>,
    /// The record that was read last is a row that has not been delivered.
    is_waiting: bool,
    /// Fields without a number are passed over.
    may_lack: bool,
    /// One has been passed over, and said.
    has_lacked: bool,
    failed: Option<Error>,
}

impl Table {
    /// The columns that `part` says, with commas between them: by their names or, where no column is called so, their
    /// numbers, from 1; without it all of them. Those of numbers are of type `dtype`, or else each of that of its first
    /// ones; where that is said of a sole column, it is of numbers.
    ///
    /// # Errors
    /// There is no such column, or it has a number where its name should be; says which columns there are.
    pub fn open(
        reader: Box<dyn Input>,
        path: &Path,
        part: Option<&str>,
        layout: &TableLayout,
        wanted: Option<ColumnType>,
        may_lack: bool,
        threads: usize,
    ) -> Result<Self> {
        let delimiter = layout.delimiter.or(delimiter(path)).unwrap_or(b',');
        let ahead = Ahead::of(reader).map_err(|e| Error::io("read", path, &e))?;
        let start = ahead.start().to_vec();
        let plain = PlainStart::of(&start);
        // What is plain is read by lines, and here only its first one.
        let (rest, reader): (_, Box<dyn Input>) = match &plain {
            Some(plain) => (Some(ahead.into_rest()), Box::new(Cursor::new(start[..plain.end].to_vec()))),
            None => (None, Box::new(ahead)),
        };
        let mut records = Records::new(&mut ReaderBuilder::new(), reader, path, delimiter);
        let header = match records.advance() {
            Ok(Some(record)) => {
                let mut header = record.clone();
                header.trim();
                header
            }
            Ok(None) if part.is_none() => {
                return Err(Error::Failed(format!("cannot read {}: it is empty", path.display())));
            }
            Ok(None) => ByteRecord::new(),
            Err(error) => return Err(error),
        };
        if let Some(kind) = records.kind() {
            return Err(Error::Failed(format!("cannot read {} as CSV: it is {kind}", path.display())));
        }
        let columns = Columns { path, delimiter, header: &header, has_names: !layout.no_header };
        let chosen = columns.choose(part)?;
        let texts = layout.texts.iter().map(|name| columns.find(name)).collect::<Result<Vec<usize>>>()?;
        if let Some((name, _)) = layout.texts.iter().zip(&texts).find(|(_, index)| !chosen.contains(index)) {
            return Err(Error::Failed(format!(
                "--text {name}: it is none of the columns that are taken of {}",
                path.display()
            )));
        }
        let first = first_rows(&start, delimiter, layout.no_header);
        let cells = |index: usize| {
            first.iter().filter_map(move |record| std::str::from_utf8(record.get(index)?).ok())
        };
        let taken = chosen.iter().map(|index| {
            let name = header.get(*index).filter(|_| !layout.no_header).unwrap_or_default();
            let dtype = wanted.and_then(ColumnType::number);
            let must_be_numbers = dtype.is_some() && chosen.len() == 1;
            let dtype = match wanted == Some(ColumnType::Bytes)
                || texts.contains(index)
                || is_text(cells(*index), must_be_numbers)
            {
                true => ColumnType::Bytes,
                false => dtype.unwrap_or_else(|| Dtype::of_words(cells(*index))).into(),
            };
            Taken { index: *index, name: String::from_utf8_lossy(name).into_owned(), dtype }
        });
        let columns: Vec<Taken> = taken.collect();
        let fields = header.len();
        let is_waiting = plain.is_none() && layout.no_header && !header.is_empty();
        let plain = plain.zip(rest).map(|(plain, rest)| {
            let (line, at) =
                if layout.no_header { (plain.line, plain.first) } else { (plain.line + 1, plain.end) };
            let lines = LineBuffer::behind(&start[at..], rest, threads);
            let wanted: Vec<(usize, ColumnType)> =
                columns.iter().map(|column| (column.index, column.dtype)).collect();
            PlainRows::new(lines, threads, delimiter, fields, &wanted, (line, at as u64))
        });
        let path = path.to_owned();
        Ok(Self {
            plain,
            records,
            path,
            delimiter,
            fields,
            columns,
            is_waiting,
            may_lack,
            has_lacked: false,
            failed: None,
        })
    }

    /// The records; what has been read by lines goes on as such.
    fn records(&mut self) -> &mut Records<Box<dyn Input>> {
        if let Some(plain) = self.plain.take() {
            let (lines, line, byte) = plain.into_rest();
            let (waiting, reader) = lines.into_rest();
            let reader: Box<dyn Input> = Box::new(Ahead::behind(waiting, reader));
            let records = Records::new(&mut ReaderBuilder::new(), reader, &self.path, self.delimiter);
            self.records = records.behind(line, byte);
        }
        &mut self.records
    }

    /// Reads the next record; `None` at the end.
    fn next_record(&mut self) -> Result<Option<&ByteRecord>> {
        let (is_waiting, expected) = (std::mem::take(&mut self.is_waiting), self.fields);
        let records = self.records();
        if !is_waiting && records.advance()?.is_none() {
            return Ok(None);
        }
        // Those before it may have been read by lines.
        match records.record().len() {
            len if len == expected => Ok(Some(records.record())),
            len => Err(records.wrong_here(&wrong_fields(len, expected))),
        }
    }

    /// Puts the next record into `batch` as row `row`; false at the end.
    fn next(&mut self, batch: &mut BatchWriter, row: usize) -> Result<bool> {
        let Some(record) = self.next_record()? else { return Ok(false) };
        let record = record.clone();
        let texts = self.columns.iter().filter(|column| column.dtype == ColumnType::Bytes);
        let bytes: usize = texts.map(|column| record.get(column.index).map_or(0, <[u8]>::len)).sum();
        if bytes > batch.text_left(row) {
            // For the next batch, unless no batch has room for it.
            self.is_waiting = row > 0;
            return if row > 0 { Ok(false) } else { Err(self.records().wrong_here(&too_long())) };
        }
        for number in 0..self.columns.len() {
            let Taken { index, dtype, .. } = self.columns[number];
            let field = record.get(index).unwrap_or_default();
            let Some(dtype) = dtype.number() else {
                match field {
                    b"" if self.may_lack => batch.set_null(number, row),
                    text => batch.put_bytes(number, row, text).map_err(|_| Error::Failed(too_long()))?,
                }
                continue;
            };
            let field = field.trim_ascii();
            let word = std::str::from_utf8(field).ok();
            if let Some(bits) = word.and_then(|word| dtype.parse(word)) {
                batch.words_mut(number)[row] = bits;
                continue;
            }
            if !self.may_lack || !self.has_lacked {
                let complaint = self.complaint(number, field);
                let error = self.records().wrong_here(&complaint);
                if !self.may_lack {
                    return Err(error);
                }
                self.pass_over(&error);
            }
            batch.words_mut(number)[row] = 0;
            batch.set_null(number, row);
        }
        Ok(true)
    }

    /// Says what is passed over, once.
    fn pass_over(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.has_lacked, true) {
            tracing::warn!("{error}; passed over");
        }
    }

    /// What is wrong with a line that is a row.
    fn wrong_line(&self, (line, wrong): (u64, Wrong)) -> Error {
        let what = match wrong {
            Wrong::Fields(len) => wrong_fields(len, self.fields),
            Wrong::Field(column, field) => self.complaint(column, &field),
            Wrong::Other(why) => why,
        };
        Error::Failed(format!("{}, line {line}: {what}", self.path.display()))
    }

    /// Puts rows behind the first `row` of `batch`; as [`fill_up`] wants it.
    fn fill_some(&mut self, batch: &mut BatchWriter, row: usize) -> (usize, Result<bool>) {
        let Some(plain) = &mut self.plain else {
            return match self.next(batch, row) {
                Ok(is_row) => (usize::from(is_row), Ok(is_row)),
                Err(error) => (0, Err(error)),
            };
        };
        let failed = |e: &io::Error| Error::io("read", &self.path, e);
        let found = match plain.fill(batch, row, LONGEST_RECORD, self.may_lack, failed) {
            Ok(found) => found,
            Err(error) => return (0, Err(error)),
        };
        if let Some(passed_over) = found.passed_over {
            let error = self.wrong_line(passed_over);
            self.pass_over(&error);
        }
        if let Some(fault) = found.fault {
            return (found.rows, Err(self.wrong_line(fault)));
        }
        if found.is_other {
            self.records();
        }
        (found.rows, Ok(!found.is_all))
    }

    /// Why a field of a column is no number of its type.
    fn complaint(&self, number: usize, field: &[u8]) -> String {
        let Taken { index, name, dtype } = &self.columns[number];
        let why = match field {
            [] if self.may_lack => "there is no value".to_owned(),
            [] => "there is no value; --keep-going passes over it".to_owned(),
            _ => {
                let is_number = std::str::from_utf8(field).is_ok_and(|word| word.parse::<f64>().is_ok());
                let column = if name.is_empty() {
                    (index + 1).to_string()
                } else {
                    quoted(&start_of(name.as_bytes()))
                };
                let remedy =
                    if is_number { String::new() } else { format!("; --text {column} takes it as text") };
                dtype.number().unwrap_or(Dtype::I64).complaint(&shown(field)) + &remedy
            }
        };
        match (&self.columns[..], &**name) {
            ([_], _) => why,
            (_, "") => format!("column {}: {why}", index + 1),
            (_, name) => format!("column {}: {why}", start_of(name.as_bytes())),
        }
    }
}

/// The first line of a file in which nothing stands in quotes, as far as can be seen.
struct PlainStart {
    /// Blank lines before it.
    line: u64,
    /// Its first byte, and the first one behind it.
    first: usize,
    end: usize,
}

impl PlainStart {
    /// That of a file that begins with `start`; `None` where it is of another kind, or not all there.
    fn of(start: &[u8]) -> Option<Self> {
        if !is_plain(start) {
            return None;
        }
        let mut first = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let mut line = 0;
        loop {
            let end = first + memchr::memchr(b'\n', &start[first..])? + 1;
            if !matches!(&start[first..end], b"\n" | b"\r\n") {
                return Some(Self { line, first, end });
            }
            (first, line) = (end, line + 1);
        }
    }
}

/// The rows in the bytes that a file starts with. Of what is cut off there, or is wrong, they say nothing.
fn first_rows(start: &[u8], delimiter: u8, no_header: bool) -> Vec<ByteRecord> {
    let mut builder = ReaderBuilder::new();
    let mut reader = builder
        .has_headers(!no_header)
        .delimiter(delimiter)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(start);
    let mut rows: Vec<ByteRecord> = reader.byte_records().map_while(|record| record.ok()).collect();
    // Of a sole one the beginning says enough.
    if start.len() == LOOKED_AT && rows.len() > 1 {
        rows.pop();
    }
    rows
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
    /// The indices of the columns that `part` stands for; without it of all.
    fn choose(&self, part: Option<&str>) -> Result<Vec<usize>> {
        let count = self.header.len();
        match part {
            None if count == 0 => {
                Err(Error::Failed(format!("cannot read {}: it is empty", self.path.display())))
            }
            None => (0..count).map(|index| self.check_name(index).map(|()| index)).collect(),
            // A name may have commas.
            Some(part) if self.is_called(part) => Ok(vec![self.find(part)?]),
            Some(part) => split_columns(part).iter().map(|name| self.find(name)).collect(),
        }
    }

    fn is_called(&self, name: &str) -> bool {
        self.has_names && self.header.iter().any(|field| field == name.as_bytes())
    }

    /// The index of the column that `name` stands for.
    fn find(&self, name: &str) -> Result<usize> {
        let path = self.path.display();
        let names: Vec<String> = self.header.iter().map(start_of).collect();
        let count = names.len();
        let by_number = |name: &str| name.parse::<usize>().ok()?.checked_sub(1).filter(|i| *i < count);
        let is_named = |i: &usize| self.has_names && self.header.get(*i) == Some(name.as_bytes());
        let called: Vec<usize> = (0..count).filter(is_named).collect();
        match (&called[..], by_number(name)) {
            ([index], _) => Ok(*index),
            ([], Some(index)) => self.check_name(index).map(|()| index),
            ([], None) => {
                let near = did_you_mean(name, names.iter().map(String::as_str).filter(|_| self.has_names));
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
            _ => format!("its columns are {}", listed(names.iter().map(String::as_str))),
        }
    }
}

impl Source for Table {
    fn schema(&self) -> Schema {
        let names = self.columns.iter().map(|column| (&*column.name, column.index + 1));
        let dtypes = self.columns.iter().map(|column| column.dtype);
        Schema::of_table(names, dtypes)
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

    fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        self.plain.as_ref().and_then(PlainRows::awaited).filter(|_| self.failed.is_none())
    }

    fn stamp(&self) -> Stamp {
        let descriptor = match &self.plain {
            Some(plain) => plain.descriptor(),
            None => self.records.source().descriptor(),
        };
        descriptor.map_or(Stamp::NONE, Stamp::of_descriptor)
    }

    fn skip(&mut self, count: u64) -> Result<u64> {
        let mut skipped = 0;
        if let Some(plain) = &mut self.plain {
            let failed = |e: &io::Error| Error::io("read", &self.path, e);
            let (passed, found) = plain.skip(count, LONGEST_RECORD, failed)?;
            if let Some(fault) = found.fault {
                return Err(self.wrong_line(fault));
            }
            if !found.is_other {
                return Ok(passed);
            }
            skipped = passed;
        }
        while skipped < count {
            if self.next_record()?.is_none() {
                return Ok(skipped);
            }
            skipped += 1;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::batch::bytes_with_texts;
    use crate::input::open;
    use proptest::prelude::*;

    /// All values of columns a and b, or none where they are missing, and the message that ended them.
    type Read = (Vec<Option<Vec<u8>>>, Option<String>);

    fn read(
        path: &Path,
        wanted: Option<ColumnType>,
        may_lack: bool,
        rows: usize,
        threads: usize,
        skip: u64,
    ) -> Read {
        let layout = TableLayout::default();
        let mut table =
            Table::open(Box::new(open(path).unwrap()), path, Some("a,b"), &layout, wanted, may_lack, threads)
                .unwrap();
        let mut found = Vec::new();
        if let Err(error) = table.skip(skip) {
            return (found, Some(error.to_string()));
        }
        let mut memory = vec![0u64; bytes_with_texts(&table.schema(), rows).div_ceil(8)];
        loop {
            let mut batch =
                BatchWriter::begin(bytemuck::cast_slice_mut(&mut memory), &table.schema(), rows).unwrap();
            match table.fill(&mut batch) {
                Ok(0) => return (found, None),
                Ok(count) => {
                    batch.set_rows(count);
                    let rows = batch.view();
                    let value = |row: usize, column| {
                        rows.is_valid(column, row).then(|| match rows.dtype(column) {
                            ColumnType::Bytes => rows.bytes(column, row).to_vec(),
                            _ => rows.words(column)[row].to_le_bytes().to_vec(),
                        })
                    };
                    found.extend((0..count).flat_map(|row| [value(row, 0), value(row, 1)]));
                }
                Err(error) => return (found, Some(error.to_string())),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Quotes in the first line alone make records of all that follows.
        #[test]
        fn lines_are_read_as_records_are(
            lines in prop::collection::vec(prop_oneof![
                8 => " ?-?[0-9]{1,4},[0-9]{1,3}(\\.5)? ?",
                1 => "[0-9]{1,2},[0-9]",
                1 => prop::sample::select(vec!["", " ", "1", "1,2,3", "x,1", "1,", ",", "1,nan", "1e3,inf", "\"7\",8", "1\r2,3", "1,\"2\n\"", "\u{b}4,5"]).prop_map(str::to_owned),
            ], 0..60),
            ends in prop::sample::select(vec!["\n", "\r\n"]), is_ended: bool, may_lack: bool,
            dtype in prop::option::of(prop::sample::select(vec![Dtype::I64, Dtype::F64])),
            rows in 1usize..40, skip in 0u64..8,
        ) {
            let path = std::env::temp_dir().join(format!("parpy-csv-{}-{:?}.csv", std::process::id(), std::thread::current().id()));
            let body = lines.join(ends) + if is_ended { ends } else { "" };
            let mut expected = None;
            for head in ["\"a\",b", "a,b"] {
                std::fs::write(&path, format!("{head}{ends}{body}")).unwrap();
                for (rows, threads) in [(rows, 1), (1000, 3)] {
                    let found = read(&path, dtype.map(ColumnType::from), may_lack, rows, threads, skip);
                    let expected = expected.get_or_insert_with(|| found.clone());
                    prop_assert_eq!(&found, &*expected, "{} {:?}", head, body);
                }
            }
            std::fs::remove_file(&path).unwrap();
        }
    }
}
