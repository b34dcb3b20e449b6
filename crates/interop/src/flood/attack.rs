//! An attack as data: what its connections send, how fast, and whether they read. Knows nothing of sockets.

use crate::dial::Proto;

/// A client that sends what costs it little and a server much.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// The name by which it is chosen.
    pub name: &'static str,
    /// The class of fault, in a line.
    pub class: &'static str,
    /// The transport that it is made over.
    pub proto: Proto,
    /// Number of connections. One that the server closes is opened again.
    pub connections: usize,
    /// Whether it reads what the server sends.
    pub reads: bool,
    /// Units per second of all connections together.
    pub pace: u32,
    /// Number of units of all connections together.
    pub most: u64,
    /// Seconds that it needs to show its effect.
    pub seconds: u64,
    /// Returns a unit of bytes, by the number of its connection and its own number on that connection; without bytes, the
    /// connection sends nothing more.
    pub unit: fn(usize, usize) -> Vec<u8>,
}

impl Attack {
    /// What a row of a table has unless it says otherwise.
    pub(super) const BASE: Self = Self {
        name: "",
        class: "",
        proto: Proto::Tt,
        connections: 1,
        reads: true,
        pace: 1_000,
        most: 1_000_000,
        seconds: 5,
        unit: |_, _| Vec::new(),
    };
}
