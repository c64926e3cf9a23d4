//! Which points a study has: patterns and numbers of workers, checked, from the command line or a job file.
//!
//! Pure, and made on rank 0 alone; the other ranks hear of one point after the other. Nothing is run here.

use crate::base::error::{Error, Result};
use crate::cli::{Shared, StudyArgs};
use crate::cmd::scale::measure::Rules;
use crate::cmd::scale::results::Theirs;
use crate::data::fraction::Fraction;
use crate::job::output::Output;
use crate::job::pattern::PatternName;
use crate::job::spec::ScaleSpec;
use crate::job::{Task, Unit};
use crate::node::cpus::MOST_WORKERS;

/// How one task is timed.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What the task is.
    pub title: String,
    /// What its items are called.
    pub unit: &'static str,
    /// In the order in which they are measured.
    pub spots: Vec<Spot>,
    /// As `--weak`.
    pub weak: bool,
    /// As `--quick`.
    pub quick: bool,
    /// The points of mpi among them; also when they are measured elsewhere.
    pub of_mpi: Vec<Spot>,
    /// Times from elsewhere.
    pub beside: Option<Theirs>,
}

/// A point that is to be measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spot {
    /// Who runs the blocks.
    pub pattern: PatternName,
    /// How many of them.
    pub workers: usize,
    /// How much of the work.
    pub share: Fraction,
}

impl Spot {
    /// Are its workers ranks?
    pub fn is_mpi(&self) -> bool {
        self.pattern == PatternName::Mpi
    }
}

impl Plan {
    /// How many ranks the points of mpi want at the most; 0 where there is none.
    pub fn ranks(&self) -> usize {
        self.of_mpi.iter().map(|spot| spot.workers).max().unwrap_or(0)
    }

    /// Keeps the points that this process measures: those of mpi, the others, or both.
    pub fn keep(&mut self, others: bool, mpi: bool) {
        self.spots.retain(|spot| if spot.is_mpi() { mpi } else { others });
    }
}

/// Where a study is made.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// CPUs that workers of this process may use.
    pub cpus: usize,
    /// Ranks of the MPI run that this is; 1 for none.
    pub ranks: usize,
}

/// How many samples of each point there are at least, unless `--repeat` says otherwise.
const LEAST: usize = 5;

impl Plan {
    /// The plan for `task`. What the command line says comes before what the job file says.
    ///
    /// # Errors
    /// A number of workers is none, or too many; a flag has no meaning for a study.
    pub fn of(task: &Task, args: &StudyArgs, flags: &Shared, place: Capacity) -> Result<Self> {
        let spec = &task.scale;
        let patterns = match (flags.pattern, &args.patterns[..], &spec.patterns[..]) {
            (Some(_), [_, ..], _) => {
                return Err(Error::Usage(
                    "--pattern and --patterns are the same here; give one of them".into(),
                ));
            }
            (Some(PatternName::Auto), ..) | (None, [], []) => default_patterns(place),
            (Some(one), ..) => vec![one],
            (None, [], spec) => spec.to_vec(),
            (None, args, _) => args.to_vec(),
        };
        if patterns.contains(&PatternName::Auto) {
            return Err(Error::Usage("--patterns: auto is whichever of the others suits; name those".into()));
        }
        let asked = flags.workers.as_ref().map_or(&spec.workers[..], |counts| &counts.0);
        let workers = match asked {
            [] => default_workers(if place.ranks > 1 { place.ranks } else { place.cpus }),
            asked => checked_workers(asked)?,
        };
        let weak = args.weak || spec.weak;
        if (weak || args.quick) && matches!(task.output, Output::File(..)) {
            return Err(Error::Usage(
                "-o: with --weak and --quick only parts of the input are run, and none is the result; leave it out".into(),
            ));
        }
        if task.keep_going {
            return Err(Error::Usage(
                "--keep-going: a study of items that fail times something else; leave them out of the input"
                    .into(),
            ));
        }
        if args.quick && flags.repeat.is_some() {
            return Err(Error::Usage("--repeat: a --quick estimate takes as many runs as it needs".into()));
        }
        if let Some(pattern) = patterns.iter().find(|p| matches!(p, PatternName::Process | PatternName::Pool))
            && place.ranks > 1
        {
            return Err(Error::Usage(format!(
                "--patterns {}: worker processes cannot be forked from an MPI rank; start parpy scale without mpirun, \
                 which the points of mpi then start themselves",
                pattern.name()
            )));
        }
        if patterns.contains(&PatternName::Mpi)
            && let Some(most) = workers.iter().max().filter(|most| place.ranks > 1 && **most > place.ranks)
        {
            return Err(Error::Usage(format!(
                "--workers {most}: there are only {} ranks; start more: mpirun -n {most} parpy scale …",
                place.ranks
            )));
        }
        if flags.threads.is_some() && !patterns.contains(&PatternName::Mpi) {
            return Err(Error::Usage(
                "--threads: it is for the ranks of mpi, which is not among the patterns".into(),
            ));
        }
        let is_single = |pattern| matches!(pattern, PatternName::Serial | PatternName::Simd);
        let most = match patterns.iter().all(|pattern| is_single(*pattern)) {
            true => 1,
            false => workers.iter().max().copied().unwrap_or(1) as u64,
        };
        let mut spots: Vec<Spot> = Vec::new();
        let beside = theirs(spec, patterns.first().copied())?;
        for pattern in patterns {
            let counts = if is_single(pattern) { &[1][..] } else { &workers[..] };
            // Of a hundred ranks on ten nodes nobody wants to see a hundred threads on one, unless they are asked
            // for.
            let pays = |workers: &usize| {
                !asked.is_empty() || pattern == PatternName::Mpi || *workers <= place.cpus.max(1)
            };
            for workers in counts.iter().copied().filter(pays) {
                let share = if weak { Fraction::first(workers as u64, most) } else { Fraction::ALL };
                let spot = Spot { pattern, workers, share };
                if !spots.contains(&spot) {
                    spots.push(spot);
                }
            }
        }
        Ok(Self {
            title: spec.title.clone().unwrap_or_else(|| task.title()),
            unit: match task.work.unit() {
                Unit::Values => "value",
                Unit::Bytes if task.work.pipe().is_some() => "section",
                Unit::Bytes => "line",
            },
            of_mpi: spots.iter().filter(|spot| spot.is_mpi()).copied().collect(),
            spots,
            weak,
            quick: args.quick,
            beside,
        })
    }
}

/// The times from elsewhere that a job file gives: one for each number of workers in it, of its first pattern,
/// or of `otherwise` where it names none.
fn theirs(spec: &ScaleSpec, otherwise: Option<PatternName>) -> Result<Option<Theirs>> {
    let (Some(beside), Some(pattern)) = (&spec.beside, spec.patterns.first().copied().or(otherwise)) else {
        return Ok(None);
    };
    let is_time = |seconds: &f64| *seconds > 0.0 && seconds.is_finite();
    if beside.seconds.len() != spec.workers.len() || !beside.seconds.iter().all(is_time) {
        return Err(Error::Usage(
            "beside.seconds: it has a time in seconds for each number of workers of the same table".into(),
        ));
    }
    let workers = spec.workers.iter().map(|n| usize::try_from(*n).unwrap_or(0));
    let points = workers.zip(beside.seconds.iter().copied()).collect();
    Ok(Some(Theirs { what: beside.what.clone(), pattern, points }))
}

/// The rules by which points are measured, where `--repeat` is `asked`.
pub fn rules(asked: Option<i64>) -> Rules {
    // What is less than 1 has been refused already.
    Rules::at_least(asked.map_or(LEAST, |n| n.max(1) as usize))
}

fn default_patterns(place: Capacity) -> Vec<PatternName> {
    use PatternName::{Mpi, Pool, Serial, Threads};
    if place.ranks > 1 { vec![Serial, Threads, Mpi] } else { vec![Serial, Threads, Pool] }
}

/// 1, 2, 4 and so on, and `most`.
fn default_workers(most: usize) -> Vec<usize> {
    let mut workers: Vec<usize> =
        std::iter::successors(Some(1), |n: &usize| n.checked_mul(2)).take_while(|n| *n < most).collect();
    workers.push(most.max(1));
    workers
}

fn checked_workers(asked: &[i64]) -> Result<Vec<usize>> {
    let check = |n: &i64| match usize::try_from(*n).ok().filter(|n| (1..=MOST_WORKERS).contains(n)) {
        Some(n) => Ok(n),
        None => Err(Error::Usage(format!("--workers {n}: a number of workers is from 1 to {MOST_WORKERS}"))),
    };
    let mut workers = asked.iter().map(check).collect::<Result<Vec<_>>>()?;
    workers.sort_unstable();
    workers.dedup();
    Ok(workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_by_default_double_up_to_all() {
        assert_eq!(default_workers(1), [1]);
        assert_eq!(default_workers(2), [1, 2]);
        assert_eq!(default_workers(6), [1, 2, 4, 6]);
        assert_eq!(default_workers(8), [1, 2, 4, 8]);
    }

    #[test]
    fn workers_are_sorted_and_checked() {
        assert_eq!(checked_workers(&[4, 1, 2, 4]).unwrap(), [1, 2, 4]);
        assert!(checked_workers(&[1, 0]).is_err());
        assert!(checked_workers(&[-1]).is_err());
        assert!(checked_workers(&[5000]).is_err());
    }
}
