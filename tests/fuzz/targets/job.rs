//! Job files: a job or a message, and a job that says what it is reads back as the same one.

#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use clap::Parser;
use libfuzzer_sys::fuzz_target;
use parpy::cli::Cli;
use parpy::job::Job;

/// Command lines with so many arguments for the job file.
static COMMANDS: LazyLock<[Cli; 3]> = LazyLock::new(|| {
    [&[][..], &["3"], &["in.csv:2", "7"]]
        .map(|args| Cli::parse_from(["parpy", "run", "job.toml"].iter().chain(args)))
});

fn job(text: &str, command: &Cli) -> Option<Job> {
    Job::from_cli(command, |_: &Path| Ok(text.to_owned())).ok()
}

fuzz_target!(|text: &str| {
    let jobs = COMMANDS.iter().filter_map(|command| job(text, command));
    for task in jobs.flat_map(|job| job.tasks) {
        assert!(!task.title().is_empty());
        let saved = task.to_toml();
        assert!(task.is_work_of(&saved), "another job: {saved}");
        // What a job file's arguments stood for may look like an argument itself.
        assert!(saved.contains('$') || job(&saved, &COMMANDS[0]).is_some(), "no job: {saved}");
    }
});
