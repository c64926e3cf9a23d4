//! A file that gets its name when it is complete: written under a temporary name in the same folder, and
//! renamed, so that what stands under the real name is always whole.
//!
//! Folders where everybody may write (`/tmp`) hold what strangers have put there: a file of theirs gives a new
//! one nothing, and a link of theirs is not followed. Whether a name can be given in the end is asked before
//! the work ([`check`]). What is written is not known here.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode, accessat, statvfs, unlinkat};
use rustix::io::Errno;
use tempfile::TempPath;

use crate::base::blocking::Outlet;
use crate::base::error::{Error, Result, plain};
use crate::base::names;

/// A file on its way to its name. After a failure what was done is kept as `FILE.partial`.
pub struct AtomicFile {
    path: PathBuf,
    /// The name for now; `None` when it has been given its own, and for what is no regular file (a device, a
    /// pipe), which is written to as it is.
    temporary: Option<TempPath>,
    /// Open for [`AtomicFile::append`].
    file: Option<File>,
    /// The same of what is no regular file.
    device: Option<Outlet>,
}

impl AtomicFile {
    /// Creates the temporary file, with the permissions that the file has or will have.
    ///
    /// # Errors
    /// It cannot be created, or there is a file that must not be written.
    pub fn create(path: &Path) -> Result<Self> {
        match look_at(path)? {
            Old::Replaceable(place) => Ok(Self::make_file(path, place)?.into()),
            Old::Device => {
                let device = Outlet::append(path).map_err(|e| Error::io("write", path, &e))?;
                Ok(Self { path: path.to_owned(), temporary: None, file: None, device: Some(device) })
            }
        }
    }

    /// As [`AtomicFile::create`], for formats that are not written front to back: `make` creates the file, under
    /// the name that it is given, and must not find one there.
    ///
    /// # Errors
    /// Also when it is no regular file.
    pub fn create_by<T>(path: &Path, mut make: impl FnMut(&Path) -> io::Result<T>) -> Result<(Self, T)> {
        match look_at(path)? {
            Old::Replaceable(place) => {
                let mode = place.mode;
                Self::make(path, place, |new| match mode {
                    Some(mode) => with_mode(mode, new, &mut make),
                    None => make(new),
                })
            }
            Old::Device => Err(no_place(path)),
        }
    }

    /// As [`AtomicFile::create`], for formats whose beginning is written last.
    ///
    /// # Errors
    /// Also when it is no regular file.
    pub fn create_regular(path: &Path) -> Result<Self> {
        match look_at(path)? {
            Old::Replaceable(place) => Ok(Self::make_file(path, place)?.into()),
            Old::Device => Err(no_place(path)),
        }
    }

    fn make_file(path: &Path, place: Target) -> Result<(Self, File)> {
        let mode = place.mode;
        Self::make(path, place, |new| new_file(new, mode))
    }

    fn make<T>(path: &Path, place: Target, make: impl FnMut(&Path) -> io::Result<T>) -> Result<(Self, T)> {
        let fail = |e: io::Error| match e.downcast::<Error>() {
            Ok(error) => error,
            Err(e) => Error::io("write", path, &e),
        };
        let folder = folder_of(&place.path);
        let mut builder = tempfile::Builder::new();
        let made = builder
            .prefix(&prefix(&place.path, folder))
            .suffix(SUFFIX)
            .rand_bytes(RANDOM)
            .make_in(folder, make)
            .map_err(fail)?;
        let (made, temporary) = made.into_parts();
        Ok((Self { path: place.path, temporary: Some(temporary), file: None, device: None }, made))
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
        let file: &mut dyn Write = match (&mut self.file, &mut self.device) {
            (Some(file), _) => file,
            (None, Some(device)) => device,
            (None, None) => return Ok(()),
        };
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
impl From<(AtomicFile, File)> for AtomicFile {
    fn from((draft, file): (AtomicFile, File)) -> Self {
        Self { file: Some(file), ..draft }
    }
}

/// Writes a whole file, which `write` fills.
///
/// # Errors
/// It cannot be written; what stood under the name before still does.
pub fn save(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut draft = AtomicFile::create(path)?;
    let mut file = BufWriter::new(&mut draft);
    let written = write(&mut file).and_then(|()| file.flush());
    drop(file);
    written.map_err(|e| match e.downcast::<Error>() {
        Ok(error) => error,
        Err(e) => Error::io("write", path, &e),
    })?;
    draft.publish()
}

/// For [`save`].
impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes, &mut 0).map(|()| bytes.len()).map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What stands behind the name of a file that is not complete: as many letters of chance, and this.
const SUFFIX: &str = ".partial";
const RANDOM: usize = 6;

/// What stands before that: the file's name as UTF-8, or as much of it as the folder has room for.
fn prefix(path: &Path, folder: &Path) -> String {
    // NAME_MAX of nearly all file systems.
    let most = statvfs(folder).map_or(255, |system| system.f_namemax) as usize;
    let most = most.saturating_sub(1 + RANDOM + SUFFIX.len());
    // HDF5 is given no other names.
    let mut name = names::readable(Path::new(path.file_name().unwrap_or_default()));
    name.truncate(name.floor_char_boundary(most));
    name + "."
}

/// Creates a file that has `mode` from the first moment on; that of any new file where there is none.
fn new_file(path: &Path, mode: Option<u32>) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    let Some(mode) = mode else { return options.open(path) };
    let file = options.mode(mode).open(path)?;
    complete(&file, mode)?;
    Ok(file)
}

/// Has a library create a file at `path` that never has more than `mode` allows, and in the end all of it.
fn with_mode<T>(mode: u32, path: &Path, make: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    // A library leaves it to the process's mask what a file must not have. No other thread makes files now.
    let usual = rustix::process::umask(Mode::from_raw_mode(0o777 & !mode));
    let made = make(path);
    rustix::process::umask(usual);
    let made = made?;
    // It is the process's own file, and what could be put in its place is not followed.
    let nofollow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let file = File::options().append(true).custom_flags(nofollow).open(path)?;
    if file.metadata()?.nlink() == 1 {
        complete(&file, mode)?;
    }
    Ok(made)
}

/// Gives a new file what the process's mask has taken from it.
fn complete(file: &File, mode: u32) -> io::Result<()> {
    let is_complete = file.metadata()?.mode() & 0o7777 == mode;
    if is_complete { Ok(()) } else { file.set_permissions(Permissions::from_mode(mode)) }
}

/// What stands under a name that is to be written.
enum Old {
    /// A regular file, or nothing.
    Replaceable(Target),
    /// To be written to as it is.
    Device,
}

/// Where a file is to stand.
struct Target {
    /// Behind all links.
    path: PathBuf,
    /// Who may do what with it: as with the file that it replaces; `None` for what any new file has.
    mode: Option<u32>,
}

/// Checks that a file can be written and given the name `path` in the end, as far as that can be known without
/// doing it. Creates nothing.
///
/// # Errors
/// It cannot.
pub fn check(path: &Path) -> Result<()> {
    look_at(path).map(|_| ())
}

/// Looks at what stands under `path`.
///
/// # Errors
/// It must not be written, or could not be replaced in the end.
fn look_at(path: &Path) -> Result<Old> {
    let cannot = |e: &io::Error| Error::io("write", path, e);
    is_no_folder(path)?;
    let is_descriptor = is_descriptor(path);
    let target = if is_descriptor { path.to_owned() } else { behind_links(path)? };
    match fs::metadata(path) {
        Ok(_) if is_descriptor => return Ok(Old::Device),
        Ok(old) if !old.is_file() => {
            // Whoever has made a pipe reads what is written to it (`fs.protected_fifos`).
            check_owner(path, &target, &old, "pipe or device")?;
            return Ok(Old::Device);
        }
        // A file that is write-protected is not replaced either.
        Ok(_) => _ = File::options().append(true).open(path).map_err(|e| cannot(&e))?,
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        // What may not be looked at is not "nothing there".
        Err(e) => return Err(cannot(&e)),
    }
    let old = match fs::symlink_metadata(&target) {
        Ok(old) => Some(old),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => return Err(cannot(&e)),
    };
    check_place(path, &target, old.is_some())?;
    // A stranger could leave a file there that lets everybody write, or is run as its owner: the new file's owner
    // is this process.
    let is_own = |old: &fs::Metadata| old.uid() == rustix::process::geteuid().as_raw();
    let mode = old.filter(is_own).map(|old| old.mode() & 0o777);
    Ok(Old::Replaceable(Target { path: target, mode }))
}

/// Checks that a file can be given the name `target`, which people know as `path`.
///
/// # Errors
/// It cannot.
fn check_place(path: &Path, target: &Path, is_there: bool) -> Result<()> {
    let folder = folder_of(target);
    let (name, of_folder) = (path.display(), folder.display());
    if is_append_only(folder) {
        return Err(Error::Failed(format!(
            "cannot write {name}: its folder {of_folder} is append-only, so that no file in it can be given \
             another name; choose another folder"
        )));
    }
    if is_there && is_mount_point(target) {
        return Err(Error::Failed(format!(
            "cannot write {name}: a file is mounted there, and cannot be replaced; give the output another name"
        )));
    }
    let outcome = match is_there {
        // Not even root removes a file as if it were a folder, but the system first says who could not remove it
        // at all. It alone knows all reasons: other owners in a sticky folder, attributes, capabilities.
        true => unlinkat(CWD, target, AtFlags::REMOVEDIR),
        false => accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS),
    };
    let Err(errno) = outcome else { return Ok(()) };
    let why = plain(&errno.into());
    match errno {
        Errno::PERM if is_there => Err(Error::Failed(format!(
            "cannot write {name}: the file there cannot be replaced ({why}), as it is append-only, or another \
             user's in a folder with the sticky bit; give the output another name"
        ))),
        Errno::ACCESS | Errno::PERM | Errno::ROFS => Err(Error::Failed(format!(
            "cannot write {name}: no file can be made in its folder {of_folder} ({why}); choose another folder"
        ))),
        Errno::NOENT | Errno::NOTDIR if !is_there => Err(Error::io("write", path, &errno.into())),
        // Nothing that says no: a file is no folder, or a system that does not know the question.
        _ => Ok(()),
    }
}

#[cfg(target_os = "linux")]
fn attributes(path: &Path) -> rustix::fs::StatxAttributes {
    use rustix::fs::{StatxAttributes, StatxFlags, statx};
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::empty());
    found.map_or(StatxAttributes::empty(), |found| found.stx_attributes)
}

#[cfg(target_os = "linux")]
fn is_append_only(path: &Path) -> bool {
    attributes(path).contains(rustix::fs::StatxAttributes::APPEND)
}

#[cfg(target_os = "linux")]
fn is_mount_point(path: &Path) -> bool {
    attributes(path).contains(rustix::fs::StatxAttributes::MOUNT_ROOT)
}

/// Not known elsewhere: it fails in the end.
#[cfg(not(target_os = "linux"))]
fn is_append_only(_path: &Path) -> bool {
    false
}

/// As [`is_append_only`].
#[cfg(not(target_os = "linux"))]
fn is_mount_point(_path: &Path) -> bool {
    false
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Checks that no folder is meant by `path`, whether or not there is one.
///
/// # Errors
/// One is.
pub fn is_no_folder(path: &Path) -> Result<()> {
    let name = path.display();
    if path.is_dir() {
        return Err(Error::Failed(format!("cannot write {name}: it is a directory")));
    }
    if names_folder(path) {
        return Err(Error::Failed(format!(
            "cannot write {name}: so ends the name of a folder, and there is none; give the name of a file"
        )));
    }
    Ok(())
}

/// Does the name end as only that of a folder can?
pub fn names_folder(path: &Path) -> bool {
    let name = path.as_os_str().as_bytes();
    let last = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    matches!(last, b"" | b"." | b"..")
}

/// Removes the results that an earlier run has left under the name of a part: until there are new ones the part
/// is missing, so that old ones are not joined with those of today.
///
/// # Errors
/// They cannot be removed.
pub fn forget(path: &Path) -> Result<()> {
    // The link stays, and leads to the new ones.
    let file = behind_links(path)?;
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

/// Do both names stand for one and the same regular file, which need not be there yet?
pub fn is_same_place(a: &Path, b: &Path) -> bool {
    let new = |path: &Path| {
        let path = behind_links(path).ok().filter(|path| fs::symlink_metadata(path).is_err())?;
        let folder = fs::metadata(folder_of(&path)).ok()?;
        Some((folder.dev(), folder.ino(), path.file_name()?.to_owned()))
    };
    is_same(a, b) || new(a).is_some_and(|a| new(b) == Some(a))
}

/// As many links as the kernel itself follows.
const MOST_LINKS: usize = 40;

/// Checks that what stands under `at`, which people know as `path`, has not been put there by another user, in a
/// folder where everybody may write. Who could remove it could also put something else in its place: that is
/// nobody but those who are trusted here, this user and the folder's owner.
///
/// # Errors
/// It has. `what` it is.
fn check_owner(path: &Path, at: &Path, old: &fs::Metadata, what: &str) -> Result<()> {
    const STICKY_AND_WRITABLE: u32 = 0o1002;
    let folder = folder_of(at);
    let Ok(of) = fs::metadata(folder) else { return Ok(()) };
    if of.mode() & STICKY_AND_WRITABLE != STICKY_AND_WRITABLE
        || [of.uid(), rustix::process::geteuid().as_raw()].contains(&old.uid())
    {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "cannot write {}: {} is another user's {what} in {}, where everybody may write; give the output another \
         name",
        path.display(),
        at.display(),
        folder.display()
    )))
}

/// What a symbolic link points to, even if that does not exist yet: renaming to a link would replace the
/// link.
///
/// # Errors
/// A link is another user's, in a folder where everybody may write: whoever has put it there would choose what is
/// replaced. (Linux itself does not follow such links, where `fs.protected_symlinks` is 1.)
fn behind_links(path: &Path) -> Result<PathBuf> {
    let mut at = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Some(link) = fs::symlink_metadata(&at).ok().filter(fs::Metadata::is_symlink) else {
            return Ok(at);
        };
        check_owner(path, &at, &link, "symbolic link")?;
        let Ok(target) = fs::read_link(&at) else { return Ok(at) };
        at = at.parent().unwrap_or(Path::new("")).join(target);
    }
    Err(Error::io("write", path, &Errno::LOOP.into()))
}

/// Does this file's system tell of a full disk at once? Those of a network may do so only when the file is
/// synced or closed.
fn is_local(file: &File) -> bool {
    // linux/magic.h: ext2 to 4, XFS, Btrfs, tmpfs, overlayfs, F2FS.
    const LOCAL: [u64; 6] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0xF2F5_2010];
    rustix::fs::fstatfs(file).is_ok_and(|system| LOCAL.contains(&(system.f_type as u64)))
}
