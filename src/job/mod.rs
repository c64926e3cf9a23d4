//! The checked job: the same thing from flags and from a TOML file.
//!
//! Checking is pure: it looks at what was typed (and at the text of a job file), never at the file system,
//! so that every rank comes to the same job or to the same error. What depends on files is found out when
//! a task is opened, on rank 0.

pub mod answers;
pub mod command;
pub mod compress;
pub mod halt;
pub mod input;
pub mod library;
pub mod output;
pub mod pattern;
pub mod python;
pub mod schedule;
pub mod shard;
pub mod spec;
pub mod sweep;
pub mod values;

use std::path::{Path, PathBuf};

use crate::base::blocking::STDIN;
use crate::base::names::{self, absolute};
use crate::data::dtype::Dtype;
use crate::data::format::Format;
use crate::data::fraction::Fraction;
use crate::job::answers::AnswersSpec;
use crate::job::command::{AnswerType, Function, Gpus, Limits, Pipe};
use crate::job::compress::Compress;
use crate::job::halt::Halt;
use crate::job::input::{LinesOf, Numbers, TextFile, quoted, splits};
use crate::job::library::Library;
use crate::job::output::{Output, ReportTo, is_hdf5};
use crate::job::pattern::{PatternName, ProgressWhen};
use crate::job::schedule::Schedule;
use crate::job::shard::ShardMode;
use crate::job::spec::{JobSpec, MapSpec, ReadSpec, ScaleSpec, TaskSpec, ValueArg};

/// Everything one command asks for.
#[derive(Debug)]
pub struct Job {
    /// What to do, in order; no two write to the same file.
    pub tasks: Vec<Task>,
    /// Where the report goes.
    pub report: ReportTo,
    /// Where the trace goes, where one is wanted.
    pub trace: Option<PathBuf>,
}

/// One map or read.
#[derive(Debug, Clone)]
pub struct Task {
    /// Input and function.
    pub work: Work,
    /// Where the answers go.
    pub output: Output,
    /// Who runs the blocks; never [`PatternName::Auto`] once the run has begun.
    pub pattern: PatternName,
    /// The same as the user has asked for it.
    pub asked: PatternName,
    /// The most workers that may take part.
    pub workers: Option<usize>,
    /// Threads of each rank, under mpi.
    pub threads: Option<usize>,
    /// How blocks are handed out.
    pub schedule: Schedule,
    /// Items that fail are passed over.
    pub keep_going: bool,
    /// After how many such items the run is given up all the same.
    pub halt: Option<Halt>,
    /// Answers come as they are there, and not in order.
    pub unordered: bool,
    /// How often what a killed worker held is run again.
    pub retries: usize,
    /// What an item of user code may take, and what is done when it fails.
    pub limits: Limits,
    /// Graphics processors that workers take turns with.
    pub gpus: Option<Gpus>,
    /// Where a line on each item goes, as the user names it.
    pub joblog: Option<PathBuf>,
    /// Where items go that have failed, as the user names it.
    pub failed: Option<PathBuf>,
    /// What is chosen and drawn at random follows from it; where that is wanted and not said, it is drawn before the run begins.
    pub seed: Option<u64>,
    /// A number that no other run has, the same on every rank; drawn before the run begins.
    pub key: u64,
    /// How often to run; more than once for medians.
    pub repeat: usize,
    /// How the datasets of an HDF5 file are compressed.
    pub compress: Option<Compress>,
    /// A trace is wanted.
    pub traced: bool,
    /// Whether to say how far it has come.
    pub progress: ProgressWhen,
    /// How it is timed, in a scaling study.
    pub scale: ScaleSpec,
    /// How much of the input's values or bytes.
    pub share: Fraction,
    /// Whether that is a part that others complete, or all parts are joined.
    pub portion: ShardMode,
    /// The output as the user names it, where that of this part has a name of its own.
    pub whole_output: Option<PathBuf>,
}

/// Input and function of a task.
#[derive(Debug, Clone)]
pub enum Work {
    /// A function over values.
    Map {
        /// Where the values come from.
        numbers: Numbers,
        /// What is done with each; `None` where columns are only reduced.
        function: Option<Function>,
        /// Their type, where the user has set it.
        dtype: Option<Dtype>,
        /// Names of the columns of results, where the user has set them.
        columns: Option<Vec<String>>,
        /// What all rows are reduced to, where that is wanted.
        reduce: Option<Reductions>,
        /// Answers are printed with their values and processes.
        who: bool,
    },
    /// A function over the lines of a file.
    Read {
        /// The file.
        file: TextFile,
        /// What is done with its lines.
        action: Action,
    },
}

/// What is done with the lines of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// An operation, by its name.
    Named(String),
    /// Each section is what a command reads.
    Pipe(Pipe),
}

impl Action {
    /// In a few words.
    pub fn text(&self) -> String {
        match self {
            Self::Named(name) => name.clone(),
            Self::Pipe(pipe) => pipe.text(),
        }
    }
}

/// What the rows of a map are reduced to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reductions {
    /// The reductions, as typed.
    pub items: Vec<String>,
    /// The column whose values say which group a row is of.
    pub by: Option<String>,
    /// What variances are divided by: the number of values less this.
    pub ddof: u64,
}

/// What an input is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Rows, each of which is a value or has several.
    Values,
    /// Bytes of a file that is read by sections.
    Bytes,
}

impl Work {
    /// Does its input come from standard input, which can be read only once?
    pub fn is_of_stdin(&self) -> bool {
        matches!(self, Self::Map { numbers, .. } if numbers.is_stdin())
    }

    /// Are its items chosen at random, or does what is done with them draw random numbers? Then there is a seed.
    pub fn is_random(&self) -> bool {
        let Self::Map { numbers, function, .. } = self else { return false };
        matches!(numbers, Numbers::Sweep(sweep) if sweep.is_random())
            || matches!(function, Some(Function::Formula { is_random: true, .. }))
    }

    /// May code of the user's draw random numbers with the seed that it is given? How is known where its input is open.
    pub fn may_be_random(&self) -> bool {
        self.runs_programs()
    }

    /// Does such code want a seed, so far as can be said without its input?
    pub fn wants_seed(&self) -> bool {
        match self {
            Self::Map { function, .. } => {
                self.is_python() || function.as_ref().is_some_and(Function::asks_for_seed)
            }
            Self::Read { .. } => self.pipe().is_some_and(Pipe::asks_for_seed),
        }
    }

    /// What its input is counted in.
    pub fn unit(&self) -> Unit {
        match self {
            Self::Map { .. } => Unit::Values,
            Self::Read { .. } => Unit::Bytes,
        }
    }

    /// The text whose lines it is of, where it is of lines.
    pub fn text(&self) -> Option<&TextFile> {
        match self {
            Self::Map { .. } => None,
            Self::Read { file, .. } => Some(file),
        }
    }

    /// The operation on these lines, by its name, where it is one.
    pub fn action(&self) -> Option<&str> {
        match self {
            Self::Read { action: Action::Named(name), .. } => Some(name),
            Self::Read { action: Action::Pipe(_), .. } | Self::Map { .. } => None,
        }
    }

    /// Is a Python function called?
    pub fn is_python(&self) -> bool {
        matches!(self, Self::Map { function: Some(Function::Python(_)), .. })
    }

    /// Are the answers what a program prints, as it is?
    pub fn answers_text(&self) -> bool {
        matches!(self, Self::Map { reduce: None, function: Some(function), .. } if function.takes_texts())
            && matches!(self.runs_for_items(), Some(None | Some(AnswerType::Text)))
    }

    /// Are programs run for items? What type their answers are, where the user has said that.
    pub fn runs_for_items(&self) -> Option<Option<AnswerType>> {
        match self {
            Self::Map { function, .. } => function.as_ref().and_then(Function::runs),
            Self::Read { .. } => None,
        }
    }

    /// The command that reads sections of these lines, where there is one.
    pub fn pipe(&self) -> Option<&Pipe> {
        match self {
            Self::Read { action: Action::Pipe(pipe), .. } => Some(pipe),
            Self::Read { action: Action::Named(_), .. } | Self::Map { .. } => None,
        }
    }

    /// Are programs run?
    pub fn runs_programs(&self) -> bool {
        self.runs_for_items().is_some() || self.pipe().is_some()
    }

    /// Is a compiled function of the user's called, in the process of a worker?
    pub fn is_compiled(&self) -> bool {
        matches!(self, Self::Map { function: Some(Function::Library(_)), .. })
    }

    /// Do answers say who has given them?
    pub fn says_who(&self) -> bool {
        matches!(self, Self::Map { who: true, .. })
    }
}

impl Job {
    /// Does anybody want to know which process on which host each worker was?
    pub fn wants_names(&self) -> bool {
        let says_so =
            |output: &Output| matches!(output, Output::People | Output::File(_, Format::Hdf5 | Format::Json));
        let is_wanted = self.report != ReportTo::Nobody || self.trace.is_some();
        is_wanted || self.tasks.iter().any(|task| says_so(&task.output))
    }

    /// Is an HDF5 file read or written?
    pub fn needs_hdf5(&self) -> bool {
        self.tasks.iter().any(Task::needs_hdf5)
    }
}

impl Task {
    /// Finds the file that is meant by `FILE:PART`, where the names of folders and files have colons too: the first
    /// way to read it in which `is_there` finds it, or else the first. Asked in the same order on every
    /// rank.
    pub fn find_input(&mut self, mut is_there: impl FnMut(&Path) -> bool) {
        let Work::Map { numbers: Numbers::File { path, part, .. }, .. } = &mut self.work else { return };
        let Some(typed) = part else { return };
        let mut from = path.clone().into_os_string();
        from.push(":");
        from.push(typed);
        if let Some(found) = splits(&from).find(|(path, _)| is_there(path)) {
            (*path, *part) = found;
        }
    }

    /// Was there nothing typed at all? No fault, but hardly meant.
    pub fn is_empty_list(&self) -> bool {
        match &self.work {
            Work::Map { numbers: Numbers::Typed(values), .. } => values.is_empty(),
            Work::Map { numbers: Numbers::Words(words), .. } => words.is_empty(),
            _ => false,
        }
    }

    /// Who does it, for reports: the pattern, or who joins what others have done.
    pub fn by(&self) -> &'static str {
        match self.portion {
            ShardMode::Merged(_) => "join",
            ShardMode::Whole | ShardMode::Shard(_) => self.pattern.name(),
        }
    }

    /// A file beside the results under the name that this part of a job array gives it.
    fn beside(&self, path: Option<&Path>) -> Option<PathBuf> {
        let path = path?;
        Some(match self.portion {
            ShardMode::Shard(part) => part.file(path),
            ShardMode::Whole | ShardMode::Merged(_) => path.to_owned(),
        })
    }

    /// Where a line on each item goes.
    pub fn joblog_file(&self) -> Option<PathBuf> {
        self.beside(self.joblog.as_deref())
    }

    /// Where items go that have failed.
    pub fn failed_file(&self) -> Option<PathBuf> {
        self.beside(self.failed.as_deref())
    }

    /// The file that the answers go to, where they go to one.
    pub fn output_file(&self) -> Option<&Path> {
        match &self.output {
            Output::File(path, _) => Some(path),
            _ => None,
        }
    }

    /// What it is, in a few words: `map square over 0..10`.
    pub fn title(&self) -> String {
        match &self.work {
            Work::Map { numbers, function, reduce, .. } => {
                let from = match numbers {
                    Numbers::Typed(_) | Numbers::Words(_) => "values as typed".to_owned(),
                    Numbers::Range(range) => range.text().to_owned(),
                    Numbers::Sweep(sweep) => sweep.text(self.seed),
                    Numbers::File { path, part: None, .. } => names::readable(path),
                    Numbers::File { path, part: Some(part), .. } => {
                        format!("{}:{part}", names::readable(path))
                    }
                    Numbers::Stdin => STDIN.to_owned(),
                    Numbers::Lines(LinesOf::Stdin) => format!("the lines of {STDIN}"),
                    Numbers::Lines(LinesOf::File(path)) => format!("the lines of {}", names::readable(path)),
                };
                match (function.as_ref().map(Function::text), reduce) {
                    (Some(function), None) => format!("map {function} over {from}"),
                    (Some(function), Some(reduce)) => {
                        format!("{} of {function} over {from}", reduce.items.join(", "))
                    }
                    (None, reduce) => {
                        format!(
                            "{} of {from}",
                            reduce.as_ref().map_or("all".into(), |reduce| reduce.items.join(", "))
                        )
                    }
                }
            }
            Work::Read { file, action } => {
                format!("read {} ({})", names::readable(&file.name()), action.text())
            }
        }
    }

    /// Bytes of the sections of a file of so many bytes, where each is cut at such and no other places: those that commands
    /// read.
    pub fn fixed_section(&self, total: u64) -> Option<u64> {
        let pipe = self.work.pipe()?;
        Some(self.schedule.block.unwrap_or_else(|| pipe.section(total)))
    }

    /// Is an HDF5 file read or written?
    pub fn needs_hdf5(&self) -> bool {
        matches!(self.output, Output::File(_, Format::Hdf5))
            || matches!(&self.work, Work::Map { numbers: Numbers::File { path, .. }, .. } if is_hdf5(path))
    }

    /// Does the job file `text`, which [`Task::to_toml`] has made, do the same work with the same input? Whoever
    /// does it, and where the answers go.
    pub fn is_work_of(&self, text: &str) -> bool {
        let work = |text: &str| {
            let job: JobSpec = toml::from_str(text).ok()?;
            let TaskSpec { map, read, seed, .. } = job.task.into_iter().next()?;
            toml::to_string(&TaskSpec { map, read, seed, ..TaskSpec::default() }).ok()
        };
        work(text).is_some_and(|theirs| work(&self.to_toml()) == Some(theirs))
    }

    /// This task as a job file that does the same from any folder.
    pub fn to_toml(&self) -> String {
        let path = |path: &Path| names::in_job_file(&absolute(path));
        let number = |n: Option<usize>| n.and_then(|n| i64::try_from(n).ok());
        let (map, read) = match &self.work {
            Work::Map { numbers, function, dtype, columns, reduce, who } => {
                let reductions = reduce.as_ref();
                let mut spec = MapSpec {
                    reduce: reductions.map(|reduce| reduce.items.join(",")),
                    by: reductions.and_then(|reduce| reduce.by.clone()),
                    ddof: reductions
                        .map(|reduce| reduce.ddof)
                        .filter(|ddof| *ddof > 0)
                        .map(|ddof| ddof as i64),
                    dtype: *dtype,
                    columns: columns.iter().flatten().map(|name| quoted(name)).collect(),
                    who: *who,
                    ..MapSpec::default()
                };
                match function {
                    Some(Function::Formula { text, .. }) => spec.function = Some(text.clone()),
                    Some(Function::Command(command)) => {
                        spec.exec.clone_from(&command.words);
                        (spec.shell, spec.raw) = (command.shell, command.raw);
                        spec.answers = command.answers.map(AnswersSpec::One);
                    }
                    Some(Function::Program(program)) => {
                        (spec.worker, spec.worker_format) = (Some(program.text()), program.form);
                        spec.answers = program.answers.map(AnswersSpec::One);
                    }
                    Some(Function::Library(library)) => {
                        let Library { vectorized, answers, .. } = library;
                        let file = library.file();
                        let file = if names::has_folder(&file) { absolute(&file) } else { file };
                        let mut text = file.into_os_string();
                        text.push(format!(":{}", library.symbol));
                        spec.library = Some(names::in_job_file(Path::new(&text)));
                        (spec.vectorized, spec.answers) =
                            (*vectorized, Some(AnswersSpec::One(AnswerType::of_number(*answers))));
                    }
                    Some(Function::Python(python)) => {
                        spec.python = Some(python.in_job_file());
                        let in_folder = |path: &PathBuf| match names::has_folder(path) {
                            true => absolute(path),
                            false => path.clone(),
                        };
                        spec.interpreter = python.interpreter.as_ref().map(in_folder);
                        (spec.vectorized, spec.no_fork) = (python.vectorized, python.imports_anew);
                        spec.answers.clone_from(&python.answers);
                    }
                    None => {}
                }
                match numbers {
                    Numbers::Typed(typed) => {
                        // Beside a library it is the type of the arguments, and values are what they were typed as.
                        let is_beside = matches!(function, Some(Function::Library(_)));
                        spec.dtype = if is_beside { *dtype } else { Some(typed.dtype) };
                        spec.values = typed.words().map(ValueArg::from).collect();
                    }
                    Numbers::Words(words) => {
                        let text = |word| ValueArg::from(names::in_job_file(Path::new(word)));
                        spec.values = words.iter().map(text).collect();
                    }
                    Numbers::Range(range) => spec.range = Some(range.text().to_owned()),
                    Numbers::Sweep(sweep) => {
                        (spec.sweep, spec.zip) = (sweep.job_words(), sweep.zip);
                        spec.sample = sweep.sample.and_then(|n| i64::try_from(n).ok());
                        spec.points = sweep.points_text();
                    }
                    Numbers::Stdin => spec.from = Some("-".into()),
                    Numbers::Lines(LinesOf::Stdin) => spec.lines = Some("-".into()),
                    Numbers::Lines(LinesOf::File(file)) => spec.lines = Some(path(file).into()),
                    Numbers::File { path: file, part, layout, .. } => {
                        let part = part.as_ref().map_or(String::new(), |part| format!(":{part}"));
                        spec.from = Some((path(file) + &part).into());
                        (spec.no_header, spec.delimiter) = (layout.no_header, layout.delimiter_text());
                        spec.text = layout.texts.iter().map(|name| quoted(name)).collect();
                    }
                }
                (Some(spec), None)
            }
            Work::Read { file, action } => {
                let file = path(&file.name()).into();
                let spec = match action.clone() {
                    Action::Named(name) => ReadSpec { file, action: Some(name), ..ReadSpec::default() },
                    Action::Pipe(Pipe { words, shell, header, block }) => {
                        let block = block.map(|bytes| bytes.to_string());
                        ReadSpec { file, action: None, pipe: words, shell, header, block }
                    }
                };
                (None, Some(spec))
            }
        };
        let task = TaskSpec {
            output: match &self.output {
                // Another run makes the part's name of it again.
                Output::File(file, _) => Some(path(self.whole_output.as_ref().unwrap_or(file)).into()),
                Output::None => Some("none".into()),
                Output::People => Some("people".into()),
                Output::Stdout => None,
            },
            pattern: Some(self.asked).filter(|asked| *asked != PatternName::Auto),
            workers: number(self.workers),
            threads: number(self.threads),
            schedule: self.schedule.text(),
            keep_going: (self.keep_going && self.halt.is_none()).then_some(true),
            halt: self.halt.map(Halt::text),
            unordered: self.unordered.then_some(true),
            retries: number(Some(self.retries)).filter(|n| *n != RETRIES as i64 || self.limits.retries > 0),
            timeout: self.limits.timeout.map(command::time_text),
            retry_delay: Some(self.limits.delay).filter(|delay| !delay.is_zero()).map(command::time_text),
            memory: self.limits.memory.map(|bytes| bytes.to_string()),
            gpus: self.gpus.as_ref().map(Gpus::text),
            joblog: self.joblog.as_deref().map(|file| path(file).into()),
            failed: self.failed.as_deref().map(|file| path(file).into()),
            seed: self.seed.map(|seed| ValueArg(seed.to_string().into())),
            repeat: number(Some(self.repeat)).filter(|n| *n > 1),
            compress: self.compress.map(Compress::name),
            part: match self.portion {
                ShardMode::Shard(part) => Some(part.to_string()),
                ShardMode::Whole | ShardMode::Merged(_) => None,
            },
            scale: None,
            map,
            read,
        };
        toml::to_string(&JobSpec { task: vec![task] }).unwrap_or_default()
    }
}

/// How often what a killed worker held is run again.
pub const RETRIES: usize = 1;
