//! How often to run something, and what its times come to: medians, quartiles, and when to stop.
//!
//! What is run, and by which clock it is timed, is behind [`Bench`], so that a clock with a known law can
//! take the real one's place. What the numbers mean for a scaling study is in [`super::results`].

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::base::error::Result;
use crate::data::fraction::Fraction;

/// Something that can be run and timed.
pub trait Bench {
    /// Runs it `times` times, one after the other.
    ///
    /// # Errors
    /// It fails.
    fn run(&mut self, times: usize) -> Result<Lap>;

    /// The least time in seconds that the clock can tell from none.
    fn tick(&self) -> f64;
}

/// What one or several runs took.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Lap {
    /// Seconds by the clock, of all runs together.
    pub seconds: f64,
    /// Seconds that the workers of one run worked, all together.
    pub busy: f64,
    /// Values or lines of one run.
    pub items: u64,
    /// Bytes of input of one run.
    pub bytes: u64,
    /// Workers that had something to do, in some run.
    pub workers: usize,
}

/// When enough is known.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// At least so many samples.
    pub least: usize,
    /// No more than so many.
    pub most: usize,
    /// Enough when the quartiles are no further apart than this, as a share of the median.
    pub spread: f64,
    /// Enough after so many seconds, once there are `least`.
    pub patience: f64,
    /// Enough after those seconds however few there are.
    pub hasty: bool,
}

impl Rules {
    /// At least `least` samples, and until half of them lie within 5 % of the median on either side.
    pub fn at_least(least: usize) -> Self {
        Self { least, most: least.max(25), spread: 0.1, patience: 3.0, hasty: false }
    }

    /// For an estimate: a few samples, and one of what takes long.
    pub fn hasty() -> Self {
        Self { least: 3, most: 5, spread: 0.1, patience: 0.5, hasty: true }
    }
}

/// A run that is shorter than so many ticks of the clock is repeated, and the repetitions timed together:
/// reading the clock is then wrong by 0.1 % at the most.
const TICKS: f64 = 1000.0;

/// What the samples of one thing come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quartiles {
    /// A quarter of the samples is less.
    pub low: f64,
    /// Half of them is less.
    pub median: f64,
    /// A quarter of the samples is more.
    pub high: f64,
}

impl Quartiles {
    /// Of one sample or more, in any order; between two of them as if they were joined by a line.
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * (sorted.len() - 1) as f64;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Self { low: at(0.25), median: at(0.5), high: at(0.75) }
    }

    /// How far the quartiles are apart, as a share of the median; 0 where that is 0.
    pub fn spread(&self) -> f64 {
        if self.median > 0.0 { (self.high - self.low) / self.median } else { 0.0 }
    }

    /// The same for other units.
    pub fn map(self, of: impl Fn(f64) -> f64) -> Self {
        Self { low: of(self.low), median: of(self.median), high: of(self.high) }
    }
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Seconds of one run.
    pub seconds: Quartiles,
    /// How many samples these are of.
    pub runs: usize,
    /// How many runs each sample is.
    pub batch: usize,
    /// Medians of the rest.
    pub lap: Lap,
}

/// Runs `bench` once to warm up, and then until the rules are satisfied.
///
/// # Errors
/// It fails.
pub fn measure(bench: &mut dyn Bench, rules: Rules) -> Result<Sample> {
    let (tick, shortest) = (bench.tick(), TICKS * bench.tick());
    let enough_for = |seconds: f64, batch: usize| {
        (shortest / seconds.max(tick) * batch as f64).ceil().min(MOST_BATCHED) as usize
    };
    let warm = bench.run(1)?.seconds;
    let mut batch = if warm < shortest { enough_for(warm, 1) } else { 1 };
    let (mut seconds, mut busy, mut spent) = (Vec::new(), Vec::new(), 0.0);
    let mut workers = 0;
    loop {
        let lap = bench.run(batch)?;
        spent += lap.seconds;
        workers = lap.workers.max(workers);
        // Warm, it may be much shorter than the first time.
        if lap.seconds < shortest / 2.0 && (batch as f64) < MOST_BATCHED && spent < rules.patience {
            batch = enough_for(lap.seconds, batch);
            (seconds, busy) = (Vec::new(), Vec::new());
            continue;
        }
        seconds.push(lap.seconds / batch as f64);
        busy.push(lap.busy);
        let known = Quartiles::of(&seconds);
        let over = spent >= rules.patience;
        let enough = known.spread() <= rules.spread || seconds.len() >= rules.most || over;
        if seconds.len() >= rules.least && enough || rules.hasty && over {
            let lap = Lap { seconds: known.median, busy: Quartiles::of(&busy).median, workers, ..lap };
            return Ok(Sample { seconds: known, runs: seconds.len(), batch, lap });
        }
    }
}

/// No more runs than this are timed together.
const MOST_BATCHED: f64 = 1e6;

/// A bench that can also run a part of its work.
pub trait Partly: Bench {
    /// What is run next: this share of all.
    fn take(&mut self, share: Fraction);
}

/// A part of the input that takes as long, in seconds, says what all of it takes.
const LONG_ENOUGH: f64 = 5e-3;

/// A part of fewer items says nothing.
const MANY_ENOUGH: u64 = 64;

/// What the share of a bench's work would be measured to take, from a part of that share that is large enough
/// to tell: `start` is a run's start-up in seconds, and `bytes` what the whole share has.
///
/// # Errors
/// It fails.
pub fn estimate(bench: &mut dyn Partly, share: Fraction, start: f64, bytes: u64) -> Result<Sample> {
    // From a 4096th on, eight times as much each time.
    let mut parts = 4096;
    loop {
        bench.take(Fraction::first(share.to, share.whole * parts));
        let sample = measure(bench, Rules::hasty())?;
        if parts == 1 {
            return Ok(sample);
        }
        let long = sample.seconds.median > (2.0 * start).max(LONG_ENOUGH);
        // A part of a single item that takes long is waited for once.
        let many = sample.lap.items >= MANY_ENOUGH || sample.seconds.median > 1.0 && sample.lap.items > 0;
        if long && many {
            let factor = bytes as f64 / sample.lap.bytes.max(1) as f64;
            let whole = |seconds: f64| start + (seconds - start).max(0.0) * factor;
            let lap = Lap {
                busy: sample.lap.busy * factor,
                items: (sample.lap.items as f64 * factor).round() as u64,
                bytes,
                ..sample.lap
            };
            return Ok(Sample { seconds: sample.seconds.map(whole), lap, ..sample });
        }
        parts /= 8;
    }
}

/// The least time in seconds that this machine's monotonic clock was seen to advance by.
pub fn clock_tick() -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..100 {
        let began = Instant::now();
        let mut passed = began.elapsed();
        while passed.is_zero() {
            passed = began.elapsed();
        }
        least = least.min(passed.as_secs_f64());
    }
    least
}

#[cfg(test)]
pub(crate) mod tests {
    use approx::assert_relative_eq;

    use super::*;
    use crate::base::error::Error;

    /// A clock of which each reading is known before.
    pub struct Fake<F> {
        pub tick: f64,
        /// Seconds of run number n.
        pub law: F,
        pub runs: usize,
    }

    impl<F: FnMut(usize) -> f64> Bench for Fake<F> {
        fn run(&mut self, times: usize) -> Result<Lap> {
            let mut seconds = 0.0;
            for _ in 0..times {
                seconds += (self.law)(self.runs);
                self.runs += 1;
            }
            // As such a clock would show it.
            let seconds = (seconds / self.tick).floor() * self.tick;
            Ok(Lap { seconds, busy: 0.5, items: 10, bytes: 80, workers: 1 })
        }

        fn tick(&self) -> f64 {
            self.tick
        }
    }

    fn fake(law: impl FnMut(usize) -> f64) -> Fake<impl FnMut(usize) -> f64> {
        Fake { tick: 1e-9, law, runs: 0 }
    }

    #[test]
    fn quartiles_of_known_samples() {
        let known = Quartiles::of(&[5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!(known, Quartiles { low: 2.0, median: 3.0, high: 4.0 });
        assert_relative_eq!(known.spread(), 2.0 / 3.0);
        assert_eq!(Quartiles::of(&[1.0, 2.0]), Quartiles { low: 1.25, median: 1.5, high: 1.75 });
        assert_eq!(Quartiles::of(&[7.0]), Quartiles { low: 7.0, median: 7.0, high: 7.0 });
    }

    #[test]
    fn steady_times_need_the_least_number_of_runs_and_the_warm_up_does_not_count() {
        let mut bench = fake(|run| if run == 0 { 100.0 } else { 0.25 });
        let sample = measure(&mut bench, Rules::at_least(5)).unwrap();
        assert_eq!((sample.runs, sample.batch, bench.runs), (5, 1, 6));
        assert_relative_eq!(sample.seconds.median, 0.25, epsilon = 1e-8);
        assert_eq!((sample.lap.items, sample.lap.bytes, sample.lap.busy), (10, 80, 0.5));
    }

    #[test]
    fn noise_is_run_against_until_the_spread_is_small() {
        // Wild for ten runs, then steady.
        let mut bench = fake(|run| if run <= 10 && run % 2 == 0 { 0.02 } else { 0.01 });
        let sample = measure(&mut bench, Rules::at_least(5)).unwrap();
        assert!(sample.runs > 10 && sample.runs < 25, "{}", sample.runs);
        assert!(sample.seconds.spread() <= 0.1);
        assert_relative_eq!(sample.seconds.median, 0.01, epsilon = 1e-8);
    }

    #[test]
    fn noise_that_does_not_end_is_given_up_on() {
        let mut bench = fake(|run| if run % 2 == 0 { 0.02 } else { 0.01 });
        assert_eq!(measure(&mut bench, Rules::at_least(5)).unwrap().runs, 25);
        // Ten seconds a run: after the least number there is no time for more.
        let mut bench = fake(|run| if run % 2 == 0 { 20.0 } else { 10.0 });
        assert_eq!(measure(&mut bench, Rules::at_least(5)).unwrap().runs, 5);
        let mut bench = fake(|run| if run % 2 == 0 { 0.02 } else { 0.01 });
        assert_eq!(measure(&mut bench, Rules::at_least(40)).unwrap().runs, 40);
    }

    #[test]
    fn what_the_clock_cannot_tell_apart_is_timed_in_batches() {
        let mut bench = Fake { tick: 1e-3, law: |_| 0.4e-3, runs: 0 };
        let sample = measure(&mut bench, Rules::at_least(5)).unwrap();
        assert_eq!(sample.batch, 2500);
        assert_relative_eq!(sample.seconds.median, 0.4e-3, max_relative = 0.003);
        let mut bench = Fake { tick: 1e-6, law: |_| 0.25e-3, runs: 0 };
        assert_eq!(measure(&mut bench, Rules::at_least(5)).unwrap().batch, 4);
    }

    #[test]
    fn a_slow_first_run_does_not_hide_that_the_others_are_short() {
        let mut bench = Fake { tick: 1e-6, law: |run| if run == 0 { 1.0 } else { 2e-6 }, runs: 0 };
        let sample = measure(&mut bench, Rules::at_least(5)).unwrap();
        assert!((500..=501).contains(&sample.batch), "{}", sample.batch);
        assert_relative_eq!(sample.seconds.median, 2e-6, max_relative = 0.001);
    }

    /// A bench of a million items, each of which takes as long.
    struct Items {
        start: f64,
        each: f64,
        share: Fraction,
        items_run: u64,
    }

    impl Bench for Items {
        fn run(&mut self, times: usize) -> Result<Lap> {
            let items = self.share.of(1_000_000).end;
            self.items_run += items * times as u64;
            let seconds = (self.start + self.each * items as f64) * times as f64;
            Ok(Lap { seconds, busy: self.each * items as f64, items, bytes: 8 * items, workers: 1 })
        }
        fn tick(&self) -> f64 {
            1e-9
        }
    }

    impl Partly for Items {
        fn take(&mut self, share: Fraction) {
            self.share = share;
        }
    }

    #[test]
    fn an_estimate_is_what_all_would_take_and_runs_little_of_it() {
        for (start, each) in [(1e-3, 1e-6), (1e-5, 1e-4), (0.0, 1e-2)] {
            let mut bench = Items { start, each, share: Fraction::ALL, items_run: 0 };
            let sample = estimate(&mut bench, Fraction::ALL, start, 8_000_000).unwrap();
            assert_relative_eq!(sample.seconds.median, start + each * 1e6, max_relative = 1e-6);
            assert_relative_eq!(sample.lap.busy, each * 1e6, max_relative = 1e-6);
            assert_eq!((sample.lap.items, sample.lap.bytes), (1_000_000, 8_000_000));
            assert!(bench.items_run < 100_000, "{}", bench.items_run);
        }
        // What is all start-up has to be run as it is.
        let mut bench = Items { start: 1.0, each: 1e-9, share: Fraction::ALL, items_run: 0 };
        let sample = estimate(&mut bench, Fraction::first(1, 2), 1.0, 4_000_000).unwrap();
        assert_relative_eq!(sample.seconds.median, 1.0 + 500_000.0 * 1e-9, max_relative = 1e-9);
        assert_eq!(sample.lap.items, 500_000);
    }

    #[test]
    fn failures_are_passed_on() {
        struct Broken;
        impl Bench for Broken {
            fn run(&mut self, _times: usize) -> Result<Lap> {
                Err(Error::Failed("no".into()))
            }
            fn tick(&self) -> f64 {
                1e-9
            }
        }
        assert_eq!(measure(&mut Broken, Rules::at_least(5)).unwrap_err().to_string(), "no");
    }

    #[test]
    fn the_clock_ticks() {
        let tick = clock_tick();
        assert!(tick > 0.0 && tick < 0.1, "{tick}");
    }
}
