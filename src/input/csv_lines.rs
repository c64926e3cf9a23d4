//! Rows of a CSV file in which nothing stands in quotes: its lines, cut at the delimiters, by several threads.
//!
//! It answers what the reader of records answers (`csv.rs`), and gives what it has not read to that where a quote comes,
//! or a carriage return that ends no line.

use std::os::fd::BorrowedFd;

use crate::base::error::{Error, Result};
use crate::base::fork_join;
use crate::data::batch::BatchWriter;
use crate::data::dtype::Dtype;
use crate::data::schema::ColumnType;
use crate::input::lines::{LineBuffer, Whole, parts};
use crate::input::parsed::{Parsed, for_batch, gather, too_long};

/// Bytes that a line has in most files, at the most.
const LIKELY_LINE: usize = 128;

/// Lines that are rows.
pub struct PlainRows {
    lines: LineBuffer,
    threads: usize,
    delimiter: u8,
    /// How many fields a row has.
    fields: usize,
    /// For each field the columns that are taken of it.
    plan: Vec<Vec<usize>>,
    dtypes: Vec<ColumnType>,
    /// How many columns of texts are taken of one field at the most.
    copies: usize,
    /// Lines passed.
    line: u64,
    /// Bytes passed.
    byte: u64,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// It has so many fields.
    Fields(usize),
    /// What stands in a column is no number.
    Field(usize, Vec<u8>),
    /// It has texts that are too long, as is said.
    Other(String),
}

/// Some rows.
#[derive(Debug, Default)]
pub struct FoundRows {
    /// How many.
    pub rows: usize,
    /// The first value that is passed over, and its line.
    pub passed_over: Option<(u64, Wrong)>,
    /// What ends them, and its line.
    pub fault: Option<(u64, Wrong)>,
    /// What comes next is no plain line.
    pub is_other: bool,
    /// Nothing comes any more, or not yet.
    pub is_all: bool,
}

/// Does nothing stand in quotes, and does every carriage return end a line?
pub fn is_plain(text: &[u8]) -> bool {
    let ends_line = |at: usize| text.get(at + 1).is_none_or(|next| *next == b'\n');
    memchr::memchr(b'"', text).is_none() && memchr::memchr_iter(b'\r', text).all(ends_line)
}

impl PlainRows {
    /// From `lines`, which are those of a file behind its first `byte` bytes and `line` lines; `columns` says of each
    /// column that is taken which field it is, and its type.
    pub fn new(
        lines: LineBuffer,
        threads: usize,
        delimiter: u8,
        fields: usize,
        columns: &[(usize, ColumnType)],
        (line, byte): (u64, u64),
    ) -> Self {
        let mut plan = vec![Vec::new(); fields];
        for (number, (index, _)) in columns.iter().enumerate() {
            if let Some(slots) = plan.get_mut(*index) {
                slots.push(number);
            }
        }
        let dtypes: Vec<ColumnType> = columns.iter().map(|(_, dtype)| *dtype).collect();
        let of_field = |slots: &Vec<usize>| slots.iter().filter(|k| dtypes[**k] == ColumnType::Bytes).count();
        let copies = plan.iter().map(of_field).max().unwrap_or(0);
        Self { lines, threads, delimiter, fields, plan, dtypes, copies, line, byte }
    }

    /// What the lines come from, if it can be waited for.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.lines.descriptor()
    }

    /// What the next line is to come from, when it is not here yet.
    pub fn awaited(&self) -> Option<BorrowedFd<'_>> {
        self.lines.awaited()
    }

    /// What has not been read, and how many lines and bytes have.
    pub fn into_rest(self) -> (LineBuffer, u64, u64) {
        (self.lines, self.line, self.byte)
    }

    /// Puts rows behind the first `row` of `batch`, as many as there is room for and are there soon; where there are none,
    /// it waits. What is no number is passed over where values `may_lack`.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn fill(
        &mut self,
        batch: &mut BatchWriter,
        row: usize,
        longest: usize,
        may_lack: bool,
        failed: impl Fn(&std::io::Error) -> Error,
    ) -> Result<FoundRows> {
        let whole = match self.lines.whole(row == 0, longest).map_err(|e| failed(&e))? {
            Whole::Bytes(count) => count,
            Whole::TooLong => return Ok(FoundRows { is_other: true, ..FoundRows::default() }),
        };
        let lines = for_batch(&self.lines.waiting()[..whole], LIKELY_LINE, batch, row, self.copies);
        if lines.is_empty() {
            return Ok(FoundRows { is_all: true, ..FoundRows::default() });
        }
        if !is_plain(lines) {
            return Ok(FoundRows { is_other: true, ..FoundRows::default() });
        }
        let parts = parts(lines, self.threads, batch.capacity() - row);
        let (delimiter, fields, plan, dtypes) = (self.delimiter, self.fields, &self.plan, &self.dtypes);
        let jobs = parts.iter().map(|part| {
            let (text, rows) = (&lines[part.bytes.clone()], part.lines);
            move || parse_lines(text, rows, delimiter, fields, plan, dtypes, may_lack)
        });
        let parsed = fork_join::run(jobs);
        let mut found = FoundRows::default();
        match gather(batch, row, &mut self.line, &parts, parsed) {
            Ok(gathered) => {
                (found.rows, found.passed_over, found.fault) =
                    (gathered.rows, gathered.passed_over, gathered.fault);
            }
            Err(_) => found.fault = Some((self.line + 1, Wrong::Other(too_long()))),
        }
        let end = parts.last().map_or(0, |part| part.bytes.end);
        self.lines.pass(end);
        self.byte += end as u64;
        Ok(found)
    }

    /// Passes over up to `count` rows.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn skip(
        &mut self,
        count: u64,
        longest: usize,
        failed: impl Fn(&std::io::Error) -> Error,
    ) -> Result<(u64, FoundRows)> {
        let mut skipped = 0;
        while skipped < count {
            let whole = match self.lines.whole(true, longest).map_err(|e| failed(&e))? {
                Whole::Bytes(count) => count,
                Whole::TooLong => return Ok((skipped, FoundRows { is_other: true, ..FoundRows::default() })),
            };
            let lines = &self.lines.waiting()[..whole];
            if lines.is_empty() {
                break;
            }
            if !is_plain(lines) {
                return Ok((skipped, FoundRows { is_other: true, ..FoundRows::default() }));
            }
            let mut at = 0;
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                if skipped == count {
                    break;
                }
                self.line += 1;
                at += line.len();
                if matches!(line, b"\n" | b"\r\n" | b"\r") {
                    continue;
                }
                let fields = 1 + memchr::memchr_iter(self.delimiter, line).count();
                if fields != self.fields {
                    let fault = Some((self.line, Wrong::Fields(fields)));
                    return Ok((skipped, FoundRows { fault, ..FoundRows::default() }));
                }
                skipped += 1;
            }
            self.lines.pass(at);
            self.byte += at as u64;
        }
        Ok((skipped, FoundRows::default()))
    }
}

/// The rows in the lines of one thread, of which there are so many at the most.
fn parse_lines(
    text: &[u8],
    rows: usize,
    delimiter: u8,
    fields: usize,
    plan: &[Vec<usize>],
    dtypes: &[ColumnType],
    may_lack: bool,
) -> Parsed<Wrong> {
    let mut found = Parsed::new(dtypes, rows);
    let (mut start, mut field, mut line, mut fault) = (0, 0, 1, None);
    let unfinished = text.last().is_some_and(|byte| *byte != b'\n').then_some(text.len());
    for at in memchr::memchr2_iter(delimiter, b'\n', text).chain(unfinished) {
        let is_end = text.get(at).is_none_or(|byte| *byte == b'\n');
        let bytes = &text[start..at];
        start = at + 1;
        if is_end && field == 0 && matches!(bytes, b"" | b"\r") {
            // A blank line is no row.
            line += 1;
            continue;
        }
        for column in plan.get(field).into_iter().flatten() {
            let Some(dtype) = dtypes[*column].number() else {
                let text = if is_end { bytes.strip_suffix(b"\r").unwrap_or(bytes) } else { bytes };
                match text {
                    b"" if may_lack => found.leave(*column),
                    text => found.put_text(*column, text),
                }
                continue;
            };
            let word = bytes.trim_ascii();
            if let Some(bits) = parse(word, dtype) {
                found.put(*column, bits);
                continue;
            }
            let wrong = Wrong::Field(*column, word.to_vec());
            match may_lack {
                true => found.pass_over(*column, line, wrong),
                false => fault = fault.or(Some(wrong)),
            }
        }
        field += 1;
        if !is_end {
            continue;
        }
        if field != fields {
            // Whatever its fields are.
            fault = Some(Wrong::Fields(field));
        }
        if let Some(wrong) = fault {
            found.fail(line, wrong);
            return found;
        }
        found.rows += 1;
        line += 1;
        field = 0;
    }
    found
}

/// The bits of the number that `word` spells, as [`Dtype::parse`] has it.
fn parse(word: &[u8], dtype: Dtype) -> Option<u64> {
    if dtype == Dtype::F64
        && let Ok((number, len)) = fast_float2::parse_partial::<f64, _>(word)
        && len == word.len()
        && number.is_finite()
    {
        return Some(number.to_bits());
    }
    std::str::from_utf8(word).ok().and_then(|word| dtype.parse(word))
}
