//! Values from datasets of HDF5 files. A worker reads its own part: from a contiguous dataset straight from
//! the file, from any other as hyperslabs through the HDF5 library.

pub mod links;

use std::iter;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ::hdf5::types::{CompoundType, FloatSize, IntSize, TypeDescriptor};
use ::hdf5::{Dataset, File, H5Type, Hyperslab, LocationType, SliceOrIndex};
use links::{Found, broken_link, found_in, other_files};

use crate::base::error::{Error, Result, nearest};
use crate::base::isolate;
use crate::base::lanes::Lanes;
use crate::base::names::Alias;
use crate::data::dtype::Dtype;
use crate::data::schema::Schema;
use crate::input::flat::{Flat, Kind, Stored};
use crate::input::hdf5_library::{Library, plain};
use crate::input::stamp::Stamp;
use crate::input::{Indexed, count_of, flattened, open_regular};

/// This program is linked with HDF5.
pub fn provide() {
    crate::input::hdf5_library::provide(&Linked);
}

/// HDF5, as this program is linked with it.
struct Linked;

impl Library for Linked {
    fn version(&self) -> String {
        let (major, minor, patch) = ::hdf5::library_version();
        format!("{major}.{minor}.{patch}")
    }

    fn open(&self, path: &Path, part: Option<&str>, wanted: Option<Dtype>) -> Result<Box<dyn Indexed>> {
        open(path, part, wanted)
    }

    fn probe(&self, path: &Path, part: Option<&str>, wanted: Option<Dtype>) -> Result<()> {
        probe(path, part, wanted)
    }
}

/// Bytes that chunks of an open file may take, so that a compressed one is unpacked once and not for every
/// piece of it.
const CHUNK_CACHE: usize = 32 * 1024 * 1024;

/// How many names a message lists.
const LISTED: usize = 20;

/// Opens a file for reading.
///
/// # Errors
/// It is missing, unreadable, or no HDF5 file.
pub fn open_hdf5(path: &Path) -> Result<File> {
    let wrong = |why: &str| Error::Failed(format!("cannot read {}: {why}", path.display()));
    // The system's own reasons are clearer than the library's.
    drop(open_regular(path)?);
    let alias = Alias::of(path).map_err(|e| Error::io("open", path, &e))?;
    let mut options = File::with_options();
    options.with_fapl(|access| access.chunk_cache(521, CHUNK_CACHE, 0.75));
    options.open(alias.path()).map_err(|e| {
        let why = plain(&e);
        wrong(&if why.contains("temporarily unavailable") {
            format!("another program has it open for writing ({why}); close it there")
        } else if why.contains("already open") {
            // The file itself says so, and goes on to do so after its writer was killed.
            format!(
                "a program has it open for writing, or was killed while it had: close it there, or when it is gone \
                 say: h5clear -s {}",
                path.display()
            )
        } else {
            format!("it is not an HDF5 file, or it is damaged ({why})")
        })
    })
}

/// Tries dataset `part` of `path` in a child; see [`crate::input::hdf5_library::Library::probe`].
///
/// # Errors
/// As there.
pub fn probe(path: &Path, part: Option<&str>, wanted: Option<Dtype>) -> Result<()> {
    if !isolate::can_be() {
        return Ok(());
    }
    let tried = isolate::read(path, || {
        let mut values = open(path, part, wanted)?;
        let count = values.count();
        let piece = count.min(values.piece() as u64);
        // That a value does not fit, or a file is cut off, is said in its turn, behind the answers before it.
        let mut buf = vec![0; piece as usize];
        let _ = values.fill_at(0, &mut [&mut buf], Lanes::best());
        let _ = values.fill_at(count - piece, &mut [&mut buf], Lanes::best());
        Ok(String::new())
    });
    tried.map(drop)
}

/// Opens dataset `part` of `path`; see [`crate::input::hdf5_library::Library::open`].
///
/// # Errors
/// As there.
pub fn open(path: &Path, part: Option<&str>, wanted: Option<Dtype>) -> Result<Box<dyn Indexed>> {
    let before = stamp_at(path)?;
    let file = open_hdf5(path)?;
    // The library has opened what was there before and after.
    before.check(stamp_at(path)?, path)?;
    let (name, column) = match part {
        // A name may itself end in brackets.
        Some(name) if file.dataset(name).is_ok() => (name.to_owned(), None),
        Some(part) => split_column(part).map(|(name, column)| (name.to_owned(), column))?,
        None => (only_dataset(&file, path)?, None),
    };
    let full: PathBuf = format!("{}:{name}", path.display()).into();
    let wrong = |why: String| Error::Failed(format!("cannot read {}: {why}", full.display()));
    let dataset = file.dataset(&name).map_err(|e| match file.loc_type_by_name(&name) {
        Ok(LocationType::Dataset) => wrong(plain(&e)),
        _ => broken_link(&file, &name).map_or_else(|| no_such_dataset(&file, path, &name), wrong),
    })?;
    let dtype = dataset.dtype().and_then(|dtype| dtype.to_descriptor());
    let Some(stored) = dtype.as_ref().ok().and_then(stored) else {
        let what = dtype.map_or("of a type that parpy does not know".into(), |dtype| describe(&dtype));
        return Err(wrong(format!(
            "its values are {what}; parpy reads whole numbers, and floats of 32 and 64 bits"
        )));
    };
    let read_as = stored.dtype(wanted).map_err(|why| wrong(why.into()))?;
    let others = other_files(path, &file, &dataset).map_err(wrong)?;
    let stamp = others.iter().try_fold(before, |stamp, other| Ok(stamp.and(stamp_at(other)?)))?;
    let space = dataset.space().map_err(|e| wrong(plain(&e)))?;
    let shape = space.shape();
    if shape.is_empty() {
        let what = if space.size() == 0 { "it is empty" } else { "it is a single number" };
        return Err(wrong(format!("{what}, without dimensions (in h5py: f[{name:?}].shape == ())")));
    }
    if let Some(column) = column {
        let [rows, columns] = shape[..] else {
            return Err(wrong(format!("[:,{column}] is for two dimensions, and its shape is {shape:?}")));
        };
        if column >= columns {
            return Err(wrong(format!("there is no column {column}: it has {columns}, from 0 on")));
        }
        let count = rows as u64;
        let column = Some(column);
        let called = String::new();
        let slab = Slab { dataset, stamp, name: full, called, shape, column, count, stored, dtype: read_as };
        return Ok(Box::new(slab));
    }
    let extent: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
    let count =
        count_of(&extent).ok_or_else(|| wrong(format!("its shape {shape:?} is of too many values")))?;
    let is_here = others.is_empty() && file.userblock() == 0;
    let first_byte = dataset.offset().filter(|_| is_here && is_plain(&dataset, stored));
    let called = name.rsplit('/').next().unwrap_or_default();
    Ok(match first_byte {
        Some(at) => {
            let flat = Flat::new(open_regular(path)?, &full, at, &extent, stored, read_as).called(called);
            stamp.check(flat.stamp(), path)?;
            Box::new(flat)
        }
        None => {
            let (column, called) = (None, called.to_owned());
            Box::new(Slab {
                dataset,
                stamp,
                name: full,
                called,
                shape,
                column,
                count,
                stored,
                dtype: read_as,
            })
        }
    })
}

fn stamp_at(path: &Path) -> Result<Stamp> {
    Stamp::at(path).map_err(|e| Error::io("open", path, &e))
}

/// `NAME[:,K]`: column K of a dataset of two dimensions.
fn split_column(part: &str) -> Result<(&str, Option<usize>)> {
    let Some((name, index)) = part.split_once('[') else { return Ok((part, None)) };
    let column = index.strip_suffix(']').and_then(|index| index.split_once(','));
    let column = column.filter(|(rows, _)| rows.trim() == ":").and_then(|(_, k)| k.trim().parse().ok());
    match column {
        Some(column) => Ok((name, Some(column))),
        None => Err(Error::Usage(format!(
            "--from …:{part}: what can be taken of a dataset is [:,K], its column K"
        ))),
    }
}

/// How the numbers of a type are stored; `None` for what is no number, or too wide.
pub fn stored(dtype: &TypeDescriptor) -> Option<Stored> {
    let whole = |size: &IntSize| *size as usize;
    let (kind, bytes) = match dtype {
        TypeDescriptor::Integer(size) => (Kind::Signed, whole(size)),
        TypeDescriptor::Unsigned(size) => (Kind::Unsigned, whole(size)),
        TypeDescriptor::Float(FloatSize::U4) => (Kind::Float, 4),
        TypeDescriptor::Float(FloatSize::U8) => (Kind::Float, 8),
        _ => return None,
    };
    Some(Stored { kind, bytes, is_big_endian: false })
}

/// Do the numbers of a dataset lie in the file one after the other, as this machine has them?
fn is_plain(dataset: &Dataset, stored: Stored) -> bool {
    let Ok(dtype) = dataset.dtype() else { return false };
    let is_native = match (stored.kind, stored.bytes) {
        (Kind::Signed, 1) => dtype.is::<i8>(),
        (Kind::Signed, 2) => dtype.is::<i16>(),
        (Kind::Signed, 4) => dtype.is::<i32>(),
        (Kind::Signed, _) => dtype.is::<i64>(),
        (Kind::Unsigned, 1) => dtype.is::<u8>(),
        (Kind::Unsigned, 2) => dtype.is::<u16>(),
        (Kind::Unsigned, 4) => dtype.is::<u32>(),
        (Kind::Unsigned, _) => dtype.is::<u64>(),
        (Kind::Float, 4) => dtype.is::<f32>(),
        (Kind::Float, _) => dtype.is::<f64>(),
        // Of no type of HDF5's own.
        (Kind::Bool, _) => false,
    };
    is_native
        && cfg!(target_endian = "little")
        && matches!(dataset.layout(), ::hdf5::dataset::Layout::Contiguous)
}

/// A type in words.
pub fn describe(dtype: &TypeDescriptor) -> String {
    match dtype {
        TypeDescriptor::FixedAscii(_)
        | TypeDescriptor::FixedUnicode(_)
        | TypeDescriptor::VarLenAscii
        | TypeDescriptor::VarLenUnicode => "strings".into(),
        TypeDescriptor::Compound(compound) => {
            let names: Vec<_> = compound.fields.iter().map(|field| field.name.as_str()).collect();
            format!("rows of {}", names.join(", "))
        }
        TypeDescriptor::Boolean => "truth values".into(),
        other => other.to_string(),
    }
}

/// What is wrong with a type that must not be read, where something is: a part of a row that reaches beyond its
/// end, or into another, is converted by the library beyond the memory that it has for the row.
pub fn damage(dtype: &TypeDescriptor) -> Option<String> {
    match dtype {
        TypeDescriptor::FixedArray(of, _) | TypeDescriptor::VarLenArray(of) => damage(of),
        TypeDescriptor::Compound(CompoundType { fields, size }) => {
            let mut parts: Vec<_> =
                fields.iter().map(|field| (field.offset, field.ty.size(), field)).collect();
            parts.sort_unstable_by_key(|(offset, size, _)| (*offset, *size));
            let mut end = 0;
            for (offset, bytes, field) in parts {
                let next = offset.checked_add(bytes).filter(|next| next <= size);
                let Some(next) = next.filter(|_| offset >= end) else {
                    return Some(format!(
                        "it is damaged: in its rows of {size} bytes '{}' stands at byte {offset}, where there is no \
                         room for it",
                        field.name
                    ));
                };
                end = next;
            }
            fields.iter().find_map(|field| damage(&field.ty))
        }
        _ => None,
    }
}

fn list(file: &File) -> String {
    let Found { datasets: names, broken, damaged } = found_in(file, LISTED + 1);
    match names.len() {
        0 if damaged.is_some() => "it is damaged: the names in it cannot be read".into(),
        0 if !broken.is_empty() => format!("there are only links that lead nowhere, {}", broken.join(", ")),
        0 => "there are no datasets in it".into(),
        n if n > LISTED => format!("there are {}, …", names[..LISTED].join(", ")),
        _ => format!("there is {}", names.join(", ")),
    }
}

fn no_such_dataset(file: &File, path: &Path, name: &str) -> Error {
    let names = found_in(file, usize::MAX).datasets;
    let absolute = format!("/{}", name.trim_start_matches('/'));
    let near = nearest(&absolute, names.iter().map(String::as_str));
    let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
    Error::Failed(format!("cannot read {}: no dataset {name}; {}{near}", path.display(), list(file)))
}

/// The name of the only dataset of numbers.
fn only_dataset(file: &File, path: &Path) -> Result<String> {
    let is_of_numbers = |name: &String| {
        let dataset = file.dataset(name);
        let dtype = dataset.and_then(|dataset| dataset.dtype()).and_then(|dtype| dtype.to_descriptor());
        dtype.is_ok_and(|dtype| stored(&dtype).is_some())
    };
    let mut of_numbers = found_in(file, usize::MAX).datasets.into_iter().filter(is_of_numbers);
    match (of_numbers.next(), of_numbers.next()) {
        (Some(name), None) => Ok(name),
        _ => Err(Error::Failed(format!(
            "cannot read {0}: say which dataset, --from {0}:/NAME; {1}",
            path.display(),
            list(file)
        ))),
    }
}

/// A dataset, or a column of one, through the library.
struct Slab {
    dataset: Dataset,
    stamp: Stamp,
    name: PathBuf,
    /// What the numbers are called, if anything.
    called: String,
    shape: Vec<usize>,
    column: Option<usize>,
    count: u64,
    stored: Stored,
    dtype: Dtype,
}

impl Slab {
    /// Reads `selection` to the front of `buf`. Returns how many numbers: fewer than all where the next does
    /// not fit, with what is wrong with it.
    fn read(&self, selection: Hyperslab, buf: &mut [u64]) -> (usize, Result<()>) {
        match (self.dtype, self.stored.kind) {
            (Dtype::F64, _) => self.convert::<f64>(selection, buf, |x| Ok(x.to_bits())),
            (Dtype::I64, Kind::Unsigned) => self.convert::<u64>(selection, buf, |x| match i64::try_from(x) {
                Ok(_) => Ok(x),
                Err(_) => Err(crate::input::flat::too_large(&self.name, x)),
            }),
            (Dtype::I64, _) => self.convert::<i64>(selection, buf, |x| Ok(x as u64)),
        }
    }

    fn convert<T: H5Type + Copy>(
        &self,
        selection: Hyperslab,
        buf: &mut [u64],
        bits: impl Fn(T) -> Result<u64>,
    ) -> (usize, Result<()>) {
        let found = match self.dataset.read_slice::<T, _, ndarray::IxDyn>(selection) {
            Ok(found) => found,
            Err(e) => {
                let why = format!("cannot read {}: {}", self.name.display(), plain(&e));
                return (0, Err(Error::Failed(why)));
            }
        };
        for (i, (x, word)) in found.iter().zip(buf).enumerate() {
            match bits(*x) {
                Ok(bits) => *word = bits,
                Err(error) => return (i, Err(error)),
            }
        }
        (found.len(), Ok(()))
    }
}

impl Indexed for Slab {
    fn schema(&self) -> Schema {
        Schema::single(&self.called, self.dtype)
    }

    fn count(&self) -> u64 {
        self.count
    }

    fn fill_at(&mut self, start: u64, columns: &mut [&mut [u64]], _lanes: Lanes) -> (usize, Result<()>) {
        let buf = &mut *columns[0];
        let (start, end) = (start as usize, start as usize + buf.len());
        if let Some(column) = self.column {
            let selection =
                Hyperslab::from(vec![SliceOrIndex::from(start..end), SliceOrIndex::Index(column)]);
            return self.read(selection, buf);
        }
        let mut done = 0;
        for slab in slabs(&self.shape, start..end) {
            let count: usize = slab.iter().map(ExactSizeIterator::len).product();
            let selection: Vec<SliceOrIndex> = slab.into_iter().map(SliceOrIndex::from).collect();
            let (found, outcome) = self.read(selection.into(), &mut buf[done..done + count]);
            done += found;
            if outcome.is_err() {
                return (done, outcome);
            }
        }
        (done, Ok(()))
    }

    fn note(&self) -> Option<String> {
        let shape: Vec<u64> = self.shape.iter().map(|n| *n as u64).collect();
        if self.column.is_none() { flattened(&self.name, &shape) } else { None }
    }

    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn piece(&self) -> usize {
        // The library takes some microseconds for each call.
        64 * 1024
    }
}

/// The hyperslabs that elements `of` of an array in C order consist of, in order: whole rows together, and
/// what is left before and behind them as slabs of a row.
fn slabs(shape: &[usize], of: Range<usize>) -> Vec<Vec<Range<usize>>> {
    let [rows, rest @ ..] = shape else { return Vec::new() };
    if of.is_empty() {
        return Vec::new();
    }
    if rest.is_empty() {
        return vec![vec![of]];
    }
    let row: usize = rest.iter().product();
    let within = |i: usize, part: Range<usize>| {
        slabs(rest, part).into_iter().map(move |slab| iter::once(i..i + 1).chain(slab).collect())
    };
    let (first, last) = (of.start / row, of.end / row);
    let (before, behind) = (of.start % row, of.end % row);
    debug_assert!(last <= *rows);
    if first == last {
        return within(first, before..behind).collect();
    }
    let mut all: Vec<_> = if before > 0 { within(first, before..row).collect() } else { Vec::new() };
    let whole = first + usize::from(before > 0)..last;
    if !whole.is_empty() {
        all.push(iter::once(whole).chain(rest.iter().map(|n| 0..*n)).collect());
    }
    all.extend(within(last, 0..behind));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slabs_are_the_elements_in_order(
            shape in prop::collection::vec(1usize..5, 1..4),
            ends in (0usize..1000, 0usize..1000),
        ) {
            let count: usize = shape.iter().product();
            let (a, b) = (ends.0 % (count + 1), ends.1 % (count + 1));
            let mut found = Vec::new();
            for slab in slabs(&shape, a.min(b)..a.max(b)) {
                prop_assert_eq!(slab.len(), shape.len());
                let mut indices = vec![0];
                for (range, n) in slab.iter().zip(&shape) {
                    indices = indices.iter().flat_map(|i| range.clone().map(move |j| i * n + j)).collect();
                }
                found.extend(indices);
            }
            prop_assert_eq!(found, (a.min(b)..a.max(b)).collect::<Vec<_>>());
        }
    }
}
