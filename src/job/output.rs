//! Where results and reports go, and the formats of files by their names.

use std::path::{Path, PathBuf};

use crate::base::error::nearest;
use crate::data::format::{FORMATS, Format};
use crate::job::shard::Shard;

/// Where the answers of a task go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Gathered, and dropped.
    None,
    /// A file, and how it is written.
    File(PathBuf, Format),
    /// Told to people on standard output: who did what. For the demo.
    People,
}

/// Where the report goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportTo {
    /// Nobody asked.
    Nobody,
    /// A table on standard error.
    Stderr,
    /// A JSON file.
    File(PathBuf),
}

impl ReportTo {
    /// That of `part`, where `self` is for the whole.
    pub(crate) fn of_part(self, part: Shard) -> Self {
        match self {
            Self::File(path) => Self::File(part.file(&path)),
            other => other,
        }
    }
}

/// Does the name say that it is an HDF5 file?
pub fn is_hdf5(path: &Path) -> bool {
    Format::of_name(path) == Some(Format::Hdf5)
}

impl Format {
    /// What there is instead of an extension that nobody knows.
    pub fn complaint(path: &Path) -> String {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let known = FORMATS.map(|(name, _)| name);
        let near =
            nearest(&extension, known).map_or(String::new(), |near| format!("; did you mean .{near}?"));
        format!(
            "-o {}: no format has the extension .{extension}{near}; there are .txt (one result per line), .csv, \
             .json, .jsonl, .npy and .h5",
            path.display()
        )
    }
}
