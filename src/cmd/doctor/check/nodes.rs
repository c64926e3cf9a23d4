//! Are the nodes alike: versions, clocks, memory?

use crate::base::fmt::{median, size};
use crate::cmd::doctor::check::{HERE, OnNodes, SAME_BUILD, by_node, differing, find, names, told};
use crate::cmd::doctor::facts::Facts;
use crate::cmd::doctor::{Finding, Level};
use crate::mpi::launch::programs::is_open_mpi;

/// Seconds by which a node's clock may be off.
const CLOCK: f64 = 1.0;

/// Bytes of /dev/shm below which MPI libraries have been seen to fail.
const SHARED: u64 = 64 * 1024 * 1024;

pub fn check(all: &[Facts], found: &mut Vec<Finding>) {
    versions(all, found);
    clocks(all, found);
    memory(all, found);
    root(all, found);
}

fn versions(all: &[Facts], found: &mut Vec<Finding>) {
    let several = by_node(all).len() > 1;
    let before = found.len();
    let of = |facts: &Facts| format!("{} ({})", facts.versions.parpy, facts.versions.commit);
    if let Some(kinds) = differing(all, of) {
        let what = format!("the nodes have different parpys: {}", told(&kinds));
        find(found, "versions", Level::Problem, what, SAME_BUILD);
    }
    let none = || "none".to_owned();
    if let Some(kinds) = differing(all, |facts| facts.versions.mpi.clone().unwrap_or_else(none)) {
        let what = format!("the nodes load different MPI libraries: {}", told(&kinds));
        find(found, "versions", Level::Problem, what, "Load the same module on every node");
    }
    if let Some(kinds) = differing(all, |facts| facts.versions.hdf5.clone().unwrap_or_else(none)) {
        let what = format!("the nodes load different HDF5 libraries: {}", told(&kinds));
        find(found, "versions", Level::Warning, what, "Load the same module on every node");
    }
    if let Some(kinds) = differing(all, |facts| facts.kernel.clone()) {
        find(found, "kernel", Level::Note, format!("the nodes have different kernels: {}", told(&kinds)), "");
    }
    if several && found.len() == before {
        let what = "the nodes have the same parpy, MPI, HDF5 and kernel".to_owned();
        find(found, "versions", Level::Ok, what, "");
    }
}

/// Seconds by which the clock of a rank is ahead of rank 0's: the median of its readings.
pub fn clock_offset(first: &Facts, other: &Facts) -> Option<f64> {
    let ahead: Vec<f64> = other.clock.iter().zip(&first.clock).map(|(other, first)| other - first).collect();
    (!ahead.is_empty()).then(|| median(ahead))
}

fn clocks(all: &[Facts], found: &mut Vec<Finding>) {
    let nodes = by_node(all);
    let Some((_, first)) = nodes.first().filter(|_| nodes.len() > 1) else { return };
    let ahead = |ranks: &[&Facts]| clock_offset(first[0], ranks[0]);
    let mut most = 0f64;
    for (host, ranks) in &nodes {
        let Some(ahead) = ahead(ranks) else { continue };
        most = most.max(ahead.abs());
        if ahead.abs() > CLOCK {
            let what = format!(
                "the clock of {host} is {:.1} s {} that of {}: times of files, reports and traces do not fit together",
                ahead.abs(),
                if ahead > 0.0 { "ahead of" } else { "behind" },
                nodes[0].0
            );
            let remedy = "Have the nodes' administrators see to NTP or chrony there";
            find(found, "clock", Level::Warning, what, remedy);
        }
    }
    if most <= CLOCK {
        // Of more the readings say nothing: ranks do not wake at once.
        let what = format!("the clocks agree to within {:.1} s", most.max(0.1));
        find(found, "clock", Level::Ok, what, "");
    }
}

fn memory(all: &[Facts], found: &mut Vec<Finding>) {
    let nodes = by_node(all);
    let on = |is: &dyn Fn(&Facts) -> bool| -> Vec<&str> {
        nodes.iter().filter(|(_, ranks)| is(ranks[0])).map(|(host, _)| *host).collect()
    };
    let small = on(&|facts| facts.memory.shared.is_some_and(|bytes| bytes < SHARED));
    if !small.is_empty() {
        let what = format!(
            "/dev/shm is smaller than {} on {}: MPI libraries keep messages between ranks of one node there (parpy \
             itself does not)",
            size(SHARED as f64),
            names(&small)
        );
        find(found, "shared-memory", Level::Note, what, "In a container: docker run --shm-size 1g");
    }
    let mut on_nodes = OnNodes::default();
    for (host, ranks) in &nodes {
        let memory = &ranks[0].memory;
        if let (Some(limit), Some(total)) = (memory.limit, memory.total)
            && limit < total
        {
            let what = format!(
                "of the {} of memory on {HERE} the cgroup leaves {}: who takes more is killed",
                size(total as f64),
                size(limit as f64)
            );
            let remedy = "For more under SLURM: --mem=…, or --mem-per-cpu=…".to_owned();
            on_nodes.find(host, "memory", Level::Note, what, remedy);
        }
    }
    found.extend(on_nodes.into_findings());
}

fn root(all: &[Facts], found: &mut Vec<Finding>) {
    let Some(first) = all.first().filter(|facts| facts.is_root) else { return };
    let remedy = match first.versions.mpi.as_deref().is_some_and(is_open_mpi) {
        true => {
            "Open MPI's mpirun refuses root without --allow-run-as-root (or OMPI_ALLOW_RUN_AS_ROOT=1 and \
             OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1); better be a user of your own"
        }
        false => "Better be a user of your own",
    };
    find(found, "root", Level::Note, "parpy runs as root".to_owned(), remedy);
}
