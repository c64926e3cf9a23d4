//! The combinations of a sweep, found by their numbers: only offsets travel, however many there are.
//!
//! Row r has of each parameter value number (r / stride) mod count, where the stride is the product of the counts of those
//! behind it. The values of a run of rows are found without a division for each: a value that stays is written as often as
//! it stays, and one that changes with every row is counted on. What is short and comes again and again is made once.

mod axis;
mod log;
mod sample;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use axis::Values;
use sample::LatinHypercube;

use crate::base::error::{Error, Result};
use crate::base::lanes::Lanes;
use crate::data::dtype::Dtype;
use crate::data::schema::{ColumnType, Schema};
use crate::data::texts::input_word;
use crate::input::{Indexed, Stamp, open_regular};
use crate::job::sweep::{Axis, AxisValues, POSITIONS, Sweep, dtype_of, numbers_of};

/// Bytes of a list of values in a file at the most: each worker holds it.
const LONGEST_LIST: u64 = 64 << 20;

/// Rows of a period that is made once at the most: what is copied lies in the second-level cache.
const LONGEST_PERIOD: u64 = 8192;

/// A shorter period is made several times, one behind the other, so that few copies are needed.
const SHORTEST_PERIOD: u64 = 512;

/// Values that are found together, where each stays for a few rows.
const TOGETHER: usize = 64;

/// Rows that are best asked for at once: with their answers they lie in the first-level cache.
const PIECE: usize = 1024;

/// The combinations of a sweep.
pub struct Combinations {
    schema: Schema,
    columns: Vec<Column>,
    count: u64,
    rows: Rows,
    /// What words of texts lead to: first those of lists.
    memory: Vec<u8>,
    /// Bytes of those of lists.
    fixed: usize,
    stamp: Stamp,
}

/// Which rows there are.
enum Rows {
    /// All combinations.
    All,
    /// Those of these numbers.
    Chosen(Arc<Vec<u64>>),
    /// Points that are no combinations.
    Points(LatinHypercube),
}

/// A parameter.
struct Column {
    values: Values,
    /// Of numbers whose texts are wanted, and not themselves, what was typed.
    texts: Option<AxisValues>,
    /// How many values there are, but the last where any number from the first to the last is one; and for how many
    /// rows each of them stays.
    count: u64,
    stride: u64,
}

impl Column {
    /// The number of the value of row `row`.
    fn at(&self, row: u64) -> u64 {
        row / self.stride % self.count
    }

    /// The number of the value at `position`.
    fn at_position(&self, position: u64) -> u64 {
        (u128::from(position) * u128::from(self.count) / u128::from(POSITIONS)) as u64
    }

    /// Puts the values of so many rows as one table, where that is short.
    fn make_period(&mut self) {
        let Some(period) = self.count.checked_mul(self.stride).filter(|rows| *rows <= LONGEST_PERIOD) else {
            return;
        };
        if self.texts.is_some() {
            return;
        }
        let rows = period * SHORTEST_PERIOD.div_ceil(period);
        self.values = Values::Table((0..rows).map(|row| self.values.get(self.at(row))).collect());
        (self.count, self.stride) = (rows, 1);
    }

    /// Fills `buf` with the values of the rows from `row` on.
    fn fill(&self, row: u64, buf: &mut [u64], lanes: Lanes) {
        let (mut at, mut rest) = (self.at(row), buf);
        if self.stride == 1 {
            while !rest.is_empty() {
                let run = usize::try_from(self.count - at).unwrap_or(usize::MAX).min(rest.len());
                let (here, behind) = rest.split_at_mut(run);
                self.values.fill(at, here, lanes);
                (at, rest) = (0, behind);
            }
            return;
        }
        // Of the first value some rows may have gone by.
        let (mut stays, mut values) = (self.stride - row % self.stride, [0; TOGETHER]);
        while !rest.is_empty() {
            let wanted = (rest.len() as u64).div_ceil(self.stride).saturating_add(1);
            let found = wanted.min(self.count - at).min(TOGETHER as u64) as usize;
            self.values.fill(at, &mut values[..found], lanes);
            for value in &values[..found] {
                let run = usize::try_from(stays).unwrap_or(usize::MAX).min(rest.len());
                let (here, behind) = rest.split_at_mut(run);
                here.fill(*value);
                (stays, rest) = (self.stride, behind);
            }
            at = if at + found as u64 == self.count { 0 } else { at + found as u64 };
        }
    }

    /// Fills `buf` with the values of these numbers; where their texts are wanted, with words of these, which are made
    /// anew behind those in `memory`.
    fn put(&self, numbers: impl Iterator<Item = u64>, buf: &mut [u64], memory: &mut Vec<u8>) -> Result<()> {
        let Some(typed) = &self.texts else {
            numbers.zip(buf).for_each(|(at, word)| *word = self.values.get(at));
            return Ok(());
        };
        let mut last = None;
        for (at, word) in numbers.zip(buf) {
            *word = match last {
                Some((known, word)) if known == at => word,
                _ => put_text(axis::text(typed, &self.values, at).as_bytes(), memory)?,
            };
            last = Some((at, *word));
        }
        Ok(())
    }
}

/// Puts a text behind those in `memory`; its word.
fn put_text(text: &[u8], memory: &mut Vec<u8>) -> Result<u64> {
    let start = memory.len();
    memory.extend_from_slice(text);
    input_word(start, memory.len())
        .ok_or_else(|| Error::Failed("--sweep: its texts are longer than 2 GiB together".into()))
}

/// The lines of a list of values.
fn lines_of<'a>(axis: &Axis, path: &Path, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>> {
    // The mark of UTF-8 is no part of a value.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // What stands behind the last newline.
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines.iter_mut().for_each(|line| *line = line.strip_suffix(b"\r").unwrap_or(line));
    let wrong = |why: String| Err(axis.wrong(&format!("{}: {why}", path.display())));
    if lines.is_empty() {
        return wrong("it is empty, which is a sweep of nothing".into());
    }
    match lines.iter().position(|line| line.is_empty()) {
        Some(line) => wrong(format!("line {} is empty; it has one value on each line", line + 1)),
        None => Ok(lines),
    }
}

/// All of a list of values, and what its file was like.
fn read(axis: &Axis, path: &Path) -> Result<(Vec<u8>, Stamp)> {
    let file = open_regular(path)?;
    let (stamp, mut bytes) = (Stamp::of(&file), Vec::new());
    file.take(LONGEST_LIST + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", path, &e))?;
    match bytes.len() as u64 > LONGEST_LIST {
        false => Ok((bytes, stamp)),
        true => Err(axis.wrong(&format!(
            "{}: it has more than {} MiB; of a single parameter: --lines {0}, or --from {0}",
            path.display(),
            LONGEST_LIST >> 20
        ))),
    }
}

impl Combinations {
    /// Those of `sweep`, whose numbers are to be of type `dtype` where that is wanted; `as_texts`: all values as texts, as
    /// they were typed. `seed` is what a sample is chosen with.
    ///
    /// # Errors
    /// A file of values cannot be read, or values are not of that type; or they cannot be combined, as [`Sweep::rows`] says.
    pub fn open(sweep: &Sweep, dtype: Option<Dtype>, as_texts: bool, seed: Option<u64>) -> Result<Self> {
        let (mut schema, mut columns, mut memory) = (Schema::default(), Vec::new(), Vec::new());
        let mut stamp: Option<Stamp> = None;
        for axis in &sweep.axes {
            let bytes;
            let listed: Option<Vec<&[u8]>> = match &axis.values {
                AxisValues::List(words) => Some(words.iter().map(String::as_bytes).collect()),
                AxisValues::File(path) => {
                    let (read, found) = read(axis, path)?;
                    stamp = Some(stamp.map_or(found, |stamp| stamp.and(found)));
                    bytes = read;
                    Some(lines_of(axis, path, &bytes)?)
                }
                _ => None,
            };
            let column_type = match &listed {
                _ if as_texts => ColumnType::Bytes,
                Some(listed) => dtype_of(listed.iter().copied(), dtype),
                None => axis.values.dtype(dtype).unwrap_or(ColumnType::F64),
            };
            let (values, texts, count) = match (listed, column_type.number()) {
                (Some(listed), Some(number)) => {
                    let bits = numbers_of(listed.iter().copied(), number).map_err(|why| axis.wrong(&why))?;
                    let count = bits.len() as u64;
                    (Values::Table(bits), None, count)
                }
                (Some(listed), None) => {
                    let words: Result<Vec<u64>> =
                        listed.iter().map(|text| put_text(text, &mut memory)).collect();
                    let words = words?;
                    let count = words.len() as u64;
                    (Values::Table(words), None, count)
                }
                (None, _) => {
                    let (Some(values), Some(count)) = (Values::of(&axis.values, dtype), axis.values.count())
                    else {
                        return Err(Error::Failed("a list of values is in no list".into()));
                    };
                    (values, as_texts.then(|| axis.values.clone()), count)
                }
            };
            schema.push(axis.name.clone(), column_type);
            columns.push(Column { values, texts, count: count - u64::from(axis.is_continuous), stride: 1 });
        }
        let counts: Vec<u64> = columns.iter().map(|column| column.count).collect();
        let count = sweep.rows(&counts)?;
        let seed = || seed.ok_or_else(|| Error::Failed("what is chosen at random has no seed".into()));
        let rows = match (sweep.points, sweep.sample) {
            (Some(points), _) => Rows::Points(LatinHypercube::new(points, counts.len() as u64, seed()?)),
            (None, Some(sample)) => {
                Rows::Chosen(sample::chosen(sweep.combinations(&counts)?, sample, seed()?))
            }
            (None, None) => Rows::All,
        };
        if !sweep.zip && sweep.points.is_none() {
            let mut stride = 1;
            for column in columns.iter_mut().rev() {
                column.stride = stride;
                stride *= column.count;
            }
        }
        if matches!(rows, Rows::All) {
            columns.iter_mut().for_each(Column::make_period);
        }
        let (fixed, stamp) = (memory.len(), stamp.unwrap_or(Stamp::NONE));
        Ok(Self { schema, columns, count, rows, memory, fixed, stamp })
    }
}

impl Indexed for Combinations {
    fn schema(&self) -> Schema {
        self.schema.clone()
    }

    fn count(&self) -> u64 {
        self.count
    }

    fn fill_at(&mut self, start: u64, columns: &mut [&mut [u64]], lanes: Lanes) -> (usize, Result<()>) {
        let count = columns.first().map_or(0, |column| column.len());
        let Self { memory, rows, fixed, .. } = self;
        memory.truncate(*fixed);
        for (number, (column, buf)) in self.columns.iter().zip(columns).enumerate() {
            let outcome = match rows {
                Rows::All if column.texts.is_none() => {
                    column.fill(start, buf, lanes);
                    Ok(())
                }
                Rows::All => column.put((0..count as u64).map(|i| column.at(start + i)), buf, memory),
                Rows::Chosen(chosen) => {
                    let chosen = &chosen[start as usize..][..count];
                    column.put(chosen.iter().map(|row| column.at(*row)), buf, memory)
                }
                Rows::Points(points) => {
                    let at = |point| column.at_position(points.get(number, point));
                    column.put((0..count as u64).map(|i| at(start + i)), buf, memory)
                }
            };
            if let Err(error) = outcome {
                return (0, Err(error));
            }
        }
        (count, Ok(()))
    }

    fn memory(&self) -> &[u8] {
        &self.memory
    }

    fn piece(&self) -> usize {
        (PIECE / self.columns.len().max(1)).max(64)
    }

    fn stamp(&self) -> Stamp {
        self.stamp
    }
}

/// What the files of values of `sweep` are like now.
///
/// # Errors
/// One cannot be opened.
pub fn stamp_now(sweep: &Sweep) -> Result<Stamp> {
    let at = |path: &Path| Stamp::at(path).map_err(|e| Error::io("open", path, &e));
    let stamps = sweep.files().map(at).collect::<Result<Vec<_>>>()?;
    Ok(stamps.into_iter().reduce(Stamp::and).unwrap_or(Stamp::NONE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opened(words: &[String], zip: bool, sample: Option<i64>, as_texts: bool) -> Combinations {
        let typed: Vec<_> = words.iter().map(|word| word.into()).collect();
        let sweep = Sweep::parse(&typed, zip, sample, None).unwrap();
        Combinations::open(&sweep, None, as_texts, Some(7)).unwrap()
    }

    fn all(source: &mut Combinations, piece: usize, lanes: Lanes) -> Vec<Vec<u64>> {
        let (count, columns) = (source.count() as usize, source.columns.len());
        let mut table = vec![vec![0; count]; columns];
        for start in (0..count).step_by(piece) {
            let end = (start + piece).min(count);
            let mut space: Vec<&mut [u64]> = table.iter_mut().map(|column| &mut column[start..end]).collect();
            let (found, outcome) = source.fill_at(start as u64, &mut space, lanes);
            outcome.unwrap();
            assert_eq!(found, end - start);
        }
        table
    }

    #[test]
    fn the_first_and_the_last_of_very_many() {
        let words: Vec<String> = (0..4).map(|i| format!("a{i}=0..65536")).collect();
        let words = [&words[..3], &["a3=0..65535".into()]].concat();
        let mut source = opened(&words, false, None, false);
        assert_eq!(source.count(), 65536u64.pow(3) * 65535);
        let mut row = [[0]; 4];
        let mut space = row.each_mut().map(|word| &mut word[..]);
        let last = source.count() - 1;
        source.fill_at(last, &mut space, Lanes::best()).1.unwrap();
        assert_eq!(row, [[65535], [65535], [65535], [65534]]);
    }

    proptest! {
        /// Whatever numbers are typed, the first and the last values are found.
        #[test]
        fn whatever_is_typed(
            words in prop::collection::vec(
                "[a-c]=(-?[0-9]{1,3}(e-?[0-9]{1,3})?\\.\\.-?[0-9.]{1,9}(e-?[0-9]{1,3})?(:-?[0-9.]{1,4})?|(lin|log)\\([0-9]{1,2}(e-?[0-9]{1,3})?,-?[0-9.]{1,9},[1-9][0-9]{0,9}\\))", 1..3,
            ),
            as_texts: bool, zip: bool,
        ) {
            let typed: Vec<_> = words.iter().map(|word| word.into()).collect();
            for dtype in [None, Some(Dtype::F64)] {
                let Ok(sweep) = Sweep::parse(&typed, zip, None, None) else { return Ok(()) };
                if sweep.check(dtype).is_err() {
                    continue;
                }
                let mut source = Combinations::open(&sweep, dtype, as_texts, None).unwrap();
                for row in [0, source.count() / 2, source.count() - 1] {
                    let mut one = [[0]; 2];
                    let mut space = one.each_mut().map(|word| &mut word[..]);
                    let (found, outcome) = source.fill_at(row, &mut space[..words.len()], Lanes::best());
                    prop_assert!(found == 1 && outcome.is_ok());
                    for (field, word) in source.schema().fields.iter().zip(one) {
                        let is_finite = field.dtype != ColumnType::F64 || f64::from_bits(word[0]).is_finite();
                        prop_assert!(is_finite, "row {} of {:?}", row, &words);
                    }
                }
            }
        }

        /// Row r has of each parameter the digit of r in a system whose bases are their counts.
        #[test]
        fn rows_are_combinations_in_order(
            counts in prop::collection::vec(1u64..40, 1..5), piece in 1usize..3000, lanes in prop::sample::select(Lanes::all()),
        ) {
            let words: Vec<String> =
                counts.iter().enumerate().map(|(i, n)| format!("a{i}={}..{}", i * 1000, i * 1000 + *n as usize)).collect();
            let mut source = opened(&words, false, None, false);
            let rows = counts.iter().product::<u64>();
            prop_assume!(rows < 30_000);
            prop_assert_eq!(source.count(), rows);
            let table = all(&mut source, piece, lanes);
            let mut number = vec![0; counts.len()];
            for row in 0..rows as usize {
                let found: Vec<u64> = table.iter().enumerate().map(|(i, column)| column[row] - i as u64 * 1000).collect();
                prop_assert_eq!(&found, &number);
                for (digit, count) in number.iter_mut().zip(&counts).rev() {
                    *digit += 1;
                    if *digit < *count {
                        break;
                    }
                    *digit = 0;
                }
            }
        }

        /// What is long is counted on, and comes to the same as what is looked up row by row.
        #[test]
        fn long_parameters_are_found_by_their_numbers(start in 0u64..3_000_000_000, stride in 1u64..5000) {
            let words = [
                "a=0..1000:0.001".to_owned(), "b=lin(0,1,100000)".into(), format!("c=0..{stride}"), "d=log(1,2,3)".into(),
            ];
            let mut source = opened(&words, false, None, false);
            let start = start % (source.count() - 2000);
            let mut together = vec![vec![0; 2000]; 4];
            let mut space: Vec<&mut [u64]> = together.iter_mut().map(Vec::as_mut_slice).collect();
            source.fill_at(start, &mut space, Lanes::best()).1.unwrap();
            for row in 0..2000 {
                let mut one = [[0]; 4];
                source.fill_at(start + row, &mut one.each_mut().map(|word| &mut word[..]), Lanes::Scalar).1.unwrap();
                prop_assert_eq!(one.as_flattened(), &together.iter().map(|column| column[row as usize]).collect::<Vec<_>>());
            }
        }

        /// A sample is some of the rows, in their order; and texts are those of the same rows.
        #[test]
        fn a_sample_is_of_the_rows(sample in 1i64..600, piece in 1usize..700, zip: bool) {
            let words = if zip {
                ["a=0..600", "b=0..600"].map(str::to_owned)
            } else {
                ["a=0..20", "b=0..30"].map(str::to_owned)
            };
            let numbers = all(&mut opened(&words, zip, Some(sample), false), piece, Lanes::best());
            let rows: Vec<u64> = (0..sample as usize).map(|row| if zip { numbers[0][row] } else { numbers[0][row] * 30 + numbers[1][row] }).collect();
            prop_assert!(rows.windows(2).all(|pair| pair[0] < pair[1]));
            let mut source = opened(&words, zip, Some(sample), true);
            let mut one = [[0]; 2];
            for row in 0..sample {
                source.fill_at(row as u64, &mut one.each_mut().map(|word| &mut word[..]), Lanes::best()).1.unwrap();
                for column in 0..2 {
                    let text = crate::data::texts::Texts { input: source.memory(), made: &[] }.get(one[column][0]);
                    let expected = numbers[column][row as usize].to_string();
                    prop_assert_eq!(text, expected.as_bytes());
                }
            }
        }
    }
}
