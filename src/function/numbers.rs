//! Named functions of one number, and the answers as text or as raw 64-bit numbers.
//!
//! Whole numbers are exact or an error; floats follow IEEE 754. Each function stands here once for one
//! value, which is what the serial pattern runs, and once as a kernel over many, which the other patterns
//! run in vector lanes; the tests hold the two equal to the bit.

use crate::error::Error;
use crate::function::lanes::{Lanes, kernel};
use crate::function::{Answer, Function, Page, pages};
use crate::input::{Block, Indexed};
use crate::job::Dtype;
use crate::output::{Form, Frame, Who};

/// The functions that `--function` knows, for messages and help.
pub const NAMES: &[&str] =
    if cfg!(feature = "fault-injection") { &["square", "panic", "die", "nap"] } else { &["square"] };

/// A function of one number, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// x·x
    Square,
    /// For the tests of what goes wrong in a worker.
    #[cfg(feature = "fault-injection")]
    Fault(Fault),
}

/// What can be made to go wrong on purpose.
#[cfg(feature = "fault-injection")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Panics on any value.
    Panic,
    /// A value below 0 kills its process with that signal; others are squared.
    Die,
    /// Takes as many milliseconds as the value says, and squares it.
    Nap,
}

#[cfg(feature = "fault-injection")]
impl Fault {
    fn happen(self, x: i64) {
        match self {
            Self::Panic => panic!("asked to"),
            Self::Die if x < 0 => {
                let number = i32::try_from(x.unsigned_abs()).ok();
                if let Some(signal) = number.and_then(rustix::process::Signal::from_named_raw) {
                    let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
                }
            }
            Self::Nap => {
                tracing::trace!("a nap of {x} ms");
                std::thread::sleep(std::time::Duration::from_millis(x.unsigned_abs()));
            }
            Self::Die => {}
        }
    }
}

impl Named {
    /// The function of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "square" => Some(Self::Square),
            #[cfg(feature = "fault-injection")]
            "panic" => Some(Self::Fault(Fault::Panic)),
            #[cfg(feature = "fault-injection")]
            "die" => Some(Self::Fault(Fault::Die)),
            #[cfg(feature = "fault-injection")]
            "nap" => Some(Self::Fault(Fault::Nap)),
            _ => None,
        }
    }

    /// As [`Named::from_name`] knows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Square => "square",
            #[cfg(feature = "fault-injection")]
            Self::Fault(Fault::Panic) => "panic",
            #[cfg(feature = "fault-injection")]
            Self::Fault(Fault::Die) => "die",
            #[cfg(feature = "fault-injection")]
            Self::Fault(Fault::Nap) => "nap",
        }
    }

    /// The answer for one whole number; `None` when it does not fit in 64 bits.
    fn one_whole(self, x: i64) -> Option<i64> {
        match self {
            Self::Square => x.checked_mul(x),
            #[cfg(feature = "fault-injection")]
            Self::Fault(fault) => {
                fault.happen(x);
                x.checked_mul(x)
            }
        }
    }

    /// The answer for one float.
    fn one_float(self, x: f64) -> f64 {
        match self {
            Self::Square => x * x,
            #[cfg(feature = "fault-injection")]
            Self::Fault(fault) => {
                fault.happen(x as i64);
                x * x
            }
        }
    }

    /// Answers `x` into `y` (of the same length) and returns how many: fewer than all where the answer of
    /// the next does not fit in 64 bits.
    fn whole(self, lanes: Lanes, x: &[i64], y: &mut [i64]) -> usize {
        let one_by_one = |x: &[i64], y: &mut [i64]| {
            for (i, (x, y)) in x.iter().zip(y).enumerate() {
                match scalar(self).one_whole(*x) {
                    Some(answer) => *y = answer,
                    None => return i,
                }
            }
            x.len()
        };
        match self {
            Self::Square => kernel!(lanes, one_by_one, square_whole(x: &[i64], y: &mut [i64]) -> usize),
            #[cfg(feature = "fault-injection")]
            Self::Fault(_) => one_by_one(x, y),
        }
    }

    /// Answers `x` into `y` (of the same length).
    fn float(self, lanes: Lanes, x: &[f64], y: &mut [f64]) {
        let one_by_one =
            |x: &[f64], y: &mut [f64]| x.iter().zip(y).for_each(|(x, y)| *y = scalar(self).one_float(*x));
        match self {
            Self::Square => kernel!(lanes, one_by_one, square_float(x: &[f64], y: &mut [f64]) -> ()),
            #[cfg(feature = "fault-injection")]
            Self::Fault(_) => one_by_one(x, y),
        }
    }

    fn complaint(self, value: i64) -> String {
        format!("{value}: its square does not fit in a 64-bit whole number; for floats: --dtype f64")
    }
}

/// `function`, but the compiler must not know which: it would turn the loop over single values into a
/// vector kernel, and the reference would no longer be one.
fn scalar(function: Named) -> Named {
    std::hint::black_box(function)
}

/// The largest whole number whose square fits in an `i64`: ⌊√(2^63 − 1)⌋.
const LARGEST_ROOT: u64 = 3_037_000_499;

#[inline(always)]
fn square_whole(x: &[i64], y: &mut [i64]) -> usize {
    let mut fits = true;
    for (x, y) in x.iter().zip(&mut *y) {
        let size = x.unsigned_abs();
        fits &= size <= LARGEST_ROOT;
        // What fits has its root in 32 bits, and those can be multiplied in vector lanes everywhere.
        let low = size & 0xffff_ffff;
        *y = low.wrapping_mul(low) as i64;
    }
    // Faults are rare: looked for only when the fast pass has seen that there is one.
    if fits { x.len() } else { x.iter().position(|x| x.unsigned_abs() > LARGEST_ROOT).unwrap_or(x.len()) }
}

#[inline(always)]
fn square_float(x: &[f64], y: &mut [f64]) {
    x.iter().zip(y).for_each(|(x, y)| *y = x * x);
}

/// Values that are answered at once, and turned to text while they lie in the first-level cache.
const PIECE: usize = 1024;

/// How values are answered.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// What is done with each.
    pub function: Named,
    /// Their type.
    pub dtype: Dtype,
    /// What the answers should look like.
    pub form: Form,
    /// The instructions that they are computed with.
    pub lanes: Lanes,
    /// Values without an answer are passed over.
    pub keep_going: bool,
}

/// A [`Named`] function over blocks of values.
pub struct Numbers {
    manner: Manner,
    /// Where this worker finds the values of a block itself, when they are not handed to it.
    source: Option<Box<dyn Indexed>>,
    /// Values from the source.
    values: Vec<Page>,
    /// Answers before they are text.
    answers: Vec<u64>,
    /// What stands around them.
    frame: Frame,
}

impl Numbers {
    /// Answers as `manner` says, as worker `rank`, the values from `source` or else as they are handed over.
    pub fn new(manner: Manner, rank: usize, source: Option<Box<dyn Indexed>>) -> Self {
        let values = pages(source.as_ref().map_or(0, |source| source.piece() * size_of::<u64>()));
        let frame = frame(manner.form, Some(rank));
        Self { manner, source, values, answers: vec![0; PIECE], frame }
    }
}

/// What stands around answers of `form`, which `rank` has given, or nobody.
fn frame(form: Form, rank: Option<usize>) -> Frame {
    match form {
        Form::Rows(rows) => rows.frame(rank.map(Who::here).as_ref()),
        Form::Raw | Form::Pairs { .. } | Form::Text => Frame::default(),
    }
}

/// Where the runs of [`Form::Pairs`] stand in the room of a block that has `of` values.
#[derive(Clone, Copy)]
struct Runs {
    of: usize,
    gaps: bool,
}

impl Runs {
    /// Value number `i`, its answer, and whether it is a gap.
    fn put(self, room: &mut [u8], i: usize, value: u64, answer: u64, is_gap: bool) {
        let (values, rest) = room.split_at_mut(self.of * size_of::<u64>());
        let (answers, gaps) = rest.split_at_mut(self.of * size_of::<u64>());
        let at = i * size_of::<u64>()..(i + 1) * size_of::<u64>();
        values[at.clone()].copy_from_slice(bytemuck::bytes_of(&value));
        answers[at].copy_from_slice(bytemuck::bytes_of(&answer));
        if self.gaps {
            gaps[i] = u8::from(is_gap);
        }
    }

    /// Moves the runs together when there are only `count` values. Returns how many bytes that are.
    fn close_up(self, room: &mut [u8], count: usize) -> usize {
        let words = count * size_of::<u64>();
        let start = self.of * size_of::<u64>();
        room.copy_within(start..start + words, words);
        if self.gaps {
            room.copy_within(2 * start..2 * start + count, 2 * words);
        }
        Form::Pairs { gaps: self.gaps }.width() * count
    }
}

impl Manner {
    /// Answers `x` into `y`, both as bits of the type, and returns how many as [`Named::whole`].
    fn compute(&self, x: &[u64], y: &mut [u64]) -> usize {
        match self.dtype {
            Dtype::I64 => {
                self.function.whole(self.lanes, bytemuck::cast_slice(x), bytemuck::cast_slice_mut(y))
            }
            Dtype::F64 => {
                self.function.float(self.lanes, bytemuck::cast_slice(x), bytemuck::cast_slice_mut(y));
                x.len()
            }
        }
    }

    /// Answers `x` behind what `answer` already has in `room`, which is for `of` values; false when the run
    /// is to stop.
    fn answer(
        &self,
        x: &[u64],
        y: &mut [u64],
        of: usize,
        frame: &Frame,
        room: &mut [u8],
        answer: &mut Answer,
    ) -> bool {
        let mut rest = x;
        loop {
            let space = &mut room[answer.bytes..];
            let (done, bytes) = match self.form {
                Form::Raw => {
                    let done = self.compute(rest, bytemuck::cast_slice_mut(&mut space[..size_of_val(rest)]));
                    (done, done * size_of::<u64>())
                }
                Form::Pairs { .. } => {
                    // Bytes are counted when all is done: until then the runs grow apart from each other.
                    let at = (answer.items + answer.failed) as usize;
                    let (values, behind) = room.split_at_mut(of * size_of::<u64>());
                    let words = at * size_of::<u64>()..at * size_of::<u64>() + size_of_val(rest);
                    values[words.clone()].copy_from_slice(bytemuck::cast_slice(rest));
                    (self.compute(rest, bytemuck::cast_slice_mut(&mut behind[words])), 0)
                }
                Form::Text => {
                    let done = self.compute(rest, &mut y[..rest.len()]);
                    (done, render(self.dtype, &y[..done], space))
                }
                Form::Rows(_) => {
                    let done = self.compute(rest, &mut y[..rest.len()]);
                    (done, render_rows(self.dtype, &rest[..done], &y[..done], frame, space))
                }
            };
            answer.bytes += bytes;
            answer.items += done as u64;
            let Some(bits) = rest.get(done) else { return true };
            let complaint = self.function.complaint(*bits as i64);
            if !self.keep_going {
                answer.failure = Some(Error::Item(complaint));
                return false;
            }
            match self.form {
                Form::Pairs { gaps } => {
                    let at = (answer.items + answer.failed) as usize;
                    Runs { of, gaps }.put(room, at, *bits, missing(self.dtype), true);
                }
                form => {
                    answer.bytes += leave_gap(form, self.dtype, *bits, frame, &mut room[answer.bytes..]);
                }
            }
            answer.failed += 1;
            answer.first_failed.get_or_insert(complaint);
            rest = &rest[done + 1..];
        }
    }
}

/// What stands in a list of numbers for one that is missing.
fn missing(dtype: Dtype) -> u64 {
    match dtype {
        Dtype::I64 => 0,
        Dtype::F64 => f64::NAN.to_bits(),
    }
}

/// What is left where an answer would be, so that the others still stand beside their values.
fn leave_gap(form: Form, dtype: Dtype, bits: u64, frame: &Frame, room: &mut [u8]) -> usize {
    match form {
        Form::Raw => {
            room[..size_of::<u64>()].fill(0);
            size_of::<u64>()
        }
        Form::Pairs { gaps } => {
            let runs = Runs { of: 1, gaps };
            runs.put(room, 0, bits, missing(dtype), true);
            runs.close_up(room, 1)
        }
        Form::Text => {
            room[0] = b'\n';
            1
        }
        Form::Rows(_) => render_rows(dtype, &[bits], &[], frame, room),
    }
}

/// The gap for a value that no process has answered.
pub fn gap(form: Form, dtype: Dtype, bits: u64) -> Vec<u8> {
    let mut room = vec![0; form.width()];
    let len = leave_gap(form, dtype, bits, &frame(form, None), &mut room);
    room.truncate(len);
    room
}

impl Function for Numbers {
    fn apply(&mut self, block: &Block, values: &[u64], room: &mut [u8]) -> Answer {
        let Self { manner, source, values: own, answers, frame } = self;
        let own: &mut [u64] = bytemuck::cast_slice_mut(own);
        let mut answer = Answer::default();
        let count = block.len() as usize;
        if let Form::Pairs { gaps: true } = manner.form {
            room[2 * size_of::<u64>() * count..][..count].fill(0);
        }
        let mut at = 0;
        while at < count {
            let (x, fault) = match source {
                None => (&values[at..count], Ok(())),
                Some(source) => {
                    let most = own.len().min(count - at);
                    let (found, fault) =
                        source.fill_at(block.start + at as u64, &mut own[..most], manner.lanes);
                    (&own[..found], fault)
                }
            };
            at += x.len();
            answer.input_bytes += size_of_val(x) as u64;
            if !x.chunks(PIECE).all(|x| manner.answer(x, answers, count, frame, room, &mut answer)) {
                break;
            }
            if let Err(error) = fault {
                answer.failure = Some(error);
                break;
            }
        }
        if let Form::Pairs { gaps } = manner.form {
            let done = (answer.items + answer.failed) as usize;
            answer.bytes = Runs { of: count, gaps }.close_up(room, done);
        }
        answer
    }
}

/// Appends words to the front of a room.
struct Line<'a> {
    room: &'a mut [u8],
    at: usize,
    whole: itoa::Buffer,
    float: ryu::Buffer,
}

impl<'a> Line<'a> {
    fn new(room: &'a mut [u8]) -> Self {
        Self { room, at: 0, whole: itoa::Buffer::new(), float: ryu::Buffer::new() }
    }

    fn number(&mut self, dtype: Dtype, bits: u64) {
        let text = match dtype {
            Dtype::I64 => self.whole.format(bits as i64),
            Dtype::F64 => self.float.format(f64::from_bits(bits)),
        };
        self.room[self.at..self.at + text.len()].copy_from_slice(text.as_bytes());
        self.at += text.len();
    }

    /// A number, and the end of its line.
    fn line(&mut self, dtype: Dtype, bits: u64) {
        self.number(dtype, bits);
        self.room[self.at] = b'\n';
        self.at += 1;
    }

    fn word(&mut self, word: &str) {
        self.room[self.at..self.at + word.len()].copy_from_slice(word.as_bytes());
        self.at += word.len();
    }

    /// A number of a row.
    fn field(&mut self, dtype: Dtype, bits: u64, is_json: bool) {
        match (dtype, f64::from_bits(bits)) {
            (Dtype::F64, x) if is_json && !x.is_finite() => self.word("null"),
            _ => self.number(dtype, bits),
        }
    }
}

/// Writes numbers one per line to the front of `room`, which must have [`crate::output::WIDEST`] bytes for each, and
/// returns how many bytes. Floats in the shortest form that reads back the same (Ryū, PLDI 2018).
pub fn render(dtype: Dtype, bits: &[u64], room: &mut [u8]) -> usize {
    let mut line = Line::new(room);
    match dtype {
        // Told apart once and not for each number.
        Dtype::I64 => bits.iter().for_each(|bits| line.line(Dtype::I64, *bits)),
        Dtype::F64 => bits.iter().for_each(|bits| line.line(Dtype::F64, *bits)),
    }
    line.at
}

/// As [`render`], but a row for each value, as `frame` has it; where there are fewer answers than values the
/// rest have none. [`Form::width`] bytes for each.
fn render_rows(dtype: Dtype, values: &[u64], answers: &[u64], frame: &Frame, room: &mut [u8]) -> usize {
    let mut line = Line::new(room);
    for (i, value) in values.iter().enumerate() {
        line.word(frame.open);
        line.field(dtype, *value, frame.is_json);
        line.word(frame.between);
        match answers.get(i) {
            Some(answer) => line.field(dtype, *answer, frame.is_json),
            None => line.word(frame.missing),
        }
        line.word(&frame.close);
    }
    line.at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Rows, WIDEST};
    use proptest::prelude::*;

    fn numbers(dtype: Dtype, form: Form, lanes: Lanes, keep_going: bool) -> Numbers {
        Numbers::new(Manner { function: Named::Square, dtype, form, lanes, keep_going }, 0, None)
    }

    fn text(mut numbers: Numbers, bits: &[u64]) -> (String, Answer) {
        let mut room = vec![0; bits.len() * numbers.manner.form.width()];
        let answer = numbers.apply(&Block { start: 0, end: bits.len() as u64 }, bits, &mut room);
        room.truncate(answer.bytes);
        (String::from_utf8(room).unwrap(), answer)
    }

    #[test]
    fn the_largest_root_is_the_largest() {
        let root = LARGEST_ROOT as i64;
        assert!(root.checked_mul(root).is_some());
        assert!((root + 1).checked_mul(root + 1).is_none());
    }

    #[test]
    fn answers_before_the_first_that_does_not_fit_stand() {
        let mut values = vec![3u64; 1600];
        values.extend([i64::MIN as u64, 4, u64::MAX / 2]);
        for lanes in Lanes::all() {
            let (out, answer) = text(numbers(Dtype::I64, Form::Text, lanes, false), &values);
            assert_eq!(out, "9\n".repeat(1600));
            assert_eq!(answer.items, 1600);
            assert!(answer.failure.unwrap().to_string().starts_with("-9223372036854775808: its square"));
        }
    }

    #[test]
    fn what_is_passed_over_leaves_a_gap() {
        let values = [3u64, i64::MIN as u64, 4, u64::MAX / 2];
        for lanes in Lanes::all() {
            let (out, answer) = text(numbers(Dtype::I64, Form::Text, lanes, true), &values);
            assert_eq!(out, "9\n\n16\n\n");
            assert_eq!((answer.items, answer.failed, answer.failure.is_none()), (2, 2, true));
            assert!(answer.first_failed.unwrap().starts_with("-9223372036854775808: its square"));
        }
        let (out, _) = text(numbers(Dtype::I64, Form::Rows(Rows::Tabs), Lanes::best(), true), &values[..3]);
        let pid = std::process::id();
        assert_eq!(out, format!("3\t9\t{pid}\n-9223372036854775808\t\t{pid}\n4\t16\t{pid}\n"));
    }

    #[test]
    fn the_widest_float_fits() {
        let widest = [-f64::MAX, f64::MIN_POSITIVE, -1.2345678901234567e-308, f64::NAN, f64::NEG_INFINITY];
        let mut room = vec![0; widest.len() * WIDEST];
        for value in widest {
            assert!(render(Dtype::F64, &[value.to_bits()], &mut room) <= WIDEST);
        }
    }

    proptest! {
        #[test]
        fn whole_squares_are_exact(values: Vec<i32>) {
            let bits: Vec<u64> = values.iter().map(|v| i64::from(*v) as u64).collect();
            let expected: String = values.iter().map(|v| format!("{}\n", i64::from(*v) * i64::from(*v))).collect();
            prop_assert_eq!(text(numbers(Dtype::I64, Form::Text, Lanes::best(), false), &bits).0, expected);
        }

        #[test]
        fn every_lane_computes_as_the_reference(
            values in prop::collection::vec(prop_oneof![
                4 => any::<i32>().prop_map(i64::from),
                1 => any::<i64>(),
                1 => -3037000502i64..-3037000496,
                1 => 3037000496i64..3037000502,
            ], 0..300),
        ) {
            let mut expected = vec![0; values.len()];
            let reference = Named::Square.whole(Lanes::Scalar, &values, &mut expected);
            prop_assert_eq!(reference, values.iter().take_while(|v| v.checked_mul(**v).is_some()).count());
            let floats: Vec<f64> = values.iter().map(|v| f64::from_bits(*v as u64)).collect();
            for lanes in Lanes::all() {
                let mut y = vec![0; values.len()];
                prop_assert_eq!(Named::Square.whole(lanes, &values, &mut y), reference);
                prop_assert_eq!(&y[..reference], &expected[..reference]);
                let mut y = vec![0.0; values.len()];
                Named::Square.float(lanes, &floats, &mut y);
                for (x, y) in floats.iter().zip(&y) {
                    prop_assert!((x * x).to_bits() == y.to_bits() || (x * x).is_nan() && y.is_nan());
                }
            }
        }

        #[test]
        fn float_squares_read_back_to_the_bit(values: Vec<f64>) {
            let bits: Vec<u64> = values.iter().map(|v| v.to_bits()).collect();
            let (out, _) = text(numbers(Dtype::F64, Form::Text, Lanes::best(), false), &bits);
            let back: Vec<f64> = out.lines().map(|line| line.parse().unwrap()).collect();
            prop_assert_eq!(back.len(), values.len());
            for (x, y) in values.iter().zip(back) {
                prop_assert!((x * x).to_bits() == y.to_bits() || (x * x).is_nan() && y.is_nan());
            }
        }
    }
}
