//! What a scaling study has found: its points, what follows from each, and the laws fitted to them.
//!
//! Plain data, as it is saved and read again. How it is measured is in [`super::measure`], what it means in
//! words in [`super::verdict`], how it is written in [`super::files`] and `table`.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::base::fmt::counted;
use crate::cmd::scale::law::{Law, Observation};
use crate::cmd::scale::measure::Quartiles;
use crate::cmd::scale::verdict::SAME;
use crate::job::pattern::PatternName;

/// The studies of one command: one for each task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Studies {
    /// Of parpy.
    pub parpy_version: String,
    /// Where rank 0 ran.
    pub host: String,
    /// When it began, in UTC.
    pub began: String,
    /// Every point has been tried.
    pub complete: bool,
    /// In the order of the tasks.
    pub studies: Vec<Study>,
}

/// One task with several patterns and numbers of workers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Study {
    /// What the task is.
    pub title: String,
    /// What its items are called, one of them.
    pub unit: String,
    /// The work grows with the workers.
    pub weak: bool,
    /// Times are estimates from a part of the input.
    pub quick: bool,
    /// CPUs that workers of this process may use.
    pub cpus: usize,
    /// In the order in which they were measured.
    pub points: Vec<Point>,
    /// Some of them again, at smaller and smaller parts of the input.
    #[serde(default)]
    pub probes: Vec<Probe>,
    /// One for each pattern that has points enough.
    pub laws: Vec<PatternLaw>,
    /// What it took to start the ranks, which is in no point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch: Option<Launch>,
    /// Times from elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<Theirs>,
    /// All in words.
    pub verdict: Vec<String>,
}

/// A pattern with a number of workers at a part of the input.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Who ran the blocks.
    pub pattern: PatternName,
    /// How many of them.
    pub workers: usize,
    /// The part is the first of so many.
    pub whole: u64,
    /// The median of a few runs.
    pub seconds: f64,
}

/// Times from elsewhere, to stand beside those of a pattern.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Theirs {
    /// Whose they are.
    pub what: String,
    /// The pattern.
    pub pattern: PatternName,
    /// Numbers of workers, and seconds.
    pub points: Vec<(usize, f64)>,
}

/// What it took mpirun to start ranks, and to end them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// How many.
    pub ranks: usize,
    /// Wall time without what they did in between.
    pub seconds: f64,
}

/// The law of one pattern.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PatternLaw {
    /// Whose it is.
    pub pattern: PatternName,
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub law: Law,
}

/// One pattern with one number of workers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Point {
    /// Who ran the blocks.
    pub pattern: PatternName,
    /// How many of them.
    pub workers: usize,
    /// How many of them had something to do.
    pub worked: usize,
    /// CPUs that they had.
    pub cpus: usize,
    /// How much of the work: 1 is all of it.
    pub work: f64,
    /// Values or lines.
    pub items: u64,
    /// Bytes of input.
    pub bytes: u64,
    /// How many samples the times are of.
    pub runs: usize,
    /// How many runs each sample is: more than one where the clock could not tell them apart.
    pub batch: usize,
    /// Seconds of one run; `None` where it has failed.
    pub seconds: Option<Quartiles>,
    /// Seconds of a run over next to no input.
    pub startup_seconds: Option<f64>,
    /// Seconds that all workers worked, together.
    pub busy_seconds: f64,
    /// Why there are no times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    #[serde(flatten)]
    #[allow(missing_docs)]
    pub found: Derived,
}

/// What follows from the times of a point and of the reference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Derived {
    /// The reference's time for the same work over this one's.
    pub speedup: Option<f64>,
    /// Speedup over workers.
    pub efficiency: Option<f64>,
    /// The serial fraction that explains the speedup: of strong scaling Karp and Flatt's (A. H. Karp, H. P.
    /// Flatt, 1990), of weak scaling Gustafson's. Not of one worker, nor of more workers than CPUs.
    pub serial_fraction: Option<f64>,
    /// Seconds of a worker's time that an item costs beyond start-up and work.
    pub overhead_per_item: Option<f64>,
    /// Items per second.
    pub items_per_second: Option<f64>,
    /// Bytes of input per second.
    pub bytes_per_second: Option<f64>,
}

impl Point {
    /// The median, where there is one.
    pub fn median(&self) -> Option<f64> {
        self.seconds.map(|seconds| seconds.median)
    }

    /// Are there more workers than CPUs for them?
    pub fn is_oversubscribed(&self) -> bool {
        self.workers > self.cpus
    }

    fn find(&self, reference: Option<(f64, f64)>, weak: bool) -> Derived {
        let Some(seconds) = self.median().filter(|seconds| *seconds > 0.0) else { return Derived::default() };
        let p = self.workers as f64;
        let speedup = reference.map(|(time, work)| time * (self.work / work) / seconds);
        let serial_fraction = speedup
            .filter(|_| self.workers > 1 && !self.is_oversubscribed())
            .map(|s| if weak { (p - s) / (p - 1.0) } else { (1.0 / s - 1.0 / p) / (1.0 - 1.0 / p) });
        let beyond = self.startup_seconds.map(|startup| p * (seconds - startup) - self.busy_seconds);
        Derived {
            speedup,
            efficiency: speedup.map(|s| s / p),
            serial_fraction,
            overhead_per_item: beyond.filter(|_| self.items > 0).map(|s| s.max(0.0) / self.items as f64),
            items_per_second: Some(self.items as f64 / seconds),
            bytes_per_second: Some(self.bytes as f64 / seconds),
        }
    }
}

impl Study {
    /// What the others are compared with: the fastest single worker, so that no pattern gets the credit for
    /// what one worker can do as well. Serial where it is as fast.
    pub fn reference(&self) -> Option<&Point> {
        let fastest = self.singles().min_by(compare)?;
        let as_fast = |p: &&Point| p.median() <= fastest.median().map(|median| (1.0 + SAME) * median);
        self.singles().find(|p| p.pattern == PatternName::Serial).filter(as_fast).or(Some(fastest))
    }

    /// The reference, and single workers that are nearly as fast: with less to do, one of them may be faster.
    pub fn fast_singles(&self) -> impl Iterator<Item = &Point> {
        let most = self.reference().and_then(Point::median).map_or(0.0, |median| (1.0 + 2.0 * SAME) * median);
        self.singles().filter(move |point| point.median().is_some_and(|median| median <= most))
    }

    fn singles(&self) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(|p| p.workers == 1 && p.median().is_some())
    }

    /// The fastest of a pattern's points with several workers, no more than there are CPUs where there are such.
    pub fn best_of_several(&self, pattern: PatternName) -> Option<&Point> {
        let several = || self.measured(pattern).filter(|p| p.workers > 1);
        several().filter(|p| !p.is_oversubscribed()).min_by(compare).or_else(|| several().min_by(compare))
    }

    /// The patterns in the order in which they were measured.
    pub fn patterns(&self) -> Vec<PatternName> {
        let mut patterns: Vec<PatternName> = Vec::new();
        for point in &self.points {
            if !patterns.contains(&point.pattern) {
                patterns.push(point.pattern);
            }
        }
        patterns
    }

    /// The share of all of the work at which `point` becomes as fast as any single worker, if it is faster at all
    /// of it: between two probes the ratio of the times is taken to follow a power of the work. `Err` with the
    /// smallest share that was probed where it is faster even there.
    pub fn break_even(&self, point: &Point) -> Option<Result<f64, f64>> {
        let single = self.reference()?;
        let ratio_at = |whole: u64| {
            let at = self.probes.iter().filter(move |probe| probe.whole == whole);
            let is_point = |probe: &&Probe| (probe.pattern, probe.workers) == (point.pattern, point.workers);
            let alone = at.clone().filter(|probe| probe.workers == 1).map(|probe| probe.seconds);
            Some(at.clone().find(is_point)?.seconds / alone.min_by(f64::total_cmp)?)
        };
        let mut above = (1.0, point.median()? / single.median()?);
        let mut wholes: Vec<u64> = self.probes.iter().map(|probe| probe.whole).collect();
        wholes.sort_unstable();
        wholes.dedup();
        for whole in wholes {
            let Some(ratio) = ratio_at(whole) else { continue };
            let below = (1.0 / whole as f64, ratio);
            if ratio >= 1.0 && above.1 < 1.0 {
                let part = above.1.ln() / (above.1.ln() - ratio.ln());
                return Some(Ok(above.0 * (below.0 / above.0).powf(part)));
            }
            above = below;
        }
        (above.0 < 1.0 && above.1 < 1.0).then_some(Err(above.0))
    }

    /// Those points of a pattern that have times.
    pub fn measured(&self, pattern: PatternName) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(move |p| p.pattern == pattern && p.median().is_some())
    }

    /// The law of a pattern, if one was found.
    pub fn law(&self, pattern: PatternName) -> Option<&Law> {
        self.laws.iter().find(|law| law.pattern == pattern).map(|law| &law.law)
    }

    /// The point as it is, or as a failure where the input was another one than that of the points before.
    pub fn checked(&self, point: Point) -> Point {
        // An estimate says only about how much there is.
        let same_work = |other: &&Point| !self.quick && other.median().is_some() && other.work == point.work;
        match self.points.iter().find(same_work) {
            Some(before) if (before.items, before.bytes) != (point.items, point.bytes) => Point {
                seconds: None,
                failed: Some(format!(
                    "the input has changed: it has {} and {} now, and had {} and {}",
                    counted(point.items, &self.unit),
                    counted(point.bytes, "byte"),
                    counted(before.items, &self.unit),
                    counted(before.bytes, "byte")
                )),
                ..point
            },
            _ => point,
        }
    }

    /// Works out what follows from the points that there are.
    pub fn conclude(&mut self) {
        let reference = self.reference().and_then(|point| Some((point.median()?, point.work)));
        let weak = self.weak;
        for point in &mut self.points {
            point.found = point.find(reference, weak);
        }
        let fit = |pattern| {
            let seen: Vec<Observation> = self.measured(pattern).flat_map(observations).collect();
            let cpus = self.measured(pattern).map(|point| point.cpus).max()?;
            Law::fit(&seen, cpus).map(|law| PatternLaw { pattern, law })
        };
        self.laws = self.patterns().into_iter().filter_map(fit).collect();
        self.verdict = super::verdict::of(self);
    }
}

/// The studies of the same thing in both; where each has but one, those.
pub fn pairs<'a>(before: &'a Studies, after: &'a Studies) -> Vec<(&'a Study, &'a Study)> {
    if let ([before], [after]) = (&before.studies[..], &after.studies[..]) {
        return vec![(before, after)];
    }
    let same =
        |after: &'a Study| Some((before.studies.iter().find(|study| study.title == after.title)?, after));
    after.studies.iter().filter_map(same).collect()
}

/// The faster first.
fn compare(a: &&Point, b: &&Point) -> Ordering {
    a.median().partial_cmp(&b.median()).unwrap_or(Ordering::Equal)
}

/// A point's time, and that of its start-up.
fn observations(point: &Point) -> Vec<Observation> {
    let Point { workers, work, .. } = *point;
    let of = |seconds: Option<f64>, work| seconds.map(|seconds| Observation { workers, work, seconds });
    let startup = point.startup_seconds.filter(|startup| *startup > 0.0);
    of(point.median(), work).into_iter().chain(of(startup, 0.0)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use approx::assert_relative_eq;

    use super::*;

    /// A point that took so long.
    pub fn point(pattern: PatternName, workers: usize, seconds: f64) -> Point {
        Point {
            pattern,
            workers,
            worked: workers,
            cpus: 2,
            work: 1.0,
            items: 1000,
            bytes: 8000,
            runs: 5,
            batch: 1,
            seconds: Some(Quartiles { low: seconds, median: seconds, high: seconds }),
            startup_seconds: Some(0.1),
            busy_seconds: 1.0,
            failed: None,
            found: Derived::default(),
        }
    }

    /// A study of these points.
    pub fn study(points: Vec<Point>) -> Study {
        let mut study = Study {
            title: "map square over 0..1000".into(),
            unit: "value".into(),
            weak: false,
            quick: false,
            cpus: 2,
            points,
            probes: Vec::new(),
            laws: Vec::new(),
            launch: None,
            beside: None,
            verdict: Vec::new(),
        };
        study.conclude();
        study
    }

    #[test]
    fn what_follows_from_the_times() {
        use PatternName::{Serial, Threads};
        let study = study(vec![
            point(Threads, 1, 2.0),
            point(Serial, 1, 1.2),
            point(Threads, 2, 0.8),
            point(Threads, 4, 0.9),
        ]);
        // The fastest single worker is the reference, though it was measured second.
        let found = study.points[2].found;
        assert_relative_eq!(found.speedup.unwrap(), 1.5);
        assert_relative_eq!(found.efficiency.unwrap(), 0.75);
        // (1/1.5 - 1/2) / (1 - 1/2)
        assert_relative_eq!(found.serial_fraction.unwrap(), 1.0 / 3.0);
        // (2 (0.8 - 0.1) - 1) / 1000
        assert_relative_eq!(found.overhead_per_item.unwrap(), 0.4e-3, epsilon = 1e-12);
        assert_relative_eq!(found.items_per_second.unwrap(), 1250.0);
        // Four workers on two CPUs say nothing about the work.
        assert_eq!(study.points[3].found.serial_fraction, None);
        assert!(study.points[3].is_oversubscribed());
    }

    #[test]
    fn the_reference_is_the_fastest_single_worker_and_serial_where_it_is_as_fast() {
        use PatternName::{Serial, Simd, Threads};
        let of = |simd| {
            let points = vec![point(Threads, 2, 0.1), point(Serial, 1, 1.0), point(Simd, 1, simd)];
            study(points).reference().unwrap().pattern
        };
        assert_eq!((of(0.5), of(0.97), of(1.2)), (Simd, Serial, Serial));
    }

    #[test]
    fn weak_scaling_counts_the_work_done() {
        let half = Point { work: 0.5, ..point(PatternName::Threads, 1, 1.0) };
        let mut study = study(vec![half, point(PatternName::Threads, 2, 1.25)]);
        study.weak = true;
        study.conclude();
        let found = study.points[1].found;
        // Twice the work in 1.25 times the time.
        assert_relative_eq!(found.speedup.unwrap(), 1.6);
        assert_relative_eq!(found.efficiency.unwrap(), 0.8);
        assert_relative_eq!(found.serial_fraction.unwrap(), 0.4);
    }

    #[test]
    fn without_a_single_worker_there_is_nothing_to_compare_with() {
        let study = study(vec![point(PatternName::Pool, 2, 1.0)]);
        assert!(study.reference().is_none());
        assert_eq!(study.points[0].found.speedup, None);
        assert!(study.points[0].found.items_per_second.is_some());
    }

    #[test]
    fn the_break_even_lies_between_the_probes() {
        use PatternName::{Serial, Threads};
        let mut study = study(vec![point(Serial, 1, 1.0), point(Threads, 2, 0.5)]);
        let of = |study: &Study| study.break_even(&study.points[1]);
        assert_eq!(of(&study), None);
        let probe = |pattern, workers, whole, seconds| Probe { pattern, workers, whole, seconds };
        study.probes = vec![probe(Serial, 1, 4, 0.25), probe(Threads, 2, 4, 0.2)];
        assert_eq!(of(&study), Some(Err(0.25)));
        // From 0.8 to 1.25: in the middle between a quarter and a sixteenth, by powers.
        study.probes.extend([probe(Serial, 1, 16, 0.08), probe(Threads, 2, 16, 0.1)]);
        assert_relative_eq!(of(&study).unwrap().unwrap(), 0.125, max_relative = 1e-9);
    }

    #[test]
    fn an_input_that_changes_is_noticed() {
        let study = study(vec![point(PatternName::Serial, 1, 1.0)]);
        let same = study.checked(point(PatternName::Threads, 2, 0.5));
        assert!(same.failed.is_none());
        let changed = study.checked(Point { items: 0, bytes: 0, ..point(PatternName::Threads, 2, 0.5) });
        assert!(
            changed
                .failed
                .unwrap()
                .contains("0 values and 0 bytes now, and had 1,000 values and 8,000 bytes")
        );
        // A part is another input.
        let half = study.checked(Point { work: 0.5, items: 500, ..point(PatternName::Threads, 1, 0.5) });
        assert!(half.failed.is_none());
    }

    #[test]
    fn points_that_failed_are_kept_and_count_for_nothing() {
        let failed = Point { seconds: None, failed: Some("no".into()), ..point(PatternName::Serial, 1, 1.0) };
        let study = study(vec![failed, point(PatternName::Threads, 1, 1.0)]);
        assert_eq!(study.reference().unwrap().pattern, PatternName::Threads);
        assert_eq!(study.points[0].found, Derived::default());
        assert!(study.law(PatternName::Serial).is_none());
    }
}
