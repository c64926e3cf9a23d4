//! Which of some rows lack a value, as bits.

/// Rows that lack a value, a bit for each, in whichever sense and from whichever bit on.
#[derive(Debug, Clone, Copy)]
pub struct Lacking<'a> {
    words: &'a [u64],
    /// The bit of the first row.
    first: usize,
    /// What the bit is of a row that lacks a value.
    bit: u64,
}

impl<'a> Lacking<'a> {
    /// Those whose bits are set, of the first row the lowest; rows behind the last word have a value.
    pub fn where_set(words: &'a [u64]) -> Self {
        Self { words, first: 0, bit: 1 }
    }

    /// Those whose bits are not set, from bit `first` on.
    pub fn where_clear(words: &'a [u64], first: usize) -> Self {
        Self { words, first, bit: 0 }
    }

    /// The same of the rows behind the first `rows`.
    pub fn skip(self, rows: usize) -> Self {
        Self { first: self.first + rows, ..self }
    }

    /// Does this row lack a value?
    #[inline]
    pub fn has(self, row: usize) -> bool {
        let at = self.first + row;
        self.words.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == self.bit)
    }

    /// Does one of the first `rows`?
    pub fn has_any(self, rows: usize) -> bool {
        (0..rows).any(|row| self.has(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_a_value() {
        let words = [1 << 3, 1];
        let set = Lacking::where_set(&words);
        let found =
            |lacking: Lacking, rows: usize| (0..rows).filter(|row| lacking.has(*row)).collect::<Vec<_>>();
        assert_eq!(found(set, 300), [3, 64]);
        assert_eq!(found(set.skip(4), 100), [60]);
        assert!(set.has_any(4) && !set.has_any(3) && !set.skip(65).has_any(1000));
        let clear = Lacking::where_clear(&words, 2);
        assert_eq!(found(clear, 3), [0, 2]);
    }
}
