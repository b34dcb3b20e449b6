//! What was measured, as a page: ratios first, figures last. Knows no number that is not in the run.

use super::findings::Run;
use super::growth::Point;
use super::judge::{MIXED, Row, cancels, megabytes, times};
use super::memory::STREAMS;
use super::peers::{Pair, Peer};
use super::works::{
    BARE, BARE_CURRENT, FROM_KITEX, KITEX, KITEX_GRPC, KITEX_GRPC_POOL, OURS, OURS_BUSY, OURS_CORES,
    OURS_GRPC, OURS_GRPC_POOL, PAIRS, TO_KITEX, TONIC, WORKS, Work,
};
use crate::number::thousands;

/// The page.
pub(super) fn document(run: &Run, rows: &[Row]) -> String {
    let parts = [
        opening(run, rows),
        section("Targets", "", &targets(rows)),
        section("What limits throughput", include_str!("limits.md"), ""),
        section("Ratios", "Throughput relative to each peer (higher is better).", &ratios(run)),
        section("gRPC", GRPC, &grpc(run)),
        section("gRPC with default pools", GRPC_POOLS, &grpc_pools(run)),
        section("A runtime per core", CORES, &option(run, OURS_CORES)),
        section("Busy polling", BUSY, &option(run, OURS_BUSY)),
        section("Kitex at one end", ONE_END, &one_end(run)),
        section("Tail latency", "p99 latency of an operation, in microseconds.", &tails(run)),
        section("Memory", MEMORY, &measured(run.findings.memory.as_deref(), memory)),
        section("Write calls", &writes_note(run), &writes(run)),
        section("Cancel", CANCEL, &cancel(run)),
        section("Cancel through a chain", HOPS_TEXT, &hops(run)),
        section("Codec", CODEC, &codec(run)),
        section("Growth", GROWTH, &growth(run)),
        section("What was measured", WHAT, ""),
        section("Environment", "", &machine(run)),
        section("Reproduce", AGAIN, &commands(run)),
        section("All figures", ALL, &figures(run)),
        failures(run),
    ];
    parts.concat()
}

const GRPC: &str =
    "Throughput and p99 of ours over gRPC (`--proto grpc`), relative to Kitex over gRPC and to tonic.";
const GRPC_POOLS: &str = "The other figures on this page are with one connection, unless they say otherwise. A client of ours \
    opens one connection for each core by default (`ClientBuilder::pool`), one of Kitex one and a half for each processor; \
    tonic's channel has one.";
const CORES: &str = "Throughput relative to each peer when both ends of ours use `kitex::ThreadPerCore`: a \
    single-threaded runtime per core, with one connection each (`--cores 0`). This is an option, because \
    no other core takes over from one whose handler computes. Everything else on this page uses one runtime \
    for all cores, which is the default.";
const BUSY: &str = "Throughput relative to each peer when the connections at both ends of ours spin for \
    100 us after each read before they park (`SocketConfig::busy_poll`, `--busy-poll 100`). This is an \
    option, because a spinning core is busy.";
const ONE_END: &str = "Throughput relative to Kitex at both ends.";
const MEMORY: &str = "Resident memory (VmRSS) of the server process: before the first connection, and \
    with 10,000 idle streams on one connection, each with its handler.";
const CANCEL: &str = "Time in microseconds from the cancel, or the drop, in the client process until the \
    handler in the server process is notified. The streams wait for a message that is never sent. \
    Saturated: eight other streams of the same connection send 16 KiB messages as fast as possible. \
    Median and p99 are medians of the rounds; \"slowest\" is the slowest of all.";
const HOPS_TEXT: &str = "Time in microseconds from the cancel in the client process until the handler of the last \
    service is notified, through so many services, each a process. Nothing receives at the client. Medians of the \
    rounds.";
const CODEC: &str = "The header of a data frame of 1 KiB: the fastest of fifteen batches, the median of \
    the rounds. gopkg's row \"encode\" keeps one map of the header's pairs for all frames, which is in \
    its favor; \"encode pairs\" makes a map for each frame, as Kitex does, and is compared with our \
    encoder without the template shared by a method's frames.";
const GROWTH: &str = "Processor time of client and server together for one echo, with 256 messages in \
    flight, whatever the number of streams: up to 16 tasks iterate over all streams, send a share of the \
    window on one and read as many responses. Streams: all on one connection. Connections: one stream \
    each.";
const WHAT: &str = "Two processes on the loopback interface of one machine; both ends of each \
pair use all its cores. A payload is 1 KiB; a message has a string, an integer and the payload. All \
streams share one connection, except for growth, for a runtime per core and for default pools. Server and client are \
restarted for each run. A round runs one workload with all pairs before the next workload, so that other \
load on the machine affects all pairs alike. Figures are medians of the rounds.

- echo: each of C tasks has one Bidi stream, sends a message and waits for its response. An operation is \
both.
- echo, one core: the same with both programs on one core (`taskset -c 0`), without wake-ups of idle \
cores: the processor time of an echo.
- down: one endless Down stream; an operation is one message received.
- open: a Down stream of one message, from the open to the end of the stream, repeatedly.
- unary: a call without a stream. Ours uses TTHeader, Kitex framed Thrift, tonic HTTP/2; only tonic's \
calls share a connection.

Ours and Kitex: `lab-peer` and the same program on Kitex (`crates/interop`), with their defaults, all \
limits and accounting on. tonic: `tonic-peer` (`crates/bench`), Protobuf with the same fields, \
TCP_NODELAY, windows of 1 MiB per stream and 16 MiB per connection, payloads that are not copied. All \
three print one line to `/dev/null` when the handler of a stream ends. The bare loop (`bare`, \
`crates/bench`) is the upper bound for this wire format: real frames and the real Thrift struct, decoded \
and encoded at both ends, all messages of one read answered in one write, and none of an RPC's work: no \
stream state, no limit, no task to wake, no handler, no cancel.";
const AGAIN: &str = "`cargo xtask bench` writes this page; `cargo xtask bench --quick` takes a minute \
    and writes to `target/bench`. The commands:";
const ALL: &str = "Operations per second, p50 and p99 in microseconds, and the spread of the rounds.";

fn opening(run: &Run, rows: &[Row]) -> String {
    let met = rows.iter().filter(|row| row.met).count();
    let quick = if run.scale.quick { " A quick run: one short round, not reliable." } else { "" };
    format!(
        "# Performance\n\nOurs, Kitex, tonic and a bare loop in one run of {}, {} rounds of {} s for each workload: \
         {met} of {} targets are met.{quick} All numbers on this page are from that run; `cargo xtask bench` \
         replaces them.\n\n![Throughput, tails and growth](performance.svg)\n",
        run.machine.date,
        run.scale.rounds,
        run.scale.seconds,
        rows.len(),
    )
}

fn section(title: &str, text: &str, body: &str) -> String {
    let parts = [text, body].into_iter().filter(|part| !part.is_empty());
    let parts: Vec<&str> = parts.map(str::trim_end).collect();
    format!("\n## {title}\n\n{}\n", parts.join("\n\n"))
}

/// The table of targets.
pub(super) fn targets(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let measured = row.measured.clone().unwrap_or_else(|| "not measured".to_owned());
        [row.what.clone(), row.target.clone(), measured, if row.met { "yes" } else { "**no**" }.to_owned()]
    };
    table(["", "target", "measured", "met"], rows.iter().map(line))
}

fn ratios(run: &Run) -> String {
    let to = |work: Work, pair| show(run.findings.matrix.ratio(work, OURS, pair), times);
    let line =
        |work: Work| [work.name(), to(work, KITEX), to(work, TONIC), to(work, BARE), to(work, BARE_CURRENT)];
    let head = ["", "to Kitex", "to tonic", "to the bare loop", "to the bare loop, one thread"];
    table(head, WORKS.into_iter().map(line))
}

fn grpc(run: &Run) -> String {
    let to = |work: Work, pair| show(run.findings.matrix.ratio(work, OURS_GRPC, pair), times);
    let p99 =
        |work: Work, pair| show(run.findings.matrix.figure(work, pair).map(|figure| figure.p99), micros);
    let line = |work: Work| {
        let tails = [OURS_GRPC, KITEX_GRPC, TONIC].map(|pair| p99(work, pair));
        let [ours, kitex, tonic] = tails;
        [work.name(), to(work, KITEX_GRPC), to(work, TONIC), to(work, OURS), ours, kitex, tonic]
    };
    let head = ["", "to Kitex", "to tonic", "to TTHeader Streaming", "p99, us", "Kitex's", "tonic's"];
    table(head, WORKS.into_iter().map(line))
}

fn grpc_pools(run: &Run) -> String {
    let to = |work: Work, pair| show(run.findings.matrix.ratio(work, OURS_GRPC_POOL, pair), times);
    let p99 = |work: Work, pair| Some(micros(run.findings.matrix.figure(work, pair)?.p99));
    let line = |work: Work| {
        let (ours, kitex) = (p99(work, OURS_GRPC_POOL)?, p99(work, KITEX_GRPC_POOL)?);
        Some([work.name(), to(work, KITEX_GRPC_POOL), to(work, TONIC), to(work, OURS_GRPC), ours, kitex])
    };
    let head = ["", "to Kitex", "to tonic", "to ours with one connection", "p99, us", "Kitex's"];
    table(head, WORKS.into_iter().filter_map(line))
}

/// One of ours that is not the default.
fn option(run: &Run, ours: Pair) -> String {
    let to = |work: Work, pair| show(run.findings.matrix.ratio(work, ours, pair), times);
    let line = |work: Work| {
        let p99 = micros(run.findings.matrix.figure(work, ours)?.p99);
        Some([work.name(), to(work, OURS), to(work, KITEX), to(work, TONIC), to(work, BARE), p99])
    };
    let head = ["", "to the default", "to Kitex", "to tonic", "to the bare loop", "p99, us"];
    table(head, WORKS.into_iter().filter_map(line))
}

fn one_end(run: &Run) -> String {
    let to = |work: Work, pair| {
        let mark = |ratio| format!("{}{}", times(ratio), if ratio < MIXED { " (below)" } else { "" });
        show(run.findings.matrix.ratio(work, pair, KITEX), mark)
    };
    let line = |work: Work| [work.name(), to(work, TO_KITEX), to(work, FROM_KITEX)];
    table(["", "ours calls Kitex", "Kitex calls ours"], WORKS.into_iter().map(line))
}

fn tails(run: &Run) -> String {
    let p99 =
        |work: Work, pair| show(run.findings.matrix.figure(work, pair).map(|figure| figure.p99), micros);
    let line =
        |work: Work| [work.name(), p99(work, OURS), p99(work, TONIC), p99(work, KITEX), p99(work, BARE)];
    table(["", "ours", "tonic", "Kitex", "bare loop"], WORKS.into_iter().map(line))
}

fn memory(memory: &[super::memory::Memory]) -> String {
    let line = |one: &super::memory::Memory| {
        let grown = megabytes(one.held.saturating_sub(one.empty));
        let streams = f64::from(u32::try_from(STREAMS).unwrap_or(u32::MAX));
        let each = format!("{:.0} bytes", grown * 1e6 / streams);
        let show = |bytes| format!("{:.1} MB", megabytes(bytes));
        [one.peer.name().to_owned(), show(one.held), show(one.empty), each]
    };
    table(["", "with 10,000 idle streams", "without", "per stream"], memory.iter().map(line))
}

fn writes_note(run: &Run) -> String {
    let how = run.findings.writes.as_ref().map(|writes| writes.how).unwrap_or_default();
    format!("write, writev, sendto and sendmsg for one echo at C=100: {how}.")
}

fn writes(run: &Run) -> String {
    measured(run.findings.writes.as_ref(), |writes| {
        let line = |&(peer, client, server): &(Peer, f64, f64)| {
            let show = |calls: f64| format!("{calls:.3}");
            [peer.name().to_owned(), show(client + server), show(client), show(server)]
        };
        table(["", "per echo", "by the client", "by the server"], writes.peers.iter().map(line))
    })
}

fn cancel(run: &Run) -> String {
    measured(run.findings.cancels.as_ref(), |_| {
        let line = |(peer, flooded)| {
            let one = cancels(&run.findings, peer, flooded)?;
            let how = if flooded { "saturated" } else { "idle" };
            let notified = format!("{} of {}", one.notified.0, one.notified.1);
            let name = format!("{}, {how} connection", peer.name());
            Some([name, micros(one.p50), micros(one.p99), micros(one.worst), notified])
        };
        let rows = [false, true].into_iter().flat_map(|flooded| {
            [Peer::Ours, Peer::Tonic, Peer::Kitex].into_iter().filter_map(move |peer| line((peer, flooded)))
        });
        table(["", "median", "p99", "slowest", "handlers notified"], rows)
    })
}

fn hops(run: &Run) -> String {
    measured(run.findings.hops.as_ref(), |hops| {
        let line = |one: &super::hops::Hops| {
            let notified = format!("{} of {}", one.notified.0, one.notified.1);
            [one.peer.name().to_owned(), one.hops.to_string(), micros(one.p50), micros(one.p99), notified]
        };
        table(["", "services", "median", "p99", "handlers notified"], hops.iter().map(line))
    })
}

fn codec(run: &Run) -> String {
    measured(run.findings.codec.as_ref(), |codec| {
        let line = |ours: &super::codec::Timing| {
            let gopkg = codec.gopkg(&ours.what);
            [
                ours.what.clone(),
                show(codec.ratio(&ours.what), times),
                format!("{:.1} ns", ours.ns),
                show(gopkg.map(|gopkg| gopkg.ns), |ns| format!("{ns:.1} ns")),
                format!("{:.0}", ours.allocs),
                show(gopkg.map(|gopkg| gopkg.allocs), |allocs| format!("{allocs:.0}")),
            ]
        };
        let head = ["", "times as fast", "ours", "gopkg", "our allocations", "gopkg's"];
        table(head, codec.ours.iter().map(line))
    })
}

fn growth(run: &Run) -> String {
    measured(run.findings.growth.as_ref(), |growth| {
        let curve = |title: &'static str, points: &[Point]| {
            let cheapest = points.iter().map(|point| point.cost).reduce(f64::min).unwrap_or(1.0);
            let line = |point: &Point| {
                let cost = format!("{:.2} us", point.cost / 1000.0);
                [point.count.to_string(), times(point.cost / cheapest), cost, per_second(point.ops)]
            };
            table(
                [title, "relative to the cheapest", "per echo", "echoes per second"],
                points.iter().map(line),
            )
        };
        format!("{}\n{}", curve("streams", &growth.streams), curve("connections", &growth.connections))
    })
}

fn machine(run: &Run) -> String {
    let date = ["date".to_owned(), run.machine.date.clone()];
    let took = ["the run took".to_owned(), format!("{} min", run.took.as_secs().div_ceil(60))];
    let facts = run.machine.facts.iter().map(|(name, value)| [(*name).to_owned(), value.clone()]);
    table(["", ""], [date].into_iter().chain(facts).chain([took]))
}

fn commands(run: &Run) -> String {
    let lines = run.built_by.iter().chain(&run.started_with);
    lines.map(|line| format!("    {line}\n")).collect()
}

fn figures(run: &Run) -> String {
    let cells = WORKS.into_iter().flat_map(|work| PAIRS.into_iter().map(move |pair| (work, pair)));
    let line = |(work, pair): (Work, Pair)| {
        let figure = run.findings.matrix.figure(work, pair)?;
        let spread = format!("{:.0} %", 100.0 * figure.spread);
        Some([
            work.name(),
            pair.name(),
            per_second(figure.ops),
            micros(figure.p50),
            micros(figure.p99),
            spread,
        ])
    };
    table(["", "", "per second", "p50", "p99", "spread"], cells.filter_map(line))
}

fn failures(run: &Run) -> String {
    let failures = &run.findings.matrix.failures;
    if failures.is_empty() {
        return String::new();
    }
    let lines: String = failures.iter().map(|failure| format!("- {failure}\n")).collect();
    section("What did not run", "Each was tried twice.", &lines)
}

/// What was measured, or why it was not.
fn measured<T: ?Sized>(measured: Result<&T, &String>, show: impl FnOnce(&T) -> String) -> String {
    measured.map_or_else(|reason| format!("Not measured: {reason}."), show)
}

fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|---|{}\n", "---:|".repeat(N - 1));
    let rows: String = rows.into_iter().map(|row| line(&row)).collect();
    line(&head.map(str::to_owned)) + &rule + &rows
}

fn show(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(String::new, show)
}

fn micros(micros: f64) -> String {
    if micros < 100.0 { format!("{micros:.1}") } else { thousands(micros) }
}

fn per_second(ops: f64) -> String {
    thousands(ops)
}
