//! A look into CSV files, and into text with numbers.

use std::path::Path;

use csv::ReaderBuilder;

use crate::base::error::{Error, Result};
use crate::base::fmt::counted;
use crate::cmd::show::{Look, Table};
use crate::data::format::delimiter;
use crate::input::csv::Records;
use crate::input::open;

/// Of rows with more columns only the first are looked at.
const MOST_COLUMNS: usize = 1000;

/// Rows that end with newlines: fields with commas (in `.tsv` tabs) between below a header, where there is one, or
/// else lines.
pub fn look(path: &Path, rows: usize) -> Result<Look> {
    let mut builder = ReaderBuilder::new();
    builder.flexible(true);
    let is_csv = delimiter(path).is_some();
    if !is_csv {
        builder.quoting(false);
    }
    let mut records = Records::new(&mut builder, open(path)?, path, delimiter(path).unwrap_or(b'\t'));
    let mut table = Table::default();
    let (mut is_first, mut widest) = (true, 0);
    while let Some(record) = records.advance()? {
        if record.as_slice().contains(&0) {
            return Err(Error::Failed(format!(
                "cannot show {}: it is not text, and what else it is its name must say: .h5, .npy, .json, .jsonl \
                 or .csv",
                path.display()
            )));
        }
        widest = widest.max(record.len());
        let fields = record.iter().take(MOST_COLUMNS);
        let row: Vec<String> = fields.map(|field| String::from_utf8_lossy(field).into_owned()).collect();
        // Names of columns are hardly all numbers: then there is no header.
        let is_header = is_csv && is_first && row.iter().any(|name| name.parse::<f64>().is_err());
        is_first = false;
        if is_header {
            table.header = row;
        } else {
            table.push(row, rows);
        }
    }
    table.shape = counted(table.count(), if is_csv { "row" } else { "line" });
    if widest > MOST_COLUMNS {
        table.shape += &format!(" of {}, the first {MOST_COLUMNS} of them", counted(widest as u64, "column"));
    }
    Ok(Look { tables: vec![table], ..Look::default() })
}
