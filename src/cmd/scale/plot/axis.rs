//! Axes of pictures of scaling studies: where they begin and end, and what their ticks say. Pure arithmetic.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// Are there more workers than CPUs?
pub fn is_beyond(workers: &[usize], cpus: usize) -> bool {
    cpus > 0 && workers.last().is_some_and(|&most| most > cpus)
}

/// An axis: where it begins and ends, and its ticks.
#[derive(Clone)]
pub struct Axis {
    /// Twice as much is always as far.
    pub is_log: bool,
    /// The least that it shows.
    pub low: f64,
    /// The most.
    pub high: f64,
    /// Numbers in growing order with their labels.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Of numbers of workers in growing order, with ticks at just these; logarithmic where the most is more
    /// than 8 times the fewest.
    pub fn of_workers(workers: &[usize], cpus: usize) -> Self {
        let (Some(&fewest), Some(&most)) = (workers.first(), workers.last()) else {
            return Self { is_log: false, low: 0.0, high: 2.0, ticks: vec![] };
        };
        // The line at the number of CPUs is to be seen.
        let fewest = if is_beyond(workers, cpus) { fewest.min(cpus) } else { fewest };
        let ticks = workers.iter().map(|count| (*count as f64, count.to_string())).collect();
        let is_log = most > fewest.saturating_mul(8);
        let (fewest, most) = (fewest as f64, most as f64);
        let axis = Self { is_log, low: fewest, high: most, ticks };
        if fewest == most {
            let margin = (most / 2.0).max(1.0);
            Self { low: fewest - margin, high: most + margin, ..axis }
        } else {
            axis.widened(0.06)
        }
    }

    /// Of speedups, of the same kind as the axis of these workers. It shows the ideal as far as there are
    /// CPUs.
    pub fn of_speedup(speedups: &[f64], workers: &[usize], cpus: usize) -> Self {
        let most = workers.last().copied().unwrap_or(1);
        let ideal = if cpus > 0 { most.min(cpus) } else { most } as f64;
        let top = speedups.iter().copied().fold(ideal, f64::max);
        if !Self::of_workers(workers, cpus).is_log {
            return Self::linear(top * 1.15);
        }
        let fewest = workers.first().map_or(1.0, |&fewest| fewest as f64);
        let low = speedups.iter().copied().fold(fewest, f64::min) / 1.2;
        let (mut low, mut high) = (low, top * 1.2);
        let ticks = if low > 0.05 && high / low < 3000.0 {
            if high < 4.0 * low {
                // Two powers of two at the least.
                (low, high) = (low.log2().floor().exp2(), high.log2().ceil().exp2());
            }
            let powers = low.log2().ceil() as i32..=high.log2().floor() as i32;
            powers.map(|power| f64::from(power).exp2()).collect::<Vec<_>>()
        } else {
            let (first, last) = (low.log10().ceil() as i32, high.log10().floor() as i32);
            let step = (last - first) / 7 + 1;
            (first..=last).step_by(step as usize).map(power_of_ten).collect()
        };
        Self { is_log: true, low, high, ticks: ticks.into_iter().map(|tick| (tick, short(tick))).collect() }
    }

    /// From 0 to `top`, with ticks at multiples of 1, 2 or 5 times a power of ten.
    pub fn linear(top: f64) -> Self {
        let ten = power_of_ten((top / 6.0).log10().floor() as i32);
        let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * ten).into_iter().find(|step| top / step <= 6.0);
        let step = step.unwrap_or(top);
        let digits = (-step.log10().floor()).max(0.0) as usize;
        let label = |tick: f64| if top < 1e6 { format!("{tick:.digits$}") } else { short(tick) };
        let ticks = (0..).map(|i| f64::from(i) * step).take_while(|tick| *tick <= top);
        Self { is_log: false, low: 0.0, high: top, ticks: ticks.map(|tick| (tick, label(tick))).collect() }
    }

    /// Of seconds, logarithmic, with ticks at 1, 2 and 5 times the powers of ten, or at these alone where
    /// there are many; it has two at least.
    pub fn of_seconds(seconds: &[f64]) -> Self {
        let low = seconds.iter().copied().reduce(f64::min).unwrap_or(0.01);
        let high = seconds.iter().copied().reduce(f64::max).unwrap_or(1.0);
        let decades = (high / low).log10();
        let every = (decades / 7.0).ceil().max(1.0) as usize;
        let mantissas: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let powers = (-15..=15).step_by(every);
        let ticks = powers
            .flat_map(|power| mantissas.iter().map(move |m| (m * power_of_ten(power), unit(*m, power))));
        let ticks = ticks.collect::<Vec<_>>();
        // From the one below the lowest to the one above the highest, as far as a hair counts.
        let first = ticks.iter().rposition(|tick| tick.0 <= low * 1.001).unwrap_or(0);
        let last = ticks.iter().position(|tick| tick.0 >= high * 0.999).unwrap_or(ticks.len() - 1);
        let last = last.max(first + 1);
        let ticks = ticks.into_iter().take(last + 1).skip(first).collect::<Vec<_>>();
        let (low, high) = ticks.first().zip(ticks.last()).map_or((low, high), |(low, high)| (low.0, high.0));
        Self { is_log: true, low, high, ticks }.widened(0.05)
    }

    /// With a margin at both ends, of this part of its length.
    fn widened(self, part: f64) -> Self {
        let (low, high) = (self.at(self.low), self.at(self.high));
        let margin = (high - low) * part;
        let number = |at: f64| if self.is_log { at.exp2() } else { at };
        Self { low: number(low - margin), high: number(high + margin), ..self }
    }

    fn at(&self, number: f64) -> f64 {
        if self.is_log { number.log2() } else { number }
    }

    /// Which part of the axis lies before a number.
    pub fn part(&self, number: f64) -> f64 {
        (self.at(number) - self.at(self.low)) / (self.at(self.high) - self.at(self.low))
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, number: &f64, (start, end): (i32, i32)) -> i32 {
        start + (f64::from(end - start) * self.part(*number)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // The fine ones of a mesh are none of ours.
        if hint.weight().allow_light_points() {
            return vec![];
        }
        self.ticks.iter().map(|tick| tick.0).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, number: &f64) -> String {
        self.ticks.iter().find(|tick| tick.0 == *number).map_or_else(String::new, |tick| tick.1.clone())
    }
}

/// The nearest to a power of ten, which multiplying is not.
fn power_of_ten(power: i32) -> f64 {
    format!("1e{power}").parse().unwrap_or(f64::NAN)
}

/// A number in few letters.
fn short(number: f64) -> String {
    if number == 0.0 || (1e-4..1e6).contains(&number) { number.to_string() } else { format!("{number:e}") }
}

/// So many times ten to this power of seconds, with its unit: `50 ms`.
fn unit(mantissa: f64, power: i32) -> String {
    let (name, unit) = match power {
        0.. => ("s", 0),
        -3..0 => ("ms", -3),
        -6..-3 => ("µs", -6),
        _ => ("ns", -9),
    };
    format!("{} {name}", short(mantissa * power_of_ten(power - unit)))
}
