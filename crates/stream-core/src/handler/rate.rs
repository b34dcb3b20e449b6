//! How many streams and calls may begin per second: a token bucket that is filled each 100 ms, as Kitex's is.

use std::time::{Duration, Instant};

use crate::sync::Mutex;

/// The time between two refills.
const INTERVAL: Duration = Duration::from_millis(100);
/// The refills of a second. Tokens are counted in such parts, so that a limit below ten is exact too.
const PARTS: u64 = 10;

/// A limit of streams and calls per second.
#[derive(Debug)]
pub(super) struct Rate {
    limit: u32,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// A tenth of a token each.
    parts: u64,
    refilled: Instant,
}

impl Rate {
    /// Returns a limit whose bucket has the tokens of one refill, and at least one.
    pub(super) fn new(limit: u32, now: Instant) -> Self {
        let bucket = Bucket { parts: u64::from(limit).max(PARTS), refilled: now };
        Self { limit, bucket: Mutex::new(bucket) }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// Takes a token. Returns `false` if there is none.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut bucket = self.bucket.lock();
        bucket.refill(self.limit, now);
        let rest = bucket.parts.checked_sub(PARTS);
        bucket.parts = rest.unwrap_or(bucket.parts);
        rest.is_some()
    }
}

impl Bucket {
    /// Adds a tenth of `limit` for each interval that has passed, up to the tokens of one second.
    fn refill(&mut self, limit: u32, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled);
        if passed < INTERVAL {
            return;
        }
        let (limit, full) = (u64::from(limit), u64::from(limit).saturating_mul(PARTS).max(PARTS));
        // A second fills it; so does any longer time.
        if passed >= INTERVAL.saturating_mul(10) {
            (self.parts, self.refilled) = (full, now);
            return;
        }
        while now.saturating_duration_since(self.refilled) >= INTERVAL {
            self.parts = self.parts.saturating_add(limit).min(full);
            self.refilled = self.refilled.checked_add(INTERVAL).unwrap_or(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_qps_is_filled_each_100_ms_up_to_a_second() {
        // The limit; for each step the milliseconds since the start, the calls, and how many are admitted.
        type Row<'a> = (u32, &'a [(u64, usize, usize)]);
        let rows: [Row<'_>; 5] = [
            (100, &[(0, 20, 10), (99, 5, 0), (100, 20, 10), (350, 50, 20), (400, 50, 10)]),
            (100, &[(5_000, 300, 100), (5_050, 10, 0), (5_100, 20, 10)]),
            (3, &[(0, 5, 1), (300, 5, 0), (400, 5, 1), (1_400, 5, 3)]),
            (1, &[(0, 5, 1), (900, 5, 0), (1_000, 5, 1), (9_000, 5, 1)]),
            (10, &[(0, 1, 1), (100, 1, 1), (200, 1, 1), (250, 1, 0), (300, 1, 1)]),
        ];
        for (limit, steps) in rows {
            let start = Instant::now();
            let rate = Rate::new(limit, start);
            for &(at, calls, admitted) in steps {
                let now = start + Duration::from_millis(at);
                let got = (0..calls).filter(|_| rate.take(now)).count();
                assert_eq!(got, admitted, "{limit} per second, after {at} ms");
            }
        }
    }
}
