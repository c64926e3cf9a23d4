//! What is written when all answers have arrived: the tables of sections and workers, and where the file
//! comes from, as its attributes.

use ::hdf5::types::{FixedAscii, VarLenUnicode};
use ::hdf5::{File, H5Type};
use serde_json::Value;

use crate::observe::report::Report;
use crate::output::provenance::Provenance;

/// A section of a file, and what was counted in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, H5Type)]
#[repr(C)]
pub struct Section {
    /// Its first byte.
    pub start: u64,
    /// The first byte behind it.
    pub end: u64,
    /// Newlines.
    pub lines: u64,
    /// Words.
    pub words: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Section {
    /// For people.
    pub fn words(&self) -> Vec<String> {
        [self.start, self.end, self.lines, self.words, self.bytes].map(|n| n.to_string()).into()
    }
}

/// A worker's share.
#[derive(Clone, Copy, H5Type)]
#[repr(C)]
pub struct WorkerRow {
    rank: u64,
    pid: u32,
    host: FixedAscii<64>,
    items: u64,
    /// That it worked.
    seconds: f64,
}

impl WorkerRow {
    /// For people.
    pub fn words(&self) -> Vec<String> {
        let Self { rank, pid, host, items, seconds } = self;
        vec![rank.to_string(), pid.to_string(), host.to_string(), items.to_string(), format!("{seconds:.6}")]
    }
}

/// Writes `/workers`, and where all came from.
///
/// # Errors
/// They cannot be written.
pub fn write(file: &File, report: &Report, origin: &Provenance) -> ::hdf5::Result<()> {
    write_workers(file, report)?;
    write_origin(file, origin)
}

fn write_workers(file: &File, report: &Report) -> ::hdf5::Result<()> {
    let threads = report.mpi.as_ref().map_or(1, |over| over.threads);
    let workers: Vec<WorkerRow> = report
        .worker
        .iter()
        .map(|worker| WorkerRow {
            rank: (worker.worker / threads) as u64,
            pid: worker.pid,
            host: FixedAscii::from_ascii(worker.host.as_bytes()).unwrap_or_default(),
            items: worker.items,
            seconds: worker.busy_seconds,
        })
        .collect();
    file.new_dataset_builder().with_data(&workers).create("workers").map(|_| ())
}

fn write_origin(file: &File, origin: &Provenance) -> ::hdf5::Result<()> {
    for (name, value) in &origin.0 {
        match value {
            Value::Number(number) => {
                let number = number.as_u64().unwrap_or_default();
                file.new_attr::<u64>().create(&**name)?.write_scalar(&number)?;
            }
            Value::Array(texts) => {
                let texts: Vec<VarLenUnicode> = texts.iter().filter_map(|t| text(t.as_str()?)).collect();
                file.new_attr_builder().with_data(&texts).create(&**name)?;
            }
            other => {
                let value = other.as_str().and_then(text).unwrap_or_default();
                file.new_attr::<VarLenUnicode>().create(&**name)?.write_scalar(&value)?;
            }
        }
    }
    Ok(())
}

/// As HDF5 has texts, which end with the first NUL.
pub fn text(text: &str) -> Option<VarLenUnicode> {
    text.replace('\0', "").parse().ok()
}
