//! Which connection a stream gets. Mux: several streams share one. Long: a stream has one to itself and
//! returns it. Short: a stream has one to itself, which is closed with it.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::Duration;

use kerrors::Error;
use tokio::sync::oneshot;

use crate::cores::{Place, processors};
use crate::dial::Dialer;
use crate::stream::Lease;
use crate::sync::Mutex;
use crate::transport::{Connection, Transport};

/// A connection of any transport.
type Shared = Arc<dyn Connection>;

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

/// Makes the connections of a pool.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) dialer: Arc<Dialer>,
    pub(super) transport: Arc<dyn Transport>,
    /// The longest time that a connection may have no stream.
    pub(super) idle_timeout: Duration,
}

impl Connector {
    async fn connect(&self) -> Result<Shared, Error> {
        self.transport.connect(self.dialer.dial().await?, self.idle_timeout).await
    }
}

#[derive(Debug)]
pub(super) struct Pool {
    connector: Arc<Connector>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Mux(Vec<Arc<Mutex<Slot>>>),
    Long(Arc<Idles>),
    Short,
}

impl Pool {
    pub(super) fn new(connector: Connector, kind: PoolKind) -> Self {
        let kind = match kind {
            PoolKind::Mux(size) => Kind::Mux((0..size.max(1)).map(|_| Arc::default()).collect()),
            PoolKind::Long { max_idle, .. } => {
                Kind::Long(Arc::new(Idles { connections: Mutex::default(), max_idle }))
            }
            PoolKind::Short => Kind::Short,
        };
        Self { connector: Arc::new(connector), kind }
    }

    pub(super) async fn get(&self) -> Result<Checkout, Error> {
        let (connection, home) = match &self.kind {
            Kind::Mux(slots) => {
                let connection = Slot::get(pick(slots), &self.connector).await?;
                return Ok(Checkout { connection, lease: None });
            }
            Kind::Long(idles) => match idles.take() {
                Some(connection) => (connection, Arc::downgrade(idles)),
                None => (self.connector.connect().await?, Arc::downgrade(idles)),
            },
            Kind::Short => (self.connector.connect().await?, Weak::new()),
        };
        let lease = Exclusive { connection: connection.clone(), home };
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
            Kind::Mux(slots) => slots.iter().filter_map(|slot| slot.lock().connection()).collect(),
            Kind::Long(idles) => idles.connections.lock().iter().filter_map(Weak::upgrade).collect(),
            Kind::Short => Vec::new(),
        };
        let (dials, failed_dials) = self.connector.dialer.counts();
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

/// The place of one shared connection.
#[derive(Default)]
enum Slot {
    #[default]
    Empty,
    /// A dial is under way; these callers wait for its result.
    Dialing(Vec<oneshot::Sender<Result<Shared, Error>>>),
    Ready(Shared),
}

impl Slot {
    /// Returns the slot's connection. Dials if there is none, once for all who wait.
    async fn get(slot: &Arc<Mutex<Self>>, connector: &Arc<Connector>) -> Result<Shared, Error> {
        if let Some(connection) = slot.lock().connection()
            && connection.is_open()
        {
            return Ok(connection);
        }
        let (sender, dialed) = oneshot::channel();
        if Self::wait(slot, sender) {
            // On a task of its own: the dial outlives a caller that gives up.
            let dial = Dial { slot: slot.clone() };
            let connector = connector.clone();
            tokio::spawn(async move { dial.finish(&connector.connect().await) });
        }
        dialed.await.unwrap_or_else(|_| Err(Error::network("the dial was abandoned: its runtime shut down")))
    }

    /// Adds a caller who waits for the slot's connection. Returns whether the caller has to dial.
    fn wait(slot: &Mutex<Self>, sender: oneshot::Sender<Result<Shared, Error>>) -> bool {
        let mut state = slot.lock();
        match &mut *state {
            Self::Dialing(waiting) => {
                waiting.push(sender);
                false
            }
            Self::Ready(_) | Self::Empty => {
                let closed = mem::replace(&mut *state, Self::Dialing(vec![sender]));
                drop(state);
                drop(closed);
                true
            }
        }
    }

    fn connection(&self) -> Option<Shared> {
        match self {
            Self::Ready(connection) => Some(connection.clone()),
            Self::Dialing(_) | Self::Empty => None,
        }
    }

    /// Empties the slot. Returns its connection.
    fn empty(slot: &Arc<Mutex<Self>>) -> Option<Shared> {
        match mem::take(&mut *slot.lock()) {
            Self::Ready(connection) => Some(connection),
            Self::Dialing(_) | Self::Empty => None,
        }
    }

    /// Returns the number of streams on the slot's connection, or of callers who wait for its dial.
    fn load(slot: &Mutex<Self>) -> usize {
        let connection = match &*slot.lock() {
            Self::Ready(connection) => connection.clone(),
            Self::Empty => return 0,
            Self::Dialing(waiting) => return waiting.len(),
        };
        // Without the slot's lock: a connection has a lock of its own.
        if connection.is_open() { connection.live_streams() } else { 0 }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Dialing(_) => "Dialing",
            Self::Ready(_) => "Ready",
        })
    }
}

/// A dial that callers wait for. If it is dropped, they fail and the next caller dials again.
struct Dial {
    slot: Arc<Mutex<Slot>>,
}

impl Dial {
    fn finish(self, result: &Result<Shared, Error>) {
        let next = result.as_ref().map_or(Slot::Empty, |connection| Slot::Ready(connection.clone()));
        for waiter in self.replace(next) {
            // A waiter that gave up has dropped its receiver.
            let _ = waiter.send(result.clone());
        }
    }

    /// Ends the slot's dial. Returns the callers who wait for it.
    fn replace(&self, next: Slot) -> Vec<oneshot::Sender<Result<Shared, Error>>> {
        let mut state = self.slot.lock();
        match &*state {
            Slot::Dialing(_) => match mem::replace(&mut *state, next) {
                Slot::Dialing(waiting) => waiting,
                Slot::Empty | Slot::Ready(_) => Vec::new(),
            },
            // The pool was closed meanwhile, and perhaps used again.
            Slot::Empty | Slot::Ready(_) => Vec::new(),
        }
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        drop(self.replace(Slot::Empty));
    }
}

/// Returns the least loaded slot; there is one at least. On a thread of [`Cores`](crate::Cores) one of those that
/// belong to that thread, if there are enough, so that a stream and its connection live on the same.
#[expect(clippy::indexing_slicing, reason = "a pool has one slot at least")]
fn pick(slots: &[Arc<Mutex<Slot>>]) -> &Arc<Mutex<Slot>> {
    let (first, step) = match Place::here() {
        Some(Place { index, count }) if count <= slots.len() => (index, count),
        _ => (0, 1),
    };
    let own = slots.iter().skip(first).step_by(step);
    own.min_by_key(|slot| Slot::load(slot)).unwrap_or(&slots[0])
}

/// Connections that wait for a stream of their own. One that has waited too long closes by itself.
struct Idles {
    connections: Mutex<VecDeque<Weak<dyn Connection>>>,
    max_idle: usize,
}

impl Idles {
    /// Returns the one that was used last, if it is still open.
    fn take(&self) -> Option<Shared> {
        let next = || self.connections.lock().pop_back();
        std::iter::from_fn(next)
            .filter_map(|connection| connection.upgrade())
            .find(|connection| connection.is_open())
    }

    /// Keeps one; closes the oldest if they are too many.
    fn put(&self, connection: &Shared) {
        let mut connections = self.connections.lock();
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push_back(Arc::downgrade(connection));
        let oldest = if connections.len() > self.max_idle { connections.pop_front() } else { None };
        drop(connections);
        oldest.and_then(|oldest| oldest.upgrade()).into_iter().for_each(|oldest| oldest.retire());
    }

    fn take_all(&self) -> Vec<Shared> {
        mem::take(&mut *self.connections.lock()).iter().filter_map(Weak::upgrade).collect()
    }
}

impl fmt::Debug for Idles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idles").field("max_idle", &self.max_idle).finish_non_exhaustive()
    }
}

impl Drop for Idles {
    fn drop(&mut self) {
        self.take_all().into_iter().for_each(|connection| connection.retire());
    }
}

/// The lease of a connection that one stream has to itself.
struct Exclusive {
    connection: Shared,
    home: Weak<Idles>,
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        match self.home.upgrade() {
            Some(idles) if self.connection.is_open() && self.connection.is_reusable() => {
                idles.put(&self.connection);
            }
            _ => self.connection.retire(),
        }
    }
}
