//! What is mounted where, as this process sees it: `/proc/self/mountinfo` (proc(5)), and nothing of what is in
//! the file systems.

use std::fs;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What of the file system is mounted, as a path in it.
    pub root: PathBuf,
    /// The directory where it is mounted.
    pub point: PathBuf,
    /// Its type, as in `ext4`.
    pub kind: String,
    /// Where it comes from: a device, or a server and its export, as in `fs1:/home`.
    pub source: String,
    /// Options of the file system, with commas between.
    pub options: String,
}

/// All mounts, in the order in which they were made; none where the system does not say.
pub fn all() -> Vec<Mount> {
    fs::read("/proc/self/mountinfo").map_or(Vec::new(), |text| parse(&String::from_utf8_lossy(&text)))
}

/// From lines such as `34 25 0:29 /root /sys/fs/cgroup/cpu rw shared:15 - cgroup cgroup rw,cpu,cpuacct`. A line
/// that is anything else is passed over.
pub fn parse(mountinfo: &str) -> Vec<Mount> {
    let parse = |line: &str| {
        let (mount, system) = line.split_once(" - ")?;
        let (mut fields, mut system) = (mount.split(' ').skip(3), system.split(' '));
        let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
        let (kind, source, options) = (system.next()?, system.next()?, system.next()?);
        Some(Mount {
            root: root.into(),
            point: point.into(),
            kind: kind.into(),
            source: unescape(source),
            options: options.into(),
        })
    };
    mountinfo.lines().filter_map(parse).collect()
}

/// The mount on which `path` lies, which begins at the root and has no links in it: of those whose directories
/// lead to it the deepest, and of several on one directory the last, which hides the others. `None` where the
/// system does not say, as of what is on the root in a chroot, which is no mount.
pub fn holding<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let leads = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    leads.max_by_key(|mount| mount.point.components().count())
}

/// What the kernel escapes in mountinfo, and nothing else. The backslash is last, because it begins the others.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// How much room a file system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that a user who is not root may still write.
    pub free: u64,
}

/// The room of the file system that `path` is on, where the system tells.
pub fn room(path: &Path) -> Option<Room> {
    let said = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(said.f_frsize);
    Some(Room { total: bytes(said.f_blocks), free: bytes(said.f_bavail) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
30 22 0:28 / /tmp rw,nosuid shared:5 - tmpfs tmpfs rw,size=1024k
41 22 0:44 / /home rw,relatime shared:9 - nfs4 fs1:/home rw,vers=4.2
42 41 0:45 / /home/my\\040data rw - lustre 10.0.0.1@o2ib:/scratch rw
nonsense
50 22 0:50 / /tmp rw - xfs /dev/sdb1 rw
";

    #[test]
    fn a_path_lies_on_the_deepest_and_last_mount() {
        let mounts = parse(MOUNTS);
        let kind = |path: &str| holding(&mounts, Path::new(path)).map(|mount| mount.kind.as_str());
        assert_eq!(kind("/usr/bin"), Some("ext4"));
        assert_eq!(kind("/home/x"), Some("nfs4"));
        assert_eq!(kind("/home/my data/y"), Some("lustre"));
        assert_eq!(kind("/home/my dat"), Some("nfs4"));
        // Mounted over another.
        assert_eq!(kind("/tmp/z"), Some("xfs"));
        assert_eq!(holding(&[], Path::new("/")), None);
    }

    #[test]
    fn names_are_unescaped() {
        assert_eq!(unescape(r"/a\040b\011c\012d\134e"), "/a b\tc\nd\\e");
        assert_eq!(unescape(r"/a\134040b"), r"/a\040b");
    }

    #[test]
    fn this_system_has_mounts_and_room() {
        // The root is no mount in a chroot; that from which this is read is one everywhere.
        let mounts = all();
        let kind = |path: &str| holding(&mounts, Path::new(path)).map(|mount| mount.kind.as_str());
        if Path::new("/proc/self/mountinfo").exists() {
            assert_eq!(kind("/proc/self/mountinfo"), Some("proc"));
        }
        let room = room(Path::new("/")).unwrap();
        assert!(room.free <= room.total && room.total > 0);
    }
}
