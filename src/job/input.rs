//! Where values and lines come from, as the user asks for it. Nothing is opened here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::data::dtype::Dtype;
use crate::data::format::{Format, delimiter};
use crate::job::spec::MapSpec;
use crate::job::sweep::Sweep;
use crate::job::values::{Range, Typed};

/// Where the values of a map come from.
#[derive(Debug, Clone)]
pub enum Numbers {
    /// The command line or the job file.
    Typed(Typed),
    /// The same, as texts: bytes, which need not be UTF-8.
    Words(Vec<OsString>),
    /// `--range`.
    Range(Range),
    /// `--sweep`.
    Sweep(Sweep),
    /// A file, and where it has several columns or datasets, the names of some.
    File {
        /// The file.
        path: PathBuf,
        /// Columns or datasets, as typed: see [`split_columns`].
        part: Option<String>,
        /// How its columns are told apart, where it is a table.
        layout: TableLayout,
        /// What is done is done with each element of an array, so that its dimensions do not count.
        by_element: bool,
    },
    /// Standard input of rank 0, a number on each line.
    Stdin,
    /// Lines, each of them a text.
    Lines(LinesOf),
}

/// Where the lines of `--lines` come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinesOf {
    /// A file, or a pipe that has a name.
    File(PathBuf),
    /// Standard input of rank 0.
    Stdin,
}

impl Numbers {
    /// Type of values that were typed; of others it is found when they are opened.
    pub fn dtype(&self) -> Option<Dtype> {
        match self {
            Self::Typed(values) => Some(values.dtype),
            Self::Range(range) => Some(range.dtype()),
            Self::Words(_) | Self::Sweep(_) | Self::File { .. } | Self::Stdin | Self::Lines(_) => None,
        }
    }

    /// The files that they come from: one, but of a sweep as many as there are lists.
    pub fn files(&self) -> Vec<&Path> {
        match self {
            Self::File { path, .. } | Self::Lines(LinesOf::File(path)) => vec![path],
            Self::Sweep(sweep) => sweep.files().collect(),
            _ => Vec::new(),
        }
    }

    /// Do they come from standard input?
    pub fn is_stdin(&self) -> bool {
        matches!(self, Self::Stdin | Self::Lines(LinesOf::Stdin))
    }
}

/// What the user says of a table: a file with rows and columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableLayout {
    /// Its first row is values.
    pub no_header: bool,
    /// What stands between columns, where it is not what the file's name says.
    pub delimiter: Option<u8>,
    /// Columns that are text whatever stands in them.
    pub texts: Vec<String>,
}

impl TableLayout {
    /// # Errors
    /// No such delimiter, or none of a table: `path` is a file of another kind.
    pub(crate) fn of(spec: &MapSpec, path: &Path) -> Result<Self> {
        let between = spec.delimiter.as_deref().map(delimiter_byte).transpose()?;
        let texts = spec.text.iter().flat_map(|names| split_columns(names)).collect();
        let layout = Self { no_header: spec.no_header, delimiter: between, texts };
        if layout != Self::default() && delimiter(path).is_none() {
            return Err(Error::Usage(format!(
                "--no-header, --text and --delimiter are for files with columns, whose names end in .csv or .tsv; {} is none",
                path.display()
            )));
        }
        Ok(layout)
    }

    /// As a job file says it.
    pub(crate) fn delimiter_text(&self) -> Option<String> {
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

/// A file and the names of its columns or datasets, from `FILE:PART`, in each way in which that can be read: all of it
/// first, and then the longest name of a file; only behind one that says that there are several.
pub(crate) fn splits(from: &OsStr) -> impl Iterator<Item = (PathBuf, Option<String>)> {
    let from = from.as_bytes();
    let has_parts = |path: &&[u8]| {
        let path = Path::new(OsStr::from_bytes(path));
        delimiter(path).is_some()
            || matches!(Format::of_name(path), Some(Format::Hdf5 | Format::Npy | Format::JsonLines))
    };
    let files = memchr::memrchr_iter(b':', from).map(|at| &from[..at]).filter(has_parts);
    [from].into_iter().chain(files).map(move |file| {
        let part = from.get(file.len() + 1..).filter(|part| !part.is_empty());
        let part = part.map(|part| String::from_utf8_lossy(part).into_owned());
        (OsStr::from_bytes(file).into(), part)
    })
}

/// The columns or datasets that `part` names, with commas between them that stand in no brackets and no quotes. A name
/// in quotes is what stands between them.
pub fn split_columns(part: &str) -> Vec<String> {
    let (mut names, mut name) = (Vec::new(), String::new());
    let (mut depth, mut quote) = (0usize, None);
    for letter in part.chars() {
        match (letter, quote) {
            (_, Some(open)) if letter == open => quote = None,
            (_, Some(_)) => name.push(letter),
            ('"' | '\'', None) if name.is_empty() => quote = Some(letter),
            (',', None) if depth == 0 => names.push(std::mem::take(&mut name)),
            _ => {
                depth = match letter {
                    '[' => depth + 1,
                    ']' => depth.saturating_sub(1),
                    _ => depth,
                };
                name.push(letter);
            }
        }
    }
    names.push(name);
    names
}

/// Is a name what [`split_columns`] makes of it, and what a shell does?
fn is_plain(name: &str) -> bool {
    !name.contains([',', '[', ']', ' ']) && !name.starts_with(['"', '\''])
}

/// A name as [`split_columns`] takes it, in quotes where it needs them.
pub fn quoted(name: &str) -> String {
    match (is_plain(name), name.contains('"')) {
        (true, _) => name.to_owned(),
        (false, false) => format!("\"{name}\""),
        (false, true) => format!("'{name}'"),
    }
}

/// `FILE:COLUMNS` as a shell takes it, for messages: [`split_columns`] makes `names` of it again.
pub fn of_columns(path: &Path, names: &[&str]) -> String {
    let columns = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(",");
    match names.iter().all(|name| is_plain(name)) {
        true => format!("{}:{columns}", path.display()),
        false => format!("'{}:{columns}'", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_commas() {
        for (part, names) in [
            ("x", &["x"][..]),
            ("x,y", &["x", "y"]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("'a b',c", &["a b", "c"]),
            ("it's,c", &["it's", "c"]),
            ("/m[:,0],/m[:,1],/t", &["/m[:,0]", "/m[:,1]", "/t"]),
            ("x,", &["x", ""]),
            ("a],b", &["a]", "b"]),
        ] {
            assert_eq!(split_columns(part), names, "{part}");
            let again = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(",");
            assert_eq!(split_columns(&again), names, "{again}");
        }
    }

    #[test]
    fn the_longest_name_of_a_file_comes_first() {
        let found = |from: &str| -> Vec<(String, Option<String>)> {
            splits(OsStr::new(from)).map(|(path, part)| (path.display().to_string(), part)).collect()
        };
        let of = |path: &str, part: Option<&str>| (path.to_owned(), part.map(str::to_owned));
        assert_eq!(found("a.csv"), [of("a.csv", None)]);
        assert_eq!(
            found("a.csv:b.csv:c"),
            [of("a.csv:b.csv:c", None), of("a.csv:b.csv", Some("c")), of("a.csv", Some("b.csv:c"))]
        );
        assert_eq!(found("a:b.csv"), [of("a:b.csv", None)]);
    }
}
