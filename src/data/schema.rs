//! Columns of rows: their names and types.

use std::fmt;

use crate::data::dtype::Dtype;

/// What the answers are called in results.
pub const ANSWERS: &str = "output";

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Whole numbers, exact in 64 bits.
    I64,
    /// Floats (IEEE 754 double).
    F64,
    /// Bytes of any length: text, most often.
    Bytes,
}

impl ColumnType {
    /// As messages have it.
    pub fn name(self) -> &'static str {
        self.number().map_or("text", Dtype::name)
    }

    /// Type of its numbers, where it holds numbers.
    pub fn number(self) -> Option<Dtype> {
        match self {
            Self::I64 => Some(Dtype::I64),
            Self::F64 => Some(Dtype::F64),
            Self::Bytes => None,
        }
    }

    /// The number that stands for it in a message.
    pub(super) fn code(self) -> u32 {
        match self {
            Self::I64 => 1,
            Self::F64 => 2,
            Self::Bytes => 3,
        }
    }

    /// Back from [`ColumnType::code`].
    pub(super) fn of_code(code: u32) -> Option<Self> {
        [Self::I64, Self::F64, Self::Bytes].into_iter().find(|dtype| dtype.code() == code)
    }
}

impl From<Dtype> for ColumnType {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::I64 => Self::I64,
            Dtype::F64 => Self::F64,
        }
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name; empty where it has none.
    pub name: String,
    /// Type of its values.
    pub dtype: ColumnType,
}

/// Columns, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema {
    /// The columns.
    pub fields: Vec<Field>,
}

impl Schema {
    /// A column of that name, which is empty where it has none.
    pub fn single(name: &str, dtype: impl Into<ColumnType>) -> Self {
        Self { fields: vec![Field { name: name.to_owned(), dtype: dtype.into() }] }
    }

    /// Columns of a table, each with its name and its number. A column without a name is called by its number, `c3`,
    /// unless it is the only one; of several with one name the later ones are told apart by `_`.
    pub fn of_table<'a>(
        names: impl Iterator<Item = (&'a str, usize)>,
        dtypes: impl Iterator<Item = ColumnType>,
    ) -> Self {
        let names: Vec<(&str, usize)> = names.collect();
        let is_only = names.len() == 1;
        let mut new = Self::default();
        for ((name, number), dtype) in names.into_iter().zip(dtypes) {
            let name = if name.is_empty() && !is_only { format!("c{number}") } else { name.to_owned() };
            new.push(name, dtype);
        }
        new
    }

    /// Adds a column, which gets a name that no other has.
    pub fn push(&mut self, mut name: String, dtype: ColumnType) {
        while self.position(&name).is_some() {
            name.push('_');
        }
        self.fields.push(Field { name, dtype });
    }

    /// For a message: of each column its type, the length of its name, and that.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = |field: &Field| {
            let len = field.name.len() as u32;
            [&field.dtype.code().to_le_bytes(), &len.to_le_bytes(), field.name.as_bytes()].concat()
        };
        self.fields.iter().flat_map(bytes).collect()
    }

    /// Back from [`Schema::to_bytes`]; `None` where it is something else.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_first_chunk::<8>()?;
            let [code, len] = [&head[..4], &head[4..]].map(|four| four.try_into().map(u32::from_le_bytes));
            let (name, rest) = rest.split_at_checked(len.ok()? as usize)?;
            let name = std::str::from_utf8(name).ok()?.to_owned();
            fields.push(Field { name, dtype: ColumnType::of_code(code.ok()?)? });
            bytes = rest;
        }
        Some(Self { fields })
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Is a column one of texts?
    pub fn has_texts(&self) -> bool {
        self.dtypes().any(|dtype| dtype == ColumnType::Bytes)
    }

    /// Type of the numbers of a column, where it holds numbers.
    pub fn number(&self, column: usize) -> Option<Dtype> {
        self.fields.get(column).and_then(|field| field.dtype.number())
    }

    /// The number of the column of that name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// Types of the columns.
    pub fn dtypes(&self) -> impl Iterator<Item = ColumnType> {
        self.fields.iter().map(|field| field.dtype)
    }
}

/// Types of the columns, as people write them, with their names where they have names.
impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (i, Field { name, dtype }) in self.fields.iter().enumerate() {
            let (between, colon) = (if i > 0 { ", " } else { "" }, if name.is_empty() { "" } else { ": " });
            write!(f, "{between}{name}{colon}{}", dtype.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_comes_back_from_its_bytes() {
        let field = |name: &str, dtype| Field { name: name.to_owned(), dtype };
        let fields =
            [field("", ColumnType::I64), field("größe", ColumnType::F64), field("c", ColumnType::Bytes)];
        for count in 0..=fields.len() {
            let schema = Schema { fields: fields[..count].to_vec() };
            let bytes = schema.to_bytes();
            assert_eq!(Schema::from_bytes(&bytes), Some(schema));
            assert!(
                bytes.is_empty()
                    || Schema::from_bytes(&bytes[..bytes.len() - 1]).is_none_or(|s| s.len() < count)
            );
        }
    }
}
