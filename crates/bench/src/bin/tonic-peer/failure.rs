//! The error of every subcommand.

/// Returned by a subcommand that cannot do its work.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
