//! What a program may know of its streams while they run: events for metrics and traces, every open
//! stream as a node with its parent, and the cancels of late. Owns none of it: the connections do.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use kerrors::{Error, Side, StreamError};
use slab::Slab;

use crate::call::call_name;
use crate::cancel::Label;
use crate::io::Address;
use crate::sync::Mutex;
use crate::{Metadata, StreamPhase, Traffic};

/// What is known of a stream from its beginning on.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// Its name in this process.
    pub label: Label,
    /// The stream under whose handler it was opened, if it was.
    pub parent: Option<Label>,
    /// Which end this is.
    pub side: Side,
    /// The service's name in the IDL, as the client said it.
    pub service: Bytes,
    /// The method's name in the IDL, as the client said it.
    pub method: Bytes,
    /// This end.
    pub local: Address,
    /// The other end.
    pub peer: Address,
    /// When it was opened here.
    pub opened: Instant,
}

/// What a transport knows of a stream from its start.
#[derive(Clone, Debug)]
pub struct StreamFacts {
    /// The stream's name in this process.
    pub label: Label,
    /// The service's name in the IDL, as the client sent it.
    pub service: Bytes,
    /// The method's name in the IDL, as the client sent it.
    pub method: Bytes,
    /// The address of this end.
    pub local: Address,
    /// The address of the other end.
    pub peer: Address,
}

impl StreamInfo {
    pub(crate) fn new(facts: StreamFacts, side: Side, parent: Option<Label>, opened: Instant) -> Self {
        let StreamFacts { label, service, method, local, peer } = facts;
        Self { label, parent, side, service, method, local, peer, opened }
    }

    /// Returns `Service.Method`, as error texts name a call.
    pub(crate) fn call_name(&self) -> String {
        call_name(&self.service, &self.method)
    }
}

/// Is told of a stream's life, each event once, in this order: start, header (a client's, if one came),
/// sent and received, finish.
///
/// Called by the tasks that use the stream, never by those that read and write the socket: what it does
/// costs its stream time, and no other. A panic in `start` ends the stream, with 12001; a panic elsewhere is logged
/// and changes nothing.
pub trait Observer: Send + Sync + 'static {
    /// A stream begins.
    fn start(&self, _stream: &StreamInfo) {}
    /// The server has answered.
    fn header(&self, _stream: &StreamInfo, _header: &Metadata) {}
    /// A meta frame came, from a proxy for one. Told when the stream is received on; of many that came
    /// before, the first eight.
    fn meta(&self, _stream: &StreamInfo, _strings: &Metadata, _payload: &[u8]) {}
    /// A message was handed to the connection.
    fn sent(&self, _stream: &StreamInfo, _bytes: usize) {}
    /// A message was taken from the connection.
    fn received(&self, _stream: &StreamInfo, _bytes: usize) {}
    /// The stream has ended, well if there is no error, and nothing follows.
    fn finish(&self, _stream: &StreamInfo, _error: Option<&Error>) {}
}

/// Observers of one client or server. One pointer wide, since each stream has it.
#[derive(Clone, Default)]
pub struct Observers(Option<Arc<Vec<Arc<dyn Observer>>>>);

impl Observers {
    /// One more.
    #[must_use]
    pub fn with(&self, observer: impl Observer) -> Self {
        let known = self.iter().cloned();
        let observers = known.chain([Arc::new(observer) as Arc<dyn Observer>]).collect();
        Self(Some(Arc::new(observers)))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<dyn Observer>> {
        self.0.iter().flat_map(|observers| observers.iter())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers({})", self.iter().count())
    }
}

/// A stream that is open, or whose handles are not dropped yet.
#[derive(Clone, Debug)]
pub struct StreamView {
    /// What is known from its beginning on.
    pub info: StreamInfo,
    /// Where it is in its life.
    pub phase: StreamPhase,
    /// What went out.
    pub sent: Traffic,
    /// What came in.
    pub received: Traffic,
}

/// A connection that can list its streams.
pub trait Inspect: Send + Sync + 'static {
    /// Returns every open stream of the connection, in no order.
    fn views(&self) -> Vec<StreamView>;
}

/// Returns every open stream of this process, in no order.
pub fn streams() -> Vec<StreamView> {
    let connections: Vec<Arc<dyn Inspect>> =
        CONNECTIONS.lock().iter().filter_map(|(_, connection)| connection.upgrade()).collect();
    connections.iter().flat_map(|connection| connection.views()).collect()
}

/// A cancel that passed through this process.
#[derive(Clone, Debug)]
pub struct CancelView {
    /// When it was seen here.
    pub at: SystemTime,
    /// The stream that it ended here.
    pub stream: StreamInfo,
    /// Code, side, path and text.
    pub error: StreamError,
    /// From when it was read here, or wished here, until everything below had been told.
    pub took: Duration,
}

/// The last cancels that passed through this process, 256 at most, the latest last.
pub fn cancels() -> Vec<CancelView> {
    CANCELS.lock().iter().cloned().collect()
}

const MAX_CANCELS: usize = 256;

static CONNECTIONS: LazyLock<Mutex<Slab<Weak<dyn Inspect>>>> = LazyLock::new(Mutex::default);
static CANCELS: LazyLock<Mutex<VecDeque<CancelView>>> = LazyLock::new(Mutex::default);

/// Adds a cancel to [`cancels`]. Called by transports.
pub fn record_cancel(cancel: CancelView) {
    let mut cancels = CANCELS.lock();
    let oldest = if cancels.len() >= MAX_CANCELS { cancels.pop_front() } else { None };
    cancels.push_back(cancel);
    drop(cancels);
    drop(oldest);
}

/// A connection's place in [`streams`], until it is dropped.
#[derive(Debug)]
pub struct Listed(usize);

impl Listed {
    /// Adds `connection` to those that [`streams`] lists. Called by transports.
    pub fn new(connection: Weak<dyn Inspect>) -> Self {
        Self(CONNECTIONS.lock().insert(connection))
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        CONNECTIONS.lock().try_remove(self.0);
    }
}
