//! numpy's `.npy`: a header that says type and shape, and the numbers as they lie in memory.

use std::path::Path;

use npyz::WriterBuilder;

use crate::base::atomic_file::AtomicFile;
use crate::base::error::Result;
use crate::data::schema::{ColumnType, Field, Schema};
use crate::input::npy;
use crate::observe::report::Report;
use crate::op::Bound;
use crate::output::reader::{Columns, PIECE, ReadChunk, ResultReader};
use crate::output::text::ToFile;
use crate::output::{ResultChunk, Sink};

/// A file whose header is written again when the number of answers is known.
pub struct ToNpy {
    file: ToFile,
    table: Schema,
    count: u64,
    /// Rows, where they are put together of columns.
    rows: Vec<u64>,
}

/// What is written: the answers alone where no columns of the input are kept, else a table, as reductions are.
fn table(bound: &Bound) -> Schema {
    match bound.kept.is_empty() && bound.reduce.is_none() {
        true => Schema::single("", bound.answers()),
        false => bound.table(),
    }
}

impl ToNpy {
    /// Creates the file.
    ///
    /// # Errors
    /// It cannot be created, or is no regular file.
    pub fn create(path: &Path, bound: &Bound) -> Result<Self> {
        let table = table(bound);
        let mut file = ToFile::of(AtomicFile::create_regular(path)?);
        file.begin(&header(&table, 0));
        Ok(Self { file, table, count: 0, rows: Vec::new() })
    }
}

/// The header for so many rows of a table, or numbers where that is a single column without a name. Of the same length
/// for any count.
fn header(table: &Schema, count: u64) -> Vec<u8> {
    let mut bytes = header_of(table, count);
    let missing = header_of(table, u64::MAX).len() - bytes.len();
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

fn header_of(table: &Schema, count: u64) -> Vec<u8> {
    let plain = |dtype: ColumnType| {
        let kind = if dtype == ColumnType::F64 { "<f8" } else { "<i8" };
        npyz::DType::Plain(kind.parse().expect("one of numpy's own types"))
    };
    let dtype = match &table.fields[..] {
        [Field { name, dtype }] if name.is_empty() => plain(*dtype),
        fields => npyz::DType::Record(
            fields
                .iter()
                .map(|field| npyz::Field { name: field.name.clone(), dtype: plain(field.dtype) })
                .collect(),
        ),
    };
    let mut bytes = Vec::new();
    let options = npyz::WriteOptions::new_header_only().dtype(dtype).shape(&[count]);
    options.writer(&mut bytes).write_header_only().expect("memory takes everything");
    bytes
}

/// Rows of so many columns, which lie one behind the other in `bytes`.
fn interleave(bytes: &[u8], columns: usize, rows: &mut Vec<u64>) {
    let count = bytes.len() / size_of::<u64>() / columns;
    rows.clear();
    rows.resize(count * columns, 0);
    for (number, column) in bytes.chunks_exact(count.max(1) * size_of::<u64>()).enumerate() {
        for (word, row) in column.as_chunks().0.iter().zip(rows.chunks_exact_mut(columns)) {
            row[number] = u64::from_ne_bytes(*word);
        }
    }
}

impl Sink for ToNpy {
    fn take(&mut self, chunk: &ResultChunk) -> Result<()> {
        let columns = self.table.len();
        self.count += (chunk.bytes.len() / size_of::<u64>() / columns) as u64;
        if columns == 1 {
            return self.file.take(chunk);
        }
        interleave(chunk.bytes, columns, &mut self.rows);
        self.file.take(&ResultChunk { bytes: bytemuck::cast_slice(&self.rows), ..*chunk })
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }

    fn finish(&mut self, report: &Report) -> Result<()> {
        self.file.begin_anew(&header(&self.table, self.count))?;
        self.file.finish(report)
    }

    fn fail(&mut self) {
        // What is kept should open, and the disk may have taken less than it was given.
        let Self { file, table, .. } = self;
        file.keep(|bytes| header(table, bytes / (size_of::<u64>() * table.len()) as u64));
    }
}

/// What [`ToNpy`] has written.
pub struct FromNpy(Columns);

impl FromNpy {
    /// Opens `path`, which holds results of a task with that input.
    ///
    /// # Errors
    /// It cannot be read, or holds others.
    pub fn open(path: &Path, bound: &Bound) -> Result<Self> {
        let numbers = npy::open(path, None, None, true)?;
        Columns::new(path, "", numbers, &table(bound)).map(Self)
    }
}

impl ResultReader for FromNpy {
    fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<ReadChunk>> {
        let words = self.0.take((PIECE / size_of::<u64>()) as u64)?;
        bytes.clear();
        bytes.extend_from_slice(bytemuck::cast_slice(&words));
        let items = (words.len() / self.0.columns()) as u64;
        Ok((items > 0).then_some(ReadChunk { items, ..ReadChunk::default() }))
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
                    let table = Schema { fields };
                    let len = header(&table, 0).len();
                    assert!(
                        len.is_multiple_of(64)
                            && [1, 12345, u64::MAX].iter().all(|n| header(&table, *n).len() == len)
                    );
                    assert_eq!(input::npy::Header::parse(&header(&table, 7)).unwrap().len, len as u64);
                }
            }
        }
    }
}
