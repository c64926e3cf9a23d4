//! Results read back from the files that parpy has written, as the pieces that they were written of, so that
//! they can go to another sink of the same format. How each format is read stands beside how it is written.

use std::path::Path;

use crate::base::error::{Error, Result};
use crate::base::lanes::Lanes;
use crate::data::format::Format;
use crate::data::schema::{ColumnType, Schema};
use crate::input::Indexed;
use crate::job::Task;
use crate::job::output::Output;
use crate::op::Bound;
use crate::op::lines::{Answers, State};
use crate::output::reduced::encoded;
use crate::output::text::{FromFile, IsGap, Rule, longest_row};
use crate::output::{csv, json, npy};

/// Bytes of a piece, or somewhat more.
pub const PIECE: usize = 1024 * 1024;

/// A file of results, read front to back.
pub trait ResultReader {
    /// Puts the next piece into `bytes`, in the form in which the sinks of this format take it; whatever is in
    /// there goes. `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or is not whole.
    fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<ReadChunk>>;
}

/// What a piece is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ReadChunk {
    /// Values, those without an answer too; or lines.
    pub items: u64,
    /// Values of this piece that have no answer, as far as the format tells.
    pub failed: u64,
    /// Bytes of lines.
    pub line_bytes: u64,
    /// Who answered, as [`crate::output::ResultChunk::rank`], where the format keeps that apart.
    pub rank: Option<usize>,
}

/// Columns of numbers that are read front to back.
pub struct Columns {
    numbers: Box<dyn Indexed>,
    columns: usize,
    next: u64,
}

impl Columns {
    /// `numbers`, which should be of the columns `expected`; they are called `name` in `path`, if they have a name
    /// there.
    ///
    /// # Errors
    /// They are of other types, or of other names.
    pub fn new(path: &Path, name: &str, numbers: Box<dyn Indexed>, expected: &Schema) -> Result<Self> {
        let found = numbers.schema();
        let is_same = match expected.len() {
            1 => found.number(0) == expected.number(0) && found.len() == 1,
            _ => found == *expected,
        };
        if is_same {
            return Ok(Self { numbers, columns: expected.len(), next: 0 });
        }
        let whose = if name.is_empty() { "its type is".to_owned() } else { format!("{name} is of type") };
        Err(damaged(path, &format!("{whose} {found}, and not {expected}")))
    }

    /// How many rows there are in all.
    pub fn count(&self) -> u64 {
        self.numbers.count()
    }

    /// How many columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How many have been taken.
    pub fn taken(&self) -> u64 {
        self.next
    }

    /// A byte for each of the rows that were taken last, 1 where one has no value.
    pub fn gaps(&self, count: usize) -> Vec<u8> {
        let holes = self.numbers.holes();
        let lacks = |row: usize| {
            let mut columns = (0..self.columns).filter_map(|column| holes?.of_column(column));
            columns.any(|lacking| lacking.has(row))
        };
        (0..count).map(|row| u8::from(lacks(row))).collect()
    }

    /// The next `most` rows, or what is left: their columns, one behind the other.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn take(&mut self, most: u64) -> Result<Vec<u64>> {
        let count = (self.count() - self.next).min(most);
        let mut words = vec![0; count as usize * self.columns];
        if count > 0 {
            let mut columns: Vec<&mut [u64]> = words.chunks_exact_mut(count as usize).collect();
            self.numbers.fill_at(self.next, &mut columns, Lanes::best()).1?;
        }
        self.next += count;
        Ok(words)
    }
}

/// Opens `path`, which holds results of `task` or of a part of it.
///
/// # Errors
/// It cannot be read, or is not what `task` writes.
pub fn open<'a>(task: &'a Task, path: &Path, bound: &'a Bound) -> Result<Box<dyn ResultReader + 'a>> {
    let Output::File(_, format) = task.output else {
        return Err(Error::Failed(format!("cannot read {}: it holds no results", path.display())));
    };
    let longest = longest_row(&bound.table());
    let rows = |heading: &[u8], quoted, is_gap: Option<IsGap>| -> Result<Box<dyn ResultReader>> {
        Ok(Box::new(FromFile::open(path, heading, Rule::Rows { quoted, is_gap, longest })?))
    };
    let (columns, is_text) = (bound.kept.len(), bound.answers() == ColumnType::Bytes);
    let of_lines = bound.lines.map(|op| op.answers);
    let from_file = match (format, of_lines) {
        (Format::Hdf5, _) => return crate::output::hdf5_library::library()?.read_back(task, path, bound),
        (_, Some(Answers::Lines)) => {
            return Ok(Box::new(FromFile::open(path, b"", Rule::Lines)?));
        }
        _ if bound.pipe.is_some() => return Ok(Box::new(FromFile::open(path, b"", Rule::Lines)?)),
        (Format::Npy, _) => return Ok(Box::new(npy::FromNpy::open(task, path, bound)?)),
        (Format::Json, _) => Box::new(json::FromJson::open(task, path, longest)?),
        (Format::Csv, _) => {
            let is_gap = move |row: &[u8]| csv::is_gap(row, columns, is_text);
            rows(&csv::heading(task, bound), true, Some(Box::new(is_gap)))?
        }
        // In JSON infinity is null, too.
        (Format::JsonLines, _) => {
            let is_told = bound.answers() != ColumnType::F64;
            rows(b"", false, is_told.then(|| Box::new(json::is_gap) as IsGap))?
        }
        // An empty text is an answer, too.
        (Format::Text, _) if is_text => rows(b"", false, None)?,
        (Format::Text, _) => {
            rows(b"", false, Some(Box::new(move |row| crate::output::text::is_gap(row, columns))))?
        }
    };
    Ok(match of_lines {
        Some(Answers::States { of_row, .. }) => {
            let is_json = matches!(format, Format::Json | Format::JsonLines);
            Box::new(FromStates { task, bound, of_row, is_json, path: path.to_owned(), rows: from_file })
        }
        _ => from_file,
    })
}

/// `bound` with the type that answers have in the file at `path`, which holds results of `task` or of a part of it: nobody
/// has said which.
///
/// # Errors
/// As those of [`open`].
pub fn as_found(task: &Task, path: &Path, bound: &Bound) -> Result<Bound> {
    let of = |dtype| {
        let found = bound.answering(dtype);
        open(task, path, &found).map(drop)?;
        Ok(found)
    };
    of(ColumnType::F64).or_else(|_| of(ColumnType::I64))
}

/// Checks that `job`, which the file at `path` says has made it, does the work of `task`.
///
/// # Errors
/// It does not, or is not said.
pub fn check_job(task: &Task, path: &Path, job: Option<&str>) -> Result<()> {
    match job.is_some_and(|job| task.is_work_of(job)) {
        true => Ok(()),
        false => Err(damaged(path, "another job has made it, as parpy show --job says")),
    }
}

/// What is wrong with a file of results.
pub fn damaged(path: &Path, why: &str) -> Error {
    Error::Failed(format!("{} is not whole, or not of this job: {why}", path.display()))
}

/// A file with a single row: what all sections of a file come to.
struct FromStates<'a> {
    task: &'a Task,
    bound: &'a Bound,
    /// What a row with these whole numbers has been.
    of_row: fn(&[u64]) -> Option<State>,
    is_json: bool,
    path: std::path::PathBuf,
    rows: Box<dyn ResultReader + 'a>,
}

impl FromStates<'_> {
    /// What the row `bytes` has been; `None` where it is no row of this task.
    fn state(&self, bytes: &[u8]) -> Option<State> {
        let table = self.bound.table();
        let is_number = |k: &usize| table.number(*k).is_some();
        // In CSV and text they come first, and in JSON they have names.
        let numbers: Vec<u64> = match self.is_json {
            true => {
                let row = bytes.strip_prefix(b",\n").unwrap_or(bytes);
                let row: serde_json::Value = serde_json::from_slice(row).ok()?;
                let number = |k: usize| row[&table.fields[k].name].as_u64();
                (0..table.len()).filter(is_number).map(number).collect::<Option<_>>()?
            }
            false => {
                let words = bytes.split(|byte| matches!(byte, b' ' | b',')).filter(|word| !word.is_empty());
                let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse().ok();
                words.take((0..table.len()).filter(is_number).count()).map(number).collect::<Option<_>>()?
            }
        };
        let state = (self.of_row)(&numbers)?;
        // All of the row, with the file's name.
        let mut all = self.bound.accumulator(self.task)?;
        all.add(&state.bytes).ok()?;
        let (rows, _) = all.rows(true).ok()?;
        let again = encoded(self.task, &*all, &rows, &table).ok()?;
        (again == bytes).then_some(state)
    }
}

impl ResultReader for FromStates<'_> {
    fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<ReadChunk>> {
        let Some(_) = self.rows.next(bytes)? else { return Ok(None) };
        let Some(State { bytes: state, lines: items, line_bytes }) = self.state(bytes) else {
            return Err(damaged(&self.path, "it does not hold what one file, which is the input, comes to"));
        };
        *bytes = state;
        Ok(Some(ReadChunk { items, line_bytes, ..ReadChunk::default() }))
    }
}
