//! Job files as typed: TOML, whose paths and `$1` are understood here. What their tables say is checked as flags are,
//! in [`crate::cli::check`].

use std::cell::Cell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result, nearest};
use crate::base::{escape, names};
use crate::cli::{Shared, WorkerCounts, sweep};
use crate::job::input::{SAMPLE_NAME, TextFile};
use crate::job::output::{Output, is_hdf5};
use crate::job::python::Python;
use crate::job::shard::ShardMode;
use crate::job::spec::{JobSpec, TaskSpec, ValueArg};
use crate::job::{Job, Task, Work};
use crate::op::lines;

impl Job {
    /// Reads the text of a job file. `path` is `None` for the demo. Flags on the command line come before
    /// what the file says.
    pub(super) fn parse(
        text: &str,
        path: Option<&Path>,
        args: &[PathBuf],
        flags: &Shared,
    ) -> Result<Vec<Task>> {
        let name = path.unwrap_or(Path::new("demo.toml")).display().to_string();
        let spec: JobSpec = toml::from_str(text).map_err(|e| Error::Marked(explain(&name, &e)))?;
        let paths = Paths { folder: path.and_then(Path::parent), args, used: Cell::new(0) };
        let mut tasks = Vec::new();
        for (index, task) in spec.task.into_iter().enumerate() {
            let task = Task::from_spec(task, &paths, flags).map_err(|error| match error {
                Error::Usage(text) => Error::Usage(format!("{name}, task {}: {text}", index + 1)),
                other => other,
            })?;
            tasks.push(task);
        }
        if let Some(surplus) = args.get(paths.used.get()) {
            let surplus = surplus.display();
            return Err(Error::Usage(format!("{name} has no use for the argument {surplus}")));
        }
        Ok(tasks)
    }
}

/// A TOML error with the nearest right key where a key is wrong.
fn explain(name: &str, error: &toml::de::Error) -> String {
    // The place on several lines, and then what is wrong there, in which names of keys stand.
    let message = error.message();
    let text = error.to_string();
    let place = text.trim_end().strip_suffix(message.trim_end()).unwrap_or_default();
    let mut text = format!("{}: {place}{}", escape::line(name), escape::line(message.trim_end()));
    if message == "missing field `task`" {
        text.push_str("\na job file has one [[task]] or more: see parpy run --help");
    } else if message.contains("expected a sequence") && place.contains("sweep") {
        text.push_str("\na sweep is a list, because its order counts: sweep = [\"a=0..1:0.1\", \"b=1,2\"]");
    } else if message.contains("expected a sequence") {
        text.push_str("\na task begins with [[task]], in double brackets");
    } else if message.starts_with("unknown ") {
        let mut quoted = message.split('`').skip(1).step_by(2);
        if let Some(near) = quoted.next().and_then(|wrong| nearest(wrong, quoted)) {
            text.push_str(&format!("\ndid you mean `{near}`?"));
        }
    }
    text
}

/// How the paths of a job file are meant.
struct Paths<'a> {
    /// The folder of the job file; `None` for the demo.
    folder: Option<&'a Path>,
    args: &'a [PathBuf],
    /// The highest number that the job file has asked for.
    used: Cell<usize>,
}

impl Paths<'_> {
    fn arg(&self, number: usize) -> Result<&PathBuf> {
        self.used.set(self.used.get().max(number));
        number.checked_sub(1).and_then(|i| self.args.get(i)).ok_or_else(|| {
            Error::Usage(format!(
                "it wants ${number}, the argument no. {number} after the job file's name, as in: parpy run \
                 JOB.toml {}",
                "ARG ".repeat(number.clamp(1, 9)).trim_end()
            ))
        })
    }

    /// As [`Paths::name`], for what is text in any case.
    ///
    /// # Errors
    /// An argument in it is no text.
    fn text(&self, text: &str) -> Result<String> {
        let wrong = |bytes: OsString| {
            Error::Usage(format!(
                "{text}: with the arguments as they are it is not UTF-8: {}",
                bytes.display()
            ))
        };
        self.name(text)?.into_os_string().into_string().map_err(wrong)
    }

    /// A word, or a file's name, with every `$N` in it replaced: it need not be UTF-8, and neither need an argument.
    fn name(&self, text: &str) -> Result<PathBuf> {
        let mut parts = text.split('$');
        let mut name = names::of_job_file(parts.next().unwrap_or_default()).into_os_string();
        for part in parts {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            match part[..digits].parse() {
                Ok(number) => name.push(self.arg(number)?),
                Err(_) => name.push(format!("${}", &part[..digits])),
            }
            name.push(names::of_job_file(&part[digits..]));
        }
        Ok(name.into())
    }

    /// `$1` is the first argument after the job file's name. A path that begins with one is taken from the
    /// current folder; any other path is taken from the job file's folder.
    fn resolve(&self, path: &Path) -> Result<PathBuf> {
        let text = path.to_str().unwrap_or_default();
        let path = self.name(text)?;
        let is_argument = text.starts_with('$');
        Ok(self.folder.filter(|_| !is_argument).map_or(path.clone(), |folder| folder.join(path)))
    }

    /// As [`Paths::resolve`], for the argument of `from`, which may have a part behind the path.
    fn resolve_from(&self, from: &Path) -> Result<PathBuf> {
        if from == Path::new("-") {
            return Ok(from.to_owned());
        }
        // `$1:column`: what `$1` stands for says whether it has columns.
        match from.to_str().filter(|text| text.starts_with('$')).and_then(|text| text.split_once(':')) {
            Some((path, part)) => {
                let mut path = self.resolve(Path::new(path))?.into_os_string();
                path.push(":");
                path.push(part);
                Ok(path.into())
            }
            None => self.resolve(from),
        }
    }

    /// As [`Paths::resolve`], but for the names that are no paths.
    fn resolve_unless(&self, words: &[&str], path: &mut PathBuf) -> Result<()> {
        if !words.iter().any(|word| path.as_os_str() == *word) {
            *path = self.resolve(path)?;
        }
        Ok(())
    }
}

impl Task {
    fn from_spec(spec: TaskSpec, paths: &Paths, flags: &Shared) -> Result<Self> {
        let work = match (spec.map, spec.read) {
            (Some(mut map), None) => {
                if let Some(from) = &mut map.from {
                    *from = paths.resolve_from(from)?;
                }
                if let Some(lines) = &mut map.lines {
                    paths.resolve_unless(&["-"], lines)?;
                }
                // Without a slash it is a name that the system's loader looks for.
                if let Some(library) = &mut map.library {
                    let path = match library.contains('/') {
                        true => paths.resolve(Path::new(library))?,
                        false => paths.name(library)?,
                    };
                    *library = names::in_job_file(&path);
                }
                // One without a file is a module that Python looks for.
                if let Some(python) = &mut map.python {
                    let path = match Python::names_file(python) {
                        true => paths.resolve(Path::new(python))?,
                        false => paths.name(python)?,
                    };
                    *python = names::in_job_file(&path);
                }
                if let Some(interpreter) = map.interpreter.as_mut().filter(|path| names::has_folder(path)) {
                    *interpreter = paths.resolve(interpreter)?;
                }
                if let Some(range) = &mut map.range {
                    *range = paths.text(range)?;
                }
                for ValueArg(word) in &mut map.values {
                    *word = paths.name(word.to_str().unwrap_or_default())?.into_os_string();
                }
                for typed in &mut map.sweep {
                    *typed = sweep::resolved(typed, |path| paths.resolve(path), |text| paths.name(text))?;
                }
                Work::map(&map)?
            }
            (None, Some(read)) if paths.folder.is_none() && read.file == Path::new(SAMPLE_NAME) => {
                Work::lines_of(TextFile::Sample, read.action.as_deref())?
            }
            (None, Some(mut read)) => {
                if !read.file.as_os_str().is_empty() {
                    read.file = paths.resolve(&read.file)?;
                }
                Work::read(&read)?
            }
            _ => return Err(Error::Usage("say either map = { … } or read = { … }".into())),
        };
        let mut output = spec.output;
        if let Some(path) = &mut output {
            paths.resolve_unless(&["-", "none", "people"], path)?;
        }
        let people = output.as_deref() == Some(Path::new("people")) && flags.output.is_none();
        // Of several tasks, and of a job with another output than its own, not each writes an HDF5 file.
        let is_asked = spec.compress.is_some() && flags.output.is_none();
        let (compress, output) = (flags.compress.clone().or(spec.compress), flags.output.clone().or(output));
        let compress = compress.filter(|_| is_asked || output.as_deref().is_some_and(is_hdf5));
        let shared = Shared {
            pattern: flags.pattern.or(spec.pattern),
            workers: flags.workers.clone().or(spec.workers.map(|n| WorkerCounts(vec![n]))),
            threads: flags.threads.or(spec.threads),
            schedule: flags.schedule.clone().or(spec.schedule),
            keep_going: flags.keep_going || spec.keep_going.unwrap_or(false),
            halt: flags.halt.clone().or(spec.halt),
            unordered: flags.unordered || spec.unordered.unwrap_or(false),
            retries: flags.retries.or(spec.retries),
            output,
            retry_delay: flags.retry_delay.clone().or(spec.retry_delay),
            timeout: flags.timeout.clone().or(spec.timeout),
            memory: flags.memory.clone().or(spec.memory),
            gpus: flags.gpus.clone().or(spec.gpus),
            joblog: flags.joblog.clone().or(spec.joblog.map(|path| paths.resolve(&path)).transpose()?),
            failed: flags.failed.clone().or(spec.failed.map(|path| paths.resolve(&path)).transpose()?),
            seed: match (flags.seed, &spec.seed) {
                // Of several tasks not each is random.
                (Some(seed), _) => Some(seed).filter(|_| work.is_random() || work.may_be_random()),
                (None, Some(ValueArg(text))) => {
                    let text = text.to_string_lossy();
                    let wrong = |_| Error::Usage(format!("seed = '{text}': it is a whole number from 0"));
                    Some(text.parse().map_err(wrong)?)
                }
                (None, None) => None,
            },
            repeat: flags.repeat.or(spec.repeat),
            part: flags.part.clone().or(spec.part.filter(|_| flags.join.is_none())),
            join: flags.join,
            compress,
            report: None,
            dry_run: flags.dry_run,
            trace: flags.trace.clone(),
        };
        let mut task = Self::checked(work, &shared)?;
        task.scale = spec.scale.unwrap_or_default();
        if people {
            let is_text = task.work.action().is_none_or(lines::answers_lines) && task.work.pipe().is_none();
            if task.work.is_of_stdin() || !is_text {
                return Err(Error::Usage(
                    "output = \"people\" tells of values from a file or typed, and of texts".into(),
                ));
            }
            if task.portion != ShardMode::Whole {
                return Err(Error::Usage(
                    "output = \"people\" tells of all of an input: --part and --join want an output that can be \
                     joined, as in -o FILE"
                        .into(),
                ));
            }
            task.output = Output::People;
        }
        Ok(task)
    }
}
