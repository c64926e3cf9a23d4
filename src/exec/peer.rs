//! A process that answers one worker, forked for it by a host: a process of the user that all workers of a node find by the
//! name of a socket. The two speak in short messages, and what is large is in memory that both have. What the other
//! process prints comes through a pipe of the worker's own.
//!
//! What is asked and answered is not known here, nor how the host was started.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memmap2::MmapRaw;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix,
    SocketFlags, SocketType, connect, recv, send, sendmsg, shutdown, socket_with,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::getuid;

use super::Ended;
use super::client::LOOK;
use crate::base::signals;

/// Bytes that are read at once: what a pipe holds.
const PIECE: usize = 64 * 1024;

/// Bytes of a line that is passed on whole.
const LONGEST_LINE: usize = 64 * 1024;

/// How long to wait until a host is asked again whether it is there.
const NAPS: [Duration; 2] = [Duration::from_micros(200), Duration::from_millis(20)];

/// A process that answers this worker. When it is dropped, the host ends that process.
pub struct Peer {
    socket: OwnedFd,
    file: OwnedFd,
    map: MmapRaw,
    /// What it prints.
    printed: OwnedFd,
    /// The beginning of a line of that.
    line: Vec<u8>,
}

/// What has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// A message of so many bytes.
    Message(usize),
    /// Nothing, until the time that was given.
    Nothing,
    /// There will be nothing more: it has gone.
    Gone,
}

impl Peer {
    /// Has the host that `name` leads to fork a process for this worker, which shares so many bytes of memory with it and is
    /// sent `hello` first. Waits until that host is there, as long as `is_wanted`.
    ///
    /// # Errors
    /// Nobody wants it any more, a signal has come, the system has no room, or the host is not this user's.
    pub fn connect(
        name: &[u8],
        hello: &[u8],
        bytes: usize,
        until: Instant,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Self, Ended> {
        let failed = |error: Errno| Ended::Unkept(error.into());
        let address = SocketAddrUnix::new_abstract_name(name).map_err(failed)?;
        let mut nap = NAPS[0];
        let socket = loop {
            signals::check().map_err(Ended::Signal)?;
            if !is_wanted() {
                return Err(Ended::Unwanted);
            }
            let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(failed)?;
            match connect(&socket, &address) {
                Ok(()) => break socket,
                Err(Errno::CONNREFUSED | Errno::AGAIN | Errno::INTR) if Instant::now() < until => {}
                Err(_) => return Err(Ended::Gone),
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(NAPS[1]);
        };
        if socket_peercred(&socket).map_err(failed)?.uid != getuid() {
            return Err(Ended::Unkept(io::Error::other("the process that answers belongs to another user")));
        }
        let file = memfd_create("parpy", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).map_err(failed)?;
        // So that no page of the map is ever without memory behind it.
        fcntl_add_seals(&file, SealFlags::SHRINK).map_err(failed)?;
        let map = map(&file, bytes).map_err(Ended::Unkept)?;
        let (printed, prints) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
        rustix::io::ioctl_fionbio(&printed, true).map_err(failed)?;
        let files = [file.as_fd(), prints.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut sent = SendAncillaryBuffer::new(&mut space);
        sent.push(SendAncillaryMessage::ScmRights(&files));
        sendmsg(&socket, &[IoSlice::new(hello)], &mut sent, SendFlags::NOSIGNAL).map_err(|_| Ended::Gone)?;
        Ok(Self { socket, file, map, printed, line: Vec::new() })
    }

    /// It is asked for nothing more.
    pub fn close(&self) {
        // Where it has gone, there is nobody to be told.
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    /// Sends it a message.
    ///
    /// # Errors
    /// It has gone.
    pub fn send(&self, message: &[u8]) -> Result<(), Ended> {
        send(&self.socket, message, SendFlags::NOSIGNAL).map(drop).map_err(|_| Ended::Gone)
    }

    /// Waits for its next message, which is put into `message`, and hands the lines that it prints meanwhile to `said`.
    /// `is_wanted` is asked from time to time.
    ///
    /// # Errors
    /// Nobody wants it any more, or a signal has come.
    pub fn hear(
        &mut self,
        message: &mut [u8],
        said: &mut dyn FnMut(&[u8]),
        until: Option<Instant>,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<News, Ended> {
        let mut is_reset = false;
        loop {
            match recv(&self.socket, &mut *message, RecvFlags::DONTWAIT) {
                Ok((count @ 1.., _)) => {
                    // What it has printed before, which is no more than its pipe holds.
                    self.take_lines(said);
                    return Ok(News::Message(count));
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                // It has gone with something unread, and may have said why before.
                Err(Errno::CONNRESET) if !is_reset => {
                    is_reset = true;
                    continue;
                }
                Ok(_) | Err(_) => {
                    self.take_lines(said);
                    self.take_rest(said);
                    return Ok(News::Gone);
                }
            }
            signals::check().map_err(Ended::Signal)?;
            if !is_wanted() {
                return Err(Ended::Unwanted);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(News::Nothing);
            }
            self.wait(left.unwrap_or(LOOK).min(LOOK));
            self.take_lines(said);
        }
    }

    fn wait(&self, time: Duration) {
        let mut polled: Vec<PollFd> =
            [&self.socket, &self.printed].map(|fd| PollFd::new(fd, PollFlags::IN)).into();
        polled.extend(signals::descriptor().map(|signals| PollFd::from_borrowed_fd(signals, PollFlags::IN)));
        let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
        // Whatever comes of it, the socket is looked at again.
        let _ = poll(&mut polled, Some(&time));
    }

    /// Hands on whole lines that it has printed, as many as there are at once; the rest is kept, unless it is long.
    fn take_lines(&mut self, said: &mut dyn FnMut(&[u8])) {
        let mut piece = [0; PIECE];
        if let Ok(count @ 1..) = rustix::io::read(&self.printed, &mut piece) {
            self.line.extend_from_slice(&piece[..count]);
        }
        if let Some(end) = memchr::memrchr(b'\n', &self.line) {
            said(&self.line[..=end]);
            self.line.drain(..=end);
        }
        if self.line.len() > LONGEST_LINE {
            self.take_rest(said);
        }
    }

    /// Hands on what has no end of its line, with one.
    fn take_rest(&mut self, said: &mut dyn FnMut(&[u8])) {
        if !self.line.is_empty() {
            self.line.push(b'\n');
            said(&self.line);
            self.line.clear();
        }
    }

    /// Bytes of the memory.
    pub fn bytes(&self) -> usize {
        self.map.len()
    }

    /// Makes the memory as large at least.
    ///
    /// # Errors
    /// The system has no such memory.
    pub fn reserve(&mut self, bytes: usize) -> io::Result<()> {
        if bytes > self.map.len() {
            self.map = map(&self.file, bytes)?;
        }
        Ok(())
    }

    /// Puts bytes into the memory, where there is room for them.
    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        assert!(
            at.checked_add(bytes.len()).is_some_and(|end| end <= self.map.len()),
            "there is room for them"
        );
        // SAFETY: within the map, as said above, and nothing of this process refers to it. What the other process writes there
        // at the same time is bytes, too.
        unsafe { self.map.as_mut_ptr().add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
    }

    /// Takes bytes from the memory. Are they there?
    #[must_use]
    pub fn take(&self, at: usize, bytes: &mut [u8]) -> bool {
        let is_there = at.checked_add(bytes.len()).is_some_and(|end| end <= self.map.len());
        if is_there {
            // SAFETY: within the map, and `bytes` are this process's own. What the other process writes there at the same time
            // is bytes, too.
            unsafe { self.map.as_ptr().add(at).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) }
        }
        is_there
    }

    /// A word of the memory that the other process may be writing.
    pub fn word(&self, number: usize) -> u64 {
        assert!((number + 1) * size_of::<u64>() <= self.map.len(), "it is there");
        // SAFETY: within the map, and aligned, as maps begin at pages.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().cast::<u64>().add(number)) }
            .load(Ordering::Acquire)
    }
}

/// A file of memory, made as large, in this process.
fn map(file: &OwnedFd, bytes: usize) -> io::Result<MmapRaw> {
    let size = rustix::fs::fstat(file)?.st_size as usize;
    if bytes > size {
        ftruncate(file, bytes as u64)?;
    }
    memmap2::MmapOptions::new().len(bytes).map_raw(file)
}
