//! Rows of an input that have no value, though they are there: what parpy has left where it had no answer, or what
//! numpy has for a number that is missing.

use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::lanes::Lanes;
use crate::data::dtype::Dtype;
use crate::data::lacking::Lacking;
use crate::data::schema::Schema;
use crate::input::{Indexed, Stamp};

/// Which of some rows have no value, a bit for each, by column; a column in which all have one has no bits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holes {
    columns: Vec<Vec<u64>>,
}

impl Holes {
    /// None in so many columns.
    pub fn none(columns: usize) -> Self {
        Self { columns: vec![Vec::new(); columns] }
    }

    /// Row `row` of a column has no value.
    pub fn add(&mut self, column: usize, row: usize) {
        let bits = &mut self.columns[column];
        if bits.len() <= row / 64 {
            bits.resize(row / 64 + 1, 0);
        }
        bits[row / 64] |= 1 << (row % 64);
    }

    /// Those of a column, where there are any.
    pub fn of_column(&self, column: usize) -> Option<Lacking<'_>> {
        let bits = &self.columns[column];
        bits.iter().any(|bits| *bits != 0).then(|| Lacking::where_set(bits))
    }

    /// The first row with one, and its column.
    fn first(&self) -> Option<(usize, usize)> {
        let first = |(column, bits): (usize, &Vec<u64>)| {
            let word = bits.iter().position(|bits| *bits != 0)?;
            Some((word * 64 + bits[word].trailing_zeros() as usize, column))
        };
        self.columns.iter().enumerate().filter_map(first).min()
    }

    /// These, and beside them those of further columns.
    pub fn beside(mut self, others: Option<&Self>, columns: usize) -> Self {
        match others {
            Some(others) => self.columns.extend_from_slice(&others.columns),
            None => self.columns.resize(self.columns.len() + columns, Vec::new()),
        }
        self
    }
}

/// How holes are found.
pub enum Finder {
    /// A float that is no number is one.
    Nan,
    /// Where a column of truth values says that there is no value, in the columns of these numbers.
    Valid(Box<dyn Indexed>, Vec<usize>),
    /// In the rows of these numbers, which ascend.
    Rows(Vec<u64>),
}

/// Rows of which some have no value.
pub struct WithHoles {
    source: Box<dyn Indexed>,
    finders: Vec<Finder>,
    /// For messages.
    name: PathBuf,
    /// They are passed over.
    may_lack: bool,
    /// Those of the rows that were found last.
    last: Holes,
}

impl WithHoles {
    /// `source`, a part of the file `name`, in which `finders` find holes; they are an error unless values `may_lack`.
    pub fn new(source: Box<dyn Indexed>, finders: Vec<Finder>, name: &Path, may_lack: bool) -> Self {
        let last = Holes::none(source.schema().len());
        Self { source, finders, name: name.to_owned(), may_lack, last }
    }

    fn find(&mut self, start: u64, columns: &[&mut [u64]], found: usize, lanes: Lanes) -> Result<()> {
        let schema = self.source.schema();
        self.last = Holes::none(schema.len());
        let holes = &mut self.last;
        for finder in &mut self.finders {
            match finder {
                Finder::Nan => {
                    let floats =
                        columns.iter().enumerate().filter(|(k, _)| schema.number(*k) == Some(Dtype::F64));
                    for (k, column) in floats {
                        let is_nan = |(_, bits): &(usize, &u64)| f64::from_bits(**bits).is_nan();
                        column[..found]
                            .iter()
                            .enumerate()
                            .filter(is_nan)
                            .for_each(|(row, _)| holes.add(k, row));
                    }
                }
                Finder::Valid(valid, of) => {
                    let mut words = vec![0; found];
                    valid.fill_at(start, &mut [&mut words], lanes).1?;
                    for (row, _) in words.iter().enumerate().filter(|(_, word)| **word == 0) {
                        of.iter().for_each(|k| holes.add(*k, row));
                    }
                }
                Finder::Rows(rows) => {
                    let first = rows.partition_point(|row| *row < start);
                    let own = rows[first..].iter().take_while(|row| **row < start + found as u64);
                    own.for_each(|row| (0..schema.len()).for_each(|k| holes.add(k, (row - start) as usize)));
                }
            }
        }
        Ok(())
    }
}

impl Indexed for WithHoles {
    fn schema(&self) -> Schema {
        self.source.schema()
    }

    fn count(&self) -> u64 {
        self.source.count()
    }

    fn fill_at(&mut self, start: u64, columns: &mut [&mut [u64]], lanes: Lanes) -> (usize, Result<()>) {
        let (found, outcome) = self.source.fill_at(start, columns, lanes);
        if let Err(error) = self.find(start, columns, found, lanes) {
            return (0, Err(error));
        }
        match self.last.first().filter(|_| !self.may_lack) {
            None => (found, outcome),
            Some((row, _)) => {
                let error = Error::Failed(format!(
                    "{}: value no. {} is missing; --keep-going passes over it",
                    self.name.display(),
                    start + row as u64 + 1
                ));
                (row, Err(error))
            }
        }
    }

    fn holes(&self) -> Option<&Holes> {
        Some(&self.last)
    }

    fn piece(&self) -> usize {
        self.source.piece()
    }

    fn note(&self) -> Option<String> {
        self.source.note()
    }

    fn stamp(&self) -> Stamp {
        self.source.stamp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_where_they_were_put() {
        let mut holes = Holes::none(2);
        assert!(holes.first().is_none() && holes.of_column(1).is_none());
        for (column, row) in [(1, 130), (1, 64), (0, 70)] {
            holes.add(column, row);
        }
        assert_eq!(holes.first(), Some((64, 1)));
        let is_hole =
            |holes: &Holes, column, row| holes.of_column(column).is_some_and(|holes| holes.has(row));
        assert!(is_hole(&holes, 1, 130) && !is_hole(&holes, 0, 130) && !is_hole(&holes, 1, 5000));
        let all = holes.clone().beside(None, 1).beside(Some(&holes), 2);
        assert!(is_hole(&all, 3, 70) && is_hole(&all, 4, 64) && all.of_column(2).is_none());
    }
}
