//! The business status error: an error that is part of a service's API, not a failure of the call.

use std::collections::BTreeMap;
use std::fmt;

use crate::text::write_escaped;

/// Code, message and extra of a business error. Sent in the trailer of a stream or the header of a
/// response; the call itself has succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BizStatusError {
    /// The service's own code; a peer reads 0 as "no error".
    pub code: i32,
    /// The service's own message.
    pub message: String,
    /// Additional pairs for programs.
    pub extra: BTreeMap<String, String>,
}

impl BizStatusError {
    /// Returns an error without extra.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), extra: BTreeMap::new() }
    }

    /// Adds one pair of extra.
    #[must_use]
    pub fn with_extra(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.insert(key.into(), value.into());
        self
    }
}

impl fmt::Display for BizStatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "biz error: code={}, msg=", self.code)?;
        write_escaped(f, &self.message)
    }
}

impl std::error::Error for BizStatusError {}
