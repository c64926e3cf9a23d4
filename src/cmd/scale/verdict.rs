//! What a study has found, in plain sentences: who is fastest, from how much work on several workers pay,
//! and what limits them.
//!
//! Every number comes from the points and the laws of [`super::results`]; nothing is measured here.

use crate::base::fmt::{counted, size, three_digits};
use crate::cmd::scale::measure::Quartiles;
use crate::cmd::scale::results::{Point, Study};
use crate::job::pattern::PatternName;
use crate::node::cpus::MOST_WORKERS;

/// Times that differ by less than this are called the same.
pub const SAME: f64 = 0.05;

/// Less than this of the work being serial is no limit worth naming.
const SERIAL: f64 = 0.02;

/// A law that is wrong by more than this on the average says nothing of other numbers of workers.
const SURE: f64 = 0.15;

/// The sentences, in the order of their weight.
pub fn of(study: &Study) -> Vec<String> {
    let mut said = Vec::new();
    match study.reference() {
        Some(_) if study.weak => said.extend(weak(study)),
        Some(reference) => said.extend(fastest(study, reference)),
        None if study.points.iter().any(|point| point.median().is_some()) => said.push(
            "Nothing was timed with one worker, so whether more are worth it cannot be said; add 1 to --workers."
                .into(),
        ),
        None => return said,
    }
    let each = |of: &dyn Fn(PatternName) -> Option<String>| -> Vec<String> {
        study.patterns().into_iter().filter_map(of).collect()
    };
    said.extend(each(&|pattern| pays(study, study.best_of_several(pattern)?, study.reference()?)));
    said.extend(each(&|pattern| too_many(study, pattern)));
    said.extend(each(&|pattern| fit(study, pattern)));
    if let Some(launch) = study.launch {
        said.push(format!(
            "Starting and ending {} by mpirun took {} more, which is in none of these times.",
            counted(launch.ranks as u64, "rank"),
            time(launch.seconds)
        ));
    }
    if let Some(batch) = study.points.iter().map(|point| point.batch).max().filter(|batch| *batch > 1) {
        said.push(format!(
            "Some runs were too short for the clock, and were timed in batches of up to {}.",
            counted(batch as u64, "run")
        ));
    }
    if study.quick {
        said.push("These are estimates from a part of the input; without --quick they are measured.".into());
    }
    said
}

/// Who is fastest: of those that are as fast, the one with the fewest workers.
fn fastest(study: &Study, reference: &Point) -> Option<String> {
    let measured = || study.points.iter().filter(|point| point.median().is_some());
    let least = measured().filter_map(Point::median).min_by(f64::total_cmp)?;
    let is_as_fast = |point: &&Point| point.median().is_some_and(|median| median <= (1.0 + SAME) * least);
    let best = measured().filter(is_as_fast).min_by_key(|point| point.workers)?;
    let amount = amount(study, best.items, best.bytes);
    let single = time(reference.median()?);
    Some(if best.workers == 1 {
        format!("For {amount} one worker is fastest: {}, {single}.", reference.pattern.name())
    } else {
        format!(
            "For {amount} {} is fastest: {}, {} as fast as the fastest single worker ({}, {single}).",
            best.name(),
            time(best.median()?),
            times(reference.median()? / best.median()?),
            reference.pattern.name(),
        )
    })
}

/// One sentence for each pattern: how it fares with the most workers that have a CPU each.
fn weak(study: &Study) -> Vec<String> {
    let of = |pattern| {
        let several = study.measured(pattern).filter(|p| p.workers > 1 && !p.is_oversubscribed());
        let most = several.max_by_key(|p| p.workers)?;
        Some(format!(
            "{} does {} the work of the fastest single worker in {} its time: an efficiency of {:.2}.",
            most.name(),
            times(most.workers as f64),
            times(1.0 / most.found.efficiency?),
            most.found.efficiency?
        ))
    };
    study.patterns().into_iter().filter_map(of).collect()
}

/// Whether the workers of `point` pay, compared with the single worker of `single`, and from how much work on.
fn pays(study: &Study, point: &Point, single: &Point) -> Option<String> {
    let name = point.name();
    let at_work = point.workers.min(point.cpus) as f64;
    let start = point.startup_seconds.unwrap_or(0.0);
    if at_work < 2.0 {
        return Some(format!("{name}: with one CPU nothing can be gained."));
    }
    if study.measured(point.pattern).all(|p| p.workers > 1) {
        return Some(format!(
            "{} was not timed with one worker, so whether more are worth it cannot be said; add 1 to --workers.",
            point.pattern.name()
        ));
    }
    let (items, bytes) = (point.items as f64 / point.work, point.bytes as f64 / point.work);
    let from = |share: f64| {
        // Each has something to do.
        let share = share.max(point.workers as f64 / items.max(1.0));
        about(study, items * share, bytes * share)
    };
    let (alone, together) = (single.per_work(), point.per_work());
    let noise = noise(point).max(noise(single));
    if alone - together > noise {
        return Some(match study.break_even(point) {
            Some(Ok(share)) => {
                format!("{name} pays from {} on: below, starting and handing out cost more.", from(share))
            }
            Some(Err(share)) => format!("{name} pays, even for {}.", from(share)),
            None => format!("{name} pays: {} of its {} is start-up.", time(start), time(point.median()?)),
        });
    }
    // If the work were shared without any loss.
    let work = (alone - single.startup_seconds.unwrap_or(0.0) / single.work).max(0.0);
    let cost = (start - single.startup_seconds.unwrap_or(0.0)).max(0.0);
    let ideal = cost / (work * (1.0 - 1.0 / at_work));
    let mut text = format!(
        "{name} does not pay here: {} against {}",
        time(point.median()?),
        time(single.median()? / single.work * point.work)
    );
    // Both are measured, and where there is next to nothing to do the start-up may come out as the longer one.
    if start <= point.median()? {
        text.push_str(&format!(", of which {} is start-up", time(start)));
    }
    text.push_str(&match ideal {
        share if share.is_finite() && share > 1.0 => {
            format!("; it can pay from {} on at the earliest.", from(share))
        }
        _ => "; a larger input may tell more.".to_owned(),
    });
    // Were each item to take longer, all else being the same.
    let handing = (together - start / point.work - point.busy_seconds / point.work / at_work).max(0.0);
    let each = (cost + handing) / items / (1.0 - 1.0 / at_work);
    let now = work / items;
    if each.is_finite() && each > 2.0 * now {
        let now = if now > 0.0 { format!(" instead of {}", time(now)) } else { String::new() };
        let these = counted(items.round() as u64, &study.unit);
        text.push_str(&format!(" For {these} it would, if each took {}{now}.", time(each)));
    }
    Some(text)
}

/// How much a point's time can be wrong by, in seconds of all of the work.
fn noise(point: &Point) -> f64 {
    let of = |seconds: Quartiles| (SAME * seconds.median).max((seconds.high - seconds.low) / 2.0);
    point.seconds.map_or(0.0, of) / point.work
}

/// What the law says of more workers with a CPU each; where it fits, and the work is what takes the time.
fn fit(study: &Study, pattern: PatternName) -> Option<String> {
    let law = study.law(pattern).filter(|law| law.error < SURE)?;
    let mut at_work: Vec<usize> = study.measured(pattern).map(|p| p.workers.min(p.cpus)).collect();
    at_work.sort_unstable();
    at_work.dedup();
    let work = law.serial + law.parallel;
    if at_work.len() < 3 || work < 0.5 * law.seconds(1, 1.0) {
        return None;
    }
    let name = pattern.name();
    let (best, speedup) = law.best(MOST_WORKERS);
    if speedup < 1.0 + SAME {
        return Some(format!(
            "{name}: the work gets no faster with more workers (one does it, or they share what limits it, such as \
             memory)."
        ));
    }
    let share = law.serial / work;
    let limits = match (share > SERIAL, law.overhead > 0.0) {
        (true, true) => format!(
            "{} of the work gets no faster with more workers, each of which takes {} to start",
            percent(share),
            time(law.overhead)
        ),
        (true, false) => format!("{} of the work gets no faster with more workers", percent(share)),
        (false, true) => format!("each further worker takes {} to start", time(law.overhead)),
        (false, false) => "nothing is seen that limits it".to_owned(),
    };
    let then = match best {
        MOST_WORKERS if share > SERIAL => {
            format!("they would never be more than {} as fast as one", times(1.0 / share))
        }
        MOST_WORKERS => "the more the better".to_owned(),
        _ => format!("{best} would be fastest, {} as fast as one", times(speedup)),
    };
    Some(format!("{name}, by the fit (within {}): {limits}; with a CPU for each {then}.", percent(law.error)))
}

/// Has anything been gained by more workers than CPUs?
fn too_many(study: &Study, pattern: PatternName) -> Option<String> {
    let least = |over: bool| {
        let points = study.measured(pattern).filter(move |p| p.is_oversubscribed() == over);
        points.min_by(|a, b| a.per_work().total_cmp(&b.per_work()))
    };
    let (within, over) = (least(false)?, least(true)?);
    let (on, ratio) = (counted(over.cpus as u64, "CPU"), within.per_work() / over.per_work());
    let both = match study.weak {
        true => format!(
            "{} against {} with {} for each worker's share",
            time(over.median()?),
            time(within.median()?),
            within.workers
        ),
        false => {
            format!("{} against {} with {}", time(over.median()?), time(within.median()?), within.workers)
        }
    };
    Some(if ratio < 1.0 + SAME {
        format!("{} on {on}: nothing is gained, they take turns ({both}).", over.name())
    } else {
        format!(
            "{} on {on}: {} as fast ({both}); they wait for something else than a CPU.",
            over.name(),
            times(ratio)
        )
    })
}

impl Point {
    /// `threads with 2 workers`.
    pub fn name(&self) -> String {
        format!("{} with {}", self.pattern.name(), counted(self.workers as u64, "worker"))
    }

    /// The median over the work done: of all of it.
    fn per_work(&self) -> f64 {
        self.median().unwrap_or(f64::INFINITY) / self.work
    }
}

/// So many values, or a file of so many bytes.
fn amount(study: &Study, items: u64, bytes: u64) -> String {
    match &*study.unit {
        "line" | "section" => format!("a file of {}", size(bytes as f64)),
        unit => counted(items, unit),
    }
}

/// The same, of which no more than two digits are known.
fn about(study: &Study, items: f64, bytes: f64) -> String {
    match &*study.unit {
        "line" | "section" => format!("a file of about {}", size(rough(bytes) as f64)),
        unit => format!("about {}", counted(rough(items), unit)),
    }
}

/// To two digits.
fn rough(number: f64) -> u64 {
    let unit = 10f64.powf(number.max(1.0).log10().floor() - 1.0).max(1.0);
    ((number / unit).round() * unit) as u64
}

/// A ratio to two digits behind the point, or, where it is small, to two digits.
pub fn ratio(number: f64) -> String {
    if number == 0.0 || number.abs() >= 0.095 {
        return format!("{number:.2}");
    }
    let decimals = (1.0 - number.abs().log10().floor()) as usize;
    format!("{number:.decimals$}")
}

/// Seconds in the unit that suits them, to three digits: `12.3 µs`.
pub fn time(seconds: f64) -> String {
    let (number, unit) = match seconds.abs() {
        s if s >= 1.0 => (seconds, "s"),
        s if s >= 1e-3 => (seconds * 1e3, "ms"),
        s if s >= 1e-6 => (seconds * 1e6, "µs"),
        _ => (seconds * 1e9, "ns"),
    };
    format!("{} {unit}", three_digits(number))
}

fn times(factor: f64) -> String {
    format!("{} times", three_digits(factor))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::scale::law::Law;
    use crate::cmd::scale::results::tests::{point, study};
    use crate::cmd::scale::results::{Launch, Probe};
    use crate::job::pattern::PatternName::{Pool, Serial, Threads};

    /// As a machine with two CPUs that obeys these laws would be measured.
    fn machine(work: f64, laws: &[(PatternName, Law)]) -> Study {
        let mut points = Vec::new();
        for (pattern, law) in laws {
            for workers in [1, 2, 4].into_iter().take(if *pattern == Serial { 1 } else { 3 }) {
                let mut point = point(*pattern, workers, law.seconds(workers, work));
                point.cpus = law.cpus;
                point.startup_seconds = Some(law.seconds(workers, 0.0));
                point.items = (1000.0 * work) as u64;
                point.bytes = 8 * point.items;
                point.busy_seconds = law.parallel * work;
                points.push(point);
            }
        }
        study(points)
    }

    fn law(startup: f64, overhead: f64, parallel: f64) -> Law {
        Law { startup, overhead, serial: 0.0, parallel, cpus: 2, error: 0.0 }
    }

    #[test]
    fn too_little_work_is_for_one_worker() {
        // 1 µs a value, 10 ms to start the pool of two: it can pay from 20 ms of work on, 20,000 values.
        let study = machine(1.0, &[(Serial, law(1e-6, 0.0, 1e-3)), (Pool, law(5e-3, 5e-3, 1e-3))]);
        assert_eq!(study.verdict[0], "For 1,000 values one worker is fastest: serial, 1.00 ms.");
        assert_eq!(
            study.verdict[1],
            "pool with 2 workers does not pay here: 10.5 ms against 1.00 ms, of which 10.0 ms is start-up; it can pay \
             from about 20,000 values on at the earliest. For 1,000 values it would, if each took 20.0 µs instead of \
             1.00 µs."
        );
        assert!(
            study.verdict[2].starts_with("pool with 4 workers on 2 CPUs: nothing is gained"),
            "{study:?}"
        );
        assert_eq!(study.verdict.len(), 3);
    }

    #[test]
    fn enough_work_is_for_several() {
        let mut study = machine(1000.0, &[(Serial, law(1e-6, 0.0, 1e-3)), (Threads, law(1e-3, 1e-3, 1e-3))]);
        assert_eq!(
            study.verdict[0],
            "For 1,000,000 values threads with 2 workers is fastest: 502 ms, 1.99 times as fast as the fastest single \
             worker (serial, 1.00 s)."
        );
        assert_eq!(study.verdict[1], "threads with 2 workers pays: 2.00 ms of its 502 ms is start-up.");
        // As many probes as it takes to see the point where both are as fast, 4,000 values.
        let probe = |pattern, workers, whole: u64| {
            let work = 1000.0 / whole as f64;
            let seconds = study.law(pattern).unwrap().seconds(workers, work / 1000.0);
            Probe { pattern, workers, whole, seconds }
        };
        study.probes = [4, 16, 64, 256, 1024]
            .iter()
            .flat_map(|n| [probe(Serial, 1, *n), probe(Threads, 2, *n)])
            .collect();
        study.conclude();
        assert_eq!(
            study.verdict[1],
            "threads with 2 workers pays from about 4,000 values on: below, starting and handing out cost more."
        );
    }

    #[test]
    fn without_one_worker_of_its_own_a_pattern_is_not_judged() {
        let study = study(vec![point(Serial, 1, 1.0), point(Threads, 2, 0.5)]);
        assert!(study.verdict[1].contains("add 1 to --workers"), "{study:?}");
    }

    #[test]
    fn of_those_that_are_as_fast_the_fewest_workers_are_named() {
        let study = study(vec![point(Serial, 1, 1.0), point(Threads, 2, 0.5), point(Threads, 4, 0.49)]);
        assert!(study.verdict[0].contains("threads with 2 workers is fastest"), "{study:?}");
        assert!(study.verdict.iter().any(|said| said.contains("nothing is gained")), "{study:?}");
    }

    #[test]
    fn what_costs_more_to_hand_out_than_to_do_does_not_pay() {
        let study = machine(100.0, &[(Serial, law(1e-6, 0.0, 1e-3)), (Pool, law(5e-3, 5e-3, 10e-3))]);
        assert!(study.verdict[1].contains("does not pay here: 510 ms against 100 ms"), "{study:?}");
        assert!(study.verdict[1].contains("a larger input may tell more"), "{study:?}");
    }

    #[test]
    fn one_cpu_is_enough_to_know() {
        let points = [(Serial, 1, 1.0), (Threads, 2, 1.1)]
            .map(|(pattern, workers, seconds)| Point { cpus: 1, ..point(pattern, workers, seconds) });
        let study = study(points.into());
        assert!(
            study.verdict.iter().any(|said| said.contains("with one CPU nothing can be gained")),
            "{study:?}"
        );
    }

    #[test]
    fn limits_and_launch_are_named() {
        let serial = Law { serial: 0.5, cpus: 4, ..law(1e-6, 0.0, 0.5) };
        let mut study = machine(1.0, &[(Serial, law(1e-6, 0.0, 1.0)), (Threads, serial)]);
        study.launch = Some(Launch { ranks: 4, seconds: 0.4 });
        study.conclude();
        let has = |text: &str| study.verdict.iter().any(|said| said.contains(text));
        assert!(has("threads, by the fit (within 0 %): 50 % of the work gets no faster"), "{study:?}");
        assert!(has("never be more than 2.00 times as fast as one"), "{study:?}");
        assert!(has("4 ranks by mpirun took 400 ms more"), "{study:?}");
    }

    #[test]
    fn the_law_says_how_many_workers_would_be_best() {
        // 100 / p + p - 1 is least at 10.
        let study = machine(
            1.0,
            &[(Serial, law(1e-6, 0.0, 100.0)), (Threads, Law { cpus: 4, ..law(1e-6, 1.0, 100.0) })],
        );
        let said = study.verdict.iter().find(|said| said.contains("by the fit")).unwrap();
        assert!(said.contains("each further worker takes 1.00 s to start"), "{said}");
        assert!(said.contains("10 would be fastest, 5.26 times as fast as one"), "{said}");
    }

    #[test]
    fn one_number_of_workers_says_nothing_of_others() {
        let study = study(vec![point(Serial, 1, 1.0), point(Threads, 2, 0.9)]);
        assert!(!study.verdict.iter().any(|said| said.contains("no faster")), "{study:?}");
    }

    #[test]
    fn without_a_single_worker_it_says_what_is_missing() {
        let study = study(vec![point(Pool, 2, 1.0)]);
        assert!(study.verdict[0].contains("add 1 to --workers"), "{study:?}");
    }

    #[test]
    fn numbers_in_words() {
        assert_eq!(time(1.5), "1.50 s");
        assert_eq!(time(0.0123), "12.3 ms");
        assert_eq!(time(123.4e-6), "123 µs");
        assert_eq!(time(5e-9), "5.00 ns");
        assert_eq!([ratio(1.234), ratio(0.123), ratio(0.00123)], ["1.23", "0.12", "0.0012"]);
        assert_eq!((rough(12345.6), rough(7.4), rough(0.2)), (12000, 7, 0));
    }
}
