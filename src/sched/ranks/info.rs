//! What rank 0 has found the input to be, on its way to the other ranks.

use bytemuck::{Pod, Zeroable};

use crate::data::schema::Schema;
use crate::input::{self, InputInfo, Stamp};
use crate::job::Task;
use crate::mpi::linked::Mpi;
use crate::node::host::node;

/// What is of fixed length; the schema follows.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Front {
    total: u64,
    /// 1 when every rank finds its values, or its section, by itself.
    indexed: u64,
    stamp: Stamp,
    /// The node where that was found.
    node: u64,
}

/// Sends `info` to all other ranks. Collective, with [`receive`].
pub fn send(mpi: &Mpi, info: &InputInfo) {
    let front = Front { total: info.total, indexed: info.indexed.into(), stamp: info.stamp, node: node() };
    let mut bytes = [bytemuck::bytes_of(&front), &info.schema.to_bytes()].concat();
    mpi.broadcast(&mut bytes);
}

/// What rank 0 has [sent](send); of the input of `task`, on another node, what is seen there.
pub fn receive(mpi: &Mpi, task: &Task) -> InputInfo {
    let mut bytes = Vec::new();
    mpi.broadcast(&mut bytes);
    let (front, schema) = bytes.split_at(size_of::<Front>());
    let Front { total, indexed, stamp, node: seen_on } = bytemuck::pod_read_unaligned(front);
    let schema = Schema::from_bytes(schema).unwrap_or_default();
    let mut info = InputInfo { schema, total, indexed: indexed != 0, stamp };
    info.stamp = match info.indexed && !stamp.is_none() {
        true if seen_on == node() => stamp,
        // Why it cannot be opened is said when it is.
        true => input::stamp_now(task).unwrap_or(Stamp::NONE),
        // Rank 0 alone reads it.
        false => Stamp::NONE,
    };
    info
}
