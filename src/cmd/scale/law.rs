//! How a pattern's time depends on the number of workers and on the amount of work: a law with four numbers,
//! fitted to what was measured.
//!
//! The law is Amdahl's (G. M. Amdahl, 1967) with two costs that it leaves out, the start-up and what each
//! further worker adds to it, and with the work as a factor, as in Gustafson's (J. L. Gustafson, 1988):
//!
//! `seconds = startup + overhead (p - 1) + m (serial + parallel / min(p, cpus))`
//!
//! of `p` workers and `m` times the work. Nothing is measured here, and nothing said about it in words.

use serde::{Deserialize, Serialize};

/// One pattern's law. All in seconds, none negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Law {
    /// With one worker and nothing to do.
    pub startup: f64,
    /// What each further worker adds.
    pub overhead: f64,
    /// Of all of the work, what one worker does while others wait.
    pub serial: f64,
    /// Of all of the work, what workers share.
    pub parallel: f64,
    /// No more workers than this are at work at the same time.
    pub cpus: usize,
    /// Root of the mean squared relative error of the fit.
    pub error: f64,
}

/// What was measured once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// How many workers.
    pub workers: usize,
    /// How much of the work: 1 is all, 0 none.
    pub work: f64,
    /// How long it took.
    pub seconds: f64,
}

/// The number of unknowns.
const UNKNOWNS: usize = 4;

impl Law {
    /// Seconds that `workers` need for `work` times the work.
    pub fn seconds(&self, workers: usize, work: f64) -> f64 {
        let numbers = [self.startup, self.overhead, self.serial, self.parallel];
        factors(workers, work, self.cpus).iter().zip(numbers).map(|(factor, number)| factor * number).sum()
    }

    /// The number of workers that would be fastest at all of the work if each had a CPU, of those up to `most`,
    /// and how many times as fast as one they would be.
    pub fn best(&self, most: usize) -> (usize, f64) {
        let seconds = |workers| Self { cpus: workers, ..*self }.seconds(workers, 1.0);
        let best = (1..=most.max(1)).min_by(|a, b| seconds(*a).total_cmp(&seconds(*b))).unwrap_or(1);
        (best, seconds(1) / seconds(best))
    }

    /// The law that fits the observations best: the least sum of squared relative errors with no number
    /// negative, and of equally good ones the one with the fewest numbers. `None` without observations.
    ///
    /// With four unknowns every choice of those that are not 0 can be tried, which finds the least one for
    /// certain (as C. L. Lawson and R. J. Hanson's NNLS does, for more, by steps).
    pub fn fit(observations: &[Observation], cpus: usize) -> Option<Self> {
        let rows: Vec<[f64; UNKNOWNS]> = observations
            .iter()
            .map(|o| factors(o.workers, o.work, cpus).map(|factor| factor / o.seconds))
            .collect();
        if rows.is_empty() || observations.iter().any(|o| o.seconds <= 0.0 || !o.seconds.is_finite()) {
            return None;
        }
        let mut best: Option<([f64; UNKNOWNS], f64)> = None;
        let mut choices: Vec<u32> = (1..1 << UNKNOWNS).collect();
        // Of equally many, first those with the work that is shared.
        choices.sort_by_key(|choice| (choice.count_ones(), std::cmp::Reverse(*choice)));
        for choice in choices {
            let Some(numbers) = least_squares(&rows, choice) else { continue };
            if numbers.iter().any(|number| *number < 0.0) {
                continue;
            }
            let error = squared_error(&rows, &numbers);
            // Rounding alone makes no choice better.
            if best.is_none_or(|(_, least)| error < least * (1.0 - 1e-9) - 1e-18) {
                best = Some((numbers, error));
            }
        }
        best.map(|([startup, overhead, serial, parallel], error)| Self {
            startup,
            overhead,
            serial,
            parallel,
            cpus,
            error: (error / rows.len() as f64).sqrt(),
        })
    }
}

/// What the four numbers of the law are multiplied by.
fn factors(workers: usize, work: f64, cpus: usize) -> [f64; UNKNOWNS] {
    let at_work = workers.min(cpus).max(1) as f64;
    [1.0, workers.saturating_sub(1) as f64, work, work / at_work]
}

/// The numbers of `choice` (a bit for each) that bring all rows closest to 1, by the normal equations; the
/// others are 0. `None` where several would do.
fn least_squares(rows: &[[f64; UNKNOWNS]], choice: u32) -> Option<[f64; UNKNOWNS]> {
    let chosen: Vec<usize> = (0..UNKNOWNS).filter(|i| choice >> i & 1 == 1).collect();
    let n = chosen.len();
    let mut system: Vec<Vec<f64>> = chosen
        .iter()
        .map(|i| {
            let product =
                |of: &dyn Fn(&[f64; UNKNOWNS]) -> f64| rows.iter().map(|row| row[*i] * of(row)).sum();
            let mut line: Vec<f64> = chosen.iter().map(|j| product(&|row| row[*j])).collect();
            line.push(product(&|_| 1.0));
            line
        })
        .collect();
    // Each unknown in units of its own size, so that what is nearly singular can be told.
    let scale: Vec<f64> = (0..n).map(|i| system[i][i].sqrt()).collect();
    if scale.contains(&0.0) {
        return None;
    }
    for (i, line) in system.iter_mut().enumerate() {
        for j in 0..n {
            line[j] /= scale[i] * scale[j];
        }
        line[n] /= scale[i];
    }
    // Gauss and Jordan, with the largest pivot.
    for step in 0..n {
        let pivot = (step..n).max_by(|a, b| system[*a][step].abs().total_cmp(&system[*b][step].abs()))?;
        if system[pivot][step].abs() < 1e-9 {
            return None;
        }
        system.swap(step, pivot);
        let line = system[step].clone();
        for (other, row) in system.iter_mut().enumerate() {
            let factor = if other == step { 0.0 } else { row[step] / line[step] };
            row.iter_mut().zip(&line).for_each(|(a, b)| *a -= factor * b);
        }
    }
    let mut numbers = [0.0; UNKNOWNS];
    for (step, i) in chosen.into_iter().enumerate() {
        numbers[i] = system[step][n] / system[step][step] / scale[step];
    }
    Some(numbers)
}

fn squared_error(rows: &[[f64; UNKNOWNS]], numbers: &[f64; UNKNOWNS]) -> f64 {
    let error = |row: &[f64; UNKNOWNS]| row.iter().zip(numbers).map(|(a, b)| a * b).sum::<f64>() - 1.0;
    rows.iter().map(|row| error(row).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    use super::*;

    const CPUS: usize = 8;

    /// What a machine that obeys `law` would be seen to do, each time wrong by `noise`.
    fn observe(law: &Law, noise: impl Fn(usize) -> f64) -> Vec<Observation> {
        let grid = [1, 2, 3, 4, 8, 16].into_iter().flat_map(|workers| [(workers, 0.0), (workers, 1.0)]);
        grid.enumerate()
            .map(|(i, (workers, work))| {
                let seconds = law.seconds(workers, work) * (1.0 + noise(i));
                Observation { workers, work, seconds }
            })
            .collect()
    }

    fn assert_same(found: &Law, law: &Law, epsilon: f64) {
        let total = law.seconds(1, 1.0);
        for (a, b) in [
            (found.startup, law.startup),
            (found.overhead, law.overhead),
            (found.serial, law.serial),
            (found.parallel, law.parallel),
        ] {
            assert_relative_eq!(a, b, epsilon = epsilon * total);
        }
    }

    #[test]
    fn amdahls_law_is_found() {
        let law = Law { startup: 1e-3, overhead: 0.0, serial: 0.1, parallel: 0.9, cpus: CPUS, error: 0.0 };
        let found = Law::fit(&observe(&law, |_| 0.0), CPUS).unwrap();
        assert_same(&found, &law, 1e-9);
        // Of 9/10 that is shared, 100 workers leave 9/1000.
        let (best, speedup) = found.best(100);
        assert_eq!(best, 100);
        assert_relative_eq!(speedup, 1.001 / 0.110, max_relative = 1e-6);
        assert!(found.error < 1e-9);
    }

    #[test]
    fn an_overhead_that_grows_with_the_workers_is_found() {
        let law =
            Law { startup: 0.005, overhead: 0.002, serial: 0.0, parallel: 0.05, cpus: CPUS, error: 0.0 };
        let found = Law::fit(&observe(&law, |_| 0.0), CPUS).unwrap();
        assert_same(&found, &law, 1e-9);
        // Where one more costs as much as it takes off: the root of 0.05 / 0.002.
        assert_eq!(found.best(1000).0, 5);
        // More workers than CPUs do no more work, and cost.
        assert!(found.seconds(16, 1.0) > found.seconds(8, 1.0));
    }

    #[test]
    fn weak_scaling_is_the_same_law_with_more_work() {
        let law = Law { startup: 0.01, overhead: 0.001, serial: 0.2, parallel: 2.0, cpus: CPUS, error: 0.0 };
        let grid = [1, 2, 4, 8].into_iter().flat_map(|p| [(p, 0.0), (p, p as f64 / 8.0)]);
        let seen: Vec<_> = grid
            .map(|(workers, work)| Observation { workers, work, seconds: law.seconds(workers, work) })
            .collect();
        assert_same(&Law::fit(&seen, CPUS).unwrap(), &law, 1e-9);
    }

    #[test]
    fn noise_moves_the_law_by_no_more_than_its_size() {
        let law =
            Law { startup: 0.01, overhead: 0.001, serial: 0.05, parallel: 0.95, cpus: CPUS, error: 0.0 };
        let noise = |i: usize| if i.is_multiple_of(3) { 0.02 } else { -0.01 };
        let found = Law::fit(&observe(&law, noise), CPUS).unwrap();
        assert_same(&found, &law, 0.04);
        assert!(found.error > 0.001 && found.error < 0.03, "{}", found.error);
    }

    #[test]
    fn what_cannot_be_told_apart_has_the_fewest_numbers() {
        let one = Observation { workers: 1, work: 1.0, seconds: 2.0 };
        let law = Law::fit(&[one], CPUS).unwrap();
        assert_relative_eq!(law.parallel, 2.0);
        assert_eq!(
            [law.startup, law.overhead, law.serial, law.parallel].iter().filter(|n| **n > 0.0).count(),
            1
        );
        assert_eq!(Law::fit(&[], CPUS), None);
        assert_eq!(Law::fit(&[Observation { seconds: 0.0, ..one }], CPUS), None);
    }

    proptest! {
        #[test]
        fn any_law_is_found_again(
            startup in 1e-6..1.0f64,
            overhead in 1e-6..0.1f64,
            serial in 1e-3..1.0f64,
            parallel in 1e-3..10.0f64,
        ) {
            let law = Law { startup, overhead, serial, parallel, cpus: CPUS, error: 0.0 };
            let found = Law::fit(&observe(&law, |_| 0.0), CPUS).unwrap();
            for workers in [1, 2, 5, 8, 16, 32] {
                for work in [0.0, 0.5, 1.0, 10.0] {
                    let (a, b) = (found.seconds(workers, work), law.seconds(workers, work));
                    prop_assert!((a / b - 1.0).abs() < 1e-5, "{found:?}");
                }
            }
        }
    }
}
