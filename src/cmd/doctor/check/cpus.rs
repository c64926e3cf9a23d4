//! Has each rank the CPUs that it is thought to have?

use std::collections::{BTreeMap, BTreeSet};

use crate::base::fmt::counted;
use crate::cmd::doctor::check::{HERE, OnNodes, by_node, find};
use crate::cmd::doctor::facts::Facts;
use crate::cmd::doctor::{Finding, Level};
use crate::mpi::launch::{Launch, SRUN};
use crate::node::cpus::listed;

pub fn check(all: &[Facts], found: &mut Vec<Finding>) {
    let mut on_nodes = OnNodes::default();
    let is_alone = all.first().is_some_and(|facts| facts.started.ranks == 1);
    for (host, ranks) in by_node(all) {
        if !overlap(host, &ranks, &mut on_nodes) && !is_alone {
            crowd(host, &ranks, &mut on_nodes);
        }
        narrow(host, &ranks, &mut on_nodes);
    }
    let before = found.len();
    found.extend(on_nodes.into_findings());
    if found.len() == before {
        let what = match all {
            [one] => format!("nothing narrows the {} of {}", cpus(of_node(one)), one.host),
            _ => "each rank has CPUs for its threads".to_owned(),
        };
        find(found, "cpus", Level::Ok, what, "");
    }
}

fn cpus(count: usize) -> String {
    counted(count as u64, "CPU")
}

/// The CPUs of a node that a job may use, whoever is bound to which.
pub fn of_node(facts: &Facts) -> usize {
    let cpus = &facts.cpus;
    let quota = cpus.cgroup_quota.map_or(usize::MAX, |quota| quota.ceil() as usize);
    // A batch script's, or a step's; the variables of a step that has only started mpirun's helpers are another's.
    cpus.logical_cpus.min(quota).min(cpus.of_job_here().unwrap_or(usize::MAX)).max(1)
}

/// More threads than CPUs.
fn crowd<'a>(host: &'a str, ranks: &[&Facts], found: &mut OnNodes<'a>) {
    let (available, threads) = (of_node(ranks[0]), ranks[0].threads);
    if ranks.len() * threads <= available {
        return;
    }
    let each = if threads > 1 { format!(" of {threads} threads each") } else { String::new() };
    let what = format!(
        "{} for {}{each} on {HERE}: they take turns",
        cpus(available),
        counted(ranks.len() as u64, "rank")
    );
    let most = (available / threads).max(1);
    let fewer = if threads > 1 { ", or fewer threads in each (--threads)" } else { "" };
    let remedy = format!(
        "Start at most {most} on a node (mpirun -n, or srun --ntasks-per-node={most}), or use more nodes{fewer}"
    );
    found.find(host, "oversubscribed", Level::Warning, what, remedy);
}

/// Several ranks bound to the same few CPUs, while there are others. Returns whether there are such.
fn overlap<'a>(host: &'a str, ranks: &[&Facts], found: &mut OnNodes<'a>) -> bool {
    let mut bound: BTreeMap<BTreeSet<u32>, Vec<&Facts>> = BTreeMap::new();
    for facts in ranks {
        bound.entry(listed(&facts.allowed_cpus)).or_default().push(facts);
    }
    let available = of_node(ranks[0]);
    let is_tight = |(allowed, ranks): &(BTreeSet<u32>, Vec<&Facts>)| {
        ranks.len() > 1
            && (1..available).contains(&allowed.len())
            && ranks.len() * ranks[0].threads > allowed.len()
    };
    let tight: Vec<_> = bound.into_iter().filter(is_tight).collect();
    for (allowed, ranks) in &tight {
        let what = format!(
            "{} on {HERE} are all bound to {} ({}), of {} that they could have: they take turns",
            counted(ranks.len() as u64, "rank"),
            cpus(allowed.len()),
            ranks[0].allowed_cpus,
            cpus(available)
        );
        let remedy = "Leave them unbound (mpirun --bind-to none, srun --cpu-bind=none); under SLURM ask for a CPU \
                      each (-n, --cpus-per-task)";
        found.find(host, "overlap", Level::Warning, what, remedy.to_owned());
    }
    !tight.is_empty()
}

/// Fewer CPUs than SLURM has given, or than there are.
fn narrow<'a>(host: &'a str, ranks: &[&Facts], found: &mut OnNodes<'a>) {
    let first = ranks[0];
    let is_alone = first.started.by == Launch::alone().by;
    // The rank that has the least.
    let least = ranks.iter().min_by_key(|facts| facts.cpus.affinity).unwrap_or(&first);
    let has = least.cpus.affinity;
    let which = format!("{} ({})", cpus(has), least.allowed_cpus);
    if is_alone {
        bound(host, first, &which, found);
    } else if let Some(given) = first.cpus.slurm_cpus_per_task.filter(|given| has < *given) {
        let what = format!("ranks on {HERE} may use {which} of the {given} that SLURM has given each task");
        found.find(host, "affinity", Level::Warning, what, unbind(first, given));
    } else if least.threads > has {
        let what = format!("ranks on {HERE} have {} threads on {which}", least.threads);
        found.find(host, "affinity", Level::Warning, what, unbind(first, least.threads));
    }
    let given = first.cpus.slurm_cpus_on_node.unwrap_or(first.cpus.logical_cpus);
    if let Some(quota) = first.cpus.cgroup_quota.filter(|quota| *quota < given as f64) {
        let level = if first.cpus.slurm_cpus_on_node.is_some() { Level::Warning } else { Level::Note };
        let what = format!("the cgroup on {HERE} leaves the time of {quota:.2} of {}", cpus(given));
        let remedy = "More workers than that take turns; a container gets more with docker run --cpus";
        found.find(host, "quota", level, what, remedy.to_owned());
    }
}

/// What lets each rank have so many CPUs.
fn unbind(facts: &Facts, wanted: usize) -> String {
    match facts.started.by == SRUN {
        true => format!(
            "srun --cpus-per-task={wanted} parpy …, or before it export SRUN_CPUS_PER_TASK={wanted}: since SLURM \
             22.05 srun does not take --cpus-per-task over from sbatch"
        ),
        false => "mpirun --bind-to none parpy …".to_owned(),
    }
}

/// A process of its own on part of the CPUs.
fn bound<'a>(host: &'a str, facts: &Facts, which: &str, found: &mut OnNodes<'a>) {
    let has = facts.cpus.affinity;
    if let Some(given) = facts.cpus.slurm_cpus_on_node.filter(|given| has < *given) {
        let what = format!("parpy on {HERE} may use {which} of the {given} that SLURM has given");
        let remedy =
            "Whatever has started it has bound it: taskset, numactl, an srun without --cpus-per-task";
        found.find(host, "affinity", Level::Warning, what, remedy.to_owned());
    } else if facts.cpus.slurm_cpus_on_node.is_none() && has < facts.cpus.logical_cpus {
        let what = format!("parpy may use {which} of the {} of {HERE}", facts.cpus.logical_cpus);
        let remedy = "Something has bound it (taskset, numactl, a container); for all: taskset -c 0-N parpy …, where \
                      that is allowed";
        found.find(host, "affinity", Level::Note, what, remedy.to_owned());
    }
}
