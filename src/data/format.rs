//! Formats of files, which their names say.

use std::path::Path;

/// How a file is written, which its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `.txt`, or a name without an extension: one answer per line.
    Text,
    /// `.csv`: a header, and one row per value.
    Csv,
    /// `.json`: one object with all results, and where they came from.
    Json,
    /// `.jsonl`: one object per line.
    JsonLines,
    /// `.npy`: numpy's own.
    Npy,
    /// `.h5`, `.hdf5`.
    Hdf5,
}

/// Formats by extension.
pub const FORMATS: [(&str, Format); 7] = [
    ("txt", Format::Text),
    ("csv", Format::Csv),
    ("json", Format::Json),
    ("jsonl", Format::JsonLines),
    ("npy", Format::Npy),
    ("h5", Format::Hdf5),
    ("hdf5", Format::Hdf5),
];

impl Format {
    /// The format that the extension of `path` stands for; that of no extension is text. Without regard to
    /// case, to the `.partial` of a file that has not been completed, and to the `.part-1-of-8` of a part.
    pub fn of_name(path: &Path) -> Option<Self> {
        let partial = path.extension().is_some_and(|extension| extension == "partial");
        let path = if partial { Path::new(path.file_stem().unwrap_or_default()) } else { path };
        let Some(extension) = path.extension() else { return Some(Self::Text) };
        if is_of_shard(&extension.to_string_lossy()) {
            return Some(Self::Text);
        }
        FORMATS.iter().find(|(name, _)| extension.eq_ignore_ascii_case(name)).map(|(_, format)| *format)
    }
}

/// Is that the end of the name of a shard's file whose whole has no extension, `part-2-of-8`?
pub fn is_of_shard(extension: &str) -> bool {
    let numbers = extension.strip_prefix("part-").and_then(|rest| rest.split_once("-of-"));
    numbers.is_some_and(|(number, of)| number.parse::<u64>().is_ok() && of.parse::<u64>().is_ok())
}

/// What stands between the columns of the file `path`, as its name says; `None` for no such file.
pub fn delimiter(path: &Path) -> Option<u8> {
    match Format::of_name(path) {
        Some(Format::Csv) => Some(b','),
        // Not written, only read.
        None if path.extension()?.eq_ignore_ascii_case("tsv") => Some(b'\t'),
        _ => None,
    }
}
