//! Opens streams and makes ping-pong calls: gets a connection from a pool, and registers the stream with the
//! scope under which it is opened. Depends on the traits of transports only.

mod balance;
mod connect;
mod endpoint;
mod fleet;
mod idles;
mod outcomes;
mod pool;
mod reopen;
mod retry;
mod shares;
mod slot;

use std::sync::Arc;
use std::time::Duration;

use kerrors::Error;

pub use balance::{Balance, Candidates, ConsistentHash, LeastStreams, RoundRobin};
use endpoint::{Endpoint, Load, Placed};
use fleet::{Fleet, Maker, Selection};
use pool::Checkout;
pub use pool::{PoolKind, PoolStats};
use reopen::{Attempt, Attempts, Reopening, marked};
pub use retry::Retry;
use retry::{Retries, pause};

use crate::call::{CallKind, OutgoingCall, UnaryRequest, UnaryResponse};
use crate::cancel::{Reason, Registration, Scope, Target};
use crate::dial::Tried;
pub use crate::dial::{
    Connector, Discover, DnsInstances, Instance, InstanceFile, InstanceSet, SharedInstances, StaticAddresses,
    SystemConnector, WatchedInstances,
};
use crate::observe::{Observed, ObservedCall, Observers};
use crate::stream::{
    Lease, NewStream, Parent, RecvStream, SendStream, Setup, StreamInner, StreamReplay, StreamTarget, handles,
};
use crate::transport::{BoxFuture, OpenStreams, Transport, UnaryFailure, UnaryPaths, UnaryTransport};
use crate::{Retryable, clock, rt};

/// Settings of a client that do not depend on its transport.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// How streams share connections. Default: [`PoolKind::Mux`] with one connection a core.
    pub pool: PoolKind,
    /// The timeout of a dial. Default: 1 s.
    pub connect_timeout: Duration,
    /// The longest time that a connection may have no stream or ping-pong call before it is closed, in every kind of
    /// pool. Default 60 s.
    pub idle_timeout: Duration,
    /// Observers of each call.
    pub observers: Observers,
    /// Makes connections. Default: [`SystemConnector`].
    pub connector: Arc<dyn Connector>,
    /// Selects the instance that a stream or call goes to. Default: [`LeastStreams`].
    pub balance: Arc<dyn Balance>,
    /// When a stream or call that was refused or lost is tried again. Default: twice, see [`Retry`].
    pub retry: Retry,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            pool: PoolKind::default(),
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(60),
            observers: Observers::default(),
            connector: Arc::new(SystemConnector),
            balance: Arc::new(LeastStreams::default()),
            retry: Retry::default(),
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
struct Streams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fleet: Arc<Fleet>,
    transport: Arc<dyn Transport>,
    observers: Observers,
    retries: Retries,
}

impl Client {
    /// Returns a client of the instances that `source` discovers. It dials when the first stream or call needs a connection.
    pub fn new(transport: impl Transport, source: impl Discover, config: ClientConfig) -> Self {
        let ClientConfig { pool, connect_timeout, idle_timeout, observers, connector, balance, retry } =
            config;
        let transport: Arc<dyn Transport> = Arc::new(transport);
        let counts = Arc::default();
        let (of_maker, ejections) = (transport.clone(), Default::default());
        let maker =
            Maker { transport: of_maker, connector, connect_timeout, idle_timeout, pool, counts, ejections };
        let fleet = Arc::new(Fleet::new(source, balance, maker));
        let retries = Retries::new(retry);
        let streams = Streams(Arc::new(Inner { fleet: fleet.clone(), transport, observers, retries }));
        let max_idle = pool.max_idle_calls();
        let paths =
            UnaryPaths { instances: fleet, max_idle, idle_timeout, streams: Arc::new(streams.clone()) };
        Self { unary: streams.0.transport.unary(paths), streams }
    }

    /// Closes pooled connections gracefully: queued data is written, and after a cancel a connection stays
    /// open until the peer has had time to read it. Call it before the process exits. Takes 1 s at most. Open
    /// streams continue, and later calls dial again. Cancel-safe: the connections close by themselves.
    pub async fn close(&self) {
        self.unary.close();
        // A connection that is not closed by then closes later by itself, or with the process.
        let _ = tokio::time::timeout(CLOSE, self.streams.0.fleet.close()).await;
    }

    /// Returns the state of the client's connections and instances.
    pub fn pool_stats(&self) -> PoolStats {
        PoolStats { retries: self.streams.0.retries.count(), ..self.streams.0.fleet.stats() }
    }

    /// Makes a ping-pong call. Cancel-safe: dropping the future abandons the call and closes its connection;
    /// whether the handler has run is not known.
    ///
    /// # Errors
    /// No connection could be established, or it was lost; the deadline passed; the scope was canceled. An
    /// error of the handler is in the response.
    pub async fn call(&self, request: UnaryRequest<'_>) -> Result<UnaryResponse, Error> {
        rt::check()?;
        self.streams.0.retries.deposit();
        match self.streams.0.observers.is_empty() {
            true => self.call_attempts(request).await,
            false => Box::pin(self.call_observed(request)).await,
        }
    }

    async fn call_observed(&self, request: UnaryRequest<'_>) -> Result<UnaryResponse, Error> {
        let ObservedCall { observed, metainfo } = self.streams.observe(&request.call, CallKind::PingPong)?;
        let call = OutgoingCall { metainfo: Some(&metainfo), ..request.call };
        let response = self.call_attempts(UnaryRequest { call, events: Some(&*observed), ..request }).await;
        // Of a failure not every transport has a header.
        if let Ok(UnaryResponse { metadata, result: Ok(body), .. }) = &response
            && !call.method.is_oneway()
        {
            observed.header(metadata);
            observed.received(body.len());
        }
        observed.finish(response.as_ref().map_or_else(Some, |response| response.result.as_ref().err()));
        response
    }

    /// Makes a call, again while the policy permits it.
    async fn call_attempts(&self, request: UnaryRequest<'_>) -> Result<UnaryResponse, Error> {
        let retries = &self.streams.0.retries;
        let mut failed = match self.unary.call(request).await {
            Err(failed) => failed,
            Ok(response) => return Ok(response),
        };
        let mut attempt = 0;
        while retries.take_failed(&request.call, failed.retryable, attempt) {
            pause(attempt).await;
            attempt = attempt.saturating_add(1);
            let metainfo = marked(request.call.metainfo, attempt);
            let call = OutgoingCall { metainfo: Some(&metainfo), ..request.call };
            let again = UnaryRequest { call, refused_by: failed.refused_by.as_ref(), ..request };
            failed = match self.unary.call(again).await {
                // The earlier error is the better one.
                Err(UnaryFailure { error: Error::Connect { .. }, .. }) => return Err(failed.error),
                Err(failed) => failed,
                Ok(response) => return Ok(response),
            };
        }
        Err(failed.error)
    }

    /// Opens a stream. Waits for a connection, no longer than the deadline, and not after the scope is
    /// canceled. A stream that its server refuses is opened again, as [`ClientConfig::retry`] says. Cancel-safe: a stream
    /// whose opening is dropped is canceled.
    ///
    /// # Errors
    /// [`STREAM_TIMEOUT`](kerrors::Code::STREAM_TIMEOUT) if the deadline passes, without a dial if it has
    /// already passed; the reason that the scope was canceled with; a network error if no connection could be
    /// established.
    pub async fn open(&self, call: &OutgoingCall<'_>) -> Result<(SendStream, RecvStream), Error> {
        self.streams.0.retries.deposit();
        match self.streams.0.observers.is_empty() {
            true => self.streams.open(call, &mut Observed::unobserved(call.metainfo)).await,
            false => Box::pin(self.streams.open_observed(call)).await,
        }
    }
}

impl Streams {
    fn observe(&self, call: &OutgoingCall<'_>, kind: CallKind) -> Result<ObservedCall, Error> {
        Observed::client(&self.0.observers, call, kind, self.0.transport.protocol(kind))
    }

    async fn open_observed(&self, call: &OutgoingCall<'_>) -> Result<(SendStream, RecvStream), Error> {
        let ObservedCall { observed, metainfo } = self.observe(call, CallKind::Stream)?;
        // Taken by the stream once there is one. Until then a drop of this future is the call's end.
        let mut observed = Some(observed);
        let opened = self.open(&OutgoingCall { metainfo: Some(&metainfo), ..*call }, &mut observed).await;
        if let (Err(error), Some(observed)) = (&opened, observed) {
            observed.finish(Some(error));
        }
        opened
    }

    async fn open(
        &self,
        call: &OutgoingCall<'_>,
        observed: &mut Option<Arc<Observed>>,
    ) -> Result<(SendStream, RecvStream), Error> {
        self.open_attempt(call, Attempt::default(), observed).await.map(|stream| handles(&stream))
    }

    /// Opens a stream. Once there is one, it takes `observed`.
    async fn open_attempt(
        &self,
        call: &OutgoingCall<'_>,
        attempt: Attempt,
        observed: &mut Option<Arc<Observed>>,
    ) -> Result<Arc<StreamInner>, Error> {
        let opening = self.open_in_time(call, attempt, observed);
        let Some(scope) = call.scope else { return opening.await };
        tokio::select! {
            biased;
            reason = scope.canceled() => {
                let left = call.deadline.map(|deadline| deadline.saturating_duration_since(clock::now()));
                Err(self.0.transport.not_opened(&reason, call, left))
            }
            opened = opening => opened,
        }
    }

    async fn open_in_time(
        &self,
        call: &OutgoingCall<'_>,
        attempt: Attempt,
        observed: &mut Option<Arc<Observed>>,
    ) -> Result<Arc<StreamInner>, Error> {
        let timeout = call.deadline.map(|deadline| deadline.saturating_duration_since(clock::now()));
        let late = || Err(self.0.transport.not_opened(&Reason::DeadlineExceeded, call, timeout));
        match timeout {
            None => self.open_now(call, attempt, observed).await,
            Some(Duration::ZERO) => late(),
            Some(left) => {
                rt::check()?;
                let opening = self.open_now(call, attempt, observed);
                tokio::time::timeout(left, opening).await.unwrap_or_else(|_| late())
            }
        }
    }

    async fn open_now(
        &self,
        call: &OutgoingCall<'_>,
        attempt: Attempt,
        observed: &mut Option<Arc<Observed>>,
    ) -> Result<Arc<StreamInner>, Error> {
        let number = attempt.number;
        let Opened { stream, endpoint, lease, load } = self.open_somewhere(call, attempt).await?;
        let lease = match load {
            Some(load) => Some(Box::new(Placed { lease, load }) as Lease),
            None => lease,
        };
        let mut fallback = None;
        let registration = call.scope.and_then(|scope| register(scope, &stream, &mut fallback));
        let label = call.scope.and_then(Scope::label);
        let setup = Setup {
            send_timeout: call.send_timeout,
            replay: self.replay(call, number, endpoint.address(), observed.as_ref()),
            observed: observed.take(),
            parent: Parent { label, registration, lease },
        };
        let stream = stream.start(setup);
        if let Some(target) = fallback {
            target.set(&stream);
            if let Some(reason) = call.scope.and_then(Scope::reason) {
                target.cancel(0, &reason);
            }
        }
        Ok(stream)
    }

    /// Returns what the stream of `call` keeps to be opened again.
    fn replay(
        &self,
        call: &OutgoingCall<'_>,
        attempt: u32,
        instance: &Arc<str>,
        observed: Option<&Arc<Observed>>,
    ) -> Option<Box<StreamReplay>> {
        let room = self.0.retries.policy.replay_bytes;
        let reopening = || {
            let reopening = Reopening::new(self.clone(), call, attempt, instance, observed);
            StreamReplay::new(Box::new(reopening), room)
        };
        self.0.retries.is_wanted(call, attempt).then(reopening)
    }

    /// Opens a stream at an instance. One that cannot be reached is skipped. If the connection has closed since it was
    /// picked, nothing of the stream was sent on it, so another is tried: at once up to [`MAX_PICKS`] times, and after
    /// that as the policy permits, since servers that restart may close several.
    async fn open_somewhere(&self, call: &OutgoingCall<'_>, attempt: Attempt) -> Result<Opened, Error> {
        let Attempt { number, refused_by } = attempt;
        let mut tried = Tried::default();
        tried.refused_by = refused_by;
        let (mut picked, mut paused) = (0_u32, 0_u32);
        loop {
            let Selection { endpoint, load, others } = self.0.fleet.select(call, &mut tried).await?;
            let Checkout { connection, lease } = match endpoint.checkout(number > 0, others).await {
                Some(Ok(checkout)) => checkout,
                Some(Err(error)) => {
                    tried.add(endpoint.address(), error);
                    continue;
                }
                None => {
                    endpoint.dialer.takes_long(&mut tried, others.limit().unwrap_or_default());
                    continue;
                }
            };
            picked = picked.saturating_add(1);
            let error = match std::future::poll_fn(|cx| connection.clone().poll_open(cx, call)).await {
                Ok(stream) => return Ok(Opened { stream, endpoint, lease, load }),
                Err(error) if connection.is_open() => return Err(error),
                Err(error) => error,
            };
            endpoint.connection_lost();
            tried.closed_by(endpoint.address());
            if picked >= MAX_PICKS {
                if !self.0.retries.take(call, paused) {
                    return Err(error);
                }
                paused = paused.saturating_add(1);
                pause(paused).await;
            }
        }
    }
}

/// A stream that was opened at an instance.
struct Opened {
    stream: NewStream,
    endpoint: Arc<Endpoint>,
    lease: Option<Lease>,
    load: Option<Load>,
}

impl Attempts for Streams {
    fn take(&self, call: &OutgoingCall<'_>, retryable: Retryable, attempt: u32) -> bool {
        self.0.retries.take_failed(call, retryable, attempt)
    }

    fn refused_by(&self, instance: &Arc<str>) {
        self.0.fleet.refused_by(instance);
    }

    async fn open_attempt(
        &self,
        call: &OutgoingCall<'_>,
        attempt: Attempt,
        observed: &mut Option<Arc<Observed>>,
    ) -> Result<Arc<StreamInner>, Error> {
        self.open_attempt(call, attempt, observed).await
    }
}

impl OpenStreams for Streams {
    fn open<'a>(
        &'a self,
        call: &'a OutgoingCall<'a>,
    ) -> BoxFuture<'a, Result<(SendStream, RecvStream), Error>> {
        Box::pin(async move { self.open(call, &mut None).await })
    }
}

/// Registers a new stream with the scope it is opened under. A scope that is already canceled cancels the
/// stream.
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

/// The largest number of connections that are tried to open one stream, without a pause between them.
const MAX_PICKS: u32 = 3;

/// The time limit of [`Client::close`].
const CLOSE: Duration = Duration::from_secs(1);
