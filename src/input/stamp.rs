//! What tells that an input stayed the same from the first opening to the end of the run: else one worker may read
//! what another has not seen, and the results are of a mixture that never was.
//!
//! Of a regular file it is its device, inode, size, and the times at which its contents (mtime) and anything
//! about it (ctime) were changed, as found when it was opened first. Every other opening is compared with that,
//! and once more the name of the file when all answers are there and before the results get theirs. The last
//! comparison alone finds nearly all; the others find it early. ctime counts although `chmod` and `ln` change it
//! too: of a file that is written to and then gets its old mtime back, as `cp -p` and rsync give it, nothing else
//! tells. Pipes and what the system makes up as it is read (/proc) cannot be compared.
//!
//! Ranks on rank 0's host compare with what rank 0 has found. On other hosts device, inode and ctime may be others
//! for the same file (NFS), and mtime for a copy, which parpy doctor proposes where nodes share no folder: there
//! only the size, or the number of values, is compared with rank 0's, and all else with the rank's own first look.
//! As a file that is shared is changed for rank 0 too, no change of it goes unseen.
//!
//! What is not seen: a change in the same tick of the file system's clock (some milliseconds) as the one before
//! the run, one through a memory map that the system has not noted yet, and one that an NFS server has not told
//! of.

use std::fs::{File, Metadata};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytemuck::{Pod, Zeroable};

use crate::base::error::{Error, Result};
use crate::input::section::has_hidden_bytes;

/// A file as it was at some time, or several files together; nothing, where there is none to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Stamp {
    device: u64,
    /// Never 0 for a file.
    inode: u64,
    size: u64,
    modified: [i64; 2],
    changed: [i64; 2],
}

impl Stamp {
    /// Nothing to compare.
    pub const NONE: Self = Self { device: 0, inode: 0, size: 0, modified: [0; 2], changed: [0; 2] };

    /// Of an open file.
    pub fn of(file: &File) -> Self {
        let Ok(meta) = file.metadata() else { return Self::NONE };
        let is_made_up = |meta: &Metadata| meta.len() == 0 && has_hidden_bytes(file);
        // Asked again, because a file may be written to for the first time just now.
        if !meta.is_file() || is_made_up(&meta) && file.metadata().is_ok_and(|meta| meta.len() == 0) {
            return Self::NONE;
        }
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: [meta.mtime(), meta.mtime_nsec()],
            changed: [meta.ctime(), meta.ctime_nsec()],
        }
    }

    /// Of what a descriptor stands for.
    pub fn of_descriptor(descriptor: BorrowedFd) -> Self {
        descriptor.try_clone_to_owned().map_or(Self::NONE, |owned| Self::of(&File::from(owned)))
    }

    /// Of the file at `path`, opened anew, because what NFS says of a file is new only then.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn at(path: &Path) -> std::io::Result<Self> {
        // Not of a pipe, which would wait for its writer.
        if !std::fs::metadata(path)?.is_file() {
            return Ok(Self::NONE);
        }
        File::open(path).map(|file| Self::of(&file))
    }

    /// Is there nothing to compare?
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// That of both files together, which is another when one of them is.
    pub fn and(self, other: Self) -> Self {
        // Not their mere sum, which would be the same where two files have changed places.
        let add = |a: u64, b: u64| a.wrapping_mul(31).wrapping_add(b);
        let add_times = |a: [i64; 2], b: [i64; 2]| {
            [0, 1].map(|i| add(a[i].cast_unsigned(), b[i].cast_unsigned()).cast_signed())
        };
        Self {
            device: add(self.device, other.device),
            inode: add(self.inode, other.inode),
            size: add(self.size, other.size),
            modified: add_times(self.modified, other.modified),
            changed: add_times(self.changed, other.changed),
        }
    }

    /// Checks that the file at `path`, which is `now` as that says, is still as it was when this was made.
    ///
    /// # Errors
    /// It is not; says how.
    pub fn check(self, now: Self, path: &Path) -> Result<()> {
        if self == now || self.is_none() {
            return Ok(());
        }
        let what = if now.is_none() || (self.device, self.inode) != (now.device, now.inode) {
            "another file has taken its place"
        } else if (self.size, self.modified) != (now.size, now.modified) {
            "it was written to"
        } else {
            "it was written to, or renamed, linked or given other rights,"
        };
        Err(changed(path, what))
    }
}

/// `what` has happened to an input.
pub fn changed(path: &Path, what: &str) -> Error {
    Error::Failed(format!(
        "cannot use {}: {what} since the run began, so the results may be of a mixture; run it again when nothing \
         writes to it",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_file_that_is_left_alone_stays_the_same_and_no_other_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, "1\n").unwrap();
        let first = Stamp::at(&path).unwrap();
        first.check(Stamp::at(&path).unwrap(), &path).unwrap();
        let says = |part: &str| {
            let error = first.check(Stamp::at(&path).unwrap(), &path).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        let file = File::options().write(true).open(&path).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(9)).unwrap();
        says("it was written to since");
        file.set_modified(before).unwrap();
        says("or renamed, linked");
        fs::write(dir.path().join("y"), "1\n").unwrap();
        fs::rename(dir.path().join("y"), &path).unwrap();
        says("another file has taken its place");
    }

    #[test]
    fn what_cannot_be_compared() {
        assert!(Stamp::at(Path::new("/dev/null")).unwrap().is_none());
        #[cfg(target_os = "linux")]
        assert!(Stamp::at(Path::new("/proc/self/status")).unwrap().is_none());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty");
        fs::write(&path, "").unwrap();
        let empty = Stamp::at(&path).unwrap();
        assert!(!empty.is_none());
        assert!(empty.and(Stamp::NONE) != empty.and(empty));
    }
}
