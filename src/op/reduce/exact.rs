//! Sums of floats without an error: in whatever order values come, and however they are split among workers, the sum
//! is the same, and rounded once, at the end.
//!
//! A sum is a fixed-point number of 2,240 bits, wide enough for all that floats can add up to, in limbs of 32 bits with
//! room for carries (the small superaccumulator of R. M. Neal, arXiv:1505.05571). Many values are first cut into slices
//! of bits by adding and subtracting a large number, which loses nothing (the error-free transformation of S. M. Rump,
//! T. Ogita and S. Oishi, SIAM J. Sci. Comput. 31, 2008): slices add up in vector lanes, and only their sums go to the
//! limbs.

use crate::base::lanes::{Lanes, kernel};

/// Limbs of a sum.
const LIMBS: usize = 70;

/// Bytes of a sum on its way between workers.
pub const BYTES: usize = (LIMBS + 1) * size_of::<i64>();

/// The exponent of the lowest bit: a multiple of 32 below that of the smallest float, 2^-1074.
const LOWEST: i32 = -1088;

/// Numbers that are added before carries are taken care of: each adds less than 2^32 to a limb of 63 bits.
const MOST_ADDS: u32 = 1 << 30;

/// Values whose slices are added up in lanes: few enough that no lane's sum of a slice needs more than 53 bits.
const WINDOW: usize = 1024;

/// Lanes of the widest vectors.
const WIDTH: usize = 8;

/// Slices of each value, and bits of a slice: with the bits that adding 128 of them takes, fewer than 53.
const SLICES: usize = 3;
const SLICE_BITS: i32 = 42;

/// The sum of floats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExactSum {
    /// From the lowest: limb i counts 2^(32 i + [`LOWEST`]).
    limbs: [i64; LIMBS],
    /// Numbers that were added since carries were last taken care of.
    adds: u32,
    /// What cannot be counted: [`NAN`], [`PLUS`] and [`MINUS`].
    specials: u32,
}

/// A value was no number.
const NAN: u32 = 1;
/// A value was infinite.
const PLUS: u32 = 2;
/// A value was minus infinite.
const MINUS: u32 = 4;

impl Default for ExactSum {
    fn default() -> Self {
        Self { limbs: [0; LIMBS], adds: 0, specials: 0 }
    }
}

impl ExactSum {
    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let (exponent, fraction) = ((bits >> 52 & 0x7ff) as usize, bits & ((1 << 52) - 1));
        if exponent == 0x7ff {
            self.specials |= match (fraction, value > 0.0) {
                (0, true) => PLUS,
                (0, false) => MINUS,
                _ => NAN,
            };
            return;
        }
        // Numbers below 2^-1022 have no one before the point.
        let (mantissa, exponent) = if exponent == 0 { (fraction, 1) } else { (fraction | 1 << 52, exponent) };
        // The lowest bit of the mantissa counts 2^(exponent - 1075).
        let position = (exponent as i32 - 1075 - LOWEST) as usize;
        let (limb, shifted) = (position / 32, u128::from(mantissa) << (position % 32));
        let sign = if value < 0.0 { -1 } else { 1 };
        for i in 0..3 {
            self.limbs[limb + i] += sign * (shifted >> (32 * i) & 0xffff_ffff) as i64;
        }
        self.adds += 1;
        if self.adds >= MOST_ADDS {
            self.carry();
        }
    }

    /// Adds many values, computed with `lanes`.
    pub fn add_all(&mut self, lanes: Lanes, values: &[f64]) {
        for window in values.chunks(WINDOW) {
            let mut slots = [[0.0; WIDTH]; SLICES];
            let (whole, rest) = window.as_chunks::<WIDTH>();
            let sums = &mut slots;
            let fits = lanes != Lanes::Scalar
                && kernel!(lanes, slices, slices(whole: &[[f64; WIDTH]], sums: &mut [[f64; WIDTH]; SLICES]) -> bool);
            if fits {
                slots.as_flattened().iter().chain(rest).for_each(|sum| self.add(*sum));
            } else {
                window.iter().for_each(|value| self.add(*value));
            }
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        self.carry();
        other.carry();
        self.limbs.iter_mut().zip(other.limbs).for_each(|(limb, other)| *limb += other);
        self.adds += 1;
        self.specials |= other.specials;
    }

    /// Brings all limbs but the last, which has the sign, to 32 bits.
    fn carry(&mut self) {
        let mut carry = 0;
        for limb in &mut self.limbs[..LIMBS - 1] {
            let sum = *limb + carry;
            *limb = sum & 0xffff_ffff;
            carry = sum >> 32;
        }
        self.limbs[LIMBS - 1] += carry;
        self.adds = 0;
    }

    /// The float that is nearest to the sum, of two that are equally near the even one; infinite beyond them. A NaN where
    /// a value was none, or where infinities of both signs were added.
    pub fn value(&self) -> f64 {
        match self.specials {
            0 => {}
            PLUS => return f64::INFINITY,
            MINUS => return f64::NEG_INFINITY,
            _ => return f64::NAN,
        }
        let mut sum = self.clone();
        sum.carry();
        let is_negative = sum.limbs[LIMBS - 1] < 0;
        if is_negative {
            sum.limbs.iter_mut().for_each(|limb| *limb = -*limb);
            sum.carry();
        }
        let magnitude = nearest(&sum.limbs);
        if is_negative { -magnitude } else { magnitude }
    }

    /// For the way between workers.
    pub fn to_bytes(&self) -> [u8; BYTES] {
        let mut sum = self.clone();
        sum.carry();
        let mut words = [0; LIMBS + 1];
        words[..LIMBS].copy_from_slice(&sum.limbs);
        words[LIMBS] = i64::from(sum.specials);
        bytemuck::cast(words)
    }

    /// Back from [`ExactSum::to_bytes`]; `None` when it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; BYTES] = bytes.try_into().ok()?;
        let words: [i64; LIMBS + 1] = bytemuck::cast(bytes);
        let (limbs, specials) = (words[..LIMBS].try_into().ok()?, u32::try_from(words[LIMBS]).ok()?);
        let sum = Self { limbs, adds: 0, specials };
        let are_carried = sum.limbs[..LIMBS - 1].iter().all(|limb| (0..1 << 32).contains(limb));
        (are_carried && specials <= NAN | PLUS | MINUS).then_some(sum)
    }
}

/// The float nearest to the number whose limbs, of 32 bits each, these are.
fn nearest(limbs: &[i64; LIMBS]) -> f64 {
    let Some(top) = limbs.iter().rposition(|limb| *limb != 0) else { return 0.0 };
    let limb = |i: usize| top.checked_sub(i).map_or(0, |i| limbs[i] as u128);
    // 128 bits, of which the highest limb fills at least one and at most 32.
    let bits = limb(0) << 96 | limb(1) << 64 | limb(2) << 32 | limb(3);
    let is_more = limbs[..top.saturating_sub(3)].iter().any(|limb| *limb != 0);
    let leading = bits.leading_zeros() as i32;
    // The exponent of the highest bit.
    let exponent = 32 * (top as i32 + 1) + LOWEST - 1 - leading;
    // Bits of the mantissa: fewer where the number is too small for 53.
    let kept = 53.min(exponent + 1075);
    let drop = 128 - leading - kept;
    let (mut mantissa, rest) = match drop {
        ..=0 => ((bits << -drop) as u64, 0),
        _ => ((bits >> drop) as u64, bits & ((1 << drop) - 1)),
    };
    if drop > 0 {
        let half = 1u128 << (drop - 1);
        let is_up = rest > half || rest == half && (is_more || mantissa & 1 == 1);
        mantissa += u64::from(is_up);
    }
    // At most 2^53, so exact; and so is the power of two, unless the product is too large.
    let scale = exponent - kept + 1;
    mantissa as f64 * power_of_two(scale / 2) * power_of_two(scale - scale / 2)
}

/// 2^`exponent`, which is between -1022 and 1023.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// Cuts values into slices and adds those of each lane up. False, and `sums` is of no use, where they do not fit: where
/// one has bits below the last slice, is too large or too small, or is no number.
#[inline(always)]
fn slices(values: &[[f64; WIDTH]], sums: &mut [[f64; WIDTH]; SLICES]) -> bool {
    let mut largest = [0.0f64; WIDTH];
    for value in values {
        for (largest, value) in largest.iter_mut().zip(value) {
            // A NaN is passed over here, and found below: it remains.
            let size = value.abs();
            *largest = if size > *largest { size } else { *largest };
        }
    }
    let largest = largest.into_iter().fold(0.0, f64::max);
    // Above all of them: 2^exponent.
    let exponent = (largest.to_bits() >> 52) as i32 - 1022;
    if !(-900..=1000).contains(&exponent) {
        return false;
    }
    // Adding one and a half times 2^(e - bits + 52) rounds what is smaller than 2^e to multiples of 2^(e - bits).
    let cuts: [f64; SLICES] =
        std::array::from_fn(|i| 1.5 * power_of_two(exponent - SLICE_BITS * (i as i32 + 1) + 52));
    let mut left = [0.0f64; WIDTH];
    for value in values {
        for lane in 0..WIDTH {
            let mut rest = value[lane];
            for (cut, sum) in cuts.iter().zip(&mut *sums) {
                let slice = (rest + cut) - cut;
                rest -= slice;
                sum[lane] += slice;
            }
            // Of a NaN this is one.
            left[lane] += rest.abs();
        }
    }
    left.iter().all(|left| *left == 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A sum by another way: whole multiples of 2^-1074 in digits of 16 bits.
    fn reference(values: &[f64]) -> Vec<i64> {
        let mut digits = vec![0i64; 140];
        for value in values {
            let (bits, sign) = (value.to_bits(), if *value < 0.0 { -1 } else { 1 });
            let (exponent, fraction) = ((bits >> 52 & 0x7ff) as usize, bits & ((1 << 52) - 1));
            let (mantissa, shift) =
                if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) };
            for bit in (0..53).filter(|bit| mantissa >> bit & 1 == 1) {
                digits[(shift + bit) / 16] += sign << ((shift + bit) % 16);
            }
        }
        let mut carry = 0;
        for digit in &mut digits[..139] {
            let sum = *digit + carry;
            *digit = sum & 0xffff;
            carry = sum >> 16;
        }
        digits[139] += carry;
        digits
    }

    fn is_exact(values: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        values.iter().for_each(|value| sum.add(*value));
        for lanes in Lanes::all() {
            let mut other = ExactSum::default();
            other.add_all(lanes, values);
            assert_eq!(sum.to_bytes(), other.to_bytes(), "{lanes:?}");
        }
        let found = sum.value();
        // What is left when the rounded sum is taken away is smaller than what is between floats.
        if found.is_finite() {
            let difference = |value: f64| {
                let mut all = values.to_vec();
                all.push(-value);
                let mut digits = reference(&all);
                let is_negative = digits[139] < 0;
                if is_negative {
                    digits.iter_mut().for_each(|digit| *digit = -*digit);
                    let mut carry = 0;
                    for digit in &mut digits {
                        let sum = *digit + carry;
                        *digit = sum & 0xffff;
                        carry = sum >> 16;
                    }
                }
                digits.reverse();
                digits
            };
            let own = difference(found);
            for other in [found.next_up(), found.next_down()].into_iter().filter(|other| other.is_finite()) {
                let theirs = difference(other);
                assert!(own < theirs || own == theirs && found.to_bits() & 1 == 0, "{found:e} or {other:e}");
            }
        }
        found
    }

    fn float() -> impl Strategy<Value = f64> {
        prop_oneof![
            2 => -1e3f64..1e3,
            2 => any::<f64>().prop_map(|x| if x.is_finite() { x } else { 1.0 }),
            1 => (any::<u64>(), 0u64..2048).prop_map(|(bits, e)| f64::from_bits(bits & 0x800f_ffff_ffff_ffff | e.min(2046) << 52)),
            1 => prop::sample::select(vec![0.0, -0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, -f64::MAX, 1.0, 0.1, 1e16, -1e16]),
        ]
    }

    proptest! {
        #[test]
        fn sums_are_the_nearest_floats(values in prop::collection::vec(float(), 0..50)) {
            is_exact(&values);
        }

        #[test]
        fn sums_of_many_are_the_nearest_floats(values in prop::collection::vec(-1f64..1.0, 1000..3000), factor in -1060i32..1000) {
            let factor = 2f64.powi(factor);
            is_exact(&values.iter().map(|value| value * factor).collect::<Vec<_>>());
        }

        #[test]
        fn order_and_splitting_do_not_matter(
            values in prop::collection::vec(float(), 1..200), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let mut whole = ExactSum::default();
            values.iter().for_each(|value| whole.add(*value));
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(values.len())).collect();
            cuts.extend([0, values.len()]);
            cuts.sort_unstable();
            let mut merged = ExactSum::default();
            for part in cuts.windows(2).rev() {
                let mut sum = ExactSum::default();
                sum.add_all(Lanes::best(), &values[part[0]..part[1]]);
                merged.merge(&ExactSum::from_bytes(&sum.to_bytes()).unwrap());
            }
            prop_assert_eq!(whole.to_bytes(), merged.to_bytes());
            prop_assert_eq!(whole.value().to_bits(), merged.value().to_bits());
        }
    }

    #[test]
    fn what_others_lose() {
        assert_eq!(is_exact(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(is_exact(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(is_exact(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(is_exact(&[5e-324, 5e-324]), 1e-323);
        assert_eq!(is_exact(&[0.1; 10]), 1.0);
        assert_eq!(is_exact(&[1.0, 2f64.powi(-53), 5e-324]), 1.0 + f64::EPSILON);
        assert_eq!(is_exact(&[1.0, 2f64.powi(-53)]), 1.0);
        assert_eq!(is_exact(&[]), 0.0);
    }

    #[test]
    fn what_cannot_be_counted() {
        let sum = |values: &[f64]| {
            let mut sum = ExactSum::default();
            sum.add_all(Lanes::best(), values);
            ExactSum::from_bytes(&sum.to_bytes()).unwrap().value()
        };
        assert_eq!(sum(&[1.0, f64::INFINITY]), f64::INFINITY);
        assert_eq!(sum(&[f64::NEG_INFINITY, 1.0]), f64::NEG_INFINITY);
        assert!(sum(&[f64::NEG_INFINITY, f64::INFINITY]).is_nan());
        assert!(sum(&[&[1.0; 2000][..], &[f64::NAN]].concat()).is_nan());
        assert_eq!(ExactSum::from_bytes(&[0xff; BYTES]), None);
    }
}
