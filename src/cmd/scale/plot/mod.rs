//! Pictures of scaling studies, to show to others: SVG and PNG, the same drawing in both.
//!
//! A study is a row of three panels: speedup, efficiency and time, against the number of workers. Everything
//! is told by shape as well as by colour, so that it can be read in black and white. Nothing is measured or
//! computed here; what cannot be drawn (no number, none or less than nothing, beyond [`LARGEST`]) is left
//! out. [`super::chart`] shows speedups in a terminal.

mod axis;
mod looks;
mod pixels;

use std::path::Path;

use axis::{Axis, is_beyond};
use looks::{LOOKS, Look};
use pixels::{Pixels, shrink};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};

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
pub struct Row {
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

/// What kind of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Lines and letters, sharp at any size.
    Svg,
    /// Pixels.
    Png,
}

impl Form {
    /// As the name's ending has it.
    ///
    /// # Errors
    /// It is neither `.svg` nor `.png`.
    pub fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().unwrap_or_default();
        if ending.eq_ignore_ascii_case("svg") {
            Ok(Self::Svg)
        } else if ending.eq_ignore_ascii_case("png") {
            Ok(Self::Png)
        } else {
            Err(Error::Usage(format!(
                "cannot draw {}: pictures are .svg or .png; give it a name that ends so",
                path.display()
            )))
        }
    }
}

/// Draws `rows` below one another into the file `path`, which is SVG or PNG by its ending.
///
/// # Errors
/// Another ending, no rows, or the file cannot be written.
pub fn draw(rows: &[Row], path: &Path) -> Result<()> {
    let form = Form::of(path)?;
    let failed = |why: &str| Error::Failed(format!("cannot draw {}: {why}", path.display()));
    if rows.is_empty() {
        return Err(failed("nothing was measured"));
    }
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| failed("its font cannot be read"))?;
    let bytes = match form {
        Form::Svg => svg(rows),
        Form::Png => png(rows),
    }
    .map_err(|why| failed(&why))?;
    atomic_file::save(path, |file| file.write_all(&bytes))
}

/// A row's width, in units: an SVG's own.
const WIDTH: u32 = 1500;
/// A row's height, in units.
const HEIGHT: u32 = 480;
/// plotters draws at whole pixels: these many to a unit, so that markers and dashes are even.
const FINE: u32 = 4;
/// A PNG's pixels to a unit: two stay sharp on a large screen. It must divide [`FINE`].
const PNG_FINE: u32 = 2;

/// What comes of drawing, or why nothing does.
pub type Drawn<T = ()> = std::result::Result<T, String>;

/// The text of an SVG picture.
///
/// # Errors
/// It cannot be drawn; says why.
pub fn svg(rows: &[Row]) -> Drawn<Vec<u8>> {
    let size = (WIDTH * FINE, HEIGHT * FINE * rows.len() as u32);
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let areas = root.split_evenly((rows.len(), 1));
        for (row, area) in rows.iter().zip(&areas) {
            Canvas { area: area.clone() }.row(row)?;
        }
        root.present().map_err(why)?;
    }
    // Only the size in which it is shown: the `viewBox` holds what everything else refers to.
    let fine = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
    let plain = format!("width=\"{}\" height=\"{}\"", size.0 / FINE, size.1 / FINE);
    Ok(text.replacen(&fine, &plain, 1).into_bytes())
}

fn png(rows: &[Row]) -> Drawn<Vec<u8>> {
    let (width, height) = (WIDTH * FINE, HEIGHT * FINE);
    let mut fine = vec![0; (width * height * 3) as usize];
    let mut pixels = Vec::new();
    for row in rows {
        let area = Pixels { bytes: &mut fine, size: (width, height) }.into_drawing_area();
        Canvas { area }.row(row)?;
        shrink(&fine, width as usize, (FINE / PNG_FINE) as usize, &mut pixels);
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH * PNG_FINE, HEIGHT * PNG_FINE * rows.len() as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(why)?;
    writer.write_image_data(&pixels).map_err(why)?;
    writer.finish().map_err(why)?;
    Ok(bytes)
}

fn why(error: impl std::fmt::Display) -> String {
    error.to_string()
}

const INK: RGBColor = RGBColor(30, 30, 30);
const GREY: RGBColor = RGBColor(110, 110, 110);
const GRID: RGBColor = RGBColor(226, 226, 226);
/// The ideal line's dashes.
const IDEAL: &[f64] = &[7.0, 5.0];
/// The dashes of the line at the number of CPUs: dots.
const DOTS: &[f64] = &[1.8, 3.6];
/// A marker's radius.
const MARKER: f64 = 5.5;

/// Sizes of letters, in units.
const TITLE: f64 = 22.0;
const LABEL: f64 = 16.0;
const TICK: f64 = 14.0;
const NOTE: f64 = 13.0;

/// What a panel shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Panel {
    Speedup,
    Efficiency,
    Time,
}

const PANELS: [Panel; 3] = [Panel::Speedup, Panel::Efficiency, Panel::Time];

/// A place in units, from the left and from the top.
type Place = (f64, f64);

/// An area, drawn on in units.
struct Canvas<DB: DrawingBackend> {
    area: DrawingArea<DB, Shift>,
}

fn fine(units: f64) -> i32 {
    (units * f64::from(FINE)).round() as i32
}

fn fine_place(place: Place) -> (i32, i32) {
    (fine(place.0), fine(place.1))
}

impl<DB: DrawingBackend> Canvas<DB> {
    /// Draws a row, from [`WIDTH`] times [`HEIGHT`] units.
    fn row(&self, row: &Row) -> Drawn {
        const MARGIN: f64 = 20.0;
        let (width, height) = (f64::from(WIDTH), f64::from(HEIGHT));
        self.area.fill(&WHITE).map_err(why)?;
        let room = width - 2.0 * MARGIN;
        self.text(&self.fitting(&row.title, TITLE, room), (MARGIN, 25.0), TITLE, INK, HPos::Left)?;
        self.text(&self.fitting(&row.note, NOTE, room), (MARGIN, height - 14.0), NOTE, GREY, HPos::Left)?;
        let below_legend = self.legend(row, (MARGIN, 56.0), room)?;
        let top = below_legend + 22.0;
        let bottom = height - 30.0;
        for (i, panel) in PANELS.into_iter().enumerate() {
            let left = MARGIN + room * i as f64 / 3.0;
            let right = MARGIN + room * (i + 1) as f64 / 3.0 - 14.0;
            self.panel(row, panel, (left, top), (right, bottom))?;
        }
        Ok(())
    }

    /// Draws the legend, in as many lines as it takes but four, from `place` on; returns where it ends.
    fn legend(&self, row: &Row, place: Place, room: f64) -> Drawn<f64> {
        const SWATCH: f64 = 46.0;
        const LINE: f64 = 24.0;
        const LINES: usize = 4;
        let (left, mut y) = place;
        let mut x = left;
        let mut line = 1;
        let names = row.curves.iter().map(|curve| match most_points(curve) {
            0 => format!("{} (no points)", curve.name),
            _ => curve.name.clone(),
        });
        for (i, name) in names.chain(["ideal".to_owned()]).enumerate() {
            let name = self.fitting(&name, LABEL, room / 2.0);
            let length = SWATCH + 8.0 + self.length(&name, LABEL);
            if x > left && x + length > left + room {
                if line == LINES {
                    self.text("…", (x, y), LABEL, INK, HPos::Left)?;
                    break;
                }
                (x, y, line) = (left, y + LINE, line + 1);
            }
            let ends = [(x, y), (x + SWATCH, y)];
            match row.curves.get(i) {
                Some(curve) => {
                    let look = &LOOKS[i % LOOKS.len()];
                    if most_points(curve) != 1 {
                        self.line(&ends, look.colour, 2.0, look.dashes)?;
                    }
                    self.marker((x + SWATCH / 2.0, y), look)?;
                }
                None => self.line(&ends, GREY, 1.5, IDEAL)?,
            }
            self.text(&name, (x + SWATCH + 8.0, y), LABEL, INK, HPos::Left)?;
            x += length + 28.0;
        }
        Ok(y + LINE / 2.0)
    }

    /// Draws a panel with its axes between two corners.
    fn panel(&self, row: &Row, panel: Panel, (left, top): Place, (right, bottom): Place) -> Drawn {
        // All panels have the same workers, also where one has no number for them.
        let workers = workers(row);
        let curves = row.curves.iter().map(|curve| points(curve, panel)).collect::<Vec<_>>();
        let numbers =
            curves.iter().flatten().flat_map(|p| [p.number, p.whisker.0, p.whisker.1]).collect::<Vec<_>>();
        let up = match panel {
            Panel::Speedup => Axis::of_speedup(&numbers, &workers, row.cpus),
            Panel::Efficiency => {
                Axis::linear(numbers.iter().fold(1.1_f64, |top, number| top.max(number * 1.05)))
            }
            Panel::Time => Axis::of_seconds(&numbers),
        };
        let longest = up.ticks.iter().map(|(_, label)| self.length(label, TICK)).fold(0.0, f64::max);
        let label_room = longest + 40.0;
        let mut across = Axis::of_workers(&workers, row.cpus);
        self.thin_out(&mut across, right - left - label_room);

        let area =
            self.area.clone().shrink(fine_place((left, top)), fine_place((right - left, bottom - top)));
        let mut chart = ChartBuilder::on(&area)
            .x_label_area_size(fine(50.0))
            .y_label_area_size(fine(label_room))
            .build_cartesian_2d(across.clone(), up.clone())
            .map_err(why)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(FINE))
            .axis_style(INK.stroke_width(FINE))
            .set_all_tick_mark_size(fine(4.0))
            .label_style(style(TICK, &INK))
            .axis_desc_style(style(LABEL, &INK))
            .x_desc("workers")
            .y_desc(match panel {
                Panel::Speedup if row.weak => format!("scaled speedup (times {})", row.reference),
                Panel::Speedup => format!("speedup (times {})", row.reference),
                Panel::Efficiency => "efficiency".to_owned(),
                Panel::Time => "time of one run".to_owned(),
            })
            .draw()
            .map_err(why)?;

        // From here on by place on the canvas: the library has no such dashes and markers.
        let (zero, plot) = (self.area.get_base_pixel(), chart.plotting_area());
        let place = |x: f64, y: f64| {
            let (x, y) = plot.map_coordinate(&(x, y));
            (f64::from(x - zero.0) / f64::from(FINE), f64::from(y - zero.1) / f64::from(FINE))
        };
        if numbers.is_empty() {
            let (low, high) = (place(across.low, up.low), place(across.high, up.high));
            let middle = (f64::midpoint(low.0, high.0), f64::midpoint(low.1, high.1));
            return self.text("no points", middle, LABEL, GREY, HPos::Center);
        }
        match panel {
            Panel::Speedup => {
                // Both axes are of one kind, so the line is straight.
                let (low, high) = (across.low.max(up.low), across.high.min(up.high));
                if low < high {
                    self.line(&[place(low, low), place(high, high)], GREY, 1.5, IDEAL)?;
                }
            }
            Panel::Efficiency => {
                self.line(&[place(across.low, 1.0), place(across.high, 1.0)], GREY, 1.5, IDEAL)?;
            }
            Panel::Time => {}
        }
        if is_beyond(&workers, row.cpus) {
            let cpus = row.cpus as f64;
            let above = place(cpus, up.high);
            self.line(&[above, place(cpus, up.low)], INK, 1.5, DOTS)?;
            let label = format!("CPUs: {}", row.cpus);
            let half = self.length(&label, TICK) / 2.0;
            let (first, last) = (place(across.low, up.high).0 + half, place(across.high, up.high).0 - half);
            let x = above.0.min(last).max(first);
            self.text(&label, (x, above.1 - 10.0), TICK, INK, HPos::Center)?;
        }

        let at = |point: &Point, number: f64| place(point.workers as f64, number);
        for ((points, look), curve) in curves.iter().zip(LOOKS.iter().cycle()).zip(&row.curves) {
            let line = points.iter().map(|point| at(point, point.number)).collect::<Vec<_>>();
            self.line(&line, look.colour, 2.0, look.dashes)?;
            if let (Panel::Time, [point], true) = (panel, &points[..], curve.is_single) {
                let ends = [across.low, across.high].map(|x| place(x, point.number));
                self.line(&ends, look.colour, 0.75, &[])?;
            }
            for point in points.iter().filter(|point| point.whisker.0 < point.whisker.1) {
                self.whisker(at(point, point.whisker.0), at(point, point.whisker.1), look.colour)?;
            }
        }
        // Above all lines.
        for (points, look) in curves.iter().zip(LOOKS.iter().cycle()) {
            for point in points {
                self.marker(at(point, point.number), look)?;
            }
        }
        Ok(())
    }

    /// Takes away labels that would overlap in `room`: the ends stay, and rather powers of two than others.
    fn thin_out(&self, axis: &mut Axis, room: f64) {
        let last = axis.ticks.len().saturating_sub(1);
        let mut order = (0..axis.ticks.len()).collect::<Vec<_>>();
        let is_power = |label: &str| label.parse().is_ok_and(usize::is_power_of_two);
        order.sort_by_key(|&i| (i != last, i != 0, !is_power(&axis.ticks[i].1), i));
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for i in order {
            let middle = axis.part(axis.ticks[i].0) * room;
            let half = self.length(&axis.ticks[i].1, TICK) / 2.0 + 4.0;
            let (start, end) = (middle - half, middle + half);
            if taken.iter().all(|other| end <= other.0 || other.1 <= start) {
                taken.push((start, end));
            } else {
                axis.ticks[i].1.clear();
            }
        }
    }

    /// Draws a line through `places`, `width` wide, with `dashes`.
    fn line(&self, places: &[Place], colour: RGBColor, width: f64, dashes: &[f64]) -> Drawn {
        for piece in pieces(places, dashes) {
            let piece = piece.into_iter().map(fine_place).collect::<Vec<_>>();
            self.area.draw(&PathElement::new(piece, colour.stroke_width(fine(width) as u32))).map_err(why)?;
        }
        Ok(())
    }

    /// Draws a whisker from `low` up to `high`, with caps.
    fn whisker(&self, low: Place, high: Place, colour: RGBColor) -> Drawn {
        const CAP: f64 = 6.0;
        self.line(&[low, high], colour, 1.25, &[])?;
        for (x, y) in [low, high] {
            self.line(&[(x - CAP, y), (x + CAP, y)], colour, 1.25, &[])?;
        }
        Ok(())
    }

    /// Draws a marker, with a rim of white that sets it off from lines and other markers.
    fn marker(&self, middle: Place, look: &Look) -> Drawn {
        for (radius, colour) in [(MARKER + 1.5, WHITE), (MARKER, look.colour)] {
            let corners = look.shape.corners(radius);
            if corners.is_empty() {
                let radius = fine(radius);
                self.area.draw(&Circle::new(fine_place(middle), radius, colour.filled()))
            } else {
                let corners = corners.into_iter().map(|(x, y)| fine_place((middle.0 + x, middle.1 + y)));
                self.area.draw(&Polygon::new(corners.collect::<Vec<_>>(), colour.filled()))
            }
            .map_err(why)?;
        }
        Ok(())
    }

    /// Draws text on one line, with its middle at the height of `place`.
    fn text(&self, text: &str, place: Place, size: f64, colour: RGBColor, side: HPos) -> Drawn {
        let style = style(size, &colour).pos(Pos::new(side, VPos::Center));
        self.area.draw_text(text, &style, fine_place(place)).map_err(why)
    }

    /// How long text is, in units.
    fn length(&self, text: &str, size: f64) -> f64 {
        let (length, _) = self.area.estimate_text_size(text, &style(size, &INK)).unwrap_or_default();
        f64::from(length) / f64::from(FINE)
    }

    /// The text on one line, cut off where it is longer than `room`, and without what XML forbids.
    fn fitting(&self, text: &str, size: f64, room: f64) -> String {
        let is_text = |c: char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
        let mut text = text.chars().map(|c| if is_text(c) { c } else { ' ' }).collect::<String>();
        if self.length(&text, size) <= room {
            return text;
        }
        while !text.is_empty() && self.length(&format!("{text}…"), size) > room {
            text.pop();
        }
        text + "…"
    }
}

fn style(size: f64, colour: &RGBColor) -> TextStyle<'_> {
    // The library's sizes are heights of lines, this much more than the letters' own.
    const LINE: f64 = 1.24;
    TextStyle::from(("sans-serif", size * LINE * f64::from(FINE))).color(colour)
}

/// `places` joined by lines, cut into dashes.
fn pieces(places: &[Place], dashes: &[f64]) -> Vec<Vec<Place>> {
    if places.len() < 2 {
        return Vec::new();
    }
    if dashes.is_empty() {
        return vec![places.to_vec()];
    }
    let mut pieces = vec![vec![places[0]]];
    let (mut which, mut left) = (0, dashes[0]);
    for ends in places.windows(2) {
        let (from, to) = (ends[0], ends[1]);
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let part = done / length;
            let at = (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part);
            // Dashes and gaps take turns.
            match (which % 2, pieces.last_mut()) {
                (0, Some(piece)) => piece.push(at),
                _ => pieces.push(vec![at]),
            }
            which = (which + 1) % dashes.len();
            left = dashes[which];
        }
        left -= length - done;
        if let (0, Some(piece)) = (which % 2, pieces.last_mut()) {
            piece.push(to);
        }
    }
    pieces.retain(|piece| piece.len() > 1);
    pieces
}

/// A point of a panel.
struct Point {
    workers: usize,
    number: f64,
    /// Where the whisker ends; both the number itself where there is none.
    whisker: (f64, f64),
}

/// A curve's points in one panel, with growing numbers of workers.
fn points(curve: &Curve, panel: Panel) -> Vec<Point> {
    let mut points = curve
        .points
        .iter()
        .filter_map(|spot| {
            let number = match panel {
                Panel::Speedup => spot.speedup,
                Panel::Efficiency => spot.efficiency,
                Panel::Time => spot.seconds,
            };
            let whisker = match panel {
                Panel::Time if can_show(spot.low) && can_show(spot.high) => (spot.low, spot.high),
                _ => (number, number),
            };
            (spot.workers > 0 && can_show(number)).then_some(Point { workers: spot.workers, number, whisker })
        })
        .collect::<Vec<_>>();
    points.sort_by_key(|point| point.workers);
    points
}

fn can_show(number: f64) -> bool {
    (1.0 / LARGEST..=LARGEST).contains(&number)
}

/// How many points a curve has in the panel that has most of them.
fn most_points(curve: &Curve) -> usize {
    PANELS.map(|panel| points(curve, panel).len()).into_iter().max().unwrap_or(0)
}

/// All numbers of workers, growing.
fn workers(row: &Row) -> Vec<usize> {
    let points = row.curves.iter().flat_map(|curve| PANELS.map(|panel| points(curve, panel)));
    let mut workers = points.flatten().map(|point| point.workers).collect::<Vec<_>>();
    workers.sort_unstable();
    workers.dedup();
    workers
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn spot(workers: usize, seconds: f64) -> Spot {
        let speedup = 0.012 / seconds;
        let efficiency = speedup / workers as f64;
        Spot { workers, seconds, low: seconds * 0.9, high: seconds * 1.2, speedup, efficiency }
    }

    fn curve(name: &str, spots: &[(usize, f64)]) -> Curve {
        let points = spots.iter().map(|&(workers, seconds)| spot(workers, seconds)).collect();
        Curve { name: name.to_owned(), is_single: name == "serial", points }
    }

    fn study() -> Row {
        Row {
            title: "Squares of <many> values".to_owned(),
            curves: vec![
                curve("serial", &[(1, 0.012)]),
                curve("threads", &[(1, 0.0125), (2, 0.007), (3, 0.0071)]),
                curve("pool", &[(3, 0.009), (2, 0.008)]),
            ],
            weak: false,
            cpus: 2,
            reference: "serial".to_owned(),
            note: "on n1, medians of 7 runs".to_owned(),
        }
    }

    /// The file that `rows` give, with this ending.
    fn drawn(rows: &[Row], ending: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study").with_extension(ending);
        draw(rows, &path).unwrap();
        fs::read(path).unwrap()
    }

    fn drawn_svg(rows: &[Row]) -> String {
        String::from_utf8(drawn(rows, "svg")).unwrap()
    }

    /// What the picture says, in the order in which it is drawn.
    fn texts(svg: &str) -> Vec<&str> {
        svg.split("<text ").skip(1).map(|text| text.lines().nth(1).unwrap()).collect()
    }

    /// How many markers there are of the curve number `i`.
    fn markers(svg: &str, i: usize) -> usize {
        let RGBColor(red, green, blue) = LOOKS[i].colour;
        let fill = format!("fill=\"#{red:02X}{green:02X}{blue:02X}\"");
        svg.lines()
            .filter(|line| line.starts_with("<circle") || line.starts_with("<polygon"))
            .filter(|line| line.contains(&fill))
            .count()
    }

    /// Width, height, and the pixels.
    fn decoded(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
        (info.width, info.height, pixels)
    }

    #[test]
    fn an_svg_says_all_there_is_to_say_as_text() {
        let svg = drawn_svg(&[study()]);
        assert!(
            svg.starts_with("<svg width=\"1500\" height=\"480\" viewBox=\"0 0 6000 1920\""),
            "{svg:.100}"
        );
        assert!(svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<text ").count(), svg.matches("font-family=\"sans-serif\"").count());
        let texts = texts(&svg);
        let time = |text: &&&str| text.ends_with(" ms");
        assert_eq!(
            texts[..6],
            [
                "Squares of &lt;many&gt; values",
                "on n1, medians of 7 runs",
                "serial",
                "threads",
                "pool",
                "ideal"
            ]
        );
        for label in ["speedup (times serial)", "efficiency", "time of one run"] {
            assert_eq!(texts.iter().filter(|text| **text == label).count(), 1, "{label}");
        }
        for label in ["1", "2", "3", "workers", "CPUs: 2"] {
            assert_eq!(texts.iter().filter(|text| **text == label).count(), 3, "{label}");
        }
        assert_eq!(texts.iter().filter(time).collect::<Vec<_>>(), [&"5 ms", &"10 ms", &"20 ms"]);
        for (i, points) in [1, 3, 2].into_iter().enumerate() {
            assert_eq!(markers(&svg, i), 3 * points + 1, "curve {i}");
        }
    }

    #[test]
    fn only_a_study_that_grows_is_scaled_and_only_too_many_workers_are_marked() {
        let row = Row { weak: true, cpus: 3, ..study() };
        let svg = drawn_svg(&[row]);
        assert!(texts(&svg).contains(&"scaled speedup (times serial)"));
        assert!(!svg.contains("CPUs"));
    }

    #[test]
    fn a_png_has_its_size_and_every_curve() {
        let (width, height, pixels) = decoded(&drawn(&[study(), study()], "PNG"));
        assert_eq!((width, height), (WIDTH * PNG_FINE, 2 * HEIGHT * PNG_FINE));
        let (first, second) = pixels.split_at(pixels.len() / 2);
        assert_eq!(first, second);
        assert_eq!(first[..3], [255; 3]);
        for look in &LOOKS[..3] {
            let RGBColor(red, green, blue) = look.colour;
            let count = first.chunks_exact(3).filter(|pixel| **pixel == [red, green, blue]).count();
            assert!(count > 500, "{:?}: {count} pixels", look.shape);
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
    fn odd_studies_are_drawn_too() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 0.0, -1.0, 1e-300];
        let at = |workers, number: f64| Spot {
            workers,
            seconds: number,
            low: number,
            high: number,
            speedup: number,
            efficiency: number,
        };
        let odd = Curve {
            name: "odd".to_owned(),
            is_single: false,
            points: odd.map(|number| at(2, number)).to_vec(),
        };
        let huge = |workers: [usize; 2]| Curve {
            is_single: false,
            name: "h\u{1b}u\nge & long ".repeat(40),
            points: vec![at(workers[0], 1000.0), at(workers[1], 0.0001)],
        };
        let limits = Curve {
            is_single: false,
            name: String::new(),
            points: vec![at(1, LARGEST), at(usize::MAX, 1.0 / LARGEST), at(0, 1.0)],
        };
        let mut cases = vec![
            vec![],
            vec![curve("none", &[])],
            vec![curve("one", &[(1, 0.5)])],
            vec![curve("many at once", &[(64, 0.5), (64, 0.6)])],
            vec![odd.clone()],
            vec![odd, huge([1, 4]), huge([1, 1000])],
            vec![huge([3, 3])],
            vec![limits],
            vec![curve("all", &(1..300).map(|workers| (workers, 1.0)).collect::<Vec<_>>())],
        ];
        cases.extend((1..=9).map(|count| vec![curve("c", &[(1, 0.5), (2, 0.3)]); count]));
        cases.push(vec![curve("a name of some length", &[(1, 0.5)]); 60]);
        let mut rows = Vec::new();
        for curves in cases {
            for cpus in [0, 1, 2, 1000] {
                rows.push(Row { curves: curves.clone(), cpus, weak: cpus == 1, ..study() });
            }
        }
        let svg = drawn_svg(&rows);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert!(svg.chars().all(|c| c == '\n' || !c.is_control()));
        // Letters cost the most time: a few rows will do.
        for rows in rows.chunks(20) {
            decoded(&drawn(&rows[..1], "png"));
        }
    }

    #[test]
    fn what_is_no_number_is_left_out_where_it_is_none() {
        let mut row = study();
        row.curves[1].points[2].speedup = f64::NAN;
        row.curves[2].points.clear();
        let svg = drawn_svg(&[row]);
        assert_eq!(markers(&svg, 1), 3 * 3 - 1 + 1);
        assert_eq!(markers(&svg, 2), 1);
        assert!(texts(&svg).contains(&"pool (no points)"));
        assert_eq!(texts(&svg).iter().filter(|text| **text == "3").count(), 3);
    }

    #[test]
    fn curves_differ_in_lightness() {
        let mut grey = LOOKS
            .map(|Look { colour: RGBColor(red, green, blue), .. }| {
                // As a colour picture is turned into grey (ITU-R BT.601).
                (299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue)) / 1000
            })
            .to_vec();
        grey.sort_unstable();
        assert!(grey.windows(2).all(|two| two[1] - two[0] >= 16), "{grey:?}");
        assert!(grey[6] < 140);
    }

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.1.as_str()).collect()
    }

    #[test]
    fn axes_have_round_ticks() {
        assert_eq!(labels(&Axis::linear(1.1)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&Axis::linear(1150.0)), ["0", "200", "400", "600", "800", "1000"]);
        assert_eq!(
            labels(&Axis::of_seconds(&[0.0004, 0.0021])),
            ["200 µs", "500 µs", "1 ms", "2 ms", "5 ms"]
        );
        assert_eq!(labels(&Axis::of_seconds(&[0.01])), ["10 ms", "20 ms"]);
        assert_eq!(
            labels(&Axis::of_seconds(&[2e-6, 0.3])).join(" "),
            "1 µs 10 µs 100 µs 1 ms 10 ms 100 ms 1 s"
        );
        assert_eq!(labels(&Axis::of_speedup(&[0.9, 14.0], &[1, 2, 16], 0)), ["1", "2", "4", "8", "16"]);
        assert_eq!(labels(&Axis::of_speedup(&[0.9, 1.1], &[1, 16], 1)), ["0.5", "1", "2"]);
    }

    #[test]
    fn workers_are_spaced_by_powers_only_where_they_span_much() {
        let middle = |workers: &[usize], cpus| Axis::of_workers(workers, cpus).part(workers[1] as f64);
        assert!((middle(&[1, 2, 3], 4) - 0.5).abs() < 1e-12);
        assert!((middle(&[2, 9, 16], 64) - 0.5).abs() < 1e-12);
        assert!((middle(&[2, 8, 32], 64) - 0.5).abs() < 1e-12);
        assert!((middle(&[4, 17], 2) - 0.9).abs() < 0.06);
    }

    #[test]
    fn dashes_go_on_around_corners() {
        let corner = [(0.0, 0.0), (4.0, 0.0), (4.0, 6.0)];
        assert_eq!(pieces(&corner, &[]), [corner.to_vec()]);
        assert_eq!(
            pieces(&corner, &[3.0, 0.5]),
            [
                vec![(0.0, 0.0), (3.0, 0.0)],
                vec![(3.5, 0.0), (4.0, 0.0), (4.0, 2.5)],
                vec![(4.0, 3.0), (4.0, 6.0)],
            ]
        );
        assert_eq!(pieces(&corner[..1], &[3.0]), Vec::<Vec<Place>>::new());
    }
}
