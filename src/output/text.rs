//! Answers as they are, to standard output or to a file.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, StdoutLock, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};
use crate::output::{Piece, STDOUT, Sink};
use crate::report::Report;

/// Bytes of small pieces that are written together; larger ones pass by.
const BUFFER: usize = 64 * 1024;

/// Standard output.
pub struct ToStdout {
    out: BufWriter<StdoutLock<'static>>,
}

impl ToStdout {
    /// Takes hold of standard output.
    pub fn new() -> Self {
        Self { out: BufWriter::with_capacity(BUFFER, std::io::stdout().lock()) }
    }
}

/// For messages.
fn name() -> &'static Path {
    Path::new(STDOUT)
}

impl Sink for ToStdout {
    fn take(&mut self, piece: &Piece) -> Result<()> {
        self.out.write_all(piece.bytes).map_err(|e| Error::writing(name(), &e))
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(|e| Error::writing(name(), &e))
    }

    fn finish(&mut self, _report: &Report) -> Result<()> {
        self.flush()
    }

    fn fail(&mut self) {
        // The run has failed already, and says why.
        let _ = self.out.flush();
    }
}

/// A file, written under a temporary name in the same folder and renamed when it is complete, so that what
/// stands under the real name is always whole. After a failure what was done is kept as `FILE.partial`.
pub struct ToFile {
    path: PathBuf,
    file: Target,
    /// Small pieces that have not been written yet.
    waiting: Vec<u8>,
    written: u64,
    /// A write has failed.
    is_broken: bool,
}

enum Target {
    /// To be renamed; `None` when it has been.
    Temporary(Option<NamedTempFile>),
    /// No regular file (a device, a pipe): written to as it is.
    Direct(File),
}

impl ToFile {
    /// Creates the temporary file, with the permissions that the file has or will have.
    ///
    /// # Errors
    /// It cannot be created, or there is a file that must not be written.
    pub fn create(path: &Path) -> Result<Self> {
        let fail = |e| Error::io("write", path, &e);
        let old = fs::metadata(path).ok();
        if old.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(Error::Failed(format!("cannot write {}: it is a directory", path.display())));
        }
        if old.is_some() {
            // Opened even where it will be replaced: a file that is write-protected must not be.
            let file = File::options().append(true).open(path).map_err(fail)?;
            // An open file that has a name here (`/dev/stderr`, `/dev/fd/5`) is meant as it is.
            let is_descriptor = ["/proc", "/dev"].iter().any(|folder| path.starts_with(folder))
                && !path.starts_with("/dev/shm");
            if is_descriptor || old.as_ref().is_some_and(|old| !old.is_file()) {
                return Ok(Self::new(path.to_owned(), Target::Direct(file)));
            }
        }
        let path = behind_links(path);
        let mut prefix = path.file_name().unwrap_or_default().to_owned();
        prefix.push(".");
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        let builder =
            builder.prefix(&prefix).suffix(".partial").permissions(fs::Permissions::from_mode(0o666));
        let file = builder.tempfile_in(folder).map_err(fail)?;
        if let Some(old) = old {
            file.as_file().set_permissions(old.permissions()).map_err(fail)?;
        }
        Ok(Self::new(path, Target::Temporary(Some(file))))
    }

    fn new(path: PathBuf, file: Target) -> Self {
        Self { path, file, waiting: Vec::new(), written: 0, is_broken: false }
    }
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

impl ToFile {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let outcome = self.write_all(bytes);
        self.is_broken |= outcome.is_err();
        outcome
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        let file = match &mut self.file {
            Target::Temporary(Some(file)) => file.as_file_mut(),
            Target::Direct(file) => file,
            Target::Temporary(None) => return Ok(()),
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            // One by one, to know what is there when the disk is full.
            match file.write(rest) {
                Ok(0) => return Err(Error::writing(&self.path, &ErrorKind::WriteZero.into())),
                Ok(count) => {
                    rest = &rest[count..];
                    self.written += count as u64;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::writing(&self.path, &e)),
            }
        }
        Ok(())
    }
}

impl Sink for ToFile {
    fn take(&mut self, piece: &Piece) -> Result<()> {
        if self.waiting.len() + piece.bytes.len() <= BUFFER {
            self.waiting.extend_from_slice(piece.bytes);
            return Ok(());
        }
        self.flush()?;
        if piece.bytes.len() > BUFFER { self.write(piece.bytes) } else { self.take(piece) }
    }

    fn flush(&mut self) -> Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let outcome = if waiting.is_empty() { Ok(()) } else { self.write(&waiting) };
        waiting.clear();
        self.waiting = waiting;
        outcome
    }

    fn finish(&mut self, _report: &Report) -> Result<()> {
        self.flush()?;
        if let Target::Temporary(file) = &mut self.file
            && let Some(file) = file.take()
        {
            if !is_local(file.as_file()) {
                file.as_file().sync_data().map_err(|e| Error::io("write", &self.path, &e))?;
            }
            file.persist(&self.path).map_err(|e| Error::io("write", &self.path, &e.error))?;
        }
        Ok(())
    }

    fn fail(&mut self) {
        // The run has failed already, and says why. After a failed write nothing more may follow.
        if !self.is_broken {
            let _ = self.flush();
        }
        let Target::Temporary(file) = &mut self.file else { return };
        // With nothing written nothing is lost, and dropping the file removes it.
        let Some(file) = file.take().filter(|_| self.written > 0) else { return };
        let mut name = self.path.clone().into_os_string();
        name.push(".partial");
        // An older one is not replaced: it may even be the input of this run.
        let kept = match file.persist_noclobber(&name) {
            Ok(_) => Some(PathBuf::from(name)),
            Err(e) => e.file.keep().ok().map(|(_, path)| path),
        };
        if let Some(kept) = kept {
            tracing::warn!("what was done before ({} bytes) is in {}", self.written, kept.display());
        }
    }
}
