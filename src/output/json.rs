//! JSON: one object per line, or one object with a list of all results and where they came from.
//!
//! JSON has no word for infinity and for what is not a number: they are `null`, as ECMAScript has it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::base::error::{Error, Result};
use crate::data::schema::Schema;
use crate::input::open_regular;
use crate::job::{Task, Unit};
use crate::observe::report::Report;
use crate::output::encode::{RowTemplate, Who};
use crate::output::provenance::{self, JOB, Origin};
use crate::output::quote::Quoting;
use crate::output::reader::{PIECE, ReadChunk, ResultReader, check_job, damaged};
use crate::output::text::ToFile;
use crate::output::{ResultChunk, Sink};

/// A row; `who` as in [`crate::output::csv::template`].
pub fn template(table: &Schema, list: bool, who: Option<Option<&Who>>) -> RowTemplate {
    let who = match who {
        None => String::new(),
        Some(None) => r#","rank":null,"pid":null,"host":null"#.to_owned(),
        Some(Some(Who { rank, pid, host })) => {
            format!(r#","rank":{rank},"pid":{pid},"host":{}"#, json!(host))
        }
    };
    let (open, end) = if list { (",\n{", "}") } else { ("{", "}\n") };
    let before = table.fields.iter().enumerate();
    let before =
        before.map(|(i, field)| format!("{}{}:", if i == 0 { open } else { "," }, json!(field.name)));
    RowTemplate { before: before.collect(), missing: "null", close: who + end, quoting: Quoting::Json }
}

/// Is a line that of a value without an answer? Not of floats, of which infinity looks the same.
pub fn is_gap(row: &[u8]) -> bool {
    memchr::memmem::find(row, b"\"output\":null").is_some()
}

/// What a file begins with.
const BEGIN: &[u8] = b"{\"results\": [";
/// What stands between the results and where they came from.
const ORIGIN: &[u8] = b"\n],\n\"parpy\": ";

/// A file with one object: `results`, and under `parpy` where they came from.
pub struct ToJson<'a> {
    origin: Origin<'a>,
    file: ToFile,
    is_first: bool,
    is_complete: bool,
}

impl<'a> ToJson<'a> {
    /// Creates the file.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create(task: &'a Task, path: &Path) -> Result<Self> {
        let mut file = ToFile::create(path)?;
        file.begin(BEGIN);
        Ok(Self { origin: Origin::of(task), file, is_first: true, is_complete: false })
    }
}

impl Sink for ToJson<'_> {
    fn take(&mut self, chunk: &ResultChunk) -> Result<()> {
        let mut bytes = chunk.bytes;
        if self.is_first && !bytes.is_empty() {
            // Every result stands behind a comma, but for the first.
            (bytes, self.is_first) = (&bytes[1..], false);
        }
        self.file.take(&ResultChunk { bytes, ..*chunk })
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }

    fn finish(&mut self, report: &Report) -> Result<()> {
        let origin = json!(self.origin.complete(report)?.0);
        self.file.put(ORIGIN)?;
        self.file.put(format!("{origin}}}\n").as_bytes())?;
        self.is_complete = true;
        self.file.finish(report)
    }

    fn fail(&mut self) {
        // What is kept should be JSON too.
        if !self.is_first && !self.is_complete {
            self.file.end(b"\n]}\n");
        }
        self.file.fail();
    }
}

/// What [`ToJson`] has written, a result on every line between the beginning and the origin.
pub struct FromJson {
    /// The results, as far as they have not been read.
    rows: Take<BufReader<File>>,
    path: PathBuf,
    line: Vec<u8>,
    /// Bytes of a longer line than any result is.
    longest: usize,
    /// Values without an answer that have not been met yet. Where infinity looks the same, as many of what looks
    /// so are taken for them.
    failed: u64,
}

impl FromJson {
    /// Opens `path`, which holds results of `task`, none of them on a line of `longest` bytes.
    ///
    /// # Errors
    /// It cannot be read, or begins or ends otherwise than such a file.
    pub fn open(task: &Task, path: &Path, longest: usize) -> Result<Self> {
        let fail = |e: io::Error| Error::io("read", path, &e);
        let mut file = open_regular(path)?;
        let mut begins = Vec::new();
        file.by_ref().take(BEGIN.len() as u64).read_to_end(&mut begins).map_err(fail)?;
        if begins != BEGIN {
            return Err(damaged(path, "it does not begin with a list of results"));
        }
        // The end first, because it says how many answers are missing.
        let end = origin_of(&file).map_err(fail)?;
        let Some((origin, len)) = end.and_then(|(o, at)| Some((o, at.checked_sub(BEGIN.len() as u64)?)))
        else {
            return Err(damaged(path, "its end does not say where it comes from"));
        };
        check_job(task, path, origin[JOB].as_str())?;
        let failed = match task.work.unit() {
            Unit::Values => origin["failed"].as_u64().unwrap_or(0),
            Unit::Bytes => 0,
        };
        let rows = BufReader::with_capacity(PIECE, file).take(len);
        Ok(Self { rows, path: path.to_owned(), line: Vec::new(), longest, failed })
    }
}

/// What stands behind the last [`ORIGIN`] of a file, and at which byte that begins; `None` where the file ends
/// otherwise.
fn origin_of(file: &File) -> io::Result<Option<(Value, u64)>> {
    let len = file.metadata()?.len();
    let mut most = 64 * 1024;
    loop {
        let mut end = vec![0; len.min(most) as usize];
        let start = len - end.len() as u64;
        file.read_exact_at(&mut end, start)?;
        if let Some(at) = memchr::memmem::rfind(&end, ORIGIN) {
            let origin = end[at + ORIGIN.len()..].strip_suffix(b"}\n");
            let origin = origin.and_then(|origin| serde_json::from_slice(origin).ok());
            return Ok(origin.map(|origin| (origin, start + at as u64)));
        }
        // It is one line, and that may be long: the job has all values that were typed.
        let has_last_line =
            memchr::memchr_iter(b'\n', &end).any(|at| at >= ORIGIN.len() && at + 1 < end.len());
        if has_last_line || start == 0 || most >= provenance::LONGEST {
            return Ok(None);
        }
        most *= 4;
    }
}

impl ResultReader for FromJson {
    fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<ReadChunk>> {
        bytes.clear();
        let mut found = ReadChunk::default();
        while bytes.len() < PIECE {
            self.line.clear();
            let read = (&mut self.rows).take(self.longest as u64).read_until(b'\n', &mut self.line);
            let read = read.map_err(|e| Error::io("read", &self.path, &e))?;
            if read == self.longest {
                return Err(damaged(&self.path, "not every line of it is a result"));
            }
            if read == 0 {
                if self.failed > 0 {
                    return Err(damaged(&self.path, "more answers are missing than its results leave out"));
                }
                break;
            }
            let row = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            let row = row.strip_suffix(b",").unwrap_or(row);
            if row.starts_with(b"{") {
                // As the sink gets it, which drops the very first comma.
                bytes.extend_from_slice(b",\n");
                bytes.extend_from_slice(row);
                found.items += 1;
                if self.failed > 0 && is_gap(row) {
                    self.failed -= 1;
                    found.failed += 1;
                }
            } else if !row.is_empty() {
                return Err(damaged(&self.path, "not every line of it is a result"));
            }
        }
        Ok((found.items > 0).then_some(found))
    }
}
