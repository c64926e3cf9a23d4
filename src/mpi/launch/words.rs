//! Whether the processes that a launcher has started were all given the same words: it may have started a script
//! that gives each words of its own (`mpirun -n 2 bash -c 'parpy map $RANK'`), which is a task farm and no run
//! over ranks.
//!
//! Ranks that join compare what they were given over MPI ([`Given`]). Those that need no MPI must not initialise
//! it, because an MPI program that follows them in the same script could then not do so any more: they look at
//! what the launcher itself was given ([`may_differ`]).

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use twox_hash::XxHash3_128;

use crate::data::format::Format;
use crate::mpi::launch::{Launch, SRUN};

/// As good as [`FLAG`], for scripts.
pub const VARIABLE: &str = "PARPY_ALONE";

/// Asks for a process that is a run of its own, whoever has started it together with others.
pub const FLAG: &str = "--alone";

/// Is this process to be a run of its own? Asked of the words before they are understood, because it decides which
/// program they are for.
pub fn is_alone(words: &[OsString]) -> bool {
    let flags = words.iter().take_while(|word| *word != "--");
    flags.into_iter().any(|word| word == FLAG) || variable_says_so()
}

/// Does the environment ask for it?
pub fn variable_says_so() -> bool {
    env::var_os(VARIABLE).is_some_and(|value| !value.is_empty() && value != "0")
}

/// How to do it, for messages.
pub fn how_alone() -> String {
    format!("for each process to do a job of its own: {FLAG}, or {VARIABLE}=1 in the environment")
}

/// Digests of what a rank was given: its words, its current folder, and its job file where it has one that it
/// can read.
pub type Given = [Option<u64>; 3];

/// What they are called.
const NAMES: [&str; 3] = ["command lines", "current folders", "job files"];

/// So much of a job file is compared.
const BEGINNING: u64 = 1024 * 1024;

/// What this rank was given.
pub fn given(job_file: Option<&Path>) -> Given {
    let words: Vec<u8> = env::args_os().skip(1).flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
    let folder = env::current_dir().unwrap_or_default();
    let digest = |bytes: &[u8]| Some(XxHash3_128::oneshot(bytes) as u64);
    // Rank 0 reads it for all: not every node need have it. A pipe can be read only once, and results that hold a
    // job are large.
    let is_plain = |path: &&Path| matches!(Format::of_name(path), Some(Format::Text) | None);
    let is_file = |path: &&Path| fs::metadata(path).is_ok_and(|meta| meta.is_file());
    let job = job_file.filter(is_plain).filter(is_file).and_then(|path| {
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(BEGINNING).read_to_end(&mut bytes).ok()?;
        digest(&bytes)
    });
    [digest(&words), digest(folder.as_os_str().as_bytes()), job]
}

/// What is to be said where not all of that is the same on all of so many ranks.
pub fn complaint(ranks: usize, is_same: [bool; 3]) -> Option<String> {
    let different: Vec<&str> =
        NAMES.into_iter().zip(is_same).filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect();
    (!different.is_empty()).then(|| {
        format!(
            "the {ranks} ranks were given different {}, and cannot work on one job together; {}",
            different.join(" and "),
            how_alone()
        )
    })
}

/// May other processes that the launcher has started together with this one have been given other words?
pub fn may_differ(launch: &Launch) -> bool {
    let words: Vec<String> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words = words.join(" ");
    let variable = |name: &str| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    // Open MPI tells every rank what it was told to start.
    if let (Some(command), Some(rest)) = (variable("OMPI_COMMAND"), variable("OMPI_ARGV")) {
        let is_one = variable("OMPI_NUM_APP_CTX").is_none_or(|count| count == "1");
        return !(is_one && format!("{command} {rest}").ends_with(&words));
    }
    let ancestors = ancestors();
    match ancestors.iter().find(|ancestor| ancestor.is_launcher()) {
        Some(launcher) => launcher.line.contains(" : ") || !launcher.line.ends_with(&words),
        // On another node than the launcher's; srun is always on another side. All ranks must find the same.
        None => {
            launch.by == SRUN && (ancestors.first().is_some_and(Ancestor::is_shell) || is_last_of_shell())
        }
    }
}

/// Has a shell become this process, as it does with the last command of a script?
fn is_last_of_shell() -> bool {
    let own = env::args_os().next().unwrap_or_default();
    // Bash and others name there what they start.
    let started = env::var_os("_").unwrap_or_default();
    Path::new(&started).file_name().is_some_and(|name| Path::new(&own).file_name() == Some(name))
}

/// A process that this one comes from.
struct Ancestor {
    name: String,
    /// Its words, with blanks between.
    line: String,
}

impl Ancestor {
    fn is_launcher(&self) -> bool {
        ["mpirun", "mpiexec", "srun", "orterun", "prterun", "prun", "flux"]
            .iter()
            .any(|name| self.name.starts_with(name))
    }

    fn is_shell(&self) -> bool {
        ["sh", "bash", "dash", "ksh", "zsh", "csh", "tcsh", "fish", "busybox"].contains(&&*self.name)
    }
}

/// The processes that this one comes from, its parent first.
fn ancestors() -> Vec<Ancestor> {
    let mut found = Vec::new();
    let mut next = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    while let Some(pid) = next.filter(|pid| *pid > 1) {
        let of = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        // `4711 (a name) S 4710 …` (proc(5)); a name may have brackets.
        let stat = String::from_utf8_lossy(&of("stat")).into_owned();
        let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else {
            break;
        };
        let line =
            of("cmdline").split(|byte| *byte == 0).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
        found.push(Ancestor { name: name.to_owned(), line: line.trim_end().to_owned() });
        next = rest.split_whitespace().nth(1).and_then(|parent| parent.parse().ok());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        assert_eq!(complaint(2, [true; 3]), None);
        let said = complaint(2, [false, true, false]).unwrap();
        assert!(
            said.starts_with("the 2 ranks were given different command lines and job files, and"),
            "{said}"
        );
        assert!(said.contains("--alone, or PARPY_ALONE=1"), "{said}");
    }

    #[test]
    fn the_flag_stands_before_what_is_no_flag() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert!(is_alone(&words("parpy map --alone 3")));
        assert!(!is_alone(&words("parpy map 3")) && !is_alone(&words("parpy map -- --alone")));
    }

    #[test]
    fn this_process_has_ancestors() {
        let found = ancestors();
        assert!(!found.is_empty() && found.iter().all(|ancestor| !ancestor.name.is_empty()));
    }

    #[test]
    fn a_job_file_that_is_not_here_is_not_compared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.toml");
        assert_eq!(given(Some(&path))[2], None);
        fs::write(&path, "[[task]]").unwrap();
        let first = given(Some(&path));
        assert!(first[2].is_some() && first == given(Some(&path)));
        fs::write(&path, "[[task]]\n").unwrap();
        assert_ne!(given(Some(&path))[2], first[2]);
        assert_eq!(given(None)[..2], first[..2]);
    }
}
