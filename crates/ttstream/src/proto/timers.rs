//! A queue of timers. Knows instants and keys, no clock.

use std::collections::BTreeSet;
use std::time::Instant;

use super::id::StreamKey;

/// A timer of a stream or of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The stream's deadline.
    Stream(StreamKey),
    /// The timeout of the pending Recv.
    Recv(StreamKey),
    /// The next check of the stream's idle timeout.
    Idle(StreamKey),
    /// The slow consumer timeout: the end of the time that the connection may stay paused.
    Stall,
    /// The next check of the frame that is arriving.
    Arrival,
}

#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, Timer)>);

impl Timers {
    pub(super) fn arm(&mut self, at: Instant, timer: Timer) {
        self.0.insert((at, timer));
    }

    /// Removes a timer that was armed for `at`, if any.
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
