//! How this process was started: alone, or as one of several ranks, and by whose launcher.
//!
//! Read from the environment alone, before (and whether or not) MPI is initialised, because it decides
//! whether MPI is initialised at all, and which process may speak. What the MPI library itself says is
//! compared with it later: where they differ, the launcher belongs to another MPI.

pub mod advice;
pub mod allocation;
pub mod foreign;
pub(crate) mod programs;
pub mod words;

use std::env;

use crate::node::cpus::LOCAL_RANKS;

/// What the launcher's environment says of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// This process's rank, 0 when alone.
    pub rank: usize,
    /// How many processes were started together, 1 when alone.
    pub ranks: usize,
    /// All of them are known to be on one node. The same on all ranks: it can be so for one of them only
    /// when it is so for all.
    pub one_node: bool,
    /// Who started them, for messages.
    pub by: &'static str,
}

/// What MPICH's mpirun is called in [`Launch::by`].
pub(crate) const HYDRA: &str = "the mpirun of MPICH or a relative of it";

/// What srun is called there.
pub(crate) const SRUN: &str = "srun";

/// Launchers and their variables: (rank, number of ranks, name). The mpirun_rsh of MVAPICH2 has its own (its
/// user guide), and so has Flux (flux-environment(7)), beside those of PMI, which the PALS of HPE sets. srun
/// is last, because an mpirun inside an allocation is what started us even though SLURM's variables are there
/// too. `SLURM_STEP_NUM_TASKS` exists inside a step only: a batch script that calls plain `./parpy` is not an
/// MPI run.
const LAUNCHERS: [(&str, &str, &str); 5] = [
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "Open MPI's mpirun"),
    ("PMI_RANK", "PMI_SIZE", HYDRA),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MVAPICH2's mpirun_rsh"),
    ("FLUX_TASK_RANK", "FLUX_JOB_SIZE", "flux run"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", SRUN),
];

/// The variables by which launchers tell a process its rank, and the number of ranks.
pub(crate) fn variables() -> impl Iterator<Item = &'static str> {
    LAUNCHERS.into_iter().flat_map(|(rank, ranks, _)| [rank, ranks])
}

/// Beginnings of the names of variables by which launchers, and their daemons, tell a process that it is a rank of which
/// run. What users set for MPI (`OMPI_MCA_btl`, `UCX_…`, `FI_…`) is none of it.
const OF_RANKS: [&str; 20] = [
    "OMPI_COMM_WORLD_",
    "OMPI_UNIVERSE_SIZE",
    "OMPI_APP_CTX",
    "OMPI_NUM_APP_CTX",
    "OMPI_FIRST_RANKS",
    "OMPI_FILE_LOCATION",
    "OMPI_COMMAND",
    "OMPI_ARGV",
    "OMPI_MCA_ess",
    "OMPI_MCA_orte_",
    "OMPI_MCA_pmix",
    "OMPI_MCA_initial_wdir",
    "OMPI_MCA_mpi_oversubscribe",
    "PMIX_",
    "PRTE_",
    "PMI_",
    "PMI2_",
    "HYDI_",
    "MPI_LOCAL",
    "MV2_COMM_WORLD_",
];

/// Does a variable of this name tell a process that it is a rank? A program that a rank starts is none, and if it is an
/// MPI program itself, must not take itself for one.
pub fn is_of_rank(name: &str) -> bool {
    variables().any(|known| known == name && !name.starts_with("SLURM_"))
        || OF_RANKS.iter().any(|start| name.starts_with(start))
}

/// The number of ranks, as the variables of each launcher but srun have it that are there: an mpirun within a
/// step of SLURM is in order, and so are the variables of PMI that the step has left there.
pub(crate) fn claims() -> Vec<(String, usize)> {
    claims_in(|name| env::var(name).ok())
}

fn claims_in(get: impl Fn(&str) -> Option<String>) -> Vec<(String, usize)> {
    let number = |name: &str| get(name).and_then(|text| text.parse::<usize>().ok());
    let tasks = tasks_of_step(number);
    let claim = |(rank, ranks, by): (&str, &str, &str)| {
        let count = number(ranks).filter(|count| number(rank).is_some_and(|rank| rank < *count))?;
        let is_of_srun = by == SRUN || ranks == "PMI_SIZE" && tasks == Some(count);
        (!is_of_srun).then(|| (ranks.to_owned(), count))
    };
    LAUNCHERS.into_iter().filter_map(claim).collect()
}

/// Where srun says over how many nodes its ranks are.
const NODES_OF_STEP: &str = "SLURM_STEP_NUM_NODES";

impl Launch {
    /// Reads the environment of this process.
    pub fn detect() -> Self {
        Self::from_variables(|name| env::var(name).ok())
    }

    /// Of a process that nobody has started together with others.
    pub fn alone() -> Self {
        Self { rank: 0, ranks: 1, one_node: true, by: "nobody" }
    }

    /// Has a launcher started this process, be it the only rank?
    pub fn is_of_launcher(&self) -> bool {
        self.by != Self::alone().by
    }

    fn from_variables(get: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name: &str| get(name).and_then(|text| text.parse::<usize>().ok());
        let local = LOCAL_RANKS.iter().find_map(|name| number(name));
        let tasks = tasks_of_step(number);
        for (rank, ranks, by) in LAUNCHERS {
            let ranks = if by == SRUN { tasks } else { number(ranks) };
            if let (Some(rank), Some(ranks)) = (number(rank), ranks)
                && rank < ranks
            {
                // srun --mpi=pmi2 has MPICH's variables too, but for the number of ranks of a node.
                let is_srun = local.is_none() && tasks == Some(ranks);
                let by = if is_srun { SRUN } else { by };
                let one_node = local == Some(ranks) || by == SRUN && is_step_on_one_node(number);
                return Self { rank, ranks, one_node, by };
            }
        }
        Self::alone()
    }

    /// The same, once MPI has found `ranks` ranks, which may be more than the launcher has told this one of.
    pub fn in_world(&self, ranks: usize) -> Self {
        Self { ranks, one_node: self.one_node && ranks == self.ranks, ..*self }
    }
}

/// How many tasks a step of SLURM has, in all of its components. Each component of a heterogeneous step
/// (`srun … : …`) is told of its own tasks (`SLURM_STEP_NUM_TASKS`), and of all as `SLURM_NTASKS`; which is not
/// of the step where srun was to keep what it was (`--preserve-env`).
fn tasks_of_step(number: impl Fn(&str) -> Option<usize>) -> Option<usize> {
    let own = number("SLURM_STEP_NUM_TASKS")?;
    let is_beyond = number("SLURM_PROCID").is_some_and(|rank| rank >= own);
    let is_component = is_beyond || number("SLURM_HET_SIZE").is_some_and(|components| components > 1);
    number("SLURM_NTASKS").filter(|all| is_component && *all > own).or(Some(own))
}

/// Also where it may be but a component of a larger one, no.
fn is_step_on_one_node(number: impl Fn(&str) -> Option<usize>) -> bool {
    let (all, own) = (number("SLURM_NTASKS"), number("SLURM_STEP_NUM_TASKS"));
    number(NODES_OF_STEP) == Some(1) && (all.is_none() || all == own)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An environment of these variables alone.
    pub fn environment(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        move |name| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn launch(variables: &[(&str, &str)]) -> (usize, usize) {
        let launch = Launch::from_variables(environment(variables));
        (launch.rank, launch.ranks)
    }

    #[test]
    fn every_launcher_is_known() {
        assert_eq!(launch(&[]), (0, 1));
        assert_eq!(launch(&[("OMPI_COMM_WORLD_RANK", "3"), ("OMPI_COMM_WORLD_SIZE", "4")]), (3, 4));
        assert_eq!(launch(&[("PMI_RANK", "1"), ("PMI_SIZE", "2")]), (1, 2));
        assert_eq!(launch(&[("SLURM_PROCID", "5"), ("SLURM_STEP_NUM_TASKS", "8")]), (5, 8));
        assert_eq!(launch(&[("MV2_COMM_WORLD_RANK", "1"), ("MV2_COMM_WORLD_SIZE", "2")]), (1, 2));
        assert_eq!(launch(&[("FLUX_TASK_RANK", "2"), ("FLUX_JOB_SIZE", "3")]), (2, 3));
    }

    #[test]
    fn srun_has_the_variables_of_others_too() {
        let by = |local: &str| {
            let variables =
                [("PMI_RANK", "1"), ("PMI_SIZE", "4"), ("SLURM_STEP_NUM_TASKS", "4"), (local, "4")];
            let get = environment(&variables);
            Launch::from_variables(get).by
        };
        assert_eq!(by("OTHER"), SRUN);
        // MPICH's mpirun starts its own helpers by srun.
        assert_ne!(by("MPI_LOCALNRANKS"), SRUN);
    }

    #[test]
    fn components_of_a_heterogeneous_step() {
        let component = |rank: &str, own: &str, more: &[(&'static str, &'static str)]| {
            let all = [("SLURM_PROCID", rank), ("SLURM_STEP_NUM_TASKS", own), ("SLURM_STEP_NUM_NODES", "1")];
            let variables = [&all[..], &[("SLURM_NTASKS", "4")], more].concat();
            let get = environment(&variables);
            Launch::from_variables(get)
        };
        // Of a heterogeneous job: one task alone is one of four.
        let of_job = [("SLURM_HET_SIZE", "2")];
        let first = component("0", "1", &of_job);
        assert_eq!((first.rank, first.ranks, first.one_node, first.by), (0, 4, false, SRUN));
        assert_eq!(component("3", "3", &of_job).ranks, 4);
        // Of another: told of its own tasks, or found out by its rank.
        assert_eq!((component("0", "2", &[]).ranks, component("0", "2", &[]).one_node), (2, false));
        assert_eq!((component("3", "2", &[]).rank, component("3", "2", &[]).ranks), (3, 4));
        // What MPI finds counts.
        let world = component("0", "2", &[]).in_world(4);
        assert_eq!((world.rank, world.ranks, world.one_node), (0, 4, false));
        let pmi = component("3", "2", &[("PMI_RANK", "3"), ("PMI_SIZE", "4")]);
        assert_eq!((pmi.rank, pmi.ranks, pmi.by), (3, 4, SRUN));
    }

    #[test]
    fn one_node_or_several() {
        let one_node = |local: &str| {
            let variables = [("PMI_RANK", "1"), ("PMI_SIZE", "4"), ("MPI_LOCALNRANKS", local)];
            let get = environment(&variables);
            Launch::from_variables(get).one_node
        };
        assert!(one_node("4"));
        assert!(!one_node("2"));
        assert!(!one_node("unknown"));
        let step = |nodes: &str, more: &[(&'static str, &'static str)]| {
            let step =
                [("SLURM_PROCID", "1"), ("SLURM_STEP_NUM_TASKS", "4"), ("SLURM_STEP_NUM_NODES", nodes)];
            let variables = [&step, more].concat();
            let get = environment(&variables);
            let launch = Launch::from_variables(get);
            assert_eq!(launch.by, "srun");
            launch.one_node
        };
        assert!(step("1", &[]));
        assert!(!step("2", &[]));
        assert!(step("1", &[("PMI_RANK", "1"), ("PMI_SIZE", "4")]));
        // mpirun's daemon on a node is a step of its own, whose nodes are not those of the ranks.
        let under_mpirun =
            [("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "2"), ("SLURM_STEP_NUM_NODES", "1")];
        let get = environment(&under_mpirun);
        assert!(!Launch::from_variables(get).one_node);
    }

    #[test]
    fn launchers_that_contradict_each_other() {
        let claims = |more: &[(&'static str, &'static str)]| {
            let own = [("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "2")];
            let variables = [&own, more].concat();
            let get = environment(&variables);
            claims_in(get)
        };
        let own = ("OMPI_COMM_WORLD_SIZE".to_owned(), 2);
        let pmi = [("PMI_RANK", "1"), ("PMI_SIZE", "4")];
        assert_eq!(claims(&pmi), [own.clone(), ("PMI_SIZE".to_owned(), 4)]);
        // Open MPI's daemon, which srun has started.
        let step = [("SLURM_PROCID", "1"), ("SLURM_STEP_NUM_TASKS", "4")];
        assert_eq!(claims(&[pmi, step].concat()), [own]);
    }

    #[test]
    fn a_batch_script_is_not_a_step() {
        assert_eq!(launch(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8")]), (0, 1));
    }

    #[test]
    fn nonsense_is_no_launch() {
        assert_eq!(launch(&[("PMI_RANK", "7"), ("PMI_SIZE", "2")]), (0, 1));
        assert_eq!(launch(&[("PMI_RANK", "x"), ("PMI_SIZE", "2")]), (0, 1));
    }
}
