//! What is said of answers that have no type of their own: `--answers f64`, or of several columns of them
//! `--answers energy=f64,steps=i64`.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::data::schema::{ANSWERS, ColumnType, Field, Schema};
use crate::job::command::AnswerType;

/// Type of answers, or names and types of the columns of answers that have several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswersSpec {
    /// Each answer is one value.
    One(AnswerType),
    /// Each has so many: their names, and their types. No name is there twice, and there is one at least.
    Several(Vec<(String, AnswerType)>),
}

impl AnswersSpec {
    /// The columns that answers are.
    pub fn fields(&self) -> Vec<Field> {
        match self {
            Self::One(answers) => Schema::single(ANSWERS, *answers).fields,
            Self::Several(columns) => columns
                .iter()
                .map(|(name, answers)| Field { name: name.clone(), dtype: ColumnType::from(*answers) })
                .collect(),
        }
    }

    /// Type of the last column.
    pub fn last(&self) -> Option<AnswerType> {
        match self {
            Self::One(answers) => Some(*answers),
            Self::Several(columns) => columns.last().map(|(_, answers)| *answers),
        }
    }
}

impl FromStr for AnswersSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of = |word: &str| {
            AnswerType::from_str(word, false)
                .map_err(|_| format!("'{word}' is no type; types are i64, f64, text"))
        };
        if !text.contains(['=', ',']) {
            return of(text)
                .map(Self::One)
                .map_err(|why| format!("{why}; for several columns: NAME=TYPE,NAME=TYPE"));
        }
        let mut columns: Vec<(String, AnswerType)> = Vec::new();
        for column in text.split(',') {
            let (name, word) = column.split_once('=').unwrap_or((column, "f64"));
            if of(name).is_ok() {
                return Err(format!("{name} is a type; columns have names, as in a={name}"));
            }
            let is_name = |name: &str| {
                name.starts_with(|c: char| c.is_alphabetic() || c == '_')
                    && name.chars().all(|c| c.is_alphanumeric() || "_.".contains(c))
            };
            if !is_name(name) {
                return Err(format!(
                    "'{name}' is no name of a column; it is NAME=TYPE,NAME=TYPE, as in a=f64,b=i64"
                ));
            }
            if columns.iter().any(|(known, _)| known == name) {
                return Err(format!("{name} is there twice"));
            }
            columns.push((name.to_owned(), of(word)?));
        }
        Ok(Self::Several(columns))
    }
}

impl fmt::Display for AnswersSpec {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = |answers: AnswerType| {
            answers.to_possible_value().map_or(String::new(), |value| value.get_name().into())
        };
        match self {
            Self::One(answers) => f.write_str(&name(*answers)),
            Self::Several(columns) => {
                let words = columns.iter().map(|(column, answers)| format!("{column}={}", name(*answers)));
                f.write_str(&words.collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl Serialize for AnswersSpec {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AnswersSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_or_columns() {
        let of = |text: &str| text.parse::<AnswersSpec>();
        assert_eq!(of("i64"), Ok(AnswersSpec::One(AnswerType::I64)));
        let several = of("a=f64,b_1=text,c").unwrap();
        assert_eq!(several.to_string(), "a=f64,b_1=text,c=f64");
        let names: Vec<String> = several.fields().into_iter().map(|field| field.name).collect();
        assert_eq!(
            (names, several.last()),
            (vec!["a".into(), "b_1".into(), "c".into()], Some(AnswerType::F64))
        );
        assert_eq!(of("one=i64").unwrap().to_string(), "one=i64");
        for text in ["i64,f64", "", "f32", "a=", "a=f64,", "a=f64,a=i64", "1=f64", "a b=f64", ",", "=f64"] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
