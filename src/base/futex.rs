//! Sleeping until another thread or process changes a word that both see, in memory that they share. Who wakes whom,
//! and what the word says, is for others to know.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Sleeps while `word` is `value`, until somebody [wakes](wake) those who sleep on it, a signal comes, or `most` is over;
/// perhaps not so long.
#[cfg(target_os = "linux")]
pub fn wait(word: &AtomicU32, value: u32, most: Duration) {
    use rustix::thread::futex;
    use rustix::time::Timespec;
    let most = Timespec { tv_sec: most.as_secs() as i64, tv_nsec: most.subsec_nanos().into() };
    // Whatever has ended it, the caller looks at what it waits for.
    let _ = futex::wait(word, futex::Flags::empty(), value, Some(&most));
}

/// Wakes up to `count` of those who sleep on `word`.
#[cfg(target_os = "linux")]
pub fn wake(word: &AtomicU32, count: u32) {
    use rustix::thread::futex;
    let _ = futex::wake(word, futex::Flags::empty(), count);
}

/// Elsewhere: sleeps for a moment.
#[cfg(not(target_os = "linux"))]
pub fn wait(word: &AtomicU32, value: u32, most: Duration) {
    /// Nobody can end the sleep earlier.
    const MOMENT: Duration = Duration::from_millis(1);
    if word.load(std::sync::atomic::Ordering::Acquire) == value {
        std::thread::sleep(most.min(MOMENT));
    }
}

/// Elsewhere they wake by themselves.
#[cfg(not(target_os = "linux"))]
pub fn wake(_word: &AtomicU32, _count: u32) {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_sleeper_is_woken_and_does_not_sleep_on_what_has_changed() {
        let word = AtomicU32::new(0);
        let began = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(Ordering::Acquire) == 0 {
                    wait(&word, 0, Duration::from_secs(60));
                }
            });
            std::thread::sleep(Duration::from_millis(20));
            word.store(1, Ordering::Release);
            wake(&word, 1);
        });
        wait(&word, 0, Duration::from_secs(60));
        assert!(began.elapsed() < Duration::from_secs(30));
        wait(&word, 1, Duration::from_millis(1));
    }
}
