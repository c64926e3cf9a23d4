//! A look into JSON: lists of objects, and where they come from. The list is read element by element.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::base::error::{Error, Result};
use crate::base::fmt::counted;
use crate::cmd::show::{Look, Table};
use crate::input::csv::{Bounded, LONGEST_RECORD};
use crate::input::open;
use crate::output::provenance::{self, Provenance};

/// One object with `results` and `parpy`.
pub fn look(path: &Path, rows: usize) -> Result<Look> {
    let (file, left) = Bounded::new(open(path)?);
    let found = RefCell::new(Sampled { look: Look::default(), table: Table::default(), rows, left });
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(file));
    let outcome = Whole(&found).deserialize(&mut json).and_then(|()| json.end());
    outcome.map_err(|e| wrong(path, e))?;
    let Sampled { mut look, mut table, .. } = found.into_inner();
    table.shape = counted(table.count(), "result");
    look.tables.push(table);
    Ok(look)
}

/// An object on each line.
pub fn look_at_lines(path: &Path, rows: usize) -> Result<Look> {
    let mut found =
        Sampled { look: Look::default(), table: Table::default(), rows, left: Rc::new(Cell::new(0)) };
    let (mut file, mut line) = (BufReader::new(open(path)?), Vec::new());
    for number in 1u64.. {
        line.clear();
        let read = file.by_ref().take(LONGEST_RECORD as u64 + 1).read_until(b'\n', &mut line);
        let wrong = |why: &str| Error::Failed(format!("{}, line {number}: {why}", path.display()));
        match read.map_err(|e| Error::io("read", path, &e))? {
            0 => break,
            count if count > LONGEST_RECORD => {
                return Err(wrong(&format!("it is longer than {} MiB", LONGEST_RECORD >> 20)));
            }
            _ => {}
        }
        let row = serde_json::from_slice(&line).map_err(|e| wrong(&format!("it is not JSON ({e})")))?;
        found.push(row);
    }
    let Sampled { look: mut seen, mut table, .. } = found;
    table.shape = counted(table.count(), "line");
    seen.tables.push(table);
    Ok(seen)
}

fn wrong(path: &Path, error: serde_json::Error) -> Error {
    if error.is_io() {
        return Error::io("read", path, &error.into());
    }
    Error::Failed(format!("cannot read {}: it is not JSON, or it is cut off ({error})", path.display()))
}

/// What has been read so far.
struct Sampled {
    look: Look,
    table: Table,
    rows: usize,
    /// How much may be read for the next row.
    left: Rc<Cell<usize>>,
}

impl Sampled {
    fn push(&mut self, row: Value) {
        self.left.set(LONGEST_RECORD);
        let word = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let row = match row {
            Value::Object(members) => {
                if self.table.header.is_empty() {
                    self.table.header = members.keys().cloned().collect();
                }
                members.values().map(word).collect()
            }
            other => vec![word(&other)],
        };
        self.table.push(row, self.rows);
    }
}

/// The object around all.
struct Whole<'a>(&'a RefCell<Sampled>);

/// The list of results in it.
struct Results<'a>(&'a RefCell<Sampled>);

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match &*key {
                "results" => map.next_value_seed(Results(self.0))?,
                "parpy" => {
                    // The job in it has all values that were typed.
                    self.0.borrow().left.set(provenance::LONGEST as usize);
                    let known: Map<String, Value> = map.next_value()?;
                    self.0.borrow_mut().look.origin = Some(Provenance(known));
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> std::result::Result<(), A::Error> {
        Results(self.0).visit_seq(seq)
    }
}

impl<'de> DeserializeSeed<'de> for Results<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Results<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        while let Some(row) = seq.next_element::<Value>()? {
            self.0.borrow_mut().push(row);
        }
        Ok(())
    }
}
