//! Bars of speedups for the terminal: what [`super::plot`] draws, at a glance and as text.
//!
//! A bar for each pattern and number of workers, all of a study to one scale, with its value and a mark where
//! the ideal is. Nothing is measured or computed here, and nothing printed.

use super::plot::{Curve, StudyRow};

/// Bars in at most `width` columns, of blocks, or of ASCII alone. A speedup that is no number is a dash.
/// Where there is no room for bars there are only the values.
pub fn chart(rows: &[StudyRow], width: usize, ascii: bool) -> String {
    let letters = if ascii { &ASCII } else { &BLOCKS };
    let studies = rows.iter().map(|row| study(row, width, letters));
    studies.collect::<Vec<_>>().join("\n")
}

/// What bars are made of.
struct Letters {
    /// A cell of a bar from its first part to all of it, in equal steps.
    cell: &'static [char],
    /// At the ideal.
    ideal: char,
    /// In the last cell, where the ideal is beyond it.
    beyond: char,
}

const BLOCKS: Letters =
    Letters { cell: &['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'], ideal: '│', beyond: '›' };
const ASCII: Letters = Letters { cell: &['#'], ideal: '|', beyond: '>' };

/// Names are cut off after so many letters.
const NAME: usize = 20;
/// Bars of fewer cells say nothing.
const CELLS: usize = 4;

/// A line of the chart.
struct Bar {
    /// Empty on all lines of a curve but its first.
    name: String,
    workers: usize,
    /// Not negative; `None` where it is no number.
    speedup: Option<f64>,
}

fn study(row: &StudyRow, width: usize, letters: &Letters) -> String {
    let bars = row.curves.iter().flat_map(of_curve).collect::<Vec<_>>();
    let most = bars.iter().map(|bar| bar.workers).max().unwrap_or(0);
    // As far as there are CPUs, the ideal is to be seen.
    let ideal = if row.cpus > 0 { most.min(row.cpus) } else { most } as f64;
    let top = bars.iter().filter_map(|bar| bar.speedup).fold(ideal.max(1.0), f64::max);

    let values = bars.iter().map(|bar| bar.speedup.map_or_else(|| "-".to_owned(), value)).collect::<Vec<_>>();
    let name_width = bars.iter().map(|bar| bar.name.chars().count()).max().unwrap_or(0);
    let workers_width = most.to_string().len();
    let value_width = values.iter().map(String::len).max().unwrap_or(0);
    // With a space between any two.
    let cells = width.saturating_sub(name_width + workers_width + value_width + 3);

    let beyond = if most as f64 > top && cells >= CELLS {
        format!(" ({}: further on)", letters.beyond)
    } else {
        String::new()
    };
    let what = if row.weak { "scaled speedup" } else { "speedup" };
    let mut lines = vec![
        plain(&row.title),
        format!("{what} (times {}); {} the ideal{beyond}", row.reference, letters.ideal),
    ];
    for (Bar { name, workers, speedup }, value) in bars.iter().zip(values) {
        let count = if *workers > 0 { workers.to_string() } else { String::new() };
        let mut line = format!("{name:name_width$} {count:>workers_width$} ");
        if cells >= CELLS {
            let part = speedup.map_or(0.0, |speedup| speedup / top);
            line.extend(bar(part, *workers as f64 / top, cells, letters));
            line.push(' ');
        }
        lines.push(format!("{line}{value:>value_width$}"));
    }
    let cut = |line: &String| line.chars().take(width).collect::<String>() + "\n";
    lines.iter().map(cut).collect()
}

/// A curve's lines, with growing numbers of workers; one without a number where it has none.
fn of_curve(curve: &Curve) -> Vec<Bar> {
    let mut spots = curve.points.iter().filter(|spot| spot.workers > 0).collect::<Vec<_>>();
    spots.sort_by_key(|spot| spot.workers);
    let bar = |workers, speedup: f64| Bar {
        name: String::new(),
        workers,
        speedup: Some(speedup).filter(|speedup| speedup.is_finite() && *speedup >= 0.0),
    };
    let mut bars = spots.iter().map(|spot| bar(spot.workers, spot.speedup)).collect::<Vec<_>>();
    if bars.is_empty() {
        bars.push(bar(0, f64::NAN));
    }
    bars[0].name = plain(&curve.name).chars().take(NAME).collect();
    bars
}

/// `cells` cells, the first `part` of them full, with the mark at `ideal`: both parts of the whole, or more.
fn bar(part: f64, ideal: f64, cells: usize, letters: &Letters) -> Vec<char> {
    let steps = letters.cell.len();
    let full = ((part * (cells * steps) as f64).round() as usize).min(cells * steps);
    let mut bar = vec![' '; cells];
    for (i, cell) in bar.iter_mut().enumerate() {
        let steps = full.saturating_sub(i * steps).min(steps);
        if steps > 0 {
            *cell = letters.cell[steps - 1];
        }
    }
    if ideal > 1.0 {
        bar[cells - 1] = letters.beyond;
    } else if ideal > 0.0 {
        let place = (ideal * cells as f64).ceil() as usize;
        bar[place.clamp(1, cells) - 1] = letters.ideal;
    }
    bar
}

fn value(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        ..0.005 => format!("{number:.0e}"),
        ..100.0 => format!("{number:.2}"),
        ..1e6 => format!("{number:.0}"),
        _ => format!("{number:.1e}"),
    }
}

/// Without what would move the terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::plot::Spot;
    use super::*;

    fn curve(name: &str, speedups: &[(usize, f64)]) -> Curve {
        let spot = |&(workers, speedup): &(usize, f64)| Spot {
            workers,
            seconds: 1.0,
            low: 1.0,
            high: 1.0,
            speedup,
            efficiency: 1.0,
        };
        Curve { name: name.to_owned(), is_single: false, points: speedups.iter().map(spot).collect() }
    }

    fn row(curves: Vec<Curve>) -> StudyRow {
        StudyRow {
            title: "Squares".to_owned(),
            curves,
            weak: false,
            cpus: 2,
            reference: "serial".to_owned(),
            note: String::new(),
        }
    }

    #[test]
    fn bars_are_to_scale_with_the_ideal_marked() {
        let row = row(vec![
            curve("serial", &[(1, 1.0)]),
            curve("threads", &[(2, 1.9), (1, 0.97), (4, 2.0)]),
            curve("pool", &[(2, f64::NAN)]),
        ]);
        assert_eq!(
            chart(std::slice::from_ref(&row), 36, false),
            "Squares\n\
             speedup (times serial); │ the ideal \n\
             serial  1 ██████████│           1.00\n\
             threads 1 ██████████│           0.97\n        \
                     2 ████████████████████│ 1.90\n        \
                     4 ████████████████████› 2.00\n\
             pool    2                     │    -\n"
        );
        assert_eq!(
            chart(&[row], 60, true).lines().skip(1).take(4).collect::<Vec<_>>(),
            [
                "speedup (times serial); | the ideal (>: further on)",
                "serial  1 ######################|                       1.00",
                "threads 1 ######################|                       0.97",
                "        2 ########################################### | 1.90",
            ]
        );
    }

    #[test]
    fn odd_studies_have_charts_too() {
        assert_eq!(chart(&[], 80, false), "");
        let odd = StudyRow {
            weak: true,
            ..row(vec![curve("a\x1b[2J name that never ends", &[(2, 1000.0), (4, 1e-4)]), curve("none", &[])])
        };
        assert_eq!(
            chart(&[odd.clone(), row(vec![])], 44, true),
            "Squares\n\
             scaled speedup (times serial); | the ideal\n\
             a [2J name that neve 2 |############### 1000\n                     \
                                  4 |                1e-4\n\
             none                                       -\n\
             \n\
             Squares\n\
             speedup (times serial); | the ideal\n"
        );
        for width in 0..60 {
            assert!(
                chart(std::slice::from_ref(&odd), width, false).lines().all(|l| l.chars().count() <= width)
            );
        }
    }
}
