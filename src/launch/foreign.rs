//! A launcher that belongs to another MPI library than this parpy: every process is rank 0 of 1, and would do all
//! of the work. How that is told, to a normal run and to `parpy doctor`, in the same words.

use std::env;
use std::fmt;

use crate::launch::{Launch, SRUN};

/// What is wrong with the way in which parpy was started, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What was seen.
    pub what: String,
    /// What to do instead.
    pub remedy: String,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}. {}", self.what, self.remedy)
    }
}

/// What the launcher claims, and the MPI library that should bear it out.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// How many processes were started together.
    pub ranks: usize,
    /// By whom: [`Launch::by`].
    pub by: &'a str,
    /// As [`srun_type`] has it.
    pub srun_type: Option<&'a str>,
    /// The MPI library of this parpy.
    pub library: &'a str,
}

impl<'a> Claim<'a> {
    /// Of this process.
    pub fn of(launch: &'a Launch, srun_type: Option<&'a str>, library: &'a str) -> Self {
        Self { ranks: launch.ranks, by: launch.by, srun_type, library }
    }

    fn is_of_srun(&self) -> bool {
        self.by == SRUN
    }

    fn is_open_mpi(&self) -> bool {
        self.library.contains("Open MPI")
    }
}

/// `--mpi=` of the srun that has started this process, as in `pmix`; `None` where srun does not say.
pub fn srun_type() -> Option<String> {
    env::var("SLURM_MPI_TYPE").ok().filter(|kind| !kind.is_empty())
}

/// Does MPI find as many ranks as the launcher has started?
pub fn compare(claim: Claim, found: usize) -> Option<Advice> {
    let Claim { ranks, library, .. } = claim;
    (ranks > 1 && found != ranks).then(|| Advice {
        what: format!(
            "{ranks} processes were started by {}, but {library} makes each of them rank 0 of {found}: {}",
            by_whom(claim),
            because(claim)
        ),
        remedy: remedy(claim),
    })
}

/// MPI has ended this process, or would have, while it was being initialised; `said` is what it has said.
pub fn broken(claim: Claim, said: &str) -> Advice {
    let because = match claim.is_of_srun() {
        true => format!("; most probably {}", because(claim)),
        false => String::new(),
    };
    let said = match said {
        "" => String::new(),
        said => format!(" (it says: {})", said.trim_end_matches('.')),
    };
    let Claim { ranks, library, .. } = claim;
    let what = format!(
        "{ranks} processes were started by {}, and {library} could not be initialised{because}{said}",
        by_whom(claim)
    );
    Advice { what, remedy: remedy(claim) }
}

/// Must MPI be expected to end the process rather than to return an error? Open MPI 4 does so where srun offers
/// nothing that it understands.
pub fn is_doubtful(claim: Claim) -> bool {
    claim.ranks > 1 && claim.is_of_srun() && claim.is_open_mpi() && env::var_os("PMIX_RANK").is_none()
}

fn by_whom(claim: Claim) -> String {
    match claim.srun_type.filter(|_| claim.is_of_srun()) {
        Some(kind) => format!("srun --mpi={kind}"),
        None => claim.by.to_owned(),
    }
}

fn because(claim: Claim) -> &'static str {
    match claim.is_of_srun() {
        true => "srun offers ranks a way to meet that belongs to another MPI library, or none",
        false => "the launcher belongs to another MPI library",
    }
}

fn remedy(claim: Claim) -> String {
    let library = claim.library;
    let (fits, other) = match claim.is_open_mpi() {
        true => ("pmix", "mpicc.mpich"),
        false => ("pmi2", "mpicc.openmpi"),
    };
    let rebuild = format!(
        "or build parpy with the launcher's MPI: MPICC={other} (its mpicc) cargo build --release --target-dir \
         target/other"
    );
    let own = format!("the mpirun of {library} (mpirun --version says whose it is)");
    if !claim.is_of_srun() {
        return format!("Start parpy with {own}, {rebuild}");
    }
    let within = format!("within the job (sbatch, salloc) with {own}, {rebuild}");
    // What was tried already is no remedy.
    match claim.srun_type.is_some_and(|kind| kind.starts_with(fits)) {
        true => format!("Start parpy with another type of srun --mpi=list, or {within}"),
        false => format!(
            "Start parpy with srun --mpi={fits}, which suits {library} (srun --mpi=list says what there is), or \
             {within}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim<'a>(by: &'a str, library: &'a str, srun_type: Option<&'a str>) -> Claim<'a> {
        Claim { ranks: 4, by, srun_type, library }
    }

    #[test]
    fn as_many_ranks_as_processes_is_right() {
        assert_eq!(compare(claim(SRUN, "Open MPI v4.1.4", Some("pmix")), 4), None);
        assert_eq!(compare(Claim::of(&Launch::alone(), None, "Open MPI v4.1.4"), 1), None);
    }

    #[test]
    fn the_remedy_fits_launcher_and_library() {
        let says = |by, library, kind| compare(claim(by, library, kind), 1).unwrap().to_string();
        let mpich = says(SRUN, "MPICH 4.0.2", Some("pmix"));
        assert!(
            mpich.starts_with("4 processes were started by srun --mpi=pmix, but MPICH 4.0.2 makes"),
            "{mpich}"
        );
        assert!(mpich.contains("srun --mpi=pmi2") && mpich.contains("MPICC=mpicc.openmpi"), "{mpich}");
        let open = says(SRUN, "Open MPI v4.1.4", Some("none"));
        assert!(open.contains("srun --mpi=pmix") && open.contains("MPICC=mpicc.mpich"), "{open}");
        // That was tried.
        let open = says(SRUN, "Open MPI v4.1.4", Some("pmix"));
        assert!(!open.contains("with srun --mpi=pmix") && open.contains("srun --mpi=list"), "{open}");
        let mpirun = says("the mpirun of MPICH or a relative of it", "Open MPI v4.1.4", None);
        assert!(mpirun.contains("belongs to another MPI library") && !mpirun.contains("srun"), "{mpirun}");
    }

    #[test]
    fn what_mpi_said_is_passed_on() {
        let broken = broken(claim(SRUN, "Open MPI v4.1.4", Some("none")), "no PMI.").to_string();
        assert!(
            broken.contains("could not be initialised") && broken.contains("(it says: no PMI)"),
            "{broken}"
        );
        assert!(broken.contains("srun --mpi=pmix"), "{broken}");
    }
}
