//! Reductions: the states of blocks, put together as they arrive, and at the end the rows that they answer, in the
//! format of the output.

use std::path::Path;

use crate::base::error::{Error, Result};
use crate::data::dtype::Dtype;
use crate::data::format::Format;
use crate::data::schema::{ColumnType, Field, Schema};
use crate::job::Task;
use crate::job::output::Output;
use crate::observe::report::Report;
use crate::op::accumulator::{Accumulator, ResultRow};
use crate::output::encode::{RowTemplate, missing, render_table};
use crate::output::packed::pack_table;
use crate::output::{ResultChunk, Sink, csv, json};

/// Takes states, and writes one row of results, or one of each group, to another sink.
pub struct ToReduced<'a> {
    task: &'a Task,
    table: Schema,
    states: Box<dyn Accumulator>,
    /// The row, when all is finished.
    only: Vec<(String, f64)>,
    sink: Box<dyn Sink + 'a>,
}

impl<'a> ToReduced<'a> {
    /// What is put together by `states` to rows of `table` goes to `sink`.
    pub fn new(
        task: &'a Task,
        states: Box<dyn Accumulator>,
        table: Schema,
        sink: Box<dyn Sink + 'a>,
    ) -> Self {
        Self { task, table, states, only: Vec::new(), sink }
    }
}

/// The rows that `states` have come to, as the sink of `task` takes them.
///
/// # Errors
/// The format has no way to say what they say.
pub fn encoded(task: &Task, states: &dyn Accumulator, rows: &[ResultRow], table: &Schema) -> Result<Vec<u8>> {
    let as_rows = |template: RowTemplate| render_table(rows, table, &template, states.texts());
    Ok(match &task.output {
        Output::None => Vec::new(),
        Output::Stdout | Output::People | Output::File(_, Format::Text) => states.text(rows, table),
        Output::File(_, Format::Csv) => as_rows(csv::template(table, None)),
        Output::File(_, Format::Json) => as_rows(json::template(table, true, None)),
        Output::File(_, Format::JsonLines) => as_rows(json::template(table, false, None)),
        Output::File(_, Format::Hdf5) if table.has_texts() => {
            pack_table(rows, table, task.keep_going, states.texts())
        }
        Output::File(_, Format::Hdf5) => columns(rows, table, task.keep_going),
        Output::File(path, Format::Npy) => {
            check_whole(rows, table, path)?;
            columns(rows, table, false)
        }
    })
}

/// A whole number is missing, for which `.npy` has no word.
fn check_whole(rows: &[ResultRow], table: &Schema, path: &Path) -> Result<()> {
    let lacks = |column: &usize| rows.iter().any(|row| row[*column].is_none());
    let is_whole = |column: &usize| table.number(*column) == Some(Dtype::I64);
    match (0..table.len()).filter(is_whole).find(lacks) {
        None => Ok(()),
        Some(column) => Err(Error::Failed(format!(
            "cannot write {}: {} is missing, and a .npy file has no way to say that of a whole number; .csv, .json \
             and .h5 have",
            path.display(),
            table.fields[column].name
        ))),
    }
}

/// Columns one behind the other, and where some may lack a value, behind them a byte for each row, 1 where one does.
fn columns(rows: &[ResultRow], table: &Schema, gaps: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (column, dtype) in table.dtypes().enumerate() {
        let missing = missing(dtype);
        bytes.extend(rows.iter().flat_map(|row| row[column].unwrap_or(missing).to_ne_bytes()));
    }
    if gaps {
        bytes.extend(rows.iter().map(|row| u8::from(row.iter().any(Option::is_none))));
    }
    bytes
}

impl Sink for ToReduced<'_> {
    fn take(&mut self, chunk: &ResultChunk) -> Result<()> {
        self.states.add(chunk.bytes)
    }

    fn forget_begun(&mut self) {
        self.states.forget_begun();
    }

    fn finish(&mut self, report: &Report) -> Result<()> {
        let (rows, missing) = self.states.rows(self.task.keep_going)?;
        if missing > 0 {
            tracing::debug!("{missing} rows without an answer are in no reduction");
        }
        if let [row] = &rows[..] {
            let numbers = |(_, field): &(&Option<u64>, &Field)| field.dtype != ColumnType::Bytes;
            let values = row.iter().zip(&self.table.fields).filter(numbers);
            let value = |(bits, field): (&Option<u64>, &Field)| {
                let value = match (bits, field.dtype) {
                    (None, _) => f64::NAN,
                    (Some(bits), ColumnType::I64) => *bits as i64 as f64,
                    (Some(bits), _) => f64::from_bits(*bits),
                };
                (field.name.clone(), value)
            };
            self.only = values.map(value).collect();
        }
        let bytes = encoded(self.task, &*self.states, &rows, &self.table)?;
        let items = rows.len() as u64;
        self.sink.take(&ResultChunk { items, bytes: &bytes, ..ResultChunk::default() })?;
        self.sink.finish(report)
    }

    fn reduced(&self) -> Vec<(String, f64)> {
        self.only.clone()
    }

    fn fail(&mut self) {
        self.sink.fail();
    }
}
