//! The words of a command with the parts of an item in place of placeholders, as GNU parallel has them; of a section of a
//! file only its number and its worker, as it has no value.

use std::borrow::Cow;

use crate::base::error::Result;
use crate::data::random::ItemSeeds;
use crate::data::schema::Schema;
use crate::job::command::SEED;
use crate::job::shard;

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// As it is.
    Text(Vec<u8>),
    /// Of the item: a column, or all of them.
    Value(Option<usize>, Trim),
    /// The item's number from 1, `{#}`.
    Number,
    /// The same from 0, `{row}`.
    Row,
    /// The number of the worker, `{slot}`.
    Slot,
    /// The item's seed, `{seed}`.
    Seed,
}

/// What is left of a value that is the name of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trim {
    /// All of it.
    Nothing,
    /// `{.}`: without what stands behind its last dot.
    Extension,
    /// `{/}`: without its folder.
    Folder,
    /// `{//}`: its folder.
    Name,
    /// `{/.}`: without its folder, and what stands behind its last dot.
    FolderAndExtension,
}

/// Behind a column, or alone.
const TRIMS: [(&str, Trim); 4] =
    [("/.", Trim::FolderAndExtension), ("//", Trim::Name), ("/", Trim::Folder), (".", Trim::Extension)];

impl Trim {
    fn of(self, value: &[u8]) -> &[u8] {
        let base = |value: &[u8]| memchr::memrchr(b'/', value).map_or(0, |at| at + 1);
        let dot = |value: &[u8]| {
            let from = base(value);
            memchr::memrchr(b'.', &value[from..]).map_or(value.len(), |at| from + at)
        };
        match self {
            Self::Nothing => value,
            // A name that begins with its only dot keeps it, as GNU parallel's does not: `.bashrc` is no extension.
            Self::Extension if dot(value) == base(value) => value,
            Self::Extension => &value[..dot(value)],
            Self::Folder => &value[base(value)..],
            Self::FolderAndExtension => Self::Extension.of(Self::Folder.of(value)),
            Self::Name => match base(value) {
                0 => b".",
                1 => b"/",
                at => &value[..at - 1],
            },
        }
    }
}

/// An item as a command is given it.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    /// The values of its columns.
    pub values: &'a [Cow<'a, [u8]>],
    /// Its number, from 0.
    pub row: u64,
    /// The worker's number.
    pub slot: usize,
}

/// A command with placeholders, bound to the columns that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    words: Vec<Vec<Part>>,
    /// All words are one line for a shell.
    shell: bool,
    columns: usize,
    /// Those of items, where the run has one.
    seeds: Option<ItemSeeds>,
}

impl Template {
    /// Of `words`, in which columns of `schema` may be named. Where they have no placeholder at all, the item comes last.
    pub fn new<'w>(words: impl Iterator<Item = &'w [u8]>, shell: bool, schema: &Schema) -> Self {
        let mut words: Vec<Vec<Part>> = words.map(|word| parse(word, Some(schema))).collect();
        let is_plain = |parts: &Vec<Part>| parts.iter().all(|part| matches!(part, Part::Text(_)));
        if words.iter().all(is_plain) {
            words.push(vec![Part::Value(None, Trim::Nothing)]);
        }
        Self { words, shell, columns: schema.len(), seeds: None }
    }

    /// Of `words` for sections of a file: what stands for a value is left as it is, and nothing is added.
    pub fn of_sections<'w>(words: impl Iterator<Item = &'w [u8]>, shell: bool) -> Self {
        Self { words: words.map(|word| parse(word, None)).collect(), shell, columns: 0, seeds: None }
    }

    /// The columns whose values it needs.
    pub fn columns(&self) -> Vec<usize> {
        let parts = self.words.iter().flatten();
        if parts.clone().any(|part| matches!(part, Part::Value(None, _))) {
            return (0..self.columns).collect();
        }
        let column = |part: &Part| if let Part::Value(column, _) = part { *column } else { None };
        let mut columns: Vec<usize> = parts.filter_map(column).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// The same in a run with that seed.
    ///
    /// # Errors
    /// It has none, and a word wants one.
    pub fn seeded(self, seed: Option<u64>) -> Result<Self> {
        if seed.is_none() && self.words.iter().flatten().any(|part| *part == Part::Seed) {
            // Else it would have been drawn.
            return Err(shard::no_seed());
        }
        Ok(Self { seeds: seed.map(ItemSeeds::new), ..self })
    }

    /// The seed of item number `row`, counted from 0, where the run has one.
    pub fn seed_of(&self, row: u64) -> Option<u64> {
        self.seeds.as_ref().map(|seeds| seeds.get(row))
    }

    /// The program and its arguments for an item. None of its values has a NUL in it.
    pub fn fill(&self, item: &Item) -> Vec<Vec<u8>> {
        let mut filled: Vec<Vec<u8>> = Vec::new();
        for word in &self.words {
            match &word[..] {
                // All columns are as many words.
                [Part::Value(None, trim)] => {
                    filled
                        .extend(item.values.iter().map(|value| self.protected(trim.of(value)).into_owned()));
                }
                parts => filled.push(self.word(parts, item)),
            }
        }
        match self.shell {
            false => filled,
            true => vec![b"/bin/sh".to_vec(), b"-c".to_vec(), filled.join(&b' ')],
        }
    }

    /// The same as a line of a shell.
    pub fn line(&self, item: &Item) -> Vec<u8> {
        let mut words = self.fill(item);
        if self.shell {
            return words.pop().unwrap_or_default();
        }
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(&b' ')
    }

    fn word(&self, parts: &[Part], item: &Item) -> Vec<u8> {
        let mut word = Vec::new();
        for part in parts {
            match part {
                Part::Text(text) => word.extend_from_slice(text),
                Part::Value(Some(column), trim) => {
                    let value = item.values.get(*column).map_or(&b""[..], |value| trim.of(value));
                    word.extend_from_slice(&self.protected(value));
                }
                Part::Value(None, trim) => {
                    let values: Vec<_> =
                        item.values.iter().map(|value| self.protected(trim.of(value))).collect();
                    word.extend_from_slice(&values.join(&b' '));
                }
                Part::Number => word.extend_from_slice((u128::from(item.row) + 1).to_string().as_bytes()),
                Part::Row => word.extend_from_slice(item.row.to_string().as_bytes()),
                Part::Slot => word.extend_from_slice(item.slot.to_string().as_bytes()),
                Part::Seed => {
                    let seed = self.seed_of(item.row).map(|seed| seed.to_string());
                    word.extend_from_slice(seed.unwrap_or_default().as_bytes());
                }
            }
        }
        word
    }

    /// A value as one word, whatever stands in it, where there is a shell.
    fn protected<'v>(&self, value: &'v [u8]) -> Cow<'v, [u8]> {
        if self.shell { quoted(value) } else { value.into() }
    }
}

/// A word such that a shell takes it for one, whatever stands in it.
fn quoted(word: &[u8]) -> Cow<'_, [u8]> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+=./:,@%".contains(byte);
    if !word.is_empty() && word.iter().all(is_plain) {
        return word.into();
    }
    let mut quoted = vec![b'\''];
    for byte in word {
        match byte {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted.into()
}

/// The parts of a word, in which columns of `schema` may be named; without one nothing stands for a value.
fn parse(word: &[u8], schema: Option<&Schema>) -> Vec<Part> {
    let (mut parts, mut text, mut at) = (Vec::new(), Vec::new(), 0);
    while at < word.len() {
        let end = if word[at] == b'{' { memchr::memchr(b'}', &word[at..]).map(|end| at + end) } else { None };
        let part = end.and_then(|end| placeholder(std::str::from_utf8(&word[at + 1..end]).ok()?, schema));
        match (part, end) {
            (Some(part), Some(end)) => {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(part);
                at = end + 1;
            }
            _ => {
                text.push(word[at]);
                at += 1;
            }
        }
    }
    if !text.is_empty() || parts.is_empty() {
        parts.push(Part::Text(text));
    }
    parts
}

/// What stands for `{name}`; `None` where that is left as it is.
fn placeholder(name: &str, schema: Option<&Schema>) -> Option<Part> {
    let schema = match schema {
        Some(schema) => schema,
        None if ["#", "row", "slot", SEED].contains(&name) => &Schema::default(),
        None => return None,
    };
    let column = |name: &str| {
        let by_number = || name.parse::<usize>().ok()?.checked_sub(1).filter(|column| *column < schema.len());
        schema.position(name).filter(|_| !name.is_empty()).or_else(by_number)
    };
    if let Some(column) = column(name) {
        return Some(Part::Value(Some(column), Trim::Nothing));
    }
    match name {
        "" => return Some(Part::Value(None, Trim::Nothing)),
        "#" => return Some(Part::Number),
        "row" => return Some(Part::Row),
        "slot" => return Some(Part::Slot),
        SEED => return Some(Part::Seed),
        _ => {}
    }
    let (of, trim) = TRIMS.iter().find_map(|(end, trim)| Some((name.strip_suffix(end)?, *trim)))?;
    match of {
        "" => Some(Part::Value(None, trim)),
        of => Some(Part::Value(Some(column(of)?), trim)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::schema::{ColumnType, Field};

    fn schema(names: &[&str]) -> Schema {
        let field = |name: &&str| Field { name: (*name).to_owned(), dtype: ColumnType::Bytes };
        Schema { fields: names.iter().map(field).collect() }
    }

    fn filled(words: &[&str], names: &[&str], values: &[&str], shell: bool) -> Vec<String> {
        let template = Template::new(words.iter().map(|word| word.as_bytes()), shell, &schema(names));
        let template = template.seeded(Some(7)).unwrap();
        let values: Vec<Cow<[u8]>> = values.iter().map(|value| value.as_bytes().into()).collect();
        let filled = template.fill(&Item { values: &values, row: 6, slot: 3 });
        filled.into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn placeholders_stand_for_parts_of_the_item() {
        for (word, value, expected) in [
            ("{}", "a b", "a b"),
            ("x{}y{}", "1", "x1y1"),
            ("{#}/{row}/{slot}", "1", "7/6/3"),
            ("-s{seed}.", "1", "-s257232823."),
            ("{.}", "d.x/a.tar.gz", "d.x/a.tar"),
            ("{.}", "d.x/a", "d.x/a"),
            ("{.}", "d/.bashrc", "d/.bashrc"),
            ("{/}", "d/e/a.txt", "a.txt"),
            ("{/}", "a.txt", "a.txt"),
            ("{//}", "d/e/a.txt", "d/e"),
            ("{//}", "a.txt", "."),
            ("{//}", "/a", "/"),
            ("{/.}", "d/e/a.txt", "a"),
            ("{1}", "x", "x"),
            ("{1.}", "a.b", "a"),
            ("{1/}", "a/b", "b"),
            // Others are left as they are.
            ("{2}{0}{print}{}}{", "x", "{2}{0}{print}x}{"),
            ("{{}}", "x", "{x}"),
            ("{{1}", "x", "{x"),
        ] {
            assert_eq!(filled(&[word], &[""], &[value], false), [expected], "{word} of {value}");
        }
    }

    #[test]
    fn columns_have_names_and_numbers() {
        assert_eq!(filled(&["{seed}{row}"], &["seed"], &["5"], false), ["56"]);
        let columns = (&["a", "row", "x.y"][..], &["1", "2", "3/4.5"][..]);
        let filled = |words: &[&str]| filled(words, columns.0, columns.1, false);
        assert_eq!(filled(&["p", "{a}", "{row}", "{x.y}", "{3/}"]), ["p", "1", "2", "3/4.5", "4.5"]);
        assert_eq!(filled(&["p", "{}", "-{}-"]), ["p", "1", "2", "3/4.5", "-1 2 3/4.5-"]);
        // Without any placeholder the item comes last.
        assert_eq!(filled(&["p", "{b}"]), ["p", "{b}", "1", "2", "3/4.5"]);
        assert_eq!(filled(&["p", "{#}"]), ["p", "7"]);
    }

    #[test]
    fn sections_have_a_number_and_no_value() {
        let words = ["awk", "{print} {} {/} {1}", "{#}-{row}-{slot}-{seed}"];
        let template = Template::of_sections(words.iter().map(|word| word.as_bytes()), false);
        assert!(template.clone().seeded(None).is_err());
        let template = template.seeded(Some(7)).unwrap();
        let filled = template.fill(&Item { values: &[], row: 6, slot: 3 });
        assert_eq!(
            filled,
            ["awk", "{print} {} {/} {1}", "7-6-3-257232823"].map(|word| word.as_bytes().to_vec())
        );
    }

    #[test]
    fn columns_that_are_needed() {
        let columns = |words: &[&str]| {
            Template::new(words.iter().map(|word| word.as_bytes()), false, &schema(&["a", "b", "c"]))
                .columns()
        };
        assert_eq!(columns(&["p", "{c}{a}", "{3.}"]), [0, 2]);
        assert_eq!(columns(&["p", "{#}"]), [0; 0]);
        assert_eq!(columns(&["p"]), [0, 1, 2]);
    }

    #[test]
    fn a_shell_takes_a_value_for_one_word() {
        let line = |value: &str| filled(&["echo", "-{}-", "| cat"], &[""], &[value], true).remove(2);
        assert_eq!(line("a.b/c"), "echo -a.b/c- | cat");
        assert_eq!(line(""), "echo -''- | cat");
        assert_eq!(line("it's $(x)\n"), "echo -'it'\\''s $(x)\n'- | cat");
    }
}
