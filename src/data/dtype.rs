//! Types of values, and numbers as text.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Type of values: 64 bits either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Whole numbers, exact in 64 bits
    I64,
    /// Floats (IEEE 754 double)
    F64,
}

impl Dtype {
    /// The bits of the number that `word` spells, `None` when it is not one of this type.
    pub fn parse(self, word: &str) -> Option<u64> {
        match self {
            Self::I64 => word.parse::<i64>().ok().map(|number| number as u64),
            Self::F64 => {
                let number = word.parse::<f64>().ok()?;
                // 1e400 reads as infinite, and is not what it says.
                (number.is_finite() || !word.contains(|c: char| c.is_ascii_digit())).then(|| number.to_bits())
            }
        }
    }

    /// Type of values that are spelled so: floats where one of them is a float, and no whole number.
    pub fn of_words<'a>(mut words: impl Iterator<Item = &'a str>) -> Self {
        match words.any(|word| !is_whole_literal(word) && word.parse::<f64>().is_ok()) {
            true => Self::F64,
            false => Self::I64,
        }
    }

    /// As typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }

    /// The number of these bits, in the shortest form that [`Dtype::parse`] reads back the same.
    pub fn text(self, bits: u64) -> String {
        match self {
            Self::I64 => (bits as i64).to_string(),
            Self::F64 => ryu::Buffer::new().format(f64::from_bits(bits)).to_owned(),
        }
    }

    /// Why `word` is not a number of this type.
    pub fn complaint(self, word: &str) -> String {
        match self {
            Self::I64 if Self::F64.parse(word).is_some() => {
                let why = if is_whole_literal(word) {
                    "does not fit in a 64-bit whole number"
                } else {
                    "is not a whole number"
                };
                format!("'{word}' {why}; for floats: --dtype f64")
            }
            Self::I64 => format!("'{word}' is not a whole number"),
            Self::F64 if word.parse::<f64>().is_ok() => format!("'{word}' does not fit in a 64-bit float"),
            Self::F64 => format!("'{word}' is not a number"),
        }
    }
}

/// Digits alone: a whole number even where 64 bits cannot hold it, so never silently a float.
fn is_whole_literal(word: &str) -> bool {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}
