//! One row at a time: the reference that vector lanes must equal, and who says what is wrong with a row.

use super::{Binary, Fault, Kind, Node, Op};
use crate::data::random::Stream;
use crate::data::texts::TextMaker;
use crate::op::functions::{OfText, Whole};

/// Why there is no answer that is a text.
pub(super) const NO_ROOM: &str = "there is no room for what is made of its texts on the way: 64 MiB";

/// Why whole numbers have no answer.
const TOO_LARGE: &str = "does not fit in a 64-bit whole number; for floats: --dtype f64, or float(…)";

impl Node {
    /// The bits of the value for a row, whose columns `of_column` gives, their texts being those of `texts`, and whose random
    /// numbers are those of `stream`.
    ///
    /// # Errors
    /// It has none: a whole number that does not fit, a division by zero.
    pub fn answer(
        &self,
        of_column: &dyn Fn(usize) -> u64,
        stream: Stream,
        texts: &mut TextMaker,
    ) -> Result<u64, Fault> {
        let fault = |why: String| Fault::new(self.place, why);
        Ok(match &self.op {
            Op::Constant(bits) => *bits,
            Op::Column(number) => of_column(*number),
            Op::ToFloat(of) => (of.answer(of_column, stream, texts)? as i64 as f64).to_bits(),
            Op::Not(of) => u64::from(of.answer(of_column, stream, texts)? == 0),
            Op::Negate(of) => {
                let bits = of.answer(of_column, stream, texts)?;
                match self.kind {
                    Kind::Float | Kind::Text => (-f64::from_bits(bits)).to_bits(),
                    Kind::Whole => {
                        let x = bits as i64;
                        x.checked_neg().ok_or_else(|| fault(format!("-({x}) {TOO_LARGE}")))? as u64
                    }
                }
            }
            Op::Function(function, of) => {
                let bits = of.answer(of_column, stream, texts)?;
                if let (Some(of_text), Kind::Text) = (function.text, of.kind) {
                    return of_text.answer(bits, texts).ok_or_else(|| fault(NO_ROOM.to_owned()));
                }
                match (&function.whole, self.kind, function.float) {
                    (Whole::Exact(whole), Kind::Whole, _) => {
                        let x = bits as i64;
                        whole(x).map_err(|why| fault(format!("{}({x}) {why}", function.name)))? as u64
                    }
                    (_, _, Some(float)) => float(f64::from_bits(bits)).to_bits(),
                    (_, _, None) => f64::NAN.to_bits(),
                }
            }
            Op::If(parts) => {
                let [condition, yes, no] = &**parts;
                let chosen = if condition.answer(of_column, stream, texts)? != 0 { yes } else { no };
                chosen.answer(of_column, stream, texts)?
            }
            Op::Draw(draw) => draw.of(stream).to_bits(),
            Op::Between(parts) => {
                let mut float = |part: &Self| part.answer(of_column, stream, texts).map(f64::from_bits);
                let [from, to, share] = &**parts;
                between(float(from)?, float(to)?, float(share)?).to_bits()
            }
            Op::Binary(op, a, b) => {
                let (x, y) = (a.answer(of_column, stream, texts)?, b.answer(of_column, stream, texts)?);
                match a.kind {
                    Kind::Whole => op.of_whole(x as i64, y as i64).map_err(fault)?,
                    Kind::Float | Kind::Text => op.of_floats(f64::from_bits(x), f64::from_bits(y)),
                }
            }
        })
    }
}

impl OfText {
    /// The bits of the answer to the text of `word`; `None` where there is no room for a text.
    #[inline]
    pub(super) fn answer(self, word: u64, texts: &mut TextMaker) -> Option<u64> {
        match self {
            Self::Whole(of) => Some(of(texts.get(word)) as u64),
            Self::Text(make) => texts.make(word, make),
        }
    }
}

impl Binary {
    /// The bits of the answer of whole numbers.
    ///
    /// # Errors
    /// There is none; says why.
    pub(super) fn of_whole(self, x: i64, y: i64) -> Result<u64, String> {
        let fits = |answer: Option<i64>, sign: &str| {
            answer.map(|answer| answer as u64).ok_or_else(|| format!("{x} {sign} {y} {TOO_LARGE}"))
        };
        let no_zero = |sign: &str| match y {
            0 => Err(format!("{x} {sign} 0: division by zero")),
            _ => Ok(()),
        };
        match self {
            Self::Add => fits(x.checked_add(y), "+"),
            Self::Subtract => fits(x.checked_sub(y), "-"),
            Self::Multiply => fits(x.checked_mul(y), "*"),
            Self::Divide => Ok(quotient(x, y).to_bits()),
            Self::FloorDivide => no_zero("//").and_then(|()| fits(floor_divide(x, y), "//")),
            // As Python: of the sign of the divisor.
            Self::Remainder => no_zero("%").map(|()| {
                let rest = x.wrapping_rem(y);
                (if rest != 0 && (rest < 0) != (y < 0) { rest + y } else { rest }) as u64
            }),
            Self::Power => match u32::try_from(y) {
                Ok(exponent) => fits(x.checked_pow(exponent), "^"),
                Err(_) if y < 0 => Err(format!("{x} ^ {y} is no whole number; for floats: float(…)")),
                // Of no other number is such a power small enough.
                Err(_) => match x {
                    0 | 1 => Ok(x as u64),
                    -1 => Ok((if y % 2 == 0 { 1i64 } else { -1 }) as u64),
                    _ => fits(None, "^"),
                },
            },
            Self::Least => Ok(x.min(y) as u64),
            Self::Greatest => Ok(x.max(y) as u64),
            Self::Below => Ok(u64::from(x < y)),
            Self::AtMost => Ok(u64::from(x <= y)),
            Self::Equal => Ok(u64::from(x == y)),
            Self::Unequal => Ok(u64::from(x != y)),
            Self::And => Ok(u64::from(x != 0 && y != 0)),
            Self::Or => Ok(u64::from(x != 0 || y != 0)),
            Self::Atan2 | Self::Hypot => Ok(self.of_floats(x as f64, y as f64)),
        }
    }

    /// The bits of the answer of floats.
    pub(super) fn of_floats(self, x: f64, y: f64) -> u64 {
        match self {
            Self::Add => (x + y).to_bits(),
            Self::Subtract => (x - y).to_bits(),
            Self::Multiply => (x * y).to_bits(),
            Self::Divide => (x / y).to_bits(),
            Self::FloorDivide => divide(x, y).0.to_bits(),
            Self::Remainder => divide(x, y).1.to_bits(),
            Self::Power => core_math::pow(x, y).to_bits(),
            Self::Least => least(x, y).to_bits(),
            Self::Greatest => greatest(x, y).to_bits(),
            Self::Atan2 => core_math::atan2(x, y).to_bits(),
            Self::Hypot => core_math::hypot(x, y).to_bits(),
            Self::Below => u64::from(x < y),
            Self::AtMost => u64::from(x <= y),
            Self::Equal => u64::from(x == y),
            Self::Unequal => u64::from(x != y),
            Self::And => u64::from(x != 0.0 && y != 0.0),
            Self::Or => u64::from(x != 0.0 || y != 0.0),
        }
    }
}

/// From `from` to `to` as far as `share` of 1 says; as numpy has it.
#[inline(always)]
pub(super) fn between(from: f64, to: f64, share: f64) -> f64 {
    from + (to - from) * share
}

/// The smaller of two; a NaN where one is, as numpy has it.
#[inline(always)]
pub(super) fn least(x: f64, y: f64) -> f64 {
    if x.is_nan() || x < y { x } else { y }
}

/// The greater of two; a NaN where one is.
#[inline(always)]
pub(super) fn greatest(x: f64, y: f64) -> f64 {
    if x.is_nan() || x > y { x } else { y }
}

fn floor_divide(x: i64, y: i64) -> Option<i64> {
    let quotient = x.checked_div(y)?;
    let rest = x.wrapping_rem(y);
    Some(if rest != 0 && (rest < 0) != (y < 0) { quotient - 1 } else { quotient })
}

/// The float nearest to x / y.
pub(super) fn quotient(x: i64, y: i64) -> f64 {
    /// Up to here whole numbers are floats.
    const EXACT: u64 = 1 << 53;
    if y == 0 || x.unsigned_abs() <= EXACT && y.unsigned_abs() <= EXACT {
        return x as f64 / y as f64;
    }
    let (n, d) = (u128::from(x.unsigned_abs()), u128::from(y.unsigned_abs()));
    // 64 bits of the quotient, and in the last whether there are more: rounding those is rounding all.
    let bits = |n: u128| 128 - n.leading_zeros();
    if n == 0 {
        return 0.0;
    }
    let shift = 64 + bits(d) - bits(n);
    let (quotient, rest) = ((n << shift) / d, (n << shift) % d);
    let magnitude = (quotient | u128::from(rest != 0)) as f64 / (1u128 << shift) as f64;
    if (x < 0) == (y < 0) { magnitude } else { -magnitude }
}

/// Quotient, rounded down, and remainder, of the sign of the divisor: as Python's divmod. By zero as IEEE 754 divides.
fn divide(x: f64, y: f64) -> (f64, f64) {
    let rest = x % y;
    if y == 0.0 || rest.is_nan() {
        return ((x / y).floor(), rest);
    }
    let (rest, quotient) = match rest == 0.0 {
        true => (0f64.copysign(y), (x - rest) / y),
        false if (rest < 0.0) != (y < 0.0) => (rest + y, (x - rest) / y - 1.0),
        false => (rest, (x - rest) / y),
    };
    // The quotient is whole but for rounding.
    let quotient = match quotient == 0.0 {
        true => 0f64.copysign(x / y),
        false => quotient.round(),
    };
    (quotient, rest)
}
