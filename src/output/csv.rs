//! CSV files: a header, and one row for each value.

use std::path::Path;

use crate::base::error::Result;
use crate::data::schema::Schema;
use crate::job::Task;
use crate::op::Bound;
use crate::output::encode::{RowTemplate, Who};
use crate::output::quote::{Quoting, csv_fields};
use crate::output::text::{ToFile, separated};

/// A row; `who` is `None` without the columns for it, and has `None` where nobody has answered.
pub fn template(table: &Schema, who: Option<Option<&Who>>) -> RowTemplate {
    let close = match who {
        None => "\n".to_owned(),
        Some(None) => ",,,\n".to_owned(),
        Some(Some(Who { rank, pid, host })) => {
            format!(",{rank},{pid},{}\n", String::from_utf8_lossy(&field(host.as_bytes())))
        }
    };
    // A blank line would be no row.
    let missing = if table.len() == 1 && who.is_none() { "\"\"" } else { "" };
    RowTemplate { before: separated(table, ","), missing, close, quoting: Quoting::Csv }
}

/// A field, in quotes where it needs them. It need not be UTF-8.
fn field(bytes: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    if !bytes.is_empty() {
        Quoting::Csv.put(bytes, &mut field);
    }
    field
}

/// Is a row, in which so many columns stand before the answer, that of a value without one? A sole field that is empty
/// has quotes then, and so has a text that is empty: of such `is_text` says nothing.
pub fn is_gap(row: &[u8], columns: usize, is_text: bool) -> bool {
    let row = row.strip_suffix(b"\n").unwrap_or(row);
    let answer = csv_fields(row).nth(columns);
    answer.is_some_and(|answer| answer.is_empty() || answer == b"\"\"" && !is_text)
}

/// The line that a file begins with.
pub fn heading(task: &Task, bound: &Bound) -> Vec<u8> {
    let names: Vec<Vec<u8>> =
        bound.table().fields.iter().map(|column| field(column.name.as_bytes())).collect();
    let who: &[u8] = if task.work.says_who() { b",rank,pid,host" } else { b"" };
    [&names.join(&b','), who, b"\n"].concat()
}

/// A file that begins with its header.
///
/// # Errors
/// It cannot be created.
pub fn create(task: &Task, path: &Path, bound: &Bound) -> Result<ToFile> {
    let mut file = ToFile::create(path)?;
    file.begin(&heading(task, bound));
    Ok(file)
}
