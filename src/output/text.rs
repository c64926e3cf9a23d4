//! Answers as they are, to standard output or to a file.

use std::fs::{self, File};
use std::io::{ErrorKind, StdoutLock, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::output::{Piece, Sink};
use crate::report::Report;

/// Standard output. Pieces are large, so there is no further buffer.
pub struct ToStdout {
    out: StdoutLock<'static>,
}

impl ToStdout {
    /// Takes hold of standard output.
    pub fn new() -> Self {
        Self { out: std::io::stdout().lock() }
    }

    fn check(result: std::io::Result<()>) -> Result<()> {
        result.map_err(|e| match e.kind() {
            ErrorKind::BrokenPipe => Error::ClosedPipe,
            _ => Error::io("write to", Path::new("standard output"), &e),
        })
    }
}

impl Sink for ToStdout {
    fn take(&mut self, piece: &Piece) -> Result<()> {
        Self::check(self.out.write_all(piece.bytes).and_then(|()| self.out.flush()))
    }

    fn finish(&mut self, _report: &Report) -> Result<()> {
        Self::check(self.out.flush())
    }
}

/// A file, written as `FILE.partial` and renamed when it is complete, so that what stands under the real
/// name is always whole. After a failure or a kill the partial file is still there, with what was done.
pub struct ToFile {
    path: PathBuf,
    /// `None` where the target is no regular file (a device, a pipe) and is written to as it is.
    partial: Option<PathBuf>,
    file: File,
    written: u64,
}

impl ToFile {
    /// Creates the partial file, in the folder where the file will be.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        // Through a symbolic link to what it points to: renaming would replace the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let existing = fs::metadata(&path);
        if existing.as_ref().is_ok_and(fs::Metadata::is_dir) {
            return Err(Error::Failed(format!("cannot write {}: it is a directory", path.display())));
        }
        let partial = if existing.is_ok_and(|meta| !meta.is_file()) {
            None
        } else {
            let mut name = path.clone().into_os_string();
            name.push(".partial");
            Some(PathBuf::from(name))
        };
        let name = partial.as_ref().unwrap_or(&path);
        let file = File::create(name).map_err(|e| Error::io("write", name, &e))?;
        Ok(Self { path, partial, file, written: 0 })
    }

    fn error(&self, error: &std::io::Error) -> Error {
        match error.kind() {
            ErrorKind::BrokenPipe => Error::ClosedPipe,
            _ => Error::io("write", &self.path, error),
        }
    }
}

impl Sink for ToFile {
    fn take(&mut self, piece: &Piece) -> Result<()> {
        self.file.write_all(piece.bytes).map_err(|e| self.error(&e))?;
        self.written += piece.bytes.len() as u64;
        Ok(())
    }

    fn finish(&mut self, _report: &Report) -> Result<()> {
        if let Some(partial) = &self.partial {
            fs::rename(partial, &self.path).map_err(|e| self.error(&e))?;
        }
        Ok(())
    }

    fn fail(&mut self) {
        let Some(partial) = &self.partial else { return };
        if self.written == 0 {
            // Nothing is lost, and nothing is left lying about.
            let _ = fs::remove_file(partial);
        } else {
            tracing::warn!("what was done before ({} bytes) is in {}", self.written, partial.display());
        }
    }
}
