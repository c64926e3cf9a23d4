//! Values from the command line or a job file: a list, or a range that is never held in memory.

use crate::error::{Error, Result};
use crate::function::lanes::{Lanes, kernel};
use crate::input::{Indexed, Source};
use crate::job::{Dtype, is_whole_literal};

/// Values typed one by one. All of them are checked before the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed {
    /// Whole numbers, or floats.
    pub dtype: Dtype,
    bits: Vec<u64>,
    next: usize,
}

impl Typed {
    /// Reads a list of numbers: whole numbers when all of them are whole, floats when one is not or
    /// `dtype` asks for them.
    ///
    /// # Errors
    /// Names the first that is not a number (of that type).
    pub fn parse(words: &[String], dtype: Option<Dtype>) -> Result<Self> {
        let is_float = |word: &String| !is_whole_literal(word) && word.parse::<f64>().is_ok();
        let found = if words.iter().any(is_float) { Dtype::F64 } else { Dtype::I64 };
        let dtype = dtype.unwrap_or(found);
        let complain = |word| Error::Usage(dtype.complaint(word) + hint(word));
        let bits = words
            .iter()
            .map(|word| dtype.parse(word).ok_or_else(|| complain(word)))
            .collect::<Result<_>>()?;
        Ok(Self { dtype, bits, next: 0 })
    }
}

impl Typed {
    /// The numbers, in a form that reads back the same.
    pub fn words(&self) -> impl Iterator<Item = String> {
        self.bits.iter().map(|bits| self.dtype.text(*bits))
    }

    /// Nothing was typed.
    pub fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }
}

/// What somebody who typed `word` as a value probably wanted.
fn hint(word: &str) -> &'static str {
    if word == "-" {
        "; for values from standard input: --from -"
    } else if word.contains("..") {
        "; for a range: --range A..B"
    } else if word.contains(' ') {
        "; give several values as several words"
    } else if word.contains(['.', '/'])
        && word.contains(|c: char| c.is_alphabetic())
        && word.parse::<f64>().is_err()
    {
        "; for values from a file: --from FILE"
    } else {
        ""
    }
}

impl Source for Typed {
    fn fill(&mut self, room: &mut [u64]) -> Result<usize> {
        let left = &self.bits[self.next..];
        let count = left.len().min(room.len());
        room[..count].copy_from_slice(&left[..count]);
        self.next += count;
        Ok(count)
    }

    fn count(&self) -> Option<u64> {
        Some(self.bits.len() as u64)
    }

    fn skip(&mut self, count: u64) -> Result<u64> {
        let left = self.bits.len() - self.next;
        let skipped = usize::try_from(count).unwrap_or(usize::MAX).min(left);
        self.next += skipped;
        Ok(skipped as u64)
    }
}

/// `A..B[:STEP]`: A, A+STEP, … up to but not including B, as in Rust and Python.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    text: String,
    bounds: Bounds,
    count: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum Bounds {
    Whole { first: i64, step: i64 },
    Float { first: f64, step: f64 },
}

impl Range {
    /// Reads `A..B` or `A..B:STEP`; floats when one of the three is a float or `dtype` asks for them.
    ///
    /// # Errors
    /// Not of that form, a step of zero, or bounds that are not finite numbers.
    pub fn parse(text: &str, dtype: Option<Dtype>) -> Result<Self> {
        let wrong = |why: &str| {
            Error::Usage(format!("--range {text}: {why}; write A..B or A..B:STEP, as in 0..10 or 10..0:-2"))
        };
        let (bounds, step) = text.split_once(':').unwrap_or((text, "1"));
        let (first, end) = bounds.split_once("..").ok_or_else(|| wrong("no '..' in it"))?;
        if end.starts_with(['.', '=']) {
            return Err(wrong("B comes right after two dots, and is not part of the range"));
        }
        let words = [first, end, step].map(|word| word.trim().to_owned());
        let typed = Typed::parse(&words, dtype).map_err(|e| wrong(&e.to_string()))?;
        let [first, end, step] = [typed.bits[0], typed.bits[1], typed.bits[2]];
        let (bounds, count) = match typed.dtype {
            Dtype::I64 => {
                let [first, end, step] = [first, end, step].map(|bits| bits as i64);
                if step == 0 {
                    return Err(wrong("a step of 0 never arrives"));
                }
                (Bounds::Whole { first, step }, whole_count(first, end, step))
            }
            Dtype::F64 => {
                let [first, end, step] = [first, end, step].map(f64::from_bits);
                if step == 0.0 || ![first, end, step].iter().all(|x| x.is_finite()) {
                    return Err(wrong("bounds must be finite and the step not 0"));
                }
                let before_end =
                    |i: u64| if step > 0.0 { at(first, step, i) < end } else { at(first, step, i) > end };
                if before_end(MOST_FLOATS) {
                    return Err(wrong("more values than a float can count"));
                }
                // The first index whose value is not before the end: exact, as no quotient would be.
                let (mut count, mut beyond) = (0, MOST_FLOATS);
                while count < beyond {
                    let middle = count + (beyond - count) / 2;
                    if before_end(middle) {
                        count = middle + 1;
                    } else {
                        beyond = middle;
                    }
                }
                (Bounds::Float { first, step }, count)
            }
        };
        Ok(Self { text: text.to_owned(), bounds, count })
    }

    /// As typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whole numbers, or floats.
    pub fn dtype(&self) -> Dtype {
        match self.bounds {
            Bounds::Whole { .. } => Dtype::I64,
            Bounds::Float { .. } => Dtype::F64,
        }
    }
}

/// From the index each time: adding up would let rounding errors grow.
fn at(first: f64, step: f64, index: u64) -> f64 {
    first + index as f64 * step
}

/// Computed in 128 bits, because `i64::MIN..i64::MAX` has more than 2^63 values.
fn whole_count(first: i64, end: i64, step: i64) -> u64 {
    let (span, step) = (i128::from(end) - i128::from(first), i128::from(step));
    let (span, step) = if step < 0 { (-span, -step) } else { (span, step) };
    if span <= 0 { 0 } else { ((span + step - 1) / step) as u64 }
}

#[inline(always)]
fn count_whole(first: i64, step: i64, room: &mut [u64]) {
    for (i, word) in (0i64..).zip(room) {
        *word = first.wrapping_add(i.wrapping_mul(step)) as u64;
    }
}

/// Indexes up to here are exact as floats.
const MOST_FLOATS: u64 = 1 << 53;

/// `first + (start + i) * step`: the sum in brackets is exact, as the index itself would be.
#[inline(always)]
fn count_float(first: f64, step: f64, start: f64, room: &mut [u64]) {
    for (i, word) in (0i32..).zip(room) {
        *word = (first + (start + f64::from(i)) * step).to_bits();
    }
}

impl Indexed for Range {
    fn count(&self) -> u64 {
        self.count
    }

    fn fill_at(&mut self, start: u64, room: &mut [u64], lanes: Lanes) -> (usize, Result<()>) {
        match self.bounds {
            Bounds::Whole { first, step } => {
                // Wrapping: the product can leave 64 bits where the value itself does not.
                let first = first.wrapping_add((start as i64).wrapping_mul(step));
                kernel!(lanes, count_whole, count_whole(first: i64, step: i64, room: &mut [u64]) -> ());
            }
            Bounds::Float { first, step } => {
                for (chunk, room) in room.chunks_mut(1 << 20).enumerate() {
                    // Below 2^53, so the conversion is exact.
                    let start = (start + ((chunk as u64) << 20)) as f64;
                    kernel!(
                        lanes,
                        count_float,
                        count_float(first: f64, step: f64, start: f64, room: &mut [u64]) -> ()
                    );
                }
            }
        }
        (room.len(), Ok(()))
    }

    fn piece(&self) -> usize {
        // With their answers they lie in the first-level cache.
        1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(mut range: Range, room: usize) -> Vec<u64> {
        let mut out = vec![0; range.count as usize];
        let mut start = 0;
        for room in out.chunks_mut(room) {
            let (count, outcome) = range.fill_at(start, room, Lanes::best());
            outcome.unwrap();
            assert_eq!(count, room.len());
            start += count as u64;
        }
        out
    }

    fn whole(text: &str) -> Vec<i64> {
        all(Range::parse(text, None).unwrap(), 3).into_iter().map(|bits| bits as i64).collect()
    }

    #[test]
    fn ranges_are_half_open() {
        assert_eq!(whole("0..4"), [0, 1, 2, 3]);
        assert_eq!(whole("-2..3:2"), [-2, 0, 2]);
        assert_eq!(whole("10..0:-4"), [10, 6, 2]);
        assert_eq!(whole("5..5"), [0; 0]);
        assert_eq!(whole("5..0"), [0; 0]);
    }

    #[test]
    fn ranges_whose_step_is_lost_in_rounding() {
        let count = |text: &str| Range::parse(text, None).map(|range| range.count);
        assert_eq!(count("1.0..1.0000000000000002:1e-30").unwrap(), 111_022_302_462_516);
        assert!(count("1.0..1.0000000000000002:1e-40").unwrap_err().to_string().contains("can count"));
        assert_eq!(count("-8e307..8e307:1e307").unwrap(), 16);
        assert_eq!(count("0.0..1.0:2.0").unwrap(), 1);
        assert_eq!(count("1.0..0.0:2.0").unwrap(), 0);
    }

    #[test]
    fn the_widest_range_is_counted_right() {
        let text = format!("{}..{}", i64::MIN, i64::MAX);
        assert_eq!(Range::parse(&text, None).unwrap().count, u64::MAX);
    }

    #[test]
    fn float_ranges_do_not_drift() {
        let values: Vec<f64> =
            all(Range::parse("0..1:0.1", None).unwrap(), 4).into_iter().map(f64::from_bits).collect();
        assert_eq!(values.len(), 10);
        assert_eq!(values[9], 0.9);
    }

    proptest! {
        #[test]
        fn float_ranges_end_before_their_end(first in -5.0f64..5.0, span in -2.0f64..2.0, step in 0.01f64..0.5) {
            for (end, step) in [(first + span, step), (first + span, -step), (first + step * 7.0, step)] {
                let range = Range::parse(&format!("{first:?}..{end:?}:{step:?}"), None).unwrap();
                let expected = (0u64..).take_while(|i| {
                    let value = first + *i as f64 * step;
                    if step > 0.0 { value < end } else { value > end }
                });
                prop_assert_eq!(range.count, expected.count() as u64);
            }
        }
    }

    #[test]
    fn bad_ranges_say_why() {
        for (text, part) in [
            ("3", "no '..'"),
            ("0..9:0", "step of 0"),
            ("a..b", "not a whole number"),
            ("0..inf", "finite"),
            ("1...5", "two dots"),
        ] {
            let message = Range::parse(text, None).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_list_with_one_float_is_floats() {
        let words = |list: &[&str]| list.iter().map(|w| w.to_string()).collect::<Vec<_>>();
        assert_eq!(Typed::parse(&words(&["1", "2"]), None).unwrap().dtype, Dtype::I64);
        assert_eq!(Typed::parse(&words(&["1", "2.5"]), None).unwrap().dtype, Dtype::F64);
        assert!(Typed::parse(&words(&["1", "two"]), None).is_err());
        // Too large for 64 bits: an error that names the way out, not a silent float.
        let error = Typed::parse(&words(&["9223372036854775808"]), None).unwrap_err().to_string();
        assert!(error.contains("--dtype f64"), "{error}");
    }

    proptest! {
        #[test]
        fn whole_ranges_agree_with_the_standard_library(
            first in -1000i64..1000, end in -1000i64..1000, step in 1i64..50, room in 1usize..100,
        ) {
            let range = Range::parse(&format!("{first}..{end}:{step}"), None).unwrap();
            let expected: Vec<u64> = (first..end).step_by(step as usize).map(|v| v as u64).collect();
            prop_assert_eq!(range.count, expected.len() as u64);
            prop_assert_eq!(all(range, room), expected);
        }
    }
}
