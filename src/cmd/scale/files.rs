//! Studies in files: JSON, which is also read again, CSV with a row for each point, and HDF5 with both.
//!
//! A file is written anew after every point, and appears complete each time, so that a time limit loses
//! nothing.

use std::path::Path;

use serde::Serialize;

use crate::base::atomic_file;
use crate::base::error::{Error, Result, nearest};
use crate::cmd::hdf5;
use crate::cmd::scale::results::{Derived, Point, Studies, Study};
use crate::data::format::Format;
use crate::input::{hdf5_library, read_small};

/// What a file of studies can be called.
const NAMES: &str = ".json, .csv or .h5";

/// One point, flat: a row of a table.
#[derive(Debug, Clone, Copy, Serialize)]
#[allow(missing_docs)]
pub struct PointRow<'a> {
    /// The number of the study, from 1.
    pub study: u64,
    pub title: &'a str,
    pub pattern: &'a str,
    pub workers: u64,
    /// How many of them had something to do.
    pub worked: u64,
    pub cpus: u64,
    pub work: f64,
    pub items: u64,
    pub bytes: u64,
    pub runs: u64,
    pub batch: u64,
    /// Quartiles of a run's time.
    pub seconds_low: Option<f64>,
    pub seconds_median: Option<f64>,
    pub seconds_high: Option<f64>,
    pub startup_seconds: Option<f64>,
    pub busy_seconds: Option<f64>,
    pub speedup: Option<f64>,
    pub efficiency: Option<f64>,
    pub serial_fraction: Option<f64>,
    pub overhead_per_item: Option<f64>,
    pub items_per_second: Option<f64>,
    pub bytes_per_second: Option<f64>,
    pub failed: &'a str,
}

impl<'a> PointRow<'a> {
    fn of(number: usize, study: &'a Study, point: &'a Point) -> Self {
        let found = &point.found;
        Self {
            study: number as u64 + 1,
            title: &study.title,
            pattern: point.pattern.name(),
            workers: point.workers as u64,
            worked: point.worked as u64,
            cpus: point.cpus as u64,
            work: point.work,
            items: point.items,
            bytes: point.bytes,
            runs: point.runs as u64,
            batch: point.batch as u64,
            seconds_low: point.seconds.map(|seconds| seconds.low),
            seconds_median: point.median(),
            seconds_high: point.seconds.map(|seconds| seconds.high),
            startup_seconds: point.startup_seconds,
            busy_seconds: point.seconds.map(|_| point.busy_seconds),
            speedup: found.speedup,
            efficiency: found.efficiency,
            serial_fraction: found.serial_fraction,
            overhead_per_item: found.overhead_per_item,
            items_per_second: found.items_per_second,
            bytes_per_second: found.bytes_per_second,
            failed: point.failed.as_deref().unwrap_or_default(),
        }
    }
}

/// Does the name say how the file is written?
///
/// # Errors
/// It does not, or HDF5 is not part of this build.
pub fn check_name(path: &Path) -> Result<()> {
    match format(path)? {
        Format::Hdf5 if !cfg!(feature = "hdf5") => Err(hdf5_library::missing()),
        _ => Ok(()),
    }
}

fn format(path: &Path) -> Result<Format> {
    match Format::of_name(path) {
        Some(format @ (Format::Json | Format::Csv | Format::Hdf5)) => Ok(format),
        _ => {
            let extension = path.extension().unwrap_or_default().to_string_lossy();
            let near = nearest(&extension, ["json", "csv", "h5"]).filter(|_| !extension.is_empty());
            let near = near.map_or(String::new(), |near| format!("; did you mean .{near}?"));
            Err(Error::Usage(format!("--save {}: a study is saved as {NAMES}{near}", path.display())))
        }
    }
}

/// Writes all of it.
///
/// # Errors
/// It cannot be written.
pub fn save(studies: &Studies, path: &Path) -> Result<()> {
    let cannot = |e: &dyn std::fmt::Display| Error::Failed(format!("cannot write {}: {e}", path.display()));
    let points = studies.studies.iter().enumerate();
    let rows =
        points.flat_map(|(i, study)| study.points.iter().map(move |point| PointRow::of(i, study, point)));
    let json = || serde_json::to_string_pretty(studies).map(|text| text + "\n").map_err(|e| cannot(&e));
    let bytes = match format(path)? {
        Format::Hdf5 => {
            return hdf5::library()?.save_studies(path, &json()?, &rows.collect::<Vec<_>>());
        }
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(Vec::new());
            for row in rows {
                writer.serialize(row).map_err(|e| cannot(&e))?;
            }
            writer.into_inner().map_err(|e| cannot(&e))?
        }
        _ => json()?.into_bytes(),
    };
    atomic_file::save(path, |file| file.write_all(&bytes))
}

/// Reads what [`save`] has written as JSON or HDF5.
///
/// # Errors
/// It cannot be read, or is something else.
pub fn load(path: &Path) -> Result<Studies> {
    let text = match Format::of_name(path) {
        Some(Format::Json) => read_small(path)?,
        Some(Format::Hdf5) => hdf5::library()?.studies(path)?.into_bytes(),
        _ => {
            return Err(Error::Usage(format!(
                "--from {}: studies are read from the .json or .h5 files that --save writes",
                path.display()
            )));
        }
    };
    parse(&text).map_err(|why| {
        Error::Failed(format!(
            "cannot use {}: it is no scaling study that parpy has saved ({why})",
            path.display()
        ))
    })
}

/// Reads what stands in a file of studies.
///
/// # Errors
/// Something else stands there, or numbers that no run can have; says what.
pub fn parse(text: &[u8]) -> std::result::Result<Studies, String> {
    let studies: Studies = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    match studies.studies.len() {
        0..=MOST_STUDIES => {}
        more => return Err(format!("it holds {more} studies")),
    }
    for study in &studies.studies {
        check(study).map_err(|what| format!("in the study '{}' {what} cannot be", study.title))?;
    }
    Ok(studies)
}

/// More than any job file has tasks; each has its row in a picture.
const MOST_STUDIES: usize = 1000;
/// More workers and CPUs than any machine has.
const MOST_WORKERS: usize = 1 << 24;
/// Longer than any run, in seconds, and larger than any ratio of two times.
const MOST: f64 = 1e15;

/// Are the numbers of a study such as are measured, so that tables and pictures can be made of them?
fn check(study: &Study) -> std::result::Result<(), String> {
    let count = |what: &str, n: usize| match n {
        1..=MOST_WORKERS => Ok(()),
        _ => Err(format!("{what} = {n}")),
    };
    let number = |what: &str, x: f64| match x.abs() <= MOST {
        true => Ok(()),
        false => Err(format!("{what} = {x:e}")),
    };
    let positive = |what: &str, x: f64| match (1.0 / MOST..=MOST).contains(&x) {
        true => Ok(()),
        false => Err(format!("{what} = {x:e}")),
    };
    count("cpus", study.cpus)?;
    for point in &study.points {
        count("workers", point.workers)?;
        count("cpus", point.cpus)?;
        positive("work", point.work)?;
        if let Some(seconds) = point.seconds {
            positive("the median", seconds.median)?;
            positive("the lower quartile", seconds.low)?;
            positive("the upper quartile", seconds.high)?;
        }
        let Derived {
            speedup,
            efficiency,
            serial_fraction,
            overhead_per_item,
            items_per_second,
            bytes_per_second,
        } = point.found;
        for x in [point.startup_seconds, Some(point.busy_seconds), serial_fraction, overhead_per_item]
            .into_iter()
            .flatten()
        {
            number("a time", x)?;
        }
        for x in [speedup, efficiency].into_iter().flatten() {
            positive("a speedup", x)?;
        }
        for x in [items_per_second, bytes_per_second].into_iter().flatten() {
            number("a rate", x / MOST)?;
        }
    }
    for (workers, seconds) in study.beside.iter().flat_map(|beside| &beside.points) {
        count("workers", *workers)?;
        positive("a time from elsewhere", *seconds)?;
    }
    study.launch.map_or(Ok(()), |launch| number("the start of the ranks", launch.seconds))
}
