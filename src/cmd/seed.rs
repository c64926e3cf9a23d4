//! The seeds of what is chosen at random, where none was given: drawn once, before the work begins, and told.

use std::hash::{BuildHasher, RandomState};

use crate::job::Task;
use crate::mpi::communicator::Communicator;

/// Gives each of `tasks` that needs a seed and has none one that rank 0 has drawn; the same on every rank.
pub fn draw(tasks: &mut [Task], ranks: Option<&dyn Communicator>) {
    for task in tasks.iter_mut().filter(|task| task.work.is_random() && task.seed.is_none()) {
        // The standard library draws the keys of its hashes from the system. Such that a float holds it, too, as
        // many readers of JSON have no other numbers.
        let drawn = RandomState::new().hash_one(0) >> 11;
        let seed = ranks.map_or(drawn, |ranks| ranks.bcast([drawn, 0, 0, 0])[0]);
        task.seed = Some(seed);
        if ranks.is_none_or(|ranks| ranks.is_root()) {
            tracing::debug!("--seed {seed} chooses the same ones again");
        }
    }
}
