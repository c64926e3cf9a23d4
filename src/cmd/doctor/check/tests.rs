//! Made-up clusters.

use std::collections::BTreeMap;

use super::*;
use crate::cmd::doctor::facts::{FileReport, Memory, PathReport, Started, Versions};
use crate::cmd::doctor::programs::OnPath;
use crate::mpi::launch::allocation::Allocation;
use crate::node::cpus::Cpus;

const GIB: u64 = 1 << 30;

fn place(path: &str, kind: &str, bytes: Option<u64>) -> PathReport {
    PathReport {
        path: path.into(),
        found: Some(FileReport {
            kind: if bytes.is_some() { "file" } else { "folder" }.into(),
            bytes,
            modified: Some(1),
            beginning: bytes.map(|_| "a".into()),
        }),
        fault: None,
        file_system: Some(kind.into()),
        source: Some("fs1:/home".into()),
        free: Some(100 * GIB),
    }
}

/// Rank `rank` of `ranks` on a node with 4 CPUs, all in order.
fn rank(rank: usize, ranks: usize, host: &str) -> Facts {
    Facts {
        rank,
        host: host.into(),
        pid: 100 + rank as u32,
        started: Started {
            by: "srun".into(),
            ranks,
            claims: Vec::new(),
            srun_type: Some("pmix".into()),
            found: Some(ranks),
            said: None,
            mixing_pmix: None,
        },
        slurm_job: None,
        cpus: Cpus {
            physical_cores: Some(4),
            logical_cpus: 4,
            affinity: 4,
            cgroup_quota: None,
            slurm_cpus_per_task: None,
            slurm_cpus_on_node: Some(4),
            omp_num_threads: None,
            omp_thread_limit: None,
            nslots: None,
            pbs_num_ppn: None,
            ncpus: None,
            lsb_djob_numproc: None,
            not_understood: BTreeMap::new(),
            mpi_ranks_on_node: 2,
            usable: 2,
            decided_by: "MPI ranks on this node",
        },
        allowed_cpus: "0-3".into(),
        threads: 1,
        memory: Memory {
            total: Some(16 * GIB),
            available: Some(12 * GIB),
            limit: None,
            shared: Some(8 * GIB),
        },
        kernel: "Linux 6.1.0".into(),
        is_root: false,
        versions: Versions {
            parpy: "0.1.0".into(),
            commit: "abc".into(),
            mpi: Some("Open MPI v4.1.4".into()),
            mpi_fault: None,
            mpi_standard: Some("3.1".into()),
            hdf5: Some("1.10.8".into()),
            hdf5_fault: None,
            slurm: Some("22.05.8".into()),
        },
        launchers: Vec::new(),
        clock: vec![1000.0, 1001.0, 1002.0],
        folder: place("/home/x", "nfs4", None),
        files: vec![place("/home/x/big.txt", "nfs4", Some(1000))],
    }
}

/// Four ranks on two nodes.
fn cluster() -> Vec<Facts> {
    ["n1", "n1", "n2", "n2"].iter().enumerate().map(|(i, host)| rank(i, 4, host)).collect()
}

/// One process, started by nobody.
fn laptop() -> Facts {
    let mut facts = rank(0, 1, "laptop");
    facts.started = Started { by: "nobody".into(), ranks: 1, srun_type: None, found: None, ..facts.started };
    facts.cpus.slurm_cpus_on_node = None;
    facts.cpus.usable = 4;
    facts.versions.slurm = None;
    facts.launchers = vec![mpirun("mpirun", "mpirun (Open MPI) 4.1.4", true)];
    facts.clock = Vec::new();
    facts
}

fn mpirun(name: &str, version: &str, is_open_mpi: bool) -> OnPath {
    OnPath { name: name.into(), path: format!("/usr/bin/{name}"), version: version.into(), is_open_mpi }
}

/// What is found beyond what is as it should be: level, id and all words.
fn beyond(all: &[Facts]) -> Vec<(Level, String, String)> {
    let found = findings(all).into_iter().filter(|finding| finding.level > Level::Ok);
    found.map(|f| (f.level, f.id, format!("{} -> {}", f.what, f.remedy))).collect()
}

/// Nothing but one finding, of this level and id, with these words in it.
#[track_caller]
fn only(all: &[Facts], level: Level, id: &str, words: &[&str]) {
    let found = beyond(all);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].0, found[0].1.as_str()), (level, id), "{found:#?}");
    for word in words {
        assert!(found[0].2.contains(word), "no '{word}' in {}", found[0].2);
    }
}

#[test]
fn nothing_is_wrong_where_nothing_is() {
    assert_eq!(beyond(&cluster()), []);
    assert_eq!(beyond(&[laptop()]), []);
}

#[test]
fn the_launcher_of_another_mpi() {
    let mut all = vec![rank(0, 4, "n1")];
    all[0].started.found = Some(1);
    all[0].launchers = vec![mpirun("mpirun", "mpirun (Open MPI) 4.1.4", true)];
    only(&all, Level::Problem, "launcher", &["4 processes", "srun --mpi=pmix", "rank 0 of 1", "MPICC="]);
    // MPI itself ended the process.
    all[0].started = Started { found: None, said: Some("no PMI".into()), ..all[0].started.clone() };
    all[0].started.srun_type = Some("none".into());
    only(&all, Level::Problem, "launcher", &["could not be initialised", "no PMI", "srun --mpi=pmix"]);
}

#[test]
fn variables_that_contradict_each_other() {
    let claims = |other| vec![("OMPI_COMM_WORLD_SIZE".into(), 4), ("PMI_SIZE".into(), other)];
    let mut all = cluster();
    all[0].started.claims = claims(4);
    assert_eq!(beyond(&all), []);
    // MPI says which of them is right.
    all[0].started.claims = claims(2);
    only(&all, Level::Note, "variables", &["OMPI_COMM_WORLD_SIZE=4, PMI_SIZE=2", "4 ranks", "env -u"]);
    let mut facts = laptop();
    facts.started.claims = claims(2);
    only(&[facts], Level::Warning, "variables", &["PMI_SIZE=2"]);
}

#[test]
fn an_mpirun_that_mixes_results_and_messages() {
    let mut all = cluster();
    all[0].started.mixing_pmix = Some("5.0.7".into());
    only(&all, Level::Warning, "output", &["PMIx 5.0.7", "messages come after", "-o FILE", "--output :raw"]);
}

#[test]
fn a_step_of_several_components() {
    let mut all = cluster();
    all.iter_mut().for_each(|facts| facts.started.ranks = 2);
    assert_eq!(beyond(&all), []);
    let told = findings(&all).into_iter().find(|finding| finding.id == "launcher").unwrap();
    assert!(told.what.contains("started 2 ranks") && told.what.contains("finds 4"), "{}", told.what);
    // Fewer is not another MPI, as long as they meet.
    let mut first = rank(0, 4, "n1");
    first.started.found = Some(2);
    only(&[first], Level::Problem, "launcher", &["4 processes", "finds 2 ranks"]);
}

#[test]
fn a_batch_script_is_not_a_step() {
    let mut facts = laptop();
    let mut job = Allocation { job: "7".into(), tasks: Some(4), nodes: 2, cpus_per_task: None };
    facts.slurm_job = Some(job.clone());
    only(
        &[facts.clone()],
        Level::Warning,
        "launcher",
        &["4 tasks on 2 nodes", "4 CPUs of laptop", "srun parpy"],
    );
    job.nodes = 1;
    facts.slurm_job = Some(job.clone());
    only(&[facts.clone()], Level::Note, "launcher", &["4 tasks on 1 node"]);
    job.tasks = Some(1);
    facts.slurm_job = Some(job);
    assert_eq!(beyond(&[facts]), []);
    let mut all = cluster();
    all[0].slurm_job = Some(Allocation { job: "7".into(), tasks: Some(8), nodes: 3, cpus_per_task: None });
    only(&all, Level::Note, "launcher", &["on 2 of the 3 nodes"]);
}

#[test]
fn the_mpirun_that_people_type() {
    let mut facts = laptop();
    facts.launchers = vec![
        mpirun("mpirun.openmpi", "mpirun.openmpi (Open MPI) 4.1.4", true),
        mpirun("mpirun", "Version: 4.0.2", false),
    ];
    only(
        &[facts.clone()],
        Level::Warning,
        "mpirun",
        &["/usr/bin/mpirun", "rank 0 of 1", "Use mpirun.openmpi"],
    );
    facts.launchers.remove(0);
    only(&[facts.clone()], Level::Warning, "mpirun", &["first in PATH"]);
    facts.launchers = vec![mpirun("mpirun", "mpirun (Open MPI) 5.0.3", true)];
    only(&[facts.clone()], Level::Warning, "mpirun", &["another version", "Open MPI v4.1.4"]);
    let of = |library: &str, version: &str| {
        let mut facts = facts.clone();
        facts.versions.mpi = Some(library.into());
        facts.launchers = vec![mpirun("mpirun", version, false)];
        facts
    };
    only(&[of("MPICH 4.0.2", "Version: 3.4.1")], Level::Warning, "mpirun", &["another version"]);
    // Numbers of different things.
    assert_eq!(beyond(&[of("MVAPICH2 2.3.7", "Version: 3.2.1")]), []);
    let hydra = "Intel(R) MPI Library for Linux* OS, Version 2021.9 Build 20230307";
    assert_eq!(beyond(&[of("MPICH 4.0.2", hydra)]), []);
    facts.launchers.clear();
    only(&[facts.clone()], Level::Note, "mpirun", &["no mpirun"]);
    facts.versions.slurm = Some("22.05.8".into());
    assert_eq!(beyond(&[facts]), []);
}

#[test]
fn programs_that_do_not_start() {
    let mut facts = laptop();
    facts.versions.mpi = None;
    facts.versions.mpi_fault = Some("cannot start parpy-mpi: libmpi.so.40: …".into());
    only(&[facts.clone()], Level::Problem, "program", &["libmpi.so.40", "module load"]);
    facts.versions.mpi_fault = None;
    facts.versions.hdf5_fault = Some("cannot start parpy-hdf5".into());
    only(&[facts], Level::Warning, "program", &["parpy-hdf5"]);
}

#[test]
fn more_ranks_than_cpus() {
    let mut all = cluster();
    (4..9).for_each(|i| all.push(rank(i, 9, "n2")));
    all.iter_mut().for_each(|facts| {
        facts.started.ranks = 9;
        facts.started.found = Some(9);
    });
    only(
        &all,
        Level::Warning,
        "oversubscribed",
        &["4 CPUs for 7 ranks on n2", "at most 4", "--ntasks-per-node=4"],
    );
    let mut all = cluster();
    all.iter_mut().for_each(|facts| facts.threads = 3);
    only(&all, Level::Warning, "oversubscribed", &["4 CPUs for 2 ranks of 3 threads each on n1 and n2"]);
    // Alone there are as many threads as CPUs, whatever SLURM gives to tasks.
    let mut facts = laptop();
    facts.threads = 64;
    assert_eq!(beyond(&[facts]), []);
}

#[test]
fn ranks_bound_to_the_same_cpu() {
    let mut all = cluster();
    for facts in &mut all[2..] {
        facts.allowed_cpus = "0".into();
        facts.cpus.affinity = 1;
    }
    only(&all, Level::Warning, "overlap", &["2 ranks on n2", "1 CPU (0)", "4 CPUs", "--bind-to none"]);
    // Each to its own.
    all[3].allowed_cpus = "1".into();
    assert_eq!(beyond(&all), []);
}

#[test]
fn fewer_cpus_than_slurm_gives_each_task() {
    let mut all = cluster();
    for facts in &mut all {
        facts.cpus.slurm_cpus_per_task = Some(2);
        facts.allowed_cpus = (facts.rank % 2).to_string();
        facts.cpus.affinity = 1;
    }
    let what = "ranks on n1 and n2 may use 1 CPU (0) of the 2 that SLURM has given each task";
    only(&all, Level::Warning, "affinity", &[what, "srun --cpus-per-task=2", "SRUN_CPUS_PER_TASK=2"]);
    all.iter_mut().for_each(|facts| facts.started.by = "Open MPI's mpirun".into());
    only(&all, Level::Warning, "affinity", &[what, "mpirun --bind-to none"]);
    let mut facts = laptop();
    facts.cpus.affinity = 1;
    facts.allowed_cpus = "3".into();
    only(&[facts.clone()], Level::Note, "affinity", &["1 CPU (3) of the 4", "taskset"]);
    facts.cpus.slurm_cpus_on_node = Some(4);
    only(&[facts], Level::Warning, "affinity", &["1 CPU (3) of the 4 that SLURM has given"]);
}

#[test]
fn a_quota_is_less_than_the_cpus() {
    let mut facts = laptop();
    facts.cpus.cgroup_quota = Some(1.5);
    only(&[facts.clone()], Level::Note, "quota", &["1.50 of 4 CPUs"]);
    facts.cpus.cgroup_quota = Some(4.0);
    assert_eq!(beyond(&[facts]), []);
}

#[test]
fn a_file_that_one_node_does_not_see() {
    let mut all = cluster();
    for facts in &mut all[2..] {
        facts.files[0].found = None;
        facts.files[0].fault = Some("No such file or directory".into());
    }
    only(&all, Level::Problem, "file", &["/home/x/big.txt is on n1 and not on n2 (No such", "sbcast"]);
    for facts in &mut all {
        facts.files[0].found = None;
        facts.files[0].fault = Some("Permission denied".into());
    }
    only(&all, Level::Problem, "file", &["cannot be read on any node: Permission denied"]);
}

#[test]
fn a_file_that_differs() {
    let changed = |change: &dyn Fn(&mut FileReport)| {
        let mut all = cluster();
        all[2..].iter_mut().for_each(|facts| change(facts.files[0].found.as_mut().unwrap()));
        all
    };
    let sizes = changed(&|found| found.bytes = Some(2000));
    only(&sizes, Level::Problem, "file", &["1,000 bytes on n1, 2,000 bytes on n2"]);
    let bytes = changed(&|found| found.beginning = Some("b".into()));
    only(&bytes, Level::Problem, "file", &["other bytes on n1 than on n2"]);
    let times = changed(&|found| found.modified = Some(2));
    only(&times, Level::Warning, "file", &["copies"]);
    let kinds = changed(&|found| *found = place("", "nfs4", None).found.unwrap());
    only(&kinds, Level::Problem, "file", &["1,000 bytes on n1, a folder on n2"]);
}

#[test]
fn file_systems_of_one_node() {
    let mut all = cluster();
    all.iter_mut().for_each(|facts| facts.files[0].file_system = Some("tmpfs".into()));
    only(&all, Level::Note, "file", &["tmpfs", "copies"]);
    let mut all = cluster();
    all.iter_mut().for_each(|facts| facts.folder.file_system = Some("xfs".into()));
    only(&all, Level::Note, "folder", &["/home/x is on xfs", "rank 0, on n1"]);
    all[2].folder.path = "/tmp".into();
    only(&all, Level::Problem, "folder", &["/home/x on n1 and n2, /tmp on n2"]);
    // One node has no other.
    let mut facts = laptop();
    facts.folder.file_system = Some("ext4".into());
    facts.folder.free = Some(1000);
    only(&[facts], Level::Warning, "space", &["1.00 kB"]);
}

#[test]
fn nodes_that_differ() {
    let mut all = cluster();
    all[3].versions.commit = "def".into();
    only(&all, Level::Problem, "versions", &["0.1.0 (abc) on n1 and n2, 0.1.0 (def) on n2", "same build"]);
    let mut all = cluster();
    all[2..].iter_mut().for_each(|facts| facts.versions.mpi = Some("Open MPI v5.0.3".into()));
    only(&all, Level::Problem, "versions", &["Open MPI v4.1.4 on n1, Open MPI v5.0.3 on n2"]);
    let mut all = cluster();
    all[2..].iter_mut().for_each(|facts| facts.versions.hdf5 = None);
    only(&all, Level::Warning, "versions", &["1.10.8 on n1, none on n2"]);
    let mut all = cluster();
    all[2..].iter_mut().for_each(|facts| facts.kernel = "Linux 5".into());
    only(&all, Level::Note, "kernel", &["Linux 6.1.0 on n1, Linux 5 on n2"]);
}

#[test]
fn another_parpy_has_other_facts() {
    let finding = stranger(3, r#"{"rank":3,"host":"n2","versions":{"parpy":"0.2.0","commit":"def"}}"#);
    assert_eq!(finding.level, Level::Problem);
    assert!(finding.what.contains("rank 3 on n2 is another parpy (0.2.0, def)"), "{}", finding.what);
    assert!(stranger(1, "").what.contains("unknown"));
}

#[test]
fn clocks_that_are_off() {
    let mut all = cluster();
    all[2].clock = vec![997.5, 998.5, 990.0];
    only(&all, Level::Warning, "clock", &["the clock of n2 is 2.5 s behind that of n1"]);
    assert_eq!(clock_offset(&all[0], &all[2]), Some(-2.5));
    all[2].clock = vec![1000.9, 1001.9, 1002.9];
    assert_eq!(beyond(&all), []);
}

#[test]
fn memory_and_root() {
    let mut all = cluster();
    all[2].memory.shared = Some(64_000);
    only(&all, Level::Note, "shared-memory", &["on n2", "--shm-size"]);
    let mut all = cluster();
    all[0].memory.limit = Some(GIB);
    only(
        &all,
        Level::Note,
        "memory",
        &["of the 17.2 GB of memory on n1 the cgroup leaves 1.07 GB", "--mem="],
    );
    let mut facts = laptop();
    facts.is_root = true;
    only(&[facts.clone()], Level::Note, "root", &["--allow-run-as-root"]);
    facts.versions.mpi = Some("MPICH 4.0.2".into());
    facts.launchers[0].is_open_mpi = false;
    facts.launchers[0].version = "Version: 4.0.2".into();
    only(&[facts], Level::Note, "root", &["user of your own"]);
}

#[test]
fn the_worst_is_last_and_names_stay_few() {
    let mut all = cluster();
    all[0].is_root = true;
    all[2].files[0].fault = Some("x".into());
    let levels: Vec<_> = findings(&all).iter().map(|finding| finding.level).collect();
    assert!(levels.is_sorted() && levels.last() == Some(&Level::Problem), "{levels:?}");
    let hosts: Vec<String> = (0..20).map(|i| format!("n{i}")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    assert_eq!(names(&hosts[..3]), "n0, n1 and n2");
    assert!(names(&hosts).ends_with("n7 and 12 more"));
}
