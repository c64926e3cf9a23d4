//! Where answers go, in block order. One file per kind of output, behind one seam; only rank 0 has one.

mod people;
mod text;

use crate::error::Result;
use crate::function::lines::Tally;
use crate::input::Block;
use crate::job::{Do, Output, Task, Work};
use crate::report::Report;

/// What the answers of a `map` should look like when they arrive. Workers turn numbers into text, because
/// that takes longer than computing them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// 64-bit numbers, little-endian, one after the other.
    Raw,
    /// One per line.
    Text,
    /// One per line, behind its value and before the process that computed it.
    Who,
}

impl Form {
    /// The form in which the output of `task` wants its answers.
    pub fn of(task: &Task) -> Self {
        match (&task.output, &task.work) {
            (Output::None, _) => Self::Raw,
            (Output::Stdout | Output::File(_), Work::Map { who: true, .. }) => Self::Who,
            _ => Self::Text,
        }
    }
}

/// The name of standard output in messages.
pub const STDOUT: &str = "standard output";

/// The answer to one block, or a further piece of one.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// Who answered.
    pub worker: usize,
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

    /// The run has failed: what was taken before is to be kept for the user, under a name that says so.
    fn fail(&mut self) {}
}

/// The sink of a task; `first` is false for all repetitions but the first, which must not write to standard
/// output again and again.
///
/// # Errors
/// A file cannot be created.
pub fn open(task: &Task, first: bool) -> Result<Box<dyn Sink + '_>> {
    let sink: Box<dyn Sink> = match &task.output {
        Output::None => Box::new(Nothing),
        Output::File(path) => Box::new(text::ToFile::create(path)?),
        Output::Stdout | Output::People if !first => Box::new(Nothing),
        Output::Stdout => Box::new(text::ToStdout::new()),
        Output::People => return Ok(Box::new(people::People::new(task))),
    };
    Ok(match &task.work {
        Work::Read { file, action: Do::Count } => {
            Box::new(Total { tally: Tally::default(), name: file.name(), sink })
        }
        _ => sink,
    })
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

/// Adds up the workers' tallies and writes the sum as `wc` does: columns as wide as the number of bytes.
struct Total {
    tally: Tally,
    name: std::path::PathBuf,
    sink: Box<dyn Sink>,
}

impl Sink for Total {
    fn take(&mut self, piece: &Piece) -> Result<()> {
        // A worker that failed has sent none.
        if let Some(tally) = Tally::from_bytes(piece.bytes) {
            self.tally.add(&tally);
        }
        Ok(())
    }

    fn finish(&mut self, report: &Report) -> Result<()> {
        let Tally { lines, words, bytes } = self.tally;
        let width = bytes.to_string().len();
        let mut line = format!("{lines:>width$} {words:>width$} {bytes:>width$} ").into_bytes();
        // As it is: a file's name need not be UTF-8.
        line.extend_from_slice(self.name.as_os_str().as_encoded_bytes());
        line.push(b'\n');
        self.sink.take(&Piece { worker: 0, block: Block::default(), items: 1, bytes: &line })?;
        self.sink.finish(report)
    }

    fn fail(&mut self) {
        self.sink.fail();
    }
}
