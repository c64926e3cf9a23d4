//! Decimal numbers as people write them, exact: what is reckoned with them is rounded once, to the nearest double.

use std::fmt;

/// A number `digits` × 10^`exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    /// Its digits, as a whole number.
    pub digits: i128,
    /// Where the point stands.
    pub exponent: i32,
}

/// Digits of a number that is read at the most: so there is room to reckon.
pub const MOST_DIGITS: usize = 30;

/// The largest exponent that is read, whatever its sign: beyond, there are no doubles.
const MOST_EXPONENT: u32 = 400;

/// Whole numbers up to here, and all powers of ten up to 10^22, are doubles.
const EXACT: u128 = 1 << 53;
const EXACT_POWER: u32 = 22;

/// The longest number that is written without an exponent.
const LONGEST_PLAIN: i32 = 25;

impl Decimal {
    /// Reads a number such as `-12`, `0.10`, `.5` or `1e-3`; `None` for anything else, for one with more than
    /// [`MOST_DIGITS`] digits, and for one that is no finite double.
    pub fn parse(word: &str) -> Option<Self> {
        let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
        let (number, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let all: String = [whole, fraction].concat();
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let significant = all.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Some(Self { digits: 0, exponent: 0 });
        }
        let zeros = all.len() - all.trim_end_matches('0').len();
        let places = i32::try_from(fraction.len()).ok()?.checked_sub(i32::try_from(zeros).ok()?)?;
        let exponent = exponent.checked_sub(places)?;
        if significant.len() > MOST_DIGITS || exponent.unsigned_abs() > MOST_EXPONENT {
            return None;
        }
        let digits: i128 = significant.parse().ok()?;
        let new = Self { digits: if word.starts_with('-') { -digits } else { digits }, exponent };
        new.nearest().is_finite().then_some(new)
    }

    /// Its digits where the point stands at `exponent`, which is no larger than its own; `None` where they are too many.
    pub fn digits_at(self, exponent: i32) -> Option<i128> {
        if self.digits == 0 {
            return Some(0);
        }
        let power = u32::try_from(self.exponent.checked_sub(exponent)?).ok()?;
        self.digits.checked_mul(10i128.checked_pow(power)?)
    }

    /// The nearest double.
    pub fn nearest(self) -> f64 {
        let power = self.exponent.unsigned_abs();
        if self.digits.unsigned_abs() <= EXACT && power <= EXACT_POWER {
            // Both are exact, so that there is one rounding.
            let scale = (0..power).fold(1.0, |scale, _| scale * 10.0);
            let digits = self.digits as f64;
            return if self.exponent < 0 { digits / scale } else { digits * scale };
        }
        // The standard library rounds such texts to the nearest.
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::NAN)
    }
}

/// As short as it can be: `0`, `0.1`, `-25`, and far from 1 `1e-30`.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let all = self.digits.unsigned_abs().to_string();
        let digits = all.trim_end_matches('0');
        if digits.is_empty() {
            return f.write_str("0");
        }
        let (len, sign) = (digits.len() as i32, if self.digits < 0 { "-" } else { "" });
        let exponent = self.exponent + (all.len() as i32 - len);
        // Digits before the point.
        let before = len + exponent;
        if before > LONGEST_PLAIN || exponent < -LONGEST_PLAIN {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            return write!(f, "{sign}{first}{point}{rest}e{}", before - 1);
        }
        if exponent >= 0 {
            write!(f, "{sign}{digits}{}", "0".repeat(exponent as usize))
        } else if before > 0 {
            let (whole, fraction) = digits.split_at(before as usize);
            write!(f, "{sign}{whole}.{fraction}")
        } else {
            write!(f, "{sign}0.{}{digits}", "0".repeat(before.unsigned_abs() as usize))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_and_written() {
        for (word, text) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("0.10", "0.1"),
            (".5", "0.5"),
            ("5.", "5"),
            ("+12", "12"),
            ("-1200", "-1200"),
            ("1e3", "1000"),
            ("1.50E-2", "0.015"),
            ("1e-30", "1e-30"),
            ("-12.5e40", "-1.25e41"),
            ("00012.500", "12.5"),
        ] {
            assert_eq!(Decimal::parse(word).unwrap().to_string(), text, "{word}");
        }
        for word in [
            "",
            "-",
            ".",
            "e3",
            "1e",
            "0x10",
            "inf",
            "nan",
            "1_0",
            "1e400",
            "1e999999999999",
            "1e-2147483648",
            "1 ",
            "--1",
        ] {
            assert_eq!(Decimal::parse(word), None, "{word}");
        }
        assert_eq!(Decimal::parse(&"1".repeat(MOST_DIGITS + 1)), None);
    }

    proptest! {
        #[test]
        fn a_decimal_is_the_number_that_its_text_is(digits in -(10i128.pow(29))..10i128.pow(29), exponent in -340i32..270) {
            let number = Decimal { digits, exponent };
            let expected: f64 = format!("{digits}e{exponent}").parse().unwrap();
            prop_assert_eq!(number.nearest().to_bits(), (expected + 0.0).to_bits());
            let text = number.to_string();
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), (expected + 0.0).to_bits(), "{}", text);
            if let Some(again) = Decimal::parse(&text) {
                prop_assert_eq!(again.to_string(), text);
            }
        }

        #[test]
        fn what_people_type_is_the_same_number(x in -1000i32..1000, places in 0usize..8) {
            let typed = format!("{:.places$}", f64::from(x) / 16.0);
            let number = Decimal::parse(&typed).unwrap();
            prop_assert_eq!(number.nearest() + 0.0, typed.parse::<f64>().unwrap() + 0.0);
            let shifted = number.digits_at(number.exponent - 3).unwrap();
            prop_assert_eq!(shifted, number.digits * 1000);
        }
    }
}
