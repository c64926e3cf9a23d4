//! The values of one parameter of a sweep, as the user asks for them: how many there are and of which type, and how each is
//! found. Which combinations of them there are is the sweep's own.

use std::ffi::{OsStr, OsString};
use std::num::IntErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::POSITIONS;
use crate::base::error::{Error, Result};
use crate::base::names;
use crate::data::decimal::{Decimal, MOST_DIGITS};
use crate::data::dtype::Dtype;
use crate::data::schema::ColumnType;

/// A parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Its name.
    pub name: String,
    /// What was typed behind the name.
    typed: PathBuf,
    /// Its values.
    pub values: AxisValues,
    /// Any number from the first to the last is a value: the others, at whole [`POSITIONS`], stand for them.
    pub is_continuous: bool,
}

/// The values of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum AxisValues {
    /// As typed, one by one.
    List(Vec<String>),
    /// One on each line of a file.
    File(PathBuf),
    /// `A..B:STEP`.
    Steps(Steps),
    /// `lin(A,B,N)`.
    Linear(Steps),
    /// `log(A,B,N)`.
    Log(Log),
}

/// Numbers at equal distances, by their decimals: value number i is (`first` + i × `step`) / `parts` × 10^`exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// The numerator of the first.
    pub first: i128,
    /// What is added to it from one to the next.
    pub step: i128,
    /// The denominator; never 0.
    pub parts: u64,
    /// Where the decimal point stands.
    pub exponent: i32,
    /// How many values there are; never 0.
    pub count: u64,
    /// All that was typed are whole numbers; then `exponent` is 0, and `parts` is 1.
    pub is_whole: bool,
}

/// Numbers at equal ratios.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The first; above 0.
    pub first: Decimal,
    /// The last; above 0.
    pub last: Decimal,
    /// How many there are; never 0.
    pub count: u64,
}

/// The most values of `log(A,B,N)`.
const MOST_LOG: u64 = 1 << 48;

/// How sweeps are written, for messages.
const HOW: &str = "write NAME=A..B:STEP, NAME=1,2,3, NAME=lin(A,B,N), NAME=log(A,B,N), or NAME=@FILE";

impl Steps {
    /// The numerator of value number `at`, which is one of them.
    pub fn numerator(&self, at: u64) -> i128 {
        self.first + i128::from(at) * self.step
    }

    /// Those of `A..B:STEP`, where `text` has `..` in it.
    fn range(text: &str) -> std::result::Result<Self, String> {
        let (bounds, step) = text.split_once(':').unwrap_or((text, "1"));
        let (first, end) = bounds.split_once("..").unwrap_or((bounds, ""));
        if end.starts_with(['.', '=']) {
            return Err("B comes right after two dots, and is not part of the range".into());
        }
        let words = [first, end, step].map(str::trim);
        let [a, b, s] = decimals(words)?;
        if s.digits == 0 {
            return Err("a step of 0 never arrives".into());
        }
        let is_whole = words.iter().all(|word| !word.contains(['.', 'e', 'E']));
        let exponent = if is_whole { 0 } else { common_exponent(&[a, b, s]) };
        let too_long = || format!("{} have more digits together than can be counted with", words.join(", "));
        let at = |number: Decimal| number.digits_at(exponent).ok_or_else(too_long);
        let (first, end, step) = (at(a)?, at(b)?, at(s)?);
        let span = end.checked_sub(first).ok_or_else(too_long)?;
        if span == 0 || (span < 0) != (step < 0) {
            return Err("it is empty: a range has A, and ends before B".into());
        }
        let count = (span.unsigned_abs() - 1) / step.unsigned_abs() + 1;
        let count = u64::try_from(count).map_err(|_| "it has too many values to count".to_owned())?;
        Ok(Self { first, step, parts: 1, exponent, count, is_whole })
    }

    /// Those of `lin(A,B,N)`.
    fn linear(words: [&str; 3]) -> std::result::Result<Self, String> {
        let ([a, b], count) = (decimals([words[0], words[1]])?, count_of(words[2])?);
        let exponent = common_exponent(&[a, b]);
        let parts = (count - 1).max(1);
        let numbers = || {
            let (a, b) = (a.digits_at(exponent)?, b.digits_at(exponent)?);
            let (first, step) = (a.checked_mul(i128::from(parts))?, b.checked_sub(a)?);
            step.checked_mul(i128::from(parts))?;
            b.checked_mul(i128::from(parts))?;
            Some((first, step))
        };
        let (first, step) = numbers()
            .ok_or_else(|| "A and B have more digits together than can be counted with".to_owned())?;
        if exponent < -LIN_EXPONENT || [a, b].iter().any(|x| x.nearest().abs() > 1e300) {
            return Err(format!("A and B lie within 1e300, and have no more than {LIN_EXPONENT} decimals"));
        }
        Ok(Self { first, step, parts, exponent, count, is_whole: false })
    }

    /// Checks that the values are numbers of type `dtype`, where that is wanted, or else whole numbers as they were typed.
    fn check(&self, dtype: Option<Dtype>) -> std::result::Result<(), String> {
        let fits = |at: u64| i64::try_from(self.numerator(at)).is_ok();
        match (self.is_whole, dtype) {
            (false, Some(Dtype::I64)) => {
                Err("its values are not whole numbers; for floats: --dtype f64".into())
            }
            (true, None | Some(Dtype::I64)) if !fits(0) || !fits(self.count - 1) => {
                Err("its values do not fit in 64-bit whole numbers; for floats: --dtype f64".into())
            }
            _ => Ok(()),
        }
    }
}

/// Decimals of `lin(A,B,N)` at the most: its values are no smaller than doubles have all their digits.
const LIN_EXPONENT: i32 = 280;

impl Log {
    /// Those of `log(A,B,N)`.
    fn of(words: [&str; 3]) -> std::result::Result<Self, String> {
        let ([first, last], count) = (decimals([words[0], words[1]])?, count_of(words[2])?);
        if [first, last].iter().any(|x| !(1e-300..=1e300).contains(&x.nearest())) {
            return Err("A and B are above 0, from 1e-300 to 1e300".into());
        }
        if count > MOST_LOG {
            return Err(format!("N is {MOST_LOG} at the most"));
        }
        Ok(Self { first, last, count })
    }
}

/// Where the point stands such that all of `numbers` are whole.
fn common_exponent(numbers: &[Decimal]) -> i32 {
    numbers.iter().filter(|number| number.digits != 0).map(|number| number.exponent).min().unwrap_or(0)
}

fn decimals<const N: usize>(words: [&str; N]) -> std::result::Result<[Decimal; N], String> {
    let mut numbers = [Decimal { digits: 0, exponent: 0 }; N];
    for (number, word) in numbers.iter_mut().zip(words) {
        let wrong = || match word.trim() {
            "" => "a number is missing".to_owned(),
            word if word.parse::<f64>().is_ok_and(f64::is_finite) => {
                format!("'{word}' has more than {MOST_DIGITS} digits")
            }
            word => format!("'{word}' is not a finite number"),
        };
        *number = Decimal::parse(word.trim()).ok_or_else(wrong)?;
    }
    Ok(numbers)
}

fn count_of(word: &str) -> std::result::Result<u64, String> {
    match word.trim().parse::<u64>() {
        Ok(0) => Err("N is 0, which is a sweep of nothing".into()),
        Ok(count) => Ok(count),
        Err(why) if *why.kind() == IntErrorKind::PosOverflow => {
            Err(format!("N is {}, and 2^64 - 1 is the most that can be counted", word.trim()))
        }
        Err(_) => Err(format!("N, the number of values, is a whole number, and '{}' is not", word.trim())),
    }
}

/// What stands in the brackets of `word(…)`, where `text` is that.
fn call<'a>(word: &str, text: &'a str) -> Option<&'a str> {
    text.strip_prefix(word)?.trim_start().strip_prefix('(')?.strip_suffix(')')
}

/// Does it look like a call of a function?
fn is_call(text: &str) -> bool {
    let name = text.split('(').next().unwrap_or_default().trim_end();
    let is_word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word && text.contains('(') && text.ends_with(')')
}

/// Does it look like `A..B`?
fn is_range(text: &str) -> bool {
    text.split_once("..").is_some_and(|(first, _)| first.trim().parse::<f64>().is_ok())
}

/// Values with commas between them that stand in no brackets and no quotes; what stands in quotes is a value as it is.
fn split(text: &str) -> std::result::Result<Vec<String>, String> {
    let (mut values, mut rest) = (Vec::new(), text);
    loop {
        rest = rest.trim_start();
        let quote = rest.chars().next().filter(|letter| ['"', '\''].contains(letter));
        let closed = quote.and_then(|quote| {
            let (value, behind) = rest[1..].split_once(quote)?;
            let behind = behind.trim_start();
            (behind.is_empty() || behind.starts_with(',')).then_some((value, behind))
        });
        let (value, behind) = match closed {
            Some((value, behind)) => (value, behind),
            None => {
                let mut depth = 0usize;
                let is_end = |letter: char| {
                    match letter {
                        '(' | '[' | '{' => depth += 1,
                        ')' | ']' | '}' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    letter == ',' && depth == 0
                };
                let (value, behind) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
                let value = value.trim_end();
                if depth > 0 {
                    return Err(format!("a bracket of '{value}' is not closed; in quotes it is a text"));
                }
                if value.is_empty() {
                    return Err("a value is missing; one that is empty is written ''".into());
                }
                if is_range(value) {
                    return Err(format!("'{value}' is a range, which stands alone; in quotes it is a text"));
                }
                if is_call(value) {
                    return Err(format!(
                        "'{value}': there are lin(A,B,N) and log(A,B,N), which stand alone; in quotes it is a text"
                    ));
                }
                (value, behind)
            }
        };
        values.push(value.to_owned());
        match behind.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Ok(values),
        }
    }
}

impl AxisValues {
    /// Reads what stands behind a name, and says whether any number from the first to the last is meant.
    fn parse(typed: &OsStr) -> std::result::Result<(Self, bool), String> {
        if let Some(path) = typed.as_bytes().trim_ascii_start().strip_prefix(b"@") {
            return match path {
                b"" | b"-" => Err("give the name of a file behind @".into()),
                path => Ok((Self::File(PathBuf::from(OsStr::from_bytes(path))), false)),
            };
        }
        let text = typed.to_str().ok_or("it is not UTF-8")?.trim();
        if text.is_empty() {
            return Err("it has no values, which is a sweep of nothing".into());
        }
        for (name, is_log) in [("lin", false), ("log", true)] {
            let Some(inside) = call(name, text) else { continue };
            let all = (POSITIONS + 1).to_string();
            let words: Vec<&str> = inside.split(',').map(str::trim).collect();
            let (three, is_continuous) = match words[..] {
                [a, b, n] => ([a, b, n], false),
                [a, b] => ([a, b, &*all], true),
                _ => return Err(format!("{name} has three numbers: {name}(A,B,N)")),
            };
            let values = match is_log {
                true => Log::of(three).map(Self::Log)?,
                false => Steps::linear(three).map(Self::Linear)?,
            };
            return Ok((values, is_continuous));
        }
        if is_range(text) && !text.contains(',') {
            return Steps::range(text).map(|steps| (Self::Steps(steps), false));
        }
        split(text).map(|words| (Self::List(words), false))
    }

    /// How many there are; `None` where a file says it.
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::List(words) => Some(words.len() as u64),
            Self::File(_) => None,
            Self::Steps(steps) | Self::Linear(steps) => Some(steps.count),
            Self::Log(log) => Some(log.count),
        }
    }

    /// Their type, where numbers may have to be `dtype`; `None` where a file says it.
    pub fn dtype(&self, dtype: Option<Dtype>) -> Option<ColumnType> {
        match self {
            Self::List(words) => Some(dtype_of(words.iter().map(String::as_bytes), dtype)),
            Self::File(_) => None,
            Self::Steps(steps) if steps.is_whole && dtype != Some(Dtype::F64) => Some(ColumnType::I64),
            Self::Steps(_) | Self::Linear(_) | Self::Log(_) => Some(ColumnType::F64),
        }
    }

    pub(super) fn check(&self, dtype: Option<Dtype>) -> std::result::Result<(), String> {
        match (self, dtype) {
            (Self::List(words), _) => {
                let bytes = || words.iter().map(String::as_bytes);
                match dtype_of(bytes(), dtype).number() {
                    Some(number) => numbers_of(bytes(), number).map(drop),
                    None => Ok(()),
                }
            }
            (Self::Steps(steps), _) => steps.check(dtype),
            (Self::Linear(_) | Self::Log(_), Some(Dtype::I64)) => {
                Err("its values are floats: --dtype f64".into())
            }
            _ => Ok(()),
        }
    }
}

/// A value as a number's text, where it is UTF-8.
fn word(value: &[u8]) -> &str {
    std::str::from_utf8(value.trim_ascii()).unwrap_or_default()
}

/// Type of values as they stand there: numbers where all are, those of type `dtype` where that is wanted; else texts.
pub fn dtype_of<'a>(values: impl Iterator<Item = &'a [u8]> + Clone, dtype: Option<Dtype>) -> ColumnType {
    let words = values.map(word);
    match words.clone().all(|word| word.parse::<f64>().is_ok()) {
        true => dtype.unwrap_or_else(|| Dtype::of_words(words)).into(),
        false => ColumnType::Bytes,
    }
}

/// The bits of values that are numbers of type `dtype`.
///
/// # Errors
/// Names the first that is none.
pub fn numbers_of<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    dtype: Dtype,
) -> std::result::Result<Vec<u64>, String> {
    values.map(word).map(|word| dtype.parse(word).ok_or_else(|| dtype.complaint(word))).collect()
}

impl Axis {
    /// Reads `NAME=VALUES`. Which names will do is not known here.
    pub(super) fn parse(typed: &Path) -> Result<Self> {
        let shown = names::readable(typed);
        let wrong = |why: &str| Error::Usage(format!("--sweep {shown}: {why}; {HOW}"));
        let bytes = typed.as_os_str().as_bytes();
        let at = memchr::memchr(b'=', bytes).ok_or_else(|| wrong("no '=' in it"))?;
        let name = std::str::from_utf8(&bytes[..at]).map_err(|_| wrong("its name is not UTF-8"))?.trim();
        let typed = OsStr::from_bytes(&bytes[at + 1..]);
        let (values, is_continuous) = AxisValues::parse(typed).map_err(|why| wrong(&why))?;
        Ok(Self { name: name.to_owned(), typed: typed.into(), values, is_continuous })
    }

    /// As typed.
    pub(super) fn text(&self) -> String {
        match &self.values {
            AxisValues::File(path) => format!("{}=@{}", self.name, names::readable(path)),
            _ => format!("{}={}", self.name, self.typed.display()),
        }
    }

    /// As a job file says it, from any folder.
    pub(super) fn job_word(&self) -> PathBuf {
        let word = match &self.values {
            AxisValues::File(path) => {
                let mut word = format!("{}=@", self.name).into_bytes();
                word.extend_from_slice(names::absolute(path).as_os_str().as_bytes());
                OsString::from_vec(word)
            }
            _ => self.text().into(),
        };
        names::in_job_file(Path::new(&word)).into()
    }

    /// `why` its values will not do.
    pub fn wrong(&self, why: &str) -> Error {
        Error::Usage(format!("--sweep {}: {why}", self.text()))
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_was_typed() {
        let list = |text: &str| match AxisValues::parse(OsStr::new(text)).unwrap() {
            (AxisValues::List(words), false) => words,
            other => panic!("{other:?}"),
        };
        assert_eq!(list("1, 2 ,0.10"), ["1", "2", "0.10"]);
        assert_eq!(list("euler,rk4"), ["euler", "rk4"]);
        assert_eq!(list("[1,2],(3,4),'a, b',''"), ["[1,2]", "(3,4)", "a, b", ""]);
        assert_eq!(list("it's,\"x\"y"), ["it's", "\"x\"y"]);
        assert_eq!(list("../a,../b"), ["../a", "../b"]);
        assert_eq!(list("'lin(0,1,2)','1..2'"), ["lin(0,1,2)", "1..2"]);
    }

    #[test]
    fn steps_are_counted_in_decimals() {
        for (text, count) in [
            ("0..1:0.1", 10),
            ("0..0.3:0.1", 3),
            ("1..0:-0.1", 10),
            ("-1..1:0.3", 7),
            ("-9223372036854775808..9223372036854775807", u64::MAX),
            ("1e-3..1e-2:1e-3", 9),
            ("0..1e3:1e2", 10),
        ] {
            assert_eq!(Steps::range(text).unwrap().count, count, "{text}");
        }
    }
}
