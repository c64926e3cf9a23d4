//! The values of one parameter of a sweep, by their numbers: each the nearest double, or a whole number, or a text.

use num_bigint::BigUint;

use crate::base::lanes::{Lanes, kernel};
use crate::data::decimal::Decimal;
use crate::data::dtype::Dtype;
use crate::input::sweep::log::LogValues;
use crate::job::sweep::{AxisValues, Steps};

/// Whole numbers up to here, and the differences of two of them, are doubles.
const EXACT: u128 = 1 << 52;

/// Powers of ten up to this one are doubles.
const EXACT_POWER: u32 = 22;

/// The values of a parameter.
#[derive(Debug, Clone)]
pub enum Values {
    /// In a table of their bits, or of words of texts.
    Table(Vec<u64>),
    /// Whole numbers.
    Whole {
        /// The first.
        first: i64,
        /// What is added from one to the next.
        step: i64,
    },
    /// Floats.
    Floats(Floats),
    /// The same at equal ratios.
    Logs(LogValues),
}

/// Floats at equal distances.
#[derive(Debug, Clone)]
pub struct Floats {
    steps: Steps,
    /// Numerator of the first, what is added to it, and denominator, where all that is reckoned with them but their quotient
    /// is exact in doubles.
    exact: Option<[f64; 3]>,
}

impl Floats {
    /// Those of `steps`.
    pub fn new(steps: Steps) -> Self {
        Self { steps, exact: exact(&steps) }
    }

    /// Value number `at`.
    fn get(&self, at: u64) -> f64 {
        let Steps { parts, exponent, .. } = self.steps;
        let numerator = self.steps.numerator(at);
        match self.exact {
            Some([_, _, denominator]) => {
                let scale = 10i128.pow(exponent.max(0).unsigned_abs());
                (numerator * scale) as f64 / denominator
            }
            None if parts == 1 => Decimal { digits: numerator, exponent }.nearest(),
            None => {
                let power = |exponent: i32| BigUint::from(10u32).pow(exponent.max(0).unsigned_abs());
                let above = BigUint::from(numerator.unsigned_abs()) * power(exponent);
                let size = quotient(above, BigUint::from(parts) * power(-exponent));
                if numerator < 0 { -size } else { size }
            }
        }
    }
}

/// Doubles for [`Floats::exact`], where there are such.
fn exact(steps: &Steps) -> Option<[f64; 3]> {
    let scale = 10i128.checked_pow(u32::try_from(steps.exponent.max(0)).ok()?)?;
    let first = steps.first.checked_mul(scale)?;
    let last = steps.numerator(steps.count - 1).checked_mul(scale)?;
    let step = steps.step.checked_mul(scale)?;
    // The quotient of one value needs no step.
    let are_small = [first, last, step].iter().all(|number| number.unsigned_abs() <= EXACT);
    let power = (-steps.exponent).max(0).unsigned_abs();
    let denominator = (0..power).fold(steps.parts as f64, |scale, _| scale * 10.0);
    let is_exact = if steps.parts == 1 { power <= EXACT_POWER } else { denominator <= EXACT as f64 };
    (are_small && is_exact).then_some([first as f64, step as f64, denominator])
}

/// The double nearest to `above` / `below`, which is 0, or not smaller than doubles with all their digits are.
fn quotient(above: BigUint, below: BigUint) -> f64 {
    // A quotient of 65 bits or 66, of which the last says whether anything follows.
    let shift = below.bits() as i64 + 65 - above.bits() as i64;
    let (above, below) = match shift {
        0.. => (above << shift.unsigned_abs(), below),
        _ => (above, below << shift.unsigned_abs()),
    };
    let (whole, rest) = (&above / &below, &above % &below);
    let bits = u128::try_from(whole).unwrap_or(0) | u128::from(rest != BigUint::ZERO);
    // In two steps, each of which is a power of two.
    let half = (-shift / 2) as i32;
    let two_to = |exponent: i32| f64::from_bits(u64::try_from(exponent + 1023).unwrap_or(0) << 52);
    bits as f64 * two_to(half) * two_to((-shift) as i32 - half)
}

#[inline(always)]
fn count_whole(first: i64, step: i64, buf: &mut [u64]) {
    for (i, word) in (0i64..).zip(buf) {
        *word = first.wrapping_add(i.wrapping_mul(step)) as u64;
    }
}

/// All but the quotient is exact, so that there is one rounding.
#[inline(always)]
fn count_exact(first: f64, step: f64, denominator: f64, buf: &mut [u64]) {
    for (i, word) in (0i32..).zip(buf) {
        *word = ((first + f64::from(i) * step) / denominator).to_bits();
    }
}

impl Values {
    /// Those of `values` where they are numbers that were not typed one by one, as type `dtype` where they may be whole.
    pub fn of(values: &AxisValues, dtype: Option<Dtype>) -> Option<Self> {
        match values {
            AxisValues::List(_) | AxisValues::File(_) => None,
            AxisValues::Steps(steps) if steps.is_whole && dtype != Some(Dtype::F64) => {
                Some(Self::Whole { first: steps.first as i64, step: steps.step as i64 })
            }
            AxisValues::Steps(steps) | AxisValues::Linear(steps) => Some(Self::Floats(Floats::new(*steps))),
            AxisValues::Log(log) => Some(Self::Logs(LogValues::new(*log))),
        }
    }

    /// The bits of value number `at`, which is one of them.
    pub fn get(&self, at: u64) -> u64 {
        match self {
            Self::Table(words) => words[at as usize],
            // Wrapping: the product can leave 64 bits where the value itself does not.
            Self::Whole { first, step } => first.wrapping_add((at as i64).wrapping_mul(*step)) as u64,
            Self::Floats(floats) => floats.get(at).to_bits(),
            Self::Logs(logs) => logs.get(at).to_bits(),
        }
    }

    /// Fills `buf`, of no more than 2^31 words, with the values from number `start` on, of which there are as many. What is
    /// computed is computed with `lanes`.
    pub fn fill(&self, start: u64, buf: &mut [u64], lanes: Lanes) {
        match self {
            Self::Table(words) => buf.copy_from_slice(&words[start as usize..][..buf.len()]),
            Self::Whole { step, .. } => {
                let (first, step) = (self.get(start) as i64, *step);
                kernel!(lanes, count_whole, count_whole(first: i64, step: i64, buf: &mut [u64]) -> ());
            }
            Self::Floats(Floats { exact: Some([first, step, denominator]), .. }) => {
                // Exact, as no value is farther from the first than that is; or the step is 0.
                let (first, step, denominator) = (first + start as f64 * step, *step, *denominator);
                kernel!(
                    lanes,
                    count_exact,
                    count_exact(first: f64, step: f64, denominator: f64, buf: &mut [u64]) -> ()
                );
            }
            Self::Floats(_) | Self::Logs(_) => {
                (start..).zip(buf).for_each(|(at, word)| *word = self.get(at));
            }
        }
    }
}

/// The text of value number `at` of numbers that were not typed one by one: their decimals as they are, and of those that
/// have none the shortest that read back the same.
pub fn text(values: &AxisValues, numbers: &Values, at: u64) -> String {
    match values {
        AxisValues::Steps(steps) => {
            Decimal { digits: steps.numerator(at), exponent: steps.exponent }.to_string()
        }
        _ => {
            let text = Dtype::F64.text(numbers.get(at));
            text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::sweep::Sweep;
    use proptest::prelude::*;

    fn axis(text: &str) -> AxisValues {
        Sweep::parse(&[format!("a={text}").into()], false, None, None).unwrap().axes.remove(0).values
    }

    fn all(text: &str) -> Vec<f64> {
        let values = axis(text);
        let numbers = Values::of(&values, Some(Dtype::F64)).unwrap();
        let count = values.count().unwrap();
        let one_by_one: Vec<u64> = (0..count).map(|at| numbers.get(at)).collect();
        for lanes in Lanes::all() {
            let mut buf = vec![0; count as usize];
            for (chunk, buf) in buf.chunks_mut(7).enumerate() {
                numbers.fill(chunk as u64 * 7, buf, lanes);
            }
            assert_eq!(buf, one_by_one, "{text}");
        }
        one_by_one.into_iter().map(f64::from_bits).collect()
    }

    #[test]
    fn decimals_are_the_nearest_doubles() {
        assert_eq!(all("0..1:0.1"), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]);
        assert_eq!(all("1..0:-0.25"), [1.0, 0.75, 0.5, 0.25]);
        assert_eq!(all("1e300..4e300:1e300"), [1e300, 2e300, 3e300]);
        assert_eq!(all("0..3e-300:1e-300"), [0.0, 1e-300, 2e-300]);
        assert_eq!(all("0.1..0.1000000000000000000003:1e-22"), [0.1, 0.1, 0.1]);
        assert_eq!(all("lin(0,1,5)"), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(all("lin(1,1,3)"), [1.0; 3]);
        assert_eq!(all("lin(-1,1,3)"), [-1.0, 0.0, 1.0]);
        assert_eq!(all("lin(0.1,0.3,3)"), [0.1, 0.2, 0.3]);
        assert_eq!(all("lin(5,9,1)"), [5.0]);
        assert_eq!(all("lin(1e-250,3e-250,3)"), [1e-250, 2e-250, 3e-250]);
        assert_eq!(all("lin(1e300,-1e300,3)"), [1e300, 0.0, -1e300]);
        assert_eq!(all("lin(0,3.141592653589793,1001)")[1000], std::f64::consts::PI);
    }

    #[test]
    fn texts_are_exact() {
        let texts = |text_of: &str| -> Vec<String> {
            let values = axis(text_of);
            let numbers = Values::of(&values, None).unwrap();
            (0..values.count().unwrap()).map(|at| text(&values, &numbers, at)).collect()
        };
        assert_eq!(texts("0..0.5:0.1"), ["0", "0.1", "0.2", "0.3", "0.4"]);
        assert_eq!(texts("8..12:2"), ["8", "10"]);
        assert_eq!(texts("lin(0,1,4)"), ["0", "0.3333333333333333", "0.6666666666666666", "1"]);
        assert_eq!(texts("log(1e-2,1,3)"), ["0.01", "0.1", "1"]);
    }

    proptest! {
        #[test]
        fn steps_are_what_their_decimals_are(
            first in -100_000i64..100_000, span in 1i64..1000, step in 1i64..50, places in 0u32..12,
        ) {
            let decimal = |digits: i64| format!("{digits}e-{places}");
            let text = format!("{}..{}:{}", decimal(first), decimal(first + span), decimal(step));
            let expected: Vec<f64> =
                (first..first + span).step_by(step as usize).map(|digits| decimal(digits).parse().unwrap()).collect();
            prop_assert_eq!(all(&text), expected);
        }

        /// The quick way and the exact one come to the same.
        #[test]
        fn quotients_are_the_nearest(above in 0u64..1 << 53, below in 1u64..1 << 53, far in -200i32..200) {
            let ten = |exponent: i32| BigUint::from(10u32).pow(exponent.max(0).unsigned_abs());
            prop_assert_eq!(quotient(above.into(), below.into()), above as f64 / below as f64);
            let expected: f64 = format!("{above}e{far}").parse().unwrap();
            prop_assert_eq!(quotient(BigUint::from(above) * ten(far), ten(-far)), expected);
        }

        #[test]
        fn points_of_lin_lie_where_they_should(a in -1000i32..1000, b in -1000i32..1000, count in 2u64..60) {
            let values = all(&format!("lin({a}e-2,{b}e-2,{count})"));
            // The same numbers with more digits than can be reckoned with quickly.
            let slow = all(&format!("lin({a}e-2,{b}.0e-2,{count})"));
            prop_assert_eq!(&values, &slow);
            for (at, value) in values.iter().enumerate() {
                let numerator = i64::from(a) * (count - 1) as i64 + at as i64 * i64::from(b - a);
                prop_assert_eq!(*value, numerator as f64 / (100 * (count - 1)) as f64);
            }
        }
    }
}
