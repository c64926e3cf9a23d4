//! Values from text, one number per line, from a file or a pipe.
//!
//! Blanks around a number are passed over. A blank line is a value that is missing; at the end of the text blank lines
//! are none, unless values may be missing, because then each line is one. Held in memory: one buffer, and no line longer
//! than a number can be. Turning text into numbers takes longer than nearly anything that is done with them,
//! so threads share it.

use std::io::Read;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::base::error::{Error, Result};
use crate::base::fmt::shown;
use crate::base::fork_join;
use crate::data::batch::BatchWriter;
use crate::data::dtype::Dtype;
use crate::data::schema::Schema;
use crate::input::lines::{FIRST_BUFFER, LineBuffer, Whole, fill_up, likely, next_line, parts};
use crate::input::stamp::Stamp;
use crate::input::{Source, start};

/// No line is longer in most files.
const LIKELY_LINE: usize = 64;
/// Bytes that are looked at for the type of the numbers.
pub const LOOKED_AT: usize = FIRST_BUFFER;
/// No number needs a longer line: past this the input is something else, perhaps without any newline.
const LONGEST_LINE: usize = 4096;

/// Where text comes from.
pub trait Input: Read {
    /// Is there more, or the end, within a moment?
    fn comes_soon(&self) -> bool {
        true
    }

    /// What can be waited for, if anything.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A stream of lines, each a number.
pub struct Text {
    lines: LineBuffer,
    name: PathBuf,
    dtype: Dtype,
    /// How many may turn text into numbers at once.
    threads: usize,
    /// Lines parsed.
    line: u64,
    /// Lines without a number are passed over.
    may_lack: bool,
    /// One has been passed over, and said.
    has_lacked: bool,
    /// The first of the blank lines that stand last so far.
    blank: Option<u64>,
    failed: Option<Error>,
}

impl Text {
    /// Numbers from `reader`, parsed by so many threads; `name` is for messages. Their type is `dtype`, or else that of
    /// those among the first [`LOOKED_AT`] bytes, or of a pipe that come at once. Lines without a number are passed over
    /// where values `may_lack`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(
        reader: Box<dyn Input>,
        name: PathBuf,
        dtype: Option<Dtype>,
        threads: usize,
        may_lack: bool,
    ) -> Result<Self> {
        let mut new = Self {
            lines: LineBuffer::new(reader, threads),
            name,
            dtype: dtype.unwrap_or(Dtype::I64),
            threads,
            line: 0,
            may_lack,
            has_lacked: false,
            blank: None,
            failed: None,
        };
        if dtype.is_none() {
            new.dtype = new.look()?;
        }
        Ok(new)
    }

    /// Type of the first numbers.
    fn look(&mut self) -> Result<Dtype> {
        loop {
            let waiting = self.lines.waiting();
            let has_line = memchr::memchr(b'\n', waiting).is_some();
            let is_enough = waiting.len() >= LOOKED_AT || waiting.len() > LONGEST_LINE && !has_line;
            if self.lines.has_ended() || is_enough || has_line && !self.lines.comes_soon() {
                break;
            }
            self.lines.read_more().map_err(|e| Error::io("read", &self.name, &e))?;
        }
        let waiting = self.lines.waiting();
        let whole =
            if self.lines.has_ended() { Some(waiting.len()) } else { memchr::memrchr(b'\n', waiting) };
        let lines = waiting[..whole.unwrap_or(0)].split(|byte| *byte == b'\n');
        Ok(Dtype::of_words(lines.filter_map(|line| std::str::from_utf8(line.trim_ascii()).ok())))
    }

    /// Bytes of whole lines that wait to be parsed; 0 at the end, and where there are none yet and `may_wait`
    /// is false.
    fn whole_lines(&mut self, may_wait: bool) -> Result<usize> {
        match self.lines.whole(may_wait, LONGEST_LINE).map_err(|e| Error::io("read", &self.name, &e))? {
            Whole::Bytes(count) => Ok(count),
            Whole::TooLong => Err(self.complaint(self.line + 1, self.lines.waiting().trim_ascii())),
        }
    }

    /// Parses of the first `whole` bytes as many lines as there is room for. Returns how many values they hold, up to a
    /// fault; `holes` gets the places of those that are missing.
    fn parse(&mut self, whole: usize, buf: &mut [u64], holes: &mut Vec<usize>) -> (usize, Result<()>) {
        // No more than there will be room for, as far as can be seen.
        let lines = likely(&self.lines.waiting()[..whole], buf.len().saturating_mul(LIKELY_LINE));
        let parts = parts(lines, self.threads, buf.len());
        let (mut rooms, mut rest) = (Vec::new(), &mut *buf);
        for part in &parts {
            let (own, others) = rest.split_at_mut(part.lines);
            rooms.push(own);
            rest = others;
        }
        let (dtype, may_lack) = (self.dtype, self.may_lack);
        let jobs = parts.iter().zip(rooms).map(|(part, buf)| {
            let text = &lines[part.bytes.clone()];
            move || parse_lines(text, dtype, may_lack, buf)
        });
        let parsed = fork_join::run(jobs);
        let (mut count, mut first) = (0, 0);
        for (part, Parsed { numbers, holes: missing, wrong, blank, fault }) in parts.iter().zip(parsed) {
            if let Some(line) = self.blank.filter(|_| numbers > 0 || fault.is_some()) {
                return (count, Err(self.no_value(line)));
            }
            // Blank lines leave room between the parts.
            buf.copy_within(first..first + numbers, count);
            holes.extend(missing.iter().map(|place| count + place));
            count += numbers;
            first += part.lines;
            let spelled = |word: Range<usize>| &lines[part.bytes.clone()][word];
            match fault {
                Some((line, word)) if word.is_empty() => {
                    return (count, Err(self.no_value(self.line + line)));
                }
                Some((line, word)) => return (count, Err(self.complaint(self.line + line, spelled(word)))),
                None => {}
            }
            if let Some((line, word)) = wrong.filter(|_| !self.has_lacked) {
                let line = self.line + line;
                let error =
                    if word.is_empty() { self.no_value(line) } else { self.complaint(line, spelled(word)) };
                tracing::warn!("{error}; passed over");
                self.has_lacked = true;
            }
            self.blank = self.blank.or(blank.map(|line| self.line + line));
            self.line += part.lines as u64;
        }
        self.lines.pass(parts.last().map_or(0, |part| part.bytes.end));
        (count, Ok(()))
    }

    fn no_value(&self, line: u64) -> Error {
        let remedy = if self.may_lack { "" } else { "; --keep-going passes over it" };
        Error::Failed(format!("{}, line {line}: there is no value{remedy}", self.name.display()))
    }

    fn complaint(&self, line: u64, number: &[u8]) -> Error {
        if let Some(kind) = start::kind(number).filter(|_| line == 1) {
            return Error::Failed(format!("cannot read {} as text: it is {kind}", self.name.display()));
        }
        let what = self.dtype.complaint(&shown(number));
        Error::Failed(format!("{}, line {line}: {what}", self.name.display()))
    }
}

/// What has been found in a part.
#[derive(Default)]
struct Parsed {
    /// Values, those that are missing too.
    numbers: usize,
    /// The places of those that are missing, where they may be.
    holes: Vec<usize>,
    /// The first of them: the number of its line, from 1, and where in the part stands what is no number.
    wrong: Option<(u64, Range<usize>)>,
    /// The number of the first of the blank lines with which the part ends, where they are no values.
    blank: Option<u64>,
    /// As `wrong`, of the line that ends all.
    fault: Option<(u64, Range<usize>)>,
}

/// The float that begins at byte `at` and ends with its line, as nearly all do, and where the next line begins.
fn quick(lines: &[u8], at: usize, dtype: Dtype) -> Option<(u64, usize)> {
    if dtype != Dtype::F64 {
        return None;
    }
    let (number, len) = fast_float2::parse_partial::<f64, _>(&lines[at..]).ok()?;
    let is_line = lines.get(at + len) == Some(&b'\n') && number.is_finite() && len < LONGEST_LINE;
    is_line.then(|| (number.to_bits(), at + len + 1))
}

/// Parses lines, for each of which there is room.
fn parse_lines(lines: &[u8], dtype: Dtype, may_lack: bool, buf: &mut [u64]) -> Parsed {
    let mut found = Parsed::default();
    let (mut at, mut line) = (0, 0);
    // Asked once: of every word by itself it takes a tenth of the time.
    let text = std::str::from_utf8(lines).ok();
    while at < lines.len() {
        line += 1;
        if let Some((bits, end)) = quick(lines, at, dtype).filter(|_| found.blank.is_none()) {
            buf[found.numbers] = bits;
            found.numbers += 1;
            at = end;
            continue;
        }
        let end = next_line(lines, at);
        let start = at + lines[at..end].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let word = start..start + lines[start..end].trim_ascii_end().len();
        let spelled = match text {
            Some(text) => Some(&text[word.clone()]),
            None => std::str::from_utf8(&lines[word.clone()]).ok(),
        };
        let fits = end - at <= LONGEST_LINE;
        match spelled.filter(|_| fits).and_then(|word| dtype.parse(word)) {
            _ if word.is_empty() && !may_lack => found.blank = found.blank.or(Some(line)),
            _ if found.blank.is_some() => {
                // It was in the middle.
                return Parsed { fault: found.blank.map(|line| (line, 0..0)), ..found };
            }
            Some(bits) => {
                buf[found.numbers] = bits;
                found.numbers += 1;
            }
            None if may_lack && fits => {
                buf[found.numbers] = 0;
                found.holes.push(found.numbers);
                found.wrong.get_or_insert((line, word));
                found.numbers += 1;
            }
            None => return Parsed { fault: Some((line, word)), ..found },
        }
        at = end;
    }
    found
}

impl Source for Text {
    fn schema(&self) -> Schema {
        Schema::single("", self.dtype)
    }

    fn fill(&mut self, batch: &mut BatchWriter) -> Result<usize> {
        let (mut failed, mut holes) = (self.failed.take(), Vec::new());
        let filled = fill_up(batch.capacity(), &mut failed, |count| {
            let whole = match self.whole_lines(count == 0) {
                Ok(0) => return (0, Ok(false)),
                Ok(whole) => whole,
                Err(error) => return (0, Err(error)),
            };
            holes.clear();
            let (found, outcome) = self.parse(whole, &mut batch.words_mut(0)[count..], &mut holes);
            holes.iter().for_each(|place| batch.set_null(0, count + place));
            (found, outcome.map(|()| true))
        });
        self.failed = failed;
        filled
    }

    fn count(&self) -> Option<u64> {
        None
    }

    fn skip(&mut self, count: u64) -> Result<u64> {
        let mut skipped = 0;
        while skipped < count {
            let whole = self.whole_lines(true)?;
            if whole == 0 {
                break;
            }
            let may_lack = self.may_lack;
            let is_row = |line: &[u8]| may_lack || !line.trim_ascii().is_empty();
            skipped += self.lines.skip(whole, count - skipped, &mut self.line, is_row);
        }
        Ok(skipped)
    }

    fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        self.lines.awaited().filter(|_| self.failed.is_none())
    }

    fn stamp(&self) -> Stamp {
        self.lines.stamp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::batch::bytes_for;
    use crate::input::lines::BUFFER;
    use proptest::prelude::*;

    /// Delivers one byte per read, as a slow pipe may.
    struct Trickle(std::io::Cursor<Vec<u8>>);

    impl Input for Trickle {}

    impl Read for Trickle {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let most = buf.len().min(1);
            self.0.read(&mut buf[..most])
        }
    }

    /// Delivers as much as there is room for.
    struct Flood(std::io::Cursor<Vec<u8>>);

    impl Input for Flood {}

    impl Read for Flood {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(buf)
        }
    }

    /// In place of a value that is missing.
    const HOLE: u64 = 0xdead;

    fn numbers(bytes: &[u8], dtype: Dtype, buf: usize) -> (Vec<u64>, Option<String>) {
        all(Box::new(Trickle(std::io::Cursor::new(bytes.to_vec()))), dtype, false, buf, 1)
    }

    fn all(
        reader: Box<dyn Input>,
        dtype: Dtype,
        may_lack: bool,
        buf: usize,
        threads: usize,
    ) -> (Vec<u64>, Option<String>) {
        let mut text = Text::open(reader, "numbers.txt".into(), Some(dtype), threads, may_lack).unwrap();
        let (mut out, mut memory) = (Vec::new(), vec![0u64; bytes_for(1, buf) / size_of::<u64>()]);
        loop {
            let memory = bytemuck::cast_slice_mut(&mut memory);
            let mut batch = BatchWriter::begin(memory, &Schema::single("", dtype), buf).unwrap();
            match text.fill(&mut batch) {
                Ok(0) => return (out, None),
                Ok(count) => {
                    batch.set_rows(count);
                    let rows = batch.view();
                    let value = |row: usize| if rows.is_valid(0, row) { rows.words(0)[row] } else { HOLE };
                    out.extend((0..count).map(value));
                }
                Err(error) => return (out, Some(error.to_string())),
            }
        }
    }

    #[test]
    fn blanks_and_line_ends_of_every_kind_are_passed_over() {
        let (values, error) = numbers(b"1\r\n  -2\t\n3", Dtype::I64, 2);
        assert_eq!(values, [1, -2i64 as u64, 3]);
        assert_eq!(error, None);
    }

    #[test]
    fn blank_lines_are_values_that_are_missing() {
        let text = b"1\r\n\n \n2\n x \n3\n\n\t\n";
        for buf in 1..8 {
            let trickle = || Box::new(Trickle(std::io::Cursor::new(text.to_vec())));
            let (values, error) = all(trickle(), Dtype::I64, true, buf, 1);
            assert_eq!((values, error), (vec![1, HOLE, HOLE, 2, HOLE, 3, HOLE, HOLE], None));
            let (values, error) = all(trickle(), Dtype::I64, false, buf, 1);
            assert_eq!(values, [1]);
            assert_eq!(error.unwrap(), "numbers.txt, line 2: there is no value; --keep-going passes over it");
            // At the end there need be none.
            assert_eq!(numbers(b"1\n2\n\n \n\r\n", Dtype::I64, buf), (vec![1, 2], None));
        }
    }

    #[test]
    fn what_stands_before_a_fault_is_delivered() {
        for buf in 1..6 {
            let (values, error) = numbers(b"1\n2\nthree\n4\n", Dtype::I64, buf);
            assert_eq!(values, [1, 2]);
            assert_eq!(error.unwrap(), "numbers.txt, line 3: 'three' is not a whole number");
        }
    }

    #[test]
    fn one_mark_is_passed_over_however_the_bytes_come() {
        let read = |bytes: &[u8]| numbers(bytes, Dtype::I64, 4).0;
        let at_once = |bytes: &[u8]| {
            all(Box::new(Flood(std::io::Cursor::new(bytes.to_vec()))), Dtype::I64, false, 4, 1).0
        };
        for (bytes, values) in
            [(&b"\xef\xbb\xbf1\n2"[..], &[1, 2][..]), (b"\xef\xbb\xbf\xef\xbb\xbf1\n2", &[])]
        {
            assert_eq!((&read(bytes)[..], &at_once(bytes)[..]), (values, values));
        }
    }

    #[test]
    fn a_fraction_names_the_way_out() {
        let (_, error) = numbers(b"1.5\n", Dtype::I64, 4);
        assert!(error.unwrap().ends_with("'1.5' is not a whole number; for floats: --dtype f64"));
    }

    /// However far apart its parts arrive.
    #[test]
    fn one_number_is_never_read_as_two() {
        let padded = [vec![b' '; 5000], b"12\n".to_vec()].concat();
        let (values, error) = numbers(&padded, Dtype::I64, 4);
        assert!(values.is_empty() && error.unwrap().contains("line 1"));
    }

    #[test]
    fn a_file_without_newlines_is_not_read_to_its_end() {
        let (values, error) = numbers(&vec![b'7'; 100_000], Dtype::I64, 4);
        assert!(values.is_empty());
        let error = error.unwrap();
        assert!(error.contains("line 1") && error.contains('…') && error.len() < 250, "{error}");
    }

    #[test]
    fn any_number_of_threads_reads_the_same() {
        // Lines of many lengths, blank ones among them, and a fault far behind.
        let text: String = (0..200_000u64)
            .map(|i| {
                if i % 7 == 0 {
                    "\n".repeat(i as usize % 3)
                } else {
                    format!(" {}\r\n", i.pow(2 + i as u32 % 2))
                }
            })
            .collect();
        let faulty = text.clone() + "12\nthirteen\n14";
        // A number that is longer than any should be, across the end of a buffer and not.
        let long = |before: usize| "7\n".repeat(before) + &"0".repeat(LONGEST_LINE) + "1\n2\n";
        let whole: String =
            text.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect();
        let texts = [text, faulty, whole + "\n\n", long(BUFFER / 2 - 1000), long(3)];
        for (text, may_lack) in texts.iter().flat_map(|text| [(text, false), (text, true)]) {
            let read = |buf, threads| {
                let reader = Flood(std::io::Cursor::new(text.clone().into_bytes()));
                all(Box::new(reader), Dtype::I64, may_lack, buf, threads)
            };
            let alone = read(1000, 1);
            for (buf, threads) in [(1 << 16, 2), (999, 2), (300_000, 3), (70_001, 7)] {
                assert!(read(buf, threads) == alone, "{buf} {threads}");
            }
        }
    }

    proptest! {
        #[test]
        fn numbers_survive_text(values: Vec<i64>, buf in 1usize..20) {
            let text: String = values.iter().map(|v| format!("{v}\n")).collect();
            let expected: Vec<u64> = values.iter().map(|v| *v as u64).collect();
            prop_assert_eq!(numbers(text.as_bytes(), Dtype::I64, buf), (expected, None));
        }

        #[test]
        fn floats_survive_text(values: Vec<f64>, digits in 0usize..25, buf in 1usize..20) {
            // Rounded to few digits, the largest would not fit any more.
            let smaller = |v: &f64| if v.is_finite() { v / 2.0 } else { *v };
            for text in [
                values.iter().map(|v| format!("{v}\n")).collect::<String>(),
                values.iter().map(|v| format!("{:.digits$e}\n", smaller(v))).collect(),
                values.iter().map(|v| format!("+{} \r\n", v.abs())).collect(),
            ] {
                // As the standard library reads each.
                let words = text.lines().map(|line| line.trim().parse::<f64>().unwrap());
                let expected: Vec<u64> = words.map(f64::to_bits).collect();
                prop_assert_eq!(numbers(text.as_bytes(), Dtype::F64, buf), (expected, None));
            }
        }

        #[test]
        fn any_bytes_end_in_values_or_a_message(bytes: Vec<u8>, buf in 1usize..20) {
            numbers(&bytes, Dtype::F64, buf);
        }
    }
}
