//! Where blocks come from: values that every worker can find by their numbers, sections of a file that
//! every worker opens, or a stream of values that only rank 0 reads.
//!
//! Of the first two only offsets travel; a stream's values travel in rounds. Nothing here decides who runs
//! a block.

pub mod blocks;
pub mod csv;
mod csv_lines;
pub mod csv_table;
pub mod flat;
#[cfg(feature = "hdf5")]
pub mod hdf5;
pub mod hdf5_library;
pub mod holes;
pub mod json_lines;
mod lines;
mod look;
pub mod npy;
pub mod npy_fields;
mod parsed;
pub mod section;
mod several;
pub mod stamp;
pub mod start;
pub mod sweep;
pub mod text;
pub mod text_lines;
mod typed;

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::blocking::{self, Patient, STDIN, Stdin};
use crate::base::error::{Error, Result};
use crate::base::lanes::Lanes;
use crate::base::signals;
use crate::data::batch::BatchWriter;
use crate::data::dtype::Dtype;
use crate::data::format::{Format, delimiter};
use crate::data::own_row::OwnRow;
use crate::data::schema::{ColumnType, Schema};
use crate::data::texts::Texts;
use crate::job::input::{LinesOf, Numbers, TextFile};
use crate::job::{Task, Work};

pub use holes::Holes;
pub use stamp::Stamp;

/// A stream of rows that rank 0 reads once, front to back.
pub trait Source {
    /// Their columns.
    fn schema(&self) -> Schema;

    /// Fills `batch`, which is empty and of that schema, with the next rows and returns how many: 0 only at the end, and
    /// fewer than there is space for also where the next is long in coming.
    ///
    /// # Errors
    /// What is wrong with the input. Rows before the fault are delivered first, by a shorter fill, so
    /// that what is written before the run stops does not depend on the size of a round.
    fn fill(&mut self, batch: &mut BatchWriter) -> Result<usize>;

    /// How many rows there are in all, where that is known without reading them.
    fn count(&self) -> Option<u64>;

    /// Passes over the next `count` rows, without looking at them more than it takes to tell one from the
    /// next. Returns how many there were: fewer only at the end.
    ///
    /// # Errors
    /// The input cannot be read, or values cannot be told from each other.
    fn skip(&mut self, count: u64) -> Result<u64>;

    /// What the next value is to come from, when it is not here yet.
    fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// What the file that they come from is like now.
    fn stamp(&self) -> Stamp {
        Stamp::NONE
    }
}

/// Rows that each worker finds by their numbers, so that they need not travel.
pub trait Indexed: Send {
    /// Their columns.
    fn schema(&self) -> Schema;

    /// How many there are.
    fn count(&self) -> u64;

    /// Fills `columns`, all of one length, from their fronts with the rows from number `start` on, of which there must
    /// be as many. Returns how many were found, and why not all. What is computed is computed with `lanes`.
    fn fill_at(&mut self, start: u64, columns: &mut [&mut [u64]], lanes: Lanes) -> (usize, Result<()>);

    /// What words of texts among the rows that [`Indexed::fill_at`] found last lead to, where there are such.
    fn memory(&self) -> &[u8] {
        &[]
    }

    /// Which of the rows that [`Indexed::fill_at`] found last have no value, where some may have none.
    fn holes(&self) -> Option<&Holes> {
        None
    }

    /// How many are best asked for at once.
    fn piece(&self) -> usize;

    /// What a user should know of how they are taken.
    fn note(&self) -> Option<String> {
        None
    }

    /// What the file that they come from was like when it was opened.
    fn stamp(&self) -> Stamp {
        Stamp::NONE
    }
}

/// Input metadata, collected on rank 0 when the input is opened, and broadcast.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputInfo {
    /// The columns of the rows of a `map`; none for a `read`.
    pub schema: Schema,
    /// Bytes of the file of a `read`, or values of a `map` that are [`Indexed`], when the run began.
    pub total: u64,
    /// Each worker finds what is in a block by itself: the values of a `map` are [`Indexed`], or it is a `read`.
    pub indexed: bool,
    /// What the file that it all comes from was like when it was opened first.
    pub stamp: Stamp,
}

/// A file of arrays, and what is wanted of it.
#[derive(Debug, Clone, Copy)]
pub struct ArrayFile<'a> {
    /// The file.
    pub path: &'a Path,
    /// Columns or datasets, as typed.
    pub part: Option<&'a str>,
    /// Type that values are to be read as, where that loses nothing.
    pub wanted: Option<Dtype>,
    /// What is done is done with each element of an array, so that its dimensions do not count.
    pub by_element: bool,
    /// Values that are missing are passed over.
    pub may_lack: bool,
}

impl<'a> ArrayFile<'a> {
    /// All elements of the array `part` of the file at `path`, as they are.
    pub fn elements(path: &'a Path, part: Option<&'a str>) -> Self {
        Self { path, part, wanted: None, by_element: true, may_lack: true }
    }
}

enum Values {
    Stream(Box<dyn Source>),
    Indexed(Box<dyn Indexed>),
}

/// Opens the values of a `map`, which so many threads may read.
fn open_values(task: &Task, readers: usize) -> Result<Values> {
    let Work::Map { numbers, dtype, function, .. } = &task.work else {
        return Err(Error::Failed("lines are no values".into()));
    };
    let (dtype, may_lack) = (*dtype, task.keep_going);
    // A program is given texts as they stand there.
    let as_texts = function.as_ref().is_some_and(|function| function.takes_texts());
    let text = |reader: Box<dyn text::Input>, name| -> Result<Values> {
        Ok(Values::Stream(Box::new(text::Text::open(reader, name, dtype, readers, may_lack)?)))
    };
    let lines = |reader: Box<dyn text::Input>, name| -> Values {
        Values::Stream(Box::new(text_lines::TextLines::new(reader, name)))
    };
    Ok(match numbers {
        Numbers::Typed(values) => Values::Stream(Box::new(typed::List::new(values.clone()))),
        Numbers::Words(words) => Values::Stream(Box::new(typed::Words::new(words.clone()))),
        Numbers::Range(range) => Values::Indexed(Box::new(range.clone())),
        Numbers::Sweep(sweep) => {
            Values::Indexed(Box::new(sweep::Combinations::open(sweep, dtype, as_texts, task.seed)?))
        }
        Numbers::Stdin => text(Box::new(Patient(Stdin)), PathBuf::from(STDIN))?,
        Numbers::Lines(LinesOf::Stdin) => lines(Box::new(Patient(Stdin)), PathBuf::from(STDIN)),
        Numbers::Lines(LinesOf::File(path)) => lines(Box::new(open(path)?), path.clone()),
        Numbers::File { path, part, layout, by_element } => {
            let file =
                ArrayFile { path, part: part.as_deref(), wanted: dtype, by_element: *by_element, may_lack };
            match Format::of_name(path) {
                Some(Format::Hdf5) => Values::Indexed(crate::input::hdf5_library::library()?.open(&file)?),
                Some(Format::Npy) => Values::Indexed(npy::open(&file)?),
                _ if delimiter(path).is_some() => {
                    let (reader, part) = (Box::new(open(path)?), part.as_deref());
                    let wanted = wanted(dtype, as_texts);
                    Values::Stream(Box::new(csv_table::Table::open(
                        reader, path, part, layout, wanted, may_lack, readers,
                    )?))
                }
                Some(Format::JsonLines) => {
                    let (reader, part) = (Box::new(open(path)?), part.as_deref());
                    let wanted = wanted(dtype, as_texts);
                    Values::Stream(Box::new(json_lines::Objects::open(
                        reader, path, part, wanted, may_lack, readers,
                    )?))
                }
                Some(Format::Json) => {
                    return Err(Error::Usage(format!(
                        "--from {}: of JSON it is lines that are read, an object on each; of parpy's own results: jq -c \
                         '.results[]' {0} > FILE.jsonl",
                        path.display()
                    )));
                }
                _ if as_texts => lines(Box::new(open(path)?), path.clone()),
                _ => text(Box::new(open(path)?), path.clone())?,
            }
        }
    })
}

/// Type that columns of a table are to be read as, where that is said.
fn wanted(dtype: Option<Dtype>, as_texts: bool) -> Option<ColumnType> {
    if as_texts { Some(ColumnType::Bytes) } else { dtype.map(ColumnType::from) }
}

/// The files that the values or lines of a task come from: one, but of a sweep as many as there are lists.
pub fn files(task: &Task) -> Vec<&Path> {
    match &task.work {
        Work::Map { numbers, .. } => numbers.files(),
        Work::Read { file: TextFile::Path(path), .. } => vec![path],
        Work::Read { file: TextFile::Sample, .. } => Vec::new(),
    }
}

/// The first of them: what a message names.
pub fn file(task: &Task) -> Option<&Path> {
    files(task).first().copied()
}

/// How many values an array of that shape has; `None` for more than their bytes could be counted.
fn count_of(shape: &[u64]) -> Option<u64> {
    let product = |of: u64, n: &u64| of.checked_mul(*n);
    // A dimension of none makes none of all, however large the others.
    if shape.contains(&0) {
        Some(0)
    } else {
        shape.iter().try_fold(1, product).filter(|n| *n <= u64::MAX / 16)
    }
}

/// What is to be said of an array of several dimensions.
fn flattened(name: &Path, shape: &[u64]) -> Option<String> {
    let count = count_of(shape)?;
    let extent = shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ");
    let name = name.display();
    (shape.len() > 1).then(|| format!("{name} has the shape {extent}: taken row by row, as {count} values"))
}

/// The values of a task on a worker, which finds them by itself.
///
/// # Errors
/// They cannot be opened here, or are not as many as rank 0 saw.
pub fn open_indexed(task: &Task, info: &InputInfo) -> Result<Box<dyn Indexed>> {
    let Values::Indexed(values) = open_values(task, 1)? else {
        return Err(Error::Failed("cannot find values by their numbers in a stream".into()));
    };
    match (file(task), values.count()) {
        (Some(path), _) if values.schema() != info.schema => Err(Error::Failed(format!(
            "cannot use {}: its columns are {} here and {} where rank 0 opened it, so it is another file",
            path.display(),
            values.schema(),
            info.schema
        ))),
        (Some(path), count) if count != info.total => Err(Error::Failed(format!(
            "cannot use {}: it has {count} values here and {} where rank 0 opened it, so it is another file",
            path.display(),
            info.total
        ))),
        (Some(path), _) => info.stamp.check(values.stamp(), path).map(|()| values),
        (None, _) => Ok(values),
    }
}

/// The row of a task whose number is `row`, where workers find rows by themselves.
///
/// # Errors
/// As those of [`open_indexed`], or there is no such row.
pub fn row_at(task: &Task, info: &InputInfo, row: u64) -> Result<OwnRow> {
    let mut words = vec![0; info.schema.len()];
    let mut space: Vec<&mut [u64]> = words.iter_mut().map(std::slice::from_mut).collect();
    let mut source = open_indexed(task, info)?;
    let (found, fault) = source.fill_at(row, &mut space, Lanes::best());
    let lacks = |column: usize| {
        source.holes().and_then(|holes| holes.of_column(column)).is_some_and(|lacking| lacking.has(0))
    };
    let texts = Texts { input: source.memory(), made: &[] };
    let found = if found == 1 { OwnRow::of_words(&info.schema, &words, texts, lacks) } else { None };
    fault.and_then(|()| found.ok_or_else(|| Error::Failed(format!("cannot find row no. {}", row + 1))))
}

/// What the input of a task is like now, where it is a file.
///
/// # Errors
/// It cannot be opened.
pub fn stamp_now(task: &Task) -> Result<Stamp> {
    let at = |path: &Path| Stamp::at(path).map_err(|e| Error::io("open", path, &e));
    match &task.work {
        Work::Read { file: TextFile::Path(path), .. } => at(path),
        Work::Map { numbers, .. } if numbers.is_stdin() => Ok(Stamp::of_descriptor(std::io::stdin().as_fd())),
        Work::Map { numbers: Numbers::Lines(LinesOf::File(path)), .. } => at(path),
        Work::Map { numbers: Numbers::Sweep(sweep), .. } => sweep::stamp_now(sweep),
        Work::Map { numbers: Numbers::File { path, .. }, .. } => match Format::of_name(path) {
            // It may refer to others.
            Some(Format::Hdf5) => match open_values(task, 1)? {
                Values::Indexed(values) => Ok(values.stamp()),
                Values::Stream(_) => Ok(Stamp::NONE),
            },
            _ => at(path),
        },
        _ => Ok(Stamp::NONE),
    }
}

/// Checks that the input of a task is still what `info` say that it was.
///
/// # Errors
/// It is not, or is gone.
pub fn check_same(task: &Task, info: &InputInfo) -> Result<()> {
    if info.stamp.is_none() {
        return Ok(());
    }
    let path = file(task).unwrap_or(Path::new(STDIN));
    match stamp_now(task) {
        Ok(now) => info.stamp.check(now, path),
        Err(stop @ Error::Interrupted(_)) => Err(stop),
        Err(_) => Err(stamp::changed(path, "it has gone or is another file")),
    }
}

/// That of a text, opened as `file`. The sample is each worker's own.
fn text_stamp(text: &TextFile, file: &File) -> Stamp {
    match text {
        TextFile::Sample => Stamp::NONE,
        TextFile::Path(_) => Stamp::of(file),
    }
}

/// How long to wait for more before working on what is there: longer than between two writes of a program
/// that writes as fast as it can, and not so long that anybody who types would notice.
const A_MOMENT: Duration = Duration::from_millis(10);

impl<R: Read + AsFd> text::Input for Patient<R> {
    fn comes_soon(&self) -> bool {
        signals::is_readable_within(self.0.as_fd(), A_MOMENT)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

/// Opens a file that is read front to back; a pipe will do.
///
/// # Errors
/// It is missing, unreadable, or a directory.
pub fn open(path: &Path) -> Result<Patient<File>> {
    let file = blocking::open(path).map_err(|e| Error::io("open", path, &e))?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err(Error::Failed(format!("cannot read {}: it is a directory", path.display())));
    }
    Ok(Patient(file))
}

/// Bytes of the largest file that is read at once, such as a job file.
const SMALL: u64 = 16 << 20;

/// All that is in a job file, or in another file that is small by its nature.
///
/// # Errors
/// It cannot be opened or read, or is so large that it must be something else.
pub fn read_small(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(SMALL + 1).read_to_end(&mut bytes);
    if read.map_err(|e| Error::io("read", path, &e))? as u64 > SMALL {
        return Err(Error::Failed(format!(
            "cannot read {}: it has more than {} MiB, which no job file and no study has",
            path.display(),
            SMALL >> 20
        )));
    }
    Ok(bytes)
}

/// Opens what several workers can read, each at its own offsets.
///
/// # Errors
/// It is missing, a directory, or no regular file.
pub fn open_regular(path: &Path) -> Result<File> {
    // Looked at before it is opened, because opening a FIFO waits for its writer.
    let kind = fs::metadata(path).map_err(|e| Error::io("open", path, &e))?;
    if kind.is_dir() {
        return Err(Error::Failed(format!("cannot read {}: it is a directory", path.display())));
    }
    if !kind.is_file() {
        return Err(Error::Failed(format!(
            "cannot read {}: it is read at many places at once, and this is not a regular file (save it to one \
             first)",
            path.display()
        )));
    }
    File::open(path).map_err(|e| Error::io("open", path, &e))
}

/// Opens a text for reading by sections, and says how many bytes it has.
///
/// # Errors
/// Missing, unreadable, or no regular file: sections need a file that has a size and can be read at any
/// offset.
pub fn open_text(text: &TextFile) -> Result<(File, u64)> {
    let path = match text {
        TextFile::Sample => return section::sample(),
        TextFile::Path(path) => path,
    };
    let file = open_regular(path)?;
    let len = file.metadata().map_err(|e| Error::io("examine", path, &e))?.len();
    if len == 0 && section::has_hidden_bytes(&file) {
        return Err(Error::Failed(format!(
            "cannot read {} by sections: the system makes it up as it is read, and gives no size \
             (copy it to a real file first)",
            path.display()
        )));
    }
    Ok((file, len))
}
