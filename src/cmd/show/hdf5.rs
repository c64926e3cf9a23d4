//! A look into HDF5 files: every dataset, and the attributes of the file where parpy has made it.

use std::collections::HashSet;
use std::path::Path;

use ::hdf5::dataset::Layout;
use ::hdf5::types::{TypeDescriptor, VarLenUnicode};
use ::hdf5::{Dataset, File, H5Type};
use serde_json::{Map, Value, json};

use crate::base::error::{Error, Result};
use crate::base::fmt::counted;
use crate::base::isolate;
use crate::cmd::show::{Look, MOST_ROWS, Table, looked_at};
use crate::data::dtype::Dtype;
use crate::input::ArrayFile;
use crate::input::flat::Kind;
use crate::input::hdf5::links::{FileListing, LEADS_NOWHERE, broken_link, found_in, other_files};
use crate::input::hdf5::{damage, describe, open, open_hdf5, stored};
use crate::input::hdf5_library::{plain, words};
use crate::observe::VERSION;
use crate::output::hdf5::tables::{Section, WorkerRow};
use crate::output::provenance::Provenance;

/// Datasets that are looked into.
const MOST: usize = 50;
/// Rows of a table that are read at once.
const PIECE: usize = 16 * 1024;

/// Looks into a file.
pub fn look(path: &Path, rows: usize) -> Result<Look> {
    let file = open_hdf5(path)?;
    let FileListing { datasets: names, broken, damaged } = found_in(&file, usize::MAX);
    let mut tables = Vec::new();
    let unlisted =
        |group| format!("cannot read {}:{group}: it is damaged, what is in it is not known", path.display());
    let mut fault = damaged.map(unlisted);
    for name in names.iter().take(MOST) {
        tables.push(read_table(&file, path, name, rows).unwrap_or_else(|error| {
            // In its place, so that the others are seen.
            let table = Table { name: name.clone(), shape: error.to_string(), ..Table::default() };
            fault.get_or_insert(error.to_string());
            table
        }));
    }
    if names.len() > MOST {
        let more = counted((names.len() - MOST) as u64, "more dataset");
        tables.push(Table { name: "…".into(), shape: more, ..Table::default() });
    }
    for name in broken.into_iter().take(MOST) {
        let shape = broken_link(&file, &name).unwrap_or_else(|| LEADS_NOWHERE.to_owned());
        tables.push(Table { name, shape, ..Table::default() });
    }
    Ok(Look { origin: origin(&file), tables, fault })
}

fn read_table(file: &File, path: &Path, name: &str, rows: usize) -> Result<Table> {
    let cannot =
        |e: ::hdf5::Error| Error::Failed(format!("cannot read {}:{name}: {}", path.display(), plain(&e)));
    let dataset = file.dataset(name).map_err(cannot)?;
    let shape = dataset.shape();
    let extent = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
    isolate::go_on();
    let dtype = dataset.dtype().and_then(|dtype| dtype.to_descriptor());
    let unusable = dtype.as_ref().ok().and_then(damage).or_else(|| other_files(path, file, &dataset).err());
    if let Some(why) = unusable {
        return Err(Error::Failed(format!("cannot read {}:{name}: {why}", path.display())));
    }
    let what = dtype.as_ref().map_or("values of a type that parpy does not know".into(), describe);
    let mut filters: Vec<String> = dataset.filters().iter().map(|filter| format!("{filter:?}")).collect();
    filters.iter_mut().for_each(|filter| filter.make_ascii_lowercase());
    let is_empty = is_unwritten(&dataset);
    let most = if is_empty { 0 } else { MOST_ROWS };
    let packed = if filters.is_empty() { String::new() } else { format!(", {}", filters.join(", ")) };
    let mut found = match &dtype {
        Ok(dtype) if stored(dtype).is_some() && !shape.is_empty() => {
            let mut values = open(&ArrayFile {
                wanted: float_if_unsigned(dtype),
                ..ArrayFile::elements(path, Some(name))
            })?;
            let missing = missing(file, path, name, values.count())?;
            Table::of_numbers(&mut *values, rows, most, &missing)?
        }
        Ok(TypeDescriptor::Compound(compound)) if shape.len() == 1 => {
            let header = compound.fields.iter().map(|field| field.name.clone()).collect();
            rows_of(&dataset, header, rows, most).map_err(cannot)?
        }
        _ => Table::default(),
    };
    let extent = if shape.is_empty() { "a single value".to_owned() } else { extent };
    found.name = name.to_owned();
    let unwritten = if is_empty { ", never written: every value is the fill value" } else { "" };
    found.shape = format!("{extent}, {what}{packed}{unwritten}");
    Ok(found)
}

/// The places without an answer, of the `count` answers that parpy has written.
fn missing(file: &File, path: &Path, name: &str, count: u64) -> Result<HashSet<u64>> {
    if name != "/output" || file.attr(VERSION).is_err() || !file.link_exists("failed") {
        return Ok(HashSet::new());
    }
    let Ok(failed) = file.dataset("failed") else { return Ok(HashSet::new()) };
    if failed.size() as u64 > count {
        let why = "it lists more values without an answer than it has values, so it is damaged";
        return Err(Error::Failed(format!("cannot read {}:{name}: {why}", path.display())));
    }
    if failed.size() as u64 > MOST_ROWS {
        return Ok(HashSet::new());
    }
    Ok(failed.read_raw::<u64>().map_or(HashSet::new(), |failed| failed.into_iter().collect()))
}

/// Has no value of it ever been written?
fn is_unwritten(dataset: &Dataset) -> bool {
    let is_external = || dataset.dcpl().is_ok_and(|created| !created.external().is_empty());
    dataset.size() > 0
        && match dataset.layout() {
            Layout::Contiguous => dataset.offset().is_none() && !is_external(),
            Layout::Chunked => dataset.num_chunks() == Some(0),
            Layout::Compact | Layout::Virtual => false,
        }
}

/// Numbers without sign are shown as floats where whole numbers with one could not hold them.
fn float_if_unsigned(dtype: &TypeDescriptor) -> Option<Dtype> {
    let stored = stored(dtype)?;
    (stored.kind == Kind::Unsigned && stored.bytes == 8).then_some(Dtype::F64)
}

/// The rows of parpy's own tables; of others only what their columns are called.
fn rows_of(dataset: &Dataset, header: Vec<String>, rows: usize, most: u64) -> ::hdf5::Result<Table> {
    let mut table = Table { header, ..Table::default() };
    let dtype = dataset.dtype()?;
    // To the bit as parpy writes them, so that nothing is converted: of a type that is damaged the library
    // would convert what lies beyond a row's end.
    if dtype.is::<WorkerRow>() {
        push_rows(&mut table, dataset, rows, most, WorkerRow::words)?;
    } else if dtype.is::<Section>() {
        push_rows(&mut table, dataset, rows, most, Section::words)?;
    }
    Ok(table)
}

fn push_rows<T: H5Type>(
    table: &mut Table,
    dataset: &Dataset,
    rows: usize,
    most: u64,
    words: impl Fn(&T) -> Vec<String>,
) -> ::hdf5::Result<()> {
    let total = dataset.size() as u64;
    let places = looked_at(total, most, rows);
    table.sample(&places, total);
    for place in places {
        for start in place.clone().step_by(PIECE) {
            isolate::go_on();
            let end = place.end.min(start + PIECE as u64);
            let found = dataset.read_slice_1d::<T, _>(start as usize..end as usize)?;
            found.iter().for_each(|row| table.push(words(row), rows));
        }
    }
    table.between += total - table.count();
    Ok(())
}

/// Where a file comes from, if parpy has made it.
fn origin(file: &File) -> Option<Provenance> {
    file.attr(VERSION).ok()?;
    let mut known = Map::new();
    for name in file.attr_names().ok()? {
        let Ok(attribute) = file.attr(&name) else { continue };
        let text = || attribute.read_scalar::<VarLenUnicode>().map(|text| json!(words(&text)));
        let number = || attribute.read_scalar::<u64>().map(|number| json!(number));
        let list = || {
            let texts = attribute.read_raw::<VarLenUnicode>()?;
            Ok::<Value, ::hdf5::Error>(json!(texts.iter().map(words).collect::<Vec<_>>()))
        };
        let value = if attribute.is_scalar() { text().or_else(|_| number()) } else { list() };
        if let Ok(value) = value {
            known.insert(name, value);
        }
    }
    Some(Provenance(known))
}
