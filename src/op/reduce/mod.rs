//! Many values made one: sums, means, extremes, counts in bins, of all rows or of groups of them.
//!
//! What is needed of a column is worked out once for all reductions of it ([`state`]), a block at a time; the states of
//! blocks are merged on the root, and answer there ([`groups`]). No state hangs on the order of values or on how they
//! are split, so that the answers have the same bits whoever has worked on which block.
//!
//! A reduction is an entry of [`all`].

pub mod bins;
pub mod exact;
pub mod extremes;
pub mod groups;
pub mod state;
pub mod totals;

use num_bigint::BigUint;

use crate::base::error::{Error, Result, did_you_mean, nearest};
use crate::base::fmt::listed;
use crate::data::dtype::Dtype;
use crate::data::schema::{ANSWERS, ColumnType, Schema};
use crate::op::expr::SOLE;
use crate::op::reduce::bins::Bins;
use crate::op::reduce::exact::{nearest_quotient, times_power_of_two};
use crate::op::reduce::extremes::End;
use crate::op::reduce::state::{Needs, State};

/// The answer of a reduction, by its bits; none where there are no values that could give one.
type Answer = std::result::Result<Option<u64>, String>;

/// What many values can be made.
pub struct Reduction {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a few words.
    pub help: &'static str,
    needs: Needs,
    /// Type of the answer to values of a type.
    dtype: fn(Dtype) -> Dtype,
    /// The answer; the number is that of `--ddof`.
    answer: fn(&State, u64) -> Answer,
}

/// All of them, by name.
pub fn all() -> &'static [Reduction] {
    static ALL: [Reduction; 9] = [
        Reduction {
            name: COUNT,
            help: "how many values",
            needs: Needs::COUNT,
            dtype: |_| Dtype::I64,
            answer: |state, _| Ok(Some(state.count)),
        },
        Reduction {
            name: "sum",
            help: "their sum, exact, and rounded once",
            needs: Needs::SUM,
            dtype: |dtype| dtype,
            answer: |state, _| sum(state),
        },
        Reduction {
            name: "mean",
            help: "sum / count",
            needs: Needs::SUM,
            dtype: |_| Dtype::F64,
            answer: |state, _| Ok(mean(state)),
        },
        Reduction {
            name: "var",
            help: "variance: sum of (x - mean)^2 / (count - ddof)",
            needs: Needs::SQUARES,
            dtype: |_| Dtype::F64,
            answer: |state, ddof| Ok(var(state, ddof)),
        },
        Reduction {
            name: "std",
            help: "standard deviation: sqrt(var)",
            needs: Needs::SQUARES,
            dtype: |_| Dtype::F64,
            answer: |state, ddof| Ok(std(state, ddof)),
        },
        Reduction {
            name: "min",
            help: "the least; a NaN where there is one",
            needs: Needs::EXTREMES,
            dtype: |dtype| dtype,
            answer: |state, _| Ok(state.extremes.as_ref().and_then(|ends| ends.value(End::Least))),
        },
        Reduction {
            name: "max",
            help: "the greatest; a NaN where there is one",
            needs: Needs::EXTREMES,
            dtype: |dtype| dtype,
            answer: |state, _| Ok(state.extremes.as_ref().and_then(|ends| ends.value(End::Greatest))),
        },
        Reduction {
            name: "argmin",
            help: "the row, from 0, in which the least stands first",
            needs: Needs::EXTREMES,
            dtype: |_| Dtype::I64,
            answer: |state, _| Ok(state.extremes.as_ref().and_then(|ends| ends.row(End::Least))),
        },
        Reduction {
            name: "argmax",
            help: "the row, from 0, in which the greatest stands first",
            needs: Needs::EXTREMES,
            dtype: |_| Dtype::I64,
            answer: |state, _| Ok(state.extremes.as_ref().and_then(|ends| ends.row(End::Greatest))),
        },
    ];
    &ALL
}

/// What counts values.
const COUNT: &str = "count";

/// What counts values in bins, as `hist:N:A:B`.
pub const HIST: &str = "hist";

fn sum(state: &State) -> Answer {
    match &state.sum {
        Some(totals::Sum::Whole(sum)) => match i64::try_from(*sum) {
            Ok(sum) => Ok(Some(sum as u64)),
            Err(_) => Err(format!("{sum} does not fit in a 64-bit whole number; for floats: --dtype f64")),
        },
        Some(totals::Sum::Float(sum)) => match sum.value() {
            value if value.is_infinite() && sum.special().is_none() => {
                Err("it is larger than any 64-bit float".to_owned())
            }
            value => Ok(Some(value.to_bits())),
        },
        None => Ok(None),
    }
}

fn mean(state: &State) -> Option<u64> {
    let value = match state.sum.as_ref()?.whole() {
        _ if state.count == 0 => return None,
        Ok((sum, exponent)) => nearest_quotient(&sum, &BigUint::from(state.count), exponent),
        Err(special) => special,
    };
    Some(value.to_bits())
}

/// The variance times 2^-2s, and s: such that the square root of that is in the middle of the range of floats.
fn scaled_var(state: &State, ddof: u64) -> Option<(f64, i32)> {
    let (count, degrees) = (state.count, state.count.checked_sub(ddof).filter(|degrees| *degrees > 0)?);
    let Ok((sum, exponent)) = state.sum.as_ref()?.whole() else { return Some((f64::NAN, 0)) };
    let number = state.squares.as_ref()?.whole() * count - &sum * &sum;
    let by = BigUint::from(count) * degrees;
    // 2 exponent + bits is about the exponent of the variance.
    let scale = exponent + (number.bits() as i32 - by.bits() as i32) / 2;
    Some((nearest_quotient(&number, &by, 2 * (exponent - scale)), scale))
}

fn var(state: &State, ddof: u64) -> Option<u64> {
    let (var, scale) = scaled_var(state, ddof)?;
    Some(times_power_of_two(var, 2 * scale).to_bits())
}

fn std(state: &State, ddof: u64) -> Option<u64> {
    let (var, scale) = scaled_var(state, ddof)?;
    Some(times_power_of_two(var.sqrt(), scale).to_bits())
}

/// What is reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// A column of the input.
    Input(usize),
    /// The answers of the formula.
    Answers,
}

/// One column of the results.
#[derive(Debug, Clone)]
struct Field {
    name: String,
    dtype: Dtype,
    /// Which of the columns that are reduced.
    column: usize,
    what: What,
}

/// What a column of results says.
#[derive(Debug, Clone, Copy)]
enum What {
    /// A reduction, by its number.
    Reduction(usize),
    /// How many values lie in one of some bins.
    Bin { bins: usize, bin: usize },
}

/// Reductions bound to what they are of.
#[derive(Debug, Clone, Default)]
pub struct Reduce {
    /// What is reduced, its type, and what is needed of it.
    columns: Vec<(Of, Dtype, Needs)>,
    fields: Vec<Field>,
    /// The column of the input whose values say which group a row is of.
    by: Option<usize>,
    /// The column of groups in the results.
    by_name: String,
    ddof: u64,
}

/// A reduction as typed: `sum`, `sum(x)`, `hist:10:0:1` or `hist(x):10:0:1`.
struct Typed<'a> {
    name: &'a str,
    column: Option<&'a str>,
    /// What stands behind the first colon.
    arguments: Option<&'a str>,
}

impl<'a> Typed<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        let text = text.trim();
        let wrong = |why: &str| Err(Error::Usage(format!("--reduce {text}: {why}")));
        let end = text.find(['(', ':']).unwrap_or(text.len());
        let (name, rest) = (text[..end].trim(), &text[end..]);
        let (column, rest) = match rest.strip_prefix('(') {
            None => (None, rest),
            Some(rest) => match rest.rfind(')') {
                Some(end) => (Some(rest[..end].trim().trim_matches('`')), &rest[end + 1..]),
                None => return wrong("a bracket is not closed"),
            },
        };
        let arguments = match rest.trim() {
            "" => None,
            rest => match rest.strip_prefix(':') {
                Some(arguments) => Some(arguments),
                None => return wrong("it is the name of a reduction, or NAME(COLUMN)"),
            },
        };
        if name.is_empty() {
            return wrong("between two commas there is no name");
        }
        if name != HIST && !all().iter().any(|reduction| reduction.name == name) {
            let names = || all().iter().map(|reduction| reduction.name).chain([HIST]);
            let hint = match nearest(name, names()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("there are {}", listed(names())),
            };
            return Err(Error::Usage(format!("--reduce {text}: unknown reduction '{name}'; {hint}")));
        }
        if column == Some("") {
            return wrong("there is no name in the brackets");
        }
        if name == HIST && arguments.is_some_and(|text| text.contains('(')) {
            return wrong("the column comes first, as in hist(x):10");
        }
        if name != HIST && arguments.is_some() {
            return wrong("only hist has numbers behind colons");
        }
        Ok(Self { name, column, arguments })
    }

    /// Is it a `hist` whose range is to be found?
    fn is_unbounded(&self) -> bool {
        self.name == HIST && self.arguments.is_some_and(|text| !text.contains(':') && !text.trim().is_empty())
    }

    /// What stands in brackets, with these.
    fn suffix(&self) -> String {
        self.column.map_or(String::new(), |column| format!("({column})"))
    }

    /// The bins of a `hist`.
    fn bins(&self) -> Result<Bins> {
        let text = self.arguments.unwrap_or_default();
        if self.is_unbounded() {
            return Err(Error::Usage(format!(
                "--reduce {HIST}:{text}: here it also wants from where to where its bins reach: {HIST}:{text}:0:1"
            )));
        }
        let wrong = |why: String| Error::Usage(format!("--reduce {HIST}:{text}: {why}"));
        let words: Vec<&str> = text.split(':').collect();
        let &[count, low, high] = &words[..] else {
            return Err(wrong(
                "it wants how many bins, and may say from where to where they reach: hist:10:0:1".into(),
            ));
        };
        let count = count.trim().parse().ok().filter(|count| (1..=bins::MOST).contains(count));
        let count = count.ok_or_else(|| wrong(format!("there can be 1 to {} bins", bins::MOST)))?;
        let end = |word: &str| word.trim().parse::<f64>().ok().filter(|end| end.is_finite());
        match (end(low), end(high)) {
            (Some(low), Some(high)) if low < high && (high - low).is_finite() => {
                Ok(Bins::new(count, low, high))
            }
            (Some(_), Some(_)) => Err(wrong("the second end must be greater than the first".into())),
            _ => Err(wrong("the ends are finite numbers".into())),
        }
    }
}

/// The reductions that `text` lists, with commas between them.
pub fn split(text: &str) -> Vec<String> {
    let (mut items, mut depth) = (vec![String::new()], 0usize);
    for letter in text.chars() {
        depth = match letter {
            '(' => depth + 1,
            ')' => depth.saturating_sub(1),
            _ => depth,
        };
        match (letter, depth) {
            (',', 0) => items.push(String::new()),
            _ => items.last_mut().into_iter().for_each(|item| item.push(letter)),
        }
    }
    items
}

/// The reductions that find the ranges of bins that have none among `items`.
pub fn ends_of_unbounded(items: &[String]) -> Vec<String> {
    let typed = items.iter().filter_map(|item| Typed::parse(item).ok());
    let ends = typed
        .filter(Typed::is_unbounded)
        .flat_map(|hist| ["min", "max"].map(|end| end.to_owned() + &hist.suffix()));
    let mut wanted: Vec<String> = Vec::new();
    ends.for_each(|end| {
        if !wanted.contains(&end) {
            wanted.push(end)
        }
    });
    wanted
}

/// The reductions `items` with the ranges of all bins, where `ends` are what [`ends_of_unbounded`] has come to. As numpy
/// has it, bins of a single value reach half to each side of that, and those of none from 0 to 1.
///
/// # Errors
/// An end is infinite, or there are NaNs; or the items are none.
pub fn bounded(items: &[String], ends: &[(String, f64)]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for item in items {
        let hist = Typed::parse(item)?;
        if !hist.is_unbounded() {
            all.push(item.clone());
            continue;
        }
        let of = |end: &str| -> Vec<(&str, f64)> {
            let named = ends.iter().filter_map(|(name, value)| Some((name.strip_prefix(end)?, *value)));
            named.filter(|(suffix, _)| hist.column.is_none() || *suffix == hist.suffix()).collect()
        };
        for ((suffix, low), (_, high)) in of("min").into_iter().zip(of("max")) {
            let (low, high) = match (low, high) {
                (low, high) if low == high => (low - 0.5, high + 0.5),
                (low, high) => (low, high),
            };
            // Also where they are so far apart, or so large, that bins have no width.
            if !(high - low).is_finite() || low >= high {
                return Err(Error::Failed(format!(
                    "--reduce {item}: the values reach from {low:?} to {high:?}, which is no range; give one: \
                     {item}:0:1"
                )));
            }
            all.push(format!("{HIST}{suffix}:{}:{low:?}:{high:?}", hist.arguments.unwrap_or_default()));
        }
    }
    Ok(all)
}

/// Checks what can be checked of reductions before it is known which columns there are.
///
/// # Errors
/// There is no such reduction, or it is not spelled so.
pub fn check(items: &[String]) -> Result<()> {
    items.iter().try_for_each(|item| {
        let typed = Typed::parse(item)?;
        match typed.name {
            // The range does not matter yet.
            HIST if typed.is_unbounded() => {
                let all = format!("{}:0:1", typed.arguments.unwrap_or_default());
                Typed { arguments: Some(&all), ..typed }.bins().map(drop)
            }
            HIST => typed.bins().map(drop),
            _ => Ok(()),
        }
    })
}

impl Reduce {
    /// The reductions `items` of columns of `schema`, or of answers of type `answers` where there is a formula; of groups
    /// of rows with the same value of column `by`. Pure: the same on every rank.
    ///
    /// # Errors
    /// There is no such reduction or column, or it holds no numbers.
    pub fn bind(
        items: &[String],
        schema: &Schema,
        answers: Option<ColumnType>,
        by: Option<&str>,
        ddof: u64,
    ) -> Result<Self> {
        let find = |name: &str| {
            let is_sole = schema.len() == 1 && name == SOLE;
            schema.position(name).or(is_sole.then_some(0)).ok_or_else(|| {
                let names = || schema.fields.iter().map(|field| &*field.name).filter(|name| !name.is_empty());
                let near = did_you_mean(name, names());
                let there = if names().next().is_some() { listed(names()) } else { SOLE.to_owned() };
                format!("there is no column {name}; there are {there}{near}")
            })
        };
        // Whatever is counted, it does not matter what it is.
        let dtype = |of: Of, name: &str| {
            match of {
                Of::Answers => answers.and_then(ColumnType::number),
                Of::Input(k) => schema.number(k),
            }
            .or_else(|| (name == COUNT).then_some(Dtype::I64))
        };
        let mut new = Self { ddof, ..Self::default() };
        if let Some(name) = by {
            let k = find(name).map_err(|why| Error::Usage(format!("--by {name}: {why}")))?;
            new.by = Some(k);
            new.by_name = match &*schema.fields[k].name {
                "" => SOLE.to_owned(),
                name => name.to_owned(),
            };
        }
        for item in items {
            let typed = Typed::parse(item)?;
            let wrong = |why: String| Error::Usage(format!("--reduce {item}: {why}"));
            let of: Vec<(Of, String)> = match (typed.column, answers) {
                (Some(name), _) => {
                    let of = match (find(name), answers) {
                        (Ok(k), _) => Of::Input(k),
                        (Err(_), Some(_)) if name == ANSWERS => Of::Answers,
                        (Err(why), _) => return Err(wrong(why)),
                    };
                    vec![(of, format!("{}({name})", typed.name))]
                }
                (None, Some(_)) => vec![(Of::Answers, typed.name.to_owned())],
                // How many rows there are is the same of all.
                (None, None) if schema.len() == 1 || typed.name == COUNT => {
                    vec![(Of::Input(0), typed.name.to_owned())]
                }
                (None, None) => {
                    let is_number = |k: &usize| schema.number(*k).is_some();
                    let others = (0..schema.len()).filter(|k| new.by != Some(*k)).filter(is_number);
                    others
                        .map(|k| (Of::Input(k), format!("{}({})", typed.name, schema.fields[k].name)))
                        .collect()
                }
            };
            for (of, name) in of {
                let dtype = dtype(of, typed.name).ok_or_else(|| wrong(format!("{name} would be of text")))?;
                new.add(&typed, of, dtype, &name)?;
            }
        }
        Ok(new)
    }

    /// Adds a reduction, which is called `name`.
    fn add(&mut self, typed: &Typed, of: Of, dtype: Dtype, name: &str) -> Result<()> {
        let column = self.columns.iter().position(|(known, ..)| *known == of).unwrap_or_else(|| {
            self.columns.push((of, dtype, Needs::COUNT));
            self.columns.len() - 1
        });
        let needs = &mut self.columns[column].2;
        let mut fields = Vec::new();
        match all().iter().position(|reduction| reduction.name == typed.name) {
            Some(number) => {
                let reduction = &all()[number];
                *needs = std::mem::take(needs).and(&reduction.needs);
                let (name, dtype) = (name.to_owned(), (reduction.dtype)(dtype));
                fields.push(Field { name, dtype, column, what: What::Reduction(number) });
            }
            None => {
                let of_bins = typed.bins()?;
                *needs = std::mem::take(needs).and(&Needs { bins: vec![of_bins.clone()], ..Needs::COUNT });
                let bins = needs.bins.iter().position(|bins| *bins == of_bins).unwrap_or(0);
                for bin in 0..of_bins.count() {
                    let (from, to) = of_bins.edges(bin);
                    let close = if bin + 1 == of_bins.count() { ']' } else { ')' };
                    let name = format!("{name}[{from:?}..{to:?}{close}");
                    fields.push(Field { name, dtype: Dtype::I64, column, what: What::Bin { bins, bin } });
                }
            }
        }
        // What is asked for twice is there once.
        for field in fields {
            if !self.fields.iter().any(|known| known.name == field.name) {
                self.fields.push(field);
            }
        }
        Ok(())
    }

    /// The columns of the results: first that of the groups, where there are groups.
    pub fn table(&self, schema: &Schema) -> Schema {
        let mut table = Schema::default();
        if let Some(by) = self.by {
            table.push(self.by_name.clone(), schema.fields[by].dtype);
        }
        self.fields.iter().for_each(|field| table.push(field.name.clone(), ColumnType::from(field.dtype)));
        table
    }

    /// States of no values, of all columns.
    fn states(&self) -> Vec<State> {
        self.columns.iter().map(|(_, dtype, needs)| State::new(*dtype, needs)).collect()
    }

    /// The row of results that `states` answer.
    ///
    /// # Errors
    /// One has no answer that could be written.
    fn answers(&self, states: &[State]) -> Result<Vec<Option<u64>>> {
        let answer = |field: &Field| {
            let state = &states[field.column];
            let answer = match field.what {
                What::Reduction(number) => (all()[number].answer)(state, self.ddof),
                What::Bin { bins, bin } => Ok(Some(state.bins[bins].1[bin])),
            };
            answer.map_err(|why| Error::Item(format!("{}: {why}", field.name)))
        };
        self.fields.iter().map(answer).collect()
    }

    /// The columns of the input that are reduced, or say which group a row is of.
    pub fn inputs(&self) -> Vec<usize> {
        let input = |(of, ..): &(Of, Dtype, Needs)| match of {
            Of::Input(k) => Some(*k),
            Of::Answers => None,
        };
        self.columns.iter().filter_map(input).chain(self.by).collect()
    }

    /// Are there groups?
    pub fn has_groups(&self) -> bool {
        self.by.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::lanes::Lanes;
    use crate::op::reduce::extremes::Rows;
    use proptest::prelude::*;

    fn reduced(items: &str, values: &[f64], ddof: u64) -> Vec<Option<f64>> {
        let reduce = Reduce::bind(&split(items), &Schema::single("", Dtype::F64), None, None, ddof).unwrap();
        let mut states = reduce.states();
        let bits: Vec<u64> = values.iter().map(|x| x.to_bits()).collect();
        states[0].add(Lanes::best(), &bits, Rows::From(0));
        reduce.answers(&states).unwrap().into_iter().map(|bits| bits.map(f64::from_bits)).collect()
    }

    #[test]
    fn means_and_variances() {
        let some = |values: &[f64]| values.iter().map(|x| Some(*x)).collect::<Vec<_>>();
        assert_eq!(reduced("mean,var,std", &[1.0, 2.0, 3.0, 4.0], 0), some(&[2.5, 1.25, 1.25f64.sqrt()]));
        assert_eq!(reduced("var", &[1.0, 2.0, 3.0, 4.0], 1), some(&[5.0 / 3.0]));
        // Where what others do cancels out, or overflows.
        assert_eq!(
            reduced("mean,var", &[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0], 1),
            some(&[1e9 + 10.0, 30.0])
        );
        assert_eq!(reduced("mean,std", &[1e200, -1e200], 0), some(&[0.0, 1e200]));
        assert_eq!(reduced("std", &[5e-324, 1.5e-323], 0), some(&[5e-324]));
        assert_eq!(reduced("mean,var", &[0.1; 10], 0), some(&[0.1, 0.0]));
        assert_eq!(reduced("mean,std,var,min,max", &[], 0), [None; 5]);
        assert_eq!(reduced("var", &[1.0], 1), [None]);
        assert!(reduced("mean,var", &[f64::INFINITY, 1.0], 0)[1].unwrap().is_nan());
    }

    proptest! {
        /// Whatever the values, the mean and the variance are the floats that are nearest to the exact ones.
        #[test]
        fn of_small_whole_numbers_they_are_exact(values in prop::collection::vec(-1000i32..1000, 1..60)) {
            let floats: Vec<f64> = values.iter().map(|x| f64::from(*x)).collect();
            let (n, sum) = (values.len() as i64, values.iter().map(|x| i64::from(*x)).sum::<i64>());
            let squares: i64 = values.iter().map(|x| i64::from(*x).pow(2)).sum();
            let found = reduced("mean,var", &floats, 0);
            prop_assert_eq!(found[0], Some(sum as f64 / n as f64));
            prop_assert_eq!(found[1], Some((n * squares - sum * sum) as f64 / (n * n) as f64));
        }
    }

    #[test]
    fn what_is_typed() {
        let schema = Schema {
            fields: [("x", ColumnType::I64), ("name", ColumnType::Bytes), ("y", ColumnType::F64)]
                .map(|(name, dtype)| crate::data::schema::Field { name: name.to_owned(), dtype })
                .to_vec(),
        };
        let bind = |items: &str, answers, by| Reduce::bind(&split(items), &schema, answers, by, 0);
        let names = |items: &str, answers, by| -> Vec<String> {
            bind(items, answers, by)
                .unwrap()
                .table(&schema)
                .fields
                .into_iter()
                .map(|field| field.name)
                .collect()
        };
        assert_eq!(names("sum,mean(y)", Some(ColumnType::F64), None), ["sum", "mean(y)"]);
        assert_eq!(names("sum(x),count", None, Some("x")), ["x", "sum(x)", "count"]);
        assert_eq!(names("sum(x),max(x),sum(x)", None, None), ["sum(x)", "max(x)"]);
        assert_eq!(names("hist(y):2:0:1", None, None), ["hist(y)[0.0..0.5)", "hist(y)[0.5..1.0]"]);
        for (items, part) in [
            ("quantile", "there are count"),
            ("summ", "did you mean sum?"),
            ("sum(z)", "there is no column z; there are x, name, y"),
            ("sum(name)", "of text"),
            ("sum(x", "a bracket is not closed"),
            ("sum(x) y", "NAME(COLUMN)"),
            ("sum(x):3", "only hist"),
            ("hist(y)", "hist:10:0:1"),
            ("hist(y):0:0:1", "1 to 65536 bins"),
            ("hist(y):3:1:1", "greater than the first"),
            ("hist(y):3:0:inf", "the ends are finite numbers"),
        ] {
            let error = bind(items, None, None).unwrap_err().to_string();
            assert!(error.contains(part), "{items}: {error}");
        }
        assert!(
            bind("sum(x)", None, Some("w")).unwrap_err().to_string().contains("--by w: there is no column")
        );
    }
}
