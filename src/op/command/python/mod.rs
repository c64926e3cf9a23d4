//! A Python function over rows: each worker asks a process that it has for itself, which a host of the node has forked
//! (`host`). Windows of rows travel through memory that both share (`window`); what cannot be answered is a fault of its row,
//! whatever becomes of the process.
//!
//! How columns become arguments is known in `host.py` alone, which Python runs.

mod host;
mod message;
mod window;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::tries::{Place, keep_last, pass_on, status, unwanted, wait};
use super::{CommandLines, before_line, faults, values};
use crate::base::error::{Error, Result, plain};
use crate::data::dtype::Dtype;
use crate::data::row_set::RowSet;
use crate::data::schema::{ColumnType, Field, Schema};
use crate::exec::{Ended, Ending, News, Peer};
use crate::job::Task;
use crate::job::command::Limits;
use crate::job::pattern::PatternName;
use crate::job::python::Python;
use crate::op::record::{NO_EXIT, Tried};
use crate::op::{AnswerColumn, RowFunction, RowsOf, Worker};
pub use host::end;

use host::Connection;
use message::{Message, monotonic, of_row};
use window::{Answers, Kind, Layout, Rows, word_of};

/// Rows of a window: so many that a message for each costs little, so few that what numpy makes of them lies in the
/// second-level cache, and in memory that is not given back to the system each time. Measured with x*x + sin(x), 8,192 to
/// 32,768 rows: 9 ns a row; 65,536: 14.
const ROWS: usize = 16_384;

/// The same of arrays, where the user says how many.
const MOST_ROWS: u64 = 1 << 24;

/// A function is fast that answers a row in less time than this, on the mean: then rows are not timed one by one.
const FAST: Duration = Duration::from_micros(2);

/// Rows that are asked for at once while nobody knows yet how long they take.
const FIRST_ROWS: usize = 64;

/// How often a process may end before it has begun with a row.
const MOST_STARTS: usize = 3;

/// Why an answer that is None is none where that cannot be written.
const NONE: &str =
    "it has answered None, which whole numbers have no way to say; with --keep-going their files have";

/// Bytes of a message at the most.
const MOST_MESSAGE: usize = 64 << 10;

/// How often what a process prints is passed on, and the time of a row is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A Python function bound to the columns of an input. The same on every rank.
#[derive(Debug, Clone)]
pub struct BoundPython {
    python: Python,
    columns: Vec<(String, ColumnType)>,
    /// The columns of the answers, as the function gives them, and which of them comes last.
    answers: Vec<Field>,
    last: usize,
    limits: Limits,
    /// What its generators of random numbers follow from.
    seed: Option<u64>,
    /// A number of this run alone.
    key: u64,
    /// Workers are ranks.
    over_ranks: bool,
    /// How long each row takes is to be known.
    times: bool,
    /// Rows that are handed to it at once, at the most.
    rows: usize,
}

impl BoundPython {
    /// `python`, as `task` has it, over columns of `schema`.
    pub fn bind(python: &Python, task: &Task, schema: &Schema) -> Self {
        Self {
            python: python.clone(),
            columns: schema.fields.iter().map(|field| (field.name.clone(), field.dtype)).collect(),
            answers: python.fields(),
            last: python.fields().len() - 1,
            limits: task.limits,
            seed: task.seed,
            key: task.key,
            over_ranks: task.pattern == PatternName::Mpi,
            times: task.joblog.is_some() || task.limits.timeout.is_some(),
            rows: task
                .schedule
                .block
                .filter(|_| python.vectorized)
                .map_or(ROWS, |rows| rows.clamp(1, MOST_ROWS) as usize),
        }
    }

    /// Type of its answers, of the last column where they have several.
    pub fn dtype(&self) -> ColumnType {
        self.answers[self.last].dtype
    }

    /// The columns that its answers are, in the order in which results have them.
    pub fn fields(&self) -> Vec<Field> {
        let others = (0..self.answers.len()).filter(|column| *column != self.last);
        others.chain([self.last]).map(|column| self.answers[column].clone()).collect()
    }

    /// The same, where column number `last` of its answers comes last.
    pub fn with_last(self, last: usize) -> Self {
        Self { last, ..self }
    }

    /// The same, with answers of another type, where they are one column.
    pub fn answering(mut self, answers: ColumnType) -> Self {
        self.answers[self.last].dtype = answers;
        self
    }

    /// How it is called, for people.
    pub fn lines(&self) -> CommandLines {
        CommandLines::Call(self.python.text())
    }

    /// Does an answer take its time, nobody knows how much? Who wants arrays says that a row is none.
    pub fn is_costly(&self) -> bool {
        !self.python.vectorized
    }

    /// Starts what the workers of this node have in common, of which `worker` is one.
    ///
    /// # Errors
    /// The interpreter cannot be started, or the function not be used.
    pub fn begin(&self, worker: &Worker) -> Result<()> {
        host::begin(self, worker)
    }

    /// The same, ready to be run by `worker`.
    pub fn function(&self, worker: &Worker) -> PythonFunction {
        PythonFunction {
            python: self.clone(),
            place: Place::of(worker),
            nobody: Tried { rank: worker.rank, slot: worker.slot, exit: NO_EXIT, ..Tried::default() },
            connection: None,
            is_fast: false,
            starts: 0,
            found: Answers::default(),
            made: Vec::new(),
            others: Vec::new(),
            faults: BTreeMap::new(),
            missing: RowSet::default(),
            tried: Vec::new(),
        }
    }

    /// Why its process cannot be asked.
    fn without(&self, ended: Ended) -> Error {
        let because = |why: &str| Error::Failed(format!("--python {}: {why}", self.python.text()));
        match ended {
            Ended::Signal(error) => error,
            Ended::Unwanted => unwanted(),
            Ended::Gone => because("the process that has imported its module has gone"),
            Ended::Unkept(error) => because(&plain(&error)),
        }
    }

    fn garbled(&self) -> Error {
        Error::Failed(format!(
            "--python {}: its process has answered what makes no sense",
            self.python.text()
        ))
    }

    /// What stands before lines that are said of a row.
    fn before(&self, rows: &RowsOf, row: usize) -> Vec<u8> {
        before_line(&values(rows, row, self.columns.iter().map(|(_, dtype)| *dtype)), rows.first + row as u64)
    }
}

/// Answers rows with a Python function. One per worker.
pub struct PythonFunction {
    python: BoundPython,
    place: Place,
    /// A row that has not been tried.
    nobody: Tried,
    connection: Option<Connection>,
    /// Rows have been answered so fast that the next are not timed.
    is_fast: bool,
    /// How often a process has ended before it began with a row, one after the other.
    starts: usize,
    /// What was taken last.
    found: Answers,
    /// Texts that it has answered.
    made: Vec<u8>,
    /// Columns of answers before the last.
    others: Vec<AnswerColumn>,
    /// Rows of the last window that have no answer.
    faults: BTreeMap<usize, Failure>,
    /// Rows of the last window whose answer is None.
    missing: RowSet,
    /// How rows of the last window were worked on, where that is to be told.
    tried: Vec<Tried>,
}

/// A row without an answer.
struct Failure {
    /// Why it has none, in a few words.
    why: String,
    /// What was said of it.
    said: Vec<u8>,
    tried: Tried,
}

/// How asking for some rows has ended.
enum End {
    /// All have been answered, or have failed.
    Answered,
    /// The process has gone, or is to go; with the row that it had, where that is known, and what was said of it.
    Over(Option<usize>, Ending, Vec<u8>),
}

impl PythonFunction {
    /// The process that answers, forked where there is none.
    fn peer(&mut self, is_wanted: &dyn Fn() -> bool) -> Result<&mut Peer> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => host::connect(&self.python, &self.place, is_wanted)?,
        };
        Ok(&mut self.connection.insert(connection).peer)
    }

    /// Asks for rows until all of them have an answer, or none.
    fn converse(
        &mut self,
        rows: &RowsOf,
        all: Rows,
        answers: &mut [u64],
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<()> {
        let mut tries: BTreeMap<usize, usize> = BTreeMap::new();
        // After a death rows are timed, so that the one that kills is known.
        let mut is_careful = false;
        // Rows that are to be asked for, the next of them last.
        let mut todo = vec![all];
        while let Some(next) = todo.pop() {
            let is_timed = self.python.times || !self.is_fast || is_careful || self.python.python.vectorized;
            let most = if self.is_fast || self.python.times { ROWS } else { FIRST_ROWS };
            let most = if self.python.python.vectorized { next.len() } else { most.min(next.len()) };
            if most < next.len() {
                todo.push(next.slice(most..next.len()));
            }
            let asked = next.slice(0..most);
            let began = Instant::now();
            let (done, end) = self.ask(rows, &asked, is_timed, answers, is_wanted)?;
            let mut again: Vec<usize> = Vec::new();
            match end {
                End::Answered => {
                    self.starts = 0;
                    self.is_fast = began.elapsed() / asked.len().max(1) as u32 <= FAST;
                }
                End::Over(row, ending, said) => {
                    self.connection = None;
                    if self.python.python.vectorized && asked.len() > 1 && row.is_some() {
                        // It had all of them: the one that kills is looked for, and the others have answers.
                        self.starts = 0;
                        let middle = asked.len() / 2;
                        todo.push(asked.slice(middle..asked.len()));
                        todo.push(asked.slice(0..middle));
                        continue;
                    }
                    if let Some(row) = row {
                        self.starts = 0;
                        let fault = faults::of(ending, self.python.limits.timeout, 0);
                        self.fails(row, &faults::with_said(fault, &said), said, status(ending));
                    } else if is_timed {
                        self.starts += 1;
                        if self.starts == MOST_STARTS {
                            return Err(Error::Failed(format!(
                                "--python {}: its process has ended {MOST_STARTS} times before it began with an item: {}",
                                self.python.python.text(),
                                faults::with_said(faults::of(ending, None, 0), &said)
                            )));
                        }
                    }
                    is_careful = true;
                    again.extend(
                        (done..asked.len()).map(|at| asked.get(at)).filter(|other| Some(*other) != row),
                    );
                }
            }
            if self.python.limits.retries > 0 {
                let retried = self.to_retry(&asked, &mut tries);
                if !retried.is_empty() {
                    wait(self.python.limits.delay, is_wanted)?;
                }
                for row in &retried {
                    self.faults.remove(row);
                }
                again.extend(retried);
            }
            again.sort_unstable();
            if !again.is_empty() {
                todo.push(Rows::Some(again));
            }
        }
        Ok(())
    }

    /// Those of `asked` that have failed and are to be tried again, where each has been tried as often as `tries` says.
    fn to_retry(&self, asked: &Rows, tries: &mut BTreeMap<usize, usize>) -> Vec<usize> {
        let mut is_tried_again = |row: &usize| {
            let tries = tries.entry(*row).or_default();
            *tries += 1;
            *tries <= self.python.limits.retries
        };
        match (asked.len(), self.faults.is_empty()) {
            (0, _) | (_, true) => Vec::new(),
            (count, false) => {
                let failed = self.faults.range(asked.get(0)..=asked.get(count - 1)).map(|(row, _)| *row);
                let failed = failed.filter(|row| match asked {
                    Rows::Run(_) => true,
                    Rows::Some(rows) => rows.binary_search(row).is_ok(),
                });
                failed.filter(|row| is_tried_again(row)).collect()
            }
        }
    }

    /// Is there nothing that its process has been asked and has not answered?
    fn set_idle(&mut self, is_idle: bool) {
        self.connection.iter_mut().for_each(|connection| connection.is_idle = is_idle);
    }

    /// Asks for `asked`, once. Returns how many of them have been answered, and how it has ended.
    fn ask(
        &mut self,
        rows: &RowsOf,
        asked: &Rows,
        is_timed: bool,
        answers: &mut [u64],
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<(usize, End)> {
        let types: Vec<ColumnType> = self.python.columns.iter().map(|(_, dtype)| *dtype).collect();
        let (timeout, columns) = (self.python.limits.timeout, self.python.answers.len());
        let peer = self.peer(is_wanted)?;
        let layout = Layout::put(peer, rows, asked, &types, columns)
            .map_err(|e| Error::Failed(format!("cannot hand rows to Python: {}", plain(&e))))?;
        let ask = [layout.count as u64, u64::from(is_timed), layout.texts as u64, peer.bytes() as u64];
        // Where it has gone, it may have said why.
        let _ = peer.send(bytemuck::cast_slice(&ask));
        self.set_idle(false);
        let (mut done, mut texts) = (0, layout.bytes());
        let (mut message, mut heard) = (vec![0; MOST_MESSAGE], Vec::new());
        let mut said: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        while done < asked.len() {
            let peer = self.peer(is_wanted)?;
            heard.clear();
            let until = Instant::now() + LOOK;
            let mut say = |lines: &[u8]| heard.extend_from_slice(lines);
            let news = peer.hear(&mut message, &mut say, Some(until), is_wanted);
            let at_hand = window::at_hand(peer).filter(|(at, _)| is_timed && *at < asked.len());
            let row = at_hand.map(|(at, _)| asked.get(at));
            self.pass_on(rows, &heard, row.unwrap_or(asked.get(done)), &mut said);
            let ending = match news.map_err(|ended| self.python.without(ended))? {
                News::Message(count) => match Message::read(&message[..count]) {
                    Some(Message::Answers { from, to, end, bytes }) if from == done && to <= asked.len() => {
                        self.take((asked, layout), from..to, (texts..end, bytes), is_timed, answers)?;
                        for (row, said) in std::mem::take(&mut said) {
                            if let Some(failure) = self.faults.get_mut(&row) {
                                failure.said.splice(0..0, said);
                            }
                        }
                        (done, texts) = (to, end);
                        continue;
                    }
                    Some(Message::Ended(ending)) => ending,
                    Some(Message::Refused(why)) => {
                        let (why, trace) = why.split_once('\n').unwrap_or((&why, ""));
                        pass_on(format!("{}: ", self.python.python.text()).as_bytes(), trace.as_bytes());
                        return Err(Error::Failed(format!("{}: {why}", self.python.python.text())));
                    }
                    _ => return Err(self.python.garbled()),
                },
                News::Gone => match self.connection.take() {
                    Some(connection) => {
                        connection.ending().ok_or_else(|| self.python.without(Ended::Gone))?
                    }
                    None => Ending::Abandoned,
                },
                News::Nothing => match (timeout, at_hand) {
                    (Some(timeout), Some((_, began)))
                        if monotonic().saturating_sub(began) > timeout.as_nanos() as u64 =>
                    {
                        Ending::TimedOut
                    }
                    _ => continue,
                },
            };
            let said = row.and_then(|row| said.remove(&row)).unwrap_or_default();
            return Ok((done, End::Over(row, ending, said)));
        }
        self.set_idle(true);
        Ok((done, End::Answered))
    }

    /// Passes on what its process has printed, each line behind the item that it is of: the one that it names, or `row`.
    fn pass_on(&self, rows: &RowsOf, heard: &[u8], row: usize, said: &mut BTreeMap<usize, Vec<u8>>) {
        for line in heard.split_inclusive(|byte| *byte == b'\n') {
            let (number, line) = of_row(line);
            let row = number.map_or(row, |number| number.saturating_sub(rows.first) as usize);
            if rows.columns.first().is_none_or(|column| row < column.len()) {
                pass_on(&self.python.before(rows, row), line);
                keep_last(said.entry(row).or_default(), line);
            }
        }
    }

    /// Takes the answers to rows number `those` of what was asked for. Texts of theirs lie in `texts`, in a memory of so many
    /// bytes.
    fn take(
        &mut self,
        (asked, layout): (&Rows, Layout),
        those: Range<usize>,
        (texts, bytes): (Range<usize>, usize),
        is_timed: bool,
        answers: &mut [u64],
    ) -> Result<()> {
        let garbled = || self.python.garbled();
        let found = &mut self.found;
        let Some(Connection { peer, .. }) = &mut self.connection else { return Err(garbled()) };
        if peer.reserve(bytes).is_err() || !found.take_kinds(peer, layout, &those, is_timed) {
            return Err(garbled());
        }
        let is_as_wanted = matches!(
            (self.python.dtype().number().filter(|_| self.others.is_empty()), found.kind_of_all()),
            (Some(Dtype::I64), Some(Kind::Whole | Kind::Truth)) | (Some(Dtype::F64), Some(Kind::Float))
        );
        let mut failed: Vec<(usize, String)> = Vec::new();
        if let (true, Rows::Run(run)) = (is_as_wanted, asked) {
            let answers = &mut answers[run.start + those.start..run.start + those.end];
            if !Answers::take_words(peer, layout, &those, answers) {
                return Err(garbled());
            }
        } else {
            if !found.take(peer, layout, &those, texts) {
                return Err(garbled());
            }
            let mut found = found.iter();
            for row in those.clone().map(|at| asked.get(at)) {
                let mut fault = None;
                // It may have been tried before.
                self.missing.remove(row);
                self.others.iter_mut().for_each(|other| other.lacking.remove(row));
                for (column, Field { dtype, .. }) in self.python.answers.iter().enumerate() {
                    let Some(Some((kind, word, bytes))) = found.next() else { return Err(garbled()) };
                    let word = word_of(*dtype, kind, word, bytes, &mut self.made);
                    let is_missing = kind == Kind::Nothing || word.is_err();
                    let bits = word.unwrap_or_else(|why| {
                        fault.get_or_insert(why);
                        0
                    });
                    if column == self.python.last {
                        answers[row] = bits;
                        if kind == Kind::Nothing {
                            self.missing.insert(row);
                        }
                        continue;
                    }
                    let other = &mut self.others[column - usize::from(column > self.python.last)];
                    other.bits[row] = bits;
                    if is_missing {
                        other.lacking.insert(row);
                    }
                }
                failed.extend(fault.map(|why| (row, why)));
            }
        }
        if self.python.times {
            for (at, [began, took]) in those.clone().zip(&self.found.times) {
                let took = Duration::from_nanos(*took);
                self.tried[asked.get(at)] = Tried { exit: 0, began: *began, took, ..self.nobody };
            }
        }
        for (row, why) in failed {
            self.fails(row, &why, Vec::new(), (1, 0));
        }
        Ok(())
    }

    /// A row has no answer: the first line of `why` says so in a few words, and others are what was said.
    fn fails(&mut self, row: usize, why: &str, mut said: Vec<u8>, (exit, signal): (i32, i32)) {
        let (first, rest) = why.split_once('\n').unwrap_or((why, ""));
        let first = if first.trim().is_empty() { "it has no answer" } else { first };
        said.extend_from_slice(rest.as_bytes());
        let tried = Tried { exit, signal, ..self.tried.get(row).copied().unwrap_or(self.nobody) };
        self.faults.insert(row, Failure { why: first.to_owned(), said, tried });
    }
}

impl RowFunction for PythonFunction {
    fn columns(&self) -> Vec<usize> {
        (0..self.python.columns.len()).collect()
    }

    fn rows_at_once(&self) -> usize {
        self.python.rows
    }

    fn answer(&mut self, rows: &RowsOf, answers: &mut [u64], is_wanted: &dyn Fn() -> bool) -> Result<RowSet> {
        self.made.clear();
        self.faults.clear();
        self.missing = RowSet::default();
        let column = || AnswerColumn { bits: vec![0; answers.len()], lacking: RowSet::default() };
        self.others = (1..self.python.answers.len()).map(|_| column()).collect();
        self.tried.clear();
        self.tried.resize(if self.python.times { answers.len() } else { 0 }, self.nobody);
        let open = match rows.lacking.is_empty() {
            true => Rows::Run(0..answers.len()),
            false => Rows::Some((0..answers.len()).filter(|row| !rows.lacking.has(*row)).collect()),
        };
        if open.len() == 0 {
            return Ok(RowSet::default());
        }
        let answered = self.converse(rows, open, answers, is_wanted);
        if answered.is_err() {
            self.connection = None;
        }
        answered?;
        let mut without: RowSet = self.faults.keys().copied().collect();
        // One whose fault is in another column may have no value in the last.
        self.faults.keys().for_each(|row| self.missing.remove(*row));
        without |= &self.missing;
        Ok(without)
    }

    fn take_others(&mut self) -> Vec<AnswerColumn> {
        std::mem::take(&mut self.others)
    }

    fn made(&self) -> &[u8] {
        &self.made
    }

    fn fault(&self, _rows: &RowsOf, row: usize) -> Option<String> {
        match self.faults.get(&row) {
            Some(failure) => Some(failure.why.clone()),
            None => self.missing.has(row).then(|| NONE.to_owned()),
        }
    }

    fn is_missing(&self, row: usize) -> bool {
        self.missing.has(row)
    }

    fn tried(&self, row: usize) -> Option<(&Tried, &[u8])> {
        let failure = self.faults.get(&row).map(|failure| (&failure.tried, &failure.said[..]));
        failure.or_else(|| self.tried.get(row).map(|tried| (tried, &[][..])))
    }
}
