//! Replayable randomness: everything random in a schedule comes from one seed.

use std::env;
use std::ops::Range;

use stream_core::random::{STEP, output};

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        output(self.0)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    pub(crate) fn within(&mut self, range: Range<usize>) -> usize {
        range.start + self.below(range.len())
    }

    /// Returns `true` with a probability of one in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Returns a number that is usually small and sometimes anything up to `bound`.
    pub(crate) fn size(&mut self, bound: usize) -> usize {
        match self.below(4) {
            0 => self.below(2),
            1 | 2 => self.below(300.min(bound)),
            _ => self.below(bound),
        }
    }
}

/// Runs `play` for many seeds: `STREAM_CORE_SCHEDULES` of them if it is set, and only `STREAM_CORE_SEED` if
/// that is set. A failure prints its seed.
pub(crate) fn replayable(schedules: u64, play: impl Fn(u64)) {
    let number = |name: &str| env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    if let Some(seed) = number("STREAM_CORE_SEED") {
        return play(seed);
    }
    for seed in 0..number("STREAM_CORE_SCHEDULES").unwrap_or(schedules) {
        let _printed = PrintSeed(seed);
        play(seed);
    }
}

struct PrintSeed(u64);

impl Drop for PrintSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with STREAM_CORE_SEED={}", self.0);
        }
    }
}
