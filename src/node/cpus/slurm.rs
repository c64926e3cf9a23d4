//! CPUs and ranks as SLURM and launchers count them, in the environment.

use super::{LOCAL_RANKS, positive};

/// A variable of SLURM's, which only counts in a job: some are left behind, or set by hand for sbatch.
pub(super) fn slurm(name: &str, get: &impl Fn(&str) -> Option<String>) -> Option<String> {
    get("SLURM_JOB_ID").and_then(|_| get(name))
}

pub(super) fn slurm_cpus_on_node(get: impl Fn(&str) -> Option<String>) -> Option<usize> {
    let here = get("SLURM_CPUS_ON_NODE").and_then(|text| positive(&text));
    here.or_else(|| same_on_all_nodes(&get("SLURM_JOB_CPUS_PER_NODE")?))
}

/// `4`, or `16(x3)` for three nodes. Of several groups, as in `16(x3),8`, it is not said which is ours.
pub(super) fn same_on_all_nodes(text: &str) -> Option<usize> {
    match text.trim().split_once("(x") {
        None => positive(text),
        Some((number, nodes)) => {
            positive(nodes.strip_suffix(')')?)?;
            positive(number)
        }
    }
}

/// Launchers that count the ranks of this node come first: inside an allocation SLURM's variables are there
/// too, and count its own tasks, which are not ours.
pub(super) fn ranks_on_node(get: &impl Fn(&str) -> Option<String>) -> usize {
    let told = LOCAL_RANKS.iter().find_map(|name| positive(&get(name)?));
    told.or_else(|| slurm_ranks_on_node(get)).unwrap_or(1)
}

/// In a batch script there are tasks to come, but no ranks yet: only a step has `SLURM_STEP_NUM_TASKS`.
pub(super) fn slurm_ranks_on_node(get: &impl Fn(&str) -> Option<String>) -> Option<usize> {
    get("SLURM_PROCID")?;
    get("SLURM_STEP_NUM_TASKS")?;
    same_on_all_nodes(&get("SLURM_STEP_TASKS_PER_NODE").or_else(|| get("SLURM_TASKS_PER_NODE"))?)
}
