//! `--sweep NAME=VALUES`: the combinations of the values of several parameters, as the user asks for them. Nothing is
//! opened here, and no combination is made: only how many there are, and how the values of each parameter are found.

use std::ffi::{OsStr, OsString};
use std::num::IntErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::fmt::{counted, grouped};
use crate::base::names;
use crate::data::decimal::{Decimal, MOST_DIGITS};
use crate::data::dtype::Dtype;
use crate::data::schema::{ColumnType, Schema};

/// Parameters, and which combinations of their values there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// The parameters, in order.
    pub axes: Vec<Axis>,
    /// Value number i of each goes with value number i of all others; else each with all others, the last parameter fastest.
    pub zip: bool,
    /// How many of the combinations are taken, chosen at random; `None` for all.
    pub sample: Option<u64>,
    /// In place of combinations, so many points of a Latin hypercube.
    pub points: Option<u64>,
}

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

/// How finely a parameter is divided of which any number from A to B is a value; and the most points of a Latin hypercube.
pub const POSITIONS: u64 = 1 << 32;

/// Combinations that are chosen at random at the most: each process holds their numbers.
pub const MOST_SAMPLED: u64 = 1 << 24;

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

    fn check(&self, dtype: Option<Dtype>) -> std::result::Result<(), String> {
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

/// What stands before the number of points of a Latin hypercube.
const LATIN: &str = "lhs:";

/// How many points `--points lhs:N` wants.
fn points_of(text: &str) -> Result<u64> {
    let wrong = |why: &str| Error::Usage(format!("--points {text}: {why}"));
    let count = text.strip_prefix(LATIN).ok_or_else(|| {
        wrong("there are those of a Latin hypercube, lhs:N; for combinations at random: --sample N")
    })?;
    let count = count.parse::<u64>().ok().filter(|count| (1..=POSITIONS).contains(count));
    count.ok_or_else(|| wrong(&format!("N is a number from 1 to {}", grouped(POSITIONS))))
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
    fn parse(typed: &Path) -> Result<Self> {
        let shown = names::readable(typed);
        let wrong = |why: &str| Error::Usage(format!("--sweep {shown}: {why}; {HOW}"));
        let bytes = typed.as_os_str().as_bytes();
        let at = memchr::memchr(b'=', bytes).ok_or_else(|| wrong("no '=' in it"))?;
        let name = std::str::from_utf8(&bytes[..at]).map_err(|_| wrong("its name is not UTF-8"))?.trim();
        let typed = OsStr::from_bytes(&bytes[at + 1..]);
        let (values, is_continuous) = AxisValues::parse(typed).map_err(|why| wrong(&why))?;
        Ok(Self { name: name.to_owned(), typed: typed.into(), values, is_continuous })
    }

    /// As typed, with another file's name `file` where there is one.
    fn text(&self, file: impl Fn(&Path) -> String) -> String {
        match &self.values {
            AxisValues::File(path) => format!("{}=@{}", self.name, file(path)),
            _ => format!("{}={}", self.name, self.typed.display()),
        }
    }

    /// `why` its values will not do.
    pub fn wrong(&self, why: &str) -> Error {
        Error::Usage(format!("--sweep {}: {why}", self.text(names::readable)))
    }
}

impl Sweep {
    /// Reads what was typed.
    ///
    /// # Errors
    /// A parameter is not of one of the forms, has no values, or is there twice; there are too many combinations to count;
    /// or, where they go side by side, not as many of each.
    pub fn parse(typed: &[PathBuf], zip: bool, sample: Option<i64>, points: Option<&str>) -> Result<Self> {
        let axes = typed.iter().map(|typed| Axis::parse(typed)).collect::<Result<Vec<_>>>()?;
        for (number, axis) in axes.iter().enumerate() {
            if axes[..number].iter().any(|other| other.name == axis.name) {
                return Err(axis.wrong(&format!("{} is there twice", axis.name)));
            }
        }
        let sample = match sample {
            None => None,
            Some(n) => match u64::try_from(n).ok().filter(|n| (1..=MOST_SAMPLED).contains(n)) {
                None => {
                    return Err(Error::Usage(format!(
                        "--sample {n}: it is a number from 1 to {}",
                        grouped(MOST_SAMPLED)
                    )));
                }
                n => n,
            },
        };
        let points = points.map(points_of).transpose()?;
        if points.is_some() && (zip || sample.is_some()) {
            return Err(Error::Usage(
                "--points are no combinations: they go without --zip and --sample".into(),
            ));
        }
        if let Some(axis) = axes.iter().find(|axis| axis.is_continuous && points.is_none()) {
            return Err(axis.wrong(
                "N, the number of values, is missing; only of --points lhs:N it is any number from A to B",
            ));
        }
        let new = Self { axes, zip, sample, points };
        if let Some(counts) = new.axes.iter().map(|axis| axis.values.count()).collect::<Option<Vec<u64>>>() {
            new.rows(&counts)?;
        }
        Ok(new)
    }

    /// How many rows there are, where the parameters have `counts` values.
    ///
    /// # Errors
    /// As those of [`Sweep::parse`]; or there are fewer than are to be taken.
    pub fn rows(&self, counts: &[u64]) -> Result<u64> {
        if let Some(points) = self.points {
            return Ok(points);
        }
        let all = self.combinations(counts)?;
        match self.sample {
            Some(n) if n > all => Err(Error::Usage(format!(
                "--sample {n}: there are only {} of values; without --sample all are taken",
                counted(all, "combination")
            ))),
            sample => Ok(sample.unwrap_or(all)),
        }
    }

    /// How many combinations there are, where the parameters have `counts` values.
    ///
    /// # Errors
    /// They cannot be counted, or do not go side by side.
    pub fn combinations(&self, counts: &[u64]) -> Result<u64> {
        let first = counts.first().copied().unwrap_or(0);
        if !self.zip {
            let too_many = || {
                Error::Usage(format!(
                    "--sweep: there are more combinations of {} than can be counted; 2^64 - 1 are the most",
                    counts.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ")
                ))
            };
            return counts.iter().try_fold(1u64, |all, n| all.checked_mul(*n)).ok_or_else(too_many);
        }
        match counts.iter().position(|count| *count != first) {
            None => Ok(first),
            Some(other) => Err(Error::Usage(format!(
                "--zip: the parameters go side by side, and are not of one length: {} has {}, {} has {}",
                self.axes[0].name,
                counted(first, "value"),
                self.axes[other].name,
                counted(counts[other], "value")
            ))),
        }
    }

    /// Checks that the values are of type `dtype` where they are numbers and that is wanted, and that those that are whole
    /// fit in 64 bits.
    ///
    /// # Errors
    /// Names the first that is not.
    pub fn check(&self, dtype: Option<Dtype>) -> Result<()> {
        self.axes.iter().try_for_each(|axis| axis.values.check(dtype).map_err(|why| axis.wrong(&why)))
    }

    /// The columns that they are; `None` where that hangs on a file.
    pub fn schema(&self, dtype: Option<Dtype>) -> Option<Schema> {
        let mut schema = Schema::default();
        for axis in &self.axes {
            schema.push(axis.name.clone(), axis.values.dtype(dtype)?);
        }
        Some(schema)
    }

    /// Is something chosen at random?
    pub fn is_random(&self) -> bool {
        self.sample.is_some() || self.points.is_some()
    }

    /// What `--points` says, as typed.
    pub fn points_text(&self) -> Option<String> {
        self.points.map(|points| format!("{LATIN}{points}"))
    }

    /// Files that values come from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.axes.iter().filter_map(|axis| match &axis.values {
            AxisValues::File(path) => Some(&**path),
            _ => None,
        })
    }

    /// In a few words, with the seed of a sample.
    pub fn text(&self, seed: Option<u64>) -> String {
        let axes: Vec<String> = self.axes.iter().map(|axis| axis.text(names::readable)).collect();
        let all = axes.join(if self.zip { " with " } else { " x " });
        let what = match (self.sample, self.points) {
            (None, None) => return all,
            (Some(n), _) => format!("{} of {all}", grouped(n)),
            (None, Some(n)) => format!("{} in {all}", counted(n, "point")),
        };
        seed.map_or(what.clone(), |seed| format!("{what} (seed {seed})"))
    }

    /// As a job file says it, from any folder.
    pub fn job_words(&self) -> Vec<PathBuf> {
        let word = |axis: &Axis| match &axis.values {
            AxisValues::File(path) => {
                let mut word = format!("{}=@", axis.name).into_bytes();
                word.extend_from_slice(names::absolute(path).as_os_str().as_bytes());
                names::in_job_file(Path::new(&OsString::from_vec(word)))
            }
            _ => names::in_job_file(Path::new(&axis.text(names::readable))),
        };
        self.axes.iter().map(|axis| word(axis).into()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sweep(words: &[&str]) -> Result<Sweep> {
        let typed: Vec<PathBuf> = words.iter().map(PathBuf::from).collect();
        Sweep::parse(&typed, false, None, None)
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (words, part) in [
            (&["alpha"][..], "no '='"),
            (&["a="], "a sweep of nothing"),
            (&["a= "], "a sweep of nothing"),
            (&["a=5..5"], "it is empty"),
            (&["a=5..0"], "it is empty"),
            (&["a=0..1:0"], "a step of 0"),
            (&["a=0..1:0.0"], "a step of 0"),
            (&["a=0..x"], "'x' is not a finite number"),
            (&["a=0..inf"], "'inf' is not a finite number"),
            (&["a=0..:1"], "a number is missing"),
            (&["a=0...1"], "two dots"),
            (&["a=0..1:1e-30"], "too many values to count"),
            (&["a=0..1e300:1e-300"], "more digits"),
            (&["a=1,,2"], "a value is missing"),
            (&["a=1,"], "a value is missing"),
            (&["a=1..5,7"], "a range, which stands alone"),
            (&["a=lin(0,1)"], "the number of values, is missing"),
            (&["a=lin(0)"], "lin(A,B,N)"),
            (&["a=lin(0,1,0)"], "a sweep of nothing"),
            (&["a=lin(0,1,1.5)"], "whole number"),
            (&["a=log(0,1,5)"], "above 0"),
            (&["a=log(1,-1,5)"], "above 0"),
            (&["a=linspace(0,1,5)"], "there are lin(A,B,N)"),
            (&["a=(1,2"], "not closed"),
            (&["a=lin(0,1,18446744073709551616)"], "2^64 - 1 is the most"),
            (&["a=@"], "name of a file"),
            (&["a=1,2", "b=3", "a=4"], "a is there twice"),
            (&["a=0..1000000000000", "b=0..1000000000000"], "than can be counted"),
        ] {
            let message = sweep(words).unwrap_err().to_string();
            assert!(message.contains(part), "{words:?}: {message}");
        }
        let typed = ["a=1,2".into(), "b=1,2,3".into()];
        let message = Sweep::parse(&typed, true, None, None).unwrap_err().to_string();
        assert!(message.contains("a has 2 values, b has 3 values"), "{message}");
        for (points, part) in [("lhs:0", "from 1"), ("lhs:x", "from 1"), ("7", "lhs:N"), ("sobol:8", "lhs:N")]
        {
            let message = Sweep::parse(&typed, false, None, Some(points)).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        assert!(Sweep::parse(&typed, false, Some(1), Some("lhs:2")).is_err());
        assert!(Sweep::parse(&typed[..1], true, None, Some("lhs:2")).is_err());
        for (sample, part) in [(0, "from 1"), (-1, "from 1"), (7, "only 6 combinations")] {
            let message = Sweep::parse(&typed, false, Some(sample), None).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

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
    fn types_are_those_of_what_was_typed() {
        let dtype = |text: &str, dtype: Option<Dtype>| {
            let sweep = sweep(&[&format!("a={text}")]).unwrap();
            sweep
                .check(dtype)
                .map(|()| sweep.schema(dtype).unwrap().fields[0].dtype)
                .map_err(|e| e.to_string())
        };
        for (text, expected) in [
            ("1,2", ColumnType::I64),
            ("0..10", ColumnType::I64),
            ("0..10:2.5", ColumnType::F64),
            ("1,2.0", ColumnType::F64),
            ("1,two", ColumnType::Bytes),
            ("lin(0,10,11)", ColumnType::F64),
            ("0..1e3", ColumnType::F64),
        ] {
            assert_eq!(dtype(text, None), Ok(expected), "{text}");
        }
        assert_eq!(dtype("0..10", Some(Dtype::F64)), Ok(ColumnType::F64));
        assert!(dtype("0..1:0.1", Some(Dtype::I64)).unwrap_err().contains("--dtype f64"));
        assert!(dtype("0.5,1", Some(Dtype::I64)).unwrap_err().contains("--dtype f64"));
        assert!(dtype("9223372036854775808,1", None).unwrap_err().contains("--dtype f64"));
        assert!(dtype("9223372036854775808..9223372036854775810", None).unwrap_err().contains("--dtype f64"));
        assert_eq!(dtype("9223372036854775808..9223372036854775810", Some(Dtype::F64)), Ok(ColumnType::F64));
    }

    proptest! {
        /// Whatever is typed, it is read or refused, and what is read is the same again in a job file.
        #[test]
        fn whatever_is_typed(
            words in prop::collection::vec(
                "[a-c]=(-?[0-9.]{0,3}(e-?[0-9]{1,3})?\\.\\.-?[0-9.]{0,3}(e-?[0-9]{1,3})?(:-?[0-9.e]{0,4})?|(lin|log)\\([0-9.e,-]{0,12}\\)|[0-9a-c.,'\"()\\[$@ -]{0,8}|\\PC{0,6})", 1..3,
            ),
            zip: bool, sample in prop::option::of(-1i64..9), points in prop::option::of("lhs:[0-9]{1,11}"),
        ) {
            let points = points.as_deref();
            let typed: Vec<PathBuf> = words.iter().map(PathBuf::from).collect();
            let Ok(sweep) = Sweep::parse(&typed, zip, sample, points) else { return Ok(()) };
            for dtype in [None, Some(Dtype::I64), Some(Dtype::F64)] {
                let _ = (sweep.check(dtype), sweep.schema(dtype), sweep.text(None));
            }
            let again: Vec<PathBuf> = sweep
                .job_words()
                .iter()
                .map(|word| names::of_job_file(word.to_str().unwrap()))
                .collect();
            let again = Sweep::parse(&again, zip, sample, points).unwrap();
            prop_assert_eq!(again.job_words(), sweep.job_words());
        }
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
