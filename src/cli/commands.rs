//! What was typed of commands, checked: those of `map --exec` and `read --pipe`, and their limits.

use std::path::Path;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::names;
use crate::cli::Shared;
use crate::data::dtype::Dtype;
use crate::data::format::Format;
use crate::job::Work;
use crate::job::answers::AnswersSpec;
use crate::job::command::{AnswerType, Command, Form, Function, Limits, Pipe, Program, Word, size, time};
use crate::job::library::Library;
use crate::job::python::Python;
use crate::job::schedule::{Schedule, ScheduleKind};
use crate::job::spec::{MapSpec, ReadSpec};

/// The function of the user's own that is typed: `--exec`, `--worker`, `--library` or `--python`, and what belongs to it. `None` where
/// none is.
///
/// # Errors
/// There are several, or something is said of one that is not there.
pub(super) fn of_map(spec: &MapSpec) -> Result<Option<Function>> {
    let MapSpec { exec, shell, raw, worker, worker_format, library, vectorized, answers, .. } = spec;
    let own = [
        ("--exec", !exec.is_empty()),
        ("--worker", worker.is_some()),
        ("--library", library.is_some()),
        ("--python", spec.python.is_some()),
        ("-f", spec.function.is_some()),
    ];
    let mut own = own.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name);
    let name = own.next().unwrap_or("");
    if let Some(other) = own.next() {
        return Err(Error::Usage(format!("give {name}, or {other}, but not both")));
    }
    let belongs = [
        (*shell, "--shell", "--exec", "a command: --exec CMD ARGS"),
        (*raw, "--raw", "--exec", "a command: --exec CMD ARGS"),
        (
            *worker_format != Form::default(),
            "--worker-format",
            "--worker",
            "a program that stays: --worker CMD",
        ),
        (
            *vectorized && name != "--python",
            "--vectorized",
            "--library",
            "a function of arrays: --library FILE.so:NAME, --python FILE.py:NAME",
        ),
        (spec.interpreter.is_some(), "--interpreter", "--python", "Python: --python FILE.py:NAME"),
        (spec.no_fork, "--no-fork", "--python", "Python: --python FILE.py:NAME"),
    ];
    if let Some((_, flag, _, of)) = belongs.into_iter().find(|(said, _, of, _)| *said && *of != name) {
        return Err(Error::Usage(format!("{flag} is for {of}")));
    }
    if answers.is_some() && ["", "-f"].contains(&name) {
        return Err(Error::Usage(
            "--answers is for what has no type of its own: a command (--exec), a program (--worker), a library (--library) or a \
             Python function (--python)"
                .into(),
        ));
    }
    if spec.dtype.is_some() && ["--exec", "--worker"].contains(&name) {
        return Err(Error::Usage(
            "--dtype is of numbers, and a program is given items as they are; --answers is of what it prints"
                .into(),
        ));
    }
    Ok(match name {
        "--exec" => Some(Function::Command(command(spec)?)),
        "--worker" => Some(Function::Program(program(
            worker.as_deref().unwrap_or(""),
            *worker_format,
            one_answer(spec)?,
        )?)),
        "--library" => Some(Function::Library(of_library(spec)?)),
        "--python" => Some(Function::Python(of_python(spec)?.into())),
        _ => None,
    })
}

fn command(spec: &MapSpec) -> Result<Command> {
    let MapSpec { exec, shell, raw, .. } = spec;
    let answers = one_answer(spec)?;
    if exec.first().is_none_or(|program| program.0.is_empty()) {
        return Err(Error::Usage("--exec: say which command is to be run, as in --exec echo {}".into()));
    }
    Ok(Command { words: exec.clone(), shell: *shell, raw: *raw, answers })
}

/// A program that stays: its words are those that a shell would make of `text`, and no shell is involved.
fn program(text: &str, form: Form, answers: Option<AnswerType>) -> Result<Program> {
    let text = names::of_job_file(text);
    let text = text.to_str().ok_or_else(|| Error::Usage("--worker: it is not UTF-8".into()))?;
    let words = shell_words::split(text)
        .map_err(|_| Error::Usage(format!("--worker {text}: a quote is not closed")))?;
    if words.first().is_none_or(String::is_empty) {
        return Err(Error::Usage(
            "--worker: say which program it is, as in --worker 'python3 model.py'".into(),
        ));
    }
    Ok(Program { words: words.into_iter().map(|word| Word(word.into())).collect(), form, answers })
}

/// The type of answers that are one value each.
///
/// # Errors
/// They are several.
fn one_answer(spec: &MapSpec) -> Result<Option<AnswerType>> {
    match &spec.answers {
        None => Ok(None),
        Some(AnswersSpec::One(answers)) => Ok(Some(*answers)),
        Some(several @ AnswersSpec::Several(_)) => Err(Error::Usage(format!(
            "--answers {several}: several columns of answers are for a Python function (--python)"
        ))),
    }
}

fn of_library(spec: &MapSpec) -> Result<Library> {
    let MapSpec { library, vectorized, dtype, .. } = spec;
    let answers = match one_answer(spec)? {
        None | Some(AnswerType::F64) => Dtype::F64,
        Some(AnswerType::I64) => Dtype::I64,
        Some(AnswerType::Text) => {
            return Err(Error::Usage("--answers text: a library answers numbers, i64 or f64".into()));
        }
    };
    let text = library.as_deref().unwrap_or("");
    Library::parse(text, *vectorized, dtype.unwrap_or(Dtype::F64), answers)
}

fn of_python(spec: &MapSpec) -> Result<Python> {
    let (module, function) = Python::parse(spec.python.as_deref().unwrap_or(""))?;
    if spec.interpreter.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        return Err(Error::Usage(
            "--interpreter: say which program it is, as in --interpreter python3.11".into(),
        ));
    }
    Ok(Python {
        module,
        function,
        vectorized: spec.vectorized,
        interpreter: spec.interpreter.clone(),
        imports_anew: spec.no_fork,
        answers: spec.answers.clone(),
    })
}

/// What `--pipe` and what belongs to it say.
///
/// # Errors
/// There is no command, or something is said of one and there is none.
pub(super) fn of_read(spec: &ReadSpec) -> Result<Option<Pipe>> {
    let ReadSpec { pipe, shell, header, block, action, .. } = spec;
    let wrong = |why: &str| Err(Error::Usage(why.to_owned()));
    let Some(program) = pipe.first() else {
        return match (shell, header, block) {
            (false, false, None) => Ok(None),
            _ => wrong("--shell, --header and --block are for a command: --pipe CMD ARGS"),
        };
    };
    if program.0.is_empty() {
        return wrong("--pipe: say which command is to read each section, as in --pipe wc -l");
    }
    if action.is_some() {
        return wrong("give an operation (--do), or a command (--pipe), but not both");
    }
    let block = block.as_deref().map(|text| size("--block", text)).transpose()?;
    Ok(Some(Pipe { words: pipe.clone(), shell: *shell, header: *header, block }))
}

/// Checks how the sections that commands read are handed out: they are of one size, so that what comes out does not hang on
/// time.
///
/// # Errors
/// The schedule makes blocks of several sizes, or their size is said twice.
pub(super) fn check_sections(schedule: Schedule, work: &Work) -> Result<()> {
    let Some(pipe) = work.pipe() else { return Ok(()) };
    match schedule {
        Schedule { kind: Some(ScheduleKind::Guided | ScheduleKind::Adaptive), .. } => Err(Error::Usage(
            "--schedule: sections for --pipe are all of one size (--block), which guided and adaptive do not make; \
             give dynamic or static"
                .into(),
        )),
        Schedule { block: Some(_), .. } if pipe.block.is_some() => Err(Error::Usage(
            "--block and the block of --schedule are the same here; give one of them".into(),
        )),
        _ => Ok(()),
    }
}

/// Checks that `--from` can read the list of items that have failed.
///
/// # Errors
/// It cannot be a file of that format, as it is written line by line.
pub(super) fn check_failed(path: &Path) -> Result<()> {
    let name = path.display();
    match Format::of_name(path) {
        Some(Format::Json) => Err(Error::Usage(format!(
            "--failed {name}: the list has an object on each line, which is .jsonl; give it the name {}",
            path.with_extension("jsonl").display()
        ))),
        Some(Format::Npy | Format::Hdf5) => Err(Error::Usage(format!(
            "--failed {name}: the list is text; give it a name that ends in .csv, .tsv or .jsonl"
        ))),
        _ => Ok(()),
    }
}

/// What an item may take, and what is done when it fails.
pub(super) fn limits(shared: &Shared, work: &Work) -> Result<Limits> {
    let limits = Limits {
        timeout: shared.timeout.as_deref().map(|text| time("--timeout", text)).transpose()?,
        memory: shared.memory.as_deref().map(|text| size("--memory", text)).transpose()?,
        retries: 0,
        delay: shared
            .retry_delay
            .as_deref()
            .map_or(Ok(Duration::ZERO), |text| time("--retry-delay", text))?,
    };
    if limits.timeout.is_some_and(|time| time.is_zero()) {
        return Err(Error::Usage("--timeout 0: no command ends in no time".into()));
    }
    let is_command = work.runs_programs();
    if limits != Limits::default() && !is_command {
        return Err(Error::Usage(
            "--timeout, --retry-delay and --memory are for programs: --exec CMD ARGS, --worker CMD, --python FILE.py:NAME, \
             or --pipe CMD ARGS"
                .into(),
        ));
    }
    // For others it is what killed workers had that is run again.
    let retries = shared.retries.filter(|_| is_command).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    match (&shared.retry_delay, retries) {
        (Some(delay), 0) => Err(Error::Usage(format!(
            "--retry-delay {delay}: nothing is run again; say how often with --retries N"
        ))),
        _ => Ok(Limits { retries, ..limits }),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::Path;

    use clap::Parser;

    use crate::cli::{Cli, split_words};
    use crate::job::{Job, Task};

    fn task(words: &[&str], job_file: &str) -> Task {
        let words = ["parpy"].iter().chain(words).map(OsString::from).collect();
        let cli = Cli::parse_from(split_words(words)).unmarked();
        Job::from_cli(&cli, |_: &Path| Ok(job_file.to_owned())).unwrap().tasks.remove(0)
    }

    #[test]
    fn a_command_is_the_same_one_in_a_job_file() {
        for (words, expected) in [
            (&["read", "/x", "-k", "--pipe", "wc", "-l", "-o", "--", "--exec"][..], "wc -l -o -- --exec"),
            (&["read", "/x", "--header", "--block", "3M", "--pipe", "a", "$1", "-5"], "a $1 -5"),
            (
                &["read", "/x", "--shell", "--timeout", "2m", "--retries", "3", "--pipe", "sort | uniq"],
                "sort | uniq",
            ),
            (&["read", "/x", "--schedule", "static,4K", "--pipe", "--pipe"], "--pipe"),
        ] {
            let typed = task(words, "");
            assert_eq!(typed.work.pipe().unwrap().text(), expected);
            let saved = typed.to_toml();
            let again = task(&["run", "job.toml"], &saved);
            assert_eq!(again.work.pipe(), typed.work.pipe(), "{saved}");
            assert_eq!((again.limits, again.schedule), (typed.limits, typed.schedule), "{saved}");
            assert_eq!(again.to_toml(), saved);
            assert!(typed.is_work_of(&saved) && typed.title().ends_with(&format!("/x ({expected})")));
        }
    }

    #[test]
    fn sections_follow_from_the_size_of_the_file() {
        let section = |words: &[&str], total: u64| {
            let words = [&["read", "/x"], words, &["--pipe", "cat"]].concat();
            task(&words, "").fixed_section(total).unwrap()
        };
        for (total, expected) in
            [(0, 1 << 16), (1 << 23, 1 << 17), ((1 << 23) + 1, (1 << 17) + 1), (u64::MAX, 1 << 26)]
        {
            assert_eq!(section(&[], total), expected);
        }
        assert_eq!(section(&["--block", "5"], 1 << 40), 5);
        assert_eq!(section(&["--schedule", "dynamic,7K"], 1 << 40), 7 << 10);
        assert_eq!(task(&["read", "/x"], "").fixed_section(7), None);
    }
}
