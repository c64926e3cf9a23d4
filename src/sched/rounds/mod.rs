//! What each rank does in a round.
//!
//! One round is: a scatter of commands, one per rank; a scatter of values with counts; the work; a gather of
//! result headers, one per rank; a gather of answers with counts. Rounds keep every count far below 2^31 and
//! rank 0's memory bounded. The values and answers of ranks on rank 0's node, which share rank 0's memory, do not
//! travel at all; where all ranks are on it those two collectives are left out. An answer longer than its slot
//! is fetched by further rounds in which the other ranks wait.
//!
//! A rank may have several threads, each of which is a worker with a command, a slot and a result header of its
//! own; messages hold those of all its workers, one after the other, and MPI is called by one thread alone.

mod command;
mod info;
mod names;
mod shared_file;
mod transport;

use std::env;
use std::rc::Rc;

use bytemuck::Zeroable;
use command::{BEGIN, CHECK, CLOCKS, CLOSE, COMMAND_WORDS, Command, NAME, OPEN, SHARE, STOP, WAIT, WORK};
use mpi::datatype::{Partition, PartitionMut};
use mpi::topology::Communicator as _;
use mpi::traits::*;
use shared_file::OwnPart;

use crate::base::error::{Error, Result, plain};
use crate::base::fmt::counted;
use crate::base::fork_join;
use crate::base::lanes::Lanes;
use crate::base::signals::{self, Waiting};
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
use crate::sched::result_header::ResultHeader;
use crate::sched::scheduler::Scheduler;
use crate::sched::sizing::BlockSizing;
use crate::sched::transport::arena::{Arena, Shape};
use crate::sched::transport::protocol::{ManagerSide, WorkerSide};
use crate::sched::{Attempt, Opened};

/// Inputs of fewer bytes travel as messages: setting up shared memory takes longer than copying them.
const WORTH_SHARING: u64 = 1024 * 1024;

/// Says `always` or `never`, whatever the size of the input: for tests and comparisons. With `never` every
/// rank is treated as if it were on a node of its own.
const SHARED_VARIABLE: &str = "PARPY_MPI_SHARED";

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
        let mut collector = Collector::open(self.task, &bound, &source, self.layout.workers, began, attempt)?;
        collector.mpi =
            Some(OverMpi { library: linked::library(), ranks: self.ranks, threads: self.threads });
        if let Some(path) = collector.sink.shared_file() {
            let plan = SharedFilePlan { path: path.to_owned(), first: source.first(), extent: source.left() };
            self.command_all(OPEN, 0);
            if let Err(error) = self.file.open(self.mpi, self.task, &bound, Some(&plan)) {
                return collector.close(Err(error));
            }
        }
        if self.worth_sharing(&source) {
            self.command_all(SHARE, 0);
            self.set_up_shared();
        }
        let (task, layout) = (self.task, self.layout);
        let mut outcome = collector.whole(|collector| {
            let pace = Pace::new(ScheduleKind::Dynamic, layout.workers, None);
            let transport = transport::Rounds::new(self);
            Scheduler::new((task, &bound, &layout), transport, pace, collector).run(&mut source)
        });
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
                }
                // Rank 0 hears how these went, and says what follows.
                OPEN => _ = self.file.open(self.mpi, self.task, &self.bound, None),
                CLOSE => _ = self.file.close(self.mpi, command.number),
                CHECK => _ = self.mpi.all_fine(input::check_same(self.task, &self.bound.info)),
                STOP => {
                    self.say_share();
                    return outcome_from_word(command.number);
                }
                _ => self.take_part(&commands),
            }
        }
    }

    /// Writes the answers that are in the slots from number `first_slot` on to the file that all ranks write
    /// to, if there is one: rank 0 then needs nothing of them but the result headers.
    fn write_own(
        &mut self,
        commands: &[Command],
        headers: &mut [ResultHeader],
        first_slot: usize,
    ) -> Result<()> {
        if !self.file.is_open() {
            return Ok(());
        }
        let Self { arena, file, mpi, .. } = self;
        let mut outcome = Ok(());
        for (i, (command, header)) in commands.iter().zip(headers).enumerate() {
            let slot = first_slot + i;
            let written = match arena.as_ref().filter(|_| command.kind != WAIT) {
                None => file.write(mpi, command.number, 0, &[]),
                Some(arena) => {
                    let (_, _, buf) = arena.work(slot, slot);
                    let written = file.write(mpi, command.number, command.start, header.bytes_in(buf));
                    header.drop_bytes(buf);
                    written
                }
            };
            outcome = outcome.and(written);
        }
        outcome
    }

    /// One round on another rank.
    fn take_part(&mut self, commands: &[Command]) {
        let am_far = self.off_node[self.mpi.rank()];
        let root = self.mpi.world.process_at_rank(ROOT);
        // A rank on rank 0's node finds its rows and its slots in rank 0's memory.
        let (first_row, first_slot) =
            if am_far { (commands[0].offset, 0) } else { (0, self.mpi.rank() * self.threads) };
        if am_far && commands.iter().any(|command| command.kind == WORK) {
            // What was in them has been sent.
            let arena = self.arena();
            (0..commands.len()).for_each(|slot| _ = arena.free(slot));
        }
        if self.rows_travel() {
            let count = if am_far { commands[0].words as usize } else { 0 };
            let arena = self.arena();
            // None of the rows, where none are to come: the slots may still be in use.
            let room = if count > 0 { bytemuck::cast_slice_mut(arena.input(0)) } else { &mut [0u64; 0][..] };
            root.scatter_varcount_into(&mut room[..count]);
        }
        let mut headers = self.work(commands, first_row, first_slot);
        // Rank 0 has heard of it too, and ends the run.
        let _ = self.write_own(commands, &mut headers, first_slot);
        self.finish(commands, &headers, first_slot);
        root.gather_into(bytemuck::cast_slice::<_, u64>(&headers));
        if self.any_off_node() {
            for (slot, (command, header)) in commands.iter().zip(&headers).enumerate() {
                // The slots of a rank on rank 0's node are rank 0's from now on, and an idle rank has none.
                let arena = self.arena.as_ref().filter(|_| am_far && command.kind != WAIT);
                let answer = arena.map(|arena| &arena.answer(slot).1[..header.len()]);
                root.gather_varcount_into(answer.unwrap_or(&NOTHING[..0]));
            }
        }
    }

    /// Does what the commands say, each that is one to work in a thread of its own, with the first block's rows at
    /// `first_row` and answers to the slots from number `first_slot` on. [`RankContext::finish`] follows.
    fn work(&mut self, commands: &[Command], first_row: u64, first_slot: usize) -> Vec<ResultHeader> {
        if commands.iter().all(|command| command.kind == WAIT) {
            return vec![ResultHeader::idle(&signals::check()); commands.len()];
        }
        let rank = self.mpi.rank();
        let am_far = self.off_node[rank];
        self.instances.resize_with(commands.len(), || Instance::of(rank, Lanes::best()));
        let arena = self.arena();
        let arena = &*arena;
        let Self { instances, task, bound, mpi, .. } = self;
        for (i, command) in commands.iter().enumerate().filter(|(_, command)| command.kind != WAIT) {
            let slot = first_slot + i;
            if am_far {
                command.offer(arena, slot, first_row);
            }
            let is_mine = match command.kind {
                WORK => arena.take_held(slot, NUMBER, slot),
                _ => arena.take_more(slot, slot),
            };
            assert!(is_mine, "a slot is its worker's");
        }
        let to_do = commands.iter().zip(instances).enumerate();
        let jobs = to_do.filter(|(_, (command, _))| command.kind != WAIT).map(|(i, (command, instance))| {
            let (task, bound, tell) = (*task, &*bound, mpi.teller());
            move || command.carry_out((task, bound), instance, (arena, first_slot + i), tell)
        });
        let mut done = fork_join::run(jobs.collect::<Vec<_>>().into_iter()).into_iter();
        let idle = ResultHeader::idle(&signals::check());
        let header =
            |command: &Command| if command.kind == WAIT { idle } else { done.next().unwrap_or(idle) };
        let headers: Vec<ResultHeader> = commands.iter().map(header).collect();
        self.share.0 += commands.iter().filter(|command| command.kind == WORK).count() as u64;
        self.share.1 += headers.iter().map(ResultHeader::items).sum::<u64>();
        headers
    }

    /// Hands over what [`RankContext::work`] has done.
    fn finish(&mut self, commands: &[Command], headers: &[ResultHeader], first_slot: usize) {
        let Some(arena) = &self.arena else { return };
        let done = commands.iter().zip(headers).enumerate().filter(|(_, (command, _))| command.kind != WAIT);
        done.for_each(|(i, (_, header))| _ = arena.finish(first_slot + i, first_slot + i, *header));
    }

    /// Do rows come from rank 0?
    fn rows_come(&self) -> bool {
        self.stream
    }

    /// The memory of this run: this rank's own, unless shared memory was set up before.
    fn arena(&mut self) -> Rc<Arena> {
        let workers = if self.mpi.is_root() { self.layout.workers } else { self.threads };
        let shape = shape(&self.layout, workers);
        let made = self.arena.get_or_insert_with(|| {
            let made = Arena::new(shape, false).unwrap_or_else(|e| {
                // Others wait for this rank, and end when it does.
                let (rank, what) = (self.mpi.rank(), plain(&e));
                eprintln!("parpy: rank {rank} cannot get {} bytes of memory: {what}", shape.bytes());
                std::process::abort()
            });
            Rc::new(made)
        });
        made.clone()
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

    /// Sets up shared memory on rank 0's node, and says on every rank who is far. Collective.
    fn set_up_shared(&mut self) {
        let shape = shape(&self.layout, self.layout.workers);
        let made = if self.mpi.is_root() { Segment::create(shape.bytes()).ok() } else { None };
        let (mut segment, mut address) = made.map_or((None, Address::zeroed()), |(s, a)| (Some(s), a));
        let words: &mut [u64] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut address));
        self.mpi.world.process_at_rank(ROOT).broadcast_into(words);
        if !self.mpi.is_root() && self.mpi.rank() < self.ranks {
            segment = Segment::open(&address);
        }
        self.arena = segment.map(|segment| Rc::new(arena_in(segment, shape)));
        let mut near = vec![false; self.mpi.ranks()];
        let waiting = Waiting::begin();
        self.mpi.world.all_gather_into(&self.arena.is_some(), &mut near[..]);
        drop(waiting);
        for (off_node, near) in self.off_node.iter_mut().zip(near) {
            *off_node &= !near;
        }
        if self.mpi.is_root() {
            let off_node = self.off_node.iter().filter(|off_node| **off_node).count();
            tracing::debug!("{} of {} ranks share memory", self.ranks - off_node, self.ranks);
        }
    }

    fn any_off_node(&self) -> bool {
        self.off_node.contains(&true)
    }

    /// Are rows scattered in each round? The same on every rank.
    fn rows_travel(&self) -> bool {
        self.rows_come() && self.any_off_node()
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

    /// The rows of each rank off the node, a batch each, one behind the other; says in the ranks' commands how long each
    /// is.
    fn pack_rows(&mut self, commands: &mut [Command]) -> Vec<u64> {
        let (threads, room) = (self.threads, self.layout.input * self.threads + self.layout.texts);
        let mut packed: Vec<u64> = Vec::new();
        let Some(rows) = self.arena.as_ref().and_then(|arena| arena.rows(0)) else {
            return packed;
        };
        for (commands, _) in
            commands.chunks_mut(threads).zip(&self.off_node).filter(|(_, off_node)| **off_node)
        {
            let (start, count) =
                (commands[0].offset as usize, commands.iter().map(Command::rows).sum::<u64>() as usize);
            if count == 0 {
                continue;
            }
            let begin = packed.len();
            packed.resize(begin + room.div_ceil(size_of::<u64>()), 0);
            let space = bytemuck::cast_slice_mut(&mut packed[begin..]);
            let bytes = rows.rows(start..start + count).pack(&self.bound.info.schema, space).unwrap_or(0);
            commands[0].words = bytes.div_ceil(size_of::<u64>()) as u64;
            packed.truncate(begin + commands[0].words as usize);
        }
        packed
    }

    /// `MPI_Scatterv` of the rows of each rank off the node; the others' stay where they are.
    fn scatter_rows(&mut self, commands: &[Command], packed: &[u64]) {
        let counts: Vec<i32> =
            commands.chunks(self.threads).map(|commands| commands[0].words as i32).collect();
        let starts: Vec<i32> = counts
            .iter()
            .scan(0, |next, count| {
                *next += count;
                Some(*next - count)
            })
            .collect();
        let _waiting = Waiting::begin();
        let root = self.mpi.world.process_at_rank(ROOT);
        root.scatter_varcount_into_root(&Partition::new(packed, counts, starts), &mut [0u64; 0][..]);
    }

    /// `MPI_Gatherv` of the answer of each rank off the node and message into its slot, for one thread of every rank
    /// after the other.
    fn gather_answers(&mut self, headers: &[ResultHeader]) {
        let threads = self.threads;
        let arena = self.arena();
        let stride = arena.shape().buffer_bytes();
        // SAFETY: every worker has answered or has nothing to do, and rank 0 alone looks at answers, below.
        let buffers = unsafe { arena.buffers_mut() };
        for thread in 0..threads {
            let (mut counts, mut starts) = (Vec::new(), Vec::new());
            for (rank, off_node) in self.off_node.iter().enumerate() {
                let worker = rank * threads + thread;
                counts.push(if *off_node { headers[worker].len() as i32 } else { 0 });
                starts.push(if *off_node { (worker * stride) as i32 } else { 0 });
            }
            let root = self.mpi.world.process_at_rank(ROOT);
            let mut answers = PartitionMut::new(&mut *buffers, counts, starts);
            root.gather_varcount_into_root(&NOTHING[..0], &mut answers);
        }
    }
}

/// The number of every block in its slot: each slot is one worker's.
const NUMBER: u64 = 0;

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

/// Is every rank treated as if it were on a node of its own?
fn ranks_are_alone() -> bool {
    env::var(SHARED_VARIABLE).is_ok_and(|word| word == "never")
}
