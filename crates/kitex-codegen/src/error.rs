//! The errors of generation. Owns their text, one line each; does not depend on the IDL.

use std::{fmt, io, path::PathBuf};

use thiserror::Error;

/// Why code cannot be generated. Each error is one line with the place, the problem and a suggestion; its `Debug` form is the
/// same line, because that is what a `main` that returns an error prints.
#[derive(Error)]
#[non_exhaustive]
pub enum Error {
    /// Something is wrong in an IDL file.
    #[error("{}:{line}: {problem}", file.display())]
    Idl {
        /// The file, as it was named or found.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong and what to do about it.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {action}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, `cannot read` for example.
        action: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// The builder lacks something.
    #[error("{0}")]
    Usage(&'static str),
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
