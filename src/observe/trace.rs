//! Who worked on which block when: kept on rank 0 while a task runs, and written when the job has ended, in
//! the Trace Event Format that ui.perfetto.dev and chrome://tracing open.
//!
//! All runs of a job are on one axis, which begins with the first. Workers that were killed leave nothing
//! here, nor do blocks in which there is nothing. Of a task that has failed there is what was done before; over
//! ranks there is nothing. A trace takes 64 bytes of memory for each block, and nothing where none is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::base::atomic_file;
use crate::base::error::Result;
use crate::base::fmt::grouped;
use crate::base::time::{Interval, Timestamp};
use crate::data::block::Block;
use crate::job::pattern::PatternName;
use crate::job::{Task, Unit};
use crate::node::host::host;
use crate::observe::VERSION;
use crate::observe::report::{Report, WorkerReport};

/// What rank 0 does besides working on blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Gets values into memory.
    Load,
    /// Writes answers.
    Write,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Write => "write",
        }
    }
}

/// Phases of fewer nanoseconds are left out: there are many of them, and nobody could see one.
const SHORTEST_PHASE: u64 = 1000;

/// A worker's work on a block, or on a piece of the answer to one where that is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockEvent {
    /// The worker's number, as in the report.
    pub worker: usize,
    /// The block.
    pub block: Block,
    /// The process that worked.
    pub pid: u32,
    /// When, on the worker's own clock.
    pub interval: Interval,
    /// Items answered.
    pub items: u64,
    /// Bytes of input worked through.
    pub bytes: u64,
    /// 1 for the first piece of the answer.
    pub piece: u32,
}

/// One run of a task: all that its part of a trace is made of.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// The task's number in the job, from 1.
    task: usize,
    /// Which of the task's runs it is, from 1.
    number: usize,
    /// The task in words.
    title: String,
    /// Who ran the blocks.
    pattern: &'static str,
    team: Team,
    /// Blocks are of bytes, and not of values.
    is_of_bytes: bool,
    interval: Interval,
    events: Vec<BlockEvent>,
    phases: Vec<(Phase, Interval)>,
    /// By number.
    workers: Vec<WorkerOrigin>,
    /// Nanoseconds from each worker's clock to rank 0's, by number; none where all share it.
    offsets: Vec<i64>,
}

/// What the workers of a task are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Team {
    /// Threads of parpy itself, be it only one.
    Threads,
    /// Processes that parpy has started.
    Processes,
    /// Ranks with so many threads each.
    Ranks(usize),
}

/// Where a worker was.
#[derive(Debug, Clone)]
struct WorkerOrigin {
    pid: u32,
    host: String,
}

impl Timeline {
    /// Of a run of `task` that `began`.
    pub fn of(task: &Task, began: Timestamp) -> Self {
        let team = match task.pattern {
            PatternName::Process | PatternName::Pool => Team::Processes,
            PatternName::Mpi => Team::Ranks(1),
            _ => Team::Threads,
        };
        Self {
            task: 1,
            number: 1,
            title: task.title(),
            pattern: task.by(),
            team,
            is_of_bytes: task.work.unit() == Unit::Bytes,
            interval: Interval { began, ended: began },
            events: Vec::new(),
            phases: Vec::new(),
            workers: Vec::new(),
            offsets: Vec::new(),
        }
    }

    /// Keeps an event, unless its block is empty; `new_block` when the block has not been heard of before. Its
    /// `piece` is counted here.
    pub fn note(&mut self, event: BlockEvent, new_block: bool) {
        if event.block.is_empty() {
            return;
        }
        let last = self.events.last().filter(|last| !new_block && last.block == event.block);
        let piece = last.map_or(1, |last| last.piece.saturating_add(1));
        self.events.push(BlockEvent { piece, ..event });
    }

    /// Keeps when a phase was done, unless it took no time to speak of.
    pub fn note_phase(&mut self, phase: Phase, interval: Interval) {
        if interval.ended.0 - interval.began.0 >= SHORTEST_PHASE {
            self.phases.push((phase, interval));
        }
    }

    /// Sets how many nanoseconds are to be added to the times of each rank, of `threads` workers each.
    pub fn set_offsets(&mut self, of_ranks: &[i64], threads: usize) {
        self.offsets = of_ranks.iter().flat_map(|offset| std::iter::repeat_n(*offset, threads)).collect();
    }

    /// The run has ended, as `report` says.
    pub fn close(mut self, report: &Report) -> Self {
        let began = self.interval.began;
        self.interval.ended = Timestamp(began.0 + (report.seconds.total * 1e9) as u64);
        if let Some(over) = &report.mpi {
            self.team = Team::Ranks(over.threads);
        }
        let place = |worker: &WorkerReport| WorkerOrigin { pid: worker.pid, host: worker.host.clone() };
        self.workers = report.worker.iter().map(place).collect();
        self
    }

    /// The same as run `number` of task `task`, both from 1.
    pub fn numbered(self, task: usize, number: usize) -> Self {
        Self { task, number, ..self }
    }

    /// A worker's process and thread, by the numbers that a trace has for them.
    fn track(&self, worker: usize) -> (usize, usize) {
        match self.team {
            Team::Threads => (LEAD, worker + 1),
            Team::Processes => (LEAD + 1 + worker, 1),
            Team::Ranks(threads) => (LEAD + worker / threads, worker % threads + 1),
        }
    }

    /// Puts a worker among the processes of a trace; a seat keeps its name when another worker takes it.
    fn introduce(&self, worker: usize, pid: u32, host: &str, processes: &mut BTreeMap<usize, Process>) {
        let (number, thread) = self.track(worker);
        let process = processes.entry(number).or_default();
        process.pids.insert(pid);
        process.threads.entry(thread).or_insert_with(|| match self.team {
            Team::Threads | Team::Processes => format!("worker {worker}"),
            Team::Ranks(threads) => format!("thread {}", worker % threads),
        });
        if process.name.is_empty() {
            process.name = match self.team {
                Team::Threads => format!("parpy on host {host}"),
                Team::Processes => format!("worker {worker} on host {host}"),
                Team::Ranks(threads) => format!("rank {} on host {host}", worker / threads),
            };
        }
    }

    /// When an event was, on rank 0's clock: never before the run, whatever the clocks seem to say.
    fn on_managers_clock(&self, event: &BlockEvent) -> Interval {
        let Interval { began, ended } = event.interval;
        let offset = self.offsets.get(event.worker).copied().unwrap_or(0);
        let moved =
            |moment: Timestamp| Timestamp(moment.0.saturating_add_signed(offset)).max(self.interval.began);
        Interval { began: moved(began), ended: moved(ended) }
    }

    /// An event in words.
    fn name_of(&self, event: &BlockEvent) -> String {
        let Block { start, end } = event.block;
        let mut name = match (self.is_of_bytes, event.block.len()) {
            (true, _) => format!("bytes {} to {}", grouped(start), grouped(end)),
            (false, 1) => format!("value {}", grouped(end)),
            (false, _) => format!("values {} to {}", grouped(start + 1), grouped(end)),
        };
        if event.piece > 1 {
            name.push_str(&format!(", piece {}", event.piece));
        }
        name
    }
}

/// Clocks of one host that seem to differ by more nanoseconds than this are of two hosts of the same name.
const SAME_CLOCK: i64 = 1_000_000_000;

/// Nanoseconds to be added to the times of each rank to get rank 0's, from the moments at which all have
/// left the same barriers, one after the other. `hosts` are those of the ranks that took part, rank 0's
/// first. Ranks of one host share a clock, unless they are to be looked at `one_by_one`.
///
/// That a rank leaves a barrier later than rank 0 is taken for a difference of the clocks, which so is
/// known to about the time of one message.
pub fn offsets<const N: usize>(left: &[[Timestamp; N]], hosts: &[&str], one_by_one: bool) -> Vec<i64> {
    let Some(lead) = left.first() else { return Vec::new() };
    let apart = |rank: usize| lead.iter().zip(&left[rank]).map(|(lead, its)| lead.0 as i64 - its.0 as i64);
    let is_leads = |rank: usize| {
        let own = || median(apart(rank).collect());
        rank == 0 || !one_by_one && hosts[rank] == hosts[0] && own().abs() < SAME_CLOCK
    };
    let clock = |rank: usize| if one_by_one { (rank, "") } else { (0, hosts[rank]) };
    let mut clocks = BTreeMap::<_, Vec<i64>>::new();
    for rank in (0..hosts.len()).filter(|rank| !is_leads(*rank)) {
        clocks.entry(clock(rank)).or_default().extend(apart(rank));
    }
    let clocks: BTreeMap<_, i64> = clocks.into_iter().map(|(clock, all)| (clock, median(all))).collect();
    let of_rank = |rank| if is_leads(rank) { 0 } else { clocks.get(&clock(rank)).copied().unwrap_or(0) };
    (0..hosts.len()).map(of_rank).collect()
}

fn median(mut numbers: Vec<i64>) -> i64 {
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or(0)
}

/// The number that a trace has for parpy itself, or rank 0.
const LEAD: usize = 1;

/// One event of a trace, as the format has it: `ph` is `X` for what takes time, and `M` for a name.
#[derive(Serialize)]
struct Event<'a, A: Serialize> {
    name: &'a str,
    cat: &'a str,
    ph: &'a str,
    /// Microseconds since the first run began.
    ts: f64,
    /// Microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    pid: usize,
    tid: usize,
    args: A,
}

impl<'a> Event<'a, ()> {
    fn with<A: Serialize>(self, name: &'a str, args: A) -> Event<'a, A> {
        let Self { cat, ph, ts, dur, pid, tid, .. } = self;
        Event { name, cat, ph, ts, dur, pid, tid, args }
    }
}

/// Of a block.
#[derive(Serialize)]
struct BlockArgs<'a> {
    start: u64,
    end: u64,
    items: u64,
    bytes: u64,
    worker: usize,
    pid: u32,
    /// Of the second piece of its answer, and the following.
    #[serde(skip_serializing_if = "Option::is_none")]
    piece: Option<u32>,
    /// Where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
    /// Where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<usize>,
}

/// A process as a trace shows it.
#[derive(Default)]
struct Process {
    name: String,
    /// Real ones: of a seat in which one worker follows another there are several.
    pids: BTreeSet<u32>,
    /// Names of its threads, by number.
    threads: BTreeMap<usize, String>,
}

/// Writes the trace of a job to `path`, event by event.
///
/// A viewer shows a track for each thread of each process, and knows both by numbers alone. Here process 1
/// is parpy itself, or rank 0; rank R is process R + 1, and worker process W is process W + 2. Thread T of
/// any of them is thread T + 1: from 1 because Perfetto takes 0 for the kernel's idle process. Names say
/// rank, worker, host and real pid. What process 1 does besides, which is loading, writing, and running one
/// task after the other, has two more tracks.
///
/// `ts` and `dur` are microseconds. A block's `args` are `start` and `end` (values from 0, or bytes; `end`
/// is one past the last; of a section, as here, before its ends move to starts of lines), `items`, `bytes`,
/// `worker` as in the report, and the real `pid`; with several tasks or runs also `task` and `run`, and for
/// the second and following pieces of a long answer `piece`.
///
/// # Errors
/// The file cannot be written.
pub fn save(timelines: &[Timeline], path: &Path) -> Result<()> {
    atomic_file::save(path, |mut file| write(timelines, &mut file))
}

fn write(timelines: &[Timeline], file: &mut impl Write) -> io::Result<()> {
    let zero = timelines.first().map_or(Timestamp::default(), |first| first.interval.began);
    let mut processes = processes(timelines);
    let lead = processes.entry(LEAD).or_default();
    let last = lead.threads.last_key_value().map_or(0, |(number, _)| *number);
    let (lead_thread, runs_thread) = (last + 1, last + 2);
    lead.threads.insert(lead_thread, "lead: load, write".to_owned());
    lead.threads.insert(runs_thread, "runs".to_owned());
    let several_tasks = timelines.iter().any(|timeline| timeline.task > 1);
    let several_runs = timelines.iter().any(|timeline| timeline.number > 1);

    file.write_all(b"{\"traceEvents\":[")?;
    let mut events = Events { file, is_first: true };
    for (number, process) in &processes {
        events.name("process_name", *number, 0, json!({ "name": process.full_name() }))?;
        events.name("process_sort_index", *number, 0, json!({ "sort_index": number }))?;
        for (thread, name) in &process.threads {
            events.name("thread_name", *number, *thread, json!({ "name": name }))?;
        }
    }
    let complete = |cat, interval: Interval, pid, tid| {
        let (ts, dur) = (
            microseconds(interval.began.0.saturating_sub(zero.0)),
            Some(microseconds(interval.ended.0.saturating_sub(interval.began.0))),
        );
        Event { name: cat, cat, ph: "X", ts, dur, pid, tid, args: () }
    };
    for timeline in timelines {
        let mut label = timeline.title.clone();
        if several_tasks {
            label = format!("task {}: {label}", timeline.task);
        }
        let run = several_runs.then_some(timeline.number);
        let mut name = label.clone();
        if let Some(run) = run {
            name.push_str(&format!(", run {run}"));
        }
        let args = json!({ "pattern": timeline.pattern, "workers": timeline.workers.len() });
        let event = complete("run", timeline.interval, LEAD, runs_thread);
        events.put(&event.with(&name, args))?;
        let task = several_tasks.then_some(&*label);
        for (phase, interval) in &timeline.phases {
            let args = json!({ "of": &name });
            let event = complete(phase.name(), *interval, LEAD, lead_thread);
            events.put(&event.with(phase.name(), args))?;
        }
        for done in &timeline.events {
            let BlockEvent { worker, block: Block { start, end }, pid, items, bytes, piece, .. } = *done;
            let (process, thread) = timeline.track(worker);
            let event = complete("block", timeline.on_managers_clock(done), process, thread);
            let piece = Some(piece).filter(|piece| *piece > 1);
            let args = BlockArgs { start, end, items, bytes, worker, pid, piece, task, run };
            events.put(&event.with(&timeline.name_of(done), args))?;
        }
    }
    let pattern = timelines.first().map_or("none", |first| first.pattern);
    let is_mixed = timelines.iter().any(|timeline| timeline.pattern != pattern);
    let tasks: Vec<&str> = timelines.iter().filter(|run| run.number == 1).map(|run| &*run.title).collect();
    let about = json!({
        VERSION: env!("CARGO_PKG_VERSION"),
        "parpy_commit": env!("PARPY_COMMIT"),
        "pattern": if is_mixed { "mixed" } else { pattern },
        "tasks": tasks,
        "host": host(),
    });
    file.write_all(b"\n],\"displayTimeUnit\":\"ms\",\"otherData\":")?;
    serde_json::to_writer(&mut *file, &about)?;
    file.write_all(b"}\n")
}

/// All processes of a trace, by the numbers that it has for them.
fn processes(timelines: &[Timeline]) -> BTreeMap<usize, Process> {
    let mut processes = BTreeMap::<usize, Process>::new();
    let is_over_ranks = timelines.iter().any(|timeline| matches!(timeline.team, Team::Ranks(_)));
    let lead = processes.entry(LEAD).or_default();
    lead.name = format!("{} on host {}", if is_over_ranks { "rank 0" } else { "parpy" }, host());
    lead.pids.insert(std::process::id());
    for timeline in timelines {
        for (worker, WorkerOrigin { pid, host }) in timeline.workers.iter().enumerate() {
            timeline.introduce(worker, *pid, host, &mut processes);
        }
        // Workers that have helped out may be missing above.
        let host = host();
        for event in &timeline.events {
            timeline.introduce(event.worker, event.pid, &host, &mut processes);
        }
    }
    processes
}

impl Process {
    fn full_name(&self) -> String {
        match self.pids.first() {
            Some(pid) if self.pids.len() == 1 => format!("{} (pid {pid})", self.name),
            _ => self.name.clone(),
        }
    }
}

/// The list of events in a trace.
struct Events<'a, W: Write> {
    file: &'a mut W,
    is_first: bool,
}

impl<W: Write> Events<'_, W> {
    fn put(&mut self, event: &impl Serialize) -> io::Result<()> {
        self.file.write_all(if self.is_first { b"\n" } else { b",\n" })?;
        self.is_first = false;
        Ok(serde_json::to_writer(&mut *self.file, event)?)
    }

    /// Says what a process or a thread is called, or where it stands.
    fn name(&mut self, name: &str, pid: usize, tid: usize, args: Value) -> io::Result<()> {
        self.put(&Event { name, cat: "__metadata", ph: "M", ts: 0.0, dur: None, pid, tid, args })
    }
}

fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::job::Job;
    use clap::Parser;

    #[test]
    fn clocks_of_other_hosts_are_moved_and_those_of_one_host_are_not() {
        let left = |ahead: i64, late: [i64; 3]| {
            [0, 1, 2].map(|i| Timestamp((10_000_000_000_000 + 50_000 * i as i64 + ahead + late[i]) as u64))
        };
        let hour = 3_600_000_000_000;
        let all = [
            left(0, [0; 3]),
            left(0, [900, 10, 2000]),
            left(hour, [7, 5, 100_000]),
            left(hour, [5, 7, 9]),
            left(-hour, [0, 40, 20]),
        ];
        let of = |hosts: [&str; 5], one_by_one| offsets(&all, &hosts, one_by_one);
        assert_eq!(of(["a", "a", "b", "b", "c"], false), [0, 0, -hour - 7, -hour - 7, hour - 20]);
        assert_eq!(of(["a"; 5], true), [0, -900, -hour - 7, -hour - 7, hour - 20]);
        // Two hosts may have one name.
        assert_eq!(of(["a", "a", "b", "b", "a"], false)[4], hour - 20);
        // Fewer take part than there are.
        assert_eq!(offsets(&all, &["a", "b"], false), [0, -900]);
    }

    #[test]
    fn pieces_of_an_answer_are_counted() {
        let block = |start| Block { start, end: start + 10 };
        let event = |start| BlockEvent {
            worker: 0,
            block: block(start),
            pid: 1,
            interval: Interval::default(),
            items: 0,
            bytes: 0,
            piece: 1,
        };
        let cli = Cli::parse_from(["parpy", "map", "--range", "0..20"]);
        let task = Job::from_cli(&cli, |_| unreachable!("no job file")).unwrap().tasks.remove(0);
        let mut timeline = Timeline::of(&task, Timestamp(0));
        for (start, is_new) in [(0, true), (0, false), (0, false), (10, true), (15, false)] {
            timeline.note(event(start), is_new);
        }
        let pieces: Vec<u32> = timeline.events.iter().map(|event| event.piece).collect();
        assert_eq!(pieces, [1, 2, 3, 1, 1]);
        assert_eq!(timeline.name_of(&timeline.events[2]), "values 1 to 10, piece 3");
    }
}
