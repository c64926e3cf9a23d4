//! Who has started the ranks, and do they find each other?

use crate::base::fmt::counted;
use crate::cmd::doctor::check::{by_node, find};
use crate::cmd::doctor::facts::{Facts, Started};
use crate::cmd::doctor::programs::OnPath;
use crate::cmd::doctor::{Finding, Level};
use crate::mpi::launch::foreign::{self, Claim};
use crate::mpi::launch::programs::is_open_mpi;
use crate::mpi::launch::{Launch, SRUN};

const ID: &str = "launcher";

pub fn check(all: &[Facts], found: &mut Vec<Finding>) {
    let Some(first) = all.first() else { return };
    if let Some(why) = &first.versions.mpi_fault {
        let remedy = "Load the modules that parpy was built with, on every node (module load …; or name the \
                      library's folder in LD_LIBRARY_PATH), and keep parpy's programs in one folder";
        find(found, "program", Level::Problem, why.clone(), remedy);
    }
    if let Some(why) = &first.versions.hdf5_fault {
        let remedy = "Load the HDF5 that parpy was built with (module load …; or name its folder in \
                      LD_LIBRARY_PATH); what needs no .h5 file works without";
        find(found, "program", Level::Warning, why.clone(), remedy);
    }
    let Started { by, ranks, srun_type, found: ranks_found, said, .. } = &first.started;
    let library = first.versions.mpi.as_deref();
    let claim =
        Claim { ranks: *ranks, by, srun_type: srun_type.as_deref(), library: library.unwrap_or("MPI") };
    let advice = match (said, ranks_found) {
        (Some(said), _) => Some(foreign::broken(claim, said)),
        (None, Some(count)) => foreign::compare(claim, *count),
        (None, None) => None,
    };
    let is_wrong = advice.is_some();
    if let Some(advice) = advice {
        find(found, ID, Level::Problem, advice.what, &advice.remedy);
    } else if *by != Launch::alone().by {
        started(first, library, found);
        some_of_the_nodes(all, found);
    } else {
        alone(first, found);
    }
    contradictions(&first.started, found);
    if let Some(version) = &first.started.mixing_pmix {
        let what = format!(
            "this mpirun (PMIx {version}) mixes what a rank writes to standard output and to standard error; so \
             that no result is lost, parpy's messages come after its results"
        );
        let remedy = "For results that nothing is mixed into whoever writes: -o FILE, or mpirun --output :raw; \
                      or a newer PMIx (5.0.11, 6.1.1)";
        find(found, "output", Level::Warning, what, remedy);
    }
    if is_wrong || *ranks == 1 {
        on_path(first, library, found);
    }
}

fn started(first: &Facts, library: Option<&str>, found: &mut Vec<Finding>) {
    let Started { by, ranks, found: ranks_found, srun_type, .. } = &first.started;
    let kind =
        srun_type.as_ref().filter(|_| by == SRUN).map_or(String::new(), |kind| format!(" --mpi={kind}"));
    let count = counted(*ranks as u64, "rank");
    match (library, ranks_found) {
        (Some(library), Some(all)) => {
            let finds = match all > ranks {
                true => format!("{all}: srun has started several components of one step (srun … : …)"),
                false => "as many".to_owned(),
            };
            let what = format!("{by}{kind} has started {count}, and {library} finds {finds}");
            find(found, ID, Level::Ok, what, "");
        }
        // One rank, which needs no MPI; or no MPI, of which more is said elsewhere.
        _ if *ranks == 1 => {
            find(found, ID, Level::Ok, format!("{by}{kind} has started one rank"), "");
        }
        _ if first.versions.mpi_fault.is_none() => {
            let what = format!("{by}{kind} has started {count}, but this parpy is built without MPI");
            find(found, ID, Level::Problem, what, "Rebuild it with an MPI installed: cargo build --release");
        }
        _ => {}
    }
}

/// Variables of more launchers than the one that has started this process.
fn contradictions(started: &Started, found: &mut Vec<Finding>) {
    let Started { by, ranks, claims, .. } = started;
    if claims.windows(2).all(|two| two[0].1 == two[1].1) {
        return;
    }
    let said: Vec<String> = claims.iter().map(|(name, ranks)| format!("{name}={ranks}")).collect();
    let what = format!(
        "the variables of launchers contradict each other: {}; parpy goes by those of {by}, {}",
        said.join(", "),
        counted(*ranks as u64, "rank")
    );
    let remedy = "Unset those of launchers that have not started this parpy, which a shell, a batch script or a \
                  rank of another run has left there: env -u PMI_RANK -u PMI_SIZE …";
    // Where MPI bears it out they did no harm.
    let level = if started.found == Some(*ranks) { Level::Note } else { Level::Warning };
    find(found, "variables", level, what, remedy);
}

fn some_of_the_nodes(all: &[Facts], found: &mut Vec<Finding>) {
    let used = by_node(all).len();
    if let Some(job) = all[0].slurm_job.as_ref().filter(|job| job.nodes > used) {
        let what = format!("the ranks are on {} of the {} nodes that SLURM gave this job", used, job.nodes);
        find(found, ID, Level::Note, what, "For all of them: srun -N, or mpirun -n with more ranks");
    }
}

fn alone(first: &Facts, found: &mut Vec<Finding>) {
    let cpus = counted(first.cpus.usable as u64, "CPU");
    match &first.slurm_job {
        Some(job) if job.nodes > 1 || job.tasks.is_some_and(|tasks| tasks > 1) => {
            let advice = job.unused(&first.host, first.cpus.usable);
            let level = if job.nodes > 1 { Level::Warning } else { Level::Note };
            find(found, ID, level, advice.what, &advice.remedy);
        }
        _ => {
            let what = format!("started alone: parpy uses {cpus} of {}, as threads", first.host);
            find(found, ID, Level::Ok, what, "For the nodes of a run: mpirun -n N parpy doctor, or srun …");
        }
    }
}

/// Is the mpirun that people type the one of this parpy's MPI?
fn on_path(first: &Facts, library: Option<&str>, found: &mut Vec<Finding>) {
    let Some(library) = library else { return };
    let wants_open_mpi = is_open_mpi(library);
    let fits = first.launchers.iter().find(|launcher| launcher.is_open_mpi == wants_open_mpi);
    let plain = ["mpirun", "mpiexec"];
    let typed = plain.iter().find_map(|name| first.launchers.iter().find(|launcher| launcher.name == *name));
    const PATH: &str = "mpirun";
    match (typed, fits) {
        (None, None) if first.versions.slurm.is_some() => {
            find(found, PATH, Level::Ok, "there is no mpirun on the PATH, but there is srun".to_owned(), "");
        }
        (None, None) => {
            let what = format!(
                "there is no mpirun on the PATH, so parpy runs on this node only; it needs that of {library}"
            );
            find(found, PATH, Level::Note, what, "Load its module, or put its bin folder into PATH");
        }
        (Some(typed), fits) if typed.is_open_mpi != wants_open_mpi => {
            let what = format!(
                "{} ({}) is not of {library}, with which this parpy is linked: under it every rank would be rank 0 \
                 of 1",
                typed.path, typed.version
            );
            let remedy = match fits {
                Some(own) => format!("Use {} ({}), or rebuild parpy with the other: MPICC=…", own.name, own.version),
                None => "Load the module of parpy's MPI, or put its bin folder first in PATH; or rebuild parpy with \
                         the other: MPICC=…"
                    .to_owned(),
            };
            find(found, PATH, Level::Warning, what, &remedy);
        }
        (Some(own), _) | (None, Some(own)) => {
            let what = format!("{} ({}) belongs to parpy's MPI", own.path, own.version);
            match (major(&own.version), major(library)) {
                (Some(theirs), Some(ours)) if theirs != ours && is_numbered_alike(own, library) => {
                    let what = format!(
                        "{} ({}) is of another version than {library}, with which this parpy is linked",
                        own.path, own.version
                    );
                    find(
                        found,
                        PATH,
                        Level::Warning,
                        what,
                        "Load one MPI for both, and rebuild parpy with it",
                    );
                }
                _ => find(found, PATH, Level::Ok, what, ""),
            }
        }
    }
}

/// Does the launcher have the version of its MPI library, where it is the one of `library`? Open MPI's has.
/// Hydra, which MPICH's is, says `Version: 4.0.2` and no more; that of MVAPICH2, another MPICH's Hydra, says
/// the same of the version of that.
fn is_numbered_alike(launcher: &OnPath, library: &str) -> bool {
    let is_mpich = launcher.version.starts_with("Version:") || launcher.version.contains("MPICH ");
    launcher.is_open_mpi || is_mpich && library.starts_with("MPICH ")
}

/// The first number of a version in a text: 4 of `Open MPI v4.1.4`.
fn major(text: &str) -> Option<u32> {
    let is_version = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    let word = text.split_whitespace().map(|word| word.trim_start_matches('v')).find(is_version)?;
    word.split('.').next()?.parse().ok()
}
