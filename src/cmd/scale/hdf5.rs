//! Scaling studies: the points as the table `/points`, and everything as JSON in `/studies`.

use std::path::Path;

use ::hdf5::types::{FixedAscii, VarLenUnicode};
use ::hdf5::{File, H5Type};

use crate::base::atomic_file::AtomicFile;
use crate::base::error::{Error, Result};
use crate::base::names::Alias;
use crate::cmd::scale::files::PointRow;
use crate::input::hdf5::open_hdf5;
use crate::input::hdf5_library::{plain, words};
use crate::output::hdf5::tables::text;

/// The name of the dataset that holds everything.
const STUDIES: &str = "studies";

/// A row of `/points`, as [`PointRow`]; what is not known is NaN.
#[derive(Clone, Copy, H5Type)]
#[repr(C)]
struct Point {
    study: u64,
    pattern: FixedAscii<16>,
    workers: u64,
    worked: u64,
    cpus: u64,
    work: f64,
    items: u64,
    bytes: u64,
    runs: u64,
    batch: u64,
    failed: bool,
    seconds_low: f64,
    seconds_median: f64,
    seconds_high: f64,
    startup_seconds: f64,
    busy_seconds: f64,
    speedup: f64,
    efficiency: f64,
    serial_fraction: f64,
    overhead_per_item: f64,
    items_per_second: f64,
    bytes_per_second: f64,
}

impl Point {
    fn of(row: &PointRow) -> Self {
        let known = |number: Option<f64>| number.unwrap_or(f64::NAN);
        Self {
            study: row.study,
            pattern: FixedAscii::from_ascii(row.pattern.as_bytes()).unwrap_or_default(),
            workers: row.workers,
            worked: row.worked,
            cpus: row.cpus,
            work: row.work,
            items: row.items,
            bytes: row.bytes,
            runs: row.runs,
            batch: row.batch,
            failed: !row.failed.is_empty(),
            seconds_low: known(row.seconds_low),
            seconds_median: known(row.seconds_median),
            seconds_high: known(row.seconds_high),
            startup_seconds: known(row.startup_seconds),
            busy_seconds: known(row.busy_seconds),
            speedup: known(row.speedup),
            efficiency: known(row.efficiency),
            serial_fraction: known(row.serial_fraction),
            overhead_per_item: known(row.overhead_per_item),
            items_per_second: known(row.items_per_second),
            bytes_per_second: known(row.bytes_per_second),
        }
    }
}

/// See [`crate::cmd::hdf5::Library::save_studies`].
pub fn save(path: &Path, json: &str, points: &[PointRow]) -> Result<()> {
    let write = |name: &Path| -> ::hdf5::Result<()> {
        let alias = Alias::of(name).map_err(|e| ::hdf5::Error::from(crate::base::error::plain(&e)))?;
        let file = File::create_excl(alias.path())?;
        let points: Vec<Point> = points.iter().map(Point::of).collect();
        file.new_dataset_builder().with_data(&points).create("points")?;
        let json = text(json).unwrap_or_default();
        file.new_dataset::<VarLenUnicode>().create(STUDIES)?.write_scalar(&json)?;
        file.close()
    };
    let make = |name: &Path| {
        write(name).map_err(|e| {
            // Not even a beginning is of use.
            let _ = std::fs::remove_file(name);
            std::io::Error::other(plain(&e))
        })
    };
    let (mut atomic, ()) = AtomicFile::create_by(path, make)?;
    atomic.publish()
}

/// See [`crate::cmd::hdf5::Library::studies`].
pub fn load(path: &Path) -> Result<String> {
    let file = open_hdf5(path)?;
    let json = file.dataset(STUDIES).and_then(|dataset| dataset.read_scalar::<VarLenUnicode>());
    json.map(|text| words(&text)).map_err(|_| {
        Error::Failed(format!(
            "cannot use {}: it holds no scaling study that parpy has saved",
            path.display()
        ))
    })
}
