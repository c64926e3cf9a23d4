//! Functions of one number, by name. A new one is an entry of the list in one of these files.
//!
//! Those of floats are correctly rounded: the float nearest to the true value, and so the same on every machine, with
//! every library and instruction set. CORE-MATH (INRIA) computes those that take more than an instruction.

mod angles;
mod exponentials;
mod powers;
mod rounding;
mod special;
mod work;

use std::hint::black_box;

use crate::base::lanes::Lanes;

/// A function of one number.
#[derive(Debug)]
pub struct Function {
    /// By which it is called.
    pub name: &'static str,
    /// What it is, for people.
    pub formula: &'static str,
    /// Of whole numbers.
    pub whole: Whole,
    /// Of a float; `None` where it is of whole numbers alone.
    pub float: Option<OfFloat>,
    /// Of many floats at once, where that is faster.
    pub floats: Option<OfFloats>,
}

/// A function of a float.
pub type OfFloat = fn(f64) -> f64;

/// A function of many floats, which answers into as many.
pub type OfFloats = fn(Lanes, &[f64], &mut [f64]);

/// A function of a whole number, or why there is no answer.
pub type OfWhole = fn(i64) -> Result<i64, &'static str>;

/// What a function does with whole numbers.
#[derive(Debug)]
pub enum Whole {
    /// It answers whole numbers, exactly, or says why it cannot.
    Exact(OfWhole),
    /// They become the nearest floats.
    AsFloat,
}

/// All functions, by kind.
static ALL: [&[Function]; 6] = [
    powers::FUNCTIONS,
    exponentials::FUNCTIONS,
    angles::FUNCTIONS,
    rounding::FUNCTIONS,
    special::FUNCTIONS,
    work::FUNCTIONS,
];

/// All functions.
pub fn all() -> impl Iterator<Item = &'static Function> {
    ALL.into_iter().flatten()
}

/// The function of that name.
pub fn by_name(name: &str) -> Option<&'static Function> {
    all().find(|function| function.name == name)
}

impl Function {
    /// Answers floats, where it is a function of floats: one by one with [`Lanes::Scalar`].
    pub fn of_floats(&self, lanes: Lanes, x: &[f64], y: &mut [f64]) {
        match (self.floats, self.float) {
            (Some(floats), _) if lanes != Lanes::Scalar => floats(lanes, x, y),
            (_, Some(float)) => {
                // The compiler must not know which: the reference would become a vector kernel.
                let float = black_box(float);
                x.iter().zip(y).for_each(|(x, y)| *y = float(*x));
            }
            (_, None) => y.fill(f64::NAN),
        }
    }
}

/// Why a whole number has no answer.
const TOO_LARGE: &str = "does not fit in a 64-bit whole number; for floats: --dtype f64";

/// A function of floats alone, to which whole numbers are floats.
const fn of_floats(name: &'static str, formula: &'static str, float: OfFloat) -> Function {
    Function { name, formula, whole: Whole::AsFloat, float: Some(float), floats: None }
}

/// `in_lanes!(|x| …)`: that closure over many floats, compiled for each [`Lanes`].
macro_rules! in_lanes {
    ($each:expr) => {
        Some(|lanes, x: &[f64], y: &mut [f64]| {
            #[inline(always)]
            fn many(x: &[f64], y: &mut [f64]) {
                let each: fn(f64) -> f64 = $each;
                x.iter().zip(y).for_each(|(x, y)| *y = each(*x));
            }
            crate::base::lanes::kernel!(lanes, many, many(x: &[f64], y: &mut [f64]) -> ())
        })
    };
}
use in_lanes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_stand_once() {
        let mut names: Vec<&str> = all().map(|function| function.name).collect();
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())));
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_lane_computes_as_the_reference() {
        let mut x =
            vec![0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, 1e300, -1e300, 5e-324, f64::INFINITY, f64::NAN];
        x.extend((0..1000).map(|i| f64::from(i).mul_add(0.37, -150.0)));
        for function in all().filter(|function| function.float.is_some() && function.name != "sleep") {
            let mut expected = vec![0.0; x.len()];
            function.of_floats(Lanes::Scalar, &x, &mut expected);
            for lanes in Lanes::all() {
                let mut y = vec![0.0; x.len()];
                function.of_floats(lanes, &x, &mut y);
                for (i, (y, expected)) in y.iter().zip(&expected).enumerate() {
                    let is_same = y.to_bits() == expected.to_bits() || y.is_nan() && expected.is_nan();
                    assert!(is_same, "{} of {}: {y} and {expected}, {lanes:?}", function.name, x[i]);
                }
            }
        }
    }
}
