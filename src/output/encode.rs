//! Results on their way from a worker: raw numbers, or the text that the sink wants. Workers turn numbers into text,
//! because that takes longer than computing them.

use crate::data::dtype::Dtype;
use crate::data::format::Format;
use crate::job::output::Output;
use crate::job::{Task, Work};
use crate::output::{csv, json, text};

/// What the answers of a `map` should look like when they arrive. Workers turn numbers into text, because
/// that takes longer than computing them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// 64-bit numbers, little-endian, one after the other.
    Raw,
    /// The values of the block, little-endian, and behind them its answers; with `gaps` behind those a byte
    /// for each, 1 where there is no answer.
    Pairs {
        /// Some values may have no answer.
        gaps: bool,
    },
    /// One per line.
    Text,
    /// One row of text for each value.
    Rows(Rows),
}

/// Kinds of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Value, answer and process, with tabs between.
    Tabs,
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
    /// The form in which the output of `task` wants its answers.
    pub fn of(task: &Task) -> Self {
        let Work::Map { who, .. } = task.work else { return Self::Text };
        match &task.output {
            Output::None | Output::File(_, Format::Npy) => Self::Raw,
            Output::Stdout | Output::File(_, Format::Text) if who => Self::Rows(Rows::Tabs),
            Output::Stdout | Output::File(_, Format::Text) | Output::People => Self::Text,
            Output::File(_, Format::Csv) => Self::Rows(Rows::Csv { who }),
            Output::File(_, Format::Json) => Self::Rows(Rows::Json { who, list: true }),
            Output::File(_, Format::JsonLines) => Self::Rows(Rows::Json { who, list: false }),
            Output::File(_, Format::Hdf5) => Self::Pairs { gaps: task.keep_going },
        }
    }

    /// Bytes that the answer to one value takes at the most.
    pub fn width(self) -> usize {
        match self {
            Self::Raw => size_of::<u64>(),
            Self::Pairs { gaps } => 2 * size_of::<u64>() + usize::from(gaps),
            Self::Text => WIDEST,
            Self::Rows(rows) => rows.width(),
        }
    }
}

/// The most bytes that one number and what ends it take as text: `-1.7976931348623157e308`, and
/// `-9223372036854775808` is shorter.
pub const WIDEST: usize = 25;

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
    /// Before the value.
    pub open: &'static str,
    /// Between value and answer.
    pub between: &'static str,
    /// In place of an answer that is missing.
    pub missing: &'static str,
    /// Behind the answer, with the end of the line.
    pub close: String,
    /// Infinity, and what is not a number, are written as JSON has it.
    pub is_json: bool,
}

impl Rows {
    /// What these rows look like; `who` has answered, or nobody.
    pub fn frame(self, who: Option<&Who>) -> RowTemplate {
        match self {
            Self::Tabs => text::frame(who),
            Self::Csv { who: false } => csv::frame(None),
            Self::Csv { who: true } => csv::frame(Some(who)),
            Self::Json { who: false, list } => json::frame(list, None),
            Self::Json { who: true, list } => json::frame(list, Some(who)),
        }
    }

    /// Bytes that a row takes at the most: the frame around the widest numbers, the same on every host.
    fn width(self) -> usize {
        // The longest name that Linux gives a host, each character escaped.
        let widest = Who { rank: usize::MAX, pid: u32::MAX, host: "\u{1}".repeat(64) };
        let RowTemplate { open, between, close, .. } = self.frame(Some(&widest));
        open.len() + between.len() + close.len() + 2 * WIDEST
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

    /// A number of a row.
    fn field(&mut self, dtype: Dtype, bits: u64, is_json: bool) {
        match (dtype, f64::from_bits(bits)) {
            (Dtype::F64, x) if is_json && !x.is_finite() => self.word("null"),
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

/// Numbers of one type, by their bits.
#[derive(Debug, Clone, Copy)]
pub struct Numbers<'a> {
    /// Their type.
    pub dtype: Dtype,
    /// One after the other.
    pub bits: &'a [u64],
}

/// As [`render`], but a row for each value, as `frame` has it; where there are fewer answers than values the
/// rest have none. [`Encoding::width`] bytes for each.
pub fn render_rows(values: Numbers, answers: Numbers, frame: &RowTemplate, buf: &mut [u8]) -> usize {
    use Dtype::{F64, I64};
    let (x, y) = (values.bits, answers.bits);
    // Told apart once and not for each number.
    match (values.dtype, answers.dtype) {
        (I64, I64) => rows(Numbers { dtype: I64, bits: x }, Numbers { dtype: I64, bits: y }, frame, buf),
        (I64, F64) => rows(Numbers { dtype: I64, bits: x }, Numbers { dtype: F64, bits: y }, frame, buf),
        (F64, I64) => rows(Numbers { dtype: F64, bits: x }, Numbers { dtype: I64, bits: y }, frame, buf),
        (F64, F64) => rows(Numbers { dtype: F64, bits: x }, Numbers { dtype: F64, bits: y }, frame, buf),
    }
}

#[inline(always)]
fn rows(values: Numbers, answers: Numbers, frame: &RowTemplate, buf: &mut [u8]) -> usize {
    let mut line = Line::new(buf);
    for (i, value) in values.bits.iter().enumerate() {
        line.word(frame.open);
        line.field(values.dtype, *value, frame.is_json);
        line.word(frame.between);
        match answers.bits.get(i) {
            Some(answer) => line.field(answers.dtype, *answer, frame.is_json),
            None => line.word(frame.missing),
        }
        line.word(&frame.close);
    }
    line.at
}
