//! Units of work.

/// One unit of work: the values `start..end` of the stream, or the section of a file that begins as the
/// bytes `start..end` (before its ends move to starts of lines).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Block {
    /// First value or byte.
    pub start: u64,
    /// One past the last.
    pub end: u64,
}

impl Block {
    /// Values, or bytes before the ends move.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Nothing in it?
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}
