//! Random bits, for jitter and for balancing. Not for secrets.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Returns random bits; on a thread that [`with_seed`] runs on, the next ones of its sequence.
pub(crate) fn random() -> u64 {
    match SEED.get() {
        Some(state) => {
            SEED.set(Some(state.wrapping_add(1)));
            mix(state)
        }
        // A fresh `RandomState` makes the hash of no input random.
        None => RandomState::new().build_hasher().finish(),
    }
}

/// Runs `run`, which draws the same bits on this thread each time. For simulations: with it, a client's backoff and balancer
/// decide the same for the same seed.
pub fn with_seed<R>(seed: u64, run: impl FnOnce() -> R) -> R {
    struct Restore(Option<u64>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SEED.set(self.0);
        }
    }
    let _restore = Restore(SEED.replace(Some(mix(seed))));
    run()
}

/// The step between two states of splitmix64.
pub const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns other bits for each input: the output of splitmix64 after so many steps and one.
pub(crate) fn mix(bits: u64) -> u64 {
    output(bits.wrapping_add(1).wrapping_mul(STEP))
}

/// The output function of splitmix64.
pub fn output(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::{random, with_seed};

    #[test]
    fn bits_repeat_with_a_seed_and_differ_without() {
        let drawn = || [random(), random()];
        let [seven, again, eight] = [7, 7, 8].map(|seed| with_seed(seed, drawn));
        assert_eq!(seven, again);
        assert_ne!(seven, eight);
        assert_ne!(seven[0], seven[1]);
        assert_ne!(drawn(), drawn());
    }
}
