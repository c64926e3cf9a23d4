//! Datasets of one dimension that grow while answers arrive.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ::hdf5::dataset::FillTime;
use ::hdf5::filters::BloscShuffle;
use ::hdf5::types::{TypeDescriptor, VarLenUnicode};
use ::hdf5::{Dataset, File, H5Type};

use crate::base::names;
use crate::data::schema::ColumnType;
use crate::job::compress::{Blosc, Compress};

/// Elements of a chunk: as many as a block has values, so that blocks become chunks as they are.
pub const CHUNK: usize = 64 * 1024;

/// Bytes of texts that wait to be written at the most, or one text.
const WAITING_TEXTS: usize = 4 << 20;

/// A column of values or answers.
pub enum AnyColumn {
    Whole(GrowingColumn<i64>),
    Float(GrowingColumn<f64>),
    /// Texts, and how many bytes of them wait.
    Text(GrowingColumn<VarLenUnicode>, usize),
}

impl AnyColumn {
    /// An empty one of that name.
    pub fn new(dtype: ColumnType, name: &str, compress: Option<Compress>) -> Self {
        match dtype {
            ColumnType::I64 => Self::Whole(GrowingColumn::new(name, compress)),
            ColumnType::F64 => Self::Float(GrowingColumn::new(name, compress)),
            // What lies in a dataset of texts is only where they lie: there is nothing to compress.
            ColumnType::Bytes => Self::Text(GrowingColumn::new(name, None), 0),
        }
    }

    /// Type of its values.
    pub fn dtype(&self) -> ColumnType {
        match self {
            Self::Whole(_) => ColumnType::I64,
            Self::Float(_) => ColumnType::F64,
            Self::Text(..) => ColumnType::Bytes,
        }
    }

    /// Appends numbers by their bits; to a column of texts none.
    pub fn push(&mut self, file: &File, bits: &[u64]) -> ::hdf5::Result<()> {
        match self {
            Self::Whole(column) => column.push(file, bytemuck::cast_slice(bits)),
            Self::Float(column) => column.push(file, bytemuck::cast_slice(bits)),
            Self::Text(..) => Ok(()),
        }
    }

    /// Appends a text, in which a byte that HDF5 has no letter for is `\xff`; to a column of numbers none.
    pub fn push_text(&mut self, file: &File, text: &[u8]) -> ::hdf5::Result<()> {
        let Self::Text(column, waiting) = self else { return Ok(()) };
        let text = names::readable(Path::new(OsStr::from_bytes(text))).replace('\0', "\\x00");
        *waiting += text.len();
        column.push(file, &[text.parse().unwrap_or_default()])?;
        if *waiting > WAITING_TEXTS {
            column.write_waiting(file, CHUNK)?;
        }
        if column.waiting.is_empty() {
            *waiting = 0;
        }
        Ok(())
    }

    /// See [`GrowingColumn::close`].
    pub fn close(&mut self, file: &File) -> ::hdf5::Result<()> {
        match self {
            Self::Whole(column) => column.close(file),
            Self::Float(column) => column.close(file),
            Self::Text(column, _) => column.close(file),
        }
    }

    /// How many have been pushed.
    pub fn len(&self) -> usize {
        match self {
            Self::Whole(column) => column.len(),
            Self::Float(column) => column.len(),
            Self::Text(column, _) => column.len(),
        }
    }
}

/// A dataset of one dimension that grows.
pub struct GrowingColumn<T> {
    name: String,
    compress: Option<Compress>,
    /// Created when the first chunk is full, or at the end: a small dataset has a small chunk.
    dataset: Option<Dataset>,
    /// Less than a chunk that has not been written yet.
    waiting: Vec<T>,
    written: usize,
}

impl<T: H5Type + Clone> GrowingColumn<T> {
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
                self.write(file, whole, CHUNK)?;
                continue;
            }
            let fits = more.len().min(CHUNK - self.waiting.len());
            self.waiting.extend_from_slice(&more[..fits]);
            more = &more[fits..];
            if self.waiting.len() == CHUNK {
                self.write_waiting(file, CHUNK)?;
            }
        }
        Ok(())
    }

    /// Writes what waits; a dataset that there is not yet has chunks of so many elements.
    fn write_waiting(&mut self, file: &File, chunk: usize) -> ::hdf5::Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let outcome = self.write(file, &waiting, chunk);
        waiting.clear();
        self.waiting = waiting;
        outcome
    }

    fn write(&mut self, file: &File, values: &[T], chunk: usize) -> ::hdf5::Result<()> {
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
            // All that there is: a small dataset has a small chunk.
            self.write_waiting(file, self.waiting.len().clamp(1, CHUNK))?;
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
    // Whole chunks are written, so what the library would write before, and keep in its cache, is lost time. Of texts, which
    // are elsewhere, it must.
    let is_of_texts = matches!(T::type_descriptor(), TypeDescriptor::VarLenUnicode);
    let new =
        new.fill_time(if is_of_texts { FillTime::IfSet } else { FillTime::Never }).chunk_cache(0, 0, 1.0);
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
