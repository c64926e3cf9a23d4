//! Tables of a job file as typed, which are also the flags of the command line, so that the two cannot drift apart.
//!
//! Nothing is checked here beyond what serde and clap can check.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::base::error::Error;
use crate::base::fmt::shown;
use crate::data::dtype::Dtype;
use crate::job::answers::AnswersSpec;
use crate::job::command::{Form, Word};
use crate::job::pattern::PatternName;

/// Where the values come from, and what is done with each.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "expected a table, as in map = { range = '0..10' }")]
pub struct MapSpec {
    /// The values
    #[arg(value_name = "VALUES", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<ValueArg>,
    /// The values A, A+STEP, … up to but not including B
    #[arg(long, value_name = "A..B[:STEP]", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<String>,
    /// Values from a file: text with one number per line; FILE.csv (also .tsv and .jsonl), all columns, of text too, or
    /// those of FILE.csv:NAME,NAME (or their numbers, from 1); FILE.npy, of rows with fields or two dimensions also
    /// FILE.npy:NAME,NAME and FILE.npy:[:,K] (from 0); datasets of FILE.h5:/GROUP/NAME,/NAME, or of two
    /// dimensions one column, FILE.h5:/NAME[:,K]; - is text from standard input
    // As people type it, which rustdoc takes for a link.
    #[allow(rustdoc::broken_intra_doc_links)]
    #[arg(long, value_name = "FILE[:COLUMNS]")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// A file each of whose lines is a text; - is standard input. Functions of texts are length, wordcount, upper, lower
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<PathBuf>,
    /// All combinations of the values of several parameters, the last fastest; each is a column of that name: A..B:STEP, in
    /// exact decimals and without B; 1,2,3 or euler,rk4; lin(A,B,N) and log(A,B,N), N values from A to B, at equal
    /// distances or ratios; @FILE, a value on each line. Once for each parameter
    #[arg(long, value_name = "NAME=VALUES", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sweep: Vec<PathBuf>,
    /// The parameters of --sweep side by side: the first value of each, then the second, …
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub zip: bool,
    /// Of the combinations of --sweep so many, chosen at random (--seed) without repetition, in their order
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<i64>,
    /// In place of combinations N points at random (--seed): those of a Latin hypercube, for which what each parameter has is
    /// cut into N equal parts, each with a point in it; here any number from A to B is a value of lin(A,B) and log(A,B)
    #[arg(long, value_name = "lhs:N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<String>,
    /// The file of --from has no header: its first row is values, and its columns have numbers, from 1 (.csv, .tsv)
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_header: bool,
    /// Columns of that file that are text whatever stands in them, as article numbers and postal codes are (.csv, .tsv)
    #[arg(long, value_name = "NAMES")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<String>,
    /// What stands between the columns of the file of --from: a character, or tab [default: a comma; in .tsv a tab]
    #[arg(long, value_name = "CHAR", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// What to do with each value: a function of `parpy functions`, or an expression such as 'x^2 + 3*sin(x)', in which
    /// x is the value, and columns have their names, as in 'sqrt(a^2 + b^2)'; uniform() and normal() are random numbers of the
    /// item's own (--seed) [default: square]
    #[arg(short, long, value_name = "FUNCTION", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Run a command for each item: all words behind --exec are its own, so that it comes last. What it prints is the
    /// answer. {} stands for the item, {NAME} or {2} for a column, {#} for the item's number (from 1), {row} for the same
    /// from 0, {slot} for the worker, {seed} for a random seed that follows from --seed and the item's number alone (a whole
    /// number below 2^31, with --seed also in PARPY_SEED), and of names of files {.} has no extension, {/} no folder, {//} only that, {/.}
    /// neither; without any of them the item comes last. No shell is involved, unless --shell. An answer that is printed as
    /// text may have any length, with a file in TMPDIR beyond 4 MiB; as a field of a table 256 MiB, as it is read as one
    #[arg(long, value_name = "CMD ARGS", num_args = 1.., allow_hyphen_values = true, conflicts_with = "function")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec: Vec<Word>,
    /// The words behind --exec are a line for a shell (sh -c), in which items stand in quotes
    #[arg(long, requires = "exec")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shell: bool,
    /// What a command prints is passed on as it is: the newline at its end is part of the answer, and no other is added
    #[arg(long, requires = "exec")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
    /// A program that stays, one for each worker: it is given a line for each item, and answers a line for each, which it
    /// has to flush. With --seed it is told that in PARPY_SEED. Its columns have tabs between them. Words as in a shell, but none is involved
    #[arg(long, value_name = "CMD", conflicts_with_all = ["function", "exec"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// How such a program is given items, and answers: tsv, or json: an object of the columns, or the value of the only one
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        hide_default_value = true,
        requires = "worker"
    )]
    #[serde(skip_serializing_if = "is_default_form")]
    pub worker_format: Form,
    /// Call a function of a shared library: double NAME(double, ...), with an argument for each column. parpy cannot look
    /// whether that is its type. By itself each worker is a process; with -p threads, or --threads of ranks, the function
    /// is called by several threads at a time
    #[arg(long, value_name = "FILE.so:NAME", conflicts_with_all = ["function", "exec", "worker"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// Call a Python function, of a file or of a module as import finds it: with the columns as its arguments, by their names
    /// where these are those of its parameters, else by their places. It answers a number, a text or None; an exception is an
    /// item without an answer. The module is imported once on each node, and a process forked from that for each worker,
    /// which calls parpy_init() of the module first where it has one. A parameter rng is given a numpy.random.Generator that
    /// hangs on --seed and the number of the item alone
    #[arg(long, value_name = "FILE.py:NAME", conflicts_with_all = ["function", "exec", "worker", "library"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// The interpreter [default: that of $VIRTUAL_ENV, else python3]
    #[arg(long, value_name = "PYTHON", requires = "python")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<PathBuf>,
    /// Each worker imports the module itself: for modules that do not bear to be forked
    #[arg(long, requires = "python")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_fork: bool,
    /// The function takes arrays: of a library void NAME(const double *x, ..., double *y, size_t n), with one more for each
    /// column; of Python it is given numpy arrays of many rows, and answers an array as long
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub vectorized: bool,
    /// Type of what a command, program, library or Python function answers: i64, f64 or text; what is printed and is none, is a failed item [default: of a
    /// library f64; of programs text, and in .npy and .h5 what its first 64 answers are: i64 where all are whole numbers,
    /// f64 where all are numbers, else text, which .npy does not hold]. Of a Python function that answers several values, a
    /// tuple, a list or a dict, their names and types: energy=f64,steps=i64
    #[arg(long, value_name = "TYPE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<AnswersSpec>,
    /// Type of the numbers, and of the arguments of a library, which are f64 otherwise [default: that of the file; typed, and in text and CSV: f64 where one of the first is a float]
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,
    /// Columns of the results: those of the input to be kept, by their names, and output [default: all; on standard
    /// output and in text the answers alone, and in .npy where the input has one column]
    #[arg(long, value_name = "NAMES")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Not each answer, but what all come to: count, sum, mean, var, std, min, max, argmin, argmax, and hist:N or
    /// hist:N:A:B (how many lie in each of N bins, from A to B), with commas between; of the answers of -f, or without it of the columns.
    /// sum(NAME) is that of a column
    #[arg(long, value_name = "LIST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reduce: Option<String>,
    /// The same of each group of rows that have one value in this column
    #[arg(long, value_name = "COLUMN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Divide variances by the number of values less this [default: 0, as numpy]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ddof: Option<i64>,
    /// Say who computed each result. On standard output and in text: value, result and process, with tabs
    /// between; in CSV and JSON: also rank, pid and host; in HDF5: the dataset /rank
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub who: bool,
}

fn is_default_form(form: &Form) -> bool {
    *form == Form::default()
}

/// Which file, and what is done with its lines.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "expected a table, as in read = { file = 'x.txt' }")]
pub struct ReadSpec {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What to do with the lines: text, as they are, or count: how many lines, words and bytes, as wc counts them in the C
    /// locale [default: text]
    #[arg(long = "do", value_name = "WHAT")]
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Run a command for each section of the file, which has the section's lines on its standard input: all words behind
    /// --pipe are its own, so that it comes last. What the commands print comes out in the order of the sections. {#} stands
    /// for the number of the section (from 1), {row} for the same from 0, {slot} for the worker, {seed} for the
    /// section's own random seed (--seed). No shell is involved,
    /// unless --shell. What they print may have any length: much of it is in a file in TMPDIR until a command has ended
    #[arg(long, value_name = "CMD ARGS", num_args = 1.., allow_hyphen_values = true, conflicts_with = "action")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pipe: Vec<Word>,
    /// The words behind --pipe are a line for a shell (sh -c)
    #[arg(long, requires = "pipe")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shell: bool,
    /// The first line of the file is given to each command, before the lines of its section
    #[arg(long, requires = "pipe")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub header: bool,
    /// Bytes of a section of --pipe (K, M, G: 1024s); lines are never cut [default: a 64th of the file, from 64K to 64M]
    #[arg(long, value_name = "SIZE", requires = "pipe")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<String>,
}

/// How a task of a job file is timed.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "expected a table, as in scale = { workers = [1, 2] }")]
pub struct ScaleSpec {
    /// As `--patterns`.
    pub patterns: Vec<PatternName>,
    /// As `--workers`.
    pub workers: Vec<i64>,
    /// As `--weak`.
    pub weak: bool,
    /// What the task is, for a heading.
    pub title: Option<String>,
    /// Times from elsewhere, to be shown beside those of the first pattern.
    pub beside: Option<Beside>,
}

/// Times from elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// Whose they are.
    pub what: String,
    /// Seconds of each number of workers.
    pub seconds: Vec<f64>,
}

/// A value as typed: bytes, which need not be UTF-8. In a job file text, as [`crate::base::names::in_job_file`] has it, or a
/// bare number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueArg(pub OsString);

impl ValueArg {
    /// As text, for what takes no other.
    ///
    /// # Errors
    /// It is not UTF-8, and so no number.
    pub fn text(&self) -> crate::base::error::Result<String> {
        self.0.to_str().map(str::to_owned).ok_or_else(|| {
            let bytes = shown(self.0.as_encoded_bytes());
            Error::Usage(format!("'{bytes}' is not a number; a command takes any bytes: --exec CMD ARGS"))
        })
    }
}

impl From<OsString> for ValueArg {
    fn from(word: OsString) -> Self {
        Self(word)
    }
}

impl From<String> for ValueArg {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Serialize for ValueArg {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.to_str().ok_or_else(|| serde::ser::Error::custom("a value is not UTF-8"))?)
    }
}

impl<'de> Deserialize<'de> for ValueArg {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsTyped;

        impl serde::de::Visitor<'_> for AsTyped {
            type Value = ValueArg;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a number, or a number in quotes")
            }

            fn visit_i64<E>(self, number: i64) -> Result<ValueArg, E> {
                Ok(number.to_string().into())
            }

            // Whole numbers that will not fit stay whole: as floats they would lose their last digits without a word.
            fn visit_u64<E>(self, number: u64) -> Result<ValueArg, E> {
                Ok(number.to_string().into())
            }

            fn visit_i128<E>(self, number: i128) -> Result<ValueArg, E> {
                Ok(number.to_string().into())
            }

            fn visit_u128<E>(self, number: u128) -> Result<ValueArg, E> {
                Ok(number.to_string().into())
            }

            fn visit_f64<E>(self, number: f64) -> Result<ValueArg, E> {
                Ok(ryu::Buffer::new().format(number).to_owned().into())
            }

            fn visit_str<E>(self, text: &str) -> Result<ValueArg, E> {
                Ok(text.to_owned().into())
            }
        }

        deserializer.deserialize_any(AsTyped)
    }
}

/// A job file as typed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// Its tasks, in order.
    pub task: Vec<TaskSpec>,
}

/// One task of a job file as typed: the flags of the command line under their own names.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // the flags are documented where they are flags
pub struct TaskSpec {
    pub output: Option<PathBuf>,
    pub pattern: Option<PatternName>,
    pub workers: Option<i64>,
    pub threads: Option<i64>,
    pub schedule: Option<String>,
    pub keep_going: Option<bool>,
    pub halt: Option<String>,
    pub unordered: Option<bool>,
    pub retries: Option<i64>,
    pub retry_delay: Option<String>,
    pub timeout: Option<String>,
    pub memory: Option<String>,
    pub gpus: Option<String>,
    pub joblog: Option<PathBuf>,
    pub failed: Option<PathBuf>,
    pub seed: Option<ValueArg>,
    pub repeat: Option<i64>,
    pub compress: Option<String>,
    pub part: Option<String>,
    // Last, because TOML has tables last.
    #[serde(skip_serializing)]
    pub scale: Option<ScaleSpec>,
    pub map: Option<MapSpec>,
    pub read: Option<ReadSpec>,
}
