//! What a process of Python says: short messages, and lines that it has printed.

use std::os::unix::process::ExitStatusExt;

use crate::exec::Ending;

/// A message of `host.py`.
pub enum Message {
    /// Rows have answers, whose texts end there, in so many bytes of memory.
    Answers { from: usize, to: usize, end: usize, bytes: usize },
    /// The process has ended.
    Ended(Ending),
    /// It cannot begin, for this reason.
    Refused(String),
}

impl Message {
    /// Reads one; `None` where it is none.
    pub fn read(message: &[u8]) -> Option<Self> {
        let word = |k: usize| {
            let bytes = message.get(8 * k..8 * k + 8)?;
            usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
        };
        match message.first()? {
            b'A' => Some(Self::Answers { from: word(1)?, to: word(2)?, end: word(3)?, bytes: word(4)? }),
            b'X' => {
                let status = std::process::ExitStatus::from_raw(word(1)? as i32);
                let killed = status.signal().map(Ending::Killed);
                Some(Self::Ended(killed.or(status.code().map(Ending::Exited))?))
            }
            b'R' => Some(Self::Refused(String::from_utf8_lossy(&message[1..]).into_owned())),
            _ => None,
        }
    }
}

/// Which row a line was printed of, where it says so, and the line.
pub fn of_row(line: &[u8]) -> (Option<u64>, &[u8]) {
    let marked = || {
        let rest = line.strip_prefix(b"\x1e")?;
        let end = memchr::memchr(b'\x1f', rest)?;
        let number = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        Some((Some(number), &rest[end + 1..]))
    };
    marked().unwrap_or((None, line))
}

/// The system's monotonic clock, in nanoseconds.
pub fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_which_row_they_are_of() {
        assert_eq!(of_row(b"\x1e12\x1fsaid\n"), (Some(12), &b"said\n"[..]));
        for line in
            [&b"said\n"[..], b"\x1e\x1f", b"\x1e1", b"\x1e-1\x1fx", b"\x1e99999999999999999999\x1f", b""]
        {
            assert_eq!(of_row(line), (None, line));
        }
    }

    #[test]
    fn what_is_no_message() {
        let whole: Vec<u8> = [&b"A\0\0\0\0\0\0\0"[..], &[1, 0, 0, 0, 0, 0, 0, 0].repeat(4)].concat();
        assert!(matches!(Message::read(&whole), Some(Message::Answers { from: 1, to: 1, end: 1, bytes: 1 })));
        assert!(
            Message::read(&whole[..39]).is_none()
                && Message::read(b"").is_none()
                && Message::read(b"Z").is_none()
        );
        assert!(matches!(Message::read(b"Rwhy"), Some(Message::Refused(why)) if why == "why"));
        let ended = |status: u64| Message::read(&[&b"X\0\0\0\0\0\0\0"[..], &status.to_le_bytes()].concat());
        assert!(matches!(ended(3 << 8), Some(Message::Ended(Ending::Exited(3)))));
        assert!(matches!(ended(11), Some(Message::Ended(Ending::Killed(11)))));
    }
}
