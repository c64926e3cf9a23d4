//! One worker's part in a map: values from its own source or as they are handed over, the function, and the encoding
//! of the answers, a piece at a time, so that all of it happens in the first-level cache.

use crate::base::error::Error;
use crate::base::lanes::Lanes;
use crate::base::signals;
use crate::data::block::Block;
use crate::data::dtype::Dtype;
use crate::input::Indexed;
use crate::job::Task;
use crate::op::expr::{Faults, Program, WINDOW};
use crate::op::{BlockResult, Bound, Operator, Page, pages};
use crate::output::encode::{self, Encoding, RowTemplate, Who, render, render_rows};

/// How values are answered.
#[derive(Debug, Clone, Copy)]
pub struct MapSettings {
    /// Their type.
    pub values: Dtype,
    /// That of the answers.
    pub answers: Dtype,
    /// What the answers should look like.
    pub form: Encoding,
    /// Values without an answer are passed over.
    pub keep_going: bool,
}

impl MapSettings {
    /// Those of `task`.
    pub fn of(task: &Task, bound: &Bound) -> Self {
        Self {
            values: bound.info.dtype(),
            answers: bound.answers(),
            form: Encoding::of(task),
            keep_going: task.keep_going,
        }
    }

    fn value<'a>(&self, bits: &'a [u64]) -> encode::Numbers<'a> {
        encode::Numbers { dtype: self.values, bits }
    }

    fn answer<'a>(&self, bits: &'a [u64]) -> encode::Numbers<'a> {
        encode::Numbers { dtype: self.answers, bits }
    }
}

/// A formula over blocks of values.
pub struct Numbers {
    settings: MapSettings,
    program: Program,
    /// The instructions that values are found with.
    lanes: Lanes,
    /// Where this worker finds the values of a block itself, when they are not handed to it.
    source: Option<Box<dyn Indexed>>,
    /// Values from the source.
    values: Vec<Page>,
    /// Answers before they are text.
    answers: Vec<u64>,
    /// What stands around them.
    frame: RowTemplate,
}

impl Numbers {
    /// Answers with `program` as `settings` says, as worker `rank`, the values from `source` or else as they are handed
    /// over. Both with `lanes`.
    pub fn new(
        settings: MapSettings,
        program: Program,
        lanes: Lanes,
        rank: usize,
        source: Option<Box<dyn Indexed>>,
    ) -> Self {
        let values = pages(source.as_ref().map_or(0, |source| source.piece() * size_of::<u64>()));
        let frame = frame(settings.form, Some(rank));
        Self { settings, program, lanes, source, values, answers: vec![0; WINDOW], frame }
    }
}

/// What stands around answers of `form`, which `rank` has given, or nobody.
fn frame(form: Encoding, rank: Option<usize>) -> RowTemplate {
    match form {
        Encoding::Rows(rows) => rows.frame(rank.map(Who::here).as_ref()),
        Encoding::Raw | Encoding::Pairs { .. } | Encoding::Text => RowTemplate::default(),
    }
}

/// Where the runs of [`Encoding::Pairs`] stand in the buffer of a block that has `of` values.
#[derive(Clone, Copy)]
struct Runs {
    of: usize,
    gaps: bool,
}

impl Runs {
    /// Value number `i`, its answer, and whether it is a gap.
    fn put(self, buf: &mut [u8], i: usize, value: u64, answer: u64, is_gap: bool) {
        let (values, rest) = buf.split_at_mut(self.of * size_of::<u64>());
        let (answers, gaps) = rest.split_at_mut(self.of * size_of::<u64>());
        let at = i * size_of::<u64>()..(i + 1) * size_of::<u64>();
        values[at.clone()].copy_from_slice(bytemuck::bytes_of(&value));
        answers[at].copy_from_slice(bytemuck::bytes_of(&answer));
        if self.gaps {
            gaps[i] = u8::from(is_gap);
        }
    }

    /// Moves the runs together when there are only `count` values. Returns how many bytes that are.
    fn close_up(self, buf: &mut [u8], count: usize) -> usize {
        let words = count * size_of::<u64>();
        let start = self.of * size_of::<u64>();
        buf.copy_within(start..start + words, words);
        if self.gaps {
            buf.copy_within(2 * start..2 * start + count, 2 * words);
        }
        Encoding::Pairs { gaps: self.gaps }.width() * count
    }
}

/// The room for the answers to a block, and how far it is filled.
struct Room<'a> {
    buf: &'a mut [u8],
    /// Values of the block.
    of: usize,
    answer: BlockResult,
}

impl Room<'_> {
    /// Values answered or passed over.
    fn done(&self) -> usize {
        (self.answer.items + self.answer.failed) as usize
    }
}

/// Is this row of a window without an answer?
fn lacks(faults: Option<&Faults>, row: usize) -> bool {
    faults.is_some_and(|faults| faults[row / 64] >> (row % 64) & 1 == 1)
}

/// Answers the values `x`, a window of them, behind what `room` already has; false when the run is to stop.
fn answer_window(
    settings: &MapSettings,
    program: &mut Program,
    x: &[u64],
    y: &mut [u64],
    frame: &RowTemplate,
    room: &mut Room,
) -> bool {
    // Raw numbers are answered where they are to be.
    let (mut at, words) = (room.answer.bytes, size_of_val(x));
    if let Encoding::Pairs { .. } = settings.form {
        // Bytes are counted when all is done: until then the runs grow apart from each other.
        let (values, behind) = (room.done() * size_of::<u64>(), room.of * size_of::<u64>());
        room.buf[values..values + words].copy_from_slice(bytemuck::cast_slice(x));
        at = behind + values;
    }
    let is_in_place = matches!(settings.form, Encoding::Raw | Encoding::Pairs { .. });
    let faults = match is_in_place {
        true => program.answer(&[x], bytemuck::cast_slice_mut(&mut room.buf[at..at + words])),
        false => program.answer(&[x], &mut y[..x.len()]),
    };
    let mut done = 0;
    loop {
        // What has answers, up to the next that has none.
        let end = match &faults {
            None => x.len(),
            faults => (done..x.len()).find(|row| lacks(faults.as_ref(), *row)).unwrap_or(x.len()),
        };
        let space = &mut room.buf[room.answer.bytes..];
        room.answer.bytes += match settings.form {
            Encoding::Raw => (end - done) * size_of::<u64>(),
            Encoding::Pairs { .. } => 0,
            Encoding::Text => render(settings.answers, &y[done..end], space),
            Encoding::Rows(_) => {
                render_rows(settings.value(&x[done..end]), settings.answer(&y[done..end]), frame, space)
            }
        };
        room.answer.items += (end - done) as u64;
        let Some(bits) = x.get(end) else { return true };
        let why = program.fault(&[x], end).map_or("it has no answer".to_owned(), |fault| fault.to_string());
        let complaint = format!("{}: {why}", settings.values.text(*bits));
        if !settings.keep_going {
            room.answer.failure = Some(Error::Item(complaint));
            return false;
        }
        match settings.form {
            Encoding::Pairs { gaps } => {
                let runs = Runs { of: room.of, gaps };
                runs.put(room.buf, room.done(), *bits, missing(settings.answers), true);
            }
            _ => room.answer.bytes += leave_gap(settings, *bits, frame, &mut room.buf[room.answer.bytes..]),
        }
        room.answer.failed += 1;
        room.answer.first_failed.get_or_insert(complaint);
        done = end + 1;
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
fn leave_gap(settings: &MapSettings, bits: u64, frame: &RowTemplate, buf: &mut [u8]) -> usize {
    match settings.form {
        Encoding::Raw => {
            buf[..size_of::<u64>()].copy_from_slice(bytemuck::bytes_of(&missing(settings.answers)));
            size_of::<u64>()
        }
        Encoding::Pairs { gaps } => {
            let runs = Runs { of: 1, gaps };
            runs.put(buf, 0, bits, missing(settings.answers), true);
            runs.close_up(buf, 1)
        }
        Encoding::Text => {
            buf[0] = b'\n';
            1
        }
        Encoding::Rows(_) => render_rows(settings.value(&[bits]), settings.answer(&[]), frame, buf),
    }
}

/// The gap for a value that no process has answered.
pub fn gap(settings: &MapSettings, bits: u64) -> Vec<u8> {
    let mut buf = vec![0; settings.form.width()];
    let len = leave_gap(settings, bits, &frame(settings.form, None), &mut buf);
    buf.truncate(len);
    buf
}

impl Operator for Numbers {
    fn apply(&mut self, block: &Block, values: &[u64], buf: &mut [u8]) -> BlockResult {
        let Self { settings, program, lanes, source, values: own, answers, frame } = self;
        let own: &mut [u64] = bytemuck::cast_slice_mut(own);
        let count = block.len() as usize;
        if let Encoding::Pairs { gaps: true } = settings.form {
            buf[2 * size_of::<u64>() * count..][..count].fill(0);
        }
        let window = program.rows_at_once();
        let mut room = Room { buf, of: count, answer: BlockResult::default() };
        let mut at = 0;
        'block: while at < count {
            let (x, fault) = match source {
                None => (&values[at..count], Ok(())),
                Some(source) => {
                    let most = own.len().min(count - at);
                    let (found, fault) = source.fill_at(block.start + at as u64, &mut own[..most], *lanes);
                    (&own[..found], fault)
                }
            };
            at += x.len();
            room.answer.input_bytes += size_of_val(x) as u64;
            for x in x.chunks(window) {
                // Of many at once each takes no time. A block that has been worked through is whole.
                if window == 1
                    && room.done() > 0
                    && let Err(interrupted) = signals::check()
                {
                    room.answer.failure = Some(interrupted);
                    break 'block;
                }
                if !answer_window(settings, program, x, answers, frame, &mut room) {
                    break 'block;
                }
            }
            if let Err(error) = fault {
                room.answer.failure = Some(error);
                break;
            }
        }
        if let Encoding::Pairs { gaps } = settings.form {
            room.answer.bytes = Runs { of: count, gaps }.close_up(room.buf, room.done());
        }
        room.answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::schema::Schema;
    use crate::op::formula::Formula;
    use crate::output::encode::{Rows, WIDEST};
    use proptest::prelude::*;

    fn numbers(dtype: Dtype, form: Encoding, lanes: Lanes, keep_going: bool) -> Numbers {
        let program = Formula::bind("square", &Schema::single("", dtype)).unwrap().program(lanes);
        let settings = MapSettings { values: dtype, answers: dtype, form, keep_going };
        Numbers::new(settings, program, lanes, 0, None)
    }

    fn text(mut numbers: Numbers, bits: &[u64]) -> (String, BlockResult) {
        let mut buf = vec![0; bits.len() * numbers.settings.form.width()];
        let answer = numbers.apply(&Block { start: 0, end: bits.len() as u64 }, bits, &mut buf);
        buf.truncate(answer.bytes);
        (String::from_utf8(buf).unwrap(), answer)
    }

    #[test]
    fn answers_before_the_first_that_does_not_fit_stand() {
        let mut values = vec![3u64; 1600];
        values.extend([i64::MIN as u64, 4, u64::MAX / 2]);
        for lanes in Lanes::all() {
            let (out, answer) = text(numbers(Dtype::I64, Encoding::Text, lanes, false), &values);
            assert_eq!(out, "9\n".repeat(1600));
            assert_eq!(answer.items, 1600);
            assert!(
                answer
                    .failure
                    .unwrap()
                    .to_string()
                    .starts_with("-9223372036854775808: square(-9223372036854775808) does not fit")
            );
        }
    }

    #[test]
    fn what_is_passed_over_leaves_a_gap() {
        let values = [3u64, i64::MIN as u64, 4, u64::MAX / 2];
        for lanes in Lanes::all() {
            let (out, answer) = text(numbers(Dtype::I64, Encoding::Text, lanes, true), &values);
            assert_eq!(out, "9\n\n16\n\n");
            assert_eq!((answer.items, answer.failed, answer.failure.is_none()), (2, 2, true));
            assert!(
                answer
                    .first_failed
                    .unwrap()
                    .starts_with("-9223372036854775808: square(-9223372036854775808) does not fit")
            );
        }
        let (out, _) =
            text(numbers(Dtype::I64, Encoding::Rows(Rows::Tabs), Lanes::best(), true), &values[..3]);
        let pid = std::process::id();
        assert_eq!(out, format!("3\t9\t{pid}\n-9223372036854775808\t\t{pid}\n4\t16\t{pid}\n"));
    }

    #[test]
    fn the_widest_float_fits() {
        let widest = [-f64::MAX, f64::MIN_POSITIVE, -1.2345678901234567e-308, f64::NAN, f64::NEG_INFINITY];
        let mut buf = vec![0; widest.len() * WIDEST];
        for value in widest {
            assert!(render(Dtype::F64, &[value.to_bits()], &mut buf) <= WIDEST);
        }
    }

    proptest! {
        #[test]
        fn whole_squares_are_exact(values: Vec<i32>) {
            let bits: Vec<u64> = values.iter().map(|v| i64::from(*v) as u64).collect();
            let expected: String = values.iter().map(|v| format!("{}\n", i64::from(*v) * i64::from(*v))).collect();
            prop_assert_eq!(text(numbers(Dtype::I64, Encoding::Text, Lanes::best(), false), &bits).0, expected);
        }

        #[test]
        fn float_squares_read_back_to_the_bit(values: Vec<f64>) {
            let bits: Vec<u64> = values.iter().map(|v| v.to_bits()).collect();
            let (out, _) = text(numbers(Dtype::F64, Encoding::Text, Lanes::best(), false), &bits);
            let back: Vec<f64> = out.lines().map(|line| line.parse().unwrap()).collect();
            prop_assert_eq!(back.len(), values.len());
            for (x, y) in values.iter().zip(back) {
                prop_assert!((x * x).to_bits() == y.to_bits() || (x * x).is_nan() && y.is_nan());
            }
        }
    }
}
