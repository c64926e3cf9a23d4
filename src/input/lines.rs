//! Lines of a text in a buffer, which several threads can share: as many whole ones at once as are there.
//!
//! Held in memory: one buffer, which grows only where it is filled, up to [`BUFFER`] for each thread or the longest line
//! that may be.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::BorrowedFd;

use crate::base::error::{Error, Result};
use crate::data::partition;
use crate::input::stamp::Stamp;
use crate::input::text::Input;

/// Bytes read at once for each thread: measured as the size where starting threads costs little.
pub const BUFFER: usize = 1024 * 1024;
/// Bytes read at first: few lines need no more.
pub const FIRST_BUFFER: usize = 64 * 1024;
/// Text that is worth a thread of its own.
const WORTH_SHARING: usize = 128 * 1024;

/// What begins a text that some editors have written.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Lines that come from a reader.
pub struct LineBuffer {
    reader: Box<dyn Input>,
    threads: usize,
    buffer: Vec<u8>,
    /// The part of `buffer` that has been read and not yet passed.
    unread: Range<usize>,
    /// The last read filled the buffer.
    was_filled: bool,
    /// Nothing has been passed, so that a mark may stand there.
    is_at_start: bool,
    ended: bool,
}

/// Whole lines that wait.
pub enum Whole {
    /// So many bytes of them: none at the end, and where none are there yet and nobody wants to wait.
    Bytes(usize),
    /// None, and a line that is too long.
    TooLong,
}

impl LineBuffer {
    /// Lines from `reader`, for so many threads.
    pub fn new(reader: Box<dyn Input>, threads: usize) -> Self {
        let (buffer, unread) = (Vec::new(), 0..0);
        Self { reader, threads, buffer, unread, was_filled: false, is_at_start: true, ended: false }
    }

    /// The same behind `bytes`, which have been read before.
    pub fn behind(bytes: &[u8], reader: Box<dyn Input>, threads: usize) -> Self {
        let (buffer, unread) = (bytes.to_vec(), 0..bytes.len());
        Self { buffer, unread, is_at_start: false, ..Self::new(reader, threads) }
    }

    /// What has been read and not passed, and the reader of what comes behind it.
    pub fn into_rest(self) -> (Vec<u8>, Box<dyn Input>) {
        (self.buffer[self.unread].to_vec(), self.reader)
    }

    /// What has been read and not passed.
    pub fn waiting(&self) -> &[u8] {
        &self.buffer[self.unread.clone()]
    }

    /// The first `count` bytes of that are done with.
    pub fn pass(&mut self, count: usize) {
        self.unread.start += count;
        self.is_at_start &= count == 0;
    }

    /// Passes over lines among the first `whole` bytes, until `most` of them are rows, as `is_row` says of a line with its
    /// end. Returns how many rows those were; adds all lines to `line`.
    pub fn skip(&mut self, whole: usize, most: u64, line: &mut u64, is_row: impl Fn(&[u8]) -> bool) -> u64 {
        let (mut rows, mut at) = (0, 0);
        while at < whole && rows < most {
            let lines = &self.waiting()[..whole];
            let end = next_line(lines, at);
            rows += u64::from(is_row(&lines[at..end]));
            *line += 1;
            at = end;
        }
        self.pass(at);
        rows
    }

    /// What the file that they come from is like now.
    pub fn stamp(&self) -> Stamp {
        self.descriptor().map_or(Stamp::NONE, Stamp::of_descriptor)
    }

    /// Nothing will come any more.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Is there more, or the end, within a moment?
    pub fn comes_soon(&self) -> bool {
        self.reader.comes_soon()
    }

    /// What the lines come from, if it can be waited for.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.reader.descriptor()
    }

    /// What the next line is to come from, when it is not here yet.
    pub fn awaited(&self) -> Option<BorrowedFd<'_>> {
        let is_here = self.ended || memchr::memchr(b'\n', self.waiting()).is_some();
        if is_here { None } else { self.descriptor() }
    }

    /// Whole lines, once there are some, unless that takes time and nobody `may_wait`; a line that has not ended after
    /// `longest` bytes is too long.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn whole(&mut self, may_wait: bool, longest: usize) -> io::Result<Whole> {
        loop {
            let waiting = self.waiting();
            match memchr::memrchr(b'\n', waiting) {
                Some(at) => return Ok(Whole::Bytes(at + 1)),
                None if self.ended => return Ok(Whole::Bytes(waiting.len())),
                None if waiting.len() > longest => return Ok(Whole::TooLong),
                None if !may_wait && !self.reader.comes_soon() => return Ok(Whole::Bytes(0)),
                None => self.read_more()?,
            }
        }
    }

    /// Reads once more.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_more(&mut self) -> io::Result<()> {
        // It grows only where it is filled.
        let size = if self.was_filled { 4 * self.buffer.len() } else { self.buffer.len() };
        let most = (BUFFER * self.threads).max(self.unread.len() + FIRST_BUFFER);
        // Before the buffer may become smaller.
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        self.buffer.resize(size.clamp(FIRST_BUFFER, most).max(self.unread.len() + FIRST_BUFFER), 0);
        loop {
            match self.reader.read(&mut self.buffer[self.unread.end..]) {
                Ok(count) => {
                    self.unread.end += count;
                    self.was_filled = self.unread.end == self.buffer.len();
                    if self.is_at_start && self.waiting().starts_with(MARK) {
                        // Once: a second one is not the file's, in however many pieces it comes.
                        self.pass(MARK.len());
                    }
                    self.ended = count == 0;
                    return Ok(());
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// Fills up to `capacity` rows, some at a time: `some` puts them behind those that there are, and returns how many, and
/// whether there may be more now, or why there are none. What ends rows is kept as `failed` until these have been
/// delivered.
///
/// # Errors
/// What was kept; or there are no rows, and that is why.
pub fn fill_up(
    capacity: usize,
    failed: &mut Option<Error>,
    mut some: impl FnMut(usize) -> (usize, Result<bool>),
) -> Result<usize> {
    if let Some(error) = failed.take() {
        return Err(error);
    }
    let mut count = 0;
    while count < capacity {
        let (found, outcome) = some(count);
        count += found;
        match outcome {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) if count == 0 => return Err(error),
            Err(error) => {
                *failed = Some(error);
                break;
            }
        }
    }
    Ok(count)
}

/// Whole lines for one thread.
pub struct LineRange {
    /// Where they stand.
    pub bytes: Range<usize>,
    /// How many.
    pub lines: usize,
}

/// The first of `lines`, no more of them than `most`, in parts for so many threads.
pub fn parts(lines: &[u8], threads: usize, most: usize) -> Vec<LineRange> {
    let mut window = lines.len();
    loop {
        let count = (window / WORTH_SHARING).clamp(1, threads) as u64;
        let mut bounds: Vec<usize> = (0..count)
            .map(|i| partition::part(window as u64, count, i).start as usize)
            .map(|at| if at == 0 { 0 } else { next_line(lines, at - 1) })
            .collect();
        bounds.push(window);
        let parts: Vec<LineRange> = bounds
            .windows(2)
            .map(|bounds| {
                let bytes = bounds[0].min(window)..bounds[1].min(window);
                let text = &lines[bytes.clone()];
                let unfinished = usize::from(text.last().is_some_and(|byte| *byte != b'\n'));
                LineRange { bytes, lines: memchr::memchr_iter(b'\n', text).count() + unfinished }
            })
            .collect();
        let all: usize = parts.iter().map(|part| part.lines).sum();
        if all <= most {
            return parts;
        }
        // About as many as there is room for, and at least one.
        let about = (window as u128 * most as u128 / all as u128) as usize;
        window = memchr::memrchr(b'\n', &lines[..about]).map_or_else(|| next_line(lines, 0), |at| at + 1);
    }
}

/// Where the line behind the one that byte `at` is part of begins.
pub fn next_line(lines: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &lines[at..]).map_or(lines.len(), |i| at + i + 1)
}

/// The first of `lines`, about as many bytes as `likely` or at least one line: what is looked at for one row should not
/// be a whole buffer.
pub fn likely(lines: &[u8], likely: usize) -> &[u8] {
    match lines.get(..likely) {
        Some(start) => {
            &lines[..memchr::memrchr(b'\n', start).map_or_else(|| next_line(lines, 0), |at| at + 1)]
        }
        None => lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Input for &[u8] {}

    #[test]
    fn long_lines_do_not_lose_what_has_been_read() {
        let text = [b"short\n".repeat(200_000), b"x".repeat(3_500_000), b"\nend\n".to_vec()].concat();
        let leaked: &'static [u8] = text.clone().leak();
        let (mut lines, mut read) = (LineBuffer::new(Box::new(leaked), 3), Vec::new());
        loop {
            let Whole::Bytes(count) = lines.whole(true, 4 << 20).unwrap() else {
                panic!("it is not too long")
            };
            if count == 0 {
                break;
            }
            // What stands before a long line is passed by itself.
            let count = next_line(lines.waiting(), 0).max(count / 2).min(count);
            read.extend_from_slice(&lines.waiting()[..count]);
            lines.pass(count);
        }
        assert!(read == text);
    }

    #[test]
    fn parts_are_whole_lines_and_no_more_than_fit() {
        let text = b"1\n\n22\n333333333333\n4\n\n\n5".repeat(20_000);
        for (threads, most) in [(1, 1), (2, 1), (3, 10), (2, 70_000), (5, 1 << 20)] {
            let mut at = 0;
            let mut lines = 0;
            for part in parts(&text, threads, most) {
                assert_eq!(part.bytes.start, at);
                at = part.bytes.end;
                lines += part.lines;
                assert!(part.bytes.is_empty() || at == text.len() || text[at - 1] == b'\n');
            }
            assert!(0 < lines && lines <= most, "{lines} lines for {most}");
            assert!(most < 1 << 20 || at == text.len());
        }
    }
}
