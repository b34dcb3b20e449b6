//! Schedules by the thousand: see `sim`. `STREAM_CORE_SCHEDULES=100000` plays more of them,
//! `STREAM_CORE_SEED=7` one again.

mod harness;
mod sim;

use harness::seed::replayable;
use sim::Weather;

#[test]
fn every_promise_holds_on_slow_and_narrow_wires() {
    replayable(1500, |seed| sim::play(seed, Weather::Slow));
}

#[test]
fn every_promise_holds_while_proxies_reset_and_links_break() {
    replayable(1500, |seed| sim::play(seed, Weather::Stormy));
}
