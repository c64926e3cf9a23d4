//! Texts as words, so that columns of texts are columns of words as all others are: a word says where in a memory its
//! text lies.
//!
//! There are two memories: that of the batch of rows that a text has come in, and one for texts that have been made
//! since.

use std::collections::HashMap;

use bytemuck::{Pod, Zeroable};

/// A place of a text in a memory: its start and its length, which are the word of a row.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Span {
    pub start: u32,
    pub len: u32,
}

/// The bit of a start that says that a text has been made. No batch reaches so far.
const MADE: u32 = 1 << 31;

/// Bytes of texts that may be made for a row.
const MOST_OF_ROW: usize = 64 << 20;

/// The memories that words lead to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Texts<'a> {
    /// The batch that rows have come in.
    pub input: &'a [u8],
    /// Texts that have been made.
    pub made: &'a [u8],
}

impl<'a> Texts<'a> {
    /// The text of `word`; empty where it leads nowhere.
    pub fn get(self, word: u64) -> &'a [u8] {
        let Span { start, len } = bytemuck::cast(word);
        let memory = if start & MADE == 0 { self.input } else { self.made };
        let start = (start & !MADE) as usize;
        memory.get(start..start + len as usize).unwrap_or_default()
    }
}

/// Texts that are being made of others.
#[derive(Debug, Default)]
pub struct TextMaker<'a> {
    /// The batch that rows have come in.
    pub input: &'a [u8],
    /// Those that have been made.
    pub made: Vec<u8>,
    /// Where one is made, before it is put behind the others.
    space: Vec<u8>,
    /// Where those of the row begin that is worked on.
    row: usize,
}

impl<'a> TextMaker<'a> {
    /// For texts of rows that have come in the batch `input`; those that are made go into `made`, which is emptied.
    pub fn new(input: &'a [u8], mut made: Vec<u8>) -> Self {
        made.clear();
        Self { input, made, space: Vec::new(), row: 0 }
    }

    /// The text of `word`.
    pub fn get(&self, word: u64) -> &[u8] {
        Texts { input: self.input, made: &self.made }.get(word)
    }

    /// A row begins.
    pub fn begin_row(&mut self) {
        self.row = self.made.len();
    }

    /// The row has ended, of which only the text of `word` is needed. Returns its word now.
    pub fn end_row(&mut self, word: u64) -> u64 {
        let Span { start, len } = bytemuck::cast(word);
        if start & MADE == 0 {
            self.made.truncate(self.row);
            return word;
        }
        let start = (start & !MADE) as usize;
        self.made.copy_within(start..start + len as usize, self.row);
        self.made.truncate(self.row + len as usize);
        bytemuck::cast(Span { start: self.row as u32 | MADE, len })
    }

    /// Makes a text of that of `word`: the word of the new one, or `None` where the row has too many already.
    pub fn make(&mut self, word: u64, make: fn(&[u8], &mut Vec<u8>)) -> Option<u64> {
        let mut space = std::mem::take(&mut self.space);
        space.clear();
        make(self.get(word), &mut space);
        let fits = self.made.len() - self.row + space.len() <= MOST_OF_ROW;
        let made = if fits { append(&space, &mut self.made) } else { None };
        self.space = space;
        made
    }
}

/// The word of the text that takes bytes `start` to `end` of the memory that rows come in; `None` where words do not reach
/// so far.
pub fn input_word(start: usize, end: usize) -> Option<u64> {
    let len = end.checked_sub(start)?;
    (end < MADE as usize).then(|| bytemuck::cast(Span { start: start as u32, len: len as u32 }))
}

/// Puts a text behind those that have been made. Returns its word; `None` where there is no more room.
fn append(text: &[u8], made: &mut Vec<u8>) -> Option<u64> {
    let start = made.len();
    if start + text.len() >= MADE as usize {
        return None;
    }
    made.extend_from_slice(text);
    last_of(made, start)
}

/// The word of the text that is the end of those that have been made, from byte `start` on; `None` where words do not
/// reach so far.
pub fn last_of(made: &[u8], start: usize) -> Option<u64> {
    let len = made.len().checked_sub(start)?;
    let is_within = made.len() < MADE as usize;
    is_within.then(|| bytemuck::cast(Span { start: start as u32 | MADE, len: len as u32 }))
}

/// Texts that have been met, each of them once.
#[derive(Debug, Default)]
pub struct KnownTexts {
    made: Vec<u8>,
    words: HashMap<Box<[u8]>, u64>,
}

impl KnownTexts {
    /// The word of a text, the same whenever it is met; `None` where there is no more room for any.
    pub fn word(&mut self, text: &[u8]) -> Option<u64> {
        if let Some(word) = self.words.get(text) {
            return Some(*word);
        }
        let word = append(text, &mut self.made)?;
        self.words.insert(text.into(), word);
        Some(word)
    }

    /// Where their words lead to.
    pub fn texts(&self) -> Texts<'_> {
        Texts { input: &[], made: &self.made }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.made.clear();
        self.words.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_found_again() {
        let batch = b"header one two";
        let word = |start, len| bytemuck::cast(Span { start, len });
        let (one, two) = (word(7, 3), word(11, 3));
        let mut maker = TextMaker::new(batch, vec![1, 2, 3]);
        let twice: fn(&[u8], &mut Vec<u8>) = |text, out| {
            out.extend_from_slice(text);
            out.extend_from_slice(text);
        };
        let made = maker.make(one, twice).unwrap();
        let again = maker.make(made, twice).unwrap();
        let texts = Texts { input: batch, made: &maker.made };
        let found = [one, two, made, again].map(|word| texts.get(word));
        assert_eq!(found, [&b"one"[..], b"two", b"oneone", b"oneoneoneone"]);
        assert_eq!(texts.get(word(12, 5)), b"");
        // Of a row only its answer stays.
        let mut maker = TextMaker::new(batch, Vec::new());
        let first = maker.make(one, twice).unwrap();
        maker.begin_row();
        let second = maker.make(two, twice).unwrap();
        let second = maker.make(second, twice).unwrap();
        let second = maker.end_row(second);
        assert_eq!((maker.get(first), maker.get(second)), (&b"oneone"[..], &b"twotwotwotwo"[..]));
        assert_eq!(maker.made.len(), 18);
        maker.begin_row();
        maker.make(one, twice).unwrap();
        assert_eq!((maker.end_row(two), maker.made.len()), (two, 18));
        let many: fn(&[u8], &mut Vec<u8>) = |_, out| out.resize(MOST_OF_ROW / 2, 0);
        maker.begin_row();
        assert!([1, 2, 3].map(|_| maker.make(one, many).is_some()) == [true, true, false]);
        assert_eq!(texts.get(u64::MAX), b"");
    }
}
