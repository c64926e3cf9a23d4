//! Where blocks come from: values that only rank 0 reads, or sections of a file that every worker opens.
//!
//! Values travel from rank 0 in rounds; of a file only offsets do. Nothing here decides who runs a block.

mod npy;
pub mod section;
mod text;
mod typed;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::cut;
use crate::error::{Error, Result};
use crate::job::{Dtype, Numbers, Task, TextFile, Work};
use crate::pattern::Layout;

pub use typed::{Range, Typed};

/// A stream of 64-bit numbers that rank 0 reads once, front to back.
pub trait Source {
    /// Fills `room` from its front with the next values (the bits of an `i64` or an `f64`, as the source's
    /// [`Dtype`] says) and returns how many: fewer than `room.len()` only at the end.
    ///
    /// # Errors
    /// What is wrong with the input. Values before the fault are delivered first, by a shorter fill, so
    /// that what is written before the run stops does not depend on the size of a round.
    fn fill(&mut self, room: &mut [u64]) -> Result<usize>;

    /// How many values there are in all, where that is known without reading them.
    fn count(&self) -> Option<u64>;
}

/// What only rank 0 knows before the run; every other rank is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Type of the values of a `map`.
    pub dtype: Dtype,
    /// Bytes of the file of a `read`, when the run began.
    pub file_len: u64,
}

/// One unit of work: the values `start..end` of the stream, or the section of a file that begins as the
/// bytes `start..end` (before its ends move to starts of lines).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Block {
    /// First value or byte.
    pub start: u64,
    /// One past the last.
    pub end: u64,
}

impl Block {
    /// Values, or bytes before the ends move.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Nothing in it?
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// The blocks of one task in order, a round at a time: at most one block per worker and round, so that
/// what is in flight is bounded whatever the size of the input.
pub enum Feed {
    /// Values, read on rank 0.
    Values {
        /// Where they come from.
        source: Box<dyn Source>,
        /// Values handed out so far.
        next: u64,
        /// The source has ended.
        ended: bool,
    },
    /// Sections of a file, which nobody reads here.
    Sections {
        /// Length of the file in bytes.
        file_len: u64,
        /// Sections handed out so far.
        next: u64,
        /// Sections in all: a whole number of rounds.
        parts: u64,
    },
}

impl Feed {
    /// Opens the input of a task on rank 0.
    ///
    /// # Errors
    /// The input is missing, unreadable, or not what its name says.
    pub fn open(task: &Task, layout: &Layout) -> Result<(Self, Facts)> {
        match &task.work {
            Work::Map { numbers, dtype, .. } => {
                if let Numbers::File(path) = numbers
                    && task.repeat > 1
                    && fs::metadata(path).is_ok_and(|meta| !meta.is_file())
                {
                    return Err(Error::once_only(path));
                }
                let (source, dtype) = open_numbers(numbers, *dtype)?;
                Ok((Self::Values { source, next: 0, ended: false }, Facts { dtype, file_len: 0 }))
            }
            Work::Read { file, .. } => {
                let file_len = open_text(file)?.1;
                let parts = cut::parts_in_rounds(file_len, layout.workers as u64, layout.section_bytes);
                Ok((Self::Sections { file_len, next: 0, parts }, Facts { dtype: Dtype::I64, file_len }))
            }
        }
    }

    /// The blocks of the next round, in order, one per worker; their values stand in `room` one after the
    /// other. `None` at the end.
    ///
    /// # Errors
    /// As [`Source::fill`].
    pub fn next_round(&mut self, workers: usize, room: &mut [u64]) -> Result<Option<Vec<Block>>> {
        match self {
            Self::Values { source, next, ended } => {
                if *ended {
                    return Ok(None);
                }
                let count = source.fill(room)?;
                // A short fill can also mean that a fault comes next, so only an empty one is the end.
                if count == 0 {
                    *ended = true;
                    return Ok(None);
                }
                let first = *next;
                *next += count as u64;
                Ok(Some(blocks(count as u64, workers as u64, 0..workers as u64, first)))
            }
            Self::Sections { file_len, next, parts } => {
                if next == parts {
                    return Ok(None);
                }
                let round = *next..*next + workers as u64;
                *next = round.end;
                Ok(Some(blocks(*file_len, *parts, round, 0)))
            }
        }
    }

    /// Bytes of values or of the file that this feed will hand out, where that is known.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::Values { source, .. } => source.count().map(|n| n.saturating_mul(8)),
            Self::Sections { file_len, .. } => Some(*file_len),
        }
    }
}

fn blocks(n: u64, k: u64, which: std::ops::Range<u64>, first: u64) -> Vec<Block> {
    which.map(|i| cut::part(n, k, i)).map(|p| Block { start: first + p.start, end: first + p.end }).collect()
}

fn open_numbers(numbers: &Numbers, dtype: Option<Dtype>) -> Result<(Box<dyn Source>, Dtype)> {
    Ok(match numbers {
        Numbers::Typed(values) => (Box::new(values.clone()), values.dtype),
        Numbers::Range(range) => (Box::new(range.clone()), range.dtype()),
        Numbers::Stdin => {
            let dtype = dtype.unwrap_or(Dtype::I64);
            let name = PathBuf::from("standard input");
            (Box::new(text::Text::new(Box::new(std::io::stdin()), name, dtype)), dtype)
        }
        Numbers::File(path) if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy")) => {
            npy::open(path, dtype)?
        }
        Numbers::File(path) => {
            let dtype = dtype.unwrap_or(Dtype::I64);
            (Box::new(text::Text::new(Box::new(open(path)?), path.clone(), dtype)), dtype)
        }
    })
}

/// Opens a file that is read front to back; a pipe will do.
fn open(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|e| Error::io("open", path, &e))?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err(Error::Failed(format!("cannot read {}: it is a directory", path.display())));
    }
    Ok(file)
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
    // Looked at before it is opened, because opening a named pipe waits for its writer.
    let kind = fs::metadata(path).map_err(|e| Error::io("open", path, &e))?;
    if kind.is_dir() {
        return Err(Error::Failed(format!("cannot read {}: it is a directory", path.display())));
    }
    if !kind.is_file() {
        return Err(Error::Failed(format!(
            "cannot read {} by sections: it is not a regular file (save it to one first)",
            path.display()
        )));
    }
    let file = File::open(path).map_err(|e| Error::io("open", path, &e))?;
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
