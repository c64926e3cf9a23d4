//! Values from text, one number per line, from a file or a pipe.
//!
//! Blank lines and blanks around a number are passed over. Held in memory: one buffer, and no line longer
//! than a number can be.

use std::io::{ErrorKind, Read};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::input::Source;
use crate::job::Dtype;

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;
/// No number needs a longer line: past this the input is something else, perhaps without any newline.
const LONGEST_LINE: usize = 4096;
/// How much of a wrong line a message shows.
const SHOWN: usize = 60;

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
    reader: Box<dyn Input>,
    name: PathBuf,
    dtype: Dtype,
    buffer: Vec<u8>,
    /// The part of `buffer` that has been read and not yet parsed.
    unread: std::ops::Range<usize>,
    line: u64,
    ended: bool,
    failed: Option<Error>,
}

impl Text {
    /// Numbers of type `dtype` from `reader`; `name` is for messages.
    pub fn new(reader: Box<dyn Input>, name: PathBuf, dtype: Dtype) -> Self {
        Self { reader, name, dtype, buffer: Vec::new(), unread: 0..0, line: 0, ended: false, failed: None }
    }

    /// The next number; `None` at the end, and where there is none yet and `may_wait` is false.
    fn next(&mut self, may_wait: bool) -> Result<Option<u64>> {
        loop {
            let waiting = &self.buffer[self.unread.clone()];
            let (line, used) = match memchr::memchr(b'\n', waiting) {
                Some(at) => (&waiting[..at], at + 1),
                None if self.ended && waiting.is_empty() => return Ok(None),
                None if self.ended => (waiting, waiting.len()),
                None if waiting.len() > LONGEST_LINE => {
                    self.line += 1;
                    return Err(self.complaint(waiting.trim_ascii()));
                }
                None if !may_wait && !self.reader.comes_soon() => return Ok(None),
                None => {
                    self.read_more()?;
                    continue;
                }
            };
            self.line += 1;
            let number = line.trim_ascii();
            if number.is_empty() {
                self.unread.start += used;
                continue;
            }
            let parsed = std::str::from_utf8(number).ok().and_then(|word| self.dtype.parse(word));
            let Some(bits) = parsed else {
                return Err(self.complaint(number));
            };
            self.unread.start += used;
            return Ok(Some(bits));
        }
    }

    fn read_more(&mut self) -> Result<()> {
        self.buffer.resize(BUFFER, 0);
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        loop {
            match self.reader.read(&mut self.buffer[self.unread.end..]) {
                Ok(count) => {
                    self.unread.end += count;
                    self.ended = count == 0;
                    return Ok(());
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read", &self.name, &e)),
            }
        }
    }

    fn complaint(&self, number: &[u8]) -> Error {
        if self.line == 1 && number.starts_with(b"\x93NUMPY") {
            return Error::Failed(format!(
                "cannot read {} as text: it is a .npy file; give it a name that ends in .npy, and --from FILE",
                self.name.display()
            ));
        }
        let shown: String = String::from_utf8_lossy(number).chars().take(SHOWN).collect();
        let dots = if number.len() > shown.len() { "…" } else { "" };
        let what = self.dtype.complaint(&format!("{}{dots}", shown.escape_debug()));
        Error::Failed(format!("{}, line {}: {what}", self.name.display(), self.line))
    }
}

impl Source for Text {
    fn fill(&mut self, room: &mut [u64]) -> Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        for (count, word) in room.iter_mut().enumerate() {
            match self.next(count == 0) {
                Ok(Some(bits)) => *word = bits,
                Ok(None) => return Ok(count),
                Err(error) if count == 0 => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    return Ok(count);
                }
            }
        }
        Ok(room.len())
    }

    fn count(&self) -> Option<u64> {
        None
    }

    fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        let waiting = &self.buffer[self.unread.clone()];
        let is_here = self.ended || self.failed.is_some() || memchr::memchr(b'\n', waiting).is_some();
        if is_here { None } else { self.reader.descriptor() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Delivers one byte per read, as a slow pipe may.
    struct Trickle(std::io::Cursor<Vec<u8>>);

    impl Input for Trickle {}

    impl Read for Trickle {
        fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
            let most = room.len().min(1);
            self.0.read(&mut room[..most])
        }
    }

    fn numbers(bytes: &[u8], dtype: Dtype, room: usize) -> (Vec<u64>, Option<String>) {
        let reader = Trickle(std::io::Cursor::new(bytes.to_vec()));
        let mut text = Text::new(Box::new(reader), "numbers.txt".into(), dtype);
        let (mut out, mut buffer) = (Vec::new(), vec![0; room]);
        loop {
            match text.fill(&mut buffer) {
                Ok(0) => return (out, None),
                Ok(count) => out.extend_from_slice(&buffer[..count]),
                Err(error) => return (out, Some(error.to_string())),
            }
        }
    }

    #[test]
    fn blanks_and_line_ends_of_every_kind_are_passed_over() {
        let (values, error) = numbers(b"1\r\n\n  -2\t\n3", Dtype::I64, 2);
        assert_eq!(values, [1, -2i64 as u64, 3]);
        assert_eq!(error, None);
    }

    #[test]
    fn what_stands_before_a_fault_is_delivered() {
        for room in 1..6 {
            let (values, error) = numbers(b"1\n2\n\nthree\n4\n", Dtype::I64, room);
            assert_eq!(values, [1, 2]);
            assert_eq!(error.unwrap(), "numbers.txt, line 4: 'three' is not a whole number");
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

    proptest! {
        #[test]
        fn numbers_survive_text(values: Vec<i64>, room in 1usize..20) {
            let text: String = values.iter().map(|v| format!("{v}\n")).collect();
            let expected: Vec<u64> = values.iter().map(|v| *v as u64).collect();
            prop_assert_eq!(numbers(text.as_bytes(), Dtype::I64, room), (expected, None));
        }

        #[test]
        fn any_bytes_end_in_values_or_a_message(bytes: Vec<u8>, room in 1usize..20) {
            numbers(&bytes, Dtype::F64, room);
        }
    }
}
