//! How much of everything is run.

use super::peers::Pair;
use super::works::{BARE_CURRENT, ECHO_100, FROM_KITEX, OURS_BUSY, OURS_CORES, TO_KITEX, UNARY_100, Work};

/// How much is run.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    pub(super) quick: bool,
    pub(super) rounds: usize,
    /// Of each run.
    pub(super) seconds: u64,
    /// Of each run that counts rather than times.
    pub(super) count_seconds: u64,
    /// Streams whose cancel is timed, each round.
    pub(super) cancels: usize,
}

impl Scale {
    pub(super) fn new(quick: bool, rounds: Option<usize>, seconds: Option<u64>) -> Self {
        Self {
            quick,
            rounds: rounds.unwrap_or(if quick { 1 } else { 3 }).max(1),
            seconds: seconds.unwrap_or(if quick { 1 } else { 4 }).max(1),
            count_seconds: if quick { 1 } else { 2 },
            cancels: if quick { 30 } else { 100 },
        }
    }

    pub(super) fn has(&self, work: Work) -> bool {
        !(self.quick && (work == UNARY_100 || work.one_core))
    }

    /// Whether a pair is measured at a work: in a hurry those beside the main ones only once.
    pub(super) fn has_pair(&self, pair: Pair, work: Work) -> bool {
        !self.quick
            || work == ECHO_100
            || ![BARE_CURRENT, OURS_CORES, OURS_BUSY, TO_KITEX, FROM_KITEX].contains(&pair)
    }

    /// In a hurry every second of `counts`, the first and the last among them.
    pub(super) fn thin(&self, counts: &[usize]) -> Vec<usize> {
        let last = counts.len().saturating_sub(1);
        let kept = |at: &usize| !self.quick || at.is_multiple_of(2) || *at == last;
        (0..counts.len()).filter(kept).map(|at| counts[at]).collect()
    }
}
