//! Fixed workloads for callgrind, which counts only the instructions of [`measured`]:
//! `cargo xtask bench --instructions`. One thread, the same input each time.
//!
//! Hash maps are seeded randomly, so counts of `proto` differ between runs, by far less than the tolerance of
//! 2 %.

use bench::work::{Calls, DataHeader, HeaderFrame, Message, Pair, Telemetry, Tree};

/// The name of a case, its number of rounds, and its work.
type Case = (&'static str, u32, fn(u32));

const CASES: &[Case] = &[
    ("codec/decode data header", 1000, |times| {
        let header = DataHeader::default();
        repeat(times, || header.decode());
    }),
    ("codec/encode data header", 1000, |times| {
        let mut header = DataHeader::default();
        repeat(times, || header.encode());
    }),
    ("codec/decode header frame", 1000, |times| {
        let frame = HeaderFrame::default();
        repeat(times, || frame.decode());
    }),
    ("codec/encode header frame", 1000, |times| {
        let mut frame = HeaderFrame::default();
        repeat(times, || frame.encode());
    }),
    ("payload/encode 1 KiB", 1000, |times| {
        let mut message = Message::default();
        repeat(times, || message.encode());
    }),
    ("payload/decode 1 KiB", 1000, |times| {
        let message = Message::default();
        repeat(times, || message.decode());
    }),
    ("tree/join and leave", 1000, |times| {
        let tree = Tree::default();
        repeat(times, || tree.join_and_leave());
    }),
    ("tree/child scope", 1000, |times| {
        let tree = Tree::default();
        repeat(times, || tree.child());
    }),
    ("tree/cancel 1 stream", 1000, |times| cancel(times, 1)),
    ("tree/cancel 1000 streams", 10, |times| cancel(times, 1000)),
    ("calls/open", 1000, |times| open(times, Telemetry::Off)),
    ("calls/open, with metrics", 1000, |times| open(times, Telemetry::Metrics)),
    ("calls/open, of 4 instances", 1000, |times| {
        let mut calls = Calls::of_instances(4);
        repeat(times, || calls.open());
    }),
    ("calls/echo", 1000, |times| echo(times, Telemetry::Off)),
    ("calls/echo, with metrics", 1000, |times| echo(times, Telemetry::Metrics)),
    ("calls/open, over gRPC", 1000, |times| {
        let mut calls = Calls::over_grpc();
        repeat(times, || calls.open());
    }),
    ("calls/echo, over gRPC", 1000, |times| {
        let mut calls = Calls::over_grpc();
        repeat(times, || calls.echo());
    }),
    ("calls/down", 10_000, |times| down(times, Calls::new(Telemetry::Off))),
    ("calls/down, over gRPC", 10_000, |times| down(times, Calls::over_grpc())),
    ("proto/message, 1 stream", 1000, |times| {
        let mut pair = Pair::new(1);
        repeat(times, || pair.message());
    }),
    ("proto/message, 10000 streams", 10_000, |times| {
        let mut pair = Pair::new(10_000);
        repeat(times, || pair.message());
    }),
    ("proto/open and cancel", 1000, |times| {
        let mut pair = Pair::new(1);
        repeat(times, || pair.open_and_cancel());
    }),
];

/// Without an argument: prints the cases, one per line. With one: runs that case.
fn main() {
    let Some(name) = std::env::args().nth(1) else {
        return CASES.iter().for_each(|(name, times, _)| println!("{times}\t{name}"));
    };
    let case = CASES.iter().find(|(case, ..)| *case == name);
    let (_, times, work) = case.unwrap_or_else(|| panic!("no case {name}"));
    work(*times);
}

fn open(times: u32, telemetry: Telemetry) {
    let mut calls = Calls::new(telemetry);
    repeat(times, || calls.open());
}

/// Receives that many messages; what a call of the runtime costs counts little.
fn down(times: u32, mut calls: Calls) {
    calls.down(1000);
    measured(&mut || calls.down(times));
}

fn echo(times: u32, telemetry: Telemetry) {
    let mut calls = Calls::new(telemetry);
    repeat(times, || calls.echo());
}

fn cancel(times: u32, streams: usize) {
    let tree = Tree::default();
    let mut grown = (0..times).map(|_| tree.grow(streams)).collect::<Vec<_>>().into_iter();
    repeat(times, || {
        let grown = grown.next().expect("one each time");
        tree.cancel(&grown);
    });
}

/// Runs the work once as warm-up, and then measured by callgrind.
fn repeat(times: u32, mut work: impl FnMut()) {
    let mut left = times;
    if times > 100 {
        work();
        left -= 1;
    }
    measured(&mut || (0..left).for_each(|_| work()));
}

/// The function whose instructions callgrind counts, including all callees.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}
