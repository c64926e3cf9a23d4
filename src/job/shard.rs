//! One part of a task's input, for job arrays: how it is typed, which share of the input it is, and what the
//! file of its results is called. Who makes the parts, and how they are joined, is not known here.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::atomic_file::{is_descriptor, names_folder};
use crate::base::error::{Error, Result};
use crate::base::fmt::ranges;
use crate::data::fraction::Fraction;

/// Into how many parts an input can be cut: more than the elements that any cluster lets a job array have.
pub const MOST_PARTS: u64 = 1_000_000;

/// How much of its input a task works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardMode {
    /// All of it; in a scaling study, what that takes.
    Whole,
    /// One part, which has its results in a file of its own.
    Shard(Shard),
    /// None: the results of so many parts are joined.
    Merged(u64),
}

impl ShardMode {
    /// What `--part` and `--join` say.
    ///
    /// # Errors
    /// There is no such part, or no such number of them.
    pub fn of(part: Option<&str>, join: Option<i64>) -> Result<Self> {
        match (part, join) {
            (Some(part), _) => Shard::parse(part).map(Self::Shard),
            (None, None) => Ok(Self::Whole),
            (None, Some(n)) => match u64::try_from(n).ok().filter(|n| (1..=MOST_PARTS).contains(n)) {
                Some(n) => Ok(Self::Merged(n)),
                None => Err(Error::Usage(format!(
                    "--join {n}: how many parts there are, a number from 1 to {MOST_PARTS}"
                ))),
            },
        }
    }
}

/// Why parts of what is random, which have been given no seed, are none of one whole.
pub fn no_seed() -> Error {
    Error::Usage(
        "--part, --join: all parts are of what is chosen or drawn at random once; give each of them the same seed, as in \
         --seed 1"
            .into(),
    )
}

/// Part `number`, from 1, of `of` parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Shard {
    pub number: u64,
    pub of: u64,
}

impl Shard {
    /// Reads `K/N`.
    ///
    /// # Errors
    /// It is not of that form, or there is no such part.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::Usage(format!("--part {text}: {why}; write K/N, as in 1/8 for the first of eight parts"))
        };
        let (number, of) = text.split_once('/').ok_or_else(|| wrong("no '/' in it"))?;
        let whole = |word: &str| word.trim().parse::<u64>().ok();
        let (Some(number), Some(of)) = (whole(number), whole(of)) else {
            return Err(wrong("K and N are whole numbers"));
        };
        if of > MOST_PARTS {
            return Err(wrong(&format!("there can be {MOST_PARTS} parts at the most")));
        }
        if number == 0 || number > of {
            return Err(wrong("K is a number from 1 to N"));
        }
        Ok(Self { number, of })
    }

    /// All parts, in order.
    pub fn all(of: u64) -> impl Iterator<Item = Self> {
        (1..=of).map(move |number| Self { number, of })
    }

    /// The share of the input that it is. Those of all parts cover the input, and are of nearly the same size.
    pub fn share(self) -> Fraction {
        Fraction { from: self.number - 1, to: self.number, whole: self.of }
    }

    /// The file of its results, where those of all parts together go to `whole`: `squares.csv` has
    /// `squares.part-2-of-8.csv`. What is open already (`/dev/stderr`) is meant as it is, and a folder's name
    /// (`nodir/`) stays wrong.
    pub fn file(self, whole: &Path) -> PathBuf {
        if is_descriptor(whole) || names_folder(whole) {
            return whole.to_owned();
        }
        let mut name = whole.file_stem().unwrap_or_default().to_owned();
        name.push(format!(".part-{}-of-{}", self.number, self.of));
        if let Some(extension) = whole.extension() {
            name.push(".");
            name.push(extension);
        }
        whole.with_file_name(name)
    }

    /// `part-2-of-8`.
    fn of_infix(text: &str) -> Option<Self> {
        let (number, of) = text.strip_prefix("part-")?.split_once("-of-")?;
        Some(Self { number: number.parse().ok()?, of: of.parse().ok()? })
    }
}

/// As typed.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// What a file that stands beside a whole says of one of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Done,
    /// Its run has failed, or has been stopped.
    CutShort,
    /// It is being made; or its run was killed, and could not tidy up.
    Begun,
}

/// All files of parts beside `whole`, in the order of the parts.
fn files_beside(whole: &Path) -> Vec<(Shard, State, PathBuf)> {
    let folder = whole.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let part_of = |name: &str| {
        let rest = name.strip_prefix(&*whole.file_stem()?.to_string_lossy())?.strip_prefix('.')?;
        let (infix, rest) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
        let rest = match whole.extension() {
            Some(extension) => rest.strip_prefix('.')?.strip_prefix(&*extension.to_string_lossy())?,
            None => rest,
        };
        let state = match rest {
            "" => State::Done,
            ".partial" => State::CutShort,
            _ if rest.starts_with('.') && rest.ends_with(".partial") => State::Begun,
            _ => return None,
        };
        Some((Shard::of_infix(infix)?, state))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let name = entry.file_name();
        let (part, state) = part_of(&name.to_string_lossy())?;
        Some((part, state, whole.with_file_name(name)))
    });
    let mut found: Vec<_> = found.collect();
    found.sort_unstable_by_key(|(part, ..)| (part.of, part.number));
    found
}

/// Sees that the results of all `of` parts of `whole` are there.
///
/// # Errors
/// Says which are not, what there is instead, and how to make them.
pub fn check_all_there(whole: &Path, of: u64) -> Result<()> {
    let missing: Vec<Shard> = Shard::all(of).filter(|part| !part.file(whole).exists()).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let ranges = ranges(missing.iter().map(|part| part.number));
    let is_one = missing.len() == 1;
    let mut text = format!(
        "cannot join {}: {} {ranges} of {of} {} missing, {}{}",
        whole.display(),
        if is_one { "part" } else { "parts" },
        if is_one { "is" } else { "are" },
        if is_one { "" } else { "the first of them " },
        first.file(whole).display()
    );
    let beside = files_beside(whole);
    for (wanted, what) in [
        (State::CutShort, "of one that was cut short"),
        (State::Begun, "of one that is being made, or was killed"),
    ] {
        let found = |(part, state, _): &&(Shard, State, PathBuf)| *state == wanted && missing.contains(part);
        let found: Vec<_> = beside.iter().filter(found).collect();
        if let [(_, _, path), others @ ..] = &found[..] {
            let more =
                if others.is_empty() { String::new() } else { format!(", with {} more", others.len()) };
            text += &format!("; {} is {what}{more}", path.display());
        }
    }
    let mut others: Vec<u64> =
        beside.iter().filter(|file| file.1 == State::Done).map(|file| file.0.of).collect();
    others.retain(|n| *n != of);
    others.sort_unstable();
    others.dedup();
    let listed = others.iter().map(u64::to_string).collect::<Vec<_>>().join(" and ");
    match others.first() {
        Some(n) if missing.len() as u64 == of => {
            return Err(Error::Failed(format!(
                "{text}; there are parts of {listed}, which --join {n} joins"
            )));
        }
        Some(_) => text += &format!("; there are also parts of {listed}, which are not the same"),
        None => {}
    }
    text += &format!(
        ". Make {} with the same command and --part {first}{} in place of --join {of}; in a job array: \
         --array={ranges}",
        if is_one { "it" } else { "them" },
        if is_one { "" } else { ", and so on," },
    );
    Err(Error::Failed(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::format::is_of_shard;
    use proptest::prelude::*;

    #[test]
    fn a_part_is_named_in_front_of_the_extension() {
        let file = |whole: &str| Shard { number: 2, of: 8 }.file(Path::new(whole)).display().to_string();
        assert_eq!(file("squares.csv"), "squares.part-2-of-8.csv");
        assert_eq!(file("a/b.c/out.tar.gz"), "a/b.c/out.tar.part-2-of-8.gz");
        assert_eq!(file("a.b/out"), "a.b/out.part-2-of-8");
        assert_eq!(file("/dev/stderr"), "/dev/stderr");
        assert!(is_of_shard("part-2-of-8") && !is_of_shard("part-2"));
    }

    #[test]
    fn what_is_no_part_is_refused() {
        assert_eq!(Shard::parse("8/8").unwrap(), Shard { number: 8, of: 8 });
        for (text, why) in
            [("3", "no '/'"), ("0/4", "from 1"), ("5/4", "from 1"), ("a/4", "whole"), ("1/9999999", "most")]
        {
            let message = Shard::parse(text).unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
        }
    }

    proptest! {
        #[test]
        fn parts_cover_the_input_and_are_even(total in any::<u64>(), of in 1u64..2000) {
            let mut at = 0;
            for part in Shard::all(of) {
                let range = part.share().of(total);
                prop_assert_eq!(range.start, at);
                let size = range.end - range.start;
                prop_assert!(size == total / of || size == total.div_ceil(of));
                at = range.end;
            }
            prop_assert_eq!(at, total);
        }
    }
}
