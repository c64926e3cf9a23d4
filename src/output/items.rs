//! Files beside the results that have a row for an item: the log of all items (`--joblog`), and the list of those that
//! have failed (`--failed`). They are written as the run goes, and stay whatever becomes of it.

use std::borrow::Cow;
use std::path::Path;

use crate::base::atomic_file::AtomicFile;
use crate::base::error::{Error, Result};
use crate::data::block::Block;
use crate::data::format::Format;
use crate::data::schema::{ColumnType, Schema};
use crate::job::Task;
use crate::op::command::{BoundPipe, CommandLines};
use crate::op::record::{OF_SECTION, Record, Value};
use crate::op::{Bound, BoundFunction};
use crate::output::quote::Quoting;

/// Bytes that are gathered before they are written.
const BUFFER: usize = 64 * 1024;

/// The columns of GNU parallel's job log, in its order, and parpy's behind them.
const JOBLOG: &str =
    "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\tRank\tNode\n";

/// The number of an item in a list of those that have failed: of a row from 0, behind its columns, and of a section from 1,
/// as messages have it, before where it is.
const NUMBER: [&str; 2] = ["row", "section"];

/// Columns behind these.
const OF_FAILURE: [(&str, ColumnType); 3] =
    [("exit", ColumnType::I64), ("signal", ColumnType::I64), ("error", ColumnType::Bytes)];

/// A file that is written front to back, under its own name from the beginning.
struct Lines {
    file: AtomicFile,
    waiting: Vec<u8>,
}

impl Lines {
    fn create(path: &Path, heading: &[u8]) -> Result<Self> {
        let mut file = AtomicFile::create(path)?;
        file.append(heading, &mut 0)?;
        // Whoever looks into it while the run goes on finds it.
        file.publish()?;
        Ok(Self { file, waiting: Vec::new() })
    }

    fn flush(&mut self) -> Result<()> {
        let outcome = self.file.append(&self.waiting, &mut 0);
        self.waiting.clear();
        outcome
    }

    fn flush_if_many(&mut self) -> Result<()> {
        if self.waiting.len() < BUFFER { Ok(()) } else { self.flush() }
    }
}

/// Rows of the list of items that have failed, as its name says.
enum Rows {
    /// With a comma or a tab between fields, in quotes where they need them.
    Table(u8),
    Json(Vec<String>),
}

/// What is written of single items.
pub struct ItemFiles {
    joblog: Option<Lines>,
    failed: Option<(Lines, Rows)>,
    commands: Option<CommandLines>,
    /// Items are sections of a file.
    pipe: Option<BoundPipe>,
    /// The first item of a block that nothing has been said of: another worker may say again what one has said that has
    /// died.
    next: u64,
}

impl ItemFiles {
    /// Creates those that `task` wants; `None` where it wants none.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn create(task: &Task, bound: &Bound) -> Result<Option<Self>> {
        if task.joblog.is_none() && task.failed.is_none() {
            return Ok(None);
        }
        let joblog = task.joblog_file().map(|path| Lines::create(&path, JOBLOG.as_bytes())).transpose()?;
        let failed = task.failed_file().map(|path| list(&path, bound)).transpose()?;
        let of_items = bound.function.as_ref().and_then(BoundFunction::lines);
        let commands = of_items.or_else(|| bound.pipe.as_ref().map(BoundPipe::lines));
        Ok(Some(Self { joblog, failed, commands, pipe: bound.pipe.clone(), next: 0 }))
    }

    /// What is said next is of items of `block`, of which nothing has been said.
    pub fn begin(&mut self, block: &Block) {
        self.next = self.pipe.as_ref().map_or(block.start, |pipe| pipe.number(block));
    }

    /// Takes what is said of some items, in their order.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn take(&mut self, mut records: &[u8]) -> Result<()> {
        while let Some(record) = Record::take(&mut records) {
            if record.row >= self.next {
                self.put(&record)?;
            }
        }
        Ok(())
    }

    /// Takes what is said of one item.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&mut self, record: &Record) -> Result<()> {
        self.next = record.row + 1;
        if let Some(lines) = &mut self.joblog {
            log(record, self.commands.as_ref(), &mut lines.waiting);
            lines.flush_if_many()?;
        }
        if let Some((lines, rows)) = self.failed.as_mut().filter(|_| record.has_failed) {
            rows.put(record, self.pipe.is_some(), &mut lines.waiting)?;
            lines.flush_if_many()?;
        }
        Ok(())
    }

    /// Writes all that has been taken.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        let mut all = self.joblog.iter_mut().chain(self.failed.iter_mut().map(|(lines, _)| lines));
        all.try_for_each(Lines::flush)
    }
}

/// The list of items that have failed, which begins with the names of its columns.
fn list(path: &Path, bound: &Bound) -> Result<(Lines, Rows)> {
    let mut schema = Schema::default();
    let mut push = |name: &str, dtype| schema.push(name.to_owned(), dtype);
    let [row, section] = NUMBER;
    if bound.pipe.is_some() {
        [section].iter().chain(&OF_SECTION).for_each(|name| push(name, ColumnType::I64));
    } else {
        bound.names().iter().zip(bound.info.schema.dtypes()).for_each(|(name, dtype)| push(name, dtype));
        push(row, ColumnType::I64);
    }
    OF_FAILURE.iter().for_each(|(name, dtype)| schema.push((*name).to_owned(), *dtype));
    let names: Vec<String> = schema.fields.into_iter().map(|field| field.name).collect();
    let rows = match Format::of_name(path) {
        Some(Format::JsonLines) => Rows::Json(names.clone()),
        Some(Format::Csv) if path.extension().is_some_and(|extension| extension == "csv") => {
            Rows::Table(b',')
        }
        _ => Rows::Table(b'\t'),
    };
    let mut heading = Vec::new();
    if let Rows::Table(delimiter) = rows {
        table_row(names.iter().map(|name| name.as_bytes().into()), delimiter, &mut heading)?;
    }
    Ok((Lines::create(path, &heading)?, rows))
}

/// Appends a row of a table.
fn table_row<'a>(
    fields: impl Iterator<Item = Cow<'a, [u8]>>,
    delimiter: u8,
    out: &mut Vec<u8>,
) -> Result<()> {
    let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(out);
    let written = writer.write_record(fields).and_then(|()| writer.flush().map_err(csv::Error::from));
    written.map_err(|e| Error::Failed(format!("cannot write a row: {e}")))
}

impl Rows {
    fn put(&self, record: &Record, is_section: bool, out: &mut Vec<u8>) -> Result<()> {
        let tried = record.tried;
        let code = |code: i32| Value { dtype: Some(ColumnType::I64), text: code.to_string().into_bytes() };
        let said = Value { dtype: Some(ColumnType::Bytes), text: record.said.clone() };
        let number = Value::number(record.row + u64::from(is_section));
        let (before, behind) = if is_section { (Some(&number), None) } else { (None, Some(&number)) };
        let own = [code(tried.exit), code(tried.signal), said];
        let all = before.into_iter().chain(&record.values).chain(behind).chain(&own);
        match self {
            Self::Table(delimiter) => table_row(all.map(|value| (&value.text[..]).into()), *delimiter, out),
            Self::Json(names) => {
                for (i, (value, name)) in all.zip(names).enumerate() {
                    out.push(if i == 0 { b'{' } else { b',' });
                    Quoting::Json.put(name.as_bytes(), out);
                    out.push(b':');
                    match value.dtype {
                        None => out.extend_from_slice(b"null"),
                        // JSON has no words for what is not finite.
                        Some(dtype) if dtype != ColumnType::Bytes && !is_word(&value.text) => {
                            out.extend_from_slice(&value.text);
                        }
                        Some(_) => Quoting::Json.put(&value.text, out),
                    }
                }
                out.extend_from_slice(b"}\n");
                Ok(())
            }
        }
    }
}

/// Is a number one that is spelled with letters, as `inf`?
fn is_word(text: &[u8]) -> bool {
    text.iter().any(|byte| byte.is_ascii_alphabetic() && !matches!(byte, b'e' | b'E'))
}

/// Appends a line of the job log.
fn log(record: &Record, commands: Option<&CommandLines>, out: &mut Vec<u8>) {
    let tried = record.tried;
    let seconds = |nanos: u128| format!("{}.{:03}", nanos / 1_000_000_000, nanos / 1_000_000 % 1000);
    let (began, took) = (seconds(tried.began.into()), seconds(tried.took.as_nanos()));
    let number = u128::from(record.row) + 1;
    // As GNU parallel has it for this machine.
    let text = format!(
        "{number}\t:\t{began}\t{took:>10}\t{}\t{}\t{}\t{}\t",
        tried.given, tried.printed, tried.exit, tried.signal
    );
    out.extend_from_slice(text.as_bytes());
    let line = commands.map(|commands| commands.of(record)).unwrap_or_default();
    Quoting::Plain.put(&line, out);
    out.extend_from_slice(format!("\t{}\t", tried.rank).as_bytes());
    Quoting::Plain.put(&record.host, out);
    out.push(b'\n');
}
