//! Opens streams and makes ping-pong calls: gets a connection from a pool, and registers the stream with the
//! scope under which it is opened. Knows transports by their traits alone.

mod connect;
mod idles;
mod pool;
mod slot;

use std::sync::Arc;
use std::time::Duration;

use kerrors::{Code, Error, Side, StreamError};

use connect::Source;
use pool::{Checkout, Pool};
pub use pool::{PoolKind, PoolStats};

use crate::call::{OutgoingCall, UnaryRequest, UnaryResponse};
use crate::cancel::{Reason, Registration, Scope, Target};
use crate::dial::Dialer;
pub use crate::dial::{AddressSource, Connector, StaticAddresses, SystemConnector};
use crate::observe::Observers;
use crate::stream::{NewStream, Parent, RecvStream, SendStream, Setup, StreamTarget, handles};
use crate::transport::{BoxFuture, OpenStreams, Transport, UnaryPaths, UnaryTransport};
use crate::{clock, rt};

/// How a client reaches its server, whatever transport it uses.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// How streams share connections. Default: [`PoolKind::Mux`] with one connection a core.
    pub pool: PoolKind,
    /// The longest time of a dial. Default 1 s.
    pub connect_timeout: Duration,
    /// The longest time that a shared connection may have no stream before it is closed. Default 60 s. A long
    /// pool has its own.
    pub idle_timeout: Duration,
    /// Observers of each stream.
    pub observers: Observers,
    /// Makes connections. Default: [`SystemConnector`].
    pub connector: Arc<dyn Connector>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            pool: PoolKind::default(),
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(60),
            observers: Observers::default(),
            connector: Arc::new(SystemConnector),
        }
    }
}

/// Opens streams to one service, and makes ping-pong calls. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    streams: Streams,
    unary: Arc<dyn UnaryTransport>,
}

#[derive(Clone, Debug)]
struct Streams {
    pool: Arc<Pool>,
    transport: Arc<dyn Transport>,
    observers: Observers,
}

impl Client {
    /// Returns a client that has dialed nothing yet.
    pub fn new(transport: impl Transport, addresses: impl AddressSource, config: ClientConfig) -> Self {
        let ClientConfig { pool: kind, connect_timeout, idle_timeout, observers, connector } = config;
        let idle_timeout = match kind {
            PoolKind::Long { idle_timeout, .. } => idle_timeout,
            PoolKind::Mux(_) | PoolKind::Short => idle_timeout,
        };
        let dialer = Arc::new(Dialer::new(addresses, connector, connect_timeout));
        let transport: Arc<dyn Transport> = Arc::new(transport);
        let source = Source { dialer: dialer.clone(), transport: transport.clone(), idle_timeout };
        let streams = Streams { pool: Arc::new(Pool::new(source, kind)), transport, observers };
        let paths = UnaryPaths { dialer, reuse: kind != PoolKind::Short, streams: Arc::new(streams.clone()) };
        Self { unary: streams.transport.unary(paths), streams }
    }

    /// Closes pooled connections gracefully: what is queued is written, and after a cancel the connection stays
    /// open until the peer has had time to read it. Call it before the process exits. Takes 1 s at most.
    /// Open streams go on, and later calls dial again. Cancel-safe: the connections close by themselves.
    pub async fn close(&self) {
        // What is not closed by then closes by itself, or with the process.
        let _ = tokio::time::timeout(CLOSE, self.streams.pool.close()).await;
    }

    /// Returns the state of the client's connections.
    pub fn pool_stats(&self) -> PoolStats {
        self.streams.pool.stats()
    }

    /// Makes a ping-pong call. Cancel-safe: dropping the future gives the call up and closes its connection; whether
    /// the handler has run is not known.
    ///
    /// # Errors
    /// No connection could be had, or it was lost; the deadline passed; the scope was canceled. What the
    /// handler ended with is the response's.
    pub async fn call(&self, request: UnaryRequest<'_>) -> Result<UnaryResponse, Error> {
        rt::check()?;
        self.unary.call(request).await
    }

    /// Opens a stream. Waits for a connection, no longer than the deadline, and not after the scope is
    /// canceled. Cancel-safe: a stream whose opening is dropped is canceled.
    ///
    /// # Errors
    /// Code 12015 if the deadline passes, without a dial if it has; what the scope was canceled with; that no
    /// connection could be had, an error of this call alone.
    pub async fn open(&self, call: &OutgoingCall<'_>) -> Result<(SendStream, RecvStream), Error> {
        self.streams.open(call).await
    }
}

impl Streams {
    async fn open(&self, call: &OutgoingCall<'_>) -> Result<(SendStream, RecvStream), Error> {
        let opening = self.open_in_time(call);
        let Some(scope) = call.scope else { return opening.await };
        tokio::select! {
            biased;
            reason = scope.canceled() => {
                let left = call.deadline.map(|deadline| deadline.saturating_duration_since(clock::now()));
                Err(self.transport.not_opened(&reason, call, left))
            }
            opened = opening => opened,
        }
    }

    async fn open_in_time(&self, call: &OutgoingCall<'_>) -> Result<(SendStream, RecvStream), Error> {
        let timeout = call.deadline.map(|deadline| deadline.saturating_duration_since(clock::now()));
        let late = || Err(self.transport.not_opened(&Reason::DeadlineExceeded, call, timeout));
        match timeout {
            None => self.open_now(call).await,
            Some(Duration::ZERO) => late(),
            Some(left) => {
                rt::check()?;
                tokio::time::timeout(left, self.open_now(call)).await.unwrap_or_else(|_| late())
            }
        }
    }

    async fn open_now(&self, call: &OutgoingCall<'_>) -> Result<(SendStream, RecvStream), Error> {
        let (lease, stream) = self.open_somewhere(call).await?;
        let mut fallback = None;
        let registration = call.scope.and_then(|scope| register(scope, &stream, &mut fallback));
        let label = call.scope.and_then(Scope::label);
        let setup = Setup {
            send_timeout: call.send_timeout,
            observers: self.observers.clone(),
            parent: Parent { label, registration, lease },
        };
        let (stream, started) = stream.start(setup);
        if let Some(target) = fallback {
            target.set(&stream);
            if let Some(reason) = call.scope.and_then(Scope::reason) {
                target.cancel(0, &reason);
            }
        }
        let handles = handles(&stream);
        started.map_err(|text| {
            let cause = format!("panic: [happened in an observer] {text}");
            StreamError::new(Code::APPLICATION).on_side(Side::Client).with_cause(cause)
        })?;
        Ok(handles)
    }

    /// Opens a stream on a connection of the pool. A connection that has closed since it was picked took
    /// nothing of the stream, so another is tried.
    async fn open_somewhere(
        &self,
        call: &OutgoingCall<'_>,
    ) -> Result<(Option<crate::stream::Lease>, NewStream), Error> {
        let mut left = MAX_PICKS;
        loop {
            let Checkout { connection, lease } = self.pool.get().await?;
            left = left.saturating_sub(1);
            match std::future::poll_fn(|cx| connection.clone().poll_open(cx, call)).await {
                Ok(stream) => return Ok((lease, stream)),
                Err(_) if left > 0 && !connection.is_open() => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl OpenStreams for Streams {
    fn open<'a>(
        &'a self,
        call: &'a OutgoingCall<'a>,
    ) -> BoxFuture<'a, Result<(SendStream, RecvStream), Error>> {
        Box::pin(self.open(call))
    }
}

/// Registers a new stream with the scope it is opened under. One that is canceled already cancels the stream.
fn register(
    scope: &Scope,
    stream: &NewStream,
    fallback: &mut Option<Arc<StreamTarget>>,
) -> Option<Registration> {
    let (target, token): (Arc<dyn Target>, u64) = match stream.transport().target() {
        Some(target) => target,
        None => (fallback.insert(Arc::default()).clone(), 0),
    };
    match scope.register(target, token) {
        Ok(registration) => Some(registration),
        Err(reason) => {
            stream.transport().cancel(&reason);
            None
        }
    }
}

/// Connections that an opening tries at most.
const MAX_PICKS: usize = 3;

/// The longest time of [`Client::close`].
const CLOSE: Duration = Duration::from_secs(1);
