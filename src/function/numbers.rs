//! Named functions of one number, and the answers as text or as raw 64-bit numbers.
//!
//! Whole numbers are exact or an error; floats follow IEEE 754.

use crate::error::Error;
use crate::function::{Answer, Function};
use crate::input::Block;
use crate::job::Dtype;
use crate::output::Form;

/// The functions that `--function` knows, for messages and help.
pub const NAMES: [&str; if cfg!(debug_assertions) { 2 } else { 1 }] = {
    #[cfg(debug_assertions)]
    {
        ["square", "panic"]
    }
    #[cfg(not(debug_assertions))]
    {
        ["square"]
    }
};

/// A function of one number, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// x·x
    Square,
    /// Panics on any value: for the tests of what a panic on one rank does. Debug builds only.
    #[cfg(debug_assertions)]
    Panic,
}

impl Named {
    /// The function of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "square" => Some(Self::Square),
            #[cfg(debug_assertions)]
            "panic" => Some(Self::Panic),
            _ => None,
        }
    }

    /// Answers `x` into `y` (of the same length) and returns how many: fewer than all where the answer of
    /// the next does not fit in 64 bits.
    fn whole(self, x: &[i64], y: &mut [i64]) -> usize {
        match self {
            Self::Square => {
                let mut fits = true;
                for (x, y) in x.iter().zip(&mut *y) {
                    *y = x.wrapping_mul(*x);
                    fits &= x.unsigned_abs() <= LARGEST_ROOT;
                }
                // Faults are rare: looked for only when the fast pass has seen that there is one.
                if fits {
                    x.len()
                } else {
                    x.iter().position(|x| x.unsigned_abs() > LARGEST_ROOT).unwrap_or(x.len())
                }
            }
            #[cfg(debug_assertions)]
            Self::Panic => panic!("asked to"),
        }
    }

    /// Answers `x` into `y` (of the same length).
    fn float(self, x: &[f64], y: &mut [f64]) {
        match self {
            Self::Square => x.iter().zip(y).for_each(|(x, y)| *y = x * x),
            #[cfg(debug_assertions)]
            Self::Panic => panic!("asked to"),
        }
    }

    fn complaint(self, value: i64) -> Error {
        Error::Item(match self {
            Self::Square => {
                format!("{value}: its square does not fit in a 64-bit whole number; for floats: --dtype f64")
            }
            #[cfg(debug_assertions)]
            Self::Panic => unreachable!("it never answers"),
        })
    }
}

/// The largest whole number whose square fits in an `i64`: ⌊√(2^63 − 1)⌋.
const LARGEST_ROOT: u64 = 3_037_000_499;

/// Values whose answers are turned to text at once: small enough to stay in the first-level cache.
const PIECE: usize = 512;

/// A [`Named`] function over blocks of values.
pub struct Numbers {
    function: Named,
    dtype: Dtype,
    form: Form,
}

impl Numbers {
    /// `function` over values of `dtype`, with answers in `form`.
    pub fn new(function: Named, dtype: Dtype, form: Form) -> Self {
        Self { function, dtype, form }
    }

    /// Answers `x` into `y`, both as bits of the type, and returns how many as [`Named::whole`].
    fn answer(&self, x: &[u64], y: &mut [u64]) -> usize {
        match self.dtype {
            Dtype::I64 => self.function.whole(bytemuck::cast_slice(x), bytemuck::cast_slice_mut(y)),
            Dtype::F64 => {
                self.function.float(bytemuck::cast_slice(x), bytemuck::cast_slice_mut(y));
                x.len()
            }
        }
    }
}

impl Function for Numbers {
    fn apply(&mut self, _block: &Block, values: &[u64], room: &mut [u8]) -> Answer {
        let (bytes, answered) = match self.form {
            Form::Raw => {
                let room = bytemuck::cast_slice_mut(&mut room[..size_of_val(values)]);
                let answered = self.answer(values, room);
                (answered * size_of::<u64>(), answered)
            }
            Form::Text => {
                let (mut bytes, mut answered) = (0, 0);
                let mut answers = [0; PIECE];
                for piece in values.chunks(PIECE) {
                    let count = self.answer(piece, &mut answers[..piece.len()]);
                    bytes += render(self.dtype, &answers[..count], &mut room[bytes..]);
                    answered += count;
                    if count < piece.len() {
                        break;
                    }
                }
                (bytes, answered)
            }
        };
        Answer {
            bytes,
            items: answered as u64,
            input_bytes: size_of_val(values) as u64,
            more: false,
            failure: values.get(answered).map(|bits| self.function.complaint(*bits as i64)),
        }
    }
}

/// The most bytes that one number and its newline take as text: `-1.7976931348623157e308`, and
/// `-9223372036854775808` is shorter.
pub const WIDEST: usize = 25;

/// Writes numbers one per line to the front of `room`, which must have [`WIDEST`] bytes for each, and
/// returns how many bytes. Floats in the shortest form that reads back the same (Ryū, PLDI 2018).
pub fn render(dtype: Dtype, bits: &[u64], room: &mut [u8]) -> usize {
    let mut at = 0;
    let mut put = |text: &str| {
        room[at..at + text.len()].copy_from_slice(text.as_bytes());
        room[at + text.len()] = b'\n';
        at += text.len() + 1;
    };
    match dtype {
        Dtype::I64 => {
            let mut buffer = itoa::Buffer::new();
            bits.iter().for_each(|bits| put(buffer.format(*bits as i64)));
        }
        Dtype::F64 => {
            let mut buffer = ryu::Buffer::new();
            bits.iter().for_each(|bits| put(buffer.format(f64::from_bits(*bits))));
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(dtype: Dtype, bits: &[u64]) -> (String, Answer) {
        let mut room = vec![0; bits.len() * WIDEST];
        let answer = Numbers::new(Named::Square, dtype, Form::Text).apply(&Block::default(), bits, &mut room);
        room.truncate(answer.bytes);
        (String::from_utf8(room).unwrap(), answer)
    }

    #[test]
    fn the_largest_root_is_the_largest() {
        let root = LARGEST_ROOT as i64;
        assert!(root.checked_mul(root).is_some());
        assert!((root + 1).checked_mul(root + 1).is_none());
    }

    #[test]
    fn answers_before_the_first_that_does_not_fit_stand() {
        let mut values = vec![3u64; 600];
        values.extend([i64::MIN as u64, 4, u64::MAX / 2]);
        let (out, answer) = text(Dtype::I64, &values);
        assert_eq!(out, "9\n".repeat(600));
        assert_eq!(answer.items, 600);
        assert!(answer.failure.unwrap().to_string().starts_with("-9223372036854775808: its square"));
    }

    #[test]
    fn the_widest_float_fits() {
        let widest = [-f64::MAX, f64::MIN_POSITIVE, -1.2345678901234567e-308, f64::NAN, f64::NEG_INFINITY];
        let mut room = vec![0; widest.len() * WIDEST];
        for value in widest {
            assert!(render(Dtype::F64, &[value.to_bits()], &mut room) <= WIDEST);
        }
    }

    proptest! {
        #[test]
        fn whole_squares_are_exact(values: Vec<i32>) {
            let bits: Vec<u64> = values.iter().map(|v| i64::from(*v) as u64).collect();
            let expected: String = values.iter().map(|v| format!("{}\n", i64::from(*v) * i64::from(*v))).collect();
            prop_assert_eq!(text(Dtype::I64, &bits).0, expected);
        }

        #[test]
        fn float_squares_read_back_to_the_bit(values: Vec<f64>) {
            let bits: Vec<u64> = values.iter().map(|v| v.to_bits()).collect();
            let (out, _) = text(Dtype::F64, &bits);
            let back: Vec<f64> = out.lines().map(|line| line.parse().unwrap()).collect();
            prop_assert_eq!(back.len(), values.len());
            for (x, y) in values.iter().zip(back) {
                prop_assert!((x * x).to_bits() == y.to_bits() || (x * x).is_nan() && y.is_nan());
            }
        }
    }
}
