//! The arithmetic of cutting: n items into k parts. No input is touched here.
//!
//! A file's sections start as such parts of its bytes; [`crate::input::section`] moves both ends of each
//! to the next start of a line, by the rule that a line belongs to the section in which its first byte
//! stands.

use std::ops::Range;

/// Part `i` of `k` nearly equal, contiguous parts of `n` items: sizes differ by one at most, parts may be
/// empty when `k > n`, and joined in order they are `0..n`.
///
/// # Panics
/// When `i >= k`.
pub fn part(n: u64, k: u64, i: u64) -> Range<u64> {
    assert!(i < k, "part {i} of {k}");
    bound(n, k, i)..bound(n, k, i + 1)
}

/// n * i / k in 128 bits: a 100 GB file times a few thousand parts passes 2^64.
fn bound(n: u64, k: u64, i: u64) -> u64 {
    (u128::from(n) * u128::from(i) / u128::from(k)) as u64
}

/// How many parts no larger than `most` the `n` items need, in whole rounds of `workers` parts.
///
/// Zero items need no part at all.
pub fn parts_in_rounds(n: u64, workers: u64, most: u64) -> u64 {
    n.div_ceil(workers.saturating_mul(most.max(1))).saturating_mul(workers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_join_to_the_whole_and_are_even(n in any::<u64>(), k in 1u64..5000) {
            let mut at = 0;
            for i in 0..k {
                let p = part(n, k, i);
                prop_assert_eq!(p.start, at);
                let size = p.end - p.start;
                prop_assert!(size == n / k || size == n.div_ceil(k));
                at = p.end;
            }
            prop_assert_eq!(at, n);
        }

        #[test]
        fn no_part_is_larger_than_allowed(n in 0u64..1 << 50, workers in 1u64..5000, most in 1u64..1 << 40) {
            let k = parts_in_rounds(n, workers, most);
            prop_assert_eq!(k % workers, 0);
            prop_assert_eq!(k == 0, n == 0);
            if k > 0 {
                prop_assert!(n.div_ceil(k) <= most);
                // One round fewer would not do.
                prop_assert!(k == workers || n.div_ceil(k - workers) > most);
            }
        }
    }

    #[test]
    fn more_parts_than_items() {
        let sizes: Vec<_> = (0..4).map(|i| part(2, 4, i)).collect();
        assert_eq!(sizes, [0..0, 0..1, 1..1, 1..2]);
    }
}
