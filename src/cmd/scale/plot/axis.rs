//! Axes of pictures of scaling studies: where they begin and end, and what their ticks say. Pure arithmetic.

use std::collections::BTreeSet;

/// An axis: where it begins and ends, and its ticks.
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
    /// From `low` to `high`, with a margin at both ends.
    fn wide(is_log: bool, low: f64, high: f64, ticks: Vec<(f64, String)>) -> Self {
        let (margin, factor) = ((high - low) / 20.0, (high / low).powf(0.05));
        let (low, high) = if is_log { (low / factor, high * factor) } else { (low - margin, high + margin) };
        Self { is_log, low, high, ticks }
    }

    /// From `low` to `high` workers, with ticks at just these numbers; logarithmic where the most is more
    /// than 8 times the fewest.
    pub fn of_workers(workers: &BTreeSet<usize>, low: f64, high: f64) -> Self {
        let ticks = workers.iter().map(|count| (*count as f64, count.to_string())).collect();
        match low < high {
            true => Self::wide(high > 8.0 * low, low, high, ticks),
            false => Self { is_log: false, low: 0.0, high: 2.0 * high, ticks },
        }
    }

    /// From 0 to `top`, with ticks at multiples of 1, 2 or 5 times a power of ten.
    pub fn linear(top: f64) -> Self {
        let power = (top / 6.0).log10().floor() as i32;
        let steps = [(1, power), (2, power), (5, power), (1, power + 1)].map(|(m, power)| exact(m, power));
        let step = steps.into_iter().find(|step| top / step <= 6.0).unwrap_or(top);
        let digits = (-step.log10().floor()).max(0.0) as usize;
        let label = |tick: f64| if top < 1e6 { format!("{tick:.digits$}") } else { short(tick) };
        let ticks = (0..).map(|i| f64::from(i) * step).take_while(|tick| *tick <= top);
        Self { is_log: false, low: 0.0, high: top, ticks: ticks.map(|tick| (tick, label(tick))).collect() }
    }

    /// Of seconds or of ratios, logarithmic, from the tick below the least of them to the one above the most.
    pub fn log(numbers: &[f64], is_time: bool) -> Self {
        let low = numbers.iter().copied().reduce(f64::min).unwrap_or(0.01);
        let high = numbers.iter().copied().reduce(f64::max).unwrap_or(1.0);
        let decades = (high / low).log10();
        let mut ticks = if !is_time && low > 0.05 && decades < 3.5 {
            let powers = (-5..=64).map(|power| f64::from(power).exp2());
            powers.map(|tick| (tick, short(tick))).collect::<Vec<_>>()
        } else {
            let digits: &[u32] = if decades > 3.0 { &[1] } else { &[1, 2, 5] };
            let label = |m, power| if is_time { unit(m, power) } else { short(exact(m, power)) };
            // 1 is one of them, whichever powers are left out.
            let powers = (-24..=24).step_by((decades / 7.0).ceil().max(1.0) as usize);
            powers
                .flat_map(|power| digits.iter().map(move |m| (exact(*m, power), label(*m, power))))
                .collect()
        };
        // As far as a hair counts; two at the least.
        let first = ticks.iter().rposition(|tick| tick.0 <= low * 1.001).unwrap_or(0);
        let last = ticks.iter().position(|tick| tick.0 >= high * 0.999).unwrap_or(ticks.len() - 1);
        ticks.truncate(last.max(first + 1) + 1);
        ticks.drain(..first);
        let (low, high) = ticks.first().zip(ticks.last()).map_or((low, high), |(low, high)| (low.0, high.0));
        Self::wide(true, low, high, ticks)
    }

    /// Which part of the axis lies before a number.
    pub fn part(&self, number: f64) -> f64 {
        match self.is_log {
            true => (number / self.low).ln() / (self.high / self.low).ln(),
            false => (number - self.low) / (self.high - self.low),
        }
    }

    /// Takes away labels that would overlap, each as long as a part of the axis: the ends stay, and rather
    /// powers of two than others.
    pub fn thin_out(&mut self, part_of: impl Fn(&str) -> f64) {
        let ends = [0, self.ticks.len().saturating_sub(1)];
        let is_power = |label: &str| label.parse().is_ok_and(usize::is_power_of_two);
        let mut order = (0..self.ticks.len()).collect::<Vec<_>>();
        order.sort_by_key(|i| (!ends.contains(i), !is_power(&self.ticks[*i].1)));
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for i in order {
            let (number, label) = &self.ticks[i];
            let (middle, length) = (self.part(*number), part_of(label));
            if taken.iter().all(|other| (middle - other.0).abs() * 2.0 >= length + other.1) {
                taken.push((middle, length));
            } else {
                self.ticks[i].1.clear();
            }
        }
    }
}

/// The nearest to this many times ten to this power, which multiplying is not.
fn exact(digit: u32, power: i32) -> f64 {
    format!("{digit}e{power}").parse().unwrap_or(f64::NAN)
}

/// A number in few letters.
fn short(number: f64) -> String {
    if number == 0.0 || (1e-4..1e6).contains(&number) { number.to_string() } else { format!("{number:e}") }
}

/// So many times ten to this power of seconds, with its unit: `50 ms`.
fn unit(digit: u32, power: i32) -> String {
    let units = [("s", 0), ("ms", -3), ("µs", -6)];
    let (name, unit) = units.into_iter().find(|unit| power >= unit.1).unwrap_or(("ns", -9));
    format!("{} {name}", short(exact(digit, power - unit)))
}
