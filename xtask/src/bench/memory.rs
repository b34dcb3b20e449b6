//! What idle streams cost a server in memory.

use std::time::{Duration, Instant};

use super::peers::{Peer, Programs};
use crate::Result;
use crate::process::{Lines, pause};

/// Streams that are held, all on one connection.
pub(super) const STREAMS: usize = 10_000;
/// Who holds them.
const PEERS: [Peer; 6] = [Peer::Ours, Peer::OursGrpc, Peer::Kitex, Peer::KitexGrpc, Peer::Tonic, Peer::Bare];
/// How long a server may take to see the last of them.
const SETTLE: Duration = Duration::from_secs(1);

/// Resident bytes of a server with nothing to do, and with streams to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) peer: Peer,
    pub(super) empty: u64,
    pub(super) held: u64,
}

pub(super) fn run(programs: &Programs) -> Result<Vec<Memory>> {
    PEERS.into_iter().map(|peer| measure(programs, peer)).collect()
}

fn measure(programs: &Programs, peer: Peer) -> Result<Memory> {
    let server = programs.server(peer, Lines::Discard)?;
    let empty = server.memory()?;
    let client = programs.client(peer, server.addr, &format!("hold --c {STREAMS} --t 60"))?;
    let held = client.event("held", Instant::now() + Duration::from_secs(60))?;
    held.ok_or_else(|| format!("{} holds no {STREAMS} streams", peer.name()))?;
    pause(SETTLE);
    let held = server.memory()?;
    println!("memory: {}: {} kB, {} kB with {STREAMS} idle streams", peer.name(), empty / 1024, held / 1024);
    Ok(Memory { peer, empty, held })
}
