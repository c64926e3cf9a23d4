//! A look into CSV files, and into text with numbers.

use std::path::Path;

use crate::error::{Error, Result};
use crate::input::open;
use crate::report::counted;
use crate::show::{Look, Table};

/// Rows that end with newlines: fields with commas between below a header, or else words with blanks.
pub fn look(path: &Path, rows: usize, is_csv: bool) -> Result<Look> {
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(is_csv).flexible(true).trim(csv::Trim::All);
    if !is_csv {
        builder.delimiter(b'\t').quoting(false);
    }
    let cannot = |e: csv::Error| match e.kind() {
        csv::ErrorKind::Io(e) => Error::io("read", path, e),
        _ => Error::Failed(format!("cannot read {}: {e}", path.display())),
    };
    let mut reader = builder.from_reader(open(path)?);
    let mut table = Table::default();
    if is_csv {
        let header = reader.byte_headers().map_err(cannot)?;
        table.header = header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    }
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(cannot)? {
        if record.as_slice().contains(&0) {
            return Err(Error::Failed(format!(
                "cannot show {}: it is not text, and what else it is its name must say: .h5, .npy, .json, .jsonl \
                 or .csv",
                path.display()
            )));
        }
        table.push(record.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect(), rows);
    }
    table.shape = counted(table.count(), if is_csv { "row" } else { "line" });
    Ok(Look { origin: None, tables: vec![table] })
}
