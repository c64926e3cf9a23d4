//! What ranks do together. Rank 0 reads values, hands out blocks and writes answers; every rank computes.
//!
//! There are two ways in which blocks get to ranks and answers back: in `rounds`, by collective messages, where each worker
//! gets its share by turns; and as `tasks`, by messages from one rank to another, where whoever is free gets the next one.
//! Here is what both have in common: the commands that every rank listens to between them, and who shares memory.
//! Neither decides what is handed out when, which is the scheduler's.

mod command;
mod info;
mod names;
mod rounds;
mod shared_file;
mod tasks;

use std::env;
use std::rc::Rc;

use bytemuck::Zeroable;
use command::{BEGIN, CHECK, CLOCKS, CLOSE, COMMAND_WORDS, Command, NAME, OPEN, SHARE, STOP, TASKS};
use mpi::topology::Communicator as _;
use mpi::traits::*;
use rounds::Rounds;
use shared_file::OwnPart;

use crate::base::error::{Error, Result, plain};
use crate::base::fmt::counted;
use crate::base::lanes::Lanes;
use crate::base::signals::Waiting;
use crate::input;
use crate::input::blocks::BlockSource;
use crate::job::schedule::ScheduleKind;
use crate::job::{Job, Task};
use crate::mpi::communicator::Communicator;
use crate::mpi::linked::segment::{Address, Segment};
use crate::mpi::linked::{self, Mpi, ROOT, outcome_from_word, outcome_to_word};
use crate::node::cpus::{self, Cpus};
use crate::node::host::peak_memory;
use crate::observe::report::{OverMpi, Report};
use crate::observe::trace::offsets;
use crate::op::Bound;
use crate::output::hdf5_library::SharedFilePlan;
use crate::sched::collector::Collector;
use crate::sched::instance::Instance;
use crate::sched::pace::Pace;
use crate::sched::scheduler::Scheduler;
use crate::sched::sizing::BlockSizing;
use crate::sched::transport::arena::{Arena, Shape};
use crate::sched::{Attempt, Opened};

/// Inputs of fewer bytes travel as messages: setting up shared memory takes longer than copying them.
const WORTH_SHARING: u64 = 1024 * 1024;

/// Says `always` or `never`, whatever the size of the input: for tests and comparisons. With `never` every
/// rank is treated as if it were on a node of its own.
const SHARED_VARIABLE: &str = "PARPY_MPI_SHARED";

/// What rank 0 adds where another rank could not open a file, and there are several nodes.
const NOT_ON_EVERY_NODE: &str = "; rank 0 could open it, so it is not on every node: put it where all nodes see it \
                                 (parpy doctor FILE, started as this was, says which do)";

/// What is sent by a rank that has nothing to send. An empty slice that is cut from something, because
/// one that is not may point to address 1, which is what `MPI_IN_PLACE` is in Open MPI.
static NOTHING: [u8; 1] = [0];

/// Ranks of this program run tasks in rounds from now on.
pub fn provide() {
    super::provide_ranks(run);
}

/// Runs `task` once, together with all other ranks; `attempt` says which run of it this is. The report is on rank 0.
///
/// # Errors
/// The first thing that failed, in block order; [`Error::ReportedByRoot`] on the other ranks.
fn run(communicator: &dyn Communicator, task: &Task, job: &Job, attempt: &Attempt) -> Result<Option<Report>> {
    let Some(mpi) = communicator.as_any().downcast_ref::<Mpi>() else {
        return Err(Error::Failed("cannot run over ranks: there are none".into()));
    };
    let mut rank_context = RankContext::new(mpi, task);
    if !mpi.is_root() {
        return rank_context.worker_loop().map(|()| None);
    }
    let report = rank_context.root_loop(job, attempt);
    rank_context.stop(outcome_to_word(&report));
    report.map(Some)
}

/// Threads of each rank for `task`, which has so many items left where that is known: three values need three
/// threads at the most. Says so when there are more than CPUs for them. On rank 0, whose word counts for all.
///
/// # Errors
/// As those of [`cpus::threads_of_rank`].
fn threads_for(mpi: &Mpi, task: &Task, left: Option<u64>) -> Result<usize> {
    let ranks = task.workers.unwrap_or(usize::MAX).min(mpi.ranks()) as u64;
    let most = left.map_or(u64::MAX, |left| left.div_ceil(ranks).max(1));
    let threads = cpus::threads_of_rank(task.threads)?.min(usize::try_from(most).unwrap_or(usize::MAX));
    if threads > 1 {
        let cpus = Cpus::detect();
        let ranks = cpus.mpi_ranks_on_node.min(task.workers.unwrap_or(usize::MAX));
        if threads > cpus.affinity && cpus.affinity < cpus.logical_cpus {
            tracing::warn!(
                "{threads} threads on each rank, and rank 0 may use {} only: they take turns. Leave ranks \
                 unbound (mpirun --bind-to none) or give each more (srun --cpus-per-task {threads})",
                counted(cpus.affinity as u64, "CPU")
            );
        } else if ranks * threads > cpus.logical_cpus {
            tracing::warn!(
                "{ranks} ranks x {threads} threads on this node, which has {}: they take turns",
                counted(cpus.logical_cpus as u64, "CPU")
            );
        }
    }
    Ok(threads)
}

/// One rank's part in one run of a task.
pub struct RankContext<'a> {
    mpi: &'a Mpi,
    task: &'a Task,
    /// Ranks that take part.
    ranks: usize,
    /// Threads of each.
    threads: usize,
    layout: BlockSizing,
    /// Where blocks and answers are; made when the first command comes.
    arena: Option<Rc<Arena>>,
    /// Which ranks take part and do not share rank 0's memory.
    off_node: Vec<bool>,
    /// Values come from rank 0.
    stream: bool,
    /// Each thread's own, which open a file when the first block comes: only then is it known to be there on
    /// rank 0.
    instances: Vec<Instance>,
    /// This rank's end of a file that all ranks write to.
    file: OwnPart,
    /// What is known of the input, as far as this rank sees it itself, when rank 0 has said so.
    bound: Bound,
    /// Blocks and items done, for the log.
    share: (u64, u64),
}

impl<'a> RankContext<'a> {
    /// This rank's part in a run of `task`, with one thread.
    pub fn new(mpi: &'a Mpi, task: &'a Task) -> Self {
        let ranks = task.workers.unwrap_or(usize::MAX).min(mpi.ranks());
        let layout = BlockSizing::in_rounds(task, &Bound::default(), ranks, !mpi.one_node);
        let off_node = (0..mpi.ranks()).map(|rank| rank != 0 && rank < ranks).collect();
        Self {
            mpi,
            task,
            ranks,
            threads: 1,
            layout,
            arena: None,
            off_node,
            stream: true,
            instances: vec![],
            file: OwnPart::default(),
            bound: Bound::default(),
            share: (0, 0),
        }
    }

    /// From now on each rank has so many threads, for the input that is known.
    fn set_threads(&mut self, threads: usize) {
        self.threads = threads;
        let costs_more = !self.mpi.one_node || threads > 1;
        self.layout = BlockSizing::in_rounds(self.task, &self.bound, self.ranks * threads, costs_more);
    }

    /// Rank 0's part, until all answers have been written. [`RankContext::stop`] must follow.
    ///
    /// # Errors
    /// The first thing that failed, in block order; all answers before it have been written.
    pub fn root_loop(&mut self, job: &Job, attempt: &Attempt) -> Result<Report> {
        let Opened { began, mut source, bound } = Opened::of(self.task).map_err(|e| self.mpi.at_home(e))?;
        let threads = threads_for(self.mpi, self.task, source.left())?;
        self.command_all(BEGIN, threads as u64);
        info::send(self.mpi, &bound.info);
        self.stream = !bound.info.indexed;
        self.bound = bound.clone();
        self.set_threads(threads);
        self.begin()?;
        let room = shape(&self.layout, 1).buffer_bytes().saturating_mul(self.layout.workers);
        if tasks::kind(self.task, &bound).is_none() && i32::try_from(room).is_err() {
            return Err(Error::Usage(format!(
                "--schedule static: what is said of items beside their answers takes too much room for {} at once; leave it \
                 out, or --failed and --joblog, and say which type answers have: --answers",
                counted(self.layout.workers as u64, "worker")
            )));
        }
        let mut collector = Collector::open(self.task, &bound, &source, self.layout.workers, began, attempt)?;
        let mut kind = tasks::kind(self.task, &bound);
        if kind.is_some() && collector.sink.shared_file().is_some() {
            tracing::debug!("in rounds, because all ranks write to one file, which they do together");
            kind = None;
        }
        collector.mpi = Some(OverMpi {
            library: linked::library(),
            ranks: self.ranks,
            threads: self.threads,
            transport: if kind.is_some() { "tasks" } else { "rounds" },
        });
        if let Some(path) = collector.sink.shared_file() {
            let plan = SharedFilePlan { path: path.to_owned(), first: source.first(), extent: source.left() };
            self.command_all(OPEN, 0);
            if let Err(error) = self.file.open(self.mpi, self.task, &bound, Some(&plan)) {
                return collector.close(Err(error));
            }
        }
        let mut outcome = match kind {
            Some(kind) => collector.whole(|collector| self.lead_tasks(kind, &mut source, collector)),
            None => {
                if self.worth_sharing(&source) {
                    self.command_all(SHARE, 0);
                    self.set_up_shared();
                }
                let (task, layout) = (self.task, self.layout);
                collector.whole(|collector| {
                    let pace = Pace::new(ScheduleKind::Dynamic, layout.workers, None);
                    let transport = Rounds::new(self);
                    Scheduler::new((task, &bound, &layout), transport, pace, collector).run(&mut source)
                })
            }
        };
        collector.was_writing(self.file.take_time());
        if self.file.is_open() {
            let count = collector.workers.iter().map(|worker| worker.items).sum();
            self.command_all(CLOSE, count);
            let closed = self.file.close(self.mpi, count);
            collector.sink.parts_closed(closed.is_ok());
            outcome = outcome.and(closed);
        }
        if outcome.is_ok() && !bound.info.stamp.is_none() {
            self.command_all(CHECK, 0);
            // Rank 0 looks itself when it closes the collector.
            outcome = self.mpi.all_fine(Ok(()));
        }
        if outcome.is_ok() && job.wants_names() {
            self.gather_names(&mut collector.workers);
        }
        let mut report = collector.close(outcome)?;
        // Now that the time of the run is known: comparing clocks takes some, too.
        if let Some(timeline) = &mut report.timeline {
            let clocks = self.gather_clocks();
            let hosts: Vec<&str> = report.worker.iter().step_by(self.threads).map(|w| &*w.host).collect();
            timeline.set_offsets(&offsets(&clocks, &hosts, ranks_are_alone()), self.threads);
        }
        Ok(report)
    }

    /// Starts what the workers of each node have in common. Collective.
    ///
    /// # Errors
    /// As those of [`begin`](crate::op::BoundFunction::begin), of the first rank where it fails.
    fn begin(&self) -> Result<()> {
        if !self.task.work.is_python() {
            return Ok(());
        }
        let worker = || Instance::of(self.mpi.rank(), (0, self.threads), Lanes::Scalar).worker(self.task);
        let function = self.bound.function.as_ref();
        self.mpi.all_fine(function.map_or(Ok(()), |function| function.begin(false, worker)))
    }

    /// Tells all ranks that the task has ended, and how.
    pub fn stop(&self, outcome: u64) {
        self.command_all(STOP, outcome);
        self.say_share();
    }

    fn say_share(&self) {
        let (blocks, items) = self.share;
        let memory = peak_memory().map_or(String::new(), |kib| format!(", peak memory {kib} KiB"));
        tracing::debug!("did {}, {}{memory}", counted(blocks, "block"), counted(items, "item"));
    }

    /// The part of every rank but 0.
    ///
    /// # Errors
    /// [`Error::ReportedByRoot`] when the task has failed, here or elsewhere.
    pub fn worker_loop(&mut self) -> Result<()> {
        loop {
            let mut commands = vec![Command::zeroed(); self.threads];
            let words: &mut [u64] = bytemuck::cast_slice_mut(&mut commands);
            self.mpi.world.process_at_rank(ROOT).scatter_into(words);
            let command = commands[0];
            match command.kind {
                SHARE => self.set_up_shared(),
                NAME => self.send_name(),
                CLOCKS => self.send_clock(),
                BEGIN => {
                    let info = info::receive(self.mpi, self.task);
                    self.stream = !info.indexed;
                    // What rank 0 could make of it, every rank can.
                    self.bound = Bound::of(self.task, info).unwrap_or_default();
                    self.set_threads(command.number as usize);
                    // Rank 0 hears how it went, and says what follows.
                    _ = self.begin();
                }
                // Rank 0 hears how these went, and says what follows.
                OPEN => _ = self.file.open(self.mpi, self.task, &self.bound, None),
                CLOSE => _ = self.file.close(self.mpi, command.number),
                CHECK => _ = self.mpi.all_fine(input::check_same(self.task, &self.bound.info)),
                STOP => {
                    self.say_share();
                    return outcome_from_word(command.number);
                }
                TASKS => self.take_tasks(command.number),
                _ => self.take_part(&commands),
            }
        }
    }

    /// Does the task gain by shared memory? Decided on rank 0, which alone knows the input's size.
    fn worth_sharing(&self, source: &BlockSource) -> bool {
        let large = source.bytes().is_none_or(|bytes| bytes > WORTH_SHARING);
        self.ranks > 1
            && match env::var(SHARED_VARIABLE).as_deref() {
                Ok("always") => true,
                Ok("never") => false,
                _ => large && self.bound.state_of_section().is_none(),
            }
    }

    /// Sets up shared memory for rounds on rank 0's node, and says on every rank who is far. Collective.
    fn set_up_shared(&mut self) {
        let shape = shape(&self.layout, self.layout.workers);
        let (arena, near) = self.share_memory(shape, true, self.mpi.rank() < self.ranks);
        self.arena = arena;
        for (off_node, near) in self.off_node.iter_mut().zip(near) {
            *off_node &= !near;
        }
    }

    /// Memory of that shape which the ranks on rank 0's node share, if rank 0 `wants` it and can have it; a rank that does
    /// not `join` leaves it alone. Also which ranks have it. Collective.
    fn share_memory(&self, shape: Shape, wants: bool, joins: bool) -> (Option<Rc<Arena>>, Vec<bool>) {
        let is_root = self.mpi.is_root();
        let made = if is_root && wants { Segment::create(shape.bytes()).ok() } else { None };
        let (mut segment, mut address) = made.map_or((None, Address::zeroed()), |(s, a)| (Some(s), a));
        let words: &mut [u64] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut address));
        self.mpi.world.process_at_rank(ROOT).broadcast_into(words);
        if !is_root && joins {
            segment = Segment::open(&address);
        }
        let arena = segment.map(|segment| Rc::new(arena_in(segment, shape)));
        let mut near = vec![false; self.mpi.ranks()];
        let waiting = Waiting::begin();
        self.mpi.world.all_gather_into(&arena.is_some(), &mut near[..]);
        drop(waiting);
        if is_root {
            let near = near[..self.ranks].iter().filter(|near| **near).count();
            tracing::debug!("{near} of {} ranks share memory", self.ranks);
        }
        (arena, near)
    }

    fn scatter_commands(&self, commands: &[Command]) {
        let _waiting = Waiting::begin();
        let mut mine = vec![0u64; COMMAND_WORDS * self.threads];
        let words: &[u64] = bytemuck::cast_slice(commands);
        self.mpi.world.process_at_rank(ROOT).scatter_into_root(words, &mut mine[..]);
    }

    /// The same order for everyone.
    fn command_all(&self, kind: u64, number: u64) {
        let command = Command { kind, number, ..Command::zeroed() };
        self.scatter_commands(&vec![command; self.mpi.ranks() * self.threads]);
    }
}

/// Memory for `workers` workers, each of which has a slot and a buffer. One batch of the rows of all of them takes no more
/// than as many batches, and has no more texts than one.
fn shape(layout: &BlockSizing, workers: usize) -> Shape {
    Shape {
        workers,
        spare: 0,
        slots: workers,
        buffers: 1,
        input: layout.input * workers + layout.texts,
        one_input: true,
        buf: layout.buf,
    }
}

/// An arena in a segment that is as large.
fn arena_in(segment: Segment, shape: Shape) -> Arena {
    assert!(segment.bytes() >= shape.bytes());
    let base = segment.start().cast();
    // SAFETY: the segment's own, which it keeps; a new one is all zeros, and only these arenas touch it.
    unsafe { Arena::over(base, shape, Box::new(segment)) }
}

/// Memory of this rank's own.
fn get_memory(mpi: &Mpi, shape: Shape) -> Arena {
    Arena::new(shape, false).unwrap_or_else(|e| {
        // Others wait for this rank, and end when it does.
        let (rank, what) = (mpi.rank(), plain(&e));
        eprintln!("parpy: rank {rank} cannot get {} bytes of memory: {what}", shape.bytes());
        std::process::abort()
    })
}

/// Is every rank treated as if it were on a node of its own?
fn ranks_are_alone() -> bool {
    env::var(SHARED_VARIABLE).is_ok_and(|word| word == "never")
}
