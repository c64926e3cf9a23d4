//! `parpy python-module`: parpy for Python, one file that starts this program.

/// The file.
pub const TEXT: &str = include_str!("parpy.py");
