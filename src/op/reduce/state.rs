//! What is known of the values of one column, as far as reductions need it, and how that travels.

use crate::base::lanes::Lanes;
use crate::data::dtype::Dtype;
use crate::op::reduce::bins::Bins;
use crate::op::reduce::extremes::{Extremes, Rows};
use crate::op::reduce::totals::{Squares, Sum};

/// What is to be known of a column, besides how many values there are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Needs {
    /// Their sum.
    pub sum: bool,
    /// That of their squares.
    pub squares: bool,
    /// The least and the greatest.
    pub extremes: bool,
    /// How many there are in each bin of these.
    pub bins: Vec<Bins>,
}

impl Needs {
    /// Nothing more.
    pub const COUNT: Self = Self { sum: false, squares: false, extremes: false, bins: Vec::new() };
    /// Their sum.
    pub const SUM: Self = Self { sum: true, squares: false, extremes: false, bins: Vec::new() };
    /// Their sum and that of their squares.
    pub const SQUARES: Self = Self { sum: true, squares: true, extremes: false, bins: Vec::new() };
    /// The least and the greatest.
    pub const EXTREMES: Self = Self { sum: false, squares: false, extremes: true, bins: Vec::new() };

    /// What both need.
    pub fn and(mut self, other: &Self) -> Self {
        self.sum |= other.sum;
        self.squares |= other.squares;
        self.extremes |= other.extremes;
        self.bins
            .extend(other.bins.iter().filter(|bins| !self.bins.contains(bins)).cloned().collect::<Vec<_>>());
        self
    }
}

/// The values of a column, reduced.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    dtype: Dtype,
    /// How many values.
    pub count: u64,
    /// How many rows without one.
    pub missing: u64,
    /// Their sum, where it is needed, as all others here.
    pub sum: Option<Sum>,
    /// The sum of their squares.
    pub squares: Option<Squares>,
    /// The least and the greatest.
    pub extremes: Option<Extremes>,
    /// Bins, and how many values lie in each.
    pub bins: Vec<(Bins, Vec<u64>)>,
}

impl State {
    /// Of no values of that type.
    pub fn new(dtype: Dtype, needs: &Needs) -> Self {
        Self {
            dtype,
            count: 0,
            missing: 0,
            sum: needs.sum.then(|| Sum::new(dtype)),
            squares: needs.squares.then(|| Squares::new(dtype)),
            extremes: needs.extremes.then(|| Extremes::new(dtype)),
            bins: needs.bins.iter().map(|bins| (bins.clone(), vec![0; bins.count()])).collect(),
        }
    }

    /// Type of the values.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Adds values by their bits, which stand in `rows`, computed with `lanes`.
    pub fn add(&mut self, lanes: Lanes, values: &[u64], rows: Rows) {
        self.count += values.len() as u64;
        if let Some(sum) = &mut self.sum {
            sum.add(lanes, values);
        }
        if let Some(squares) = &mut self.squares {
            squares.add(lanes, values);
        }
        if let Some(extremes) = &mut self.extremes {
            extremes.add(lanes, values, rows);
        }
        for (bins, counts) in &mut self.bins {
            for bits in values {
                let value = match self.dtype {
                    Dtype::I64 => *bits as i64 as f64,
                    Dtype::F64 => f64::from_bits(*bits),
                };
                if let Some(bin) = bins.bin(value) {
                    counts[bin] += 1;
                }
            }
        }
    }

    /// Appends the state.
    pub fn save(&self, bytes: &mut Vec<u8>) {
        bytes.extend([self.count.to_le_bytes(), self.missing.to_le_bytes()].as_flattened());
        if let Some(sum) = &self.sum {
            sum.save(bytes);
        }
        if let Some(squares) = &self.squares {
            squares.save(bytes);
        }
        if let Some(extremes) = &self.extremes {
            extremes.save(bytes);
        }
        for (_, counts) in &self.bins {
            bytes.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
        }
    }

    /// Adds the state that `bytes` begin with, which has been saved of a state with the same needs, and passes over it;
    /// `None` when it is something else.
    pub fn merge(&mut self, bytes: &mut &[u8]) -> Option<()> {
        self.count = self.count.checked_add(word(bytes)?)?;
        self.missing = self.missing.checked_add(word(bytes)?)?;
        if let Some(sum) = &mut self.sum {
            sum.merge(bytes)?;
        }
        if let Some(squares) = &mut self.squares {
            squares.merge(bytes)?;
        }
        if let Some(extremes) = &mut self.extremes {
            extremes.merge(bytes)?;
        }
        for count in self.bins.iter_mut().flat_map(|(_, counts)| counts) {
            *count = count.checked_add(word(bytes)?)?;
        }
        Some(())
    }
}

/// The word that `bytes` begin with, which is passed over.
pub fn word(bytes: &mut &[u8]) -> Option<u64> {
    let (word, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*word))
}
