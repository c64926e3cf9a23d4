//! A piece of memory that processes on one node share: made by one of them, mapped by the others.
//!
//! An anonymous file (`memfd_create`), and not an MPI-3 shared window: a window lies in `/dev/shm`, and
//! where that is small, as in containers it is, one MPI hangs and another dies at the first touch. Here a
//! lack of memory is an error of the one process that asks for it, before any other is involved, and
//! nothing is left behind however the processes end.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;

use bytemuck::{Pod, Zeroable};
use memmap2::MmapRaw;

use crate::node::host::node;

/// A mapped piece of memory.
pub struct Segment {
    map: MmapRaw,
    /// Open in the process that made it, for as long as others may want to map it.
    _file: File,
}

/// What another process needs to know to map a segment.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Address {
    pid: u64,
    descriptor: u64,
    bytes: u64,
    /// Stands at the end of the segment too, so that nothing else is taken for it.
    mark: u64,
    /// Of the node's name and of its kernel's present boot: only there the process number means anything.
    node: u64,
}

impl Segment {
    /// Makes a segment of `bytes`, all of it reserved, and says where others find it.
    ///
    /// # Errors
    /// The system gives no such memory, or not so much.
    #[cfg(target_os = "linux")]
    pub fn create(bytes: usize) -> io::Result<(Self, Address)> {
        use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};
        use std::os::fd::AsRawFd;
        let file = File::from(memfd_create("parpy", MemfdFlags::CLOEXEC)?);
        let marked = bytes.next_multiple_of(8) + 8;
        fallocate(&file, FallocateFlags::empty(), 0, marked as u64)?;
        let address = Address {
            pid: u64::from(std::process::id()),
            descriptor: file.as_raw_fd() as u64,
            bytes: marked as u64,
            mark: random(),
            node: node(),
        };
        let segment = Self { map: MmapRaw::map_raw(&file)?, _file: file };
        // SAFETY: within the map, aligned (maps begin at pages), and nobody else has mapped it yet.
        unsafe { segment.mark().write(address.mark) };
        Ok((segment, address))
    }

    /// Elsewhere there is none.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(target_os = "linux"))]
    pub fn create(_bytes: usize) -> io::Result<(Self, Address)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Maps a segment that another process on this node has made; `None` where this is another node, or
    /// that process may not be looked into.
    pub fn open(address: &Address) -> Option<Self> {
        if address.bytes == 0 || address.node != node() {
            return None;
        }
        let path = format!("/proc/{}/fd/{}", address.pid, address.descriptor);
        let file = File::options().read(true).write(true).open(path).ok()?;
        if file.metadata().ok()?.len() != address.bytes {
            return None;
        }
        let segment = Self { map: MmapRaw::map_raw(&file).ok()?, _file: file };
        // SAFETY: within the map, aligned, and written before the address was told.
        let mark = unsafe { segment.mark().read() };
        (mark == address.mark).then_some(segment)
    }

    /// The first word.
    pub fn start(&self) -> *mut u64 {
        self.map.as_mut_ptr().cast()
    }

    /// Bytes that can be used.
    pub fn bytes(&self) -> usize {
        self.map.len() - size_of::<u64>()
    }

    fn mark(&self) -> *mut u64 {
        self.map.as_mut_ptr().wrapping_add(self.bytes()).cast()
    }
}

/// Seeded by the system for each process and call.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_found_and_nothing_else_is_taken_for_it() {
        let (segment, address) = Segment::create(1000).unwrap();
        assert_eq!(segment.bytes(), 1000);
        let again = Segment::open(&address).unwrap();
        // SAFETY: both maps are of this test alone.
        unsafe {
            segment.start().write(42);
            assert_eq!(again.start().read(), 42);
        }
        assert!(Segment::open(&Address { mark: address.mark ^ 1, ..address }).is_none());
        assert!(Segment::open(&Address { bytes: 2048, ..address }).is_none());
        assert!(Segment::open(&Address { node: address.node ^ 1, ..address }).is_none());
        assert!(Segment::open(&Address { descriptor: 9999, ..address }).is_none());
        assert!(Segment::open(&Address::default()).is_none());
    }
}
