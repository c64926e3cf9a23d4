//! Sums of floats, and of their squares, without an error: in whatever order values come, and however they are split
//! among workers, the sum is the same, and rounded once, at the end.
//!
//! A sum is a fixed-point number, wide enough for all that can be added up, in limbs of 32 bits with room for carries
//! (the small superaccumulator of R. M. Neal, arXiv:1505.05571). Many values are first cut into slices of bits by
//! adding and subtracting a large number, which loses nothing (the error-free transformation of S. M. Rump, T. Ogita
//! and S. Oishi, SIAM J. Sci. Comput. 31, 2008): slices add up in vector lanes, and only their sums go to the limbs.
//! A square is the sum of two floats: what it is rounded to, and what that is off (T. J. Dekker, Numer. Math. 18, 1971).

use num_bigint::{BigInt, BigUint, Sign};

use crate::base::lanes::{Lanes, kernel};

/// Numbers that are added before carries are taken care of: each adds less than 2^32 to a limb of 63 bits.
const MOST_ADDS: u32 = 1 << 30;

/// Lanes of the widest vectors.
const WIDTH: usize = 8;

/// Values that are looked at and cut at once, so that they stay in the first-level cache.
const WINDOW: usize = 1024;

/// The most slices of each value, and bits of a slice.
const SLICES: usize = 3;
const SLICE_BITS: i32 = 42;

/// Windows whose slices are added up in lanes: so few that no lane's sum, of 1,024 slices, needs more than 53 bits.
const WINDOWS: u32 = 8;

/// The sum of numbers whose lowest bit counts 2^`LOWEST` or more, in `LIMBS` limbs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exact<const LIMBS: usize, const LOWEST: i32> {
    /// From the lowest: limb i counts 2^(32 i + `LOWEST`).
    limbs: [i64; LIMBS],
    /// Numbers that were added since carries were last taken care of.
    adds: u32,
    /// What cannot be counted: [`NAN`], [`PLUS`] and [`MINUS`].
    specials: u8,
}

/// The sum of floats: their lowest bit counts 2^-1074, their highest 2^1023, and there are up to 2^64 of them.
pub type ExactSum = Exact<70, -1088>;

/// The sum of squares of floats.
pub type ExactSquares = Exact<136, -2176>;

/// A value was no number.
const NAN: u8 = 1;
/// A value was infinite.
const PLUS: u8 = 2;
/// A value was minus infinite.
const MINUS: u8 = 4;

impl<const LIMBS: usize, const LOWEST: i32> Default for Exact<LIMBS, LOWEST> {
    fn default() -> Self {
        Self { limbs: [0; LIMBS], adds: 0, specials: 0 }
    }
}

impl<const LIMBS: usize, const LOWEST: i32> Exact<LIMBS, LOWEST> {
    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        let Some((mantissa, exponent)) = self.parts(value) else { return };
        self.add_shifted(u128::from(mantissa), exponent, value < 0.0);
    }

    /// The mantissa of a float, and the exponent of its lowest bit. `None`, and noted, where it cannot be counted.
    fn parts(&mut self, value: f64) -> Option<(u64, i32)> {
        let bits = value.to_bits();
        let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
        match exponent {
            0x7ff => {
                self.specials |= match (fraction, value > 0.0) {
                    (0, true) => PLUS,
                    (0, false) => MINUS,
                    _ => NAN,
                };
                None
            }
            // Numbers below 2^-1022 have no one before the point.
            0 => Some((fraction, 1 - 1075)),
            _ => Some((fraction | 1 << 52, exponent - 1075)),
        }
    }

    /// Adds a number of up to 106 bits, the lowest of which counts 2^`exponent`.
    fn add_shifted(&mut self, number: u128, exponent: i32, is_negative: bool) {
        let position = (exponent - LOWEST) as usize;
        let (limb, shift) = (position / 32, position % 32);
        let sign = if is_negative { -1 } else { 1 };
        // Two halves, neither of which is shifted out of 128 bits.
        let halves = [(number & u128::from(u64::MAX), 0), (number >> 64, 2)];
        for (half, behind) in halves {
            let shifted = half << shift;
            for i in (0..3).filter(|i| shifted >> (32 * i) != 0) {
                self.limbs[limb + behind + i] += sign * (shifted >> (32 * i) & 0xffff_ffff) as i64;
            }
        }
        self.adds += 1;
        if self.adds >= MOST_ADDS {
            self.carry();
        }
    }

    /// Adds many values, computed with `lanes`.
    pub fn add_all(&mut self, lanes: Lanes, values: &[f64]) {
        let (whole, rest) = values.as_chunks::<WIDTH>();
        let mut slots = Slots::default();
        for window in whole.chunks(WINDOW / WIDTH) {
            if lanes == Lanes::Scalar || !slots.add(lanes, window, self) {
                window.as_flattened().iter().for_each(|value| self.add(*value));
            }
        }
        slots.empty_into(self);
        rest.iter().for_each(|value| self.add(*value));
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

    /// Its sign, and the limbs of its size.
    fn signed(&self) -> (bool, [i64; LIMBS]) {
        let mut sum = self.clone();
        sum.carry();
        let is_negative = sum.limbs[LIMBS - 1] < 0;
        if is_negative {
            sum.limbs.iter_mut().for_each(|limb| *limb = -*limb);
            sum.carry();
        }
        (is_negative, sum.limbs)
    }

    /// What it is where something cannot be counted: infinite, or a NaN where a value was none, or where infinities of
    /// both signs were added.
    pub fn special(&self) -> Option<f64> {
        match self.specials {
            0 => None,
            PLUS => Some(f64::INFINITY),
            MINUS => Some(f64::NEG_INFINITY),
            _ => Some(f64::NAN),
        }
    }

    /// The float that is nearest to the sum, of two that are equally near the even one; infinite beyond them. As
    /// [`Exact::special`] where there is that.
    pub fn value(&self) -> f64 {
        if let Some(special) = self.special() {
            return special;
        }
        let (is_negative, limbs) = self.signed();
        let Some(top) = limbs.iter().rposition(|limb| *limb != 0) else { return 0.0 };
        let limb = |i: usize| top.checked_sub(i).map_or(0, |i| limbs[i] as u128);
        // 128 bits, of which the highest limb fills at least one and at most 32.
        let bits = limb(0) << 96 | limb(1) << 64 | limb(2) << 32 | limb(3);
        let is_more = limbs[..top.saturating_sub(3)].iter().any(|limb| *limb != 0);
        let magnitude = nearest(bits, is_more, 32 * (top as i32 - 3) + LOWEST);
        if is_negative { -magnitude } else { magnitude }
    }

    /// The sum as a whole number of 2^`LOWEST`.
    pub fn whole(&self) -> BigInt {
        let (is_negative, limbs) = self.signed();
        let digits = limbs.iter().map(|limb| *limb as u32).collect();
        BigInt::from_biguint(if is_negative { Sign::Minus } else { Sign::Plus }, BigUint::new(digits))
    }

    /// Appends its state: how many limbs there are up to the highest that counts, and below it down to the lowest,
    /// the sign, what cannot be counted, and those limbs.
    pub fn save(&self, bytes: &mut Vec<u8>) {
        let (is_negative, limbs) = self.signed();
        let first = limbs.iter().position(|limb| *limb != 0).unwrap_or(0);
        let end = limbs.iter().rposition(|limb| *limb != 0).map_or(0, |last| last + 1);
        bytes.extend([first as u8, end as u8, u8::from(is_negative), self.specials]);
        // The last may have more than 32 bits only beyond what can be added up.
        bytes.extend(limbs[first.min(end)..end].iter().flat_map(|limb| (*limb as u32).to_le_bytes()));
    }

    /// Adds the state that `bytes` begin with, as [`Exact::save`] has made it, and passes over it; `None` when it is
    /// something else.
    pub fn merge_saved(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let ([first, end, is_negative, specials], rest) = bytes.split_first_chunk::<4>()?;
        let (first, end) = (usize::from(*first), usize::from(*end));
        let (limbs, rest) = rest.split_at_checked(end.checked_sub(first)? * 4)?;
        if self.adds >= MOST_ADDS {
            self.carry();
        }
        let sign = if *is_negative > 0 { -1 } else { 1 };
        for (limb, digits) in self.limbs.get_mut(first..end)?.iter_mut().zip(limbs.as_chunks::<4>().0) {
            *limb += sign * i64::from(u32::from_le_bytes(*digits));
        }
        self.adds += 1;
        self.specials |= specials & (NAN | PLUS | MINUS);
        *bytes = rest;
        Some(())
    }
}

/// The largest size of values whose squares are floats, and so is what these are off.
const LARGEST_SQUARE: f64 = 1e150;
/// The smallest.
const SMALLEST_SQUARE: f64 = 1e-140;

impl ExactSquares {
    /// Adds the square of a value.
    pub fn add_square(&mut self, value: f64) {
        let Some((mantissa, exponent)) = self.parts(value.abs()) else { return };
        self.add_shifted(u128::from(mantissa) * u128::from(mantissa), 2 * exponent, false);
    }

    /// Adds the squares of many values, computed with `lanes`.
    pub fn add_squares(&mut self, lanes: Lanes, values: &[f64]) {
        let (whole, rest) = values.as_chunks::<WIDTH>();
        let mut squares = [[0.0; WIDTH]; WINDOW / WIDTH];
        let mut off = [[0.0; WIDTH]; WINDOW / WIDTH];
        let (mut of_squares, mut of_off) = (Slots::default(), Slots::default());
        for window in whole.chunks(WINDOW / WIDTH) {
            let (squares, off) = (&mut squares[..window.len()], &mut off[..window.len()]);
            let (high, low) = (&mut *squares, &mut *off);
            let fit = match lanes {
                Lanes::Scalar => false,
                Lanes::Baseline if cfg!(target_arch = "x86_64") => {
                    split_squares(window, high, low, by_halves)
                }
                _ => {
                    kernel!(lanes, split_by_fma, split_by_fma(window: &[[f64; WIDTH]], high: &mut [[f64; WIDTH]], low: &mut [[f64; WIDTH]]) -> bool)
                }
            };
            if !fit {
                window.as_flattened().iter().for_each(|value| self.add_square(*value));
                continue;
            }
            for (slots, window) in [(&mut of_squares, squares), (&mut of_off, off)] {
                if !slots.add(lanes, window, self) {
                    window.as_flattened().iter().for_each(|part| self.add(*part));
                }
            }
        }
        of_squares.empty_into(self);
        of_off.empty_into(self);
        rest.iter().for_each(|value| self.add_square(*value));
    }
}

/// The squares of values, and what they are off, which is the answer of `off_by` to a value and its square. False, and
/// of no use, where one is too large or too small for that, or no number.
#[inline(always)]
fn split_squares(
    values: &[[f64; WIDTH]],
    squares: &mut [[f64; WIDTH]],
    off: &mut [[f64; WIDTH]],
    off_by: impl Fn(f64, f64) -> f64,
) -> bool {
    let (mut least, mut greatest) = ([f64::INFINITY; WIDTH], [0.0f64; WIDTH]);
    let mut nans = [0.0f64; WIDTH];
    for i in 0..values.len().min(squares.len()).min(off.len()) {
        for lane in 0..WIDTH {
            let value = values[i][lane];
            let square = value * value;
            squares[i][lane] = square;
            // Exact where it does not underflow: the product has at most 106 bits.
            off[i][lane] = off_by(value, square);
            let size = value.abs();
            // Zeros are as good as ones.
            let counted = if size == 0.0 { 1.0 } else { size };
            least[lane] = if counted < least[lane] { counted } else { least[lane] };
            greatest[lane] = if counted > greatest[lane] { counted } else { greatest[lane] };
            nans[lane] += value * 0.0;
        }
    }
    let mut fits = true;
    for lane in 0..WIDTH {
        fits &= least[lane] >= SMALLEST_SQUARE && greatest[lane] <= LARGEST_SQUARE && nans[lane] == 0.0;
    }
    fits
}

/// [`split_squares`] with a fused multiplication, of which there is an instruction wherever lanes are wide.
#[inline(always)]
fn split_by_fma(values: &[[f64; WIDTH]], squares: &mut [[f64; WIDTH]], off: &mut [[f64; WIDTH]]) -> bool {
    split_squares(values, squares, off, |value, square| value.mul_add(value, -square))
}

/// What `square` is off the square of `value`, by cutting that into halves of 26 bits (Dekker's product), where a fused
/// multiplication would be a call of a function.
#[inline(always)]
fn by_halves(value: f64, square: f64) -> f64 {
    let cut = value * 134_217_729.0;
    let high = cut - (cut - value);
    let low = value - high;
    ((high * high - square) + 2.0 * high * low) + low * low
}

/// The float that is nearest to `number` / `by` of 2^`exponent`.
pub fn nearest_quotient(number: &BigInt, by: &BigUint, exponent: i32) -> f64 {
    // So many bits that none of a float is lost, and one more says on which side of the middle the rest lies.
    let shift = (130 + by.bits() as i64 - number.bits() as i64).max(0) as u64;
    let number_shifted = number.magnitude() << shift;
    let (quotient, rest) = (&number_shifted / by, &number_shifted % by);
    let bits = quotient.bits();
    if bits == 0 {
        return 0.0;
    }
    let drop = bits.saturating_sub(128);
    let top = &quotient >> drop;
    let is_more = rest != BigUint::ZERO || (&top << drop) != quotient;
    let digits = top.iter_u64_digits().rev().fold(0u128, |bits, digit| bits << 64 | u128::from(digit));
    let magnitude = nearest(digits, is_more, exponent + drop as i32 - shift as i32);
    if number.sign() == Sign::Minus { -magnitude } else { magnitude }
}

/// The float nearest to `bits`, the lowest of which counts 2^`lowest`, and something less than that where there
/// `is_more`.
fn nearest(bits: u128, is_more: bool, lowest: i32) -> f64 {
    let leading = bits.leading_zeros() as i32;
    // The exponent of the highest bit.
    let exponent = lowest + 127 - leading;
    if exponent > 1023 {
        return f64::INFINITY;
    }
    if exponent < -1075 {
        return 0.0;
    }
    // Bits of the mantissa: fewer where the number is too small for 53.
    let kept = 53.min(exponent + 1075);
    let drop = 128 - leading - kept;
    let (mut mantissa, rest) = match drop {
        ..=0 => ((bits << -drop) as u64, 0),
        128.. => (0, bits),
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

/// `value`, which is near 1, times 2^`exponent`: rounded once, where it is too small for all of its bits.
pub fn times_power_of_two(value: f64, exponent: i32) -> f64 {
    let first = exponent.clamp(-1000, 1000);
    match exponent - first {
        0 => value * power_of_two(first),
        rest => value * power_of_two(first) * power_of_two(rest.clamp(-1022, 1023)),
    }
}

/// 2^`exponent`, which is between -1022 and 1023.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// Sums of slices in lanes, as long as they are exact.
#[derive(Default)]
struct Slots {
    sums: [[f64; WIDTH]; SLICES],
    /// All values that have been cut are below 2^this.
    exponent: i32,
    /// Windows whose slices are in there.
    windows: u32,
    /// The last window needed all slices.
    needs_all: bool,
}

impl Slots {
    /// Adds a window of values; false, and nothing has been added, where one has bits below the last slice, is too
    /// large or too small, or is no number. What is full is emptied into `sum`.
    fn add<const LIMBS: usize, const LOWEST: i32>(
        &mut self,
        lanes: Lanes,
        values: &[[f64; WIDTH]],
        sum: &mut Exact<LIMBS, LOWEST>,
    ) -> bool {
        let largest = kernel!(lanes, largest, largest(values: &[[f64; WIDTH]]) -> f64);
        let exponent = (largest.to_bits() >> 52) as i32 - 1022;
        if !(-900..=1000).contains(&exponent) {
            return false;
        }
        // Smaller ones may be cut as larger ones are, but lose bits below the last slice.
        if self.windows == WINDOWS || !(self.exponent - 8..=self.exponent).contains(&exponent) {
            self.empty_into(sum);
            self.exponent = exponent;
        }
        // Adding one and a half times 2^(e - bits + 52) rounds what is smaller than 2^e to multiples of 2^(e - bits).
        let cuts: [f64; SLICES] =
            std::array::from_fn(|i| 1.5 * power_of_two(self.exponent - SLICE_BITS * (i as i32 + 1) + 52));
        let before = self.sums;
        let [first, second, third] = cuts;
        let two = &[first, second];
        let [sums @ .., _] = &mut self.sums;
        // Two are enough for nearly all values of nearly one size.
        let mut fits = !self.needs_all
            && kernel!(lanes, slices, slices(values: &[[f64; WIDTH]], two: &[f64; 2], sums: &mut [[f64; WIDTH]; 2]) -> bool);
        if !fits {
            self.sums = before;
            let (three, sums) = (&[first, second, third], &mut self.sums);
            fits = kernel!(lanes, slices, slices(values: &[[f64; WIDTH]], three: &[f64; 3], sums: &mut [[f64; WIDTH]; 3]) -> bool);
            self.needs_all = true;
        }
        match fits {
            true => self.windows += 1,
            false => self.sums = before,
        }
        fits
    }

    /// Adds what is in there to `sum`.
    fn empty_into<const LIMBS: usize, const LOWEST: i32>(&mut self, sum: &mut Exact<LIMBS, LOWEST>) {
        if self.windows > 0 {
            self.sums.as_flattened().iter().for_each(|slices| sum.add(*slices));
            *self = Self { exponent: self.exponent, needs_all: self.needs_all, ..Self::default() };
        }
    }
}

/// The largest size of values; NaNs are passed over.
#[inline(always)]
fn largest(values: &[[f64; WIDTH]]) -> f64 {
    let mut largest = [0.0f64; WIDTH];
    for value in values {
        for lane in 0..WIDTH {
            let size = value[lane].abs();
            largest[lane] = if size > largest[lane] { size } else { largest[lane] };
        }
    }
    let mut all = 0.0;
    for size in largest {
        all = if size > all { size } else { all };
    }
    all
}

/// Cuts values into slices and adds those of each lane to `sums`. False, and `sums` is of no use, where something is
/// left of one, or it is no number.
#[inline(always)]
fn slices<const N: usize>(values: &[[f64; WIDTH]], cuts: &[f64; N], sums: &mut [[f64; WIDTH]; N]) -> bool {
    // Local: what may be reached from elsewhere would be written in each turn.
    let (cuts, mut own, mut left) = (*cuts, *sums, [0.0f64; WIDTH]);
    for value in values {
        let mut rest = *value;
        for i in 0..N {
            for lane in 0..WIDTH {
                let slice = (rest[lane] + cuts[i]) - cuts[i];
                rest[lane] -= slice;
                own[i][lane] += slice;
            }
        }
        for lane in 0..WIDTH {
            // Of a NaN this is one.
            left[lane] += rest[lane].abs();
        }
    }
    *sums = own;
    let mut all = 0.0;
    for rest in left {
        all += rest;
    }
    all == 0.0
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

    fn saved<const LIMBS: usize, const LOWEST: i32>(sum: &Exact<LIMBS, LOWEST>) -> Vec<u8> {
        let mut bytes = Vec::new();
        sum.save(&mut bytes);
        bytes
    }

    /// A float as a whole number of 2^-1074.
    fn scaled(value: f64) -> BigInt {
        let bits = value.to_bits();
        let (exponent, fraction) = ((bits >> 52 & 0x7ff) as u32, bits & ((1 << 52) - 1));
        let size = match exponent {
            0 => BigInt::from(fraction),
            _ => BigInt::from(fraction | 1 << 52) << (exponent - 1),
        };
        if value < 0.0 { -size } else { size }
    }

    fn is_exact(values: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        values.iter().for_each(|value| sum.add(*value));
        for lanes in Lanes::all() {
            let mut other = ExactSum::default();
            other.add_all(lanes, values);
            assert_eq!(saved(&sum), saved(&other), "{lanes:?}");
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
        fn squares_are_exact(values in prop::collection::vec(float(), 0..50), many in prop::collection::vec(-9f64..9.0, 0..1500)) {
            for values in [values, many] {
                let exact: BigInt = values.iter().map(|value| scaled(*value) * scaled(*value)).sum();
                for lanes in Lanes::all() {
                    let mut sum = ExactSquares::default();
                    sum.add_squares(lanes, &values);
                    // Whole numbers of 2^-2148, and of 2^-2176.
                    prop_assert_eq!(sum.whole(), &exact << 28u32, "{:?}", lanes);
                }
            }
        }

        #[test]
        fn quotients_are_the_nearest_floats(a in float(), b in 1u64.., more in any::<i64>()) {
            // Of whole numbers below 2^53 the processor knows it, too.
            let (small, by) = (more >> 11, b >> 11 | 1);
            let found = nearest_quotient(&BigInt::from(small), &BigUint::from(by), 0);
            prop_assert_eq!(found, small as f64 / by as f64);
            prop_assert_eq!(nearest_quotient(&scaled(a), &BigUint::from(1u32), -1074), a + 0.0);
            // Divided by two where nothing is lost.
            if a.abs() > 1e-300 {
                prop_assert_eq!(nearest_quotient(&(scaled(a) * 3), &BigUint::from(6u32), -1074), a / 2.0);
            }
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
                merged.merge_saved(&mut &*saved(&sum)).unwrap();
            }
            prop_assert_eq!(saved(&whole), saved(&merged));
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
            let mut back = ExactSum::default();
            back.merge_saved(&mut &*saved(&sum)).unwrap();
            back.value()
        };
        assert_eq!(sum(&[1.0, f64::INFINITY]), f64::INFINITY);
        assert_eq!(sum(&[f64::NEG_INFINITY, 1.0]), f64::NEG_INFINITY);
        assert!(sum(&[f64::NEG_INFINITY, f64::INFINITY]).is_nan());
        assert!(sum(&[&[1.0; 2000][..], &[f64::NAN]].concat()).is_nan());
        assert_eq!(ExactSum::default().merge_saved(&mut &[0xff; 600][..]), None);
        assert_eq!(ExactSum::default().merge_saved(&mut &[0, 9, 0, 0, 1][..]), None);
    }
}
