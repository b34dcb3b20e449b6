//! A cancel reaches the last handler with and without a pending Recv, and no other stream's handler.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::chain::Chain;
use crate::peer::Peer::{self, Go, Rust};
use crate::peer::{Process, go_is_here, say};

const STREAMS: usize = 100;
/// Of the median, and wide, because the machine may be busy; the goal is 5 ms.
const BOUND_NS: u64 = 1_000_000_000;

#[test]
fn a_cancel_passes_three_hops_with_a_pending_recv() {
    check(Rust, &[Rust, Rust, Rust], "recv");
}

#[test]
fn a_cancel_passes_three_hops_without_a_pending_recv() {
    check(Rust, &[Rust, Rust, Rust], "norecv");
}

#[test]
fn a_cancel_reaches_kitex_without_a_pending_recv() {
    if go_is_here() {
        check(Rust, &[Go], "norecv");
    }
}

/// With a pending Recv: without one, Kitex sends a cancel only seconds later.
#[test]
fn a_cancel_of_kitex_ends_one_stream_and_no_other() {
    if go_is_here() {
        check(Go, &[Rust], "recv");
    }
}

fn check(client: Peer, servers: &[Peer], what: &str) {
    let chain = Chain::start(servers);
    let client = Process::start(client, &format!("lat --addr {} --what {what} --c {STREAMS}", chain.address));
    let done = chain.last().find("the last cancel", |lines| all(lines, "done"));
    let ends = chain.last().find("the last handler's end", |lines| {
        let ends: Vec<_> = lines.iter().filter(|line| line["ev"] == "server").cloned().collect();
        (ends.len() == STREAMS).then_some(ends)
    });
    let canceled = client.find("the last line of the client", |lines| all(lines, "cancel"));

    let path = ["ServiceA", "ServiceB", "ServiceC"][..servers.len()].join(" -> ");
    let error =
        format!("[ttstream error, code=12007] [server-side stream] [canceled path: {path}] user code");
    for end in ends {
        assert!(end["err"].as_str().is_some_and(|err| err.starts_with(&error)), "{end}");
    }
    let late = |(seq, canceled): (&u64, &u64)| {
        done[seq].checked_sub(*canceled).unwrap_or_else(|| panic!("stream {seq} ended before its cancel"))
    };
    let mut late: Vec<u64> = canceled.iter().map(late).collect();
    late.sort_unstable();
    let milliseconds = |at: usize| late[at] as f64 / 1e6;
    say(&format!(
        "a cancel took p50 {:.3} ms, p99 {:.3} ms, {:.3} ms at most",
        milliseconds(STREAMS / 2),
        milliseconds(STREAMS * 99 / 100 - 1),
        milliseconds(STREAMS - 1),
    ));
    assert!(late[STREAMS / 2] < BOUND_NS, "{late:?}");
}

/// Returns the time of each stream's line of this kind, if each has one.
fn all(lines: &[Value], kind: &str) -> Option<BTreeMap<u64, u64>> {
    let lines = lines.iter().filter(|line| line["ev"] == kind);
    let times: BTreeMap<_, _> =
        lines.filter_map(|line| Some((line["seq"].as_u64()?, line["ts"].as_u64()?))).collect();
    (times.len() == STREAMS).then_some(times)
}
