//! `parpy show`: a short look into a result. What made it, how many rows, the first and last of them, and
//! the least, mean and largest number of each column, or of a sample of very many. Reads the file once, in bounded
//! memory.

#[cfg(feature = "hdf5")]
pub mod hdf5;
mod json;
mod table;

use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;
use std::iter;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;

use crate::base::error::{Error, Result};
use crate::base::fmt::counted;
use crate::base::lanes::Lanes;
use crate::base::{escape, isolate};
use crate::cmd::hdf5::library;
use crate::data::dtype::Dtype;
use crate::data::format::Format;
use crate::data::partition;
use crate::input::{self, ArrayFile, Indexed};
use crate::output::hdf5_library;
use crate::output::provenance::{JOB, Provenance};

/// What can be seen of a file.
#[derive(Debug, Default)]
pub struct Look {
    /// Where it comes from, where it says so.
    pub origin: Option<Provenance>,
    /// Its datasets, or its only table.
    pub tables: Vec<Table>,
    /// Why the first of those that cannot be read cannot.
    pub fault: Option<String>,
}

/// Of more rows only a sample is looked at: all of them would take longer than anybody waits for a short look.
pub const MOST_ROWS: u64 = 1 << 28;
/// How many places a sample is taken from, the beginning and the end among them.
const PLACES: u64 = 64;
/// Rows of a sample from each place.
const OF_PLACE: u64 = 4096;

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
    /// How many rows have been looked at, where these are not all.
    pub sampled: Option<u64>,
}

/// Which of `total` rows are looked at, in order: all, or of more than `most` a sample, with so many of the first
/// and last `rows`.
pub fn looked_at(total: u64, most: u64, rows: usize) -> Vec<Range<u64>> {
    if total <= most.max(OF_PLACE * PLACES) {
        return iter::once(0..total).collect();
    }
    let ends = (rows as u64).clamp(OF_PLACE, total);
    let place = |i: u64| partition::part(total - OF_PLACE, PLACES, i).start;
    let between = (1..PLACES).map(|i| place(i)..place(i) + OF_PLACE);
    let mut seen = 0;
    iter::once(0..ends)
        .chain(between)
        .chain(iter::once(total - ends..total))
        .map(|place| (place.start.max(seen)..place.end, seen = seen.max(place.end)).0)
        .filter(|place| !place.is_empty())
        .collect()
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

    /// The numbers of a source, but those whose places are `missing`: all, or of more than `most` a sample.
    ///
    /// # Errors
    /// It cannot be read to its end.
    pub fn of_numbers(
        source: &mut dyn Indexed,
        rows: usize,
        most: u64,
        missing: &HashSet<u64>,
    ) -> Result<Self> {
        let (total, piece, schema) = (source.count(), source.piece(), source.schema());
        let dtypes: Vec<Dtype> = (0..schema.len()).filter_map(|column| schema.number(column)).collect();
        let mut room = vec![0; piece * dtypes.len()];
        let header = schema.fields.iter().map(|field| field.name.clone()).collect();
        let columns = dtypes.iter().map(|_| Summary::default()).collect();
        let mut table = Self { header, columns, ..Self::default() };
        let (first, last) = (rows as u64, total.saturating_sub(rows as u64));
        let places = looked_at(total, most, rows);
        table.sample(&places, total);
        for Range { mut start, end } in places {
            while start < end {
                isolate::go_on();
                let most = (end - start).min(piece as u64) as usize;
                let mut space: Vec<&mut [u64]> =
                    room.chunks_exact_mut(piece).map(|column| &mut column[..most]).collect();
                let (found, outcome) = source.fill_at(start, &mut space, Lanes::best());
                outcome?;
                let columns: Vec<&[u64]> = room.chunks_exact(piece).map(|column| &column[..found]).collect();
                let holes = source.holes();
                let lacks = |column: usize, i: u64| {
                    let hole = holes.and_then(|holes| holes.of_column(column));
                    !missing.is_empty() && missing.contains(&i)
                        || hole.is_some_and(|hole| hole.has((i - start) as usize))
                };
                for (number, (summary, dtype)) in table.columns.iter_mut().zip(&dtypes).enumerate() {
                    for (i, bits) in (start..).zip(columns[number]) {
                        match lacks(number, i) {
                            true => summary.skip(),
                            false => summary.add(*dtype, *bits),
                        }
                    }
                }
                let shown = (start..).zip(0..found).filter(|(i, _)| *i < first || *i >= last);
                for (i, at) in shown {
                    let word = |(number, dtype): (usize, &Dtype)| {
                        let bits = columns[number][at];
                        // A NaN is shown as it is, whatever it stands for.
                        let is_nan = *dtype == Dtype::F64 && f64::from_bits(bits).is_nan();
                        if lacks(number, i) && !is_nan { String::new() } else { dtype.text(bits) }
                    };
                    let row = dtypes.iter().enumerate().map(word).collect();
                    if i < first { table.first.push(row) } else { table.last.push_back(row) }
                }
                start += found as u64;
            }
        }
        table.between = total - table.count();
        Ok(table)
    }

    /// Notes that of `total` rows only those at `places` are looked at, where that is so.
    pub fn sample(&mut self, places: &[Range<u64>], total: u64) {
        let seen = places.iter().map(|place| place.end - place.start).sum();
        self.sampled = (seen < total).then_some(seen);
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
        if let Some(sampled) = self.sampled {
            let _ = writeln!(text, "  of a sample of {}:", counted(sampled, "row"));
        }
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

/// A look into `path` for people, and what of it cannot be looked at. Of an HDF5 file a child takes it, which the file
/// may crash.
///
/// # Errors
/// As [`look`].
pub fn text(path: &Path, rows: usize) -> Result<(String, Result<()>)> {
    let text = |look: Look| look.text(path);
    if Format::of_name(path) != Some(Format::Hdf5) {
        return look(path, rows).map(|look| (text(look), Ok(())));
    }
    library()?;
    // A NUL behind the fault, in which there is none, because no name of HDF5's has one.
    let both = isolate::read(path, || {
        let mut look = look(path, rows)?;
        let fault = look.fault.take().unwrap_or_default();
        Ok(format!("{fault}\0{}", text(look)))
    })?;
    let (fault, text) = both.split_once('\0').unwrap_or_default();
    let fault = if fault.is_empty() { Ok(()) } else { Err(Error::Failed(fault.to_owned())) };
    Ok((text.to_owned(), fault))
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
            let mut values = input::npy::open(&ArrayFile::elements(path, None))?;
            let mut table = Table::of_numbers(&mut *values, rows, MOST_ROWS, &HashSet::new())?;
            let (schema, count) = (values.schema(), values.count());
            table.shape = match schema.len() {
                1 => format!("{} of type {schema}", counted(count, "number")),
                _ => format!("{} of {schema}", counted(count, "row")),
            };
            Ok(Look { tables: vec![table], ..Look::default() })
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
        Some(Format::Hdf5) => hdf5_library::library()?.job(path),
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whole places in order, none twice, with all that is shown; of few rows all.
        #[test]
        fn a_sample_holds_both_ends(total in 0u64..1 << 50, most in 0u64..1 << 50, rows in 0usize..1 << 20) {
            let places = looked_at(total, most, rows);
            let mut end = 0;
            for (i, place) in places.iter().enumerate() {
                prop_assert!(place.start >= end && place.end >= place.start && (i == 0) == (place.start == 0));
                end = place.end;
            }
            prop_assert_eq!(end, total);
            let covered = |ends: Range<u64>| {
                let of = |place: &Range<u64>| place.end.min(ends.end).saturating_sub(place.start.max(ends.start));
                places.iter().map(of).sum::<u64>()
            };
            let shown = total.min(rows as u64);
            prop_assert_eq!((covered(0..shown), covered(total - shown..total)), (shown, shown));
            let seen: u64 = places.iter().map(|place| place.end - place.start).sum();
            let is_sample = seen <= (2 + PLACES) * OF_PLACE + 2 * rows as u64;
            prop_assert!(seen == total || total > most && is_sample);
        }
    }
}
