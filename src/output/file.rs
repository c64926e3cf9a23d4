//! A file that gets its name when it is complete: written under a temporary name in the same folder, and
//! renamed, so that what stands under the real name is always whole.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::error::{Error, Result};

/// A file on its way to its name. After a failure what was done is kept as `FILE.partial`.
pub struct Draft {
    path: PathBuf,
    /// The name for now; `None` when it has been given its own, and for what is no regular file (a device, a
    /// pipe), which is written to as it is.
    temporary: Option<TempPath>,
    /// Open for [`Draft::append`].
    file: Option<File>,
}

impl Draft {
    /// Creates the temporary file, with the permissions that the file has or will have.
    ///
    /// # Errors
    /// It cannot be created, or there is a file that must not be written.
    pub fn create(path: &Path) -> Result<Self> {
        match look_at(path)? {
            Old::Replaceable(permissions) => Ok(Self::make(path, permissions, new_file)?.into()),
            Old::Device => {
                let file =
                    File::options().append(true).open(path).map_err(|e| Error::io("write", path, &e))?;
                Ok(Self { path: path.to_owned(), temporary: None, file: Some(file) })
            }
        }
    }

    /// As [`Draft::create`], for formats that are not written front to back: `make` creates the file, under
    /// the name that it is given, and must not find one there.
    ///
    /// # Errors
    /// Also when it is no regular file.
    pub fn create_by<T>(path: &Path, make: impl FnMut(&Path) -> io::Result<T>) -> Result<(Self, T)> {
        match look_at(path)? {
            Old::Replaceable(permissions) => Self::make(path, permissions, make),
            Old::Device => Err(no_place(path)),
        }
    }

    /// As [`Draft::create`], for formats whose beginning is written last.
    ///
    /// # Errors
    /// Also when it is no regular file.
    pub fn create_regular(path: &Path) -> Result<Self> {
        Self::create_by(path, new_file).map(Self::from)
    }

    fn make<T>(
        path: &Path,
        permissions: Option<Permissions>,
        make: impl FnMut(&Path) -> io::Result<T>,
    ) -> Result<(Self, T)> {
        let fail = |e: io::Error| match e.downcast::<Error>() {
            Ok(error) => error,
            Err(e) => Error::io("write", path, &e),
        };
        let path = behind_links(path);
        let mut prefix = path.file_name().unwrap_or_default().to_owned();
        prefix.push(".");
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        let made = builder.prefix(&prefix).suffix(".partial").make_in(folder, make).map_err(fail)?;
        let (made, temporary) = made.into_parts();
        if let Some(permissions) = permissions {
            fs::set_permissions(&temporary, permissions).map_err(fail)?;
        }
        Ok((Self { path, temporary: Some(temporary), file: None }, made))
    }

    /// The name that it will have.
    #[cfg_attr(not(feature = "hdf5"), allow(dead_code))]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name that it has now.
    #[cfg_attr(not(feature = "mpio"), allow(dead_code))]
    pub fn current_path(&self) -> &Path {
        self.temporary.as_deref().unwrap_or(&self.path)
    }

    /// Appends `bytes`, and counts in `written` those that have been, also when it fails.
    ///
    /// # Errors
    /// They cannot all be written.
    pub fn append(&mut self, bytes: &[u8], written: &mut u64) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut rest = bytes;
        while !rest.is_empty() {
            // One by one, to know what is there when the disk is full.
            match file.write(rest) {
                Ok(0) => return Err(Error::writing(&self.path, &ErrorKind::WriteZero.into())),
                Ok(count) => {
                    rest = &rest[count..];
                    *written += count as u64;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::writing(&self.path, &e)),
            }
        }
        Ok(())
    }

    /// Replaces the first bytes of what has been written.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn replace_beginning(&mut self, bytes: &[u8]) -> Result<()> {
        match &self.file {
            Some(file) => file.write_all_at(bytes, 0).map_err(|e| Error::writing(&self.path, &e)),
            None => Ok(()),
        }
    }

    /// It is complete: gives it its name.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn publish(&mut self) -> Result<()> {
        let Some(temporary) = &self.temporary else { return Ok(()) };
        let sync = || -> io::Result<()> {
            // For writing, as it may be nobody's to read.
            let file = File::options().append(true).open(temporary)?;
            if is_local(&file) { Ok(()) } else { file.sync_data() }
        };
        let outcome =
            sync().and_then(|()| match self.temporary.take().map(|name| name.persist(&self.path)) {
                Some(Err(e)) => {
                    // What has been done is to be kept all the same.
                    self.temporary = Some(e.path);
                    Err(e.error)
                }
                _ => Ok(()),
            });
        outcome.map_err(|e| Error::io("write", &self.path, &e))
    }

    /// The run has failed: keeps what was done, `what`, under a name that says so; `None` when there is
    /// nothing to keep.
    pub fn keep(&mut self, what: Option<&str>) {
        // With nothing written nothing is lost, and dropping the name removes the file.
        let (Some(temporary), Some(what)) = (self.temporary.take(), what) else { return };
        let mut name = self.path.clone().into_os_string();
        name.push(".partial");
        // An older one is not replaced: it may even be the input of this run.
        let kept = match temporary.persist_noclobber(&name) {
            Ok(()) => Some(PathBuf::from(name)),
            Err(e) => e.path.keep().ok(),
        };
        if let Some(kept) = kept {
            tracing::warn!("what was done before ({what}) is in {}", kept.display());
        }
    }
}

/// A new file is there to be appended to.
impl From<(Draft, File)> for Draft {
    fn from((draft, file): (Draft, File)) -> Self {
        Self { file: Some(file), ..draft }
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

/// What stands under a name that is to be written.
enum Old {
    /// A regular file with these permissions, or nothing: to be replaced.
    Replaceable(Option<Permissions>),
    /// To be written to as it is.
    Device,
}

/// Looks at what stands under `path`.
///
/// # Errors
/// It must not be written.
fn look_at(path: &Path) -> Result<Old> {
    let Ok(old) = fs::metadata(path) else { return Ok(Old::Replaceable(None)) };
    is_no_folder(path)?;
    if !old.is_file() || is_descriptor(path) {
        return Ok(Old::Device);
    }
    // A file that is write-protected is not replaced either.
    File::options().append(true).open(path).map_err(|e| Error::io("write", path, &e))?;
    Ok(Old::Replaceable(Some(old.permissions())))
}

/// Sees that no folder stands under `path`.
///
/// # Errors
/// One does.
pub fn is_no_folder(path: &Path) -> Result<()> {
    match path.is_dir() {
        true => Err(Error::Failed(format!("cannot write {}: it is a directory", path.display()))),
        false => Ok(()),
    }
}

/// Removes the results that an earlier run has left under the name of a part: until there are new ones the part
/// is missing, so that old ones are not joined with those of today.
///
/// # Errors
/// They cannot be removed.
pub fn forget(path: &Path) -> Result<()> {
    // The link stays, and leads to the new ones.
    let file = behind_links(path);
    let is_file = fs::symlink_metadata(&file).is_ok_and(|meta| meta.is_file());
    if is_file && !is_descriptor(path) {
        fs::remove_file(&file).map_err(|e| Error::io("replace", path, &e))?;
    }
    Ok(())
}

/// An open file that has a name here (`/dev/stderr`, `/dev/fd/5`) is meant as it is.
pub fn is_descriptor(path: &Path) -> bool {
    ["/proc", "/dev"].iter().any(|folder| path.starts_with(folder)) && !path.starts_with("/dev/shm")
}

fn no_place(path: &Path) -> Error {
    Error::Failed(format!(
        "cannot write {}: a file of this format is not written front to back, and this is not a regular file",
        path.display()
    ))
}

/// Are both names of one and the same regular file?
pub fn is_same(a: &Path, b: &Path) -> bool {
    let identity = |path| fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|m| (m.dev(), m.ino()));
    identity(a).is_some_and(|a| identity(b) == Some(a))
}

/// What a symbolic link points to, even if that does not exist yet: renaming to a link would replace the
/// link. As many links as the kernel itself follows.
fn behind_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..40 {
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}

/// Does this file's system tell of a full disk at once? Those of a network may do so only when the file is
/// synced or closed.
fn is_local(file: &File) -> bool {
    // linux/magic.h: ext2 to 4, XFS, Btrfs, tmpfs, overlayfs, F2FS.
    const LOCAL: [u64; 6] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0xF2F5_2010];
    rustix::fs::fstatfs(file).is_ok_and(|system| LOCAL.contains(&(system.f_type as u64)))
}
