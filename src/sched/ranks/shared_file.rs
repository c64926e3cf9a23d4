//! A file that every rank writes its own part of: opened, written in each round, and closed by all ranks
//! together, so that none waits for another that has failed.
//!
//! How such a file is written is known to [`crate::output::hdf5_library`]; here is only who calls it when. Without the
//! feature `mpio` no output asks for one.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use crate::base::error::{Error, Result, plain};
use crate::job::Task;
use crate::mpi::linked::Mpi;
use crate::op::Bound;
use crate::output::hdf5_library::{SharedFile, SharedFilePlan};

/// One rank's end of a file that all ranks write to, or of none.
#[derive(Default)]
pub struct OwnPart {
    file: Option<Box<dyn SharedFile>>,
    /// As [`SharedFilePlan::first`].
    first: u64,
    /// A write has failed, on this rank or another.
    is_broken: bool,
    /// How long writing took since it was last asked.
    wrote: Duration,
}

impl OwnPart {
    /// Opens the file on every rank; rank 0 has created it, and says which. Collective.
    ///
    /// # Errors
    /// A rank does not find it, or cannot write to it.
    pub fn open(
        &mut self,
        mpi: &Mpi,
        task: &Task,
        bound: &Bound,
        plan: Option<&SharedFilePlan>,
    ) -> Result<()> {
        let plan = tell(mpi, plan);
        // A rank that does not find the file would leave the others alone in what comes next.
        let found = File::options().write(true).open(&plan.path).map(|_| ()).map_err(|e| {
            Error::Failed(format!(
                "cannot open {}: {}; a file that all ranks write to must be on a file system that they share",
                plan.path.display(),
                plain(&e)
            ))
        });
        mpi.all_fine(found)?;
        match join(mpi, task, bound, &plan) {
            Ok(file) => {
                let outcome = mpi.all_fine(Ok(()));
                match outcome {
                    Ok(()) => (self.file, self.first) = (Some(file), plan.first),
                    Err(_) => file.leave(),
                }
                outcome
            }
            Err(error) => mpi.all_fine(Err(error)),
        }
    }

    /// Is there a file?
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Writes this rank's values, which begin with number `start`, and their answers, when all up to number `end`
    /// are to have room; as [`SharedFile::write`]. Collective.
    ///
    /// # Errors
    /// It could not be written, here or on another rank.
    pub fn write(&mut self, mpi: &Mpi, end: u64, start: u64, pairs: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let began = Instant::now();
        // Of a rank that has nothing to do both may be 0.
        let (extent, start) = (end.saturating_sub(self.first), start.saturating_sub(self.first));
        let outcome = mpi.all_fine(if self.is_broken { Ok(()) } else { file.write(extent, start, pairs) });
        self.is_broken |= outcome.is_err();
        self.wrote += began.elapsed();
        outcome
    }

    /// How long writing took since this was last asked.
    pub fn take_time(&mut self) -> Duration {
        std::mem::take(&mut self.wrote)
    }

    /// Closes the file, of which `count` values stand, unless it is broken. Collective.
    ///
    /// # Errors
    /// It could not be completed, here or on another rank; or it is broken, which has been said.
    pub fn close(&mut self, mpi: &Mpi, count: u64) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        if self.is_broken {
            file.leave();
            return Err(Error::ReportedByRoot(1));
        }
        mpi.all_fine(file.close(count))
    }
}

/// Rank 0's plan, on every rank. Collective.
fn tell(mpi: &Mpi, plan: Option<&SharedFilePlan>) -> SharedFilePlan {
    /// Words before the name: 1 where the extent is known, the extent, the first value.
    const WORDS: usize = 3;
    let mut bytes = plan.map_or(Vec::new(), |plan| {
        let words = [u64::from(plan.extent.is_some()), plan.extent.unwrap_or(0), plan.first];
        [bytemuck::bytes_of(&words), plan.path.as_os_str().as_encoded_bytes()].concat()
    });
    mpi.broadcast(&mut bytes);
    let name = bytes.split_off(WORDS * size_of::<u64>());
    let [is_known, extent, first]: [u64; WORDS] = bytemuck::pod_read_unaligned(&bytes);
    SharedFilePlan { path: OsString::from_vec(name).into(), first, extent: (is_known == 1).then_some(extent) }
}

#[cfg(feature = "mpio")]
fn join(mpi: &Mpi, task: &Task, bound: &Bound, plan: &SharedFilePlan) -> Result<Box<dyn SharedFile>> {
    use mpi::traits::AsRaw;
    crate::output::hdf5_library::library()?.join(task, bound, plan, mpi.rank(), mpi.world.as_raw())
}

#[cfg(not(feature = "mpio"))]
fn join(_mpi: &Mpi, _task: &Task, _bound: &Bound, _plan: &SharedFilePlan) -> Result<Box<dyn SharedFile>> {
    Err(Error::Failed("this parpy was built without the feature mpio".into()))
}
