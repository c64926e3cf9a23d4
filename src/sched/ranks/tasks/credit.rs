//! How many blocks a rank that does not share rank 0's memory is given ahead, and who gets the next one. Pure.

use std::time::Duration;

/// The work that a worker is to have ahead: longer than a message takes there and back where ranks share their CPUs with
/// others, and so short that one rank that has it left when all others are done does not matter.
const AHEAD: Duration = Duration::from_millis(8);

/// Blocks that take longer are not given ahead at all: one that waits behind another could be done elsewhere, and a message
/// takes no time beside it.
const LONG: Duration = Duration::from_millis(250);

/// Of how many blocks the mean is taken, about: a single one that took long because its CPU did something else is to count
/// little.
const WINDOW: f64 = 16.0;

/// Blocks that a worker is given at the most.
pub const MOST: usize = 256;

/// What blocks have taken lately, in the mean.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    seconds: f64,
    /// Blocks that this is the mean of, up to [`WINDOW`].
    count: f64,
}

impl Cost {
    /// A block has taken so long.
    pub fn note(&mut self, took: Duration) {
        self.count = (self.count + 1.0).min(WINDOW);
        self.seconds += (took.as_secs_f64() - self.seconds) / self.count;
    }

    /// Blocks that a worker may have at a time: that on which it works, and those that it is given ahead.
    pub fn credit(&self) -> usize {
        if self.count == 0.0 {
            // One of each.
            2
        } else if self.seconds > LONG.as_secs_f64() {
            1
        } else {
            ((AHEAD.as_secs_f64() / self.seconds.max(1e-9)) as usize).clamp(2, MOST)
        }
    }
}

/// Workers that get blocks together: those who share rank 0's memory, or those of one rank elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How many they are.
    pub workers: usize,
    /// Blocks that they have been given so far.
    pub given: u64,
    /// Have they as many now as they may have?
    pub is_full: bool,
}

/// Which of several gets the next block: of those that may have one, the one that has been given fewest for each of its
/// workers; of equals the last. `None` when all are full.
pub fn next_of(shares: impl IntoIterator<Item = Share>) -> Option<usize> {
    let free = shares.into_iter().enumerate().filter(|(_, share)| !share.is_full && share.workers > 0);
    let fewest = free.reduce(|(i, a), (j, b)| {
        // a.given / a.workers < b.given / b.workers, in whole numbers.
        let is_less = u128::from(a.given) * (b.workers as u128) < u128::from(b.given) * (a.workers as u128);
        if is_less { (i, a) } else { (j, b) }
    });
    fewest.map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_blocks_are_given_ahead_and_long_ones_are_not() {
        let after = |took| {
            let mut cost = Cost::default();
            cost.note(took);
            cost.credit()
        };
        assert_eq!(Cost::default().credit(), 2);
        assert_eq!(after(Duration::ZERO), MOST);
        assert_eq!(after(Duration::from_micros(100)), 80);
        assert_eq!(after(Duration::from_millis(5)), 2);
        assert_eq!(after(Duration::from_secs(1)), 1);
        let mut cost = Cost::default();
        (0..100).for_each(|_| cost.note(Duration::from_micros(1)));
        cost.note(Duration::from_millis(10));
        assert!(cost.credit() > 10, "{cost:?}");
    }

    #[test]
    fn all_are_given_the_same_as_far_as_they_take_it() {
        let mut shares = [1, 2, 1].map(|workers| Share { workers, given: 0, is_full: false });
        for _ in 0..40 {
            let next = next_of(shares).unwrap();
            shares[next].given += 1;
        }
        assert_eq!(shares.map(|share| share.given), [10, 20, 10]);
        shares[1].is_full = true;
        for _ in 0..20 {
            let next = next_of(shares).unwrap();
            shares[next].given += 1;
        }
        assert_eq!(shares.map(|share| share.given), [20, 20, 20]);
        shares.iter_mut().for_each(|share| share.is_full = true);
        assert_eq!(next_of(shares), None);
        assert_eq!(next_of([Share { workers: 0, given: 0, is_full: false }]), None);
    }
}
