//! Pictures of scaling studies, to show to others: SVG, written here as text, and PNG, made of that very SVG.
//!
//! A study is a row of three panels: speedup, efficiency and time, against the number of workers. Everything
//! is told by shape as well as by colour, so that it can be read in black and white. Nothing is measured or
//! computed here; what cannot be drawn (no number, none or less than nothing, beyond [`LARGEST`]) is left
//! out. [`super::chart`] shows speedups in a terminal.

mod axis;

use std::collections::BTreeSet;
use std::path::Path;

use axis::Axis;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use crate::base::atomic_file;
use crate::base::error::{Error, Result};

/// One pattern's points of a study.
#[derive(Debug, Clone)]
pub struct Curve {
    /// The pattern.
    pub name: String,
    /// It can only ever have one worker, and is drawn beside any number of others.
    pub is_single: bool,
    /// In any order.
    pub points: Vec<Spot>,
}

/// One number of workers.
#[derive(Debug, Clone, Copy)]
pub struct Spot {
    /// How many.
    pub workers: usize,
    /// Seconds of one run: the median.
    pub seconds: f64,
    /// The lower quartile of the seconds.
    pub low: f64,
    /// The upper quartile of the seconds.
    pub high: f64,
    /// How many times as fast as serial; scaled, for weak scaling.
    pub speedup: f64,
    /// The speedup of each worker.
    pub efficiency: f64,
}

/// One study: a row of three panels.
#[derive(Debug, Clone)]
pub struct StudyRow {
    /// Stands above it.
    pub title: String,
    /// In the order of the legend.
    pub curves: Vec<Curve>,
    /// Weak scaling: the work grows with the workers.
    pub weak: bool,
    /// How many CPUs there were to use.
    pub cpus: usize,
    /// What speedups are times of.
    pub reference: String,
    /// Where and how it was measured; stands below it, small.
    pub note: String,
}

/// Numbers beyond this are left out, and so are those below its inverse: not what anyone measures.
pub const LARGEST: f64 = 1e12;

/// Is it to be PNG, and not SVG, as the name's ending has it?
///
/// # Errors
/// It is neither `.svg` nor `.png`.
pub fn is_png(path: &Path) -> Result<bool> {
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    match ending.to_str() {
        Some("svg") => Ok(false),
        Some("png") => Ok(true),
        _ => Err(Error::Usage(format!(
            "cannot draw {}: pictures are .svg or .png; give it a name that ends so",
            path.display()
        ))),
    }
}

/// Draws `rows` below one another into the file `path`, which is SVG or PNG by its ending.
///
/// # Errors
/// Another ending, no rows, or the file cannot be written.
pub fn draw(rows: &[StudyRow], path: &Path) -> Result<()> {
    let is_png = is_png(path)?;
    let failed = |why: String| Error::Failed(format!("cannot draw {}: {why}", path.display()));
    if rows.is_empty() {
        return Err(failed("nothing was measured".to_owned()));
    }
    if is_png && rows.len() > MOST_OF_PNG {
        let why = format!("a PNG holds {MOST_OF_PNG} studies, and there are {}; .svg holds all", rows.len());
        return Err(failed(why));
    }
    let svg = svg(rows);
    let bytes = if is_png { png(&svg).map_err(failed)? } else { svg.into_bytes() };
    atomic_file::save(path, |file| file.write_all(&bytes))
}

/// Studies in a PNG at the most: each takes some 23 MB while it is drawn.
const MOST_OF_PNG: usize = 20;

/// A row's width, in an SVG's units.
const WIDTH: f64 = 1500.0;
/// A row's height.
const HEIGHT: f64 = 480.0;
/// A PNG's pixels to a unit: two stay sharp on a large screen.
const FINE: f32 = 2.0;
/// What stays white at the left and at the right.
const MARGIN: f64 = 20.0;

/// Sizes of letters.
const TITLE: f64 = 22.0;
const LABEL: f64 = 16.0;
const TICK: f64 = 14.0;
const NOTE: f64 = 13.0;

const INK: &str = "#1e1e1e";
const GREY: &str = "#6e6e6e";
const GRID: &str = "#e2e2e2";

/// Lengths of dashes and gaps in turn, of most lines, of the ideal and of the line at the number of CPUs.
const SOLID: &str = "none";
const IDEAL: &str = "7 5";
const CPUS: &str = "1.8 3.6";

/// How a curve looks.
struct Look {
    colour: &'static str,
    /// A path about where the pen stands.
    marker: &'static str,
    dashes: &'static str,
}

const CROSS: &str = "m3-6l3 3l-3 3l3 3l-3 3l-3-3l-3 3l-3-3l3-3l-3-3l3-3l3 3z";
const PLUS: &str = "m-2.1-6.6h4.2v4.5h4.5v4.2h-4.5v4.5h-4.2v-4.5h-4.5v-4.2h4.5z";

/// Dark colours of distinct lightness. Neighbours differ most; after the last it begins anew.
const LOOKS: [Look; 7] = [
    Look { colour: "#000000", marker: "m-5.5 0a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0-11 0z", dashes: SOLID },
    Look { colour: "#cd5f05", marker: "m-5-5h10v10h-10z", dashes: SOLID },
    Look { colour: "#00428e", marker: "m0-6.9l6.3 11.3h-12.6z", dashes: "11 4" },
    Look { colour: "#1e8c3c", marker: "m0-7.2l7.2 7.2l-7.2 7.2l-7.2-7.2z", dashes: "5 3" },
    Look { colour: "#3c0064", marker: CROSS, dashes: "13 4 3 4" },
    Look { colour: "#b41926", marker: "m0 6.9l6.3-11.3h-12.6z", dashes: "18 5" },
    Look { colour: "#1eb2be", marker: PLUS, dashes: "8 3 3 3 3 3" },
];

/// The text of an SVG picture.
pub fn svg(rows: &[StudyRow]) -> String {
    let height = HEIGHT * rows.len() as f64;
    let titles = rows.iter().map(|row| escaped(&row.title)).collect::<Vec<_>>().join("; ");
    let mut canvas = Canvas(format!(
        "<svg xmlns='http://www.w3.org/2000/svg' role='img' width='{WIDTH}' height='{height}' \
         viewBox='0 0 {WIDTH} {height}' font-family='sans-serif' fill='none'>\n<title>{titles}</title>\n\
         <rect width='{WIDTH}' height='{height}' fill='#ffffff'/>\n"
    ));
    for (i, row) in rows.iter().enumerate() {
        canvas.0 += &format!("<g transform='translate(0 {})'>\n", HEIGHT * i as f64);
        canvas.row(row);
        canvas.0 += "</g>\n";
    }
    canvas.0 + "</svg>\n"
}

/// An SVG as it becomes pixels, with a font of its own: a cluster's nodes have none.
fn parsed(svg: &str) -> std::result::Result<Tree, String> {
    let mut options = Options::default();
    options.fontdb_mut().load_font_data(dejavu::sans::regular().to_vec());
    options.fontdb_mut().set_sans_serif_family("DejaVu Sans");
    Tree::from_str(svg, &options).map_err(|error| error.to_string())
}

fn png(svg: &str) -> std::result::Result<Vec<u8>, String> {
    let tree = parsed(svg)?;
    let (width, height) = (tree.size().width() * FINE, tree.size().height() * FINE);
    let mut pixels = Pixmap::new(width as u32, height as u32).ok_or("it is too large for a PNG")?;
    resvg::render(&tree, Transform::from_scale(FINE, FINE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| error.to_string())
}

/// What a panel shows.
#[derive(Clone, Copy)]
enum Panel {
    Speedup,
    Efficiency,
    Time,
}

const PANELS: [Panel; 3] = [Panel::Speedup, Panel::Efficiency, Panel::Time];

/// A place in units, from the left and from the top of a row.
type Position = (f64, f64);

/// Where text has its place, if not at its beginning.
const MIDDLE: &str = " text-anchor='middle'";
const END: &str = " text-anchor='end'";

/// An SVG as far as it is written.
struct Canvas(String);

impl Canvas {
    fn row(&mut self, row: &StudyRow) {
        let room = WIDTH - 2.0 * MARGIN;
        self.text(&fitting(&row.title, TITLE, room), (MARGIN, 25.0), TITLE, INK, "");
        self.text(&fitting(&row.note, NOTE, room), (MARGIN, HEIGHT - 14.0), NOTE, GREY, "");
        let top = self.legend(row) + 34.0;
        for (i, panel) in PANELS.into_iter().enumerate() {
            let left = MARGIN + room / 3.0 * i as f64;
            self.panel(row, panel, (left, top), (left + room / 3.0 - 14.0, HEIGHT - 80.0));
        }
    }

    /// Draws the legend, in as many lines as it takes; returns where the last is.
    fn legend(&mut self, row: &StudyRow) -> f64 {
        const SWATCH: f64 = 46.0;
        let (mut x, mut y) = (MARGIN, 56.0);
        let name = |curve: &Curve| match PANELS.iter().all(|panel| points(curve, *panel).is_empty()) {
            true => format!("{} (no points)", curve.name),
            false => curve.name.clone(),
        };
        let looks = LOOKS.iter().cycle().map(Some);
        let curves = row.curves.iter().map(name).zip(looks);
        for (name, look) in curves.chain([("ideal".to_owned(), None)]) {
            let name = fitting(&name, LABEL, WIDTH / 2.0);
            let length = SWATCH + 8.0 + length(&name, LABEL);
            if x > MARGIN && x + length > WIDTH - MARGIN {
                (x, y) = (MARGIN, y + 24.0);
            }
            let (colour, width, dashes) = look.map_or((GREY, 1.5, IDEAL), |l| (l.colour, 2.0, l.dashes));
            self.line(&[(x, y), (x + SWATCH, y)], colour, width, dashes);
            if let Some(look) = look {
                self.marker((x + SWATCH / 2.0, y), look);
            }
            self.text(&name, (x + SWATCH + 8.0, y), LABEL, INK, "");
            x += length + 28.0;
        }
        y
    }

    /// Draws a panel: what its axes enclose has two of these corners, and their labels are at the left of it
    /// and below it.
    fn panel(&mut self, row: &StudyRow, panel: Panel, (edge, top): Position, (right, bottom): Position) {
        // All panels have the same workers, also where one has no number for them.
        let all = row.curves.iter().flat_map(|curve| PANELS.map(|panel| points(curve, panel)));
        let workers = all.flatten().map(|point| point.0).collect::<BTreeSet<usize>>();
        let most = workers.last().copied().unwrap_or(1);
        let beyond = (1..most).contains(&row.cpus).then_some(row.cpus);
        // The ideal is shown as far as there are CPUs, and the line at their number always.
        let ideal = beyond.unwrap_or(most) as f64;
        let fewest = workers.first().map_or(1.0, |fewest| ideal.min(*fewest as f64));
        let mut across = Axis::of_workers(&workers, fewest, most as f64);
        let curves = row.curves.iter().map(|curve| points(curve, panel)).collect::<Vec<_>>();
        let numbers = curves.iter().flatten().flat_map(|point| point.1).collect::<Vec<_>>();
        let top_of = |least: f64, part: f64| numbers.iter().fold(least, |top, number| top.max(number * part));
        let (name, up, ideal) = match panel {
            Panel::Speedup => {
                let up = match across.is_log {
                    true => Axis::log(&[&numbers[..], &[fewest, ideal]].concat(), false),
                    false => Axis::linear(top_of(ideal, 1.0) * 1.15),
                };
                let name =
                    format!("{}speedup (times {})", if row.weak { "scaled " } else { "" }, row.reference);
                // Both axes are of one kind, so the line is straight.
                let ends = [across.low.max(up.low), across.high.min(up.high)];
                (name, up, ends.map(|both| (both, both)).to_vec())
            }
            Panel::Efficiency => {
                let ends = [(across.low, 1.0), (across.high, 1.0)];
                ("efficiency".to_owned(), Axis::linear(top_of(1.1, 1.05)), ends.to_vec())
            }
            Panel::Time => ("time of one run".to_owned(), Axis::log(&numbers, true), vec![]),
        };
        let left = edge + 40.0 + up.ticks.iter().map(|(_, label)| length(label, TICK)).fold(0.0, f64::max);
        across.thin_out(|label| (length(label, TICK) + 8.0) / (right - left));
        let place =
            |x: f64, y: f64| (left + (right - left) * across.part(x), bottom - (bottom - top) * up.part(y));
        let (middle, half_way) = (f64::midpoint(left, right), f64::midpoint(top, bottom));

        self.frame(&across, &up, (left, top), (right, bottom));
        self.text("workers", (middle, bottom + 42.0), LABEL, INK, MIDDLE);
        let turned = format!("{MIDDLE} transform='rotate(-90 {:.2} {half_way:.2})'", edge + 9.0);
        self.text(&fitting(&name, LABEL, bottom - top), (edge + 9.0, half_way), LABEL, INK, &turned);
        if numbers.is_empty() {
            return self.text("no points", (middle, half_way), LABEL, GREY, MIDDLE);
        }

        self.line(&ideal.iter().map(|(x, y)| place(*x, *y)).collect::<Vec<_>>(), GREY, 1.5, IDEAL);
        if let Some(cpus) = beyond {
            let (x, _) = place(cpus as f64, up.low);
            self.line(&[(x, top), (x, bottom)], INK, 1.5, CPUS);
            self.text(&format!("CPUs: {cpus}"), (x, top - 10.0), TICK, INK, MIDDLE);
        }
        let at = |(workers, numbers): &(usize, [f64; 3])| numbers.map(|y| place(*workers as f64, y));
        let curves = curves.iter().map(|points| points.iter().map(at).collect::<Vec<_>>());
        let curves = curves.zip(LOOKS.iter().cycle()).collect::<Vec<_>>();
        for ((points, look), curve) in curves.iter().zip(&row.curves) {
            let line = points.iter().map(|point| point[0]).collect::<Vec<_>>();
            self.line(&line, look.colour, 2.0, look.dashes);
            if let (Panel::Time, [(_, y)], true) = (panel, &line[..], curve.is_single) {
                self.line(&[(left, *y), (right, *y)], look.colour, 0.75, SOLID);
            }
            for [(x, _), (_, low), (_, high)] in points.iter().filter(|point| point[1].1 > point[2].1) {
                self.line(&[(*x, *low), (*x, *high)], look.colour, 1.25, SOLID);
                for y in [*low, *high] {
                    self.line(&[(x - 6.0, y), (x + 6.0, y)], look.colour, 1.25, SOLID);
                }
            }
        }
        // Above all lines.
        for (points, look) in &curves {
            points.iter().for_each(|point| self.marker(point[0], look));
        }
    }

    /// Draws two axes with their ticks and labels, and a grid between them.
    fn frame(&mut self, across: &Axis, up: &Axis, (left, top): Position, (right, bottom): Position) {
        for (number, label) in &across.ticks {
            let x = left + (right - left) * across.part(*number);
            self.line(&[(x, top), (x, bottom + 4.0)], GRID, 1.0, SOLID);
            self.text(label, (x, bottom + 15.0), TICK, INK, MIDDLE);
        }
        for (number, label) in &up.ticks {
            let y = bottom - (bottom - top) * up.part(*number);
            self.line(&[(left - 4.0, y), (right, y)], GRID, 1.0, SOLID);
            self.text(label, (left - 8.0, y), TICK, INK, END);
        }
        self.line(&[(left, top), (left, bottom), (right, bottom)], INK, 1.0, SOLID);
    }

    /// Draws a line through `places`, `width` wide.
    fn line(&mut self, places: &[Position], colour: &str, width: f64, dashes: &str) {
        if places.len() > 1 {
            let points = places.iter().map(|(x, y)| format!("{x:.2},{y:.2}")).collect::<Vec<_>>().join(" ");
            let stroke = format!("stroke-width='{width}' stroke-dasharray='{dashes}'");
            self.0 += &format!("<polyline points='{points}' stroke='{colour}' {stroke}/>\n");
        }
    }

    /// Draws a marker, with a rim of white that sets it off from lines and other markers.
    fn marker(&mut self, (x, y): Position, look: &Look) {
        let rim = "stroke='#ffffff' stroke-width='3' paint-order='stroke'";
        let Look { colour, marker, .. } = look;
        self.0 += &format!("<path d='M{x:.2} {y:.2}{marker}' fill='{colour}' {rim}/>\n");
    }

    /// Draws text on one line, with its middle at the height of `y`, from `x` on unless `how` says otherwise.
    fn text(&mut self, text: &str, (x, y): Position, size: f64, colour: &str, how: &str) {
        // SVG wants to know where letters stand.
        let feet = y + size * 0.36;
        self.0 += &format!(
            "<text x='{x:.2}' y='{feet:.2}' font-size='{size}' fill='{colour}'{how}>{}</text>\n",
            escaped(text)
        );
    }
}

/// As XML has it, and with blanks for what XML forbids.
fn escaped(text: &str) -> String {
    let is_forbidden = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.replace(is_forbidden, " ").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// How wide a letter is at most, as a part of its size. Whoever shows an SVG has a font of their own; hardly
/// one is wider than that of PNG pictures, which these are widths of.
fn width(letter: char) -> f64 {
    match letter {
        _ if " !'(),-./:;I[]fijlrt|".contains(letter) => 0.42,
        '%' | '@' | 'M' | 'W' | 'm' => 1.0,
        'a'..='v' | 'x'..='z' | '0'..='9' | '_' | 'µ' => 0.64,
        ' '..='~' => 0.84,
        _ => 1.0,
    }
}

/// How long text is at most.
fn length(text: &str, size: f64) -> f64 {
    text.chars().map(width).sum::<f64>() * size
}

/// The text, cut off where it is longer than `room`.
fn fitting(text: &str, size: f64, room: f64) -> String {
    if length(text, size) <= room {
        return text.to_owned();
    }
    let mut left = room / size - width('…');
    let fits = |letter: &char| {
        left -= width(*letter);
        left >= 0.0
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// A curve's points in one panel, with growing numbers of workers: each with its number, and with that from
/// which and that to which its whisker goes, both the number itself where it has none.
fn points(curve: &Curve, panel: Panel) -> Vec<(usize, [f64; 3])> {
    let can_show = |number: f64| (1.0 / LARGEST..=LARGEST).contains(&number);
    let shown = |spot: &Spot| match panel {
        Panel::Speedup => [spot.speedup; 3],
        Panel::Efficiency => [spot.efficiency; 3],
        Panel::Time if can_show(spot.low) && can_show(spot.high) => [spot.seconds, spot.low, spot.high],
        Panel::Time => [spot.seconds; 3],
    };
    let points = curve.points.iter().map(|spot| (spot.workers, shown(spot)));
    let mut points = points.filter(|point| point.0 > 0 && can_show(point.1[0])).collect::<Vec<_>>();
    points.sort_by_key(|point| point.0);
    points
}

#[cfg(test)]
mod tests {
    use std::fs;

    use resvg::tiny_skia::PremultipliedColorU8;

    use super::*;

    fn curve(name: &str, spots: &[(usize, f64)]) -> Curve {
        let spot = |&(workers, seconds): &(usize, f64)| {
            let speedup = 0.010 / seconds;
            let efficiency = speedup / workers as f64;
            Spot { workers, seconds, low: seconds / 2.0, high: seconds * 2.0, speedup, efficiency }
        };
        let points = spots.iter().map(spot).collect();
        Curve { name: name.to_owned(), is_single: name == "serial", points }
    }

    fn study() -> StudyRow {
        StudyRow {
            title: "Squares of <many> values".to_owned(),
            curves: vec![
                curve("serial", &[(1, 0.010)]),
                curve("threads", &[(2, 0.005), (1, 0.010), (5, 0.005)]),
                curve("pool", &[(5, 0.009), (2, 0.008)]),
            ],
            weak: false,
            cpus: 2,
            reference: "serial".to_owned(),
            note: "on n1, medians of 7 runs".to_owned(),
        }
    }

    /// The file that `rows` give, with this ending.
    fn drawn(rows: &[StudyRow], ending: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study").with_extension(ending);
        draw(rows, &path).unwrap();
        fs::read(path).unwrap()
    }

    /// What a row says and where, in the order in which it is drawn.
    fn texts(svg: &str) -> Vec<(Position, &str)> {
        let lines = svg.lines().filter(|line| line.starts_with("<text ")).map(|line| {
            let words = line.split('\'').collect::<Vec<_>>();
            let text = line.split(['<', '>']).nth(2).unwrap();
            ((words[1].parse().unwrap(), words[3].parse().unwrap()), text)
        });
        lines.collect()
    }

    /// Where a row has markers of the curve number `i`, that of the legend first.
    fn markers(svg: &str, i: usize) -> Vec<Position> {
        let lines = svg.lines().filter(|line| line.contains(&format!("{}' fill", LOOKS[i].marker)));
        let place = |line: &str| {
            let (x, y) = line.strip_prefix("<path d='M")?.split('m').next()?.split_once(' ')?;
            Some((x.parse().ok()?, y.parse().ok()?))
        };
        lines.map(|line| place(line).unwrap()).collect()
    }

    #[test]
    fn a_png_of_too_many_studies_is_refused() {
        let row = StudyRow {
            title: "Squares".to_owned(),
            curves: Vec::new(),
            weak: false,
            cpus: 2,
            reference: "serial".to_owned(),
            note: String::new(),
        };
        let rows = vec![row; MOST_OF_PNG + 1];
        let error = draw(&rows, Path::new("/nowhere/a.png")).unwrap_err().to_string();
        assert!(error.contains("a PNG holds 20 studies, and there are 21; .svg holds all"), "{error}");
        assert!(draw(&rows, Path::new("/nowhere/a.svg")).unwrap_err().to_string().contains("/nowhere"));
    }

    #[test]
    fn an_svg_says_all_there_is_to_say_as_text() {
        let svg = String::from_utf8(drawn(&[study()], "svg")).unwrap();
        assert!(svg.contains("width='1500' height='480'") && svg.ends_with("</svg>\n"), "{svg:.200}");
        let texts = texts(&svg).into_iter().map(|text| text.1).collect::<Vec<_>>();
        let first = ["Squares of &lt;many&gt; values", "on n1, medians of 7 runs"];
        assert_eq!(texts[..6], [&first[..], &["serial", "threads", "pool", "ideal"]].concat());
        let count = |label: &str| texts.iter().filter(|text| **text == label).count();
        for label in ["speedup (times serial)", "efficiency", "time of one run", "5 ms", "10 ms", "20 ms"] {
            assert_eq!(count(label), 1, "{label}");
        }
        for label in ["1", "2", "5", "workers", "CPUs: 2"] {
            assert_eq!(count(label), 3, "{label}");
        }
        for (i, points) in [1, 3, 2].into_iter().enumerate() {
            assert_eq!(markers(&svg, i).len(), 3 * points + 1, "curve {i}");
            assert!(svg.contains(&format!("stroke='{}'", LOOKS[i].colour)));
        }
    }

    #[test]
    fn points_and_whiskers_are_where_the_ticks_say() {
        let svg = svg(&[study()]);
        let texts = texts(&svg);
        let label = |text, nth| texts.iter().filter(|label| label.1 == text).nth(nth).unwrap().0;
        let (across, up) = (|text, nth| label(text, nth).0, |text, nth| label(text, nth).1 - TICK * 0.36);
        let expected = [
            [("1", "1.0", 0), ("2", "2.0", 0), ("5", "2.0", 0)],
            [("1", "1.0", 1), ("2", "1.0", 1), ("5", "0.4", 0)],
            [("1", "10 ms", 0), ("2", "5 ms", 0), ("5", "5 ms", 0)],
        ];
        for (i, (x, y)) in markers(&svg, 1)[1..].iter().enumerate() {
            let (workers, number, nth) = expected[i / 3][i % 3];
            assert!((x - across(workers, i / 3)).abs() < 0.02, "{workers} workers at {x}");
            assert!((y - up(number, nth)).abs() < 0.02, "{number} at {y}");
        }
        let (x, low, high) = (across("1", 2), up("5 ms", 0), up("20 ms", 0));
        assert!(svg.contains(&format!("points='{x:.2},{low:.2} {x:.2},{high:.2}' stroke='#cd5f05'")));
    }

    #[test]
    fn only_a_study_that_grows_is_scaled_and_only_too_many_workers_are_marked() {
        let svg = svg(&[StudyRow { weak: true, cpus: 5, ..study() }]);
        assert!(svg.contains(">scaled speedup (times serial)<") && !svg.contains("CPUs"));
    }

    #[test]
    fn a_png_has_its_size_its_letters_and_every_curve() {
        let picture = Pixmap::decode_png(&drawn(&[study(), study()], "PNG")).unwrap();
        assert_eq!((picture.width(), picture.height()), (3000, 1920));
        let (first, second) = picture.pixels().split_at(3000 * 960);
        for row in [first, second] {
            let count = |pixels: &[PremultipliedColorU8], colour: &str| {
                let [_, red, green, blue] = u32::from_str_radix(&colour[1..], 16).unwrap().to_be_bytes();
                let colour = PremultipliedColorU8::from_rgba(red, green, blue, 255);
                pixels.iter().filter(|pixel| Some(**pixel) == colour).count()
            };
            assert!(count(row, "#ffffff") > row.len() * 8 / 10);
            // Above the legend and below the panels there are but letters.
            assert!(count(&row[..3000 * 90], INK) > 1000 && count(&row[3000 * 900..], GREY) > 500);
            for look in &LOOKS[..3] {
                assert!(count(row, look.colour) > 500, "{}", look.colour);
            }
        }
    }

    #[test]
    fn other_names_are_refused_and_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["study.pdf", "study", ".svg"] {
            let error = draw(&[study()], &folder.path().join(name)).unwrap_err();
            assert!(error.message().unwrap().contains(".svg or .png"), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
        let error = draw(&[], &folder.path().join("study.svg")).unwrap_err();
        assert!(error.message().unwrap().ends_with("nothing was measured"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn odd_studies_are_drawn_too_and_within_the_picture() {
        let odd = |numbers: &[(usize, f64)]| {
            let at = |&(workers, x)| Spot { workers, seconds: x, low: x, high: x, speedup: x, efficiency: x };
            let points = numbers.iter().map(at).collect();
            Curve { name: "h\u{1b}u\nge & WIDE 漢字 \u{ffff}".repeat(40), is_single: false, points }
        };
        let none = [f64::NAN, f64::INFINITY, -f64::INFINITY, f64::MAX, 0.0, -1.0, 1e-300].map(|x| (2, x));
        let cases = [
            vec![],
            vec![curve("none", &[])],
            vec![curve("one", &[(1, 0.5)])],
            vec![curve("many at once", &[(64, 0.5), (64, 0.6)])],
            vec![odd(&none), odd(&[(1, 1000.0), (4, 0.0001)]), odd(&[(1, 1e-9), (1000, 1e9)])],
            vec![odd(&[(3, 1e9), (3, 1e-9)])],
            vec![odd(&[(1, LARGEST), (1 << 24, 1.0 / LARGEST), (0, 1.0)])],
            vec![curve("all", &(1..300).map(|workers| (workers, 1.0)).collect::<Vec<_>>())],
            // Two studies of all patterns.
            vec![odd(&[(1, 0.5), (2, 0.3)]); 12],
        ];
        let row = |curves: &Vec<Curve>, cpus| StudyRow {
            title: "WIDE & ".repeat(100_000),
            curves: curves.clone(),
            weak: cpus == 1,
            cpus,
            ..study()
        };
        let rows = cases.iter().flat_map(|curves| [0, 1, 2, 1000].map(|cpus| row(curves, cpus)));
        for row in rows.collect::<Vec<_>>() {
            let svg = svg(&[row]);
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
            assert!(svg.chars().all(|c| c == '\n' || !c.is_control()));
            let all = parsed(&svg).unwrap().root().abs_bounding_box();
            let sides = [all.left(), all.top(), all.right(), all.bottom()];
            assert_eq!(sides, [0.0, 0.0, 1500.0, 480.0], "{svg:.1000}");
        }
    }

    #[test]
    fn what_is_no_number_is_left_out_where_it_is_none() {
        let mut row = study();
        row.curves[1].points[2].speedup = f64::NAN;
        row.curves[2].points.clear();
        let svg = svg(&[row]);
        assert_eq!(markers(&svg, 1).len(), 3 * 3 - 1 + 1);
        assert_eq!(markers(&svg, 2).len(), 1);
        assert!(svg.contains(">pool (no points)<"));
        assert_eq!(texts(&svg).iter().filter(|text| text.1 == "5").count(), 3);
    }

    #[test]
    fn curves_differ_in_lightness_in_shape_and_in_dashes() {
        // As a colour picture is turned into grey (ITU-R BT.601).
        let byte = |look: &Look, at: usize| u32::from_str_radix(&look.colour[at..at + 2], 16).unwrap();
        let grey = |l: &Look| (299 * byte(l, 1) + 587 * byte(l, 3) + 114 * byte(l, 5)) / 1000;
        let greys = LOOKS.iter().map(grey).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
        assert!(greys.len() == 7 && greys.windows(2).all(|two| two[1] - two[0] >= 16), "{greys:?}");
        assert!(greys[6] < 140);
        assert_eq!(LOOKS.iter().map(|look| look.marker).collect::<BTreeSet<_>>().len(), 7);
        assert_eq!(LOOKS[1..].iter().map(|look| look.dashes).collect::<BTreeSet<_>>().len(), 6);
    }

    #[test]
    fn axes_have_round_ticks() {
        let labels =
            |axis: &Axis| axis.ticks.iter().map(|tick| tick.1.as_str()).collect::<Vec<_>>().join(" ");
        assert_eq!(labels(&Axis::linear(1.1)), "0.0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(labels(&Axis::linear(1150.0)), "0 200 400 600 800 1000");
        assert_eq!(labels(&Axis::log(&[0.0004, 0.0021], true)), "200 µs 500 µs 1 ms 2 ms 5 ms");
        assert_eq!(labels(&Axis::log(&[0.01], true)), "10 ms 20 ms");
        let decades = labels(&Axis::log(&[2e-6, 0.3], true));
        assert_eq!(decades, "1 µs 10 µs 100 µs 1 ms 10 ms 100 ms 1 s");
        assert_eq!(labels(&Axis::log(&[0.9, 14.0, 1.0, 16.0], false)), "0.5 1 2 4 8 16");
        assert_eq!(labels(&Axis::log(&[0.9, 1.1], false)), "0.5 1 2");
        assert_eq!(labels(&Axis::log(&[1e-9, 1e9], false)), "1e-9 1e-6 0.001 1 1000 1e6 1e9");
    }

    #[test]
    fn workers_are_spaced_by_powers_only_where_they_span_much() {
        for workers in [[1, 2, 3], [2, 9, 16], [2, 8, 32]] {
            let [low, middle, high] = workers.map(|workers| workers as f64);
            let part = Axis::of_workers(&BTreeSet::from(workers), low, high).part(middle);
            assert!((part - 0.5).abs() < 1e-12, "{workers:?}: {part}");
        }
    }
}
