//! The words of the command line before they are parsed: what the parser would take for something else is marked, or
//! joined to the flag that it belongs to.

use std::ffi::OsString;

use clap::{Arg, CommandFactory};

use crate::cli::Cli;

/// The words of the command line as [`crate::cli::parser`] takes them.
pub fn split_words(words: Vec<OsString>) -> Vec<OsString> {
    mark_numbers(join_report(join_command(words)))
}

/// What stands before a word that is a number below 0 while clap reads the words: clap takes most such numbers for
/// flags. No word that a program is given can begin with it.
const MARK: char = '\0';

/// The words of the command line with `MARK` before each number below 0 that is a value, or an argument of a job
/// file; [`Cli::unmarked`] takes it away again.
fn mark_numbers(words: Vec<OsString>) -> Vec<OsString> {
    let is_number = |word: &OsString| {
        word.to_str().is_some_and(|word| word.starts_with('-') && word.parse::<f64>().is_ok())
    };
    if !words.iter().any(is_number) {
        return words;
    }
    let all = Cli::command();
    // The command that a word belongs to, and those around it, whose flags it knows too.
    let mut commands = vec![&all];
    let (mut is_value_of_flag, mut are_values) = (false, false);
    let mark = |mut word: OsString| {
        let belongs_to_flag = std::mem::take(&mut is_value_of_flag);
        if belongs_to_flag || are_values {
            return word;
        }
        if word == "--" {
            are_values = true;
        } else if is_number(&word) {
            if commands.last().is_some_and(|command| ["map", "run", "scale"].contains(&command.get_name())) {
                let mut marked = OsString::from(MARK.to_string());
                marked.push(&word);
                word = marked;
            }
        } else if word.as_encoded_bytes().starts_with(b"-") {
            is_value_of_flag = takes_next(&commands, &word);
        } else if let Some(command) =
            commands.last().and_then(|command| command.find_subcommand(&word)).filter(|_| commands.len() < 3)
        {
            commands.push(command);
        }
        word
    };
    let mut words = words.into_iter();
    words.next().into_iter().chain(words.map(mark)).collect()
}

/// Is the next word the value of the flag, or the last of the flags, in `word`?
fn takes_next(commands: &[&clap::Command], word: &OsString) -> bool {
    let word = word.to_string_lossy();
    let takes_next = |is_it: &dyn Fn(&Arg) -> bool| {
        let flag = commands.iter().flat_map(|command| command.get_arguments()).find(|flag| is_it(flag));
        flag.map(|flag| flag.get_action().takes_values() && !flag.is_require_equals_set())
    };
    match word.strip_prefix("--") {
        Some(name) => takes_next(&|flag| flag.get_long() == Some(name)).unwrap_or(false),
        None => {
            // What stands behind the first that takes a value is that value.
            let mut letters = word[1..].chars();
            let takes = letters.find_map(|letter| {
                takes_next(&|flag| flag.get_short() == Some(letter)).filter(|takes| *takes)
            });
            takes.is_some() && letters.next().is_none()
        }
    }
}

/// The word without [`MARK`].
pub(super) fn unmarked(word: &mut OsString) {
    if let Some(rest) = word.to_str().and_then(|text| text.strip_prefix(MARK)) {
        *word = rest.into();
    }
}

/// The flags behind which all words are a command's.
const OF_COMMANDS: [&str; 2] = ["--exec", "--pipe"];

/// The words of the command line, where each word of a command, which may look like a flag of parpy, is joined to a flag
/// of its own: `--exec echo -n` to `--exec=echo --exec=-n`.
fn join_command(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = words.into_iter().collect();
    let is_one = |word: &OsString| OF_COMMANDS.iter().any(|flag| word == flag);
    let Some(at) = joined.iter().position(is_one).filter(|at| at + 1 < joined.len()) else {
        return joined;
    };
    let mut command = joined.split_off(at).into_iter();
    let name = command.next().unwrap_or_default();
    for word in command {
        let mut flag = name.clone();
        flag.push("=");
        flag.push(word);
        joined.push(flag);
    }
    joined
}

/// The words of the command line with `--report FILE.json` joined to `--report=FILE.json`, so that
/// `--report` without a file does not take the next word, whatever it is, for one.
fn join_report(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    for word in words {
        match joined.last_mut() {
            Some(last) if last == "--report" && word.as_encoded_bytes().ends_with(b".json") => {
                last.push("=");
                last.push(word);
            }
            _ => joined.push(word),
        }
    }
    joined
}
