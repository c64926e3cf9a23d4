//! Where a result comes from: which parpy made it, by which job, of which input, on what, and when. In JSON
//! under one key, in HDF5 as attributes of the file.

use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use twox_hash::XxHash3_128;

use crate::cli::PatternName;
use crate::cpus::Cpus;
use crate::error::{Error, Result};
use crate::input;
use crate::interrupt;
use crate::job::Task;
use crate::names;
use crate::part::Portion;
use crate::report::Report;

/// The names under which the job and the program's version are kept.
pub const JOB: &str = "job";
/// See [`JOB`].
pub const VERSION: &str = "parpy_version";

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
    digest: Option<Digest>,
}

impl<'a> Origin<'a> {
    /// Of `task`, which begins now.
    pub fn of(task: &'a Task) -> Self {
        // Processes are forked of this one only where it has no other threads.
        let forks = matches!(task.pattern, PatternName::Process | PatternName::Pool);
        let digest = input::file(task).map(|path| Digest::begin(path, !forks));
        Self { task, began: SystemTime::now(), digest }
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
        match self.task.portion {
            Portion::Whole => {}
            Portion::Part(part) => note("part", json!(part.to_string())),
            Portion::Joined(parts) => note("joined_parts", json!(parts)),
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
        let Some(digest) = &mut self.digest else { return Ok(Provenance(known)) };
        note("input", json!(names::readable(&absolute(&digest.path))));
        if let Ok(meta) = fs::metadata(&digest.path) {
            note("input_bytes", json!(meta.len()));
            if let Ok(modified) = meta.modified() {
                note("input_modified", json!(utc(modified)));
            }
            if meta.is_file() {
                match digest.finish() {
                    Ok(digest) => note("input_xxh3_128", json!(digest)),
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

/// `path` from the root.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Seconds of 400 years: in any 400 years the calendar comes round again, to the day of the week.
const CYCLE: u64 = 146_097 * 24 * 60 * 60;

/// `time` in UTC, as RFC 3339 has it. Years beyond four digits, which a file's time may have, have a sign and six digits
/// or more, as in ECMAScript.
pub fn utc(time: SystemTime) -> String {
    let nanos = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
    let since = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => nanos(after),
        Err(before) => -nanos(before.duration()),
    };
    let millis = since.div_euclid(1_000_000);
    // The same day of the years from 1970 to 2369, which the library can tell.
    let cycle = i128::from(CYCLE) * 1000;
    let (cycles, within) = (millis.div_euclid(cycle), millis.rem_euclid(cycle));
    let within = UNIX_EPOCH + Duration::from_millis(u64::try_from(within).unwrap_or(0));
    let text = humantime::format_rfc3339_millis(within).to_string();
    let (year, rest) = text.split_at(4);
    match year.parse::<i128>().map_or(0, |year| year + 400 * cycles) {
        year @ 0..=9999 => format!("{year:04}{rest}"),
        year => format!("{year:+07}{rest}"),
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
    let (mut state, mut room) = (XxHash3_128::new(), vec![0; PIECE]);
    while !stop.load(Ordering::Relaxed) {
        interrupt::check()?;
        match file.read(&mut room) {
            Ok(0) => {
                let digest = format!("{:032x}", state.finish_128());
                remember(path, &meta, &digest);
                return Ok(digest);
            }
            Ok(count) => state.write(&room[..count]),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_all_years_are_told() {
        let at = |seconds: i64, millis: u64| {
            let far = Duration::from_secs(seconds.unsigned_abs());
            let time = if seconds < 0 { UNIX_EPOCH - far } else { UNIX_EPOCH + far };
            utc(time + Duration::from_millis(millis))
        };
        assert_eq!(at(0, 7), "1970-01-01T00:00:00.007Z");
        assert_eq!(at(-1, 0), "1969-12-31T23:59:59.000Z");
        assert_eq!(at(-1, 999), "1969-12-31T23:59:59.999Z");
        assert_eq!(at(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        // As `date -u -d @N` has them.
        assert_eq!(at(-62_167_219_200, 0), "0000-01-01T00:00:00.000Z");
        assert_eq!(at(-62_167_219_201, 0), "-000001-12-31T23:59:59.000Z");
        assert_eq!(at(253_402_300_799, 0), "9999-12-31T23:59:59.000Z");
        assert_eq!(at(253_402_300_800, 0), "+010000-01-01T00:00:00.000Z");
        assert_eq!(at(1_000_000_000_000, 0), "+033658-09-27T01:46:40.000Z");
        assert_eq!(utc(UNIX_EPOCH - Duration::from_nanos(1)), "1969-12-31T23:59:59.999Z");
        for far in [i64::MIN, i64::MAX] {
            assert!(at(far, 0).starts_with(if far < 0 { '-' } else { '+' }));
        }
    }
}
