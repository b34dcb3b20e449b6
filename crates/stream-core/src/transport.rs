//! The traits that a transport implements. The rest of this crate uses transports only through them.
//!
//! - [`TransportStream`](crate::stream::TransportStream): one end of one stream, behind the handles of users.
//! - [`Connection`]: a client's connection, in a pool.
//! - [`Transport`]: makes a client's connections, and its ping-pong calls.
//! - [`Protocol`]: detects the protocol of an accepted connection by its first bytes, and serves it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use kerrors::Error;

pub use crate::BoxFuture;
use crate::call::{CallKind, OutgoingCall, UnaryRequest, UnaryResponse};
use crate::cancel::Reason;
use crate::dial::{Dialer, Tried};
use crate::handler::ServerHandle;
use crate::io::Io;
use crate::stream::{Lease, NewStream, RecvStream, SendStream};
use crate::{Retryable, clock, rt};

/// A client's connection, shared by streams or exclusive to one.
pub trait Connection: Send + Sync + 'static {
    /// Opens a stream; waits while too much is queued (backpressure). Not called again after it is ready.
    ///
    /// # Errors
    /// [`STREAM_TIMEOUT`](kerrors::Code::STREAM_TIMEOUT) if the deadline has passed,
    /// [`ILLEGAL_OPERATION`](kerrors::Code::ILLEGAL_OPERATION) if the call cannot be encoded, and the error
    /// that the connection was closed with: then [`is_open`](Self::is_open) is `false`, nothing of the stream
    /// was sent, and another connection may be tried.
    fn poll_open(
        self: Arc<Self>,
        cx: &mut Context<'_>,
        call: &OutgoingCall<'_>,
    ) -> Poll<Result<NewStream, Error>>;

    /// Returns whether new streams may be opened.
    fn is_open(&self) -> bool;

    /// Returns whether another stream can use the connection, once its only stream has ended.
    fn is_reusable(&self) -> bool;

    /// Returns the number of streams that have not ended.
    fn live_streams(&self) -> usize;

    /// Returns whether the peer takes no more streams on it for now: it has refused one while as many were open as are.
    fn is_full(&self) -> bool {
        false
    }

    /// Returns the error that the connection was lost with, if that was before anything was received and was
    /// not a close by this side: it counts as a failed dial.
    fn lost_at_start(&self) -> Option<Error> {
        None
    }

    /// Refuses new streams, and closes the connection when no stream is left and all queued data is written.
    fn retire(&self);

    /// Waits until the connection is closed.
    fn closed(&self) -> BoxFuture<'_, ()>;
}

/// The transport of a client.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Starts a connection for streams, which is closed when it had no stream for `idle_timeout`.
    ///
    /// # Errors
    /// The peer does not speak this transport, or the connection was lost.
    fn connect(&self, io: Io, idle_timeout: Duration) -> BoxFuture<'_, Result<Arc<dyn Connection>, Error>>;

    /// Returns the name by which observers know what carries a call of this kind.
    fn protocol(&self, _kind: CallKind) -> &'static str {
        "unknown"
    }

    /// Returns the transport of ping-pong calls.
    fn unary(&self, paths: UnaryPaths) -> Arc<dyn UnaryTransport>;

    /// Returns the error of a call that `reason` ended before its stream was opened. `left` is the time that
    /// was left until its deadline. Default: the error of a TTHeader stream.
    fn not_opened(&self, reason: &Reason, call: &OutgoingCall<'_>, left: Option<Duration>) -> Error {
        reason.for_stream(call.caller, left).0.into()
    }
}

/// The ways in which a client's ping-pong calls can reach the server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UnaryPaths {
    /// Selects the instance of each call on a connection for ping-pong calls only.
    pub instances: Arc<dyn SelectInstance>,
    /// Connections from `instances` that are kept for later calls at most.
    pub max_idle: usize,
    /// The longest time that one is kept.
    pub idle_timeout: Duration,
    /// Opens streams on the connections of the client's pool.
    pub streams: Arc<dyn OpenStreams>,
}

/// Selects the instances that ping-pong calls of one client go to.
pub trait SelectInstance: fmt::Debug + Send + Sync + 'static {
    /// Selects an instance for `call`, none of those that were `tried`.
    ///
    /// # Errors
    /// All were tried: the error of the last one. There is none.
    fn select<'a>(
        &'a self,
        call: &'a OutgoingCall<'a>,
        tried: &'a mut Tried,
    ) -> BoxFuture<'a, Result<Selected, Error>>;

    /// Returns whether there is still an instance at `address`: if not, no call goes to it any more.
    fn has(&self, address: &str) -> bool;
}

/// An instance that was selected for a call, which counts as its load until this is dropped.
pub struct Selected {
    dialer: Arc<Dialer>,
    load: Option<Lease>,
    /// How long to wait for a dial, since another instance can be tried.
    limit: Option<Duration>,
    /// That of the call. A call that is dropped after it has failed by it.
    deadline: Option<Instant>,
}

impl Selected {
    pub(crate) fn new(
        dialer: Arc<Dialer>,
        load: Option<Lease>,
        limit: Option<Duration>,
        deadline: Option<Instant>,
    ) -> Self {
        Self { dialer, load, limit, deadline }
    }

    /// Returns the address of the instance.
    pub fn address(&self) -> &Arc<str> {
        self.dialer.address()
    }

    /// Returns a new byte stream to the instance; `None` if that is not possible, or takes long and another instance can
    /// be tried. `tried` then knows the instance, and why.
    pub async fn dial(&self, tried: &mut Tried) -> Option<Io> {
        match rt::timeout_if(self.limit, self.dialer.dial()).await {
            Some(Ok(io)) => return Some(io),
            Some(Err(error)) => tried.add(self.address(), error),
            None => self.dialer.takes_long(tried, self.limit.unwrap_or_default()),
        }
        None
    }

    /// Reports how the call ended. An instance whose calls and streams keep failing is ejected for a while.
    pub fn ended(mut self, error: Option<&Error>) {
        self.load.take().into_iter().for_each(|load| load.ended(error));
    }
}

impl Drop for Selected {
    fn drop(&mut self) {
        if let (Some(load), Some(deadline)) = (&self.load, self.deadline)
            && clock::now() >= deadline
        {
            load.ended(Some(&Error::Timeout("the deadline passed".to_owned())));
        }
    }
}

impl fmt::Debug for Selected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Selected").field(self.dialer.address()).finish()
    }
}

/// Opens streams on the connections of one client, for ping-pong calls. No observer sees them: the call is observed.
pub trait OpenStreams: fmt::Debug + Send + Sync + 'static {
    /// Opens a stream, as [`Client::open`](crate::client::Client::open) does, for a ping-pong call.
    ///
    /// # Errors
    /// As [`Client::open`](crate::client::Client::open).
    fn open<'a>(
        &'a self,
        call: &'a OutgoingCall<'a>,
    ) -> BoxFuture<'a, Result<(SendStream, RecvStream), Error>>;
}

/// Makes the ping-pong calls of one client.
pub trait UnaryTransport: fmt::Debug + Send + Sync + 'static {
    /// Makes a call. Dropping the future abandons the call.
    ///
    /// # Errors
    /// No connection could be established, or it was lost; the deadline passed; the scope was canceled. An
    /// error of the handler is in the response.
    fn call<'a>(&'a self, request: UnaryRequest<'a>) -> BoxFuture<'a, Result<UnaryResponse, UnaryFailure>>;

    /// Closes idle connections of its own. Default: it has none.
    fn close(&self) {}
}

/// Why a ping-pong call has no response.
#[derive(Clone, Debug)]
pub struct UnaryFailure {
    /// What the caller gets.
    pub error: Error,
    /// Whether the call may be made again.
    pub retryable: Retryable,
    /// The address of the instance that it was made at, if the call may be made again.
    pub refused_by: Option<Arc<str>>,
}

impl UnaryFailure {
    /// Returns a failure with `error`.
    pub fn new(error: Error, retryable: Retryable) -> Self {
        Self { error, retryable, refused_by: None }
    }
}

/// The call may not be made again.
impl From<Error> for UnaryFailure {
    fn from(error: Error) -> Self {
        Self::new(error, Retryable::Never)
    }
}

/// The number of bytes by which a server detects a protocol.
pub const PREFACE_LEN: usize = 8;

/// A connection that a server accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The byte stream.
    pub io: Io,
    /// The bytes already read from it, starting with the preface.
    pub read: BytesMut,
}

/// A protocol that a server speaks. The first of a server's protocols that detects its preface serves a
/// connection.
pub trait Protocol: fmt::Debug + Send + Sync + 'static {
    /// Returns the name of the protocol, for log lines.
    fn name(&self) -> &'static str;

    /// Returns whether a connection that starts with `preface` is of this protocol.
    fn detect(&self, preface: &[u8; PREFACE_LEN]) -> bool;

    /// Serves a connection until it is closed, or the server shuts down.
    ///
    /// # Errors
    /// The connection was lost, or the peer violated the protocol.
    fn serve(&self, accepted: Accepted, server: ServerHandle) -> BoxFuture<'static, io::Result<()>>;
}
