//! What is to happen when. Knows instants and streams, no clock.

use std::collections::BTreeSet;
use std::time::Instant;

use super::StreamKey;

/// What passes at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The stream's deadline.
    Stream(StreamKey),
    /// The longest wait of the Recv that is under way.
    Recv(StreamKey),
    /// Whether the stream is idle is to be looked at.
    Idle(StreamKey),
    /// The longest time that the connection may stay unread.
    Stall,
}

#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, Timer)>);

impl Timers {
    pub(super) fn arm(&mut self, at: Instant, timer: Timer) {
        self.0.insert((at, timer));
    }

    /// Takes a timer off; `at` is when it was armed for.
    pub(super) fn disarm(&mut self, at: Option<Instant>, timer: Timer) {
        if let Some(at) = at {
            self.0.remove(&(at, timer));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        self.0.first().filter(|(at, _)| *at <= now)?;
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
