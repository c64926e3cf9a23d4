//! From text to a tree whose types are known.

use std::cell::Cell;
use std::sync::LazyLock;

use pest::Parser;
use pest::error::InputLocation;
use pest::iterators::Pair;
use pest::pratt_parser::{Assoc, Op as Operator, PrattParser};

use super::{Binary, Column, Draw, Fault, Kind, Node, Op};
use crate::base::error::{did_you_mean, nearest};
use crate::data::random::Stream;
use crate::data::texts::TextMaker;
use crate::op::functions::{self, Function, OfText, Whole};

#[derive(pest_derive::Parser)]
#[grammar = "op/expr/grammar.pest"]
struct Grammar;

/// What the only column is called, beside its own name.
pub const SOLE: &str = "x";

/// Bytes of the longest expression.
const LONGEST: usize = 10_000;

/// How deeply brackets may be nested.
const DEEPEST: usize = 100;

/// Operations each of which needs the one before it.
const LONGEST_CHAIN: usize = 500;

static OPERATORS: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    let left = |rule| Operator::infix(rule, Assoc::Left);
    PrattParser::new()
        .op(left(Rule::or))
        .op(left(Rule::and))
        .op(Operator::prefix(Rule::not))
        .op(left(Rule::equal)
            | left(Rule::unequal)
            | left(Rule::below)
            | left(Rule::at_most)
            | left(Rule::above)
            | left(Rule::at_least))
        .op(left(Rule::add) | left(Rule::subtract))
        .op(left(Rule::multiply) | left(Rule::divide) | left(Rule::floor_divide) | left(Rule::remainder))
        .op(Operator::prefix(Rule::minus) | Operator::prefix(Rule::plus))
        .op(Operator::infix(Rule::power, Assoc::Right))
});

/// The tree of an expression over `columns`.
///
/// # Errors
/// Where it does not parse, names something that is not there, or mixes what does not go together.
pub fn parse(text: &str, columns: &[Column]) -> Result<Node, Fault> {
    let sum = syntax(text)?;
    let builder = Builder { columns, drawn: Cell::new(0) };
    sum.map_or_else(|| Err(Fault::new((0, text.len()), "it is empty")), |sum| builder.sum(sum, 0))
}

/// `function` of the first of `columns`, as an expression that calls it would be.
///
/// # Errors
/// As those of [`parse`].
pub fn call(function: &'static Function, columns: &[Column]) -> Result<Node, Fault> {
    let place = (0, function.name.len());
    let kind = columns.first().map(|column| column.kind);
    let kind = kind.ok_or_else(|| Fault::new(place, format!("{} is of a column", function.name)))?;
    apply(function, Node::new(Op::Column(0), kind, place), place)
}

/// Is it a name as columns and functions have them, and no number that has a name?
pub fn is_name(word: &str) -> bool {
    is_column_name(word) && constant(word).is_none()
}

/// Can a column that is called so be named in an expression as it is? It comes before a number of its name.
pub fn is_column_name(word: &str) -> bool {
    Grammar::parse(Rule::name, word)
        .is_ok_and(|mut pairs| pairs.next().is_some_and(|name| name.as_str() == word))
}

/// Checks the syntax of an expression, whatever columns there may be.
///
/// # Errors
/// Where it does not parse.
pub fn check(text: &str) -> Result<(), Fault> {
    syntax(text).map(|_| ())
}

/// Does an expression draw numbers at random, whatever columns there may be? False where it does not parse.
pub fn is_random(text: &str) -> bool {
    let draws =
        |call: Pair<Rule>| call.into_inner().next().is_some_and(|name| RANDOM.contains(&name.as_str()));
    let mut calls = syntax(text).ok().flatten().into_iter().flat_map(|sum| sum.into_inner().flatten());
    calls.any(|pair| pair.as_rule() == Rule::call && draws(pair))
}

/// An expression as the grammar cuts it up.
fn syntax(text: &str) -> Result<Option<Pair<'_, Rule>>, Fault> {
    if text.len() > LONGEST {
        return Err(Fault::new((0, 0), format!("it has more than {LONGEST} bytes")));
    }
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(Fault::new((at, at + 1), format!("more than {DEEPEST} brackets within each other")));
        }
    }
    let mut pairs = Grammar::parse(Rule::expression, text).map_err(|error| explain(text, &error))?;
    Ok(pairs.next().and_then(|expression| expression.into_inner().next()))
}

/// What a syntax error means, for people who have not read a grammar.
fn explain(text: &str, error: &pest::error::Error<Rule>) -> Fault {
    let at = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    };
    let rest = &text[at..];
    let next = rest.chars().next();
    let place = (at, at + next.map_or(0, char::len_utf8));
    let before = text[..at].trim_end();
    let is_operator = |c: char| "(,+-*/%^<>=!&|".contains(c);
    let is_word = ["and", "or", "not"].iter().any(|word| before.ends_with(word));
    let wants_operand = before.is_empty() || before.ends_with(is_operator) || is_word;
    let opened = text[..at].matches('(').count() > text[..at].matches(')').count();
    let why = match (next, wants_operand) {
        (None, true) => "it ends where a number, a column or a function should follow".to_owned(),
        (None, false) if opened => "a bracket is not closed".to_owned(),
        (None, false) => "it ends too early".to_owned(),
        (Some(')'), false) if !opened => "this bracket closes none".to_owned(),
        (Some(c), true) => {
            format!("a number, a column or a function should stand here, and not '{}'", c.escape_debug())
        }
        (Some(c), false) => format!(
            "an operator (as in + - * / // % ^ < ==) should stand here, and not '{}'",
            c.escape_debug()
        ),
    };
    Fault::new(place, why)
}

/// Numbers that have names.
fn constant(name: &str) -> Option<f64> {
    match name {
        "pi" => Some(std::f64::consts::PI),
        "e" => Some(std::f64::consts::E),
        "inf" => Some(f64::INFINITY),
        "nan" => Some(f64::NAN),
        _ => None,
    }
}

/// Functions that expressions have beside those of one number: how they are called, and what they are.
pub const OF_SEVERAL: [(&str, &str); 11] = [
    ("min(x, y, …)", "the least of them; NaN where one is"),
    ("max(x, y, …)", "the greatest of them; NaN where one is"),
    ("pow(x, y)", "x^y"),
    ("hypot(x, y)", "√(x² + y²), which does not overflow on the way"),
    ("atan2(y, x)", "the angle of the point (x, y)"),
    ("if(c, x, y)", "x where c is true (not 0), else y"),
    ("float(x)", "x as a float"),
    ("uniform()", "a number at random from 0 to below 1 (--seed)"),
    ("uniform(a, b)", "the same from a to b"),
    ("normal()", "a number at random of the normal distribution, with mean 0 and standard deviation 1"),
    ("normal(m, s)", "the same with mean m and standard deviation s"),
];

/// Those of them that draw numbers at random.
const RANDOM: [&str; 2] = ["uniform", "normal"];

/// The names of [`OF_SEVERAL`].
pub fn of_several() -> impl Iterator<Item = &'static str> {
    OF_SEVERAL.into_iter().filter_map(|(call, _)| call.split('(').next())
}

struct Builder<'a> {
    columns: &'a [Column],
    /// Numbers of the stream that are drawn by what has been parsed.
    drawn: Cell<u64>,
}

fn place(pair: &Pair<Rule>) -> (usize, usize) {
    (pair.as_span().start(), pair.as_span().start() + pair.as_str().trim_end().len())
}

impl Builder<'_> {
    fn sum(&self, pair: Pair<Rule>, depth: usize) -> Result<Node, Fault> {
        if depth > DEEPEST {
            return Err(Fault::new(place(&pair), "it is nested too deeply"));
        }
        // Each of these waits for what is behind it, on the stack.
        let waits =
            |pair: &Pair<Rule>| matches!(pair.as_rule(), Rule::minus | Rule::plus | Rule::not | Rule::power);
        if let Some(pair) = pair.clone().into_inner().filter(waits).nth(DEEPEST) {
            return Err(Fault::new(place(&pair), format!("more than {DEEPEST} signs and powers")));
        }
        let limit = |node: Result<Node, Fault>| node.and_then(Node::limited);
        OPERATORS
            .map_primary(|primary| self.primary(primary, depth))
            .map_prefix(|sign, of| {
                let (at, of) = (place(&sign).0, of?.number()?);
                let place = (at, of.place.1);
                limit(match sign.as_rule() {
                    Rule::plus => Ok(of),
                    Rule::minus => {
                        let kind = of.kind;
                        fold(Node::new(Op::Negate(of.into()), kind, place))
                    }
                    _ => fold(Node::new(Op::Not(of.truth().into()), Kind::Whole, place)),
                })
            })
            .map_infix(|left, operator, right| limit(binary(&operator, left?.number()?, right?.number()?)))
            .parse(pair.into_inner())
    }

    fn primary(&self, pair: Pair<Rule>, depth: usize) -> Result<Node, Fault> {
        let at = place(&pair);
        match pair.as_rule() {
            Rule::number => number(pair.as_str(), at),
            Rule::call => self.call(pair, depth),
            Rule::quoted => self.column(pair.as_str().trim_matches('`'), at),
            Rule::name => self.name(pair.as_str(), at),
            _ => {
                // In brackets.
                self.sum(pair, depth + 1)
            }
        }
    }

    /// A column, or a number that has a name.
    fn name(&self, name: &str, place: (usize, usize)) -> Result<Node, Fault> {
        let is_column = self.columns.iter().any(|column| column.name == name) || self.is_sole(name);
        match constant(name).filter(|_| !is_column) {
            Some(number) => Ok(Node::new(Op::Constant(number.to_bits()), Kind::Float, place)),
            None => self.column(name, place),
        }
    }

    /// The only column is called x as well.
    fn is_sole(&self, name: &str) -> bool {
        self.columns.len() == 1 && name == SOLE
    }

    fn column(&self, name: &str, place: (usize, usize)) -> Result<Node, Fault> {
        let mut called = self.columns.iter().enumerate().filter(|(_, column)| column.name == name);
        let first = called.next().or(self.columns.iter().enumerate().next().filter(|_| self.is_sole(name)));
        let Some((number, column)) = first else {
            let names = || self.columns.iter().map(|column| &*column.name).filter(|name| !name.is_empty());
            if functions::by_name(name).is_some() || of_several().any(|known| known == name) {
                return Err(Fault::new(place, format!("{name} is a function: {name}(…)")));
            }
            let known = names().chain(["pi", "e"]);
            return Err(Fault::new(
                place,
                match nearest(name, known) {
                    Some(near) => format!("there is no column {name}; did you mean {near}?"),
                    None if names().next().is_none() => {
                        format!("there is no column {name}; the only one is called x here")
                    }
                    None => format!(
                        "there is no column {name}; there are {}",
                        names().take(20).collect::<Vec<_>>().join(", ")
                    ),
                },
            ));
        };
        if called.next().is_some() {
            return Err(Fault::new(place, format!("several columns are called {name}")));
        }
        Ok(Node::new(Op::Column(number), column.kind, place))
    }

    fn call(&self, pair: Pair<Rule>, depth: usize) -> Result<Node, Fault> {
        let at = place(&pair);
        let mut inner = pair.into_inner();
        let Some(name) = inner.next() else { return Err(Fault::new(at, "a function without a name")) };
        let (name, of_name) = (name.as_str(), place(&name));
        let mut given = inner.map(|pair| self.sum(pair, depth + 1)).collect::<Result<Vec<_>, _>>()?;
        let count = |wanted: &str| {
            let found = given.len();
            Err(Fault::new(
                at,
                format!("{name} is of {wanted}, and {found} {} given", if found == 1 { "is" } else { "are" }),
            ))
        };
        let two = |op: Binary, given: Vec<Node>| match <[Node; 2]>::try_from(given) {
            Ok([a, b]) => of_two(op, a.number()?, b.number()?, at),
            Err(given) => {
                Err(Fault::new(at, format!("{name} is of 2 numbers, and {} are given", given.len())))
            }
        };
        let node = match name {
            "min" | "max" => {
                let op = if name == "min" { Binary::Least } else { Binary::Greatest };
                if given.len() < 2 {
                    return count("2 numbers or more");
                }
                let first = given.remove(0).number()?;
                given.into_iter().try_fold(first, |a, b| of_two(op, a, b.number()?, at))?
            }
            "atan2" | "hypot" => {
                let op = if name == "atan2" { Binary::Atan2 } else { Binary::Hypot };
                two(op, given.into_iter().map(|node| Ok(node.number()?.float())).collect::<Result<_, _>>()?)?
            }
            "pow" => two(Binary::Power, given)?,
            "if" => match <[Node; 3]>::try_from(given) {
                Ok([condition, mut yes, mut no]) => {
                    let condition = condition.number()?;
                    if yes.kind != no.kind {
                        (yes, no) = (yes.number()?.float(), no.number()?.float());
                    }
                    let kind = yes.kind;
                    fold(Node::new(Op::If(Box::new([condition.truth(), yes, no])), kind, at))?
                }
                Err(given) => {
                    let found = given.len();
                    return Err(Fault::new(
                        at,
                        format!("if is of a condition and two numbers, and {found} are given"),
                    ));
                }
            },
            "uniform" => self.uniform(given, at)?,
            "normal" => self.normal(given, at)?,
            "float" => match <[Node; 1]>::try_from(given) {
                Ok([of]) => of.number()?.float(),
                Err(_) => return Err(Fault::new(at, "float is of 1 number")),
            },
            _ => {
                let Some(function) = functions::by_name(name) else {
                    let known = functions::all().map(|function| function.name).chain(of_several());
                    let near = did_you_mean(name, known);
                    return Err(Fault::new(of_name, format!("there is no function {name}{near}")));
                };
                match <[Node; 1]>::try_from(given) {
                    Ok([of]) => apply(function, of, at)?,
                    Err(_) => {
                        let of = if function.float.is_some() { "number" } else { "text" };
                        let of = if matches!(function.whole, Whole::Exact(_)) { "number" } else { of };
                        return Err(Fault::new(at, format!("{name} is of 1 {of}")));
                    }
                }
            }
        };
        node.limited()
    }

    /// The place in the stream of a call that draws so many numbers: behind those of calls that end before it.
    fn draw(&self, count: u64) -> u64 {
        self.drawn.replace(self.drawn.get() + count)
    }

    fn uniform(&self, given: Vec<Node>, place: (usize, usize)) -> Result<Node, Fault> {
        let share = Node::new(Op::Draw(Draw::Uniform(self.draw(1))), Kind::Float, place);
        Ok(match none_or_two("uniform", given, place)? {
            Some([from, to]) => Node::new(Op::Between(Box::new([from, to, share])), Kind::Float, place),
            None => share,
        })
    }

    fn normal(&self, given: Vec<Node>, place: (usize, usize)) -> Result<Node, Fault> {
        let standard = Node::new(Op::Draw(Draw::Normal(self.draw(2))), Kind::Float, place);
        let Some([mean, deviation]) = none_or_two("normal", given, place)? else { return Ok(standard) };
        let distance = of_two(Binary::Multiply, deviation, standard, place)?;
        of_two(Binary::Add, mean, distance, place)
    }
}

/// The two numbers that such a function is given as floats, or none.
fn none_or_two(name: &str, given: Vec<Node>, place: (usize, usize)) -> Result<Option<[Node; 2]>, Fault> {
    match <[Node; 2]>::try_from(given) {
        Ok([a, b]) => Ok(Some([a.number()?.float(), b.number()?.float()])),
        Err(given) if given.is_empty() => Ok(None),
        Err(given) => {
            let why = format!("{name} is of 2 numbers, or of none: {name}()");
            let found = if given.len() == 1 { "1 is".to_owned() } else { format!("{} are", given.len()) };
            Err(Fault::new(place, format!("{why}, and {found} given")))
        }
    }
}

/// A function of one number.
fn apply(function: &'static Function, mut of: Node, place: (usize, usize)) -> Result<Node, Fault> {
    let name = function.name;
    let kind = match (&function.whole, of.kind, function.text) {
        (_, Kind::Text, Some(OfText::Whole(_))) | (Whole::Exact(_), Kind::Whole, _) => Kind::Whole,
        (_, Kind::Text, Some(OfText::Text(_))) => Kind::Text,
        (_, Kind::Text, None) => {
            return Err(Fault::new(place, format!("{name} is of numbers, and this is text")));
        }
        (Whole::AsFloat, ..) | (_, Kind::Float, _) => Kind::Float,
    };
    if kind == Kind::Float {
        of = of.float();
        if function.float.is_none() {
            let why = match function.text {
                None => "is of whole numbers, and this is a float",
                Some(_) => "is of text, and this is a number",
            };
            return Err(Fault::new(place, format!("{name} {why}")));
        }
    }
    fold(Node::new(Op::Function(function, of.into()), kind, place))
}

fn number(text: &str, place: (usize, usize)) -> Result<Node, Fault> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse::<i64>() {
            Ok(number) => Ok(Node::new(Op::Constant(number as u64), Kind::Whole, place)),
            Err(_) => {
                let why = format!("{text} does not fit in a 64-bit whole number; as a float: {text}.0");
                Err(Fault::new(place, why))
            }
        };
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Node::new(Op::Constant(number.to_bits()), Kind::Float, place)),
        _ => Err(Fault::new(place, format!("{text} does not fit in a 64-bit float"))),
    }
}

fn binary(operator: &Pair<Rule>, left: Node, right: Node) -> Result<Node, Fault> {
    let at = (left.place.0, right.place.1);
    let compares = |node: &Node| matches!(&node.op, Op::Binary(op, ..) if op.compares());
    let op = match operator.as_rule() {
        Rule::add => Binary::Add,
        Rule::subtract => Binary::Subtract,
        Rule::multiply => Binary::Multiply,
        Rule::divide => Binary::Divide,
        Rule::floor_divide => Binary::FloorDivide,
        Rule::remainder => Binary::Remainder,
        Rule::power => Binary::Power,
        Rule::below => Binary::Below,
        Rule::at_most => Binary::AtMost,
        Rule::above => return of_two(Binary::Below, right, left, at),
        Rule::at_least => return of_two(Binary::AtMost, right, left, at),
        Rule::equal => Binary::Equal,
        Rule::unequal => Binary::Unequal,
        Rule::and => return of_two(Binary::And, left.truth(), right.truth(), at),
        _ => return of_two(Binary::Or, left.truth(), right.truth(), at),
    };
    if op.compares() && compares(&left) {
        return Err(Fault::new(
            place(operator),
            "two comparisons in a row: say what is meant with and, as in a < b and b < c",
        ));
    }
    of_two(op, left, right, at)
}

/// An operation on two numbers, which become floats where one is.
fn of_two(op: Binary, mut a: Node, mut b: Node, place: (usize, usize)) -> Result<Node, Fault> {
    if op == Binary::Power {
        return power(a, b, place);
    }
    if a.kind != b.kind {
        (a, b) = (a.float(), b.float());
    }
    let kind = match op {
        _ if op.compares() || matches!(op, Binary::And | Binary::Or) => Kind::Whole,
        Binary::Divide => Kind::Float,
        _ => a.kind,
    };
    fold(Node::new(Op::Binary(op, a.into(), b.into()), kind, place))
}

/// A power of whole numbers is whole where its exponent is known not to be below 0, or not known.
fn power(a: Node, b: Node, place: (usize, usize)) -> Result<Node, Fault> {
    let known = match (&b.op, b.kind) {
        (Op::Constant(bits), Kind::Whole) => Some(*bits as i64),
        (Op::Constant(bits), Kind::Float) if f64::from_bits(*bits) == 2.0 => Some(2),
        _ => None,
    };
    let is_whole = a.kind == Kind::Whole && b.kind == Kind::Whole && known.is_none_or(|n| n >= 0);
    if is_whole {
        return fold(Node::new(Op::Binary(Binary::Power, a.into(), b.into()), Kind::Whole, place));
    }
    if known == Some(2)
        && let Some(square) = functions::by_name("square")
    {
        return fold(Node::new(Op::Function(square, a.float().into()), Kind::Float, place));
    }
    fold(Node::new(Op::Binary(Binary::Power, a.float().into(), b.float().into()), Kind::Float, place))
}

/// A node of constants alone as the constant that it is.
fn fold(node: Node) -> Result<Node, Fault> {
    let is_constant = |node: &Node| matches!(node.op, Op::Constant(_));
    let can_fold = match &node.op {
        // What takes its time is not for the one who reads it to spend.
        Op::Function(function, of) => is_constant(of) && !function.is_slow,
        Op::Negate(of) | Op::Not(of) | Op::ToFloat(of) => is_constant(of),
        Op::Binary(_, a, b) => is_constant(a) && is_constant(b),
        Op::If(parts) => parts.iter().all(is_constant),
        Op::Constant(_) | Op::Column(_) | Op::Draw(_) | Op::Between(_) => false,
    };
    match can_fold {
        true => Ok(Node::new(
            Op::Constant(node.answer(&|_| 0, Stream::default(), &mut TextMaker::default())?),
            node.kind,
            node.place,
        )),
        false => Ok(node),
    }
}

impl Binary {
    fn compares(self) -> bool {
        matches!(self, Self::Below | Self::AtMost | Self::Equal | Self::Unequal)
    }
}

impl Node {
    /// # Errors
    /// It is no number.
    fn number(self) -> Result<Self, Fault> {
        match self.kind {
            Kind::Whole | Kind::Float => Ok(self),
            Kind::Text => Err(Fault::new(self.place, "this is text, and no number")),
        }
    }

    /// The same as a float, of a number.
    fn float(self) -> Self {
        match (self.kind, &self.op) {
            (Kind::Float | Kind::Text, _) => self,
            (Kind::Whole, Op::Constant(bits)) => {
                Self::new(Op::Constant((*bits as i64 as f64).to_bits()), Kind::Float, self.place)
            }
            (Kind::Whole, _) => {
                let place = self.place;
                Self::new(Op::ToFloat(self.into()), Kind::Float, place)
            }
        }
    }

    /// Whether a number is true: other than 0, as a whole number, 0 or 1 or another.
    fn truth(self) -> Self {
        match self.kind {
            Kind::Whole | Kind::Text => self,
            Kind::Float => {
                let place = self.place;
                let zero = Self::new(Op::Constant(0f64.to_bits()), Kind::Float, place);
                Self::new(Op::Binary(Binary::Unequal, self.into(), zero.into()), Kind::Whole, place)
            }
        }
    }

    fn new(op: Op, kind: Kind, place: (usize, usize)) -> Self {
        let below = match &op {
            Op::Constant(_) | Op::Column(_) | Op::Draw(_) => 0,
            Op::ToFloat(of) | Op::Negate(of) | Op::Not(of) | Op::Function(_, of) => of.depth,
            Op::Binary(_, a, b) => a.depth.max(b.depth),
            Op::If(parts) | Op::Between(parts) => parts.iter().map(|part| part.depth).max().unwrap_or(0),
        };
        Self { op, kind, place, depth: below + 1 }
    }

    /// # Errors
    /// It is so deep that working through it could take too much of a stack.
    fn limited(self) -> Result<Self, Fault> {
        match self.depth <= LONGEST_CHAIN {
            true => Ok(self),
            false => Err(Fault::new(
                self.place,
                format!("more than {LONGEST_CHAIN} operations that wait for each other"),
            )),
        }
    }
}
