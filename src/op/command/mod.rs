//! A command for each row of a map: what it prints is the answer. Or for each section of a file (`pipe`).
//!
//! The command's words are a template that is filled with the row's values as they are (`template`); a runner
//! ([`crate::exec`]) starts it, one after the other for each worker (`tries`). Standard error is passed on, each line
//! behind the item that it is of.

mod faults;
mod pipe;
pub mod python;
mod resident;
mod template;
mod tries;

use std::borrow::Cow;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::escape;
use crate::base::fmt::shown;
use crate::base::spool::{self, Spool};
use crate::data::dtype::Dtype;
use crate::data::row_set::RowSet;
use crate::data::schema::{ColumnType, Schema};
use crate::data::texts::{Texts, last_of};
use crate::exec::Input;
use crate::job::Task;
use crate::job::command::{Command, Limits};
use crate::op::record::{Record, Tried};
use crate::op::{RowFunction, RowsOf, Worker};
use template::{Item, Template};
use tries::{MOST_OUTPUT, Place, Tries};

pub use pipe::BoundPipe;
pub use resident::BoundProgram;

/// Bytes of an answer that may be of any length that are kept in memory.
const KEPT: usize = 4 << 20;

/// Letters of an item before the lines of its standard error.
const MOST_ITEM: usize = 40;

/// A command bound to the columns of an input. The same on every rank.
#[derive(Debug, Clone)]
pub struct BoundCommand {
    template: Arc<Template>,
    columns: Vec<ColumnType>,
    raw: bool,
    /// Type of the answers.
    answers: ColumnType,
    limits: Limits,
}

impl BoundCommand {
    /// `command`, as `task` has it, over columns of `schema`.
    ///
    /// # Errors
    /// The run has no seed, and a word wants one.
    pub fn bind(command: &Command, task: &Task, schema: &Schema) -> Result<Self> {
        let words = command.words.iter().map(|word| word.0.as_encoded_bytes());
        let template = Template::new(words, command.shell, schema).seeded(task.seed)?;
        Ok(Self {
            template: Arc::new(template),
            columns: schema.dtypes().collect(),
            raw: command.raw,
            answers: command.answers.map_or(ColumnType::Bytes, ColumnType::from),
            limits: task.limits,
        })
    }

    /// Type of its answers.
    pub fn dtype(&self) -> ColumnType {
        self.answers
    }

    /// The same, with answers of another type.
    pub fn answering(self, answers: ColumnType) -> Self {
        Self { answers, ..self }
    }

    /// The answer that it has given with what it has printed: a text is put behind what is in `made`, or stays where it is
    /// when that is no place in memory.
    fn read(&self, spool: &mut Spool, made: &mut Vec<u8>) -> Answer {
        let Some(printed) = spool.in_memory() else {
            let last = spool.last().map_err(|error| spool::fault(&error))?;
            if last == Some(b'\n') && !self.raw {
                spool.truncate(spool.bytes() - 1);
            }
            return Ok(0);
        };
        let Some(dtype) = self.answers.number() else {
            let begin = made.len();
            made.extend_from_slice(match printed.strip_suffix(b"\n") {
                Some(line) if !self.raw => line,
                _ => printed,
            });
            return last_of(made, begin).ok_or_else(|| "it has printed too much".to_owned());
        };
        number(printed, dtype)
    }

    /// The same, ready to be run by `worker`. Where `is_of_any_length`, answers are, and come as [`RowFunction::spooled`] when
    /// they are long.
    pub fn function(&self, worker: Worker, is_of_any_length: bool) -> CommandFunction {
        let (kept, most) =
            if is_of_any_length { (KEPT, u64::MAX) } else { (MOST_OUTPUT as usize, MOST_OUTPUT) };
        CommandFunction {
            command: self.clone(),
            place: Place::of(&worker),
            tries: Tries::new(self.limits, most, &worker),
            printed: Spool::new(kept),
            made: Vec::new(),
            fault: None,
        }
    }

    /// The commands of its items, for people.
    pub fn lines(&self) -> CommandLines {
        CommandLines::Each(self.template.clone())
    }
}

/// What is run for items as lines, for people: words with a blank in them stand in quotes.
#[derive(Debug, Clone)]
pub enum CommandLines {
    /// A command for each.
    Each(Arc<Template>),
    /// One program for all of them.
    All(String),
    /// A function that is called with each.
    Call(String),
}

impl CommandLines {
    /// That of an item.
    pub fn of(&self, record: &Record) -> Vec<u8> {
        match self {
            Self::Each(template) => {
                template.line(&Item { values: &values_of(record), row: record.row, slot: record.tried.slot })
            }
            Self::All(program) => program.clone().into_bytes(),
            Self::Call(function) => {
                let values = values_of(record).join(&b", "[..]);
                [function.as_bytes(), b"(", &values, b")"].concat()
            }
        }
    }
}

/// Runs a command for each row. One per worker.
pub struct CommandFunction {
    command: BoundCommand,
    place: Place,
    tries: Tries,
    /// What the last has printed, and texts of that.
    printed: Spool,
    made: Vec<u8>,
    /// Why the last has failed.
    fault: Option<String>,
}

impl RowFunction for CommandFunction {
    fn columns(&self) -> Vec<usize> {
        self.command.template.columns()
    }

    fn rows_at_once(&self) -> usize {
        1
    }

    fn answer(&mut self, rows: &RowsOf, answers: &mut [u64], is_wanted: &dyn Fn() -> bool) -> Result<RowSet> {
        self.made.clear();
        self.fault = None;
        let mut faults = RowSet::default();
        for (row, answer) in answers.iter_mut().enumerate() {
            self.tries.forget();
            if rows.lacking.has(row) {
                continue;
            }
            match self.answer_row(rows, row, is_wanted)? {
                Ok(word) => *answer = word,
                Err(fault) => {
                    faults.insert(row);
                    self.fault = Some(fault);
                }
            }
        }
        Ok(faults)
    }

    fn made(&self) -> &[u8] {
        &self.made
    }

    fn spooled(&mut self) -> Option<&mut Spool> {
        Some(&mut self.printed).filter(|printed| printed.in_memory().is_none())
    }

    fn fault(&self, _rows: &RowsOf, _row: usize) -> Option<String> {
        self.fault.clone()
    }

    fn tried(&self, _row: usize) -> Option<(&Tried, &[u8])> {
        Some(self.tries.last())
    }
}

/// What a try has come to: the word of the answer, or why there is none.
type Answer = std::result::Result<u64, String>;

impl CommandFunction {
    /// Runs the command for a row, again and again as far as that is wanted.
    fn answer_row(&mut self, rows: &RowsOf, row: usize, is_wanted: &dyn Fn() -> bool) -> Result<Answer> {
        let number = rows.first + row as u64;
        let values = values(rows, row, self.command.columns.iter().copied());
        let used = self.command.template.columns();
        if let Some(value) = used.iter().map(|column| &values[*column]).find(|value| value.contains(&0)) {
            return Ok(Err(format!(
                "no argument of a command can have a NUL in it, as '{}' has",
                shown(value)
            )));
        }
        let Self { command, place, tries, printed, made, .. } = self;
        let argv = command.template.fill(&Item { values: &values, row: number, slot: place.slot });
        let request =
            tries.request(argv, place.env(number, command.template.seed_of(number)), Input::Nothing);
        let before = before_line(&values, number);
        tries.run((&request, None), &before, printed, is_wanted, |printed| command.read(printed, made))
    }
}

/// The values of a row as they were typed, of columns of these types.
fn values<'r>(
    rows: &RowsOf<'r>,
    row: usize,
    columns: impl Iterator<Item = ColumnType>,
) -> Vec<Cow<'r, [u8]>> {
    let value = |(column, dtype): (&&'r [u64], ColumnType)| match dtype.number() {
        None => Texts { input: rows.memory, made: &[] }.get(column[row]).into(),
        Some(dtype) => dtype.text(column[row]).into_bytes().into(),
    };
    rows.columns.iter().zip(columns).map(value).collect()
}

/// The same of an item that something is to be said of.
fn values_of(record: &Record) -> Vec<Cow<'_, [u8]>> {
    record.values.iter().map(|value| (&value.text[..]).into()).collect()
}

/// The bits of the number that a command has printed, or why that is none of this type.
///
/// # Errors
/// It is none.
pub fn number(printed: &[u8], dtype: Dtype) -> std::result::Result<u64, String> {
    let bits = word(printed).and_then(|word| dtype.parse(word));
    bits.ok_or_else(|| match printed.trim_ascii() {
        b"" => format!("it has printed nothing, and no {}", dtype.name()),
        printed => format!("it has printed '{}', which is no {}", shown(printed), dtype.name()),
    })
}

/// What type that has which a command has printed: a whole number that 64 bits cannot hold is a text, so that none of its
/// digits is lost.
pub fn typed(printed: &[u8]) -> ColumnType {
    let word = word(printed).filter(|word| Dtype::F64.parse(word).is_some());
    match word.map(|word| (Dtype::of_words([word].into_iter()), word)) {
        Some((Dtype::F64, _)) => ColumnType::F64,
        Some((Dtype::I64, word)) if Dtype::I64.parse(word).is_some() => ColumnType::I64,
        _ => ColumnType::Bytes,
    }
}

/// What has been printed without the blanks around it, as a number may have them.
fn word(printed: &[u8]) -> Option<&str> {
    std::str::from_utf8(printed).ok().map(str::trim)
}

/// What stands before each line of the standard error of a command: its item, or where that is long or has several
/// columns, its number.
fn before_line(values: &[Cow<[u8]>], number: u64) -> Vec<u8> {
    match values {
        [value] if value.len() <= MOST_ITEM && !value.is_empty() => {
            let mut before = escape::name(value);
            before.extend_from_slice(b": ");
            before
        }
        _ => format!("no. {}: ", number + 1).into_bytes(),
    }
}
