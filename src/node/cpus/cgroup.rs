//! Limits of control groups, of versions 1 and 2 of them (cgroups(7)).

use std::path::{Component, Path, PathBuf};

use super::{positive, read};
use crate::node::mounts::{self, Mount};

/// The two kinds of hierarchies. On a hybrid system a process is in both; only one has the CPUs.
#[derive(Clone, Copy)]
pub(super) enum Version {
    V1,
    V2,
}

/// The least quota from this process's own cgroup up to where its hierarchy is mounted, in CPUs.
pub(super) fn cgroup_quota(root: &Path) -> Option<f64> {
    limits(root, "cpu", quota).into_iter().min_by(f64::total_cmp)
}

/// The least limit of memory on the same way, in bytes.
pub fn memory_limit() -> Option<u64> {
    limits(Path::new("/"), "memory", memory).into_iter().min()
}

/// What `limit` finds from this process's own cgroup up to where its hierarchy is mounted.
pub(super) fn limits<T>(
    root: &Path,
    controller: &str,
    limit: impl Fn(&Path, Version) -> Option<T>,
) -> Vec<T> {
    let files = ["cgroup", "mountinfo"].map(|name| read(&root.join("proc/self").join(name)));
    let [Some(own), Some(mountinfo)] = files else { return Vec::new() };
    let mounts = mounts::parse(&mountinfo);
    let place = |version| {
        let seen = mounts.iter().filter(|mount| shows(mount, version, controller)).collect();
        let (point, within) = place(cgroup_path(&own, version, controller)?, seen)?;
        // An absolute path would replace `root`, not continue it.
        Some((root.join(point.strip_prefix("/").ok()?), within, version))
    };
    let mut found = Vec::new();
    for (point, within, version) in [Version::V1, Version::V2].into_iter().filter_map(place) {
        found.extend(within.ancestors().filter_map(|path| limit(&point.join(path), version)));
    }
    found
}

/// This process's path in the hierarchy that would have the controller, from lines such as `4:cpu,cpuacct:/a` and
/// `0::/a` (cgroups(7)). A path may have colons.
pub(super) fn cgroup_path<'a>(text: &'a str, version: Version, controller: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let found = match version {
            Version::V1 => controllers.split(',').any(|name| name == controller),
            Version::V2 => id == "0",
        };
        found.then_some(path)
    })
}

/// Is that hierarchy seen there?
pub(super) fn shows(mount: &Mount, version: Version, controller: &str) -> bool {
    match version {
        Version::V1 => mount.kind == "cgroup" && mount.options.split(',').any(|name| name == controller),
        Version::V2 => mount.kind == "cgroup2",
    }
}

/// The mount point under which the cgroup `path` is seen, and the path from there. A cgroup outside of all
/// that is mounted, as in a cgroup namespace that is not ours, has at least the limits of a mount point.
pub(super) fn place(path: &str, mounts: Vec<&Mount>) -> Option<(PathBuf, PathBuf)> {
    let within = |mount: &&Mount| {
        let rest = Path::new(path).strip_prefix(&mount.root).ok()?;
        let inside = rest.components().all(|part| matches!(part, Component::Normal(_)));
        inside.then(|| (mount.point.clone(), rest.to_owned()))
    };
    let seen = mounts.iter().find_map(within);
    seen.or_else(|| Some((mounts.first()?.point.clone(), PathBuf::new())))
}

/// The quota of one cgroup, in CPUs.
pub(super) fn quota(cgroup: &Path, version: Version) -> Option<f64> {
    match version {
        Version::V1 => {
            let quota = read(&cgroup.join("cpu.cfs_quota_us"))?;
            ratio(&quota, &read(&cgroup.join("cpu.cfs_period_us"))?)
        }
        Version::V2 => {
            let text = read(&cgroup.join("cpu.max"))?;
            let (quota, period) = text.trim().split_once(' ')?;
            ratio(quota, period)
        }
    }
}

/// The limit of one cgroup's memory, in bytes. No limit is `max` (v2), or all that fits into 63 bits, in pages (v1).
pub(super) fn memory(cgroup: &Path, version: Version) -> Option<u64> {
    let name = match version {
        Version::V1 => "memory.limit_in_bytes",
        Version::V2 => "memory.max",
    };
    read(&cgroup.join(name))?.trim().parse().ok().filter(|bytes| *bytes < 1 << 62)
}

/// Microseconds in each so many. No limit is `-1` (v1) or `max` (v2): no positive number.
pub(super) fn ratio(quota: &str, period: &str) -> Option<f64> {
    Some(positive(quota)? as f64 / positive(period)? as f64)
}
