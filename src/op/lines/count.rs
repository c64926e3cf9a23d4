//! Lines, words and bytes of a section, and of all of them.

use std::os::unix::ffi::OsStrExt;

use super::{Answers, LineOp, PIECE, State, or_failure};
use crate::base::error::Result;
use crate::base::escape;
use crate::base::lanes::Lanes;
use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::data::schema::ColumnType::{Bytes, I64};
use crate::data::schema::{ColumnType, Field, Schema};
use crate::data::texts::{KnownTexts, Texts};
use crate::input::section::SectionReader;
use crate::job::input::TextFile;
use crate::op::accumulator::{Accumulator, ResultRow};
use crate::op::{BlockResult, Operator, Page, pages};

pub const COUNT: LineOp = LineOp {
    name: "count",
    help: "how many lines, words and bytes, as wc counts them in the C locale",
    answers: Answers::States {
        bytes: Tally::SIZE,
        table,
        new: |file| Box::new(Total::of(file)),
        // More lines or words than bytes nobody can have counted.
        of_row: |numbers| match *numbers {
            [lines, words, bytes] if lines.max(words) <= bytes => {
                let state = Tally { lines, words, bytes }.to_bytes().to_vec();
                Some(State { bytes: state, lines, line_bytes: bytes })
            }
            _ => None,
        },
    },
    open: |file, info, lanes| {
        Ok(Box::new(Count { reader: SectionReader::open(file, info)?, buffer: pages(PIECE), lanes }))
    },
};

/// Lines, words and bytes of a text, as `wc` counts them in the C locale.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Newlines.
    pub lines: u64,
    /// Runs of bytes between white space that hold at least one printable ASCII character: the rule of
    /// `wc` up to coreutils 9.4. Later ones also count runs without any, a dash in UTF-8 for example.
    pub words: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Tally {
    /// Bytes of a tally on its way to rank 0.
    const SIZE: usize = 24;

    /// For the way to rank 0.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        bytemuck::cast([self.lines, self.words, self.bytes])
    }

    /// Back from [`Tally::to_bytes`]; `None` when it is cut off.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::SIZE] = bytes.try_into().ok()?;
        let [lines, words, bytes] = bytemuck::cast(bytes);
        Some(Self { lines, words, bytes })
    }

    /// Adds what another worker counted.
    fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.words += other.words;
        self.bytes += other.bytes;
    }
}

/// The tallies of all sections, added up.
struct Total {
    tally: Tally,
    /// The name of the file.
    name: KnownTexts,
    /// Its word.
    word: u64,
}

impl Total {
    fn of(file: &TextFile) -> Self {
        let mut name = KnownTexts::default();
        let word = name.word(file.name().as_os_str().as_bytes()).unwrap_or_default();
        Self { tally: Tally::default(), name, word }
    }
}

impl Accumulator for Total {
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        // A worker that failed has sent none.
        if let Some(tally) = Tally::from_bytes(bytes) {
            self.tally.add(&tally);
        }
        Ok(())
    }

    fn rows(&self, _may_lack: bool) -> Result<(Vec<ResultRow>, u64)> {
        let Tally { lines, words, bytes } = self.tally;
        Ok((vec![[lines, words, bytes, self.word].map(Some).to_vec()], 0))
    }

    fn texts(&self) -> Texts<'_> {
        self.name.texts()
    }

    /// As `wc` writes it: in columns as wide as the number of bytes.
    fn text(&self, _rows: &[ResultRow], _table: &Schema) -> Vec<u8> {
        let Tally { lines, words, bytes } = self.tally;
        let width = bytes.to_string().len();
        let mut line = format!("{lines:>width$} {words:>width$} {bytes:>width$} ").into_bytes();
        // A row is one line, which may be for a terminal; otherwise as it is, because it need not be UTF-8.
        line.extend_from_slice(&escape::name(self.name.texts().get(self.word)));
        line.push(b'\n');
        line
    }
}

/// The columns of a row that says what has been counted.
fn table() -> Schema {
    let field = |(name, dtype): (&str, ColumnType)| Field { name: name.to_owned(), dtype };
    let fields = [("lines", I64), ("words", I64), ("bytes", I64), ("file", Bytes)];
    Schema { fields: fields.map(field).to_vec() }
}

/// Counts a section.
struct Count {
    reader: SectionReader,
    buffer: Vec<Page>,
    lanes: Lanes,
}

impl Count {
    fn count(&mut self, block: &Block) -> Result<(Tally, u64)> {
        self.reader.start(block)?;
        let (mut counter, mut last) = (Counter::new(self.lanes), b'\n');
        loop {
            let buffer: &mut [u8] = bytemuck::cast_slice_mut(&mut self.buffer);
            let count = self.reader.read(buffer)?;
            if count == 0 {
                let unfinished = u64::from(last != b'\n');
                return Ok((counter.tally, counter.tally.lines + unfinished));
            }
            counter.update(&buffer[..count]);
            last = buffer[count - 1];
        }
    }
}

impl Operator for Count {
    fn apply(
        &mut self,
        block: &Block,
        _rows: Option<BatchRef>,
        buf: &mut [u8],
        _is_wanted: &dyn Fn() -> bool,
    ) -> BlockResult {
        or_failure(self.count(block).map(|(tally, items)| {
            buf[..Tally::SIZE].copy_from_slice(&tally.to_bytes());
            BlockResult { bytes: Tally::SIZE, items, input_bytes: tally.bytes, ..BlockResult::default() }
        }))
    }
}

/// Counts a stream of pieces.
struct Counter {
    tally: Tally,
    /// The last byte that was white space or printable was printable.
    in_word: bool,
    lanes: Lanes,
}

impl Counter {
    fn new(lanes: Lanes) -> Self {
        Self { tally: Tally::default(), in_word: false, lanes }
    }

    fn update(&mut self, piece: &[u8]) {
        self.tally.bytes += piece.len() as u64;
        let (whole, rest) = piece.as_chunks::<64>();
        match self.lanes {
            Lanes::Scalar => return self.one_by_one(piece),
            Lanes::Baseline => whole.iter().for_each(|chunk| self.add(Masks::of(chunk))),
            // SAFETY: `Lanes::all` offers these lanes only where the CPU has their instructions.
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx2 => unsafe { x86::count_avx2(whole, self) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx512 => unsafe { x86::count_avx512(whole, self) },
        }
        if !rest.is_empty() {
            let masks = rest.iter().enumerate().fold(Masks::default(), |masks, (i, b)| masks.with(i, *b));
            // Bytes beyond the end are neither white space nor printable, and so change nothing.
            self.add(masks);
        }
    }

    /// The rule, byte by byte.
    fn one_by_one(&mut self, piece: &[u8]) {
        for byte in piece {
            self.tally.lines += u64::from(*byte == b'\n');
            if matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r') {
                self.in_word = false;
            } else if byte.is_ascii_graphic() {
                self.tally.words += u64::from(!self.in_word);
                self.in_word = true;
            }
        }
    }

    /// Adds 64 bytes, of which bit i of each mask says what byte i is.
    ///
    /// A word begins at a printable byte when the last byte before it that was white space or printable
    /// was white space; bytes that are neither (control characters, and in the C locale everything above
    /// 127) neither begin nor end one. "Was the last such byte printable?" is a carry that printable
    /// bytes set, white space clears, and others pass on: which is what adding `p | other` to `p` does.
    #[inline(always)]
    fn add(&mut self, masks: Masks) {
        let Masks { newline, space, printable } = masks;
        let (a, b) = (!space, printable);
        let (sum, carry1) = a.overflowing_add(b);
        let (sum, carry2) = sum.overflowing_add(u64::from(self.in_word));
        let before = a ^ b ^ sum;
        self.tally.lines += u64::from(newline.count_ones());
        self.tally.words += u64::from((printable & !before).count_ones());
        self.in_word = carry1 | carry2;
    }
}

/// What each of 64 bytes is, bit i for byte i.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
struct Masks {
    newline: u64,
    /// `isspace` in the C locale: tab, newline, vertical tab, form feed, carriage return, space.
    space: u64,
    /// `isprint` in the C locale, but for the space: 0x21 to 0x7e.
    printable: u64,
}

impl Masks {
    #[inline(always)]
    fn with(mut self, i: usize, byte: u8) -> Self {
        self.newline |= u64::from(byte == b'\n') << i;
        self.space |= u64::from(byte == b' ' || byte.wrapping_sub(b'\t') < 5) << i;
        self.printable |= u64::from(byte.wrapping_sub(b'!') < 94) << i;
        self
    }

    #[inline(always)]
    fn of(chunk: &[u8; 64]) -> Self {
        chunk.iter().enumerate().fold(Self::default(), |masks, (i, byte)| masks.with(i, *byte))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Counter, Masks};
    use std::arch::x86_64::*;

    /// Byte-wise unsigned `x - from < count`, as `min(x - from, count - 1) == x - from`: AVX2 compares
    /// only signed bytes.
    #[target_feature(enable = "avx2")]
    fn within(x: __m256i, from: u8, count: u8) -> u32 {
        let offset = _mm256_sub_epi8(x, _mm256_set1_epi8(from as i8));
        let least = _mm256_min_epu8(offset, _mm256_set1_epi8((count - 1) as i8));
        _mm256_movemask_epi8(_mm256_cmpeq_epi8(offset, least)) as u32
    }

    #[target_feature(enable = "avx2")]
    fn equal(x: __m256i, byte: u8) -> u32 {
        _mm256_movemask_epi8(_mm256_cmpeq_epi8(x, _mm256_set1_epi8(byte as i8))) as u32
    }

    #[target_feature(enable = "avx2,popcnt")]
    pub fn count_avx2(chunks: &[[u8; 64]], counter: &mut Counter) {
        let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        for chunk in chunks {
            // SAFETY: both loads lie in the 64 bytes of the chunk, and need no alignment.
            let [a, b] = [0, 32].map(|at| unsafe { _mm256_loadu_si256(chunk.as_ptr().add(at).cast()) });
            counter.add(Masks {
                newline: join(equal(a, b'\n'), equal(b, b'\n')),
                space: join(within(a, b'\t', 5) | equal(a, b' '), within(b, b'\t', 5) | equal(b, b' ')),
                printable: join(within(a, b'!', 94), within(b, b'!', 94)),
            });
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,popcnt")]
    pub fn count_avx512(chunks: &[[u8; 64]], counter: &mut Counter) {
        let byte = |b: u8| _mm512_set1_epi8(b as i8);
        for chunk in chunks {
            // SAFETY: the load is the 64 bytes of the chunk, and needs no alignment.
            let x = unsafe { _mm512_loadu_si512(chunk.as_ptr().cast()) };
            let within =
                |from: u8, count: u8| _mm512_cmplt_epu8_mask(_mm512_sub_epi8(x, byte(from)), byte(count));
            counter.add(Masks {
                newline: _mm512_cmpeq_epi8_mask(x, byte(b'\n')),
                space: within(b'\t', 5) | _mm512_cmpeq_epi8_mask(x, byte(b' ')),
                printable: within(b'!', 94),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(bytes: &[u8], piece: usize) {
        let count = |lanes, piece| {
            let mut counter = Counter::new(lanes);
            bytes.chunks(piece).for_each(|piece| counter.update(piece));
            counter.tally
        };
        let reference = count(Lanes::Scalar, usize::MAX);
        for lanes in Lanes::all() {
            assert_eq!(count(lanes, piece), reference, "{lanes:?}, pieces of {piece}");
        }
    }

    #[test]
    fn words_are_what_wc_takes_for_words() {
        let mut counter = Counter::new(Lanes::Scalar);
        counter.update(b" two\xe2\x80\x94words \x01 \xff\x01\n\ta\x0bb\x0cc\rd");
        assert_eq!(counter.tally, Tally { lines: 1, words: 5, bytes: 26 });
    }

    #[test]
    fn every_byte_beside_every_other() {
        let bytes: Vec<u8> = (0..=255u8).flat_map(|a| (0..=255u8).flat_map(move |b| [a, b])).collect();
        for piece in [1, 63, 64, 65, 1 << 20] {
            check(&bytes, piece);
        }
    }

    proptest! {
        #[test]
        fn every_lane_counts_as_the_rule(
            bytes in prop::collection::vec(prop_oneof![Just(b' '), Just(b'\n'), Just(b'a'), any::<u8>()], 0..1000),
            piece in 1usize..300,
        ) {
            check(&bytes, piece);
        }
    }
}
