//! How the rows of a map are answered, as it follows from a task and its input, and the rows that an operator looks at.

use std::ops::Range;

use smallvec::SmallVec;

use crate::base::error::Error;
use crate::base::fmt::shown;
use crate::base::lanes::Lanes;
use crate::data::batch::BatchRef;
use crate::data::lacking::Lacking;
use crate::data::row_set::RowSet;
use crate::data::schema::{ColumnType, Field, Schema};
use crate::data::texts::Texts;
use crate::job::Task;
use crate::node::host::host;
use crate::op::record::{Record, Recorded, Tried, Value};
use crate::op::reduce::Reduce;
use crate::op::reduce::groups::BlockStates;
use crate::op::{AnswerColumn, Bound, RowsOf};
use crate::output::encode::{Alone, Around, Encoding, RowTemplate, Values, Who, render_texts};
use crate::output::packed::pack_rows;

/// How rows are answered.
#[derive(Debug, Clone)]
pub struct MapSettings {
    /// Types of their columns.
    pub(super) columns: Vec<ColumnType>,
    /// Names of these.
    pub(super) names: Vec<String>,
    /// Columns of answers before the last: their types and names. They follow those of the input.
    pub(super) others: Vec<Field>,
    /// Those of them that stand before the answers in results.
    pub(super) kept: Vec<usize>,
    /// What they and the answers are called there.
    pub(super) table: Schema,
    /// Type of the answers.
    pub(super) answers: ColumnType,
    /// What the answers should look like.
    pub(super) encoding: Encoding,
    /// Rows have texts in them, and so are of any length.
    pub(super) has_texts: bool,
    /// Rows without an answer are passed over.
    pub(super) keep_going: bool,
    /// Rows that something is to be said of.
    pub(super) recorded: Recorded,
    /// How a text stands that is all of a row.
    pub(super) alone: Alone,
    /// What rows are reduced to, where answers are.
    pub(super) reduce: Option<Reduce>,
}

impl MapSettings {
    /// Those of `task`.
    pub fn of(task: &Task, bound: &Bound) -> Self {
        let schema = &bound.info.schema;
        let (encoding, table) = (Encoding::of(task, bound), bound.table());
        Self {
            columns: schema.dtypes().collect(),
            names: schema.fields.iter().map(|field| field.name.clone()).collect(),
            others: bound.other_answers(),
            kept: bound.kept.clone(),
            has_texts: encoding.has_texts(&table),
            table,
            answers: bound.answers(),
            encoding,
            keep_going: task.keep_going,
            recorded: Recorded::of(task, bound.is_open),
            alone: Alone::of(task),
            reduce: bound.reduce.clone(),
        }
    }

    /// May an answer be a text too long for memory? In a table it is a field, which is quoted, and read, as one.
    pub fn answers_are_of_any_length(&self) -> bool {
        self.answers == ColumnType::Bytes
            && matches!(self.encoding, Encoding::Text | Encoding::Columns { .. })
    }

    /// What stands around answers that `rank` has given, or nobody.
    pub(super) fn template(&self, rank: Option<usize>) -> RowTemplate {
        match self.encoding {
            Encoding::Rows(rows) => rows.template(&self.table, rank.map(Who::here).as_ref()),
            Encoding::Columns { .. } | Encoding::Text | Encoding::Packed { .. } | Encoding::States => {
                RowTemplate::default()
            }
        }
    }

    /// Type and name of a column of the input, or of the answers before the last.
    fn column(&self, k: usize) -> (ColumnType, &str) {
        match self.columns.get(k) {
            Some(dtype) => (*dtype, &self.names[k]),
            None => {
                let Field { name, dtype } = &self.others[k - self.columns.len()];
                (*dtype, name)
            }
        }
    }

    /// The columns that are kept, of all of `rows`.
    pub(super) fn kept<'a>(&self, rows: &Window<'a>) -> Few<Values<'a>> {
        let values = |k: &usize| Values {
            dtype: self.column(*k).0,
            bits: rows.columns[*k],
            lacking: rows.lacking.get(*k).copied().flatten(),
        };
        self.kept.iter().map(values).collect()
    }

    pub(super) fn answers<'a>(&self, bits: &'a [u64]) -> Values<'a> {
        Values { dtype: self.answers, bits, lacking: None }
    }

    /// Where rows are reduced, computed with `lanes`.
    pub(super) fn states(&self, lanes: Lanes) -> Option<BlockStates> {
        let others = self.others.iter().map(|field| field.dtype);
        let columns: Few<ColumnType> = self.columns.iter().copied().chain(others).collect();
        self.reduce.as_ref().map(|reduce| BlockStates::new(reduce, &columns, lanes))
    }

    /// The first row of a batch in a message.
    pub fn describe_row(&self, row: &BatchRef) -> String {
        let words: Vec<u64> =
            (0..row.columns()).filter_map(|column| row.words(column).first().copied()).collect();
        self.describe(&words, row.memory())
    }

    /// What is to be said of row number `row` of `rows`, which was `tried` so, and of which was `said` why it has failed.
    pub(super) fn record(&self, rows: &Window, row: usize, tried: Tried, said: Option<&[u8]>) -> Record {
        let value = |(column, dtype): (usize, &ColumnType)| {
            let bits = rows.columns[column][row];
            match dtype.number() {
                _ if rows.lacks(&[column], row) => Value { dtype: None, text: Vec::new() },
                Some(number) => Value { dtype: Some(*dtype), text: number.text(bits).into_bytes() },
                None => {
                    let text = Texts { input: rows.memory, made: &[] }.get(bits);
                    Value { dtype: Some(*dtype), text: text.to_vec() }
                }
            }
        };
        Record {
            row: rows.first + row as u64,
            has_failed: said.is_some(),
            tried,
            host: host().into_bytes(),
            said: said.unwrap_or_default().to_vec(),
            values: self.columns.iter().enumerate().map(value).collect(),
        }
    }

    /// A row in a message: its value, or where it has several, each with its name. Words of texts lead to `memory`.
    pub fn describe(&self, row: &[u64], memory: &[u8]) -> String {
        let texts = Texts { input: memory, made: &[] };
        let text = |(dtype, bits): (&ColumnType, &u64)| match dtype.number() {
            Some(dtype) => dtype.text(*bits),
            None => format!("'{}'", shown(texts.get(*bits))),
        };
        match row {
            [bits] => text((&self.columns[0], bits)),
            _ => {
                let words = self.columns.iter().zip(row).map(text).zip(&self.names);
                words.map(|(word, name)| format!("{name} = {word}")).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// A list, which is made anew for every window: a thousand rows take less time than what it takes to get memory.
pub(super) type Few<T> = SmallVec<[T; 4]>;

/// Some rows of a block.
pub(super) struct Window<'a> {
    /// Their columns.
    pub(super) columns: Few<&'a [u64]>,
    /// Which rows lack a value, by column; nothing where none does.
    pub(super) lacking: Few<Option<Lacking<'a>>>,
    /// Where words of texts lead to.
    pub(super) memory: &'a [u8],
    /// The number of the first row in all of the input.
    pub(super) first: u64,
}

impl<'a> Window<'a> {
    /// All rows of a batch, the first of which is number `first` of the input.
    pub(super) fn of(rows: &BatchRef<'a>, first: u64) -> Self {
        Self {
            columns: (0..rows.columns()).map(|column| rows.words(column)).collect(),
            lacking: (0..rows.columns()).map(|column| rows.lacking(column)).collect(),
            memory: rows.memory(),
            first,
        }
    }

    /// Some of these rows.
    pub(super) fn rows(&self, rows: Range<usize>) -> Window<'a> {
        let lacking = self.lacking.iter().map(|lacking| lacking.map(|lacking| lacking.skip(rows.start)));
        Window {
            columns: self.columns.iter().map(|column| &column[rows.clone()]).collect(),
            lacking: lacking.collect(),
            memory: self.memory,
            first: self.first + rows.start as u64,
        }
    }

    /// The same, with columns of answers behind those of the input.
    pub(super) fn with<'b>(&self, others: &'b [AnswerColumn]) -> Window<'b>
    where
        'a: 'b,
    {
        let mut all = Window {
            columns: self.columns.iter().copied().collect(),
            lacking: self.lacking.iter().copied().collect(),
            memory: self.memory,
            first: self.first,
        };
        all.lacking.resize(all.columns.len(), None);
        for column in others {
            all.columns.push(&column.bits);
            all.lacking.push(column.lacking.lacking());
        }
        all
    }

    /// The same as a function sees them; `lacking` says which lack a value that it needs.
    pub(super) fn as_seen<'w>(&'w self, lacking: &'w RowSet) -> RowsOf<'w> {
        RowsOf { columns: &self.columns, memory: self.memory, first: self.first, lacking }
    }

    pub(super) fn len(&self) -> usize {
        self.columns.first().map_or(0, |column| column.len())
    }

    /// Does row number `row` lack a value in one of `columns`?
    pub(super) fn lacks(&self, columns: &[usize], row: usize) -> bool {
        columns
            .iter()
            .any(|k| self.lacking.get(*k).copied().flatten().is_some_and(|lacking| lacking.has(row)))
    }

    /// The rows that lack a value in one of `columns`.
    pub(super) fn lacking(&self, columns: &[usize]) -> RowSet {
        let mut lacking = columns.iter().filter_map(|k| self.lacking.get(*k).copied().flatten());
        match lacking.any(|lacking| lacking.has_any(self.len())) {
            true => (0..self.len()).filter(|row| self.lacks(columns, *row)).collect(),
            false => RowSet::default(),
        }
    }
}

impl MapSettings {
    /// The first of `rows` that has an answer beside an input that is missing, of which a file of columns has no way to say
    /// that: it lists the rows without an answer, and only of floats a NaN says it.
    pub(super) fn unsaid(&self, rows: &Window, has_answer: impl Fn(usize) -> bool) -> Option<(usize, Error)> {
        if !matches!(self.encoding, Encoding::Columns { .. } | Encoding::Packed { .. }) {
            return None;
        }
        let of = self.kept.iter().filter(|k| self.column(**k).0 != ColumnType::F64);
        let first = |k: &usize| {
            let lacking = rows.lacking.get(*k).copied().flatten()?;
            (0..rows.len()).find(|row| lacking.has(*row) && has_answer(*row))
        };
        let (row, k) = of.filter_map(|k| Some((first(k)?, *k))).min()?;
        let (number, (dtype, name)) = (rows.first + row as u64 + 1, self.column(k));
        let name = if name.is_empty() { "the value" } else { name };
        Some((
            row,
            Error::Failed(format!(
                "row no. {number}: {name} is missing, and .h5 and .npy have no way to say that of {} beside other values; \
                 .csv and .json have, or --columns leaves it out",
                if dtype == ColumnType::Bytes { "a text" } else { "a whole number" }
            )),
        ))
    }

    /// Appends rows with texts in them; where there are no `answers`, none has one.
    pub(super) fn render_texts(
        &self,
        rows: &Window,
        answers: &[u64],
        template: &RowTemplate,
        texts: Texts,
        out: &mut Vec<u8>,
    ) {
        let (columns, answers) = (self.kept(rows), self.answers(answers));
        if let Encoding::Packed { gaps } = self.encoding {
            return pack_rows(rows.len(), &columns, answers, gaps, texts, out);
        }
        let around = match self.encoding {
            Encoding::Rows(_) => Around::Row(template),
            _ => Around::Nothing(self.alone),
        };
        render_texts(rows.len(), &columns, answers, around, texts, out);
    }
}
