//! The instances that were tried for one call.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kerrors::Error;

use crate::clock;

/// The instances that were tried for one call without success.
#[derive(Debug, Default)]
pub struct Tried {
    /// A source may have thousands.
    failed: BTreeSet<Arc<str>>,
    /// When the first could not be reached.
    since: Option<Instant>,
    /// Those whose dial takes long, and how long each is waited for the next time. The one that comes next is the first.
    slow: VecDeque<(Arc<str>, Duration)>,
    /// The instance that has refused the call before: another is preferred.
    pub(crate) refused_by: Option<Arc<str>>,
    /// It has done so by closing its connections, so it shuts down or restarts.
    pub(crate) is_closed: bool,
    error: Option<Error>,
}

impl Tried {
    /// Returns those of a call that was refused by the instance at an address before.
    pub fn after(refused_by: Option<&Arc<str>>) -> Self {
        Self { refused_by: refused_by.cloned(), ..Self::default() }
    }

    /// Records that the instance at `address` could not be reached.
    pub(crate) fn add(&mut self, address: &Arc<str>, error: Error) {
        self.since.get_or_insert_with(clock::now);
        self.failed.insert(address.clone());
        self.error = Some(error);
    }

    /// Records that a dial of the instance at `address` takes longer than the time `waited`.
    pub(crate) fn add_slow(&mut self, address: &Arc<str>, waited: Duration) {
        self.since.get_or_insert_with(clock::now);
        self.slow.push_back((address.clone(), waited.saturating_mul(2)));
    }

    /// Keeps the first `count` of those whose dial takes long.
    pub(crate) fn keep_slow(&mut self, count: usize) {
        self.slow.truncate(count);
    }

    /// Returns whether the dial of an instance takes long.
    pub(crate) fn has_slow(&self) -> bool {
        !self.slow.is_empty()
    }

    /// Returns an instance whose dial takes long, and how long to wait for it: without a limit if there is no other. Each
    /// is waited for in turn, twice as long each time, since any of them may never answer.
    pub(crate) fn next_slow(&mut self) -> Option<(Arc<str>, Option<Duration>)> {
        let (address, limit) = self.slow.pop_front()?;
        Some((address, (!self.slow.is_empty()).then_some(limit)))
    }

    /// Records that the instance at `address` has closed the connection that was selected.
    pub(crate) fn closed_by(&mut self, address: &Arc<str>) {
        self.refused_by = Some(address.clone());
        self.is_closed = true;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.failed.is_empty() && self.slow.is_empty() && self.refused_by.is_none()
    }

    pub(crate) fn has(&self, address: &Arc<str>) -> bool {
        self.failed.contains(address) || self.slow.iter().any(|(slow, _)| slow == address)
    }

    /// Returns whether the first instance that could not be reached was tried `limit` ago.
    pub(crate) fn lasts(&self, limit: Duration) -> bool {
        self.since.is_some_and(|since| clock::now().saturating_duration_since(since) >= limit)
    }

    /// Returns the error of the last instance that was tried.
    pub(crate) fn last_error(&self) -> Option<Error> {
        self.error.clone()
    }
}
