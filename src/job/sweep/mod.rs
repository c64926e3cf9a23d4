//! `--sweep NAME=VALUES`: the combinations of the values of several parameters, as the user asks for them. Nothing is
//! opened here, and no combination is made: only how many there are. How the values of each parameter are found is in
//! `axis`.

mod axis;

use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::fmt::{counted, grouped};
use crate::data::dtype::Dtype;
use crate::data::schema::Schema;

pub use axis::{Axis, AxisValues, Log, Steps, dtype_of, numbers_of};

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

/// How finely a parameter is divided of which any number from A to B is a value; and the most points of a Latin hypercube.
pub const POSITIONS: u64 = 1 << 32;

/// Combinations that are chosen at random at the most: each process holds their numbers.
pub const MOST_SAMPLED: u64 = 1 << 24;

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
        let axes: Vec<String> = self.axes.iter().map(|axis| axis.text()).collect();
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
        self.axes.iter().map(Axis::job_word).collect()
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::names;
    use crate::data::schema::ColumnType;
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
}
