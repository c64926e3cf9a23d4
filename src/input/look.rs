//! A look at the first bytes of an input, which are read again afterwards.

use std::io::{self, Cursor, Read};
use std::os::fd::BorrowedFd;

use crate::input::text::{Input, LOOKED_AT};

/// A reader whose first bytes have been looked at.
pub struct Ahead {
    start: Cursor<Vec<u8>>,
    reader: Box<dyn Input>,
}

impl Ahead {
    /// Reads the first [`LOOKED_AT`] bytes of `reader`, or all, or of a pipe what comes at once.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(mut reader: Box<dyn Input>) -> io::Result<Self> {
        let (mut start, mut count) = (vec![0; LOOKED_AT], 0);
        while count < start.len() && (count == 0 || reader.comes_soon()) {
            match reader.read(&mut start[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        start.truncate(count);
        Ok(Self { start: Cursor::new(start), reader })
    }

    /// Reads on until a line has ended, or `longest` bytes have been read.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_to_line_end(&mut self, longest: usize) -> io::Result<()> {
        let start = self.start.get_mut();
        let (mut looked_at, mut room) = (0, vec![0; LOOKED_AT]);
        while start.len() < longest && memchr::memchr(b'\n', &start[looked_at..]).is_none() {
            looked_at = start.len();
            match self.reader.read(&mut room) {
                Ok(0) => break,
                Ok(count) => start.extend_from_slice(&room[..count]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Bytes that have been read of `reader` already, and then what comes from it.
    pub fn behind(start: Vec<u8>, reader: Box<dyn Input>) -> Self {
        Self { start: Cursor::new(start), reader }
    }

    /// What comes behind the bytes that have been looked at.
    pub fn into_rest(self) -> Box<dyn Input> {
        self.reader
    }

    /// The bytes that have been looked at.
    pub fn start(&self) -> &[u8] {
        self.start.get_ref()
    }

    fn is_past(&self) -> bool {
        self.start.position() == self.start.get_ref().len() as u64
    }
}

impl Read for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.is_past() { self.reader.read(buf) } else { self.start.read(buf) }
    }
}

impl Input for Cursor<Vec<u8>> {}

impl Input for Ahead {
    fn comes_soon(&self) -> bool {
        !self.is_past() || self.reader.comes_soon()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.reader.descriptor()
    }
}
