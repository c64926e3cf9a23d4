//! Starts mpirun for those points of a study that want ranks, when nobody else has.
//!
//! One mpirun with as many ranks as the largest point wants runs parpy with the same words again, which then
//! times the points of mpi, each over a communicator of the first ranks, and saves them to a file that the
//! environment names.

use std::fs;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cpus::Cpus;
use crate::error::{Error, Result, plain};
use crate::interrupt;
use crate::launch;
use crate::scale::files;
use crate::scale::results::{Launch, Studies};

/// Says `CPUS:FILE` to a [`Helper`].
const INTO: &str = "PARPY_SCALE_MPI_INTO";

/// Names of launchers, those that say whose they are first.
pub(crate) const LAUNCHERS: [&str; 4] = ["mpirun.openmpi", "mpirun.mpich", "mpirun", "mpiexec"];

/// What both of Open MPI's launchers call themselves.
const OPEN_MPI: [&str; 3] = ["Open MPI", "OpenRTE", "PRRTE"];

/// How often to see whether a program has ended.
const NAP: Duration = Duration::from_millis(5);

/// How long a program may take to say its version, or to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often to see what has been measured.
const LOOK: Duration = Duration::from_millis(500);

/// What a parpy is to do that another has started for the points of mpi and nothing else.
pub struct Helper {
    /// The CPUs by which the other has planned.
    pub cpus: usize,
    /// Where the points go.
    pub file: PathBuf,
}

impl Helper {
    /// If this is one.
    pub fn of_environment() -> Option<Self> {
        let text = std::env::var(INTO).ok()?;
        let (cpus, file) = text.split_once(':')?;
        Some(Self { cpus: cpus.parse().ok()?, file: file.into() })
    }
}

/// A launcher that can start this parpy.
struct Launcher {
    name: &'static str,
    is_open_mpi: bool,
}

/// Has the points of mpi measured over `ranks` ranks by a parpy under mpirun; `found` gets all that there are each
/// time there are more; `cpus` as in [`Helper`]. Returns how long starting and ending the ranks took.
///
/// # Errors
/// There is no mpirun for this parpy, or it has failed; a signal has come; `found` fails.
pub fn measure(
    ranks: usize,
    cpus: usize,
    mut found: impl FnMut(&Studies) -> Result<()>,
) -> (Option<Launch>, Result<()>) {
    let mut inside = None;
    let began = Instant::now();
    let outcome = (|| {
        let folder = tempfile::tempdir().map_err(|e| {
            Error::Failed(format!("cannot make a folder for what mpirun finds: {}", plain(&e)))
        })?;
        let file = folder.path().join("points.json");
        let mut child = Child::start(&find()?, ranks, &format!("{cpus}:{}", file.display()))?;
        let (mut looked, mut seen) = (Instant::now(), None);
        let mut look = || -> Result<()> {
            let changed = fs::metadata(&file).and_then(|meta| meta.modified()).ok();
            if changed.is_some() && changed != seen {
                seen = changed;
                if let Ok(studies) = files::load(&file) {
                    let times = studies.studies.iter().filter_map(|study| study.launch);
                    inside = times.map(|launch| launch.seconds).max_by(f64::total_cmp);
                    found(&studies)?;
                }
            }
            Ok(())
        };
        let status = loop {
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                look()?;
            }
            if let Some(status) = child.is_done()? {
                break status;
            }
        };
        look()?;
        if status.success() { Ok(()) } else { Err(Error::Failed(child.complaint())) }
    })();
    let wall = began.elapsed().as_secs_f64();
    let launch = inside.filter(|_| outcome.is_ok());
    (launch.map(|inside| Launch { ranks, seconds: (wall - inside).max(0.0) }), outcome)
}

/// The launcher that belongs to the MPI of this parpy.
fn find() -> Result<Launcher> {
    if !cfg!(feature = "mpi") {
        return Err(Error::Usage(
            "--patterns mpi: this parpy was built without MPI; rebuild it with an MPI installed: cargo build \
             --release"
                .into(),
        ));
    }
    let own = std::env::current_exe().map_err(|e| Error::io("find", Path::new("parpy"), &e))?;
    let own = version(&own)?.unwrap_or_default();
    let library = own.lines().find_map(|line| line.strip_prefix("MPI: ")).unwrap_or_default();
    let wants_open_mpi = library.contains("Open MPI");
    for name in LAUNCHERS {
        let Some(version) = version(Path::new(name))? else { continue };
        let is_open_mpi = is_open_mpi(&version);
        if is_open_mpi == wants_open_mpi {
            return Ok(Launcher { name, is_open_mpi });
        }
    }
    Err(Error::Failed(format!(
        "there is no mpirun of {library} on the PATH; start it yourself: mpirun -n 2 parpy scale …"
    )))
}

/// Is a launcher that says this of itself Open MPI's?
pub(crate) fn is_open_mpi(version: &str) -> bool {
    OPEN_MPI.iter().any(|mark| version.contains(mark))
}

/// What a program says to `--version`; `None` where it cannot be started, or does not answer.
///
/// # Errors
/// A signal has come.
fn version(program: &Path) -> Result<Option<String>> {
    said(program, "--version")
}

/// What a program says to `word`, on standard output and standard error; `None` where it cannot be started, or
/// does not answer. It is not told that it is a rank, where this process is one.
///
/// # Errors
/// A signal has come.
pub(crate) fn said(program: &Path, word: &str) -> Result<Option<String>> {
    let mut command = Command::new(program);
    launch::variables().for_each(|name| _ = command.env_remove(name));
    command.arg(word);
    let Ok(said) = tempfile::tempfile() else { return Ok(None) };
    let (Ok(out), Ok(err)) = (said.try_clone(), said.try_clone()) else { return Ok(None) };
    let Ok(mut child) = Child::spawn(command.stdout(out).stderr(err), said, "") else { return Ok(None) };
    let began = Instant::now();
    while child.is_done()?.is_none() {
        if began.elapsed() > PATIENCE {
            return Ok(None);
        }
    }
    Ok(Some(child.said()))
}

/// A program at work. It is ended when this is dropped.
struct Child {
    process: std::process::Child,
    /// What it says, in a file, so that it never waits for somebody to read it.
    said: fs::File,
    name: &'static str,
}

impl Child {
    fn start(launcher: &Launcher, ranks: usize, into: &str) -> Result<Self> {
        let cannot =
            |e: std::io::Error| Error::Failed(format!("cannot start {}: {}", launcher.name, plain(&e)));
        let said = tempfile::tempfile().map_err(cannot)?;
        let mut command = Command::new(launcher.name);
        if launcher.is_open_mpi {
            let cpus = Cpus::detect();
            if ranks > cpus.physical_cores.unwrap_or(1).min(cpus.usable) {
                command.arg("--oversubscribe");
            }
            // Whoever runs parpy as root has thought about that.
            if rustix::process::geteuid().is_root() {
                command.arg("--allow-run-as-root");
            }
            // Bound to one CPU each, ranks could not use threads, and more ranks than CPUs would share the first.
            command.args(["--bind-to", "none"]);
        }
        command.args(["-n", &ranks.to_string()]);
        command.arg(std::env::current_exe().map_err(cannot)?);
        // By the environment, as a word more could be taken for anything. Rank 0, which alone wants it, is where
        // mpirun is.
        command.args(std::env::args_os().skip(1)).env(INTO, into);
        command.stdout(Stdio::null()).stderr(said.try_clone().map_err(cannot)?);
        Self::spawn(&mut command, said, launcher.name).map_err(cannot)
    }

    fn spawn(command: &mut Command, said: fs::File, name: &'static str) -> std::io::Result<Self> {
        command.stdin(Stdio::null());
        #[cfg(target_os = "linux")]
        {
            let end_with_parent =
                || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?);
            // SAFETY: between fork and exec there is one system call, which allocates nothing and takes no lock.
            unsafe { command.pre_exec(end_with_parent) };
        }
        Ok(Self { process: command.spawn()?, said, name })
    }

    /// How it has ended, if it has; waits for a moment.
    ///
    /// # Errors
    /// A signal has come.
    fn is_done(&mut self) -> Result<Option<ExitStatus>> {
        interrupt::check()?;
        match self.process.try_wait() {
            Ok(None) => {
                thread::sleep(NAP);
                Ok(None)
            }
            Ok(status) => Ok(status),
            Err(e) => Err(Error::Failed(format!("cannot wait for {}: {}", self.name, plain(&e)))),
        }
    }

    /// What it has said.
    fn said(&mut self) -> String {
        let mut text = Vec::new();
        let _ = self.said.rewind().and_then(|()| self.said.read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    }

    /// parpy's own message, or else the first paragraph of what mpirun says.
    fn complaint(&mut self) -> String {
        let text = self.said();
        let own = text.lines().rev().find_map(|line| line.strip_prefix("parpy: "));
        if let Some(own) = own {
            return own.to_owned();
        }
        let lines = text.lines().map(str::trim).skip_while(|line| line.is_empty() || is_rule(line));
        let paragraph: Vec<&str> = lines.take_while(|line| !line.is_empty() && !is_rule(line)).collect();
        format!("{} has failed: {}", self.name, paragraph.join(" "))
    }
}

/// What mpirun sets around its messages.
fn is_rule(line: &str) -> bool {
    line.starts_with("---") || line.starts_with("***")
}

impl Drop for Child {
    fn drop(&mut self) {
        // It ends what it has started.
        if let (Ok(None), Some(pid)) = (self.process.try_wait(), Pid::from_raw(self.process.id() as i32)) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let began = Instant::now();
        while began.elapsed() < PATIENCE && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(NAP);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
