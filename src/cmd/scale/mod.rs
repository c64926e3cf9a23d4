//! The scaling study: one job with several patterns and numbers of workers, and whether it was worth it.
//!
//! The story is here: plan the points ([`plan`]), measure them (`session`), which is to run each (`runner`, or
//! under an mpirun of its own `mpirun`) until its time is known ([`measure`]), fit a law to the times ([`law`]), say what follows
//! ([`results`], [`verdict`]), and show it (`table`, [`plot`], [`files`]). What a run does is the business of
//! the rest of parpy; here it is only timed.

pub mod chart;
pub mod files;
#[cfg(feature = "hdf5")]
pub(crate) mod hdf5;
pub mod law;
pub mod measure;
pub(crate) mod mpirun;
pub mod plan;
pub mod plot;
pub mod results;
mod runner;
mod session;
mod table;
pub mod verdict;

use std::io::IsTerminal;

use plan::{Capacity, Plan};
use results::{Point, Studies, Study};
use runner::Runner;
use session::{Session, cpus_here};

use crate::base::error::{Error, Result};
use crate::base::escape;
use crate::base::fmt::counted;
use crate::cli::{Cli, ScaleArgs, Shared, StudyArgs};
use crate::job::Job;
use crate::job::pattern::PatternName;
use crate::mpi::communicator::Communicator;
use crate::mpi::launch::Launch;
use crate::node::cpus::Cpus;

pub use table::compare;

/// Makes the studies that the command line asks for, and shows them: text for standard output, even of a
/// study that has failed or was stopped. On other ranks than 0 the text is empty.
///
/// # Errors
/// All points, or some, have failed; a file cannot be written; a signal asks for the end. What was measured
/// before is in the text, and in the file of `--save`.
pub fn run(
    cli: &Cli,
    args: &ScaleArgs,
    job: &mut Job,
    launch: &Launch,
    ranks: Option<&dyn Communicator>,
) -> (String, Result<()>) {
    let study = &args.study;
    let checked = check(cli, args).and_then(|()| match &args.from[..] {
        [] => Ok(Vec::new()),
        files => files.iter().map(|path| files::load(path)).collect::<Result<Vec<_>>>(),
    });
    match checked {
        Err(error) => (String::new(), Err(error)),
        Ok(loaded) if !loaded.is_empty() => show(&loaded, args),
        Ok(_) => measure_all(cli, study, job, launch, ranks),
    }
}

/// Are there ranks among what is to be timed?
pub fn wants_mpi(cli: &Cli, args: &ScaleArgs, job: &Job) -> bool {
    let of_tasks = job.tasks.iter().flat_map(|task| &task.scale.patterns);
    cli.shared.pattern.iter().chain(&args.study.patterns).chain(of_tasks).any(|p| *p == PatternName::Mpi)
}

/// Are the names of files right, and is nothing asked for that has no meaning?
fn check(cli: &Cli, args: &ScaleArgs) -> Result<()> {
    let StudyArgs { patterns, weak, quick, plot, save } = &args.study;
    save.as_deref().map_or(Ok(()), files::check_name)?;
    plot.as_deref().map_or(Ok(false), plot::is_png)?;
    let wrong = |why: &str| Err(Error::Usage(format!("--from: {why}")));
    let times = args.what.is_some() || args.job.is_some() || !patterns.is_empty() || *weak || *quick;
    match args.from.len() {
        0 => Ok(()),
        _ if times || cli.shared != Shared::default() => {
            wrong("it shows what was measured before, and times nothing: only --plot and --save go with it")
        }
        2 if save.is_some() => wrong("of two files beside each other there is nothing to save"),
        _ => Ok(()),
    }
}

/// Shows studies that have been made before.
fn show(loaded: &[Studies], args: &ScaleArgs) -> (String, Result<()>) {
    let name = |i: usize| escape::line(&args.from[i].display().to_string());
    match loaded {
        [before, after] => {
            let pairs = results::pairs(before, after);
            let names = [&*name(0), &*name(1)];
            if pairs.is_empty() {
                return (
                    String::new(),
                    Err(Error::Usage(format!(
                        "--from: {} and {} hold no study of the same title",
                        names[0], names[1]
                    ))),
                );
            }
            let text = pairs.iter().map(|(a, b)| table::compare(a, b, names)).collect::<Vec<_>>().join("\n");
            let text = escape::lines(&text);
            // Each study's curves of both, in one row.
            let both: Vec<_> = pairs.iter().map(|(a, b)| row_of_both(a, b, names)).collect();
            (text, args.study.plot.as_deref().map_or(Ok(()), |path| plot::draw(&both, path)))
        }
        [studies, ..] => {
            let saved = args.study.save.as_deref().map_or(Ok(()), |path| files::save(studies, path));
            (text(studies), saved.and_then(|()| draw(studies, &args.study)))
        }
        [] => (String::new(), Ok(())),
    }
}

/// Tables, charts and sentences.
pub fn text(studies: &Studies) -> String {
    let of = |study: &Study| {
        let chart = chart::chart(&[row(study, String::new())], CHART, !is_utf8());
        // Below the table its title need not be said again.
        let bars = chart.split_once('\n').map_or("", |(_, bars)| bars);
        format!("{}\n{bars}\n{}", table::of(study), table::verdict(study))
    };
    let mut text = studies.studies.iter().map(of).collect::<Vec<_>>().join("\n");
    if !studies.complete {
        text.push_str("\nThis was stopped before all of it was timed.\n");
    }
    // A saved study may be anybody's.
    escape::lines(&text)
}

/// Columns that a chart may take.
const CHART: usize = 72;

/// Can the terminal, or whoever reads it, show more than ASCII?
fn is_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .map(std::env::var)
        .into_iter()
        .find_map(|value| value.ok().filter(|value| !value.is_empty()));
    set.is_some_and(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

/// A study as it is drawn, with `note` below it.
pub fn row(study: &Study, note: String) -> plot::StudyRow {
    plot::StudyRow {
        title: study.title.clone(),
        curves: curves(study, ""),
        weak: study.weak,
        // Ranks may have others.
        cpus: study.points.iter().map(|point| point.cpus).max().unwrap_or(study.cpus),
        reference: study.reference().map_or("one worker", |point| point.pattern.name()).to_owned(),
        note,
    }
}

/// Two studies of the same thing in one picture.
fn row_of_both(before: &Study, after: &Study, names: [&str; 2]) -> plot::StudyRow {
    let mut row =
        row(after, format!("{} and {}; each speedup is over its own study's reference", names[0], names[1]));
    row.curves = curves(before, &format!(", {}", names[0]));
    row.curves.extend(curves(after, &format!(", {}", names[1])));
    row
}

/// A curve for each pattern, its name with `suffix`.
fn curves(study: &Study, suffix: &str) -> Vec<plot::Curve> {
    let spot = |point: &Point| {
        let seconds = point.seconds?;
        Some(plot::Spot {
            workers: point.workers,
            seconds: seconds.median,
            low: seconds.low,
            high: seconds.high,
            speedup: point.found.speedup.unwrap_or(f64::NAN),
            efficiency: point.found.efficiency.unwrap_or(f64::NAN),
        })
    };
    let curve = |pattern: PatternName| plot::Curve {
        name: format!("{}{suffix}", pattern.name()),
        is_single: matches!(pattern, PatternName::Serial | PatternName::Simd),
        points: study.measured(pattern).filter_map(spot).collect(),
    };
    study.patterns().into_iter().map(curve).collect()
}

fn draw(studies: &Studies, args: &StudyArgs) -> Result<()> {
    let Some(path) = &args.plot else { return Ok(()) };
    let note = |study: &Study| {
        let runs = study.points.iter().map(|point| point.runs).filter(|runs| *runs > 0).min().unwrap_or(0);
        format!(
            "parpy {} on {}, {}, {}; medians of at least {}, whiskers from quartile to quartile",
            studies.parpy_version,
            studies.host,
            counted(study.cpus as u64, "CPU"),
            studies.began,
            counted(runs as u64, "run")
        )
    };
    let rows: Vec<_> = studies.studies.iter().map(|study| row(study, note(study))).collect();
    plot::draw(&rows, path)
}

/// Plans the studies of all tasks, measures them, and shows them.
fn measure_all(
    cli: &Cli,
    args: &StudyArgs,
    job: &mut Job,
    launch: &Launch,
    ranks: Option<&dyn Communicator>,
) -> (String, Result<()>) {
    let mut tasks = std::mem::take(&mut job.tasks);
    // Asked of all of them.
    let cpus_of_ranks = ranks.map_or(1, Communicator::cpus);
    if let Some(ranks) = ranks.filter(|ranks| !ranks.is_root()) {
        return (String::new(), runner::follow(&mut tasks, job, ranks));
    }
    // A helper has the same plan as who has started it.
    let helper = mpirun::Helper::of_environment();
    let place = match &helper {
        Some(helper) => Capacity { cpus: helper.cpus, ranks: 1 },
        None => Capacity { cpus: cpus_here(launch), ranks: launch.ranks },
    };
    let plans: Result<Vec<Plan>> =
        tasks.iter().map(|task| Plan::of(task, args, &cli.shared, place)).collect();
    let mut plans = match plans {
        Ok(plans) => plans,
        Err(error) => {
            Runner::dismiss(ranks);
            return (String::new(), Err(error));
        }
    };
    let is_bound = place.ranks > 1 && place.cpus < Cpus::detect().logical_cpus;
    if is_bound && plans.iter().flat_map(|plan| &plan.spots).any(|spot| !spot.is_mpi() && spot.workers > 1) {
        tracing::warn!(
            "rank 0 is bound to {}, and the workers of other patterns than mpi are its own; to give them all CPUs: \
             mpirun --bind-to none (srun --cpu-bind=none)",
            counted(place.cpus as u64, "CPU")
        );
    }
    let under_mpirun = match ranks {
        Some(_) => 0,
        None => plans.iter().map(Plan::ranks).max().unwrap_or(0),
    };
    for plan in &mut plans {
        plan.keep(helper.is_none(), ranks.is_some());
    }
    let save = helper.as_ref().map_or(args.save.as_deref(), |helper| Some(&*helper.file));
    let studies = plans.iter().map(|plan| session::empty(plan, place)).collect();
    let mut session = Session::new(studies, save, plan::rules(cli.shared.repeat), cpus_of_ranks);
    session.is_helper = helper.is_some();
    // A batch job's log is to show how far it has come.
    session.says = !cli.talk.quiet && (std::io::stderr().is_terminal() || launch.is_of_launcher());
    let mut outcome = session.save().and_then(|()| session.points(&plans, &mut tasks, job, launch, ranks));
    Runner::dismiss(ranks);
    if outcome.is_ok() && under_mpirun > 0 {
        outcome = session.under_mpirun(under_mpirun, &plans);
    }
    session.studies.complete = outcome.is_ok();
    for study in &mut session.studies.studies {
        study.conclude();
    }
    let outcome = outcome.and(session.save()).and_then(|()| session.failures());
    if session.is_helper {
        return (String::new(), outcome);
    }
    if !session.studies.studies.iter().any(|study| study.points.iter().any(|p| p.median().is_some())) {
        return (String::new(), outcome);
    }
    (text(&session.studies), outcome.and(draw(&session.studies, args)))
}
