//! The least and the greatest of values, and in which rows they stand first.
//!
//! A NaN is passed on, as numpy does it: where a value is none, the least and the greatest are, and their row is that
//! of the first NaN. Of zeros the negative one is the less, though both stand where the first zero does.

use crate::base::lanes::{Lanes, kernel};
use crate::data::dtype::Dtype;

/// A value, and the first row in which one that equals it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extreme {
    bits: u64,
    row: u64,
}

/// The least and the greatest of values of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extremes {
    dtype: Dtype,
    /// None where there are no values but NaNs.
    ends: Option<[Extreme; 2]>,
    /// The first row with a NaN.
    nan: Option<u64>,
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The least.
    Least,
    /// The greatest.
    Greatest,
}

/// The rows that values stand in.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// One after the other, from that one on.
    From(u64),
    /// So far behind that one.
    At(u64, &'a [u32]),
}

impl Rows<'_> {
    fn row(self, i: usize) -> u64 {
        match self {
            Self::From(start) => start + i as u64,
            Self::At(start, places) => start + u64::from(places[i]),
        }
    }

    /// Those from number `i` on.
    pub fn skip(self, i: usize) -> Self {
        match self {
            Self::From(start) => Self::From(start + i as u64),
            Self::At(start, places) => Self::At(start, &places[i..]),
        }
    }
}

const WINDOW: usize = 1024;

impl Extremes {
    /// Of no values.
    pub fn new(dtype: Dtype) -> Self {
        Self { dtype, ends: None, nan: None }
    }

    /// Adds values by their bits, computed with `lanes`, which stand in `rows`.
    pub fn add(&mut self, lanes: Lanes, values: &[u64], rows: Rows) {
        for (number, window) in values.chunks(WINDOW).enumerate() {
            if !self.may_change(lanes, window) {
                continue;
            }
            for (i, bits) in window.iter().enumerate() {
                self.add_one(Extreme { bits: *bits, row: rows.row(number * WINDOW + i) });
            }
        }
    }

    /// Can values change what is known, where they stand behind all others?
    fn may_change(&self, lanes: Lanes, values: &[u64]) -> bool {
        let Some([least, greatest]) = self.ends else { return true };
        match self.dtype {
            Dtype::I64 => {
                let values: &[i64] = bytemuck::cast_slice(values);
                let (low, high) = kernel!(lanes, ends_of_whole, ends_of_whole(values: &[i64]) -> (i64, i64));
                low < least.bits as i64 || high > greatest.bits as i64
            }
            Dtype::F64 => {
                let values: &[f64] = bytemuck::cast_slice(values);
                let (low, high, is_nan) =
                    kernel!(lanes, ends_of_floats, ends_of_floats(values: &[f64]) -> (f64, f64, bool));
                let (least, greatest) = (f64::from_bits(least.bits), f64::from_bits(greatest.bits));
                // Of two zeros the sign counts, too.
                low < least
                    || high > greatest
                    || is_nan
                    || low == 0.0 && least == 0.0
                    || high == 0.0 && greatest == 0.0
            }
        }
    }

    fn add_one(&mut self, new: Extreme) {
        if self.dtype == Dtype::F64 && f64::from_bits(new.bits).is_nan() {
            self.nan = Some(self.nan.map_or(new.row, |row| row.min(new.row)));
            return;
        }
        let ends = self.ends.get_or_insert([new, new]);
        *ends = [joint(self.dtype, ends[0], new, End::Least), joint(self.dtype, ends[1], new, End::Greatest)];
    }

    /// Appends its state.
    pub fn save(&self, bytes: &mut Vec<u8>) {
        let [least, greatest] = self.ends.unwrap_or([Extreme { bits: 0, row: u64::MAX }; 2]);
        let words = [least.bits, least.row, greatest.bits, greatest.row, self.nan.unwrap_or(u64::MAX)];
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    /// Adds the state that `bytes` begin with, and passes over it; `None` when it is something else.
    pub fn merge(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let (state, rest) = bytes.split_first_chunk::<40>()?;
        let mut words = state.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let mut next = || words.next().unwrap_or(u64::MAX);
        let (least, greatest) =
            (Extreme { bits: next(), row: next() }, Extreme { bits: next(), row: next() });
        let nan = next();
        if least.row != u64::MAX {
            let ends = self.ends.get_or_insert([least, greatest]);
            *ends = [
                joint(self.dtype, ends[0], least, End::Least),
                joint(self.dtype, ends[1], greatest, End::Greatest),
            ];
        }
        if nan != u64::MAX {
            self.nan = Some(self.nan.map_or(nan, |row| row.min(nan)));
        }
        *bytes = rest;
        Some(())
    }

    /// The value at an end, by its bits; `None` of no values.
    pub fn value(&self, end: End) -> Option<u64> {
        match self.nan {
            Some(_) => Some(f64::NAN.to_bits()),
            None => self.ends.map(|ends| ends[end as usize].bits),
        }
    }

    /// The row in which it stands first.
    pub fn row(&self, end: End) -> Option<u64> {
        self.nan.or_else(|| self.ends.map(|ends| ends[end as usize].row))
    }
}

/// The one that is nearer to the end; of two that are equal, in the first of their rows.
fn joint(dtype: Dtype, a: Extreme, b: Extreme, end: End) -> Extreme {
    let order = match dtype {
        Dtype::I64 => (a.bits as i64).cmp(&(b.bits as i64)),
        // Only zeros of both signs are equal, and of these the sign decides.
        Dtype::F64 => {
            let (x, y) = (f64::from_bits(a.bits), f64::from_bits(b.bits));
            if x == y {
                let first = x.total_cmp(&y);
                let is_first = if end == End::Least { first.is_le() } else { first.is_ge() };
                return Extreme { bits: if is_first { a.bits } else { b.bits }, row: a.row.min(b.row) };
            }
            x.total_cmp(&y)
        }
    };
    match (order, end) {
        (std::cmp::Ordering::Equal, _) => Extreme { row: a.row.min(b.row), ..a },
        (std::cmp::Ordering::Less, End::Least) | (std::cmp::Ordering::Greater, End::Greatest) => a,
        _ => b,
    }
}

#[inline(always)]
fn ends_of_whole(values: &[i64]) -> (i64, i64) {
    values.iter().fold((i64::MAX, i64::MIN), |(low, high), value| (low.min(*value), high.max(*value)))
}

/// And whether one is a NaN. In lanes, each with ends of its own.
#[inline(always)]
fn ends_of_floats(values: &[f64]) -> (f64, f64, bool) {
    const WIDTH: usize = 16;
    let (mut low, mut high) = ([f64::INFINITY; WIDTH], [f64::NEG_INFINITY; WIDTH]);
    let mut nans = [0.0f64; WIDTH];
    let (whole, rest) = values.as_chunks::<WIDTH>();
    let mut last = [whole.first().map_or(f64::INFINITY, |first| first[0]); WIDTH];
    last[..rest.len()].copy_from_slice(rest);
    let fill = if whole.is_empty() { rest.first().copied().unwrap_or(0.0) } else { last[WIDTH - 1] };
    last[rest.len()..].fill(fill);
    for i in 0..=whole.len() {
        let values = if i < whole.len() { &whole[i] } else { &last };
        for lane in 0..WIDTH {
            let value = values[lane];
            low[lane] = if value < low[lane] { value } else { low[lane] };
            high[lane] = if value > high[lane] { value } else { high[lane] };
            // Of a NaN, and of nothing else but infinity, this is one.
            nans[lane] += value * 0.0;
        }
    }
    let (mut low_all, mut high_all, mut sum) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
    for lane in 0..WIDTH {
        low_all = if low[lane] < low_all { low[lane] } else { low_all };
        high_all = if high[lane] > high_all { high[lane] } else { high_all };
        sum += nans[lane];
    }
    (low_all, high_all, sum.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn float() -> impl Strategy<Value = f64> {
        prop::sample::select(vec![
            0.0,
            -0.0,
            1.0,
            -1.0,
            2.5,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            -7.25,
        ])
    }

    fn of(dtype: Dtype, values: &[u64], cut: usize, lanes: Lanes) -> Extremes {
        let (mut all, mut behind) = (Extremes::new(dtype), Extremes::new(dtype));
        behind.add(lanes, &values[cut..], Rows::From(cut as u64));
        all.add(lanes, &values[..cut], Rows::From(0));
        let mut bytes = Vec::new();
        all.save(&mut bytes);
        behind.merge(&mut &*bytes).unwrap();
        behind
    }

    proptest! {
        #[test]
        fn of_floats(few in prop::collection::vec(float(), 1..40), many in prop::collection::vec(-1f64..1.0, 0..3000),
                     cut in any::<prop::sample::Index>(), is_long: bool) {
            let values: Vec<f64> = if is_long { many.iter().chain(&few).copied().collect() } else { few };
            let bits: Vec<u64> = values.iter().map(|x| x.to_bits()).collect();
            for lanes in Lanes::all() {
                let found = of(Dtype::F64, &bits, cut.index(bits.len() + 1), lanes);
                if let Some(row) = values.iter().position(|x| x.is_nan()) {
                    prop_assert!(f64::from_bits(found.value(End::Least).unwrap()).is_nan());
                    prop_assert_eq!(found.row(End::Greatest), Some(row as u64));
                    continue;
                }
                let least = values.iter().copied().min_by(f64::total_cmp).unwrap();
                let greatest = values.iter().copied().max_by(f64::total_cmp).unwrap();
                prop_assert_eq!(found.value(End::Least), Some(least.to_bits()));
                prop_assert_eq!(found.value(End::Greatest), Some(greatest.to_bits()));
                let first = |end: f64| values.iter().position(|x| *x == end).map(|row| row as u64);
                prop_assert_eq!(found.row(End::Least), first(least));
                prop_assert_eq!(found.row(End::Greatest), first(greatest));
            }
        }

        #[test]
        fn of_whole_numbers(values in prop::collection::vec(-20i64..20, 1..3000), cut in any::<prop::sample::Index>()) {
            let bits: Vec<u64> = values.iter().map(|x| *x as u64).collect();
            for lanes in Lanes::all() {
                let found = of(Dtype::I64, &bits, cut.index(bits.len() + 1), lanes);
                let least = values.iter().min().unwrap();
                prop_assert_eq!(found.value(End::Least), Some(*least as u64));
                prop_assert_eq!(found.row(End::Least), values.iter().position(|x| x == least).map(|row| row as u64));
                let greatest = values.iter().max().unwrap();
                prop_assert_eq!(found.row(End::Greatest), values.iter().position(|x| x == greatest).map(|row| row as u64));
            }
        }
    }
}
