//! What a program reads: parts of a file, handed on from where the system keeps them to the program's standard input.
//!
//! Nothing is copied on the way where the system can (`splice`): pages of the file become pages of the pipe. Never waits
//! for the program, which may print before it has read all, or read nothing.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// Bytes that wait in a pipe at the most: what the system gives everybody. With fewer, the two sides would wake each other
/// more often than they need.
#[cfg(target_os = "linux")]
const WAITING: usize = 1024 * 1024;

/// What a pipe holds at first.
pub(super) const FIRST: usize = 64 * 1024;

/// How long to let a program read before it is given more, where it has read little since the last time: who gives it
/// every page as soon as there is room for it takes the CPU from it again and again. Measured: 2 GB for `wc -l`, two at a
/// time on two busy CPUs, in 0.30 s, and in 0.46 s without.
const REST: Duration = Duration::from_micros(100);

/// Bytes that are given at once at the most, as the system takes no more than 2 GiB.
const PIECE: u64 = 1 << 30;

/// What is left to be given to a program.
pub(super) struct Feed {
    /// The program's standard input.
    pipe: OwnedFd,
    parts: VecDeque<Range<u64>>,
    /// The system cannot hand on this file without a copy.
    copies: bool,
    /// Bytes that wait in the pipe at the most.
    most: usize,
    /// The program has read little since it was given something.
    rests: bool,
}

/// What has become of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// There is more, for which there is no room now.
    Some,
    /// Nothing is left, or the program wants no more.
    All,
    /// The file cannot be read (`errno`), or ends before it should (0).
    Failed(i32),
}

impl Feed {
    /// Of parts of a file, and the end of the pipe that is for the program.
    ///
    /// # Errors
    /// The system has no room for a pipe.
    pub(super) fn new(parts: &[Range<u64>]) -> Result<(Self, OwnedFd), Errno> {
        let (of_program, pipe) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&pipe, true)?;
        let most = widen(&pipe);
        let parts = parts.iter().cloned().collect();
        let feed = Self { pipe, parts, copies: false, most, rests: false };
        Ok((feed, of_program))
    }

    /// Gives as much of `file` as there is room for. `room` is for what must be copied.
    pub(super) fn give(&mut self, file: Option<&OwnedFd>, room: &mut [u8]) -> Fed {
        let Some(file) = file else { return Fed::Failed(Errno::BADF.raw_os_error()) };
        let mut all = 0;
        while let Some(part) = self.parts.front_mut() {
            if part.is_empty() {
                self.parts.pop_front();
                continue;
            }
            let most = (part.end - part.start).min(PIECE) as usize;
            let given = match self.copies {
                false => hand_on(file, part.start, &self.pipe, most),
                true => copy(file, part.start, &self.pipe, most, room),
            };
            match given {
                Ok(0) => return Fed::Failed(0),
                Ok(count) => {
                    part.start += count as u64;
                    all += count;
                    if count < most && !self.copies {
                        // The pipe is full, or nearly so.
                        self.rests = self.most > FIRST && all < self.most / 2;
                        return Fed::Some;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Fed::Some,
                // It has ended, or has closed its input.
                Err(Errno::PIPE) => return Fed::All,
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if !self.copies => self.copies = true,
                Err(errno) => return Fed::Failed(errno.raw_os_error()),
            }
        }
        Fed::All
    }

    /// How long to rest now, where it is time to; told once.
    pub(super) fn take_rest(&mut self) -> Option<Duration> {
        std::mem::take(&mut self.rests).then_some(REST)
    }
}

/// Has a pipe hold more than it does at first. Returns how much.
#[cfg(target_os = "linux")]
pub(super) fn widen(pipe: &OwnedFd) -> usize {
    // A user may have only so many pages in pipes; less will do.
    rustix::pipe::fcntl_setpipe_size(pipe, WAITING).unwrap_or(FIRST)
}

/// The same: not on this system.
#[cfg(not(target_os = "linux"))]
pub(super) fn widen(_pipe: &OwnedFd) -> usize {
    FIRST
}

impl AsFd for Feed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Hands on bytes of a file from `start` on, and says how many; 0 at its end.
#[cfg(target_os = "linux")]
fn hand_on(file: &OwnedFd, mut start: u64, pipe: &OwnedFd, most: usize) -> Result<usize, Errno> {
    use rustix::pipe::{SpliceFlags, splice};
    splice(file, Some(&mut start), pipe, None, most, SpliceFlags::NONBLOCK)
}

/// The same: not on this system.
#[cfg(not(target_os = "linux"))]
fn hand_on(_file: &OwnedFd, _start: u64, _pipe: &OwnedFd, _most: usize) -> Result<usize, Errno> {
    Err(Errno::NOSYS)
}

/// The same with a copy by way of `room`.
fn copy(file: &OwnedFd, start: u64, pipe: &OwnedFd, most: usize, room: &mut [u8]) -> Result<usize, Errno> {
    let most = most.min(room.len());
    // What there is no room for is read again.
    match rustix::io::pread(file, &mut room[..most], start)? {
        0 => Ok(0),
        count => rustix::io::write(pipe, &room[..count]),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// What comes out of the other end, which is read to its end where all has been given, and how it ended.
    fn given(parts: &[Range<u64>], bytes: &[u8], copies: bool) -> (Vec<u8>, Fed) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let file: OwnedFd = file.into();
        let (mut feed, of_program) = Feed::new(parts).unwrap();
        feed.copies = copies;
        rustix::io::ioctl_fionbio(&of_program, true).unwrap();
        let (mut read, mut room) = (Vec::new(), vec![0; 5000]);
        loop {
            let fed = feed.give(Some(&file), &mut room);
            let mut buffer = vec![0; 300_000];
            while let Ok(count) = rustix::io::read(&of_program, &mut buffer)
                && count > 0
            {
                read.extend_from_slice(&buffer[..count]);
            }
            if fed != Fed::Some {
                return (read, fed);
            }
        }
    }

    #[test]
    fn parts_of_a_file_one_behind_the_other() {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        for copies in [false, true] {
            for parts in
                [&[0..3_000_000, 0..0][..], &[0..7, 7..7, 5..2_999_999], &[8..8, 2_999_999..3_000_000], &[]]
            {
                let (read, fed) = given(parts, &bytes, copies);
                let expected: Vec<u8> =
                    parts.iter().flat_map(|p| &bytes[p.start as usize..p.end as usize]).copied().collect();
                assert!(read == expected && fed == Fed::All, "{parts:?}: {} bytes, {fed:?}", read.len());
            }
            // The file has become shorter.
            let (read, fed) = given(&[0..3, 2_999_990..3_000_001], &bytes, copies);
            assert_eq!((read.len(), fed), (13, Fed::Failed(0)));
        }
    }

    #[test]
    fn who_reads_no_more_is_given_no_more() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100]).unwrap();
        let file: OwnedFd = file.into();
        let (mut feed, of_program) = Feed::new(std::slice::from_ref(&(0..100))).unwrap();
        drop(of_program);
        assert_eq!(feed.give(Some(&file), &mut [0; 10]), Fed::All);
        assert_eq!(Feed::new(&[]).unwrap().0.give(None, &mut []), Fed::Failed(libc::EBADF));
    }
}
