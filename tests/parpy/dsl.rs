//! Runs the real binary, alone or under the mpirun that belongs to it, always with a time limit.

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Seconds after which a run counts as hanging.
const LIMIT: u32 = 60;

pub const BINARY: &str = env!("CARGO_BIN_EXE_parpy");

/// Variables of launchers, which must not reach a run that is meant to be alone when the tests themselves
/// were started by one.
pub const FOREIGN: [&str; 23] = [
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_SIZE",
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MPI_LOCALNRANKS",
    "PMI_FD",
    "PMI_RANK",
    "PMI_SIZE",
    "PMIX_NAMESPACE",
    "PMIX_RANK",
    "MV2_COMM_WORLD_RANK",
    "MV2_COMM_WORLD_SIZE",
    "MV2_COMM_WORLD_LOCAL_SIZE",
    "FLUX_TASK_RANK",
    "FLUX_JOB_SIZE",
    "SLURM_PROCID",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_JOB_ID",
    "SLURM_JOB_NUM_NODES",
    "SLURM_NTASKS",
    "SLURM_HET_SIZE",
    "SLURM_CPUS_PER_TASK",
    "SLURM_CPUS_ON_NODE",
    "SLURM_MPI_TYPE",
];

/// The same, for a command that is not a [`Run`].
pub fn foreign_variables() -> &'static [&'static str] {
    &FOREIGN
}

/// A temporary folder.
pub struct Dir(tempfile::TempDir);

impl Dir {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Was the binary built with MPI?
pub fn has_mpi() -> bool {
    cfg!(feature = "mpi")
}

/// The launcher of the MPI that the binary was built with.
pub fn mpirun() -> &'static str {
    static FOUND: OnceLock<&str> = OnceLock::new();
    FOUND.get_or_init(|| {
        let version = Command::new(BINARY).arg("--version").output().unwrap();
        let version = String::from_utf8(version.stdout).unwrap();
        let is_open_mpi = version.contains("Open MPI");
        let names = match is_open_mpi {
            true => ["mpirun.openmpi", "mpirun", "mpiexec"],
            false => ["mpirun.mpich", "mpirun", "mpiexec"],
        };
        let belongs = |name: &&str| launcher_is_open_mpi(name) == Some(is_open_mpi);
        let found = names.into_iter().find(belongs);
        found.unwrap_or_else(|| panic!("none of {names:?} is the mpirun for a parpy of: {version}"))
    })
}

/// Whose launcher is `name`? `None` when it is not there.
fn launcher_is_open_mpi(name: &str) -> Option<bool> {
    let output = Command::new(name).arg("--version").output().ok()?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(["Open MPI", "OpenRTE", "PRRTE"].iter().any(|mark| version.contains(mark)))
}

/// Another MPI's launcher, when there is one on this machine.
pub fn foreign_mpirun() -> Option<&'static str> {
    let ours = launcher_is_open_mpi(mpirun());
    ["mpirun.mpich", "mpirun.openmpi"].into_iter().find(|name| {
        let theirs = launcher_is_open_mpi(name);
        theirs.is_some() && theirs != ours
    })
}

pub fn mpirun_is_open_mpi() -> bool {
    launcher_is_open_mpi(mpirun()) == Some(true)
}

/// What lets Open MPI start more ranks than there are cores, and run as root.
pub fn allow_everything(command: &mut Command) {
    command
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
        .env("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe");
}

/// A run to be. `ranks` is 0 for a run without mpirun.
#[derive(Clone)]
pub struct Run {
    pub ranks: usize,
    args: Vec<OsString>,
    variables: Vec<(String, String)>,
    stdin: Vec<u8>,
    folder: Option<PathBuf>,
    launcher: Option<&'static str>,
}

/// `parpy ARGS…`, the words separated by blanks.
pub fn parpy(args: &str) -> Run {
    Run {
        ranks: 0,
        args: args.split_whitespace().map(OsString::from).collect(),
        variables: Vec::new(),
        stdin: Vec::new(),
        folder: None,
        launcher: None,
    }
}

impl Run {
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn args(self, args: &str) -> Self {
        args.split_whitespace().fold(self, |run, arg| run.arg(arg))
    }

    /// Under mpirun with so many ranks; 0: without.
    pub fn ranks(mut self, ranks: usize) -> Self {
        self.ranks = ranks;
        self
    }

    pub fn launcher(mut self, mpirun: &'static str) -> Self {
        self.launcher = Some(mpirun);
        self
    }

    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    pub fn folder(mut self, path: impl Into<PathBuf>) -> Self {
        self.folder = Some(path.into());
        self
    }

    /// The same way of running, for the words of `other`.
    pub fn then(&self, other: &Self) -> Self {
        let args = other.args.iter().chain(&self.args).cloned().collect();
        Self { args, ..self.clone() }
    }

    /// The words behind the program's name.
    pub fn words(&self) -> &[OsString] {
        &self.args
    }

    pub fn is_stdin(&self) -> bool {
        !self.stdin.is_empty()
    }

    /// The command, with its time limit.
    pub fn command(&self) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", &LIMIT.to_string()]);
        FOREIGN.iter().for_each(|name| _ = command.env_remove(name));
        allow_everything(&mut command);
        if self.ranks > 0 {
            command.arg(self.launcher.unwrap_or_else(mpirun)).arg("-n").arg(self.ranks.to_string());
        }
        command.arg(BINARY).args(&self.args);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// Starts it with all streams piped.
    pub fn spawn(&self) -> Child {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs it to its end.
    pub fn done(&self) -> Done {
        let mut child = self.spawn();
        let (mut pipe, bytes) = (child.stdin.take().unwrap(), self.stdin.clone());
        // From a thread of its own, and without minding a reader that has left.
        let writer = std::thread::spawn(move || _ = pipe.write_all(&bytes));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Done::of(self, output)
    }

    /// What it prints, when it succeeds.
    pub fn stdout(&self) -> Vec<u8> {
        self.done().succeeds().stdout
    }

    /// As [`Run::stdout`], for text.
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout()).unwrap()
    }
}

/// How a run has ended.
pub struct Done {
    what: String,
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Done {
    pub fn of(run: &Run, output: Output) -> Self {
        let what = format!("{:?} on {} ranks {:?}", run.args, run.ranks, run.variables);
        let code = output.status.code().unwrap_or(-1);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(code != 124 && code != 137, "{what} was still running after {LIMIT} s\n{stderr}");
        Self { what, code, stdout: output.stdout, stderr }
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.what, self.stderr);
        self
    }

    /// Failed with `code` and exactly one message of parpy's, which holds every one of `parts`.
    #[track_caller]
    pub fn fails(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.what, self.stderr);
        let said = self.said();
        assert_eq!(said.len(), 1, "{}: not one message\n{}", self.what, self.stderr);
        for part in parts {
            assert!(said[0].contains(part), "{}: no '{part}' in\n{}", self.what, said[0]);
        }
        self
    }

    /// The messages of parpy itself (and not of mpirun) on standard error: clap's begin with `error`.
    pub fn said(&self) -> Vec<&str> {
        let mut messages: Vec<&str> = Vec::new();
        let mut rest = self.stderr.as_str();
        let starts = |text: &str| text.starts_with("parpy") || text.starts_with("error: ");
        while !rest.is_empty() {
            let end = rest.match_indices('\n').map(|(i, _)| i + 1).find(|i| starts(&rest[*i..]));
            let (message, next) = rest.split_at(end.unwrap_or(rest.len()));
            if starts(message) {
                // What mpirun has to say of a failure stands in a frame of dashes.
                messages.push(message.split("\n-----").next().unwrap_or_default().trim_end());
            }
            rest = next;
        }
        messages
    }
}

/// A PATH on which `mpirun` is the one that belongs to the binary.
pub fn shim(dir: &Dir) -> String {
    // A script and not a link, because launchers look for their own parts beside the name they are called
    // by; with the old PATH, so as not to find itself where the launcher's name is plain mpirun.
    let path = std::env::var("PATH").unwrap();
    let script = dir.write("shim/mpirun", format!("#!/bin/sh\nPATH='{path}'\nexec {} \"$@\"\n", mpirun()));
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:{path}", script.parent().unwrap().display())
}

/// Processes that `of` has started.
pub fn children(of: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Waits until `look` finds something; a failed test after 20 seconds.
pub fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain");
        std::thread::yield_now();
    }
}

/// Reads the log up to a line with `part`, and returns the process that has written it.
pub fn logged(log: &mut impl BufRead, part: &str) -> u32 {
    loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "ended before {part}");
        if line.contains(part) {
            return line.split([' ', '[']).skip_while(|word| *word != "pid").nth(1).unwrap().parse().unwrap();
        }
    }
}

pub fn kill(signal: &str, pid: u32) {
    kill_all(signal, &[pid]);
}

/// Sends it to all of them before any can have told another.
#[track_caller]
pub fn kill_all(signal: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    assert!(Command::new("kill").arg(signal).args(pids).status().unwrap().success());
}
