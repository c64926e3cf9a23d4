//! Rows from JSON lines: an object on each line, whose members are columns, front to back and by several threads.
//!
//! Held in memory: a buffer of lines, and no line longer than [`LONGEST_LINE`].

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::base::error::{Error, Result, did_you_mean};
use crate::base::fmt::{listed, shown};
use crate::base::fork_join;
use crate::data::batch::BatchWriter;
use crate::data::dtype::Dtype;
use crate::data::schema::{ColumnType, Schema};
use crate::input::Source;
use crate::input::lines::{LineBuffer, Whole, fill_up, parts};
use crate::input::look::Ahead;
use crate::input::parsed::{Parsed, for_batch, gather, is_text, too_long};
use crate::input::stamp::Stamp;
use crate::input::text::{Input, LOOKED_AT};
use crate::job::input::{of_columns, split_columns};

/// Bytes of the longest line.
pub const LONGEST_LINE: usize = 4 * 1024 * 1024;
/// Bytes that a line has in most files, at the most.
const LIKELY_LINE: usize = 256;

/// Rows of JSON objects.
pub struct Objects {
    lines: LineBuffer,
    path: PathBuf,
    threads: usize,
    columns: Vec<(String, ColumnType)>,
    /// Members without a number are passed over.
    may_lack: bool,
    /// One has been passed over, and said.
    has_lacked: bool,
    /// Numbers are texts, too, as they are spelled.
    as_texts: bool,
    /// Lines passed.
    line: u64,
    failed: Option<Error>,
}

impl Objects {
    /// The members that `part` names, with commas between them; without it all of the first object. Those that are numbers
    /// are of type `dtype`, or else each of that of its first ones.
    ///
    /// # Errors
    /// The first line is no object, or there are no such members in it, or one that nobody has chosen holds neither
    /// numbers nor texts.
    pub fn open(
        reader: Box<dyn Input>,
        path: &Path,
        part: Option<&str>,
        wanted: Option<ColumnType>,
        may_lack: bool,
        threads: usize,
    ) -> Result<Self> {
        let as_texts = wanted == Some(ColumnType::Bytes);
        let mut ahead = Ahead::of(reader).map_err(|e| Error::io("read", path, &e))?;
        // The first object says which columns there are.
        ahead.read_to_line_end(LONGEST_LINE).map_err(|e| Error::io("read", path, &e))?;
        // A mark that some editors begin a file with is none of its.
        let start = ahead.start();
        let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).to_vec();
        let wrong = |why: String| Error::Failed(format!("cannot read {}: {why}", path.display()));
        // What may be cut off says nothing.
        let end = if start.len() < LOOKED_AT {
            start.len()
        } else {
            memchr::memrchr(b'\n', &start).unwrap_or(start.len())
        };
        let seen: Vec<Members> = start[..end]
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty())
            .map_while(|line| members(line).ok())
            .collect();
        let Some(first) = seen.first() else {
            return Err(match start.trim_ascii() {
                b"" => wrong("it is empty".into()),
                _ => Error::Failed(format!("{}, line 1: it is no JSON object", path.display())),
            });
        };
        let names: Vec<&str> = first.iter().map(|(name, _)| &**name).collect();
        let is_there = |name: &str| seen.iter().any(|members| members.iter().any(|(known, _)| known == name));
        let chosen: Vec<String> = match part {
            None => names.iter().map(|name| (*name).to_owned()).collect(),
            Some(part) if is_there(part) => vec![part.to_owned()],
            Some(part) => split_columns(part),
        };
        let values = |name: &str| -> Vec<&str> {
            let all = seen.iter().flatten().filter(|(known, _)| known == name);
            all.map(|(_, value)| value.get()).collect()
        };
        let is_scalar = |text: &&str| *text == "null" || text.starts_with('"') || text.parse::<f64>().is_ok();
        let mut columns = Vec::new();
        for name in &chosen {
            if !is_there(name) {
                let near = did_you_mean(name, names.iter().copied());
                let there = listed(names.iter().copied());
                return Err(wrong(format!("its objects have no member {name}; they have {there}{near}")));
            }
            let values_here = values(name);
            let is_chosen = part.is_some() || chosen.len() == 1;
            if let Some(text) = values_here.first().filter(|text| !is_chosen && !is_scalar(text)) {
                let is_column = |name: &&&str| values(name).first().is_none_or(is_scalar);
                let others: Vec<&str> = names.iter().filter(is_column).copied().collect();
                return Err(wrong(format!(
                    "its member {name} is neither a number nor a text ('{}'); take the others: --from {}",
                    shown(text.as_bytes()),
                    of_columns(path, &others)
                )));
            }
            let texts = values_here.iter().filter(|text| **text != "null").copied();
            let dtype = wanted.and_then(ColumnType::number);
            let dtype = match as_texts || is_text(texts, false) {
                true => ColumnType::Bytes,
                false => dtype.unwrap_or_else(|| Dtype::of_words(values_here.into_iter())).into(),
            };
            columns.push((name.clone(), dtype));
        }
        if columns.is_empty() {
            return Err(wrong("its objects have no members".into()));
        }
        let lines = LineBuffer::behind(&start, ahead.into_rest(), threads);
        let path = path.to_owned();
        Ok(Self {
            lines,
            path,
            threads,
            columns,
            may_lack,
            has_lacked: false,
            line: 0,
            failed: None,
            as_texts,
        })
    }

    fn failed_to_read(&self, error: &io::Error) -> Error {
        Error::io("read", &self.path, error)
    }

    /// Bytes of whole lines that wait; 0 at the end, and where there are none yet and nobody may wait.
    fn whole(&mut self, may_wait: bool) -> Result<usize> {
        match self.lines.whole(may_wait, LONGEST_LINE).map_err(|e| self.failed_to_read(&e))? {
            Whole::Bytes(count) => Ok(count),
            Whole::TooLong => Err(Error::Failed(format!(
                "{}, line {}: it is longer than {} MiB",
                self.path.display(),
                self.line + 1,
                LONGEST_LINE >> 20
            ))),
        }
    }

    fn explain(&self, line: u64, wrong: &Wrong) -> Error {
        let what = match wrong {
            Wrong::Object(why) => format!("it is no JSON object ({why})"),
            Wrong::Other(why) => why.clone(),
            Wrong::Missing(column) => {
                let remedy = if self.may_lack { "" } else { "; --keep-going passes over it" };
                format!("member {}: there is no value{remedy}", self.columns[*column].0)
            }
            Wrong::Member(column, text) => {
                let (name, dtype) = &self.columns[*column];
                match (text.strip_prefix('"'), dtype.number()) {
                    (_, None) => format!("member {name}: {} is no text", shown(text.as_bytes())),
                    (Some(_), _) => format!("member {name}: it is the text '{}', and no number", words(text)),
                    (None, Some(dtype)) => {
                        format!("member {name}: {}", dtype.complaint(&shown(text.as_bytes())))
                    }
                }
            }
        };
        Error::Failed(format!("{}, line {line}: {what}", self.path.display()))
    }

    /// Parses lines that wait into rows behind the first `row` of `batch`. Returns how many rows.
    fn parse(&mut self, whole: usize, batch: &mut BatchWriter, row: usize) -> (usize, Result<bool>) {
        let dtypes: Vec<ColumnType> = self.columns.iter().map(|(_, dtype)| *dtype).collect();
        let copies = self
            .columns
            .iter()
            .filter(|(_, dtype)| *dtype == ColumnType::Bytes)
            .map(|(name, _)| self.columns.iter().filter(|(other, _)| other == name).count());
        let copies = copies.max().unwrap_or(0);
        let lines = for_batch(&self.lines.waiting()[..whole], LIKELY_LINE, batch, row, copies);
        if lines.is_empty() {
            return (0, Ok(false));
        }
        let parts = parts(lines, self.threads, batch.capacity() - row);
        let (columns, may_lack, as_texts) = (&self.columns, self.may_lack, self.as_texts);
        let jobs = parts.iter().map(|part| {
            let (text, rows, dtypes) = (&lines[part.bytes.clone()], part.lines, &dtypes);
            move || parse_lines(text, rows, columns, dtypes, (may_lack, as_texts))
        });
        let parsed = fork_join::run(jobs);
        let end = parts.last().map_or(0, |part| part.bytes.end);
        let found = match gather(batch, row, &mut self.line, &parts, parsed) {
            Ok(found) => found,
            Err(_) => return (0, Err(self.explain(self.line + 1, &Wrong::Other(too_long())))),
        };
        if let Some((line, wrong)) = found.passed_over.filter(|_| !self.has_lacked) {
            tracing::warn!("{}; passed over", self.explain(line, &wrong));
            self.has_lacked = true;
        }
        if let Some((line, wrong)) = found.fault {
            return (found.rows, Err(self.explain(line, &wrong)));
        }
        self.lines.pass(end);
        (found.rows, Ok(true))
    }
}

/// A value that is a text, without its quotes, as a message shows it.
fn words(text: &str) -> String {
    shown(text.trim_matches('"').as_bytes())
}

/// The members of an object, in order, each as it is spelled.
type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// Those of the object on a line.
fn members(line: &[u8]) -> serde_json::Result<Members<'_>> {
    struct All;

    impl<'de> Visitor<'de> for All {
        type Value = Members<'de>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Self::Value, M::Error> {
            let mut members = Vec::new();
            while let Some(name) = map.next_key_seed(Name)? {
                members.push((name, map.next_value()?));
            }
            Ok(members)
        }
    }

    let mut reader = serde_json::Deserializer::from_slice(line);
    let members = serde::Deserializer::deserialize_map(&mut reader, All)?;
    reader.end().map(|()| members)
}

/// A name, borrowed where nothing in it is escaped.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> std::result::Result<Self::Value, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> std::result::Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }

        from.deserialize_str(Text)
    }
}

/// Those members of an object that are columns.
struct Wanted<'c>(&'c [(String, ColumnType)]);

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Vec<Option<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Self::Value, M::Error> {
        let mut values = vec![None; self.0.len()];
        while let Some(name) = map.next_key_seed(Name)? {
            match self.0.iter().any(|(wanted, _)| *wanted == name) {
                true => {
                    let value: &RawValue = map.next_value()?;
                    for (place, _) in values.iter_mut().zip(self.0).filter(|(_, (wanted, _))| *wanted == name)
                    {
                        *place = Some(value);
                    }
                }
                false => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(values)
    }
}

/// What is wrong with a line.
enum Wrong {
    /// It is no object, as the parser says.
    Object(String),
    /// A column has no value.
    Missing(usize),
    /// The value of a column is no number, or no text.
    Member(usize, String),
    /// It has texts that are too long, as is said.
    Other(String),
}

/// The rows in the lines of one thread, of which there are so many at the most.
fn parse_lines(
    text: &[u8],
    rows: usize,
    wanted: &[(String, ColumnType)],
    dtypes: &[ColumnType],
    (may_lack, as_texts): (bool, bool),
) -> Parsed<Wrong> {
    let mut found = Parsed::new(dtypes, rows);
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let mut reader = serde_json::Deserializer::from_slice(line);
        let values = serde::Deserializer::deserialize_map(&mut reader, Wanted(wanted));
        let values = match values.and_then(|values| reader.end().map(|()| values)) {
            Ok(values) => values,
            Err(error) => {
                // Where in the line is all that its place says.
                let why = error.to_string().replace(" at line 1 column ", " at byte ");
                found.fail(number, Wrong::Object(why));
                return found;
            }
        };
        for (column, (dtype, value)) in dtypes.iter().zip(values).enumerate() {
            let text = value.map_or("null", RawValue::get);
            let is_spelled = as_texts && text != "null" && !text.starts_with('"');
            let is_there = match dtype.number() {
                Some(dtype) => dtype.parse(text).map(|bits| found.put(column, bits)),
                None if is_spelled => Some(text).map(|text| found.put_text(column, text.as_bytes())),
                // As an empty field of a table.
                None if as_texts && text == "null" => Some(()).map(|()| found.put_text(column, b"")),
                None => string(text).map(|text| found.put_text(column, text.as_bytes())),
            };
            if is_there.is_some() {
                continue;
            }
            let wrong = match text {
                "null" => Wrong::Missing(column),
                text => Wrong::Member(column, text.to_owned()),
            };
            if !may_lack {
                found.fail(number, wrong);
                return found;
            }
            found.pass_over(column, number, wrong);
        }
        found.rows += 1;
    }
    found
}

/// The text that a JSON string is; `None` where it is no string.
fn string(text: &str) -> Option<Cow<'_, str>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    Name.deserialize(&mut reader).ok()
}

impl Source for Objects {
    fn schema(&self) -> Schema {
        let names = self.columns.iter().enumerate().map(|(number, (name, _))| (&**name, number + 1));
        Schema::of_table(names, self.columns.iter().map(|(_, dtype)| *dtype))
    }

    fn fill(&mut self, batch: &mut BatchWriter) -> Result<usize> {
        let mut failed = self.failed.take();
        let filled = fill_up(batch.capacity(), &mut failed, |count| match self.whole(count == 0) {
            Ok(0) => (0, Ok(false)),
            Ok(whole) => self.parse(whole, batch, count),
            Err(error) => (0, Err(error)),
        });
        self.failed = failed;
        filled
    }

    fn count(&self) -> Option<u64> {
        None
    }

    fn skip(&mut self, count: u64) -> Result<u64> {
        let mut skipped = 0;
        while skipped < count {
            let whole = self.whole(true)?;
            if whole == 0 {
                break;
            }
            let is_row = |line: &[u8]| !line.trim_ascii().is_empty();
            skipped += self.lines.skip(whole, count - skipped, &mut self.line, is_row);
        }
        Ok(skipped)
    }

    fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        self.lines.awaited().filter(|_| self.failed.is_none())
    }

    fn stamp(&self) -> Stamp {
        self.lines.stamp()
    }
}
