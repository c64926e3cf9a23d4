//! JSON: one object per line, or one object with a list of all results and where they came from.
//!
//! JSON has no word for infinity and for what is not a number: they are `null`, as ECMAScript has it.

use std::path::Path;

use serde_json::json;

use crate::error::Result;
use crate::function::lines::Tally;
use crate::job::Task;
use crate::output::text::ToFile;
use crate::output::{Frame, Piece, Sink, Who};
use crate::provenance::Origin;
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
        file.begin(b"{\"results\": [");
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
        self.file.put(format!("\n],\n\"parpy\": {origin}}}\n").as_bytes())?;
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
