//! Datasets of one dimension that grow while answers arrive.

use ::hdf5::dataset::FillTime;
use ::hdf5::filters::BloscShuffle;
use ::hdf5::{Dataset, File, H5Type};

use crate::data::dtype::Dtype;
use crate::job::compress::{Blosc, Compress};

/// Elements of a chunk: as many as a block has values, so that blocks become chunks as they are.
pub const CHUNK: usize = 64 * 1024;

/// A column of values or answers.
pub enum Numbers {
    Whole(Column<i64>),
    Float(Column<f64>),
}

impl Numbers {
    /// An empty one of that name.
    pub fn new(dtype: Dtype, name: &str, compress: Option<Compress>) -> Self {
        match dtype {
            Dtype::I64 => Self::Whole(Column::new(name, compress)),
            Dtype::F64 => Self::Float(Column::new(name, compress)),
        }
    }

    /// Appends numbers by their bits.
    pub fn push(&mut self, file: &File, bits: &[u64]) -> ::hdf5::Result<()> {
        match self {
            Self::Whole(column) => column.push(file, bytemuck::cast_slice(bits)),
            Self::Float(column) => column.push(file, bytemuck::cast_slice(bits)),
        }
    }

    /// See [`Column::close`].
    pub fn close(&mut self, file: &File) -> ::hdf5::Result<()> {
        match self {
            Self::Whole(column) => column.close(file),
            Self::Float(column) => column.close(file),
        }
    }

    /// How many have been pushed.
    pub fn len(&self) -> usize {
        match self {
            Self::Whole(column) => column.len(),
            Self::Float(column) => column.len(),
        }
    }
}

/// A dataset of one dimension that grows.
pub struct Column<T> {
    name: String,
    compress: Option<Compress>,
    /// Created when the first chunk is full, or at the end: a small dataset has a small chunk.
    dataset: Option<Dataset>,
    /// Less than a chunk that has not been written yet.
    waiting: Vec<T>,
    written: usize,
}

impl<T: H5Type + Copy> Column<T> {
    /// An empty one of that name.
    pub fn new(name: &str, compress: Option<Compress>) -> Self {
        Self { name: name.to_owned(), compress, dataset: None, waiting: Vec::new(), written: 0 }
    }

    /// How many have been pushed.
    pub fn len(&self) -> usize {
        self.written + self.waiting.len()
    }

    /// Appends elements.
    pub fn push(&mut self, file: &File, mut more: &[T]) -> ::hdf5::Result<()> {
        while !more.is_empty() {
            if self.waiting.is_empty() && more.len() >= CHUNK {
                let whole;
                (whole, more) = more.split_at(more.len() / CHUNK * CHUNK);
                self.write(file, whole)?;
                continue;
            }
            let fits = more.len().min(CHUNK - self.waiting.len());
            self.waiting.extend_from_slice(&more[..fits]);
            more = &more[fits..];
            if self.waiting.len() == CHUNK {
                self.write_waiting(file)?;
            }
        }
        Ok(())
    }

    fn write_waiting(&mut self, file: &File) -> ::hdf5::Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let outcome = self.write(file, &waiting);
        waiting.clear();
        self.waiting = waiting;
        outcome
    }

    fn write(&mut self, file: &File, values: &[T]) -> ::hdf5::Result<()> {
        let chunk = if self.written == 0 { values.len().clamp(1, CHUNK) } else { CHUNK };
        let dataset = match self.dataset.take() {
            Some(dataset) => dataset,
            None => create::<T>(file, &self.name, 0, chunk, self.compress)?,
        };
        let (start, end) = (self.written, self.written + values.len());
        dataset.resize([end])?;
        if !values.is_empty() {
            dataset.write_slice(values, start..end)?;
        }
        self.written = end;
        self.dataset = Some(dataset);
        Ok(())
    }

    /// Writes the rest, and closes the dataset, which there is even when it is empty.
    pub fn close(&mut self, file: &File) -> ::hdf5::Result<()> {
        if self.dataset.is_none() || !self.waiting.is_empty() {
            self.write_waiting(file)?;
        }
        self.dataset = None;
        Ok(())
    }
}

/// Creates a dataset of one dimension that has `len` elements now and can grow.
///
/// # Errors
/// There is one of this name, or it cannot be written.
pub fn create<T: H5Type>(
    file: &File,
    name: &str,
    len: usize,
    chunk: usize,
    compress: Option<Compress>,
) -> ::hdf5::Result<Dataset> {
    let new = file.new_dataset::<T>().shape((len, None)).chunk(chunk);
    // Whole chunks are written, so what the library would write before, and keep in its cache, is lost time.
    let new = new.fill_time(FillTime::Never).chunk_cache(0, 0, 1.0);
    match compress {
        None => new,
        Some(Compress::Gzip(level)) => new.shuffle().deflate(level),
        Some(Compress::Lzf) => new.shuffle().lzf(),
        Some(Compress::Blosc(Blosc::Zstd)) => new.blosc_zstd(5, BloscShuffle::Byte),
        Some(Compress::Blosc(Blosc::Lz4)) => new.blosc_lz4(5, BloscShuffle::Byte),
        Some(Compress::Blosc(Blosc::Zlib)) => new.blosc_zlib(5, BloscShuffle::Byte),
    }
    .create(name)
}
