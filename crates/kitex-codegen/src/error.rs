//! Why nothing was generated. Owns the one line a user sees; knows no IDL.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why code cannot be generated. Each is one line that says where and what to do.
#[derive(Debug, Error)]
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
        /// What the system says.
        source: io::Error,
    },
    /// The builder lacks something.
    #[error("{0}")]
    Usage(&'static str),
}
