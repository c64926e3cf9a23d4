//! Blocks over MPI ranks: rank 0 scatters values and offsets, every rank works, rank 0 gathers.
//!
//! Here: joining and leaving the MPI run, and what all ranks agree on; how ranks of one node share memory is in
//! `segment`; `guard` stays to tell where MPI ends a process that joins, and `late` where others do not join. What
//! they do together is in [`crate::sched::ranks`].
//!
//! Whatever fails, on whichever rank, travels to rank 0 in a result header and back as a command to stop, so that
//! all ranks leave together and rank 0 alone speaks. Only a panic or a killed rank ends the run by force.

mod guard;
mod late;
pub(crate) mod segment;

use std::any::Any;
use std::collections::BTreeMap;
use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::Communicator as _;
use mpi::topology::{Color, SimpleCommunicator};
use mpi::traits::*;

use crate::base::error::{Error, Result};
use crate::base::signals::{self, Waiting};
use crate::base::{escape, isolate, streams};
use crate::mpi::communicator::{Backend, Began, Communicator, MpiLibrary, Words};
use crate::mpi::launch::Launch;
use crate::mpi::launch::foreign::{self, Claim};
use crate::mpi::launch::words::Given;
use crate::node::cpus;
use crate::node::host::node;

/// The way into an MPI run from a process that is linked with MPI.
pub const LINKED: Backend = Backend {
    join: |launch| Ok(Box::new(Mpi::start(launch)?)),
    try_join: |launch| {
        Ok(match Mpi::try_start(launch)? {
            Began::Here(mpi) => Began::Here(Box::new(mpi)),
            Began::Not(said) => Began::Not(said),
        })
    },
    abort,
    library: MpiLibrary::Here { name: library, standard },
};

/// The rank that reads values, writes answers and speaks.
pub(crate) const ROOT: i32 = 0;

/// Bytes of a message that every rank sends to rank 0.
const MESSAGE: usize = 1024;

/// How long a rank that has failed waits for the others to hear of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a rank says on which CPUs of which node it may run: the node, and its mask ([`cpus::mask`]).
const CPU_WORDS: usize = 17;

/// How many bytes of texts rank 0 gathers at once: few where parpy is tested, so that it takes several times.
const GATHERED: usize = if cfg!(feature = "fault-injection") { 4 * 1024 } else { 64 * 1024 * 1024 };

/// How long ranks that have nothing to do sleep before they look again.
const NAP: Duration = Duration::from_millis(2);

/// MPI is initialised and not yet finalised.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// A member of an MPI run: this process's rank in the world, or in a team of its first ranks. MPI is finalised
/// when the world's is dropped.
pub struct Mpi {
    pub(crate) world: SimpleCommunicator,
    /// As [`Launch::one_node`].
    pub(crate) one_node: bool,
    // Below `world`, because fields are dropped in order and the universe finalises MPI.
    /// Of the run that mpirun has started; a team within it has none.
    universe: Option<Universe>,
}

impl Mpi {
    /// Initialises MPI. What it makes of the launcher's processes is for the caller to compare.
    ///
    /// # Errors
    /// It cannot be initialised.
    pub fn start(launch: &Launch) -> Result<Self> {
        let (library, srun_type) = (library(), foreign::srun_type());
        let claim = Claim::of(launch, srun_type.as_deref(), &library);
        if !foreign::is_doubtful(claim) {
            return Self::start_here(launch);
        }
        match Self::try_start(launch)? {
            Began::Here(mpi) => Ok(mpi),
            Began::Not(said) => Err(Error::Usage(foreign::broken(claim, &said).to_string())),
        }
    }

    /// As [`Mpi::start`], in a child of this process, so that there is somebody to tell if MPI ends it.
    ///
    /// # Errors
    /// It cannot be initialised, and says so itself.
    pub fn try_start(launch: &Launch) -> Result<Began<Self>> {
        match guard::begin(|| Self::start_here(launch)) {
            Ok(Began::Here(mpi)) => mpi.map(Began::Here),
            Ok(Began::Not(said)) => Ok(Began::Not(said)),
            Err(_) => Self::start_here(launch).map(Began::Here),
        }
    }

    fn start_here(launch: &Launch) -> Result<Self> {
        prefer(launch);
        isolate::never_again();
        let started = || late::watched(launch, || mpi::initialize_with_threading(Threading::Funneled));
        let (universe, _) = signals::watch_again_after(started)
            .ok_or_else(|| Error::Failed("MPI could not be initialised: it already is".into()))?;
        RUNNING.store(true, Ordering::SeqCst);
        let world = universe.world();
        let one_node = launch.in_world(world.size() as usize).one_node;
        let mpi = Self { world, one_node, universe: Some(universe) };
        tracing::debug!("rank {} of {}, {}", mpi.rank(), mpi.ranks(), library());
        Ok(mpi)
    }

    /// Rank 0's bytes, on every rank. Collective.
    pub(crate) fn broadcast(&self, bytes: &mut Vec<u8>) {
        let root = self.world.process_at_rank(ROOT);
        let mut len = bytes.len() as u64;
        root.broadcast_into(&mut len);
        if len > 0 {
            bytes.resize(len as usize, 0);
            root.broadcast_into(&mut bytes[..]);
        }
    }

    /// Has it gone well on every rank? Collective.
    ///
    /// # Errors
    /// On rank 0 that of the first rank where it has not; [`Error::ReportedByRoot`] on the other ranks.
    pub(crate) fn all_fine(&self, outcome: Result<()>) -> Result<()> {
        if !self.any_failed(&outcome) {
            return Ok(());
        }
        let mut mine = [0; MESSAGE];
        if let Err(error) = outcome {
            let text = self.teller().tell(&error);
            let text = &text.as_bytes()[..text.floor_char_boundary(MESSAGE)];
            mine[..text.len()].copy_from_slice(text);
        }
        let root = self.world.process_at_rank(ROOT);
        if !self.is_root() {
            root.gather_into(&mine[..]);
            return Err(Error::ReportedByRoot(1));
        }
        let mut all = vec![0; MESSAGE * self.ranks()];
        root.gather_into_root(&mine[..], &mut all[..]);
        let mut said = all.chunks(MESSAGE).map(<[u8]>::trim_ascii).map(|text| text.split(|b| *b == 0).next());
        let first = said.find_map(|text| text.filter(|text| !text.is_empty())).unwrap_or_default();
        Err(Error::Failed(String::from_utf8_lossy(first).into_owned()))
    }

    /// Has any rank failed? Collective. A rank that has failed waits for the others no longer than
    /// [`PATIENCE`]: they may wait for it within what has failed, for ever.
    pub(crate) fn any_failed(&self, outcome: &Result<()>) -> bool {
        // Both types are said: rsmpi takes two that differ, and MPI writes as many bytes as `mine` has.
        let (mine, mut failed): (u64, u64) = (outcome.is_err().into(), 0);
        mpi::request::scope(|scope| {
            let began = Instant::now();
            let mut request =
                self.world.immediate_all_reduce_into(scope, &mine, &mut failed, SystemOperation::max());
            loop {
                request = match request.test() {
                    Ok(_) => return,
                    Err(request) => request,
                };
                if let Err(error) = outcome
                    && began.elapsed() > PATIENCE
                {
                    let text = self.teller().tell(error);
                    eprintln!("parpy: {}; other ranks do not answer", escape::line(&text));
                    abort();
                }
                std::thread::yield_now();
            }
        });
        failed > 0
    }

    /// A failure of rank 0's own: where there are several nodes, with which of them it was on, because a file
    /// may be on others.
    pub(crate) fn at_home(&self, error: Error) -> Error {
        match error {
            Error::Failed(text) | Error::CannotOpen(text) if !self.one_node => {
                Error::Failed(format!("rank 0 on host {} {text}", crate::node::host::host()))
            }
            other => other,
        }
    }

    pub(crate) fn teller(&self) -> Teller {
        Teller { is_root: self.is_root(), rank: self.rank() }
    }

    pub(crate) fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    pub(crate) fn ranks(&self) -> usize {
        self.world.size() as usize
    }
}

impl Communicator for Mpi {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn is_root(&self) -> bool {
        self.world.rank() == ROOT
    }

    fn bcast_text(&self, text: &mut dyn FnMut() -> Result<String>) -> Result<String> {
        let text = if self.is_root() { text() } else { Ok(String::new()) };
        let (outcome, mut bytes) = match text {
            Ok(text) => (Ok(()), text.into_bytes()),
            Err(error) => (Err(error), Vec::new()),
        };
        self.bcast_result(outcome)?;
        self.broadcast(&mut bytes);
        String::from_utf8(bytes).map_err(|_| Error::Failed("the job's text was damaged on its way".into()))
    }

    fn bcast_result(&self, outcome: Result<()>) -> Result<()> {
        let mut word = outcome_to_word(&outcome);
        self.world.process_at_rank(ROOT).broadcast_into(&mut word);
        if self.is_root() { outcome } else { outcome_from_word(word) }
    }

    fn count(&self) -> usize {
        self.ranks()
    }

    fn cpus(&self) -> usize {
        let mut mine = [node(); CPU_WORDS];
        mine[1..].copy_from_slice(&cpus::mask());
        let mut all = vec![0u64; CPU_WORDS * self.ranks()];
        self.world.all_gather_into(&mine[..], &mut all[..]);
        let mut nodes: BTreeMap<u64, [u64; CPU_WORDS - 1]> = BTreeMap::new();
        for rank in all.chunks(CPU_WORDS) {
            let node = nodes.entry(rank[0]).or_insert([0; CPU_WORDS - 1]);
            node.iter_mut().zip(&rank[1..]).for_each(|(node, rank)| *node |= rank);
        }
        let count =
            |node: &[u64; CPU_WORDS - 1]| node.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        nodes.values().map(|node| cpus::of_node(count(node))).sum()
    }

    fn is_same(&self, mine: Given) -> [bool; 3] {
        // The largest, and the largest complement, which is that of the smallest; 0 for none is neither.
        let both: Vec<u64> = mine.into_iter().flat_map(|digest| digest.map_or([0, 0], |d| [d, !d])).collect();
        let mut most = [0u64; 6];
        self.world.all_reduce_into(&both[..], &mut most[..], SystemOperation::max());
        [0, 2, 4].map(|i| most[i] == !most[i + 1] || most[i] == 0 && most[i + 1] == 0)
    }

    fn gather(&self, mine: &str) -> Option<Vec<String>> {
        let (ranks, root) = (self.ranks(), self.world.process_at_rank(ROOT));
        let (len, mut lens) = (mine.len() as u64, vec![0u64; self.ranks()]);
        self.world.all_gather_into(&len, &mut lens[..]);
        let longest = lens.iter().max().copied().unwrap_or(0) as usize;
        let room = (GATHERED / ranks).max(1);
        let part = |len: usize, start: usize| start.min(len)..(start + room).min(len);
        let mut texts = vec![Vec::new(); if self.is_root() { ranks } else { 0 }];
        for start in (0..longest).step_by(room) {
            let piece = &mine.as_bytes()[part(mine.len(), start)];
            if !self.is_root() {
                root.gather_varcount_into(piece);
                continue;
            }
            let counts: Vec<i32> = lens.iter().map(|len| part(*len as usize, start).len() as i32).collect();
            let mut total = 0;
            let starts: Vec<i32> = counts.iter().map(|count| (total, total += count).0).collect();
            let mut all = vec![0u8; total as usize];
            root.gather_varcount_into_root(
                piece,
                &mut PartitionMut::new(&mut all[..], &counts[..], &starts[..]),
            );
            for ((text, start), count) in texts.iter_mut().zip(starts).zip(counts) {
                text.extend_from_slice(&all[start as usize..][..count as usize]);
            }
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        self.is_root().then(|| texts.into_iter().map(text).collect())
    }

    fn split(&self, size: usize) -> Result<Option<Box<dyn Communicator>>> {
        let is_in = self.rank() < size;
        let color = if is_in { Color::with_value(0) } else { Color::undefined() };
        // In the order of their ranks, so that rank 0 stays rank 0.
        let team = self.world.split_by_color_with_key(color, self.world.rank());
        Ok(team.map(|world| {
            Box::new(Self { world, one_node: self.one_node, universe: None }) as Box<dyn Communicator>
        }))
    }

    fn bcast(&self, mut words: Words) -> Words {
        self.world.process_at_rank(ROOT).broadcast_into(&mut words[..]);
        words
    }

    fn ibcast_sleeping(&self, mut words: Words) -> Words {
        mpi::request::scope(|scope| {
            let root = self.world.process_at_rank(ROOT);
            let mut request = root.immediate_broadcast_into(scope, &mut words[..]);
            // Rank 0 waits as MPI does, which is to ask again and again: the others are there soon.
            while !self.is_root() {
                match request.test() {
                    Ok(_) => return,
                    Err(again) => request = again,
                }
                std::thread::sleep(NAP);
            }
            request.wait();
        });
        words
    }
}

/// Says a failure as rank 0 will print it.
#[derive(Clone, Copy)]
pub(crate) struct Teller {
    is_root: bool,
    rank: usize,
}

impl Teller {
    /// One item's failure is the same whichever rank met it; that a rank cannot do its work is news of that
    /// rank, unless it is rank 0, which a user sees as parpy.
    pub(crate) fn tell(self, error: &Error) -> String {
        match error {
            Error::Failed(text) | Error::CannotOpen(text) if !self.is_root => {
                format!("rank {} on host {} {text}", self.rank, crate::node::host::host())
            }
            other => other.to_string(),
        }
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        if self.universe.is_some() {
            RUNNING.store(false, Ordering::SeqCst);
            // For all ranks to finalise MPI.
            std::mem::forget(Waiting::begin());
        }
    }
}

/// 0, or 1 + the exit code of a run that stops early: what travels of an outcome.
pub(crate) fn outcome_to_word<T>(outcome: &Result<T>) -> u64 {
    outcome.as_ref().err().map_or(0, |error| 1 + u64::from(error.exit_code()))
}

pub(crate) fn outcome_from_word(word: u64) -> Result<()> {
    word.checked_sub(1).map_or(Ok(()), |code| Err(Error::ReportedByRoot(code as u8)))
}

/// Tells Open MPI what suits parpy better than its defaults, unless somebody has told it anything of the kind.
/// Called once, before MPI is initialised and before there is any other thread.
fn prefer(launch: &Launch) {
    let several = launch.ranks > 1;
    // Shared memory, without looking for networks: looking takes half of an empty program's time, and Open MPI 5
    // complains of each interface that leads nowhere. It calls shared memory sm.
    if several && launch.one_node && is_open_mpi("v4.") {
        set_if_untouched(&[("OMPI_MCA_pml", "ob1"), ("OMPI_MCA_btl", "self,vader")]);
    } else if launch.is_of_launcher() && launch.one_node && is_open_mpi("v5.") {
        set_if_untouched(&[("OMPI_MCA_pml", "ob1"), ("OMPI_MCA_btl", "self,sm")]);
    }
    if several && !launch.one_node && is_open_mpi("v") {
        // Ranks that wait for a message spin. Where two share a CPU and Open MPI cannot know it (nodes that are
        // containers of one machine, for example), each waits for the end of the other's time slice: 8 ms for a
        // round trip that takes 0.03 ms when they yield (measured with 4.1.4, over TCP). To ranks with a CPU each
        // a yield costs some microseconds a round, of which parpy makes few.
        set_if_untouched(&[("OMPI_MCA_mpi_yield_when_idle", "1")]);
    }
    if cfg!(feature = "mpio") && is_open_mpi("v4.") {
        // Its own OMPIO (seen with 4.1.4) waits for ever when the disk is full for one rank of a collective
        // write; ROMIO does not.
        set_if_untouched(&[("OMPI_MCA_io", "romio321")]);
    }
}

fn set_if_untouched(settings: &[(&str, &str)]) {
    if settings.iter().all(|(name, _)| env::var_os(name).is_none()) {
        for (name, value) in settings {
            // SAFETY: by the rule of `prefer` there is no other thread.
            unsafe { env::set_var(name, value) };
        }
    }
}

/// Is it Open MPI, of a version that begins like this?
fn is_open_mpi(version: &str) -> bool {
    library().strip_prefix("Open MPI ").is_some_and(|rest| rest.starts_with(version))
}

/// The MPI library's name and version, as it gives them itself. Can be asked before MPI is initialised.
pub fn library() -> String {
    let text = mpi::environment::library_version().unwrap_or_default();
    // Open MPI: `Open MPI v4.1.4, package: …`; MPICH: `MPICH Version:\t4.0.2\nMPICH Release date: …`.
    let first = text.split([',', '\n', '\0']).next().unwrap_or_default();
    first.replace("Version:", "").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The version of the MPI standard that the library follows, as in `3.1`.
pub fn standard() -> String {
    let (version, subversion) = mpi::environment::version();
    format!("{version}.{subversion}")
}

/// Ends this process, and with it all ranks of its run, at once.
pub fn abort() -> ! {
    streams::results_end(true);
    streams::until_read();
    if RUNNING.load(Ordering::SeqCst) {
        // SAFETY: MPI is initialised and not finalised, and the call does not return.
        unsafe { mpi::ffi::MPI_Abort(mpi::ffi::RSMPI_COMM_WORLD, 1) };
    }
    std::process::exit(1)
}
