//! numpy's `.npy`: a header that says type and shape, and the numbers as they lie in memory.

use std::path::Path;

use npyz::WriterBuilder;

use crate::base::atomic_file::AtomicFile;
use crate::base::error::Result;
use crate::data::dtype::Dtype;
use crate::input::npy;
use crate::observe::report::Report;
use crate::output::reader::{Column, PIECE, ReadChunk, ResultReader};
use crate::output::text::ToFile;
use crate::output::{ResultChunk, Sink};

/// A file whose header is written again when the number of answers is known.
pub struct ToNpy {
    file: ToFile,
    dtype: Dtype,
    count: u64,
}

impl ToNpy {
    /// Creates the file.
    ///
    /// # Errors
    /// It cannot be created, or is no regular file.
    pub fn create(path: &Path, dtype: Dtype) -> Result<Self> {
        let mut file = ToFile::of(AtomicFile::create_regular(path)?);
        file.begin(&header(dtype, 0));
        Ok(Self { file, dtype, count: 0 })
    }
}

/// The header for so many numbers. Of the same length for any count, because it is padded to a multiple of
/// 64 bytes, and 20 more digits do not change which.
fn header(dtype: Dtype, count: u64) -> Vec<u8> {
    let kind = match dtype {
        Dtype::I64 => "<i8",
        Dtype::F64 => "<f8",
    };
    let dtype = npyz::DType::Plain(kind.parse().expect("one of numpy's own types"));
    let mut bytes = Vec::new();
    let options = npyz::WriteOptions::new_header_only().dtype(dtype).shape(&[count]);
    options.writer(&mut bytes).write_header_only().expect("memory takes everything");
    bytes
}

impl Sink for ToNpy {
    fn take(&mut self, chunk: &ResultChunk) -> Result<()> {
        self.count += (chunk.bytes.len() / size_of::<u64>()) as u64;
        self.file.take(chunk)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }

    fn finish(&mut self, report: &Report) -> Result<()> {
        self.file.begin_anew(&header(self.dtype, self.count))?;
        self.file.finish(report)
    }

    fn fail(&mut self) {
        // What is kept should open, and the disk may have taken less than it was given.
        let dtype = self.dtype;
        self.file.keep(|bytes| header(dtype, bytes / size_of::<u64>() as u64));
    }
}

/// What [`ToNpy`] has written.
pub struct FromNpy(Column);

impl FromNpy {
    /// Opens `path`, which holds numbers of type `dtype`.
    ///
    /// # Errors
    /// It cannot be read, or holds others.
    pub fn open(path: &Path, dtype: Dtype) -> Result<Self> {
        let numbers = npy::open(path, None, None)?;
        Column::new(path, "", Box::new(numbers), dtype).map(Self)
    }
}

impl ResultReader for FromNpy {
    fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<ReadChunk>> {
        let words = self.0.take((PIECE / size_of::<u64>()) as u64)?;
        bytes.clear();
        bytes.extend_from_slice(bytemuck::cast_slice(&words));
        let items = words.len() as u64;
        Ok((items > 0).then_some(ReadChunk { items, ..ReadChunk::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_of_one_length() {
        for dtype in [Dtype::I64, Dtype::F64] {
            assert_eq!(header(dtype, 0).len(), 128);
            assert_eq!(header(dtype, u64::MAX).len(), 128);
        }
    }
}
