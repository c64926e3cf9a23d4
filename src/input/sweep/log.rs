//! Numbers at equal ratios, each the nearest double: reckoned with whole numbers of 128 bits, so that every machine comes
//! to the same.
//!
//! Value number i of n from A to B is A × (B / A)^(i / (n - 1)), and so 2 to the power of a mean of log2(A) and log2(B).
//! Logarithms have 112 bits behind the point, and powers some 110, where a double has 53.

use crate::data::decimal::Decimal;
use crate::job::sweep::Log;

/// Bits of a logarithm behind the point.
const FRACTION: u32 = 112;

/// ln 2, with 128 bits behind the point.
const LN_2: u128 = 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af;

/// The upper half of a product.
fn high(a: u128, b: u128) -> u128 {
    let halves = |x: u128| (x >> 64, x & u128::from(u64::MAX));
    let ((a1, a0), (b1, b0)) = (halves(a), halves(b));
    let ((upper, _), (high_1, low_1), (high_2, low_2)) = (halves(a0 * b0), halves(a1 * b0), halves(a0 * b1));
    a1 * b1 + high_1 + high_2 + halves(upper + low_1 + low_2).0
}

/// log2 of `number`, which is not 0, with [`FRACTION`] bits behind the point.
fn log2_whole(number: u128) -> i128 {
    let shift = number.leading_zeros();
    let mut logarithm = i128::from(127 - shift) << FRACTION;
    // From 1 up to 2, with 127 bits behind the point: each square says one more bit of the logarithm.
    let mut mantissa = number << shift;
    for bit in (0..FRACTION).rev() {
        let square = high(mantissa, mantissa);
        // With 126 bits behind the point.
        if square >> 127 == 1 {
            logarithm += 1 << bit;
            mantissa = square;
        } else {
            mantissa = square << 1;
        }
    }
    logarithm
}

/// log2 of a number above 0.
fn log2(number: Decimal) -> i128 {
    log2_whole(number.digits.unsigned_abs()) + i128::from(number.exponent) * log2_whole(10)
}

/// The double nearest to 2^`logarithm`, which is no smaller than doubles with all their digits are.
fn exp2(logarithm: i128) -> f64 {
    let whole = (logarithm >> FRACTION) as i32;
    let fraction = (logarithm & ((1 << FRACTION) - 1)).unsigned_abs() << (128 - FRACTION);
    // e^x, of x from 0 to ln 2 with 128 bits behind the point, as 1 + x + x²/2! + …
    let x = high(fraction, LN_2);
    let (mut sum, mut term) = (0u128, x);
    let mut number = 1;
    while term > 0 {
        // One bit less behind the point, as the sum comes to nearly 2.
        sum += term >> 1;
        number += 1;
        term = high(term, x) / number;
    }
    let power = (1u128 << 127).saturating_add(sum);
    // Both are powers of two, and so is what they come to.
    let two_to = |exponent: i32| f64::from_bits(u64::try_from(exponent + 1023).unwrap_or(0) << 52);
    power as f64 * two_to(-127) * two_to(whole)
}

/// The values of a parameter of `log(A,B,N)`.
#[derive(Debug, Clone)]
pub struct LogValues {
    log: Log,
    /// log2 of the first, and what it is to the last.
    first: i128,
    span: i128,
}

impl LogValues {
    /// Those of `log`.
    pub fn new(log: Log) -> Self {
        let first = log2(log.first);
        Self { log, first, span: log2(log.last) - first }
    }

    /// Value number `at`, which is one of them.
    pub fn get(&self, at: u64) -> f64 {
        let parts = self.log.count - 1;
        if at == 0 {
            return self.log.first.nearest();
        }
        if at == parts {
            return self.log.last.nearest();
        }
        // span × at / parts, in 192 bits: there are fewer than 2^48 parts.
        let (at, parts, span) = (u128::from(at), u128::from(parts), self.span.unsigned_abs());
        let (upper, lower) = ((span >> 64) * at, (span & u128::from(u64::MAX)) * at);
        let quotient = ((upper / parts) << 64) + (((upper % parts) << 64) + lower) / parts;
        exp2(self.first + quotient.cast_signed() * self.span.signum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(first: &str, last: &str, count: u64) -> Vec<f64> {
        let number = |word: &str| Decimal::parse(word).unwrap();
        let log = LogValues::new(Log { first: number(first), last: number(last), count });
        (0..count).map(|at| log.get(at)).collect()
    }

    #[test]
    fn powers_of_ten_are_exact() {
        assert_eq!(values("1e-3", "1e3", 7), [1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(values("1000", "1", 4), [1000.0, 100.0, 10.0, 1.0]);
        assert_eq!(values("1", "1024", 11), (0..11).map(|i| f64::from(1 << i)).collect::<Vec<_>>());
        let wide: Vec<f64> = (-300..=300).map(|i| format!("1e{i}").parse().unwrap()).collect();
        assert_eq!(values("1e-300", "1e300", 601), wide);
        assert_eq!(values("7", "7", 3), [7.0; 3]);
        assert_eq!(values("7", "9", 1), [7.0]);
    }

    proptest! {
        /// Of three values the middle one is the root of the product of the others.
        #[test]
        fn the_middle_is_the_geometric_mean(a in 1u32..1 << 26, b in 1u32..1 << 26) {
            let middle = values(&a.to_string(), &b.to_string(), 3)[1];
            // Their product is exact; nearest when no double beside it is nearer.
            let product = f64::from(a) * f64::from(b);
            let square = |x: f64| x.mul_add(x, -product).abs();
            for other in [middle.next_up(), middle.next_down()] {
                prop_assert!(square(middle) <= square(other) * 1.0001, "{middle} {other}");
            }
        }

        #[test]
        fn halves_of_a_product(a: u128, b: u128) {
            let wide = num_bigint::BigUint::from(a) * num_bigint::BigUint::from(b);
            prop_assert_eq!(num_bigint::BigUint::from(high(a, b)), wide >> 128);
        }
    }
}
