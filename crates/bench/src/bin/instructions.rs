//! Fixed pieces of work for callgrind, which counts the instructions of [`measured`] and no others:
//! `cargo xtask bench --instructions`. One thread, the same input each time.
//!
//! Hash maps are seeded at random, so counts of `proto` differ from run to run, by far less than the 2 %
//! that the guard lets pass.

use bench::work::{DataHeader, HeaderFrame, Message, Pair, Tree};

/// A case, how often its work is done, and the work.
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

/// Without an argument: the cases, one line each. With one: does that case.
fn main() {
    let Some(name) = std::env::args().nth(1) else {
        return CASES.iter().for_each(|(name, times, _)| println!("{times}\t{name}"));
    };
    let case = CASES.iter().find(|(case, ..)| *case == name);
    let (_, times, work) = case.unwrap_or_else(|| panic!("no case {name}"));
    work(*times);
}

fn cancel(times: u32, streams: usize) {
    let tree = Tree::default();
    let mut grown = (0..times).map(|_| tree.grow(streams)).collect::<Vec<_>>().into_iter();
    repeat(times, || {
        let grown = grown.next().expect("one each time");
        tree.cancel(&grown);
    });
}

/// Does the work once, so that what is kept is there, and then lets callgrind count.
fn repeat(times: u32, mut work: impl FnMut()) {
    let mut left = times;
    if times > 100 {
        work();
        left -= 1;
    }
    measured(&mut || (0..left).for_each(|_| work()));
}

/// What callgrind counts: everything from the call to the return.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}
