//! Values as typed: a list, or a range that is never held in memory.

use crate::base::error::{Error, Result};
use crate::data::dtype::Dtype;

/// Values typed one by one. All of them are checked before the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed {
    /// Whole numbers, or floats.
    pub dtype: Dtype,
    pub(crate) bits: Vec<u64>,
}

impl Typed {
    /// Reads a list of numbers: whole numbers when all of them are whole, floats when one is not or
    /// `dtype` asks for them.
    ///
    /// # Errors
    /// Names the first that is not a number (of that type).
    pub fn parse(words: &[String], dtype: Option<Dtype>) -> Result<Self> {
        let dtype = dtype.unwrap_or_else(|| Dtype::of_words(words.iter().map(String::as_str)));
        let complain = |word| Error::Usage(dtype.complaint(word) + hint(word));
        let bits = words
            .iter()
            .map(|word| dtype.parse(word).ok_or_else(|| complain(word)))
            .collect::<Result<_>>()?;
        Ok(Self { dtype, bits })
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

/// `A..B[:STEP]`: A, A+STEP, … up to but not including B, as in Rust and Python.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    text: String,
    pub(crate) bounds: Bounds,
    pub(crate) count: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bounds {
    /// Whole numbers.
    Whole { first: i64, step: i64 },
    /// Floats.
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

/// Indexes up to here are exact as floats.
const MOST_FLOATS: u64 = 1 << 53;

#[cfg(test)]
mod tests {
    use super::*;

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
}
