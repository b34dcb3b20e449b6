//! Backoff: the delay after a failed dial. Knows nothing of sockets.

use std::time::{Duration, Instant};

use kerrors::Error;

use crate::random::random;

const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(1);

/// The longest time for which an address that cannot be reached is not tried beside others that can.
const LAST_EJECTION: Duration = Duration::from_secs(30);

/// Exponential backoff with jitter after failed dials: 100 ms, doubled each time up to 1 s. The delay is
/// random between half of that and all of it, so that clients that failed together do not dial again
/// together.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failed: Option<Failed>,
    ejected: Option<Ejected>,
}

#[derive(Debug)]
struct Failed {
    error: Error,
    step: Duration,
    until: Instant,
}

/// How long other addresses are preferred.
#[derive(Debug)]
struct Ejected {
    step: Duration,
    until: Instant,
}

impl Backoff {
    /// Returns the error of the last dial while its backoff has not passed.
    pub(crate) fn refuses(&self, now: Instant) -> Option<Error> {
        self.failed.as_ref().filter(|failed| now < failed.until).map(|failed| failed.error.clone())
    }

    /// Returns the error of the dial before, to be dropped without a lock: it may be one of a user's connector.
    #[must_use]
    pub(crate) fn fail(&mut self, error: Error, now: Instant) -> Option<Error> {
        let step = self.failed.as_ref().map_or(FIRST, |failed| failed.step.saturating_mul(2).min(LAST));
        let until = now.checked_add(jitter(step)).unwrap_or(now);
        let before = self.failed.replace(Failed { error, step, until });
        self.eject(now);
        self.ejected.iter_mut().for_each(|ejected| ejected.until = ejected.until.max(until));
        before.map(|failed| failed.error)
    }

    /// Other addresses are preferred for a while, twice as long each time. Dials that failed together count once. A dial
    /// is permitted.
    pub(crate) fn eject(&mut self, now: Instant) {
        if !self.is_probe_due(now) {
            return;
        }
        let step = self.ejected.as_ref().map_or(FIRST, |ejected| ejected.step.saturating_mul(2));
        let step = step.min(LAST_EJECTION);
        self.ejected = Some(Ejected { step, until: now.checked_add(jitter(step)).unwrap_or(now) });
    }

    /// Returns whether an address that could not be reached may be tried again beside others that can be reached. As the
    /// backoff, the time is doubled with each failure, but up to 30 s.
    pub(crate) fn is_probe_due(&self, now: Instant) -> bool {
        self.ejected.as_ref().is_none_or(|ejected| now >= ejected.until)
    }

    /// Ends the delay, and keeps the count of failures.
    pub(crate) fn lift(&mut self, now: Instant) {
        self.failed.iter_mut().for_each(|failed| failed.until = now);
    }

    /// As [`fail`](Self::fail).
    #[must_use]
    pub(crate) fn succeed(&mut self) -> Option<Error> {
        std::mem::take(self).failed.map(|failed| failed.error)
    }
}

/// Returns a random time between half of `step` and `step`.
pub(crate) fn jitter(step: Duration) -> Duration {
    let half = step.checked_div(2).unwrap_or_default();
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
    half.saturating_add(Duration::from_nanos(random().checked_rem(nanos.max(1)).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_a_second_and_a_success_resets_it() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        assert!(backoff.refuses(now).is_none());
        for step in [100, 200, 400, 800, 1000, 1000] {
            let _ = backoff.fail(Error::network("refused"), now);
            assert!(backoff.refuses(now + Duration::from_millis(step / 2 - 1)).is_some(), "{step}");
            assert!(backoff.refuses(now + Duration::from_millis(step)).is_none(), "{step}");
            now += Duration::from_millis(step);
        }
        let _ = (backoff.succeed(), backoff.fail(Error::network("refused"), now));
        assert!(backoff.is_probe_due(now + Duration::from_secs(4)));
        let _ = backoff.succeed();
        for step in [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000] {
            // Dials that fail together.
            for _ in 0..20 {
                let _ = backoff.fail(Error::network("refused"), now);
            }
            assert!(!backoff.is_probe_due(now + Duration::from_millis(step / 2 - 1)), "{step}");
            now += Duration::from_millis(step.max(1000));
            assert!(backoff.is_probe_due(now), "{step}");
        }
        let _ = (backoff.succeed(), backoff.fail(Error::network("refused"), now));
        assert!(backoff.refuses(now + Duration::from_millis(100)).is_none());
    }
}
