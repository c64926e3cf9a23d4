//! The measuring of a command's studies: point after point, probe after probe, each saved as soon as it is known.
//!
//! What a point is, is planned before; what it means is for [`super::results`] and [`super::verdict`].

use std::io::Write;
use std::path::Path;
use std::time::{Instant, SystemTime};

use super::measure::{self, Partly, Rules};
use super::plan::{Capacity, Plan, Spot};
use super::results::{self, Derived, Point, Probe, Studies, Study};
use super::runner::Runner;
use super::{files, mpirun, verdict};
use crate::base::blocking::Stderr;
use crate::base::error::{Error, Result};
use crate::base::fmt::counted;
use crate::base::signals;
use crate::base::time::utc;
use crate::data::fraction::Fraction;
use crate::job::pattern::PatternName;
use crate::job::{Job, Task};
use crate::mpi::communicator::Communicator;
use crate::mpi::launch::Launch;
use crate::node::cpus::{self, Cpus};
use crate::node::host::host;

/// A study of which nothing has been measured.
pub fn empty(plan: &Plan, place: Capacity) -> Study {
    Study {
        title: plan.title.clone(),
        unit: plan.unit.into(),
        weak: plan.weak,
        quick: plan.quick,
        cpus: place.cpus,
        points: Vec::new(),
        probes: Vec::new(),
        laws: Vec::new(),
        launch: None,
        beside: plan.beside.clone(),
        verdict: Vec::new(),
    }
}

/// The parts of the input that are probed: a quarter, a quarter of that, and so on.
const PROBES: [u64; 5] = [4, 16, 64, 256, 1024];

/// A part of fewer items is not probed.
const FEWEST: u64 = 64;

/// A command's studies as they come to be.
pub struct Session<'a> {
    /// What has been measured.
    pub studies: Studies,
    /// Where it is saved.
    save: Option<&'a Path>,
    /// It could be written once.
    was_saved: bool,
    /// Why it could not be written last time.
    unsaved: Option<Error>,
    /// When a point is known.
    rules: Rules,
    /// CPUs that all ranks together may use.
    cpus_of_ranks: usize,
    /// See [`measure::Bench::tick`].
    tick: f64,
    /// When all began.
    began: Instant,
    /// Another parpy has started this one for its points of mpi.
    pub is_helper: bool,
    /// Somebody watches.
    pub says: bool,
}

impl<'a> Session<'a> {
    /// Nothing has been measured.
    pub fn new(studies: Vec<Study>, save: Option<&'a Path>, rules: Rules, cpus_of_ranks: usize) -> Self {
        Self {
            studies: Studies {
                parpy_version: env!("CARGO_PKG_VERSION").into(),
                host: host(),
                began: utc(SystemTime::now()),
                complete: false,
                studies,
            },
            save,
            was_saved: false,
            unsaved: None,
            rules,
            cpus_of_ranks,
            tick: measure::clock_tick(),
            began: Instant::now(),
            is_helper: false,
            says: false,
        }
    }

    /// Measures all points of all plans here.
    ///
    /// # Errors
    /// A signal has come, or what is asked for is wrong. A point's own failure is kept with it.
    pub fn points(
        &mut self,
        plans: &[Plan],
        tasks: &mut [Task],
        job: &Job,
        launch: &Launch,
        ranks: Option<&dyn Communicator>,
    ) -> Result<()> {
        let (here, of_ranks) = (cpus_here(launch), self.cpus_of_ranks);
        for (number, (plan, task)) in plans.iter().zip(tasks).enumerate() {
            let threads = cpus::threads_of_rank(task.threads)?;
            let mut runner = Runner { number, task, job, ranks, tick: self.tick };
            for spot in &plan.spots {
                signals::check()?;
                // Of ranks with several threads so many at a time have CPUs.
                let cpus = if spot.is_mpi() { (of_ranks / threads).max(1) } else { here };
                let point = match self.point(plan, *spot, &mut runner, cpus) {
                    Err(error @ (Error::Usage(_) | Error::Interrupted(_))) => return Err(error),
                    Ok(point) => self.studies.studies[number].checked(point),
                    Err(error) => failed(*spot, error.to_string(), cpus),
                };
                self.say(&point);
                let study = &mut self.studies.studies[number];
                study.points.push(point);
                study.conclude();
                if self.is_helper {
                    // For the time that starting and ending the ranks took.
                    let seconds = self.began.elapsed().as_secs_f64();
                    study.launch = Some(results::Launch { ranks: launch.ranks, seconds });
                }
                self.save()?;
            }
            self.probe(number, plan, &mut runner)?;
        }
        Ok(())
    }

    /// Times the fastest single workers, and each pattern's best number of workers, at smaller and smaller parts of
    /// the input: from how much on several workers pay is measured, and not guessed from a single size.
    ///
    /// # Errors
    /// A signal has come.
    fn probe(&mut self, number: usize, plan: &Plan, runner: &mut Runner) -> Result<()> {
        let study = &self.studies.studies[number];
        let several = study.patterns().into_iter().filter_map(|pattern| study.best_of_several(pattern));
        let points: Vec<Point> = study.fast_singles().chain(several).cloned().collect();
        // Parts of an input whose size is not known before it is read cannot be taken.
        if plan.weak || plan.quick || !runner.can_be_shared() {
            return Ok(());
        }
        for point in points {
            let spot = Spot { pattern: point.pattern, workers: point.workers, share: Fraction::ALL };
            let probes = runner.with(spot, |trial| {
                let mut probes = Vec::new();
                for whole in PROBES.into_iter().take_while(|whole| point.items / whole >= FEWEST) {
                    signals::check()?;
                    trial.take(Fraction::first(1, whole));
                    let seconds = measure::measure(trial, Rules::hasty())?.seconds.median;
                    probes.push(Probe { pattern: point.pattern, workers: point.workers, whole, seconds });
                    // What is left is the start-up.
                    if seconds < 1.2 * point.startup_seconds.unwrap_or(0.0) {
                        break;
                    }
                }
                Ok(probes)
            });
            match probes {
                Ok(probes) => self.studies.studies[number].probes.extend(probes),
                Err(error @ Error::Interrupted(_)) => return Err(error),
                // The point itself has its time.
                Err(_) => {}
            }
        }
        self.studies.studies[number].conclude();
        self.save()
    }

    fn point(&self, plan: &Plan, spot: Spot, runner: &mut Runner, cpus: usize) -> Result<Point> {
        runner.with(spot, |trial| {
            let rules = if plan.quick { Rules::hasty() } else { self.rules };
            trial.take_start()?;
            let start = measure::measure(trial, rules)?.seconds.median;
            let sample = if plan.quick {
                let bytes = trial.bytes(spot.share)?;
                measure::estimate(trial, spot.share, start, bytes)?
            } else {
                trial.take(spot.share);
                measure::measure(trial, self.rules)?
            };
            if sample.lap.items == 0 {
                return Err(Error::Usage("there is nothing to time: the input is empty".into()));
            }
            Ok(Point {
                pattern: spot.pattern,
                workers: spot.workers,
                worked: sample.lap.workers,
                cpus,
                work: spot.share.fraction(),
                items: sample.lap.items,
                bytes: sample.lap.bytes,
                runs: sample.runs,
                batch: sample.batch,
                seconds: Some(sample.seconds),
                startup_seconds: Some(start),
                busy_seconds: sample.lap.busy,
                failed: None,
                found: Derived::default(),
            })
        })
    }

    /// Adds the points of mpi, which a parpy under mpirun measures.
    ///
    /// # Errors
    /// A signal has come. Any other failure is kept with the points that it has cost.
    pub fn under_mpirun(&mut self, ranks: usize, plans: &[Plan]) -> Result<()> {
        let before: Vec<usize> = self.studies.studies.iter().map(|study| study.points.len()).collect();
        let cpus = self.studies.studies.first().map_or(1, |study| study.cpus);
        let (launch, outcome) = mpirun::measure(ranks, cpus, |found| {
            for ((study, found), before) in self.studies.studies.iter_mut().zip(&found.studies).zip(&before) {
                study.points.truncate(*before);
                study.points.extend(found.points.iter().cloned());
                study.probes.retain(|probe| probe.pattern != PatternName::Mpi);
                study.probes.extend(found.probes.iter().copied());
                study.conclude();
            }
            self.save()
        });
        let why = match &outcome {
            Err(Error::Interrupted(signal)) => return Err(Error::Interrupted(*signal)),
            Err(error) => error.to_string(),
            Ok(_) => "mpirun has ended, and nothing was measured".to_owned(),
        };
        for ((study, plan), before) in self.studies.studies.iter_mut().zip(plans).zip(before) {
            let is_missing =
                |workers: usize| study.points[before..].iter().all(|point| point.workers != workers);
            let missing: Vec<Spot> =
                plan.of_mpi.iter().filter(|spot| is_missing(spot.workers)).copied().collect();
            study.points.extend(missing.into_iter().map(|spot| failed(spot, why.clone(), study.cpus)));
            study.launch = launch.filter(|_| plan.ranks() > 0);
            study.conclude();
        }
        self.save()
    }

    /// Saves what there is. A file that could be written before and now cannot costs the study nothing.
    ///
    /// # Errors
    /// It cannot be written, the first time.
    pub fn save(&mut self) -> Result<()> {
        let Some(path) = self.save else { return Ok(()) };
        match files::save(&self.studies, path) {
            Err(error @ (Error::Failed(_) | Error::CannotOpen(_))) if self.was_saved => {
                if self.unsaved.is_none() {
                    tracing::warn!("{error}; the study goes on");
                }
                self.unsaved = Some(error);
            }
            Err(error) => return Err(error),
            Ok(()) => (self.was_saved, self.unsaved) = (true, None),
        }
        Ok(())
    }

    /// Has something gone wrong that is kept with the points, or could the last of them not be saved?
    ///
    /// # Errors
    /// It has.
    pub fn failures(&mut self) -> Result<()> {
        if let Some(error) = self.unsaved.take() {
            return Err(error);
        }
        let points = self.studies.studies.iter().flat_map(|study| &study.points);
        let (mut count, mut failed) = (0, 0);
        let mut first = None;
        for point in points.clone() {
            count += 1;
            if let Some(why) = &point.failed {
                failed += 1;
                first = first.or_else(|| Some((point.name(), why)));
            }
        }
        let alike = |why: &String| points.clone().all(|point| point.failed.as_ref() == Some(why));
        match first {
            None => Ok(()),
            Some((_, why)) if alike(why) => Err(Error::Failed(why.clone())),
            Some((name, why)) => Err(Error::Failed(format!(
                "{failed} of {} {} no time; {}{name}: {why}",
                counted(count, "point"),
                if failed == 1 { "has" } else { "have" },
                if failed == 1 { "" } else { "the first: " }
            ))),
        }
    }

    fn say(&self, point: &Point) {
        if self.says {
            let how = match (&point.failed, point.median()) {
                (None, Some(median)) => verdict::time(median),
                _ => "failed".into(),
            };
            let _ = Stderr.write_all(format!("{}: {how}\n", point.name()).as_bytes());
        }
    }
}

fn failed(spot: Spot, why: String, cpus: usize) -> Point {
    Point {
        pattern: spot.pattern,
        workers: spot.workers,
        worked: 0,
        cpus,
        work: spot.share.fraction(),
        items: 0,
        bytes: 0,
        runs: 0,
        batch: 0,
        seconds: None,
        startup_seconds: None,
        busy_seconds: 0.0,
        failed: Some(why),
        found: Derived::default(),
    }
}

/// CPUs that this process may use while other ranks sleep.
pub fn cpus_here(launch: &Launch) -> usize {
    if launch.ranks == 1 { cpus::usable() } else { cpus::of_node(Cpus::detect().affinity) }
}
