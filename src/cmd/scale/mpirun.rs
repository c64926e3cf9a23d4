//! Starts mpirun for those points of a study that want ranks, when nobody else has.
//!
//! One mpirun with as many ranks as the largest point wants runs parpy with the same words again, which then
//! times the points of mpi, each over a communicator of the first ranks, and saves them to a file that the
//! environment names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::base::error::{Error, Result, plain};
use crate::base::scratch;
use crate::cmd::scale::files;
use crate::cmd::scale::results::{Launch, Studies};
use crate::mpi::launch::programs::{Child, LAUNCHERS, is_open_mpi, said};
use crate::node::cpus::Cpus;

/// Says `CPUS:FILE` to a [`Helper`].
const INTO: &str = "PARPY_SCALE_MPI_INTO";

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
        let folder = scratch::folder().map_err(|e| {
            Error::Failed(format!("cannot make a folder for what mpirun finds: {}", plain(&e)))
        })?;
        let file = folder.path().join("points.json");
        let mut child = Started::start(&find()?, ranks, &format!("{cpus}:{}", file.display()))?;
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
            if let Some(status) = child.program.is_done(child.name)? {
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
    let own = said(&own, "--version")?.unwrap_or_default();
    let library = own.lines().find_map(|line| line.strip_prefix("MPI: ")).unwrap_or_default();
    let wants_open_mpi = is_open_mpi(library);
    for name in LAUNCHERS {
        let Some(version) = said(Path::new(name), "--version")? else { continue };
        let is_open_mpi = is_open_mpi(&version);
        if is_open_mpi == wants_open_mpi {
            return Ok(Launcher { name, is_open_mpi });
        }
    }
    Err(Error::Failed(format!(
        "there is no mpirun of {library} on the PATH; start it yourself: mpirun -n 2 parpy scale …"
    )))
}

/// parpy under mpirun.
struct Started {
    program: Child,
    /// The launcher's.
    name: &'static str,
}

impl Started {
    fn start(launcher: &Launcher, ranks: usize, into: &str) -> Result<Self> {
        let name = launcher.name;
        let cannot = |e: std::io::Error| Error::Failed(format!("cannot start {name}: {}", plain(&e)));
        let said = scratch::file().map_err(cannot)?;
        let mut command = Command::new(name);
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
        let program = Child::spawn(&mut command, said).map_err(cannot)?;
        Ok(Self { program, name })
    }

    /// parpy's own message, or else the first paragraph of what mpirun says.
    fn complaint(&mut self) -> String {
        let text = self.program.said();
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
