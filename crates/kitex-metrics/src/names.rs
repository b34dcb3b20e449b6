//! Names that peers send, as labels: a bounded number of them, of bounded length.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

/// The label of everything beyond a limit.
pub(crate) const OTHER: &str = "other";
/// The label of a name that is not known, as in Kitex.
pub(crate) const UNKNOWN: &str = "unknown";

/// The longest name that becomes a label, in bytes.
const MAX_BYTES: usize = 128;

/// The names seen so far.
#[derive(Debug)]
pub(crate) struct Names {
    limit: usize,
    known: RwLock<HashSet<Arc<str>>>,
}

impl Names {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, known: RwLock::default() }
    }

    /// Returns the label of `name`: itself, or [`OTHER`] if it is too long or there are too many.
    pub(crate) fn label<'a>(&self, name: &'a str) -> &'a str {
        if name.is_empty() {
            return UNKNOWN;
        }
        if name.len() > MAX_BYTES {
            return OTHER;
        }
        if self.known.read().unwrap_or_else(PoisonError::into_inner).contains(name) {
            return name;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.contains(name) || (known.len() < self.limit && known.insert(name.into())) {
            name
        } else {
            OTHER
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_or_too_long_are_other() {
        let names = Names::new(2);
        let long = "x".repeat(MAX_BYTES + 1);
        let rows = [("a", "a"), ("", UNKNOWN), (&*long, OTHER), ("b", "b"), ("c", OTHER), ("a", "a")];
        for (name, label) in rows {
            assert_eq!(names.label(name), label, "{name}");
        }
    }
}
