//! Rows as they lie in the memory that a worker shares with the process that answers them, and the answers there.

use std::ops::Range;

use crate::base::fmt::shown;
use crate::data::dtype::Dtype;
use crate::data::schema::ColumnType;
use crate::data::texts::{Texts, last_of};
use crate::exec::Peer;
use crate::op::RowsOf;
use crate::op::command::number;

/// Bytes before the first column: the row that is at hand, counted from 1, when it was begun, and room for more.
pub const HEAD: usize = 64;

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// Of which kind an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Whole,
    /// A float.
    Float,
    /// A text.
    Text,
    /// None.
    Nothing,
    /// True or False.
    Truth,
    /// Why there is none.
    Fault,
}

impl Kind {
    /// As `host.py` writes them.
    fn of(letter: u8) -> Option<Self> {
        Some(match letter {
            b'q' => Self::Whole,
            b'd' => Self::Float,
            b't' => Self::Text,
            b'n' => Self::Nothing,
            b'b' => Self::Truth,
            b'x' => Self::Fault,
            _ => return None,
        })
    }

    /// Has it bytes behind the answers, as many as its word says?
    fn has_bytes(self) -> bool {
        matches!(self, Self::Text | Self::Nothing | Self::Fault)
    }
}

/// Rows of a window, by their numbers there, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// One behind the other.
    Run(Range<usize>),
    /// Some of them.
    Some(Vec<usize>),
}

impl Rows {
    /// How many they are.
    pub fn len(&self) -> usize {
        match self {
            Self::Run(rows) => rows.len(),
            Self::Some(rows) => rows.len(),
        }
    }

    /// The one that `at` others come before.
    pub fn get(&self, at: usize) -> usize {
        match self {
            Self::Run(rows) => rows.start + at,
            Self::Some(rows) => rows[at],
        }
    }

    /// Those that `at.start` others come before, and so on.
    pub fn slice(&self, at: Range<usize>) -> Self {
        match self {
            Self::Run(rows) => Self::Run(rows.start + at.start..rows.start + at.end),
            Self::Some(rows) => Self::Some(rows[at].to_vec()),
        }
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).map(|at| self.get(at))
    }
}

/// Where rows of a window lie.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Rows.
    pub count: usize,
    columns: usize,
    /// Columns of answers.
    answers: usize,
    /// Bytes of the texts of the columns.
    pub texts: usize,
}

impl Layout {
    /// Of so many rows of so many columns, and of answers.
    pub fn new(count: usize, columns: usize, answers: usize) -> Self {
        Self { count, columns, answers, texts: 0 }
    }

    fn numbers(self) -> usize {
        HEAD + WORD * self.columns * self.count
    }

    fn words(self) -> usize {
        self.numbers() + WORD * self.count
    }

    fn times(self) -> usize {
        self.words() + WORD * self.answers * self.count
    }

    fn kinds(self) -> usize {
        self.times() + 2 * WORD * self.count
    }

    /// Where texts begin.
    fn end(self) -> usize {
        self.kinds() + (self.answers * self.count).next_multiple_of(WORD)
    }

    /// Bytes of it all, without the texts of answers.
    pub fn bytes(self) -> usize {
        self.end() + self.texts
    }

    /// Puts `those` of `rows`, whose columns are of these types, into the memory, and says where they are.
    ///
    /// # Errors
    /// The system has no memory for them.
    pub fn put(
        peer: &mut Peer,
        rows: &RowsOf,
        those: &Rows,
        types: &[ColumnType],
        answers: usize,
    ) -> std::io::Result<Self> {
        let mut layout = Self::new(those.len(), types.len(), answers);
        let texts = Texts { input: rows.memory, made: &[] };
        let of_texts = rows.columns.iter().zip(types).filter(|(_, dtype)| dtype.number().is_none());
        layout.texts =
            of_texts.flat_map(|(column, _)| those.iter().map(|row| texts.get(column[row]).len())).sum();
        peer.reserve(layout.bytes())?;
        let (mut words, mut at) = (Vec::with_capacity(those.len()), layout.end());
        for (k, (column, dtype)) in rows.columns.iter().zip(types).enumerate() {
            let begin = HEAD + WORD * k * layout.count;
            if let (Some(_), Rows::Run(run)) = (dtype.number(), those) {
                peer.put(begin, bytemuck::cast_slice(&column[run.clone()]));
                continue;
            }
            words.clear();
            for row in those.iter() {
                words.push(match dtype.number() {
                    Some(_) => column[row],
                    None => {
                        let text = texts.get(column[row]);
                        peer.put(at, text);
                        at += text.len();
                        text.len() as u64
                    }
                });
            }
            peer.put(begin, bytemuck::cast_slice(&words));
        }
        words.clear();
        words.extend(those.iter().map(|row| rows.first + row as u64));
        peer.put(layout.numbers(), bytemuck::cast_slice(&words));
        peer.put(0, &[0; 2 * WORD]);
        Ok(layout)
    }
}

/// The row that is at hand, counted from 0, and when it was begun, in nanoseconds of the system's monotonic clock; `None`
/// where none is, or nobody says.
pub fn at_hand(peer: &Peer) -> Option<(usize, u64)> {
    let (row, began) = (peer.word(0), peer.word(1));
    // Another was begun meanwhile.
    (row > 0 && peer.word(0) == row).then(|| (row as usize - 1, began))
}

/// Answers to some rows of a window.
#[derive(Debug, Default)]
pub struct Answers {
    /// Of which kind each is.
    kinds: Vec<u8>,
    /// Their words.
    words: Vec<u64>,
    /// When each row was begun, and how long it took, in nanoseconds; nothing where rows were not timed.
    pub times: Vec<[u64; 2]>,
    /// Bytes of texts.
    texts: Vec<u8>,
}

impl Answers {
    /// Takes from the memory of which kinds those of `rows` of a window are, and when rows were begun. Are they there?
    pub fn take_kinds(&mut self, peer: &Peer, layout: Layout, rows: &Range<usize>, is_timed: bool) -> bool {
        if rows.start > rows.end || rows.end > layout.count {
            return false;
        }
        self.kinds.resize(rows.len() * layout.answers, 0);
        self.times.clear();
        self.times.resize(if is_timed { rows.len() } else { 0 }, [0; 2]);
        peer.take(layout.kinds() + rows.start * layout.answers, &mut self.kinds)
            && peer.take(layout.times() + 2 * WORD * rows.start, bytemuck::cast_slice_mut(&mut self.times))
    }

    /// Takes their words, as they are, into `words`. Are they there?
    pub fn take_words(peer: &Peer, layout: Layout, rows: &Range<usize>, words: &mut [u64]) -> bool {
        peer.take(layout.words() + WORD * layout.answers * rows.start, bytemuck::cast_slice_mut(words))
    }

    /// Takes the words that belong to the kinds, and what lies in `texts`. Are they there?
    pub fn take(&mut self, peer: &Peer, layout: Layout, rows: &Range<usize>, texts: Range<usize>) -> bool {
        if texts.start > texts.end || texts.end > peer.bytes() {
            return false;
        }
        self.words.resize(rows.len() * layout.answers, 0);
        self.texts.resize(texts.len(), 0);
        Self::take_words(peer, layout, rows, &mut self.words) && peer.take(texts.start, &mut self.texts)
    }

    /// The kind of all of them, where they are of one that has no bytes.
    pub fn kind_of_all(&self) -> Option<Kind> {
        let first = *self.kinds.first()?;
        let kind = Kind::of(first).filter(|kind| !kind.has_bytes())?;
        self.kinds.iter().all(|other| *other == first).then_some(kind)
    }

    /// Each with its kind, its word, and its bytes.
    pub fn iter(&self) -> impl Iterator<Item = Option<(Kind, u64, &[u8])>> {
        let mut at = 0_usize;
        self.kinds.iter().zip(&self.words).map(move |(letter, word)| {
            let kind = Kind::of(*letter)?;
            let len = if kind.has_bytes() { usize::try_from(*word).ok()? } else { 0 };
            let bytes = self.texts.get(at..at.checked_add(len)?)?;
            at += len;
            Some((kind, *word, bytes))
        })
    }
}

/// The word of a value of type `dtype`, put behind what is in `made` where it is a text; of one that is none, any.
pub fn word_of(
    dtype: ColumnType,
    kind: Kind,
    word: u64,
    bytes: &[u8],
    made: &mut Vec<u8>,
) -> std::result::Result<u64, String> {
    let wrong = |answer: &[u8], dtype: Dtype| {
        format!("it has answered '{}', which is no {}", shown(answer), dtype.name())
    };
    match (dtype.number(), kind) {
        (_, Kind::Nothing) => Ok(0),
        (_, Kind::Fault) => Err(String::from_utf8_lossy(bytes).into_owned()),
        (None, Kind::Text) => put_text(made, bytes),
        (None, Kind::Whole) => put_text(made, itoa::Buffer::new().format(word as i64).as_bytes()),
        (None, Kind::Float) => put_text(made, ryu::Buffer::new().format(f64::from_bits(word)).as_bytes()),
        (None, Kind::Truth) => put_text(made, if word == 0 { b"False" } else { b"True" }),
        (Some(Dtype::I64), Kind::Whole | Kind::Truth) | (Some(Dtype::F64), Kind::Float) => Ok(word),
        (Some(Dtype::F64), Kind::Whole | Kind::Truth) => Ok((word as i64 as f64).to_bits()),
        (Some(dtype), Kind::Text) => number(bytes, dtype).map_err(|_| wrong(bytes, dtype)),
        (Some(dtype), Kind::Float) => Err(wrong(Dtype::F64.text(word).as_bytes(), dtype)),
    }
}

fn put_text(made: &mut Vec<u8>, text: &[u8]) -> std::result::Result<u64, String> {
    let begin = made.len();
    made.extend_from_slice(text);
    last_of(made, begin).ok_or_else(|| "it has answered too much".to_owned())
}
