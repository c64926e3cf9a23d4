//! Results on their way from a worker: raw numbers, rows with texts, states, or the text that the sink wants. Workers turn numbers into text,
//! because that takes longer than computing them.

use std::ops::Range;

use crate::data::dtype::Dtype;
use crate::data::format::Format;
use crate::data::lacking::Lacking;
use crate::data::schema::{ColumnType, Schema};
use crate::data::texts::Texts;
use crate::job::command::Function;
use crate::job::output::Output;
use crate::job::{Task, Work};
use crate::op::Bound;
use crate::output::quote::{self, Quoting};
use crate::output::{csv, json, text};

/// What the answers of a `map` should look like when they arrive. Workers turn numbers into text, because
/// that takes longer than computing them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Columns of 64-bit numbers, little-endian, one behind the other: the first ones of the input, and the answers; with
    /// `gaps` behind those a byte for each row, 1 where there is no answer.
    Columns {
        /// How many of the input.
        inputs: usize,
        /// Some rows may have no answer.
        gaps: bool,
    },
    /// One answer per line.
    Text,
    /// One row of text for each row.
    Rows(Rows),
    /// Rows with texts in them for a file of columns, as [`crate::output::packed`] has them.
    Packed {
        /// Some rows may have no answer.
        gaps: bool,
    },
    /// What the rows of a block come to, as [`crate::op::reduce::groups`] has it.
    States,
}

/// Kinds of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Values and answer, with tabs between.
    Tabs {
        /// With the process behind them.
        who: bool,
    },
    /// As in a CSV file.
    Csv {
        /// With the columns rank, pid and host.
        who: bool,
    },
    /// Objects of a JSON-lines file, or the members of a JSON list, each behind a comma.
    Json {
        /// With the members rank, pid and host.
        who: bool,
        /// Members of a list.
        list: bool,
    },
}

impl Encoding {
    /// That in which the output of `task` wants its answers.
    pub fn of(task: &Task, bound: &Bound) -> Self {
        let (who, inputs) = (task.work.says_who(), bound.kept.len());
        if bound.reduce.is_some() {
            return Self::States;
        }
        match &task.output {
            Output::None => Self::Columns { inputs, gaps: false },
            Output::Stdout | Output::File(_, Format::Text) | Output::People if inputs == 0 && !who => {
                Self::Text
            }
            Output::Stdout | Output::File(_, Format::Text) | Output::People => Self::Rows(Rows::Tabs { who }),
            Output::File(_, Format::Csv) => Self::Rows(Rows::Csv { who }),
            Output::File(_, Format::Json) => Self::Rows(Rows::Json { who, list: true }),
            Output::File(_, Format::JsonLines) => Self::Rows(Rows::Json { who, list: false }),
            Output::File(_, Format::Hdf5 | Format::Npy) if bound.table().has_texts() => {
                // Until it is known which type answers have, a missing one is told from an empty text.
                Self::Packed { gaps: task.keep_going || bound.is_open && task.work.is_python() }
            }
            Output::File(_, Format::Hdf5 | Format::Npy) => Self::Columns { inputs, gaps: task.keep_going },
        }
    }

    /// Are rows with texts in them texts of any length, as [`render_texts`] makes them? `table` has the columns of
    /// results.
    pub fn has_texts(self, table: &Schema) -> bool {
        matches!(self, Self::Text | Self::Rows(_) | Self::Packed { .. }) && table.has_texts()
    }

    /// Bytes that the answer to a row of `input` takes at the most, or where it has texts, in most cases; `table` has the
    /// names in results.
    pub fn width(self, table: &Schema) -> usize {
        match self {
            Self::Columns { inputs, gaps } => (inputs + 1) * size_of::<u64>() + usize::from(gaps),
            Self::Text => table.dtypes().last().map_or(WIDEST, widest),
            Self::Rows(rows) => rows.width(table),
            Self::Packed { .. } => 1 + table.dtypes().map(widest).sum::<usize>(),
            // Of a group of few values; of many it is less, and longer answers come in pieces.
            Self::States => 2 * size_of::<u64>(),
        }
    }
}

/// The most bytes that one number and what ends it take as text: `-1.7976931348623157e308`, and
/// `-9223372036854775808` is shorter.
pub const WIDEST: usize = 25;

/// Bytes that most texts have at the most. Longer answers come in pieces.
const LIKELY_TEXT: usize = 64;

/// Bytes of a field.
fn widest(dtype: ColumnType) -> usize {
    if dtype == ColumnType::Bytes { LIKELY_TEXT } else { WIDEST }
}

/// Who has answered, for rows that say so.
#[derive(Debug, Clone)]
pub struct Who {
    /// The rank, or the worker's number where there are no ranks.
    pub rank: usize,
    /// Its process.
    pub pid: u32,
    /// Its host.
    pub host: String,
}

impl Who {
    /// This process, as `rank`.
    pub fn here(rank: usize) -> Self {
        Self { rank, pid: std::process::id(), host: crate::node::host::host() }
    }
}

/// What stands around the numbers of a row.
#[derive(Debug, Default)]
pub struct RowTemplate {
    /// Before each column, the answer the last.
    pub before: Vec<String>,
    /// In place of an answer that is missing.
    pub missing: &'static str,
    /// Behind the answer, with the end of the line.
    pub close: String,
    /// How texts stand in it; in JSON infinity, and what is not a number, too.
    pub quoting: Quoting,
}

impl Rows {
    /// What these rows look like, whose columns are those of `table`; `who` has answered, or nobody.
    pub fn template(self, table: &Schema, who: Option<&Who>) -> RowTemplate {
        let (Self::Tabs { who: says_who } | Self::Csv { who: says_who } | Self::Json { who: says_who, .. }) =
            self;
        let who = says_who.then_some(who);
        match self {
            Self::Tabs { .. } => text::template(table, who),
            Self::Csv { .. } => csv::template(table, who),
            Self::Json { list, .. } => json::template(table, list, who),
        }
    }

    /// Bytes that a row takes at the most: the template around the widest numbers, the same on every host.
    fn width(self, table: &Schema) -> usize {
        // The longest name that Linux gives a host, each character escaped.
        let who = Who { rank: usize::MAX, pid: u32::MAX, host: "\u{1}".repeat(64) };
        let RowTemplate { before, close, .. } = self.template(table, Some(&who));
        before.iter().zip(table.dtypes()).map(|(text, dtype)| text.len() + widest(dtype)).sum::<usize>()
            + close.len()
    }
}

/// Appends words to the front of a room.
struct Line<'a> {
    buf: &'a mut [u8],
    at: usize,
    whole: itoa::Buffer,
    float: ryu::Buffer,
}

impl<'a> Line<'a> {
    fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, at: 0, whole: itoa::Buffer::new(), float: ryu::Buffer::new() }
    }

    fn number(&mut self, dtype: Dtype, bits: u64) {
        let text = match dtype {
            Dtype::I64 => self.whole.format(bits as i64),
            Dtype::F64 => self.float.format(f64::from_bits(bits)),
        };
        self.buf[self.at..self.at + text.len()].copy_from_slice(text.as_bytes());
        self.at += text.len();
    }

    /// A number, and the end of its line.
    fn line(&mut self, dtype: Dtype, bits: u64) {
        self.number(dtype, bits);
        self.buf[self.at] = b'\n';
        self.at += 1;
    }

    fn word(&mut self, word: &str) {
        self.buf[self.at..self.at + word.len()].copy_from_slice(word.as_bytes());
        self.at += word.len();
    }

    /// The answer of a row, if there is one, and the end of the row.
    #[inline(always)]
    fn answer(&mut self, dtype: Dtype, bits: Option<&u64>, template: &RowTemplate) {
        match bits {
            Some(bits) => self.field(dtype, *bits, template.quoting),
            None => self.word(template.missing),
        }
        self.word(&template.close);
    }

    /// A number of a row.
    fn field(&mut self, dtype: Dtype, bits: u64, quoting: Quoting) {
        match (dtype, f64::from_bits(bits)) {
            (Dtype::F64, x) if quoting == Quoting::Json && !x.is_finite() => self.word("null"),
            _ => self.number(dtype, bits),
        }
    }
}

/// Writes numbers one per line to the front of `buf`, which must have [`WIDEST`] bytes for each, and
/// returns how many bytes. Floats in the shortest form that reads back the same (Ryū, PLDI 2018).
pub fn render(dtype: Dtype, bits: &[u64], buf: &mut [u8]) -> usize {
    let mut line = Line::new(buf);
    match dtype {
        // Told apart once and not for each number.
        Dtype::I64 => bits.iter().for_each(|bits| line.line(Dtype::I64, *bits)),
        Dtype::F64 => bits.iter().for_each(|bits| line.line(Dtype::F64, *bits)),
    }
    line.at
}

/// What stands in a list of values for one that is missing.
pub fn missing(dtype: ColumnType) -> u64 {
    match dtype {
        // Of texts: an empty one.
        ColumnType::I64 | ColumnType::Bytes => 0,
        ColumnType::F64 => f64::NAN.to_bits(),
    }
}

/// Values of one type, by their bits.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// Their type.
    pub dtype: ColumnType,
    /// One after the other.
    pub bits: &'a [u64],
    /// Which of them are missing, where some are.
    pub lacking: Option<Lacking<'a>>,
}

impl<'a> Values<'a> {
    /// Some of them.
    pub fn rows(self, rows: Range<usize>) -> Self {
        let lacking = self.lacking.map(|lacking| lacking.skip(rows.start));
        Self { bits: &self.bits[rows], lacking, ..self }
    }
}

/// As [`render`], but rows of `columns` and answers, `count` of them, as `template` has them; where there are fewer
/// answers than rows the rest have none. [`Encoding::width`] bytes for each.
pub fn render_rows(
    count: usize,
    columns: &[Values],
    answers: Values,
    template: &RowTemplate,
    buf: &mut [u8],
) -> usize {
    use Dtype::{F64, I64};
    let RowTemplate { before, .. } = template;
    let number = |values: &Values| values.dtype.number().unwrap_or(I64);
    if let ([values @ Values { lacking: None, .. }], [first, second]) = (columns, &before[..]) {
        let (x, y) = (values.bits, answers.bits);
        let pair = (&**first, &**second);
        // The types told apart once and not for each number.
        return match (number(values), number(&answers)) {
            (I64, I64) => pairs((I64, x), (I64, y), pair, template, buf),
            (I64, F64) => pairs((I64, x), (F64, y), pair, template, buf),
            (F64, I64) => pairs((F64, x), (I64, y), pair, template, buf),
            (F64, F64) => pairs((F64, x), (F64, y), pair, template, buf),
        };
    }
    let mut line = Line::new(buf);
    for i in 0..count {
        for (column, before) in columns.iter().zip(before) {
            line.word(before);
            match column.lacking.is_some_and(|lacking| lacking.has(i)) {
                true => line.word(template.missing),
                false => line.field(number(column), column.bits[i], template.quoting),
            }
        }
        line.word(before.last().map_or("", |before| before));
        line.answer(number(&answers), answers.bits.get(i), template);
    }
    line.at
}

/// The fields of row number `row`: those of `columns`, and the answer, if there are so many; each with its type, and none
/// where it is missing.
pub fn fields_of<'a>(
    row: usize,
    columns: &'a [Values],
    answers: &Values,
) -> impl Iterator<Item = (ColumnType, Option<u64>)> + use<'a> {
    let input = move |column: &Values| {
        let is_there = !column.lacking.is_some_and(|lacking| lacking.has(row));
        (column.dtype, is_there.then(|| column.bits[row]))
    };
    columns.iter().map(input).chain([(answers.dtype, answers.bits.get(row).copied())])
}

/// How a text stands that is all of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// As one line: a newline in it is `\n`.
    Line,
    /// As it is, with a newline behind it.
    Whole,
    /// As it is.
    Bare,
}

impl Alone {
    /// As `task` wants it: what a program prints is passed on as it is.
    pub fn of(task: &Task) -> Self {
        match &task.work {
            Work::Map { function: Some(Function::Command(command)), .. } if command.raw => Self::Bare,
            Work::Map { function: Some(function), .. } if function.takes_texts() => Self::Whole,
            _ => Self::Line,
        }
    }

    fn put(self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Line => quote::line(text, out),
            Self::Whole | Self::Bare => {
                out.extend_from_slice(text);
                out.extend((self == Self::Whole).then_some(b'\n'));
            }
        }
    }
}

/// What stands around the texts of a row.
#[derive(Debug, Clone, Copy)]
pub enum Around<'a> {
    /// That of a row.
    Row(&'a RowTemplate),
    /// Nothing: the answer alone.
    Nothing(Alone),
}

/// As [`render_rows`] and, without a template, [`render`], of rows with texts among them: appends to `out`.
pub fn render_texts(
    count: usize,
    columns: &[Values],
    answers: Values,
    around: Around,
    texts: Texts,
    out: &mut Vec<u8>,
) {
    for i in 0..count {
        let RowTemplate { before, missing, close, quoting } = match around {
            Around::Row(template) => template,
            Around::Nothing(alone) => {
                alone.put(answers.bits.get(i).map_or(&b""[..], |word| texts.get(*word)), out);
                continue;
            }
        };
        for ((dtype, bits), before) in fields_of(i, columns, &answers).zip(before) {
            out.extend_from_slice(before.as_bytes());
            put(dtype, bits, texts, (*quoting, missing), out);
        }
        out.extend_from_slice(close.as_bytes());
    }
}

/// Appends a value of a row, or what stands for one that is missing.
fn put(
    dtype: ColumnType,
    bits: Option<u64>,
    texts: Texts,
    (quoting, missing): (Quoting, &str),
    out: &mut Vec<u8>,
) {
    match (bits, dtype.number()) {
        (None, _) => out.extend_from_slice(missing.as_bytes()),
        (Some(word), None) => quoting.put(texts.get(word), out),
        (Some(bits), Some(dtype)) => {
            let mut word = [0; WIDEST];
            let mut line = Line::new(&mut word);
            line.field(dtype, bits, quoting);
            let len = line.at;
            out.extend_from_slice(&word[..len]);
        }
    }
}

/// A row of text for each of `rows`, as `template` has it; some values may be missing.
pub fn render_table(
    rows: &[Vec<Option<u64>>],
    table: &Schema,
    template: &RowTemplate,
    texts: Texts,
) -> Vec<u8> {
    let RowTemplate { before, missing, close, quoting } = template;
    let mut text = Vec::new();
    for row in rows {
        for ((bits, dtype), before) in row.iter().zip(table.dtypes()).zip(before) {
            text.extend_from_slice(before.as_bytes());
            put(dtype, *bits, texts, (*quoting, missing), &mut text);
        }
        text.extend_from_slice(close.as_bytes());
    }
    text
}

/// Rows of a value and its answer.
#[inline(always)]
fn pairs(
    (of_values, values): (Dtype, &[u64]),
    (of_answers, answers): (Dtype, &[u64]),
    (open, between): (&str, &str),
    template: &RowTemplate,
    buf: &mut [u8],
) -> usize {
    let mut line = Line::new(buf);
    for (i, value) in values.iter().enumerate() {
        line.word(open);
        line.field(of_values, *value, template.quoting);
        line.word(between);
        line.answer(of_answers, answers.get(i), template);
    }
    line.at
}
