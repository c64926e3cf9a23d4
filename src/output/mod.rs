//! Where answers go, in block order. One file per format, behind one seam; only rank 0 has one.

mod csv;
mod demo;
pub mod encode;
#[cfg(feature = "hdf5")]
pub mod hdf5;
pub mod hdf5_library;
pub mod items;
mod json;
mod npy;
pub mod open_answers;
pub mod packed;
pub mod provenance;
pub mod quote;
pub mod reader;
mod reduced;
mod text;

use std::path::Path;

use crate::base::atomic_file;
use crate::base::error::{Error, Result};
use crate::data::block::Block;
use crate::data::format::Format;
use crate::input;
use crate::job::Task;
use crate::job::output::Output;
use crate::job::shard::ShardMode;
use crate::observe::report::Report;
use crate::op::Bound;

/// The answer to one block, or a further piece of one.
#[derive(Debug, Default, Clone, Copy)]
pub struct ResultChunk<'a> {
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
    fn take(&mut self, chunk: &ResultChunk) -> Result<()>;

    /// The answers of `task`, whose type has been open, are as `bound` has them. Before the first piece.
    fn answers_are(&mut self, _task: &Task, _bound: &Bound) {}

    /// The answer to a block, of which some pieces have been taken, is given anew, in other pieces: what is taken only
    /// with the whole of it is to be forgotten.
    fn forget_begun(&mut self) {}

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

    /// The names and values of the row that all rows have been reduced to, where there is one; when all is finished.
    fn reduced(&self) -> Vec<(String, f64)> {
        Vec::new()
    }

    /// The file that every rank writes its own part of, as [`crate::output::hdf5_library::SharedFile`]; the sink then takes
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
pub fn open<'a>(task: &'a Task, bound: &Bound, first: bool) -> Result<Box<dyn Sink + 'a>> {
    // Of a part also the whole, before all parts have been made and cannot be joined.
    for path in task.output_file().into_iter().chain(task.whole_output.as_deref()) {
        if input::files(task).iter().any(|input| atomic_file::is_same(input, path)) {
            return Err(Error::Failed(format!(
                "cannot write {}: it is the input, and would be replaced; give the output another name",
                path.display()
            )));
        }
        atomic_file::is_no_folder(path)?;
    }
    let sink: Box<dyn Sink> = match &task.output {
        Output::None => Box::new(Nothing),
        Output::Stdout | Output::People if !first => Box::new(Nothing),
        Output::People if bound.reduce.is_none() => Box::new(demo::DemoReport::new(task)),
        Output::Stdout | Output::People => Box::new(text::ToStdout::new()?),
        Output::File(path, Format::Hdf5) => {
            crate::output::hdf5_library::library()?.create(task, path, bound)?
        }
        Output::File(path, Format::Npy) => Box::new(npy::ToNpy::create(task, path, bound)?),
        Output::File(path, Format::Json) => Box::new(json::ToJson::create(task, path)?),
        Output::File(path, Format::Csv) => Box::new(csv::create(task, path, bound)?),
        Output::File(path, Format::Text | Format::JsonLines) => Box::new(text::ToFile::create(path)?),
    };
    if let (ShardMode::Shard(_), Output::File(path, _)) = (task.portion, &task.output) {
        atomic_file::forget(path)?;
    }
    // HDF5 keeps what each section comes to.
    let keeps_states = bound.state_of_section().is_some() && task.needs_hdf5();
    Ok(match bound.accumulator(task).filter(|_| !keeps_states) {
        Some(states) => Box::new(reduced::ToReduced::new(task, states, bound.table(), sink)),
        None => sink,
    })
}

/// `-o none`.
struct Nothing;

impl Sink for Nothing {
    fn take(&mut self, _piece: &ResultChunk) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _report: &Report) -> Result<()> {
        Ok(())
    }
}
