//! A look into HDF5 files: every dataset, and the attributes of the file where parpy has made it.

use std::collections::HashSet;
use std::path::Path;

use ::hdf5::types::{TypeDescriptor, VarLenUnicode};
use ::hdf5::{Dataset, File, H5Type};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::hdf5::plain;
use crate::input::flat::Kind;
use crate::input::hdf5::{datasets, describe, open, open_hdf5, stored};
use crate::job::Dtype;
use crate::output::hdf5::tables::{SECTION, Section, WORKER, Worker};
use crate::provenance::{Provenance, VERSION};
use crate::report::counted;
use crate::show::{Look, Table};

/// Datasets that are looked into.
const MOST: usize = 50;
/// Rows of a table that are read at once.
const PIECE: usize = 16 * 1024;

/// Looks into a file.
pub fn look(path: &Path, rows: usize) -> Result<Look> {
    let file = open_hdf5(path)?;
    let names = datasets(&file, usize::MAX);
    let mut tables: Vec<Table> = names.iter().take(MOST).map(|name| table(&file, path, name, rows)).collect();
    if names.len() > MOST {
        let more = counted((names.len() - MOST) as u64, "more dataset");
        tables.push(Table { name: "…".into(), shape: more, ..Table::default() });
    }
    Ok(Look { origin: origin(&file), tables })
}

/// A dataset; where it cannot be read, in its place why.
fn table(file: &File, path: &Path, name: &str, rows: usize) -> Table {
    read_table(file, path, name, rows).unwrap_or_else(|error| Table {
        name: name.to_owned(),
        shape: error.to_string(),
        ..Table::default()
    })
}

fn read_table(file: &File, path: &Path, name: &str, rows: usize) -> Result<Table> {
    let cannot =
        |e: ::hdf5::Error| Error::Failed(format!("cannot read {}:{name}: {}", path.display(), plain(&e)));
    let dataset = file.dataset(name).map_err(cannot)?;
    let shape = dataset.shape();
    let extent = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
    let dtype = dataset.dtype().and_then(|dtype| dtype.to_descriptor());
    let what = dtype.as_ref().map_or("values of a type that parpy does not know".into(), describe);
    let mut filters: Vec<String> = dataset.filters().iter().map(|filter| format!("{filter:?}")).collect();
    filters.iter_mut().for_each(|filter| filter.make_ascii_lowercase());
    let packed = if filters.is_empty() { String::new() } else { format!(", {}", filters.join(", ")) };
    let mut found = match &dtype {
        Ok(dtype) if stored(dtype).is_some() && !shape.is_empty() => {
            let (mut values, read_as) = open(path, Some(name), float_if_unsigned(dtype))?;
            Table::of_numbers(&mut *values, read_as, rows, &missing(file, name))?
        }
        Ok(TypeDescriptor::Compound(compound)) if shape.len() == 1 => {
            let header = compound.fields.iter().map(|field| field.name.clone()).collect();
            rows_of(&dataset, header, rows).map_err(cannot)?
        }
        _ => Table::default(),
    };
    let extent = if shape.is_empty() { "a single value".to_owned() } else { extent };
    found.name = name.to_owned();
    found.shape = format!("{extent}, {what}{packed}");
    Ok(found)
}

/// The places without an answer, of the answers that parpy has written.
fn missing(file: &File, name: &str) -> HashSet<u64> {
    if name != "/output" || file.attr(VERSION).is_err() || !file.link_exists("failed") {
        return HashSet::new();
    }
    let failed = file.dataset("failed").and_then(|failed| failed.read_raw::<u64>());
    failed.map_or(HashSet::new(), |failed| failed.into_iter().collect())
}

/// Numbers without sign are shown as floats where whole numbers with one could not hold them.
fn float_if_unsigned(dtype: &TypeDescriptor) -> Option<Dtype> {
    let stored = stored(dtype)?;
    (stored.kind == Kind::Unsigned && stored.bytes == 8).then_some(Dtype::F64)
}

/// The rows of parpy's own tables; of others only what their columns are called.
fn rows_of(dataset: &Dataset, header: Vec<String>, rows: usize) -> ::hdf5::Result<Table> {
    let mut table = Table { header, ..Table::default() };
    let names: Vec<&str> = table.header.iter().map(String::as_str).collect();
    if names == WORKER {
        push_rows(&mut table, dataset, rows, Worker::words)?;
    } else if names == SECTION {
        push_rows(&mut table, dataset, rows, Section::words)?;
    }
    Ok(table)
}

fn push_rows<T: H5Type>(
    table: &mut Table,
    dataset: &Dataset,
    rows: usize,
    words: impl Fn(&T) -> Vec<String>,
) -> ::hdf5::Result<()> {
    let total = dataset.size();
    for start in (0..total).step_by(PIECE) {
        let found = dataset.read_slice_1d::<T, _>(start..total.min(start + PIECE))?;
        found.iter().for_each(|row| table.push(words(row), rows));
    }
    Ok(())
}

/// Where a file comes from, if parpy has made it.
fn origin(file: &File) -> Option<Provenance> {
    file.attr(VERSION).ok()?;
    let mut known = Map::new();
    for name in file.attr_names().ok()? {
        let Ok(attribute) = file.attr(&name) else { continue };
        let text = || attribute.read_scalar::<VarLenUnicode>().map(|text| json!(text.as_str()));
        let number = || attribute.read_scalar::<u64>().map(|number| json!(number));
        let list = || {
            let texts = attribute.read_raw::<VarLenUnicode>()?;
            Ok::<Value, ::hdf5::Error>(json!(texts.iter().map(VarLenUnicode::as_str).collect::<Vec<_>>()))
        };
        let value = if attribute.is_scalar() { text().or_else(|_| number()) } else { list() };
        if let Ok(value) = value {
            known.insert(name, value);
        }
    }
    Some(Provenance(known))
}
