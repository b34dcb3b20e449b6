//! Outlier ejection: whether the streams and calls of an instance keep failing. Knows no connections; an instance that
//! cannot be reached is the dialer's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kerrors::{Code, Error, ErrorKind};

use crate::sync::Mutex;

/// The number of failures in a row by which an instance is ejected.
const FAILURES: u32 = 5;

/// For how long it is ejected the first time, and at most. The time is doubled if the next stream fails too.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);

/// Counts the ejections of one client, also those of instances that are gone. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Ejections(Arc<AtomicU64>);

impl Ejections {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How the streams and calls of one instance have ended lately.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    ejections: Ejections,
    /// In a row.
    failures: AtomicU32,
    is_ejected: AtomicBool,
    ejection: Mutex<Ejection>,
}

#[derive(Debug, Default)]
struct Ejection {
    step: Duration,
    until: Option<Instant>,
}

impl Outcomes {
    pub(super) fn new(ejections: Ejections) -> Self {
        Self { ejections, ..Self::default() }
    }

    /// Records how a stream or call has ended. A cancel says nothing about the instance, and a business error is an answer. One
    /// that refuses streams since it has many is not failing.
    pub(super) fn record(&self, error: Option<&Error>, now: Instant) {
        let is_overload = error.is_some_and(|error| error.code() == Some(Code::TOO_MANY_STREAMS));
        match error.map(Error::kind) {
            _ if is_overload => {}
            Some(ErrorKind::Canceled) => {}
            None | Some(ErrorKind::Business) => {
                if self.failures.load(Ordering::Relaxed) > 0 {
                    self.failures.store(0, Ordering::Relaxed);
                    self.ejection.lock().step = Duration::ZERO;
                }
            }
            Some(_) => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                if failures >= FAILURES {
                    self.eject(now);
                }
            }
        }
    }

    fn eject(&self, now: Instant) {
        let mut ejection = self.ejection.lock();
        // Streams that began before the ejection end in it.
        if ejection.until.is_some_and(|until| now < until) {
            return;
        }
        ejection.step = ejection.step.saturating_mul(2).clamp(FIRST, LAST);
        ejection.until = now.checked_add(ejection.step);
        self.is_ejected.store(true, Ordering::Release);
        self.ejections.0.fetch_add(1, Ordering::Relaxed);
        // The next failure after it ejects again, the next success does not.
        self.failures.store(FAILURES.saturating_sub(1), Ordering::Relaxed);
    }

    /// Returns whether other instances are preferred. `now` is called only for one that was ejected.
    pub(super) fn is_ejected(&self, now: impl FnOnce() -> Instant) -> bool {
        if !self.is_ejected.load(Ordering::Acquire) {
            return false;
        }
        let ejection = self.ejection.lock();
        let is_ejected = ejection.until.is_some_and(|until| now() < until);
        self.is_ejected.store(is_ejected, Ordering::Release);
        is_ejected
    }
}

#[cfg(test)]
mod tests {
    use kerrors::{BizStatusError, StreamError};

    use super::*;

    fn canceled() -> Error {
        StreamError::new(Code::CANCELED).into()
    }

    fn failed() -> Error {
        Error::network("connection reset")
    }

    #[test]
    fn five_failures_in_a_row_eject_and_cancels_do_not_count() {
        let biz = || Error::from(BizStatusError::new(7, "no"));
        // How streams end, in order; whether the instance is ejected then.
        let rows: [(&str, Vec<Option<Error>>, bool); 6] = [
            ("nothing", vec![], false),
            ("four failures", vec![Some(failed()); 4], false),
            ("five failures", vec![Some(failed()); 5], true),
            ("cancels", vec![Some(canceled()); 50], false),
            ("business errors", vec![Some(biz()); 50], false),
            (
                "a success between failures",
                [vec![Some(failed()); 4], vec![None], vec![Some(failed()); 4]].concat(),
                false,
            ),
        ];
        for (what, ends, expected) in rows {
            let (outcomes, now) = (Outcomes::default(), Instant::now());
            ends.iter().for_each(|end| outcomes.record(end.as_ref(), now));
            assert_eq!(outcomes.is_ejected(|| now), expected, "{what}");
        }
        let (outcomes, now) = (Outcomes::default(), Instant::now());
        for _ in 0..9 {
            outcomes.record(Some(&failed()), now);
            outcomes.record(Some(&canceled()), now);
        }
        assert!(outcomes.is_ejected(|| now), "cancels between failures");
    }

    #[test]
    fn ejection_doubles_with_each_failure_after_it_and_a_success_resets_it() {
        let (outcomes, mut now) = (Outcomes::default(), Instant::now());
        let fail = |count, now| (0..count).for_each(|_| outcomes.record(Some(&failed()), now));
        fail(5, now);
        for (before, step) in [1, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
            assert_eq!(outcomes.ejections.count(), before as u64 + 1);
            // Streams that were open before the ejection do not prolong it.
            fail(100, now);
            now += Duration::from_secs(step);
            assert!(outcomes.is_ejected(|| now - Duration::from_millis(1)), "{step}");
            assert!(!outcomes.is_ejected(|| now), "{step}");
            fail(1, now);
        }
        now += Duration::from_secs(30);
        outcomes.record(None, now);
        fail(4, now);
        assert!(!outcomes.is_ejected(|| now));
        fail(1, now);
        assert!(outcomes.is_ejected(|| now));
        assert!(!outcomes.is_ejected(|| now + FIRST));
    }
}
