//! Values from datasets of HDF5 files. A worker reads its own part: from a contiguous dataset straight from
//! the file, from any other as hyperslabs through the HDF5 library.

pub mod links;

use std::iter;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ::hdf5::types::{CompoundType, FloatSize, IntSize, TypeDescriptor};
use ::hdf5::{Dataset, File, H5Type, Hyperslab, LocationType, SliceOrIndex};
use links::{FileListing, broken_link, found_in, other_files};

use crate::base::error::{Error, Result, did_you_mean};
use crate::base::fmt::listed;
use crate::base::isolate;
use crate::base::lanes::Lanes;
use crate::base::names::Alias;
use crate::data::dtype::Dtype;
use crate::data::schema::{ANSWERS, Schema};
use crate::input::flat::{Flat, FlatColumn, Kind, Stored};
use crate::input::hdf5_library::{Hdf5Inputs, plain};
use crate::input::holes::{Finder, WithHoles};
use crate::input::stamp::Stamp;
use crate::input::{ArrayFile, Indexed, count_of, flattened, open_regular, several};
use crate::job::input::split_columns;

/// This program is linked with HDF5.
pub fn provide() {
    crate::input::hdf5_library::provide(&Linked);
}

/// HDF5, as this program is linked with it.
struct Linked;

impl Hdf5Inputs for Linked {
    fn version(&self) -> String {
        let (major, minor, patch) = ::hdf5::library_version();
        format!("{major}.{minor}.{patch}")
    }

    fn open(&self, file: &ArrayFile) -> Result<Box<dyn Indexed>> {
        open(file)
    }

    fn probe(&self, file: &ArrayFile) -> Result<()> {
        probe(file)
    }
}

/// Bytes that chunks of an open file may take, so that a compressed one is unpacked once and not for every
/// piece of it.
const CHUNK_CACHE: usize = 32 * 1024 * 1024;

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

/// Tries datasets of `file` in a child; see [`crate::input::hdf5_library::Hdf5Inputs::probe`].
///
/// # Errors
/// As there.
pub fn probe(file: &ArrayFile) -> Result<()> {
    if !isolate::can_be() {
        return Ok(());
    }
    let tried = isolate::read(file.path, || {
        let mut values = open(file)?;
        let count = values.count();
        let piece = count.min(values.piece() as u64);
        let mut buf = vec![0; piece as usize * values.schema().len()];
        for start in [0, count - piece] {
            let mut columns: Vec<&mut [u64]> = buf.chunks_exact_mut((piece as usize).max(1)).collect();
            // That a value does not fit, or a file is cut off, is said in its turn, behind the answers before it.
            if !columns.is_empty() {
                let _ = values.fill_at(start, &mut columns, Lanes::best());
            }
        }
        Ok(String::new())
    });
    tried.map(drop)
}

/// Opens datasets of `file`; see [`crate::input::hdf5_library::Hdf5Inputs::open`].
///
/// # Errors
/// As there.
pub fn open(file: &ArrayFile) -> Result<Box<dyn Indexed>> {
    let ArrayFile { path, part, wanted, by_element, may_lack } = *file;
    let before = stamp_at(path)?;
    let file = open_hdf5(path)?;
    // The library has opened what was there before and after.
    before.check(stamp_at(path)?, path)?;
    let source = Opened { path, file, before, wanted, may_lack };
    let Some(part) = part else {
        return source.dataset(&only_dataset(&source.file, path)?, None, by_element, true);
    };
    // A name may itself have commas, or end in brackets.
    if source.file.dataset(part).is_ok() {
        return source.dataset(part, None, by_element, true);
    }
    let parts = split_columns(part);
    let one = |part: &String| {
        let (name, column) = match source.file.dataset(part).is_ok() {
            true => (&**part, None),
            false => split_column(part)?,
        };
        source.dataset(name, column, by_element, parts.len() == 1)
    };
    several::beside(parts.iter().map(one).collect::<Result<_>>()?, path)
}

/// The dataset with the numbers of the rows of [`ANSWERS`] which have none, in a file that parpy has written.
const FAILED: &str = "failed";
/// The most of these that are held in memory.
const MOST_FAILED: usize = 1 << 24;

/// A file, opened.
struct Opened<'a> {
    path: &'a Path,
    file: File,
    before: Stamp,
    wanted: Option<Dtype>,
    may_lack: bool,
}

impl Opened<'_> {
    /// Dataset `name`, or `column` of it, which `is_only` what is taken of the file; without the answers that parpy has
    /// not found.
    fn dataset(
        &self,
        name: &str,
        column: Option<usize>,
        by_element: bool,
        is_only: bool,
    ) -> Result<Box<dyn Indexed>> {
        let values = self.values(name, column, by_element, is_only)?;
        if name.trim_start_matches('/') != ANSWERS || !self.file.link_exists(FAILED) {
            return Ok(values);
        }
        let wrong =
            |why: &str| Error::Failed(format!("cannot read {}:/{FAILED}: {why}", self.path.display()));
        let failed = self.file.dataset(FAILED).map_err(|e| wrong(plain(&e).as_str()))?;
        if failed.size() > MOST_FAILED {
            return Err(wrong("it lists more rows than fit into memory"));
        }
        if !failed.dtype().is_ok_and(|dtype| dtype.is::<u64>()) || failed.ndim() != 1 {
            // Another's, who means something else.
            return Ok(values);
        }
        let rows = failed.read_raw::<u64>().map_err(|e| wrong(plain(&e).as_str()))?;
        if rows.is_empty() {
            return Ok(values);
        }
        let name = format!("{}:/{ANSWERS}", self.path.display());
        Ok(Box::new(WithHoles::new(values, vec![Finder::Rows(rows)], Path::new(&name), self.may_lack)))
    }

    /// The values of a dataset, whatever is known of them.
    fn values(
        &self,
        name: &str,
        column: Option<usize>,
        by_element: bool,
        is_only: bool,
    ) -> Result<Box<dyn Indexed>> {
        let Self { path, file, before, wanted, .. } = self;
        let full: PathBuf = format!("{}:{name}", path.display()).into();
        let wrong = |why: String| Error::Failed(format!("cannot read {}: {why}", full.display()));
        let dataset = file.dataset(name).map_err(|e| match file.loc_type_by_name(name) {
            Ok(LocationType::Dataset) => wrong(plain(&e)),
            _ => broken_link(file, name).map_or_else(|| no_such_dataset(file, path, name), wrong),
        })?;
        let dtype = dataset.dtype().and_then(|dtype| dtype.to_descriptor());
        let Some(stored) = dtype.as_ref().ok().and_then(stored) else {
            let what = dtype.map_or("of a type that parpy does not know".into(), |dtype| describe(&dtype));
            return Err(wrong(format!(
                "its values are {what}; parpy reads whole numbers, and floats of 32 and 64 bits"
            )));
        };
        let dtype = stored.dtype(*wanted).map_err(|why| wrong(why.into()))?;
        let others = other_files(path, file, &dataset).map_err(wrong)?;
        let stamp = others.iter().try_fold(*before, |stamp, other| Ok(stamp.and(stamp_at(other)?)))?;
        let space = dataset.space().map_err(|e| wrong(plain(&e)))?;
        let shape = space.shape();
        let extent: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
        let Some(count) = count_of(&extent) else {
            return Err(wrong(format!("its shape {shape:?} is of too many values")));
        };
        let taken = match (column, &shape[..]) {
            (_, []) => {
                let what = if space.size() == 0 { "it is empty" } else { "it is a single number" };
                return Err(wrong(format!("{what}, without dimensions (in h5py: f[{name:?}].shape == ())")));
            }
            (Some(column), [_, columns]) if column >= *columns => {
                return Err(wrong(format!("there is no column {column}: it has {columns}, from 0 on")));
            }
            (Some(column), [_, _]) => Taken::Columns(column..column + 1),
            (Some(column), _) => {
                return Err(wrong(format!("[:,{column}] is for two dimensions, and its shape is {shape:?}")));
            }
            (None, [_, columns @ 2..=MOST_COLUMNS]) if !by_element => Taken::Columns(0..*columns),
            (None, _) => Taken::Elements,
        };
        let called = match &taken {
            Taken::Columns(of) if of.len() == 1 && is_only => vec![String::new()],
            Taken::Columns(of) => of.clone().map(|k| format!("c{k}")).collect(),
            Taken::Elements => vec![name.rsplit('/').next().unwrap_or_default().to_owned()],
        };
        let is_here = others.is_empty() && file.userblock() == 0;
        let first_byte = dataset.offset().filter(|_| is_here && is_plain(&dataset, stored));
        if let Some(at) = first_byte {
            let here = open_regular(path)?;
            let flat = match &taken {
                Taken::Elements => {
                    let column = FlatColumn { name: called[0].clone(), ..FlatColumn::alone(stored, dtype) };
                    Flat::elements(here, &full, at, &extent, column)
                }
                Taken::Columns(of) => {
                    let offset = |k: usize| k * stored.bytes;
                    let columns = of.clone().zip(called);
                    let columns =
                        columns.map(|(k, name)| FlatColumn { name, offset: offset(k), stored, dtype });
                    Flat::new(here, &full, at, (extent[0], offset(shape[1])), columns.collect())
                }
            };
            stamp.check(flat.stamp(), path)?;
            return Ok(Box::new(flat));
        }
        let count = if matches!(taken, Taken::Elements) { count } else { extent[0] };
        let (row, name) = (Vec::new(), full);
        Ok(Box::new(Slab { dataset, stamp, name, called, shape, taken, count, stored, dtype, row }))
    }
}

/// The most columns that are taken at once.
const MOST_COLUMNS: usize = 4096;

/// What is taken of a dataset.
enum Taken {
    /// Its elements, row by row.
    Elements,
    /// Columns of one of two dimensions.
    Columns(Range<usize>),
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
    let FileListing { datasets: names, broken, damaged } = found_in(file, usize::MAX);
    match names.len() {
        0 if damaged.is_some() => "it is damaged: the names in it cannot be read".into(),
        0 if !broken.is_empty() => format!("there are only links that lead nowhere, {}", broken.join(", ")),
        0 => "there are no datasets in it".into(),
        1 => format!("there is {}", names[0]),
        _ => format!("there are {}", listed(names.iter().map(String::as_str))),
    }
}

fn no_such_dataset(file: &File, path: &Path, name: &str) -> Error {
    let names = found_in(file, usize::MAX).datasets;
    let absolute = format!("/{}", name.trim_start_matches('/'));
    let near = did_you_mean(&absolute, names.iter().map(String::as_str));
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
    /// What its columns are called, if anything.
    called: Vec<String>,
    shape: Vec<usize>,
    taken: Taken,
    count: u64,
    stored: Stored,
    dtype: Dtype,
    /// Rows as the library gives them, where several columns are taken.
    row: Vec<u64>,
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
        let names = self.called.iter().map(|name| (&**name, 0));
        Schema::of_table(names, self.called.iter().map(|_| self.dtype.into()))
    }

    fn count(&self) -> u64 {
        self.count
    }

    fn fill_at(&mut self, start: u64, columns: &mut [&mut [u64]], _lanes: Lanes) -> (usize, Result<()>) {
        let (start, end) = (start as usize, start as usize + columns[0].len());
        if let Taken::Columns(of) = &self.taken {
            let selection = Hyperslab::from(
                vec![start..end, of.clone()].into_iter().map(SliceOrIndex::from).collect::<Vec<_>>(),
            );
            let width = of.len();
            if let [buf] = columns {
                return self.read(selection, buf);
            }
            let mut rows = std::mem::take(&mut self.row);
            rows.resize((end - start) * width, 0);
            let (found, outcome) = self.read(selection, &mut rows);
            for (number, column) in columns.iter_mut().enumerate() {
                let words = rows[..found / width * width].iter().skip(number).step_by(width);
                column.iter_mut().zip(words).for_each(|(word, found)| *word = *found);
            }
            self.row = rows;
            return (found / width, outcome);
        }
        let buf = &mut *columns[0];
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
        if matches!(self.taken, Taken::Elements) { flattened(&self.name, &shape) } else { None }
    }

    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn piece(&self) -> usize {
        // The library takes some microseconds for each call.
        (64 * 1024 / self.called.len()).max(64)
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
