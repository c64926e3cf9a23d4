//! What is drawn at random before the work begins: the key of each run, and where none was given the seed of what is random
//! in it, which is told.

use std::hash::{BuildHasher, RandomState};

use crate::job::Task;
use crate::job::shard::ShardMode;
use crate::mpi::communicator::Communicator;

/// Gives each of `tasks` a key, and a seed where it needs one and has none, as rank 0 has drawn them; the same on every rank.
pub fn draw(tasks: &mut [Task], ranks: Option<&dyn Communicator>) {
    for task in tasks {
        // Parts that are not told one have none: each would draw another.
        let draws = task.work.is_random() || task.work.wants_seed() && task.portion == ShardMode::Whole;
        if !draws && !task.work.is_python() {
            continue;
        }
        // The standard library draws the keys of its hashes from the system. Such that a float holds it, too, as
        // many readers of JSON have no other numbers.
        let drawn = [RandomState::new().hash_one(0) >> 11, RandomState::new().hash_one(0), 0, 0];
        let [seed, key, ..] = ranks.map_or(drawn, |ranks| ranks.bcast(drawn));
        task.key = key;
        if !draws || task.seed.is_some() {
            continue;
        }
        task.seed = Some(seed);
        if ranks.is_none_or(|ranks| ranks.is_root()) {
            tracing::debug!("--seed {seed} makes the same random numbers again");
        }
    }
}
