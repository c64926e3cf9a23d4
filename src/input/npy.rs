//! Values from numpy's `.npy` files: one dimension, little-endian int64 or float64.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, plain};
use crate::input::{Source, open as open_file};
use crate::job::Dtype;

/// A `.npy` file behind its header.
struct Npy {
    file: File,
    path: PathBuf,
    count: u64,
    next: u64,
    /// The file has whole numbers and floats are wanted.
    to_float: bool,
}

/// Opens `path`, of the type that its header says or, where that loses nothing, `wanted`.
///
/// # Errors
/// Not a `.npy` file, or one of a shape or type that parpy does not read.
pub fn open(path: &Path, wanted: Option<Dtype>) -> Result<(Box<dyn Source>, Dtype)> {
    let wrong = |why: String| Error::Failed(format!("cannot read {}: {why}", path.display()));
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
    let source =
        Npy { file: npy.into_inner(), path: path.to_owned(), count, next: 0, to_float: dtype != stored };
    Ok((Box::new(source), dtype))
}

impl Source for Npy {
    fn fill(&mut self, room: &mut [u64]) -> Result<usize> {
        let count = (self.count - self.next).min(room.len() as u64) as usize;
        let room = &mut room[..count];
        // Whole values that are there are delivered before a cut-off file is complained of.
        let bytes = read_up_to(&mut self.file, bytemuck::cast_slice_mut(room))
            .map_err(|e| Error::io("read", &self.path, &e))?;
        let whole = bytes / size_of::<u64>();
        if whole == 0 && count > 0 {
            return Err(Error::Failed(format!(
                "cannot read {}: it ends after {} of the {} values that its header promises",
                self.path.display(),
                self.next,
                self.count
            )));
        }
        for word in &mut room[..whole] {
            *word = u64::from_le(*word);
            if self.to_float {
                *word = (*word as i64 as f64).to_bits();
            }
        }
        self.next += whole as u64;
        Ok(whole)
    }

    fn count(&self) -> Option<u64> {
        Some(self.count)
    }
}

fn read_up_to(file: &mut File, room: &mut [u8]) -> std::io::Result<usize> {
    let mut done = 0;
    while done < room.len() {
        match file.read(&mut room[done..]) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}
