//! Where a result comes from: which parpy made it, by which job, of which input, on what, and when. In JSON
//! under one key, in HDF5 as attributes of the file.

use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use twox_hash::XxHash3_128;

use crate::base::error::{Error, Result};
use crate::base::names::{self, absolute};
use crate::base::signals;
use crate::base::time::utc;
use crate::input;
use crate::job::Task;
use crate::job::pattern::PatternName;
use crate::job::shard::ShardMode;
use crate::node::cpus::Cpus;
use crate::observe::VERSION;
use crate::observe::report::Report;

/// The names under which the job and the program's version are kept.
pub const JOB: &str = "job";

/// Bytes of the longest account of where results come from that is read: the longest job file makes none longer.
pub const LONGEST: u64 = 64 << 20;

/// Of larger input files no digest is taken: reading them again would take longer than many a job.
const LARGEST_DIGESTED: u64 = 16 << 30;

/// Of more hosts only the first are named: an attribute of an HDF5 file holds no more than 64 KiB.
const MOST_HOSTS: usize = 1000;

/// Bytes read at once.
const PIECE: usize = 256 * 1024;

/// Names and values, in the order in which people want to read them: texts, whole numbers, and one list of
/// texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance(pub Map<String, Value>);

/// Where the result of a task that has just begun will come from.
pub struct Origin<'a> {
    task: &'a Task,
    began: SystemTime,
    /// Of each file that the input is.
    digests: Vec<Digest>,
}

impl<'a> Origin<'a> {
    /// Of `task`, which begins now.
    pub fn of(task: &'a Task) -> Self {
        // Processes are forked of this one only where it has no other threads.
        let forks = matches!(task.pattern, PatternName::Process | PatternName::Pool);
        let digests = input::files(task).into_iter().map(|path| Digest::begin(path, !forks)).collect();
        Self { task, began: SystemTime::now(), digests }
    }

    /// The task has been completed, as `report` says.
    ///
    /// # Errors
    /// A signal asks for the end while the input's digest is being taken.
    pub fn complete(&mut self, report: &Report) -> Result<Provenance> {
        let mut hosts: Vec<&str> = report.worker.iter().map(|worker| &*worker.host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts.truncate(MOST_HOSTS);
        let mut known = Map::new();
        let mut note = |name: &str, value: Value| _ = known.insert(name.to_owned(), value);
        note(VERSION, json!(env!("CARGO_PKG_VERSION")));
        note("parpy_commit", json!(env!("PARPY_COMMIT")));
        note(JOB, json!(self.task.to_toml()));
        if let Some(seed) = self.task.seed {
            note("seed", json!(seed.to_string()));
        }
        match self.task.portion {
            ShardMode::Whole => {}
            ShardMode::Shard(part) => note("part", json!(part.to_string())),
            ShardMode::Merged(parts) => note("joined_parts", json!(parts)),
        }
        note("pattern", json!(report.pattern));
        note("workers", json!(report.workers));
        if let Some(over) = &report.mpi {
            note("mpi", json!(over.library));
            note("ranks", json!(over.ranks));
            note("threads_per_rank", json!(over.threads));
        }
        note("hosts", json!(hosts));
        let cpus = Cpus::detect();
        note("cpus", json!(cpus.logical_cpus));
        note("cpus_usable", json!(cpus.usable));
        note("began", json!(utc(self.began)));
        note("ended", json!(utc(SystemTime::now())));
        note("items", json!(report.items));
        note("failed", json!(report.failed));
        for (number, digest) in self.digests.iter_mut().enumerate() {
            // Of several files, as the lists of a sweep are, the names of the second begin with `input_2`.
            let input = if number == 0 { "input".to_owned() } else { format!("input_{}", number + 1) };
            note(&input, json!(names::readable(&absolute(&digest.path))));
            let Ok(meta) = fs::metadata(&digest.path) else { continue };
            note(&format!("{input}_bytes"), json!(meta.len()));
            if let Ok(modified) = meta.modified() {
                note(&format!("{input}_modified"), json!(utc(modified)));
            }
            if meta.is_file() {
                match digest.finish() {
                    Ok(digest) => note(&format!("{input}_xxh3_128"), json!(digest)),
                    Err(stop @ Error::Interrupted(_)) => return Err(stop),
                    Err(why) => tracing::warn!("no digest of the input: {why}"),
                }
            }
        }
        Ok(Provenance(known))
    }
}

/// XXH3 of a file, 128 bits in hexadecimal digits, as `xxhsum -H128` prints it.
struct Digest {
    path: PathBuf,
    /// Takes it while the file is worked on, so that it costs little time.
    thread: Option<JoinHandle<Result<String>>>,
    /// Nobody wants it any more.
    stop: Arc<AtomicBool>,
}

impl Digest {
    /// Of the file at `path`, by a thread of its own where there `may` be one.
    fn begin(path: &Path, may: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (file, stopped) = (path.to_owned(), Arc::clone(&stop));
        let is_new =
            fs::metadata(path).is_ok_and(|meta| meta.is_file() && known_digest(path, &meta).is_none());
        let thread = (may && is_new)
            .then(|| thread::Builder::new().name("digest".into()).spawn(move || take_digest(&file, &stopped)))
            .and_then(std::io::Result::ok);
        Self { path: path.to_owned(), thread, stop }
    }

    /// The digest.
    ///
    /// # Errors
    /// It could not be taken.
    fn finish(&mut self) -> Result<String> {
        match self.thread.take() {
            Some(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            None => take_digest(&self.path, &self.stop),
        }
    }
}

impl Drop for Digest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn take_digest(path: &Path, stop: &AtomicBool) -> Result<String> {
    let cannot = |e| Error::io("read", path, &e);
    let mut file = File::open(path).map_err(cannot)?;
    let meta = file.metadata().map_err(cannot)?;
    if let Some(known) = known_digest(path, &meta) {
        return Ok(known);
    }
    if meta.len() > LARGEST_DIGESTED {
        let limit = LARGEST_DIGESTED >> 30;
        return Err(Error::Failed(format!("{} is larger than {limit} GiB", path.display())));
    }
    let (mut state, mut buf) = (XxHash3_128::new(), vec![0; PIECE]);
    while !stop.load(Ordering::Relaxed) {
        signals::check()?;
        match file.read(&mut buf) {
            Ok(0) => {
                let digest = format!("{:032x}", state.finish_128());
                remember(path, &meta, &digest);
                return Ok(digest);
            }
            Ok(count) => state.write(&buf[..count]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(cannot(e)),
        }
    }
    Err(Error::Failed("the run has ended before".into()))
}

/// The digest that was taken last, and of what: repetitions of a task have the same input.
static LAST: Mutex<Option<(Version, String)>> = Mutex::new(None);

/// A file as it was at some time.
type Version = (PathBuf, u64, Option<SystemTime>);

fn version(path: &Path, meta: &Metadata) -> Version {
    (path.to_owned(), meta.len(), meta.modified().ok())
}

fn known_digest(path: &Path, meta: &Metadata) -> Option<String> {
    let last = LAST.lock().ok()?;
    last.as_ref().filter(|(of, _)| *of == version(path, meta)).map(|(_, digest)| digest.clone())
}

fn remember(path: &Path, meta: &Metadata, digest: &str) {
    if let Ok(mut last) = LAST.lock() {
        *last = Some((version(path, meta), digest.to_owned()));
    }
}
