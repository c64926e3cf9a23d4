//! Who the workers of all ranks are, and how their clocks differ.

use bytemuck::{Pod, Zeroable};
use mpi::topology::Communicator as _;
use mpi::traits::*;

use super::RankContext;
use super::command::{CLOCKS, NAME};
use crate::base::signals::Waiting;
use crate::base::time::Timestamp;
use crate::mpi::linked::ROOT;
use crate::node::host::host;
use crate::observe::report::WorkerReport;

/// How many barriers the ranks leave: the median of as many comparisons is not that of a rank that was
/// held up once.
const BARRIERS: usize = 9;

/// How a rank says who it is.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Name {
    pid: u64,
    host_len: u64,
    host: [u8; 256],
}

const NAME_WORDS: usize = size_of::<Name>() / 8;

impl RankContext<'_> {
    /// Learns every worker's process and host.
    pub(super) fn gather_names(&self, workers: &mut [WorkerReport]) {
        self.command_all(NAME, 0);
        let _waiting = Waiting::begin();
        let mut names = vec![Name::zeroed(); self.mpi.ranks()];
        let mine: [u64; NAME_WORDS] = bytemuck::cast(own_name());
        let root = self.mpi.world.process_at_rank(ROOT);
        root.gather_into_root(&mine[..], bytemuck::cast_slice_mut::<_, u64>(&mut names));
        let names = names.into_iter().flat_map(|name| std::iter::repeat_n(name, self.threads));
        for (worker, name) in workers.iter_mut().zip(names) {
            worker.pid = name.pid as u32;
            worker.host = String::from_utf8_lossy(&name.host[..name.host_len as usize]).into_owned();
        }
    }

    pub(super) fn send_name(&self) {
        let mine: [u64; NAME_WORDS] = bytemuck::cast(own_name());
        self.mpi.world.process_at_rank(ROOT).gather_into(&mine[..]);
    }

    /// When each rank has left each of some barriers, on its own clock.
    pub(super) fn gather_clocks(&self) -> Vec<[Timestamp; BARRIERS]> {
        self.command_all(CLOCKS, 0);
        let _waiting = Waiting::begin();
        let mine: [u64; BARRIERS] = bytemuck::cast(self.leave_barriers());
        let mut all = vec![[Timestamp::default(); BARRIERS]; self.mpi.ranks()];
        let root = self.mpi.world.process_at_rank(ROOT);
        root.gather_into_root(&mine[..], bytemuck::cast_slice_mut::<_, u64>(&mut all));
        all
    }

    pub(super) fn send_clock(&self) {
        let mine: [u64; BARRIERS] = bytemuck::cast(self.leave_barriers());
        self.mpi.world.process_at_rank(ROOT).gather_into(&mine[..]);
    }

    pub(super) fn leave_barriers(&self) -> [Timestamp; BARRIERS] {
        std::array::from_fn(|_| {
            self.mpi.world.barrier();
            Timestamp::now()
        })
    }
}

fn own_name() -> Name {
    let (mut name, host) = (Name::zeroed(), host());
    let host = &host.as_bytes()[..host.floor_char_boundary(name.host.len())];
    name.host[..host.len()].copy_from_slice(host);
    Name { pid: u64::from(std::process::id()), host_len: host.len() as u64, ..name }
}
