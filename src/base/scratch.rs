//! Room for what is needed for a while and leaves nothing behind, also where the folder for temporary files
//! (`TMPDIR`) is missing, full, or closed to this user.

use std::fs::File;
use std::io;

use tempfile::TempDir;

/// A file without a name, gone when it is closed: in memory where the system has that.
///
/// # Errors
/// There is no room.
pub fn file() -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{MemfdFlags, memfd_create};
        Ok(File::from(memfd_create("parpy", MemfdFlags::CLOEXEC)?))
    }
    #[cfg(not(target_os = "linux"))]
    tempfile::tempfile()
}

/// A folder for other processes to find things in, gone when it is dropped: where the user wants it, or else where
/// there is one.
///
/// # Errors
/// There is none, and why not where the user wants it.
pub fn folder() -> io::Result<TempDir> {
    let elsewhere = || ["/tmp", "/var/tmp", "."].iter().find_map(|folder| tempfile::tempdir_in(folder).ok());
    tempfile::tempdir().or_else(|e| elsewhere().ok_or(e))
}
