//! Which host this process is on, and what it takes of it.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};

/// This host's name.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A number that tells this node from others: processes with other host names are taken to be on other nodes, even
/// on one kernel. The hash's keys are fixed, so the number is the same in every process.
pub fn node() -> u64 {
    let mut hasher = DefaultHasher::new();
    fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default().hash(&mut hasher);
    host().hash(&mut hasher);
    hasher.finish()
}

/// The most memory that this process has had so far, in KiB, where the system tells (`VmHWM`, proc(5)).
pub fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}
