//! How soon to dial again what could not be reached. Knows nothing of sockets.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use kerrors::Error;

const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(1);

/// Between failed dials: 100 ms, doubled each time up to 1 s, and somewhere in the upper half of that, so
/// that clients which failed together do not come back together.
#[derive(Debug, Default)]
pub(super) struct Backoff(Option<Failed>);

#[derive(Debug)]
struct Failed {
    error: Error,
    step: Duration,
    until: Instant,
}

impl Backoff {
    /// Why not to dial now.
    pub(super) fn refuses(&self, now: Instant) -> Option<Error> {
        self.0.as_ref().filter(|failed| now < failed.until).map(|failed| failed.error.clone())
    }

    pub(super) fn fail(&mut self, error: Error, now: Instant) {
        let step = self.0.as_ref().map_or(FIRST, |failed| failed.step.saturating_mul(2).min(LAST));
        let until = now.checked_add(jitter(step)).unwrap_or(now);
        self.0 = Some(Failed { error, step, until });
    }

    pub(super) fn succeed(&mut self) {
        self.0 = None;
    }
}

/// From half of `step` to all of it.
fn jitter(step: Duration) -> Duration {
    let half = step.checked_div(2).unwrap_or_default();
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
    // A fresh state hashes nothing to something random.
    let random = RandomState::new().build_hasher().finish().checked_rem(nanos.max(1)).unwrap_or_default();
    half.saturating_add(Duration::from_nanos(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_double_up_to_a_second_and_a_success_forgets_them() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        assert!(backoff.refuses(now).is_none());
        for step in [100, 200, 400, 800, 1000, 1000] {
            backoff.fail(Error::network("refused"), now);
            assert!(backoff.refuses(now + Duration::from_millis(step / 2 - 1)).is_some(), "{step}");
            assert!(backoff.refuses(now + Duration::from_millis(step)).is_none(), "{step}");
            now += Duration::from_millis(step);
        }
        backoff.succeed();
        backoff.fail(Error::network("refused"), now);
        assert!(backoff.refuses(now + Duration::from_millis(100)).is_none());
    }
}
