//! Thousands of random schedules: see `sim`. `STREAM_CORE_SCHEDULES=100000` runs more of them,
//! `STREAM_CORE_SEED=7` replays one.

mod harness;
mod sim;

use harness::seed::replayable;
use sim::Faults;

#[test]
fn simulation_invariants_hold_on_slow_and_narrow_wires() {
    replayable(1500, |seed| sim::play(seed, Faults::Slow));
}

#[test]
fn simulation_invariants_hold_with_proxy_resets_and_lost_connections() {
    replayable(1500, |seed| sim::play(seed, Faults::ResetsAndLosses));
}
