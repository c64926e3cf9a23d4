//! What is chosen at random: some of n rows without repetition, in their order; and points of a Latin hypercube.
//!
//! A permutation of all rows follows from the seed ([`Permutation`]). The first ones of it are the rows that are chosen; and
//! a point has of each parameter the part that a permutation of the parameter's own leads to (McKay, Beckman and Conover,
//! Technometrics 1979).

use std::sync::{Arc, Mutex};

use crate::data::permutation::{Permutation, mixed};
use crate::job::sweep::POSITIONS;

/// `count` of the numbers 0..`n`, each at most once, as `seed` says: the least first.
fn choose(n: u64, count: u64, seed: u64) -> Vec<u64> {
    if count == 0 || n == 0 {
        return Vec::new();
    }
    let permutation = Permutation::new(n, seed);
    let mut chosen: Vec<u64> = (0..count.min(n)).map(|at| permutation.get(at)).collect();
    chosen.sort_unstable();
    chosen
}

/// What was chosen last in this process, whose workers choose the same.
static LAST: Mutex<Option<(Wanted, Arc<Vec<u64>>)>> = Mutex::new(None);

/// Of how many, how many, and the seed.
type Wanted = [u64; 3];

/// As [`choose`], once for all workers of this process.
pub fn chosen(n: u64, count: u64, seed: u64) -> Arc<Vec<u64>> {
    let wanted = [n, count, seed];
    let mut last = LAST.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    match &*last {
        Some((known, rows)) if *known == wanted => Arc::clone(rows),
        _ => {
            let rows = Arc::new(choose(n, count, seed));
            *last = Some((wanted, Arc::clone(&rows)));
            rows
        }
    }
}

/// Points of a Latin hypercube: each found by its number.
pub struct LatinHypercube {
    count: u64,
    parameters: Vec<Permutation>,
}

impl LatinHypercube {
    /// Of `count` points, up to [`POSITIONS`], over so many parameters.
    pub fn new(count: u64, parameters: u64, seed: u64) -> Self {
        let seed_of = |parameter: u64| mixed(seed ^ mixed(parameter + 1));
        let parameters = (0..parameters).map(|parameter| Permutation::new(count, seed_of(parameter)));
        Self { count, parameters: parameters.collect() }
    }

    /// Which of the [`POSITIONS`] of a parameter point number `point` has.
    pub fn get(&self, parameter: usize, point: u64) -> u64 {
        let permutation = &self.parameters[parameter];
        let part = permutation.get(point);
        // No more than 2^32 parts, each with a position in it.
        let start = |part: u64| match part == self.count {
            true => POSITIONS,
            false => (part * POSITIONS).div_ceil(self.count),
        };
        let (first, end) = (start(part), start(part + 1));
        let within = mixed(permutation.key() ^ mixed(!point));
        first + ((u128::from(within) * u128::from(end - first)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_is_chosen_once_and_in_order(n in 1u64..5000, count in 0u64..5000, seed: u64) {
            let rows = choose(n, count, seed);
            prop_assert_eq!(rows.len() as u64, count.min(n));
            prop_assert!(rows.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(rows.last().is_none_or(|last| *last < n));
        }

        #[test]
        fn of_as_many_as_can_be_counted(count in 0u64..50, seed: u64, less in 0u64..100) {
            let rows = choose(u64::MAX - less, count, seed);
            prop_assert_eq!(rows.len() as u64, count);
            prop_assert!(rows.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    proptest! {
        /// Each parameter has a point in each part.
        #[test]
        fn a_latin_hypercube_has_a_point_in_each_part(count in 1u64..3000, seed: u64) {
            let points = LatinHypercube::new(count, 3, seed);
            for parameter in 0..3 {
                let mut parts: Vec<u64> =
                    (0..count).map(|point| ((u128::from(points.get(parameter, point)) * u128::from(count)) >> 32) as u64).collect();
                parts.sort_unstable();
                prop_assert_eq!(parts, (0..count).collect::<Vec<_>>());
            }
        }

        #[test]
        fn a_latin_hypercube_of_very_many_points(point in 0u64..1 << 32, less in 0u64..1000, seed: u64) {
            let points = LatinHypercube::new(POSITIONS - less, 1, seed);
            prop_assert!(points.get(0, point % (POSITIONS - less)) < POSITIONS);
        }
    }

    /// Parameters go with each other in no order, and points lie anywhere in their parts.
    #[test]
    fn a_latin_hypercube_is_random() {
        let (count, seeds) = (100, 400);
        let unit = |position: u64| position as f64 / POSITIONS as f64 - 0.5;
        let (mut products, mut within, mut neighbours) = (0.0, 0.0, 0.0);
        for seed in 0..seeds {
            let points = LatinHypercube::new(count, 2, seed);
            for point in 0..count {
                let (x, y) = (unit(points.get(0, point)), unit(points.get(1, point)));
                products += x * y;
                neighbours += x * unit(points.get(0, (point + 1) % count));
                within += ((x + 0.5) * count as f64).fract() - 0.5;
            }
        }
        // Each is a sum of terms whose mean is 0 and whose deviation is 1/12 at the most, or 0.29: five deviations.
        let n = (count * seeds) as f64;
        assert!(products.abs() < 5.0 * n.sqrt() / 12.0, "{products}");
        assert!(within.abs() < 5.0 * n.sqrt() * 0.29, "{within}");
        // Of a permutation the mean is -1/12 of one of the others.
        assert!((neighbours + n / 12.0 / (count - 1) as f64).abs() < 5.0 * n.sqrt() / 12.0, "{neighbours}");
    }

    #[test]
    fn each_is_as_likely_as_any_other() {
        for (n, count) in [(5, 2), (12, 5), (100, 10)] {
            let mut hits = vec![0u32; n as usize];
            let mut pairs = vec![0u32; (n * n) as usize];
            let seeds = 20_000;
            for seed in 0..seeds {
                let rows = choose(n, count, seed);
                rows.iter().for_each(|row| hits[*row as usize] += 1);
                for (i, a) in rows.iter().enumerate() {
                    rows[i + 1..].iter().for_each(|b| pairs[(a * n + b) as usize] += 1);
                }
            }
            // Six standard deviations.
            let near = |hits: u32, share: f64| {
                let expected = seeds as f64 * share;
                (f64::from(hits) - expected).abs() < 6.0 * (expected * (1.0 - share)).sqrt()
            };
            let (n, count) = (n as f64, count as f64);
            assert!(hits.iter().all(|hits| near(*hits, count / n)), "{hits:?}");
            let share = count * (count - 1.0) / (n * (n - 1.0));
            let met: Vec<u32> = pairs.into_iter().filter(|hits| *hits > 0).collect();
            assert_eq!(met.len(), (n * (n - 1.0) / 2.0) as usize);
            assert!(met.iter().all(|hits| near(*hits, share)), "{met:?}");
        }
    }
}
