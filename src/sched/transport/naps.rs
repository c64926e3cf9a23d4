//! For what a manager sleeps, and how long: where many small answers are to come, for many of them at once, because to be
//! woken for each takes longer than to take it.

use std::hint;
use std::time::Duration;

use super::Wait;

/// How long the manager sleeps at the most while it waits for many small answers at once: not so long that
/// anybody would notice, and long enough for thousands of them.
pub const NAP: Duration = Duration::from_millis(1);

/// How long it sleeps at the most where something could be done then.
pub const BRIEF: Duration = Duration::from_millis(5);

/// How often to look for an answer before going to sleep.
const SPIN_LIMIT: usize = 100;

/// Looks again and again for a moment; was it there?
pub fn spin(is_there: impl Fn() -> bool) -> bool {
    for _ in 0..SPIN_LIMIT {
        if is_there() {
            return true;
        }
        hint::spin_loop();
    }
    false
}

/// Remembers for which block the manager has slept in the hope of many answers at once; then it sleeps for that one.
#[derive(Debug, Default)]
pub struct Naps {
    napped: Option<u64>,
}

impl Naps {
    /// The block in the middle of those that are awaited, where the manager is to sleep for that, and for [`NAP`] at the
    /// most; only once for each first block. `is_there`: that block has not been released.
    pub fn middle(&mut self, wait: &Wait, is_there: impl Fn(u64) -> bool) -> Option<u64> {
        let Wait { head, next, input, .. } = *wait;
        let middle = head + (next - head) / 2;
        let naps = input.is_none() && middle > head && self.napped != Some(head) && is_there(middle);
        self.napped = naps.then_some(head);
        naps.then_some(middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_for_many_once_and_then_for_the_first() {
        let mut naps = Naps::default();
        let wait = |head, next| Wait { head, next, input: None, is_brief: false };
        assert_eq!(naps.middle(&wait(3, 13), |_| true), Some(8));
        assert_eq!(naps.middle(&wait(3, 13), |_| true), None);
        assert_eq!(naps.middle(&wait(3, 13), |_| true), Some(8));
        assert_eq!(naps.middle(&wait(4, 13), |number| number != 8), None);
        assert_eq!(naps.middle(&wait(4, 5), |_| true), None);
    }
}
