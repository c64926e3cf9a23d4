//! A few jobs at the same time, in as many threads, the caller's among them. For parts of one step that must
//! all be done before the next; who runs the blocks of a task is known to [`crate::sched`].

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// What the jobs give, in their order. Where the system has no room for so many threads, fewer do them all.
///
/// # Panics
/// When a job does.
pub fn run<T: Send, J>(jobs: impl ExactSizeIterator<Item = J> + Send) -> Vec<T>
where
    J: FnOnce() -> T,
{
    let count = jobs.len();
    if count <= 1 {
        return jobs.map(|job| job()).collect();
    }
    let jobs = Mutex::new(jobs.enumerate());
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || std::iter::from_fn(next).map(|(i, job)| (i, job())).collect::<Vec<_>>();
    let mut done = thread::scope(|scope| {
        let others: Vec<_> =
            (1..count).map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_stand_in_the_order_of_jobs() {
        for count in 0..20 {
            let squares = super::run((0..count).map(|i| move || i * i));
            assert_eq!(squares, (0..count).map(|i| i * i).collect::<Vec<_>>());
        }
    }
}
