//! A function of a Python module, as the user names it. Nothing is looked for here: where its module is, and what it takes,
//! only Python knows.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};
use crate::base::names;
use crate::data::schema::{ANSWERS, ColumnType, Field, Schema};
use crate::job::absolute;
use crate::job::answers::AnswersSpec;

/// Where a function is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Module {
    /// In a file.
    File(PathBuf),
    /// In a module, as `import` finds it: `package.module`.
    Name(String),
}

/// A Python function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// Where it is.
    pub module: Module,
    /// Its name there, with dots where it is in a class.
    pub function: String,
    /// It is given arrays of rows, and not the values of one row.
    pub vectorized: bool,
    /// The interpreter, where the user has said which.
    pub interpreter: Option<PathBuf>,
    /// Each worker imports the module itself.
    pub imports_anew: bool,
    /// What its answers are, where the user has said it.
    pub answers: Option<AnswersSpec>,
}

/// The interpreter where nothing is said and no environment is active.
const INTERPRETER: &str = "python3";

impl Python {
    /// Reads `FILE.py:FUNCTION` or `package.module:FUNCTION`, as [`names::in_job_file`] has it.
    ///
    /// # Errors
    /// It is none of these.
    pub fn parse(text: &str) -> Result<(Module, String)> {
        let wrong = |why: &str| Error::Usage(format!("--python {text}: {why}"));
        let bytes = names::of_job_file(text).into_os_string().into_vec();
        let colon = memchr::memrchr(b':', &bytes).filter(|colon| *colon > 0);
        let colon = colon.ok_or_else(|| {
            wrong("it is a file or a module and a function of it, as in --python model.py:energy")
        })?;
        let function = std::str::from_utf8(&bytes[colon + 1..]).ok().filter(|name| is_path(name));
        let function = function.ok_or_else(|| wrong("behind the colon is no name of a function"))?.to_owned();
        let path = Path::new(OsStr::from_bytes(&bytes[..colon]));
        let module = match path.to_str().filter(|_| !is_file(path)) {
            Some(name) if is_path(name) => Module::Name(name.to_owned()),
            Some(_) => {
                return Err(wrong("before the colon is neither a file, NAME.py, nor the name of a module"));
            }
            None => Module::File(path.to_owned()),
        };
        Ok((module, function))
    }

    /// Does such a text name a file?
    pub fn names_file(text: &str) -> bool {
        text.rsplit_once(':').is_some_and(|(path, _)| is_file(Path::new(path)))
    }

    /// As typed.
    pub fn text(&self) -> String {
        match &self.module {
            Module::File(path) => format!("{}:{}", path.display(), self.function),
            Module::Name(name) => format!("{name}:{}", self.function),
        }
    }

    /// The columns that its answers are.
    pub fn fields(&self) -> Vec<Field> {
        match &self.answers {
            Some(answers) => answers.fields(),
            None => Schema::single(ANSWERS, ColumnType::Bytes).fields,
        }
    }

    /// As in a job file, from any folder.
    pub fn in_job_file(&self) -> String {
        match &self.module {
            Module::File(path) => {
                let mut text = absolute(path).into_os_string();
                text.push(format!(":{}", self.function));
                names::in_job_file(Path::new(&text))
            }
            Module::Name(_) => self.text(),
        }
    }

    /// The interpreter: the one that the user has said, that of the environment that is active, or the one that is found
    /// first.
    pub fn interpreter(&self) -> PathBuf {
        let of_environment = || {
            let folder = std::env::var_os("VIRTUAL_ENV").filter(|folder| !folder.is_empty())?;
            Some(Path::new(&folder).join("bin").join("python")).filter(|python| python.exists())
        };
        self.interpreter.clone().or_else(of_environment).unwrap_or_else(|| INTERPRETER.into())
    }
}

/// Is this a file, and not a module that Python looks for?
fn is_file(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("py")) || names::has_folder(path)
}

/// Is this one name, or several with dots between them?
fn is_path(text: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    text.split('.').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_and_a_function() {
        let of = |text: &str| Python::parse(text).unwrap();
        assert_eq!(of("a/b:c.py:f"), (Module::File("a/b:c.py".into()), "f".into()));
        assert_eq!(of("./tool:C.f"), (Module::File("./tool".into()), "C.f".into()));
        assert_eq!(of("pack.mod:f_1"), (Module::Name("pack.mod".into()), "f_1".into()));
        for text in ["", "f", "x.py", "x.py:", ":f", "x.py:1f", "x.py:a b", "a-b:f", "x.py:f(1)", "x.py:f."] {
            assert!(Python::parse(text).is_err(), "{text}");
        }
    }
}
