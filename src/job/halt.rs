//! After how many failed items a run that goes on is given up.

use crate::base::error::{Error, Result};

/// What `--halt` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halt {
    /// Those that run are ended, too.
    pub now: bool,
    /// How many may fail.
    pub limit: Limit,
}

/// When it is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// When so many have failed.
    Count(u64),
    /// When so many of a hundred have failed: of all items, where it is known how many there are, else of those that have
    /// been worked on.
    Percent(u64),
}

/// Of fewer no share is a sign of anything, as GNU parallel has it.
const FEWEST: u64 = 3;

impl Halt {
    /// Reads `now|soon,fail=N|P%`.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self> {
        let parsed = || {
            let (when, limit) = text.split_once(',')?;
            let now = match when {
                "now" => true,
                "soon" => false,
                _ => return None,
            };
            let limit = limit.strip_prefix("fail=")?;
            let limit = match limit.strip_suffix('%') {
                Some(percent) => Limit::Percent(percent.parse().ok().filter(|n| (1..=100).contains(n))?),
                None => Limit::Count(limit.parse().ok().filter(|n| *n > 0)?),
            };
            Some(Self { now, limit })
        };
        parsed().ok_or_else(|| {
            Error::Usage(format!(
                "--halt {text}: it is now or soon, and how many may fail, as in soon,fail=10 or now,fail=5%"
            ))
        })
    }

    /// As typed.
    pub fn text(self) -> String {
        let when = if self.now { "now" } else { "soon" };
        match self.limit {
            Limit::Count(n) => format!("{when},fail={n}"),
            Limit::Percent(n) => format!("{when},fail={n}%"),
        }
    }

    /// Have enough failed, of `done` items that have been worked on, and `total` in all, where that is known?
    pub fn is_reached(self, failed: u64, done: u64, total: Option<u64>) -> bool {
        match self.limit {
            Limit::Count(most) => failed >= most,
            Limit::Percent(percent) => {
                let of = total.unwrap_or(done);
                failed >= FEWEST && u128::from(failed) * 100 >= u128::from(percent) * u128::from(of)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed() {
        for text in ["now,fail=1", "soon,fail=10", "soon,fail=3%", "now,fail=100%"] {
            assert_eq!(Halt::parse(text).unwrap().text(), text);
        }
        for text in
            ["", "now", "fail=1", "never,fail=1", "now,fail=0", "now,fail=101%", "now,fail=x", "soon,done=1"]
        {
            assert!(Halt::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn when_it_is_enough() {
        let reached =
            |text: &str, failed, done, total| Halt::parse(text).unwrap().is_reached(failed, done, total);
        assert!(reached("now,fail=2", 2, 2, None) && !reached("now,fail=2", 1, 100, None));
        assert!(reached("now,fail=10%", 10, 20, Some(100)) && !reached("now,fail=10%", 9, 20, Some(100)));
        assert!(reached("now,fail=10%", 3, 30, None) && !reached("now,fail=10%", 2, 2, None));
    }
}
