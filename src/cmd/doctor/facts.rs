//! What one process sees: of its launcher, its CPUs and memory, the files, the versions and the time. Nothing is
//! judged here.

use std::env;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use crate::base::error::plain;
use crate::base::names::absolute;
use crate::base::streams;
use crate::cli::DoctorArgs;
use crate::cmd::doctor::programs::{OnPath, Programs};
use crate::mpi::communicator::{Backend, MpiLibrary};
use crate::mpi::launch::allocation::Allocation;
use crate::mpi::launch::{self, Launch, foreign};
use crate::node::cpus::{self, Cpus, MOST_WORKERS};
use crate::node::host::host;
use crate::node::mounts::{self, Mount};

/// Bytes of a file's beginning that are compared.
const BEGINNING: u64 = 64 * 1024;

/// What one process has seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Its rank, as the launcher says.
    pub rank: usize,
    /// Its node.
    pub host: String,
    /// Its process number.
    pub pid: u32,
    /// How it was started.
    pub started: Started,
    /// The SLURM job that it is part of.
    pub slurm_job: Option<Allocation>,
    /// The CPUs that it may use, and every limit.
    pub cpus: Cpus,
    /// Which CPUs it may run on, as in `0-3,8`.
    pub allowed_cpus: String,
    /// The threads that parpy would use in each rank.
    pub threads: usize,
    /// The memory of its node.
    pub memory: Memory,
    /// The kernel, as in `Linux 6.1.0`.
    pub kernel: String,
    /// It runs as root.
    pub is_root: bool,
    /// What it is built of.
    pub versions: Versions,
    /// The launchers on the PATH of rank 0.
    pub launchers: Vec<OnPath>,
    /// Its clock, each time that all ranks have met: seconds since 1970.
    pub clock: Vec<f64>,
    /// The current folder.
    pub folder: PathReport,
    /// The files that were named.
    pub files: Vec<PathReport>,
}

/// How a process was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// By whom: [`Launch::by`].
    pub by: String,
    /// With how many others, itself included, as the launcher says.
    pub ranks: usize,
    /// The number of ranks by each launcher's variables: their names, and what they say.
    pub claims: Vec<(String, usize)>,
    /// `--mpi=` of srun.
    pub srun_type: Option<String>,
    /// How many ranks MPI finds, where it was asked.
    pub found: Option<usize>,
    /// What MPI has said before it ended the process in which it was initialised.
    pub said: Option<String>,
    /// The version of the launcher's PMIx, where that mixes standard output and standard error.
    pub mixing_pmix: Option<String>,
}

/// Memory of a node, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// In all.
    pub total: Option<u64>,
    /// Not in use, or used for what can be dropped.
    pub available: Option<u64>,
    /// What the cgroup leaves to this process and its neighbours in it.
    pub limit: Option<u64>,
    /// The size of /dev/shm.
    pub shared: Option<u64>,
}

/// Versions of what a process is built of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// parpy's.
    pub parpy: String,
    /// The commit that it was built of.
    pub commit: String,
    /// The MPI library's name and version; `None` where parpy is built without MPI, or does not get at it.
    pub mpi: Option<String>,
    /// Why it does not.
    pub mpi_fault: Option<String>,
    /// The version of the MPI standard.
    pub mpi_standard: Option<String>,
    /// HDF5's version, likewise.
    pub hdf5: Option<String>,
    /// Likewise.
    pub hdf5_fault: Option<String>,
    /// SLURM's, on rank 0.
    pub slurm: Option<String>,
}

/// A file or folder, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathReport {
    /// Its name from the root.
    pub path: String,
    /// What it is, where it can be read.
    pub found: Option<FileReport>,
    /// Why it cannot.
    pub fault: Option<String>,
    /// The type of its file system, as in `nfs4`.
    pub file_system: Option<String>,
    /// The device or server of its file system.
    pub source: Option<String>,
    /// Bytes that may still be written there.
    pub free: Option<u64>,
}

/// What is at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// `file`, `folder`, or `other`.
    pub kind: String,
    /// A file's size.
    pub bytes: Option<u64>,
    /// When it was changed last: nanoseconds since 1970.
    pub modified: Option<u64>,
    /// XXH3 of a file's beginning (64 KiB).
    pub beginning: Option<String>,
}

impl Facts {
    /// What this process sees. The number of ranks that MPI finds, and the clock, are for later.
    pub fn collect(args: &DoctorArgs, launch: &Launch, backend: &Backend, programs: Programs) -> Self {
        let (mpi, mpi_standard) = match backend.library {
            MpiLibrary::Here { name, standard } => (Some(name()), Some(standard())),
            MpiLibrary::Elsewhere => (None, None),
        };
        let mounts = mounts::all();
        let uname = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        Self {
            rank: launch.rank,
            host: host(),
            pid: std::process::id(),
            started: Started {
                by: launch.by.to_owned(),
                ranks: launch.ranks,
                claims: launch::claims(),
                srun_type: foreign::srun_type(),
                found: None,
                said: None,
                mixing_pmix: streams::mixing_pmix(),
            },
            slurm_job: Allocation::of_environment(),
            cpus: Cpus::detect(),
            allowed_cpus: cpus::allowed(),
            // A run says what is wrong with them.
            threads: cpus::threads_of_rank(None).unwrap_or(MOST_WORKERS),
            memory: Memory::of_node(),
            kernel: format!("{} {}", text(uname.sysname()), text(uname.release())),
            is_root: rustix::process::geteuid().is_root(),
            versions: Versions {
                parpy: env!("CARGO_PKG_VERSION").to_owned(),
                commit: env!("PARPY_COMMIT").to_owned(),
                mpi,
                mpi_fault: programs.why_not_mpi,
                mpi_standard,
                hdf5: programs.hdf5.clone().unwrap_or_default(),
                hdf5_fault: programs.hdf5.err(),
                slurm: programs.slurm,
            },
            launchers: programs.launchers,
            clock: Vec::new(),
            folder: PathReport::of(&env::current_dir().unwrap_or_else(|_| PathBuf::from(".")), &mounts),
            files: args.files.iter().map(|path| PathReport::of(path, &mounts)).collect(),
        }
    }
}

impl Memory {
    fn of_node() -> Self {
        let said = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        // `MemTotal:       16384000 kB` (proc(5)).
        let bytes = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
        };
        Self {
            total: bytes("MemTotal"),
            available: bytes("MemAvailable"),
            limit: cpus::memory_limit(),
            shared: mounts::room(Path::new("/dev/shm")).map(|room| room.total),
        }
    }
}

impl PathReport {
    fn of(path: &Path, mounts: &[Mount]) -> Self {
        let path = absolute(path);
        let (found, fault) = match look(&path) {
            Ok(found) => (Some(found), None),
            Err(e) => (None, Some(plain(&e))),
        };
        // Of what is not there, where it would be.
        let real = path.ancestors().find_map(|path| fs::canonicalize(path).ok());
        let mount = real.as_deref().and_then(|path| mounts::holding(mounts, path));
        Self {
            found,
            fault,
            file_system: mount.map(|mount| mount.kind.clone()),
            source: mount.map(|mount| mount.source.clone()),
            free: real.as_deref().and_then(mounts::room).map(|room| room.free),
            path: path.to_string_lossy().into_owned(),
        }
    }
}

fn look(path: &Path) -> std::io::Result<FileReport> {
    let meta = fs::metadata(path)?;
    let is_file = meta.is_file();
    let beginning = match is_file {
        true => {
            let mut bytes = Vec::new();
            File::open(path)?.take(BEGINNING).read_to_end(&mut bytes)?;
            Some(format!("{:032x}", XxHash3_128::oneshot(&bytes)))
        }
        false => None,
    };
    if meta.is_dir() {
        fs::read_dir(path)?;
    }
    let kind = match (is_file, meta.is_dir()) {
        (true, _) => "file",
        (_, true) => "folder",
        _ => "other",
    };
    Ok(FileReport {
        kind: kind.to_owned(),
        bytes: is_file.then_some(meta.len()),
        modified: modified(&meta),
        beginning,
    })
}

fn modified(meta: &Metadata) -> Option<u64> {
    meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos().try_into().ok()
}
