//! One worker's part in a map: rows from its own source or as they are handed over, the function, and the encoding
//! of the answers, a piece at a time, so that all of it happens in the first-level cache.

mod gaps;
mod runs;
mod settings;

pub use gaps::{gap, record};
pub use settings::MapSettings;

use gaps::leave_gap;
use runs::Runs;
use settings::{Few, Window};

use std::io;

use crate::base::error::{Error, Result};
use crate::base::lanes::Lanes;
use crate::base::spool::{self, Spool};
use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::data::dtype::Dtype;
use crate::data::row_set::RowSet;
use crate::data::schema::ColumnType;
use crate::data::texts::Texts;
use crate::input::Indexed;
use crate::op::expr::WINDOW;
use crate::op::record::{self, Recorded, Tried};
use crate::op::reduce::Of;
use crate::op::reduce::groups::BlockStates;
use crate::op::{AnswerColumn, BlockResult, Operator, Page, RowFunction, goes_on, pages};
use crate::output::encode::{Alone, Encoding, RowTemplate, missing, render, render_rows};

/// Bytes of rows of texts that are kept in memory.
const KEPT: usize = 4 << 20;

/// A function over blocks of rows.
pub struct MapRows {
    settings: MapSettings,
    /// What is done with each row; `None` where columns are reduced as they are.
    function: Option<Box<dyn RowFunction>>,
    /// The instructions that values are found with.
    lanes: Lanes,
    /// Where this worker finds the rows of a block itself, when they are not handed to it.
    source: Option<Box<dyn Indexed>>,
    /// Columns from the source, one behind the other.
    own: Vec<Page>,
    /// Answers before they are text.
    answers: Vec<u64>,
    /// What stands around them.
    template: RowTemplate,
    /// What the rows of a block come to, where they are reduced.
    states: Option<BlockStates>,
    /// Rows of texts, which may be longer than there is room for at once.
    rendered: Spool,
    /// Bytes of the states, or of these rows, that have been handed over.
    handed_over: u64,
    /// What is said of single rows of a block.
    records: Vec<u8>,
    /// What is said with the last of these: so each block counts once, whoever gives some of its pieces again.
    rest: BlockResult,
    /// Columns whose values an answer needs.
    used: Vec<usize>,
}

impl MapRows {
    /// Answers with `function` as `settings` says, as worker `rank`, the rows from `source` or else as they are handed
    /// over. Both with `lanes`.
    pub fn new(
        settings: MapSettings,
        function: Option<Box<dyn RowFunction>>,
        lanes: Lanes,
        rank: usize,
        source: Option<Box<dyn Indexed>>,
    ) -> Self {
        // A function that wants many rows at once is given them; the source may have fewer.
        let at_once = function.as_ref().map_or(0, |function| function.rows_at_once()).max(WINDOW);
        let words = source.as_ref().map_or(0, |source| source.piece().max(at_once) * settings.columns.len());
        let template = settings.template(Some(rank));
        let (own, answers) = (pages(words * size_of::<u64>()), vec![0; at_once]);
        let states = settings.states(lanes);
        let used = match (&function, &settings.reduce) {
            (Some(function), _) => function.columns(),
            (None, Some(reduce)) => reduce.inputs(),
            (None, None) => Vec::new(),
        };
        Self {
            settings,
            function,
            lanes,
            source,
            own,
            answers,
            template,
            states,
            rendered: Spool::new(KEPT),
            handed_over: 0,
            records: Vec::new(),
            rest: BlockResult::default(),
            used,
        }
    }
}

/// The room for the answers to a block, and how far it is filled.
struct Room<'a> {
    buf: &'a mut [u8],
    records: &'a mut Vec<u8>,
    /// Where rows of texts go instead, whatever their length.
    rendered: &'a mut Spool,
    /// Rows of the block.
    of: usize,
    answer: BlockResult,
}

impl Room<'_> {
    /// Rows answered or passed over.
    fn done(&self) -> usize {
        (self.answer.items + self.answer.failed) as usize
    }
}

/// Rows cannot be kept until they are handed over, or not be read back.
fn unkept(error: io::Error) -> Error {
    Error::Failed(format!("cannot keep the answers of a block: {}", spool::fault(&error)))
}

/// Why row number `row` of `rows` has no answer.
fn complaint(
    settings: &MapSettings,
    function: &dyn RowFunction,
    used: &[usize],
    rows: &Window,
    row: usize,
) -> String {
    let missing: Vec<&str> =
        used.iter().filter(|k| rows.lacks(&[**k], row)).map(|k| &*settings.names[*k]).collect();
    let number = rows.first + row as u64 + 1;
    match &missing[..] {
        [] => {
            let columns = &rows.columns[..settings.columns.len()];
            let values: Vec<u64> = columns.iter().map(|column| column[row]).collect();
            let why = function
                .fault(&rows.as_seen(&RowSet::default()), row)
                .unwrap_or("it has no answer".to_owned());
            format!("{}: {why}", settings.describe(&values, rows.memory))
        }
        [name] if name.is_empty() || settings.columns.len() == 1 => format!("value no. {number} is missing"),
        names => format!("{} of row no. {number} is missing", names.join(" and ")),
    }
}

/// What answers are given with.
struct Means<'a> {
    settings: &'a MapSettings,
    /// Columns whose values an answer needs.
    used: &'a [usize],
    template: &'a RowTemplate,
    is_wanted: &'a dyn Fn() -> bool,
}

/// Is it the answer to a row without one that there is none, and can the results say so?
fn is_missing(settings: &MapSettings, function: &dyn RowFunction, row: usize) -> bool {
    let can_be_said = match settings.encoding {
        Encoding::Columns { gaps, .. } | Encoding::Packed { gaps } => {
            gaps || settings.answers != ColumnType::I64
        }
        Encoding::Text | Encoding::Rows(_) | Encoding::States => true,
    };
    can_be_said && function.is_missing(row)
}

/// Answers of a window of rows, and which of them have none, or lack a value.
fn answer(
    function: &mut (dyn RowFunction + 'static),
    rows: &Window,
    answers: &mut [u64],
    means: &Means,
) -> Result<RowSet> {
    let lacking = rows.lacking(means.used);
    let mut faults = function.answer(&rows.as_seen(&lacking), answers, means.is_wanted)?;
    faults |= &lacking;
    Ok(faults)
}

/// Columns of answers before the last, in which rows without an answer have none; one without a value in the last has those
/// that it has.
fn others_of(function: &mut (dyn RowFunction + 'static), faults: &RowSet) -> Vec<AnswerColumn> {
    let mut others = function.take_others();
    for column in &mut others {
        let failed = (0..column.bits.len()).filter(|row| faults.has(*row) && !function.is_missing(*row));
        if !faults.is_empty() {
            column.lacking.extend(failed);
        }
    }
    others
}

/// Keeps what is to be said of the rows of a window that have been answered, up to the first that stops the run.
fn record_answers(
    function: &dyn RowFunction,
    rows: &Window,
    faults: &RowSet,
    room: &mut Room,
    means: &Means,
) {
    let Means { settings, used, .. } = means;
    let is_all = match settings.recorded {
        Recorded::None => return,
        Recorded::Failed if faults.is_empty() => return,
        recorded => recorded == Recorded::All,
    };
    for row in 0..rows.len() {
        let has_failed = faults.has(row) && !is_missing(settings, function, row);
        if !has_failed && !is_all {
            continue;
        }
        let (tried, heard) =
            function.tried(row).map_or((Tried::default(), &[][..]), |(tried, said)| (*tried, said));
        let said = has_failed.then(|| match heard.trim_ascii() {
            b"" => complaint(settings, function, used, rows, row).into_bytes(),
            said => said[said.len().saturating_sub(record::MOST_SAID)..].to_vec(),
        });
        settings.record(rows, row, tried, said.as_deref()).put(room.records);
        if has_failed && !settings.keep_going {
            return;
        }
    }
}

/// Reduces a window of rows, whose columns are `x`; false when the run is to stop.
fn reduce_window(
    function: Option<&mut (dyn RowFunction + 'static)>,
    rows: &Window,
    y: &mut [u64],
    states: &mut BlockStates,
    room: &mut Room,
    means: &Means,
) -> Result<bool> {
    let Means { settings, used, .. } = means;
    let (count, before) = (rows.len(), room.done());
    let mut faults = RowSet::default();
    let mut has_failed = RowSet::default();
    let mut others = Vec::new();
    if let Some(function) = function {
        faults = answer(function, rows, y, means)?;
        record_answers(function, rows, &faults, room, means);
        if !faults.is_empty() {
            has_failed.extend((0..count).filter(|row| faults.has(*row) && !function.is_missing(*row)));
        }
        let mut failed = (0..count).filter(|row| has_failed.has(*row));
        if !has_failed.is_empty()
            && let Some(first) = failed.next()
        {
            let complaint = complaint(settings, function, used, rows, first);
            if !settings.keep_going {
                room.answer.failure = Some(Error::Item(complaint));
                return Ok(false);
            }
            room.answer.first_failed.get_or_insert(complaint);
        }
        others = others_of(function, &faults);
    }
    let rows = &rows.with(&others);
    let has_all = faults.is_empty() && rows.lacking.iter().all(Option::is_none);
    if has_all {
        states.add(before, &rows.columns, rows.memory, y, None);
        room.answer.items += count as u64;
        return Ok(true);
    }
    states.add(
        before,
        &rows.columns,
        rows.memory,
        y,
        Some(&|of, row| match of {
            Of::Answers => faults.has(row),
            Of::Input(k) => rows.lacks(&[k], row),
        }),
    );
    // A row of columns alone is one without an answer where a column that counts lacks a value.
    let failed: Vec<usize> =
        (0..count).filter(|row| has_failed.has(*row) || rows.lacks(used, *row)).collect();
    if let Some(first) = failed.first() {
        room.answer
            .first_failed
            .get_or_insert_with(|| format!("value no. {} is missing", rows.first + *first as u64 + 1));
    }
    room.answer.failed += failed.len() as u64;
    room.answer.items += (count - failed.len()) as u64;
    Ok(true)
}

/// Answers a window of rows behind what `room` already has; false when the run is to stop.
fn answer_window(
    function: &mut (dyn RowFunction + 'static),
    rows: &Window,
    y: &mut [u64],
    room: &mut Room,
    means: &Means,
) -> Result<bool> {
    let Means { settings, used, template, .. } = means;
    let (count, before) = (y.len(), room.done());
    let faults = match settings.encoding {
        // Numbers are answered where they are to be.
        Encoding::Columns { inputs, gaps } => {
            let runs = Runs { of: room.of, inputs, gaps };
            answer(function, rows, runs.answers(room.buf, before, count), means)?
        }
        Encoding::Text | Encoding::Rows(_) | Encoding::Packed { .. } | Encoding::States => {
            answer(function, rows, y, means)?
        }
    };
    record_answers(function, rows, &faults, room, means);
    let others = others_of(function, &faults);
    let rows = &rows.with(&others);
    if let Encoding::Columns { inputs: inputs @ 1.., gaps } = settings.encoding {
        Runs { of: room.of, inputs, gaps }.put_inputs(room.buf, before, &settings.kept(rows));
    }
    let unsaid = settings.unsaid(rows, |row| !faults.has(row) || is_missing(settings, function, row));
    let count = unsaid.as_ref().map_or(count, |(row, _)| *row);
    let mut done = 0;
    loop {
        // What has answers, up to the next that has none.
        let end = match faults.is_empty() {
            true => count,
            false => (done..count).find(|row| faults.has(*row)).unwrap_or(count),
        };
        let space = &mut room.buf[room.answer.bytes..];
        room.answer.bytes += match settings.encoding {
            // A row by itself.
            Encoding::Text
                if end > done
                    && let Some(answer) = function.spooled() =>
            {
                let end: &[u8] = if settings.alone == Alone::Bare { b"" } else { b"\n" };
                room.rendered.append(answer).and_then(|()| room.rendered.put(end)).map_err(unkept)?;
                0
            }
            _ if settings.has_texts => {
                let texts = Texts { input: rows.memory, made: function.made() };
                let (rows, out) = (rows.rows(done..end), room.rendered.tail());
                settings.render_texts(&rows, &y[done..end], template, texts, out);
                room.rendered.settle().map_err(unkept)?;
                0
            }
            // Bytes are counted when all is done: until then the columns grow apart from each other.
            Encoding::Columns { .. } | Encoding::Packed { .. } | Encoding::States => 0,
            Encoding::Text => render(settings.answers.number().unwrap_or(Dtype::I64), &y[done..end], space),
            Encoding::Rows(_) => {
                let x = settings.kept(&rows.rows(done..end));
                render_rows(end - done, &x, settings.answers(&y[done..end]), template, space)
            }
        };
        room.answer.items += (end - done) as u64;
        if end == count {
            room.answer.failure = unsaid.map(|(_, error)| error);
            return Ok(room.answer.failure.is_none());
        }
        if is_missing(settings, function, end) {
            room.answer.items += 1;
        } else {
            let complaint = complaint(settings, function, used, rows, end);
            if !settings.keep_going {
                room.answer.failure = Some(Error::Item(complaint));
                return Ok(false);
            }
            room.answer.failed += 1;
            room.answer.first_failed.get_or_insert(complaint);
        }
        match settings.encoding {
            Encoding::Columns { inputs, gaps } => {
                let runs = Runs { of: room.of, inputs, gaps };
                runs.leave_gap(room.buf, before + end, missing(settings.answers));
            }
            _ if settings.has_texts => {
                let texts = Texts { input: rows.memory, made: function.made() };
                let (row, out) = (rows.rows(end..end + 1), room.rendered.tail());
                settings.render_texts(&row, &[], template, texts, out);
                room.rendered.settle().map_err(unkept)?;
            }
            _ => {
                let row = settings.kept(&rows.rows(end..end + 1));
                room.answer.bytes += leave_gap(settings, &row, template, &mut room.buf[room.answer.bytes..]);
            }
        }
        done = end + 1;
    }
}

impl Operator for MapRows {
    fn apply(
        &mut self,
        block: &Block,
        rows: Option<BatchRef>,
        buf: &mut [u8],
        is_wanted: &dyn Fn() -> bool,
    ) -> BlockResult {
        let Self {
            settings,
            function,
            lanes,
            source,
            own,
            answers,
            template,
            states,
            rendered,
            records,
            used,
            ..
        } = self;
        let means = Means { settings, used, template, is_wanted };
        let own: &mut [u64] = bytemuck::cast_slice_mut(own);
        let count = block.len() as usize;
        let runs = match settings.encoding {
            Encoding::Columns { inputs, gaps } => Some(Runs { of: count, inputs, gaps }),
            Encoding::Text | Encoding::Rows(_) | Encoding::Packed { .. } | Encoding::States => None,
        };
        if let Some(states) = states {
            states.begin(block.start);
        }
        rendered.truncate(0);
        records.clear();
        let mut room = Room { buf, records, rendered, of: count, answer: BlockResult::default() };
        if let Some(runs) = runs {
            runs.begin(room.buf);
        }
        let columns = settings.columns.len();
        // Rows that the source gives at once.
        let longest = own.len() / columns.max(1);
        // What is only reduced is taken as it comes.
        let window = function.as_ref().map_or(usize::MAX, |function| function.rows_at_once());
        let mut at = 0;
        'block: while at < count {
            let mut piece = Window {
                columns: Few::new(),
                lacking: Few::new(),
                memory: &[],
                first: block.start + at as u64,
            };
            let (found, fault) = match (&mut *source, &rows) {
                (Some(source), _) => {
                    let most = longest.min(count - at);
                    let (found, fault) = {
                        let (mut space, mut own) = (Few::new(), &mut *own);
                        for _ in 0..columns {
                            let (column, others) = own.split_at_mut(longest);
                            space.push(&mut column[..most]);
                            own = others;
                        }
                        source.fill_at(piece.first, &mut space, *lanes)
                    };
                    let found_of = |column: usize| &own[column * longest..][..found];
                    piece.columns.extend((0..columns).map(found_of));
                    if let Some(holes) = source.holes() {
                        piece.lacking.extend((0..columns).map(|column| holes.of_column(column)));
                    }
                    piece.memory = source.memory();
                    (found, fault)
                }
                (None, Some(rows)) => {
                    piece = Window::of(rows, piece.first);
                    (rows.len(), Ok(()))
                }
                (None, None) => (0, Err(Error::Failed("rows have not come along".into()))),
            };
            at += found;
            room.answer.input_bytes += (found * columns * size_of::<u64>()) as u64;
            for start in (0..found).step_by(window) {
                // Of many at once each takes no time. A block that has been worked through is whole.
                if window == 1
                    && room.done() > 0
                    && let Err(ended) = goes_on(is_wanted)
                {
                    room.answer.failure = Some(ended);
                    break 'block;
                }
                let end = found.min(start.saturating_add(window));
                let part;
                let rows = if (start, end) == (0, found) {
                    &piece
                } else {
                    part = piece.rows(start..end);
                    &part
                };
                let y = if function.is_some() { &mut answers[..end - start] } else { &mut [] };
                let goes_on = match (&mut *states, function.as_deref_mut()) {
                    (Some(states), function) => reduce_window(function, rows, y, states, &mut room, &means),
                    (None, Some(function)) => answer_window(function, rows, y, &mut room, &means),
                    (None, None) => Ok(false),
                };
                match goes_on {
                    Ok(true) => {}
                    Ok(false) => break 'block,
                    Err(error) => {
                        room.answer.failure = Some(error);
                        break 'block;
                    }
                }
            }
            if let Err(error) = fault {
                room.answer.failure = Some(error);
                break;
            }
        }
        if let Some(runs) = runs {
            room.answer.bytes = runs.close_up(room.buf, room.done());
        }
        let mut answer = room.answer;
        let has_states = self.states.is_some() && answer.failure.is_none();
        if has_states || self.settings.has_texts {
            self.handed_over = 0;
            match self.hand_over(buf) {
                Ok((bytes, more)) => (answer.bytes, answer.more) = (bytes, more),
                Err(error) => return BlockResult::failed(unkept(error)),
            }
        }
        if !answer.more {
            answer.records = std::mem::take(&mut self.records);
        }
        if answer.more {
            let (bytes, more) = (answer.bytes, true);
            self.rest = std::mem::replace(&mut answer, BlockResult { bytes, more, ..BlockResult::default() });
        }
        answer
    }

    fn more(&mut self, buf: &mut [u8]) -> BlockResult {
        let (bytes, more) = match self.hand_over(buf) {
            Ok(handed_over) => handed_over,
            Err(error) => return BlockResult::failed(unkept(error)),
        };
        if more {
            return BlockResult { bytes, more, ..BlockResult::default() };
        }
        let (rest, records) = (std::mem::take(&mut self.rest), std::mem::take(&mut self.records));
        BlockResult { bytes, more, records, ..rest }
    }
}

impl MapRows {
    /// Puts what is left of the states of a block, or of its rows of texts, into `buf`. Returns how many bytes, and
    /// whether there are more.
    fn hand_over(&mut self, buf: &mut [u8]) -> io::Result<(usize, bool)> {
        let at = self.handed_over;
        let (count, all) = match &mut self.states {
            Some(states) => {
                let message = if at == 0 { states.message() } else { states.last_message() };
                let rest = &message[at as usize..];
                let count = rest.len().min(buf.len());
                buf[..count].copy_from_slice(&rest[..count]);
                (count, message.len() as u64)
            }
            None => (self.rendered.read(at, buf)?, self.rendered.bytes()),
        };
        self.handed_over += count as u64;
        // With the last of them comes what is said of single rows, which has room in a buffer of its own.
        let has_room = count == 0 || count + self.records.len() <= buf.len();
        Ok((count, self.handed_over < all || !has_room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::batch::{BatchWriter, bytes_for};
    use crate::data::schema::Schema;
    use crate::input::InputInfo;
    use crate::op::formula::Formula;
    use crate::op::{Bound, BoundFunction};
    use crate::output::encode::{Alone, Rows, WIDEST};
    use proptest::prelude::*;

    fn numbers(dtype: Dtype, encoding: Encoding, lanes: Lanes, keep_going: bool) -> MapRows {
        let info = InputInfo { schema: Schema::single("", dtype), ..InputInfo::default() };
        let formula = Formula::bind("square", &info.schema, 0).unwrap();
        let program = formula.program(lanes);
        let kept: Vec<usize> = if matches!(encoding, Encoding::Rows(_)) { vec![0] } else { Vec::new() };
        let table = Bound {
            info,
            function: Some(BoundFunction::Formula(formula)),
            kept: kept.clone(),
            ..Bound::default()
        }
        .table();
        let (columns, names) = (vec![dtype.into()], vec![String::new()]);
        let (answers, has_texts, reduce) = (dtype.into(), false, None);
        let (recorded, alone, others) = (Recorded::None, Alone::Line, Vec::new());
        #[rustfmt::skip]
        let settings = MapSettings {
            columns, names, others, kept, table, answers, encoding, has_texts, keep_going, recorded, alone, reduce,
        };
        MapRows::new(settings, Some(Box::new(program)), lanes, 0, None)
    }

    fn text(mut numbers: MapRows, bits: &[u64]) -> (String, BlockResult) {
        let schema = Schema::single("", numbers.settings.columns[0]);
        let mut memory = pages(bytes_for(1, bits.len()));
        let mut batch =
            BatchWriter::begin(bytemuck::cast_slice_mut(&mut memory), &schema, bits.len()).unwrap();
        batch.words_mut(0).copy_from_slice(bits);
        batch.set_rows(bits.len());
        let mut buf = vec![0; bits.len() * numbers.settings.encoding.width(&numbers.settings.table)];
        let answer =
            numbers
                .apply(&Block { start: 0, end: bits.len() as u64 }, Some(batch.view()), &mut buf, &|| true);
        buf.truncate(answer.bytes);
        (String::from_utf8(buf).unwrap(), answer)
    }

    #[test]
    fn answers_before_the_first_that_does_not_fit_stand() {
        let mut values = vec![3u64; 1600];
        values.extend([i64::MIN as u64, 4, u64::MAX / 2]);
        for lanes in Lanes::all() {
            let (out, answer) = text(numbers(Dtype::I64, Encoding::Text, lanes, false), &values);
            assert_eq!(out, "9\n".repeat(1600));
            assert_eq!(answer.items, 1600);
            assert!(
                answer
                    .failure
                    .unwrap()
                    .to_string()
                    .starts_with("-9223372036854775808: square(-9223372036854775808) does not fit")
            );
        }
    }

    #[test]
    fn what_is_passed_over_leaves_a_gap() {
        let values = [3u64, i64::MIN as u64, 4, u64::MAX / 2];
        for lanes in Lanes::all() {
            let (out, answer) = text(numbers(Dtype::I64, Encoding::Text, lanes, true), &values);
            assert_eq!(out, "9\n\n16\n\n");
            assert_eq!((answer.items, answer.failed, answer.failure.is_none()), (2, 2, true));
            assert!(
                answer
                    .first_failed
                    .unwrap()
                    .starts_with("-9223372036854775808: square(-9223372036854775808) does not fit")
            );
        }
        let (out, _) = text(
            numbers(Dtype::I64, Encoding::Rows(Rows::Tabs { who: true }), Lanes::best(), true),
            &values[..3],
        );
        let pid = std::process::id();
        assert_eq!(out, format!("3\t9\t{pid}\n-9223372036854775808\t\t{pid}\n4\t16\t{pid}\n"));
    }

    #[test]
    fn the_widest_float_fits() {
        let widest = [-f64::MAX, f64::MIN_POSITIVE, -1.2345678901234567e-308, f64::NAN, f64::NEG_INFINITY];
        let mut buf = vec![0; widest.len() * WIDEST];
        for value in widest {
            assert!(render(Dtype::F64, &[value.to_bits()], &mut buf) <= WIDEST);
        }
    }

    proptest! {
        #[test]
        fn whole_squares_are_exact(values: Vec<i32>) {
            let bits: Vec<u64> = values.iter().map(|v| i64::from(*v) as u64).collect();
            let expected: String = values.iter().map(|v| format!("{}\n", i64::from(*v) * i64::from(*v))).collect();
            prop_assert_eq!(text(numbers(Dtype::I64, Encoding::Text, Lanes::best(), false), &bits).0, expected);
        }

        #[test]
        fn float_squares_read_back_to_the_bit(values: Vec<f64>) {
            let bits: Vec<u64> = values.iter().map(|v| v.to_bits()).collect();
            let (out, _) = text(numbers(Dtype::F64, Encoding::Text, Lanes::best(), false), &bits);
            let back: Vec<f64> = out.lines().map(|line| line.parse().unwrap()).collect();
            prop_assert_eq!(back.len(), values.len());
            for (x, y) in values.iter().zip(back) {
                prop_assert!((x * x).to_bits() == y.to_bits() || (x * x).is_nan() && y.is_nan());
            }
        }
    }
}
