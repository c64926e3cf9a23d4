//! A launcher that belongs to another MPI library than this parpy: every process is rank 0 of 1, and would do
//! all of the work. How that is told, to a normal run and to `parpy doctor`, in the same words.

use std::env;

use crate::mpi::launch::advice::Advice;
use crate::mpi::launch::programs::is_open_mpi;
use crate::mpi::launch::{HYDRA, Launch, SRUN};

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
        is_open_mpi(self.library)
    }
}

/// `--mpi=` of the srun that has started this process, as in `pmix`; `None` where srun does not say.
pub fn srun_type() -> Option<String> {
    env::var("SLURM_MPI_TYPE").ok().filter(|kind| !kind.is_empty())
}

/// Are `found` ranks all that the launcher has started, as it counts them? MPI may find more: each component of a
/// heterogeneous step of SLURM (`srun … : …`) may be told of its own tasks alone, and MPI knows them all.
pub fn are_all(found: usize, ranks: usize) -> bool {
    ranks == 1 || found >= ranks
}

/// Does MPI find as many ranks as the launcher has started, or more?
pub fn compare(claim: Claim, found: usize) -> Option<Advice> {
    let Claim { ranks, library, .. } = claim;
    if are_all(found, ranks) {
        return None;
    }
    let started = format!("{ranks} processes were started by {}", by_whom(claim));
    Some(match found {
        1 => Advice {
            what: format!("{started}, but {library} makes each of them rank 0 of 1: {}", because(claim)),
            remedy: remedy(claim),
        },
        // They do meet, so it is the right MPI.
        _ => Advice {
            what: format!("{started}, as its variables say, but {library} finds {found} ranks"),
            remedy:
                "Start parpy from a shell in which no other launcher has left its variables (env | grep -E \
                     'OMPI_COMM|PMI|MV2_COMM|FLUX|SLURM'), and not within a rank of another run"
                    .to_owned(),
        },
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
/// nothing that it understands, and within a job of SLURM under the mpirun of MPICH.
pub fn is_doubtful(claim: Claim) -> bool {
    let is_foreign = claim.by == HYDRA || claim.is_of_srun() && env::var_os("PMIX_RANK").is_none();
    claim.ranks > 1 && claim.is_open_mpi() && is_foreign
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

/// How ranks of an MPI library find each other.
#[derive(Debug, PartialEq, Eq)]
struct Way {
    /// What the library's name contains.
    library: &'static str,
    /// `--mpi=` of srun.
    srun: &'static str,
    /// A variable without which the library does not use that, and what it names.
    variable: Option<(&'static str, &'static str)>,
    /// Its own launcher.
    own: &'static str,
}

/// Of those that differ from the rest, as SLURM's MPI guide and srun(1) (`--mpi`) have it.
const WAYS: [Way; 3] = [
    Way { library: "Open MPI", srun: "pmix", variable: None, own: "mpirun" },
    Way {
        library: "Intel(R) MPI",
        srun: "pmi2",
        variable: Some(("I_MPI_PMI_LIBRARY", "SLURM's libpmi2.so")),
        own: "mpirun or mpiexec.hydra",
    },
    Way { library: "CRAY MPICH", srun: "cray_shasta", variable: None, own: "mpiexec" },
];

/// Of MPICH, MVAPICH2 and what else there is.
const OTHERS: Way = Way { library: "", srun: "pmi2", variable: None, own: "mpirun" };

fn way(library: &str) -> &'static Way {
    WAYS.iter().find(|way| library.contains(way.library)).unwrap_or(&OTHERS)
}

fn remedy(claim: Claim) -> String {
    let library = claim.library;
    let Way { srun, variable, own, .. } = way(library);
    let other = if claim.is_open_mpi() { "mpicc.mpich" } else { "mpicc.openmpi" };
    let rebuild = format!(
        "or build parpy with the launcher's MPI: MPICC={other} (its mpicc) cargo build --release --target-dir \
         target/other"
    );
    let own = format!("the {own} of {library} (with --version it says whose it is)");
    if !claim.is_of_srun() {
        return format!("Start parpy with {own}, {rebuild}");
    }
    let within = format!("within the job (sbatch, salloc) with {own}, {rebuild}");
    let set = variable.map(|(name, what)| format!("{name} set to the path of {what}"));
    // What was tried already is no remedy.
    let is_tried = claim.srun_type.is_some_and(|kind| kind.starts_with(srun));
    match (is_tried, set) {
        (true, None) => format!("Start parpy with another type of srun --mpi=list, or {within}"),
        (true, Some(set)) => format!("Start parpy with srun --mpi={srun} and {set}, or {within}"),
        (false, set) => format!(
            "Start parpy with srun --mpi={srun}{}, which suits {library} (srun --mpi=list says what there is), or \
             {within}",
            set.map_or(String::new(), |set| format!(" and {set}"))
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
        // The claim of one component of several.
        assert_eq!(compare(claim(SRUN, "Open MPI v4.1.4", Some("pmix")), 6), None);
    }

    #[test]
    fn ranks_that_meet_have_the_right_mpi() {
        let said = compare(claim(SRUN, "Open MPI v4.1.4", Some("pmix")), 2).unwrap().to_string();
        assert!(said.contains("4 processes") && said.contains("finds 2 ranks"), "{said}");
        assert!(
            !said.contains("rank 0") && !said.contains("another MPI") && !said.contains("MPICC"),
            "{said}"
        );
    }

    #[test]
    fn every_library_has_its_way() {
        for (library, srun, own) in [
            ("Open MPI v5.0.3", "srun --mpi=pmix, which", "the mpirun of"),
            (
                "Intel(R) MPI Library 2021.9 for Linux* OS",
                "srun --mpi=pmi2 and I_MPI_PMI_LIBRARY set",
                "mpiexec.hydra",
            ),
            (
                "MPI VERSION : CRAY MPICH version 8.1.25.17 (ANL base 3.4a2)",
                "srun --mpi=cray_shasta, which",
                "the mpiexec of",
            ),
            ("MPICH 4.0.2", "srun --mpi=pmi2, which", "the mpirun of"),
            ("MVAPICH2 2.3.7", "srun --mpi=pmi2, which", "the mpirun of"),
        ] {
            let said = compare(claim(SRUN, library, Some("none")), 1).unwrap().remedy;
            assert!(said.contains(srun) && said.contains(own), "{library}: {said}");
            // It was tried, unless there is more to it.
            let tried = compare(claim(SRUN, library, Some(way(library).srun)), 1).unwrap().remedy;
            assert_eq!(tried.contains("I_MPI_PMI_LIBRARY"), library.starts_with("Intel"), "{tried}");
            assert_eq!(tried.contains("srun --mpi=pm"), library.starts_with("Intel"), "{tried}");
        }
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
