//! Numbers that a seed determines.

use std::ops::RangeInclusive;
use std::time::Duration;

use stream_core::random::{STEP, output};

/// A sequence of numbers that its seed determines (SplitMix64). For simulations, not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Returns the sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns another sequence, which is determined by the seed of this one, by what was drawn from it, and by `label`.
    #[must_use]
    pub fn fork(&self, label: u64) -> Self {
        let mut label = Self(label);
        let mut fork = Self(self.0 ^ label.bits());
        Self(fork.bits())
    }

    /// Returns the next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        output(self.0)
    }

    /// Returns a number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.bits() % bound).unwrap_or_default()
    }

    /// Returns a number of `range`; its start if it is empty.
    pub fn within(&mut self, range: RangeInclusive<usize>) -> usize {
        let (start, end) = range.into_inner();
        start.saturating_add(self.below(end.saturating_sub(start).saturating_add(1)))
    }

    /// Returns a time of `range`, in whole milliseconds from its start; its start if it is empty.
    pub fn time(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let span = range.end().saturating_sub(*range.start()).as_millis();
        let millis = self.within(0..=usize::try_from(span).unwrap_or(usize::MAX));
        *range.start() + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    }

    /// Returns `true` once in `times`, on average; never if that is 0.
    pub fn once_in(&mut self, times: usize) -> bool {
        times > 0 && self.below(times) == 0
    }

    /// Returns one of `items`; `None` if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }
}
