//! Detects that a stream passes no message, by a check now and then, so that messages cost nothing.

use std::mem;
use std::time::{Duration, Instant};

/// Checks in one idle timeout.
const CHECKS: u32 = 4;

#[derive(Debug, Default)]
pub(super) struct IdleWatch {
    next_check: Option<Instant>,
    /// Checks in a row that have found no new message.
    quiet_checks: u32,
    /// Messages at the last check.
    messages: u64,
}

impl IdleWatch {
    /// Plans the next check. Returns when it is due.
    pub(super) fn plan(&mut self, timeout: Duration, now: Instant) -> Option<Instant> {
        self.next_check = timeout.checked_div(CHECKS).and_then(|pause| now.checked_add(pause));
        self.next_check
    }

    pub(super) fn next_check(&self) -> Option<Instant> {
        self.next_check
    }

    /// Returns whether no message has passed for the whole timeout, given their number now.
    pub(super) fn check(&mut self, messages: u64) -> bool {
        let quiet = mem::replace(&mut self.messages, messages) == messages;
        self.quiet_checks = if quiet { self.quiet_checks.saturating_add(1) } else { 0 };
        self.quiet_checks >= CHECKS
    }
}
