//! Moments on a clock that all processes of one host share, and that never goes back: what one process has
//! measured, another can put beside its own. It says nothing of the time of day, and clocks of different
//! hosts have nothing to do with each other.

use std::time::Duration;

use bytemuck::{Pod, Zeroable};
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        Self(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// How long ago it was.
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(Self::now().0.saturating_sub(self.0))
    }
}

/// When something was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Span {
    /// When it began.
    pub began: Moment,
    /// When it was done.
    pub ended: Moment,
}

impl Span {
    /// What began at `began` is done now.
    pub fn since(began: Moment) -> Self {
        Self { began, ended: Moment::now() }
    }

    /// How long it took.
    pub fn took(self) -> Duration {
        Duration::from_nanos(self.ended.0.saturating_sub(self.began.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_follow_one_another() {
        let first = Span::since(Moment::now());
        let second = Span::since(first.ended);
        assert!(first.began <= first.ended && first.ended <= second.ended);
        assert!(second.took() <= first.ended.elapsed());
        assert_eq!(Span { began: Moment(3), ended: Moment(5) }.took(), Duration::from_nanos(2));
    }
}
