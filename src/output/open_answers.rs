//! Answers of a command of which nobody has said what they are (`--answers`), on their way to a file of columns: texts,
//! until the first of them say which type all have. An answer that is not of that type then is a failed item.
//!
//! The first are a fixed number of answers in the order of the items, so that neither time, nor how blocks are cut, nor who
//! works on them has a say. They are held here until there are so many. Parts of an input have first answers of their own:
//! where all that have answers come to one type, it is the one that the whole comes to.

use std::borrow::Cow;

use crate::base::error::{Error, Result};
use crate::base::fmt::shown;
use crate::data::block::Block;
use crate::data::dtype::Dtype;
use crate::data::schema::ColumnType;
use crate::job::Task;
use crate::op::command::{number, typed};
use crate::op::record::Record;
use crate::op::{BlockResult, Bound};
use crate::output::encode::{Encoding, missing};
use crate::output::packed::{Field, pack_fields, unpack};
use crate::output::{ResultChunk, Sink};

/// How many answers say which type all have: so many that floats are likely to show, so few that they take little memory.
const FIRST: usize = 64;

/// Where answers whose type is open become those of one that is known.
pub struct OpenAnswers<'a> {
    task: &'a Task,
    /// Where they are texts.
    bound: &'a Bound,
    state: State,
}

enum State {
    /// What has come, and what that says.
    Waiting(Vec<Piece<'static>>, Seen),
    /// What the answers are; and are they whole numbers as floats, because some are missing?
    Known(Box<Bound>, bool),
}

/// What some answers say of the type of all.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    answers: usize,
    has_float: bool,
    has_text: bool,
    /// Some are missing, and their file has no way to say that of whole numbers.
    lacks_some: bool,
}

impl Seen {
    fn note(&mut self, answer: ColumnType) {
        self.answers += 1;
        self.has_float |= answer == ColumnType::F64;
        self.has_text |= answer == ColumnType::Bytes;
    }

    /// Do these say it?
    fn are_enough(self) -> bool {
        self.has_text || self.answers >= FIRST
    }

    /// The type, as far as these say it. Of none it is whole numbers, of which a file says which are missing.
    fn dtype(self) -> ColumnType {
        match self {
            Self { has_text: true, .. } => ColumnType::Bytes,
            Self { has_float: true, .. } | Self { lacks_some: true, .. } => ColumnType::F64,
            _ => ColumnType::I64,
        }
    }
}

/// A piece of answer that is for the sink, as [`ResultChunk`] has it.
pub struct Piece<'b> {
    worker: Option<usize>,
    rank: Option<usize>,
    block: Block,
    items: u64,
    bytes: Cow<'b, [u8]>,
}

impl<'b> Piece<'b> {
    fn of(chunk: &ResultChunk<'b>) -> Self {
        let ResultChunk { worker, rank, block, items, bytes } = *chunk;
        Self { worker, rank, block, items, bytes: bytes.into() }
    }

    fn owned(self) -> Piece<'static> {
        let Self { worker, rank, block, items, bytes } = self;
        Piece { worker, rank, block, items, bytes: bytes.into_owned().into() }
    }

    /// As sinks take it.
    pub fn chunk(&self) -> ResultChunk<'_> {
        let Self { worker, rank, block, items, .. } = *self;
        ResultChunk { worker, rank, block, items, bytes: &self.bytes }
    }
}

/// Items that turn out to have no answer when it is taken.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Misfits {
    /// How many.
    pub count: u64,
    /// Why the first has none, where that is the first of its block that has failed.
    pub first: Option<String>,
}

impl<'a> OpenAnswers<'a> {
    /// For the answers of `task`; `None` where their type is known.
    pub fn of(task: &'a Task, bound: &'a Bound) -> Option<Self> {
        bound.is_open.then(|| Self { task, bound, state: State::Waiting(vec![], Seen::default()) })
    }

    /// Takes `chunk`, which is of all rows of its block, or of none. Makes of `answer`, with which it comes, what it is where
    /// some answers do not fit. Returns what is for `sink` now, and the misfits.
    ///
    /// # Errors
    /// The answers are texts, and the file has none; or they cannot be written.
    pub fn fit<'b>(
        &mut self,
        chunk: &ResultChunk<'b>,
        answer: &mut BlockResult,
        sink: &mut dyn Sink,
    ) -> Result<(Vec<Piece<'b>>, Misfits)> {
        let mut pieces: Vec<Piece<'b>> = Vec::new();
        if let State::Waiting(_, seen) = self.state {
            let mut seen = seen;
            let text = self.look(chunk.bytes, &mut seen);
            if !seen.are_enough() {
                if let State::Waiting(waiting, so_far) = &mut self.state {
                    *so_far = seen;
                    waiting.push(Piece::of(chunk).owned());
                }
                return Ok((pieces, Misfits::default()));
            }
            let waiting = self.decide(seen, sink).map_err(|error| match (error, text) {
                (Error::Usage(why), Some((row, text))) => {
                    let item = self.item(&records_of(answer), chunk.block.start + row);
                    Error::Usage(format!("{why}; the answer of {item} is '{}'", shown(&text)))
                }
                (error, _) => error,
            })?;
            pieces.extend(waiting);
        }
        let (piece, misfits) = self.convert(Piece::of(chunk), answer);
        pieces.push(piece);
        Ok((pieces, misfits))
    }

    /// There are no more: returns what is for `sink` still, of the type that those say that there were.
    ///
    /// # Errors
    /// As those of [`OpenAnswers::fit`].
    pub fn end(&mut self, sink: &mut dyn Sink) -> Result<Vec<Piece<'static>>> {
        match self.state {
            State::Waiting(_, seen) => self.decide(seen, sink),
            State::Known(..) => Ok(Vec::new()),
        }
    }

    /// From now on answers are of the type that `seen` says. Returns what has waited for that.
    fn decide(&mut self, seen: Seen, sink: &mut dyn Sink) -> Result<Vec<Piece<'static>>> {
        let dtype = seen.dtype();
        let are_widened = dtype == ColumnType::F64 && !seen.has_float;
        if let (true, State::Waiting(waiting, _)) = (are_widened, &self.state) {
            let rows = waiting.iter().flat_map(|piece| (piece.block.start..).zip(self.rows(&piece.bytes)));
            for (row, (fields, is_gap)) in rows {
                if let (Some(Field::Text(text)), false) = (fields.last(), is_gap)
                    && is_rounded(text)
                {
                    return Err(Error::Item(format!("{}: {}", self.item(&[], row), rounded(text))));
                }
            }
        }
        let known = self.bound.answering(dtype).checked(self.task)?;
        sink.answers_are(self.task, &known);
        match std::mem::replace(&mut self.state, State::Known(Box::new(known), are_widened)) {
            State::Waiting(waiting, _) => {
                // All of them fit: they have said what the type is.
                let fit = |piece| self.convert(piece, &mut BlockResult::default()).0;
                Ok(waiting.into_iter().map(fit).collect())
            }
            State::Known(..) => Ok(Vec::new()),
        }
    }

    /// Do rows on their way say whether they have an answer?
    fn has_gaps(&self) -> bool {
        matches!(Encoding::of(self.task, self.bound), Encoding::Packed { gaps: true })
    }

    /// The rows of `bytes`: their fields, the answer the last, and whether they have none.
    fn rows<'b>(&self, mut bytes: &'b [u8]) -> impl Iterator<Item = (Vec<Field<'b>>, bool)> + use<'b> {
        let dtypes: Vec<ColumnType> = self.bound.table().dtypes().collect();
        let gaps = self.has_gaps();
        std::iter::from_fn(move || unpack(&mut bytes, dtypes.iter().copied(), gaps))
    }

    /// Notes what the answers in `bytes` are until it is known which type all have. Returns the number of the row, and the
    /// answer, that is a text, where there is one.
    fn look(&self, bytes: &[u8], seen: &mut Seen) -> Option<(u64, Vec<u8>)> {
        for (row, (fields, is_gap)) in (0..).zip(self.rows(bytes)) {
            seen.lacks_some |= is_gap && !self.task.keep_going;
            if let (Some(Field::Text(answer)), false) = (fields.last(), is_gap) {
                seen.note(typed(answer));
                if seen.has_text {
                    return Some((row, answer.to_vec()));
                }
                if seen.are_enough() {
                    return None;
                }
            }
        }
        None
    }

    /// The item of row number `row` in a message.
    fn item(&self, records: &[Record], row: u64) -> String {
        let Ok(at) = records.binary_search_by_key(&row, |record| record.row) else {
            return format!("item no. {}", row + 1);
        };
        let text = |text: &[u8], dtype: Option<ColumnType>| match dtype {
            Some(ColumnType::Bytes) => format!("'{}'", shown(text)),
            _ => shown(text),
        };
        match &records[at].values[..] {
            [value] => text(&value.text, value.dtype),
            values => {
                let names = self.bound.info.schema.fields.iter().map(|field| &field.name);
                let words = names.zip(values);
                let words = words.map(|(name, value)| format!("{name} = {}", text(&value.text, value.dtype)));
                words.collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// A piece with answers of the type that is known, and those that are none of it; these become failures of `answer`.
    fn convert<'b>(&self, piece: Piece<'b>, answer: &mut BlockResult) -> (Piece<'b>, Misfits) {
        let State::Known(known, are_widened) = &self.state else { return (piece, Misfits::default()) };
        let Some(dtype) = known.answers().number() else {
            let gaps = self.task.keep_going;
            if gaps == self.has_gaps() {
                return (piece, Misfits::default());
            }
            let mut bytes = Vec::new();
            for (fields, is_gap) in self.rows(&piece.bytes) {
                pack_fields(fields.into_iter(), gaps.then_some(is_gap), &mut bytes);
            }
            return (Piece { bytes: bytes.into(), ..piece }, Misfits::default());
        };
        let is_lost = |is_gap: bool| is_gap && dtype == Dtype::I64 && !self.task.keep_going;
        let mut rows = Rows::new(Encoding::of(self.task, known), dtype);
        let mut misfits: Vec<(u64, String)> = Vec::new();
        let mut records = Vec::new();
        for (row, (fields, is_gap)) in (piece.block.start..).zip(self.rows(&piece.bytes)) {
            let Some((Field::Text(text), inputs)) = fields.split_last() else { continue };
            let found = match is_lost(is_gap) {
                true => Err("its answer is missing, and whole numbers have no way to say that".to_owned()),
                false if *are_widened && is_rounded(text) => Err(rounded(text)),
                false => number(text, dtype),
            };
            match found {
                _ if is_gap && !is_lost(is_gap) => rows.push(inputs, None),
                Ok(bits) => rows.push(inputs, Some(bits)),
                Err(why) => {
                    if misfits.is_empty() {
                        records = records_of(answer);
                    }
                    let item = self.item(&records, row);
                    let why = format!("{item}: {why}, as the first answers are; --answers says another type");
                    misfits.push((row, why));
                    if !self.task.keep_going {
                        break;
                    }
                    rows.push(inputs, None);
                }
            }
        }
        let mut late = Misfits { count: misfits.len() as u64, first: None };
        if let Some((_, why)) = misfits.first() {
            if self.task.keep_going {
                answer.items = answer.items.saturating_sub(late.count);
                answer.failed += late.count;
            } else {
                answer.items = rows.answers.len() as u64;
                answer.failure = Some(Error::Item(why.clone()));
            }
            late.first = patch(&mut records, misfits);
            if let (Some(first), true) = (&late.first, self.task.keep_going) {
                answer.first_failed = Some(first.clone());
            }
            answer.records.clear();
            records.iter().for_each(|record| record.put(&mut answer.records));
        }
        (Piece { bytes: rows.bytes().into(), ..piece }, late)
    }
}

/// Rows with answers of a type that is known, in the encoding that the sink wants them in.
struct Rows {
    encoding: Encoding,
    dtype: Dtype,
    /// Columns of numbers, where there are no others.
    inputs: Vec<Vec<u64>>,
    answers: Vec<u64>,
    gaps: Vec<u8>,
    packed: Vec<u8>,
}

impl Rows {
    fn new(encoding: Encoding, dtype: Dtype) -> Self {
        let inputs = match encoding {
            Encoding::Columns { inputs, .. } => vec![Vec::new(); inputs],
            _ => Vec::new(),
        };
        Self { encoding, dtype, inputs, answers: Vec::new(), gaps: Vec::new(), packed: Vec::new() }
    }

    /// Appends a row of inputs, and an answer where it has one.
    fn push(&mut self, inputs: &[Field], answer: Option<u64>) {
        let bits = answer.unwrap_or(missing(self.dtype.into()));
        self.answers.push(bits);
        if let Encoding::Packed { gaps } = self.encoding {
            let fields = inputs.iter().copied().chain([Field::Number(bits)]);
            return pack_fields(fields, gaps.then_some(answer.is_none()), &mut self.packed);
        }
        for (column, input) in self.inputs.iter_mut().zip(inputs) {
            if let Field::Number(bits) = input {
                column.push(*bits);
            }
        }
        self.gaps.push(answer.is_none().into());
    }

    fn bytes(self) -> Vec<u8> {
        let Encoding::Columns { gaps, .. } = self.encoding else { return self.packed };
        let columns = self.inputs.iter().chain([&self.answers]);
        let mut bytes: Vec<u8> = columns.flatten().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(self.gaps.into_iter().filter(|_| gaps));
        bytes
    }
}

/// Why such a number is none.
fn rounded(text: &[u8]) -> String {
    format!(
        "it has answered {}, which a float would round, and whole numbers have no way to say that others are missing; with \
         --keep-going their files have",
        shown(text)
    )
}

/// Is this a whole number that a float does not hold exactly?
fn is_rounded(text: &[u8]) -> bool {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse::<i64>().ok());
    number.is_some_and(|number| number.unsigned_abs() > 1 << f64::MANTISSA_DIGITS)
}

/// What is said of the rows of a block.
fn records_of(answer: &BlockResult) -> Vec<Record> {
    let mut rest = &answer.records[..];
    std::iter::from_fn(|| Record::take(&mut rest)).collect()
}

/// Says of the rows of `misfits` that they have failed, and why. Returns why the first of all rows that have failed has,
/// where it is one of them.
fn patch(records: &mut [Record], misfits: Vec<(u64, String)>) -> Option<String> {
    let before = records.iter().find(|record| record.has_failed).map(|record| record.row);
    let first = misfits.first().cloned().filter(|(row, _)| before.is_none_or(|before| *row < before));
    for (row, why) in misfits {
        if let Ok(at) = records.binary_search_by_key(&row, |record| record.row) {
            (records[at].has_failed, records[at].said) = (true, why.into_bytes());
        }
    }
    first.map(|(_, why)| why)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proptest::prelude::*;

    use super::*;
    use crate::cli::{Cli, split_words};
    use crate::data::schema::Schema;
    use crate::input::InputInfo;
    use crate::job::Job;
    use crate::observe::report::Report;

    /// Keeps the type that it is told.
    #[derive(Default)]
    struct Kept(Option<ColumnType>);

    impl Sink for Kept {
        fn take(&mut self, _piece: &ResultChunk) -> Result<()> {
            Ok(())
        }

        fn answers_are(&mut self, _task: &Task, bound: &Bound) {
            assert!(self.0.replace(bound.answers()).is_none(), "said twice");
        }

        fn finish(&mut self, _report: &Report) -> Result<()> {
            Ok(())
        }
    }

    /// What rows have come to: the type, the bits of each or none, how many do not fit, and the error that ends it.
    type Outcome = (Option<ColumnType>, Vec<Option<u64>>, u64, Option<String>);

    /// Takes answers in blocks that end at `cuts`.
    fn outcome(answers: &[Option<&str>], cuts: &[usize], keep_going: bool) -> Outcome {
        let words = [
            "parpy",
            "map",
            "--range",
            "0..9",
            "-o",
            "x.npy",
            if keep_going { "-k" } else { "-q" },
            "--exec",
            "echo",
        ];
        let cli = Cli::parse_from(split_words(words.map(Into::into).into()));
        let task = Job::from_cli(&cli, |_| Ok(String::new())).unwrap().tasks.remove(0);
        let info = InputInfo { schema: Schema::single("", Dtype::I64), ..InputInfo::default() };
        let bound = Bound::of(&task, info).unwrap();
        let mut open = OpenAnswers::of(&task, &bound).unwrap();
        let (mut sink, mut all, mut misfits, mut failed) = (Kept::default(), Vec::new(), 0, None);
        let mut keep = |pieces: &[Piece], dtype: Option<ColumnType>| {
            for piece in pieces {
                let count = piece.bytes.len() / (8 + usize::from(keep_going));
                let (words, gaps) = piece.bytes.split_at(count * 8);
                let words = words.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
                let is_gap = |i: usize| gaps.get(i).is_some_and(|gap| *gap == 1);
                let missing = dtype.map(missing);
                all.extend(words.enumerate().map(|(i, word)| {
                    assert!(!is_gap(i) || Some(word) == missing);
                    (!is_gap(i)).then_some(word)
                }));
            }
        };
        let mut start = 0;
        for end in cuts.iter().copied().chain([answers.len()]) {
            let block = Block { start: start as u64, end: end as u64 };
            let mut bytes = Vec::new();
            for answer in &answers[start..end] {
                let text = Field::Text(answer.unwrap_or_default().as_bytes());
                pack_fields([text].into_iter(), keep_going.then_some(answer.is_none()), &mut bytes);
            }
            let chunk = ResultChunk { worker: Some(0), block, bytes: &bytes, ..ResultChunk::default() };
            let items = answers[start..end].iter().flatten().count() as u64;
            let mut answer = BlockResult { items, failed: block.len() - items, ..BlockResult::default() };
            match open.fit(&chunk, &mut answer, &mut sink) {
                Ok((pieces, late)) => {
                    keep(&pieces, sink.0);
                    misfits += late.count;
                    assert!(!keep_going || answer.items + answer.failed == block.len());
                    failed = answer.failure.map(|error| error.to_string());
                }
                Err(error) => failed = Some(error.to_string()),
            }
            if failed.is_some() {
                break;
            }
            start = end;
        }
        if failed.is_none() {
            let pieces = open.end(&mut sink).unwrap();
            keep(&pieces, sink.0);
        }
        (sink.0, all, misfits, failed)
    }

    /// The same, in a few words.
    fn expected(answers: &[Option<&str>], keep_going: bool) -> Outcome {
        let first: Vec<&str> = answers.iter().flatten().take(FIRST).copied().collect();
        let is = |dtype: Dtype| first.iter().all(|word| dtype.parse(word).is_some());
        if let Some(row) = answers.iter().position(|word| {
            word.is_some_and(|word| Dtype::F64.parse(word).is_none() && first.contains(&word))
        }) && !is(Dtype::F64)
        {
            let item = format!("the answer of item no. {} is '{}'", row + 1, answers[row].unwrap());
            return (None, Vec::new(), 0, Some(item));
        }
        let dtype = if is(Dtype::I64) { Dtype::I64 } else { Dtype::F64 };
        let bits: Vec<Option<u64>> =
            answers.iter().map(|word| word.and_then(|word| dtype.parse(word))).collect();
        let misfits = answers.iter().zip(&bits).filter(|(word, bits)| word.is_some() && bits.is_none());
        let end = answers.iter().zip(&bits).position(|(word, bits)| word.is_some() && bits.is_none());
        match end.filter(|_| !keep_going) {
            Some(end) => {
                let why = format!("item no. {}: it has printed", end + 1);
                (Some(dtype.into()), bits[..end].to_vec(), 1, Some(why))
            }
            None => (Some(dtype.into()), bits.clone(), misfits.count() as u64, None),
        }
    }

    proptest! {
        /// The type, and what fits, do not hang on how answers are cut into blocks.
        #[test]
        fn the_first_answers_say_the_type_however_they_are_cut(
            answers in prop::collection::vec(
                prop_oneof![
                    400 => Just(Some("7")), 8 => Just(Some("-2")), 5 => Just(None), 2 => Just(Some("0.5")), 1 => Just(Some("x")),
                ],
                0..200,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            keep_going: bool,
        ) {
            let answers: Vec<Option<&str>> =
                answers.into_iter().filter(|answer| keep_going || answer.is_some()).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.index(answers.len() + 1)).collect();
            cuts.sort_unstable();
            let (found, expected) = (outcome(&answers, &cuts, keep_going), expected(&answers, keep_going));
            prop_assert_eq!((found.0, &found.1, found.2), (expected.0, &expected.1, expected.2));
            match (&found.3, &expected.3) {
                (None, None) => {}
                (Some(found), Some(expected)) => prop_assert!(found.contains(expected), "{found}: {expected}"),
                _ => prop_assert!(false, "{:?} {:?}", found.3, expected.3),
            }
        }
    }
}
