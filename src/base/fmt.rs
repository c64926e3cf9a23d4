//! Numbers, sizes and words as people read them.

/// How much of a wrong line a message shows.
const SHOWN: usize = 60;

/// The middle one, or the mean of the middle two; 0 for none.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => 0.0,
        n if n % 2 == 1 => numbers[n / 2],
        n => (numbers[n / 2 - 1] + numbers[n / 2]) / 2.0,
    }
}

/// `1 rank`, `4 ranks`, `2 processes`, `1,234,567 bytes`.
pub fn counted(count: u64, what: &str) -> String {
    let plural = if what.ends_with('s') { "es" } else { "s" };
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { plural })
}

/// The first of some names, and how many more there are: `x, y, z`, or `a, b, … and 5 more`.
pub fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    /// Of more only the first are named.
    const NAMED: usize = 20;
    let names: Vec<&str> = names.collect();
    match names.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..NAMED].join(", ")),
    }
}

/// `1,234,567`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Numbers in order as people write them, and as `taskset -c` and `sbatch --array` take them: `2,5-7`.
pub fn ranges(numbers: impl Iterator<Item = u64>) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let words = runs.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    words.collect::<Vec<_>>().join(",")
}

/// Bytes in the unit that suits them, in steps of 1000.
pub fn size(bytes: f64) -> String {
    if bytes < 1000.0 {
        return format!("{bytes:.0} B");
    }
    let (number, unit) = scaled(bytes, ["B", "kB", "MB", "GB", "TB"]);
    format!("{number} {unit}")
}

/// A number in thousands, millions and so on.
pub fn scaled(number: f64, units: [&str; 5]) -> (String, &str) {
    let step = ((number.max(1.0).log10() / 3.0).floor() as usize).min(units.len() - 1);
    (three_digits(number / 1000f64.powi(step as i32)), units[step])
}

/// `1.23`, `12.3`, `123`.
pub fn three_digits(number: f64) -> String {
    let decimals = match number.abs() {
        n if n >= 99.95 || n == 0.0 => 0,
        n if n >= 9.995 => 1,
        _ => 2,
    };
    format!("{number:.decimals$}")
}

/// As much of a wrong word as a message shows.
pub fn shown(word: &[u8]) -> String {
    let start: String = String::from_utf8_lossy(word).chars().take(SHOWN).collect();
    let dots = if word.len() > start.len() { "…" } else { "" };
    format!("{}{dots}", start.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(counted(1, "rank"), "1 rank");
        assert_eq!(counted(1234567, "byte"), "1,234,567 bytes");
        assert_eq!(counted(123, "byte"), "123 bytes");
        assert_eq!([1, 2].map(|n| counted(n, "worker process")), ["1 worker process", "2 worker processes"]);
        assert_eq!((size(999.0), size(5_458_199.0)), ("999 B".to_owned(), "5.46 MB".to_owned()));
    }

    #[test]
    fn numbers_as_ranges() {
        assert_eq!(ranges([2, 5, 6, 7, 9, 10].into_iter()), "2,5-7,9-10");
        assert_eq!(ranges([].into_iter()), "");
    }
}
