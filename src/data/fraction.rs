//! Shares of an input.

/// A share of an input: from the end of part no. `from` to that of part no. `to` of `whole` equal parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Fraction {
    pub from: u64,
    pub to: u64,
    pub whole: u64,
}

impl Fraction {
    /// All of it.
    pub const ALL: Self = Self::first(1, 1);

    /// The first `part` of `whole` equal parts.
    pub const fn first(part: u64, whole: u64) -> Self {
        Self { from: 0, to: part, whole }
    }

    /// Which of `total` items. Shares that follow each other leave nothing out; ends are rounded up, so that
    /// the first share of anything has an item.
    pub fn of(self, total: u64) -> std::ops::Range<u64> {
        // In 128 bits: a 100 GB file times a few thousand parts passes 2^64.
        let end = |part: u64| (u128::from(total) * u128::from(part)).div_ceil(u128::from(self.whole)) as u64;
        end(self.from)..end(self.to)
    }

    /// As a number from 0 to 1.
    pub fn fraction(self) -> f64 {
        (self.to - self.from) as f64 / self.whole as f64
    }
}
