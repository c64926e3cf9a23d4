//! Columns of rows: their names and types.

use crate::data::dtype::Dtype;

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
    /// A column without a name.
    pub fn single(dtype: ColumnType) -> Self {
        Self { fields: vec![Field { name: String::new(), dtype }] }
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
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
