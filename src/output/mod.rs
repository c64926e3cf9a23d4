//! Where answers go, in block order. One file per format, behind one seam; only rank 0 has one.

pub mod back;
mod csv;
pub mod file;
#[cfg(feature = "hdf5")]
pub mod hdf5;
mod json;
mod npy;
mod people;
mod text;

use std::path::Path;

use crate::error::{Error, Result, nearest};
use crate::function::lines::Tally;
use crate::input::{self, Block, Facts};
use crate::job::{Do, Output, Task, Work};
use crate::part::{Part, Portion};
use crate::report::Report;

/// How a file is written, which its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `.txt`, or a name without an extension: one answer per line.
    Text,
    /// `.csv`: a header, and one row per value.
    Csv,
    /// `.json`: one object with all results, and where they came from.
    Json,
    /// `.jsonl`: one object per line.
    JsonLines,
    /// `.npy`: numpy's own.
    Npy,
    /// `.h5`, `.hdf5`.
    Hdf5,
}

/// Formats by extension.
const FORMATS: [(&str, Format); 7] = [
    ("txt", Format::Text),
    ("csv", Format::Csv),
    ("json", Format::Json),
    ("jsonl", Format::JsonLines),
    ("npy", Format::Npy),
    ("h5", Format::Hdf5),
    ("hdf5", Format::Hdf5),
];

impl Format {
    /// The format that the extension of `path` stands for; that of no extension is text. Without regard to
    /// case, to the `.partial` of a file that has not been completed, and to the `.part-1-of-8` of a part.
    pub fn of_name(path: &Path) -> Option<Self> {
        let partial = path.extension().is_some_and(|extension| extension == "partial");
        let path = if partial { Path::new(path.file_stem().unwrap_or_default()) } else { path };
        let Some(extension) = path.extension() else { return Some(Self::Text) };
        if Part::is_extension(&extension.to_string_lossy()) {
            return Some(Self::Text);
        }
        FORMATS.iter().find(|(name, _)| extension.eq_ignore_ascii_case(name)).map(|(_, format)| *format)
    }

    /// What there is instead of an extension that nobody knows.
    pub fn complaint(path: &Path) -> String {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let known = FORMATS.map(|(name, _)| name);
        let near =
            nearest(&extension, known).map_or(String::new(), |near| format!("; did you mean .{near}?"));
        format!(
            "-o {}: no format has the extension .{extension}{near}; there are .txt (one result per line), .csv, \
             .json, .jsonl, .npy and .h5",
            path.display()
        )
    }
}

/// What the answers of a `map` should look like when they arrive. Workers turn numbers into text, because
/// that takes longer than computing them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
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

impl Form {
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
        Self { rank, pid: std::process::id(), host: crate::report::host() }
    }
}

/// What stands around the numbers of a row.
#[derive(Debug, Default)]
pub struct Frame {
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
    pub fn frame(self, who: Option<&Who>) -> Frame {
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
        let Frame { open, between, close, .. } = self.frame(Some(&widest));
        open.len() + between.len() + close.len() + 2 * WIDEST
    }
}

/// The name of standard output in messages.
pub const STDOUT: &str = "standard output";

/// The answer to one block, or a further piece of one.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// Who answered; `None` for what no worker has lived to answer.
    pub worker: Option<usize>,
    /// The rank that the worker belongs to; the worker's number where there are no ranks.
    pub rank: Option<usize>,
    /// What was asked.
    pub block: Block,
    /// Values, or lines of the section.
    pub items: u64,
    /// The answer.
    pub bytes: &'a [u8],
}

/// Takes answers in block order, each block's pieces one after the other.
pub trait Sink {
    /// Takes one piece.
    ///
    /// # Errors
    /// It cannot be written; the run ends.
    fn take(&mut self, piece: &Piece) -> Result<()>;

    /// What has been taken is to be seen now, as far as that is possible: nothing will come for a while.
    ///
    /// # Errors
    /// It cannot be written; the run ends.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// Everything has been taken: make it last.
    ///
    /// # Errors
    /// It cannot be made to last.
    fn finish(&mut self, report: &Report) -> Result<()>;

    /// The file that every rank writes its own part of, as [`crate::hdf5::SharedFile`]; the sink then takes
    /// pieces without bytes.
    fn shared_file(&self) -> Option<&Path> {
        None
    }

    /// All ranks have closed their ends of that file, which is whole or not.
    fn parts_closed(&mut self, _are_whole: bool) {}

    /// The run has failed: what was taken before is to be kept for the user, under a name that says so.
    fn fail(&mut self) {}
}

/// The sink of a task; `first` is false for all repetitions but the first, which must not write to standard
/// output again and again.
///
/// # Errors
/// A file cannot be created.
pub fn open<'a>(task: &'a Task, facts: &Facts, first: bool) -> Result<Box<dyn Sink + 'a>> {
    // Of a part also the whole, before all parts have been made and cannot be joined.
    for path in task.output_file().into_iter().chain(task.whole_output.as_deref()) {
        if input::file(task).is_some_and(|input| file::is_same(input, path)) {
            return Err(Error::Failed(format!(
                "cannot write {}: it is the input, and would be replaced; give the output another name",
                path.display()
            )));
        }
        file::is_no_folder(path)?;
    }
    let sink: Box<dyn Sink> = match &task.output {
        Output::None => Box::new(Nothing),
        Output::Stdout | Output::People if !first => Box::new(Nothing),
        Output::People => Box::new(people::People::new(task)),
        Output::Stdout => Total::around(task, text::ToStdout::new()?),
        Output::File(path, Format::Hdf5) => crate::hdf5::library()?.create(task, path, facts)?,
        Output::File(path, Format::Npy) => Box::new(npy::ToNpy::create(path, facts.dtype)?),
        Output::File(path, Format::Json) => Total::around(task, json::ToJson::create(task, path)?),
        Output::File(path, Format::Csv) => Total::around(task, csv::create(task, path)?),
        Output::File(path, Format::Text | Format::JsonLines) => {
            Total::around(task, text::ToFile::create(path)?)
        }
    };
    if let (Portion::Part(_), Output::File(path, _)) = (task.portion, &task.output) {
        file::forget(path)?;
    }
    Ok(sink)
}

/// `-o none`.
struct Nothing;

impl Sink for Nothing {
    fn take(&mut self, _piece: &Piece) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _report: &Report) -> Result<()> {
        Ok(())
    }
}

/// The row that says what has been counted.
fn total(task: &Task, tally: &Tally) -> Vec<u8> {
    let Work::Read { file, .. } = &task.work else { return Vec::new() };
    let name = file.name();
    match &task.output {
        Output::File(_, Format::Csv) => csv::total(tally, &name),
        Output::File(_, Format::Json) => json::total(tally, &name, true),
        Output::File(_, Format::JsonLines) => json::total(tally, &name, false),
        _ => text::total(tally, &name),
    }
}

/// What a row of [`total`] says has been counted; `None` when it is no such row of `task`.
fn read_total(task: &Task, row: &[u8]) -> Option<Tally> {
    let numbers = match &task.output {
        Output::File(_, Format::Csv) => csv::read_total(row),
        Output::File(_, Format::Json | Format::JsonLines) => json::read_total(row),
        _ => text::read_total(row),
    };
    let [lines, words, bytes] = numbers?;
    let tally = Tally { lines, words, bytes };
    // Also the file's name.
    (total(task, &tally) == row).then_some(tally)
}

/// The first whole numbers of a text, which `is_between` stand between.
fn first_numbers(text: &[u8], is_between: impl Fn(&u8) -> bool) -> Option<[u64; 3]> {
    let mut words = text.split(is_between).filter(|word| !word.is_empty());
    let mut next = || std::str::from_utf8(words.next()?).ok()?.parse().ok();
    Some([next()?, next()?, next()?])
}

/// Adds up the workers' tallies and writes the sum: as `wc` does, in columns as wide as the number of bytes,
/// or as a row of the format.
struct Total<'a, S> {
    tally: Tally,
    task: &'a Task,
    sink: S,
}

impl<'a, S: Sink + 'a> Total<'a, S> {
    /// `sink`, or where `task` counts, one that adds up for it.
    fn around(task: &'a Task, sink: S) -> Box<dyn Sink + 'a> {
        match task.work {
            Work::Read { action: Do::Count, .. } => Box::new(Self { tally: Tally::default(), task, sink }),
            _ => Box::new(sink),
        }
    }
}

impl<S: Sink> Sink for Total<'_, S> {
    fn take(&mut self, piece: &Piece) -> Result<()> {
        // A worker that failed has sent none.
        if let Some(tally) = Tally::from_bytes(piece.bytes) {
            self.tally.add(&tally);
        }
        Ok(())
    }

    fn finish(&mut self, report: &Report) -> Result<()> {
        let line = total(self.task, &self.tally);
        self.sink.take(&Piece {
            worker: None,
            rank: None,
            block: Block::default(),
            items: 1,
            bytes: &line,
        })?;
        self.sink.finish(report)
    }

    fn fail(&mut self) {
        self.sink.fail();
    }
}
