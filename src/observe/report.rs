//! Who did what and how long it took.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::base::atomic_file;
use crate::base::error::{Error, Result};
use crate::base::fmt::{counted, median};
use crate::node::host::host;
use crate::observe::trace::Timeline;

/// One run of a task, or the medians of several.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Who ran the blocks.
    pub pattern: &'static str,
    /// How many workers took part.
    pub workers: usize,
    /// Values, lines, or sections that commands have read.
    pub items: u64,
    /// Bytes of input.
    pub bytes: u64,
    /// Items without an answer that were passed over.
    pub failed: u64,
    /// Why the first of them has none.
    #[serde(skip)]
    pub first_failed: Option<String>,
    /// The names and values of the row that all rows have been reduced to, where there is one.
    #[serde(skip)]
    pub reduced: Vec<(String, f64)>,
    /// The MPI run that this was, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mpi: Option<OverMpi>,
    /// Of how many runs these are the medians.
    pub runs: u64,
    /// Where the time went, on rank 0.
    pub seconds: Seconds,
    /// Busy seconds of the busiest worker over the mean of all: 1 where all did the same. `None` where nobody
    /// was busy. This and what follows is of the numbers given here: with medians, of the medians.
    pub imbalance: Option<f64>,
    /// The worker that was busy longest; where there are several, and one was busy.
    pub straggler: Option<usize>,
    /// Each host's share, in the order of workers.
    pub host: Vec<HostReport>,
    /// Each worker's share.
    pub worker: Vec<WorkerReport>,
    /// Who did what when, where a trace is wanted; of a single run.
    #[serde(skip)]
    pub timeline: Option<Timeline>,
}

/// An MPI run.
#[derive(Debug, Clone, Serialize)]
pub struct OverMpi {
    /// The MPI library and its version, as it gives them itself.
    pub library: String,
    /// Ranks that take part.
    pub ranks: usize,
    /// Threads of each.
    pub threads: usize,
    /// How blocks got to them: in `rounds` of all ranks, or as `tasks` to whoever was free.
    pub transport: &'static str,
}

/// Seconds on rank 0. The start-up of MPI is in none of them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Seconds {
    /// Values read or made, into rank 0's memory.
    pub load: f64,
    /// From the values being in rank 0's memory, or the offsets known, to the answers being in rank 0's
    /// memory: as text where the output is text.
    pub map: f64,
    /// Answers written.
    pub write: f64,
    /// All of it, with opening and closing of files.
    pub total: f64,
}

/// One worker's share.
#[derive(Debug, Clone, Serialize)]
pub struct WorkerReport {
    /// Its number: the rank, under mpi.
    pub worker: usize,
    /// Its process; where each block has one of its own, the last.
    pub pid: u32,
    /// Its host.
    pub host: String,
    /// Blocks it worked on.
    pub blocks: u64,
    /// Values, or lines.
    pub items: u64,
    /// Bytes of input.
    pub bytes: u64,
    /// Seconds it worked.
    pub busy_seconds: f64,
    /// The rest of `seconds.map`: waiting for others, and for messages.
    pub wait_seconds: f64,
    /// What part of both was waiting: 0 to 1.
    pub wait_share: f64,
}

/// What the workers of one host did together.
#[derive(Debug, Clone, Serialize)]
pub struct HostReport {
    /// Its name.
    pub host: String,
    /// How many of the workers were there.
    pub workers: usize,
    /// Seconds that they worked, added up.
    pub busy_seconds: f64,
    /// Seconds that they waited, added up.
    pub wait_seconds: f64,
    /// What part of both was waiting: 0 to 1.
    pub wait_share: f64,
}

impl WorkerReport {
    /// Nothing done yet, by worker number `worker` in this process on this host.
    pub fn here(worker: usize) -> Self {
        Self {
            worker,
            pid: std::process::id(),
            host: host(),
            blocks: 0,
            items: 0,
            bytes: 0,
            busy_seconds: 0.0,
            wait_seconds: 0.0,
            wait_share: 0.0,
        }
    }
}

/// What part of the time was waiting; 0 of none.
fn share(busy: f64, wait: f64) -> f64 {
    if wait > 0.0 { wait / (busy + wait) } else { 0.0 }
}

impl Report {
    /// The shares of all workers; [`Report::add_up`] must follow.
    pub fn new(pattern: &'static str, worker: Vec<WorkerReport>) -> Self {
        Self {
            pattern,
            workers: worker.len(),
            items: 0,
            bytes: 0,
            failed: 0,
            first_failed: None,
            reduced: Vec::new(),
            mpi: None,
            runs: 1,
            seconds: Seconds::default(),
            imbalance: None,
            straggler: None,
            host: Vec::new(),
            worker,
            timeline: None,
        }
    }

    /// Sets `seconds`, and what follows from them and from the workers' shares.
    pub fn add_up(&mut self, seconds: Seconds) {
        self.seconds = seconds;
        self.items = self.worker.iter().map(|w| w.items).sum();
        self.bytes = self.worker.iter().map(|w| w.bytes).sum();
        for worker in &mut self.worker {
            worker.wait_seconds = (seconds.map - worker.busy_seconds).max(0.0);
        }
        self.weigh();
    }

    /// Sets what follows from the workers' seconds: how the work was balanced, and the hosts' shares.
    fn weigh(&mut self) {
        for worker in &mut self.worker {
            worker.wait_share = share(worker.busy_seconds, worker.wait_seconds);
        }
        // Of several that were busy as long, the first.
        let busiest = self.worker.iter().rev().max_by(|a, b| a.busy_seconds.total_cmp(&b.busy_seconds));
        let busiest = busiest.filter(|worker| worker.busy_seconds > 0.0);
        self.imbalance = busiest.map(|worker| worker.busy_seconds / self.mean_busy());
        self.straggler = busiest.filter(|_| self.worker.len() > 1).map(|worker| worker.worker);
        let mut hosts: Vec<HostReport> = Vec::new();
        let mut known = HashMap::new();
        for worker in &self.worker {
            let number = *known.entry(&*worker.host).or_insert(hosts.len());
            if number == hosts.len() {
                let host = worker.host.clone();
                hosts.push(HostReport {
                    host,
                    workers: 0,
                    busy_seconds: 0.0,
                    wait_seconds: 0.0,
                    wait_share: 0.0,
                });
            }
            let host = &mut hosts[number];
            host.workers += 1;
            host.busy_seconds += worker.busy_seconds;
            host.wait_seconds += worker.wait_seconds;
            host.wait_share = share(host.busy_seconds, host.wait_seconds);
        }
        self.host = hosts;
    }

    fn mean_busy(&self) -> f64 {
        self.worker.iter().map(|worker| worker.busy_seconds).sum::<f64>() / self.worker.len() as f64
    }

    /// The medians of several runs of the same task; each number's by itself. `None` for no run.
    pub fn medians(runs: Vec<Self>) -> Option<Self> {
        let mut report = runs.last()?.clone();
        report.runs = runs.len() as u64;
        let of = |number: &dyn Fn(&Self) -> f64| median(runs.iter().map(number).collect());
        report.seconds = Seconds {
            load: of(&|run| run.seconds.load),
            map: of(&|run| run.seconds.map),
            write: of(&|run| run.seconds.write),
            total: of(&|run| run.seconds.total),
        };
        for (i, worker) in report.worker.iter_mut().enumerate() {
            worker.busy_seconds = of(&|run| run.worker.get(i).map_or(0.0, |worker| worker.busy_seconds));
            worker.wait_seconds = of(&|run| run.worker.get(i).map_or(0.0, |worker| worker.wait_seconds));
        }
        report.weigh();
        Some(report)
    }

    /// As a table for people.
    pub fn table(&self) -> String {
        let Seconds { load, map, write, total } = self.seconds;
        let transport = self.mpi.as_ref().map_or(String::new(), |over| format!(" ({})", over.transport));
        let mut text = format!(
            "{}{transport}, {}: {}, {}{}\nseconds: load {load:.6}, map {map:.6}, write {write:.6}, total {total:.6}\n",
            self.pattern,
            counted(self.workers as u64, "worker"),
            counted(self.items, "item"),
            counted(self.bytes, "byte"),
            if self.runs > 1 { format!("; medians of {} runs", self.runs) } else { String::new() },
        );
        let host_width = self.worker.iter().map(|w| w.host.len()).max().unwrap_or(0).max("host".len());
        let _ = writeln!(
            text,
            "{:>6} {:>8} {:host_width$} {:>8} {:>14} {:>16} {:>12} {:>12} {:>7}",
            "worker", "pid", "host", "blocks", "items", "bytes", "busy s", "wait s", "wait %"
        );
        for w in &self.worker {
            let _ = writeln!(
                text,
                "{:>6} {:>8} {:host_width$} {:>8} {:>14} {:>16} {:>12.6} {:>12.6} {:>7.1}",
                w.worker,
                w.pid,
                w.host,
                w.blocks,
                w.items,
                w.bytes,
                w.busy_seconds,
                w.wait_seconds,
                100.0 * w.wait_share
            );
        }
        let straggler = self.straggler.and_then(|number| self.worker.iter().find(|w| w.worker == number));
        if let (Some(w), Some(imbalance)) = (straggler, self.imbalance) {
            let _ = writeln!(
                text,
                "imbalance {imbalance:.2}: worker {} on host {} was busy for {:.6} s, the mean is {:.6} s",
                w.worker,
                w.host,
                w.busy_seconds,
                self.mean_busy()
            );
        }
        for h in self.host.iter().filter(|_| self.host.len() > 1) {
            let _ = writeln!(
                text,
                "host {}: {}, busy {:.6} s, wait {:.6} s ({:.1} %)",
                h.host,
                counted(h.workers as u64, "worker"),
                h.busy_seconds,
                h.wait_seconds,
                100.0 * h.wait_share
            );
        }
        text
    }
}

/// Writes the reports of a job's tasks as JSON: one object with the sums, and where there are several
/// tasks, each task's own under `tasks`.
///
/// # Errors
/// The file cannot be written.
pub fn save(reports: &[Report], path: &Path) -> Result<()> {
    let text = match reports {
        [one] => serde_json::to_string_pretty(one),
        several => serde_json::to_string_pretty(&Several { sum: sum(several), tasks: several }),
    };
    let text = text.map_err(|e| Error::Failed(format!("cannot write {}: {e}", path.display())))?;
    atomic_file::save(path, |file| writeln!(file, "{text}"))
}

/// A job of several tasks.
#[derive(Serialize)]
struct Several<'a> {
    #[serde(flatten)]
    sum: Report,
    tasks: &'a [Report],
}

/// The tasks of a job, one after the other, as if they were one.
fn sum(reports: &[Report]) -> Report {
    let mut sum = Report::new(reports.first().map_or("none", |r| r.pattern), Vec::new());
    for report in reports {
        if report.pattern != sum.pattern {
            sum.pattern = "mixed";
        }
        sum.workers = sum.workers.max(report.workers);
        sum.items += report.items;
        sum.bytes += report.bytes;
        sum.failed += report.failed;
        sum.seconds.load += report.seconds.load;
        sum.seconds.map += report.seconds.map;
        sum.seconds.write += report.seconds.write;
        sum.seconds.total += report.seconds.total;
        for worker in &report.worker {
            match sum.worker.iter_mut().find(|w| w.worker == worker.worker) {
                None => sum.worker.push(worker.clone()),
                Some(known) => {
                    known.blocks += worker.blocks;
                    known.items += worker.items;
                    known.bytes += worker.bytes;
                    known.busy_seconds += worker.busy_seconds;
                    known.wait_seconds += worker.wait_seconds;
                }
            }
        }
    }
    sum.weigh();
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    fn run(map: f64, busy: [f64; 2]) -> Report {
        let workers = busy.iter().enumerate().map(|(i, busy)| WorkerReport {
            items: 5,
            bytes: 40,
            busy_seconds: *busy,
            ..WorkerReport::here(i)
        });
        let mut report = Report::new("mpi", workers.collect());
        report.add_up(Seconds { load: 0.1, map, write: 0.2, total: map + 0.3 });
        report
    }

    #[test]
    fn shares_add_up() {
        let report = run(0.5, [0.4, 0.1]);
        assert_eq!((report.items, report.bytes, report.workers), (10, 80, 2));
        assert_relative_eq!(report.worker[1].wait_seconds, 0.4);
    }

    #[test]
    fn medians_are_of_each_number() {
        let report = Report::medians(vec![run(0.9, [0.1, 0.3]), run(0.5, [0.2, 0.2]), run(0.7, [0.3, 0.1])]);
        let report = report.unwrap();
        assert_relative_eq!(report.seconds.map, 0.7);
        assert_relative_eq!(report.worker[0].busy_seconds, 0.2);
        assert_relative_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(Report::medians(Vec::new()).is_none());
    }

    #[test]
    fn tasks_sum() {
        let sum = sum(&[run(0.5, [0.4, 0.1]), run(0.7, [0.1, 0.2])]);
        assert_eq!((sum.items, sum.workers, sum.worker.len(), sum.pattern), (20, 2, 2, "mpi"));
        assert_relative_eq!(sum.seconds.map, 1.2);
        assert_relative_eq!(sum.worker[0].busy_seconds, 0.5);
    }

    #[test]
    fn the_busiest_worker_is_set_against_the_mean() {
        let report = run(0.5, [0.1, 0.3]);
        assert_relative_eq!(report.imbalance.unwrap(), 1.5);
        assert_eq!(report.straggler, Some(1));
        assert_relative_eq!(report.worker[0].wait_share, 0.8);
        assert_relative_eq!(report.worker[1].wait_share, 0.4);
        let even = run(0.5, [0.2, 0.2]);
        assert_relative_eq!(even.imbalance.unwrap(), 1.0);
        assert_eq!(even.straggler, Some(0));
        let idle = run(0.0, [0.0, 0.0]);
        assert_eq!((idle.imbalance, idle.straggler, idle.worker[0].wait_share), (None, None, 0.0));
        let mut alone =
            Report::new("serial", vec![WorkerReport { busy_seconds: 2.0, ..WorkerReport::here(0) }]);
        alone.add_up(Seconds { map: 2.0, ..Seconds::default() });
        assert_eq!((alone.imbalance, alone.straggler), (Some(1.0), None));
        assert!(!alone.table().contains("imbalance") && !alone.table().contains("\nhost"));
    }

    #[test]
    fn hosts_have_the_shares_of_their_workers() {
        let mut report = run(0.5, [0.1, 0.3]);
        let shares = |report: &Report| {
            let of =
                |h: &HostReport| (h.host.clone(), h.workers, h.busy_seconds, h.wait_seconds, h.wait_share);
            report.host.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(shares(&report).len(), 1);
        assert_relative_eq!(report.host[0].wait_share, 0.6);
        report.worker[0].host = "n1".into();
        report.worker[1].host = "n2".into();
        report.worker.push(WorkerReport { busy_seconds: 0.5, host: "n1".into(), ..WorkerReport::here(2) });
        report.add_up(report.seconds);
        let [first, second] = &report.host[..] else { panic!("two hosts") };
        assert_eq!((&*first.host, first.workers, &*second.host, second.workers), ("n1", 2, "n2", 1));
        assert_relative_eq!(first.busy_seconds, 0.6);
        assert_relative_eq!(first.wait_seconds, 0.4);
        assert_relative_eq!(first.wait_share, 0.4);
        let table = report.table();
        let line = "imbalance 1.67: worker 2 on host n1 was busy for 0.500000 s, the mean is 0.300000 s\n";
        assert!(table.contains(line), "{table}");
        assert!(
            table.contains("\nhost n1: 2 workers, busy 0.600000 s, wait 0.400000 s (40.0 %)\n"),
            "{table}"
        );
    }

    #[test]
    fn sums_and_medians_are_weighed_anew() {
        let sum = sum(&[run(0.5, [0.4, 0.1]), run(0.5, [0.1, 0.2])]);
        assert_relative_eq!(sum.imbalance.unwrap(), 1.25);
        assert_eq!((sum.straggler, sum.host.len(), sum.host[0].workers), (Some(0), 1, 2));
        assert_relative_eq!(sum.host[0].busy_seconds, 0.8);
        assert_relative_eq!(sum.worker[1].wait_share, 0.7);
        let runs = vec![run(0.9, [0.1, 0.3]), run(0.5, [0.2, 0.2]), run(0.7, [0.2, 0.6])];
        let medians = Report::medians(runs).unwrap();
        assert_relative_eq!(medians.imbalance.unwrap(), 1.2);
        assert_eq!(medians.straggler, Some(1));
        assert_relative_eq!(medians.host[0].busy_seconds, 0.5);
        let [first, _] = &medians.worker[..] else { panic!("two workers") };
        assert_relative_eq!(first.wait_share, first.wait_seconds / (first.busy_seconds + first.wait_seconds));
    }
}
