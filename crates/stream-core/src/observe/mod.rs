//! What a program may know of its calls while they run: events for metrics and traces, every open
//! stream as a node with its parent, and the latest cancels. Owns none of it: the connections do.

mod chain;
mod observed;
mod observer;

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use kerrors::{Error, Side};
use slab::Slab;

use crate::call::call_name;
use crate::cancel::Label;
use crate::io::Address;
use crate::sync::Mutex;
use crate::{StreamPhase, Traffic};

pub use chain::{ChainId, TRACEPARENT};
pub use observed::SERVICE_NAME;
pub(crate) use observed::{Observed, ObservedCall};
pub use observer::{
    CallEnd, CallObserver, CallStart, Connected, HandlerFate, MessageEvent, Observer, Observers,
};

/// What is known of a stream from its start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamInfo {
    /// The stream's name in this process.
    pub label: Label,
    /// The stream under whose handler it was opened, if it was.
    pub parent: Option<Label>,
    /// Which end this is.
    pub side: Side,
    /// The service's name in the IDL, as the client sent it.
    pub service: Bytes,
    /// The method's name in the IDL, as the client sent it.
    pub method: Bytes,
    /// The name of the service that this end belongs to; empty if it has none.
    pub own_service: Arc<str>,
    /// The name of the service at the other end. Known of streams that are observed, and at a server if the client
    /// said it: see [`CallStart::caller`].
    pub peer_service: Option<Arc<str>>,
    /// The id of the chain of calls that the stream is part of, if its metainfo has one.
    pub chain: Option<ChainId>,
    /// The address of this end.
    pub local: Address,
    /// The address of the other end.
    pub peer: Address,
    /// When it was opened here.
    pub opened: Instant,
}

/// What a transport knows of a stream from its start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamFacts {
    /// The stream's name in this process.
    pub label: Label,
    /// The service's name in the IDL, as the client sent it.
    pub service: Bytes,
    /// The method's name in the IDL, as the client sent it.
    pub method: Bytes,
    /// The name of the service that this end belongs to; empty if it has none.
    pub own_service: Arc<str>,
    /// The address of this end.
    pub local: Address,
    /// The address of the other end.
    pub peer: Address,
}

impl StreamFacts {
    /// Returns the facts of a stream of a connection with these ends, without names.
    pub fn new(label: Label, local: Address, peer: Address) -> Self {
        let (service, method) = (Bytes::new(), Bytes::new());
        Self { label, service, method, own_service: Arc::from(""), local, peer }
    }

    /// Returns the same facts with the names of the service in the IDL and of the method.
    #[must_use]
    pub fn with_names(mut self, service: Bytes, method: Bytes) -> Self {
        (self.service, self.method) = (service, method);
        self
    }

    /// Returns the same facts with the name of the service that this end belongs to.
    #[must_use]
    pub fn with_own_service(mut self, name: Arc<str>) -> Self {
        self.own_service = name;
        self
    }
}

impl StreamInfo {
    /// Returns what is known of a stream that is opened now, without a parent.
    pub fn new(facts: StreamFacts, side: Side, opened: Instant) -> Self {
        let StreamFacts { label, service, method, own_service, local, peer } = facts;
        let (parent, peer_service, chain) = (None, None, None);
        Self { label, parent, side, service, method, own_service, peer_service, chain, local, peer, opened }
    }

    /// Returns `Service.Method`, as error texts name a call.
    pub(crate) fn call_name(&self) -> String {
        call_name(&self.service, &self.method)
    }
}

/// A stream that is open, or whose handles are not dropped yet.
#[derive(Clone, Debug)]
pub struct StreamView {
    /// Its data at the start.
    pub info: StreamInfo,
    /// Its phase.
    pub phase: StreamPhase,
    /// What was sent.
    pub sent: Traffic,
    /// What was received.
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
    /// When it was seen here, by the clock of this machine.
    pub at: SystemTime,
    /// When it was read here, or asked for here. Of two hops in one process the one further down the path has the later
    /// time.
    pub received: Instant,
    /// The stream that it ended here.
    pub stream: StreamInfo,
    /// What the stream ended with, whatever carries it: kind, code, side, path and text.
    pub error: Error,
    /// From `received` until everything below had been canceled.
    pub took: Duration,
}

/// The last cancels that passed through this process, 256 at most, the latest last.
pub fn cancels() -> Vec<CancelView> {
    CANCELS.lock().iter().cloned().collect()
}

const MAX_CANCELS: usize = 256;

static CONNECTIONS: LazyLock<Mutex<Slab<Weak<dyn Inspect>>>> = LazyLock::new(Mutex::default);
static CANCELS: LazyLock<Mutex<VecDeque<CancelView>>> = LazyLock::new(Mutex::default);

/// Adds a cancel to [`cancels`].
pub(crate) fn record_cancel(cancel: CancelView) {
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
