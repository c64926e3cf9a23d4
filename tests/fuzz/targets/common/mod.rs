//! Sources read to their ends.

use parpy::data::batch::{BatchWriter, bytes_for};
use parpy::input::Source;

/// All columns of `source`, taken `rows` rows at a time, row by row, and the message that ended them.
pub fn drain(source: &mut dyn Source, rows: usize) -> (Vec<u64>, Option<String>) {
    let schema = source.schema();
    let mut memory = vec![0u64; bytes_for(schema.len(), rows).div_ceil(8)];
    let mut found = Vec::new();
    loop {
        let room = bytemuck::cast_slice_mut(&mut memory);
        let mut batch = BatchWriter::begin(room, &schema, rows).expect("there is room");
        match source.fill(&mut batch) {
            Ok(0) => return (found, None),
            Ok(count) => {
                batch.set_rows(count);
                let view = batch.view();
                (0..count).for_each(|row| found.extend((0..schema.len()).map(|column| view.words(column)[row])));
            }
            Err(error) => return (found, Some(error.to_string())),
        }
    }
}
