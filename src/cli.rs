//! Flags as typed. Nothing is checked here beyond what clap itself can check; [`crate::job`] turns what
//! was typed into a checked job, and later code never sees a flag.
//!
//! [`MapSpec`] and [`ReadSpec`] are also the tables of a job file, so that flags and job files cannot drift
//! apart.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::job::{Do, Dtype};

/// One function over many values, or the sections of one huge file, over threads, worker processes or MPI
/// ranks: the same answers in the same order whichever way it runs.
///
/// Without a command it runs the demo: squares of 0..10 and the sections of a sample text.
#[derive(Debug, Parser)]
#[command(
    name = "parpy",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  parpy                                      the demo
  mpirun -n 4 parpy                          the demo over 4 MPI ranks
  parpy map 1 2 3 4 5                        squares of five numbers
  parpy map 1 2 3 4 5 -p process --who       each by a process of its own: value, square, pid
  parpy read big.txt --do count              as wc, on all CPUs
  parpy cpus                                 how many CPUs that is, and why
  mpirun -n 4 parpy map --range 0..1000000 -o squares.h5
  parpy show squares.h5                      what is in it, and what made it
  mpirun -n 4 parpy read big.txt --do count --report
  parpy run jobs/squares.toml

Exit codes: 0 all done; 1 an item or the run failed; 2 the command line or the job file is wrong;
128 + n stopped by signal n (130: Ctrl-C)."
)]
pub struct Cli {
    #[command(subcommand)]
    #[allow(missing_docs)]
    pub command: Option<Command>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub shared: Shared,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub talk: Talk,
}

impl Cli {
    /// The job file that is to be run, if one is.
    pub fn job_file(&self) -> Option<&Path> {
        match &self.command {
            Some(Command::Run(args)) => Some(&args.job),
            _ => None,
        }
    }
}

/// What parpy can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Apply a function to many values; one result per line, in order
    #[command(after_help = "\
Examples:
  parpy map 1 2 3 4 5
  parpy map --range 0..1000000:3 -o squares.txt
  seq 1 10 | parpy map --from -
  parpy map --from table.csv:price --dtype f64 -o prices.json
  parpy map --from in.h5:/run1/x -o out.h5 --compress gzip
  parpy map 1 2 3 4 5 -p process --who
  parpy map --range 0..1000 -p pool -j 2 --schedule dynamic,10
  mpirun -n 4 parpy map --from values.npy -o none --report")]
    Map(MapSpec),
    /// Read a file by sections, in parallel; its lines come out in order
    #[command(after_help = "\
Examples:
  parpy read book.txt                        the same bytes as the file
  parpy read book.txt --do count             lines, words and bytes, as wc
  mpirun -n 4 parpy read big.log -o copy.log --report")]
    Read(ReadSpec),
    /// Run the tasks of a job file, one after the other
    #[command(after_help = "\
Examples:
  parpy run jobs/squares.toml
  mpirun -n 4 parpy run jobs/shakespeare.toml big.txt
  parpy run squares.h5 -o again.h5           the job that made a .h5 or .json file, again

A job file:
  [[task]]
  map = { range = \"0..1000\", function = \"square\" }
  output = \"squares.txt\"

  [[task]]
  read = { file = \"$1\", do = \"count\" }

A task has one map or read, and may have any of output, pattern, workers, threads, schedule,
keep_going, retries, repeat and compress; map may have values, range, from, function, dtype and who; read
has file and do. They are the flags of the command line, which come before them.

$1, $2, … stand for the arguments after the job file's name, in paths, ranges and values. Paths that
begin with one are taken from the current folder, others from the folder that the job file is in. output = \"people\" tells in
words who did what, as the demo does.")]
    Run(RunArgs),
    /// Look into a result: what made it, its shape, first and last rows, min, mean and max
    #[command(after_help = "\
Examples:
  parpy show squares.h5
  parpy show squares.h5 --job > job.toml     the job that made it, for parpy run
  parpy show values.npy -n 3")]
    Show(ShowArgs),
    /// Say how many CPUs parpy may use here, and which limit decides
    #[command(after_help = "\
Examples:
  parpy cpus
  taskset -c 0 parpy cpus
  parpy cpus --json | jq .usable")]
    Cpus(CpusArgs),
}

/// Where the values come from, and what is done with each.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "expected a table, as in map = { range = '0..10' }")]
pub struct MapSpec {
    /// The values
    #[arg(value_name = "VALUES", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Word>,
    /// The values A, A+STEP, … up to but not including B
    #[arg(long, value_name = "A..B[:STEP]", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<String>,
    /// Values from a file: text with one number per line, a column of FILE.csv:NAME (or its number, from 1),
    /// FILE.npy, or a dataset
    /// of FILE.h5:/GROUP/NAME, or of two dimensions one column, FILE.h5:/NAME[:,K] (from 0); - is text from standard input
    // As people type it, which rustdoc takes for a link.
    #[allow(rustdoc::broken_intra_doc_links)]
    #[arg(long, value_name = "FILE[:PART]")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// What to do with each value: square [default: square]
    #[arg(short, long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Type of the values [default: that of the file; i64 for text and CSV, unless a typed value is a float]
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,
    /// Say who computed each result. On standard output and in text: value, result and process, with tabs
    /// between; in CSV and JSON: also rank, pid and host; in HDF5: the dataset /rank
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub who: bool,
}

/// Which file, and what is done with its lines.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "expected a table, as in read = { file = 'x.txt' }")]
pub struct ReadSpec {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What to do with the lines [default: text]
    #[arg(long = "do", value_enum, value_name = "WHAT")]
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub action: Option<Do>,
}

/// A job file and what it asks for.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The job file (TOML), or a .h5 or .json file that parpy has written
    #[arg(value_name = "JOB.toml")]
    pub job: PathBuf,
    /// What $1, $2, … in the job file stand for
    #[arg(value_name = "ARGS")]
    pub args: Vec<PathBuf>,
}

/// Which file, and how much of it.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// A .h5, .json, .jsonl, .csv or .npy file, or text with a number on each line
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How many rows to show of the beginning, and of the end
    #[arg(short = 'n', long, value_name = "N", default_value_t = 3)]
    pub rows: usize,
    /// Print only the job that made it, as a job file
    #[arg(long)]
    pub job: bool,
}

/// How to say it.
#[derive(Debug, Clone, Copy, Args)]
pub struct CpusArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of every command; all but the report can also be set for a task of a job file, and the command
/// line comes first.
#[derive(Debug, Default, Clone, PartialEq, Eq, Args)]
pub struct Shared {
    /// Who runs the blocks [default: auto]
    #[arg(short, long, global = true, value_enum, value_name = "PATTERN")]
    pub pattern: Option<PatternName>,
    /// How many workers: threads, processes, or under mpirun the first N ranks [default: all CPUs that may
    /// be used (see parpy cpus), or all ranks]
    #[arg(short = 'j', long, global = true, value_name = "N", allow_negative_numbers = true)]
    pub workers: Option<i64>,
    /// Under mpirun: threads of each rank [default: SLURM_CPUS_PER_TASK, or 1]; alone the same as -p threads -j
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true)]
    pub threads: Option<i64>,
    /// How blocks are handed out, as OpenMP has it: static (by turns), dynamic (to whoever is free), or
    /// guided (dynamic, large blocks first); under mpi always static; BLOCK is the size of a block (with
    /// guided: of the smallest) in values, or in bytes of a file (K, M, G: 1024s) [default: dynamic; mpi:
    /// static]
    #[arg(long, global = true, value_name = "static|dynamic|guided[,BLOCK]")]
    pub schedule: Option<String>,
    /// Pass over items that have no answer, or that kill their workers, and leave an empty line for each;
    /// the exit code is 1 all the same
    #[arg(short, long, global = true)]
    pub keep_going: bool,
    /// How often what a killed worker held is run again on a new one, before it is halved again and again
    /// to find the item that does it (process, pool) [default: 1]
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true)]
    pub retries: Option<i64>,
    /// Where results go: a file, whose name says the format (.txt, .csv, .json, .jsonl, .npy, .h5) and which
    /// is FILE.partial until it is complete; - for standard output; none
    #[arg(short, long, global = true, value_name = "FILE|-|none")]
    pub output: Option<PathBuf>,
    /// Compress the datasets of an HDF5 file: gzip (levels 1 to 9, [default: 4]), lzf, or blosc with zstd,
    /// lz4 or zlib
    #[arg(long, global = true, value_name = "gzip[:N]|lzf|blosc[:zstd|lz4|zlib]")]
    pub compress: Option<String>,
    /// Run N times, and report medians
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true)]
    pub repeat: Option<i64>,
    /// Say who did what and how long it took: as a table on standard error, or as JSON to FILE.json
    #[arg(long, global = true, value_name = "FILE.json", num_args = 0..=1, require_equals = true)]
    pub report: Option<Option<PathBuf>>,
}

/// How much parpy says of itself on standard error.
#[derive(Debug, Default, Clone, Copy, Args)]
pub struct Talk {
    /// Say more: -v which ranks there are, -vv every block they work on
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// A pattern by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PatternName {
    /// mpi when started by mpirun or srun with more than one rank, else threads
    Auto,
    /// One value after another in this process: the reference
    Serial,
    /// One worker, vector lanes: AVX-512, AVX2, SSE2 or NEON, whatever the CPU has
    Simd,
    /// Threads of this process
    Threads,
    /// One process for each value (or block, with --schedule), or section of a file, -j of them at a time
    Process,
    /// Long-lived worker processes
    Pool,
    /// Blocks scattered over MPI ranks, answers gathered on rank 0
    Mpi,
}

impl PatternName {
    /// As typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Serial => "serial",
            Self::Simd => "simd",
            Self::Threads => "threads",
            Self::Process => "process",
            Self::Pool => "pool",
            Self::Mpi => "mpi",
        }
    }
}

/// A value as typed: in a job file also a bare number.
#[derive(Debug, Clone, Serialize)]
pub struct Word(pub String);

/// The words of the command line with `--report FILE.json` joined to `--report=FILE.json`, so that
/// `--report` without a file does not take the next word, whatever it is, for one.
pub fn join_report(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
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

impl From<String> for Word {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a number, or a number in quotes")]
        enum Typed {
            Whole(i64),
            Float(f64),
            Text(String),
        }
        Ok(Self(match Typed::deserialize(deserializer)? {
            Typed::Whole(number) => number.to_string(),
            Typed::Float(number) => ryu::Buffer::new().format(number).to_owned(),
            Typed::Text(text) => text,
        }))
    }
}
