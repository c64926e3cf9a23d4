//! A program that stays (`--worker`): it is given a line for each row, and answers a line for each, so that its start is
//! paid for once. One for each worker.
//!
//! Lines go to it ahead of its answers, as far as the pipe has room. So when it dies with several of them, or takes too
//! long, nobody knows which it has died of, nor whether it has left one out: those since nothing was owed for the last time
//! are given one by one to the next program. When that dies of a row as well, the row has no answer. A program that answers more lines than it is given ends the run where that is noticed, which is
//! when nothing is owed: which lines belong to which rows cannot be known any more. What comes behind its last row is told
//! of, when the answers have gone their way.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::tries::{Place, keep_last, pass_on, seed_env, wait};
use super::{CommandLines, before_line, faults, number, values, values_of};
use crate::base::error::{Error, Result, plain};
use crate::base::fmt::{counted, shown};
use crate::data::row_set::RowSet;
use crate::data::schema::{ColumnType, Schema};
use crate::data::texts::last_of;
use crate::exec::{Ended, Ending, Heard, Input, Outcome, Request, Resident};
use crate::job::Task;
use crate::job::command::{Form, Limits, Program};
use crate::op::record::{NO_EXIT, Record, Tried};
use crate::op::{RowFunction, RowsOf, Worker};

/// After how long a silence to say why that may be.
const SILENCE: Duration = Duration::from_secs(1);

/// How long to wait for a second line behind the first that a program answers.
const SECOND: Duration = Duration::from_millis(20);

/// How long a program may take to end when there are no more rows.
const TO_END: Duration = Duration::from_secs(2);

/// Bytes of an answer at the most: those of a window are in memory together.
const MOST_ANSWER: usize = 8 << 20;

/// Rows of a window: so many that a program that is fast has always something to do.
const ROWS: usize = 1024;

/// Bytes that a program should have ahead of it.
const AHEAD: usize = 4096;

/// Lines that are owed when answers are taken several at a time, and how long they gather: being woken for each costs this
/// process and the program more than what it does with them.
const MANY: usize = 64;
const TO_GATHER: Duration = Duration::from_micros(50);

/// Bytes of a line that nobody has asked for that a message shows, and that are kept of what comes at the end.
const MOST_SHOWN: usize = 200;
const MOST_LEFT: usize = 4096;

/// A program bound to the columns of an input. The same on every rank.
#[derive(Debug, Clone)]
pub struct BoundProgram {
    argv: Vec<Vec<u8>>,
    text: String,
    form: Form,
    columns: Vec<(String, ColumnType)>,
    /// Type of the answers.
    answers: ColumnType,
    limits: Limits,
    /// That of the run, where it has one.
    seed: Option<u64>,
}

impl BoundProgram {
    /// `program`, as `task` has it, over columns of `schema`.
    pub fn bind(program: &Program, task: &Task, schema: &Schema) -> Self {
        Self {
            argv: program.words.iter().map(|word| word.0.as_encoded_bytes().to_vec()).collect(),
            text: program.text(),
            form: program.form,
            columns: schema.fields.iter().map(|field| (field.name.clone(), field.dtype)).collect(),
            answers: program.answers.map_or(ColumnType::Bytes, ColumnType::from),
            limits: task.limits,
            seed: task.seed,
        }
    }

    /// Type of its answers.
    pub fn dtype(&self) -> ColumnType {
        self.answers
    }

    /// The same, with answers of another type.
    pub fn answering(self, answers: ColumnType) -> Self {
        Self { answers, ..self }
    }

    /// The program and its arguments, for people.
    pub fn lines(&self) -> CommandLines {
        CommandLines::All(self.text.clone())
    }

    /// The same, ready to be run by `worker`.
    pub fn function(&self, worker: &Worker) -> ProgramFunction {
        let place = Place::of(worker);
        let tried = Tried { rank: worker.rank, slot: worker.slot, exit: NO_EXIT, ..Tried::default() };
        ProgramFunction {
            program: self.clone(),
            place,
            nobody: tried,
            resident: None,
            received: Vec::new(),
            searched: 0,
            made: Vec::new(),
            faults: BTreeMap::new(),
            tried: Vec::new(),
            last: None,
            before: Vec::new(),
            has_hinted: false,
        }
    }

    /// The line that it is given for an item, for people; or why there is none.
    pub fn line_of(&self, record: &Record) -> String {
        self.line(&values_of(record))
            .map_or_else(|fault| fault, |line| String::from_utf8_lossy(&line).into_owned())
    }

    /// The values of a row.
    fn values<'r>(&self, rows: &RowsOf<'r>, row: usize) -> Vec<Cow<'r, [u8]>> {
        values(rows, row, self.columns.iter().map(|(_, dtype)| *dtype))
    }

    /// What stands before lines that are said of a row.
    fn before(&self, rows: &RowsOf, row: usize) -> Vec<u8> {
        before_line(&self.values(rows, row), rows.first + row as u64)
    }

    /// The line that a row is, without its end.
    fn line(&self, values: &[Cow<[u8]>]) -> std::result::Result<Vec<u8>, String> {
        match self.form {
            Form::Tsv => {
                if let Some(value) =
                    values.iter().find(|value| memchr::memchr2(b'\t', b'\n', value).is_some())
                {
                    return Err(format!(
                        "no line of tab-separated values can hold '{}'; --worker-format json can",
                        shown(value)
                    ));
                }
                Ok(values.join(&b'\t'))
            }
            Form::Json => {
                if let ([only], [(name, _)]) = (values, &self.columns[..])
                    && name.is_empty()
                {
                    return json_of(only).map(String::into_bytes);
                }
                let pair = |((name, _), text): (&(String, ColumnType), &Cow<[u8]>)| {
                    let name = serde_json::Value::from(name.as_str());
                    json_of(text).map(|text| format!("{name}:{text}"))
                };
                let pairs = self.columns.iter().zip(values).map(pair);
                Ok(format!("{{{}}}", pairs.collect::<std::result::Result<Vec<_>, _>>()?.join(","))
                    .into_bytes())
            }
        }
    }

    /// The answer that a line is, put behind what is in `made` where it is a text.
    fn answer(&self, line: &[u8], made: &mut Vec<u8>) -> std::result::Result<u64, String> {
        let line = match self.form {
            Form::Tsv => Cow::Borrowed(line),
            Form::Json => match serde_json::from_slice(line) {
                Ok(serde_json::Value::String(text)) => Cow::Owned(text.into_bytes()),
                Ok(_) => Cow::Borrowed(line.trim_ascii()),
                Err(_) => return Err(format!("it has answered '{}', which is no JSON", shown(line))),
            },
        };
        let Some(dtype) = self.answers.number() else {
            let begin = made.len();
            made.extend_from_slice(&line);
            return last_of(made, begin).ok_or_else(|| "it has answered too much".to_owned());
        };
        number(&line, dtype)
    }
}

/// A value as JSON: a number where it is one as JSON writes them, nothing where it is missing, else a text.
fn json_of(value: &[u8]) -> std::result::Result<String, String> {
    let text = std::str::from_utf8(value)
        .map_err(|_| format!("JSON is UTF-8, and '{}' is not; --worker-format tsv takes it", shown(value)))?;
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        && serde_json::from_str::<serde_json::Number>(text).is_ok();
    Ok(match is_number {
        true => text.to_owned(),
        false => serde_json::Value::from(text).to_string(),
    })
}

/// A program at work.
struct Running {
    resident: Resident,
    /// The last of what it has said.
    said: Vec<u8>,
    /// Since when it can answer nothing more.
    closed: Option<Instant>,
    /// It has answered a line that it was given alone with one line.
    is_proven: bool,
}

/// Answers rows with a program. One per worker.
pub struct ProgramFunction {
    program: BoundProgram,
    place: Place,
    /// A row that has not been tried.
    nobody: Tried,
    resident: Option<Running>,
    /// What it has answered and is not yet an answer: part of a line, of which so much has no end.
    received: Vec<u8>,
    searched: usize,
    /// Texts that it has answered.
    made: Vec<u8>,
    /// Why rows of the last window have no answer, and what was said then.
    faults: BTreeMap<usize, (String, Vec<u8>)>,
    /// How rows of the last window were worked on.
    tried: Vec<Tried>,
    /// The number of the row that was answered last, for messages, and what stands before lines that are said of it.
    last: Option<u64>,
    before: Vec<u8>,
    has_hinted: bool,
}

/// Lines of a window that are to be given to a program, those of its first rows: the others are made while it works on these.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// The rows that they are of, each with the end of its line.
    rows: Vec<(usize, usize)>,
    /// The first row whose line has not been made.
    next: usize,
}

/// How far a window has come.
#[derive(Default)]
struct Progress {
    /// Lines that have been answered, or have failed.
    done: usize,
    /// Bytes that the program that runs has taken.
    sent: usize,
    /// The same when nothing was owed for the last time: which answers are of these lines is certain.
    in_step: usize,
    /// Lines up to this one are given one by one.
    alone_until: usize,
    /// How often programs have died of the next line, given alone, or taken too long.
    tries: usize,
    /// When what is awaited was begun.
    since: Option<Instant>,
}

impl ProgramFunction {
    /// Adds the lines of some more of the first `count` rows, while the program has fewer bytes ahead of it than it should; a
    /// row that is none has no answer.
    fn add_lines(&mut self, rows: &RowsOf, lines: &mut Lines, count: usize, sent: usize) {
        while lines.next < count && lines.bytes.len() < sent + AHEAD {
            let row = lines.next;
            lines.next += 1;
            if rows.lacking.has(row) {
                continue;
            }
            match self.program.line(&self.program.values(rows, row)) {
                Ok(line) => {
                    lines.bytes.extend_from_slice(&line);
                    lines.bytes.push(b'\n');
                    lines.rows.push((row, lines.bytes.len()));
                }
                Err(fault) => _ = self.faults.insert(row, (fault, Vec::new())),
            }
        }
    }

    fn start(&mut self) -> Result<()> {
        let request = Request {
            argv: self.program.argv.clone(),
            env: self.place.of_all().into_iter().chain(self.program.seed.map(seed_env)).collect(),
            memory: self.program.limits.memory,
            most_output: u64::MAX,
            input: Input::Nothing,
            timeout: None,
        };
        let resident = Resident::start(&request)
            .map_err(|e| Error::Failed(format!("cannot run {}: {}", self.program.text, plain(&e))))?;
        self.received.clear();
        self.searched = 0;
        self.resident = Some(Running { resident, said: Vec::new(), closed: None, is_proven: false });
        Ok(())
    }

    /// Gives the lines to a program, and takes its answers, until all have one, or none.
    fn converse(&mut self, rows: &RowsOf, answers: &mut [u64], is_wanted: &dyn Fn() -> bool) -> Result<()> {
        let (mut lines, mut progress) = (Lines::default(), Progress::default());
        let mut has_answered = false;
        loop {
            self.add_lines(rows, &mut lines, answers.len(), progress.sent);
            let lines = &lines;
            let Some((row, end)) = lines.rows.get(progress.done).copied() else { break };
            let timeout = self.program.limits.timeout;
            if self.resident.is_none() {
                self.start()?;
                progress.sent = lines.rows[..progress.done].last().map_or(0, |(_, end)| *end);
                progress.since = None;
            }
            let Some(Running { resident, said, closed, is_proven }) = &mut self.resident else { continue };
            let since = *progress.since.get_or_insert_with(Instant::now);
            let is_alone = progress.tries > 0 || progress.done < progress.alone_until || !*is_proven;
            let limit = if is_alone { end } else { lines.bytes.len() };
            let deadline = timeout.and_then(|timeout| since.checked_add(timeout));
            // One of all workers says so.
            let hints = !self.has_hinted && (self.nobody.rank, self.nobody.slot) == (0, 0);
            let hint = hints.then(|| since + SILENCE);
            let program = &self.program;
            let before = LazyCell::new(|| program.before(rows, row));
            let mut say = |text: &[u8]| {
                pass_on(&before, text);
                keep_last(said, text);
            };
            let unsent = &lines.bytes[progress.sent.min(limit)..limit];
            // Who has closed its output most often ends in a moment.
            if resident.is_mute() {
                closed.get_or_insert_with(Instant::now);
            }
            let closing = closed.map(|closed| closed + SILENCE);
            let until = [deadline, hint, closing].into_iter().flatten().min();
            if has_answered && unsent.is_empty() && lines.rows.len() - progress.done >= MANY {
                std::thread::sleep(TO_GATHER);
            }
            let heard = resident.exchange(unsent, &mut self.received, &mut say, until, is_wanted);
            let ended = |ending| Outcome { ending, began: 0, took: since.elapsed(), leaves_process: false };
            let is_past = |time: Option<Instant>| time.is_some_and(|time| Instant::now() >= time);
            let mut over = match heard {
                Ok(Heard::Some(sent)) => {
                    progress.sent += sent;
                    None
                }
                Ok(Heard::Nothing) => None,
                Ok(Heard::Over(outcome)) => Some(outcome),
                Err(Ended::Signal(error)) => return Err(error),
                Err(Ended::Unwanted) => return Err(super::tries::unwanted()),
                Err(Ended::Gone | Ended::Unkept(_)) => Some(ended(Ending::Abandoned)),
            };
            let done = progress.done;
            self.take_answers(rows, lines, answers, &mut progress)?;
            has_answered = progress.done > done;
            if over.is_none() && !has_answered {
                // Whatever it says meanwhile on standard error.
                if is_past(deadline) {
                    over = Some(ended(Ending::TimedOut));
                } else if is_past(closing) {
                    over = Some(ended(Ending::Exited(0)));
                } else if is_past(hint) {
                    self.has_hinted = true;
                    tracing::warn!(
                        "{} has not answered for a second, and owes {}: where it is not at work, it may keep its \
                         answers back, and has to flush them after each line (in Python print(..., flush=True), in awk \
                         fflush())",
                        self.program.text,
                        counted((lines.rows.len() - progress.done) as u64, "line")
                    );
                }
            }
            let owes = lines.rows.get(progress.done).is_some_and(|(_, end)| *end <= progress.sent);
            if has_answered && (over.is_some() || !owes) {
                self.before = self.program.before(rows, row);
            }
            if has_answered && over.is_none() && !owes {
                self.look_for_surplus()?;
                progress.in_step = progress.done;
            }
            if let Some(outcome) = over {
                self.over(lines, &mut progress, &outcome, is_wanted)?;
            }
        }
        Ok(())
    }

    /// Takes the lines that have come.
    fn take_answers(
        &mut self,
        rows: &RowsOf,
        lines: &Lines,
        answers: &mut [u64],
        progress: &mut Progress,
    ) -> Result<()> {
        let mut received = std::mem::take(&mut self.received);
        let mut at = 0;
        while let Some(len) = memchr::memchr(b'\n', &received[at.max(self.searched)..]) {
            let end = at.max(self.searched) + len;
            let line = &received[at..end];
            let next = lines.rows.get(progress.done).filter(|(_, end)| *end <= progress.sent);
            let Some((row, _)) = next else { return Err(self.surplus(line)) };
            self.note(*row, progress, (0, 0), line.len() as u64 + 1);
            match self.program.answer(line, &mut self.made) {
                Ok(word) => answers[*row] = word,
                Err(fault) => _ = self.faults.insert(*row, (fault, Vec::new())),
            }
            at = end + 1;
            self.last = Some(rows.first + *row as u64);
            progress.done += 1;
            progress.tries = 0;
            progress.since = Some(Instant::now());
        }
        received.drain(..at);
        self.searched = received.len();
        self.received = received;
        if self.received.len() > MOST_ANSWER {
            return Err(Error::Failed(format!(
                "{} has answered more than {} MiB without the end of a line; have it write to a file, and answer the name \
                 of that",
                self.program.text,
                MOST_ANSWER >> 20
            )));
        }
        Ok(())
    }

    /// Looks whether more has come than was asked for, where nothing is owed; and waits for that where the program that runs
    /// has never been looked at so: who answers two lines for one does so from the first on. Lines of its standard error are
    /// of the row that was answered last.
    ///
    /// # Errors
    /// More has come.
    fn look_for_surplus(&mut self) -> Result<()> {
        let before = &self.before;
        let Some(Running { resident, said, is_proven, .. }) = &mut self.resident else { return Ok(()) };
        let wait = if std::mem::replace(is_proven, true) { Duration::ZERO } else { SECOND };
        let until = Instant::now() + wait;
        let mut say = |text: &[u8]| {
            pass_on(before, text);
            keep_last(said, text);
        };
        loop {
            match resident.exchange(b"", &mut self.received, &mut say, Some(until), &|| true) {
                // It has said something; or it has closed its output, and ends most often.
                Ok(Heard::Some(_)) if self.received.is_empty() && Instant::now() < until => {}
                Ok(Heard::Some(_) | Heard::Nothing) => break,
                Ok(Heard::Over(_)) | Err(_) => {
                    self.resident = None;
                    break;
                }
            }
        }
        if self.received.is_empty() { Ok(()) } else { Err(self.surplus(&self.received)) }
    }

    /// It has answered a line that nobody has asked for.
    fn surplus(&self, line: &[u8]) -> Error {
        let after =
            self.last.map_or("before the first item".to_owned(), |row| format!("after item no. {}", row + 1));
        Error::Failed(format!(
            "{} has answered more lines than it was given: '{}' {after}; it is to print one line for each that it reads",
            self.program.text,
            shown(&line[..line.len().min(MOST_SHOWN)])
        ))
    }

    /// Notes how a row was worked on.
    fn note(&mut self, row: usize, progress: &Progress, (exit, signal): (i32, i32), printed: u64) {
        let took = progress.since.map_or(Duration::ZERO, |since| since.elapsed());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began = now.saturating_sub(took).as_nanos() as u64;
        self.tried[row] = Tried { exit, signal, began, took, printed, ..self.nobody };
    }

    /// The program is over, or is to be, with lines that it has not answered.
    fn over(
        &mut self,
        lines: &Lines,
        progress: &mut Progress,
        outcome: &Outcome,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<()> {
        let said = self.resident.take().map(|running| running.said).unwrap_or_default();
        let part = std::mem::take(&mut self.received);
        self.searched = 0;
        let sent = lines.rows.iter().take_while(|(_, end)| *end <= progress.sent).count();
        if sent > progress.in_step + 1 {
            // Whether each answer was to the line that it was taken for is not certain: it may have left one out.
            let again = &lines.rows[progress.in_step..progress.done];
            again.iter().for_each(|(row, _)| _ = self.faults.remove(row));
            (progress.done, progress.alone_until, progress.since) = (progress.in_step, sent, None);
            return Ok(());
        }
        progress.since.get_or_insert_with(Instant::now);
        let Some((row, _)) = lines.rows.get(progress.done).copied() else { return Ok(()) };
        progress.tries += 1;
        // Whoever dies is looked into once more, as a worker process is; who takes too long, or cannot be started, is not.
        let is_dead = matches!(outcome.ending, Ending::Exited(_) | Ending::Killed(_) | Ending::Abandoned);
        if progress.tries <= self.program.limits.retries.max(usize::from(is_dead)) {
            if progress.tries > 1 {
                wait(self.program.limits.delay, is_wanted)?;
            }
            return Ok(());
        }
        let fault = match outcome.ending {
            Ending::Exited(0) if part.is_empty() => "it has ended before it answered".to_owned(),
            Ending::Exited(0) => format!("it has ended in the middle of an answer: '{}'", shown(&part)),
            ending => faults::of(ending, self.program.limits.timeout, 0),
        };
        let (exit, signal) = super::tries::status(outcome.ending);
        self.note(row, progress, (exit, signal), part.len() as u64);
        self.faults.insert(row, (faults::with_said(fault, &said), said));
        progress.done += 1;
        progress.in_step = progress.done;
        (progress.tries, progress.since) = (0, None);
        Ok(())
    }
}

impl RowFunction for ProgramFunction {
    fn columns(&self) -> Vec<usize> {
        (0..self.program.columns.len()).collect()
    }

    fn rows_at_once(&self) -> usize {
        ROWS
    }

    fn answer(&mut self, rows: &RowsOf, answers: &mut [u64], is_wanted: &dyn Fn() -> bool) -> Result<RowSet> {
        self.made.clear();
        self.faults.clear();
        self.tried = vec![self.nobody; answers.len()];
        // Before anything is asked, whatever comes is more than was asked for.
        let asked = self.look_for_surplus().and_then(|()| self.converse(rows, answers, is_wanted));
        if let Err(error) = asked {
            self.resident = None;
            return Err(error);
        }
        Ok(self.faults.keys().copied().collect())
    }

    fn made(&self) -> &[u8] {
        &self.made
    }

    fn fault(&self, _rows: &RowsOf, row: usize) -> Option<String> {
        self.faults.get(&row).map(|(fault, _)| fault.clone())
    }

    fn tried(&self, row: usize) -> Option<(&Tried, &[u8])> {
        let said = self.faults.get(&row).map_or(&[][..], |(_, said)| said);
        self.tried.get(row).map(|tried| (tried, said))
    }
}

impl Drop for ProgramFunction {
    /// There are no more rows: the program may do what it does at its end.
    fn drop(&mut self) {
        let Some(Running { resident, .. }) = &mut self.resident else { return };
        resident.end_input();
        let (until, mut rest, mut lost) = (Instant::now() + TO_END, Vec::new(), Vec::new());
        // What it says at its end is behind the last row.
        let before = &self.before;
        let mut say = |text: &[u8]| pass_on(before, text);
        while Instant::now() < until {
            let heard = resident.exchange(b"", &mut rest, &mut say, Some(until), &|| true);
            let room = MOST_LEFT.saturating_sub(lost.len());
            lost.extend(rest.drain(..).take(room));
            if !matches!(heard, Ok(Heard::Some(_))) {
                break;
            }
        }
        if !lost.trim_ascii().is_empty() {
            tracing::warn!("{}, at its end", self.surplus(lost.trim_ascii()));
        }
    }
}
