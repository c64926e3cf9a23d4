//! HDF5 files of results read back, dataset by dataset, a chunk at a time.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use ::hdf5::{Dataset, File};

use super::dataset::CHUNK;
use super::tables::Section;
use super::{NOBODY, SECTIONS};
use crate::base::error::{Error, Result};
use crate::data::dtype::Dtype;
use crate::data::schema::{ColumnType, Schema};
use crate::input::ArrayFile;
use crate::input::hdf5::{open as open_dataset, open_hdf5, probe};
use crate::input::hdf5_library::plain;
use crate::job::{Task, Unit};
use crate::op::Bound;
use crate::op::lines::Tally;
use crate::output::reader::{Columns, ReadChunk, ResultReader, check_job, damaged};

/// See [`crate::output::hdf5_library::Hdf5Outputs::read_back`].
pub fn open(task: &Task, path: &Path, bound: &Bound) -> Result<Box<dyn ResultReader>> {
    check_job(task, path, crate::output::hdf5_library::library()?.job(path).ok().as_deref())?;
    if task.work.unit() == Unit::Bytes {
        return Ok(Box::new(Sections::open(path)?));
    }
    let column = |name: &str, dtype: Dtype| {
        Columns::new(
            path,
            name,
            open_dataset(&ArrayFile::elements(path, Some(name)))?,
            &Schema::single("", dtype),
        )
    };
    let of_result = |(name, dtype): (String, ColumnType)| {
        // Parts have no texts.
        let dtype = dtype.number().unwrap_or(Dtype::I64);
        let name = format!("/{name}");
        probe(&ArrayFile::elements(path, Some(&name)))?;
        column(&name, dtype)
    };
    let columns = super::columns(bound).map(of_result).collect::<Result<Vec<_>>>()?;
    let rank = task.work.says_who().then(|| column("/rank", Dtype::I64)).transpose()?;
    // Only of a run that has passed over some, or would have.
    let has_gaps = open_hdf5(path)?.link_exists("failed");
    let failed = has_gaps.then(|| column("/failed", Dtype::I64)).transpose()?;
    let mut lengths = columns.iter().chain(&rank).map(Columns::count);
    let first = lengths.next();
    if lengths.any(|count| Some(count) != first) {
        return Err(damaged(path, "its datasets are not of the same length"));
    }
    Ok(Box::new(Values {
        path: path.to_owned(),
        columns,
        rank,
        failed,
        keep_going: task.keep_going,
        waiting: VecDeque::new(),
        gaps: VecDeque::new(),
    }))
}

/// The datasets of a map.
struct Values {
    path: PathBuf,
    columns: Vec<Columns>,
    rank: Option<Columns>,
    failed: Option<Columns>,
    /// The sink wants to know which have no answer.
    keep_going: bool,
    /// Ranks of the values to come, as far as they have been read.
    waiting: VecDeque<u64>,
    /// The numbers of the next values without an answer, as far as they have been read.
    gaps: VecDeque<u64>,
}

impl Values {
    /// How many of the next `most` values have been answered by the same rank, and which. None where there are
    /// none.
    fn run(&mut self, most: u64) -> Result<(u64, Option<usize>)> {
        let Some(rank) = &mut self.rank else { return Ok((most, None)) };
        if self.waiting.is_empty() {
            self.waiting.extend(rank.take(CHUNK as u64)?);
        }
        let Some(first) = self.waiting.front().copied() else { return Ok((0, None)) };
        let count = self.waiting.iter().take(most as usize).take_while(|rank| **rank == first).count();
        self.waiting.drain(..count);
        Ok((count as u64, Some(first).filter(|rank| *rank != u64::from(NOBODY)).map(|rank| rank as usize)))
    }

    /// Marks the gaps among the values from number `start` on, a byte for each. Returns how many there are.
    fn mark(&mut self, start: u64, marks: &mut [u8]) -> Result<u64> {
        let (mut found, end) = (0, start + marks.len() as u64);
        let Some(failed) = &mut self.failed else { return Ok(0) };
        loop {
            if self.gaps.is_empty() {
                self.gaps.extend(failed.take(CHUNK as u64)?);
            }
            match self.gaps.front() {
                Some(place) if (start..end).contains(place) => {
                    marks[(place - start) as usize] = 1;
                    found += 1;
                    self.gaps.pop_front();
                }
                _ => return Ok(found),
            }
        }
    }
}

impl ResultReader for Values {
    fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<ReadChunk>> {
        let (items, rank) = self.run(CHUNK as u64)?;
        let start = self.columns.first().map_or(0, Columns::taken);
        bytes.clear();
        let mut count = 0;
        for column in &mut self.columns {
            let numbers = column.take(items)?;
            bytes.extend_from_slice(bytemuck::cast_slice(&numbers));
            count = numbers.len();
        }
        let items = count as u64;
        let mut marks = vec![0; count];
        let failed = self.mark(start, &mut marks)?;
        if self.keep_going {
            bytes.extend_from_slice(&marks);
        }
        if items == 0 && !self.gaps.is_empty() {
            return Err(damaged(&self.path, "it lists values without an answer that it does not hold"));
        }
        Ok((items > 0).then_some(ReadChunk { items, failed, rank, ..ReadChunk::default() }))
    }
}

/// The table of a count of lines.
struct Sections {
    dataset: Dataset,
    path: PathBuf,
    next: usize,
    waiting: VecDeque<Section>,
    /// Below the dataset, because fields are dropped in order.
    _file: File,
}

impl Sections {
    fn open(path: &Path) -> Result<Self> {
        let file = open_hdf5(path)?;
        let dataset = file.dataset(SECTIONS).map_err(|_| damaged(path, "it holds no counts of sections"))?;
        // So that nothing need be converted, which the library does beyond the end of a damaged type's rows.
        if !dataset.dtype().is_ok_and(|dtype| dtype.is::<Section>()) {
            return Err(damaged(path, "its rows are not counts as parpy writes them"));
        }
        Ok(Self { dataset, path: path.to_owned(), next: 0, waiting: VecDeque::new(), _file: file })
    }

    fn read_more(&mut self) -> Result<()> {
        let end = self.dataset.size().min(self.next + CHUNK);
        if self.next < end {
            let rows = self.dataset.read_slice_1d::<Section, _>(self.next..end);
            let rows = rows
                .map_err(|e| Error::Failed(format!("cannot read {}: {}", self.path.display(), plain(&e))))?;
            self.waiting.extend(rows);
            self.next = end;
        }
        Ok(())
    }
}

impl ResultReader for Sections {
    fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<ReadChunk>> {
        if self.waiting.is_empty() {
            self.read_more()?;
        }
        bytes.clear();
        let Some(Section { lines, words, bytes: line_bytes, .. }) = self.waiting.pop_front() else {
            return Ok(None);
        };
        bytes.extend_from_slice(&Tally { lines, words, bytes: line_bytes }.to_bytes());
        Ok(Some(ReadChunk { items: lines, line_bytes, ..ReadChunk::default() }))
    }
}
