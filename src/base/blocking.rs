//! Streams that may keep a process waiting: standard input, output and error, pipes, FIFOs and terminals. They
//! are opened, read and written so that a signal is heard meanwhile, and those that were closed when parpy was
//! started are told from empty ones.
//!
//! What a signal means is for [`crate::base::signals`] to say, and what is written for [`crate::output`]. Regular
//! files pass through unchanged: nothing here makes them atomic.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::stdio::{stderr, stdin, stdout};

use crate::base::signals::{self, Grace};

/// The name of standard input in messages.
pub const STDIN: &str = "standard input";

/// The name of standard output in messages.
pub const STDOUT: &str = "standard output";

/// So many bytes can be written without waiting to a pipe, or a socket, that says it has room (POSIX: at least
/// 512; Linux: a page).
pub const PORTION: usize = 4096;

/// How what may keep a process waiting is opened.
const NO_WAITING: i32 = libc::O_NONBLOCK | libc::O_NOCTTY;

/// Which of the first three descriptors were closed when this program began, a bit for each.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Rust opens `/dev/null` in place of a standard stream that is closed, before `main` begins. So this is called
/// before that.
#[cfg(target_os = "linux")]
#[used]
// SAFETY: an entry of this section is a function that the C library calls once, before `main`, with arguments
// that this one does not take; it uses nothing that would have to be initialised first.
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = {
    extern "C" fn look() {
        for descriptor in 0..3 {
            // SAFETY: asks for a descriptor's flags, and changes nothing.
            if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
                CLOSED.fetch_or(1 << descriptor, Ordering::Relaxed);
            }
        }
    }
    look
};

/// The standard stream of that number, unless it was closed.
///
/// # Errors
/// It was.
fn unless_closed(number: usize) -> io::Result<BorrowedFd<'static>> {
    if CLOSED.load(Ordering::Relaxed) >> number & 1 == 1 {
        return Err(io::Error::other("it is closed"));
    }
    Ok([stdin, stdout, stderr][number]())
}

/// A program that this process becomes finds closed what was closed for this one.
pub fn hand_on_closed() {
    for number in 0..3 {
        if unless_closed(number).is_err() {
            // Where it cannot be, the other program takes the stream for an empty one.
            let _ = fcntl_setfd([stdin, stdout, stderr][number](), FdFlags::CLOEXEC);
        }
    }
}

/// Checks that `path` is not the name of a standard stream that is closed.
///
/// # Errors
/// It is.
fn is_open(path: &Path) -> io::Result<()> {
    const NAMES: [[&str; 3]; 3] = [
        ["/dev/stdin", "/dev/stdout", "/dev/stderr"],
        ["/dev/fd/0", "/dev/fd/1", "/dev/fd/2"],
        ["/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"],
    ];
    let number = NAMES.iter().find_map(|names| names.iter().position(|name| path == Path::new(name)));
    number.map_or(Ok(()), |number| unless_closed(number).map(drop))
}

/// Is a FIFO, or a pipe, called so?
fn is_fifo(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo())
}

/// Opens a file that is read front to back. Of a FIFO that nobody has opened for writing yet, nothing comes until
/// somebody does; whoever reads must wait before each read, as [`Patient`] does.
///
/// # Errors
/// It cannot be opened.
pub fn open(path: &Path) -> io::Result<File> {
    is_open(path)?;
    let mut options = File::options();
    if is_fifo(path) {
        // Does not wait for a writer: poll(2) does, and tells of the end only once there has been one.
        options.custom_flags(libc::O_NONBLOCK);
    }
    options.read(true).open(path)
}

/// Standard input, without a buffer.
pub struct Stdin;

impl Read for Stdin {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(unless_closed(0)?, room)?)
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        stdin()
    }
}

/// A reader that waits for its input and for a signal at the same time: Ctrl-C must be heard while nothing
/// comes from a pipe.
pub struct Patient<R>(pub R);

impl<R: Read + AsFd> Read for Patient<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            signals::wait_readable(self.0.as_fd())?;
            match self.0.read(room) {
                // Somebody else who reads from it was faster.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
    }
}

/// A stream to write to, which waits for its reader and for a signal at the same time. Once a signal has come, the
/// reader has a moment to take what is there ([`Grace`]).
pub struct Outlet {
    file: File,
    /// Bytes that are written at once: no more than there is room for, where a write would wait for more.
    portion: usize,
    grace: Grace,
}

impl Outlet {
    /// Standard output.
    ///
    /// # Errors
    /// It is closed, or not open for writing.
    pub fn stdout() -> io::Result<Self> {
        let own = unless_closed(1)?;
        if fcntl_getfl(own)? & OFlags::ACCMODE == OFlags::RDONLY {
            return Err(io::Error::other("it is not open for writing"));
        }
        let kind = FileType::from_raw_mode(fstat(own)?.st_mode);
        let (mut file, mut portion) = (None, usize::MAX);
        if kind == FileType::Fifo || own.is_terminal() {
            // Opened once more, because others have the one that there is too, and may want it to wait.
            file = File::options().write(true).custom_flags(NO_WAITING).open("/proc/self/fd/1").ok();
        }
        if file.is_none() && kind != FileType::RegularFile {
            portion = PORTION;
        }
        let file = file.map_or_else(|| own.try_clone_to_owned().map(File::from), Ok)?;
        Ok(Self { file, portion, grace: Grace::new() })
    }

    /// What is no regular file (a device, a pipe) under that name, to be appended to. Of a FIFO that nobody has
    /// opened for reading it waits for somebody who does.
    ///
    /// # Errors
    /// It cannot be opened, or a signal has come, as [`signals::from_io`] knows.
    pub fn append(path: &Path) -> io::Result<Self> {
        is_open(path)?;
        let mut options = File::options();
        options.append(true);
        if fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
            options.custom_flags(NO_WAITING);
        }
        loop {
            match options.open(path) {
                // There is no reader yet.
                Err(e) if e.raw_os_error() == Some(libc::ENXIO) && is_fifo(path) => signals::nap()?,
                file => return Ok(Self { file: file?, portion: usize::MAX, grace: Grace::new() }),
            }
        }
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(&mut self.file, &bytes[..bytes.len().min(self.portion)], &self.grace)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard error, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Stderr;

/// Of all messages together.
static GRACE: Grace = Grace::new();

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_closed(2)?;
        write(&mut io::stderr(), &bytes[..bytes.len().min(PORTION)], &GRACE)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes as many of the bytes as there is room for, once there is some.
fn write(to: &mut (impl Write + AsFd), bytes: &[u8], grace: &Grace) -> io::Result<usize> {
    loop {
        signals::wait_writable(to.as_fd(), grace)?;
        match to.write(bytes) {
            // Somebody else who writes to it was faster.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return outcome,
        }
    }
}
