//! States of blocks put together on the root, whatever they are: the seam behind which reductions and counts of lines are
//! the same.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::base::error::Result;
use crate::base::{escape, names};
use crate::data::schema::{ColumnType, Schema};
use crate::data::texts::Texts;

/// One row of results; a value may be missing.
pub type ResultRow = Vec<Option<u64>>;

/// Puts states together. What comes of them does not hang on their order.
pub trait Accumulator {
    /// Adds the next bytes of a state, or of several.
    ///
    /// # Errors
    /// They are no such state, or there is no room for more.
    fn add(&mut self, bytes: &[u8]) -> Result<()>;

    /// Lets go of a state that has come in part: its block is worked on again, in other pieces.
    fn forget_begun(&mut self) {}

    /// The rows of results, and how many rows of the input had no answer.
    ///
    /// # Errors
    /// One has no answer that could be written; or there are no values that it could be of, unless they `may_lack`.
    fn rows(&self, may_lack: bool) -> Result<(Vec<ResultRow>, u64)>;

    /// Where words of texts in these rows lead to.
    fn texts(&self) -> Texts<'_>;

    /// Rows of `table` as text, for people: a line of names, and one of values for each.
    fn text(&self, rows: &[ResultRow], table: &Schema) -> Vec<u8> {
        table_text(rows, table, self.texts())
    }
}

/// As [`Accumulator::text`] has it where nothing else is said.
pub fn table_text(rows: &[ResultRow], table: &Schema, texts: Texts) -> Vec<u8> {
    let rows = rows.iter().map(|row| words(row, table, texts).join("\t") + "\n");
    [headings(table).join("\t") + "\n"].into_iter().chain(rows).collect::<String>().into_bytes()
}

/// The names of columns, as they stand in a line.
pub fn headings(table: &Schema) -> Vec<String> {
    table.fields.iter().map(|field| escape::line(&field.name)).collect()
}

/// The values of a row, as they stand in a line.
pub fn words(row: &ResultRow, table: &Schema, texts: Texts) -> Vec<String> {
    let word = |bits: u64, dtype: ColumnType| match dtype.number() {
        Some(dtype) => dtype.text(bits),
        None => escape::line(&names::readable(Path::new(OsStr::from_bytes(texts.get(bits))))),
    };
    let values = row.iter().zip(table.dtypes());
    values.map(|(bits, dtype)| bits.map_or(String::new(), |bits| word(bits, dtype))).collect()
}
