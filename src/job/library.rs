//! A compiled function of a shared library, as the user asks for it. Nothing is loaded here.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::names;
use crate::data::dtype::Dtype;

/// A function of a shared library. Nothing in the library says what its arguments are: the user does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// The file, or as the system's loader finds it.
    pub path: PathBuf,
    /// The name of the function.
    pub symbol: String,
    /// It is given arrays of rows, and not the numbers of one row.
    pub vectorized: bool,
    /// Type of its arguments.
    pub arguments: Dtype,
    /// Type of its answers.
    pub answers: Dtype,
}

impl Library {
    /// Reads `FILE:NAME`, as [`names::in_job_file`] has it: the name follows the last colon.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str, vectorized: bool, arguments: Dtype, answers: Dtype) -> Result<Self> {
        let wrong = |why: &str| Error::Usage(format!("--library {text}: {why}"));
        let bytes = names::of_job_file(text).into_os_string().into_vec();
        let colon = memchr::memrchr(b':', &bytes).filter(|colon| *colon > 0);
        let colon = colon
            .ok_or_else(|| wrong("it is a file and a function of it, as in --library ./model.so:energy"))?;
        let (path, symbol) =
            (OsStr::from_bytes(&bytes[..colon]), String::from_utf8_lossy(&bytes[colon + 1..]));
        let is_name = |symbol: &str| {
            symbol.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && symbol.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_$.@".contains(&byte))
        };
        if !is_name(&symbol) {
            return Err(wrong(&format!("'{symbol}' is no name of a function")));
        }
        Ok(Self { path: path.into(), symbol: symbol.into_owned(), vectorized, arguments, answers })
    }

    /// Its file: one of this name in the current folder, where there is one, as the loader would look for a name without a
    /// slash elsewhere.
    pub fn file(&self) -> PathBuf {
        match !names::has_folder(&self.path) && self.path.is_file() {
            true => Path::new(".").join(&self.path),
            false => self.path.clone(),
        }
    }

    /// As typed.
    pub fn text(&self) -> String {
        format!("{}:{}", self.path.display(), self.symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_a_name() {
        let parse = |text: &str| Library::parse(text, false, Dtype::F64, Dtype::F64);
        let library = parse("/a/b:c.so:f_1").unwrap();
        assert_eq!((library.path.to_str(), &*library.symbol), (Some("/a/b:c.so"), "f_1"));
        assert_eq!(library.text(), "/a/b:c.so:f_1");
        for text in ["", "x.so", ":f", "x.so:", "x.so:1f", "x.so:a b", "x.so:f\n"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
