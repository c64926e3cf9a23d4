//! One worker's section of a file, read piece by piece at its own offset.
//!
//! A line belongs to the section in which its first byte stands. Who reads a section needs no more than
//! its two offsets to find its lines: it skips to the first start of a line at or after its start, and
//! reads on past its end until the line that it is in ends. Each byte is so looked at twice at the most,
//! even in a file that is one single line, and joined in order the sections are the file.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result, plain};
use crate::base::{scratch, signals};
use crate::data::block::Block;
use crate::input::{InputInfo, open_text, text_stamp};
use crate::job::input::{SAMPLE_NAME, TextFile};

/// The demo's text, part of the program.
pub const SAMPLE: &[u8] = include_bytes!("../../jobs/sample.txt");

/// Bytes looked at first for the end of a line; grows fourfold while none is found.
const FIRST_LOOK: usize = 4 * 1024;
/// Bytes looked at once at the most.
const LONGEST_LOOK: usize = 256 * 1024;

/// A file that this worker has opened, and where it stands in the section that it reads.
pub struct SectionReader {
    file: File,
    path: PathBuf,
    file_len: u64,
    /// Next byte to read.
    at: u64,
    /// The section's end before it moves to the end of a line.
    end: u64,
    ended: bool,
    look: usize,
}

impl SectionReader {
    /// Opens `text` on this worker.
    ///
    /// # Errors
    /// It cannot be opened here, or is not what rank 0 saw, as `info` say.
    pub fn open(text: &TextFile, info: &InputInfo) -> Result<Self> {
        let (file, len) = open_text(text)?;
        let (path, file_len) = (text.name(), info.total);
        if len != file_len {
            return Err(Error::Failed(format!(
                "cannot use {}: it has {len} bytes here and {file_len} where rank 0 opened it, so it is \
                 another file or is being written",
                path.display()
            )));
        }
        info.stamp.check(text_stamp(text, &file), &path)?;
        Ok(Self { file, path, file_len, at: 0, end: 0, ended: true, look: FIRST_LOOK })
    }

    /// Where the first line starts that starts at byte `at` or behind it; the end of the file where none does.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn line_from(&mut self, at: u64) -> Result<u64> {
        self.start(&Block { start: at, end: self.file_len })?;
        Ok(if self.ended { self.file_len } else { self.at })
    }

    /// The bytes of the lines that start in `block`, which may be none. Reads no more of them than it takes to find both
    /// ends.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn range(&mut self, block: &Block) -> Result<Range<u64>> {
        self.start(block)?;
        if self.ended {
            return Ok(block.start..block.start);
        }
        let start = self.at;
        Ok(start..self.line_from(block.end)?)
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Goes to the first line that starts in `block`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn start(&mut self, block: &Block) -> Result<()> {
        self.end = block.end;
        self.look = FIRST_LOOK;
        self.ended = block.is_empty();
        self.at = block.start;
        if self.ended || block.start == 0 {
            return Ok(());
        }
        // A line starts at i+1 when byte i is a newline: so i runs from start-1 up to end-2.
        let (mut from, last) = (block.start - 1, block.end - 1);
        let mut buffer = [0; FIRST_LOOK];
        let mut larger = Vec::new();
        let mut buffer = &mut buffer[..];
        while from < last {
            let most = (last - from).min(buffer.len() as u64) as usize;
            let count = self.read_at(&mut buffer[..most], from)?;
            if let Some(i) = memchr::memchr(b'\n', &buffer[..count]) {
                self.at = from + i as u64 + 1;
                return Ok(());
            }
            from += count as u64;
            larger.resize(LONGEST_LOOK, 0);
            buffer = &mut larger;
        }
        self.ended = true;
        Ok(())
    }

    /// Reads the section's next bytes into the front of `buf` (not empty) and returns how many; 0 at its
    /// end.
    ///
    /// # Errors
    /// The file cannot be read, or has been cut short since the run began.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let wanted = match self.end.checked_sub(self.at) {
            Some(inside) if inside > 0 => inside.saturating_add(FIRST_LOOK as u64),
            _ => {
                let look = self.look as u64;
                self.look = (self.look * 4).min(LONGEST_LOOK);
                look
            }
        };
        let wanted = wanted.min(self.file_len - self.at).min(buf.len() as u64) as usize;
        let mut count = self.read_at(&mut buf[..wanted], self.at)?;
        // The first newline at or after the section's last byte ends the section.
        let inside = (self.end - 1).saturating_sub(self.at).min(count as u64) as usize;
        if let Some(i) = memchr::memchr(b'\n', &buf[inside..count]) {
            count = inside + i + 1;
            self.ended = true;
        }
        self.at += count as u64;
        self.ended |= self.at == self.file_len;
        Ok(count)
    }

    /// Nothing is left of the section.
    pub fn ended(&self) -> bool {
        self.ended
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> Result<usize> {
        // Here, because a section may be one huge line.
        signals::check()?;
        loop {
            match self.file.read_at(buf, at) {
                Ok(0) => {
                    return Err(Error::Failed(format!(
                        "cannot read {} at byte {at}: it ends there, and had {} bytes when the run began, so \
                         it has been cut short since",
                        self.path.display(),
                        self.file_len
                    )));
                }
                Ok(count) => return Ok(count),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read", &self.path, &e)),
            }
        }
    }
}

/// The demo's text: the checkout's own file when the demo runs in one, else a file without a name. Each rank
/// writes its own, so that the demo needs no folder that all nodes share, nor any to write in.
pub fn sample() -> Result<(File, u64)> {
    let in_checkout = Path::new("jobs").join(SAMPLE_NAME);
    if std::fs::read(&in_checkout).is_ok_and(|text| text == SAMPLE) {
        return open_text(&TextFile::Path(in_checkout));
    }
    let write = || {
        let mut file = scratch::file()?;
        file.write_all(SAMPLE)?;
        Ok(file)
    };
    let file = write().map_err(|e: std::io::Error| {
        Error::Failed(format!("cannot hold {SAMPLE_NAME} in memory: {}", plain(&e)))
    })?;
    Ok((file, SAMPLE.len() as u64))
}

/// Files under /proc and /sys say that they have no bytes, and have some.
pub fn has_hidden_bytes(file: &File) -> bool {
    matches!(file.read_at(&mut [0], 0), Ok(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::partition;
    use crate::data::schema::Schema;
    use crate::input::stamp::Stamp;
    use proptest::prelude::*;

    fn reader(dir: &tempfile::TempDir, bytes: &[u8]) -> SectionReader {
        let path = dir.path().join("text");
        std::fs::write(&path, bytes).unwrap();
        let total = bytes.len() as u64;
        let info = InputInfo { schema: Schema::default(), total, indexed: false, stamp: Stamp::NONE };
        SectionReader::open(&TextFile::Path(path), &info).unwrap()
    }

    fn section(reader: &mut SectionReader, block: Block, buf: usize) -> Vec<u8> {
        reader.start(&block).unwrap();
        let (mut out, mut buffer) = (Vec::new(), vec![0; buf]);
        loop {
            let count = reader.read(&mut buffer).unwrap();
            if count == 0 {
                assert!(reader.ended());
                return out;
            }
            out.extend_from_slice(&buffer[..count]);
        }
    }

    /// Every section is whole lines, starts where the rule says, and joined they are the file.
    fn check(bytes: &[u8], k: u64, buf: usize) {
        let dir = tempfile::tempdir().unwrap();
        let mut reader = reader(&dir, bytes);
        let mut joined = Vec::new();
        for i in 0..k {
            let part = partition::part(bytes.len() as u64, k, i);
            let block = Block { start: part.start, end: part.end };
            let got = section(&mut reader, block, buf);
            let range = reader.range(&block).unwrap();
            assert_eq!(&bytes[range.start as usize..range.end as usize], &got[..], "section {i} of {k}");
            if !got.is_empty() {
                let start = joined.len();
                assert!(part.contains(&(start as u64)), "section {i} starts at {start}, not in {part:?}");
                assert!(start == 0 || bytes[start - 1] == b'\n', "section {i} cuts a line");
            }
            joined.extend_from_slice(&got);
        }
        assert_eq!(joined, bytes, "{k} sections of {} bytes", bytes.len());
    }

    #[test]
    fn every_number_of_sections_of_awkward_files() {
        let long = [b"x".repeat(9000), b"\nend".to_vec()].concat();
        let files: [&[u8]; 12] = [
            b"",
            b"\n",
            b"a",
            b"a\n",
            b"\n\n\n",
            b"a\nb",
            b"a\r\nb\r\n",
            b"\0\n\xff\n",
            b"one long line only",
            b"a\n\nbb\n\n\nccc\n",
            b"\n\nx",
            &long,
        ];
        for bytes in files {
            for k in (1..=bytes.len().min(40) as u64 + 3).chain([997]) {
                for buf in [1, 2, 7, 4096] {
                    if bytes.len() < 100 || buf > 1000 {
                        check(bytes, k, buf);
                    }
                }
            }
        }
    }

    #[test]
    fn a_cut_at_every_offset_near_a_newline() {
        let bytes = b"first\nsecond line\n\nthird\r\nlast";
        let dir = tempfile::tempdir().unwrap();
        let mut reader = reader(&dir, bytes);
        for cut in 0..=bytes.len() as u64 {
            let left = section(&mut reader, Block { start: 0, end: cut }, 5);
            let right = section(&mut reader, Block { start: cut, end: bytes.len() as u64 }, 5);
            assert_eq!([left.as_slice(), &right].concat(), bytes, "cut at {cut}");
            assert!(left.is_empty() || right.is_empty() || left.ends_with(b"\n"), "cut at {cut}");
        }
    }

    #[test]
    fn a_file_cut_short_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut reader = reader(&dir, b"some\nlines\nhere\n");
        std::fs::write(dir.path().join("text"), b"some\n").unwrap();
        let error = reader.start(&Block { start: 8, end: 16 }).unwrap_err().to_string();
        assert!(error.contains("cut short"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn sections_join_to_the_file(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..400),
            k in 1u64..50,
            buf in 1usize..64,
        ) {
            check(&bytes, k, buf);
        }
    }
}
