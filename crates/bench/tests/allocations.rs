//! What may ask for memory in steady state, and how often. One test, so that nothing else does meanwhile.

use std::alloc::System;

use bench::work::{DataHeader, Message, Pair};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUNDS: usize = 1000;

#[test]
fn steady_state_asks_for_no_memory_but_for_what_a_message_holds() {
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
    // What is kept from round to round comes to be, for each of the streams.
    (0..100).for_each(|_| work());
    let region = Region::new(COUNTED);
    (0..ROUNDS).for_each(|_| work());
    let change = region.change();
    let each = (change.allocations + change.reallocations).div_ceil(ROUNDS);
    assert!(each <= most, "{what}: {each} allocations each time, not {most}");
}
