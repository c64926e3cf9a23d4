//! One row by itself, in memory of its own.

use crate::data::batch::{BatchRef, BatchWriter, bytes_for};
use crate::data::schema::{ColumnType, Schema};
use crate::data::texts::Texts;

/// A batch of one row.
#[derive(Debug)]
pub struct OwnRow(Vec<u64>);

impl OwnRow {
    /// A copy of the only row of `rows`; `None` where it has too many columns.
    pub fn of(schema: &Schema, rows: &BatchRef) -> Option<Self> {
        let texts = (0..rows.columns()).filter(|column| rows.dtype(*column) == ColumnType::Bytes);
        let bytes =
            bytes_for(schema.len(), 1) + texts.map(|column| rows.bytes(column, 0).len()).sum::<usize>();
        let mut memory = vec![0; bytes.div_ceil(size_of::<u64>())];
        rows.pack(schema, bytemuck::cast_slice_mut(&mut memory))?;
        Some(Self(memory))
    }

    /// A row of `words`, those of texts leading to `texts`, some of which may be missing; `None` where there are too many.
    pub fn of_words(
        schema: &Schema,
        words: &[u64],
        texts: Texts,
        lacks: impl Fn(usize) -> bool,
    ) -> Option<Self> {
        let is_text = |column: usize| schema.number(column).is_none();
        let text_bytes =
            (0..words.len()).filter(|column| is_text(*column)).map(|column| texts.get(words[column]).len());
        let bytes = bytes_for(schema.len(), 1) + text_bytes.sum::<usize>();
        let mut memory = vec![0; bytes.div_ceil(size_of::<u64>())];
        let mut batch = BatchWriter::begin(bytemuck::cast_slice_mut(&mut memory), schema, 1)?;
        for (column, word) in words.iter().enumerate() {
            match is_text(column) {
                true => batch.put_bytes(column, 0, texts.get(*word)).ok()?,
                false => batch.words_mut(column)[0] = *word,
            }
            if lacks(column) {
                batch.set_null(column, 0);
            }
        }
        batch.set_rows(1);
        Some(Self(memory))
    }

    /// The row.
    pub fn view(&self) -> BatchRef<'_> {
        BatchRef::new(bytemuck::cast_slice(&self.0)).unwrap_or_default()
    }
}
