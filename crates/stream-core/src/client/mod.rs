//! Opens streams: finds an address, gets a connection from a pool, hangs the stream below its scope.

mod address;
mod backoff;
mod dial;
mod pool;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kerrors::{Error, RecvTimeout, Side, StreamError};

pub use address::{AddressSource, StaticAddresses};
pub(crate) use dial::Dialer;
pub(crate) use pool::Lease;
use pool::{Checkout, Pool};
pub use pool::{PoolKind, PoolStats};

use ttheader_codec::key;

use crate::Metadata;
use crate::cancel::{Reason, Scope};
use crate::observe::Observers;
use crate::proto::{Config, Method, Open, StreamKey};
use crate::stream::{Above, Handles, RecvStream, SendStream};
use crate::unary::{CallAnswer, CallRequest, Calls};

/// How a client reaches its server.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Bounds of each connection.
    pub connection: Config,
    /// How streams share connections. Default: [`PoolKind::Mux`] with one connection a core.
    pub pool: PoolKind,
    /// How long a dial may take. Default 1 s.
    pub connect_timeout: Duration,
    /// How long a shared connection may be without a stream before it is closed. Default 60 s. A long pool
    /// has its own.
    pub idle_timeout: Duration,
    /// Who is told of each stream's life.
    pub observers: Observers,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connection: Config::default(),
            pool: PoolKind::default(),
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(60),
            observers: Observers::default(),
        }
    }
}

/// What a stream is opened with.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Arc<Method>,
    /// Strings of the header frame: the IDL service's name, metainfo.
    pub metadata: &'a Metadata,
    /// The caller's own service name: what a cancel puts on its path.
    pub service: &'a Arc<str>,
    /// What ends the stream when it ends. `None`: nothing but the stream's own handles.
    pub scope: Option<&'a Scope>,
    /// When the stream is to end by itself.
    pub deadline: Option<Instant>,
    /// The deadline that the peer is told, if it is another.
    pub told_deadline: Option<Instant>,
    /// How long each Recv may wait.
    pub recv_timeout: Option<RecvTimeout>,
    /// How long each Send may wait. Then the stream ends with code 12904.
    pub send_timeout: Option<Duration>,
}

/// Opens streams to one service, and makes ping-pong calls. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Arc<Pool>,
    calls: Arc<Calls>,
    observers: Observers,
}

impl Client {
    /// A client that has dialed nothing yet.
    pub fn new(addresses: impl AddressSource, mut config: ClientConfig) -> Self {
        if let PoolKind::Long { idle_timeout, .. } = config.pool {
            config.idle_timeout = idle_timeout;
        }
        let (kind, observers) = (config.pool, config.observers.clone());
        let dialer = Arc::new(Dialer::new(addresses, config));
        let calls = Calls::new(dialer.clone(), kind != PoolKind::Short);
        Self { pool: Arc::new(Pool::new(dialer, kind)), calls: Arc::new(calls), observers }
    }

    /// Takes leave: closes every shared or waiting connection, after what is queued has been written and,
    /// where a stream was canceled, its peer has had the time to learn of it. For a program that is about
    /// to end: with it end its connections, and with them what they have not handed over. Takes a second
    /// at most. Streams that are open go on, and calls that come later dial again.
    pub async fn close(&self) {
        // What is not closed by then closes by itself, or with the program.
        let _ = tokio::time::timeout(LEAVE, self.pool.close()).await;
    }

    /// How its connections stand.
    pub fn pool_stats(&self) -> PoolStats {
        self.pool.stats()
    }

    /// Makes a ping-pong call. Dropping the future gives it up.
    ///
    /// # Errors
    /// That no connection could be had, or it was lost; that the deadline passed; what the scope was
    /// canceled with. What the handler ended with is the answer's.
    pub async fn call(&self, request: &CallRequest<'_>) -> Result<CallAnswer, Error> {
        self.calls.call(request).await
    }

    /// Opens a stream. Waits for a connection, no longer than the deadline, and not after the scope is
    /// canceled. Cancel-safe: a stream that nobody got is canceled.
    ///
    /// # Errors
    /// 12015 if the deadline passes, without a dial if it has; what the scope was canceled with; that no
    /// connection could be had, an error of this call alone.
    pub async fn open(&self, request: &Request<'_>) -> Result<(SendStream, RecvStream), Error> {
        let opening = self.open_unscoped(request);
        let Some(scope) = request.scope else { return opening.await };
        tokio::select! {
            biased;
            reason = scope.canceled() => Err(ended_by(&reason, request).into()),
            opened = opening => opened,
        }
    }

    async fn open_unscoped(&self, request: &Request<'_>) -> Result<(SendStream, RecvStream), Error> {
        let started = Instant::now();
        let timeout = request.deadline.map(|deadline| deadline.saturating_duration_since(started));
        match timeout {
            None => self.open_now(request).await,
            Some(Duration::ZERO) => Err(StreamError::stream_timeout(timeout).into()),
            Some(left) => tokio::time::timeout(left, self.open_now(request))
                .await
                .unwrap_or_else(|_| Err(StreamError::stream_timeout(timeout).into())),
        }
    }

    async fn open_now(&self, request: &Request<'_>) -> Result<(SendStream, RecvStream), Error> {
        let open = Open {
            method: request.method,
            metadata: request.metadata,
            service: request.service,
            deadline: request.deadline,
            told_deadline: request.told_deadline,
            recv_timeout: request.recv_timeout,
        };
        let (Checkout { link, lease }, key) = self.open_somewhere(&open).await?;
        let registration = match request.scope.map(|scope| scope.register(link.clone(), key.token())) {
            None => None,
            Some(Ok(registration)) => Some(registration),
            Some(Err(reason)) => {
                link.update_connection(|connection| connection.cancel(key, &reason));
                None
            }
        };
        let parent = request.scope.and_then(Scope::label);
        let handles = Handles {
            link,
            key,
            side: Side::Client,
            service: request.metadata.get(key::IDL_SERVICE).cloned().unwrap_or_default(),
            timed: request.recv_timeout.is_some(),
            send_timeout: request.send_timeout,
            observers: self.observers.clone(),
            above: Above { parent, registration, lease },
        };
        Ok(handles.share().halves())
    }

    /// A stream on a connection of the pool. One that has closed since it was picked took nothing of the
    /// stream, so another may.
    async fn open_somewhere(&self, open: &Open<'_>) -> Result<(Checkout, StreamKey), Error> {
        let mut left = MAX_PICKS;
        loop {
            let checkout = self.pool.get().await?;
            left = left.saturating_sub(1);
            match std::future::poll_fn(|cx| checkout.link.poll_open(cx, open)).await {
                Ok(key) => return Ok((checkout, key)),
                Err(_) if left > 0 && !checkout.link.is_open() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Connections that an opening tries at most.
const MAX_PICKS: usize = 3;

const LEAVE: Duration = Duration::from_secs(1);

/// What a call ends with whose scope was canceled before it had a stream.
fn ended_by(reason: &Reason, request: &Request<'_>) -> StreamError {
    let left = request.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    reason.for_stream(request.service, left).0
}
