//! `parpy doctor`: looks at this machine, or at all nodes of the run that it is a rank of, and says what will go
//! wrong there and what to do about it.
//!
//! Every rank collects its facts (`facts`), rank 0 gets them all, compares (`check`: of the facts alone, so that
//! made-up clusters can be examined too) and tells (`tell`). Nothing is changed, and nothing is measured.

mod check;
mod facts;
mod programs;
mod tell;

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::cli::DoctorArgs;
use crate::mpi::communicator::{Backend, Began, Communicator, MpiLibrary};
use crate::mpi::launch::foreign::are_all;
use crate::mpi::launch::{Launch, words};

pub use facts::Facts;

/// How often each rank reads its clock when all of them have just met.
const CLOCK_READINGS: usize = 9;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// Works, but slower or otherwise than one may think.
    Warning,
    /// Will not work.
    Problem,
}

/// Something that was seen, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about, for programs.
    pub id: String,
    /// How much it matters.
    pub level: Level,
    /// What was seen.
    pub what: String,
    /// What to do; empty where there is nothing to be done.
    pub remedy: String,
}

/// What rank 0 has to say.
#[derive(Debug, Clone)]
pub struct Examined {
    /// For people, or as JSON.
    pub text: String,
    /// Something will not work.
    pub has_problem: bool,
}

/// Examines this machine, or together with the other ranks all of theirs. What there is to say is on the process
/// that the launcher calls rank 0; the others are to leave when it has said it, if they are members of the run.
pub fn examine(
    args: &DoctorArgs,
    launch: &Launch,
    backend: &Backend,
) -> (Option<Box<dyn Communicator>>, Option<Examined>) {
    let programs = programs::ask(backend, launch);
    if launch.ranks == 1 && programs.can_be_mpi && matches!(backend.library, MpiLibrary::Elsewhere) {
        // Returns only where it cannot, and then does without.
        let _ = backend.library.name();
    }
    // Before MPI is initialised, after which no process should have children.
    let mut mine = Facts::collect(args, launch, backend, programs);
    let mut member = None;
    // One that was given other words than the others speaks of itself.
    let mut speaks = launch.rank == 0;
    if launch.ranks > 1 {
        match (backend.try_join)(launch) {
            Ok(Began::Here(ranks)) => {
                mine.started.found = Some(ranks.count());
                let [is_same, ..] = ranks.is_same(words::given(None));
                speaks |= !is_same;
                member = Some(ranks).filter(|ranks| is_same && are_all(ranks.count(), launch.ranks));
            }
            Ok(Began::Not(said)) => mine.started.said = Some(said),
            Err(error) if cfg!(feature = "mpi") => mine.versions.mpi_fault = Some(error.to_string()),
            // Built without: nothing is broken.
            Err(_) => {}
        }
    }
    let Some(ranks) = &member else {
        return (None, speaks.then(|| told(&[mine], Vec::new(), args.json)));
    };
    mine.clock = readings(&**ranks);
    // Numbers and texts: nothing that serde_json refuses.
    let text = serde_json::to_string(&mine).unwrap_or_default();
    let examined = ranks.gather(&text).map(|texts| {
        let mut all = Vec::new();
        let mut strange = Vec::new();
        for (rank, text) in texts.iter().enumerate() {
            match serde_json::from_str(text) {
                Ok(facts) => all.push(facts),
                Err(_) => strange.push(check::stranger(rank, text)),
            }
        }
        told(&all, strange, args.json)
    });
    (member, examined)
}

/// This rank's clock each time that all ranks have met: seconds since 1970. Collective.
fn readings(ranks: &dyn Communicator) -> Vec<f64> {
    let read = |_| {
        ranks.gather("here");
        ranks.bcast([0; 4]);
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
    };
    (0..CLOCK_READINGS).map(read).collect()
}

fn told(all: &[Facts], strange: Vec<Finding>, json: bool) -> Examined {
    let findings = [check::findings(all), strange].concat();
    let has_problem = findings.iter().any(|finding| finding.level == Level::Problem);
    let text = if json { tell::json(all, &findings) } else { tell::text(all, &findings) };
    Examined { text, has_problem }
}
