//! Columns of answers in the buffer of a block, one behind the other, as they are filled row by row.

use crate::output::encode::{Values, missing};

/// Where the runs of [`crate::output::encode::Encoding::Columns`] stand in the buffer of a block that has `of` rows.
#[derive(Clone, Copy)]
pub(super) struct Runs {
    pub(super) of: usize,
    /// Columns of the input.
    pub(super) inputs: usize,
    pub(super) gaps: bool,
}

impl Runs {
    /// Where words of a column, the answers behind those of the input, begin at row `row`.
    fn at(self, column: usize, row: usize) -> usize {
        (column * self.of + row) * size_of::<u64>()
    }

    /// Puts columns of the input from row number `row` on.
    pub(super) fn put_inputs(self, buf: &mut [u8], row: usize, columns: &[Values]) {
        for (number, Values { dtype, bits, lacking }) in columns.iter().enumerate() {
            let start = self.at(number, row);
            let room = &mut buf[start..start + size_of_val(*bits)];
            room.copy_from_slice(bytemuck::cast_slice(bits));
            if let Some(lacking) = lacking {
                let words = room.chunks_exact_mut(size_of::<u64>()).enumerate();
                let gaps = words.filter(|(i, _)| lacking.has(*i));
                gaps.for_each(|(_, word)| word.copy_from_slice(&missing(*dtype).to_ne_bytes()));
            }
        }
    }

    /// Room for so many answers from row number `row` on.
    pub(super) fn answers(self, buf: &mut [u8], row: usize, count: usize) -> &mut [u64] {
        let start = self.at(self.inputs, row);
        bytemuck::cast_slice_mut(&mut buf[start..start + count * size_of::<u64>()])
    }

    /// No row of the block is a gap.
    pub(super) fn begin(self, buf: &mut [u8]) {
        if self.gaps {
            buf[self.at(self.inputs + 1, 0)..][..self.of].fill(0);
        }
    }

    /// Row number `row` has no answer.
    pub(super) fn leave_gap(self, buf: &mut [u8], row: usize, missing: u64) {
        // Not as words: in the room of a single gap they may lie anywhere.
        let start = self.at(self.inputs, row);
        buf[start..start + size_of::<u64>()].copy_from_slice(bytemuck::bytes_of(&missing));
        if self.gaps {
            buf[self.at(self.inputs + 1, 0) + row] = 1;
        }
    }

    /// Moves the runs together when there are only `count` rows. Returns how many bytes that are.
    pub(super) fn close_up(self, buf: &mut [u8], count: usize) -> usize {
        let words = count * size_of::<u64>();
        for column in 1..=self.inputs {
            let start = self.at(column, 0);
            buf.copy_within(start..start + words, column * words);
        }
        let columns = self.inputs + 1;
        if self.gaps {
            let start = self.at(columns, 0);
            buf.copy_within(start..start + count, columns * words);
        }
        columns * words + if self.gaps { count } else { 0 }
    }
}
