//! How far a run has come, on standard error: a bar on a terminal, lines in the log of a batch job.
//!
//! Here is decided who wants to see what, and when; what has been done is told by whoever takes the answers. In a
//! log a line comes with every tenth of the work, but not within ten seconds of the one before, and after a
//! minute in any case. What other ranks or workers are doing at the moment is not known here, and nothing is said
//! while no answer comes.

use std::env;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use humantime::format_duration;
use indicatif::{DecimalBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::base::blocking::Stderr;
use crate::job::output::Output;
use crate::job::pattern::ProgressWhen;
use crate::job::{Task, Unit};
use crate::mpi::launch::Launch;

/// Between two lines of a log pass at least so many seconds, and before the first.
const SHORTEST: Duration = Duration::from_secs(10);

/// And at the most so many, as long as answers come.
const LONGEST: Duration = Duration::from_secs(60);

/// A run that is over before this needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// Programs hear no more often.
const SECOND: Duration = Duration::from_secs(1);

/// A bar is not drawn more often.
const BLINK: Duration = Duration::from_millis(200);

/// Variables that are there in the jobs of SLURM, PBS, LSF and Grid Engine.
const BATCH: [&str; 4] = ["SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID"];

/// Tells how far one run has come.
pub struct Progress {
    began: Instant,
    unit: Unit,
    /// Values, or bytes, of the whole run, where that is known.
    total: Option<u64>,
    done: u64,
    /// Those of them that have no answer.
    failed: u64,
    /// When the bar was drawn last.
    drawn: Option<Duration>,
    teller: Teller,
    /// At the end there is a line, whatever came before.
    always: bool,
}

enum Teller {
    /// Made when the run turns out to be a long one.
    Bar(Option<ProgressBar>),
    Log(Log),
    /// For a program; with the time of the last line.
    Json(Option<Duration>),
}

/// When there are lines in a log.
#[derive(Debug, Default)]
struct Log {
    /// Time and tenths of the last line.
    last: Option<(Duration, u64)>,
}

impl Progress {
    /// Of a run of `task` that begins now, over `total` values or bytes of a file where that is known; `None` when
    /// nobody wants to see it.
    pub fn of(task: &Task, total: Option<u64>) -> Option<Self> {
        let error = std::io::stderr();
        let teller = match task.progress {
            ProgressWhen::Never => return None,
            ProgressWhen::Json => Teller::Json(None),
            // Answers go to the same place, and would stand in the middle of the bar.
            _ if error.is_terminal() && task.output == Output::Stdout && std::io::stdout().is_terminal() => {
                return None;
            }
            _ if error.is_terminal() => Teller::Bar(None),
            ProgressWhen::Always => Teller::Log(Log::default()),
            ProgressWhen::Auto => {
                let is_job = BATCH.iter().any(|name| env::var_os(name).is_some());
                if !is_job && !Launch::detect().is_of_launcher() {
                    return None;
                }
                Teller::Log(Log::default())
            }
        };
        Some(Self {
            began: Instant::now(),
            unit: task.work.unit(),
            total,
            done: 0,
            failed: 0,
            drawn: None,
            teller,
            always: matches!(task.progress, ProgressWhen::Always | ProgressWhen::Json),
        })
    }

    /// So many more values or bytes are done, and so many items of them have no answer.
    pub fn add(&mut self, count: u64, failed: u64) {
        self.done += count;
        self.failed += failed;
        let elapsed = self.began.elapsed();
        match &mut self.teller {
            Teller::Bar(bar) if elapsed >= PATIENCE => {
                let bar = bar.get_or_insert_with(|| new_bar(self.total));
                // Not with every block: making the text takes longer than a small one.
                if self.drawn.is_none_or(|at| elapsed - at >= BLINK) {
                    self.drawn = Some(elapsed);
                    // Its own idea of speed would begin when it was made.
                    bar.set_message(line(self.unit, self.done, self.total, elapsed));
                    bar.set_position(self.done);
                }
            }
            Teller::Bar(_) => {}
            Teller::Json(last) => {
                if last.is_none_or(|last| elapsed - last >= SECOND) {
                    *last = Some(elapsed);
                    say_object(&self.object(elapsed));
                }
            }
            Teller::Log(log) => {
                if log.is_due(elapsed, tenths(self.done, self.total)) {
                    say(&line(self.unit, self.done, self.total, elapsed));
                }
            }
        }
    }

    /// How far it has come, for a program.
    fn object(&self, elapsed: Duration) -> Object {
        let seconds = elapsed.as_secs_f64();
        let left = self.total.map(|total| total.saturating_sub(self.done) as f64);
        Object {
            done: self.done,
            total: self.total,
            unit: if self.unit == Unit::Values { "values" } else { "bytes" },
            failed: self.failed,
            seconds,
            left_seconds: left.filter(|_| self.done > 0).map(|left| left * seconds / self.done as f64),
        }
    }

    /// The run is over.
    pub fn end(self) {
        if let Teller::Json(_) = self.teller {
            return say_object(&self.object(self.began.elapsed()));
        }
        let said = match self.teller {
            Teller::Bar(bar) => {
                bar.inspect(ProgressBar::finish_and_clear);
                false
            }
            Teller::Log(log) => log.last.is_some(),
            Teller::Json(_) => false,
        };
        if said || self.always {
            say(&line(self.unit, self.done, self.total, self.began.elapsed()));
        }
    }
}

/// A line for a program.
#[derive(Debug, Serialize)]
struct Object {
    done: u64,
    total: Option<u64>,
    unit: &'static str,
    failed: u64,
    seconds: f64,
    left_seconds: Option<f64>,
}

fn say_object(object: &Object) {
    if let Ok(text) = serde_json::to_string(object) {
        let _ = Stderr.write_all((text + "\n").as_bytes());
    }
}

/// A bar, of which as much is full as is done where it is known how much there is in all; what it says is told it.
fn new_bar(total: Option<u64>) -> ProgressBar {
    let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
    bar.set_draw_target(ProgressDrawTarget::stderr());
    let template = if total.is_some() { "[{bar:20}] {wide_msg}" } else { "{wide_msg}" };
    // Tested below; without a style of its own a bar is still one.
    bar.set_style(ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar()));
    bar
}

fn amount(unit: Unit, count: u64) -> String {
    match unit {
        Unit::Values => HumanCount(count).to_string(),
        Unit::Bytes => DecimalBytes(count).to_string(),
    }
}

impl Log {
    /// Is it time for a line? Then it is taken to be written.
    fn is_due(&mut self, elapsed: Duration, tenths: u64) -> bool {
        let (at, before) = self.last.unwrap_or_default();
        let since = elapsed.saturating_sub(at);
        let due = since >= LONGEST || since >= SHORTEST && (tenths > before || self.last.is_none());
        if due {
            self.last = Some((elapsed, tenths));
        }
        due
    }
}

fn tenths(done: u64, total: Option<u64>) -> u64 {
    total.map_or(0, |total| (u128::from(done) * 10 / u128::from(total.max(1))) as u64)
}

/// In whole seconds, as in `1m 31s`.
fn time(time: Duration) -> String {
    format_duration(Duration::from_secs(time.as_secs_f64().round() as u64)).to_string()
}

/// A line of a log.
fn line(unit: Unit, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let what = if unit == Unit::Values { " values" } else { "" };
    let seconds = elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
    let (now, speed) = (amount(unit, done), amount(unit, rate as u64));
    let took = match elapsed {
        short if short < Duration::from_secs(1) => format!("{seconds:.3} s"),
        _ => time(elapsed),
    };
    match total {
        Some(total) => {
            let percent = u128::from(done) * 100 / u128::from(total.max(1));
            let left = (total.saturating_sub(done)) as f64 / rate.max(f64::MIN_POSITIVE);
            let left = match Duration::try_from_secs_f64(left) {
                Ok(left) if done < total => format!(", about {} left", time(left)),
                _ => String::new(),
            };
            let percent = if total == 0 { 100 } else { percent };
            format!("{percent} %, {now} of {}{what} in {took} ({speed}{what}/s{left})", amount(unit, total))
        }
        None => format!("{now}{what} in {took} ({speed}{what}/s)"),
    }
}

fn say(text: &str) {
    // One write, so that it stays one line where several programs write to the same log.
    let _ = Stderr.write_all(format!("parpy: {text}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_log_are_neither_many_nor_rare() {
        let mut log = Log::default();
        // An hour, an answer each tenth of a second.
        let lines: Vec<u64> = (0..36_000u64)
            .filter(|i| log.is_due(Duration::from_millis(i * 100), tenths(*i, Some(36_000))))
            .map(|i| i / 10)
            .collect();
        assert_eq!(lines[..3], [10, 70, 130]);
        assert!((59..80).contains(&lines.len()), "{lines:?}");
        // Two minutes: a line every tenth.
        let mut log = Log::default();
        let due = |i: &u64| log.is_due(Duration::from_millis(i * 100), tenths(*i, Some(1200)));
        assert_eq!((0..1200).filter(due).count(), 10);
        // Nine seconds: none.
        let mut log = Log::default();
        assert!(!(0..90).any(|i| log.is_due(Duration::from_millis(i * 100), tenths(i, Some(90)))));
    }

    #[test]
    fn lines_say_how_far_how_fast_and_how_long() {
        let half = line(Unit::Values, 500_000, Some(1_000_000), Duration::from_secs(20));
        assert_eq!(half, "50 %, 500,000 of 1,000,000 values in 20s (25,000 values/s, about 20s left)");
        let unknown = line(Unit::Bytes, 2_000_000_000, None, Duration::from_secs_f64(90.6));
        assert_eq!(unknown, "2.00 GB in 1m 31s (22.08 MB/s)");
        let all = line(Unit::Bytes, 10, Some(10), Duration::from_secs(2));
        assert_eq!(all, "100 %, 10 B of 10 B in 2s (5 B/s)");
        let none = line(Unit::Values, 0, Some(0), Duration::ZERO);
        assert_eq!(none, "100 %, 0 of 0 values in 0.000 s (0 values/s)");
        // Nothing done yet says nothing of the time that is left.
        assert!(!line(Unit::Values, 0, Some(5), Duration::from_secs(2)).contains("left"));
    }

    #[test]
    fn bars_are_as_full_as_the_work_is_done() {
        for total in [None, Some(7)] {
            let bar = new_bar(total);
            bar.set_position(3);
            assert_eq!((bar.position(), bar.length()), (3, total));
            bar.finish_and_clear();
        }
    }
}
