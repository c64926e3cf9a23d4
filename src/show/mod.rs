//! `parpy show`: a short look into a result. What made it, how many rows, the first and last of them, and
//! the least, mean and largest number of each column. Reads the file once, in bounded memory.

#[cfg(feature = "hdf5")]
pub mod hdf5;
mod json;
mod table;

use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::escape;
use crate::function::lanes::Lanes;
use crate::hdf5::library;
use crate::input::{self, Indexed};
use crate::job::Dtype;
use crate::output::Format;
use crate::provenance::{JOB, Provenance};
use crate::report::counted;

/// What can be seen of a file.
#[derive(Debug, Default)]
pub struct Look {
    /// Where it comes from, where it says so.
    pub origin: Option<Provenance>,
    /// Its datasets, or its only table.
    pub tables: Vec<Table>,
}

/// A dataset, or the rows of a file.
#[derive(Debug, Default)]
pub struct Table {
    /// Its name, where there are several.
    pub name: String,
    /// Its shape and type in words.
    pub shape: String,
    /// Names of columns, where they have names.
    pub header: Vec<String>,
    /// First rows.
    pub first: Vec<Vec<String>>,
    /// Last rows that are not among the first.
    pub last: VecDeque<Vec<String>>,
    /// Rows in between.
    pub between: u64,
    /// Each column's numbers, where there are any.
    pub columns: Vec<Summary>,
}

/// Numbers of a column, summed up.
#[derive(Debug, Default, Clone)]
pub struct Summary {
    count: u64,
    /// Not numbers, or none at all.
    missing: u64,
    range: Option<(f64, f64)>,
    /// Whole numbers are kept and shown as such.
    whole: Option<(i64, i64)>,
    /// Kahan's compensated sum.
    sum: f64,
    lost: f64,
}

impl Summary {
    /// One more number, by its bits.
    pub fn add(&mut self, dtype: Dtype, bits: u64) {
        let x = match dtype {
            Dtype::I64 => bits as i64 as f64,
            Dtype::F64 => f64::from_bits(bits),
        };
        if x.is_nan() {
            self.missing += 1;
            return;
        }
        if dtype == Dtype::I64 {
            let x = bits as i64;
            if self.count == 0 || self.whole.is_some() {
                let (least, most) = self.whole.unwrap_or((x, x));
                self.whole = Some((least.min(x), most.max(x)));
            }
        } else {
            self.whole = None;
        }
        let (least, most) = self.range.unwrap_or((x, x));
        self.range = Some((least.min(x), most.max(x)));
        self.count += 1;
        let y = x - self.lost;
        let sum = self.sum + y;
        // Infinity would make it, and so the mean, not a number.
        self.lost = if sum.is_finite() { (sum - self.sum) - y } else { 0.0 };
        self.sum = sum;
    }

    /// One more row without a number.
    pub fn skip(&mut self) {
        self.missing += 1;
    }

    /// A word of a row.
    fn add_word(&mut self, word: &str) {
        match (Dtype::I64.parse(word), Dtype::F64.parse(word)) {
            (Some(bits), _) => self.add(Dtype::I64, bits),
            (None, Some(bits)) => self.add(Dtype::F64, bits),
            (None, None) => self.skip(),
        }
    }

    /// `min …  mean …  max …`; `None` without numbers.
    fn text(&self) -> Option<String> {
        let (least, most) = self.range?;
        let mut float = ryu::Buffer::new();
        let mut text = |x: f64| float.format(x).to_owned();
        let (least, most) = match self.whole {
            Some((least, most)) => (least.to_string(), most.to_string()),
            None => (text(least), text(most)),
        };
        let mean = text(self.sum / self.count as f64);
        let missing = match self.missing {
            0 => String::new(),
            n => format!("  without a number {n}"),
        };
        Some(format!("min {least}  mean {mean}  max {most}{missing}"))
    }
}

impl Table {
    /// One more row, of which so many first and last ones are kept.
    pub fn push(&mut self, row: Vec<String>, rows: usize) {
        self.columns.resize(self.columns.len().max(row.len()), Summary::default());
        for (column, word) in self.columns.iter_mut().zip(&row) {
            column.add_word(word);
        }
        if self.first.len() < rows {
            self.first.push(row);
            return;
        }
        self.last.push_back(row);
        if self.last.len() > rows {
            self.last.pop_front();
            self.between += 1;
        }
    }

    /// How many rows have been pushed.
    pub fn count(&self) -> u64 {
        (self.first.len() + self.last.len()) as u64 + self.between
    }

    /// All numbers of a source, but those whose places are `missing`.
    ///
    /// # Errors
    /// It cannot be read to its end.
    pub fn of_numbers(
        source: &mut dyn Indexed,
        dtype: Dtype,
        rows: usize,
        missing: &HashSet<u64>,
    ) -> Result<Self> {
        let (total, mut room) = (source.count(), vec![0; source.piece()]);
        let mut table = Self { columns: vec![Summary::default()], ..Self::default() };
        let mut start = 0;
        while start < total {
            let most = (total - start).min(room.len() as u64) as usize;
            let (found, outcome) = source.fill_at(start, &mut room[..most], Lanes::best());
            outcome?;
            for (i, bits) in (start..).zip(&room[..found]) {
                match !missing.is_empty() && missing.contains(&i) {
                    true => table.columns[0].skip(),
                    false => table.columns[0].add(dtype, *bits),
                }
            }
            let is_shown = |i: u64| i < rows as u64 || i.saturating_add(rows as u64) >= total;
            for (i, bits) in (start..).zip(&room[..found]).filter(|(i, _)| is_shown(*i)) {
                let row = vec![if missing.contains(&i) { String::new() } else { dtype.text(*bits) }];
                if i < rows as u64 { table.first.push(row) } else { table.last.push_back(row) }
            }
            start += found as u64;
        }
        table.between = total - table.count();
        Ok(table)
    }

    fn tell(&self, text: &mut String) {
        let _ = writeln!(text, "{}", escape::line(format!("{} {}", self.name, self.shape).trim()));
        let row = |row: &[String]| {
            let words: Vec<String> = row.iter().map(|word| escape::line(word)).collect();
            format!("  {}\n", words.join("  "))
        };
        if self.header.len() > 1 {
            text.push_str(&row(&self.header));
        }
        self.first.iter().for_each(|first| text.push_str(&row(first)));
        if self.between > 0 {
            let _ = writeln!(text, "  … {} more", counted(self.between, "row"));
        }
        self.last.iter().for_each(|last| text.push_str(&row(last)));
        for (i, column) in self.columns.iter().enumerate() {
            let name = self.header.get(i).filter(|_| self.columns.len() > 1);
            // Their mean says nothing.
            let is_number = name.is_none_or(|name| name != "rank" && name != "pid");
            if let Some(summary) = column.text().filter(|_| is_number) {
                let name = name.map_or(String::new(), |name| format!("{}: ", escape::line(name)));
                let _ = writeln!(text, "  {name}{summary}");
            }
        }
    }
}

/// Looks into `path`.
///
/// # Errors
/// It cannot be read, or is not what its name says.
pub fn look(path: &Path, rows: usize) -> Result<Look> {
    match Format::of_name(path) {
        Some(Format::Hdf5) => library()?.show(path, rows),
        Some(Format::Json) => json::look(path, rows),
        Some(Format::JsonLines) => json::look_at_lines(path, rows),
        Some(Format::Npy) => {
            let (mut values, dtype) = input::npy::open(path, None, None)?;
            let mut table = Table::of_numbers(&mut values, dtype, rows, &HashSet::new())?;
            table.shape = format!("{} of type {}", counted(values.count(), "number"), dtype.name());
            Ok(Look { origin: None, tables: vec![table] })
        }
        _ => table::look(path, rows),
    }
}

/// Does the name say that a job may be kept in the file?
pub fn holds_job(path: &Path) -> bool {
    matches!(Format::of_name(path), Some(Format::Hdf5 | Format::Json))
}

/// The job that made a .h5 or .json file, as the text of a job file.
///
/// # Errors
/// It cannot be read, or none is kept in it.
pub fn job_of(path: &Path) -> Result<String> {
    match Format::of_name(path) {
        Some(Format::Hdf5) => library()?.job(path),
        Some(Format::Json) => {
            let origin = json::look(path, 0)?.origin;
            let job = origin.and_then(|origin| Some(origin.0.get(JOB)?.as_str()?.to_owned()));
            job.ok_or_else(|| Error::no_job(path))
        }
        _ => Err(Error::no_job(path)),
    }
}

impl Look {
    /// For people.
    pub fn text(&self, path: &Path) -> String {
        let mut text = format!("{}\n", escape::line(&path.display().to_string()));
        if let Some(Provenance(known)) = &self.origin {
            for (name, value) in known {
                let value = match value {
                    // The job has several lines, all others have one.
                    Value::String(value) if name == JOB => value.trim_end().replace('\n', "\n    "),
                    Value::String(value) => escape::line(value),
                    Value::Array(values) => {
                        escape::line(&values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
                    }
                    other => escape::line(&other.to_string()),
                };
                let name = escape::line(name);
                let gap = if value.contains('\n') { "\n    " } else { " " };
                let _ = writeln!(text, "  {name}:{gap}{value}");
            }
        }
        self.tables.iter().for_each(|table| table.tell(&mut text));
        escape::lines(&text)
    }
}
