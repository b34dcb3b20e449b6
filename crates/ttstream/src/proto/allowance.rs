//! How long slow consumers may hold up a connection that has other streams: a token bucket over time. Each pause spends
//! of it; time without a pause refills it, and so do the bytes that are taken. Knows no stream and no timer.

use std::time::{Duration, Instant};

/// A connection may be paused for a fifth of the time: a pause is made up for by four times as much time without one.
const TIME_PER_PAUSE: u32 = 4;
/// The allowance of a connection, in those of one stream.
const STREAMS: u32 = 2;
/// The part of its allowance that a stream has if others have spent that of the connection.
const STRICT: u32 = 10;
/// The part of the allowance that a pause may take if it is spent: a consumer that is woken gets the time to run. Until it
/// has spent twice the allowance.
const LEAST: u32 = 50;

/// The size of the bucket, and what refills it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// The allowance of one stream.
    pub(super) timeout: Duration,
    /// The rate, in bytes per second, from which on a consumer is not slow.
    pub(super) rate: usize,
}

/// What one stream, or all of a connection, have spent.
#[derive(Debug, Default)]
pub(super) struct Spent {
    time: Duration,
    /// The end of the last pause.
    since: Option<Instant>,
    /// Bytes taken since the last update.
    taken: usize,
}

impl Spent {
    /// Records that `bytes` were taken.
    pub(super) fn take(&mut self, bytes: usize) {
        self.taken = self.taken.saturating_add(bytes);
    }
}

impl Allowance {
    /// Records that a pause begins at `now`.
    pub(super) fn begin(self, spent: &mut Spent, now: Instant) {
        let without = spent.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let refilled = part(without, TIME_PER_PAUSE).saturating_add(self.earned(spent));
        spent.time = spent.time.saturating_sub(refilled);
        spent.since = Some(now);
    }

    /// Records that a pause has ended at `now`, after the time `paused`.
    pub(super) fn end(self, spent: &mut Spent, paused: Duration, now: Instant) {
        let earned = self.earned(spent);
        spent.time = spent.time.saturating_add(paused).saturating_sub(earned);
        spent.since = Some(now);
    }

    /// Returns how long a pause may take that begins now, because of a stream that has spent `stream`.
    pub(super) fn left(self, stream: &Spent, connection: &Spent) -> Duration {
        let strict = part(self.timeout, STRICT);
        let of_connection = self.timeout.saturating_mul(STREAMS).saturating_sub(connection.time);
        let limit = if of_connection.is_zero() { strict } else { self.timeout };
        if stream.time >= limit.saturating_mul(2) {
            return Duration::ZERO;
        }
        let left = limit.saturating_sub(stream.time).min(of_connection.max(strict));
        left.max(part(self.timeout, LEAST))
    }

    /// Returns the time that the taken bytes are worth, once.
    fn earned(self, spent: &mut Spent) -> Duration {
        let taken = u64::try_from(std::mem::take(&mut spent.taken)).unwrap_or(u64::MAX);
        if taken == 0 {
            return Duration::ZERO;
        }
        let rate = u64::try_from(self.rate).unwrap_or(u64::MAX);
        let nanos = taken.saturating_mul(1_000_000_000).checked_div(rate);
        nanos.map_or(Duration::MAX, Duration::from_nanos)
    }
}

fn part(time: Duration, of: u32) -> Duration {
    time.checked_div(of).unwrap_or_default()
}
