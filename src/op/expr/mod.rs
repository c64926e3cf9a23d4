//! Expressions over the columns of a row: `x^2 + 3*sin(x)`.
//!
//! They are parsed (`parse`) into a tree whose types are known, evaluated a row at a time as the reference and to say
//! what is wrong with one (`scalar`), and block by block in vector lanes (`vector`), one operation over a window in
//! the first-level cache after the other. Whole numbers are exact or a fault; floats follow IEEE 754, and functions of
//! them are correctly rounded ([`crate::op::functions`]). What is drawn at random are numbers of the row's own
//! [`Stream`], each by its place in the text: so a part that is not chosen, or one that other lanes work out before
//! another, changes no other.

mod parse;
mod scalar;
mod vector;

use std::fmt;

use crate::data::random::Stream;
use crate::op::functions::Function;

pub use parse::{OF_SEVERAL, SOLE, call, check, is_column_name, is_name, is_random, of_several, parse};
pub use vector::{Program, WINDOW};

/// Type of a part of an expression. Truth values are whole numbers, 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Exact in 64 bits.
    Whole,
    /// IEEE 754 double.
    Float,
    /// Bytes of any length, as words of [`crate::data::texts`].
    Text,
}

/// A column that expressions may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, empty where it has none.
    pub name: String,
    /// Type of its values.
    pub kind: Kind,
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
    /// A number at random.
    Draw(Draw),
    /// From the first to the second as far as the third says, which is from 0 to 1.
    Between(Box<[Node; 3]>),
}

/// A number at random: those from a place on in the stream of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Draw {
    /// One of the stream, from 0 to below 1.
    Uniform(u64),
    /// Standard normal, made of two of the stream.
    Normal(u64),
}

impl Draw {
    fn of(self, stream: Stream) -> f64 {
        match self {
            Self::Uniform(at) => stream.uniform(at),
            Self::Normal(at) => stream.normal(at),
        }
    }
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

    /// The columns that it is of, by their numbers.
    pub fn columns(&self) -> Vec<usize> {
        let mut found = match &self.op {
            Op::Column(number) => vec![*number],
            Op::Constant(_) | Op::Draw(_) => Vec::new(),
            Op::ToFloat(of) | Op::Negate(of) | Op::Not(of) | Op::Function(_, of) => of.columns(),
            Op::Binary(_, a, b) => [a.columns(), b.columns()].concat(),
            Op::If(parts) | Op::Between(parts) => parts.iter().flat_map(Node::columns).collect(),
        };
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Is there a function in it that takes its time?
    pub fn is_slow(&self) -> bool {
        match &self.op {
            Op::Column(_) | Op::Constant(_) | Op::Draw(_) => false,
            Op::ToFloat(of) | Op::Negate(of) | Op::Not(of) => of.is_slow(),
            Op::Function(function, of) => function.is_slow || of.is_slow(),
            Op::Binary(_, a, b) => a.is_slow() || b.is_slow(),
            Op::If(parts) | Op::Between(parts) => parts.iter().any(Node::is_slow),
        }
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

    /// The text with a mark under the place, on two lines, each behind two blanks; of a long text what stands around
    /// the place.
    pub fn shown_in(&self, text: &str) -> String {
        /// Characters that are shown before the place, and from there on.
        const AROUND: (usize, usize) = (40, 80);
        let line: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let before = text[..self.place.0].chars().count();
        let marked = text[self.place.0..self.place.1].chars().count().max(1);
        let start = if line.len() > AROUND.0 + AROUND.1 { before.saturating_sub(AROUND.0) } else { 0 };
        let end = line.len().min(before + AROUND.1);
        let (cut, is_cut) = if start > 0 { ("… ", 2) } else { ("", 0) };
        let rest = if end < line.len() { " …" } else { "" };
        let shown: String = line[start..end].iter().collect();
        let marks = "^".repeat(marked.min(end - before).max(1));
        format!("  {cut}{shown}{rest}\n  {}{marks}", " ".repeat(is_cut + before - start))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.why)
    }
}
