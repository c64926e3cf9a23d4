//! Expressions over the columns of a row: `x^2 + 3*sin(x)`.
//!
//! They are parsed (`parse`) into a tree whose types are known, evaluated a row at a time as the reference and to say
//! what is wrong with one (`scalar`), and block by block in vector lanes (`vector`), one operation over a window in
//! the first-level cache after the other. Whole numbers are exact or a fault; floats follow IEEE 754, and functions of
//! them are correctly rounded ([`crate::op::functions`]).

mod parse;
mod scalar;
mod vector;

use std::fmt;

use crate::op::functions::Function;

pub use parse::parse;
pub use vector::{Program, WINDOW};

/// Type of a part of an expression. Truth values are whole numbers, 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Exact in 64 bits.
    Whole,
    /// IEEE 754 double.
    Float,
}

/// A column that expressions may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, empty where it has none.
    pub name: String,
    /// Type of its values; `None` where they are no numbers.
    pub kind: Option<Kind>,
}

/// A part of an expression, whose parts have the types that it needs.
#[derive(Debug, Clone)]
pub struct Node {
    op: Op,
    kind: Kind,
    /// Bytes of the text that it was made of.
    place: (usize, usize),
    /// The most operations that wait for each other.
    depth: usize,
}

#[derive(Debug, Clone)]
enum Op {
    /// The bits of a number.
    Constant(u64),
    Column(usize),
    /// The nearest float to a whole number.
    ToFloat(Box<Node>),
    Negate(Box<Node>),
    Not(Box<Node>),
    Function(&'static Function, Box<Node>),
    Binary(Binary, Box<Node>, Box<Node>),
    /// The second where the first is true, else the third.
    If(Box<[Node; 3]>),
}

/// Operations on two numbers of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binary {
    Add,
    Subtract,
    Multiply,
    /// Answers a float.
    Divide,
    FloorDivide,
    Remainder,
    Power,
    Least,
    Greatest,
    Atan2,
    Hypot,
    /// These answer truth values.
    Below,
    AtMost,
    Equal,
    Unequal,
    And,
    Or,
}

impl Node {
    /// Type of its value.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// What is wrong with an expression, or with it for a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What, and what to do.
    pub why: String,
    /// Bytes of the text that it is about.
    pub place: (usize, usize),
}

impl Fault {
    fn new(place: (usize, usize), why: impl Into<String>) -> Self {
        Self { why: why.into(), place }
    }

    /// The text with a mark under the place, on two lines, each behind two blanks.
    pub fn shown_in(&self, text: &str) -> String {
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let before = text[..self.place.0].chars().count();
        let marked = text[self.place.0..self.place.1].chars().count().max(1);
        format!("  {line}\n  {}{}", " ".repeat(before), "^".repeat(marked))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.why)
    }
}
