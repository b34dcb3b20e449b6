//! What a peer may do wrong before its connection is closed: each kind of violation has a limit per time. A single one
//! costs a stream at most.

use std::time::{Duration, Instant};

use super::error::ConnectionError;

/// A kind of violation. Each has a limit per window, in [`Violations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// A frame that ended a stream, or that was answered with an Rst: too large, of unknown type, a second header.
    Fault,
    /// A stream that was refused because of the number of running handlers.
    Refused,
    /// A frame of stream 0.
    StreamZero,
    /// This number of bytes of frames that grant credit. Each costs little, so only a flood of them is one.
    Credit(usize),
    /// This number of bytes of data for a stream that does not accept any.
    Unwanted(usize),
}

/// The violations of one connection.
#[derive(Debug)]
pub(super) struct Violations {
    faults: Rate,
    refused: Rate,
    stream_zero: Rate,
    credit: Rate,
    unwanted: Rate,
}

/// Counts up to `limit` in each window of `window`.
#[derive(Debug)]
struct Rate {
    limit: usize,
    window: Duration,
    count: usize,
    /// The start of the current window.
    since: Option<Instant>,
}

impl Violations {
    /// Returns the counters of a connection that runs at most `max_concurrent_streams` handlers.
    pub(super) fn new(max_concurrent_streams: usize) -> Self {
        let refused = max_concurrent_streams.max(1024).saturating_mul(4);
        Self {
            faults: Rate::new(1024, Duration::from_secs(60)),
            refused: Rate::new(refused, Duration::from_secs(1)),
            stream_zero: Rate::new(100, Duration::from_secs(60)),
            credit: Rate::new(64 * 1024 * 1024, Duration::from_secs(10)),
            unwanted: Rate::new(64 * 1024 * 1024, Duration::from_secs(10)),
        }
    }

    /// Counts a violation.
    ///
    /// # Errors
    /// Returns the error to close the connection with if there were too many of the kind.
    #[cold]
    pub(super) fn count(&mut self, violation: Violation, now: Instant) -> Result<(), ConnectionError> {
        let (rate, number, what) = match violation {
            Violation::Fault => (&mut self.faults, 1, "frames that end their stream"),
            Violation::Refused => (&mut self.refused, 1, "streams beyond max_concurrent_streams"),
            Violation::StreamZero => (&mut self.stream_zero, 1, "frames of stream 0"),
            Violation::Credit(bytes) => (&mut self.credit, bytes, "bytes of frames that grant credit"),
            Violation::Unwanted(bytes) => (&mut self.unwanted, bytes, "bytes for streams that do not exist"),
        };
        match rate.add(number, now) {
            true => Ok(()),
            false => Err(ConnectionError::TooManyViolations(what)),
        }
    }
}

impl Rate {
    fn new(limit: usize, window: Duration) -> Self {
        Self { limit, window, count: 0, since: None }
    }

    /// Returns whether the count of the current window is still within the limit.
    fn add(&mut self, number: usize, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= self.window) {
            self.since = Some(now);
            self.count = 0;
        }
        self.count = self.count.saturating_add(number);
        self.count <= self.limit
    }
}
