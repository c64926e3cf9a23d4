//! A study as a table for people.

use crate::base::fmt::{counted, scaled, size};
use crate::base::{escape, table};
use crate::cmd::scale::measure::Quartiles;
use crate::cmd::scale::results::{Point, Study};
use crate::cmd::scale::verdict::{ratio, time};

/// Heading, table, what it stands beside, and the verdict.
pub fn of(study: &Study) -> String {
    let mut text = heading(study) + "\n\n" + &points(study) + "\n";
    if study.points.iter().any(Point::is_oversubscribed) {
        text.push_str("* more workers than CPUs: they take turns\n");
    }
    for point in study.points.iter().filter(|point| point.median().is_some()) {
        if point.worked < point.workers {
            text.push_str(&format!("{}: {} had something to do\n", point.name(), point.worked));
        }
    }
    for point in &study.points {
        if let Some(why) = &point.failed {
            text.push_str(&format!("{} has failed: {}\n", point.name(), escape::line(why)));
        }
    }
    text.push_str(&beside(study));
    text
}

/// The sentences, one a line.
pub fn verdict(study: &Study) -> String {
    study.verdict.iter().map(|said| escape::line(said) + "\n").collect()
}

fn heading(study: &Study) -> String {
    let most = study.points.iter().filter(|point| point.median().is_some()).max_by_key(|point| point.items);
    let amount = most.map_or(String::new(), |point| {
        format!(": {}, {}", counted(point.items, &study.unit), size(point.bytes as f64))
    });
    let runs = study.points.iter().filter(|p| p.median().is_some()).map(|point| point.runs);
    let runs = match (runs.clone().min(), runs.max()) {
        (Some(least), Some(most)) if least < most => format!("; medians of {least} to {most} runs"),
        (Some(runs), _) => format!("; medians of {}", counted(runs as u64, "run")),
        _ => String::new(),
    };
    let kind = match (study.weak, study.quick) {
        (true, _) => "; weak scaling",
        (_, true) => "; estimates",
        _ => "",
    };
    let cpus = counted(study.cpus as u64, "CPU");
    escape::line(&format!("{}{amount}; {cpus}{runs}{kind}", study.title))
}

fn points(study: &Study) -> String {
    let is_file = study.unit != "value";
    let mut table = table::headed(
        &[
            "pattern",
            "workers",
            "time",
            "spread",
            "speedup",
            "efficiency",
            "serial",
            "start-up",
            "overhead",
            if is_file { "bytes/s" } else { "values/s" },
        ],
        &[0],
    );
    for point in &study.points {
        let mark = if point.is_oversubscribed() { "*" } else { "" };
        let mut row = vec![point.pattern.name().to_owned(), format!("{}{mark}", point.workers)];
        if point.failed.is_some() {
            row.push("failed".into());
            table.add_row(row);
            continue;
        }
        let found = &point.found;
        let number = |n: Option<f64>| n.map_or("-".into(), ratio);
        row.extend([
            point.median().map_or("-".into(), time),
            point
                .seconds
                .map_or("-".into(), |seconds| format!("{:.0} %", 100.0 * Quartiles::spread(&seconds))),
            number(found.speedup),
            number(found.efficiency),
            match found.serial_fraction {
                Some(more) if more > 1.0 => ">1".into(),
                fraction => number(fraction),
            },
            point.startup_seconds.map_or("-".into(), time),
            found.overhead_per_item.map_or("-".into(), time),
            if is_file { found.bytes_per_second } else { found.items_per_second }.map_or("-".into(), |n| {
                let (number, unit) = scaled(n, ["", " k", " M", " G", " T"]);
                number + unit
            }),
        ]);
        table.add_row(row);
    }
    table::text(&table)
}

/// Times from elsewhere, and those of the same pattern beside them.
fn beside(study: &Study) -> String {
    let Some(theirs) = &study.beside else { return String::new() };
    let mut table = table::headed(
        &["workers", &escape::line(&theirs.what), &format!("parpy, {}", theirs.pattern.name()), "ratio"],
        &[],
    );
    for (workers, seconds) in &theirs.points {
        let median = study.measured(theirs.pattern).find(|p| p.workers == *workers).and_then(Point::median);
        table.add_row(vec![
            workers.to_string(),
            time(*seconds),
            median.map_or("-".into(), time),
            median.map_or("-".into(), |median| ratio(median / seconds)),
        ]);
    }
    format!("\n{}\n", table::text(&table))
}

/// Two studies of the same thing, one beside the other.
pub fn compare(before: &Study, after: &Study, names: [&str; 2]) -> String {
    let mut table = table::headed(&["pattern", "workers", names[0], names[1], "ratio"], &[0]);
    let is_same = |a: &Point, b: &Point| (a.pattern, a.workers) == (b.pattern, b.workers);
    let gone = before.points.iter().filter(|old| !after.points.iter().any(|new| is_same(old, new)));
    for point in after.points.iter().chain(gone) {
        let of = |study: &Study| study.points.iter().find(|p| is_same(p, point)).and_then(Point::median);
        let (old, new) = (of(before), of(after));
        table.add_row(vec![
            point.pattern.name().to_owned(),
            point.workers.to_string(),
            old.map_or("-".into(), time),
            new.map_or("-".into(), time),
            old.zip(new).map_or("-".into(), |(old, new)| ratio(new / old)),
        ]);
    }
    let title = |study: &Study| {
        let weak = if study.weak { " (weak scaling)" } else { "" };
        format!("{}{weak}", escape::line(&study.title))
    };
    let mut text = title(after);
    if title(before) != text {
        text = format!("Not of the same thing:\n{}: {}\n{}: {text}", names[0], title(before), names[1]);
    }
    format!("{text}\n\n{}\n", table::text(&table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::scale::results::Theirs;
    use crate::cmd::scale::results::tests::{point, study};
    use crate::job::pattern::PatternName::{Pool, Serial, Threads};

    #[test]
    fn the_table_of_a_known_study() {
        let failed =
            Point { seconds: None, failed: Some("cannot open x; do y".into()), ..point(Threads, 8, 1.0) };
        let mut study =
            study(vec![point(Serial, 1, 1.2), point(Threads, 2, 0.8), point(Threads, 4, 0.9), failed]);
        let points = vec![(1, 2.4), (3, 2.0)];
        study.beside = Some(Theirs { what: "theirs".into(), pattern: Serial, points });
        assert_eq!(
            of(&study),
            "\
map square over 0..1000: 1,000 values, 8.00 kB; 2 CPUs; medians of 5 runs

pattern  workers    time  spread  speedup  efficiency  serial  start-up  overhead  values/s
serial         1  1.20 s     0 %     1.00        1.00       -    100 ms    100 µs       833
threads        2  800 ms     0 %     1.50        0.75    0.33    100 ms    400 µs    1.25 k
threads       4*  900 ms     0 %     1.33        0.33       -    100 ms   2.20 ms    1.11 k
threads       8*  failed
* more workers than CPUs: they take turns
threads with 8 workers has failed: cannot open x; do y

workers  theirs  parpy, serial  ratio
      1  2.40 s         1.20 s   0.50
      3  2.00 s              -      -
"
        );
    }

    #[test]
    fn two_studies_side_by_side() {
        let before = study(vec![point(Serial, 1, 2.0), point(Pool, 2, 3.0)]);
        let after = study(vec![point(Serial, 1, 1.0), point(Threads, 2, 0.5)]);
        assert_eq!(
            compare(&before, &after, ["old.json", "new.json"]),
            "\
map square over 0..1000

pattern  workers  old.json  new.json  ratio
serial         1    2.00 s    1.00 s   0.50
threads        2         -    500 ms      -
pool           2    3.00 s         -      -
"
        );
    }
}
