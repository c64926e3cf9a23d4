//! Bytes of any number, one behind the other: in memory up to some of them, and beyond that in a file without a name in the
//! folder for temporary files (`TMPDIR`), gone when it is closed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::base::error::plain;

/// Bytes in the order in which they were put.
#[derive(Debug)]
pub struct Spool {
    /// Bytes that are kept in memory at the most.
    most: usize,
    /// Those in front, where there are more.
    file: Option<File>,
    filed: u64,
    /// Those behind.
    memory: Vec<u8>,
}

/// Why bytes cannot be kept, or read back, in words.
pub fn fault(error: &io::Error) -> String {
    format!(
        "it has printed more than is kept in memory, and a temporary file in {} cannot hold that: {} (TMPDIR=FOLDER has it \
         elsewhere)",
        std::env::temp_dir().display(),
        plain(error)
    )
}

impl Spool {
    /// Nothing yet, of which `most` bytes are kept in memory.
    pub fn new(most: usize) -> Self {
        Self { most, file: None, filed: 0, memory: Vec::new() }
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> u64 {
        self.filed + self.memory.len() as u64
    }

    /// All of them, where they are in memory.
    pub fn in_memory(&self) -> Option<&[u8]> {
        (self.filed == 0).then_some(&self.memory)
    }

    /// Puts `bytes` behind the others.
    ///
    /// # Errors
    /// They cannot be kept in a file.
    pub fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        // A buffer of the file from then on.
        if self.memory.len() + bytes.len() > self.most {
            self.file_memory()?;
        }
        self.memory.extend_from_slice(bytes);
        self.settle()
    }

    /// Where bytes may be put behind the others; [`Spool::settle`] follows.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.memory
    }

    /// No more than it may is in memory from now on.
    ///
    /// # Errors
    /// The rest cannot be kept in a file.
    pub fn settle(&mut self) -> io::Result<()> {
        if self.memory.len() > self.most { self.file_memory() } else { Ok(()) }
    }

    fn file_memory(&mut self) -> io::Result<()> {
        if self.memory.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile()?),
        };
        file.write_all_at(&self.memory, self.filed)?;
        self.filed += self.memory.len() as u64;
        self.memory.clear();
        if self.memory.capacity() > 2 * self.most {
            self.memory = Vec::new();
        }
        Ok(())
    }

    /// Puts all of `other` behind the others, and leaves nothing there.
    ///
    /// # Errors
    /// They cannot be kept in a file, or not be read back.
    pub fn append(&mut self, other: &mut Self) -> io::Result<()> {
        if self.bytes() == 0 {
            std::mem::swap(&mut self.file, &mut other.file);
            std::mem::swap(&mut self.filed, &mut other.filed);
            std::mem::swap(&mut self.memory, &mut other.memory);
            return self.settle();
        }
        let (mut at, mut piece) = (0, vec![0; PIECE]);
        loop {
            match other.read(at, &mut piece)? {
                0 => break,
                count => {
                    self.put(&piece[..count])?;
                    at += count as u64;
                }
            }
        }
        other.truncate(0);
        Ok(())
    }

    /// Reads bytes from number `at` on, as many as there is room for. Returns how many; 0 at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self, at: u64, room: &mut [u8]) -> io::Result<usize> {
        if let Some(file) = self.file.as_ref().filter(|_| at < self.filed) {
            let count = room.len().min(usize::try_from(self.filed - at).unwrap_or(usize::MAX));
            file.read_exact_at(&mut room[..count], at)?;
            // What is in memory follows in the same room.
            return Ok(count + self.read(self.filed, &mut room[count..])?);
        }
        let rest = self.memory.get((at - self.filed) as usize..).unwrap_or_default();
        let count = rest.len().min(room.len());
        room[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    /// The last byte.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn last(&self) -> io::Result<Option<u8>> {
        let Some(at) = self.bytes().checked_sub(1) else { return Ok(None) };
        let mut last = [0];
        self.read(at, &mut last).map(|_| Some(last[0]))
    }

    /// Keeps the first `len` bytes. The room of the others is free again where nothing is left in the file.
    pub fn truncate(&mut self, len: u64) {
        if len >= self.filed {
            self.memory.truncate((len - self.filed) as usize);
        } else {
            self.memory.clear();
            self.filed = len;
        }
        if self.filed == 0 {
            self.file = None;
        }
    }
}

/// Bytes that are copied at once.
const PIECE: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_come_back_in_their_order(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
            most in 0usize..60, cut in 0u64..200, room in 1usize..50,
        ) {
            let (mut spool, mut other, mut expected) = (Spool::new(most), Spool::new(most), Vec::new());
            for (i, piece) in pieces.iter().enumerate() {
                match i % 3 {
                    0 => spool.put(piece).unwrap(),
                    1 => {
                        spool.tail().extend_from_slice(piece);
                        spool.settle().unwrap();
                    }
                    _ => {
                        other.put(piece).unwrap();
                        spool.append(&mut other).unwrap();
                        prop_assert_eq!(other.bytes(), 0);
                    }
                }
                expected.extend_from_slice(piece);
                prop_assert!(spool.memory.len() <= most);
            }
            if cut < spool.bytes() {
                spool.truncate(cut);
                expected.truncate(cut as usize);
                spool.put(b"again").unwrap();
                expected.extend_from_slice(b"again");
            }
            prop_assert_eq!(spool.bytes(), expected.len() as u64);
            prop_assert_eq!(spool.last().unwrap(), expected.last().copied());
            prop_assert!(spool.in_memory().is_none_or(|bytes| bytes == expected));
            let (mut read, mut buffer) = (Vec::new(), vec![0; room]);
            while let count @ 1.. = spool.read(read.len() as u64, &mut buffer).unwrap() {
                read.extend_from_slice(&buffer[..count]);
            }
            prop_assert_eq!(read, expected);
        }
    }
}
