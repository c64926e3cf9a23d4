//! Values from the command line or a job file: a list, or a range that is never held in memory.

use std::ffi::OsString;

use crate::base::error::{Error, Result};
use crate::base::fmt::shown;
use crate::base::lanes::{Lanes, kernel};
use crate::data::batch::BatchWriter;
use crate::data::schema::{ColumnType, Schema};
use crate::input::{Indexed, Source};
use crate::job::values::{Bounds, Range, Typed};

/// A list that is handed out from its front.
pub struct List {
    values: Typed,
    next: usize,
}

impl List {
    /// All of `values`.
    pub fn new(values: Typed) -> Self {
        Self { values, next: 0 }
    }
}

impl Source for List {
    fn schema(&self) -> Schema {
        Schema::single("", self.values.dtype)
    }

    fn fill(&mut self, batch: &mut BatchWriter) -> Result<usize> {
        let buf = batch.words_mut(0);
        let left = &self.values.bits[self.next..];
        let count = left.len().min(buf.len());
        buf[..count].copy_from_slice(&left[..count]);
        self.next += count;
        Ok(count)
    }

    fn count(&self) -> Option<u64> {
        Some(self.values.bits.len() as u64)
    }

    fn skip(&mut self, count: u64) -> Result<u64> {
        let left = self.values.bits.len() - self.next;
        let skipped = usize::try_from(count).unwrap_or(usize::MAX).min(left);
        self.next += skipped;
        Ok(skipped as u64)
    }
}

/// Texts that are handed out from the first.
pub struct Words {
    words: Vec<OsString>,
    next: usize,
}

impl Words {
    /// All of `words`.
    pub fn new(words: Vec<OsString>) -> Self {
        Self { words, next: 0 }
    }
}

impl Source for Words {
    fn schema(&self) -> Schema {
        Schema::single("", ColumnType::Bytes)
    }

    fn fill(&mut self, batch: &mut BatchWriter) -> Result<usize> {
        let left = &self.words[self.next..];
        let has_room =
            |batch: &BatchWriter, row, word: &OsString| row == 0 || batch.text_left(row) >= word.len();
        let mut count = 0;
        while count < batch.capacity()
            && let Some(word) = left.get(count)
            && has_room(batch, count, word)
        {
            let bytes = word.as_encoded_bytes();
            if batch.put_bytes(0, count, bytes).is_err() {
                return Err(Error::Usage(format!("'{}' is too long for an item", shown(bytes))));
            }
            count += 1;
        }
        self.next += count;
        Ok(count)
    }

    fn count(&self) -> Option<u64> {
        Some(self.words.len() as u64)
    }

    fn skip(&mut self, count: u64) -> Result<u64> {
        let left = self.words.len() - self.next;
        let skipped = usize::try_from(count).unwrap_or(usize::MAX).min(left);
        self.next += skipped;
        Ok(skipped as u64)
    }
}

#[inline(always)]
fn count_whole(first: i64, step: i64, buf: &mut [u64]) {
    for (i, word) in (0i64..).zip(buf) {
        *word = first.wrapping_add(i.wrapping_mul(step)) as u64;
    }
}

/// `first + (start + i) * step`: the sum in brackets is exact, as the index itself would be.
#[inline(always)]
fn count_float(first: f64, step: f64, start: f64, buf: &mut [u64]) {
    for (i, word) in (0i32..).zip(buf) {
        *word = (first + (start + f64::from(i)) * step).to_bits();
    }
}

impl Indexed for Range {
    fn schema(&self) -> Schema {
        Schema::single("", self.dtype())
    }

    fn count(&self) -> u64 {
        self.count
    }

    fn fill_at(&mut self, start: u64, columns: &mut [&mut [u64]], lanes: Lanes) -> (usize, Result<()>) {
        let buf = &mut *columns[0];
        match self.bounds {
            Bounds::Whole { first, step } => {
                // Wrapping: the product can leave 64 bits where the value itself does not.
                let first = first.wrapping_add((start as i64).wrapping_mul(step));
                kernel!(lanes, count_whole, count_whole(first: i64, step: i64, buf: &mut [u64]) -> ());
            }
            Bounds::Float { first, step } => {
                for (chunk, buf) in buf.chunks_mut(1 << 20).enumerate() {
                    // Below 2^53, so the conversion is exact.
                    let start = (start + ((chunk as u64) << 20)) as f64;
                    kernel!(
                        lanes,
                        count_float,
                        count_float(first: f64, step: f64, start: f64, buf: &mut [u64]) -> ()
                    );
                }
            }
        }
        (buf.len(), Ok(()))
    }

    fn piece(&self) -> usize {
        // With their answers they lie in the first-level cache.
        1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(mut range: Range, buf: usize) -> Vec<u64> {
        let mut out = vec![0; range.count as usize];
        let mut start = 0;
        for buf in out.chunks_mut(buf) {
            let (count, outcome) = range.fill_at(start, &mut [buf], Lanes::best());
            outcome.unwrap();
            assert_eq!(count, buf.len());
            start += count as u64;
        }
        out
    }

    fn whole(text: &str) -> Vec<i64> {
        all(Range::parse(text, None).unwrap(), 3).into_iter().map(|bits| bits as i64).collect()
    }

    #[test]
    fn ranges_are_half_open() {
        assert_eq!(whole("0..4"), [0, 1, 2, 3]);
        assert_eq!(whole("-2..3:2"), [-2, 0, 2]);
        assert_eq!(whole("10..0:-4"), [10, 6, 2]);
        assert_eq!(whole("5..5"), [0; 0]);
        assert_eq!(whole("5..0"), [0; 0]);
    }

    #[test]
    fn ranges_whose_step_is_lost_in_rounding() {
        let count = |text: &str| Range::parse(text, None).map(|range| range.count);
        assert_eq!(count("1.0..1.0000000000000002:1e-30").unwrap(), 111_022_302_462_516);
        assert!(count("1.0..1.0000000000000002:1e-40").unwrap_err().to_string().contains("can count"));
        assert_eq!(count("-8e307..8e307:1e307").unwrap(), 16);
        assert_eq!(count("0.0..1.0:2.0").unwrap(), 1);
        assert_eq!(count("1.0..0.0:2.0").unwrap(), 0);
    }

    #[test]
    fn the_widest_range_is_counted_right() {
        let text = format!("{}..{}", i64::MIN, i64::MAX);
        assert_eq!(Range::parse(&text, None).unwrap().count, u64::MAX);
    }

    #[test]
    fn float_ranges_do_not_drift() {
        let values: Vec<f64> =
            all(Range::parse("0..1:0.1", None).unwrap(), 4).into_iter().map(f64::from_bits).collect();
        assert_eq!(values.len(), 10);
        assert_eq!(values[9], 0.9);
    }

    proptest! {
        #[test]
        fn float_ranges_end_before_their_end(first in -5.0f64..5.0, span in -2.0f64..2.0, step in 0.01f64..0.5) {
            for (end, step) in [(first + span, step), (first + span, -step), (first + step * 7.0, step)] {
                let range = Range::parse(&format!("{first:?}..{end:?}:{step:?}"), None).unwrap();
                let expected = (0u64..).take_while(|i| {
                    let value = first + *i as f64 * step;
                    if step > 0.0 { value < end } else { value > end }
                });
                prop_assert_eq!(range.count, expected.count() as u64);
            }
        }
    }

    proptest! {
        #[test]
        fn whole_ranges_agree_with_the_standard_library(
            first in -1000i64..1000, end in -1000i64..1000, step in 1i64..50, buf in 1usize..100,
        ) {
            let range = Range::parse(&format!("{first}..{end}:{step}"), None).unwrap();
            let expected: Vec<u64> = (first..end).step_by(step as usize).map(|v| v as u64).collect();
            prop_assert_eq!(range.count, expected.len() as u64);
            prop_assert_eq!(all(range, buf), expected);
        }
    }
}
