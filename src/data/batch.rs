//! Rows of typed columns in one buffer that holds no addresses: the same bytes in a slot that processes share, in a
//! message and in a file. A batch is written in place, within bounded memory, by a process that may die.
//!
//! The layout is Arrow's: a column of fixed width is an array of words, a column of bytes an array of (offset, length)
//! into a heap behind all columns, and one bit a row says whether there is a value. The bits of a column are written
//! only once it lacks a value. Nothing here computes, and nothing reads or writes files.
//!
//! ```text
//! header | column headers | column 0: words, bits | column 1: words, bits | … | heap
//! ```
//!
//! All parts begin at multiples of [`ALIGN`] bytes from the start of the buffer. A reader trusts no offset that it
//! finds: what lies outside of the buffer is no batch ([`BatchRef::new`]).

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use crate::data::lacking::Lacking;
use crate::data::schema::{ColumnType, Schema};
use crate::data::texts::Span;

/// Bytes to which buffers and all parts of a batch are aligned: a cache line, and the widest vector.
pub const ALIGN: usize = 64;

/// The most bytes of a batch: offsets have 32 bits.
pub const LARGEST: usize = 1 << 30;

/// Bytes of texts that a batch has room for, where a column is one of bytes: no text can be longer.
pub const TEXT: usize = 4 << 20;

const WORD: usize = size_of::<u64>();

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Header {
    rows: u32,
    /// Rows that there is space for.
    capacity: u32,
    columns: u32,
    /// One past the last byte in use.
    end: u32,
}

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct ColumnHeader {
    /// As [`ColumnType::code`] has it.
    dtype: u32,
    /// Rows without a value.
    nulls: u32,
    /// Offset of the words, one a row.
    words: u32,
    /// Offset of the bits, which are written only where there are `nulls`.
    bits: u32,
}

/// Types of columns of fixed width.
pub trait Native: Pod {
    /// Their name.
    const DTYPE: ColumnType;
}

impl Native for i64 {
    const DTYPE: ColumnType = ColumnType::I64;
}

impl Native for f64 {
    const DTYPE: ColumnType = ColumnType::F64;
}

/// A value did not fit into what is left of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

fn words_bytes(capacity: usize) -> usize {
    (capacity * WORD).next_multiple_of(ALIGN)
}

fn bits_bytes(capacity: usize) -> usize {
    (capacity.div_ceil(64) * WORD).next_multiple_of(ALIGN)
}

fn heads_bytes(columns: usize) -> usize {
    (size_of::<Header>() + columns * size_of::<ColumnHeader>()).next_multiple_of(ALIGN)
}

/// Bytes that a batch of `capacity` rows of `columns` columns takes, the heap of columns of bytes apart.
pub fn bytes_for(columns: usize, capacity: usize) -> usize {
    heads_bytes(columns) + columns * (words_bytes(capacity) + bits_bytes(capacity))
}

/// Bytes for the texts of a batch of `schema`: [`TEXT`] where it has such.
pub fn texts_of(schema: &Schema) -> usize {
    if schema.has_texts() { TEXT } else { 0 }
}

/// Bytes for a batch of `capacity` rows of `schema`, with its texts.
pub fn bytes_with_texts(schema: &Schema, capacity: usize) -> usize {
    bytes_for(schema.len(), capacity) + texts_of(schema)
}

/// How many rows of `columns` columns fit into so many bytes, the heap apart.
pub fn rows_for(columns: usize, bytes: usize) -> usize {
    let bytes = bytes.min(LARGEST);
    if bytes_for(columns, 0) > bytes {
        return 0;
    }
    // Between the rows that would fit without padding, and none.
    let (mut fits, mut too_many) = (0, bytes / (columns.max(1) * WORD) + 1);
    while too_many - fits > 1 {
        let middle = fits + (too_many - fits) / 2;
        if bytes_for(columns, middle) <= bytes { fits = middle } else { too_many = middle }
    }
    fits
}

/// A batch being written.
#[derive(Debug)]
pub struct BatchWriter<'a> {
    buf: &'a mut [u8],
    capacity: usize,
    columns: usize,
    /// One past the last byte in use.
    end: usize,
    /// Bytes of texts that are enough, if no more are needed for a row.
    enough: usize,
}

impl<'a> BatchWriter<'a> {
    /// An empty batch of `schema` for up to `capacity` rows at the front of `buf`, which is aligned to 8 bytes at least;
    /// `None` where it is too small. What is behind the columns is the heap.
    pub fn begin(buf: &'a mut [u8], schema: &Schema, capacity: usize) -> Option<Self> {
        let len = buf.len().min(LARGEST) / WORD * WORD;
        let (buf, columns) = (&mut buf[..len], schema.len());
        let end = bytes_for(columns, capacity);
        if end > buf.len() {
            return None;
        }
        let mut at = heads_bytes(columns);
        for (i, dtype) in schema.dtypes().enumerate() {
            let words = at;
            let bits = words + words_bytes(capacity);
            at = bits + bits_bytes(capacity);
            let header =
                ColumnHeader { dtype: dtype.code(), nulls: 0, words: words as u32, bits: bits as u32 };
            *header_mut(buf, i) = header;
        }
        let mut new = Self { buf, capacity, columns, end, enough: TEXT };
        new.set_rows(0);
        Some(new)
    }

    /// Rows that there is space for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The batch has `rows` rows: all of them have been written.
    pub fn set_rows(&mut self, rows: usize) {
        assert!(rows <= self.capacity);
        let (capacity, columns) = (self.capacity as u32, self.columns as u32);
        let header = Header { rows: rows as u32, capacity, columns, end: self.end as u32 };
        self.buf[..size_of::<Header>()].copy_from_slice(bytemuck::bytes_of(&header));
    }

    /// The same, in which so many bytes of texts are enough, unless a single row needs more.
    pub fn with_enough(self, enough: usize) -> Self {
        Self { enough, ..self }
    }

    /// Bytes of texts that row `row` may have: [`TEXT`] in the first row, and behind that what is left of what is enough.
    pub fn text_left(&self, row: usize) -> usize {
        let used = self.end - bytes_for(self.columns, self.capacity);
        let most = if row == 0 { TEXT } else { self.enough };
        (self.buf.len() - self.end).min(most.saturating_sub(used))
    }

    /// Bytes in use: what must travel.
    pub fn end(&self) -> usize {
        self.end
    }

    fn words(&self, column: usize) -> Range<usize> {
        assert!(column < self.columns);
        let start = header(self.buf, column).words as usize;
        start..start + self.capacity * WORD
    }

    /// The values of a column of fixed width, for all rows that there is space for.
    ///
    /// # Panics
    /// The column is of another type.
    pub fn fixed_mut<T: Native>(&mut self, column: usize) -> &mut [T] {
        assert_eq!(header(self.buf, column).dtype, T::DTYPE.code(), "column {column}");
        let words = self.words(column);
        bytemuck::cast_slice_mut(&mut self.buf[words])
    }

    /// The same by their bits, whatever their type.
    ///
    /// # Panics
    /// The column is one of bytes.
    pub fn words_mut(&mut self, column: usize) -> &mut [u64] {
        assert_ne!(header(self.buf, column).dtype, ColumnType::Bytes.code(), "column {column}");
        let words = self.words(column);
        bytemuck::cast_slice_mut(&mut self.buf[words])
    }

    /// Puts the value of row `row` of a column of bytes behind all others.
    ///
    /// # Errors
    /// It does not fit; nothing has changed.
    ///
    /// # Panics
    /// The column is of another type, or there is no such row.
    pub fn put_bytes(&mut self, column: usize, row: usize, value: &[u8]) -> Result<(), Full> {
        assert_eq!(header(self.buf, column).dtype, ColumnType::Bytes.code(), "column {column}");
        // Whatever the room: what is put into one batch must fit into any other.
        if value.len() > self.text_left(0) {
            return Err(Full);
        }
        let (start, end) = (self.end, self.end + value.len());
        self.buf.get_mut(start..end).ok_or(Full)?.copy_from_slice(value);
        self.end = end;
        let words = self.words(column);
        let spans: &mut [Span] = bytemuck::cast_slice_mut(&mut self.buf[words]);
        spans[row] = Span { start: start as u32, len: value.len() as u32 };
        Ok(())
    }

    /// Row `row` of a column has no value. What stands in its place is the caller's business; in a column of bytes it is
    /// empty.
    pub fn set_null(&mut self, column: usize, row: usize) {
        assert!(row < self.capacity);
        let at = header(self.buf, column).bits as usize;
        let len = self.capacity.div_ceil(64) * WORD;
        if header(self.buf, column).dtype == ColumnType::Bytes.code() {
            let words = self.words(column);
            bytemuck::cast_slice_mut::<_, Span>(&mut self.buf[words])[row] = Span::zeroed();
        }
        let is_first = header(self.buf, column).nulls == 0;
        let bits: &mut [u64] = bytemuck::cast_slice_mut(&mut self.buf[at..at + len]);
        if is_first {
            bits.fill(u64::MAX);
        }
        let (word, bit) = (&mut bits[row / 64], 1 << (row % 64));
        let had_value = *word & bit != 0;
        *word &= !bit;
        header_mut(self.buf, column).nulls += u32::from(had_value);
    }

    /// What has been written so far.
    pub fn view(&self) -> BatchRef<'_> {
        let rows = read_header(self.buf).rows as usize;
        BatchRef { buf: self.buf, columns: self.columns, rows: 0..rows }
    }
}

fn header_range(column: usize) -> Range<usize> {
    let start = size_of::<Header>() + column * size_of::<ColumnHeader>();
    start..start + size_of::<ColumnHeader>()
}

fn header(buf: &[u8], column: usize) -> &ColumnHeader {
    bytemuck::from_bytes(&buf[header_range(column)])
}

fn header_mut(buf: &mut [u8], column: usize) -> &mut ColumnHeader {
    bytemuck::from_bytes_mut(&mut buf[header_range(column)])
}

fn read_header(buf: &[u8]) -> &Header {
    bytemuck::from_bytes(&buf[..size_of::<Header>()])
}

/// Rows of a batch without columns at the most.
const MOST_BARE: usize = 1 << 20;

/// Some of the rows of a batch, to be read; by default none.
#[derive(Debug, Clone, Default)]
pub struct BatchRef<'a> {
    buf: &'a [u8],
    columns: usize,
    rows: Range<usize>,
}

impl<'a> BatchRef<'a> {
    /// The batch at the front of `buf`, which is aligned to 8 bytes at least; `None` where there is none, or where parts
    /// of it would lie outside.
    pub fn new(buf: &'a [u8]) -> Option<Self> {
        let bytes = buf.get(..size_of::<Header>())?;
        let Header { rows, capacity, columns, end } = *bytemuck::try_from_bytes(bytes).ok()?;
        let (rows, capacity, columns) = (rows as usize, capacity as usize, columns as usize);
        let buf = buf.get(..end as usize)?;
        // Without columns nothing else says how many rows there can be.
        if rows > capacity || heads_bytes(columns) > buf.len() || columns == 0 && rows > MOST_BARE {
            return None;
        }
        for column in 0..columns {
            let ColumnHeader { dtype, nulls, words, bits } = *header(buf, column);
            let is_inside = |start: u32, len: usize| {
                (start as usize).is_multiple_of(WORD)
                    && (start as usize).checked_add(len).is_some_and(|end| end <= buf.len())
            };
            let words_len = capacity.checked_mul(WORD)?;
            if !is_inside(words, words_len) || !is_inside(bits, capacity.div_ceil(64) * WORD) {
                return None;
            }
            if nulls as usize > capacity {
                return None;
            }
            if ColumnType::of_code(dtype)? == ColumnType::Bytes {
                let spans: &[Span] = bytemuck::cast_slice(&buf[words as usize..][..rows * WORD]);
                let lies_outside =
                    |span: &Span| u64::from(span.start) + u64::from(span.len) > buf.len() as u64;
                if spans.iter().any(lies_outside) {
                    return None;
                }
            }
        }
        Some(Self { buf, columns, rows: 0..rows })
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// No rows at all?
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Some of these rows, counted from the first of them.
    ///
    /// # Panics
    /// There are not so many.
    pub fn rows(&self, rows: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.len());
        let start = self.rows.start + rows.start;
        Self { rows: start..start + rows.len(), ..*self }
    }

    /// Type of a column.
    ///
    /// # Panics
    /// There is no such column.
    pub fn dtype(&self, column: usize) -> ColumnType {
        ColumnType::of_code(self.header(column).dtype).unwrap_or(ColumnType::I64)
    }

    fn header(&self, column: usize) -> &'a ColumnHeader {
        assert!(column < self.columns, "no column {column}");
        header(self.buf, column)
    }

    /// The values of a column of fixed width. Where a row has no value, anything may stand.
    ///
    /// # Panics
    /// The column is of another type.
    pub fn fixed<T: Native>(&self, column: usize) -> &'a [T] {
        let header = self.header(column);
        assert_eq!(header.dtype, T::DTYPE.code(), "column {column}");
        let start = header.words as usize + self.rows.start * WORD;
        bytemuck::cast_slice(&self.buf[start..start + self.len() * WORD])
    }

    /// The same by their bits, whatever their type: of texts where they lie, as [`crate::data::texts::Texts`] knows it.
    ///
    /// # Panics
    /// There is no such column.
    pub fn words(&self, column: usize) -> &'a [u64] {
        let header = self.header(column);
        let start = header.words as usize + self.rows.start * WORD;
        bytemuck::cast_slice(&self.buf[start..start + self.len() * WORD])
    }

    /// The value of a row of a column of bytes; empty where there is none.
    ///
    /// # Panics
    /// The column is of another type, or there is no such row.
    pub fn bytes(&self, column: usize, row: usize) -> &'a [u8] {
        let header = self.header(column);
        assert_eq!(header.dtype, ColumnType::Bytes.code(), "column {column}");
        assert!(row < self.len());
        let at = header.words as usize + (self.rows.start + row) * WORD;
        let span: &Span = bytemuck::from_bytes(&self.buf[at..at + WORD]);
        &self.buf[span.start as usize..][..span.len as usize]
    }

    /// The memory that words of texts lead to.
    pub fn memory(&self) -> &'a [u8] {
        self.buf
    }

    /// Bytes of the whole batch that these rows are of: more than they take as a batch of their own, or as many.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    pub fn bytes_of_all(&self) -> usize {
        read_header(self.buf).end as usize
    }

    /// Writes these rows as a batch of their own to the front of `buf`, which is aligned to 8 bytes at least; how many
    /// bytes. `None` where it is too small.
    pub fn pack(&self, schema: &Schema, buf: &mut [u8]) -> Option<usize> {
        let mut batch = BatchWriter::begin(buf, schema, self.len())?;
        for column in 0..self.columns {
            match self.dtype(column) {
                ColumnType::Bytes => {
                    for row in 0..self.len() {
                        batch.put_bytes(column, row, self.bytes(column, row)).ok()?;
                    }
                }
                _ => batch.words_mut(column).copy_from_slice(self.words(column)),
            }
            if self.may_lack(column) {
                let lacking = (0..self.len()).filter(|row| !self.is_valid(column, *row));
                lacking.for_each(|row| batch.set_null(column, row));
            }
        }
        batch.set_rows(self.len());
        Some(batch.end())
    }

    /// Which rows of a column lack a value, where some may.
    pub fn lacking(&self, column: usize) -> Option<Lacking<'a>> {
        let header = self.header(column);
        if header.nulls == 0 {
            return None;
        }
        let capacity = read_header(self.buf).capacity as usize;
        let bits = &self.buf[header.bits as usize..][..capacity.div_ceil(64) * WORD];
        Some(Lacking::where_clear(bytemuck::cast_slice(bits), self.rows.start))
    }

    /// May rows of a column lack a value? Of the whole batch, of which these rows may be a part.
    pub fn may_lack(&self, column: usize) -> bool {
        self.header(column).nulls > 0
    }

    /// Has a row of a column a value?
    pub fn is_valid(&self, column: usize, row: usize) -> bool {
        let header = self.header(column);
        assert!(row < self.len());
        if header.nulls == 0 {
            return true;
        }
        let row = self.rows.start + row;
        let at = header.bits as usize + row / 64 * WORD;
        let word: &u64 = bytemuck::from_bytes(&self.buf[at..at + WORD]);
        *word >> (row % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::schema::Field;
    use proptest::prelude::*;

    /// Memory that is aligned as slots are.
    fn memory(bytes: usize) -> Vec<u64> {
        vec![0xdead_beef_dead_beef; bytes.div_ceil(WORD)]
    }

    fn schema(dtypes: &[ColumnType]) -> Schema {
        let field = |(i, dtype): (usize, &ColumnType)| Field { name: format!("c{i}"), dtype: *dtype };
        Schema { fields: dtypes.iter().enumerate().map(field).collect() }
    }

    /// A value of each type, or none.
    #[derive(Debug, Clone, PartialEq)]
    enum Value {
        None,
        Whole(i64),
        Float(u64),
        Bytes(Vec<u8>),
    }

    fn value(dtype: ColumnType) -> BoxedStrategy<Value> {
        let some = match dtype {
            ColumnType::I64 => any::<i64>().prop_map(Value::Whole).boxed(),
            ColumnType::F64 => any::<u64>().prop_map(Value::Float).boxed(),
            ColumnType::Bytes => prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes).boxed(),
        };
        prop_oneof![1 => Just(Value::None), 4 => some].boxed()
    }

    fn table() -> impl Strategy<Value = (Vec<ColumnType>, Vec<Vec<Value>>)> {
        let dtype = prop_oneof![Just(ColumnType::I64), Just(ColumnType::F64), Just(ColumnType::Bytes)];
        (prop::collection::vec(dtype, 0..5), 0usize..200).prop_flat_map(|(dtypes, rows)| {
            let row = dtypes.iter().map(|dtype| value(*dtype)).collect::<Vec<_>>();
            (Just(dtypes), prop::collection::vec(row, rows))
        })
    }

    /// Writes as many rows as fit; how many.
    fn write(writer: &mut BatchWriter, rows: &[Vec<Value>]) -> usize {
        for (i, row) in rows.iter().enumerate() {
            let outcome = row.iter().enumerate().try_for_each(|(column, value)| {
                match value {
                    Value::None => writer.set_null(column, i),
                    Value::Whole(x) => writer.fixed_mut::<i64>(column)[i] = *x,
                    Value::Float(x) => writer.fixed_mut::<f64>(column)[i] = f64::from_bits(*x),
                    Value::Bytes(x) => writer.put_bytes(column, i, x)?,
                }
                Ok::<(), Full>(())
            });
            if outcome.is_err() {
                writer.set_rows(i);
                return i;
            }
        }
        writer.set_rows(rows.len());
        rows.len()
    }

    fn read(batch: &BatchRef) -> Vec<Vec<Value>> {
        let value = |row: usize, column: usize| match batch.dtype(column) {
            _ if !batch.is_valid(column, row) => Value::None,
            ColumnType::I64 => Value::Whole(batch.fixed::<i64>(column)[row]),
            ColumnType::F64 => Value::Float(batch.fixed::<f64>(column)[row].to_bits()),
            ColumnType::Bytes => Value::Bytes(batch.bytes(column, row).to_vec()),
        };
        (0..batch.len()).map(|row| (0..batch.columns()).map(|column| value(row, column)).collect()).collect()
    }

    proptest! {
        #[test]
        fn rows_read_back_the_same((dtypes, rows) in table(), heap in 0usize..3000, cut in any::<prop::sample::Index>()) {
            let schema = schema(&dtypes);
            let mut memory = memory(bytes_for(schema.len(), rows.len()) + heap);
            let mut writer = BatchWriter::begin(bytemuck::cast_slice_mut(&mut memory), &schema, rows.len()).unwrap();
            let count = write(&mut writer, &rows);
            prop_assert_eq!(read(&writer.view()), &rows[..count]);
            // What travels is enough, wherever it arrives.
            let end = writer.end();
            let mut there = vec![0u64; end.div_ceil(WORD)];
            let there: &mut [u8] = bytemuck::cast_slice_mut(&mut there);
            there[..end].copy_from_slice(&bytemuck::cast_slice(&memory)[..end]);
            let batch = BatchRef::new(&there[..end]).unwrap();
            prop_assert_eq!(read(&batch), &rows[..count]);
            for column in 0..batch.columns() {
                let lacks = |row: usize| batch.lacking(column).is_some_and(|lacking| lacking.has(row));
                prop_assert!((0..count).all(|row| lacks(row) != batch.is_valid(column, row)));
            }
            let start = cut.index(count + 1);
            prop_assert_eq!(read(&batch.rows(start..count)), &rows[start..count]);
            // And some of the rows by themselves.
            let mut packed = vec![0u64; end.div_ceil(WORD) + 8];
            let packed: &mut [u8] = bytemuck::cast_slice_mut(&mut packed);
            let end = batch.rows(start..count).pack(&schema, packed).unwrap();
            prop_assert_eq!(read(&BatchRef::new(&packed[..end]).unwrap()), &rows[start..count]);
        }

        #[test]
        fn as_many_rows_fit_as_are_said_to(columns in 0usize..20, bytes in 0usize..100_000) {
            let rows = rows_for(columns, bytes);
            prop_assert!(rows == 0 || bytes_for(columns, rows) <= bytes);
            if columns > 0 {
                prop_assert!(bytes_for(columns, rows + 1) > bytes);
            }
        }

        #[test]
        fn damaged_batches_are_none_or_can_be_read(
            (dtypes, rows) in table(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let schema = schema(&dtypes);
            let mut memory = memory(bytes_for(schema.len(), rows.len()) + 1000);
            let mut writer = BatchWriter::begin(bytemuck::cast_slice_mut(&mut memory), &schema, rows.len()).unwrap();
            write(&mut writer, &rows);
            let end = writer.end();
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
            for (place, with) in flips {
                // The headers are what matters.
                bytes[place.index(heads_bytes(schema.len()))] ^= with;
            }
            if let Some(batch) = BatchRef::new(&bytes[..end]) {
                read(&batch);
                (0..batch.columns()).for_each(|column| _ = batch.lacking(column).map(|lacking| lacking.has_any(batch.len())));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let schema = schema(&[ColumnType::Bytes]);
        let mut memory = memory(bytes_for(1, 2) + 8);
        let buf: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
        let mut writer = BatchWriter::begin(buf, &schema, 2).unwrap();
        assert_eq!(writer.put_bytes(0, 0, b"123456"), Ok(()));
        assert_eq!(writer.put_bytes(0, 1, b"123"), Err(Full));
        assert_eq!(writer.put_bytes(0, 1, b"12"), Ok(()));
        writer.set_rows(2);
        assert_eq!((writer.view().bytes(0, 0), writer.view().bytes(0, 1)), (&b"123456"[..], &b"12"[..]));
        assert!(BatchWriter::begin(buf, &schema, 200).is_none());
    }
}
