//! numpy's `.npy`: a header that says type and shape, and the numbers as they lie in memory.

use std::path::Path;

use npyz::WriterBuilder;

use crate::base::atomic_file::AtomicFile;
use crate::base::error::Result;
use crate::data::schema::{ColumnType, Field, Schema};
use crate::input::{ArrayFile, npy};
use crate::job::Task;
use crate::observe::report::Report;
use crate::op::Bound;
use crate::output::reader::{Columns, PIECE, ReadChunk, ResultReader};
use crate::output::text::ToFile;
use crate::output::{ResultChunk, Sink};

/// A file whose header is written again when the number of answers is known.
pub struct ToNpy {
    file: ToFile,
    layout: Layout,
    count: u64,
    /// Rows, where they are put together of columns.
    rows: Vec<u8>,
}

/// What a row is made of.
#[derive(Debug, Clone)]
struct Layout {
    /// Its columns: a sole one without a name is no row, but a number.
    table: Schema,
    /// Behind those a truth value says whether there is an answer.
    has_validity: bool,
    /// Columns come with a byte for each row behind them.
    has_gaps: bool,
}

impl Layout {
    /// What is written of `task`: the answers alone where no columns of the input are kept, else a table, as reductions
    /// are. Whole numbers that are missing are told by a further column, floats by a NaN.
    fn of(task: &Task, bound: &Bound) -> Self {
        let has_gaps = task.keep_going && bound.reduce.is_none();
        let has_validity = has_gaps && bound.answers() == ColumnType::I64;
        let table = match bound.kept.is_empty() && bound.reduce.is_none() && !has_validity {
            true => Schema::single("", bound.answers()),
            false => bound.table(),
        };
        Self { table, has_validity, has_gaps }
    }

    /// Bytes of a row.
    fn row(&self) -> usize {
        self.table.len() * size_of::<u64>() + usize::from(self.has_validity)
    }

    /// The header for so many rows. Of the same length for any count.
    fn header(&self, count: u64) -> Vec<u8> {
        let mut bytes = self.header_of(count);
        let missing = self.header_of(u64::MAX).len() - bytes.len();
        // Blanks before the end of the line, which the length before the header counts.
        let end = bytes.len() - 1;
        bytes.splice(end..end, std::iter::repeat_n(b' ', missing));
        match bytes[6] {
            1 => {
                let len = (bytes.len() - 10) as u16;
                bytes[8..10].copy_from_slice(&len.to_le_bytes());
            }
            _ => {
                let len = (bytes.len() - 12) as u32;
                bytes[8..12].copy_from_slice(&len.to_le_bytes());
            }
        }
        bytes
    }

    fn header_of(&self, count: u64) -> Vec<u8> {
        let plain = |name: &str| npyz::DType::Plain(name.parse().expect("one of numpy's own types"));
        let number = |dtype: ColumnType| plain(if dtype == ColumnType::F64 { "<f8" } else { "<i8" });
        let dtype = match &self.table.fields[..] {
            [Field { name, dtype }] if name.is_empty() => number(*dtype),
            fields => {
                let fields = fields.iter().map(|Field { name, dtype }| (name.clone(), number(*dtype)));
                let validity = self.has_validity.then(|| (npy::VALID.to_owned(), plain("|b1")));
                let fields = fields.chain(validity);
                npyz::DType::Record(fields.map(|(name, dtype)| npyz::Field { name, dtype }).collect())
            }
        };
        let mut bytes = Vec::new();
        let options = npyz::WriteOptions::new_header_only().dtype(dtype).shape(&[count]);
        options.writer(&mut bytes).write_header_only().expect("memory takes everything");
        bytes
    }

    /// Puts together rows of columns that lie one behind the other in `bytes`. Returns how many.
    fn interleave(&self, bytes: &[u8], rows: &mut Vec<u8>) -> usize {
        let columns = self.table.len();
        let count = bytes.len() / (columns * size_of::<u64>() + usize::from(self.has_gaps));
        let (words, gaps) = bytes.split_at(count * columns * size_of::<u64>());
        rows.clear();
        rows.resize(count * self.row(), 0);
        for (number, column) in words.chunks_exact(count.max(1) * size_of::<u64>()).enumerate() {
            let at = number * size_of::<u64>();
            for (word, row) in column.as_chunks::<8>().0.iter().zip(rows.chunks_exact_mut(self.row())) {
                row[at..at + size_of::<u64>()].copy_from_slice(word);
            }
        }
        if self.has_validity {
            let last = self.row() - 1;
            rows.chunks_exact_mut(self.row())
                .zip(gaps)
                .for_each(|(row, gap)| row[last] = u8::from(*gap == 0));
        }
        count
    }
}

impl ToNpy {
    /// Creates the file.
    ///
    /// # Errors
    /// It cannot be created, or is no regular file.
    pub fn create(task: &Task, path: &Path, bound: &Bound) -> Result<Self> {
        let layout = Layout::of(task, bound);
        let mut file = ToFile::of(AtomicFile::create_regular(path)?);
        if !bound.is_open {
            file.begin(&layout.header(0));
        }
        Ok(Self { file, layout, count: 0, rows: Vec::new() })
    }
}

impl Sink for ToNpy {
    fn answers_are(&mut self, task: &Task, bound: &Bound) {
        self.layout = Layout::of(task, bound);
        self.file.begin(&self.layout.header(0));
    }

    fn take(&mut self, chunk: &ResultChunk) -> Result<()> {
        if self.layout.row() == size_of::<u64>() && !self.layout.has_gaps {
            self.count += (chunk.bytes.len() / size_of::<u64>()) as u64;
            return self.file.take(chunk);
        }
        self.count += self.layout.interleave(chunk.bytes, &mut self.rows) as u64;
        self.file.take(&ResultChunk { bytes: &self.rows, ..*chunk })
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }

    fn finish(&mut self, report: &Report) -> Result<()> {
        self.file.begin_anew(&self.layout.header(self.count))?;
        self.file.finish(report)
    }

    fn fail(&mut self) {
        // What is kept should open, and the disk may have taken less than it was given.
        let Self { file, layout, .. } = self;
        file.keep(|bytes| layout.header(bytes / layout.row() as u64));
    }
}

/// What [`ToNpy`] has written.
pub struct FromNpy {
    columns: Columns,
    layout: Layout,
}

impl FromNpy {
    /// Opens `path`, which holds results of `task` with that input.
    ///
    /// # Errors
    /// It cannot be read, or holds others.
    pub fn open(task: &Task, path: &Path, bound: &Bound) -> Result<Self> {
        let numbers = npy::open(&ArrayFile::elements(path, None))?;
        let layout = Layout::of(task, bound);
        Ok(Self { columns: Columns::new(path, "", numbers, &layout.table)?, layout })
    }
}

impl ResultReader for FromNpy {
    fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<ReadChunk>> {
        let words = self.columns.take((PIECE / size_of::<u64>()) as u64)?;
        bytes.clear();
        bytes.extend_from_slice(bytemuck::cast_slice(&words));
        let count = words.len() / self.layout.table.len();
        let mut failed = 0;
        if self.layout.has_gaps {
            // A NaN may be an answer, too.
            let gaps = if self.layout.has_validity { self.columns.gaps(count) } else { vec![0; count] };
            failed = gaps.iter().filter(|gap| **gap != 0).count() as u64;
            bytes.extend(gaps);
        }
        Ok((count > 0).then_some(ReadChunk { items: count as u64, failed, ..ReadChunk::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input;

    #[test]
    fn headers_are_of_one_length() {
        for dtype in [ColumnType::I64, ColumnType::F64] {
            for name in ["", "a", "größe", &"long ".repeat(30)] {
                let field = |name: &str| Field { name: name.to_owned(), dtype };
                for fields in [vec![field(name)], vec![field(name), field("b"), field("output")]] {
                    let layout = Layout { table: Schema { fields }, has_validity: false, has_gaps: false };
                    let len = layout.header(0).len();
                    assert!(
                        len.is_multiple_of(64)
                            && [1, 12345, u64::MAX].iter().all(|n| layout.header(*n).len() == len)
                    );
                    assert_eq!(input::npy::Header::parse(&layout.header(7)).unwrap().len, len as u64);
                }
            }
        }
    }
}
