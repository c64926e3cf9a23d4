//! Reductions as they are typed, before it is known what they are of.

use crate::base::error::{Error, Result, nearest};
use crate::base::fmt::listed;
use crate::op::reduce::bins::{self, Bins};
use crate::op::reduce::{HIST, all};

/// A reduction as typed: `sum`, `sum(x)`, `hist:10:0:1` or `hist(x):10:0:1`.
pub(super) struct Typed<'a> {
    pub(super) name: &'a str,
    pub(super) column: Option<&'a str>,
    /// What stands behind the first colon.
    pub(super) arguments: Option<&'a str>,
}

impl<'a> Typed<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self> {
        let text = text.trim();
        let wrong = |why: &str| Err(Error::Usage(format!("--reduce {text}: {why}")));
        let end = text.find(['(', ':']).unwrap_or(text.len());
        let (name, rest) = (text[..end].trim(), &text[end..]);
        let (column, rest) = match rest.strip_prefix('(') {
            None => (None, rest),
            Some(rest) => match rest.rfind(')') {
                Some(end) => (Some(rest[..end].trim().trim_matches('`')), &rest[end + 1..]),
                None => return wrong("a bracket is not closed"),
            },
        };
        let arguments = match rest.trim() {
            "" => None,
            rest => match rest.strip_prefix(':') {
                Some(arguments) => Some(arguments),
                None => return wrong("it is the name of a reduction, or NAME(COLUMN)"),
            },
        };
        if name.is_empty() {
            return wrong("between two commas there is no name");
        }
        if name != HIST && !all().iter().any(|reduction| reduction.name == name) {
            let names = || all().iter().map(|reduction| reduction.name).chain([HIST]);
            let hint = match nearest(name, names()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("there are {}", listed(names())),
            };
            return Err(Error::Usage(format!("--reduce {text}: unknown reduction '{name}'; {hint}")));
        }
        if column == Some("") {
            return wrong("there is no name in the brackets");
        }
        if name == HIST && arguments.is_some_and(|text| text.contains('(')) {
            return wrong("the column comes first, as in hist(x):10");
        }
        if name != HIST && arguments.is_some() {
            return wrong("only hist has numbers behind colons");
        }
        Ok(Self { name, column, arguments })
    }

    /// Is it a `hist` whose range is to be found?
    pub(super) fn is_unbounded(&self) -> bool {
        self.name == HIST && self.arguments.is_some_and(|text| !text.contains(':') && !text.trim().is_empty())
    }

    /// What stands in brackets, with these.
    pub(super) fn suffix(&self) -> String {
        self.column.map_or(String::new(), |column| format!("({column})"))
    }

    /// The bins of a `hist`.
    pub(super) fn bins(&self) -> Result<Bins> {
        let text = self.arguments.unwrap_or_default();
        if self.is_unbounded() {
            return Err(Error::Usage(format!(
                "--reduce {HIST}:{text}: here it also wants from where to where its bins reach: {HIST}:{text}:0:1"
            )));
        }
        let wrong = |why: String| Error::Usage(format!("--reduce {HIST}:{text}: {why}"));
        let words: Vec<&str> = text.split(':').collect();
        let &[count, low, high] = &words[..] else {
            return Err(wrong(
                "it wants how many bins, and may say from where to where they reach: hist:10:0:1".into(),
            ));
        };
        let count = count.trim().parse().ok().filter(|count| (1..=bins::MOST).contains(count));
        let count = count.ok_or_else(|| wrong(format!("there can be 1 to {} bins", bins::MOST)))?;
        let end = |word: &str| word.trim().parse::<f64>().ok().filter(|end| end.is_finite());
        match (end(low), end(high)) {
            (Some(low), Some(high)) if low < high && (high - low).is_finite() => {
                Ok(Bins::new(count, low, high))
            }
            (Some(_), Some(_)) => Err(wrong("the second end must be greater than the first".into())),
            _ => Err(wrong("the ends are finite numbers".into())),
        }
    }
}

/// The reductions that `text` lists, with commas between them.
pub fn split(text: &str) -> Vec<String> {
    let (mut items, mut depth) = (vec![String::new()], 0usize);
    for letter in text.chars() {
        depth = match letter {
            '(' => depth + 1,
            ')' => depth.saturating_sub(1),
            _ => depth,
        };
        match (letter, depth) {
            (',', 0) => items.push(String::new()),
            _ => items.last_mut().into_iter().for_each(|item| item.push(letter)),
        }
    }
    items
}

/// The reductions that find the ranges of bins that have none among `items`.
pub fn ends_of_unbounded(items: &[String]) -> Vec<String> {
    let typed = items.iter().filter_map(|item| Typed::parse(item).ok());
    let ends = typed
        .filter(Typed::is_unbounded)
        .flat_map(|hist| ["min", "max"].map(|end| end.to_owned() + &hist.suffix()));
    let mut wanted: Vec<String> = Vec::new();
    ends.for_each(|end| {
        if !wanted.contains(&end) {
            wanted.push(end)
        }
    });
    wanted
}

/// The reductions `items` with the ranges of all bins, where `ends` are what [`ends_of_unbounded`] has come to. As numpy
/// has it, bins of a single value reach half to each side of that, and those of none from 0 to 1.
///
/// # Errors
/// An end is infinite, or there are NaNs; or the items are none.
pub fn bounded(items: &[String], ends: &[(String, f64)]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for item in items {
        let hist = Typed::parse(item)?;
        if !hist.is_unbounded() {
            all.push(item.clone());
            continue;
        }
        let of = |end: &str| -> Vec<(&str, f64)> {
            let named = ends.iter().filter_map(|(name, value)| Some((name.strip_prefix(end)?, *value)));
            named.filter(|(suffix, _)| hist.column.is_none() || *suffix == hist.suffix()).collect()
        };
        for ((suffix, low), (_, high)) in of("min").into_iter().zip(of("max")) {
            let (low, high) = match (low, high) {
                (low, high) if low == high => (low - 0.5, high + 0.5),
                (low, high) => (low, high),
            };
            // Also where they are so far apart, or so large, that bins have no width.
            if !(high - low).is_finite() || low >= high {
                return Err(Error::Failed(format!(
                    "--reduce {item}: the values reach from {low:?} to {high:?}, which is no range; give one: \
                     {item}:0:1"
                )));
            }
            all.push(format!("{HIST}{suffix}:{}:{low:?}:{high:?}", hist.arguments.unwrap_or_default()));
        }
    }
    Ok(all)
}

/// Checks what can be checked of reductions before it is known which columns there are.
///
/// # Errors
/// There is no such reduction, or it is not spelled so.
pub fn check(items: &[String]) -> Result<()> {
    items.iter().try_for_each(|item| {
        let typed = Typed::parse(item)?;
        match typed.name {
            // The range does not matter yet.
            HIST if typed.is_unbounded() => {
                let all = format!("{}:0:1", typed.arguments.unwrap_or_default());
                Typed { arguments: Some(&all), ..typed }.bins().map(drop)
            }
            HIST => typed.bins().map(drop),
            _ => Ok(()),
        }
    })
}
