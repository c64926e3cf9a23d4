//! JSON: one object per line, or one object with a list of all results and where they came from.
//!
//! JSON has no word for infinity and for what is not a number: they are `null`, as ECMAScript has it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::function::lines::Tally;
use crate::input::regular;
use crate::job::Task;
use crate::output::back::{Back, Found, PIECE, check_job, damaged};
use crate::output::text::ToFile;
use crate::output::{Frame, Piece, Sink, Who};
use crate::provenance::{JOB, Origin};
use crate::report::Report;

/// A row; `who` as in [`crate::output::csv::frame`].
pub fn frame(list: bool, who: Option<Option<&Who>>) -> Frame {
    let who = match who {
        None => String::new(),
        Some(None) => r#","rank":null,"pid":null,"host":null"#.to_owned(),
        Some(Some(Who { rank, pid, host })) => {
            format!(r#","rank":{rank},"pid":{pid},"host":{}"#, json!(host))
        }
    };
    let (open, end) = if list { (",\n{\"input\":", "}") } else { ("{\"input\":", "}\n") };
    Frame { open, between: ",\"output\":", missing: "null", close: who + end, is_json: true }
}

/// What is counted of a file.
pub fn total(tally: &Tally, name: &Path, list: bool) -> Vec<u8> {
    let Tally { lines, words, bytes } = tally;
    let row = json!({ "lines": lines, "words": words, "bytes": bytes, "file": name.to_string_lossy() });
    if list { format!(",\n{row}") } else { format!("{row}\n") }.into_bytes()
}

/// As [`total`] writes it.
pub fn read_total(row: &[u8]) -> Option<[u64; 3]> {
    let row = row.strip_prefix(b",\n").unwrap_or(row);
    let row: Value = serde_json::from_slice(row).ok()?;
    let number = |name: &str| row[name].as_u64();
    Some([number("lines")?, number("words")?, number("bytes")?])
}

/// Is a line that of a value without an answer? Only of whole numbers: of others infinity looks the same.
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
    fn take(&mut self, piece: &Piece) -> Result<()> {
        let mut bytes = piece.bytes;
        if self.is_first && !bytes.is_empty() {
            // Every result stands behind a comma, but for the first.
            (bytes, self.is_first) = (&bytes[1..], false);
        }
        self.file.take(&Piece { bytes, ..*piece })
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

/// What [`ToJson`] has written: every line is the beginning, a result, or part of the end.
pub struct FromJson<'a> {
    task: &'a Task,
    file: BufReader<File>,
    path: PathBuf,
    line: Vec<u8>,
    ended: bool,
}

impl<'a> FromJson<'a> {
    /// Opens `path`, which holds results of `task`.
    ///
    /// # Errors
    /// It cannot be read, or begins otherwise than such a file.
    pub fn open(task: &'a Task, path: &Path) -> Result<Self> {
        regular(path)?;
        let file = File::open(path).map_err(|e| Error::io("open", path, &e))?;
        let file = BufReader::with_capacity(PIECE, file);
        let mut new = Self { task, file, path: path.to_owned(), line: Vec::new(), ended: false };
        new.read_line()?;
        match new.line.strip_suffix(b"\n") {
            Some(BEGIN) => Ok(new),
            _ => Err(damaged(path, "it does not begin with a list of results")),
        }
    }

    fn read_line(&mut self) -> Result<()> {
        self.line.clear();
        let read = self.file.read_until(b'\n', &mut self.line);
        read.map(|_| ()).map_err(|e| Error::io("read", &self.path, &e))
    }

    /// The end, of which the first line has been read. Returns how many values have no answer.
    fn end(&mut self) -> Result<u64> {
        let mut end = vec![b'\n'];
        while !self.line.is_empty() {
            end.append(&mut self.line);
            self.read_line()?;
        }
        let origin = end.strip_prefix(ORIGIN).and_then(|origin| origin.strip_suffix(b"}\n"));
        let origin: Option<Value> = origin.and_then(|origin| serde_json::from_slice(origin).ok());
        let Some(origin) = origin else {
            return Err(damaged(&self.path, "its end does not say where it comes from"));
        };
        check_job(self.task, &self.path, origin[JOB].as_str())?;
        Ok(origin["failed"].as_u64().unwrap_or(0))
    }
}

impl Back for FromJson<'_> {
    fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<Found>> {
        bytes.clear();
        let mut found = Found::default();
        while bytes.len() < PIECE && !self.ended {
            self.read_line()?;
            let row = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            let row = row.strip_suffix(b",").unwrap_or(row);
            if row.starts_with(b"{") {
                // As the sink gets it, which drops the very first comma.
                bytes.extend_from_slice(b",\n");
                bytes.extend_from_slice(row);
                found.items += 1;
            } else {
                self.ended = true;
                found.failed = self.end()?;
            }
        }
        Ok((found.items > 0).then_some(found))
    }
}
