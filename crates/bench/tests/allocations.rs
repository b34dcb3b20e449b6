//! The number of allocations in steady state. One test, so that nothing else allocates meanwhile.

use std::alloc::System;

use bench::work::{DataHeader, Message, Pair};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUNDS: usize = 1000;

#[test]
fn steady_state_allocations_are_bounded() {
    let mut header = DataHeader::default();
    check("decode a data frame's header", 0, || header.decode());
    check("encode a data frame's header", 0, || header.encode());
    let mut message = Message::default();
    check("encode a message into a buffer that is kept", 0, || message.encode());
    check("decode a message whose payload stays where it is", 0, || message.decode());
    let mut pair = Pair::new(10);
    check("a message from connection to connection: the copy that its reader gets", 1, || pair.message());
}

fn check(what: &str, most: usize, mut work: impl FnMut()) {
    // Warm-up: reused memory is allocated, for each of the streams.
    (0..100).for_each(|_| work());
    let region = Region::new(COUNTED);
    (0..ROUNDS).for_each(|_| work());
    let change = region.change();
    // Rounded: the harness's own thread allocates now and then.
    let each = (change.allocations + change.reallocations + ROUNDS / 2) / ROUNDS;
    assert!(each <= most, "{what}: {each} allocations each time, not {most}");
}
