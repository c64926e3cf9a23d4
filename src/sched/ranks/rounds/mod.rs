//! One round of all ranks: what each rank does in it, and rounds as the scheduler's transport on rank 0 ([`Rounds`]).
//!
//! A round is: a scatter of commands, one per rank; a scatter of values with counts; the work; a gather of
//! result headers, one per rank; a gather of answers with counts. Rounds keep every count far below 2^31 and
//! rank 0's memory bounded. The values and answers of ranks on rank 0's node, which share rank 0's memory, do not
//! travel at all; where all ranks are on it those two collectives are left out. An answer longer than its slot
//! is fetched by further rounds in which the other ranks wait.
//!
//! A rank may have several threads, each of which is a worker with a command, a slot and a result header of its
//! own; messages hold those of all its workers, one after the other, and MPI is called by one thread alone.

mod transport;

use std::rc::Rc;

use mpi::datatype::{Partition, PartitionMut};
use mpi::traits::*;
pub(super) use transport::Rounds;

use super::command::{Command, WAIT, WORK};
use super::{NOTHING, RankContext, get_memory, shape};
use crate::base::error::Result;
use crate::base::fork_join;
use crate::base::lanes::Lanes;
use crate::base::signals::{self, Waiting};
use crate::mpi::communicator::Communicator as _;
use crate::mpi::linked::ROOT;
use crate::sched::instance::Instance;
use crate::sched::result_header::ResultHeader;
use crate::sched::transport::arena::Arena;
use crate::sched::transport::protocol::{ManagerSide, WorkerSide};

/// The number of every block in its slot: each slot is one worker's.
pub(super) const NUMBER: u64 = 0;

impl RankContext<'_> {
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
    pub(super) fn take_part(&mut self, commands: &[Command]) {
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
        let (have, threads) = (self.instances.len(), commands.len());
        let more = (have..threads).map(|thread| Instance::of(rank, (thread, threads), Lanes::best()));
        self.instances.extend(more);
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
    pub(super) fn rows_come(&self) -> bool {
        self.stream
    }

    /// The memory of this run: this rank's own, unless shared memory was set up before.
    fn arena(&mut self) -> Rc<Arena> {
        let workers = if self.mpi.is_root() { self.layout.workers } else { self.threads };
        let (shape, mpi) = (shape(&self.layout, workers), self.mpi);
        self.arena.get_or_insert_with(|| Rc::new(get_memory(mpi, shape))).clone()
    }

    fn any_off_node(&self) -> bool {
        self.off_node.contains(&true)
    }

    /// Are rows scattered in each round? The same on every rank.
    fn rows_travel(&self) -> bool {
        self.rows_come() && self.any_off_node()
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
