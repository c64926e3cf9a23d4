//! Sums of values and of their squares, both without an error.

use num_bigint::{BigInt, BigUint, Sign};

use crate::base::lanes::Lanes;
use crate::data::dtype::Dtype;
use crate::op::reduce::exact::{ExactSquares, ExactSum};

/// The sum of values of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sum {
    /// Of whole numbers.
    Whole(i128),
    /// Of floats.
    Float(Box<ExactSum>),
}

impl Sum {
    /// Of no values.
    pub fn new(dtype: Dtype) -> Self {
        match dtype {
            Dtype::I64 => Self::Whole(0),
            Dtype::F64 => Self::Float(Box::default()),
        }
    }

    /// Adds values by their bits, computed with `lanes`.
    pub fn add(&mut self, lanes: Lanes, values: &[u64]) {
        match self {
            Self::Float(sum) => sum.add_all(lanes, bytemuck::cast_slice(values)),
            Self::Whole(sum) => {
                // The halves of so few cannot overflow, and add up in vector lanes.
                for window in values.chunks(1024) {
                    let low: u64 = window.iter().map(|bits| bits & 0xffff_ffff).sum();
                    let high: i64 = window.iter().map(|bits| *bits as i64 >> 32).sum();
                    *sum += i128::from(low) + (i128::from(high) << 32);
                }
            }
        }
    }

    /// Appends its state.
    pub fn save(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Whole(sum) => bytes.extend(sum.to_le_bytes()),
            Self::Float(sum) => sum.save(bytes),
        }
    }

    /// Adds the state that `bytes` begin with, and passes over it; `None` when it is something else.
    pub fn merge(&mut self, bytes: &mut &[u8]) -> Option<()> {
        match self {
            Self::Whole(sum) => {
                let (state, rest) = bytes.split_first_chunk()?;
                *sum = sum.wrapping_add(i128::from_le_bytes(*state));
                *bytes = rest;
                Some(())
            }
            Self::Float(sum) => sum.merge_saved(bytes),
        }
    }

    /// As a whole number of 2^e, with e; or what it is where it cannot be counted.
    pub fn whole(&self) -> Result<(BigInt, i32), f64> {
        match self {
            Self::Whole(sum) => Ok((BigInt::from(*sum), 0)),
            Self::Float(sum) => sum.special().map_or_else(|| Ok((sum.whole(), -1088)), Err),
        }
    }
}

/// The sum of squares of values of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Squares {
    /// Of whole numbers: below 2^190, as there are fewer than 2^64 of them; the low half first.
    Whole(u128, u128),
    /// Of floats.
    Float(Box<ExactSquares>),
}

impl Squares {
    /// Of no values.
    pub fn new(dtype: Dtype) -> Self {
        match dtype {
            Dtype::I64 => Self::Whole(0, 0),
            Dtype::F64 => Self::Float(Box::default()),
        }
    }

    /// Adds the squares of values by their bits, computed with `lanes`.
    pub fn add(&mut self, lanes: Lanes, values: &[u64]) {
        match self {
            Self::Float(sum) => sum.add_squares(lanes, bytemuck::cast_slice(values)),
            Self::Whole(low, high) => {
                for bits in values {
                    let size = u128::from((*bits as i64).unsigned_abs());
                    let (sum, carries) = low.overflowing_add(size * size);
                    *low = sum;
                    *high += u128::from(carries);
                }
            }
        }
    }

    /// Appends its state.
    pub fn save(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Whole(low, high) => bytes.extend([low.to_le_bytes(), high.to_le_bytes()].as_flattened()),
            Self::Float(sum) => sum.save(bytes),
        }
    }

    /// As [`Sum::merge`].
    pub fn merge(&mut self, bytes: &mut &[u8]) -> Option<()> {
        match self {
            Self::Whole(low, high) => {
                let (state, rest) = bytes.split_first_chunk::<32>()?;
                let [other_low, other_high] =
                    [&state[..16], &state[16..]].map(|half| half.try_into().map_or(0, u128::from_le_bytes));
                let (sum, carries) = low.overflowing_add(other_low);
                *low = sum;
                *high = high.wrapping_add(other_high).wrapping_add(u128::from(carries));
                *bytes = rest;
                Some(())
            }
            Self::Float(sum) => sum.merge_saved(bytes),
        }
    }

    /// As a whole number of 2^(2e), where [`Sum::whole`] is one of 2^e; not where that is none.
    pub fn whole(&self) -> BigInt {
        match self {
            Self::Whole(low, high) => {
                let size = (BigUint::from(*high) << 128u32) + BigUint::from(*low);
                BigInt::from_biguint(Sign::Plus, size)
            }
            Self::Float(sum) => sum.whole(),
        }
    }
}
