//! Functions of one number or one text, by name. A new one is an entry of the list in one of these files.
//!
//! Those of floats are correctly rounded: the float nearest to the true value, and so the same on every machine, with
//! every library and instruction set. CORE-MATH (INRIA) computes those that take more than an instruction.

mod angles;
mod exponentials;
#[cfg(feature = "fault-injection")]
mod faults;
mod powers;
mod rounding;
mod sine;
mod special;
mod texts;
mod work;

use std::sync::OnceLock;

use crate::base::error::{self, Error};
use crate::base::lanes::Lanes;
use crate::op::expr;

/// A function of one number, or of a text.
#[derive(Debug)]
pub struct Function {
    /// By which it is called.
    pub name: &'static str,
    /// What it is, for people.
    pub formula: &'static str,
    /// Of whole numbers.
    pub whole: Whole,
    /// Of a float; `None` where it is of whole numbers alone, or of texts.
    pub float: Option<OfFloat>,
    /// Of a text, where it is of texts.
    pub text: Option<OfText>,
    /// Of many whole numbers at once, where that is faster.
    wholes: Option<OfWholes>,
    /// Of many floats at once, where that is faster.
    floats: Option<OfFloats>,
    /// It takes its time, or does more than answer: a row at a time, and only where its answer is needed.
    pub is_slow: bool,
}

/// A function of a float.
pub type OfFloat = fn(f64) -> f64;

/// A function of many floats, which answers into as many.
pub type OfFloats = fn(Lanes, &[f64], &mut [f64]);

/// A function of a whole number, or why there is no answer.
pub type OfWhole = fn(i64) -> Result<i64, &'static str>;

/// A function of many whole numbers, which answers into as many; false where one may have no answer.
pub type OfWholes = fn(Lanes, &[i64], &mut [i64]) -> bool;

/// A function of a text, whose bytes need not be UTF-8.
#[derive(Debug, Clone, Copy)]
pub enum OfText {
    /// It answers a whole number.
    Whole(fn(&[u8]) -> i64),
    /// It answers a text, which it appends.
    Text(fn(&[u8], &mut Vec<u8>)),
}

/// What a function does with whole numbers.
#[derive(Debug)]
pub enum Whole {
    /// It answers whole numbers, exactly, or says why it cannot.
    Exact(OfWhole),
    /// They become the nearest floats.
    AsFloat,
}

/// All functions, by kind.
static ALL: &[&[Function]] = &[
    powers::FUNCTIONS,
    exponentials::FUNCTIONS,
    angles::FUNCTIONS,
    rounding::FUNCTIONS,
    special::FUNCTIONS,
    texts::FUNCTIONS,
    work::FUNCTIONS,
    #[cfg(feature = "fault-injection")]
    faults::FUNCTIONS,
];

/// Functions of the program that this library is part of, where it has any.
static OWN: OnceLock<&'static [Function]> = OnceLock::new();

/// From now on there are these functions, too.
///
/// # Errors
/// One has a name that expressions could not call it by, or that of another.
pub fn provide(functions: &'static [Function]) -> error::Result<()> {
    let known: Vec<&str> = all().map(|function| function.name).chain(expr::of_several()).collect();
    for (i, Function { name, .. }) in functions.iter().enumerate() {
        let wrong = |why: &str| Err(Error::Usage(format!("the function '{name}' of this program {why}")));
        if !expr::is_name(name) {
            return wrong("has a name that is none: letters, digits and _, and no digit first");
        }
        if known.contains(name) || functions[..i].iter().any(|other| other.name == *name) {
            return wrong("is called as another function is");
        }
    }
    let _ = OWN.set(functions);
    Ok(())
}

/// All functions.
pub fn all() -> impl Iterator<Item = &'static Function> {
    ALL.iter().copied().chain(OWN.get().copied()).flatten()
}

/// The function of that name.
pub fn by_name(name: &str) -> Option<&'static Function> {
    all().find(|function| function.name == name)
}

impl Function {
    /// Of floats alone, to which whole numbers are floats. `formula` says to people what it is.
    pub const fn of_floats(name: &'static str, formula: &'static str, float: OfFloat) -> Self {
        Self { float: Some(float), ..Self::of_none(name, formula) }
    }

    /// Of texts alone.
    pub const fn of_texts(name: &'static str, formula: &'static str, text: OfText) -> Self {
        Self { text: Some(text), ..Self::of_none(name, formula) }
    }

    const fn of_none(name: &'static str, formula: &'static str) -> Self {
        let whole = Whole::AsFloat;
        Self { name, formula, whole, float: None, text: None, wholes: None, floats: None, is_slow: false }
    }

    /// Of whole numbers, or why one has no answer, and of floats where there is `float`.
    pub const fn of_both(
        name: &'static str,
        formula: &'static str,
        whole: OfWhole,
        float: Option<OfFloat>,
    ) -> Self {
        Self { whole: Whole::Exact(whole), float, ..Self::of_none(name, formula) }
    }

    /// The same, which is of texts, too.
    const fn with_texts(self, text: OfText) -> Self {
        Self { text: Some(text), ..self }
    }

    /// The same, of floats as [`in_lanes`] has it.
    const fn with_floats(self, (float, floats): (OfFloat, OfFloats)) -> Self {
        Self { float: Some(float), floats: Some(floats), ..self }
    }

    /// The same, which knows of a faster way for many whole numbers.
    const fn with_wholes(self, wholes: OfWholes) -> Self {
        Self { wholes: Some(wholes), ..self }
    }

    /// The same, which takes its time: it is asked for one value after another, and only where its answer is needed.
    pub const fn slow(self) -> Self {
        Self { is_slow: true, ..self }
    }

    /// Answers floats, where it is a function of floats: one by one with [`Lanes::Scalar`].
    pub fn answer_floats(&self, lanes: Lanes, x: &[f64], y: &mut [f64]) {
        match (self.floats, self.float) {
            (Some(floats), _) => floats(lanes, x, y),
            (None, Some(float)) => x.iter().zip(y).for_each(|(x, y)| *y = float(*x)),
            (None, None) => y.fill(f64::NAN),
        }
    }

    /// Answers whole numbers, where it does so: one by one with [`Lanes::Scalar`]. False where one of them has no
    /// answer, and then not all have been answered.
    pub fn answer_wholes(&self, lanes: Lanes, x: &[i64], y: &mut [i64]) -> bool {
        match (self.wholes, &self.whole) {
            (Some(wholes), _) => wholes(lanes, x, y),
            (None, Whole::Exact(whole)) => {
                x.iter().zip(y).all(|(x, y)| whole(*x).map(|answer| *y = answer).is_ok())
            }
            (None, Whole::AsFloat) => false,
        }
    }
}

/// Why a whole number has no answer.
const TOO_LARGE: &str = "does not fit in a 64-bit whole number; for floats: --dtype f64";

/// `in_lanes!(|x| …)`: that closure over one float, and over many, compiled for each [`Lanes`].
macro_rules! in_lanes {
    ($each:expr) => {
        ($each, |lanes, x: &[f64], y: &mut [f64]| {
            fn one_by_one(x: &[f64], y: &mut [f64]) {
                let each: fn(f64) -> f64 = $each;
                // The compiler must not see through it: the reference would become a vector kernel.
                x.iter().zip(y).for_each(|(x, y)| *y = each(std::hint::black_box(*x)));
            }
            #[inline(always)]
            fn many(x: &[f64], y: &mut [f64]) {
                let each: fn(f64) -> f64 = $each;
                x.iter().zip(y).for_each(|(x, y)| *y = each(*x));
            }
            crate::base::lanes::kernel!(lanes, one_by_one, many(x: &[f64], y: &mut [f64]) -> ())
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
    fn every_lane_answers_whole_numbers_as_the_reference() {
        let ends = [i64::MIN, i64::MAX, 3_037_000_499, 3_037_000_500, -3_037_000_499, -3_037_000_500];
        let mut x: Vec<i64> = (-500..500).collect();
        x.extend((0..100).map(|i| i * 30_369_999 - 1_000_000_000));
        for function in all().filter(|function| !function.is_slow) {
            let Whole::Exact(whole) = function.whole else { continue };
            for end in [None].into_iter().chain(ends.map(Some)) {
                let x: Vec<i64> =
                    x.iter().copied().chain(end).filter(|x| whole(*x).is_ok() || Some(*x) == end).collect();
                let expected: Result<Vec<i64>, _> = x.iter().map(|x| whole(*x)).collect();
                for lanes in Lanes::all() {
                    let mut y = vec![0; x.len()];
                    let found = function.answer_wholes(lanes, &x, &mut y).then_some(y);
                    // In lanes a function may be careful.
                    assert!(
                        found.is_none() && lanes != Lanes::Scalar || found == expected.clone().ok(),
                        "{} {lanes:?}",
                        function.name
                    );
                    assert!(function.name != "square" || found.is_some() == expected.is_ok());
                }
            }
        }
    }

    #[test]
    fn every_lane_computes_as_the_reference() {
        let mut x =
            vec![0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, 1e300, -1e300, 5e-324, f64::INFINITY, f64::NAN];
        x.extend((0..1000).map(|i| f64::from(i).mul_add(0.37, -150.0)));
        for function in all().filter(|function| function.float.is_some() && !function.is_slow) {
            let mut expected = vec![0.0; x.len()];
            function.answer_floats(Lanes::Scalar, &x, &mut expected);
            for lanes in Lanes::all() {
                let mut y = vec![0.0; x.len()];
                function.answer_floats(lanes, &x, &mut y);
                for (i, (y, expected)) in y.iter().zip(&expected).enumerate() {
                    let is_same = y.to_bits() == expected.to_bits() || y.is_nan() && expected.is_nan();
                    assert!(is_same, "{} of {}: {y} and {expected}, {lanes:?}", function.name, x[i]);
                }
            }
        }
    }
}
