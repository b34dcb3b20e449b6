//! Which connection a stream gets. Mux: several streams share one. Long: a stream has one to itself and
//! returns it. Short: a stream has one to itself, which is closed with it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use kerrors::Error;

use super::connect::{Shared, Source};
use super::idles::{Exclusive, Idles};
use super::slot::{Dialed, Slot};
use crate::cores::{Place, processors};
use crate::stream::Lease;

/// How streams share connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolKind {
    /// All streams share this many connections (one at least); a new stream gets the least loaded. Threads
    /// of [`Cores`](crate::Cores) have each their own of them, if there are as many.
    Mux(usize),
    /// A stream has a connection to itself, and gives it back when it has ended cleanly.
    Long {
        /// Connections that wait for a stream at most.
        max_idle: usize,
        /// How long one may wait.
        idle_timeout: Duration,
    },
    /// A stream has a connection to itself, and it ends with the stream.
    Short,
}

impl Default for PoolKind {
    /// Mux with one connection a core.
    fn default() -> Self {
        Self::Mux(processors())
    }
}

impl PoolKind {
    /// Long connections: 100 idle at most, for 60 s.
    pub const fn long() -> Self {
        Self::Long { max_idle: 100, idle_timeout: Duration::from_secs(60) }
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
    Mux(Vec<Slot>),
    Long(Arc<Idles>),
    Short,
}

impl Pool {
    pub(super) fn new(source: Source, kind: PoolKind) -> Self {
        let kind = match kind {
            PoolKind::Mux(size) => Kind::Mux((0..size.max(1)).map(|_| Slot::default()).collect()),
            PoolKind::Long { max_idle, .. } => Kind::Long(Arc::new(Idles::new(max_idle))),
            PoolKind::Short => Kind::Short,
        };
        Self { source: Arc::new(source), kind }
    }

    pub(super) async fn get(&self) -> Result<Checkout, Error> {
        let (connection, home) = match &self.kind {
            Kind::Mux(slots) => {
                let connection = get_shared(slots, &self.source).await?;
                return Ok(Checkout { connection, lease: None });
            }
            Kind::Long(idles) => match idles.take() {
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

/// How a client's connections stand. Ping-pong calls' are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Shared connections that are open; of a long pool, those that wait for a stream.
    pub connections: usize,
    /// Streams on shared connections.
    pub streams: usize,
    /// Dials that were tried, those of ping-pong calls too.
    pub dials: u64,
    /// Those of them that failed.
    pub failed_dials: u64,
}

impl Pool {
    pub(super) async fn close(&self) {
        let connections: Vec<Shared> = match &self.kind {
            Kind::Mux(slots) => slots.iter().filter_map(Slot::empty).collect(),
            Kind::Long(idles) => idles.take_all(),
            Kind::Short => Vec::new(),
        };
        connections.iter().for_each(|connection| connection.retire());
        for connection in connections.iter().filter(|connection| connection.live_streams() == 0) {
            connection.closed().await;
        }
    }

    pub(super) fn stats(&self) -> PoolStats {
        let connections: Vec<Shared> = match &self.kind {
            Kind::Mux(slots) => slots.iter().filter_map(Slot::connection).collect(),
            Kind::Long(idles) => idles.all(),
            Kind::Short => Vec::new(),
        };
        let (dials, failed_dials) = self.source.dialer.counts();
        PoolStats {
            connections: connections.iter().filter(|connection| connection.is_open()).count(),
            streams: connections.iter().map(|connection| connection.live_streams()).sum(),
            dials,
            failed_dials,
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Kind::Mux(slots) = &self.kind {
            slots.iter().filter_map(Slot::empty).for_each(|connection| connection.retire());
        }
    }
}

/// How long a stream waits for a connection that is dialed while another one is open.
const DIAL_ALONE: Duration = Duration::from_millis(50);

/// Dials that an opening waits for at most, if each is abandoned.
const MAX_ABANDONED: usize = 3;

/// Returns the connection of the least loaded slot. If it has to be dialed first and that fails, or takes long, any
/// connection that is open serves: an opening fails only if there is none.
async fn get_shared(slots: &[Slot], source: &Arc<Source>) -> Result<Shared, Error> {
    let mut left = MAX_ABANDONED;
    loop {
        let slot = pick(slots);
        if let Some(connection) = slot.open_connection() {
            return Ok(connection);
        }
        left = left.saturating_sub(1);
        let dialed = match (slot.dial(source), open_one(slots)) {
            (Ok(dialed), None) => dialed.await,
            (Ok(dialed), Some(open)) => return Ok(dialed_soon(dialed).await.unwrap_or(open)),
            (Err(_), Some(open)) => return Ok(open),
            (Err(error), None) => return Err(error),
        };
        match (dialed, open_one(slots)) {
            (Ok(Ok(connection)), _) | (Ok(Err(_)) | Err(_), Some(connection)) => return Ok(connection),
            (Ok(Err(error)), None) => return Err(error),
            // Its runtime was shut down, or its task panicked. This caller may have another runtime.
            (Err(_), None) if left > 0 => {}
            (Err(_), None) => {
                return Err(Error::network("the dial was abandoned: its runtime was shut down"));
            }
        }
    }
}

/// Returns what is dialed, unless it fails or takes long. A dial that takes long goes on.
async fn dialed_soon(dialed: Dialed) -> Option<Shared> {
    tokio::time::timeout(DIAL_ALONE, dialed).await.ok()?.ok()?.ok()
}

/// Returns the least loaded connection that is open.
fn open_one(slots: &[Slot]) -> Option<Shared> {
    slots.iter().filter_map(Slot::open_connection).min_by_key(|connection| connection.live_streams())
}

/// Returns the least loaded slot; there is one at least. On a thread of [`Cores`](crate::Cores) one of those that
/// belong to that thread, if there are enough, so that a stream and its connection live on the same.
#[expect(clippy::indexing_slicing, reason = "a pool has one slot at least")]
fn pick(slots: &[Slot]) -> &Slot {
    let (first, step) = match Place::here() {
        Some(Place { index, count }) if count <= slots.len() => (index, count),
        _ => (0, 1),
    };
    let own = slots.iter().skip(first).step_by(step);
    own.min_by_key(|slot| slot.load()).unwrap_or(&slots[0])
}
