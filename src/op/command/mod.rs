//! A command for each row of a map: what it prints is the answer.
//!
//! The command's words are a template that is filled with the row's values as they are ([`template`]); a runner
//! ([`crate::exec`]) starts it, one after the other for each worker. Standard error is passed on, each line behind the item
//! that it is of.

mod faults;
mod template;

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::base::blocking::Stderr;
use crate::base::error::{Error, Result, plain};
use crate::base::fmt::shown;
use crate::base::{escape, signals};
use crate::data::schema::{ColumnType, Schema};
use crate::data::texts::{Texts, last_of};
use crate::exec::{Ended, Ending, Outcome, Request, Runner};
use crate::job::command::{Command, Limits};
use crate::op::expr::Faults;
use crate::op::record::{Record, Tried};
use crate::op::{RowFunction, RowsOf, Worker};
use template::{Item, Template};

/// Bytes that a command may print.
const MOST_OUTPUT: u64 = 256 << 20;

/// Bytes of standard error that are kept to say why a command has failed.
const MOST_SAID: usize = 2048;

/// The exit code of what has none, as GNU parallel has it.
const NO_EXIT: i32 = -1;

/// Letters of an item before the lines of its standard error.
const MOST_ITEM: usize = 40;

/// How often an item is run again whose runner was killed.
const RUNNERS: usize = 2;

/// Variables that say how many threads a program may start, as the libraries have them that many programs use.
const THREADS: [&str; 3] = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"];

/// A command bound to the columns of an input. The same on every rank.
#[derive(Debug, Clone)]
pub struct BoundCommand {
    template: Arc<Template>,
    columns: Vec<ColumnType>,
    raw: bool,
    /// Type of the answers.
    answers: ColumnType,
    limits: Limits,
}

impl BoundCommand {
    /// `command` over columns of `schema`.
    pub fn bind(command: &Command, limits: Limits, schema: &Schema) -> Self {
        let words = command.words.iter().map(|word| word.0.as_encoded_bytes());
        Self {
            template: Arc::new(Template::new(words, command.shell, schema)),
            columns: schema.dtypes().collect(),
            raw: command.raw,
            answers: command.answers.map_or(ColumnType::Bytes, ColumnType::from),
            limits,
        }
    }

    /// Type of its answers.
    pub fn dtype(&self) -> ColumnType {
        self.answers
    }

    /// The same, ready to be run by `worker`.
    pub fn function(&self, worker: Worker) -> CommandFunction {
        let env = |name: &str, value: usize| format!("{name}={value}").into_bytes();
        let threads = THREADS.into_iter().filter(|name| std::env::var_os(name).is_none());
        let mut env_of_worker: Vec<Vec<u8>> = threads.map(|name| env(name, worker.cpus)).collect();
        env_of_worker.extend([env("PARPY_SLOT", worker.slot), env("PARPY_RANK", worker.rank)]);
        CommandFunction {
            command: self.clone(),
            slot: worker.slot,
            env: env_of_worker,
            runner: None,
            made: Vec::new(),
            fault: None,
            tried: Tried { rank: worker.rank, slot: worker.slot, exit: NO_EXIT, ..Tried::default() },
            said: Vec::new(),
        }
    }

    /// The command of an item as a line, for people: words with a blank in them stand in quotes.
    pub fn line(&self, record: &Record) -> Vec<u8> {
        let values: Vec<Cow<[u8]>> = record.values.iter().map(|value| (&value.text[..]).into()).collect();
        self.template.line(&Item { values: &values, row: record.row, slot: record.tried.slot })
    }
}

/// Runs a command for each row. One per worker.
pub struct CommandFunction {
    command: BoundCommand,
    slot: usize,
    /// Variables of all of its commands.
    env: Vec<Vec<u8>>,
    /// Started when it is needed.
    runner: Option<Runner>,
    /// What the last has printed.
    made: Vec<u8>,
    /// Why the last has failed.
    fault: Option<String>,
    /// How the last was worked on, and the last of what it has said.
    tried: Tried,
    said: Vec<u8>,
}

impl RowFunction for CommandFunction {
    fn columns(&self) -> Vec<usize> {
        self.command.template.columns()
    }

    fn rows_at_once(&self) -> usize {
        1
    }

    fn answer(
        &mut self,
        rows: &RowsOf,
        answers: &mut [u64],
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Option<Faults>> {
        self.made.clear();
        self.fault = None;
        let mut faults: Option<Faults> = None;
        for (row, answer) in answers.iter_mut().enumerate() {
            self.tried = Tried { rank: self.tried.rank, slot: self.slot, exit: NO_EXIT, ..Tried::default() };
            self.said.clear();
            if rows.lacks(row) {
                continue;
            }
            match self.answer_row(rows, row, is_wanted)? {
                Ok(word) => *answer = word,
                Err(fault) => {
                    faults.get_or_insert([0; _])[row / 64] |= 1 << (row % 64);
                    self.fault = Some(fault);
                }
            }
        }
        Ok(faults)
    }

    fn made(&self) -> &[u8] {
        &self.made
    }

    fn fault(&self, _rows: &RowsOf, _row: usize) -> Option<String> {
        self.fault.clone()
    }

    fn tried(&self) -> Option<(&Tried, &[u8])> {
        Some((&self.tried, &self.said))
    }
}

/// What a try has come to: the word of the answer, or why there is none.
type Answer = std::result::Result<u64, String>;

impl CommandFunction {
    /// Runs the command for a row, again and again as far as that is wanted.
    fn answer_row(&mut self, rows: &RowsOf, row: usize, is_wanted: &dyn Fn() -> bool) -> Result<Answer> {
        let number = rows.first + row as u64;
        let values: Vec<Cow<[u8]>> =
            (0..rows.columns.len()).map(|column| self.value(rows, column, row)).collect();
        if let Some(value) = values.iter().find(|value| value.contains(&0)) {
            return Ok(Err(format!(
                "no argument of a command can have a NUL in it, as '{}' has",
                shown(value)
            )));
        }
        let mut env = self.env.clone();
        env.push(format!("PARPY_ITEM={number}").into_bytes());
        let Limits { timeout, memory, retries, delay } = self.command.limits;
        let request = Request {
            argv: self.command.template.fill(&Item { values: &values, row: number, slot: self.slot }),
            env,
            timeout,
            memory,
            most_output: MOST_OUTPUT,
        };
        let before = before_line(&values, number);
        let begin = self.made.len();
        let mut tried = 0;
        loop {
            self.made.truncate(begin);
            let mut said = Vec::new();
            let outcome = self.run(&request, &before, &mut said, is_wanted)?;
            self.note(&outcome, self.made.len() - begin);
            let answer = self.read(&outcome, begin);
            let fault = match answer {
                Ok(word) => return Ok(Ok(word)),
                Err(fault) => fault,
            };
            self.made.truncate(begin);
            tried += 1;
            if tried > retries {
                let fault = faults::with_said(fault, &said);
                self.said = said;
                return Ok(Err(fault));
            }
            wait(delay, is_wanted)?;
        }
    }

    /// Notes what a try has come to.
    fn note(&mut self, outcome: &Outcome, printed: usize) {
        let (exit, signal) = match outcome.ending {
            Ending::Exited(code) => (code, 0),
            Ending::Killed(signal) | Ending::Stopped(signal) => (NO_EXIT, signal),
            // As a shell has it.
            Ending::NotStarted(libc::ENOENT) => (127, 0),
            Ending::NotStarted(_) => (126, 0),
            Ending::TimedOut | Ending::TooLong => (NO_EXIT, libc::SIGKILL),
        };
        let (began, took, printed) = (outcome.began, outcome.took, printed as u64);
        self.tried = Tried { exit, signal, began, took, printed, ..self.tried };
    }

    /// Runs the command once. What it prints is behind what has been made, and the last of what it says is `said`.
    fn run(
        &mut self,
        request: &Request,
        before: &[u8],
        said: &mut Vec<u8>,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Outcome> {
        let cannot = |why: &str| Error::Failed(format!("cannot run commands: {why}"));
        let begin = self.made.len();
        for _ in 0..=RUNNERS {
            let runner = match &mut self.runner {
                Some(runner) => runner,
                None => self.runner.insert(Runner::start().map_err(|e| cannot(&plain(&e)))?),
            };
            let keep = |lines: &[u8]| {
                pass_on(before, lines);
                said.extend_from_slice(lines);
                let surplus = said.len().saturating_sub(MOST_SAID);
                said.drain(..surplus);
            };
            match runner.run(request, &mut self.made, keep, is_wanted) {
                Ok(outcome) => return Ok(outcome),
                Err(Ended::Signal(signal)) => {
                    self.runner = None;
                    return Err(signal);
                }
                Err(Ended::Unwanted) => {
                    self.runner = None;
                    return Err(Error::Failed("nobody wants the answer any more".into()));
                }
                // Somebody has killed it: that says nothing of the command.
                Err(Ended::Gone) => {
                    self.runner = None;
                    self.made.truncate(begin);
                    said.clear();
                }
            }
        }
        Err(cannot("what starts them was killed, again and again"))
    }

    /// The answer that a command has given with what it has printed, which is all from `begin` on.
    fn read(&mut self, outcome: &Outcome, begin: usize) -> Answer {
        if outcome.ending != Ending::Exited(0) {
            return Err(faults::of(outcome.ending, self.command.limits.timeout, MOST_OUTPUT));
        }
        let printed = &self.made[begin..];
        let Some(dtype) = self.command.answers.number() else {
            let end = match printed.strip_suffix(b"\n") {
                Some(line) if !self.command.raw => begin + line.len(),
                _ => self.made.len(),
            };
            self.made.truncate(end);
            return last_of(&self.made, begin).ok_or_else(|| "it has printed too much".to_owned());
        };
        let word = std::str::from_utf8(printed).ok().map(str::trim);
        match word.and_then(|word| dtype.parse(word)) {
            Some(bits) => Ok(bits),
            None if printed.trim_ascii().is_empty() => {
                Err(format!("it has printed nothing, and no {}", dtype.name()))
            }
            None => {
                Err(format!("it has printed '{}', which is no {}", shown(printed.trim_ascii()), dtype.name()))
            }
        }
    }

    /// A value as it was typed.
    fn value<'r>(&self, rows: &RowsOf<'r>, column: usize, row: usize) -> Cow<'r, [u8]> {
        let bits = rows.columns[column][row];
        match self.command.columns[column].number() {
            None => Texts { input: rows.memory, made: &[] }.get(bits).into(),
            Some(dtype) => dtype.text(bits).into_bytes().into(),
        }
    }
}

/// What stands before each line of the standard error of a command: its item, or where that is long or has several
/// columns, its number.
fn before_line(values: &[Cow<[u8]>], number: u64) -> Vec<u8> {
    match values {
        [value] if value.len() <= MOST_ITEM && !value.is_empty() => {
            let mut before = escape::name(value);
            before.extend_from_slice(b": ");
            before
        }
        _ => format!("no. {}: ", number + 1).into_bytes(),
    }
}

/// Passes on lines of standard error, all at once, so that no line stands within another.
fn pass_on(before: &[u8], lines: &[u8]) {
    let mut text = Vec::new();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        text.extend_from_slice(before);
        text.extend_from_slice(line);
    }
    // Nobody listens: that is no fault of the command.
    let _ = Stderr.write_all(&text);
}

/// Waits before an item is tried again.
fn wait(delay: Duration, is_wanted: &dyn Fn() -> bool) -> Result<()> {
    let began = std::time::Instant::now();
    while began.elapsed() < delay && is_wanted() {
        signals::check()?;
        let left = delay.saturating_sub(began.elapsed());
        // A signal ends it: the next look says which.
        let _ = signals::sleep(left.min(Duration::from_millis(50)));
    }
    signals::check()
}
