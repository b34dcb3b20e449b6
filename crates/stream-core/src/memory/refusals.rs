//! For how long streams and connections were refused because of a memory budget. Knows nothing of what holds the memory.

use std::time::{Duration, Instant};

use crate::sync::Mutex;

/// How long refusals may follow each other, none as long after the one before, until streams end for those that are refused:
/// memory that is neither taken nor given back would otherwise keep all others out.
const LONGEST: Duration = Duration::from_secs(30);

/// The time between two searches for what is to be ended.
const PAUSE: Duration = Duration::from_secs(1);

/// The refusals that followed each other.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Option<Run>>);

#[derive(Clone, Copy, Debug)]
struct Run {
    last: Instant,
    /// Not before then is anything ended.
    ends: Instant,
}

impl Refusals {
    /// Counts a refusal. Returns whether streams are to end, since they have followed each other for too long.
    pub(super) fn add(&self, now: Instant) -> bool {
        let after = |time: Duration| now.checked_add(time).unwrap_or(now);
        let mut run = self.0.lock();
        let known = run.filter(|run| now.saturating_duration_since(run.last) < LONGEST);
        let ends = known.map_or_else(|| after(LONGEST), |run| run.ends);
        let is_due = ends <= now;
        *run = Some(Run { last: now, ends: if is_due { after(PAUSE) } else { ends } });
        is_due
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn refusals_that_follow_each_other_for_30_s_end_streams_each_second() {
        // Milliseconds of the clock, and whether streams are to end.
        let rows: [&[(u64, bool)]; 4] = [
            &[(0, false), (29_999, false), (30_000, true), (30_999, false), (31_000, true), (60_000, true)],
            &[(0, false), (20_000, false), (40_000, true)],
            &[(0, false), (30_000, false), (59_000, false), (60_000, true)],
            &[(0, false), (10_000, false), (20_000, false), (30_000, true), (60_000, false), (61_000, false)],
        ];
        let begin = Instant::now();
        for row in rows {
            let refusals = Refusals::default();
            for &(at, expected) in row {
                assert_eq!(refusals.add(begin + Duration::from_millis(at)), expected, "{at} ms of {row:?}");
            }
        }
    }
}
