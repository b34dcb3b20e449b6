//! How long a cancel takes to the handler at the other end: on a connection that is idle, and behind other
//! streams that send all that their connection takes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::matrix::median;
use super::peers::{Peer, Programs};
use super::scale::Scale;
use crate::Result;
use crate::process::{Lines, Running};

/// Times of one peer's cancels, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cancels {
    pub(super) peer: Peer,
    pub(super) flooded: bool,
    /// Handlers that learned of it, of so many that were to.
    pub(super) notified: (usize, usize),
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) worst: f64,
}

const RUNS: [(Peer, bool); 5] = [
    (Peer::Ours, false),
    (Peer::Kitex, false),
    (Peer::Tonic, false),
    (Peer::Ours, true),
    (Peer::Tonic, true),
];

/// Runs all of them, and again: of each time the median of the rounds.
pub(super) fn run(programs: &Programs, scale: &Scale) -> Result<Vec<Cancels>> {
    let mut rounds = Vec::new();
    for _ in 0..scale.rounds {
        for (peer, flooded) in RUNS {
            let cancels = measure(programs, peer, flooded, scale.cancels)?;
            let how = if flooded { "saturated" } else { "idle" };
            println!(
                "cancel, {how} connection, {}: p50 {:.0} us, worst {:.0} us",
                peer.name(),
                cancels.p50,
                cancels.worst
            );
            rounds.push(cancels);
        }
    }
    Ok(RUNS.iter().filter_map(|run| middle(&rounds, *run)).collect())
}

fn middle(rounds: &[Cancels], run: (Peer, bool)) -> Option<Cancels> {
    let rounds: Vec<&Cancels> = rounds.iter().filter(|one| (one.peer, one.flooded) == run).collect();
    let all = |of: fn(&Cancels) -> f64| median(&rounds.iter().map(|one| of(one)).collect::<Vec<_>>());
    Some(Cancels {
        peer: run.0,
        flooded: run.1,
        notified: rounds.iter().fold((0, 0), |sum, one| (sum.0 + one.notified.0, sum.1 + one.notified.1)),
        p50: all(|one| one.p50)?,
        p99: all(|one| one.p99)?,
        worst: rounds.iter().map(|one| one.worst).reduce(f64::max)?,
    })
}

fn measure(programs: &Programs, peer: Peer, flooded: bool, cancels: usize) -> Result<Cancels> {
    let server = programs.server(peer, Lines::Read)?;
    let addr = server.addr.to_string();
    let count = cancels.to_string();
    let client = match (peer, flooded) {
        (Peer::Ours, true) => {
            let words = programs.words("release/bench-flood", &["--addr", &addr, "--c", &count]);
            Running::start(&words, Lines::Read, &programs.log(peer))?
        }
        (_, true) => programs.client(peer, server.addr, &format!("lat --what flood --c {count}"))?,
        (_, false) => programs.client(peer, server.addr, &format!("lat --what recv --c {count}"))?,
    };
    let until = Instant::now() + Duration::from_secs(30);
    let times = times(&client, &server.running, cancels, until);
    let at = |per_cent| percentile(&times, per_cent);
    let no_cancel = || format!("no handler of {} learned of a cancel", peer.name());
    Ok(Cancels {
        peer,
        flooded,
        notified: (times.len(), cancels),
        p50: at(50).ok_or_else(no_cancel)?,
        p99: at(99).ok_or_else(no_cancel)?,
        worst: at(100).ok_or_else(no_cancel)?,
    })
}

/// The times from each of `count` cancels of `client` to the handler of `server` that was notified, in microseconds, the
/// shortest first. `until`: the end of the wait for the cancels.
pub(super) fn times(client: &Running, server: &Running, count: usize, until: Instant) -> Vec<f64> {
    let canceled = events(client, "cancel", count, until);
    // A handler that is not notified within this time counts as not notified.
    let notified = events(server, "done", count, Instant::now() + Duration::from_secs(6));
    let mut times: Vec<f64> =
        notified.iter().filter_map(|(seq, at)| Some(micros(at.checked_sub(*canceled.get(seq)?)?))).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// The time that so many of a hundred of the sorted `times` do not exceed; `None` if there are none.
pub(super) fn percentile(times: &[f64], per_cent: usize) -> Option<f64> {
    times.get((times.len() * per_cent / 100).min(times.len().saturating_sub(1))).copied()
}

/// When each of `count` streams said `event`; fewer if time is over.
fn events(program: &Running, event: &str, count: usize, until: Instant) -> HashMap<u64, u64> {
    let lines = std::iter::from_fn(|| program.event(event, until).ok().flatten());
    let lines = lines.take(count);
    lines.filter_map(|line| Some((line["seq"].as_u64()?, line["ts"].as_u64()?))).collect()
}

fn micros(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64() * 1e6
}
