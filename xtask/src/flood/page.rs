//! The figures as a page. Knows no number that is not of the run, except the goals.

use super::run::{Attack, Figures, Latencies, MOST_MEMORY, Row, SERVERS, Target};
use crate::machine::{Machine, cores};

/// Megabytes above the start.
const MEMORY_GOAL: u64 = 64;
/// Times the p99 before.
const TAIL_GOAL: f64 = 2.0;
const MB: u64 = 1_000_000;

const OPENING: &str = "# What attacks cost a server

`cargo xtask flood --out docs/flood.md` writes this page. It starts a server, lets one client echo small messages on a connection
of its own and call on new connections, and attacks the server from a third process for some seconds. It does so for each row
below, with our server and with the same program on real Kitex (v0.16.3). All limits are the defaults. The attacks
are rows of `crates/interop/src/flood`; they run against loopback only. While a server is left alone for 5 s after its attack, the
next one is started and measured.

An attack on a machine with two cores also takes processor time from the server and its other clients, which an attack from
another machine does not. So its program runs with the policy `SCHED_IDLE`, on a core that is otherwise idle, and each attack is
throttled: at most 60 MB and 33,000 streams per second, which takes a fraction of a core. The column \"cores\" is what server and attack used
together.

Goals: at most 64 MB above the start, and where a core is left, other clients' p99 at most doubled.

- memory: resident memory of the server above its start, at the peak and 5 s after the attack.
- p50, p99: latency of an echo of the other client before and during the attack, in microseconds.
- failed: calls of the other client that failed or took more than 5 s, during the attack and after it.
- closed: connections of the attack that the server has closed, of those that were opened. The attack opens a closed
  connection again.
- goals: which of the goals for memory and p99 were met; nothing for p99 if no core was left.
";
const LIMITED: &str = "## With a memory budget

The attacks whose memory missed the goal, made again on our server with a `memory_budget` of 64 MB. From 80 % of it on, streams and
calls of all clients are refused: those of the other client count as failed. A client that knows another server makes them there.
Neither what handlers hold themselves counts, nor what the allocator keeps.

";
const OURS: &str = "## Where ours misses a goal\n\n";
const SECTIONS: [(&str, &str); 2] =
    [("tt", "## TTHeader Streaming and ping-pong calls"), ("grpc", "## gRPC")];

/// The page of a run of so many attacks.
pub(super) fn page(machine: &Machine, rows: &[Row], attacks: usize, debug: bool) -> String {
    let mut out = OPENING.to_owned();
    let of = |server| rows.iter().filter(move |row| row.server == server);
    let measured = of(Target::Kitex).count();
    if measured < attacks {
        out += &format!("\nThe run was ended early: {measured} of {attacks} attacks were measured.\n");
    }
    if debug {
        out += "\nThe programs of this run were not optimized: it shows nothing of latencies.\n";
    }
    out += &format!("\n{}.\n", capital(&summary(rows)));
    for (proto, title) in SECTIONS {
        let is_shown = |row: &&Row| row.attack.proto == proto && row.server != Target::Limited;
        let rows: Vec<&Row> = rows.iter().filter(is_shown).collect();
        if !rows.is_empty() {
            out += &format!("\n{title}\n\n{}", table(&rows));
        }
    }
    let limited: Vec<&Row> = of(Target::Limited).collect();
    if !limited.is_empty() {
        out += &format!("\n{LIMITED}{}", table(&limited));
    }
    out += &format!("\n{OURS}{}", include_str!("misses.md"));
    out += &format!("\n## Environment\n\nMeasured on {}.\n\n| | |\n|---|---|\n", machine.date);
    for (name, value) in machine.facts.iter().filter(|(name, _)| SHOWN.contains(name)) {
        out += &format!("| {name} | {value} |\n");
    }
    out
}

/// The name of the machine's load.
pub(super) const LOAD: &str = "load average at the start";
const SHOWN: [&str; 8] = ["processor", "memory", "system", "Rust", "Go", "Kitex", "this workspace", LOAD];

fn table(rows: &[&Row]) -> String {
    let mut out = "| attack | server | memory at the peak | 5 s after | p50 before, during | p99 before, during | p99 | failed | \
                   closed | cores | goals |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---|\n"
        .to_owned();
    for row in rows {
        let Figures { before, during, failed, opened, closed, cores, .. } = &row.figures;
        let cells = [
            row.attack.class.clone(),
            name(row.server).to_owned(),
            peak(&row.figures),
            after(&row.figures),
            pair(before.p50, during.p50),
            pair(before.p99, during.p99),
            tail(before, during).map_or_else(String::new, |ratio| format!("{ratio:.1}x")),
            failed.to_string(),
            format!("{closed} of {opened}"),
            format!("{cores:.1}"),
            goals(&row.figures),
        ];
        out += &format!("| {} |\n", cells.join(" | "));
    }
    out
}

/// A line of progress.
pub(super) fn line(server: Target, figures: &Figures) -> String {
    let Figures { before, during, failed, opened, closed, cores, .. } = figures;
    format!(
        "{}: {} at the peak, {} after; p50 {}, p99 {}; {failed} failed; {closed} of {opened} closed; {cores:.1} cores: {}",
        name(server),
        peak(figures),
        after(figures),
        pair(before.p50, during.p50),
        pair(before.p99, during.p99),
        goals(figures),
    )
}

/// How many rows meet the goals.
pub(super) fn summary(rows: &[Row]) -> String {
    let count = |server, met: fn(&Figures) -> Option<bool>| {
        let judged: Vec<bool> =
            rows.iter().filter(|row| row.server == server).filter_map(|row| met(&row.figures)).collect();
        format!("{} of {}", judged.iter().filter(|met| **met).count(), judged.len())
    };
    let line = |server| {
        let (memory, tail) = (count(server, |figures| Some(memory_met(figures))), count(server, tail_met));
        format!("{}: memory {memory}, p99 {tail}", name(server))
    };
    format!("goals met by {}", SERVERS.map(line).join("; by "))
}

/// The attacks whose memory missed the goal on our server.
pub(super) fn missed(rows: &[Row]) -> Vec<Attack> {
    let missed = rows.iter().filter(|row| row.server == Target::Ours && !memory_met(&row.figures));
    missed.map(|row| row.attack.clone()).collect()
}

fn capital(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    first.to_uppercase() + rest
}

fn name(server: Target) -> &'static str {
    match server {
        Target::Ours => "ours",
        Target::Kitex => "Kitex",
        Target::Limited => "ours, 64 MB",
    }
}

fn peak(figures: &Figures) -> String {
    let more = if figures.stopped { "more than " } else { "" };
    format!("{more}{} MB", figures.peak.min(MOST_MEMORY) / MB)
}

fn after(figures: &Figures) -> String {
    figures.after.map_or_else(|| "it has ended".to_owned(), |after| format!("{} MB", after / MB))
}

fn pair(before: Option<u64>, during: Option<u64>) -> String {
    let text = |micros: Option<u64>| micros.map_or_else(|| "none".to_owned(), |micros| micros.to_string());
    format!("{}, {}", text(before), text(during))
}

#[expect(clippy::cast_precision_loss, reason = "latencies, shown with one decimal")]
fn tail(before: &Latencies, during: &Latencies) -> Option<f64> {
    Some(during.p99? as f64 / before.p99?.max(1) as f64)
}

fn memory_met(figures: &Figures) -> bool {
    figures.peak <= MEMORY_GOAL * MB && figures.after.is_some()
}

/// Nothing if no core was left.
fn tail_met(figures: &Figures) -> Option<bool> {
    let is_core_left = u32::try_from(cores()).is_ok_and(|cores| figures.cores + 1.0 <= f64::from(cores));
    let within = || tail(&figures.before, &figures.during).is_some_and(|ratio| ratio <= TAIL_GOAL);
    is_core_left.then(within)
}

fn goals(figures: &Figures) -> String {
    let met = |met: bool| if met { "met" } else { "**missed**" };
    let tail = tail_met(figures).map_or_else(String::new, |tail| format!(", p99 {}", met(tail)));
    format!("memory {}{tail}", met(memory_met(figures)))
}
