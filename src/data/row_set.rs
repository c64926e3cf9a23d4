//! Some rows of a window, by their numbers in it: those that have no answer, or lack a value. Most often there are none,
//! which takes no memory.

use crate::data::lacking::Lacking;

/// Rows of a window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowSet {
    /// A bit for each row, the first in the lowest; rows behind them are not in it.
    words: Vec<u64>,
}

impl RowSet {
    /// Those whose bits are set.
    pub fn of_bits(words: &[u64]) -> Self {
        Self { words: words.to_vec() }
    }

    /// Has no row been put in?
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Is this row in it?
    pub fn has(&self, row: usize) -> bool {
        self.words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// The same, as rows that lack a value; `None` where none does.
    pub fn lacking(&self) -> Option<Lacking<'_>> {
        (!self.is_empty()).then(|| Lacking::where_set(&self.words))
    }

    /// Puts a row in.
    pub fn insert(&mut self, row: usize) {
        if self.words.len() <= row / 64 {
            self.words.resize(row / 64 + 1, 0);
        }
        self.words[row / 64] |= 1 << (row % 64);
    }

    /// Takes a row out.
    pub fn remove(&mut self, row: usize) {
        if let Some(word) = self.words.get_mut(row / 64) {
            *word &= !(1 << (row % 64));
        }
    }
}

impl Extend<usize> for RowSet {
    fn extend<I: IntoIterator<Item = usize>>(&mut self, rows: I) {
        rows.into_iter().for_each(|row| self.insert(row));
    }
}

impl FromIterator<usize> for RowSet {
    fn from_iter<I: IntoIterator<Item = usize>>(rows: I) -> Self {
        let mut set = Self::default();
        set.extend(rows);
        set
    }
}

impl std::ops::BitOrAssign<&RowSet> for RowSet {
    fn bitor_assign(&mut self, other: &RowSet) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_a_set_has_it(rows: BTreeSet<u8>, others: BTreeSet<u8>) {
            let of = |rows: &BTreeSet<u8>| rows.iter().map(|row| usize::from(*row)).collect::<RowSet>();
            let mut set = of(&rows);
            prop_assert_eq!(set.is_empty(), rows.is_empty());
            prop_assert!((0..=300).all(|row| set.has(row) == u8::try_from(row).is_ok_and(|row| rows.contains(&row))));
            set |= &of(&others);
            let both: BTreeSet<u8> = rows.union(&others).copied().collect();
            prop_assert!((0..=300).all(|row| set.has(row) == u8::try_from(row).is_ok_and(|row| both.contains(&row))));
        }
    }
}
