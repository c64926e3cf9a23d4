//! How many CPUs this process may use, and which limit decided.
//!
//! The least of several limits, each found by itself: CPUs online, the affinity mask, the cgroup's quota,
//! what the batch system allocated, OpenMP's variables, and a fair share where several ranks are on this node. Read
//! from /proc, /sys and the environment at every start, so nothing here walks a directory per CPU except
//! [`Cpus::detect`], which also counts cores. Nothing is changed or pinned here, and nothing is said of how
//! busy the CPUs are. What cannot be read is no limit.

mod affinity;
mod cgroup;
mod slurm;
mod topology;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use affinity::{allowed_cpus, kernel_affinity, which_cpus};
use cgroup::cgroup_quota;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use slurm::{ranks_on_node, slurm, slurm_cpus_on_node};
use topology::{logical_cpus, physical_cores};

use crate::base::error::{Error, Result};
use crate::base::fmt::{counted, ranges, shown};

pub use cgroup::memory_limit;

/// What was found. `None` is "not known", or "not limited".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cpus {
    /// Cores of the CPUs online: for people, no limit.
    pub physical_cores: Option<usize>,
    /// CPUs online, hyperthreads counted.
    pub logical_cpus: usize,
    /// CPUs that the scheduler may run this process on.
    pub affinity: usize,
    /// CPUs' worth of time that the cgroup, or one above it, may use: 0.5 is half a CPU.
    pub cgroup_quota: Option<f64>,
    /// SLURM's CPUs for each task.
    pub slurm_cpus_per_task: Option<usize>,
    /// SLURM's CPUs for the job, or the step, on this node.
    pub slurm_cpus_on_node: Option<usize>,
    /// `OMP_NUM_THREADS`, its first number.
    pub omp_num_threads: Option<usize>,
    /// `OMP_THREAD_LIMIT`.
    pub omp_thread_limit: Option<usize>,
    /// Grid Engine's slots of the job: `NSLOTS`.
    pub nslots: Option<usize>,
    /// Torque's CPUs for the job on this node: `PBS_NUM_PPN`.
    pub pbs_num_ppn: Option<usize>,
    /// PBS's CPUs for the job on this node: `NCPUS`.
    pub ncpus: Option<usize>,
    /// LSF's slots of the job: `LSB_DJOB_NUMPROC`.
    pub lsb_djob_numproc: Option<usize>,
    /// Variables that should have been a limit, and what stands there instead of a number.
    pub not_understood: BTreeMap<String, String>,
    /// MPI ranks on this node; 1 when alone, or when nobody says.
    pub mpi_ranks_on_node: usize,
    /// The least of the limits, at least 1.
    pub usable: usize,
    /// The limit that is the least: the first of them in the order of the table.
    #[serde(deserialize_with = "limit_by_name")]
    pub decided_by: LimitName,
}

/// A limit's name. An alias, because serde would have a `&'static str` borrowed of a text that lives for ever.
pub type LimitName = &'static str;

/// The most workers that one run may start: more than any node has CPUs, fewer than what makes a node
/// unusable.
pub const MOST_WORKERS: usize = 4096;

/// Where launchers say how many ranks there are on this node: Open MPI, MPICH, MVAPICH2.
pub(crate) const LOCAL_RANKS: [&str; 3] =
    ["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_LOCAL_SIZE"];

/// Where launchers say which of the ranks of a node a process is, from 0.
const LOCAL_RANK: [&str; 5] = [
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "MV2_COMM_WORLD_LOCAL_RANK",
    "FLUX_TASK_LOCAL_ID",
    "SLURM_LOCALID",
];

/// Which of the ranks of its node this process is, from 0; `None` where its launcher does not say.
pub fn local_rank() -> Option<usize> {
    LOCAL_RANK.iter().find_map(|name| std::env::var(name).ok()?.parse().ok())
}

const LOGICAL: &str = "logical CPUs";
const AFFINITY: &str = "affinity mask";
const QUOTA: &str = "cgroup quota";
const SLURM_TASK: &str = "SLURM's CPUs of the task";
const SLURM_NODE: &str = "SLURM's CPUs on the node";
const OMP: &str = "OMP_NUM_THREADS";
const OMP_LIMIT: &str = "OMP_THREAD_LIMIT";
const NSLOTS: &str = "NSLOTS";
const PPN: &str = "PBS_NUM_PPN";
const NCPUS: &str = "NCPUS";
const LSF: &str = "LSB_DJOB_NUMPROC";
const RANKS: &str = "MPI ranks on this node";

fn limit_by_name<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<&'static str, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known =
        [LOGICAL, AFFINITY, QUOTA, SLURM_TASK, SLURM_NODE, OMP, OMP_LIMIT, NSLOTS, PPN, NCPUS, LSF, RANKS];
    known.into_iter().find(|known| *known == name).ok_or_else(|| D::Error::custom("no such limit"))
}

/// How many CPUs this process may use: [`Cpus::usable`] without counting cores.
pub fn usable() -> usize {
    Cpus::limits_only().usable
}

/// How many threads a rank has, where `asked` is what the user asks for: else what SLURM gives each task, or
/// one.
///
/// # Errors
/// SLURM gives more than parpy starts.
pub fn threads_of_rank(asked: Option<usize>) -> Result<usize> {
    let variable = "SLURM_CPUS_PER_TASK";
    let threads = asked.or_else(|| slurm(variable, &variable_of_process).and_then(|text| positive(&text)));
    match threads.unwrap_or(1) {
        n if n > MOST_WORKERS => Err(Error::Usage(format!(
            "{variable}={n}: parpy starts {MOST_WORKERS} threads at the most; --threads N says how many each rank is \
             to have"
        ))),
        n => Ok(n),
    }
}

fn variable_of_process(name: &str) -> Option<String> {
    Some(env::var_os(name)?.to_string_lossy().into_owned())
}

/// The CPUs that this process may run on, a bit for each of the first 1024. Where the system does not say which
/// they are, the first so many.
pub fn mask() -> [u64; 16] {
    let mut mask = [0; 16];
    let which = which_cpus().unwrap_or_else(|| (0..Cpus::limits_only().affinity.min(1024)).collect());
    which.into_iter().for_each(|cpu| mask[cpu / 64] |= 1 << (cpu % 64));
    mask
}

/// The same CPUs as a list, as in `0-3,8`.
pub fn allowed() -> String {
    let mask = mask();
    let which = (0..64 * mask.len()).filter(|cpu| mask[cpu / 64] >> (cpu % 64) & 1 == 1);
    ranges(which.map(|cpu| cpu as u64))
}

/// The CPUs in such a list; none where it is no list.
pub fn listed(text: &str) -> BTreeSet<u32> {
    cpu_list(text).into_iter().flatten().flatten().collect()
}

/// Of `most` CPUs of this node, how many its cgroup and the batch system leave to the processes of one job.
pub fn of_node(most: usize) -> usize {
    let cpus = Cpus::limits_only();
    let quota = cpus.cgroup_quota.map_or(usize::MAX, |quota| quota.ceil() as usize);
    most.min(quota).min(cpus.of_job_here().unwrap_or(usize::MAX)).max(1)
}

impl Cpus {
    /// Reads all there is to know of this process.
    pub fn detect() -> Self {
        Self { physical_cores: physical_cores(Path::new("/")), ..Self::limits_only() }
    }

    fn limits_only() -> Self {
        Self::gather(Path::new("/"), variable_of_process, kernel_affinity())
    }

    /// From the files under `root`, the variables that `get` knows, and the kernel's own count of the
    /// affinity mask.
    fn gather(root: &Path, get: impl Fn(&str) -> Option<String>, affinity: Option<usize>) -> Self {
        let logical_cpus = logical_cpus(root);
        let slurm = |name: &str| slurm(name, &get);
        let mut not_understood = BTreeMap::new();
        // An empty one is as good as none.
        let mut number = |name: &str, text: Option<String>| {
            let text = text.filter(|text| !text.trim().is_empty())?;
            let found = positive(text.split(',').next().unwrap_or_default());
            if found.is_none() {
                not_understood.insert(name.to_owned(), shown(text.trim().as_bytes()));
            }
            found
        };
        let mut cpus = Self {
            physical_cores: None,
            logical_cpus,
            affinity: affinity.or_else(|| allowed_cpus(root)).unwrap_or(logical_cpus),
            cgroup_quota: cgroup_quota(root),
            slurm_cpus_per_task: number("SLURM_CPUS_PER_TASK", slurm("SLURM_CPUS_PER_TASK")),
            slurm_cpus_on_node: slurm_cpus_on_node(slurm),
            omp_num_threads: number(OMP, get(OMP)),
            omp_thread_limit: number(OMP_LIMIT, get(OMP_LIMIT)),
            nslots: number(NSLOTS, get(NSLOTS)),
            pbs_num_ppn: number(PPN, get(PPN)),
            ncpus: number(NCPUS, get(NCPUS)),
            lsb_djob_numproc: number(LSF, get(LSF)),
            not_understood,
            mpi_ranks_on_node: ranks_on_node(&get),
            usable: 1,
            decided_by: LOGICAL,
        };
        cpus.decide();
        cpus
    }

    fn decide(&mut self) {
        let limits = [
            (LOGICAL, Some(self.logical_cpus)),
            (AFFINITY, Some(self.affinity)),
            (QUOTA, self.whole_quota()),
            (SLURM_TASK, self.slurm_cpus_per_task),
            (SLURM_NODE, self.slurm_cpus_on_node),
            (OMP, self.omp_num_threads),
            (OMP_LIMIT, self.omp_thread_limit),
            (NSLOTS, self.nslots),
            (PPN, self.pbs_num_ppn),
            (NCPUS, self.ncpus),
            (LSF, self.lsb_djob_numproc),
            (RANKS, self.share_of_a_rank()),
        ];
        let known = limits.into_iter().filter_map(|(name, limit)| Some((name, limit?)));
        // Each is at least 1. `min_by_key` keeps the first of equals: what only repeats a limit decides
        // nothing.
        if let Some((name, limit)) = known.min_by_key(|(_, limit)| *limit) {
            self.usable = limit;
            self.decided_by = name;
        }
    }

    /// The quota in workers: half a CPU still needs one.
    fn whole_quota(&self) -> Option<usize> {
        self.cgroup_quota.map(|quota| quota.ceil() as usize)
    }

    /// The CPUs that the batch system has given the job here. Slots may be on several nodes, so that there are no
    /// more than that here.
    pub fn of_job_here(&self) -> Option<usize> {
        let slots = [self.nslots, self.pbs_num_ppn, self.ncpus, self.lsb_djob_numproc];
        slots.into_iter().chain([self.slurm_cpus_on_node]).flatten().min()
    }

    /// What one rank may use where several are on this node. The affinity mask and SLURM's CPUs of the task
    /// are not divided: they may well be one rank's own already.
    fn share_of_a_rank(&self) -> Option<usize> {
        let together = [Some(self.logical_cpus), self.whole_quota(), self.of_job_here()];
        let together = together.into_iter().flatten().min()?;
        (self.mpi_ranks_on_node > 1).then(|| (together / self.mpi_ranks_on_node).max(1))
    }

    /// For people.
    pub fn table(&self) -> String {
        let or = |number: Option<usize>, none: &str| number.map_or(none.to_owned(), |n| n.to_string());
        let variable = |name: &str, number: Option<usize>| match self.not_understood.get(name) {
            Some(text) => format!("'{text}', which is no whole number from 1: it does not count"),
            None => or(number, "not set"),
        };
        let mut rows = vec![
            ("physical cores", or(self.physical_cores, "unknown")),
            (LOGICAL, self.logical_cpus.to_string()),
            (AFFINITY, self.affinity.to_string()),
            (QUOTA, self.cgroup_quota.map_or("none".to_owned(), brief)),
            (SLURM_TASK, variable("SLURM_CPUS_PER_TASK", self.slurm_cpus_per_task)),
            (SLURM_NODE, or(self.slurm_cpus_on_node, "not set")),
            (OMP, variable(OMP, self.omp_num_threads)),
        ];
        // Named where they are there: few people have heard of all of them.
        let others = [
            (OMP_LIMIT, self.omp_thread_limit),
            (NSLOTS, self.nslots),
            (PPN, self.pbs_num_ppn),
            (NCPUS, self.ncpus),
            (LSF, self.lsb_djob_numproc),
        ];
        let is_there =
            |name: &str, number: Option<usize>| number.is_some() || self.not_understood.contains_key(name);
        let others = others.into_iter().filter(|(name, number)| is_there(name, *number));
        rows.extend(others.map(|(name, number)| (name, variable(name, number))));
        rows.push((RANKS, self.mpi_ranks_on_node.to_string()));
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value) in rows {
            let _ = writeln!(text, "{name:width$}  {value}");
        }
        let because = self.because();
        let _ = match self.mpi_ranks_on_node {
            1 => {
                let workers = counted(self.usable as u64, "worker");
                writeln!(text, "parpy uses {workers} unless -j says otherwise: {because}")
            }
            ranks => {
                let cpus = counted(self.usable as u64, "CPU");
                writeln!(text, "parpy uses {ranks} ranks here, each of which may use {cpus}: {because}")
            }
        };
        text
    }

    /// Why it is `usable`, after a colon.
    fn because(&self) -> String {
        match self.decided_by {
            LOGICAL => "one for each logical CPU".to_owned(),
            RANKS => format!("a fair share for one of {} MPI ranks on this node", self.mpi_ranks_on_node),
            name @ (SLURM_TASK | SLURM_NODE | OMP | OMP_LIMIT | NSLOTS | PPN | NCPUS | LSF) => {
                format!("limited by {name}")
            }
            name => format!("limited by the {name}"),
        }
    }

    /// For programs: one JSON object, with `null` for what is not known or not limited.
    pub fn json(&self) -> String {
        // Numbers, texts and null: nothing that serde_json refuses.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// At most two decimals, and none that say nothing: `0.5`, `2`.
fn brief(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A whole number from 1 on.
fn positive(text: &str) -> Option<usize> {
    text.trim().parse().ok().filter(|number| *number > 0)
}

/// A file's text. Names of mounts need not be UTF-8, and one that is not shall not hide the others.
fn read(path: &Path) -> Option<String> {
    Some(String::from_utf8_lossy(&fs::read(path).ok()?).into_owned())
}

// ---- CPUs ----

/// The CPUs in a list such as `0-3,8-11`; `None` for an empty one and for anything else.
fn cpu_list(text: &str) -> Option<Vec<RangeInclusive<u32>>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = first.parse().ok()?..=last.parse().ok()?;
        (!range.is_empty()).then_some(range)
    };
    text.trim().split(',').map(range).collect()
}

/// How many CPUs are in such a list.
fn count(text: &str) -> Option<usize> {
    let length = |range: &RangeInclusive<u32>| (range.end() - range.start()) as usize + 1;
    Some(cpu_list(text)?.iter().map(length).sum())
}

// ---- cgroups ----

// ---- launchers ----

#[cfg(test)]
mod tests {
    use std::thread;

    use super::affinity::*;
    use super::cgroup::*;
    use super::slurm::*;
    use super::topology::*;
    use super::*;
    use tempfile::TempDir;

    /// A root directory with these files.
    fn tree(files: &[(&str, &str)]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn variables<'a>(known: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| known.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string())
    }

    const ONLINE: &str = "sys/devices/system/cpu/online";

    /// On 16 CPUs with nothing but these variables.
    fn on_16(known: &[(&str, &str)]) -> Cpus {
        Cpus::gather(tree(&[(ONLINE, "0-15\n")]).path(), variables(known), Some(16))
    }

    fn decision(known: &[(&str, &str)]) -> (usize, &'static str) {
        let cpus = on_16(known);
        (cpus.usable, cpus.decided_by)
    }

    #[test]
    fn lists_of_cpus() {
        assert_eq!(count("0\n"), Some(1));
        assert_eq!(count("0-3,8-11\n"), Some(8));
        assert_eq!(count("0,2,4-5"), Some(4));
        assert_eq!(count("0-4294967295"), Some(1 << 32));
        for wrong in ["", "\n", "a", "3-1", "0-", "-1", "0,,1", "0-1-2", "0x3"] {
            assert_eq!(count(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn cpus_online() {
        assert_eq!(logical_cpus(tree(&[(ONLINE, "0-3,8-11\n")]).path()), 8);
        let here = thread::available_parallelism().unwrap().get();
        assert_eq!(logical_cpus(tree(&[]).path()), here);
        assert_eq!(logical_cpus(tree(&[(ONLINE, "none\n")]).path()), here);
    }

    #[test]
    fn the_affinity_of_large_machines_is_read_as_text() {
        let status = "Name:\tparpy\nThreads:\t1\nCpus_allowed:\tffff0000\nCpus_allowed_list:\t16-31,1200\n\
                      Mems_allowed_list:\t0\n";
        let affinity = |online: &str, status: &str, kernel| {
            let dir = tree(&[(ONLINE, online), ("proc/self/status", status)]);
            Cpus::gather(dir.path(), variables(&[]), kernel).affinity
        };
        assert_eq!(affinity("0-2047\n", status, None), 17);
        assert_eq!(affinity("0-2047\n", status, Some(5)), 5);
        // A virtual machine's mask names CPUs that could be added.
        assert_eq!(affinity("0-3\n", "Cpus_allowed_list:\t0-127\n", None), 4);
        assert_eq!(affinity("0-2,20-21\n", "Cpus_allowed_list:\t0-1,8-127\n", None), 4);
        assert_eq!(affinity("0-3\n", "Name:\tparpy\n", None), 4);
        assert_eq!(affinity("0-3\n", status, None), 4);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_and_its_text_agree() {
        if let (Some(number), Some(listed)) = (kernel_affinity(), allowed_cpus(Path::new("/"))) {
            assert_eq!(number, listed);
        }
    }

    /// A CPU's two files, in a package and a core.
    fn topology(cpu: usize, package: &str, core: &str) -> [(String, String); 2] {
        let folder = format!("sys/devices/system/cpu/cpu{cpu}/topology");
        let file = |name: &str, text: &str| (format!("{folder}/{name}"), format!("{text}\n"));
        [file("physical_package_id", package), file("core_id", core)]
    }

    fn cores(online: &str, cpus: &[(usize, &str, &str)]) -> Option<usize> {
        let files: Vec<_> =
            cpus.iter().flat_map(|(cpu, package, core)| topology(*cpu, package, core)).collect();
        let mut files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        files.push((ONLINE, online));
        physical_cores(tree(&files).path())
    }

    #[test]
    fn cores_are_pairs_of_package_and_core() {
        let two_sockets =
            [(0, "0", "0"), (1, "1", "0"), (2, "0", "1"), (3, "1", "1"), (4, "0", "0"), (5, "1", "0")];
        assert_eq!(cores("0-5\n", &two_sockets), Some(4));
        // Online are both hyperthreads of one core, and one of another core's.
        assert_eq!(cores("0,4-5\n", &two_sockets), Some(2));
        assert_eq!(cores("0-1\n", &[(0, "-1", "0"), (1, "-1", "1")]), Some(2));
        // One CPU without a topology, and the sum would be wrong.
        assert_eq!(cores("0-1\n", &[(0, "0", "0")]), None);
    }

    #[test]
    fn cores_from_cpuinfo() {
        let cpu = |n, package, core| {
            format!(
                "processor\t: {n}\nmodel name\t: AMD EPYC 7763 64-Core Processor\nphysical id\t: {package}\n\
                 siblings\t: 2\ncore id\t\t: {core}\ncpu cores\t: 1\napicid\t\t: {n}\npower management:\n\n"
            )
        };
        let text = cpu(0, 0, 0) + &cpu(1, 0, 0) + &cpu(2, 0, 1) + &cpu(3, 1, 0);
        assert_eq!(physical_cores(tree(&[("proc/cpuinfo", &text)]).path()), Some(3));
        let arm = "processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\n\n";
        assert_eq!(physical_cores(tree(&[("proc/cpuinfo", arm)]).path()), None);
        assert_eq!(physical_cores(tree(&[]).path()), None);
    }

    /// A system with cgroup v2 alone, and a disk before and a tmpfs after it.
    const V2_MOUNTS: &str = "\
25 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,discard,errors=remount-ro
29 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
30 25 0:27 / /run/user/1000 rw,nosuid,nodev shared:11 - tmpfs tmpfs rw,size=803456k
";

    /// systemd's hybrid layout: the controllers in v1, and v2 beside them without any.
    const HYBRID_MOUNTS: &str = "\
24 30 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
31 24 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:8 - tmpfs tmpfs ro,mode=755
32 31 0:27 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
33 31 0:28 / /sys/fs/cgroup/systemd rw,nosuid,noexec,relatime shared:10 - cgroup cgroup rw,xattr,name=systemd
36 31 0:32 / /sys/fs/cgroup/cpuset rw,nosuid,nodev,noexec,relatime shared:14 - cgroup cgroup rw,cpuset
37 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,noexec,relatime shared:15 - cgroup cgroup rw,cpu,cpuacct
";

    const HYBRID_CGROUP: &str = "\
12:cpuset:/
5:cpu,cpuacct:/user.slice/job
1:name=systemd:/user.slice/user-1000.slice/session-3.scope
0::/user.slice/user-1000.slice/session-3.scope
";

    /// The quota of a process with these two files, where these others exist.
    fn quota_with(cgroup: &str, mountinfo: &str, others: &[(&str, &str)]) -> Option<f64> {
        let mut files = vec![("proc/self/cgroup", cgroup), ("proc/self/mountinfo", mountinfo)];
        files.extend(others);
        cgroup_quota(tree(&files).path())
    }

    #[test]
    fn v2_at_the_root() {
        // As in a container with its own cgroup namespace.
        let quota = |text| quota_with("0::/\n", V2_MOUNTS, &[("sys/fs/cgroup/cpu.max", text)]);
        assert_eq!(quota("200000 100000\n"), Some(2.0));
        assert_eq!(quota("50000 100000\n"), Some(0.5));
        assert_eq!(quota("max 100000\n"), None);
        // The real root has no such file.
        assert_eq!(quota_with("0::/\n", V2_MOUNTS, &[]), None);
    }

    #[test]
    fn v2_the_least_on_the_way_up() {
        let own = "0::/system.slice/slurmstepd.scope/job_71/step_0/user/task_0\n";
        let job = "sys/fs/cgroup/system.slice/slurmstepd.scope/job_71";
        let of = |name: &str| format!("{job}/{name}cpu.max");
        let [of_job, of_step, of_task] = ["", "step_0/", "step_0/user/task_0/"].map(of);
        let quota = |job, step, task| {
            let files = [(of_job.as_str(), job), (of_step.as_str(), step), (of_task.as_str(), task)];
            quota_with(own, V2_MOUNTS, &files)
        };
        assert_eq!(quota("300000 100000\n", "max 100000\n", "max 100000\n"), Some(3.0));
        assert_eq!(quota("300000 100000\n", "150000 100000\n", "400000 100000\n"), Some(1.5));
        assert_eq!(quota("300000 100000\n", "max 100000\n", "10000 10000\n"), Some(1.0));
        // The quota of a neighbour is not ours.
        let neighbour = [("sys/fs/cgroup/system.slice/cron.service/cpu.max", "10000 100000\n")];
        assert_eq!(quota_with(own, V2_MOUNTS, &neighbour), None);
    }

    #[test]
    fn a_cgroup_that_is_gone_has_parents() {
        let files = [("sys/fs/cgroup/a/cpu.max", "200000 100000\n")];
        assert_eq!(quota_with("0::/a/b (deleted)\n", V2_MOUNTS, &files), Some(2.0));
    }

    #[test]
    fn v1_in_docker() {
        // The cgroup is named as the host sees it; only its own part is mounted.
        let id = "4c1d4aa1f4b8d0a5f2f2b0f4a9d7a2f4";
        let own =
            format!("11:memory:/docker/{id}\n4:cpu,cpuacct:/docker/{id}\n1:name=systemd:/docker/{id}\n");
        let mountinfo = format!(
            "1060 1059 0:26 /docker/{id} /sys/fs/cgroup/systemd ro,nosuid - cgroup cgroup rw,name=systemd\n\
             1061 1059 0:29 /docker/{id} /sys/fs/cgroup/cpuacct ro,nosuid - cgroup cgroup rw,cpuacct\n\
             1063 1059 0:31 /docker/{id} /sys/fs/cgroup/cpu,cpuacct ro,nosuid,nodev,noexec master:15 - \
             cgroup cgroup rw,cpu,cpuacct\n"
        );
        let quota = |quota| {
            let folder = "sys/fs/cgroup/cpu,cpuacct";
            let [of_quota, of_period] = ["quota", "period"].map(|name| format!("{folder}/cpu.cfs_{name}_us"));
            quota_with(&own, &mountinfo, &[(&of_quota, quota), (&of_period, "50000\n")])
        };
        assert_eq!(quota("125000\n"), Some(2.5));
        assert_eq!(quota("-1\n"), None);
    }

    #[test]
    fn part_of_the_path_is_mounted() {
        let mountinfo = "29 24 0:26 /kubepods/pod7 /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        let files = [("sys/fs/cgroup/main/cpu.max", "100000 100000\n")];
        assert_eq!(quota_with("0::/kubepods/pod7/main\n", mountinfo, &files), Some(1.0));
        // `/kubepods/pod77` only begins alike: it is outside, and what is seen above it counts.
        let files = [("sys/fs/cgroup/cpu.max", "700000 100000\n"), ("sys/fs/cgroup/7/cpu.max", "1 1\n")];
        assert_eq!(quota_with("0::/kubepods/pod77\n", mountinfo, &files), Some(7.0));
        // Of several mounts, the one that shows our cgroup.
        let other = "28 24 0:26 /other /mnt/other rw - cgroup2 cgroup rw\n";
        let files = [("mnt/other/cpu.max", "1000 1000\n"), ("sys/fs/cgroup/a/cpu.max", "6000 1000\n")];
        for both in [format!("{other}{mountinfo}"), format!("{mountinfo}{other}")] {
            assert_eq!(quota_with("0::/kubepods/pod7/a\n", &both, &files), Some(6.0));
        }
    }

    #[test]
    fn hybrid_systems() {
        let v1 = "sys/fs/cgroup/cpu,cpuacct/user.slice/job";
        let [quota, period] = ["quota", "period"].map(|name| format!("{v1}/cpu.cfs_{name}_us"));
        let v1 = [(quota.as_str(), "400000\n"), (period.as_str(), "100000\n")];
        assert_eq!(quota_with(HYBRID_CGROUP, HYBRID_MOUNTS, &v1), Some(4.0));
        // The path in one hierarchy says nothing of another.
        let session = "user.slice/user-1000.slice/session-3.scope";
        let [quota, period] =
            ["quota", "period"].map(|n| format!("sys/fs/cgroup/cpuset/{session}/cpu.cfs_{n}_us"));
        let cpuset = [(quota.as_str(), "100000\n"), (period.as_str(), "100000\n")];
        assert_eq!(quota_with(HYBRID_CGROUP, HYBRID_MOUNTS, &cpuset), None);
        // v1 without the CPUs, which v2 has then.
        let own = "12:cpuset:/\n0::/user.slice\n";
        let v2 = [("sys/fs/cgroup/unified/user.slice/cpu.max", "300000 100000\n")];
        assert_eq!(quota_with(own, HYBRID_MOUNTS, &v2), Some(3.0));
    }

    #[test]
    fn outside_of_the_cgroup_namespace() {
        let files = [("sys/fs/cgroup/cpu.max", "200000 100000\n"), ("sys/fs/cpu.max", "1000 100000\n")];
        assert_eq!(quota_with("0::/../..\n", V2_MOUNTS, &files), Some(2.0));
        assert_eq!(quota_with("0::/../sibling\n", V2_MOUNTS, &files), Some(2.0));
        // A new namespace, and the mount of the old one.
        let mountinfo = V2_MOUNTS.replace("0:26 / ", "0:26 /.. ");
        assert_eq!(quota_with("0::/\n", &mountinfo, &files), Some(2.0));
        // What is mounted is outside too, and shows where we are.
        let sibling = [("sys/fs/cgroup/sibling/cpu.max", "150000 100000\n")];
        assert_eq!(quota_with("0::/../sibling\n", &mountinfo, &sibling), Some(1.5));
    }

    #[test]
    fn names_are_unescaped() {
        let mountinfo = r"29 24 0:26 /my\134x2djob /mnt/c\040g rw - cgroup2 none rw";
        let files = [("mnt/c g/cpu.max", "200000 100000\n"), ("mnt/c g/a:b/cpu.max", "100000 100000\n")];
        assert_eq!(quota_with("0::/my\\x2djob/a:b\n", mountinfo, &files), Some(1.0));
    }

    #[test]
    fn a_mount_whose_name_is_not_text_hides_no_other() {
        let dir = tree(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", "200000 100000\n")]);
        let mut mountinfo = b"40 25 8:1 / /media/\xff rw - vfat /dev/sdb1 rw\n".to_vec();
        mountinfo.extend(V2_MOUNTS.as_bytes());
        fs::write(dir.path().join("proc/self/mountinfo"), mountinfo).unwrap();
        assert_eq!(cgroup_quota(dir.path()), Some(2.0));
    }

    #[test]
    fn memory_has_limits_too() {
        let memory = |files: &[(&str, &str)]| limits(tree(files).path(), "memory", memory);
        let (own, at) = (("proc/self/cgroup", "0::/job/step\n"), ("proc/self/mountinfo", V2_MOUNTS));
        let v2 = [
            own,
            at,
            ("sys/fs/cgroup/job/memory.max", "1000\n"),
            ("sys/fs/cgroup/job/step/memory.max", "max\n"),
        ];
        assert_eq!(memory(&v2), [1000]);
        let v1 = [
            ("proc/self/cgroup", "11:memory:/job\n4:cpu,cpuacct:/\n"),
            ("proc/self/mountinfo", "31 24 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"),
            ("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "4096\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(memory(&v1), [4096]);
    }

    #[test]
    fn allowed_cpus_are_listed_as_the_kernel_lists_them() {
        let status = read(Path::new("/proc/self/status")).unwrap();
        let kernel = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
        assert!(listed(&allowed()).is_subset(&listed(kernel)));
        assert_eq!(listed(&allowed()).len(), kernel_affinity().unwrap());
        assert_eq!(listed("0-2,5").into_iter().collect::<Vec<_>>(), [0, 1, 2, 5]);
        assert!(listed("x").is_empty());
    }

    #[test]
    fn no_cgroup_is_no_limit() {
        assert_eq!(cgroup_quota(tree(&[]).path()), None);
        assert_eq!(cgroup_quota(tree(&[("proc/self/cgroup", "0::/\n")]).path()), None);
        assert_eq!(quota_with("", V2_MOUNTS, &[("sys/fs/cgroup/cpu.max", "1000 1000\n")]), None);
        assert_eq!(quota_with("0::/\n", "", &[("sys/fs/cgroup/cpu.max", "1000 1000\n")]), None);
    }

    #[test]
    fn bad_content_is_no_limit() {
        for text in ["", "\n", "x y\n", "100000\n", "100000 0\n", "0 100000\n", "-5 100000\n", "nan 1\n"] {
            let files = [("sys/fs/cgroup/cpu.max", text)];
            assert_eq!(quota_with("0::/\n", V2_MOUNTS, &files), None, "{text:?}");
        }
        for (cgroup, mountinfo) in [("0:\n::\n\n", V2_MOUNTS), ("0::/\n", "29 24 0:26 / - cgroup2\n- \n")] {
            let files = [("sys/fs/cgroup/cpu.max", "1000 1000\n")];
            assert_eq!(quota_with(cgroup, mountinfo, &files), None, "{cgroup:?}");
        }
        // A line that is no line does not hide the others.
        let files = [("sys/fs/cgroup/cpu.max", "1000 1000\n")];
        assert_eq!(quota_with("0:\n0::/\n", &format!("x\n{V2_MOUNTS}"), &files), Some(1.0));
    }

    /// What 8 CPUs come to under this `cpu.max`.
    fn under_quota(text: &str, known: &[(&str, &str)]) -> Cpus {
        let dir = tree(&[
            (ONLINE, "0-7\n"),
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", V2_MOUNTS),
            ("sys/fs/cgroup/cpu.max", text),
        ]);
        Cpus::gather(dir.path(), variables(known), Some(8))
    }

    #[test]
    fn a_quota_is_rounded_up() {
        for (text, quota, usable) in
            [("50000 100000\n", 0.5, 1), ("150000 100000\n", 1.5, 2), ("300000 100000\n", 3.0, 3)]
        {
            let cpus = under_quota(text, &[]);
            assert_eq!((cpus.cgroup_quota, cpus.usable, cpus.decided_by), (Some(quota), usable, QUOTA));
        }
        let cpus = under_quota("1600000 100000\n", &[]);
        assert_eq!((cpus.cgroup_quota, cpus.usable, cpus.decided_by), (Some(16.0), 8, LOGICAL));
    }

    #[test]
    fn slurm_counts_only_in_a_job() {
        let job = ("SLURM_JOB_ID", "71");
        let task = ("SLURM_CPUS_PER_TASK", "3");
        let node = ("SLURM_CPUS_ON_NODE", "6");
        let nodes = ("SLURM_JOB_CPUS_PER_NODE", "5(x2)");
        assert_eq!(decision(&[task, node, nodes]), (16, LOGICAL));
        assert_eq!(decision(&[job, task, node]), (3, SLURM_TASK));
        assert_eq!(decision(&[job, node, nodes]), (6, SLURM_NODE));
        assert_eq!(decision(&[job, nodes]), (5, SLURM_NODE));
        assert_eq!(decision(&[job, ("SLURM_CPUS_ON_NODE", "x"), nodes]), (5, SLURM_NODE));
        assert_eq!(decision(&[job, ("SLURM_CPUS_PER_TASK", "0")]), (16, LOGICAL));
        let cpus = on_16(&[job, task, node]);
        assert_eq!((cpus.slurm_cpus_per_task, cpus.slurm_cpus_on_node), (Some(3), Some(6)));
    }

    #[test]
    fn counts_per_node() {
        assert_eq!(same_on_all_nodes("4"), Some(4));
        assert_eq!(same_on_all_nodes("16(x3)"), Some(16));
        for unsure in ["16(x3),8", "16,8", "8,16(x3)", "", "0", "0(x2)", "16(x)", "16(x3", "(x3)", "16(y3)"] {
            assert_eq!(same_on_all_nodes(unsure), None, "{unsure:?}");
        }
    }

    #[test]
    fn threads_of_openmp() {
        for (text, threads) in [("4", 4), ("4,2", 4), (" 4 , 2", 4), ("1", 1)] {
            assert_eq!(decision(&[(OMP, text)]), (threads, OMP), "{text:?}");
        }
        for nonsense in ["", "0", "-1", "many", ",4", "0,4", "4.5", "99999999999999999999999"] {
            let cpus = on_16(&[(OMP, nonsense)]);
            assert_eq!((cpus.omp_num_threads, cpus.usable), (None, 16), "{nonsense:?}");
        }
        // More than there are is no limit, but is said.
        let cpus = on_16(&[(OMP, "64")]);
        assert_eq!((cpus.omp_num_threads, cpus.usable, cpus.decided_by), (Some(64), 16, LOGICAL));
    }

    #[test]
    fn what_is_no_number_is_told() {
        let text = on_16(&[(OMP, "many\x1b"), (NSLOTS, "-4"), (NCPUS, "")]).table();
        let says = |name: &str| text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        let told = says(OMP).unwrap();
        assert!(told.contains("'many\\u{1b}', which is no whole number from 1: it does not count"), "{told}");
        assert!(says(NSLOTS).unwrap().contains("'-4', which is no"), "{text}");
        assert_eq!((says(NCPUS), says(PPN)), (None, None));
        assert!(text.contains("uses 16 workers"), "{text}");
        let long = "x".repeat(1000);
        let long = on_16(&[(OMP, long.as_str())]).table();
        assert!(long.lines().all(|line| line.len() < 200), "{long}");
        let job = [("SLURM_JOB_ID", "71"), ("SLURM_CPUS_PER_TASK", "lots")];
        assert!(on_16(&job).table().contains("'lots', which is no"));
        assert!(on_16(&job[1..]).table().contains("CPUs of the task  not set"));
    }

    #[test]
    fn limits_of_other_batch_systems() {
        for name in [OMP_LIMIT, NSLOTS, PPN, NCPUS, LSF] {
            assert_eq!(decision(&[(name, "3")]), (3, name));
            assert_eq!(decision(&[(name, "64")]), (16, LOGICAL));
            let table = on_16(&[(name, "3")]).table();
            assert!(table.ends_with(&format!(": limited by {name}\n")), "{table}");
            let shared = on_16(&[(name, "8"), ("MPI_LOCALNRANKS", "4")]);
            // A batch system's are for all ranks here together, OpenMP's for each.
            let each = if name == OMP_LIMIT { 4 } else { 2 };
            assert_eq!((shared.usable, shared.decided_by), (each, RANKS), "{name}");
        }
        assert_eq!(decision(&[(NSLOTS, "4"), (OMP_LIMIT, "2")]), (2, OMP_LIMIT));
    }

    #[test]
    fn ranks_of_every_launcher() {
        let ranks = |known: &[(&str, &str)]| on_16(known).mpi_ranks_on_node;
        assert_eq!(ranks(&[]), 1);
        assert_eq!(ranks(&[("OMPI_COMM_WORLD_LOCAL_SIZE", "4")]), 4);
        assert_eq!(ranks(&[("MPI_LOCALNRANKS", "3")]), 3);
        assert_eq!(ranks(&[("MPI_LOCALNRANKS", "0")]), 1);
        let step = [("SLURM_PROCID", "1"), ("SLURM_STEP_NUM_TASKS", "6")];
        let with = |more: &[(&'static str, &'static str)]| ranks(&[&step, more].concat());
        assert_eq!(with(&[("SLURM_STEP_TASKS_PER_NODE", "2(x3)")]), 2);
        assert_eq!(with(&[("SLURM_TASKS_PER_NODE", "2(x3)")]), 2);
        assert_eq!(with(&[("SLURM_STEP_TASKS_PER_NODE", "6"), ("SLURM_TASKS_PER_NODE", "8")]), 6);
        // The step's own count is the one that holds, even where it leaves the question open.
        assert_eq!(with(&[("SLURM_STEP_TASKS_PER_NODE", "4,2"), ("SLURM_TASKS_PER_NODE", "8")]), 1);
        // To SLURM, one daemon of mpirun on each node is the only task.
        assert_eq!(with(&[("SLURM_STEP_TASKS_PER_NODE", "1(x2)"), ("MPI_LOCALNRANKS", "4")]), 4);
        assert_eq!(ranks(&[("SLURM_STEP_NUM_TASKS", "6"), ("SLURM_STEP_TASKS_PER_NODE", "6")]), 1);
        // A batch script.
        assert_eq!(ranks(&[("SLURM_PROCID", "0"), ("SLURM_TASKS_PER_NODE", "8")]), 1);
    }

    #[test]
    fn ranks_share_a_node() {
        let ranks = |n| ("MPI_LOCALNRANKS", n);
        assert_eq!(decision(&[ranks("1")]), (16, LOGICAL));
        assert_eq!(decision(&[ranks("4")]), (4, RANKS));
        assert_eq!(decision(&[ranks("5")]), (3, RANKS));
        assert_eq!(decision(&[ranks("40")]), (1, RANKS));
        assert_eq!(decision(&[ranks("40"), (OMP, "1")]), (1, OMP));
        let slurm = [("SLURM_JOB_ID", "71"), ("SLURM_CPUS_ON_NODE", "12")];
        assert_eq!(decision(&[&slurm[..], &[ranks("4")]].concat()), (3, RANKS));
        assert_eq!(
            decision(&[&slurm[..], &[ranks("4"), ("SLURM_CPUS_PER_TASK", "2")]].concat()),
            (2, SLURM_TASK)
        );
        let cpus = under_quota("350000 100000\n", &[ranks("2")]);
        assert_eq!((cpus.usable, cpus.decided_by), (2, RANKS));
        // A rank's own mask is not shared again.
        let dir = tree(&[(ONLINE, "0-15\n")]);
        let cpus = Cpus::gather(dir.path(), variables(&[ranks("4")]), Some(4));
        assert_eq!((cpus.usable, cpus.decided_by), (4, AFFINITY));
    }

    #[test]
    fn of_equal_limits_the_first_decides() {
        let all = [
            ("SLURM_JOB_ID", "71"),
            ("SLURM_CPUS_PER_TASK", "4"),
            ("SLURM_CPUS_ON_NODE", "4"),
            (OMP, "4"),
            ("MPI_LOCALNRANKS", "1"),
        ];
        let dir = |online: &str, quota: &str| {
            tree(&[
                (ONLINE, online),
                ("proc/self/cgroup", "0::/\n"),
                ("proc/self/mountinfo", V2_MOUNTS),
                ("sys/fs/cgroup/cpu.max", quota),
            ])
        };
        let decided = |online, quota, affinity, known: &[(&str, &str)]| {
            let cpus = Cpus::gather(dir(online, quota).path(), variables(known), Some(affinity));
            assert_eq!(cpus.usable, 4);
            cpus.decided_by
        };
        assert_eq!(decided("0-3\n", "400000 100000\n", 4, &all), LOGICAL);
        assert_eq!(decided("0-7\n", "400000 100000\n", 4, &all), AFFINITY);
        assert_eq!(decided("0-7\n", "400000 100000\n", 8, &all), QUOTA);
        assert_eq!(decided("0-7\n", "max 100000\n", 8, &all), SLURM_TASK);
        assert_eq!(decided("0-7\n", "max 100000\n", 8, &[&all[..1], &all[2..]].concat()), SLURM_NODE);
        assert_eq!(decided("0-7\n", "max 100000\n", 8, &[(OMP, "4"), ("MPI_LOCALNRANKS", "2")]), OMP);
        assert_eq!(decided("0-7\n", "max 100000\n", 8, &[("MPI_LOCALNRANKS", "2")]), RANKS);
    }

    #[test]
    fn a_table_for_people() {
        let mut cpus = under_quota("150000 100000\n", &[(OMP, "6")]);
        cpus.physical_cores = Some(4);
        assert_eq!(
            cpus.table(),
            "physical cores            4\n\
             logical CPUs              8\n\
             affinity mask             8\n\
             cgroup quota              1.5\n\
             SLURM's CPUs of the task  not set\n\
             SLURM's CPUs on the node  not set\n\
             OMP_NUM_THREADS           6\n\
             MPI ranks on this node    1\n\
             parpy uses 2 workers unless -j says otherwise: limited by the cgroup quota\n"
        );
        let last = |known| on_16(known).table().lines().last().unwrap().to_owned();
        let says = |workers: &str| format!("parpy uses {workers} unless -j says otherwise: ");
        assert_eq!(last(&[]), says("16 workers") + "one for each logical CPU");
        assert_eq!(last(&[(OMP, "1")]), says("1 worker") + "limited by OMP_NUM_THREADS");
        let shared = "parpy uses 2 ranks here, each of which may use 8 CPUs: a fair share for one of 2 MPI \
                      ranks on this node";
        assert_eq!(last(&[("MPI_LOCALNRANKS", "2")]), shared);
        assert!(on_16(&[]).table().contains("physical cores            unknown\n"));
        assert!(on_16(&[]).table().contains("cgroup quota              none\n"));
    }

    #[test]
    fn fractions_are_brief() {
        for (number, text) in
            [(0.5, "0.5"), (2.0, "2"), (10.0, "10"), (1.0 / 3.0, "0.33"), (100.25, "100.25")]
        {
            assert_eq!(brief(number), text);
        }
    }

    #[test]
    fn json_for_programs() {
        let json = under_quota("50000 100000\n", &[(OMP, "3")]).json();
        let expected = serde_json::json!({
            "physical_cores": null,
            "logical_cpus": 8,
            "affinity": 8,
            "cgroup_quota": 0.5,
            "slurm_cpus_per_task": null,
            "slurm_cpus_on_node": null,
            "omp_num_threads": 3,
            "omp_thread_limit": null,
            "nslots": null,
            "pbs_num_ppn": null,
            "ncpus": null,
            "lsb_djob_numproc": null,
            "not_understood": {},
            "mpi_ranks_on_node": 1,
            "usable": 1,
            "decided_by": "cgroup quota",
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), expected);
        assert_eq!(serde_json::from_str::<Cpus>(&json).unwrap().json(), json);
        assert!(json.ends_with("}\n"));
    }

    #[test]
    fn this_machine_has_an_answer() {
        let cpus = Cpus::detect();
        assert!(1 <= cpus.usable && cpus.usable <= cpus.logical_cpus);
        assert_eq!(cpus.usable, usable());
    }
}
