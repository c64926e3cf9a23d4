//! Files' names as text. On Unix a name is bytes, which need not be UTF-8; TOML, JSON and HDF5 hold nothing but
//! UTF-8. Here no byte is lost. (In messages a letter may be lost; there `Path::display` does.)

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

#[cfg(feature = "hdf5")]
use std::{ffi::OsStr, fs::File, io, os::fd::AsRawFd};

/// For people, and in results: a byte that is no UTF-8 is `\xff`.
pub fn readable(path: &Path) -> String {
    with(path, |byte| format!("\\x{byte:02x}"))
}

/// As a job file has it, where [`of_job_file`] reads the same name again: as [`with_codes`], and so is `$`, which
/// otherwise stands for an argument.
pub fn in_job_file(path: &Path) -> String {
    with_codes(path).replace('$', &code(b'$'))
}

/// A name, or another word without a NUL in it, as text that [`of_job_file`] makes the same of again: a byte that is no
/// UTF-8 is a NUL and two hexadecimal digits (in TOML `"\u0000ff"`).
pub fn with_codes(path: &Path) -> String {
    with(path, code)
}

fn code(byte: u8) -> String {
    format!("\0{byte:02x}")
}

/// The name that a job file means.
pub fn of_job_file(text: &str) -> PathBuf {
    let mut parts = text.split('\0');
    let mut name = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                name.push(byte);
                name.extend_from_slice(&part.as_bytes()[2..]);
            }
            // No name at all, as the system will say.
            None => {
                name.push(0);
                name.extend_from_slice(part.as_bytes());
            }
        }
    }
    OsString::from_vec(name).into()
}

/// Is a folder part of the name of a file, so that nobody looks for it elsewhere?
pub fn has_folder(path: &Path) -> bool {
    path.parent() != Some(Path::new(""))
}

/// Another name of a file, which is UTF-8, for a library that takes no other; good for as long as this lives.
#[cfg(feature = "hdf5")]
pub struct Alias {
    path: PathBuf,
    /// What the name refers to.
    _open: Option<File>,
}

#[cfg(feature = "hdf5")]
impl Alias {
    /// Of a file; of one that is to be made only where its name within its folder is UTF-8. As it is where all of
    /// its name is.
    ///
    /// # Errors
    /// The file, or its folder, cannot be opened.
    pub fn of(path: &Path) -> io::Result<Self> {
        if path.to_str().is_some() {
            return Ok(Self { path: path.to_owned(), _open: None });
        }
        let of_open = |file: &File| PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let (open, path) = match path.file_name().and_then(OsStr::to_str) {
            Some(name) => {
                let folder = File::open(path.parent().unwrap_or(Path::new("/")))?;
                let path = of_open(&folder).join(name);
                (folder, path)
            }
            None => {
                let file = File::open(path)?;
                let path = of_open(&file);
                (file, path)
            }
        };
        Ok(Self { path, _open: Some(open) })
    }

    /// The name.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn with(path: &Path, coded: impl Fn(u8) -> String) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&coded(*byte)));
    }
    text
}

/// `path` from the root.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::OsStr;

    #[test]
    fn bytes_that_are_no_letters() {
        let path = Path::new(OsStr::from_bytes(b"/a$1/caf\xe9\xe9 \xc3\xa9"));
        assert_eq!(readable(path), r"/a$1/caf\xe9\xe9 é");
        assert_eq!(in_job_file(path), "/a\x00241/caf\x00e9\x00e9 é");
    }

    proptest! {
        #[test]
        fn every_name_is_read_again(name in prop::collection::vec(1u8.., 0..40)) {
            let path = Path::new(OsStr::from_bytes(&name));
            prop_assert_eq!(of_job_file(&in_job_file(path)), path);
        }

        #[test]
        fn whatever_a_job_file_says_is_read(text: String) {
            of_job_file(&text);
        }
    }
}
