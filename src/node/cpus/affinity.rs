//! CPUs that this process is bound to.

use std::path::Path;

use super::topology::online;
use super::{cpu_list, read};

/// The size of this thread's affinity mask, where it fits into a `CpuSet` (1024 CPUs).
#[cfg(target_os = "linux")]
pub(super) fn kernel_affinity() -> Option<usize> {
    let set = rustix::thread::sched_getaffinity(None).ok()?;
    Some(set.count() as usize).filter(|cpus| *cpus > 0)
}

/// Only Linux is asked.
#[cfg(not(target_os = "linux"))]
pub(super) fn kernel_affinity() -> Option<usize> {
    None
}

/// The CPUs of this thread's affinity mask.
#[cfg(target_os = "linux")]
pub(super) fn which_cpus() -> Option<Vec<usize>> {
    let set = rustix::thread::sched_getaffinity(None).ok()?;
    Some((0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
}

/// Only Linux is asked.
#[cfg(not(target_os = "linux"))]
pub(super) fn which_cpus() -> Option<Vec<usize>> {
    None
}

/// The same mask as text, of any size (proc(5)). It names CPUs that are offline, or not even there, too;
/// the kernel's own answer does not.
pub(super) fn allowed_cpus(root: &Path) -> Option<usize> {
    let status = read(&root.join("proc/self/status"))?;
    let allowed = status.lines().find_map(|line| cpu_list(line.strip_prefix("Cpus_allowed_list:")?))?;
    let online = cpu_list(&online(root)?)?;
    let both = online.into_iter().flatten().filter(|cpu| allowed.iter().any(|range| range.contains(cpu)));
    Some(both.count()).filter(|cpus| *cpus > 0)
}
