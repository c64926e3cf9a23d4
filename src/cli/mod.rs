//! Flags as typed. Nothing is checked here beyond what clap itself can check; [`crate::job`] turns what
//! was typed into a checked job, and later code never sees a flag.
//!
//! [`MapSpec`] and [`ReadSpec`] are also the tables of a job file, so that flags and job files cannot drift
//! apart.

use crate::job::pattern::{PatternName, ProgressWhen};
use crate::job::spec::{MapSpec, ReadSpec, ValueArg};

mod check;
mod commands;
mod job_file;
mod sweep;
mod together;
mod words;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use words::split_words;
use words::unmarked;

use clap::{Arg, ArgAction, Args, CommandFactory, Parser, Subcommand};

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
  parpy map 1 2 3 -f 'x^2 + 3*sin(x)'        any other formula; parpy functions lists what there is
  parpy map 1 2 3 4 5 -p process --who       each by a process of its own: value, square, pid
  parpy read big.txt --do count              as wc, on all CPUs
  parpy cpus                                 how many CPUs that is, and why
  mpirun -n 4 parpy doctor                   what will go wrong, and what to do about it
  parpy scale read big.txt --plot speed.svg  is it worth it? with 1, 2, 4 … workers
  mpirun -n 4 parpy map --range 0..1000000 -o squares.h5
  parpy show squares.h5                      what is in it, and what made it
  mpirun -n 4 parpy read big.txt --do count --report
  parpy run jobs/squares.toml
  parpy python-module > parpy.py             import parpy, in a script or a notebook

Exit codes: 0 all done; 1 an item or the run failed; 2 the command line or the job file is wrong;
128 + n stopped by signal n (130: Ctrl-C; 143: SIGTERM; 138: SIGUSR1, and 140: SIGUSR2, which a batch
system can send before a job's time is over). What was done until then is kept."
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
    pub talk: Verbosity,
    /// Under mpirun or srun: be a run of its own, and no rank of one, as PARPY_ALONE=1 also says. For task farms,
    /// where a script gives each process a job of its own
    #[arg(long, global = true)]
    pub alone: bool,
}

impl Cli {
    /// As it was typed, where clap has read what `mark_numbers` has made of it.
    pub fn unmarked(mut self) -> Self {
        let values = |map: &mut MapSpec| {
            map.values.iter_mut().for_each(|ValueArg(word)| unmarked(word));
        };
        match &mut self.command {
            Some(Command::Map(map)) => values(map),
            Some(Command::Run(RunArgs { job, args })) => {
                std::iter::once(job).chain(args).map(PathBuf::as_mut_os_string).for_each(unmarked);
            }
            Some(Command::Scale(ScaleArgs { what, job, args, .. })) => {
                job.iter_mut().chain(args).map(PathBuf::as_mut_os_string).for_each(unmarked);
                match what {
                    Some(ScaleWhat::Map(map)) => values(map),
                    Some(ScaleWhat::Read(read)) => unmarked(read.file.as_mut_os_string()),
                    None => {}
                }
            }
            _ => {}
        }
        self
    }

    /// The job file that is to be run, if one is.
    pub fn job_file(&self) -> Option<&Path> {
        match &self.command {
            Some(Command::Run(args)) => Some(&args.job),
            Some(Command::Scale(args)) => args.job.as_deref(),
            _ => None,
        }
    }
}

/// What these words are parsed with: [`Cli::command`], where the help of a command that only looks does not offer
/// the flags of runs. It knows them all the same, to say why it refuses them.
pub fn parser(words: &[OsString]) -> clap::Command {
    // Only where it may be that command's turn: it takes a tenth of the time that a small run does.
    let Some((name, _)) = ONLY_LOOK.into_iter().find(|(name, _)| words.iter().any(|word| word == name))
    else {
        return Cli::command();
    };
    let all = Verbosity::augment_args(Shared::augment_args(clap::Command::new("all")));
    let of_runs = all.get_arguments().filter(|flag| !["verbose", "quiet"].contains(&flag.get_id().as_str()));
    let unsaid: Vec<Arg> = of_runs.map(|flag| flag.clone().hide(true)).collect();
    Cli::command().mut_subcommand(name, |command| command.args(unsaid))
}

/// Commands that only look, each with the flags that it takes.
const ONLY_LOOK: [(&str, &str); 5] = [
    ("show", "-n and --job"),
    ("cpus", "--json"),
    ("doctor", "--json"),
    ("functions", "--json"),
    ("python-module", "-q"),
];

/// What parpy can be asked to do.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // there is one in all
pub enum Command {
    /// Apply a function to many values; one result per line, in order
    #[command(after_help = "\
Examples:
  parpy map 1 2 3 4 5
  parpy map 1 2 3 -f 'x^2 + 3*sin(x)'        an expression; parpy functions lists what there is
  parpy map --range 0..1000000:3 -o squares.txt
  seq 1 10 | parpy map --from -
  parpy map --from table.csv:price -o prices.json
  parpy map --sweep a=0..1:0.1 --sweep seed=1,2,3 -f 'a*seed' -o s.csv   all combinations
  parpy map --from table.csv:x,y -f 'sqrt(x^2 + y^2)' -o table2.csv   the columns by their names
  parpy map --lines names.txt -f 'length(upper(x))'                   each line is a text
  parpy map --from values.npy --reduce count,mean,std,min,max         what all of them come to
  parpy map --from table.csv --reduce 'mean(x),count' --by group      and each group of rows
  parpy map --from in.h5:/run1/x -o out.h5 --compress gzip
  parpy map 1 2 3 4 5 -p process --who
  parpy map --range 0..1000 -p pool -j 2 --schedule dynamic,10
  parpy map *.png -j 4 --exec convert {} {.}.jpg                      a command for each; --exec comes last
  parpy map --sweep a='log(1e-3,1,7)' --sweep method=euler,rk4 --exec ./simulate {a} {method}
  parpy map --range 0..1000000 -f 'uniform()^2 + uniform()^2 < 1' --seed 1 --reduce mean   each item draws its own
  parpy map --range 0..100 --seed 1 --exec ./simulate --seed={seed}
  parpy map --sweep a='lin(0,1)' --sweep b='log(1e-3,1)' --points lhs:100 --seed 1 -f 'a*b' -o s.csv
  parpy map --from runs.csv -k --failed f.csv --timeout 1h --exec ./simulate --x={x} --seed={#}
  parpy map --range 0..1000 --worker 'python3 -u model.py'            a program that stays answers a line for each
  parpy map --from runs.csv --python sim.py:energy -o out.csv -k      columns are arguments, by their names
  parpy map --range 0..1000 --python mc.py:walk --seed 1              def walk(steps, rng): a generator for each item
  parpy map --from runs.csv:x,y --library ./model.so:energy -o energies.csv   double energy(double, double)
  mpirun -n 4 parpy map --from runs.csv --python sim.py:energy -o out.csv
  mpirun -n 4 parpy map --from values.npy -o none --report
  parpy map --range 0..1000000 -o out.csv --part 2/8    one of 8 parts: out.part-2-of-8.csv
  parpy map --range 0..1000000 -o out.csv --join 8      when there are all 8: out.csv
  parpy map --range 0..1000000 -o none --trace t.json   then open t.json in ui.perfetto.dev")]
    Map(MapSpec),
    /// Read a file by sections, in parallel; its lines come out in order
    #[command(after_help = "\
Examples:
  parpy read book.txt                        the same bytes as the file
  parpy read book.txt --do count             lines, words and bytes, as wc
  parpy read big.log --pipe grep -c ERROR    a command for each section: a number for each of them
  parpy read big.csv --header -o out.txt --pipe python3 clean.py   each reads the first line, too
  parpy read big.log --block 16M --shell --pipe 'sort | uniq -c > part-{#}.txt'
  mpirun -n 4 parpy read big.log -o copy.log --report
  parpy read big.log --do count -o n.csv --part 3/4   the third of 4 parts, and when there are all 4:
  parpy read big.log --do count -o n.csv --join 4
  mpirun -n 4 parpy read big.log --do count --trace t.json   which rank read what, and when")]
    Read(ReadSpec),
    /// Run the tasks of a job file, one after the other
    #[command(after_help = "\
Examples:
  parpy run jobs/squares.toml
  mpirun -n 4 parpy run jobs/shakespeare.toml big.txt
  parpy run squares.h5 -o again.h5           the job that made a .h5 or .json file, again
  parpy run job.toml --part 1/8              each task's first of 8 parts; --join 8 joins them

A job file:
  [[task]]
  map = { range = \"0..1000\", function = \"square\" }
  output = \"squares.txt\"

  [[task]]
  read = { file = \"$1\", do = \"count\" }

A task has one map or read, and may have any of output, pattern, workers, threads, schedule,
keep_going, halt, unordered, retries, seed, repeat, compress and part; where commands are run, also
timeout, memory, retry_delay, gpus, joblog and failed. map may have values, range, from, lines,
sweep (a list, as in [\"a=0..1:0.1\", \"b=1,2\"], because its order counts), zip, sample, points,
no_header, text, delimiter, function, exec (a list of words), shell, raw, worker, worker_format,
library, python, interpreter, no_fork, vectorized, answers, dtype, columns, reduce, by, ddof and who; read has file, do, pipe (a
list of words), shell, header and block. They are the flags of the command line, which come before
them.

$1, $2, … stand for the arguments after the job file's name, in paths, ranges, sweeps and values.
Paths that begin with one are taken from the current folder, others from the folder that the job file
is in. output = \"people\" tells in words who did what, as the demo does.")]
    Run(RunArgs),
    /// Was it worth it? Times a job with 1, 2, 4 … workers, and says so in words and in a picture
    #[command(
        args_conflicts_with_subcommands = false,
        after_help = "\
Examples:
  parpy scale map --range 0..1000
  parpy scale read big.txt --do count --workers 1,2,4 --patterns serial,threads,pool,mpi
  mpirun -n 8 parpy scale read big.txt --do count --plot scaling.svg --save scaling.json
  parpy scale map --from values.npy --weak   each worker has the same share, however many there are
  parpy scale read big.txt --quick           an estimate from a small part of the file
  parpy scale job.toml big.txt               the tasks of a job file, each a study
  parpy scale --from scaling.json --plot scaling.png
  parpy scale --from before.json after.json  one beside the other

Each pattern is run with each number of workers, once to warm up and then at least 5 times
(--repeat N), until half of the runs lie within 5 % of the median or 3 seconds are over. Answers are
gathered and dropped, unless -o FILE wants them written. --save keeps what was measured when a run
is cut short; -p PATTERN is the same as --patterns PATTERN.

In the table:
  time         median of a run: opening the input, starting the workers, the work, gathering; not
               the start of parpy itself or of MPI
  spread       between the quartiles, of the median
  speedup      the reference's time over this one's. The reference is the fastest single worker;
               serial, which uses no vector lanes, where it is as fast
  efficiency   speedup over workers
  serial       Karp and Flatt's serial fraction (1/speedup - 1/workers) / (1 - 1/workers), or with
               --weak Gustafson's (workers - speedup) / (workers - 1)
  start-up     time of a run over one value, or one byte, for each worker
  overhead     of an item: the workers' time beyond start-up and work, over the items

Where several workers pay, from how much on is measured with smaller and smaller parts of the input.
What it says of other numbers of workers comes from a fit to all times of a pattern (least squares
of relative errors, nothing negative), start-ups too:
  time = start-up + overhead (workers - 1) + work (serial part + parallel part / workers at work)
which is Amdahl's law with a start-up, and an overhead for each worker. No more workers are at work
than there are CPUs.

A task of a job file may have a table of its own, as in
  scale = { patterns = ['pool'], workers = [1, 2], title = 'Squares' }
also with weak = true, and beside = { what = 'Python', seconds = [0.1, 0.2] }, times from elsewhere
for these workers. The task's own pattern, workers and repeat do not count here."
    )]
    Scale(ScaleArgs),
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
    Cpus(AsJson),
    /// Say what will go wrong here, or on the nodes of an MPI run, and what to do about it
    #[command(after_help = "\
Examples:
  parpy doctor                               this machine
  mpirun -n 4 parpy doctor                   the nodes of this run
  srun -N 2 -n 4 --mpi=pmix parpy doctor big.txt   and whether they all see the same big.txt
  parpy doctor --json | jq '.findings[] | select(.level == \"problem\")'

It looks at the launcher and the MPI library, CPUs, memory, the files and the current folder,
versions and clocks, on every node, and tells each thing that it finds as one of
  ok       as it should be
  note     good to know
  warning  works, but slower or otherwise than you may think
  PROBLEM  will not work, with what to do
The exit code is 1 when there is a problem, else 0.")]
    Doctor(DoctorArgs),
    /// List the functions that -f knows, and what expressions are made of
    #[command(after_help = "\
Examples:
  parpy functions
  parpy functions --json | jq -r '.[].name'
  parpy map 1 2 3 -f sqrt
  parpy map 1 2 3 -f 'x^2 + 3*sin(x)'

Those of floats are correctly rounded: the float nearest to the true value, so the same to the bit on
every machine.")]
    Functions(AsJson),
    /// Print parpy for Python: a module to import in a script or a notebook
    #[command(after_help = "\
Examples:
  parpy python-module > parpy.py             beside the script, or anywhere on Python's path

  import parpy
  def square(x): return x * x
  if __name__ == '__main__':
      parpy.map(square, range(10))                            a list, by all CPUs
      parpy.map(square, range(10), launcher='mpirun -n 4')    by the ranks of an MPI run
      for y in parpy.imap(square, range(10)): ...             one by one, as they come
      with parpy.Executor(workers=2) as executor: ...         as concurrent.futures has it

It needs Python 3.8 or newer, nothing else, and this program: it finds it in the variable PARPY, beside
itself, or on the PATH. Functions that are typed in a notebook, and lambdas, need cloudpickle.")]
    PythonModule,
}

impl Command {
    /// Of a command that only looks, and runs nothing: its name, and the flags that it takes.
    pub fn only_looks(&self) -> Option<(&'static str, &'static str)> {
        let name = match self {
            Self::Show(_) => "show",
            Self::Cpus(_) => "cpus",
            Self::Doctor(_) => "doctor",
            Self::Functions(_) => "functions",
            Self::PythonModule => "python-module",
            Self::Map(_) | Self::Read(_) | Self::Run(_) | Self::Scale(_) => return None,
        };
        ONLY_LOOK.into_iter().find(|(looks, _)| *looks == name)
    }
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

/// What is to be timed, and how.
#[derive(Debug, Clone, Args)]
pub struct ScaleArgs {
    #[command(subcommand)]
    #[allow(missing_docs)]
    pub what: Option<ScaleWhat>,
    /// A job file whose tasks are to be timed
    #[arg(value_name = "JOB.toml")]
    pub job: Option<PathBuf>,
    /// What $1, $2, … in the job file stand for
    #[arg(value_name = "ARGS")]
    pub args: Vec<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub study: StudyArgs,
    /// Time nothing, but show again what --save has saved (.json or .h5); two files: one beside the other
    #[arg(long, value_name = "FILE", num_args = 1..=2)]
    pub from: Vec<PathBuf>,
}

/// What can be timed.
#[derive(Debug, Clone, Subcommand)]
pub enum ScaleWhat {
    /// Apply a function to many values
    Map(Box<MapSpec>),
    /// Read a file by sections
    Read(ReadSpec),
}

/// How a scaling study is made, and where it goes.
#[derive(Debug, Default, Clone, Args)]
pub struct StudyArgs {
    /// Which patterns to time, with commas between [default: serial,threads,pool; under mpirun
    /// serial,threads,mpi]. Without mpirun, mpi starts it
    #[arg(long, global = true, value_enum, value_name = "P,Q,…", value_delimiter = ',')]
    pub patterns: Vec<PatternName>,
    /// Weak scaling: where the most are P workers, p of them get the first p/P of the input, so that each has as
    /// much to do however many there are
    #[arg(long, global = true)]
    pub weak: bool,
    /// Estimate from a part of the input, and from what it takes to start the workers
    #[arg(long, global = true)]
    pub quick: bool,
    /// Draw it to FILE.svg or FILE.png
    #[arg(long, global = true, value_name = "FILE.svg|png")]
    pub plot: Option<PathBuf>,
    /// Save it to FILE.json, FILE.csv or FILE.h5, anew after every point
    #[arg(long, global = true, value_name = "FILE.json|csv|h5")]
    pub save: Option<PathBuf>,
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
pub struct AsJson {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// What to look at.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Files, or folders, that every node must see
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// As JSON: all facts of every rank, and the findings
    #[arg(long)]
    pub json: bool,
}

/// Flags of every command; all but the report and the trace can also be set for a task of a job file, and the command
/// line comes first.
#[derive(Debug, Default, Clone, PartialEq, Eq, Args)]
pub struct Shared {
    /// Who runs the blocks [default: auto]
    #[arg(short, long, global = true, value_enum, value_name = "PATTERN")]
    pub pattern: Option<PatternName>,
    /// How many workers: threads, processes, or under mpirun the first N ranks [default: all CPUs that may
    /// be used (see parpy cpus), or all ranks]. For parpy scale several numbers, with commas between [default:
    /// 1, 2, 4, … up to all CPUs, or all ranks]
    #[arg(short = 'j', long, global = true, value_name = "N", allow_negative_numbers = true)]
    pub workers: Option<WorkerCounts>,
    /// Under mpirun: threads of each rank [default: in a job of SLURM SLURM_CPUS_PER_TASK, else 1]; alone the same as
    /// -p threads -j
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true)]
    pub threads: Option<i64>,
    /// How blocks are handed out: as OpenMP has it, static (by turns), dynamic (to whoever is free) or
    /// guided (dynamic, large blocks first); or adaptive (dynamic, blocks of some 20 ms). BLOCK is
    /// the size of a block (with guided and adaptive: of the smallest) in values, or in bytes of a file (K, M, G: 1024s)
    /// [default: adaptive for functions that take their time, else dynamic, and static under mpi]
    #[arg(long, global = true, value_name = "static|dynamic|guided|adaptive[,BLOCK]")]
    pub schedule: Option<String>,
    /// Pass over items that have no answer, or no value, or that kill their workers, and leave an empty line for
    /// each (with --raw, and of --pipe, nothing); the exit code is 1 all the same
    #[arg(short, long, global = true)]
    pub keep_going: bool,
    /// As --keep-going, until so many items, or so many of a hundred, have failed: then nothing more is begun, and what runs
    /// is awaited (soon) or ended (now)
    #[arg(long, global = true, value_name = "now|soon,fail=N|P%")]
    pub halt: Option<String>,
    /// Write answers as they come, and not in the order of the items (text, .csv, .jsonl)
    #[arg(long, global = true)]
    pub unordered: bool,
    /// How often what a killed worker held is run again on a new one, before it is halved again and again
    /// to find the item that does it (process, pool) [default: 1]; and how often a command that has failed is run again
    /// [default: 0]
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true)]
    pub retries: Option<i64>,
    /// With --retries: how long to wait before a command that has failed is run again: 1.5 (seconds), 500ms, 2m
    #[arg(long, global = true, value_name = "TIME")]
    pub retry_delay: Option<String>,
    /// How long a command may take: 1.5 (seconds), 500ms, 2m; of --worker an answer, since the one before it or since the
    /// program was started. Then it and all that it has started are asked to end
    /// (SIGTERM), and killed two seconds later
    #[arg(long, global = true, value_name = "TIME")]
    pub timeout: Option<String>,
    /// Memory that each process of a command may have: 512M, 2G. None is begun while the machine has less, for a minute at
    /// the most
    #[arg(long, global = true, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Give each worker a graphics processor of its node, in CUDA_VISIBLE_DEVICES: all that there are, so many, or these, by
    /// turns
    #[arg(long, global = true, value_name = "all|N|LIST")]
    pub gpus: Option<String>,
    /// Write the items that have failed: their columns, number (row, from 0), exit code, signal, and why, or the last that
    /// was said on standard error; of sections of --pipe their number (section, from 1) and bytes (start, length). CSV or
    /// JSON lines, as the name says (.csv, .jsonl), else with tabs (.tsv). --from takes it again
    #[arg(long, global = true, value_name = "FILE")]
    pub failed: Option<PathBuf>,
    /// Write a line on each item, or section of --pipe, whose command has ended: GNU parallel's columns, then rank and host.
    /// Send and Receive are the bytes that it was given and that it has printed
    #[arg(long, global = true, value_name = "FILE")]
    pub joblog: Option<PathBuf>,
    /// Do nothing, but say what would be done, and by whom: the first items, the last, and how many there are
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Where results go: a file, whose name says the format (.txt, .csv, .json, .jsonl, .npy, .h5) and which
    /// is FILE.partial until it is complete; - for standard output; none
    #[arg(short, long, global = true, value_name = "FILE|-|none")]
    pub output: Option<PathBuf>,
    /// Compress the datasets of an HDF5 file: gzip (levels 1 to 9, [default: 4]), lzf, or blosc with zstd,
    /// lz4 or zlib
    #[arg(long, global = true, value_name = "gzip[:N]|lzf|blosc[:zstd|lz4|zlib]")]
    pub compress: Option<String>,
    /// Work on part K of N equal parts of the input, as one element of a job array does; the results of -o
    /// out.csv go to out.part-K-of-N.csv, where earlier ones are removed first, and the files of --report and
    /// --trace are named alike. --join N makes one of the results
    #[arg(long, global = true, value_name = "K/N", conflicts_with = "join")]
    pub part: Option<String>,
    /// Instead of the work: join the results of N parts, which the same command with --part has made, to what
    /// -o names. Refuses when one is missing, or holds less or more than its part of the input gives; that it is
    /// of this input only .h5 and .json can tell. The parts stay
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true)]
    pub join: Option<i64>,
    /// Where something is random (--sample, --points; uniform() and normal() in expressions; programs with {seed}, and rng of
    /// --python): a number from 0, which makes the same of it again, whoever works on which item [default: one that is
    /// drawn, and said with -v and in .h5 and .json files]
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Run N times, and report medians
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true)]
    pub repeat: Option<i64>,
    /// Say who did what and how long it took: as a table on standard error, or as JSON to FILE.json
    #[arg(long, global = true, value_name = "FILE.json", num_args = 0..=1, require_equals = true)]
    pub report: Option<Option<PathBuf>>,
    /// Write who worked on which block when, as a timeline to look at in ui.perfetto.dev or chrome://tracing
    #[arg(long, global = true, value_name = "FILE.json")]
    pub trace: Option<PathBuf>,
}

/// How much parpy says of itself on standard error.
#[derive(Debug, Default, Clone, Copy, Args)]
pub struct Verbosity {
    /// Say more: -v which ranks there are, -vv every block they work on
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say how far a run has come, once it takes long: a bar on a terminal, else lines. auto: on a terminal, under
    /// mpirun and srun, and in the log of a batch job; always: also in other files, and also of short runs; json: for
    /// programs, an object on a line each second, with done, total, unit, failed, seconds and left_seconds
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "auto|always|never|json",
        hide_possible_values = true
    )]
    #[arg(default_value = "auto", hide_default_value = true)]
    pub progress: ProgressWhen,
}

/// One whole number, or several with commas between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCounts(pub Vec<i64>);

impl FromStr for WorkerCounts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |word: &str| {
            word.trim().parse().map_err(|_| format!("'{word}' is not a whole number; as in 4, or 1,2,4"))
        };
        text.split(',').map(number).collect::<Result<_, _>>().map(Self)
    }
}
