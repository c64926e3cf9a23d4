//! Where values and lines come from, as the user asks for it. Nothing is opened here.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::data::dtype::Dtype;
use crate::data::format::{Format, delimiter};
use crate::job::spec::MapSpec;
use crate::job::values::{Range, Typed};

/// Where the values of a map come from.
#[derive(Debug, Clone)]
pub enum Numbers {
    /// The command line or the job file.
    Typed(Typed),
    /// `--range`.
    Range(Range),
    /// A file, and where it has several columns or datasets, the name of one.
    File {
        /// The file.
        path: PathBuf,
        /// Column or dataset.
        part: Option<String>,
        /// How its columns are told apart, where it is a table.
        layout: TableLayout,
    },
    /// Standard input of rank 0, as text.
    Stdin,
}

impl Numbers {
    /// Type of values that were typed; of others it is found when they are opened.
    pub fn dtype(&self) -> Option<Dtype> {
        match self {
            Self::Typed(values) => Some(values.dtype),
            Self::Range(range) => Some(range.dtype()),
            Self::File { .. } | Self::Stdin => None,
        }
    }
}

/// What the user says of a table: a file with rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableLayout {
    /// Its first row is values.
    pub no_header: bool,
    /// What stands between columns, where it is not what the file's name says.
    pub delimiter: Option<u8>,
}

impl TableLayout {
    /// # Errors
    /// No such delimiter, or none of a table: `path` is a file of another kind.
    pub(crate) fn of(spec: &MapSpec, path: &Path) -> Result<Self> {
        let between = spec.delimiter.as_deref().map(delimiter_byte).transpose()?;
        let layout = Self { no_header: spec.no_header, delimiter: between };
        if layout != Self::default() && delimiter(path).is_none() {
            return Err(Error::Usage(format!(
                "--no-header and --delimiter are for files with columns, whose names end in .csv or .tsv; {} is none",
                path.display()
            )));
        }
        Ok(layout)
    }

    /// As a job file says it.
    pub(crate) fn delimiter_text(self) -> Option<String> {
        self.delimiter.map(|byte| if byte == b'\t' { "tab".to_owned() } else { char::from(byte).to_string() })
    }
}

/// What `--delimiter` says.
fn delimiter_byte(text: &str) -> Result<u8> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | b'\0') => Ok(*byte),
        _ => Err(Error::Usage(format!(
            "--delimiter '{text}': it is one character, as in ';' or '|', or the word tab"
        ))),
    }
}

/// A text to read by sections.
#[derive(Debug, Clone)]
pub enum TextFile {
    /// A file.
    Path(PathBuf),
    /// The demo's text, part of the program.
    Sample,
}

impl TextFile {
    /// The file's name for messages.
    pub fn name(&self) -> PathBuf {
        match self {
            Self::Path(path) => path.clone(),
            Self::Sample => PathBuf::from(SAMPLE_NAME),
        }
    }
}

/// The demo's sample text, as the demo's job file names it.
pub const SAMPLE_NAME: &str = "sample.txt";

/// A file and the name of its column or dataset, from `FILE:PART`, in each way in which that can be read, the
/// shortest name of a file first: only behind a name that says that there are several. The last is all of it.
pub(crate) fn splits(from: &OsStr) -> impl Iterator<Item = (PathBuf, Option<String>)> {
    let from = from.as_bytes();
    let has_parts = |path: &&[u8]| {
        let path = Path::new(OsStr::from_bytes(path));
        delimiter(path).is_some() || matches!(Format::of_name(path), Some(Format::Hdf5 | Format::Npy))
    };
    let files = memchr::memchr_iter(b':', from).map(|at| &from[..at]).filter(has_parts);
    files.chain([from]).map(move |file| {
        let part = from.get(file.len() + 1..).filter(|part| !part.is_empty());
        let part = part.map(|part| String::from_utf8_lossy(part).into_owned());
        (OsStr::from_bytes(file).into(), part)
    })
}
