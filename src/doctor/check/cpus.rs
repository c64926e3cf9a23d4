//! Has each rank the CPUs that it is thought to have?

use std::collections::{BTreeMap, BTreeSet};

use crate::cpus::listed;
use crate::doctor::check::{by_node, find};
use crate::doctor::{Facts, Finding, Level};
use crate::launch::Launch;
use crate::report::counted;

pub fn check(all: &[Facts], found: &mut Vec<Finding>) {
    let before = found.len();
    let is_alone = all.first().is_some_and(|facts| facts.started.ranks == 1);
    for (host, ranks) in by_node(all) {
        let seen = found.len();
        overlap(host, &ranks, found);
        if found.len() == seen && !is_alone {
            crowd(host, &ranks, found);
        }
        narrow(host, &ranks, found);
    }
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
    cpus.logical_cpus.min(quota).min(cpus.slurm_cpus_on_node.unwrap_or(usize::MAX)).max(1)
}

/// More threads than CPUs.
fn crowd(host: &str, ranks: &[&Facts], found: &mut Vec<Finding>) {
    let (available, threads) = (of_node(ranks[0]), ranks[0].threads);
    if ranks.len() * threads <= available {
        return;
    }
    let count = counted(ranks.len() as u64, "rank");
    let what = match threads {
        1 => format!("{host} has {} for {count}: they take turns", cpus(available)),
        _ => format!("{host} has {} for {count} x {threads} threads: they take turns", cpus(available)),
    };
    let most = (available / threads).max(1);
    let fewer = if threads > 1 { ", or fewer threads in each (--threads)" } else { "" };
    let remedy = format!(
        "Start at most {most} there (mpirun -n, or srun --ntasks-per-node={most}), or use more nodes{fewer}"
    );
    find(found, "oversubscribed", Level::Warning, what, &remedy);
}

/// Several ranks bound to the same few CPUs, while there are others.
fn overlap(host: &str, ranks: &[&Facts], found: &mut Vec<Finding>) {
    let mut bound: BTreeMap<BTreeSet<u32>, Vec<&Facts>> = BTreeMap::new();
    for facts in ranks {
        bound.entry(listed(&facts.allowed_cpus)).or_default().push(facts);
    }
    for (allowed, ranks) in
        bound.into_iter().filter(|(allowed, ranks)| !allowed.is_empty() && ranks.len() > 1)
    {
        let available = of_node(ranks[0]);
        if ranks.len() * ranks[0].threads <= allowed.len() || allowed.len() >= available {
            continue;
        }
        let what = format!(
            "{} on {host} are all bound to {} ({}), of {} that they could have: they take turns",
            counted(ranks.len() as u64, "rank"),
            cpus(allowed.len()),
            ranks[0].allowed_cpus,
            cpus(available)
        );
        let remedy = "Leave them unbound (mpirun --bind-to none, srun --cpu-bind=none), and do not start mpirun under \
                      taskset; under SLURM ask for a CPU each (-n, --cpus-per-task)";
        find(found, "overlap", Level::Warning, what, remedy);
    }
}

/// Fewer CPUs than SLURM has given, or than there are.
fn narrow(host: &str, ranks: &[&Facts], found: &mut Vec<Finding>) {
    let first = ranks[0];
    let is_alone = first.started.by == Launch::alone().by;
    let given = match is_alone {
        true => first.cpus.slurm_cpus_on_node,
        false => first.cpus.slurm_cpus_per_task,
    };
    // The rank that has the least.
    let least = ranks.iter().min_by_key(|facts| facts.cpus.affinity).unwrap_or(&first);
    let has = least.cpus.affinity;
    let who = if is_alone { "parpy".to_owned() } else { format!("rank {}", least.rank) };
    if let Some(given) = given.filter(|given| has < *given) {
        let what = format!(
            "{who} on {host} may use {} ({}) of the {given} that SLURM has given{}",
            cpus(has),
            least.allowed_cpus,
            if is_alone { "" } else { " each task" }
        );
        let remedy = match is_alone {
            true => {
                "Whatever has started it has bound it (taskset, numactl, an srun without --cpus-per-task)"
                    .to_owned()
            }
            false => format!(
                "Since SLURM 22.05 srun does not take --cpus-per-task over from sbatch: srun --cpus-per-task={given} \
                 parpy …, or before it export SRUN_CPUS_PER_TASK={given}; under mpirun: mpirun --bind-to none"
            ),
        };
        find(found, "affinity", Level::Warning, what, &remedy);
    } else if !is_alone && least.threads > has {
        let what = format!("rank {} on {host} has {} threads on {}", least.rank, least.threads, cpus(has));
        let remedy = format!("mpirun --bind-to none, or srun --cpus-per-task={}", least.threads);
        find(found, "affinity", Level::Warning, what, &remedy);
    } else if is_alone && has < first.cpus.logical_cpus {
        let what = format!(
            "parpy may run on {} ({}) of the {} of {host}: something has bound it (taskset, numactl, a container, SLURM)",
            cpus(has),
            least.allowed_cpus,
            first.cpus.logical_cpus
        );
        find(
            found,
            "affinity",
            Level::Note,
            what,
            "For all of them: taskset -c 0-N parpy …, where that is allowed",
        );
    }
    if let Some(quota) = first.cpus.cgroup_quota {
        let given = first.cpus.slurm_cpus_on_node.unwrap_or(first.cpus.logical_cpus);
        if quota < given as f64 {
            let level = if first.cpus.slurm_cpus_on_node.is_some() { Level::Warning } else { Level::Note };
            let what = format!("the cgroup on {host} leaves the time of {quota:.2} of {}", cpus(given));
            let remedy = "More workers than that take turns; a container gets more with docker run --cpus";
            find(found, "quota", level, what, remedy);
        }
    }
}
