//! Values from numpy's `.npy` files: one dimension, little-endian int64 or float64.

use std::fs::{self, File};
use std::io::{ErrorKind, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, plain};
use crate::function::lanes::Lanes;
use crate::input::{Indexed, open as open_file};
use crate::job::Dtype;

/// A `.npy` file behind its header.
pub struct Npy {
    file: File,
    path: PathBuf,
    /// Where the header ends.
    first_byte: u64,
    count: u64,
    /// The file has whole numbers and floats are wanted.
    to_float: bool,
}

/// Opens `path`, of the type that its header says or, where that loses nothing, `wanted`.
///
/// # Errors
/// Not a `.npy` file, or one of a shape or type that parpy does not read.
pub fn open(path: &Path, wanted: Option<Dtype>) -> Result<(Npy, Dtype)> {
    let wrong = |why: String| Error::Failed(format!("cannot read {}: {why}", path.display()));
    // Looked at before it is opened, because opening a named pipe waits for its writer.
    if fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) {
        return Err(wrong(
            "a .npy file is read by all workers at their own offsets, and this is not a regular file (save it \
             to one first)"
                .into(),
        ));
    }
    let file = open_file(path)?;
    let npy = npyz::NpyFile::new(file)
        .map_err(|e| wrong(format!("it is not a .npy file, or its header is damaged ({})", plain(&e))))?;
    let stored = match npy.dtype().descr().as_str() {
        "'<i8'" => Dtype::I64,
        "'<f8'" => Dtype::F64,
        other => {
            return Err(wrong(format!(
                "its type is {other}; parpy reads '<i8' and '<f8' (in numpy: a.astype('int64') or 'float64')"
            )));
        }
    };
    let [count] = *npy.shape() else {
        return Err(wrong(format!(
            "its shape is {:?}; parpy reads one dimension (in numpy: a.ravel())",
            npy.shape()
        )));
    };
    if stored == Dtype::F64 && wanted == Some(Dtype::I64) {
        return Err(wrong("it holds floats, which --dtype i64 would cut off".into()));
    }
    let dtype = wanted.unwrap_or(stored);
    let mut file = npy.into_inner();
    let first_byte = file.stream_position().map_err(|e| Error::io("read", path, &e))?;
    let npy = Npy { file, path: path.to_owned(), first_byte, count, to_float: dtype != stored };
    Ok((npy, dtype))
}

impl Indexed for Npy {
    fn count(&self) -> u64 {
        self.count
    }

    fn fill_at(&mut self, start: u64, room: &mut [u64], _lanes: Lanes) -> (usize, Result<()>) {
        let at = self.first_byte + start * size_of::<u64>() as u64;
        let (bytes, outcome) = self.read_up_to(at, bytemuck::cast_slice_mut(room));
        // Whole values that are there are delivered before a cut-off file is complained of.
        let whole = bytes / size_of::<u64>();
        for word in &mut room[..whole] {
            *word = u64::from_le(*word);
            if self.to_float {
                *word = (*word as i64 as f64).to_bits();
            }
        }
        let outcome = outcome.and_then(|()| match whole < room.len() {
            false => Ok(()),
            true => Err(Error::Failed(format!(
                "cannot read {}: it ends after {} of the {} values that its header promises",
                self.path.display(),
                start + whole as u64,
                self.count
            ))),
        });
        (whole, outcome)
    }

    fn piece(&self) -> usize {
        // 64 KiB: large enough that the system call does not count, small enough for the second-level cache.
        8192
    }
}

impl Npy {
    /// Reads until `room` is full or the file ends.
    fn read_up_to(&self, at: u64, room: &mut [u8]) -> (usize, Result<()>) {
        let mut done = 0;
        while done < room.len() {
            match self.file.read_at(&mut room[done..], at + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return (done, Err(Error::io("read", &self.path, &e))),
            }
        }
        (done, Ok(()))
    }
}
