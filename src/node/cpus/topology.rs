//! CPUs and cores that the kernel knows of.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use super::{count, cpu_list, read};

pub(super) fn online(root: &Path) -> Option<String> {
    read(&root.join("sys/devices/system/cpu/online"))
}

pub(super) fn logical_cpus(root: &Path) -> usize {
    let listed = online(root).and_then(|text| count(&text));
    listed.unwrap_or_else(|| thread::available_parallelism().map_or(1, |number| number.get()))
}

pub(super) fn physical_cores(root: &Path) -> Option<usize> {
    cores_in_sys(root).or_else(|| cores_in_cpuinfo(&read(&root.join("proc/cpuinfo"))?))
}

/// Distinct pairs of package and core. The package is -1 where the firmware does not number them.
pub(super) fn cores_in_sys(root: &Path) -> Option<usize> {
    let online = cpu_list(&online(root)?)?;
    let core = |cpu: u32| {
        let topology = root.join(format!("sys/devices/system/cpu/cpu{cpu}/topology"));
        let number = |name: &str| read(&topology.join(name))?.trim().parse::<i64>().ok();
        Some((number("physical_package_id")?, number("core_id")?))
    };
    let cores: Option<BTreeSet<_>> = online.into_iter().flatten().map(core).collect();
    cores.map(|cores| cores.len())
}

/// The same pairs, one paragraph per CPU; most machines other than x86 have none.
pub(super) fn cores_in_cpuinfo(text: &str) -> Option<usize> {
    let core = |paragraph: &str| {
        let number = |name: &str| {
            let mut pairs = paragraph.lines().filter_map(|line| line.split_once(':'));
            pairs.find(|(key, _)| key.trim() == name)?.1.trim().parse::<i64>().ok()
        };
        Some((number("physical id")?, number("core id")?))
    };
    let cores: BTreeSet<_> = text.split("\n\n").filter_map(core).collect();
    (!cores.is_empty()).then_some(cores.len())
}
