//! The harness of all tests: runs the real binary, alone or under the mpirun that belongs to it, and other programs.
//! Every process that a test starts, it starts by way of this file: each has a time limit.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Once, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, pidfd_send_signal,
    test_kill_process_group,
};

/// Seconds after which a run counts as hanging.
pub const LIMIT: u32 = 60;

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

/// A command that ends after a minute at the latest, in an environment where no launcher has left anything.
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = bare("timeout");
    command.args(["-k", "5", &LIMIT.to_string()]).arg(name);
    allow_everything(&mut command);
    command
}

/// As [`program`], of one that not every machine has; `None`, loudly, where there is none.
pub fn tool(name: &str) -> Option<Command> {
    if !has(name) {
        skip(name, "there is no such program");
        return None;
    }
    Some(program(name))
}

/// A command for [`start`], or one that limits itself.
pub fn bare(name: impl AsRef<OsStr>) -> Command {
    static HEARS: std::sync::Once = std::sync::Once::new();
    HEARS.call_once(|| {
        for signal in [libc::SIGINT, libc::SIGQUIT] {
            // What a shell starts in the background ignores them, and so would what it starts itself.
            // SAFETY: sets a disposition to a constant; no handler is installed.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    });
    let mut command = Command::new(name);
    FOREIGN.iter().for_each(|name| _ = command.env_remove(name));
    command
}

/// Starts a command whose own process number the test needs, so without a `timeout` around it; it is killed after a
/// minute.
pub fn start(command: &mut Command) -> Child {
    let child = command.spawn().unwrap();
    // A descriptor, because the number may be another process's by then.
    let process = pidfd_open(pid(child.id()), PidfdFlags::empty()).unwrap();
    std::thread::spawn(move || {
        let limit = Timespec { tv_sec: LIMIT.into(), tv_nsec: 0 };
        if poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)) == Ok(0) {
            _ = pidfd_send_signal(&process, Signal::KILL);
        }
    });
    child
}

/// [`start`] with all streams piped.
pub fn start_piped(command: &mut Command) -> Child {
    start(piped(command))
}

fn piped(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// Do the tests run as root, who may do everything?
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Is there such a program?
pub fn has(name: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|folder| folder.join(name).is_file())
}

/// Passes over a test, or what is left of it, because this machine lacks something. That is written to standard
/// error, whatever the runner captures, and to the file that PARPY_TEST_SKIPPED names; where CI=true it is a failure,
/// unless PARPY_TEST_MAY_LACK (words) has `what`.
#[track_caller]
pub fn skip(what: &str, why: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED: {}: {what}: {why}\n", thread.name().unwrap_or("a test"));
    let get = |name: &str| std::env::var(name).unwrap_or_default();
    let may_lack = get("PARPY_TEST_MAY_LACK").split_whitespace().any(|word| word == what);
    assert!(may_lack || get("CI") != "true", "{line}which CI may not lack");
    _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os("PARPY_TEST_SKIPPED") {
        let mut file = std::fs::File::options().append(true).create(true).open(file).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Are all variations of a test wanted? Else it tries a few that stand for them.
pub fn is_thorough() -> bool {
    std::env::var_os("PARPY_TEST_FULL").is_some_and(|value| !value.is_empty())
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

    /// Makes a FIFO.
    pub fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        assert!(program("mkfifo").arg(&path).status().unwrap().success());
        path
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
        let version = program(BINARY).arg("--version").output().unwrap();
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
    let output = program(name).arg("--version").output().unwrap();
    let found = output.status.success();
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    found.then(|| ["Open MPI", "OpenRTE", "PRRTE"].iter().any(|mark| version.contains(mark)))
}

/// Another MPI's launcher, when there is one on this machine; without it the test is passed over.
pub fn foreign_mpirun() -> Option<&'static str> {
    let ours = launcher_is_open_mpi(mpirun());
    let found = ["mpirun.mpich", "mpirun.openmpi"].into_iter().find(|name| {
        let theirs = launcher_is_open_mpi(name);
        theirs.is_some() && theirs != ours
    });
    if found.is_none() {
        skip("other-mpi", "only one MPI is installed");
    }
    found
}

pub fn mpirun_is_open_mpi() -> bool {
    launcher_is_open_mpi(mpirun()) == Some(true)
}

/// What lets Open MPI start more ranks than there are cores, and run as root; and start while another run ends.
pub fn allow_everything(command: &mut Command) {
    static SHARED_FOLDER: Once = Once::new();
    // An mpirun of Open MPI 4 that ends removes the folder that all of them share, when it is empty, and one that
    // begins just then cannot make its own in it. So it is never empty.
    SHARED_FOLDER.call_once(|| {
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let node = node.split('.').next().unwrap_or_default();
        let name = format!("ompi.{node}.{}", rustix::process::geteuid().as_raw());
        _ = std::fs::create_dir_all(std::env::temp_dir().join(name).join("kept-for-tests"));
    });
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

    /// What is typed, with the last part of every path alone, and on how many ranks.
    pub fn name(&self) -> String {
        let word = |word: &OsString| match Path::new(word).file_name() {
            Some(name) if Path::new(word).is_absolute() => name.display().to_string(),
            _ => word.display().to_string(),
        };
        let words = self.args.iter().map(word);
        let variables = self.variables.iter().map(|(name, value)| format!("{name}={value}"));
        let ranks = (self.ranks > 0).then(|| format!("on {} ranks", self.ranks));
        words.chain(variables).chain(ranks).collect::<Vec<_>>().join(" ")
    }

    pub fn is_stdin(&self) -> bool {
        !self.stdin.is_empty()
    }

    /// The command, with its time limit.
    pub fn command(&self) -> Command {
        let mut command = match self.ranks {
            0 => program(BINARY),
            ranks => {
                let mut command = program(self.launcher.unwrap_or_else(mpirun));
                command.arg("-n").arg(ranks.to_string()).arg(BINARY);
                command
            }
        };
        command.args(&self.args);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// The command without ranks, as a user who owns nothing and may do no more than all may; `before`: words before
    /// the program. Where that takes a copy of the program, it stands in `dir`. For root, with setpriv(1).
    pub fn as_nobody(&self, dir: &Dir, before: &[&str]) -> Command {
        let copy = dir.path("parpy");
        // Not by this process: a program that another test starts would have it open for writing, too, for a moment,
        // in which it could not be executed.
        assert!(program("cp").arg(BINARY).arg(&copy).status().unwrap().success());
        for path in [&copy, &dir.path("")] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let mut command = program("setpriv");
        command.args(["--reuid=54321", "--regid=54321", "--clear-groups"]).args(before).arg(copy);
        command.args(&self.args).current_dir("/");
        command
    }

    /// Runs it as a user who may not read and write everything: as this one, or for root as in [`Run::as_nobody`].
    /// `None`, and the test is passed over, where that cannot be.
    pub fn done_without_rights(&self, dir: &Dir) -> Option<Done> {
        if !is_root() {
            return Some(self.done());
        }
        if !has("setpriv") {
            skip("setpriv", "root cannot try what another user may");
            return None;
        }
        Some(Done::of(self, self.as_nobody(dir, &[]).output().unwrap()))
    }

    /// Starts it with all streams piped.
    pub fn spawn(&self) -> Child {
        piped(&mut self.command()).spawn().unwrap()
    }

    /// The same, without ranks and `timeout`: the child is parpy itself.
    pub fn start(&self) -> Child {
        let mut command = bare(BINARY);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        start_piped(command.args(&self.args))
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
                // What mpirun has to say of a failure stands in a frame of dashes, or, of its own trouble in noticing one
                // (5.0.7, now and then), behind its name and number.
                let is_mpirun = |line: &&str| line.starts_with("-----") || line.contains("] PMIX ERROR: ");
                let end = message
                    .match_indices('\n')
                    .find(|(i, _)| message[i + 1..].lines().next().as_ref().is_some_and(is_mpirun));
                messages.push(message[..end.map_or(message.len(), |(i, _)| i)].trim_end());
            }
            rest = next;
        }
        messages
    }
}

/// A PATH on which `mpirun` is the one that belongs to the binary.
pub fn shim(dir: &Dir) -> String {
    shim_on(dir, &std::env::var("PATH").unwrap())
}

/// The same in front of another PATH, which the programs have that it starts.
pub fn shim_on(dir: &Dir, path: &str) -> String {
    // A script and not a link, because launchers look for their own parts beside the name they are called
    // by; with the old PATH, so as not to find itself where the launcher's name is plain mpirun.
    let script = dir.write("shim/mpirun", format!("#!/bin/sh\nPATH='{path}'\nexec {} \"$@\"\n", mpirun()));
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:{path}", script.parent().unwrap().display())
}

/// Processes that `of` has started.
pub fn children(of: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Waits until `look` finds something; a failed test after 40 seconds.
pub fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(40), "waited in vain");
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

/// The signals that ask for an end, and the exit code of a run that one of them has ended.
pub const ENDS: [(&str, i32); 8] = [
    ("-INT", 130),
    ("-TERM", 143),
    ("-HUP", 129),
    ("-USR1", 138),
    ("-USR2", 140),
    ("-XCPU", 152),
    ("-QUIT", 131),
    ("-ALRM", 142),
];

/// Sends a signal by its name, as in `-TERM`, or by its number, as in `-9`.
#[track_caller]
pub fn kill(signal: &str, pid: u32) {
    assert!(try_kill(signal, pid), "there is no process {pid}");
}

/// The same, to a process that may have ended by now; returns whether it was there.
pub fn try_kill(signal: &str, id: u32) -> bool {
    kill_process(pid(id), signal_named(signal)).is_ok()
}

/// Sends it to all of them before any can have told another.
#[track_caller]
pub fn kill_all(signal: &str, pids: &[u32]) {
    pids.iter().for_each(|pid| kill(signal, *pid));
}

/// Sends it to all of a process group.
#[track_caller]
pub fn kill_group(signal: &str, group: u32) {
    kill_process_group(pid(group), signal_named(signal)).unwrap();
}

/// Is there a process of this group?
pub fn has_group(group: u32) -> bool {
    test_kill_process_group(pid(group)).is_ok()
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.try_into().unwrap()).unwrap()
}

fn signal_named(name: &str) -> Signal {
    match name {
        "-9" | "-KILL" => Signal::KILL,
        "-INT" => Signal::INT,
        "-TERM" => Signal::TERM,
        "-HUP" => Signal::HUP,
        "-USR1" => Signal::USR1,
        "-USR2" => Signal::USR2,
        "-XCPU" => Signal::XCPU,
        "-QUIT" => Signal::QUIT,
        "-ALRM" => Signal::ALARM,
        "-STOP" => Signal::STOP,
        "-CONT" => Signal::CONT,
        _ => panic!("{name}: not a signal that tests send"),
    }
}
