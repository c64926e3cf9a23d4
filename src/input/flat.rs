//! Rows of numbers that lie one after the other in a file, of any type that 64 bits can hold: what is behind the
//! header of a `.npy` file, or a contiguous dataset of an HDF5 file. Every worker reads its own part.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::lanes::Lanes;
use crate::data::dtype::Dtype;
use crate::data::schema::Schema;
use crate::input::stamp::Stamp;
use crate::input::{Indexed, count_of, flattened};

/// How one number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// What kind of number.
    pub kind: Kind,
    /// Its size: 1, 2, 4 or 8 (truth values: 1; floats: 2, 4 or 8).
    pub bytes: usize,
    /// Its most significant byte comes first.
    pub is_big_endian: bool,
}

/// Kinds of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers with a sign.
    Signed,
    /// Whole numbers without.
    Unsigned,
    /// Truth values: 0 is false, all else true, and read as 1.
    Bool,
    /// IEEE 754 floats.
    Float,
}

impl Stored {
    /// The type that such numbers are read as, where `wanted` is what the user asks for.
    ///
    /// # Errors
    /// That would lose something; says what, for a message that names the input.
    pub fn dtype(self, wanted: Option<Dtype>) -> std::result::Result<Dtype, &'static str> {
        match (self.kind, wanted) {
            (Kind::Float, Some(Dtype::I64)) => Err("it holds floats, which --dtype i64 would cut off"),
            (Kind::Float, _) => Ok(Dtype::F64),
            (_, wanted) => Ok(wanted.unwrap_or(Dtype::I64)),
        }
    }
}

/// A column of numbers in a file.
#[derive(Debug, Clone)]
pub struct FlatColumn {
    /// What it is called, if anything.
    pub name: String,
    /// Its first byte within a row.
    pub offset: usize,
    /// How its numbers are stored.
    pub stored: Stored,
    /// What they are read as.
    pub dtype: Dtype,
}

impl FlatColumn {
    /// Numbers that are all that there is, without a name.
    pub fn alone(stored: Stored, dtype: Dtype) -> Self {
        Self { name: String::new(), offset: 0, stored, dtype }
    }

    /// They lie in the file as they are used, where they lie one after the other.
    fn is_native(&self) -> bool {
        let kind = match self.dtype {
            Dtype::I64 => Kind::Signed,
            Dtype::F64 => Kind::Float,
        };
        self.stored == Stored { kind, bytes: 8, is_big_endian: cfg!(target_endian = "big") }
    }
}

/// Rows of numbers in a file, all of the same number of bytes.
pub struct Flat {
    file: File,
    stamp: Stamp,
    /// For messages: the file, and which part of it.
    name: PathBuf,
    first_byte: u64,
    /// Bytes of a row.
    row: usize,
    count: u64,
    columns: Vec<FlatColumn>,
    /// See [`Indexed::note`].
    note: Option<String>,
    /// Words with bytes as they are stored, where they are to be converted.
    raw: Vec<u64>,
}

impl Flat {
    /// Of `count` rows of `row` bytes, from `first_byte` of `file` on, those columns.
    pub fn new(
        file: File,
        name: &Path,
        first_byte: u64,
        (count, row): (u64, usize),
        columns: Vec<FlatColumn>,
    ) -> Self {
        let (stamp, name) = (Stamp::of(&file), name.to_owned());
        Self { file, stamp, name, first_byte, row, count, columns, note: None, raw: Vec::new() }
    }

    /// The elements of an array of that shape, which are not too many to count, one after the other.
    pub fn elements(file: File, name: &Path, first_byte: u64, shape: &[u64], column: FlatColumn) -> Self {
        let (count, row) = (count_of(shape).unwrap_or(u64::MAX), column.stored.bytes);
        let note = flattened(name, shape);
        Self { note, ..Self::new(file, name, first_byte, (count, row), vec![column]) }
    }

    /// Reads until `buf` is full or the file ends.
    fn read_up_to(&self, at: u64, buf: &mut [u8]) -> (usize, Result<()>) {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], at + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return (done, Err(Error::io("read", &self.name, &e))),
            }
        }
        (done, Ok(()))
    }

    /// Turns numbers of column `number`, which lie a row apart in `raw`, into those of its type. Returns how many: fewer
    /// than all where the next does not fit, with what is wrong with it.
    fn convert(&self, number: usize, raw: &[u8], buf: &mut [u64]) -> (usize, Result<()>) {
        let FlatColumn { offset, stored, dtype, .. } = &self.columns[number];
        let Stored { kind, bytes, is_big_endian } = *stored;
        let rows = raw.chunks_exact(self.row).map(|row| &row[*offset..*offset + bytes]);
        if self.columns[number].is_native() {
            // At once, as most are.
            match bytemuck::try_cast_slice(raw) {
                Ok(words) if self.row.is_multiple_of(8) && offset.is_multiple_of(8) => {
                    take_words(words, self.row / 8, offset / 8, buf);
                }
                _ => {
                    for (raw, word) in rows.zip(&mut *buf) {
                        *word = u64::from_ne_bytes(raw.try_into().unwrap_or_default());
                    }
                }
            }
            return (buf.len(), Ok(()));
        }
        for (i, (raw, word)) in rows.zip(&mut *buf).enumerate() {
            let mut wide = [0; 8];
            wide[..bytes].copy_from_slice(raw);
            if is_big_endian {
                wide[..bytes].reverse();
            }
            let bits = u64::from_le_bytes(wide);
            let unused = 64 - 8 * bytes as u32;
            *word = match (kind, dtype) {
                (Kind::Float, _) if bytes == 2 => from_half(bits),
                (Kind::Float, _) if bytes == 4 => f64::from(f32::from_bits(bits as u32)).to_bits(),
                (Kind::Float, _) => bits,
                (Kind::Signed, Dtype::I64) => ((bits << unused) as i64 >> unused) as u64,
                (Kind::Signed, Dtype::F64) => (((bits << unused) as i64 >> unused) as f64).to_bits(),
                (Kind::Bool, Dtype::I64) => u64::from(bits != 0),
                (Kind::Bool, Dtype::F64) => f64::from(bits != 0).to_bits(),
                (Kind::Unsigned, Dtype::F64) => (bits as f64).to_bits(),
                (Kind::Unsigned, Dtype::I64) => match i64::try_from(bits) {
                    Ok(_) => bits,
                    Err(_) => return (i, Err(too_large(&self.name, bits))),
                },
            };
        }
        (buf.len(), Ok(()))
    }

    /// Turns stored rows into numbers, column by column; as [`Flat::convert`].
    fn convert_all(&self, raw: &[u8], columns: &mut [&mut [u64]]) -> (usize, Result<()>) {
        let (mut found, mut outcome) = (raw.len() / self.row, Ok(()));
        for (number, column) in columns.iter_mut().enumerate() {
            let (fits, fault) = self.convert(number, raw, &mut column[..found]);
            // The first row that does not fit counts, whichever column it is of.
            if fault.is_err() {
                (found, outcome) = (fits, fault);
            }
        }
        (found, outcome)
    }
}

/// Word number `which` of each row of `row` words.
fn take_words(words: &[u64], row: usize, which: usize, buf: &mut [u64]) {
    fn of_rows<const N: usize>(words: &[u64], which: usize, buf: &mut [u64]) {
        for (row, word) in words.as_chunks::<N>().0.iter().zip(buf) {
            *word = row[which];
        }
    }
    // Rows of few words, whose number the compiler knows, are taken in vector lanes.
    match row {
        1 => buf.copy_from_slice(&words[..buf.len()]),
        2 => of_rows::<2>(words, which, buf),
        3 => of_rows::<3>(words, which, buf),
        4 => of_rows::<4>(words, which, buf),
        _ => buf.iter_mut().zip(words.chunks_exact(row)).for_each(|(word, row)| *word = row[which]),
    }
}

/// The bits of the 64-bit float that is the same number as the 16-bit float of `bits`.
fn from_half(bits: u64) -> u64 {
    let (sign, exponent, fraction) = (bits >> 15 << 63, bits >> 10 & 0x1f, bits & 0x3ff);
    sign | match exponent {
        // Too small for a one before the point: multiples of 2^-24.
        0 => (fraction as f64 / 16_777_216.0).to_bits(),
        // Infinity, and what is not a number.
        0x1f => 0x7ff << 52 | fraction << 42,
        _ => (exponent + 1023 - 15) << 52 | fraction << 42,
    }
}

/// A whole number without sign that is too large.
pub fn too_large(name: &Path, value: u64) -> Error {
    Error::Failed(format!(
        "{}: {value} does not fit in a 64-bit whole number with a sign; for floats: --dtype f64",
        name.display()
    ))
}

impl Indexed for Flat {
    fn schema(&self) -> Schema {
        let names = self.columns.iter().enumerate().map(|(number, column)| (&*column.name, number));
        Schema::of_table(names, self.columns.iter().map(|column| column.dtype.into()))
    }

    fn count(&self) -> u64 {
        self.count
    }

    fn fill_at(&mut self, start: u64, columns: &mut [&mut [u64]], _lanes: Lanes) -> (usize, Result<()>) {
        let rows = columns[0].len();
        let at = self.first_byte + start * self.row as u64;
        let (read, converted, outcome) = match columns {
            [buf] if self.columns[0].is_native() && self.row == size_of::<u64>() => {
                let (read, outcome) = self.read_up_to(at, bytemuck::cast_slice_mut(buf));
                (read, (read / self.row, Ok(())), outcome)
            }
            _ => {
                let mut raw = std::mem::take(&mut self.raw);
                raw.resize((rows * self.row).div_ceil(size_of::<u64>()), 0);
                let bytes: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut raw)[..rows * self.row];
                let (read, outcome) = self.read_up_to(at, bytes);
                let converted = self.convert_all(&bytes[..read / self.row * self.row], columns);
                self.raw = raw;
                (read, converted, outcome)
            }
        };
        // Whole rows that are there are delivered before a cut-off file is complained of.
        let (whole, fits) = converted;
        let outcome = fits.and(outcome).and_then(|()| match read < rows * self.row {
            false => Ok(()),
            true => Err(Error::Failed(format!(
                "cannot read {}: it ends after {} of the {} values that its header promises",
                self.name.display(),
                start + whole as u64,
                self.count
            ))),
        });
        (whole, outcome)
    }

    fn note(&self) -> Option<String> {
        self.note.clone()
    }

    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn piece(&self) -> usize {
        // 64 KiB: large enough that the system call does not count, small enough for the second-level cache.
        let row = self.row.max(self.columns.len() * size_of::<u64>());
        (64 * 1024 / row).max(64)
    }
}

#[cfg(test)]
mod tests {
    use super::from_half;

    #[test]
    fn half_floats_are_the_same_numbers() {
        for (half, number) in [
            (0x0000, 0.0),
            (0x0001, 2f64.powi(-24)),
            (0x03ff, 1023.0 * 2f64.powi(-24)),
            (0x0400, 2f64.powi(-14)),
            (0x3555, 0.333251953125),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x7c00, f64::INFINITY),
            (0xfc00, f64::NEG_INFINITY),
            (0x8000, -0.0f64),
        ] {
            assert_eq!(from_half(half), number.to_bits(), "{half:x}");
        }
        assert!(f64::from_bits(from_half(0x7e00)).is_nan());
    }
}
