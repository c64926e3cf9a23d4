//! The host of a node: a process of Python that has imported a module, and forks a process for each worker that connects to
//! it. One process of a node starts it ([`begin`]), the others find it by its name ([`connect`]).

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::faults;
use super::super::tries::{Place, keep_last, pass_on, unwanted};
use super::BoundPython;
use super::window::{HEAD, Layout};
use crate::base::error::{Error, Result, plain};
use crate::data::schema::ColumnType;
use crate::exec::{Ended, Ending, Heard, Input, Outcome, Peer, Request, Resident};
use crate::job::answers::AnswersSpec;
use crate::job::python::Module;
use crate::node::cpus;
use crate::op::Worker;

/// What Python runs.
const PROGRAM: &str = include_str!("host.py");

/// How long to look for a host that another process of the node has started.
const FOR_HOST: Duration = Duration::from_secs(5);

/// How long a host may take to end by itself.
const TO_END: Duration = Duration::from_secs(2);

/// How long to wait until it is known how a host of one's own has ended.
const FOR_ENDING: Duration = Duration::from_secs(5);

/// A host that this process has started. When it is dropped, the host is ended.
pub struct Host {
    name: Vec<u8>,
    resident: Resident,
}

/// The host of all workers of this process, and of those that are forked from it.
static HOST: Mutex<Option<Host>> = Mutex::new(None);

fn host() -> MutexGuard<'static, Option<Host>> {
    HOST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the host for `python`, where this process is to do so for the workers of the node, of which `worker` is one.
///
/// # Errors
/// The interpreter cannot be started, or the function not be used; a signal has come.
pub fn begin(python: &BoundPython, worker: &Worker) -> Result<()> {
    let is_first = local_rank(python).is_none_or(|rank| rank == 0);
    if python.python.imports_anew || !is_first {
        return Ok(());
    }
    let name = name_of(python);
    let mut host = host();
    if host.as_ref().is_none_or(|host| host.name != name) {
        // That of another task.
        *host = None;
        *host = Host::start(python, name, &Place::of(worker), &|| true)?;
    }
    Ok(())
}

/// Ends the host that this process has started, and what it has forked, which may have files to write still.
pub fn end() {
    if let Some(host) = host().take() {
        host.end();
    }
}

/// What the host of a run is called on a node: all ranks of the node know it, or if it is not known who they are, none but
/// this process.
fn name_of(python: &BoundPython) -> Vec<u8> {
    let key = python.key;
    match local_rank(python) {
        Some(_) => format!("parpy-{key:x}").into_bytes(),
        None => format!("parpy-{key:x}-{}", own()).into_bytes(),
    }
}

/// Which of the ranks of the node this is, where the work is that of ranks.
fn local_rank(python: &BoundPython) -> Option<usize> {
    if python.over_ranks { cpus::local_rank() } else { None }
}

/// A number that no other process has: that of the process that has asked first, which its workers inherit.
fn own() -> u64 {
    static OWN: AtomicU64 = AtomicU64::new(0);
    let id = u64::from(std::process::id());
    OWN.compare_exchange(0, id, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|own| own, |_| id)
}

/// A process that answers a worker, and its host, where it has that for itself.
pub struct Connection {
    pub peer: Peer,
    host: Option<Host>,
    /// Nothing is asked that has not been answered.
    pub is_idle: bool,
}

/// Has a process forked that answers the worker at `place`; or starts one, where each imports the module itself.
///
/// # Errors
/// Nobody wants it any more, a signal has come, or there is no such process.
pub fn connect(python: &BoundPython, place: &Place, is_wanted: &dyn Fn() -> bool) -> Result<Connection> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut own = None;
    let (name, time) = if python.python.imports_anew {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("parpy-{:x}-{}-{count}", python.key, std::process::id()).into_bytes();
        own = Host::start(python, name.clone(), place, is_wanted)?;
        (name, Duration::ZERO)
    } else {
        let name = name_of(python);
        let is_there = host().as_ref().is_some_and(|host| host.name == name);
        (name, if is_there { Duration::ZERO } else { FOR_HOST })
    };
    let hello = object(place.of_all().iter().filter_map(|pair| {
        let at = memchr::memchr(b'=', pair)?;
        Some((&pair[..at], text(&pair[at + 1..])))
    }));
    let bytes = HEAD.max(Layout::new(1, python.columns.len(), python.answers.len()).bytes());
    let until = Instant::now() + time;
    match Peer::connect(&name, &hello, bytes, until, is_wanted) {
        Ok(peer) => Ok(Connection { peer, host: own, is_idle: true }),
        Err(ended) => Err(python.without(ended)),
    }
}

impl Connection {
    /// How the process has ended that is gone, where it is the host itself; else that would have told.
    pub fn ending(mut self) -> Option<Ending> {
        let host = self.host.as_mut()?;
        host.resident.end_input();
        let until = Some(Instant::now() + FOR_ENDING);
        let over = loop {
            match host.resident.exchange(&[], &mut Vec::new(), &mut |_| {}, until, &|| true) {
                Ok(Heard::Some(_)) => {}
                Ok(Heard::Over(outcome)) => break Some(outcome),
                Ok(Heard::Nothing) | Err(_) => break None,
            }
        };
        Some(over.map_or(Ending::Abandoned, |outcome| outcome.ending))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Where each imports the module itself, its process may have files to write still.
        if let (true, Some(host)) = (self.is_idle, self.host.take()) {
            self.peer.close();
            host.end();
        }
    }
}

impl Host {
    /// Has it end by itself, and waits for that, but not for ever.
    fn end(mut self) {
        self.resident.end_input();
        let until = Some(Instant::now() + TO_END);
        while let Ok(Heard::Some(_)) =
            self.resident.exchange(&[], &mut Vec::new(), &mut |lines| pass_on(b"", lines), until, &|| true)
        {
        }
    }

    /// Starts one that is called `name`. `None` where there is one of this name: ranks that think that each is alone on its
    /// node may be on one.
    fn start(
        python: &BoundPython,
        name: Vec<u8>,
        place: &Place,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Option<Self>> {
        let interpreter = python.python.interpreter();
        let cannot =
            |why: &str| Error::CannotOpen(format!("cannot use --python {}: {why}", python.python.text()));
        let shown = interpreter.display();
        // The program comes on standard input, so that lists of processes stay readable.
        let reads = format!(
            "import sys; sys.version_info >= (3, 8) or sys.exit('parpy wants Python 3.8 or newer, and this is ' + \
             sys.version.split()[0]); sys.path[:1] == [''] and sys.path.pop(0); exec(compile(sys.stdin.buffer.read({}), '<parpy>', 'exec'))",
            PROGRAM.len()
        );
        let argv = [interpreter.as_os_str().as_encoded_bytes(), b"-c", reads.as_bytes()];
        let request = Request {
            argv: argv.map(<[u8]>::to_vec).into(),
            env: place.of_all(),
            memory: python.limits.memory,
            most_output: u64::MAX,
            input: Input::Nothing,
            timeout: None,
        };
        let mut resident = Resident::start(&request).map_err(|e| cannot(&plain(&e)))?;
        let bytes = [PROGRAM.as_bytes(), &config(python, &name)].concat();
        let (mut sent, mut reply, mut said) = (0, Vec::new(), Vec::new());
        let before = [python.python.text().as_bytes(), b": "].concat();
        while !reply.contains(&b'\n') {
            let mut say = |lines: &[u8]| {
                pass_on(&before, lines);
                keep_last(&mut said, lines);
            };
            match resident.exchange(&bytes[sent..], &mut reply, &mut say, None, is_wanted) {
                Ok(Heard::Some(count)) => sent += count,
                Ok(Heard::Nothing) => {}
                Ok(Heard::Over(Outcome { ending: ending @ Ending::NotStarted(_), .. })) => {
                    return Err(cannot(&format!(
                        "{}; say which interpreter with --interpreter",
                        faults::of(ending, None, 0).replacen("it", &shown.to_string(), 1)
                    )));
                }
                Ok(Heard::Over(Outcome { ending, .. })) => {
                    if reply.contains(&b'\n') {
                        break;
                    }
                    let fault = faults::with_said(faults::of(ending, None, 0), &said);
                    return Err(cannot(&format!("{shown} has ended while it began: {fault}")));
                }
                Err(Ended::Signal(error)) => return Err(error),
                Err(Ended::Unwanted) => return Err(unwanted()),
                Err(Ended::Gone) => return Err(cannot("what has started it was killed")),
                Err(Ended::Unkept(error)) => return Err(cannot(&plain(&error))),
            }
        }
        let Ok(serde_json::Value::Object(reply)) = serde_json::from_slice(reply.trim_ascii()) else {
            return Err(cannot(&format!("{shown} has answered what makes no sense: is it Python?")));
        };
        let word = |name: &str| reply.get(name).and_then(serde_json::Value::as_str);
        word("trace").inspect(|trace| pass_on(&before, trace.as_bytes()));
        match word("error") {
            Some(error) => Err(cannot(error)),
            None if reply.contains_key("taken") => Ok(None),
            None => Ok(Some(Self { name, resident })),
        }
    }
}

/// The line that tells a host what to do, with its end.
fn config(python: &BoundPython, name: &[u8]) -> Vec<u8> {
    let BoundPython { python: Function { module, function, vectorized, imports_anew, .. }, .. } = python;
    let (file, title) = match module {
        Module::File(path) => (text(bytes_of(path)), NOTHING.to_vec()),
        Module::Name(name) => (NOTHING.to_vec(), text(name.as_bytes())),
    };
    let names = python.columns.iter().map(|(name, _)| text(name.as_bytes()));
    let types = python.columns.iter().map(|(_, dtype)| {
        text(match dtype {
            ColumnType::I64 => b"i64",
            ColumnType::F64 => b"f64",
            ColumnType::Bytes => b"text",
        })
    });
    // Of one value each there are no names.
    let answers = match &python.python.answers {
        Some(AnswersSpec::Several(_)) => list(python.answers.iter().map(|field| text(field.name.as_bytes()))),
        Some(AnswersSpec::One(_)) | None => NOTHING.to_vec(),
    };
    let seed = python.seed.map_or(NOTHING.to_vec(), |seed| seed.to_string().into_bytes());
    let mut line = object([
        (&b"file"[..], file),
        (b"module", title),
        (b"function", text(function.as_bytes())),
        (b"columns", list(names)),
        (b"types", list(types)),
        (b"vectorized", truth(*vectorized)),
        (b"fork", truth(!imports_anew)),
        (b"answers", answers),
        (b"seed", seed),
        (b"socket", text(name)),
    ]);
    line.push(b'\n');
    line
}

type Function = crate::job::python::Python;

fn bytes_of(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

// JSON of bytes that need not be UTF-8, which Python takes as they are.

const NOTHING: &[u8] = b"null";

fn truth(is_true: bool) -> Vec<u8> {
    if is_true { b"true".to_vec() } else { b"false".to_vec() }
}

fn text(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            0..0x20 => out.extend(format!("\\u{byte:04x}").bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
    out
}

fn list(of: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    [b"[", &of.collect::<Vec<_>>().join(&b',')[..], b"]"].concat()
}

fn object<'a>(of: impl IntoIterator<Item = (&'a [u8], Vec<u8>)>) -> Vec<u8> {
    let pairs = of.into_iter().map(|(name, value)| [&text(name)[..], b":", &value].concat());
    [b"{", &pairs.collect::<Vec<_>>().join(&b',')[..], b"}"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_of_bytes() {
        let names = [&b"a"[..], b"\"\\\n", b"\xff"].map(text);
        let made =
            object([(&b"x"[..], list(names.into_iter())), (b"y", truth(true)), (b"z", NOTHING.to_vec())]);
        assert_eq!(made, b"{\"x\":[\"a\",\"\\\"\\\\\\u000a\",\"\xff\"],\"y\":true,\"z\":null}");
    }
}
