//! What is said of single items, beside their answers, by who has worked on them: for a log of all items, and for the
//! list of those that have failed. Who writes these is in [`crate::output::items`].

use std::time::Duration;

use bytemuck::{Pod, Zeroable};

use crate::data::schema::ColumnType;
use crate::job::Task;

/// Bytes of a record at the most, besides the values of its row.
pub const MOST: usize = size_of::<Front>() + MOST_HOST + MOST_SAID;

/// Bytes of a value that is a number, and of what stands before any value.
pub const VALUE: usize = 32;

/// Bytes of a host's name.
const MOST_HOST: usize = 64;

/// Bytes of what is said of an item that has failed.
pub const MOST_SAID: usize = 1000;

/// The exit code of what has none, as GNU parallel has it.
pub const NO_EXIT: i32 = -1;

/// The signal of what has killed its workers.
pub const KILLED: i32 = signal_hook::consts::SIGKILL;

/// Which items are to be said something of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Recorded {
    /// None.
    #[default]
    None,
    /// Those that have failed.
    Failed,
    /// All.
    All,
}

impl Recorded {
    /// What `task` wants. Where the type of its answers `is_open`, who learns it must know of which item one is that does not
    /// fit.
    pub fn of(task: &Task, is_open: bool) -> Self {
        match (&task.joblog, &task.failed) {
            (Some(_), _) => Self::All,
            _ if is_open => Self::All,
            (None, Some(_)) => Self::Failed,
            (None, None) => Self::None,
        }
    }
}

/// How an item was worked on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tried {
    /// The exit code of its command; [`NO_EXIT`] where that has none, and 0 of a formula.
    pub exit: i32,
    /// The signal that has ended it; 0 for none.
    pub signal: i32,
    /// When it began, in nanoseconds since 1970.
    pub began: u64,
    /// How long it took, the last time that it was tried.
    pub took: Duration,
    /// Bytes that it was given to read.
    pub given: u64,
    /// Bytes that it has printed.
    pub printed: u64,
    /// The worker's number on its rank.
    pub slot: usize,
    /// The rank.
    pub rank: usize,
}

/// The columns that say where a section of a file is.
pub const OF_SECTION: [&str; 2] = ["start", "length"];

/// A value of an item, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Its type; `None` where it is missing.
    pub dtype: Option<ColumnType>,
    /// As it was typed, or in the shortest form.
    pub text: Vec<u8>,
}

impl Value {
    /// A whole number.
    pub fn number(number: u64) -> Self {
        Self { dtype: Some(ColumnType::I64), text: number.to_string().into_bytes() }
    }
}

/// What is said of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 0: of a row, or of a section of a file.
    pub row: u64,
    /// It has no answer.
    pub has_failed: bool,
    /// How it was worked on.
    pub tried: Tried,
    /// Where.
    pub host: Vec<u8>,
    /// Why it has failed, and the last of what its command has said.
    pub said: Vec<u8>,
    /// Its columns; of a section of a file where it is, its first byte and how many it has.
    pub values: Vec<Value>,
}

/// What is of fixed length.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Front {
    row: u64,
    began: u64,
    took: u64,
    given: u64,
    printed: u64,
    exit: i32,
    signal: i32,
    has_failed: u32,
    slot: u32,
    rank: u32,
    host: u32,
    said: u32,
    values: u32,
}

/// The first `most` bytes.
fn cut(bytes: &[u8], most: usize) -> &[u8] {
    &bytes[..bytes.len().min(most)]
}

impl Record {
    /// Appends it to others on their way to who writes them.
    pub fn put(&self, out: &mut Vec<u8>) {
        let (host, said) = (cut(&self.host, MOST_HOST), cut(&self.said, MOST_SAID));
        let Tried { exit, signal, began, took, given, printed, slot, rank } = self.tried;
        let front = Front {
            row: self.row,
            began,
            took: took.as_nanos() as u64,
            given,
            printed,
            exit,
            signal,
            has_failed: self.has_failed.into(),
            slot: slot as u32,
            rank: rank as u32,
            host: host.len() as u32,
            said: said.len() as u32,
            values: self.values.len() as u32,
        };
        out.extend_from_slice(bytemuck::bytes_of(&front));
        out.extend_from_slice(host);
        out.extend_from_slice(said);
        for Value { dtype, text } in &self.values {
            out.push(match dtype {
                None => 0,
                Some(ColumnType::I64) => 1,
                Some(ColumnType::F64) => 2,
                Some(ColumnType::Bytes) => 3,
            });
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text);
        }
    }

    /// Takes the first of some records off their front; `None` when there are no more.
    pub fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (front, rest) = bytes.split_at_checked(size_of::<Front>())?;
        let front: Front = bytemuck::pod_read_unaligned(front);
        let (host, rest) = rest.split_at_checked(front.host as usize)?;
        let (said, mut rest) = rest.split_at_checked(front.said as usize)?;
        let mut values = Vec::new();
        for _ in 0..front.values {
            let (kind, behind) = rest.split_first()?;
            let (len, behind) = behind.split_first_chunk::<4>()?;
            let (text, behind) = behind.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            let dtype = match kind {
                1 => Some(ColumnType::I64),
                2 => Some(ColumnType::F64),
                3 => Some(ColumnType::Bytes),
                _ => None,
            };
            values.push(Value { dtype, text: text.to_vec() });
            rest = behind;
        }
        *bytes = rest;
        let tried = Tried {
            exit: front.exit,
            signal: front.signal,
            began: front.began,
            took: Duration::from_nanos(front.took),
            given: front.given,
            printed: front.printed,
            slot: front.slot as usize,
            rank: front.rank as usize,
        };
        let (host, said) = (host.to_vec(), said.to_vec());
        Some(Self { row: front.row, has_failed: front.has_failed != 0, tried, host, said, values })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_arrive_as_they_were_put(
            rows in prop::collection::vec((any::<u64>(), any::<bool>(), any::<i32>(), "[a-z]{0,70}", prop::collection::vec(any::<u8>(), 0..1200)), 0..5),
            texts in prop::collection::vec((0usize..4, prop::collection::vec(any::<u8>(), 0..50)), 0..4),
        ) {
            let dtypes = [None, Some(ColumnType::I64), Some(ColumnType::F64), Some(ColumnType::Bytes)];
            let values: Vec<Value> =
                texts.into_iter().map(|(dtype, text)| Value { dtype: dtypes[dtype], text }).collect();
            let mut sent = Vec::new();
            let records: Vec<Record> = rows.into_iter().map(|(row, has_failed, exit, host, said)| {
                let tried = Tried { exit, took: Duration::from_nanos(row >> 1), given: row, slot: 3, ..Tried::default() };
                Record { row, has_failed, tried, host: host.into_bytes(), said, values: values.clone() }
            }).collect();
            records.iter().for_each(|record| record.put(&mut sent));
            let mut rest = &sent[..];
            for record in records {
                let host = cut(&record.host, MOST_HOST).to_vec();
                let said = cut(&record.said, MOST_SAID).to_vec();
                prop_assert_eq!(Record::take(&mut rest), Some(Record { host, said, ..record }));
            }
            prop_assert_eq!(Record::take(&mut rest), None);
        }

        #[test]
        fn whatever_comes_is_no_panic(bytes: Vec<u8>) {
            let mut rest = &bytes[..];
            while Record::take(&mut rest).is_some() {}
        }
    }
}
