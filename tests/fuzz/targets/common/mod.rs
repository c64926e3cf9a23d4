//! Readers of bytes in memory, and sources read to their ends.

use std::io::{Cursor, Read};

use parpy::data::batch::{BatchWriter, bytes_with_texts};
use parpy::data::schema::ColumnType;
use parpy::input::Source;
use parpy::input::text::Input;

/// Delivers so many bytes at once.
pub struct Pieces(Cursor<Vec<u8>>, usize);

impl Input for Pieces {}

impl Read for Pieces {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let most = room.len().min(self.1);
        self.0.read(&mut room[..most])
    }
}

impl Pieces {
    /// So many of `bytes` at once.
    pub fn of(bytes: &[u8], piece: usize) -> Box<Self> {
        Box::new(Self(Cursor::new(bytes.to_vec()), piece))
    }
}

/// All columns of `source`, taken `rows` rows at a time, row by row, and the message that ended them; of texts the length
/// of each and its bytes.
pub fn drain(source: &mut dyn Source, rows: usize) -> (Vec<u64>, Option<String>) {
    let schema = source.schema();
    let mut memory = vec![0u64; bytes_with_texts(&schema, rows).div_ceil(8)];
    let mut found = Vec::new();
    loop {
        let room = bytemuck::cast_slice_mut(&mut memory);
        let mut batch = BatchWriter::begin(room, &schema, rows).expect("there is room");
        match source.fill(&mut batch) {
            Ok(0) => return (found, None),
            Ok(count) => {
                batch.set_rows(count);
                let view = batch.view();
                for row in 0..count {
                    for (column, dtype) in schema.dtypes().enumerate() {
                        match dtype {
                            ColumnType::Bytes => {
                                let text = view.bytes(column, row);
                                found.push(text.len() as u64);
                                found.extend(text.iter().map(|byte| u64::from(*byte)));
                            }
                            _ => found.push(view.words(column)[row]),
                        }
                    }
                }
            }
            Err(error) => return (found, Some(error.to_string())),
        }
    }
}
