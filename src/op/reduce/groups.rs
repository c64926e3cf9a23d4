//! Rows of a block put into groups and reduced, and the states of all blocks put together.
//!
//! What a block comes to is one message: how long it is, and of each group its key and the states of its columns. A
//! message says all that is known of a block, so that no worker needs to remember what it has seen before.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::base::error::{Error, Result};
use crate::base::fmt::shown;
use crate::base::lanes::Lanes;
use crate::data::schema::{ColumnType, Schema};
use crate::data::texts::{KnownTexts, Texts};
use crate::op::accumulator::{Accumulator, ResultRow, headings, table_text, words};
use crate::op::reduce::extremes::Rows;
use crate::op::reduce::state::{State, word};
use crate::op::reduce::{Of, Reduce};

/// Bytes that the states of all groups may take on the root.
const MOST_MEMORY: usize = 64 << 20;
/// Of each group, besides its state: its key, and its place in the table of keys.
const OF_A_GROUP: usize = 64;

/// Scatters keys: one multiplication, because keys are words that nobody has chosen to collide.
#[derive(Default)]
struct Scatter(u64);

impl Hasher for Scatter {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

type ByKey<T> = HashMap<u64, T, BuildHasherDefault<Scatter>>;

/// The key of a number: the same for numbers that are equal, and for all floats that are no numbers.
fn key(dtype: ColumnType, bits: u64) -> u64 {
    match (dtype, f64::from_bits(bits)) {
        (ColumnType::F64, x) if x.is_nan() => f64::NAN.to_bits(),
        (ColumnType::F64, 0.0) => 0,
        _ => bits,
    }
}

/// The rows of a block, reduced as they come.
pub struct BlockStates {
    reduce: Reduce,
    lanes: Lanes,
    /// Type of the keys.
    by: Option<(usize, ColumnType)>,
    /// States of all rows, where there are no groups; else of the group that is reduced just now.
    states: Vec<State>,
    /// Values that are there, where others are missing.
    gathered: Vec<u64>,
    groups: Groups,
    /// The first row of the block.
    start: u64,
    message: Vec<u8>,
}

/// The rows of a block that have been put into groups, until all are there.
#[derive(Default)]
struct Groups {
    numbers: ByKey<u32>,
    /// Keys that are texts, whose words stand for them.
    texts: KnownTexts,
    keys: Vec<u64>,
    /// Of each row its group, and where in the block it stands.
    rows: Vec<(u32, u32)>,
    /// Of each column its values in these rows.
    columns: Vec<Values>,
}

/// Values of a column.
#[derive(Default, Clone)]
struct Values {
    words: Vec<u64>,
    /// Which of them are missing, ascending.
    missing: Vec<u32>,
}

impl BlockStates {
    /// For blocks of rows whose columns are of types `dtypes`, computed with `lanes`.
    pub fn new(reduce: &Reduce, dtypes: &[ColumnType], lanes: Lanes) -> Self {
        let by = reduce.by.map(|k| (k, dtypes.get(k).copied().unwrap_or(ColumnType::I64)));
        Self {
            reduce: reduce.clone(),
            lanes,
            by,
            states: reduce.states(),
            gathered: Vec::new(),
            groups: Groups::default(),
            start: 0,
            message: Vec::new(),
        }
    }

    /// Begins with a block whose first row is number `start`.
    pub fn begin(&mut self, start: u64) {
        self.states = self.reduce.states();
        self.start = start;
        let groups = &mut self.groups;
        groups.numbers.clear();
        groups.texts.clear();
        groups.keys.clear();
        groups.rows.clear();
        groups.columns.resize(self.reduce.columns.len(), Values::default());
        groups.columns.iter_mut().for_each(|values| {
            values.words.clear();
            values.missing.clear();
        });
    }

    /// Adds rows from number `at` of the block on, whose columns are `x`, with their answers `y`; their texts are those of
    /// `memory`. A row that `lacks` a value of a column is none of its values.
    pub fn add(
        &mut self,
        at: usize,
        x: &[&[u64]],
        memory: &[u8],
        y: &[u64],
        lacks: Option<&dyn Fn(Of, usize) -> bool>,
    ) {
        let count = x.first().map_or(y.len(), |column| column.len());
        let column = |of: Of| match of {
            Of::Input(k) => x[k],
            Of::Answers => y,
        };
        let has_value = |of: Of, row: usize| !lacks.is_some_and(|lacks| lacks(of, row));
        if let Some((k, dtype)) = self.by {
            let Groups { numbers, texts, keys, rows, columns } = &mut self.groups;
            for (row, bits) in x[k].iter().enumerate() {
                if !has_value(Of::Input(k), row) {
                    // Of no group.
                    continue;
                }
                let key = match dtype {
                    // Texts of a block are 4 MiB at most, so that there is room for all.
                    ColumnType::Bytes => {
                        texts.word(Texts { input: memory, made: &[] }.get(*bits)).unwrap_or_default()
                    }
                    _ => key(dtype, *bits),
                };
                let group = *numbers.entry(key).or_insert_with(|| {
                    keys.push(key);
                    keys.len() as u32 - 1
                });
                rows.push((group, (at + row) as u32));
                for ((of, ..), Values { words, missing }) in self.reduce.columns.iter().zip(&mut *columns) {
                    if !has_value(*of, row) {
                        missing.push(words.len() as u32);
                    }
                    words.push(column(*of)[row]);
                }
            }
            return;
        }
        let first = self.start + at as u64;
        for ((of, ..), state) in self.reduce.columns.iter().zip(&mut self.states) {
            let values = column(*of);
            if lacks.is_none() || (0..count).all(|row| has_value(*of, row)) {
                state.add(self.lanes, values, Rows::From(first));
                continue;
            }
            let places: Vec<u32> =
                (0..count).filter(|row| has_value(*of, *row)).map(|row| row as u32).collect();
            self.gathered.clear();
            self.gathered.extend(places.iter().map(|row| values[*row as usize]));
            state.add(self.lanes, &self.gathered, Rows::At(first, &places));
            state.missing += (count - places.len()) as u64;
        }
    }

    /// What [`BlockStates::message`] has made of the last block.
    pub fn last_message(&self) -> &[u8] {
        &self.message
    }

    /// All rows have been added: what they come to.
    pub fn message(&mut self) -> &[u8] {
        let Self { reduce, lanes, by, states, groups, start, message, .. } = self;
        message.clear();
        message.extend([0; size_of::<u64>()]);
        if reduce.by.is_none() {
            message.extend(0u64.to_le_bytes());
            states.iter().for_each(|state| state.save(message));
        } else {
            let has_texts = matches!(by, Some((_, ColumnType::Bytes)));
            save_groups(reduce, *lanes, groups, has_texts, *start, message);
        }
        let len = message.len() as u64;
        message[..size_of::<u64>()].copy_from_slice(&len.to_le_bytes());
        message
    }
}

/// Appends keys and states of all groups, in the order in which they have come.
fn save_groups(
    reduce: &Reduce,
    lanes: Lanes,
    groups: &Groups,
    has_texts: bool,
    start: u64,
    message: &mut Vec<u8>,
) {
    let Groups { texts, keys, rows, columns, .. } = groups;
    // Rows sorted by group, as they have come within each: where each group begins, and then which rows are of it.
    let mut begins = vec![0usize; keys.len() + 1];
    rows.iter().for_each(|(group, _)| begins[*group as usize + 1] += 1);
    for i in 1..begins.len() {
        begins[i] += begins[i - 1];
    }
    let (mut next, mut sorted) = (begins.clone(), vec![0u32; rows.len()]);
    for (i, (group, _)) in rows.iter().enumerate() {
        let place = &mut next[*group as usize];
        sorted[*place] = i as u32;
        *place += 1;
    }
    let (mut values, mut places) = (Vec::new(), Vec::new());
    for (number, key) in keys.iter().enumerate() {
        let own = &sorted[begins[number]..begins[number + 1]];
        match has_texts {
            true => {
                let text = texts.texts().get(*key);
                message.extend((text.len() as u64).to_le_bytes());
                message.extend_from_slice(text);
            }
            false => message.extend(key.to_le_bytes()),
        }
        for ((_, dtype, needs), Values { words, missing }) in reduce.columns.iter().zip(columns) {
            let mut state = State::new(*dtype, needs);
            let there = own.iter().filter(|row| missing.is_empty() || missing.binary_search(row).is_err());
            values.clear();
            places.clear();
            for row in there {
                values.push(words[*row as usize]);
                places.push(rows[*row as usize].1);
            }
            state.add(lanes, &values, Rows::At(start, &places));
            state.missing = (own.len() - values.len()) as u64;
            state.save(message);
        }
    }
}

/// The states of all blocks, put together on the root.
pub struct Reduced {
    reduce: Reduce,
    /// Type of the keys.
    by: ColumnType,
    /// Keys that are texts, whose words stand for them.
    texts: KnownTexts,
    /// Of all rows, where there are no groups.
    states: Vec<State>,
    groups: ByKey<Box<[u8]>>,
    /// Bytes that the groups take.
    memory: usize,
    /// A message that has come in part.
    waiting: Vec<u8>,
}

impl Reduced {
    /// Of no blocks yet. Keys are of type `by`.
    pub fn new(reduce: &Reduce, by: ColumnType) -> Self {
        Self {
            reduce: reduce.clone(),
            by,
            texts: KnownTexts::default(),
            states: reduce.states(),
            groups: ByKey::default(),
            memory: 0,
            waiting: Vec::new(),
        }
    }

    /// Adds the groups of one message.
    fn take(&mut self, mut message: &[u8]) -> Result<()> {
        let damaged = || Error::Failed("what a worker has sent is damaged".into());
        while !message.is_empty() {
            let mut key = word(&mut message).ok_or_else(damaged)?;
            if !self.reduce.has_groups() {
                self.states.iter_mut().try_for_each(|state| state.merge(&mut message)).ok_or_else(damaged)?;
                continue;
            }
            let mut of_key = 0;
            if self.by == ColumnType::Bytes {
                let len = usize::try_from(key).unwrap_or(usize::MAX);
                let (text, rest) = message.split_at_checked(len).ok_or_else(damaged)?;
                (key, message) = (self.texts.word(text).ok_or_else(damaged)?, rest);
                // Where it lies, and by what it is found.
                of_key = 2 * len;
            }
            let mut states = self.reduce.states();
            states.iter_mut().try_for_each(|state| state.merge(&mut message)).ok_or_else(damaged)?;
            if let Some(mut known) = self.groups.get(&key).map(|known| &**known) {
                states.iter_mut().try_for_each(|state| state.merge(&mut known)).ok_or_else(damaged)?;
            }
            let mut saved = Vec::new();
            states.iter().for_each(|state| state.save(&mut saved));
            self.memory += saved.len() + OF_A_GROUP + of_key;
            if let Some(before) = self.groups.insert(key, saved.into()) {
                self.memory -= before.len() + OF_A_GROUP + of_key;
            }
            if self.memory > MOST_MEMORY {
                return Err(Error::Failed(format!(
                    "--by {}: there are more than {} groups, and no more memory is set aside for them ({} MiB)",
                    self.reduce.by_name,
                    crate::base::fmt::grouped(self.groups.len() as u64),
                    MOST_MEMORY >> 20
                )));
            }
        }
        Ok(())
    }
}

impl Accumulator for Reduced {
    fn texts(&self) -> Texts<'_> {
        self.texts.texts()
    }

    fn forget_begun(&mut self) {
        self.waiting.clear();
    }

    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.waiting.extend_from_slice(bytes);
        while let Some(len) = word(&mut &self.waiting[..]) {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            if self.waiting.len() < len {
                break;
            }
            let message: Vec<u8> = self.waiting.drain(..len).collect();
            self.take(message.get(size_of::<u64>()..).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Without groups a name and a value on each line.
    fn text(&self, rows: &[ResultRow], table: &Schema) -> Vec<u8> {
        let names = headings(table);
        let lines: String = match (self.reduce.has_groups(), rows) {
            (false, [row]) => {
                let words = words(row, table, self.texts());
                names.iter().zip(words).map(|(name, word)| format!("{name}\t{word}\n")).collect()
            }
            _ => return table_text(rows, table, self.texts()),
        };
        lines.into_bytes()
    }

    /// In the order of their keys.
    fn rows(&self, may_lack: bool) -> Result<(Vec<ResultRow>, u64)> {
        let damaged = || Error::Failed("what a worker has sent is damaged".into());
        let mut missing = 0;
        let mut row = |key: Option<u64>, states: &[State]| {
            missing += states.first().map_or(0, |state| state.missing);
            let answers = self.reduce.answers(states)?;
            if let Some(lacking) = answers.iter().position(Option::is_none).filter(|_| !may_lack) {
                let name = &self.reduce.fields[lacking].name;
                let of = match key {
                    Some(key) => {
                        let key = match self.by.number() {
                            Some(dtype) => dtype.text(key),
                            None => format!("'{}'", shown(self.texts().get(key))),
                        };
                        format!(" where {} is {key}", self.reduce.by_name)
                    }
                    None => String::new(),
                };
                return Err(Error::Item(format!(
                    "{name}: there are too few values{of}; --keep-going leaves a gap"
                )));
            }
            Ok(key.into_iter().map(Some).chain(answers).collect())
        };
        if !self.reduce.has_groups() {
            let only = row(None, &self.states)?;
            return Ok((vec![only], missing));
        }
        let mut keys: Vec<u64> = self.groups.keys().copied().collect();
        keys.sort_unstable_by(|a, b| match self.by {
            ColumnType::I64 => (*a as i64).cmp(&(*b as i64)),
            ColumnType::F64 => f64::from_bits(*a).total_cmp(&f64::from_bits(*b)),
            ColumnType::Bytes => self.texts().get(*a).cmp(self.texts().get(*b)),
        });
        let rows = keys.into_iter().map(|key| {
            let mut states = self.reduce.states();
            let mut saved = self.groups.get(&key).map_or(&[][..], |saved| saved);
            states.iter_mut().try_for_each(|state| state.merge(&mut saved)).ok_or_else(damaged)?;
            row(Some(key), &states)
        });
        let rows = rows.collect::<Result<_>>()?;
        Ok((rows, missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::schema::{ColumnType, Field, Schema};
    use crate::op::reduce::split;
    use proptest::prelude::*;

    fn schema() -> Schema {
        let field = |name: &str, dtype| Field { name: name.to_owned(), dtype };
        Schema { fields: vec![field("k", ColumnType::F64), field("x", ColumnType::I64)] }
    }

    fn reduced(reduce: &Reduce, rows: &[(f64, i64)], cuts: &[usize], chunk: usize) -> Vec<ResultRow> {
        let mut all = Reduced::new(reduce, ColumnType::F64);
        let mut block = BlockStates::new(reduce, &[ColumnType::F64, ColumnType::I64], Lanes::best());
        for cut in cuts.windows(2) {
            block.begin(cut[0] as u64);
            for (i, rows) in rows[cut[0]..cut[1]].chunks(7).enumerate() {
                let keys: Vec<u64> = rows.iter().map(|(key, _)| key.to_bits()).collect();
                let values: Vec<u64> = rows.iter().map(|(_, value)| *value as u64).collect();
                block.add(i * 7, &[&keys, &values], &[], &[], None);
            }
            let message = block.message().to_vec();
            // Cut off by a death, and then anew.
            all.add(&message[..message.len() / 2]).unwrap();
            all.forget_begun();
            message.chunks(chunk).for_each(|chunk| all.add(chunk).unwrap());
        }
        all.rows(false).unwrap().0
    }

    proptest! {
        #[test]
        fn groups_do_not_hang_on_blocks_and_chunks(
            rows in prop::collection::vec((prop::sample::select(vec![0.0, -0.0, 1.5, -2.0, f64::NAN, f64::INFINITY]), -50i64..50), 1..300),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4), chunk in 1usize..500,
        ) {
            let items = split("count,sum(x),min(x),argmax(x),var(x)");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(rows.len())).chain([0, rows.len()]).collect();
            cuts.sort_unstable();
            for by in [None, Some("k")] {
                let reduce = Reduce::bind(&items, &schema(), &[], by, 0).unwrap();
                let whole = reduced(&reduce, &rows, &[0, rows.len()], usize::MAX);
                prop_assert_eq!(&reduced(&reduce, &rows, &cuts, chunk), &whole);
                let count: u64 = whole.iter().map(|row| row[usize::from(by.is_some())].unwrap()).sum();
                prop_assert_eq!(count, rows.len() as u64);
                for row in whole.iter().filter(|_| by.is_some()) {
                    let key = f64::from_bits(row[0].unwrap());
                    let own: Vec<(usize, i64)> = rows.iter().enumerate()
                        .filter(|(_, (k, _))| *k == key || k.is_nan() && key.is_nan())
                        .map(|(i, (_, x))| (i, *x)).collect();
                    prop_assert_eq!(row[2], Some(own.iter().map(|(_, x)| x).sum::<i64>() as u64));
                    let greatest = own.iter().map(|(_, x)| x).max().unwrap();
                    let first = own.iter().find(|(_, x)| x == greatest).unwrap().0;
                    prop_assert_eq!(row[4], Some(first as u64));
                }
            }
        }
    }

    #[test]
    fn groups_without_end_are_an_error() {
        let reduce = Reduce::bind(&split("sum(x)"), &schema(), &[], Some("k"), 0).unwrap();
        let mut all = Reduced::new(&reduce, ColumnType::F64);
        let mut block = BlockStates::new(&reduce, &[ColumnType::F64, ColumnType::I64], Lanes::best());
        let fault = (0..100u64).find_map(|i| {
            let keys: Vec<u64> = (0..20_000).map(|k| ((i * 20_000 + k) as f64).to_bits()).collect();
            block.begin(i * 20_000);
            block.add(0, &[&keys, &vec![1; keys.len()]], &[], &[], None);
            all.add(block.message()).err()
        });
        assert!(fault.unwrap().to_string().contains("--by k: there are more than"));
    }

    #[test]
    fn damaged_messages_are_errors() {
        let reduce = Reduce::bind(&split("sum(x)"), &schema(), &[], None, 0).unwrap();
        for bytes in [[255u8; 40], [9; 40]] {
            let mut all = Reduced::new(&reduce, ColumnType::F64);
            let message = [&40u64.to_le_bytes()[..], &bytes[..32]].concat();
            assert!(all.add(&message).is_err());
        }
    }
}
