//! Functions that take time, and not the same for all numbers: to teach with, and to try schedules on.

use std::time::{Duration, Instant};

use super::{Function, TOO_LARGE};
use crate::base::signals;

pub const FUNCTIONS: &[Function] = &[
    Function::of_both(
        "collatz",
        "steps from x to 1: x/2 of an even number, 3x + 1 of an odd one",
        collatz,
        None,
    )
    .slow(),
    Function::of_both(
        "isprime",
        "1 for a prime, else 0, by trial division",
        |x| Ok(i64::from(is_prime(x))),
        None,
    )
    .slow(),
    Function::of_both(
        "sleep",
        "x, after x seconds",
        |x| sleep(x as f64).map(|()| x),
        Some(|x| sleep(x).map_or(f64::NAN, |()| x)),
    )
    .slow(),
];

fn collatz(x: i64) -> Result<i64, &'static str> {
    if x < 1 {
        return Err("has no Collatz sequence, which numbers from 1 have");
    }
    let (mut x, mut steps) = (x, 0);
    while x != 1 {
        x = match x % 2 {
            0 => x / 2,
            _ => x.checked_mul(3).and_then(|x| x.checked_add(1)).ok_or(TOO_LARGE)?,
        };
        steps += 1;
    }
    Ok(steps)
}

fn is_prime(x: i64) -> bool {
    let Ok(x) = u64::try_from(x) else { return false };
    match x {
        0..=1 => false,
        2..=3 => true,
        _ if x.is_multiple_of(2) || x.is_multiple_of(3) => false,
        _ => (5..=x.isqrt()).step_by(6).all(|d| !x.is_multiple_of(d) && !x.is_multiple_of(d + 2)),
    }
}

/// How often it looks whether anybody still waits for it.
const LOOK: Duration = Duration::from_millis(100);

/// Ends early when a signal comes, which whoever asked for the answer then hears of, or when nobody wants it any more.
fn sleep(seconds: f64) -> Result<(), &'static str> {
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| "is no time to sleep")?;
    let began = Instant::now();
    loop {
        let left = time.saturating_sub(began.elapsed());
        if left.is_zero() || signals::sleep(left.min(LOOK)).is_err() || signals::check_wanted().is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_and_collatz_sequences() {
        let primes: Vec<i64> = (-3..60).filter(|x| is_prime(*x)).collect();
        assert_eq!(primes, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59]);
        assert!(is_prime(4_294_967_291) && !is_prime(4_294_967_291 * 2) && !is_prime(65_537 * 65_539));
        assert_eq!([1, 2, 3, 27].map(collatz), [Ok(0), Ok(1), Ok(7), Ok(111)]);
        assert!(collatz(0).is_err() && collatz(i64::MAX).is_err());
    }
}
