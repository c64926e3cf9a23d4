//! Reductions bound to the columns and answers that they are of.

use crate::base::error::{Error, Result, did_you_mean};
use crate::base::fmt::listed;
use crate::data::dtype::Dtype;
use crate::data::schema::{self, ColumnType, Schema};
use crate::op::expr::SOLE;
use crate::op::reduce::state::{Needs, State};
use crate::op::reduce::typed::Typed;
use crate::op::reduce::{COUNT, all};

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
pub(super) struct Field {
    pub(super) name: String,
    dtype: Dtype,
    /// Which of the columns that are reduced.
    column: usize,
    what: What,
}

/// What a column of results says.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    /// A reduction, by its number.
    Reduction(usize),
    /// How many values lie in one of some bins.
    Bin { bins: usize, bin: usize },
}

/// Reductions bound to what they are of.
#[derive(Debug, Clone, Default)]
pub struct Reduce {
    /// What is reduced, its type, and what is needed of it.
    pub(super) columns: Vec<(Of, Dtype, Needs)>,
    pub(super) fields: Vec<Field>,
    /// The column of the input whose values say which group a row is of.
    pub(super) by: Option<usize>,
    /// The column of groups in the results.
    pub(super) by_name: String,
    ddof: u64,
}

impl Reduce {
    /// The reductions `items` of columns of `schema`, or of `answers` where there is a function, the last of which is
    /// [`Of::Answers`], and the others of which follow the columns; of groups of rows with the same value of column `by`. Pure: the same on every rank.
    ///
    /// # Errors
    /// There is no such reduction or column, or it holds no numbers.
    pub fn bind(
        items: &[String],
        schema: &Schema,
        answers: &[schema::Field],
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
        let of_answer = |answer: usize| match answer + 1 == answers.len() {
            true => Of::Answers,
            false => Of::Input(schema.len() + answer),
        };
        // Whatever is counted, it does not matter what it is.
        let dtype = |of: Of, name: &str| {
            match of {
                Of::Answers => answers.last().and_then(|field| field.dtype.number()),
                Of::Input(k) if k < schema.len() => schema.number(k),
                Of::Input(k) => answers[k - schema.len()].dtype.number(),
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
            let of: Vec<(Of, String)> = match (typed.column, answers.len()) {
                (Some(name), _) => {
                    // Answers that have names have them in tables as well, in which a column of the input has another then.
                    let answer = answers.iter().position(|field| field.name == name);
                    let of = match (find(name), answer) {
                        (_, Some(answer)) if answers.len() > 1 => of_answer(answer),
                        (Ok(k), _) => Of::Input(k),
                        (Err(_), Some(answer)) => of_answer(answer),
                        (Err(why), None) => return Err(wrong(why)),
                    };
                    vec![(of, format!("{}({name})", typed.name))]
                }
                (None, 1) => vec![(Of::Answers, typed.name.to_owned())],
                // How many rows have answers is not the same of all.
                (None, 2..) => {
                    let is_number =
                        |field: &&schema::Field| field.dtype.number().is_some() || typed.name == COUNT;
                    let all = answers.iter().filter(is_number).map(|field| &*field.name);
                    all.filter_map(|name| {
                        let answer = answers.iter().position(|field| field.name == name)?;
                        Some((of_answer(answer), format!("{}({name})", typed.name)))
                    })
                    .collect()
                }
                // How many rows there are is the same of all.
                (None, 0) if schema.len() == 1 || typed.name == COUNT => {
                    vec![(Of::Input(0), typed.name.to_owned())]
                }
                (None, 0) => {
                    let is_number = |k: &usize| schema.number(*k).is_some();
                    let others = (0..schema.len()).filter(|k| new.by != Some(*k)).filter(is_number);
                    others
                        .map(|k| (Of::Input(k), format!("{}({})", typed.name, schema.fields[k].name)))
                        .collect()
                }
            };
            if of.is_empty() {
                return Err(wrong("none of what it would be of is a number".to_owned()));
            }
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
    pub(super) fn states(&self) -> Vec<State> {
        self.columns.iter().map(|(_, dtype, needs)| State::new(*dtype, needs)).collect()
    }

    /// The row of results that `states` answer.
    ///
    /// # Errors
    /// One has no answer that could be written.
    pub(super) fn answers(&self, states: &[State]) -> Result<Vec<Option<u64>>> {
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
    use crate::data::schema::ANSWERS;
    use crate::op::reduce::split;

    #[test]
    fn what_is_typed() {
        let schema = Schema {
            fields: [("x", ColumnType::I64), ("name", ColumnType::Bytes), ("y", ColumnType::F64)]
                .map(|(name, dtype)| crate::data::schema::Field { name: name.to_owned(), dtype })
                .to_vec(),
        };
        let columns = |answers: Option<ColumnType>| -> Vec<schema::Field> {
            let field = |dtype| schema::Field { name: ANSWERS.to_owned(), dtype };
            answers.map(field).into_iter().collect()
        };
        let bind = |items: &str, answers, by| Reduce::bind(&split(items), &schema, &columns(answers), by, 0);
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
        let two = ["a", "b"].map(|name| schema::Field { name: name.to_owned(), dtype: ColumnType::F64 });
        let of_two = Reduce::bind(&split("max,min(a)"), &schema, &two, None, 0).unwrap();
        assert_eq!(of_two.inputs(), [3]);
        let names_of_two: Vec<String> =
            of_two.table(&schema).fields.into_iter().map(|field| field.name).collect();
        assert_eq!(names_of_two, ["max(a)", "max(b)", "min(a)"]);
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
