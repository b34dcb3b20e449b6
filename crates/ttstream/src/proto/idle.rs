//! Detects that a stream is idle, by periodic checks, so that messages cost nothing.

use std::mem;
use std::time::{Duration, Instant};

/// The number of checks in one idle timeout.
const CHECKS: u32 = 4;

#[derive(Debug, Default)]
pub(super) struct IdleWatch {
    next_check: Option<Instant>,
    /// The number of consecutive checks that have found no new message.
    quiet_checks: u32,
    /// The number of messages at the last check.
    messages: u64,
}

impl IdleWatch {
    /// Schedules the next check. Returns when it is due.
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
