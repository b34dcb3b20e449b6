//! How fast a frame must arrive once its first byte has: a peer that sends one byte now and then would otherwise keep a
//! connection, and what was buffered of the frame, for ever.

use std::time::{Duration, Instant};

/// The time after which a frame that has not completely arrived is looked at, again and again.
const PERIOD: Duration = Duration::from_secs(10);
/// The bytes that must have arrived in each period: 1 KiB per second.
const PER_PERIOD: usize = 10 * 1024;

/// The arrival of the frame whose first bytes were received last.
#[derive(Debug, Default)]
pub(crate) struct Arrival {
    /// The start of the current period; `None` if there is no such frame.
    since: Option<Instant>,
    /// Bytes received in the current period.
    received: usize,
    /// Bytes that were in the buffer after the last read.
    left: usize,
    /// When the timer fires that is armed. It may fire when there is no such frame.
    armed: Option<Instant>,
}

/// What to do when the timer has fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// No frame is arriving.
    Idle,
    /// To be checked again at this instant.
    Again(Instant),
    /// Too few bytes have arrived.
    TooSlow,
}

impl Arrival {
    /// Records that `buffered` bytes are to be processed.
    #[inline]
    pub(crate) fn on_bytes(&mut self, buffered: usize) {
        self.received = self.received.saturating_add(buffered.saturating_sub(self.left));
    }

    /// Records that `left` bytes remain. `completed` if a frame was processed, `partial` if the next one has begun to
    /// arrive. Returns when a timer is to be armed.
    #[inline]
    pub(crate) fn on_processed(
        &mut self,
        left: usize,
        completed: bool,
        partial: bool,
        now: Instant,
    ) -> Option<Instant> {
        self.left = left;
        if !partial {
            self.since = None;
            return None;
        }
        if completed || self.since.is_none() {
            self.start(left, now);
        }
        if self.armed.is_some() {
            return None;
        }
        self.armed = now.checked_add(PERIOD);
        self.armed
    }

    /// Returns whether too few bytes have arrived.
    pub(crate) fn is_slow(&self, paused: bool, now: Instant) -> bool {
        let is_over = self.since.is_some_and(|since| now.saturating_duration_since(since) >= PERIOD);
        is_over && !paused && self.received < PER_PERIOD
    }

    /// Records that this end has not read for a time: the frame could not arrive meanwhile.
    pub(crate) fn on_resumed(&mut self) {
        self.since = None;
    }

    #[cfg(fuzzing)]
    pub(crate) fn armed(&self) -> Option<Instant> {
        self.armed
    }

    /// Returns when the timer fires that is armed, which is to be disarmed.
    pub(crate) fn end(&mut self) -> Option<Instant> {
        self.since = None;
        self.armed.take()
    }

    /// Returns what follows from the timer. A connection that was not read because of flow control has as long again.
    pub(crate) fn check(&mut self, paused: bool, now: Instant) -> Check {
        self.armed = None;
        let Some(since) = self.since else { return Check::Idle };
        if self.is_slow(paused, now) {
            return Check::TooSlow;
        }
        if now.saturating_duration_since(since) >= PERIOD {
            self.start(0, now);
        }
        self.armed = self.since.and_then(|since| since.checked_add(PERIOD));
        self.armed.map_or(Check::Idle, Check::Again)
    }

    fn start(&mut self, received: usize, now: Instant) {
        self.since = Some(now);
        self.received = received;
    }
}
