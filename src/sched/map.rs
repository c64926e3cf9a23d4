//! One worker's part in a map: values from its own source or as they are handed over, the function, and the encoding
//! of the answers, a piece at a time, so that all of it happens in the first-level cache.

use crate::base::error::Error;
use crate::base::lanes::Lanes;
use crate::data::block::Block;
use crate::data::dtype::Dtype;
use crate::input::Indexed;
use crate::op::numbers::Named;
use crate::op::{BlockResult, Function, Page, pages};
use crate::output::encode::{Encoding, RowTemplate, Who, render, render_rows};

/// Values that are answered at once, and turned to text while they lie in the first-level cache.
const PIECE: usize = 1024;

/// How values are answered.
#[derive(Debug, Clone, Copy)]
pub struct MapSettings {
    /// What is done with each.
    pub function: Named,
    /// Their type.
    pub dtype: Dtype,
    /// What the answers should look like.
    pub form: Encoding,
    /// The instructions that they are computed with.
    pub lanes: Lanes,
    /// Values without an answer are passed over.
    pub keep_going: bool,
}

/// A [`Named`] function over blocks of values.
pub struct Numbers {
    settings: MapSettings,
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
    /// Answers as `settings` says, as worker `rank`, the values from `source` or else as they are handed over.
    pub fn new(settings: MapSettings, rank: usize, source: Option<Box<dyn Indexed>>) -> Self {
        let values = pages(source.as_ref().map_or(0, |source| source.piece() * size_of::<u64>()));
        let frame = frame(settings.form, Some(rank));
        Self { settings, source, values, answers: vec![0; PIECE], frame }
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

impl MapSettings {
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

    /// Answers `x` behind what `answer` already has in `buf`, which is for `of` values; false when the run
    /// is to stop.
    fn answer(
        &self,
        x: &[u64],
        y: &mut [u64],
        of: usize,
        frame: &RowTemplate,
        buf: &mut [u8],
        answer: &mut BlockResult,
    ) -> bool {
        let mut rest = x;
        loop {
            let space = &mut buf[answer.bytes..];
            let (done, bytes) = match self.form {
                Encoding::Raw => {
                    let done = self.compute(rest, bytemuck::cast_slice_mut(&mut space[..size_of_val(rest)]));
                    (done, done * size_of::<u64>())
                }
                Encoding::Pairs { .. } => {
                    // Bytes are counted when all is done: until then the runs grow apart from each other.
                    let at = (answer.items + answer.failed) as usize;
                    let (values, behind) = buf.split_at_mut(of * size_of::<u64>());
                    let words = at * size_of::<u64>()..at * size_of::<u64>() + size_of_val(rest);
                    values[words.clone()].copy_from_slice(bytemuck::cast_slice(rest));
                    (self.compute(rest, bytemuck::cast_slice_mut(&mut behind[words])), 0)
                }
                Encoding::Text => {
                    let done = self.compute(rest, &mut y[..rest.len()]);
                    (done, render(self.dtype, &y[..done], space))
                }
                Encoding::Rows(_) => {
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
                Encoding::Pairs { gaps } => {
                    let at = (answer.items + answer.failed) as usize;
                    Runs { of, gaps }.put(buf, at, *bits, missing(self.dtype), true);
                }
                form => {
                    answer.bytes += leave_gap(form, self.dtype, *bits, frame, &mut buf[answer.bytes..]);
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
fn leave_gap(form: Encoding, dtype: Dtype, bits: u64, frame: &RowTemplate, buf: &mut [u8]) -> usize {
    match form {
        Encoding::Raw => {
            buf[..size_of::<u64>()].fill(0);
            size_of::<u64>()
        }
        Encoding::Pairs { gaps } => {
            let runs = Runs { of: 1, gaps };
            runs.put(buf, 0, bits, missing(dtype), true);
            runs.close_up(buf, 1)
        }
        Encoding::Text => {
            buf[0] = b'\n';
            1
        }
        Encoding::Rows(_) => render_rows(dtype, &[bits], &[], frame, buf),
    }
}

/// The gap for a value that no process has answered.
pub fn gap(form: Encoding, dtype: Dtype, bits: u64) -> Vec<u8> {
    let mut buf = vec![0; form.width()];
    let len = leave_gap(form, dtype, bits, &frame(form, None), &mut buf);
    buf.truncate(len);
    buf
}

impl Function for Numbers {
    fn apply(&mut self, block: &Block, values: &[u64], buf: &mut [u8]) -> BlockResult {
        let Self { settings, source, values: own, answers, frame } = self;
        let own: &mut [u64] = bytemuck::cast_slice_mut(own);
        let mut answer = BlockResult::default();
        let count = block.len() as usize;
        if let Encoding::Pairs { gaps: true } = settings.form {
            buf[2 * size_of::<u64>() * count..][..count].fill(0);
        }
        let mut at = 0;
        while at < count {
            let (x, fault) = match source {
                None => (&values[at..count], Ok(())),
                Some(source) => {
                    let most = own.len().min(count - at);
                    let (found, fault) =
                        source.fill_at(block.start + at as u64, &mut own[..most], settings.lanes);
                    (&own[..found], fault)
                }
            };
            at += x.len();
            answer.input_bytes += size_of_val(x) as u64;
            if !x.chunks(PIECE).all(|x| settings.answer(x, answers, count, frame, buf, &mut answer)) {
                break;
            }
            if let Err(error) = fault {
                answer.failure = Some(error);
                break;
            }
        }
        if let Encoding::Pairs { gaps } = settings.form {
            let done = (answer.items + answer.failed) as usize;
            answer.bytes = Runs { of: count, gaps }.close_up(buf, done);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::encode::{Rows, WIDEST};
    use proptest::prelude::*;

    fn numbers(dtype: Dtype, form: Encoding, lanes: Lanes, keep_going: bool) -> Numbers {
        Numbers::new(MapSettings { function: Named::Square, dtype, form, lanes, keep_going }, 0, None)
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
            assert!(answer.failure.unwrap().to_string().starts_with("-9223372036854775808: its square"));
        }
    }

    #[test]
    fn what_is_passed_over_leaves_a_gap() {
        let values = [3u64, i64::MIN as u64, 4, u64::MAX / 2];
        for lanes in Lanes::all() {
            let (out, answer) = text(numbers(Dtype::I64, Encoding::Text, lanes, true), &values);
            assert_eq!(out, "9\n\n16\n\n");
            assert_eq!((answer.items, answer.failed, answer.failure.is_none()), (2, 2, true));
            assert!(answer.first_failed.unwrap().starts_with("-9223372036854775808: its square"));
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
            let (out, _) = text(numbers(Dtype::F64, Encoding::Text, Lanes::best(), false), &bits);
            let back: Vec<f64> = out.lines().map(|line| line.parse().unwrap()).collect();
            prop_assert_eq!(back.len(), values.len());
            for (x, y) in values.iter().zip(back) {
                prop_assert!((x * x).to_bits() == y.to_bits() || (x * x).is_nan() && y.is_nan());
            }
        }
    }
}
