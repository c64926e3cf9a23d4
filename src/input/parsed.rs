//! Rows that threads have made of lines, on their way into a batch: the same for all formats that have a row on a line.

use crate::data::batch::{BatchWriter, Full, TEXT};
use crate::data::schema::ColumnType;
use crate::input::lines::{LineRange, likely};

/// What has been found in the lines of one thread; `W` is what can be wrong with a line.
pub struct Parsed<W> {
    /// How many rows.
    pub rows: usize,
    dtypes: Vec<ColumnType>,
    /// Values by column: of texts where they lie.
    columns: Vec<Vec<u64>>,
    texts: Vec<u8>,
    /// Column and row of what is passed over.
    holes: Vec<(usize, usize)>,
    /// The first of them, and its line, from 1.
    passed_over: Option<(u64, W)>,
    fault: Option<(u64, W)>,
}

impl<W> Parsed<W> {
    /// No rows of columns of these types, and space for so many.
    pub fn new(dtypes: &[ColumnType], rows: usize) -> Self {
        Self {
            rows: 0,
            dtypes: dtypes.to_vec(),
            columns: vec![vec![0; rows]; dtypes.len()],
            texts: Vec::new(),
            holes: Vec::new(),
            passed_over: None,
            fault: None,
        }
    }

    /// The value of a column of numbers in the row behind those that there are.
    pub fn put(&mut self, column: usize, bits: u64) {
        self.columns[column][self.rows] = bits;
    }

    /// The value of a column of texts in that row.
    pub fn put_text(&mut self, column: usize, text: &[u8]) {
        let place = (self.texts.len() as u64) << 32 | text.len() as u64;
        self.texts.extend_from_slice(text);
        self.put(column, place);
    }

    /// That row has no value in a column.
    pub fn leave(&mut self, column: usize) {
        self.holes.push((column, self.rows));
        self.put(column, 0);
    }

    /// The same, which is passed over; `wrong` says why, and in which line.
    pub fn pass_over(&mut self, column: usize, line: u64, wrong: W) {
        self.leave(column);
        self.passed_over.get_or_insert((line, wrong));
    }

    /// Something ends the rows, in this line.
    pub fn fail(&mut self, line: u64, wrong: W) {
        // What is passed over is of rows that there are.
        let rows = self.rows;
        self.holes.retain(|(_, row)| *row < rows);
        self.fault = Some((line, wrong));
    }

    /// Puts the rows into `batch` from row `start` on.
    fn put_into(&self, batch: &mut BatchWriter, start: usize) -> Result<(), Full> {
        for (column, (values, dtype)) in self.columns.iter().zip(&self.dtypes).enumerate() {
            let values = &values[..self.rows];
            if *dtype != ColumnType::Bytes {
                batch.words_mut(column)[start..start + self.rows].copy_from_slice(values);
                continue;
            }
            for (row, place) in values.iter().enumerate() {
                let (at, len) = ((place >> 32) as usize, (place & 0xffff_ffff) as usize);
                batch.put_bytes(column, start + row, &self.texts[at..at + len])?;
            }
        }
        self.holes.iter().for_each(|(column, row)| batch.set_null(*column, start + row));
        Ok(())
    }
}

/// The first of `lines`, about as many as the rows of `batch` behind row `row` have room for, where a line of most files
/// has no more bytes than `likely_line`; none where their texts would not fit. A text is no longer than what spells it, and
/// there are no more than so many `copies` of it in a row; 0 where there are no texts.
pub fn for_batch<'a>(
    lines: &'a [u8],
    likely_line: usize,
    batch: &BatchWriter,
    row: usize,
    copies: usize,
) -> &'a [u8] {
    let room = (batch.capacity() - row).saturating_mul(likely_line);
    if copies == 0 {
        return likely(lines, room);
    }
    let left = batch.text_left(row) / copies;
    let found = likely(lines, room.min(left));
    if found.len() > left && row > 0 { &[] } else { found }
}

/// Rows that have been put into a batch.
pub struct Gathered<W> {
    /// How many.
    pub rows: usize,
    /// The first value that is passed over, and its line.
    pub passed_over: Option<(u64, W)>,
    /// What ends them, and its line.
    pub fault: Option<(u64, W)>,
}

/// Puts what threads have found in `parts` behind the first `row` rows of `batch`. So many lines, of which `line` are
/// known, have come before, and have when it returns.
///
/// # Errors
/// There is no room for the texts of a single line.
pub fn gather<W>(
    batch: &mut BatchWriter,
    row: usize,
    line: &mut u64,
    parts: &[LineRange],
    parsed: impl IntoIterator<Item = Parsed<W>>,
) -> Result<Gathered<W>, Full> {
    let mut found = Gathered { rows: 0, passed_over: None, fault: None };
    for (part, parsed) in parts.iter().zip(parsed) {
        parsed.put_into(batch, row + found.rows)?;
        found.rows += parsed.rows;
        let before = *line;
        let place = |(line, wrong)| (before + line, wrong);
        found.passed_over = found.passed_over.or(parsed.passed_over.map(place));
        found.fault = parsed.fault.map(place);
        if found.fault.is_some() {
            break;
        }
        *line += part.lines as u64;
    }
    Ok(found)
}

/// What is said of a row whose texts are longer than any batch has room for.
pub fn too_long() -> String {
    format!("its texts are longer than {} MiB, which no row can have", TEXT >> 20)
}

/// Type of a column of which these are the first values that there are, spelled as they are: text where most of them are
/// no numbers, unless it `must` be numbers.
pub fn is_text<'a>(values: impl Iterator<Item = &'a str>, must_be_numbers: bool) -> bool {
    let (mut numbers, mut others) = (0, 0);
    for value in values.filter(|value| !value.is_empty()) {
        *if value.parse::<f64>().is_ok() { &mut numbers } else { &mut others } += 1;
    }
    others > numbers && !must_be_numbers
}
