//! Functions that go wrong on purpose, for the tests of what becomes of that: only with the feature `fault-injection`.

use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use super::{Function, TOO_LARGE};

pub const FUNCTIONS: &[Function] = &[
    Function::of_both("panic", "panics", |_| panic!("asked to"), Some(|_| panic!("asked to"))).slow(),
    Function::of_both(
        "die",
        "x·x; below 0, the end of the process by that signal",
        |x| {
            die(x);
            square(x)
        },
        Some(|x| {
            die(x as i64);
            x * x
        }),
    )
    .slow(),
    Function::of_both(
        "nap",
        "x·x, after x milliseconds",
        |x| {
            nap(x);
            square(x)
        },
        Some(|x| {
            nap(x as i64);
            x * x
        }),
    )
    .slow(),
];

fn square(x: i64) -> Result<i64, &'static str> {
    x.checked_mul(x).ok_or(TOO_LARGE)
}

fn die(x: i64) {
    let number = i32::try_from(x.unsigned_abs()).ok().filter(|_| x < 0);
    if let Some(signal) = number.and_then(Signal::from_named_raw) {
        let _ = kill_process(getpid(), signal);
    }
}

/// Cannot be woken, as a user's own code may be.
fn nap(x: i64) {
    tracing::trace!("a nap of {x} ms");
    thread::sleep(Duration::from_millis(x.unsigned_abs()));
}
