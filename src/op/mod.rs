//! What is done with one block. Functions have names, because a closure cannot cross to another process
//! or rank.
//!
//! Every pattern runs blocks through the same [`Operator`], so that the answers cannot differ; patterns
//! decide only who runs a block and where its answer goes.

pub mod accumulator;
pub mod command;
pub mod expr;
pub mod formula;
pub mod functions;
pub mod library;
pub mod lines;
pub mod record;
pub mod reduce;

use bytemuck::{Pod, Zeroable};

use crate::base::error::{Error, Result, did_you_mean};
use crate::base::fmt::listed;
use crate::base::lanes::Lanes;
use crate::base::signals;
use crate::base::spool::Spool;
use crate::data::batch::BatchRef;
use crate::data::block::Block;
use crate::data::format::Format;
use crate::data::row_set::RowSet;
use crate::data::schema::{ANSWERS, ColumnType, Field, Schema};
use crate::input::InputInfo;
use crate::job::command::Function;
use crate::job::output::Output;
use crate::job::shard::{self, ShardMode};
use crate::job::{Reductions, Task, Work};
use crate::op::accumulator::Accumulator;
use crate::op::command::python::BoundPython;
use crate::op::command::{BoundCommand, BoundPipe, BoundProgram, CommandLines};
use crate::op::formula::Formula;
use crate::op::library::BoundLibrary;
use crate::op::lines::{Answers, LineOp};
use crate::op::record::Tried;
use crate::op::reduce::Reduce;
use crate::op::reduce::groups::Reduced;

/// A task whose input is open: what is known of that, and what follows from it. The same on every rank.
#[derive(Debug, Clone, Default)]
pub struct Bound {
    /// The input.
    pub info: InputInfo,
    /// What a `map` does with each row; `None` for a `read`, and where columns are only reduced.
    pub function: Option<BoundFunction>,
    /// Columns of the input that stand before the answers in results, by their numbers.
    pub kept: Vec<usize>,
    /// What all rows are reduced to, where that is wanted.
    pub reduce: Option<Reduce>,
    /// What a `read` does with lines.
    pub lines: Option<&'static LineOp>,
    /// The command that reads each section of lines, where a `read` has one.
    pub pipe: Option<BoundPipe>,
    /// Results say who has answered.
    pub says_who: bool,
    /// Answers are texts on their way, and which type they have in the end follows from the first of them.
    pub is_open: bool,
}

impl Bound {
    /// `task`, whose input is as `info` says. Pure: the same on every rank.
    ///
    /// # Errors
    /// As those of [`BoundFunction::bind`]; or there are no such columns to be kept.
    pub fn of(task: &Task, info: InputInfo) -> Result<Self> {
        let Work::Map { function, columns, reduce, who, .. } = &task.work else {
            if let (Some(pipe), Some(section)) = (task.work.pipe(), task.fixed_section(info.total)) {
                let pipe = Some(BoundPipe::bind(pipe, task, section)?);
                return Ok(Self { info, pipe, ..Self::default() });
            }
            let action = task.work.action().unwrap_or(lines::DEFAULT);
            let unknown = || Error::Usage(format!("--do {action}: unknown operation"));
            let lines = Some(lines::by_name(action).ok_or_else(unknown)?);
            return Ok(Self { info, lines, ..Self::default() });
        };
        let function = function
            .as_ref()
            .map(|function| BoundFunction::bind(function, task, &info.schema))
            .transpose()?;
        if let Some(Reductions { items, by, ddof }) = reduce {
            let answers = function.as_ref().map_or(Vec::new(), BoundFunction::answers);
            let reduce = Some(Reduce::bind(items, &info.schema, &answers, by.as_deref(), *ddof)?);
            return Self { info, function, reduce, ..Self::default() }.checked(task);
        }
        let count = info.schema.len();
        let answers = function.as_ref().map_or(Vec::new(), BoundFunction::answers);
        let names = input_names(&info.schema, &answers, *who);
        if let Some(columns) = columns {
            let answers = answers.iter().map(|field| &*field.name);
            let (kept, last) = kept_columns(columns, names.iter().map(String::as_str), answers)?;
            let function = function.map(|function| function.with_last(last));
            let is_open = is_open(task);
            return Self { info, function, kept, says_who: *who, is_open, ..Self::default() }.checked(task);
        }
        let inputs = match &task.output {
            Output::None | Output::People => 0,
            Output::Stdout | Output::File(_, Format::Text) if !who => 0,
            // A table where there are several, else the answers alone.
            Output::File(_, Format::Npy) if count == 1 => 0,
            Output::Stdout | Output::File(..) => count,
        };
        // Columns of answers before the last follow those of the input.
        let others = count..count + answers.len().saturating_sub(1);
        let kept = (0..inputs).chain(others).collect();
        let is_open = is_open(task);
        Self { info, function, kept, says_who: *who, is_open, ..Self::default() }.checked(task)
    }

    /// The same, where `task` can have such results.
    ///
    /// # Errors
    /// The output of `task` has no columns of text, and there is one; or it cannot be in parts then.
    pub fn checked(self, task: &Task) -> Result<Self> {
        if task.output == Output::People && self.info.schema.has_texts() {
            return Err(Error::Usage("output = \"people\" tells of numbers, and not of texts".into()));
        }
        let (path, why, others) = match &task.output {
            Output::File(path, Format::Npy) if task.portion == ShardMode::Whole => {
                (path, "such files hold numbers", ".csv, .jsonl, .h5")
            }
            Output::File(path, Format::Npy) => (path, "such files hold numbers", ".csv, .jsonl"),
            Output::File(path, Format::Hdf5) if task.portion != ShardMode::Whole => {
                (path, "in HDF5 parts are of numbers", ".csv, .jsonl")
            }
            _ => return Ok(self),
        };
        let is_text =
            |field: &Field| field.dtype == ColumnType::Bytes && !(self.is_open && field.name == ANSWERS);
        let Some(Field { name, .. }) = self.table().fields.into_iter().find(is_text) else {
            return Ok(self);
        };
        let is_command = task.work.runs_for_items().is_some();
        let last = &self.table().fields.pop().map_or(String::new(), |field| field.name);
        let remedy = match (name == ANSWERS, self.reduce.is_some()) {
            (true, _) if is_command => "; or say which numbers it prints: --answers f64 (or i64)".to_owned(),
            (false, false) if *last != name => format!(", or --columns {last} leaves it out"),
            _ => String::new(),
        };
        Err(Error::Usage(format!(
            "-o {}: its column {name} would be text, and {why}; {others} and .txt hold texts, too{remedy}",
            path.display()
        )))
    }

    /// The same, where the answers are known to be of that type.
    pub fn answering(&self, answers: ColumnType) -> Self {
        let function = match self.function.clone() {
            Some(BoundFunction::Command(command)) => Some(BoundFunction::Command(command.answering(answers))),
            Some(BoundFunction::Program(program)) => Some(BoundFunction::Program(program.answering(answers))),
            Some(BoundFunction::Python(python)) => Some(BoundFunction::Python(python.answering(answers))),
            other => other,
        };
        Self { function, is_open: false, ..self.clone() }
    }

    /// Puts together what blocks come to, where they do not answer row by row; `task` is what this is of.
    pub fn accumulator(&self, task: &Task) -> Option<Box<dyn Accumulator>> {
        if let Some(reduce) = &self.reduce {
            let by = self.table().dtypes().next().unwrap_or(ColumnType::I64);
            return Some(Box::new(Reduced::new(reduce, by)));
        }
        match (self.lines?.answers, task.work.text()?) {
            (Answers::States { new, .. }, file) => Some(new(file)),
            (Answers::Lines, _) => None,
        }
    }

    /// Bytes of the state of a section of lines, where such are answered, however many lines it has.
    pub fn state_of_section(&self) -> Option<usize> {
        match self.lines?.answers {
            Answers::States { bytes, .. } => Some(bytes),
            Answers::Lines => None,
        }
    }

    /// Does an item take its time, nobody knows how much?
    pub fn is_costly(&self) -> bool {
        self.pipe.is_some() || self.function.as_ref().is_some_and(BoundFunction::is_costly)
    }

    /// Is a block one item, which cannot be halved?
    pub fn has_whole_blocks(&self) -> bool {
        self.pipe.is_some()
    }

    /// What the columns of the input of a `map` are called in results.
    pub fn names(&self) -> Vec<String> {
        let answers = self.function.as_ref().map_or(Vec::new(), BoundFunction::answers);
        input_names(&self.info.schema, &answers, self.says_who)
    }

    /// Columns of answers before the last, where a function has several. They follow those of the input in [`Bound::kept`].
    pub fn other_answers(&self) -> Vec<Field> {
        let mut answers = self.function.as_ref().map_or(Vec::new(), BoundFunction::answers);
        answers.pop();
        answers
    }

    /// Type of the answers of a `map`.
    pub fn answers(&self) -> ColumnType {
        self.function.as_ref().map_or(ColumnType::I64, BoundFunction::dtype)
    }

    /// The columns of a table of results: those of the input that are kept, and the answers; or reductions. Each has a
    /// name, and no two the same.
    pub fn table(&self) -> Schema {
        let schema = &self.info.schema;
        if let Some(reduce) = &self.reduce {
            return reduce.table(schema);
        }
        if self.pipe.is_some() {
            return Schema::default();
        }
        match self.lines.map(|op| op.answers) {
            Some(Answers::States { table, .. }) => return table(),
            Some(Answers::Lines) => return Schema::default(),
            None => {}
        }
        let dtypes = schema.fields.iter().map(|field| field.dtype);
        let inputs = self.names().into_iter().zip(dtypes).map(|(name, dtype)| Field { name, dtype });
        let all: Vec<Field> = inputs.chain(self.other_answers()).collect();
        let last = self.function.as_ref().and_then(|function| function.answers().pop());
        let last = last.unwrap_or(Field { name: ANSWERS.to_owned(), dtype: self.answers() });
        let mut fields: Vec<Field> = self.kept.iter().map(|k| all[*k].clone()).collect();
        fields.push(last);
        Schema { fields }
    }
}

/// Does a file of columns get the answers of a command of which nobody has said what they are?
fn is_open(task: &Task) -> bool {
    let is_of_columns = matches!(task.output, Output::File(_, Format::Npy | Format::Hdf5));
    is_of_columns && task.work.runs_for_items() == Some(None)
}

/// What the columns of an input are called in results, which may say who has answered.
fn input_names(schema: &Schema, answers: &[Field], says_who: bool) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for field in &schema.fields {
        let mut name = match &*field.name {
            "" => NAMELESS.to_owned(),
            // As where one parpy reads what another has written.
            ANSWERS if schema.len() == 1 => NAMELESS.to_owned(),
            name => name.to_owned(),
        };
        let is_answer = |name: &str| name == ANSWERS || answers.iter().any(|field| field.name == name);
        let is_taken = |name: &str| is_answer(name) || says_who && OF_WHO.contains(&name);
        while is_taken(&name) || names.contains(&name) {
            name.push('_');
        }
        names.push(name);
    }
    names
}

/// The columns that `--columns` keeps of the inputs, which have these names, and of the answers, and which of the answers
/// comes last. Answers before that one follow the inputs.
fn kept_columns<'a>(
    columns: &[String],
    inputs: impl Iterator<Item = &'a str>,
    answers: impl Iterator<Item = &'a str>,
) -> Result<(Vec<usize>, usize)> {
    let wrong = |why: String| Error::Usage(format!("--columns {}: {why}", columns.join(",")));
    let (inputs, answers): (Vec<&str>, Vec<&str>) = (inputs.collect(), answers.collect());
    let last = columns.last().and_then(|last| answers.iter().position(|known| last == known));
    let Some(last) = last else {
        let why =
            format!("the answers are a column of all results, {}; give it last", listed(answers.into_iter()));
        return Err(wrong(why));
    };
    let others = answers.iter().enumerate().filter(|(k, _)| *k != last).map(|(_, name)| *name);
    let known: Vec<&str> = inputs.into_iter().chain(others).collect();
    let mut kept = Vec::new();
    for name in &columns[..columns.len() - 1] {
        let Some(k) = known.iter().position(|known| known == name) else {
            let near = did_you_mean(name, known.iter().copied());
            let there = listed(known.iter().copied().chain([answers[last]]));
            return Err(wrong(format!("there is no column {name}; there are {there}{near}")));
        };
        if kept.contains(&k) {
            return Err(wrong(format!("{name} is there twice")));
        }
        kept.push(k);
    }
    Ok((kept, last))
}

/// Columns that say who has answered.
const OF_WHO: [&str; 3] = ["rank", "pid", "host"];

/// What a column of the input without a name is called in results.
const NAMELESS: &str = "input";

/// What a worker reports of one block, or of one more piece of a long answer.
#[derive(Debug, Default)]
pub struct BlockResult {
    /// Bytes of answer written to the front of the room.
    pub bytes: usize,
    /// Items answered: values, or lines of the section, or the section where a command reads it.
    pub items: u64,
    /// Bytes of input worked through.
    pub input_bytes: u64,
    /// There is more than the room could hold; ask with [`Operator::more`].
    pub more: bool,
    /// Why the answer ends here. What was written before stands.
    pub failure: Option<Error>,
    /// Items without an answer that were passed over, as `--keep-going` wants it.
    pub failed: u64,
    /// Why the first of these has none.
    pub first_failed: Option<String>,
    /// What is said of single items, as [`record::Record`] has it.
    pub records: Vec<u8>,
}

impl BlockResult {
    /// Nothing but a failure.
    pub fn failed(error: Error) -> Self {
        Self { failure: Some(error), ..Self::default() }
    }
}

/// What to do with one block. One per worker; made anew for each run of a task.
pub trait Operator: Send {
    /// Works on `block` and writes the answer to the front of `buf`. `rows` are those of the block, where they travel
    /// with it. `is_wanted` says, whenever it is asked, whether anybody wants the answer still.
    fn apply(
        &mut self,
        block: &Block,
        rows: Option<BatchRef>,
        buf: &mut [u8],
        is_wanted: &dyn Fn() -> bool,
    ) -> BlockResult;

    /// Goes on with an answer that was longer than the room. Only after an answer whose `more` was set.
    fn more(&mut self, _room: &mut [u8]) -> BlockResult {
        BlockResult::default()
    }
}

/// Who runs a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// The rank; 0 where there are none.
    pub rank: usize,
    /// Its number among the workers of the rank.
    pub slot: usize,
    /// CPUs that it has for itself.
    pub cpus: usize,
    /// Its graphics processor, where workers have some: empty where the node has none.
    pub gpu: Option<String>,
}

/// Some rows, as a function sees them.
pub struct RowsOf<'a> {
    /// Their columns.
    pub columns: &'a [&'a [u64]],
    /// Where words of texts lead to.
    pub memory: &'a [u8],
    /// The number of the first row in all of the input.
    pub first: u64,
    /// Rows that lack a value that the function needs.
    pub lacking: &'a RowSet,
}

/// A column of answers.
#[derive(Debug, Default)]
pub struct AnswerColumn {
    /// A word for each row.
    pub bits: Vec<u64>,
    /// Rows that have none.
    pub lacking: RowSet,
}

/// Is the work worth going on with? Asked between two items of which each may take long.
///
/// # Errors
/// A signal has come, or nobody will hear of the answer.
pub fn goes_on(is_wanted: &dyn Fn() -> bool) -> Result<()> {
    signals::check()?;
    if is_wanted() { Ok(()) } else { Err(Error::Failed("is not wanted any more".into())) }
}

/// What answers row by row. One per worker.
pub trait RowFunction: Send {
    /// The columns whose values it needs, by their numbers.
    fn columns(&self) -> Vec<usize>;

    /// How many rows are best given to it at once.
    fn rows_at_once(&self) -> usize;

    /// Answers rows, as many as there is room for in `answers`. Returns which have no answer. `is_wanted` says, whenever
    /// it is asked, whether anybody wants the answers still.
    ///
    /// # Errors
    /// It cannot go on: a signal has come, or what it needs has gone.
    fn answer(&mut self, rows: &RowsOf, answers: &mut [u64], is_wanted: &dyn Fn() -> bool) -> Result<RowSet>;

    /// Columns of answers before the one that was filled last, where there are several, of as many rows. They are given away.
    fn take_others(&mut self) -> Vec<AnswerColumn> {
        Vec::new()
    }

    /// Where the words of answers lead to that are texts, and that [`RowFunction::answer`] has made.
    fn made(&self) -> &[u8] {
        &[]
    }

    /// The answer to the row that was answered last, alone, where it is a text too long for memory: that is not made.
    fn spooled(&mut self) -> Option<&mut Spool> {
        None
    }

    /// Why a row, of those that have been answered last, has no answer; `None` where it has one.
    fn fault(&self, _rows: &RowsOf, _row: usize) -> Option<String> {
        None
    }

    /// Is the answer to a row, of those that have been answered last and have none, that there is none? That is no fault.
    fn is_missing(&self, _row: usize) -> bool {
        false
    }

    /// How a row was worked on, of those that have been answered last, where it has a work of its own; and the last of what was said
    /// while it was.
    fn tried(&self, _row: usize) -> Option<(&Tried, &[u8])> {
        None
    }
}

/// What a `map` does with each row, bound to the columns that there are.
#[derive(Debug, Clone)]
pub enum BoundFunction {
    /// A formula.
    Formula(Formula),
    /// A command.
    Command(BoundCommand),
    /// A program that stays.
    Program(BoundProgram),
    /// A function of a library.
    Library(BoundLibrary),
    /// A Python function.
    Python(BoundPython),
}

impl BoundFunction {
    /// `function`, as `task` has it, over columns of `schema`. Pure: the same on every rank.
    ///
    /// # Errors
    /// As those of [`Formula::bind`] and [`BoundLibrary::bind`]; or there is no seed, and one is wanted.
    pub fn bind(function: &Function, task: &Task, schema: &Schema) -> Result<Self> {
        match function {
            Function::Formula { is_random: true, .. } if task.seed.is_none() => Err(shard::no_seed()),
            Function::Formula { text, .. } => {
                Formula::bind(text, schema, task.seed.unwrap_or_default()).map(Self::Formula)
            }
            Function::Command(command) => BoundCommand::bind(command, task, schema).map(Self::Command),
            Function::Program(program) => Ok(Self::Program(BoundProgram::bind(program, task, schema))),
            Function::Library(library) => BoundLibrary::bind(library, schema).map(Self::Library),
            Function::Python(python) => Ok(Self::Python(BoundPython::bind(python, task, schema))),
        }
    }

    /// Type of its answers.
    pub fn dtype(&self) -> ColumnType {
        match self {
            Self::Formula(formula) => formula.dtype(),
            Self::Command(command) => command.dtype(),
            Self::Program(program) => program.dtype(),
            Self::Library(library) => library.dtype(),
            Self::Python(python) => python.dtype(),
        }
    }

    /// The columns that its answers are, the last of them that of [`BoundFunction::dtype`].
    pub fn answers(&self) -> Vec<Field> {
        match self {
            Self::Python(python) => python.fields(),
            _ => Schema::single(ANSWERS, self.dtype()).fields,
        }
    }

    /// The same, where column number `last` of its answers comes last.
    pub fn with_last(self, last: usize) -> Self {
        match self {
            Self::Python(python) => Self::Python(python.with_last(last)),
            other => other,
        }
    }

    /// Does an answer take its time, nobody knows how much?
    pub fn is_costly(&self) -> bool {
        match self {
            Self::Formula(formula) => formula.is_costly(),
            Self::Command(_) | Self::Program(_) => true,
            Self::Library(library) => library.is_costly(),
            Self::Python(python) => python.is_costly(),
        }
    }

    /// The same, ready to be run by `worker`, who computes with `lanes`. Where `is_of_any_length`, answers may be too long for
    /// memory.
    ///
    /// # Errors
    /// What it needs is not there, or not on this node.
    pub fn function(
        &self,
        lanes: Lanes,
        is_of_any_length: bool,
        worker: impl FnOnce() -> Worker,
    ) -> Result<Box<dyn RowFunction>> {
        Ok(match self {
            Self::Formula(formula) => Box::new(formula.program(lanes)),
            Self::Command(command) => Box::new(command.function(worker(), is_of_any_length)),
            Self::Program(program) => Box::new(program.function(&worker())),
            Self::Library(library) => Box::new(library.function()?),
            Self::Python(python) => Box::new(python.function(&worker())),
        })
    }

    /// What is run for items, for people; `None` where that is a function.
    pub fn lines(&self) -> Option<CommandLines> {
        match self {
            Self::Command(command) => Some(command.lines()),
            Self::Program(program) => Some(program.lines()),
            Self::Python(python) => Some(python.lines()),
            Self::Formula(_) | Self::Library(_) => None,
        }
    }

    /// Looks whether what it needs is there, so that a run that cannot begin says so before anything is written, and starts
    /// what the workers of this node have in common, of which `worker` is one. `will_fork`: workers are forked from this
    /// process.
    ///
    /// # Errors
    /// As those of [`BoundFunction::function`].
    pub fn begin(&self, will_fork: bool, worker: impl FnOnce() -> Worker) -> Result<()> {
        match self {
            // What is loaded may start threads, which no process can be forked with: there the workers find it out.
            Self::Library(library) if !will_fork => library.function().map(drop),
            Self::Python(python) => python.begin(&worker()),
            Self::Formula(_) | Self::Command(_) | Self::Program(_) | Self::Library(_) => Ok(()),
        }
    }
}

/// A page of a buffer that files are read into: where buffers begin at a page the system copies faster to
/// them, and no vector crosses a cache line. Measured: 2 GB counted by 2 threads in 0.15 s, and in 0.26 s
/// where the buffers began 16 bytes behind a page, as allocators have it.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
pub struct Page([u8; 4096]);

/// Pages for `bytes`.
pub fn pages(bytes: usize) -> Vec<Page> {
    vec![Page::zeroed(); bytes.div_ceil(size_of::<Page>())]
}
