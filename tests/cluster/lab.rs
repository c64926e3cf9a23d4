//! Submits the project's batch scripts to the cluster that `tests/cluster/cluster.sh` has brought up, and
//! looks after the jobs, always with a time limit.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::dsl::*;

/// Says in which folder the cluster keeps what it keeps.
const FOLDER: &str = "PARPY_TEST_CLUSTER";

/// When a job counts as hanging. Some tests wait for the end of a minute by SLURM's watch, which may take two.
const LIMIT: Duration = Duration::from_secs(240);

/// How long a job may take to do what a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to look whether it has.
const LOOK: Duration = Duration::from_millis(50);

/// States of jobs that have not ended.
const IS_NOT_OVER: [&str; 4] = ["PENDING", "RUNNING", "COMPLETING", "CONFIGURING"];

/// The nodes that jobs run on.
pub const NODES: [&str; 2] = ["n1", "n2"];

/// A cluster that is up.
#[derive(Clone)]
pub struct Cluster {
    folder: PathBuf,
}

/// The cluster for this binary; `None`, which is said aloud, where there is none.
pub fn cluster() -> Option<Cluster> {
    static SAID: Once = Once::new();
    let folder = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty());
    match folder {
        _ if !has_mpi() => {}
        // Once for all of them.
        None => SAID.call_once(|| {
            skip("cluster", "none is up; tests/cluster/run.sh brings one up and runs them (Linux, as root)");
        }),
        Some(folder) => return Some(Cluster { folder: folder.into() }),
    }
    None
}

impl Cluster {
    /// A command on one of its nodes: `login` or one of [`NODES`].
    pub fn on(&self, node: &str) -> Command {
        // What is run there has limits of its own.
        let mut command = bare(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/cluster.sh"));
        command.arg("on").arg(&self.folder).arg(node);
        command
    }

    /// What a command on the login node prints, when it succeeds.
    #[track_caller]
    pub fn text(&self, words: &[&str]) -> String {
        text_of(self.on("login").args(["timeout", "60"]).args(words))
    }

    /// Writes a file that `node` alone can see: all have a folder of this name, each with files of its own.
    pub fn private(&self, node: &str, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.join("private").join(name);
        let mut command = self.on(node);
        let mut tee =
            command.arg("tee").arg(&path).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        tee.stdin.take().unwrap().write_all(bytes).unwrap();
        assert!(tee.wait().unwrap().success());
        path
    }

    /// What an mpirun that knows nothing of SLURM starts its daemons on other hosts with.
    pub fn launch_agent(&self) -> PathBuf {
        self.folder.join("rsh")
    }

    /// `sbatch OPTIONS… slurm/SCRIPT`, from within `dir`, the options separated by blanks.
    pub fn batch<'a>(&'a self, dir: &'a Dir, script: &str, options: &str) -> Batch<'a> {
        Batch {
            cluster: self,
            dir,
            script: Path::new(env!("CARGO_MANIFEST_DIR")).join("slurm").join(script),
            options: options.split_whitespace().map(str::to_owned).collect(),
            args: Vec::new(),
            variables: vec![("PARPY".into(), BINARY.into()), ("LAUNCH".into(), srun().into())],
        }
    }
}

/// An srun that starts the ranks of this binary.
pub fn srun() -> &'static str {
    // Of Open MPI the cluster knows by itself.
    if mpirun_is_open_mpi() { "srun" } else { "srun --mpi=pmi2" }
}

/// Both ways to start the ranks of this binary.
pub fn launchers() -> [&'static str; 2] {
    [srun(), mpirun()]
}

/// A job to be.
#[derive(Clone)]
pub struct Batch<'a> {
    cluster: &'a Cluster,
    dir: &'a Dir,
    script: PathBuf,
    options: Vec<String>,
    args: Vec<OsString>,
    variables: Vec<(String, OsString)>,
}

impl<'a> Batch<'a> {
    /// Words for the script.
    pub fn args(self, args: &str) -> Self {
        args.split_whitespace().fold(self, |batch, arg| batch.arg(arg))
    }

    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn words(self, words: &[OsString]) -> Self {
        words.iter().fold(self, Batch::arg)
    }

    pub fn launch(self, launcher: &str) -> Self {
        self.var("LAUNCH", launcher)
    }

    /// A variable of the environment of sbatch, and so of the job.
    pub fn var(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Submits it.
    #[track_caller]
    pub fn submit(&self) -> Job<'a> {
        let mut command = self.cluster.on("login");
        command.args(["timeout", "60", "sbatch", "--parsable"]);
        command.args(&self.options).arg(&self.script).args(&self.args);
        command.current_dir(self.dir.path("."));
        FOREIGN.iter().for_each(|name| _ = command.env_remove(name));
        allow_everything(&mut command);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let id = text_of(&mut command).trim().to_owned();
        Job { batch: self.clone(), id, has_ended: Cell::new(false) }
    }

    /// Submits it and waits for its end.
    pub fn done(&self) -> Done {
        self.submit().done()
    }
}

/// A job that has been submitted. One that is dropped before its end, as when a test fails, is cancelled.
pub struct Job<'a> {
    batch: Batch<'a>,
    pub id: String,
    has_ended: Cell<bool>,
}

impl Job<'_> {
    /// What the job has said so far; of a job array, what its elements have, one after the other.
    pub fn log(&self) -> String {
        let dir = self.batch.dir;
        self.logs().map(|name| String::from_utf8_lossy(&dir.read(&name)).into_owned()).collect()
    }

    /// Names of its logs.
    fn logs(&self) -> impl Iterator<Item = String> {
        let script = self.batch.script.file_stem().and_then(OsStr::to_str).unwrap();
        let start = format!("{script}-{}", self.id);
        let mine = move |name: &String| {
            let rest = name.strip_prefix(&start).and_then(|rest| rest.strip_suffix(".log"));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        self.batch.dir.names().into_iter().filter(mine)
    }

    /// Waits until its log has what is wanted.
    #[track_caller]
    pub fn wait_until(&self, what: &str, has: impl FnMut(&str) -> bool) {
        self.wait(PATIENCE, what, has);
    }

    /// As [`Job::wait_until`], for what a job of one minute does at the end of its time.
    #[track_caller]
    pub fn wait_longer_until(&self, what: &str, has: impl FnMut(&str) -> bool) {
        self.wait(LIMIT, what, has);
    }

    #[track_caller]
    fn wait(&self, most: Duration, what: &str, mut has: impl FnMut(&str) -> bool) {
        let began = Instant::now();
        while !has(&self.log()) {
            assert!(began.elapsed() < most, "no {what} after {most:?}\n{}", self.all_about());
            std::thread::sleep(LOOK);
        }
    }

    /// `scancel OPTIONS… JOB`.
    #[track_caller]
    pub fn cancel(&self, options: &[&str]) {
        self.batch.cluster.text(&[&["scancel"], options, &[&*self.id]].concat());
    }

    /// `scontrol requeue JOB`: SLURM ends it, and some time later begins it again.
    #[track_caller]
    pub fn requeue(&self) {
        self.batch.cluster.text(&["scontrol", "requeue", &self.id]);
    }

    /// Waits until it has ended, and has it begin again soon: not within the second in which it was ended, when the
    /// nodes may take it for the first one still ("Job credential revoked" in SLURM's log).
    #[track_caller]
    pub fn begin_again(&self) {
        self.wait(PATIENCE, "end of the first", |_| self.state().0 == "PENDING");
        self.batch.cluster.text(&["scontrol", "update", "StartTime=now+2", &format!("JobId={}", self.id)]);
    }

    /// Waits for its end. (`sbatch --wait` looks for it every two seconds and then more and more seldom.) A job
    /// that [has crashed at its start](crashed_at_start) is submitted once more, if it [may be](may_be_retried).
    #[track_caller]
    pub fn done(&self) -> Done {
        match self.done_within(LIMIT) {
            done if crashed_at_start(&done.log) && may_be_retried(&done.id) => {
                // What the test finds is to be of the second.
                self.logs().for_each(|name| std::fs::remove_file(self.batch.dir.path(&name)).unwrap());
                self.batch.submit().done_within(LIMIT)
            }
            done => done,
        }
    }

    /// Waits for its end no longer than `most`.
    #[track_caller]
    pub fn done_within(&self, most: Duration) -> Done {
        let began = Instant::now();
        loop {
            let (state, code) = self.state();
            if !IS_NOT_OVER.contains(&&*state) {
                self.has_ended.set(true);
                return Done { id: self.id.clone(), code, state, log: self.log() };
            }
            assert!(began.elapsed() < most, "still there after {most:?}\n{}", self.all_about());
            std::thread::sleep(LOOK);
        }
    }

    /// How SLURM calls what is or has become of it (COMPLETED, FAILED, TIMEOUT, CANCELLED …), and its exit code,
    /// in the way of a shell; of a job array that of an element that has not ended, or else the worst.
    fn state(&self) -> (String, i32) {
        let text = self.batch.cluster.text(&["scontrol", "show", "job", "-o", &self.id]);
        let element = |line: &str| {
            let field =
                |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap();
            let (code, signal) = field("ExitCode=").split_once(':').unwrap();
            let code = match (code.parse().unwrap(), signal.parse::<i32>().unwrap()) {
                (code, 0) => code,
                (_, signal) => 128 + signal,
            };
            (field("JobState=").to_owned(), code)
        };
        let worst = |(state, code): &(String, i32)| (IS_NOT_OVER.contains(&&**state), *code);
        text.lines().map(element).max_by_key(worst).unwrap()
    }

    fn all_about(&self) -> String {
        let queue = self.batch.cluster.text(&["squeue", "-l"]);
        let job = self.batch.cluster.text(&["scontrol", "show", "job", &self.id]);
        format!("{queue}\n{job}\nits log:\n{}", self.log())
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        if !self.has_ended.get() {
            let scancel = ["timeout", "60", "scancel", "-f", "-s", "KILL", &self.id];
            let _ = self.batch.cluster.on("login").args(scancel).status();
        }
    }
}

/// Has a rank crashed before parpy had a word to say? Under srun, one in some hundred jobs of Open MPI 4.1 does
/// on SLURM 22.05: within MPI_Init, where rank 0, which has left it, sends to a rank that is not yet ready for it
/// (the TCP transport calls a function that is not registered there yet).
pub fn crashed_at_start(log: &str) -> bool {
    log.contains("Segmentation fault") && !log.lines().any(|line| line.starts_with("parpy: "))
}

/// May a job that has crashed so be tried again? So few in all the tests may that it cannot be a habit, and it is
/// said.
pub fn may_be_retried(id: &str) -> bool {
    const MOST: usize = 3;
    static CRASHES: AtomicUsize = AtomicUsize::new(0);
    let may = CRASHES.fetch_add(1, Ordering::Relaxed) < MOST;
    let so = if may { "it is tried again" } else { "as too many have before" };
    _ = writeln!(std::io::stderr(), "CRASHED: job {id}, in MPI_Init: {so}");
    may
}

/// How a job has ended.
pub struct Done {
    pub id: String,
    pub code: i32,
    pub state: String,
    pub log: String,
}

impl Done {
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.ends_with(0)
    }

    #[track_caller]
    pub fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "job {} is {}\n{}", self.id, self.state, self.log);
        self
    }

    /// The log has every one of `parts`.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.log.contains(part), "job {}: no '{part}' in\n{}", self.id, self.log);
        }
        self
    }
}

/// A pipe with a name, held open, so that whoever reads it waits for more.
pub struct Feed {
    pub path: PathBuf,
    writer: std::fs::File,
}

impl Feed {
    pub fn new(dir: &Dir, name: &str) -> Self {
        let path = dir.path(name);
        let _ = std::fs::remove_file(&path);
        assert!(program("mkfifo").arg(&path).status().unwrap().success());
        // For reading too, so as not to wait for a reader.
        let writer = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        Self { path, writer }
    }

    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer.write_all(bytes.as_ref()).unwrap();
    }
}

/// What a command prints, when it succeeds.
#[track_caller]
fn text_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
