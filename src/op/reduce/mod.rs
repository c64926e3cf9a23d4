//! Many values made one: sums, means, extremes, counts in bins, of all rows or of groups of them.
//!
//! What is needed of a column is worked out once for all reductions of it ([`state`]), a block at a time; the states of
//! blocks are merged on the root, and answer there ([`groups`]). No state hangs on the order of values or on how they
//! are split, so that the answers have the same bits whoever has worked on which block.
//!
//! A reduction is an entry of [`all`].

mod bind;
pub mod bins;
pub mod exact;
pub mod extremes;
pub mod groups;
pub mod state;
pub mod totals;
mod typed;

pub use bind::{Of, Reduce};
pub use typed::{bounded, check, ends_of_unbounded, split};

use num_bigint::BigUint;

use crate::data::dtype::Dtype;
use crate::op::reduce::exact::{nearest_quotient, times_power_of_two};
use crate::op::reduce::extremes::End;
use crate::op::reduce::state::{Needs, State};

/// The answer of a reduction, by its bits; none where there are no values that could give one.
type Answer = std::result::Result<Option<u64>, String>;

/// What many values can be made.
pub struct Reduction {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a few words.
    pub help: &'static str,
    needs: Needs,
    /// Type of the answer to values of a type.
    dtype: fn(Dtype) -> Dtype,
    /// The answer; the number is that of `--ddof`.
    answer: fn(&State, u64) -> Answer,
}

/// All of them, by name.
pub fn all() -> &'static [Reduction] {
    static ALL: [Reduction; 9] = [
        Reduction {
            name: COUNT,
            help: "how many values",
            needs: Needs::COUNT,
            dtype: |_| Dtype::I64,
            answer: |state, _| Ok(Some(state.count)),
        },
        Reduction {
            name: "sum",
            help: "their sum, exact, and rounded once",
            needs: Needs::SUM,
            dtype: |dtype| dtype,
            answer: |state, _| sum(state),
        },
        Reduction {
            name: "mean",
            help: "sum / count",
            needs: Needs::SUM,
            dtype: |_| Dtype::F64,
            answer: |state, _| Ok(mean(state)),
        },
        Reduction {
            name: "var",
            help: "variance: sum of (x - mean)^2 / (count - ddof)",
            needs: Needs::SQUARES,
            dtype: |_| Dtype::F64,
            answer: |state, ddof| Ok(var(state, ddof)),
        },
        Reduction {
            name: "std",
            help: "standard deviation: sqrt(var)",
            needs: Needs::SQUARES,
            dtype: |_| Dtype::F64,
            answer: |state, ddof| Ok(std(state, ddof)),
        },
        Reduction {
            name: "min",
            help: "the least; a NaN where there is one",
            needs: Needs::EXTREMES,
            dtype: |dtype| dtype,
            answer: |state, _| Ok(state.extremes.as_ref().and_then(|ends| ends.value(End::Least))),
        },
        Reduction {
            name: "max",
            help: "the greatest; a NaN where there is one",
            needs: Needs::EXTREMES,
            dtype: |dtype| dtype,
            answer: |state, _| Ok(state.extremes.as_ref().and_then(|ends| ends.value(End::Greatest))),
        },
        Reduction {
            name: "argmin",
            help: "the row, from 0, in which the least stands first",
            needs: Needs::EXTREMES,
            dtype: |_| Dtype::I64,
            answer: |state, _| Ok(state.extremes.as_ref().and_then(|ends| ends.row(End::Least))),
        },
        Reduction {
            name: "argmax",
            help: "the row, from 0, in which the greatest stands first",
            needs: Needs::EXTREMES,
            dtype: |_| Dtype::I64,
            answer: |state, _| Ok(state.extremes.as_ref().and_then(|ends| ends.row(End::Greatest))),
        },
    ];
    &ALL
}

/// What counts values.
const COUNT: &str = "count";

/// What counts values in bins, as `hist:N:A:B`.
pub const HIST: &str = "hist";

fn sum(state: &State) -> Answer {
    match &state.sum {
        Some(totals::Sum::Whole(sum)) => match i64::try_from(*sum) {
            Ok(sum) => Ok(Some(sum as u64)),
            Err(_) => Err(format!("{sum} does not fit in a 64-bit whole number; for floats: --dtype f64")),
        },
        Some(totals::Sum::Float(sum)) => match sum.value() {
            value if value.is_infinite() && sum.special().is_none() => {
                Err("it is larger than any 64-bit float".to_owned())
            }
            value => Ok(Some(value.to_bits())),
        },
        None => Ok(None),
    }
}

fn mean(state: &State) -> Option<u64> {
    let value = match state.sum.as_ref()?.whole() {
        _ if state.count == 0 => return None,
        Ok((sum, exponent)) => nearest_quotient(&sum, &BigUint::from(state.count), exponent),
        Err(special) => special,
    };
    Some(value.to_bits())
}

/// The variance times 2^-2s, and s: such that the square root of that is in the middle of the range of floats.
fn scaled_var(state: &State, ddof: u64) -> Option<(f64, i32)> {
    let (count, degrees) = (state.count, state.count.checked_sub(ddof).filter(|degrees| *degrees > 0)?);
    let Ok((sum, exponent)) = state.sum.as_ref()?.whole() else { return Some((f64::NAN, 0)) };
    let number = state.squares.as_ref()?.whole() * count - &sum * &sum;
    let by = BigUint::from(count) * degrees;
    // 2 exponent + bits is about the exponent of the variance.
    let scale = exponent + (number.bits() as i32 - by.bits() as i32) / 2;
    Some((nearest_quotient(&number, &by, 2 * (exponent - scale)), scale))
}

fn var(state: &State, ddof: u64) -> Option<u64> {
    let (var, scale) = scaled_var(state, ddof)?;
    Some(times_power_of_two(var, 2 * scale).to_bits())
}

fn std(state: &State, ddof: u64) -> Option<u64> {
    let (var, scale) = scaled_var(state, ddof)?;
    Some(times_power_of_two(var.sqrt(), scale).to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::lanes::Lanes;
    use crate::data::schema::Schema;
    use crate::op::reduce::extremes::Rows;
    use proptest::prelude::*;

    fn reduced(items: &str, values: &[f64], ddof: u64) -> Vec<Option<f64>> {
        let reduce = Reduce::bind(&split(items), &Schema::single("", Dtype::F64), &[], None, ddof).unwrap();
        let mut states = reduce.states();
        let bits: Vec<u64> = values.iter().map(|x| x.to_bits()).collect();
        states[0].add(Lanes::best(), &bits, Rows::From(0));
        reduce.answers(&states).unwrap().into_iter().map(|bits| bits.map(f64::from_bits)).collect()
    }

    #[test]
    fn means_and_variances() {
        let some = |values: &[f64]| values.iter().map(|x| Some(*x)).collect::<Vec<_>>();
        assert_eq!(reduced("mean,var,std", &[1.0, 2.0, 3.0, 4.0], 0), some(&[2.5, 1.25, 1.25f64.sqrt()]));
        assert_eq!(reduced("var", &[1.0, 2.0, 3.0, 4.0], 1), some(&[5.0 / 3.0]));
        // Where what others do cancels out, or overflows.
        assert_eq!(
            reduced("mean,var", &[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0], 1),
            some(&[1e9 + 10.0, 30.0])
        );
        assert_eq!(reduced("mean,std", &[1e200, -1e200], 0), some(&[0.0, 1e200]));
        assert_eq!(reduced("std", &[5e-324, 1.5e-323], 0), some(&[5e-324]));
        assert_eq!(reduced("mean,var", &[0.1; 10], 0), some(&[0.1, 0.0]));
        assert_eq!(reduced("mean,std,var,min,max", &[], 0), [None; 5]);
        assert_eq!(reduced("var", &[1.0], 1), [None]);
        assert!(reduced("mean,var", &[f64::INFINITY, 1.0], 0)[1].unwrap().is_nan());
    }

    proptest! {
        /// Whatever the values, the mean and the variance are the floats that are nearest to the exact ones.
        #[test]
        fn of_small_whole_numbers_they_are_exact(values in prop::collection::vec(-1000i32..1000, 1..60)) {
            let floats: Vec<f64> = values.iter().map(|x| f64::from(*x)).collect();
            let (n, sum) = (values.len() as i64, values.iter().map(|x| i64::from(*x)).sum::<i64>());
            let squares: i64 = values.iter().map(|x| i64::from(*x).pow(2)).sum();
            let found = reduced("mean,var", &floats, 0);
            prop_assert_eq!(found[0], Some(sum as f64 / n as f64));
            prop_assert_eq!(found[1], Some((n * squares - sum * sum) as f64 / (n * n) as f64));
        }
    }
}
