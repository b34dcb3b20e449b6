//! The targets, and what was measured of each. Owns the numbers that are asked for; knows nothing of how
//! they are shown.

use super::cancel::Cancels;
use super::findings::Findings;
use super::growth::growth;
use super::hops::{HOPS, Hops};
use super::peers::{Pair, Peer};
use super::works::{
    BARE, DOWN_1, ECHO_1, ECHO_100, ECHO_1000, FROM_KITEX, KITEX, KITEX_GRPC, KITEX_GRPC_POOL, OPEN_100,
    OURS, OURS_GRPC, OURS_GRPC_POOL, TO_KITEX, TONIC, Work,
};

/// One target.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) target: String,
    /// In words; nothing if it was not measured.
    pub(super) measured: Option<String>,
    pub(super) met: bool,
}

/// Which side of a bound is good.
#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

/// Ratios of throughput: work, whose, to whose, at least.
const RATIOS: &[(Work, Pair, Pair, f64)] = &[
    (ECHO_1, OURS, KITEX, 2.0),
    (ECHO_1, OURS, TONIC, 1.2),
    (ECHO_100, OURS, KITEX, 5.0),
    (ECHO_100, OURS, TONIC, 2.5),
    (ECHO_100, OURS, BARE, 0.8),
    (ECHO_1000, OURS, KITEX, 5.0),
    (DOWN_1, OURS, KITEX, 4.0),
    (OPEN_100, OURS, KITEX, 6.0),
    (OPEN_100, OURS, TONIC, 3.0),
    (ECHO_1, OURS_GRPC, TONIC, 1.0),
    (ECHO_100, OURS_GRPC, TONIC, 1.0),
    (ECHO_100, OURS_GRPC, KITEX_GRPC, 2.0),
    (ECHO_100, OURS_GRPC_POOL, KITEX_GRPC_POOL, 2.0),
    (ECHO_1000, OURS_GRPC, TONIC, 1.0),
    (DOWN_1, OURS_GRPC, TONIC, 1.0),
    (OPEN_100, OURS_GRPC, TONIC, 1.0),
    (ECHO_100, TO_KITEX, KITEX, MIXED),
    (ECHO_100, FROM_KITEX, KITEX, MIXED),
];
/// With Kitex at one end, beside Kitex at both.
pub(super) const MIXED: f64 = 1.3;
/// Works whose slowest hundredth is compared.
const TAILS: [Work; 5] = [ECHO_1, ECHO_100, ECHO_1000, DOWN_1, OPEN_100];
const MEMORY_MB: f64 = 24.0;
const WRITES: f64 = 0.1;
const DECODE: f64 = 8.0;
const ENCODE: f64 = 5.0;
/// Behind a saturated connection, in milliseconds.
const FLOODED_MS: f64 = 20.0;
/// Over gRPC, to TTHeader Streaming.
const HOPS_TIMES: f64 = 2.0;
/// What is still flat: the noise of such a measurement, about.
const FLAT: f64 = 1.25;

/// Every target.
pub(super) fn judge(findings: &Findings) -> Vec<Row> {
    let mut rows: Vec<Row> = RATIOS.iter().map(|row| ratio(findings, row)).collect();
    rows.extend(TAILS.iter().map(|work| tail(findings, *work)));
    rows.extend([memory(findings), grpc_memory(findings), writes(findings)]);
    rows.extend(codec(findings));
    rows.extend([idle_cancel(findings), flooded_cancel(findings)]);
    rows.extend(HOPS.map(|hops| hops_of_grpc(findings, hops)));
    rows.extend(flat(findings));
    rows
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::Below(bound) => value < bound,
        }
    }

    fn row(self, what: String, value: Option<f64>, show: impl Fn(f64) -> String) -> Row {
        let (word, bound) = match self {
            Self::AtLeast(bound) => ("at least", bound),
            Self::AtMost(bound) => ("at most", bound),
            Self::Below(bound) => ("below", bound),
        };
        let target = format!("{word} {}", show(bound));
        Row { what, target, met: value.is_some_and(|value| self.holds(value)), measured: value.map(show) }
    }
}

fn ratio(findings: &Findings, &(work, one, other, least): &(Work, Pair, Pair, f64)) -> Row {
    let what = format!("{}: {} to {}", work.name(), one.name(), other.name());
    Bound::AtLeast(least).row(what, findings.matrix.ratio(work, one, other), times)
}

fn tail(findings: &Findings, work: Work) -> Row {
    let p99 = |pair| findings.matrix.figure(work, pair).map(|figure| figure.p99);
    let ratio = p99(OURS).zip(p99(TONIC)).map(|(ours, tonic)| ours / tonic);
    Bound::Below(1.0).row(format!("{}: p99, ours to tonic", work.name()), ratio, times)
}

fn memory(findings: &Findings) -> Row {
    let what = "memory of a server that holds 10,000 idle streams".to_owned();
    Bound::AtMost(MEMORY_MB).row(what, held(findings, Peer::Ours), |value| format!("{value:.1} MB"))
}

fn grpc_memory(findings: &Findings) -> Row {
    let (ours, tonic) = (held(findings, Peer::OursGrpc), held(findings, Peer::Tonic));
    let ratio = ours.zip(tonic).map(|(ours, tonic)| ours / tonic.max(1.0));
    Bound::AtMost(1.0).row("the same over gRPC: ours to tonic".to_owned(), ratio, times)
}

/// Megabytes of the server with its idle streams.
fn held(findings: &Findings, peer: Peer) -> Option<f64> {
    let memory = findings.memory.iter().flatten().find(|memory| memory.peer == peer);
    memory.map(|memory| megabytes(memory.held))
}

fn writes(findings: &Findings) -> Row {
    let ours = findings.writes.as_ref().ok().and_then(super::writes::Writes::ours);
    let what = format!("{}: write calls an echo, both ends together", ECHO_100.name());
    Bound::AtMost(WRITES).row(what, ours, |value| format!("{value:.2}"))
}

fn codec(findings: &Findings) -> [Row; 3] {
    let codec = findings.codec.as_ref().ok();
    let ratio = |what| codec.and_then(|codec| codec.ratio(what));
    let allocs = |what| codec.and_then(|codec| Some(codec.ours(what)?.allocs));
    let allocs = allocs("decode").zip(allocs("encode")).map(|(decode, encode)| decode + encode);
    let title = |what: &str| format!("codec: a data frame's header {what}, beside gopkg's");
    [
        Bound::AtLeast(DECODE).row(title("decoded"), ratio("decode"), times),
        Bound::AtLeast(ENCODE).row(title("encoded"), ratio("encode"), times),
        Bound::AtMost(0.0).row("codec: allocations of both in steady state".to_owned(), allocs, |value| {
            format!("{value:.0}")
        }),
    ]
}

fn idle_cancel(findings: &Findings) -> Row {
    let ratio = cancels(findings, Peer::Ours, false)
        .zip(cancels(findings, Peer::Tonic, false))
        .map(|(ours, tonic)| ours.p50 / tonic.p50);
    let what = "cancel to handler, idle connection: median, ours to tonic".to_owned();
    Bound::AtMost(1.0).row(what, ratio, times)
}

fn flooded_cancel(findings: &Findings) -> Row {
    // A handler that was never notified does not count as fast.
    let ours = cancels(findings, Peer::Ours, true).filter(|ours| ours.notified.0 == ours.notified.1);
    let what = "cancel to handler, saturated connection: the slowest of all".to_owned();
    Bound::Below(FLOODED_MS).row(what, ours.map(|ours| ours.worst / 1000.0), |value| format!("{value:.1} ms"))
}

/// Over gRPC beside TTHeader Streaming.
fn hops_of_grpc(findings: &Findings, hops: usize) -> Row {
    let p99 =
        |peer| hop(findings, peer, hops).filter(|one| one.notified.0 == one.notified.1).map(|one| one.p99);
    let ratio = p99(Peer::OursGrpc).zip(p99(Peer::Ours)).map(|(grpc, ours)| grpc / ours.max(1.0));
    let what = format!("cancel through a chain of {hops}, nothing receives: p99, gRPC to TTHeader");
    Bound::AtMost(HOPS_TIMES).row(what, ratio, times)
}

pub(super) fn hop(findings: &Findings, peer: Peer, hops: usize) -> Option<&Hops> {
    findings.hops.iter().flatten().find(|one| (one.peer, one.hops) == (peer, hops))
}

fn flat(findings: &Findings) -> [Row; 2] {
    let found = findings.growth.as_ref().ok();
    let title = |what: &str| format!("cost of a message, {what}");
    let row = |what, value| Bound::AtMost(FLAT).row(title(what), value, times);
    [
        row("10,000 streams to the cheapest of fewer", found.and_then(|found| growth(&found.streams))),
        row("1,000 connections to the cheapest of fewer", found.and_then(|found| growth(&found.connections))),
    ]
}

pub(super) fn cancels(findings: &Findings, peer: Peer, flooded: bool) -> Option<&Cancels> {
    findings.cancels.iter().flatten().find(|one| (one.peer, one.flooded) == (peer, flooded))
}

#[expect(clippy::cast_precision_loss, reason = "memory of a process, shown with one decimal")]
pub(super) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

pub(super) fn times(ratio: f64) -> String {
    format!("{ratio:.2}x")
}
