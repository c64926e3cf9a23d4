//! What `-f` means over the columns of an input: a column, a function of one column, or an expression, in this order.

use crate::base::error::{Error, Result, nearest};
use crate::base::escape;
use crate::base::fmt::listed;
use crate::base::lanes::Lanes;
use crate::data::row_set::RowSet;
use crate::data::schema::{ColumnType, Field, Schema};
use crate::op::expr::{self, Column, Fault, Kind, Node, Program, SOLE};
use crate::op::{RowFunction, RowsOf, functions};

/// A formula bound to the columns that it is of: its type is known, and so is each part's.
#[derive(Debug, Clone)]
pub struct Formula {
    node: Node,
    seed: u64,
}

impl Formula {
    /// The formula that `text` is over columns of `schema`; what it draws at random follows from `seed`. Pure: the same on
    /// every rank.
    ///
    /// # Errors
    /// There is no such column or function, the expression does not parse, or mixes what does not go together; says
    /// where.
    pub fn bind(text: &str, schema: &Schema, seed: u64) -> Result<Self> {
        let columns: Vec<Column> = schema
            .fields
            .iter()
            .map(|field| Column { name: field.name.clone(), kind: field.dtype.into() })
            .collect();
        let is_column = |name: &str| schema.position(name).is_some() || schema.len() == 1 && name == SOLE;
        let word = text.trim();
        let node = match functions::by_name(word).filter(|_| !is_column(word)) {
            Some(function) if schema.len() > 1 => {
                let is_of_it = |field: &&Field| field.dtype.number().is_some() || function.text.is_some();
                let first = schema.fields.iter().find(is_of_it).unwrap_or(&schema.fields[0]);
                return Err(Error::Usage(format!(
                    "-f {word}: it is a function of one column, and there are {}; say of which: -f '{word}({})'",
                    listed(schema.fields.iter().map(|field| &*field.name)),
                    first.name
                )));
            }
            Some(function) if schema.has_texts() && function.text.is_none() => {
                let of_texts = functions::all().filter(|function| function.text.is_some());
                return Err(Error::Usage(format!(
                    "-f {word}: it is a function of numbers, and what there is, is text; of texts there are {}",
                    listed(of_texts.map(|function| function.name))
                )));
            }
            Some(function) => expr::call(function, &columns),
            None if expr::is_name(word) && !is_column(word) => return Err(unknown(word, schema)),
            None => expr::parse(text, &columns),
        };
        node.map(|node| Self { node, seed }).map_err(|fault| explain(text, &fault))
    }

    /// Checks what can be checked before it is known which columns there are.
    ///
    /// # Errors
    /// The expression does not parse, or has control characters.
    pub fn check(text: &str) -> Result<()> {
        if text.chars().any(escape::is_order) {
            return Err(Error::Usage(format!("-f '{text}': it has control characters")));
        }
        match functions::by_name(text) {
            Some(_) => Ok(()),
            None => expr::check(text).map_err(|fault| explain(text, &fault)),
        }
    }

    /// Does it draw numbers at random, whatever columns there may be?
    pub fn is_random(text: &str) -> bool {
        expr::is_random(text)
    }

    /// Type of its answers.
    pub fn dtype(&self) -> ColumnType {
        match self.node.kind() {
            Kind::Whole => ColumnType::I64,
            Kind::Float => ColumnType::F64,
            Kind::Text => ColumnType::Bytes,
        }
    }

    /// Does an answer take its time, nobody knows how much?
    pub fn is_costly(&self) -> bool {
        self.node.is_slow()
    }

    /// The same, ready to be worked out with `lanes`. One per worker.
    pub fn program(&self, lanes: Lanes) -> Program {
        Program::new(self.node.clone(), lanes, self.seed)
    }
}

impl RowFunction for Program {
    fn columns(&self) -> Vec<usize> {
        Self::columns(self)
    }

    fn rows_at_once(&self) -> usize {
        Self::rows_at_once(self)
    }

    fn answer(
        &mut self,
        rows: &RowsOf,
        answers: &mut [u64],
        _is_wanted: &dyn Fn() -> bool,
    ) -> Result<RowSet> {
        Ok(Self::answer(self, rows.columns, rows.memory, rows.first, answers))
    }

    fn made(&self) -> &[u8] {
        Self::made(self)
    }

    fn fault(&self, rows: &RowsOf, row: usize) -> Option<String> {
        Self::fault(self, rows.columns, rows.memory, rows.first, row).map(|fault| fault.to_string())
    }
}

impl From<ColumnType> for Kind {
    fn from(dtype: ColumnType) -> Self {
        match dtype {
            ColumnType::I64 => Self::Whole,
            ColumnType::F64 => Self::Float,
            ColumnType::Bytes => Self::Text,
        }
    }
}

/// `word` is neither a column nor a function.
fn unknown(word: &str, schema: &Schema) -> Error {
    if let Some((call, _)) = expr::OF_SEVERAL.iter().find(|(call, _)| call.split('(').next() == Some(word)) {
        return Error::Usage(format!("-f {word}: it is called with brackets, as in -f '{call}'"));
    }
    let columns = || schema.fields.iter().map(|field| &*field.name).filter(|name| !name.is_empty());
    let known = columns().chain(functions::all().map(|function| function.name));
    let hint = match nearest(word, known) {
        Some(near) => format!("did you mean '{near}'?"),
        None => {
            "parpy functions lists those that there are, and an expression will do too, as in -f 'x^2 + 1'"
                .into()
        }
    };
    match columns().next() {
        None => Error::Usage(format!("unknown function '{word}'; {hint}")),
        Some(_) => Error::Usage(format!("-f {word}: no column and no function is called '{word}'; {hint}")),
    }
}

/// `fault` of the expression `text`, with a mark under the place.
fn explain(text: &str, fault: &Fault) -> Error {
    Error::Marked(format!("-f: {fault}\n{}", fault.shown_in(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str, fields: &[(&str, ColumnType)]) -> std::result::Result<ColumnType, String> {
        let fields = fields.iter().map(|(name, dtype)| Field { name: (*name).to_owned(), dtype: *dtype });
        let schema = Schema { fields: fields.collect() };
        Formula::bind(text, &schema, 0).map(|formula| formula.dtype()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_word_is_a_column_or_a_function_or_an_expression() {
        let whole = [("", ColumnType::I64)];
        assert_eq!(bound("square", &whole), Ok(ColumnType::I64));
        assert_eq!(bound("sqrt", &whole), Ok(ColumnType::F64));
        assert_eq!(bound("x", &whole), Ok(ColumnType::I64));
        assert_eq!(bound("x / 2", &whole), Ok(ColumnType::F64));
        assert_eq!(bound("pi", &whole), Ok(ColumnType::F64));
        // A column before a function of its name.
        assert_eq!(bound("sin", &[("sin", ColumnType::I64)]), Ok(ColumnType::I64));
        let two = [("a", ColumnType::I64), ("b", ColumnType::F64)];
        assert_eq!(bound("b", &two), Ok(ColumnType::F64));
        assert!(bound("sin", &two).unwrap_err().contains("say of which: -f 'sin(a)'"));
        assert!(bound("sine", &whole).unwrap_err().contains("unknown function 'sine'; did you mean 'sin'?"));
        assert!(bound("bb", &two).unwrap_err().contains("did you mean 'b'?"));
        assert!(bound("collatz", &[("", ColumnType::F64)]).unwrap_err().contains("of whole numbers"));
    }

    #[test]
    fn what_does_not_parse_is_known_before_there_are_columns() {
        assert!(Formula::check("x +").unwrap_err().to_string().contains("it ends where"));
        assert!(Formula::check("x\u{1b}[2J").is_err());
        for fine in ["square", "whatever + 1", "`a column`*2"] {
            assert!(Formula::check(fine).is_ok(), "{fine}");
        }
    }
}
