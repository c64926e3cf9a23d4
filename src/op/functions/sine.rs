//! Sines and cosines of many floats at once, in vector lanes, and correctly rounded all the same.
//!
//! Each is worked out as the sum of two floats, of which the first is the answer and the second what it is off. Where
//! the answer would be the same if that were wrong by more than it can be (the rounding test of A. Ziv, ACM Trans. Math.
//! Softw. 17, 1991), it is the float nearest to the true value; where not, one in a thousand, CORE-MATH is asked.
//!
//! The angle is brought to [-π/4, π/4] by taking away the nearest multiple of π/2, whose parts have so few bits that
//! their products are exact (W. J. Cody and W. Waite, 1980), and there the series of Taylor is summed, its first terms in
//! pairs of floats.

use crate::base::lanes::{Lanes, kernel};

/// Larger angles are left to CORE-MATH: multiples of π/2 up to 2^20.
const LARGEST: f64 = 1.6e6;

/// One and a half times 2^52: what is added to it is rounded to a whole number.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// π/2 in parts of 33, 33 and 53 bits; it is 2^-122 off.
const HALF_PI: [f64; 3] = [
    f64::from_bits(0x3ff9_21fb_5440_0000),
    f64::from_bits(0x3dd0_b461_1a60_0000),
    f64::from_bits(0x3ba3_198a_2e03_7073),
];

/// A number as the sum of two floats, the second at most half a unit in the last place of the first.
#[derive(Clone, Copy)]
struct Pair(f64, f64);

impl Pair {
    /// The sum of two floats, exactly.
    #[inline(always)]
    fn of_sum(a: f64, b: f64) -> Self {
        let sum = a + b;
        let part = sum - a;
        Self(sum, (a - (sum - part)) + (b - part))
    }

    /// The same, of which the first is not the smaller.
    #[inline(always)]
    fn of_ordered(a: f64, b: f64) -> Self {
        let sum = a + b;
        Self(sum, b - (sum - a))
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        let product = self.0 * other.0;
        let off = self.0.mul_add(other.0, -product);
        Self(product, self.0.mul_add(other.1, self.1.mul_add(other.0, off)))
    }

    /// The sum with what is not larger.
    #[inline(always)]
    fn plus(self, smaller: Self) -> Self {
        let Self(sum, off) = Self::of_ordered(self.0, smaller.0);
        Self(sum, off + (self.1 + smaller.1))
    }

    #[inline(always)]
    fn or(self, other: Self, is_other: bool) -> Self {
        Self(if is_other { other.0 } else { self.0 }, if is_other { other.1 } else { self.1 })
    }
}

/// The coefficients of x^3, x^5 and x^7 in the sine, and of x^2, x^4 and x^6 in the cosine: ±1/k!.
const FIRST: [(Pair, Pair); 3] = [
    (Pair(-0.16666666666666666, -9.25185853854297e-18), Pair(-0.5, 0.0)),
    (Pair(0.008333333333333333, 1.1564823173178714e-19), Pair(0.041666666666666664, 2.3129646346357427e-18)),
    (
        Pair(-0.0001984126984126984, -1.7209558293420705e-22),
        Pair(-0.001388888888888889, 5.300543954373577e-20),
    ),
];

/// Those of x^9 to x^21, and of x^8 to x^20.
const REST: [(f64, f64); 7] = [
    (2.7557319223985893e-6, 2.48015873015873e-5),
    (-2.505210838544172e-8, -2.755731922398589e-7),
    (1.6059043836821613e-10, 2.08767569878681e-9),
    (-7.647163731819816e-13, -1.1470745597729725e-11),
    (2.8114572543455206e-15, 4.779477332387385e-14),
    (-8.22063524662433e-18, -1.5619206968586225e-16),
    (1.9572941063391263e-20, 4.110317623312165e-19),
];

/// The coefficient of the sine, or of the cosine.
#[inline(always)]
fn pick((of_sine, of_cosine): (f64, f64), is_cosine: bool) -> f64 {
    if is_cosine { of_cosine } else { of_sine }
}

/// Of what it is, relatively, a result may be off: 2^-63. The series, its terms and the sums of pairs are within 2^-68.
const OFF: f64 = 1.0 / (1u64 << 63) as f64;
/// And besides, where a multiple of π/2 was taken away: 2^-95. The parts of π/2 and their differences are within 2^-101.
const OFF_OF_ANGLE: f64 = OFF / (1u64 << 32) as f64;

/// The sine of an angle `turns` quarters of a turn further on, and whether it is certain to be the nearest float.
#[inline(always)]
fn sine(x: f64, turns: u64) -> (f64, bool) {
    let shifted = x.mul_add(std::f64::consts::FRAC_2_PI, ROUNDER);
    let count = shifted - ROUNDER;
    let quarter = shifted.to_bits().wrapping_add(turns);
    // Exact: what is left has no bits below those of x and of the first part.
    let rest = x - count * HALF_PI[0];
    let Pair(rest, off) = Pair::of_sum(rest, -(count * HALF_PI[1]));
    let product = count * HALF_PI[2];
    let product_off = count.mul_add(HALF_PI[2], -product);
    let Pair(rest, off_too) = Pair::of_sum(rest, -product);
    let angle = Pair::of_ordered(rest, (off + off_too) - product_off);
    let square = angle.times(angle);

    let is_cosine = quarter & 1 == 1;
    let square_high = square.0;
    let mut small = pick(REST[6], is_cosine);
    small = small.mul_add(square_high, pick(REST[5], is_cosine));
    small = small.mul_add(square_high, pick(REST[4], is_cosine));
    small = small.mul_add(square_high, pick(REST[3], is_cosine));
    small = small.mul_add(square_high, pick(REST[2], is_cosine));
    small = small.mul_add(square_high, pick(REST[1], is_cosine));
    small = small.mul_add(square_high, pick(REST[0], is_cosine));
    let one = FIRST[0].0.or(FIRST[0].1, is_cosine);
    let two = FIRST[1].0.or(FIRST[1].1, is_cosine);
    let three = FIRST[2].0.or(FIRST[2].1, is_cosine);
    let sum = three.plus(Pair(small * square_high, 0.0));
    let sum = two.plus(square.times(sum));
    let sum = one.plus(square.times(sum));
    // sin x = x + x·x²·(…), cos x = 1 + x²·(…).
    let factor = angle.times(square).or(square, is_cosine);
    let sum = angle.or(Pair(1.0, 0.0), is_cosine).plus(factor.times(sum));
    let Pair(answer, off) = Pair::of_ordered(sum.0, sum.1);

    let error = answer.abs() * OFF + if count == 0.0 { 0.0 } else { OFF_OF_ANGLE };
    let is_certain = answer + (off + error) == answer + (off - error);
    let answer = if quarter & 2 == 2 { -answer } else { answer };
    // Of zeros the sign is kept; a NaN is no angle that is small enough.
    let answer = if x == 0.0 && turns == 0 { x } else { answer };
    (answer, is_certain & (x.abs() <= LARGEST))
}

#[inline(always)]
fn of_many<const TURNS: u64>(x: &[f64], y: &mut [f64], is_uncertain: &mut [u64]) -> u64 {
    let mut any = 0;
    for i in 0..x.len().min(y.len()).min(is_uncertain.len()) {
        let (answer, is_certain) = sine(x[i], TURNS);
        y[i] = answer;
        is_uncertain[i] = u64::from(!is_certain);
        any |= is_uncertain[i];
    }
    any
}

#[inline(always)]
fn sines(x: &[f64], y: &mut [f64], is_uncertain: &mut [u64]) -> u64 {
    of_many::<0>(x, y, is_uncertain)
}

#[inline(always)]
fn cosines(x: &[f64], y: &mut [f64], is_uncertain: &mut [u64]) -> u64 {
    of_many::<1>(x, y, is_uncertain)
}

/// Answers where no lanes do: all that may be wrong.
fn of_none(_: &[f64], _: &mut [f64], is_uncertain: &mut [u64]) -> u64 {
    is_uncertain.fill(1);
    1
}

/// Values that are answered at once.
const WINDOW: usize = 512;

fn answer(
    x: &[f64],
    y: &mut [f64],
    many: impl Fn(&[f64], &mut [f64], &mut [u64]) -> u64,
    exact: fn(f64) -> f64,
) {
    let mut is_uncertain = [0; WINDOW];
    for (x, y) in x.chunks(WINDOW).zip(y.chunks_mut(WINDOW)) {
        let is_uncertain = &mut is_uncertain[..x.len()];
        if many(x, y, is_uncertain) != 0 {
            let all = x.iter().zip(y).zip(is_uncertain);
            all.filter(|(_, is_uncertain)| **is_uncertain != 0).for_each(|((x, y), _)| *y = exact(*x));
        }
    }
}

/// Lanes with fused multiplications, of which the reference has none: elsewhere they would be calls of a function.
fn has_fma(lanes: Lanes) -> bool {
    lanes != Lanes::Scalar && (lanes != Lanes::Baseline || cfg!(target_arch = "aarch64"))
}

/// Sines of many angles, in radians.
pub fn sin(lanes: Lanes, x: &[f64], y: &mut [f64]) {
    let lanes = if has_fma(lanes) { lanes } else { Lanes::Scalar };
    let many = |x: &[f64], y: &mut [f64], is_uncertain: &mut [u64]| kernel!(lanes, of_none, sines(x: &[f64], y: &mut [f64], is_uncertain: &mut [u64]) -> u64);
    answer(x, y, many, core_math::sin);
}

/// Cosines of many angles, in radians.
pub fn cos(lanes: Lanes, x: &[f64], y: &mut [f64]) {
    let lanes = if has_fma(lanes) { lanes } else { Lanes::Scalar };
    let many = |x: &[f64], y: &mut [f64], is_uncertain: &mut [u64]| kernel!(lanes, of_none, cosines(x: &[f64], y: &mut [f64], is_uncertain: &mut [u64]) -> u64);
    answer(x, y, many, core_math::cos);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Compares with CORE-MATH; how many were left to it.
    fn check(x: &[f64]) -> usize {
        for lanes in Lanes::all() {
            let mut y = vec![0.0; x.len()];
            sin(lanes, x, &mut y);
            for (x, y) in x.iter().zip(&y) {
                let exact = core_math::sin(*x);
                assert!(
                    y.to_bits() == exact.to_bits() || y.is_nan() && exact.is_nan(),
                    "sin {x:?}: {y:?}, {exact:?}"
                );
            }
            cos(lanes, x, &mut y);
            for (x, y) in x.iter().zip(&y) {
                let exact = core_math::cos(*x);
                assert!(
                    y.to_bits() == exact.to_bits() || y.is_nan() && exact.is_nan(),
                    "cos {x:?}: {y:?}, {exact:?}"
                );
            }
        }
        x.iter().filter(|x| !sine(**x, 0).1).count()
    }

    #[test]
    fn where_it_is_hard() {
        let mut x = vec![
            0.0,
            -0.0,
            5e-324,
            1e-300,
            1e-20,
            1e-8,
            -1e-8,
            f64::INFINITY,
            f64::NAN,
            1e22,
            LARGEST,
            -1e300,
        ];
        // Near multiples of π/4, where nothing or all is left.
        for k in -3000..3000 {
            let near = f64::from(k) * std::f64::consts::FRAC_PI_4;
            x.extend([near, near.next_up(), near.next_down()]);
        }
        for k in 1_018_000..1_018_600 {
            x.push(f64::from(k) * std::f64::consts::FRAC_PI_2);
        }
        // Hard to round: the sines of these floats are very near to the middle between two others.
        x.extend([6.381_378_602_4e-1, 1.1e-5, 0.5, 1.0, 2.0, 3.0]);
        check(&x);
    }

    #[test]
    fn few_are_left_to_others() {
        let x: Vec<f64> = (0..20_000).map(|i| f64::from(i) * 0.000_37 - 3.0).collect();
        let left = check(&x);
        assert!(left < 60, "{left} of {}", x.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn of_any_floats(
            small in prop::collection::vec(-1f64..1.0, 100), angles in prop::collection::vec(-1e3f64..1e3, 100),
            large in prop::collection::vec(-2e6f64..2e6, 50), any in prop::collection::vec(any::<f64>(), 50),
            tiny in prop::collection::vec((1f64..2.0, -80i32..0), 50),
        ) {
            let tiny = tiny.into_iter().map(|(x, e)| x * 2f64.powi(e));
            let all: Vec<f64> = small.into_iter().chain(angles).chain(large).chain(any).chain(tiny).collect();
            check(&all);
        }
    }
}
