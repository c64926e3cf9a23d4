//! Named functions of one number.
//!
//! Whole numbers are exact or an error; floats follow IEEE 754. Each function stands here once for one
//! value, which is what the serial pattern runs, and once as a kernel over many, which the other patterns
//! run in vector lanes; the tests hold the two equal to the bit.

use crate::base::lanes::{Lanes, kernel};

/// The functions that `--function` knows, for messages and help.
pub const NAMES: &[&str] =
    if cfg!(feature = "fault-injection") { &["square", "panic", "die", "nap"] } else { &["square"] };

/// A function of one number, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// x·x
    Square,
    /// For the tests of what goes wrong in a worker.
    #[cfg(feature = "fault-injection")]
    Fault(Fault),
}

/// What can be made to go wrong on purpose.
#[cfg(feature = "fault-injection")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Panics on any value.
    Panic,
    /// A value below 0 kills its process with that signal; others are squared.
    Die,
    /// Takes as many milliseconds as the value says, and squares it.
    Nap,
}

#[cfg(feature = "fault-injection")]
impl Fault {
    fn happen(self, x: i64) {
        match self {
            Self::Panic => panic!("asked to"),
            Self::Die if x < 0 => {
                let number = i32::try_from(x.unsigned_abs()).ok();
                if let Some(signal) = number.and_then(rustix::process::Signal::from_named_raw) {
                    let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
                }
            }
            Self::Nap => {
                tracing::trace!("a nap of {x} ms");
                std::thread::sleep(std::time::Duration::from_millis(x.unsigned_abs()));
            }
            Self::Die => {}
        }
    }
}

impl Named {
    /// The function of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "square" => Some(Self::Square),
            #[cfg(feature = "fault-injection")]
            "panic" => Some(Self::Fault(Fault::Panic)),
            #[cfg(feature = "fault-injection")]
            "die" => Some(Self::Fault(Fault::Die)),
            #[cfg(feature = "fault-injection")]
            "nap" => Some(Self::Fault(Fault::Nap)),
            _ => None,
        }
    }

    /// As [`Named::from_name`] knows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Square => "square",
            #[cfg(feature = "fault-injection")]
            Self::Fault(Fault::Panic) => "panic",
            #[cfg(feature = "fault-injection")]
            Self::Fault(Fault::Die) => "die",
            #[cfg(feature = "fault-injection")]
            Self::Fault(Fault::Nap) => "nap",
        }
    }

    /// The answer for one whole number; `None` when it does not fit in 64 bits.
    fn one_whole(self, x: i64) -> Option<i64> {
        match self {
            Self::Square => x.checked_mul(x),
            #[cfg(feature = "fault-injection")]
            Self::Fault(fault) => {
                fault.happen(x);
                x.checked_mul(x)
            }
        }
    }

    /// The answer for one float.
    fn one_float(self, x: f64) -> f64 {
        match self {
            Self::Square => x * x,
            #[cfg(feature = "fault-injection")]
            Self::Fault(fault) => {
                fault.happen(x as i64);
                x * x
            }
        }
    }

    /// Answers `x` into `y` (of the same length) and returns how many: fewer than all where the answer of
    /// the next does not fit in 64 bits.
    pub fn whole(self, lanes: Lanes, x: &[i64], y: &mut [i64]) -> usize {
        let one_by_one = |x: &[i64], y: &mut [i64]| {
            for (i, (x, y)) in x.iter().zip(y).enumerate() {
                match scalar(self).one_whole(*x) {
                    Some(answer) => *y = answer,
                    None => return i,
                }
            }
            x.len()
        };
        match self {
            Self::Square => kernel!(lanes, one_by_one, square_whole(x: &[i64], y: &mut [i64]) -> usize),
            #[cfg(feature = "fault-injection")]
            Self::Fault(_) => one_by_one(x, y),
        }
    }

    /// Answers `x` into `y` (of the same length).
    pub fn float(self, lanes: Lanes, x: &[f64], y: &mut [f64]) {
        let one_by_one =
            |x: &[f64], y: &mut [f64]| x.iter().zip(y).for_each(|(x, y)| *y = scalar(self).one_float(*x));
        match self {
            Self::Square => kernel!(lanes, one_by_one, square_float(x: &[f64], y: &mut [f64]) -> ()),
            #[cfg(feature = "fault-injection")]
            Self::Fault(_) => one_by_one(x, y),
        }
    }

    /// Why `value` has no answer.
    pub fn complaint(self, value: i64) -> String {
        format!("{value}: its square does not fit in a 64-bit whole number; for floats: --dtype f64")
    }
}

/// `function`, but the compiler must not know which: it would turn the loop over single values into a
/// vector kernel, and the reference would no longer be one.
fn scalar(function: Named) -> Named {
    std::hint::black_box(function)
}

/// The largest whole number whose square fits in an `i64`: ⌊√(2^63 − 1)⌋.
const LARGEST_ROOT: u64 = 3_037_000_499;

#[inline(always)]
fn square_whole(x: &[i64], y: &mut [i64]) -> usize {
    let mut fits = true;
    for (x, y) in x.iter().zip(&mut *y) {
        let size = x.unsigned_abs();
        fits &= size <= LARGEST_ROOT;
        // What fits has its root in 32 bits, and those can be multiplied in vector lanes everywhere.
        let low = size & 0xffff_ffff;
        *y = low.wrapping_mul(low) as i64;
    }
    // Faults are rare: looked for only when the fast pass has seen that there is one.
    if fits { x.len() } else { x.iter().position(|x| x.unsigned_abs() > LARGEST_ROOT).unwrap_or(x.len()) }
}

#[inline(always)]
fn square_float(x: &[f64], y: &mut [f64]) {
    x.iter().zip(y).for_each(|(x, y)| *y = x * x);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_root_is_the_largest() {
        let root = LARGEST_ROOT as i64;
        assert!(root.checked_mul(root).is_some());
        assert!((root + 1).checked_mul(root + 1).is_none());
    }
}
