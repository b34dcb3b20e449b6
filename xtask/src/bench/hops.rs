//! How long a cancel takes through a chain of services, over each of our transports, while nothing receives.

use std::time::{Duration, Instant};

use super::cancel::{percentile, times};
use super::matrix::median;
use super::peers::{Peer, Programs};
use super::scale::Scale;
use crate::Result;
use crate::process::{Lines, Server};

/// Times of one transport's cancels through so many servers, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hops {
    pub(super) peer: Peer,
    pub(super) hops: usize,
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// Handlers of the last server that were notified, of so many that were to.
    pub(super) notified: (usize, usize),
}

/// Servers of the chains.
pub(super) const HOPS: [usize; 3] = [1, 3, 5];
/// What is compared.
pub(super) const PEERS: [Peer; 2] = [Peer::Ours, Peer::OursGrpc];

/// Runs all of them, and again: of each time the median of the rounds.
pub(super) fn run(programs: &Programs, scale: &Scale) -> Result<Vec<Hops>> {
    let mut rounds = Vec::new();
    for _ in 0..scale.rounds {
        for hops in HOPS {
            for peer in PEERS {
                let one = measure(programs, peer, hops, scale.cancels)?;
                println!(
                    "cancel over {hops} hops, {}: p50 {:.0} us, p99 {:.0} us",
                    peer.name(),
                    one.p50,
                    one.p99
                );
                rounds.push(one);
            }
        }
    }
    let chains = HOPS.into_iter().flat_map(|hops| PEERS.map(|peer| (peer, hops)));
    Ok(chains.filter_map(|(peer, hops)| middle(&rounds, peer, hops)).collect())
}

fn middle(rounds: &[Hops], peer: Peer, hops: usize) -> Option<Hops> {
    let rounds: Vec<&Hops> = rounds.iter().filter(|one| (one.peer, one.hops) == (peer, hops)).collect();
    let all = |of: fn(&Hops) -> f64| median(&rounds.iter().map(|one| of(one)).collect::<Vec<_>>());
    let notified = rounds.iter().fold((0, 0), |sum, one| (sum.0 + one.notified.0, sum.1 + one.notified.1));
    Some(Hops { peer, hops, p50: all(|one| one.p50)?, p99: all(|one| one.p99)?, notified })
}

fn measure(programs: &Programs, peer: Peer, hops: usize, cancels: usize) -> Result<Hops> {
    // The last server first: each calls the one before it here.
    let mut servers: Vec<Server> = Vec::new();
    for at in (1..=hops).rev() {
        let (name, next) = (name(at), servers.last().map(|next| (next.addr, self::name(at + 1))));
        let lines = if next.is_none() { Lines::Read } else { Lines::Discard };
        servers.push(programs.server_in_chain(peer, lines, &name, next)?);
    }
    let (Some(first), Some(last)) = (servers.last(), servers.first()) else {
        return Err("no servers".into());
    };
    let words = format!("lat --what norecv --c {cancels} --self ServiceA --name {}", name(1));
    let client = programs.client(peer, first.addr, &words)?;
    let until = Instant::now() + Duration::from_secs(60);
    let times = times(&client, &last.running, cancels, until);
    let (Some(p50), Some(p99)) = (percentile(&times, 50), percentile(&times, 99)) else {
        return Err(format!("no handler of {} learned of a cancel over {hops} hops", peer.name()).into());
    };
    Ok(Hops { peer, hops, p50, p99, notified: (times.len(), cancels) })
}

/// `ServiceB` is the first server.
fn name(at: usize) -> String {
    let letter = u8::try_from(at).map_or('?', |at| char::from(b'A'.saturating_add(at)));
    format!("Service{letter}")
}
