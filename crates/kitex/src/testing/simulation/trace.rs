//! What has happened in a simulation, in order: the latest events as text, and a hash of all.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::connection::Packet;

/// The number of events, and of notes among all events, that are kept as text.
const KEPT: usize = 1024;

/// The events of a simulation.
#[derive(Debug)]
pub(super) struct Trace {
    latest: VecDeque<(Duration, Event)>,
    /// Arrivals are many more: these are kept longer.
    notes: VecDeque<(Duration, Event)>,
    hash: u64,
}

/// One event.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A fault, a dial, or a line of the scenario.
    Note(String),
    /// A packet arrived: of this connection, at its client or its server.
    Arrived { connection: u64, at_server: bool, kind: &'static str, bytes: usize },
}

impl Default for Trace {
    fn default() -> Self {
        // The start of FNV-1a.
        Self { latest: VecDeque::new(), notes: VecDeque::new(), hash: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Trace {
    pub(super) fn note(&mut self, at: Duration, text: String) {
        self.add(at, text.as_bytes());
        keep(&mut self.notes, at, Event::Note(text.clone()));
        keep(&mut self.latest, at, Event::Note(text));
    }

    pub(super) fn arrived(&mut self, at: Duration, connection: u64, at_server: bool, packet: &Packet) {
        let (kind, bytes): (_, &[u8]) = match packet {
            Packet::Bytes(bytes) => ("bytes", bytes),
            Packet::End => ("end", &[]),
            Packet::Reset => ("reset", &[]),
        };
        self.add(at, kind.as_bytes());
        self.add(at, &connection.to_le_bytes());
        self.add(at, &[u8::from(at_server)]);
        self.add(at, bytes);
        keep(&mut self.latest, at, Event::Arrived { connection, at_server, kind, bytes: bytes.len() });
    }

    pub(super) fn fingerprint(&self) -> u64 {
        self.hash
    }

    /// Returns the latest events as lines, the oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.latest.iter().map(line).collect()
    }

    /// Returns the latest notes as lines, the oldest first.
    pub(super) fn notes(&self) -> Vec<String> {
        self.notes.iter().map(line).collect()
    }

    /// FNV-1a.
    fn add(&mut self, at: Duration, bytes: &[u8]) {
        for byte in at.as_millis().to_le_bytes().iter().chain(bytes) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn keep(events: &mut VecDeque<(Duration, Event)>, at: Duration, event: Event) {
    if events.len() == KEPT {
        events.pop_front();
    }
    events.push_back((at, event));
}

fn line((at, event): &(Duration, Event)) -> String {
    format!("{:>6} ms  {event}", at.as_millis())
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(text) => f.write_str(text),
            Self::Arrived { connection, at_server, kind, bytes } => {
                let end = if *at_server { "server" } else { "client" };
                write!(f, "connection {connection}: {kind} at the {end}, {bytes} bytes")
            }
        }
    }
}
