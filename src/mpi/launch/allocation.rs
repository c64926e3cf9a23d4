//! What SLURM has given the job that this process is part of, as its variables say (sbatch(1), "OUTPUT
//! ENVIRONMENT VARIABLES"). A batch script is not a step: what is started in it without srun or mpirun is one
//! process on one node.

use std::env;

use serde::{Deserialize, Serialize};

use crate::base::fmt::counted;
use crate::mpi::launch::advice::Advice;
use crate::node::cpus;
use crate::node::host::host;

/// A job's allocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// The job's number.
    pub job: String,
    /// Tasks (`-n`), where they were asked for.
    pub tasks: Option<usize>,
    /// Nodes.
    pub nodes: usize,
    /// CPUs for each task (`-c`), where they were asked for.
    pub cpus_per_task: Option<usize>,
}

impl Allocation {
    /// Of the environment of this process.
    pub fn of_environment() -> Option<Self> {
        Self::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(get: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name| get(name)?.parse::<usize>().ok();
        Some(Self {
            job: get("SLURM_JOB_ID")?,
            tasks: number("SLURM_NTASKS"),
            nodes: number("SLURM_JOB_NUM_NODES").unwrap_or(1),
            cpus_per_task: number("SLURM_CPUS_PER_TASK"),
        })
    }

    /// What to say where parpy was started by nobody, on one of several nodes.
    pub fn left_alone(&self) -> Option<Advice> {
        (self.nodes > 1).then(|| self.unused(&host(), cpus::usable()))
    }

    /// The same of any allocation, for a process on `host` that uses `cpus`.
    pub fn unused(&self, host: &str, cpus: usize) -> Advice {
        let tasks = self.tasks.map_or(String::new(), |tasks| counted(tasks as u64, "task") + " on ");
        Advice {
            what: format!(
                "SLURM gave this job {tasks}{}, and parpy was started without srun or mpirun: it uses {} of {host} \
                 alone, as threads",
                counted(self.nodes as u64, "node"),
                counted(cpus as u64, "CPU")
            ),
            remedy:
                "For ranks on all of it: srun parpy …, or mpirun parpy …; to see first whether that works: srun \
                 parpy doctor"
                    .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpi::launch::tests::environment;

    fn allocation(variables: &[(&str, &str)]) -> Option<Allocation> {
        Allocation::from_variables(environment(variables))
    }

    #[test]
    fn a_job_on_two_nodes_is_more_than_one_process() {
        let two = [("SLURM_JOB_ID", "7"), ("SLURM_NTASKS", "4"), ("SLURM_JOB_NUM_NODES", "2")];
        let said = allocation(&two).unwrap().unused("n1", 2).to_string();
        assert!(said.contains("4 tasks on 2 nodes") && said.contains("2 CPUs of n1"), "{said}");
        assert!(allocation(&two).unwrap().left_alone().is_some());
        let one = allocation(&[("SLURM_JOB_ID", "7"), ("SLURM_JOB_NUM_NODES", "1")]).unwrap();
        assert_eq!((one.tasks, one.left_alone()), (None, None));
        assert_eq!(allocation(&[("SLURM_NTASKS", "4")]), None);
    }
}
