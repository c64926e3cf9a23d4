//! Many rows at once: one operation over a window of rows in the first-level cache after the other, each in vector lanes
//! where that is faster.
//!
//! A fault of a row (an overflow, a division by zero) is a bit beside the values, which [`Op::If`] passes on only from
//! the part that it chooses. What the fault is, [`super::scalar`] says.

use super::scalar::{between, greatest, least, quotient};
use super::{Binary, Draw, Fault, Kind, Node, Op};
use crate::base::lanes::{Lanes, kernel};
use crate::data::random::Stream;
use crate::data::row_set::RowSet;
use crate::data::texts::TextMaker;
use crate::op::functions::{Function, Whole};

/// Rows of a window: with the values of some operations they lie in the first-level cache.
pub const WINDOW: usize = 1024;

/// Words of the fault bits of a window.
const FAULT_WORDS: usize = WINDOW / 64;

/// Where an operation finds its values.
#[derive(Debug, Clone, Copy)]
enum Source {
    Column(usize),
    /// Of an operation before it, or a constant.
    Register(usize),
}

/// An operation on a window.
#[derive(Debug)]
enum Step {
    ToFloat(Source),
    Negate(Kind, Source),
    Not(Source),
    Function(&'static Function, Kind, Source),
    Binary(Binary, Kind, Source, Source),
    If(Source, Source, Source),
    Draw(Draw),
    Between(Source, Source, Source),
}

/// Which rows of a window have no answer, a bit for each.
type Faults = [u64; FAULT_WORDS];

/// The same while it is found out: the bits count only where `any` is set.
#[derive(Debug)]
struct FaultBits {
    any: bool,
    bits: Box<Faults>,
}

impl FaultBits {
    fn new() -> Self {
        Self { any: false, bits: Box::new([0; FAULT_WORDS]) }
    }

    fn get(&self) -> Option<&Faults> {
        self.any.then_some(&*self.bits)
    }

    /// What has no value has no answer.
    fn add(&mut self, from: Option<&Faults>) {
        let Some(from) = from else { return };
        if !self.any {
            self.bits.fill(0);
        }
        self.any = true;
        self.bits.iter_mut().zip(from).for_each(|(bits, from)| *bits |= from);
    }
}

/// Values of a window.
#[derive(Debug)]
struct Register {
    values: Box<[u64; WINDOW]>,
    faults: FaultBits,
}

impl Register {
    fn new() -> Self {
        Self { values: Box::new([0; WINDOW]), faults: FaultBits::new() }
    }
}

/// An expression, ready to be worked through window by window. One per worker.
#[derive(Debug)]
pub struct Program {
    node: Node,
    lanes: Lanes,
    /// Random numbers follow from it.
    seed: u64,
    /// `None` while it is written to.
    registers: Vec<Option<Register>>,
    /// Each with the register that its answer goes to; that of the last are the answers.
    steps: Vec<(Step, usize)>,
    result: Source,
    /// A function of it takes its time: rows one by one.
    is_slow: bool,
    /// It is of texts: rows one by one, so that those that a row needs are let go of with it.
    has_texts: bool,
    /// Texts that it has made of the last window.
    made: Vec<u8>,
}

/// An expression as operations one after the other.
#[derive(Default)]
struct Compiler {
    registers: Vec<Option<Register>>,
    steps: Vec<(Step, usize)>,
    has_texts: bool,
}

impl Compiler {
    fn register(&mut self) -> usize {
        self.registers.push(Some(Register::new()));
        self.registers.len() - 1
    }

    fn compile(&mut self, node: &Node) -> Source {
        let step = match &node.op {
            Op::Column(number) => return Source::Column(*number),
            Op::Constant(bits) => {
                let register = self.register();
                if let Some(constant) = &mut self.registers[register] {
                    constant.values.fill(*bits);
                }
                return Source::Register(register);
            }
            Op::ToFloat(of) => Step::ToFloat(self.compile(of)),
            Op::Negate(of) => Step::Negate(node.kind, self.compile(of)),
            Op::Not(of) => Step::Not(self.compile(of)),
            Op::Function(function, of) => {
                self.has_texts |= of.kind == Kind::Text;
                Step::Function(function, node.kind, self.compile(of))
            }
            Op::Binary(op, a, b) => Step::Binary(*op, a.kind, self.compile(a), self.compile(b)),
            Op::If(parts) => {
                let [condition, yes, no] = &**parts;
                Step::If(self.compile(condition), self.compile(yes), self.compile(no))
            }
            Op::Draw(draw) => Step::Draw(*draw),
            Op::Between(parts) => {
                let [from, to, share] = &**parts;
                Step::Between(self.compile(from), self.compile(to), self.compile(share))
            }
        };
        let register = self.register();
        self.steps.push((step, register));
        Source::Register(register)
    }
}

impl Program {
    /// Works `node` out with `lanes`; random numbers follow from `seed`.
    pub fn new(node: Node, lanes: Lanes, seed: u64) -> Self {
        let mut compiler = Compiler::default();
        let result = compiler.compile(&node);
        let Compiler { registers, steps, has_texts } = compiler;
        let is_slow = node.is_slow();
        let has_texts = has_texts || node.kind == Kind::Text;
        Self { node, lanes, seed, registers, steps, result, is_slow, has_texts, made: Vec::new() }
    }

    /// Type of the answers.
    pub fn kind(&self) -> Kind {
        self.node.kind
    }

    /// The columns that it is of, by their numbers.
    pub fn columns(&self) -> Vec<usize> {
        self.node.columns()
    }

    /// How many rows are best answered at once, [`WINDOW`] at the most: one where each takes its time.
    pub fn rows_at_once(&self) -> usize {
        if self.is_slow { 1 } else { WINDOW }
    }

    /// Answers the rows of `columns`, bits of as many values each, into `answers`, which is as long and no longer than
    /// [`WINDOW`]; words of texts lead to `memory`, and the first row is number `first` of all of the input. Returns which
    /// rows have no answer; what stands in their places means nothing.
    pub fn answer(&mut self, columns: &[&[u64]], memory: &[u8], first: u64, answers: &mut [u64]) -> RowSet {
        let mut texts = TextMaker::new(memory, std::mem::take(&mut self.made));
        let faults = match self.lanes == Lanes::Scalar || self.is_slow || self.has_texts {
            true => self.one_by_one(columns, &mut texts, first, answers),
            false => self.by_steps(columns, first, answers),
        };
        self.made = texts.made;
        faults
    }

    /// Texts that have been made of the window that was answered last.
    pub fn made(&self) -> &[u8] {
        &self.made
    }

    /// As [`Program::answer`], one operation after the other.
    fn by_steps(&mut self, columns: &[&[u64]], first: u64, answers: &mut [u64]) -> RowSet {
        let (count, stream) = (answers.len(), self.stream(first));
        let Some(((last, register), before)) = self.steps.split_last() else {
            answers.copy_from_slice(look(self.result, columns, &self.registers, count).0);
            return RowSet::default();
        };
        for (step, register) in before {
            // It is none of the step's own sources.
            let mut out = self.registers[*register].take().unwrap_or_else(Register::new);
            step.run(self.lanes, columns, &self.registers, stream, &mut out.values[..count], &mut out.faults);
            self.registers[*register] = Some(out);
        }
        let mut out = self.registers[*register].take().unwrap_or_else(Register::new);
        last.run(self.lanes, columns, &self.registers, stream, answers, &mut out.faults);
        let faults = out.faults.get().map_or_else(RowSet::default, |faults| RowSet::of_bits(faults));
        self.registers[*register] = Some(out);
        faults
    }

    /// As [`Program::answer`], row by row.
    fn one_by_one(
        &self,
        columns: &[&[u64]],
        texts: &mut TextMaker,
        first: u64,
        answers: &mut [u64],
    ) -> RowSet {
        let stream = self.stream(first);
        let mut faults = RowSet::default();
        if !self.is_slow && self.function_alone(columns, answers) {
            return faults;
        }
        for (row, answer) in answers.iter_mut().enumerate() {
            texts.begin_row();
            match self.node.answer(&|column| columns[column][row], stream.of_next(row as u64), texts) {
                Ok(word) if self.node.kind == Kind::Text => *answer = texts.end_row(word),
                Ok(bits) => {
                    *answer = bits;
                    texts.end_row(0);
                }
                Err(_) => faults.insert(row),
            }
        }
        faults
    }

    /// Answers where this is a function of a column as it is, and all rows have answers. A tree need not be walked for
    /// each row then.
    fn function_alone(&self, columns: &[&[u64]], answers: &mut [u64]) -> bool {
        let Op::Function(function, of) = &self.node.op else { return false };
        let Op::Column(column) = of.op else { return false };
        let (x, y) = (columns[column], answers);
        match self.node.kind {
            _ if of.kind == Kind::Text => false,
            Kind::Whole => {
                function.answer_wholes(Lanes::Scalar, bytemuck::cast_slice(x), bytemuck::cast_slice_mut(y))
            }
            Kind::Float => {
                function.answer_floats(Lanes::Scalar, bytemuck::cast_slice(x), bytemuck::cast_slice_mut(y));
                true
            }
            Kind::Text => false,
        }
    }

    /// The random numbers of row number `row` of all of the input.
    fn stream(&self, row: u64) -> Stream {
        Stream { seed: self.seed, row }
    }

    /// Why row number `row` of `columns`, whose texts lie in `memory`, and the first of which is number `first` of all of
    /// the input, has no answer; `None` where it has one.
    pub fn fault(&self, columns: &[&[u64]], memory: &[u8], first: u64, row: usize) -> Option<Fault> {
        let mut texts = TextMaker::new(memory, Vec::new());
        let stream = self.stream(first).of_next(row as u64);
        self.node.answer(&|column| columns[column][row], stream, &mut texts).err()
    }
}

/// The values of a source, and which rows have none.
fn look<'a>(
    source: Source,
    columns: &[&'a [u64]],
    registers: &'a [Option<Register>],
    count: usize,
) -> (&'a [u64], Option<&'a Faults>) {
    match source {
        Source::Column(number) => (&columns[number][..count], None),
        Source::Register(number) => match &registers[number] {
            Some(register) => (&register.values[..count], register.faults.get()),
            None => unreachable!("no step is a source of itself"),
        },
    }
}

/// `zip!(lanes, x, y, out: A -> B, |x, y| …)`: that closure over the values of two sources, compiled for each [`Lanes`].
macro_rules! zip {
    ($lanes:expr, $x:expr, $y:expr, $out:expr, $in_type:ty => $out_type:ty, $each:expr) => {{
        #[inline(always)]
        fn many(x: &[$in_type], y: &[$in_type], out: &mut [$out_type]) {
            let each: fn($in_type, $in_type) -> $out_type = $each;
            for ((x, y), out) in x.iter().zip(y).zip(out) {
                *out = each(*x, *y);
            }
        }
        let x: &[$in_type] = bytemuck::cast_slice($x);
        let y: &[$in_type] = bytemuck::cast_slice($y);
        let out: &mut [$out_type] = bytemuck::cast_slice_mut($out);
        kernel!($lanes, many, many(x: &[$in_type], y: &[$in_type], out: &mut [$out_type]) -> ())
    }};
}

impl Step {
    fn run(
        &self,
        lanes: Lanes,
        columns: &[&[u64]],
        registers: &[Option<Register>],
        stream: Stream,
        answers: &mut [u64],
        faults: &mut FaultBits,
    ) {
        let count = answers.len();
        let get = |source: Source| look(source, columns, registers, count);
        faults.any = false;
        let mut pass_on = |from: Option<&Faults>| faults.add(from);
        match self {
            Self::ToFloat(of) => {
                let (x, from) = get(*of);
                pass_on(from);
                zip!(lanes, x, x, answers, i64 => f64, |x, _| x as f64);
            }
            Self::Not(of) => {
                let (x, from) = get(*of);
                pass_on(from);
                zip!(lanes, x, x, answers, u64 => u64, |x, _| u64::from(x == 0));
            }
            Self::Negate(Kind::Float | Kind::Text, of) => {
                let (x, from) = get(*of);
                pass_on(from);
                zip!(lanes, x, x, answers, f64 => f64, |x, _| -x);
            }
            Self::Negate(Kind::Whole, of) => {
                let (x, from) = get(*of);
                pass_on(from);
                let own = one_by_one(x, x, answers, |x, _| x.checked_neg().ok_or(()).map(|x| x as u64));
                pass_on(own.as_ref());
            }
            Self::Function(function, kind, of) => {
                let (x, from) = get(*of);
                pass_on(from);
                match (&function.whole, kind) {
                    (Whole::Exact(whole), Kind::Whole) => {
                        // Faults are rare: they are looked for only when the fast pass has seen that there is one.
                        let out = bytemuck::cast_slice_mut(&mut *answers);
                        if !function.answer_wholes(lanes, bytemuck::cast_slice(x), out) {
                            let each = |x: i64, _| whole(x).map_err(|_| ()).map(|x| x as u64);
                            pass_on(one_by_one(x, x, answers, each).as_ref());
                        }
                    }
                    _ => function.answer_floats(
                        lanes,
                        bytemuck::cast_slice(x),
                        bytemuck::cast_slice_mut(answers),
                    ),
                }
            }
            Self::Binary(op, kind, a, b) => {
                let ((x, of_x), (y, of_y)) = (get(*a), get(*b));
                pass_on(of_x);
                pass_on(of_y);
                match kind {
                    Kind::Float | Kind::Text => floats(*op, lanes, x, y, answers),
                    Kind::Whole => pass_on(whole(*op, lanes, x, y, answers).as_ref()),
                }
            }
            Self::If(condition, yes, no) => {
                let ((c, of_c), (x, of_x), (y, of_y)) = (get(*condition), get(*yes), get(*no));
                for (i, answer) in answers.iter_mut().enumerate() {
                    *answer = if c[i] != 0 { x[i] } else { y[i] };
                }
                pass_on(of_c);
                if of_x.is_some() || of_y.is_some() {
                    let mut chosen = [0; FAULT_WORDS];
                    let has = |faults: Option<&Faults>, i: usize| {
                        faults.map_or(0, |faults| faults[i / 64] >> (i % 64) & 1)
                    };
                    for (i, c) in c.iter().enumerate() {
                        chosen[i / 64] |= (if *c != 0 { has(of_x, i) } else { has(of_y, i) }) << (i % 64);
                    }
                    pass_on(Some(&chosen));
                }
            }
            Self::Draw(draw) => {
                for (i, answer) in answers.iter_mut().enumerate() {
                    *answer = draw.of(stream.of_next(i as u64)).to_bits();
                }
            }
            Self::Between(from, to, share) => {
                let ((x, of_x), (y, of_y), (s, of_s)) = (get(*from), get(*to), get(*share));
                [of_x, of_y, of_s].into_iter().for_each(&mut pass_on);
                let floats = |i: usize| [x[i], y[i], s[i]].map(f64::from_bits);
                for (i, answer) in answers.iter_mut().enumerate() {
                    let [x, y, share] = floats(i);
                    *answer = between(x, y, share).to_bits();
                }
            }
        }
    }
}

/// Answers whole numbers one by one; the bits of those that have none, if any.
fn one_by_one(
    x: &[u64],
    y: &[u64],
    answers: &mut [u64],
    each: impl Fn(i64, i64) -> Result<u64, ()>,
) -> Option<Faults> {
    let mut faults = None;
    for (i, answer) in answers.iter_mut().enumerate() {
        match each(x[i] as i64, y[i] as i64) {
            Ok(bits) => *answer = bits,
            Err(()) => faults.get_or_insert([0; FAULT_WORDS])[i / 64] |= 1 << (i % 64),
        }
    }
    faults
}

fn floats(op: Binary, lanes: Lanes, x: &[u64], y: &[u64], answers: &mut [u64]) {
    match op {
        Binary::Add => zip!(lanes, x, y, answers, f64 => f64, |x, y| x + y),
        Binary::Subtract => zip!(lanes, x, y, answers, f64 => f64, |x, y| x - y),
        Binary::Multiply => zip!(lanes, x, y, answers, f64 => f64, |x, y| x * y),
        Binary::Divide => zip!(lanes, x, y, answers, f64 => f64, |x, y| x / y),
        Binary::Least => zip!(lanes, x, y, answers, f64 => f64, least),
        Binary::Greatest => zip!(lanes, x, y, answers, f64 => f64, greatest),
        Binary::Below => zip!(lanes, x, y, answers, f64 => u64, |x, y| u64::from(x < y)),
        Binary::AtMost => zip!(lanes, x, y, answers, f64 => u64, |x, y| u64::from(x <= y)),
        Binary::Equal => zip!(lanes, x, y, answers, f64 => u64, |x, y| u64::from(x == y)),
        Binary::Unequal => zip!(lanes, x, y, answers, f64 => u64, |x, y| u64::from(x != y)),
        Binary::FloorDivide
        | Binary::Remainder
        | Binary::Power
        | Binary::Atan2
        | Binary::Hypot
        | Binary::And
        | Binary::Or => {
            for (i, answer) in answers.iter_mut().enumerate() {
                *answer = op.of_floats(f64::from_bits(x[i]), f64::from_bits(y[i]));
            }
        }
    }
}

/// Answers whole numbers; the bits of those that have no answer, if any.
fn whole(op: Binary, lanes: Lanes, x: &[u64], y: &[u64], answers: &mut [u64]) -> Option<Faults> {
    let slowly = |answers: &mut [u64]| one_by_one(x, y, answers, |x, y| op.of_whole(x, y).map_err(|_| ()));
    let (a, b): (&[i64], &[i64]) = (bytemuck::cast_slice(x), bytemuck::cast_slice(y));
    // Faults are rare: they are looked for only when the fast pass has seen that there is one.
    let fits = match op {
        Binary::Add => {
            let out: &mut [i64] = bytemuck::cast_slice_mut(answers);
            kernel!(lanes, add, add(a: &[i64], b: &[i64], out: &mut [i64]) -> bool)
        }
        Binary::Subtract => {
            let out: &mut [i64] = bytemuck::cast_slice_mut(answers);
            kernel!(lanes, subtract, subtract(a: &[i64], b: &[i64], out: &mut [i64]) -> bool)
        }
        Binary::Multiply => {
            let out: &mut [i64] = bytemuck::cast_slice_mut(answers);
            kernel!(lanes, multiply, multiply(a: &[i64], b: &[i64], out: &mut [i64]) -> bool)
        }
        Binary::Least => {
            zip!(lanes, x, y, answers, i64 => i64, |x, y| x.min(y));
            true
        }
        Binary::Greatest => {
            zip!(lanes, x, y, answers, i64 => i64, |x, y| x.max(y));
            true
        }
        Binary::Below => {
            zip!(lanes, x, y, answers, i64 => u64, |x, y| u64::from(x < y));
            true
        }
        Binary::AtMost => {
            zip!(lanes, x, y, answers, i64 => u64, |x, y| u64::from(x <= y));
            true
        }
        Binary::Equal => {
            zip!(lanes, x, y, answers, i64 => u64, |x, y| u64::from(x == y));
            true
        }
        Binary::Unequal => {
            zip!(lanes, x, y, answers, i64 => u64, |x, y| u64::from(x != y));
            true
        }
        Binary::Divide => {
            zip!(lanes, x, y, answers, i64 => f64, quotient);
            true
        }
        _ => false,
    };
    if fits { None } else { slowly(answers) }
}

#[inline(always)]
fn add(x: &[i64], y: &[i64], out: &mut [i64]) -> bool {
    let mut overflows = 0;
    for ((x, y), out) in x.iter().zip(y).zip(out) {
        *out = x.wrapping_add(*y);
        // The sum has another sign than both.
        overflows |= (x ^ *out) & (y ^ *out);
    }
    overflows >= 0
}

#[inline(always)]
fn subtract(x: &[i64], y: &[i64], out: &mut [i64]) -> bool {
    let mut overflows = 0;
    for ((x, y), out) in x.iter().zip(y).zip(out) {
        *out = x.wrapping_sub(*y);
        overflows |= (x ^ y) & (x ^ *out);
    }
    overflows >= 0
}

/// False also where a number does not fit in 32 bits, so that the product may not fit in 64.
#[inline(always)]
fn multiply(x: &[i64], y: &[i64], out: &mut [i64]) -> bool {
    let mut large = 0;
    for ((x, y), out) in x.iter().zip(y).zip(out) {
        *out = x.wrapping_mul(*y);
        let beyond = |x: i64| (x as u64).wrapping_add(1 << 31) >> 32;
        large |= beyond(*x) | beyond(*y);
    }
    large == 0
}

#[cfg(test)]
mod tests {
    use super::super::{Column, is_random, parse};
    use super::*;
    use proptest::prelude::*;

    fn columns() -> Vec<Column> {
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        vec![
            column("i", Kind::Whole),
            column("j", Kind::Whole),
            column("x", Kind::Float),
            column("y", Kind::Float),
            column("name", Kind::Text),
        ]
    }

    /// All answers, or why there is none, of rows that stand in four columns.
    fn all(text: &str, rows: &[[u64; 4]], lanes: Lanes) -> (Kind, Vec<Result<u64, Fault>>) {
        let mut program =
            Program::new(parse(text, &columns()).unwrap_or_else(|f| panic!("{text}: {f}")), lanes, 11);
        let by_column: Vec<Vec<u64>> = (0..4).map(|c| rows.iter().map(|row| row[c]).collect()).collect();
        let mut answers = Vec::new();
        while answers.len() < rows.len() {
            let from = answers.len();
            let count = (rows.len() - from).min(program.rows_at_once());
            let windows: Vec<&[u64]> = by_column.iter().map(|column| &column[from..from + count]).collect();
            let mut out = vec![0; count];
            let faults = program.answer(&windows, &[], from as u64, &mut out);
            answers.extend(out.into_iter().enumerate().map(|(row, bits)| {
                let is_fault = faults.has(row);
                let fault = program.fault(&windows, &[], from as u64, row);
                assert_eq!(is_fault, fault.is_some(), "{text} of row {row}");
                fault.map_or(Ok(bits), Err)
            }));
        }
        (program.kind(), answers)
    }

    fn one(text: &str, i: i64, x: f64) -> String {
        let (kind, answers) = all(text, &[[i as u64, 3, x.to_bits(), 0.5f64.to_bits()]], Lanes::Scalar);
        match (&answers[0], kind) {
            (Ok(bits), Kind::Whole) => (*bits as i64).to_string(),
            (Ok(bits), Kind::Float | Kind::Text) => format!("{:?}", f64::from_bits(*bits)),
            (Err(fault), _) => fault.to_string(),
        }
    }

    #[test]
    fn operators_are_those_of_python() {
        for (text, expected) in [
            ("1 + 2 * 3", "7"),
            ("-i^2", "-49"),
            ("2^-1", "0.5"),
            ("2^3^2", "512"),
            ("2**i", "128"),
            ("-7 // 2", "-4"),
            ("-7 % 2", "1"),
            ("7 // -2", "-4"),
            ("7 % -2", "-1"),
            ("i / 2", "3.5"),
            ("6 / 3", "2.0"),
            ("-7.5 // 2", "-4.0"),
            ("-7.5 % 2", "0.5"),
            ("i < 8 and x > 1 or i == 0", "1"),
            ("not i", "0"),
            ("!i == 0", "1"),
            ("if(i > 5, i, -i) + 1", "8"),
            ("if(i > 5, 1, 0.5)", "1.0"),
            ("min(3, i, 5) + max(1, 2)", "5"),
            ("x^2 + 3*sin(x)", "6.727892280477045"),
            ("sqrt(x^2 + y^2)", "2.0615528128088303"),
            ("abs(-i)", "7"),
            ("sqrt(i)", "2.6457513110645907"),
            ("pi", "3.141592653589793"),
            ("1e3", "1000.0"),
            (".5 + 1.", "1.5"),
            ("((i))", "7"),
            ("+i", "7"),
            ("`i` * 2", "14"),
            ("9007199254740993 / 1", "9007199254740992.0"),
            ("9007199254740993 / 3", "3002399751580331.0"),
            ("9223372036854775807 / 9223372036854775806", "1.0"),
            ("1 / 9223372036854775807", "1.0842021724855044e-19"),
            ("i // 0", "7 // 0: division by zero"),
            ("if(i == 0, 1 // i, 5)", "5"),
            (
                "i * 9000000000000000000",
                "7 * 9000000000000000000 does not fit in a 64-bit whole number; for floats: --dtype f64, or float(…)",
            ),
            ("float(i) * 9000000000000000000", "6.3e19"),
            ("i^(-j)", "7 ^ -3 is no whole number; for floats: float(…)"),
            ("collatz(27)", "111"),
            ("atan2(1, 2)", "0.4636476090008061"),
            ("hypot(3, 4)", "5.0"),
        ] {
            assert_eq!(one(text, 7, 2.0), expected, "{text}");
        }
    }

    #[test]
    fn faults_point_at_their_place() {
        for (text, shown) in [
            ("2 +", "  2 +\n     ^ it ends where a number, a column or a function should follow"),
            ("", "  \n  ^ it ends where a number, a column or a function should follow"),
            ("2 + * 3", "  2 + * 3\n      ^ a number, a column or a function should stand here, and not '*'"),
            ("(2 + 3", "  (2 + 3\n        ^ a bracket is not closed"),
            ("2 + 3)", "  2 + 3)\n       ^ this bracket closes none"),
            ("2 3", "  2 3\n    ^ an operator (as in + - * / // % ^ < ==) should stand here, and not '3'"),
            ("i + k", "  i + k\n      ^ there is no column k; there are i, j, x, y, name"),
            ("name + 1", "  name + 1\n  ^^^^ this is text, and no number"),
            ("sine(x)", "  sine(x)\n  ^^^^ there is no function sine; did you mean sin?"),
            ("sin", "  sin\n  ^^^ sin is a function: sin(…)"),
            ("sin(x, y)", "  sin(x, y)\n  ^^^^^^^^^ sin is of 1 number"),
            (
                "x + uniform(1)",
                "  x + uniform(1)\n      ^^^^^^^^^^ uniform is of 2 numbers, or of none: uniform(), and 1 is given",
            ),
            ("normal(name, 1)", "  normal(name, 1)\n         ^^^^ this is text, and no number"),
            ("max(1)", "  max(1)\n  ^^^^^^ max is of 2 numbers or more, and 1 is given"),
            ("if(1, 2)", "  if(1, 2)\n  ^^^^^^^^ if is of a condition and two numbers, and 2 are given"),
            (
                "1 < i < 3",
                "  1 < i < 3\n        ^ two comparisons in a row: say what is meant with and, as in a < b and b < c",
            ),
            ("collatz(x)", "  collatz(x)\n  ^^^^^^^^^^ collatz is of whole numbers, and this is a float"),
            ("1 // 0", "  1 // 0\n  ^^^^^^ 1 // 0: division by zero"),
            (
                "99999999999999999999",
                "  99999999999999999999\n  ^^^^^^^^^^^^^^^^^^^^ 99999999999999999999 does not fit in a 64-bit whole number; as a float: 99999999999999999999.0",
            ),
        ] {
            let fault = parse(text, &columns()).unwrap_err();
            assert_eq!(format!("{} {fault}", fault.shown_in(text)), shown);
        }
        for text in [
            "(".repeat(5000),
            "-".repeat(5000) + "1",
            "x+".repeat(4000) + "1",
            "2^".repeat(4000) + "1",
            "x".repeat(20_000),
        ] {
            assert!(parse(&text, &columns()).is_err());
        }
    }

    #[test]
    fn random_numbers_are_those_of_the_stream_in_the_order_of_the_text() {
        let rows = [[1, 2, 1f64.to_bits(), 3f64.to_bits()]; 5];
        let floats = |text: &str| -> Vec<f64> {
            let answers = all(text, &rows, Lanes::best()).1;
            answers.into_iter().map(|bits| f64::from_bits(bits.unwrap())).collect()
        };
        let expected =
            |of: fn(Stream) -> f64| -> Vec<f64> { (0..5).map(|row| of(Stream { seed: 11, row })).collect() };
        for (text, of) in [
            ("uniform()", (|s| s.uniform(0)) as fn(Stream) -> f64),
            ("uniform() - uniform()", |s| s.uniform(0) - s.uniform(1)),
            ("min(uniform(), 2) > 3 or uniform() < 0", |_| 0.0),
            // That which stands within the brackets of another comes first, and one that is not chosen has its number.
            ("uniform(uniform(), uniform())", |s| {
                s.uniform(0) + (s.uniform(1) - s.uniform(0)) * s.uniform(2)
            }),
            ("if(x > y, uniform(), uniform())", |s| s.uniform(1)),
            ("uniform(2, 4)", |s| 2.0 + 2.0 * s.uniform(0)),
            ("normal() + uniform()", |s| s.normal(0) + s.uniform(2)),
            ("normal(x, y)", |s| 1.0 + 3.0 * s.normal(0)),
            ("uniform() + normal(normal(), 2) > uniform()", |s| {
                f64::from_bits(u64::from(s.uniform(0) + (s.normal(1) + 2.0 * s.normal(3)) > s.uniform(5)))
            }),
        ] {
            assert_eq!(floats(text), expected(of), "{text}");
        }
    }

    #[test]
    fn what_draws_is_known_before_there_are_columns() {
        for text in ["uniform()", "a*(1 + normal (0, 1))", "if(a, 1, -max(2, 3 - uniform()))"] {
            assert!(is_random(text), "{text}");
        }
        for text in ["uniform", "uniform + `normal()`", "sin(uniform)", "uniform(", "uniforms()"] {
            assert!(!is_random(text), "{text}");
        }
    }

    #[test]
    fn a_sole_column_is_x() {
        let sole = [Column { name: "price".to_owned(), kind: Kind::Float }];
        assert!(parse("x + price", &sole).is_ok());
        assert!(parse("x", &[Column { name: String::new(), kind: Kind::Whole }]).is_ok());
    }

    fn text() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("i".to_owned()),
            Just("j".to_owned()),
            Just("x".to_owned()),
            Just("y".to_owned()),
            (0i64..100).prop_map(|n| n.to_string()),
            (0f64..10.0).prop_map(|n| format!("{n:?}")),
            Just("uniform()".to_owned()),
            Just("normal()".to_owned()),
        ];
        leaf.prop_recursive(4, 30, 3, |of| {
            let of = of.boxed();
            prop_oneof![
                6 => (of.clone(), prop::sample::select(vec!["+", "-", "*", "/", "//", "%", "<", "<=", ">", "==", "!=", "and", "or"]), of.clone())
                    .prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
                1 => (of.clone(), 0..4).prop_map(|(a, n)| format!("({a})^{n}")),
                1 => of.clone().prop_map(|a| format!("-({a})")),
                1 => of.clone().prop_map(|a| format!("not ({a})")),
                2 => (prop::sample::select(vec!["abs", "sqrt", "floor", "square", "sin"]), of.clone()).prop_map(|(f, a)| format!("{f}({a})")),
                1 => (of.clone(), of.clone()).prop_map(|(a, b)| format!("min({a}, {b})")),
                1 => (prop::sample::select(vec!["uniform", "normal"]), of.clone(), of.clone()).prop_map(|(f, a, b)| format!("{f}({a}, {b})")),
                2 => (of.clone(), of.clone(), of).prop_map(|(c, a, b)| format!("if({c}, {a}, {b})")),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_lane_answers_as_the_reference(
            text in text(),
            rows in prop::collection::vec((prop_oneof![-9i64..9, any::<i64>()], prop_oneof![-9i64..9, any::<i64>()], any::<f64>(), -3f64..3.0), 1..80),
        ) {
            let rows: Vec<[u64; 4]> = rows.iter().map(|(i, j, x, y)| [*i as u64, *j as u64, x.to_bits(), y.to_bits()]).collect();
            // What is constant may have a fault of its own.
            prop_assume!(parse(&text, &columns()).is_ok());
            let reference = all(&text, &rows, Lanes::Scalar);
            for lanes in Lanes::all() {
                let found = all(&text, &rows, lanes);
                let is_same = |(a, b): (&Result<u64, Fault>, &Result<u64, Fault>)| {
                    let is_nan = |bits: &Result<u64, Fault>| bits.as_ref().is_ok_and(|bits| f64::from_bits(*bits).is_nan());
                    a == b || reference.0 == Kind::Float && is_nan(a) && is_nan(b)
                };
                prop_assert!(reference.1.iter().zip(&found.1).all(is_same), "{}\n{:?}\n{:?}", text, reference, found);
            }
        }
    }
}
