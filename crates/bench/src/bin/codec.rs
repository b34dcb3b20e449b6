//! Time and allocations of a data frame's header, to compare with `gopkg-bench`, which does the same with
//! gopkg and prints the same lines.

use std::alloc::System;
use std::time::{Duration, Instant};

use bench::work::{DataHeader, Message, Pair};
use interop::line::print;
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The number of batches, of which the fastest counts: other load can only slow a batch down.
const BATCHES: u32 = 15;
const BATCH: Duration = Duration::from_millis(20);

fn main() {
    let mut header = DataHeader::default();
    measure("decode", || header.decode());
    measure("encode", || header.encode());
    measure("encode pairs", || header.encode_pairs());
    let mut message = Message::default();
    measure("payload encode", || message.encode());
    measure("payload decode", || message.decode());
    let mut pair = Pair::new(1);
    measure("proto message", || pair.message());
}

fn measure(what: &str, mut work: impl FnMut()) {
    let rounds = rounds(&mut work);
    let region = Region::new(COUNTED);
    (0..rounds).for_each(|_| work());
    let change = region.change();
    let allocs = change.allocations + change.reallocations;
    let fastest = (0..BATCHES).map(|_| time(&mut work, rounds)).min().unwrap_or_default();
    let rounds = f64::from(rounds);
    let ns = fastest.as_secs_f64() * 1e9 / rounds;
    let allocs = u32::try_from(allocs).map_or(f64::INFINITY, f64::from) / rounds;
    print(&json!({"ev": "codec", "what": what, "ns": ns, "allocs": allocs}));
}

/// Returns the number of rounds in a batch.
fn rounds(work: &mut impl FnMut()) -> u32 {
    let mut rounds = 64;
    while time(work, rounds) < BATCH {
        rounds *= 2;
    }
    rounds
}

fn time(work: &mut impl FnMut(), rounds: u32) -> Duration {
    let started = Instant::now();
    (0..rounds).for_each(|_| work());
    started.elapsed()
}
