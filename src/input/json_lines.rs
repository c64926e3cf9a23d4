//! Rows from JSON lines: an object on each line, whose members are columns, front to back and by several threads.
//!
//! Held in memory: a buffer of lines, and no line longer than [`LONGEST_LINE`].

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::base::error::{Error, Result, did_you_mean};
use crate::base::fmt::{listed, shown};
use crate::base::fork_join;
use crate::data::batch::BatchWriter;
use crate::data::dtype::Dtype;
use crate::data::schema::Schema;
use crate::input::Source;
use crate::input::lines::{LineBuffer, Whole, fill_up, likely, parts};
use crate::input::look::Ahead;
use crate::input::stamp::Stamp;
use crate::input::text::{Input, LOOKED_AT};
use crate::job::input::{of_columns, split_columns};

/// Bytes of the longest line.
const LONGEST_LINE: usize = 4 * 1024 * 1024;
/// Bytes that a line has in most files, at the most.
const LIKELY_LINE: usize = 256;

/// Rows of JSON objects.
pub struct Objects {
    lines: LineBuffer,
    path: PathBuf,
    threads: usize,
    columns: Vec<(String, Dtype)>,
    /// Members without a number are passed over.
    may_lack: bool,
    /// One has been passed over, and said.
    has_lacked: bool,
    /// Lines passed.
    line: u64,
    failed: Option<Error>,
}

impl Objects {
    /// The members that `part` names, with commas between them; without it all of the first object. As numbers of type
    /// `dtype`, or else each of that of its first ones.
    ///
    /// # Errors
    /// The first line is no object, or there are no such members in it, or one that nobody has chosen holds no numbers.
    pub fn open(
        reader: Box<dyn Input>,
        path: &Path,
        part: Option<&str>,
        dtype: Option<Dtype>,
        may_lack: bool,
        threads: usize,
    ) -> Result<Self> {
        let ahead = Ahead::of(reader).map_err(|e| Error::io("read", path, &e))?;
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
        let is_number = |text: &&str| *text == "null" || text.parse::<f64>().is_ok();
        let mut columns = Vec::new();
        for name in &chosen {
            if !is_there(name) {
                let near = did_you_mean(name, names.iter().copied());
                let there = listed(names.iter().copied());
                return Err(wrong(format!("its objects have no member {name}; they have {there}{near}")));
            }
            let values_here = values(name);
            let is_chosen = part.is_some() || chosen.len() == 1;
            if let Some(text) = values_here.first().filter(|text| !is_chosen && !is_number(text)) {
                let is_of_numbers = |name: &&&str| values(name).first().is_none_or(is_number);
                let others: Vec<&str> = names.iter().filter(is_of_numbers).copied().collect();
                return Err(wrong(format!(
                    "its member {name} holds text ('{}'); take those of numbers: --from {}",
                    words(text),
                    of_columns(path, &others)
                )));
            }
            columns.push((name.clone(), dtype.unwrap_or_else(|| Dtype::of_words(values_here.into_iter()))));
        }
        if columns.is_empty() {
            return Err(wrong("its objects have no members".into()));
        }
        let lines = LineBuffer::behind(&start, ahead.into_rest(), threads);
        let path = path.to_owned();
        Ok(Self { lines, path, threads, columns, may_lack, has_lacked: false, line: 0, failed: None })
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
            Wrong::Missing(column) => {
                let remedy = if self.may_lack { "" } else { "; --keep-going passes over it" };
                format!("member {}: there is no value{remedy}", self.columns[*column].0)
            }
            Wrong::Member(column, text) => {
                let (name, dtype) = &self.columns[*column];
                match text.strip_prefix('"') {
                    Some(_) => format!("member {name}: it is the text '{}', and no number", words(text)),
                    None => format!("member {name}: {}", dtype.complaint(&shown(text.as_bytes()))),
                }
            }
        };
        Error::Failed(format!("{}, line {line}: {what}", self.path.display()))
    }

    /// Parses lines that wait into rows behind the first `row` of `batch`. Returns how many rows.
    fn parse(&mut self, whole: usize, batch: &mut BatchWriter, row: usize) -> (usize, Result<()>) {
        let room = batch.capacity() - row;
        let lines = likely(&self.lines.waiting()[..whole], room.saturating_mul(LIKELY_LINE));
        let parts = parts(lines, self.threads, room);
        let (columns, may_lack) = (&self.columns, self.may_lack);
        let jobs = parts.iter().map(|part| {
            let text = &lines[part.bytes.clone()];
            move || Parsed::of(text, columns, may_lack)
        });
        let parsed = fork_join::run(jobs);
        let (mut count, mut passed_over) = (0, None);
        for (part, parsed) in parts.iter().zip(parsed) {
            let start = row + count;
            for (column, values) in parsed.columns.iter().enumerate() {
                batch.words_mut(column)[start..start + parsed.rows].copy_from_slice(&values[..parsed.rows]);
            }
            parsed.holes.iter().for_each(|(column, hole)| batch.set_null(*column, start + hole));
            count += parsed.rows;
            passed_over = passed_over.or(parsed.passed_over.map(|(line, wrong)| (self.line + line, wrong)));
            if let Some((line, wrong)) = parsed.fault {
                return (count, Err(self.explain(self.line + line, &wrong)));
            }
            self.line += part.lines as u64;
        }
        if let Some((line, wrong)) = passed_over.filter(|_| !self.has_lacked) {
            tracing::warn!("{}; passed over", self.explain(line, &wrong));
            self.has_lacked = true;
        }
        self.lines.pass(parts.last().map_or(0, |part| part.bytes.end));
        (count, Ok(()))
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
struct Wanted<'c>(&'c [(String, Dtype)]);

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
    /// The value of a column is no number.
    Member(usize, String),
}

/// What has been found in the lines of one thread.
struct Parsed {
    rows: usize,
    columns: Vec<Vec<u64>>,
    /// Column and row of what is passed over.
    holes: Vec<(usize, usize)>,
    /// The first of them, and its line, from 1.
    passed_over: Option<(u64, Wrong)>,
    fault: Option<(u64, Wrong)>,
}

impl Parsed {
    fn of(text: &[u8], wanted: &[(String, Dtype)], may_lack: bool) -> Self {
        let columns = vec![Vec::new(); wanted.len()];
        let mut found = Self { rows: 0, columns, holes: Vec::new(), passed_over: None, fault: None };
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
                    found.fault = Some((number, Wrong::Object(why)));
                    return found;
                }
            };
            let mut row = Vec::with_capacity(wanted.len());
            for (column, ((_, dtype), value)) in wanted.iter().zip(values).enumerate() {
                let text = value.map_or("null", RawValue::get);
                match dtype.parse(text) {
                    Some(bits) => row.push(bits),
                    None => {
                        let wrong = match text {
                            "null" => Wrong::Missing(column),
                            text => Wrong::Member(column, text.to_owned()),
                        };
                        if !may_lack {
                            found.fault = Some((number, wrong));
                            return found;
                        }
                        found.holes.push((column, found.rows));
                        found.passed_over.get_or_insert((number, wrong));
                        row.push(0);
                    }
                }
            }
            found.columns.iter_mut().zip(row).for_each(|(column, bits)| column.push(bits));
            found.rows += 1;
        }
        found
    }
}

impl Source for Objects {
    fn schema(&self) -> Schema {
        let names = self.columns.iter().enumerate().map(|(number, (name, _))| (&**name, number + 1));
        Schema::of_table(names, self.columns.iter().map(|(_, dtype)| (*dtype).into()))
    }

    fn fill(&mut self, batch: &mut BatchWriter) -> Result<usize> {
        let mut failed = self.failed.take();
        let filled = fill_up(batch.capacity(), &mut failed, |count| match self.whole(count == 0) {
            Ok(0) => (0, Ok(false)),
            Ok(whole) => {
                let (found, outcome) = self.parse(whole, batch, count);
                (found, outcome.map(|()| true))
            }
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
            let mut at = 0;
            for line in self.lines.waiting()[..whole].split_inclusive(|byte| *byte == b'\n') {
                if skipped == count {
                    break;
                }
                skipped += u64::from(!line.trim_ascii().is_empty());
                self.line += 1;
                at += line.len();
            }
            self.lines.pass(at);
        }
        Ok(skipped)
    }

    fn stamp(&self) -> Stamp {
        self.lines.descriptor().map_or(Stamp::NONE, Stamp::of_descriptor)
    }
}
