//! HDF5 files that every rank writes its own part of, collectively, over MPI-IO. Needs a parallel HDF5.
//!
//! While answers arrive each rank has a [`RankFile`], and rank 0 [`ToShared`], which only counts. When all
//! answers are there the parts are closed, and rank 0 alone opens the file once more, for the small tables.

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use ::hdf5::{Dataset, Dataspace, Datatype, File, H5Type};
use hdf5_sys::h5::herr_t;
use hdf5_sys::h5i::hid_t;
use hdf5_sys::{h5d, h5p, h5s};
use mpi::ffi::MPI_Comm;
use rustix::io::Errno;

use super::dataset::{CHUNK, create};
use super::{cannot_write, tables, words};
use crate::base::atomic_file::AtomicFile;
use crate::base::error::{Error, Result, plain};
use crate::base::fmt::counted;
use crate::base::names::Alias;
use crate::data::dtype::Dtype;
use crate::data::schema::ColumnType;
use crate::job::compress::Compress;
use crate::job::output::Output;
use crate::job::pattern::PatternName;
use crate::job::{Task, Unit};
use crate::observe::report::Report;
use crate::op::Bound;
use crate::output::hdf5_library::{SharedFile, SharedFilePlan};
use crate::output::provenance::Origin;
use crate::output::{ResultChunk, Sink};

/// Do all ranks write the output of `task`? Counts of lines are few, and what is passed over is known in the
/// order of blocks on rank 0 alone. Filters that leave a chunk as it is when it does not shrink are not for
/// collective writes: HDF5 (seen with 1.10.8) does not note that there, and cannot read the chunk again.
pub fn serves(task: &Task, bound: &Bound) -> bool {
    let is_map = task.work.unit() == Unit::Values && bound.reduce.is_none() && !bound.table().has_texts();
    let packs_all = matches!(task.compress, None | Some(Compress::Gzip(_)));
    task.pattern == PatternName::Mpi && is_map && packs_all && !task.keep_going
}

/// Rank 0's end of a file that all ranks write to.
pub struct ToShared<'a> {
    origin: Origin<'a>,
    atomic: AtomicFile,
    count: u64,
    is_whole: bool,
}

impl<'a> ToShared<'a> {
    /// Creates the file, empty, so that all ranks can see whether they find it.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create(task: &'a Task, path: &Path) -> Result<Self> {
        let atomic = AtomicFile::create_regular(path)?;
        Ok(Self { origin: Origin::of(task), atomic, count: 0, is_whole: false })
    }
}

impl Sink for ToShared<'_> {
    fn take(&mut self, chunk: &ResultChunk) -> Result<()> {
        self.count += chunk.items;
        Ok(())
    }

    fn shared_file(&self) -> Option<&Path> {
        Some(self.atomic.current_path())
    }

    fn parts_closed(&mut self, are_whole: bool) {
        self.is_whole = are_whole;
    }

    fn finish(&mut self, report: &Report) -> Result<()> {
        // Until it is again.
        self.is_whole = false;
        let origin = self.origin.complete(report)?;
        let alias =
            Alias::of(self.atomic.current_path()).map_err(|e| Error::io("write", self.atomic.path(), &e))?;
        let written = File::open_rw(alias.path()).and_then(|file| {
            tables::write(&file, report, &origin)?;
            file.close()
        });
        written.map_err(|e| cannot_write(self.atomic.path(), &e))?;
        self.atomic.publish()
    }

    fn fail(&mut self) {
        let what = counted(self.count, "value");
        self.atomic.keep(Some(&*what).filter(|_| self.is_whole && self.count > 0));
    }
}

/// One rank's end of the file.
pub struct RankFile {
    /// For messages.
    name: PathBuf,
    /// This rank.
    rank: u32,
    // Before the file, because fields are dropped in order.
    columns: Vec<(Dataset, Dtype)>,
    ranks: Option<Dataset>,
    file: File,
    /// Elements that the datasets have.
    extent: u64,
    /// Says that a transfer is collective.
    manner: TransferProperties,
}

impl RankFile {
    /// Creates the datasets in the empty file that rank 0 has made. Collective over `over`, in which this is
    /// number `rank`.
    ///
    /// # Errors
    /// It cannot be written on this rank.
    pub fn create(
        task: &Task,
        bound: &Bound,
        plan: &SharedFilePlan,
        rank: usize,
        over: MPI_Comm,
    ) -> Result<Self> {
        let name = match &task.output {
            Output::File(path, _) => path,
            _ => &plan.path,
        };
        let create = || {
            let alias = Alias::of(&plan.path).map_err(|e| ::hdf5::Error::from(plain(&e)))?;
            let file =
                File::with_options().with_fapl(|access| access.mpio(over, None)).create(alias.path())?;
            // Closing is collective, and the other ranks may not fail where this one does.
            let file = ManuallyDrop::new(file);
            let extent = plan.extent.unwrap_or(0);
            let chunk = plan.extent.map_or(CHUNK, |extent| (extent as usize).clamp(1, CHUNK));
            let column = |(name, dtype): (String, ColumnType)| {
                let dtype = dtype.number().unwrap_or(Dtype::I64);
                let dataset = match dtype {
                    Dtype::I64 => create::<i64>(&file, &name, extent as usize, chunk, task.compress),
                    Dtype::F64 => create::<f64>(&file, &name, extent as usize, chunk, task.compress),
                };
                dataset.map(|dataset| (dataset, dtype))
            };
            let columns = super::columns(bound).map(column).collect::<::hdf5::Result<_>>()?;
            let ranks = task
                .work
                .says_who()
                .then(|| create::<u32>(&file, "rank", extent as usize, chunk, task.compress));
            let (ranks, manner) = (ranks.transpose()?, TransferProperties::collective()?);
            let file = ManuallyDrop::into_inner(file);
            Ok(Self { name: name.clone(), rank: rank as u32, columns, ranks, file, extent, manner })
        };
        create().map_err(|e| cannot(name, &e))
    }

    fn datasets(&self) -> impl Iterator<Item = &Dataset> {
        self.columns.iter().map(|(dataset, _)| dataset).chain(&self.ranks)
    }

    fn resize(&mut self, extent: u64) -> ::hdf5::Result<()> {
        if extent != self.extent {
            self.datasets().try_for_each(|dataset| dataset.resize([extent as usize]))?;
            self.extent = extent;
        }
        Ok(())
    }

    /// As [`RankFile::put`], of numbers by their bits.
    fn put_numbers(&self, dataset: &Dataset, dtype: Dtype, start: u64, bits: &[u64]) -> ::hdf5::Result<()> {
        match dtype {
            Dtype::I64 => self.put::<i64>(dataset, start, bytemuck::cast_slice(bits)),
            Dtype::F64 => self.put::<f64>(dataset, start, bytemuck::cast_slice(bits)),
        }
    }

    /// Writes `elements`, of the dataset's own type, from number `start` on. Collective, also where there are
    /// none.
    fn put<T: H5Type>(&self, dataset: &Dataset, start: u64, elements: &[T]) -> ::hdf5::Result<()> {
        let (there, here) = (dataset.space()?, Dataspace::try_new([elements.len().max(1)])?);
        let (there, none) = match elements.len() {
            0 => (there, true),
            len => (there.select(start as usize..start as usize + len)?, false),
        };
        let dtype = Datatype::from_type::<T>()?;
        let _lock = hdf5_sys::LOCK.lock();
        if none {
            for space in [&there, &here] {
                // SAFETY: the space is open, and the lock is held.
                check(unsafe { h5s::H5Sselect_none(space.id()) })?;
            }
        }
        // SAFETY: all objects are open and the lock is held; the memory's selection is the elements and no
        // more, and `T` is laid out as the type says.
        check(unsafe {
            h5d::H5Dwrite(
                dataset.id(),
                dtype.id(),
                here.id(),
                there.id(),
                self.manner.0,
                elements.as_ptr().cast(),
            )
        })
    }
}

impl SharedFile for RankFile {
    fn write(&mut self, extent: u64, start: u64, columns: &[u8]) -> Result<()> {
        let len = columns.len() / self.columns.len();
        let ranks = vec![self.rank; len / size_of::<u64>()];
        let write = |part: &mut Self| {
            part.resize(extent.max(part.extent))?;
            for (number, (dataset, dtype)) in part.columns.iter().enumerate() {
                part.put_numbers(dataset, *dtype, start, &words(&columns[number * len..][..len]))?;
            }
            part.ranks.as_ref().map_or(Ok(()), |dataset| part.put(dataset, start, &ranks))
        };
        write(self).map_err(|e| cannot(&self.name, &e))
    }

    fn close(mut self: Box<Self>, count: u64) -> Result<()> {
        let Self { name, .. } = &*self;
        let name = name.clone();
        let close = || {
            self.resize(count)?;
            let Self { columns, ranks, file, .. } = *self;
            drop((columns, ranks));
            file.close()
        };
        close().map_err(|e| cannot(&name, &e))
    }

    fn leave(self: Box<Self>) {
        // Closing would write, and wait for ranks that may have failed at another place.
        std::mem::forget(self);
    }
}

/// The property list of a collective transfer.
struct TransferProperties(hid_t);

impl TransferProperties {
    fn collective() -> ::hdf5::Result<Self> {
        let _lock = hdf5_sys::LOCK.lock();
        // SAFETY: the library is initialised, as [`super::provide`] has seen to, and the lock is held.
        let id = unsafe { h5p::H5Pcreate(*h5p::H5P_CLS_DATASET_XFER) };
        check(id.min(0) as herr_t)?;
        let manner = Self(id);
        // SAFETY: the list has just been made, and the lock is held.
        check(unsafe { h5p::H5Pset_dxpl_mpio(id, h5p::H5FD_mpio_xfer_t::H5FD_MPIO_COLLECTIVE) })?;
        Ok(manner)
    }
}

impl Drop for TransferProperties {
    fn drop(&mut self) {
        let _lock = hdf5_sys::LOCK.lock();
        // SAFETY: the list is open, and nobody else has it; the lock is held.
        unsafe { h5p::H5Pclose(self.0) };
    }
}

/// MPI-IO says no more than that there was an error; where the disk is full, that is why.
fn cannot(name: &Path, error: &::hdf5::Error) -> Error {
    let folder = name.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match rustix::fs::statvfs(folder) {
        Ok(system) if system.f_bavail == 0 => Error::io("write", name, &Errno::NOSPC.into()),
        _ => cannot_write(name, error),
    }
}

fn check(code: herr_t) -> ::hdf5::Result<()> {
    if code < 0 { Err(::hdf5::Error::query()?) } else { Ok(()) }
}
