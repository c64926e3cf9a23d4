//! How jobs end before they are done: by a signal, by the time limit, by scancel, by the death of a rank. Always
//! within seconds, and with honest output.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::dsl::{BINARY, Dir, mpirun, parpy};
use crate::lab::*;

/// Values for the jobs of these tests: a hundred rounds, and some that do not fill one.
const VALUES: usize = 2007;

/// How long a job may take to end: a rank whose peers are gone waits for ten seconds, and SLURM has its own affairs to
/// settle. The cluster kills only what is still there much later (`KillWait`).
const SECONDS: Duration = Duration::from_secs(40);

/// A job that has worked on some rounds and waits for more, and what it waits at.
struct Held<'a> {
    job: Job<'a>,
    dir: &'a Dir,
    // Held open for as long as the job shall wait.
    _feed: Feed,
}

impl<'a> Held<'a> {
    fn new(cluster: &'a Cluster, dir: &'a Dir, options: &str, launcher: &str) -> Self {
        parpy("map -p serial -o")
            .arg(dir.path("serial.txt"))
            .args("--from -")
            .stdin(numbers())
            .done()
            .succeeds();
        let first = Self::start(cluster, dir, options, launcher);
        first.or_else(|| Self::start(cluster, dir, options, launcher)).expect("one that does not crash")
    }

    /// `None` when it [has crashed at its start](crashed_at_start) and may be tried again.
    fn start(cluster: &'a Cluster, dir: &'a Dir, options: &str, launcher: &str) -> Option<Self> {
        let batch = cluster.batch(dir, "parpy.sbatch", &format!("-N 2 -n 2 {options}")).launch(launcher);
        let mut feed = Feed::new(dir, "feed");
        feed.write(numbers());
        let job = batch.args("-v map --schedule static,10 -o out.txt --from").arg(&feed.path).submit();
        let held = Self { job, dir, _feed: feed };
        let is_full = || held.partial().len() >= held.all_rounds();
        held.job.wait_until("result of the rounds that are full", |log| is_full() || crashed_at_start(log));
        if is_full() {
            return Some(held);
        }
        assert!(may_be_retried(&held.job.id), "{}", held.job.log());
        None
    }

    /// How long the results of the rounds are that the values fill.
    fn all_rounds(&self) -> usize {
        let serial = self.dir.read("serial.txt");
        let ends = serial.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        ends.map(|(i, _)| i + 1).nth(VALUES / 20 * 20 - 1).unwrap()
    }

    /// What is written already, or has been kept; nothing before the file is there.
    fn partial(&self) -> Vec<u8> {
        let names = self.dir.names();
        let name = names.iter().find(|name| name.starts_with("out.txt.") && name.ends_with(".partial"));
        name.and_then(|name| std::fs::read(self.dir.path(name)).ok()).unwrap_or_default()
    }

    /// Waits for the end, which is to come within seconds of the signal that has just been sent, and sees that
    /// the output is honest: nothing has the name of the whole, and what there is is its beginning.
    #[track_caller]
    fn ends(&self) -> Done {
        let done = self.job.done_within(SECONDS);
        let (partial, serial) = (self.partial(), self.dir.read("serial.txt"));
        assert!(partial.len() >= self.all_rounds() && serial.starts_with(&partial), "{}", done.log);
        assert!(!self.dir.path("out.txt").exists(), "{}", done.log);
        done
    }

    /// As [`Held::ends`], and parpy has ended it of itself, for one of these signals.
    #[track_caller]
    fn stops(&self, signals: &[(&str, i32)]) -> Done {
        let done = self.ends();
        let code = |(_, number): &&(&str, i32)| done.code == 128 + number;
        let Some((name, _)) = signals.iter().find(code) else {
            panic!("{} is for none of {signals:?}\n{}", done.code, done.log)
        };
        assert!(self.dir.path("out.txt.partial").exists(), "{:?}\n{}", self.dir.names(), done.log);
        let stopped = format!("parpy: stopped by {name}");
        assert_eq!(done.log.matches(&stopped).count(), 1, "not one '{stopped}' in\n{}", done.log);
        done.says(&["what was done before", "out.txt.partial"])
    }
}

fn numbers() -> String {
    (0..VALUES).map(|i| format!("{i}\n")).collect()
}

const USR1: (&str, i32) = ("SIGUSR1", 10);
const TERM: (&str, i32) = ("SIGTERM", 15);

#[test]
fn a_signal_to_the_batch_script() {
    let Some(cluster) = cluster() else { return };
    for launcher in launchers() {
        for name in ["USR1", "TERM"] {
            let dir = Dir::new();
            let held = Held::new(&cluster, &dir, "", launcher);
            held.job.cancel(&["--batch", "--signal", name]);
            held.stops(&[USR1]).says(&[&format!("SIG{name}: stopping the ranks")]);
        }
    }
}

/// A parpy that has a signal sent to the script that asks for its version.
#[test]
fn a_signal_before_there_are_ranks() {
    let Some(cluster) = cluster() else { return };
    for (script, name) in [("parpy", "USR1"), ("parpy", "TERM"), ("hybrid", "USR1"), ("scaling", "USR1")] {
        let dir = Dir::new();
        let parpy = signalling(&dir, "--version", name);
        let batch = cluster.batch(&dir, &format!("{script}.sbatch"), "-N 2 --cpus-per-task=1");
        let done = batch.var("PARPY", parpy).args("map --range 0..10").done().ends_with(138);
        let done = done.says(&[&format!("SIG{name}: stopping the ranks"), "stopped before there were ranks"]);
        // Nothing has been begun.
        assert_eq!(dir.names(), ["a-parpy".to_owned(), format!("{script}-{}.log", done.id)], "{}", done.log);
    }
}

/// A parpy that sends this signal to the batch script when its first word is `word`.
pub fn signalling(dir: &Dir, word: &str, signal: &str) -> PathBuf {
    let lines = format!(
        "#!/bin/sh\n[ \"$1\" != {word} ] || kill -{signal} \"$SLURM_TASK_PID\"\nexec '{BINARY}' \"$@\"\n"
    );
    let path = dir.write("a-parpy", lines);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// SLURM sends SIGTERM to everything of the job: to the ranks, which the batch script sends SIGUSR1, too, and to
/// mpirun's daemons, whose business it is how they end then.
#[track_caller]
fn all_is_terminated(held: &Held, launcher: &str, state: &str) {
    let done = if launcher == srun() { held.stops(&[USR1, TERM]) } else { held.ends() };
    assert_eq!(done.state, state, "{}", done.log);
}

#[test]
fn scancel() {
    let Some(cluster) = cluster() else { return };
    for launcher in launchers() {
        let dir = Dir::new();
        let held = Held::new(&cluster, &dir, "", launcher);
        held.job.cancel(&[]);
        all_is_terminated(&held, launcher, "CANCELLED");
    }
}

/// As where more urgent work takes its nodes: it ends, and makes its result when it begins again.
#[test]
fn a_requeued_job_begins_anew() {
    let Some(cluster) = cluster() else { return };
    let dir = Dir::new();
    let held = Held::new(&cluster, &dir, "--requeue", mpirun());
    held.job.requeue();
    held.job.wait_until("last words", |log| log.contains("ended with exit code"));
    let kept = held.partial();
    assert!(kept.len() >= held.all_rounds(), "{}", held.job.log());
    // The second shall not wait for more values.
    std::fs::remove_file(dir.path("feed")).unwrap();
    dir.write("feed", numbers());
    held.job.begin_again();
    let done = held.job.done().succeeds();
    assert_eq!(done.log.matches("ended with exit code").count(), 2, "{}", done.log);
    assert!(dir.read("out.txt") == dir.read("serial.txt"), "{}", done.log);
    assert_eq!(held.partial(), kept, "what the first has kept is still there");
}

/// The script asks for a signal that comes a minute before the time limit, or up to half a minute earlier: with a limit
/// of two minutes, when the job has been running for half a minute.
#[test]
fn the_signal_before_the_time_limit() {
    let Some(cluster) = cluster() else { return };
    let dirs = launchers().map(|launcher| (launcher, Dir::new()));
    let held = dirs.each_ref().map(|(launcher, dir)| Held::new(&cluster, dir, "-t 2", launcher));
    for held in held {
        held.job.wait_longer_until("signal", |log| log.contains("SIGUSR1: stopping the ranks"));
        let done = held.stops(&[USR1]);
        assert_eq!(done.state, "FAILED", "{}", done.log);
    }
}

/// And where it has been told not to ask.
#[test]
fn the_time_limit() {
    let Some(cluster) = cluster() else { return };
    let dirs = launchers().map(|launcher| (launcher, Dir::new()));
    // A signal that nobody minds.
    let options = "-t 1 --signal=B:CONT@1";
    let held =
        dirs.each_ref().map(|(launcher, dir)| (*launcher, Held::new(&cluster, dir, options, launcher)));
    for (launcher, held) in held {
        held.job.wait_longer_until("end of its time", |log| log.contains("DUE TO TIME LIMIT"));
        all_is_terminated(&held, launcher, "TIMEOUT");
    }
}

#[test]
fn a_killed_rank_ends_the_job() {
    let Some(cluster) = cluster() else { return };
    for launcher in launchers() {
        let dir = Dir::new();
        let held = Held::new(&cluster, &dir, "", launcher);
        let mut pid = None;
        held.job.wait_until("name of rank 1", |log| {
            let after = log.split_once("rank 1 pid ").and_then(|(_, rest)| rest.split_once(' '));
            pid = after.map(|(pid, _)| pid.to_owned());
            pid.is_some()
        });
        let pid = pid.unwrap();
        assert!(cluster.on("n2").args(["kill", "-9", &pid]).status().unwrap().success());
        let done = held.ends();
        assert!(done.code != 0 && done.state == "FAILED", "{} {}\n{}", done.code, done.state, done.log);
    }
}
