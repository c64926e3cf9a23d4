//! A command that is run for each item, as the user asks for it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::error::{Error, Result};
use crate::base::names;
use crate::data::dtype::Dtype;
use crate::data::schema::ColumnType;
use crate::job::answers::AnswersSpec;
use crate::job::library::Library;
use crate::job::python::Python;

/// A word of a command: bytes, which need not be UTF-8. In job files as the names of files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(pub OsString);

impl From<OsString> for Word {
    fn from(word: OsString) -> Self {
        Self(word)
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.serialize_str(&names::with_codes(Path::new(&self.0)))
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(names::of_job_file(&text).into_os_string()))
    }
}

/// Type of answers, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerType {
    /// Whole numbers, exact in 64 bits
    I64,
    /// Floats (IEEE 754 double)
    F64,
    /// Texts
    Text,
}

impl AnswerType {
    /// That of numbers.
    pub fn of_number(dtype: Dtype) -> Self {
        match dtype {
            Dtype::I64 => Self::I64,
            Dtype::F64 => Self::F64,
        }
    }
}

impl From<AnswerType> for ColumnType {
    fn from(answers: AnswerType) -> Self {
        match answers {
            AnswerType::I64 => Self::I64,
            AnswerType::F64 => Self::F64,
            AnswerType::Text => Self::Bytes,
        }
    }
}

/// A command, and what is made of what it prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments, in which placeholders stand for parts of the item.
    pub words: Vec<Word>,
    /// All of them are one line for a shell.
    pub shell: bool,
    /// The newline at the end of what it prints is part of the answer.
    pub raw: bool,
    /// Type of the answers, where the user has said it.
    pub answers: Option<AnswerType>,
}

impl Command {
    /// The words as a message shows them.
    pub fn text(&self) -> String {
        shown(&self.words)
    }
}

/// How rows are lines for a program that stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Columns with tabs between them
    #[default]
    Tsv,
    /// JSON: an object of the columns, or where there is one without a name, its value
    Json,
}

/// A program that stays, and answers a line for each that it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments.
    pub words: Vec<Word>,
    /// How it is given rows, and answers.
    pub form: Form,
    /// Type of the answers, where the user has said it.
    pub answers: Option<AnswerType>,
}

impl Program {
    /// The words as a shell would split them again.
    pub fn text(&self) -> String {
        shell_words::join(self.words.iter().map(|word| word.0.to_string_lossy()))
    }
}

/// A command for each section of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipe {
    /// The program and its arguments, in which placeholders stand for the section's number.
    pub words: Vec<Word>,
    /// All of them are one line for a shell.
    pub shell: bool,
    /// The first line of the file stands before each section.
    pub header: bool,
    /// Bytes of a section, where the user has said it.
    pub block: Option<u64>,
}

/// Into how many sections a file is cut where nothing is said: so many that none has to wait long for the last of them,
/// whoever runs them.
const SECTIONS: u64 = 64;

/// Bytes of such a section at least, as starting a command takes as long as reading some of them, and at the most.
const SMALLEST_SECTION: u64 = 64 << 10;
const LARGEST_SECTION: u64 = 64 << 20;

impl Pipe {
    /// The words as a message shows them.
    pub fn text(&self) -> String {
        shown(&self.words)
    }

    /// Do its words ask for the seed of a section?
    pub fn asks_for_seed(&self) -> bool {
        names_seed(&self.words)
    }

    /// Bytes of a section of a file of so many bytes: of these alone, so that it is cut in the same places however it is
    /// run.
    pub fn section(&self, total: u64) -> u64 {
        self.block.unwrap_or_else(|| total.div_ceil(SECTIONS).clamp(SMALLEST_SECTION, LARGEST_SECTION))
    }
}

/// What stands for the seed of an item in the words of a command.
pub const SEED: &str = "seed";

/// Do such words ask for the seed of an item?
fn names_seed(words: &[Word]) -> bool {
    let placeholder = format!("{{{SEED}}}");
    words.iter().any(|word| memchr::memmem::find(word.0.as_bytes(), placeholder.as_bytes()).is_some())
}

/// Words as a message shows them.
fn shown(words: &[Word]) -> String {
    let words = words.iter().map(|Word(word)| String::from_utf8_lossy(word.as_bytes()));
    words.collect::<Vec<_>>().join(" ")
}

/// What is done with each row of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Function {
    /// A function by its name, or an expression.
    Formula {
        /// As it is typed.
        text: String,
        /// It draws numbers at random.
        is_random: bool,
    },
    /// A command is run.
    Command(Command),
    /// A program that stays is asked.
    Program(Program),
    /// A compiled function is called.
    Library(Library),
    /// A Python function is called.
    Python(Box<Python>),
}

impl Function {
    /// In a few words: the formula, or the command.
    pub fn text(&self) -> String {
        match self {
            Self::Formula { text, .. } => text.clone(),
            Self::Command(command) => command.text(),
            Self::Program(program) => program.text(),
            Self::Library(library) => library.text(),
            Self::Python(python) => python.text(),
        }
    }

    /// Is it given items as they are, whatever they look like?
    pub fn takes_texts(&self) -> bool {
        matches!(self, Self::Command(_) | Self::Program(_))
    }

    /// Do processes of their own answer? What type their answers are, where the user has said that.
    pub fn runs(&self) -> Option<Option<AnswerType>> {
        match self {
            Self::Command(Command { answers, .. }) | Self::Program(Program { answers, .. }) => Some(*answers),
            Self::Python(python) => Some(python.answers.as_ref().and_then(AnswersSpec::last)),
            Self::Formula { .. } | Self::Library(_) => None,
        }
    }

    /// Do its words ask for the seed of an item? A column may be called so, which only its input tells.
    pub fn asks_for_seed(&self) -> bool {
        matches!(self, Self::Command(command) if names_seed(&command.words))
    }

    /// The Python function, where it is one.
    pub fn python(&self) -> Option<&Python> {
        match self {
            Self::Python(python) => Some(python),
            Self::Formula { .. } | Self::Command(_) | Self::Program(_) | Self::Library(_) => None,
        }
    }

    /// The compiled function, where it is one.
    pub fn library(&self) -> Option<&Library> {
        match self {
            Self::Library(library) => Some(library),
            Self::Formula { .. } | Self::Command(_) | Self::Program(_) | Self::Python(_) => None,
        }
    }
}

/// What an item may take, and what is done when it fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Time that it may take.
    pub timeout: Option<Duration>,
    /// Bytes of memory that each of its processes may have.
    pub memory: Option<u64>,
    /// How often it is run again.
    pub retries: usize,
    /// How long to wait before that.
    pub delay: Duration,
}

/// Graphics processors that workers take turns with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gpus {
    /// All that there are on the node.
    All,
    /// So many of them, the first.
    First(usize),
    /// These, by their numbers or names.
    Some(Vec<String>),
}

impl Gpus {
    /// Reads `all`, a number of them, or a list: `0,2,3`.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self> {
        let is_name = |name: &&str| {
            name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-:/_.".contains(&b))
        };
        let names: Vec<&str> = text.split(',').collect();
        match (text, text.parse::<usize>(), &names[..]) {
            ("all", ..) => Ok(Self::All),
            (_, Ok(count @ 1..=1024), [_]) => Ok(Self::First(count)),
            // One alone is its name: a number says how many.
            (_, Err(_), _) if names.iter().all(is_name) => {
                Ok(Self::Some(names.into_iter().map(str::to_owned).collect()))
            }
            _ => Err(Error::Usage(format!("--gpus {text}: it is all, or how many, or which, as in 0,1,3"))),
        }
    }

    /// As typed.
    pub fn text(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::First(count) => count.to_string(),
            Self::Some(gpus) => gpus.join(","),
        }
    }

    /// The one of the worker number `slot` of a node, of which `all` there are; `None` where there is none.
    pub fn of_slot(&self, slot: usize, all: impl FnOnce() -> Vec<String>) -> Option<String> {
        let of = |gpus: &[String]| gpus.get(slot % gpus.len().max(1)).cloned();
        match self {
            Self::All => of(&all()),
            Self::First(count) => {
                let all = all();
                // Where nobody says which there are, the user does.
                let named = (all.len()..*count).filter(|_| all.is_empty()).map(|gpu| gpu.to_string());
                of(&all.iter().take(*count).cloned().chain(named).collect::<Vec<_>>())
            }
            Self::Some(gpus) => of(gpus),
        }
    }
}

/// A time as typed: `1.5` seconds, `500ms`, `2m`, `1h30m`.
///
/// # Errors
/// It is none, or longer than a century.
pub fn time(flag: &str, text: &str) -> Result<Duration> {
    let time = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    time.filter(|time| time.as_secs() < 100 * 366 * 86_400).ok_or_else(|| {
        Error::Usage(format!("{flag} {text}: it is a time, as in 1.5 (seconds), 500ms, 2m or 1h30m"))
    })
}

/// The same time, as [`time`] reads it.
pub fn time_text(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

/// A number of bytes as typed: `512M`, `2G`.
///
/// # Errors
/// It is none.
pub fn size(flag: &str, text: &str) -> Result<u64> {
    let units = ['K', 'M', 'G', 'T'];
    let upper = text.to_ascii_uppercase();
    let (digits, factor) = match units.iter().position(|unit| upper.ends_with(*unit)) {
        Some(i) => (&text[..text.len() - 1], 1024u64.pow(i as u32 + 1)),
        None => (text, 1),
    };
    let size = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).filter(|n| *n > 0);
    size.ok_or_else(|| Error::Usage(format!("{flag} {text}: it is a size, as in 512M or 2G")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphics_processors() {
        for text in ["all", "2", "0,2,3", "GPU-8932f937,GPU-46d4b9e2", "GPU-8932f937"] {
            assert_eq!(Gpus::parse(text).unwrap().text(), text);
        }
        for text in ["", "0", "-1", "0,", "0;1", "2000", "a b"] {
            assert!(Gpus::parse(text).is_err(), "{text}");
        }
        let of = |text: &str, slot| Gpus::parse(text).unwrap().of_slot(slot, || vec!["7".into(), "8".into()]);
        assert_eq!(
            [of("2", 0), of("2", 3), of("5,9", 1), of("all", 2)],
            ["7", "8", "9", "7"].map(|gpu| Some(gpu.to_owned()))
        );
        assert_eq!(Gpus::All.of_slot(0, Vec::new), None);
        assert_eq!(Gpus::First(2).of_slot(3, Vec::new), Some("1".to_owned()));
    }

    #[test]
    fn times_and_sizes_as_people_write_them() {
        let millis = |text: &str| time("--timeout", text).ok().map(|time| time.as_millis());
        for (text, expected) in [
            ("1.5", Some(1500)),
            ("2", Some(2000)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
            ("1h30m", Some(5_400_000)),
            ("0", Some(0)),
            ("", None),
            ("-1", None),
            ("1e300", None),
            ("nan", None),
            ("inf", None),
            ("2 parsecs", None),
            ("99999999999d", None),
        ] {
            assert_eq!(millis(text), expected, "{text}");
            let again = time("--timeout", text)
                .map(|time| super::time("--timeout", &time_text(time)).ok() == Some(time));
            assert!(again.unwrap_or(true), "{text}");
        }
        let bytes = |text: &str| size("--memory", text).ok();
        for (text, expected) in [
            ("1", Some(1)),
            ("3k", Some(3072)),
            ("2G", Some(2 << 30)),
            ("0", None),
            ("G", None),
            ("-1", None),
            ("99999999T", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
