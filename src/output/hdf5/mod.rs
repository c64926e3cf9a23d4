//! HDF5 files: for a map the datasets `/input` and `/output` (and `/rank` with `--who`, and `/failed`, the
//! numbers of the values without an answer), for a count of lines the table `/sections`; for both the table
//! `/workers`, and where it all came from as attributes of the file.

mod dataset;
mod reader;
#[cfg(feature = "mpio")]
mod shared;
pub mod tables;

use std::borrow::Cow;
use std::io;
use std::path::Path;

use ::hdf5::File;
use ::hdf5::types::VarLenUnicode;
use dataset::{AnyColumn, GrowingColumn};
use tables::Section;

use crate::base::atomic_file::AtomicFile;
use crate::base::error::{Error, Result};
use crate::base::fmt::counted;
use crate::base::isolate;
use crate::base::names::Alias;
use crate::data::schema::{ColumnType, Field};
use crate::input;
use crate::input::hdf5_library::plain;
use crate::input::section::SectionReader;
use crate::job::Task;
use crate::observe::report::Report;
use crate::op::Bound;
use crate::op::lines::Tally;
use crate::output::hdf5_library::Hdf5Outputs;
#[cfg(feature = "mpio")]
use crate::output::hdf5_library::{SharedFile, SharedFilePlan};
use crate::output::packed::{self, unpack};
use crate::output::provenance::{JOB, Origin};
use crate::output::reader::ResultReader;
use crate::output::{ResultChunk, Sink};

/// This program is linked with HDF5.
pub fn provide() {
    crate::output::hdf5_library::provide(&Linked);
}

/// HDF5, as this program is linked with it.
struct Linked;

impl Hdf5Outputs for Linked {
    fn create<'a>(&self, task: &'a Task, path: &Path, bound: &Bound) -> Result<Box<dyn Sink + 'a>> {
        #[cfg(feature = "mpio")]
        if shared::serves(task, bound) {
            return Ok(Box::new(shared::ToShared::create(task, path)?));
        }
        Ok(Box::new(ToHdf5::create(task, path, bound)?))
    }

    #[cfg(feature = "mpio")]
    fn join(
        &self,
        task: &Task,
        bound: &Bound,
        plan: &SharedFilePlan,
        rank: usize,
        over: mpi::ffi::MPI_Comm,
    ) -> Result<Box<dyn SharedFile>> {
        Ok(Box::new(shared::RankFile::create(task, bound, plan, rank, over)?))
    }

    fn job(&self, path: &Path) -> Result<String> {
        isolate::read(path, || {
            let file = input::hdf5::open_hdf5(path)?;
            let job = file.attr(JOB).and_then(|attribute| attribute.read_scalar::<VarLenUnicode>());
            job.map(|text| crate::input::hdf5_library::words(&text)).map_err(|_| Error::no_job(path))
        })
    }

    fn read_back(&self, task: &Task, path: &Path, bound: &Bound) -> Result<Box<dyn ResultReader>> {
        reader::open(task, path, bound)
    }
}

/// A file on its way.
struct ToHdf5<'a> {
    origin: Origin<'a>,
    atomic: AtomicFile,
    /// `None` when it has been closed.
    file: Option<File>,
    tables: Tables,
    /// A write has failed.
    is_broken: bool,
}

/// What is written while answers arrive.
enum Tables {
    /// Of a map.
    Values(Box<Values>),
    /// Of a count of lines, and where the next section starts.
    Sections(GrowingColumn<Section>, u64),
}

/// Names and types of the datasets with the columns of results.
fn columns(bound: &Bound) -> impl Iterator<Item = (String, ColumnType)> {
    let own = ["rank", "failed", "workers", SECTIONS];
    bound.table().fields.into_iter().map(move |Field { name, dtype }| {
        // A slash would be a group.
        let name = name.replace('/', "_");
        let name = if own.contains(&&*name) || name == "." { name + "_" } else { name };
        (name, dtype)
    })
}

/// The table of a count of lines.
const SECTIONS: &str = "sections";

/// In `/rank` for a value that no worker has lived to answer.
const NOBODY: u32 = u32::MAX;

/// The datasets of a map.
struct Values {
    /// Columns of the input, and the answers.
    columns: Vec<AnyColumn>,
    rank: Option<GrowingColumn<u32>>,
    /// Where items are passed over.
    failed: Option<GrowingColumn<u64>>,
    /// Where there are texts, the beginning of a row that has come in part.
    rows: Option<Vec<u8>>,
}

impl<'a> ToHdf5<'a> {
    fn create(task: &'a Task, path: &Path, bound: &Bound) -> Result<Self> {
        // Not `create`, which would empty a file that is there: ext4 then writes all of it to the disk when it
        // is closed, which takes as long as the job.
        let create = |new: &Path| {
            let alias = Alias::of(new)?;
            File::create_excl(alias.path()).map_err(|e| io::Error::other(cannot_write(path, &e)))
        };
        let (atomic, file) = AtomicFile::create_by(path, create)?;
        let compress = task.compress;
        let tables = match task.work.text() {
            None => Tables::Values(Box::new(Values::new(task, bound))),
            Some(file) => {
                // Of a part, behind those of the parts before it.
                let first = match task.share.of(bound.info.total).start {
                    0 => 0,
                    at => SectionReader::open(file, &bound.info)?.line_from(at)?,
                };
                Tables::Sections(GrowingColumn::new(SECTIONS, compress), first)
            }
        };
        Ok(Self { origin: Origin::of(task), atomic, file: Some(file), tables, is_broken: false })
    }

    /// Does `step` with the open file, and remembers when it fails.
    fn with<T>(&mut self, step: impl FnOnce(&File, &mut Tables) -> ::hdf5::Result<T>) -> Result<T> {
        let Some(file) = &self.file else {
            return Err(Error::Failed(format!(
                "cannot write {}: it is closed",
                self.atomic.path().display()
            )));
        };
        let outcome = step(file, &mut self.tables);
        self.is_broken |= outcome.is_err();
        outcome.map_err(|e| cannot_write(self.atomic.path(), &e))
    }

    fn close(&mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let closed = file.close();
        self.is_broken |= closed.is_err();
        closed.map_err(|e| cannot_write(self.atomic.path(), &e))
    }
}

impl Values {
    fn new(task: &Task, bound: &Bound) -> Self {
        let compress = task.compress;
        Self {
            columns: columns(bound).map(|(name, dtype)| AnyColumn::new(dtype, &name, compress)).collect(),
            rows: bound.table().has_texts().then(Vec::new),
            rank: task.work.says_who().then(|| GrowingColumn::new("rank", compress)),
            failed: task.keep_going.then(|| GrowingColumn::new("failed", compress)),
        }
    }

    /// Rows so far.
    fn len(&self) -> usize {
        self.columns.first().map_or(0, AnyColumn::len)
    }

    /// Takes columns that lie one behind the other, with a byte for each row behind them where items are passed over.
    fn take(&mut self, file: &File, chunk: &ResultChunk) -> ::hdf5::Result<()> {
        if let Some(mut waiting) = self.rows.take() {
            waiting.extend_from_slice(chunk.bytes);
            let used = self.take_rows(file, &waiting, chunk.rank);
            waiting.drain(..*used.as_ref().unwrap_or(&0));
            self.rows = Some(waiting);
            return used.map(drop);
        }
        let width = self.columns.len() * size_of::<u64>() + usize::from(self.failed.is_some());
        let count = chunk.bytes.len() / width;
        let (numbers, gaps) = chunk.bytes.split_at(count * self.columns.len() * size_of::<u64>());
        let first = self.len();
        if let Some(failed) = &mut self.failed {
            for (place, _) in gaps.iter().enumerate().filter(|(_, gap)| **gap != 0) {
                failed.push(file, &[(first + place) as u64])?;
            }
        }
        let runs = numbers.chunks_exact(count.max(1) * size_of::<u64>());
        self.columns.iter_mut().zip(runs).try_for_each(|(column, run)| column.push(file, &words(run)))?;
        self.rank.as_mut().map_or(Ok(()), |rank| {
            rank.push(file, &vec![chunk.rank.map_or(NOBODY, |rank| rank as u32); count])
        })
    }

    /// Takes the rows that `bytes` begin with, as [`crate::output::packed`] has them. Returns how many bytes those are.
    fn take_rows(&mut self, file: &File, bytes: &[u8], rank: Option<usize>) -> ::hdf5::Result<usize> {
        let dtypes: Vec<ColumnType> = self.columns.iter().map(AnyColumn::dtype).collect();
        let mut rest = bytes;
        while let Some((fields, has_gap)) = unpack(&mut rest, dtypes.iter().copied(), self.failed.is_some()) {
            if let Some(failed) = self.failed.as_mut().filter(|_| has_gap) {
                let row = self.columns.first().map_or(0, AnyColumn::len);
                failed.push(file, &[row as u64])?;
            }
            for (column, field) in self.columns.iter_mut().zip(fields) {
                match field {
                    packed::Field::Number(bits) => column.push(file, &[bits])?,
                    packed::Field::Text(text) => column.push_text(file, text)?,
                }
            }
            if let Some(ranks) = &mut self.rank {
                ranks.push(file, &[rank.map_or(NOBODY, |rank| rank as u32)])?;
            }
        }
        Ok(bytes.len() - rest.len())
    }

    fn close(&mut self, file: &File) -> ::hdf5::Result<()> {
        self.columns.iter_mut().try_for_each(|column| column.close(file))?;
        self.rank.as_mut().map_or(Ok(()), |rank| rank.close(file))?;
        self.failed.as_mut().map_or(Ok(()), |failed| failed.close(file))
    }
}

impl Tables {
    /// Writes what waits.
    fn close(&mut self, file: &File) -> ::hdf5::Result<()> {
        match self {
            Self::Values(values) => values.close(file),
            Self::Sections(sections, _) => sections.close(file),
        }
    }

    /// What there is so far; `None` where there is nothing.
    fn done(&self) -> Option<String> {
        let (count, what) = match self {
            Self::Values(values) => (values.len(), "value"),
            Self::Sections(sections, _) => (sections.len(), "section"),
        };
        (count > 0).then(|| counted(count as u64, what))
    }

    fn take(&mut self, file: &File, chunk: &ResultChunk) -> ::hdf5::Result<()> {
        match self {
            Self::Values(values) => values.take(file, chunk),
            Self::Sections(sections, next) => {
                // A worker that failed has counted none.
                let Some(Tally { lines, words, bytes }) = Tally::from_bytes(chunk.bytes) else {
                    return Ok(());
                };
                let start = *next;
                *next += bytes;
                sections.push(file, &[Section { start, end: *next, lines, words, bytes }])
            }
        }
    }
}

/// Bytes as words, without a copy where they lie as words must.
fn words(bytes: &[u8]) -> Cow<'_, [u64]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(words) => Cow::Borrowed(words),
        Err(_) => Cow::Owned(bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect()),
    }
}

impl Sink for ToHdf5<'_> {
    fn answers_are(&mut self, task: &Task, bound: &Bound) {
        self.tables = Tables::Values(Box::new(Values::new(task, bound)));
    }

    fn take(&mut self, chunk: &ResultChunk) -> Result<()> {
        self.with(|file, tables| tables.take(file, chunk))
    }

    fn finish(&mut self, report: &Report) -> Result<()> {
        let origin = self.origin.complete(report)?;
        self.with(|file, tables| tables.close(file))?;
        self.with(|file, _| tables::write(file, report, &origin))?;
        self.close()?;
        self.atomic.publish()
    }

    fn fail(&mut self) {
        // The run has failed already, and says why. What is kept should open, so nothing is kept of a file
        // that could not be written.
        if !self.is_broken && self.tables.done().is_some() {
            let _ = self.with(|file, tables| tables.close(file));
        }
        let _ = self.close();
        self.atomic.keep(self.tables.done().filter(|_| !self.is_broken).as_deref());
    }
}

fn cannot_write(path: &Path, error: &::hdf5::Error) -> Error {
    Error::Failed(format!("cannot write {}: {}", path.display(), plain(error)))
}
