//! Assigns the connections to one instance to streams. Mux: streams share connections. Long: each stream has an exclusive
//! connection, which goes back to the pool. Short: each stream has an exclusive connection, which is closed
//! with it.

use std::sync::{Arc, Weak};

use kerrors::Error;

use super::connect::{Shared, Source};
use super::idles::{Exclusive, Idles};
use super::shares::Shares;
use super::slot::Slot;
use crate::cores::processors;
use crate::stream::Lease;

/// How streams share connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolKind {
    /// All streams to an instance share this many connections (at least one); a new stream gets the least loaded. If there
    /// are enough, each thread of [`ThreadPerCore`](crate::ThreadPerCore) has its own. If the server accepts no
    /// more streams on any of them, up to 64 more connections are opened.
    Mux(usize),
    /// Each stream has an exclusive connection, and returns it to the pool if it has ended cleanly.
    Long {
        /// Connections that wait for a stream at most; how long is [`ClientConfig::idle_timeout`](super::ClientConfig).
        max_idle: usize,
    },
    /// Each stream has an exclusive connection, which is closed with it.
    Short,
}

impl Default for PoolKind {
    /// Returns [`Mux`](Self::Mux) with one connection per core.
    fn default() -> Self {
        Self::Mux(processors())
    }
}

/// Connections of one client that wait for a stream or a ping-pong call by default.
const MAX_IDLE: usize = 100;

impl PoolKind {
    /// Returns how many connections may wait for a ping-pong call.
    pub(super) fn max_idle_calls(self) -> usize {
        match self {
            Self::Long { max_idle } => max_idle,
            Self::Mux(_) => MAX_IDLE,
            Self::Short => 0,
        }
    }

    /// Returns long connections, of which 100 may wait for a stream.
    pub const fn long() -> Self {
        Self::Long { max_idle: MAX_IDLE }
    }
}

/// A connection for one stream.
pub(super) struct Checkout {
    pub(super) connection: Shared,
    pub(super) lease: Option<Lease>,
}

#[derive(Debug)]
pub(super) struct Pool {
    source: Arc<Source>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Mux(Shares),
    Long(Arc<Idles>),
    Short,
}

impl Pool {
    pub(super) fn new(source: Source, kind: PoolKind) -> Self {
        let kind = match kind {
            PoolKind::Mux(size) => Kind::Mux(Shares::new(size)),
            PoolKind::Long { max_idle } => Kind::Long(Arc::new(Idles::new(max_idle))),
            PoolKind::Short => Kind::Short,
        };
        Self { source: Arc::new(source), kind }
    }

    /// Returns a connection for one stream; `fresh`: not one that has waited for a stream, since another like it was just
    /// lost.
    pub(super) async fn get(&self, fresh: bool) -> Result<Checkout, Error> {
        let (connection, home) = match &self.kind {
            Kind::Mux(shares) => {
                let connection = shares.get(&self.source).await?;
                return Ok(Checkout { connection, lease: None });
            }
            Kind::Long(idles) => match (!fresh).then(|| idles.take()).flatten() {
                Some(connection) => (connection, Arc::downgrade(idles)),
                None => (self.source.connect().await?, Arc::downgrade(idles)),
            },
            Kind::Short => (self.source.connect().await?, Weak::new()),
        };
        let source = self.source.clone();
        let lease = Exclusive { connection: connection.clone(), source, home };
        Ok(Checkout { connection, lease: Some(Box::new(lease)) })
    }
}

/// The state of a client's connections and instances. Connections of ping-pong calls are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Open shared connections; of a long pool, idle connections.
    pub connections: usize,
    /// Streams on shared connections.
    pub streams: usize,
    /// Dials, including those of ping-pong calls.
    pub dials: u64,
    /// Dials that failed.
    pub failed_dials: u64,
    /// Instances of the service, as last discovered: 0 before the first call.
    pub instances: usize,
    /// Of these, the ones that could not be reached when they were dialed last, or have closed their connections.
    pub unreachable_instances: usize,
    /// Of these, the ones that are ejected since their streams and calls kept failing.
    pub ejected_instances: usize,
    /// Ejections of instances whose streams and calls kept failing.
    pub ejections: u64,
    /// Streams and calls that were tried again, as [`Retry`](super::Retry) says, each time counted.
    pub retries: u64,
}

impl Pool {
    /// Returns whether there is a connection that needs no dial.
    pub(super) fn has_open(&self) -> bool {
        match &self.kind {
            Kind::Mux(shares) => shares.has_open(),
            Kind::Long(idles) => idles.all().iter().any(|connection| connection.is_open()),
            Kind::Short => false,
        }
    }

    /// Returns whether all connections that are shared, or wait for a stream, were closed or take no more streams.
    pub(super) fn is_left(&self) -> bool {
        !matches!(self.kind, Kind::Short) && !self.has_open()
    }

    /// Retires every connection: the instance is gone.
    pub(super) fn retire(&self) {
        self.source.retire();
    }

    /// Removes and retires the pooled connections, and returns them.
    pub(super) fn close(&self) -> Vec<Shared> {
        let connections: Vec<Shared> = match &self.kind {
            Kind::Mux(shares) => shares.all().iter().filter_map(Slot::empty).collect(),
            Kind::Long(idles) => idles.take_all(),
            Kind::Short => Vec::new(),
        };
        connections.iter().for_each(|connection| connection.retire());
        connections
    }

    /// Adds the connections of this pool to `stats`.
    pub(super) fn add_to(&self, stats: &mut PoolStats) {
        let connections: Vec<Shared> = match &self.kind {
            Kind::Mux(shares) => shares.all().iter().filter_map(Slot::connection).collect(),
            Kind::Long(idles) => idles.all(),
            Kind::Short => Vec::new(),
        };
        let open = connections.iter().filter(|connection| connection.is_open()).count();
        let streams = connections.iter().map(|connection| connection.live_streams()).sum::<usize>();
        stats.connections = stats.connections.saturating_add(open);
        stats.streams = stats.streams.saturating_add(streams);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Kind::Mux(shares) = &self.kind {
            shares.all().iter().filter_map(Slot::empty).for_each(|connection| connection.retire());
        }
    }
}
