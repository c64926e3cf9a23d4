//! Powers and roots.

use std::hint::black_box;

use super::{Function, OfText, TOO_LARGE, in_lanes};
use crate::base::lanes::kernel;

pub const FUNCTIONS: &[Function] = &[
    Function::of_both("identity", "x", Ok, Some(|x| x))
        .with_floats(in_lanes!(|x| x))
        .with_wholes(|_, x, y| {
            y.copy_from_slice(x);
            true
        })
        .with_texts(OfText::Text(|text, out| out.extend_from_slice(text))),
    Function::of_both("square", "x·x", square, None).with_floats(in_lanes!(|x| x * x)).with_wholes(
        |lanes, x, y| kernel!(lanes, squares_one_by_one, squares(x: &[i64], y: &mut [i64]) -> bool),
    ),
    // Two roundings would not be the nearest float.
    Function::of_both(
        "cube",
        "x·x·x",
        |x| x.checked_pow(3).ok_or(TOO_LARGE),
        Some(|x| core_math::pow(x, 3.0)),
    ),
    Function::of_both("abs", "|x|", |x| x.checked_abs().ok_or(TOO_LARGE), None)
        .with_floats(in_lanes!(|x| x.abs())),
    Function::of_both("sign", "-1, 0 or 1", |x| Ok(x.signum()), None).with_floats(in_lanes!(sign)),
    Function::of_floats("sqrt", "√x", f64::sqrt).with_floats(in_lanes!(|x| x.sqrt())),
    Function::of_floats("cbrt", "the third root of x", core_math::cbrt),
];

/// The largest whole number whose square fits in an `i64`: ⌊√(2^63 − 1)⌋.
const LARGEST_ROOT: u64 = 3_037_000_499;

fn square(x: i64) -> Result<i64, &'static str> {
    x.checked_mul(x).ok_or(TOO_LARGE)
}

fn squares_one_by_one(x: &[i64], y: &mut [i64]) -> bool {
    // The compiler must not see through it: the reference would become a vector kernel.
    x.iter().zip(y).all(|(x, y)| square(black_box(*x)).map(|answer| *y = answer).is_ok())
}

#[inline(always)]
fn squares(x: &[i64], y: &mut [i64]) -> bool {
    // Most are of 32 bits, of which vector lanes have the product everywhere; whether all are is asked once, at the end.
    let mut beyond = 0;
    for (x, y) in x.iter().zip(&mut *y) {
        let low = i64::from(*x as i32);
        *y = low * low;
        beyond |= x.wrapping_sub(i64::from(i32::MIN)) as u64;
    }
    beyond <= u64::from(u32::MAX) || large_squares(x, y)
}

#[inline(always)]
fn large_squares(x: &[i64], y: &mut [i64]) -> bool {
    let mut fits = true;
    for (x, y) in x.iter().zip(y) {
        let size = x.unsigned_abs();
        fits &= size <= LARGEST_ROOT;
        // What fits has its root in 32 bits without a sign.
        let low = size & 0xffff_ffff;
        *y = low.wrapping_mul(low) as i64;
    }
    fits
}

/// Of 0 itself, and of what is no number, too.
#[inline(always)]
fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::lanes::Lanes;
    use crate::op::functions::by_name;
    use proptest::prelude::*;

    #[test]
    fn the_largest_root_is_the_largest() {
        let root = LARGEST_ROOT as i64;
        assert!(root.checked_mul(root).is_some());
        assert!((root + 1).checked_mul(root + 1).is_none());
    }

    proptest! {
        #[test]
        fn every_lane_squares_as_the_reference(
            values in prop::collection::vec(prop_oneof![
                4 => any::<i32>().prop_map(i64::from),
                1 => any::<i64>(),
                1 => -3037000502i64..-3037000496,
                1 => 3037000496i64..3037000502,
            ], 0..300),
        ) {
            let function = by_name("square").unwrap();
            let expected: Option<Vec<i64>> = values.iter().map(|x| x.checked_mul(*x)).collect();
            let fitting: Vec<i64> = values.iter().copied().filter(|x| x.checked_mul(*x).is_some()).collect();
            let squares: Vec<i64> = fitting.iter().map(|x| x * x).collect();
            let floats: Vec<f64> = values.iter().map(|v| f64::from_bits(*v as u64)).collect();
            for lanes in Lanes::all() {
                let mut y = vec![0; values.len()];
                prop_assert_eq!(function.answer_wholes(lanes, &values, &mut y), expected.is_some());
                prop_assert!(expected.as_ref().is_none_or(|expected| *expected == y));
                let mut y = vec![0; fitting.len()];
                prop_assert!(function.answer_wholes(lanes, &fitting, &mut y));
                prop_assert_eq!(&y, &squares);
                let mut y = vec![0.0; floats.len()];
                function.answer_floats(lanes, &floats, &mut y);
                for (x, y) in floats.iter().zip(&y) {
                    prop_assert!((x * x).to_bits() == y.to_bits() || (x * x).is_nan() && y.is_nan());
                }
            }
        }
    }
}
