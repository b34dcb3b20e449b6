//! The seam between streams and what carries them. A transport implements these traits; everything else of
//! this crate knows transports by them alone.
//!
//! - [`TransportStream`](crate::stream::TransportStream): one end of one stream, behind the handles that users hold.
//! - [`Connection`]: a client's connection, in a pool.
//! - [`Transport`]: makes a client's connections, and its ping-pong calls.
//! - [`Protocol`]: recognizes a connection that a server accepted by its first bytes, and serves it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use kerrors::Error;

pub use crate::BoxFuture;
use crate::call::{OutgoingCall, UnaryRequest, UnaryResponse};
use crate::cancel::Reason;
use crate::dial::Dialer;
use crate::handler::ServerHandle;
use crate::io::Io;
use crate::stream::{NewStream, RecvStream, SendStream};

/// A client's connection, shared by streams or of one stream alone.
pub trait Connection: Send + Sync + 'static {
    /// Opens a stream; waits while too much is queued. Not called again after it is ready.
    ///
    /// # Errors
    /// Code 12015 if the deadline has passed, 12005 if the call cannot be encoded, and what the connection
    /// was closed with: then [`is_open`](Self::is_open) is `false`, nothing of the stream was sent, and
    /// another connection may be tried.
    fn poll_open(
        self: Arc<Self>,
        cx: &mut Context<'_>,
        call: &OutgoingCall<'_>,
    ) -> Poll<Result<NewStream, Error>>;

    /// Returns whether new streams may be opened on it.
    fn is_open(&self) -> bool;

    /// Returns whether it can be used again by another stream, once its only stream has ended.
    fn is_reusable(&self) -> bool;

    /// Returns the number of streams that have not ended.
    fn live_streams(&self) -> usize;

    /// Returns what the connection was lost with, if that was before anything came from the peer and nobody here
    /// has asked for it: it counts as a dial that failed.
    fn lost_at_start(&self) -> Option<Error> {
        None
    }

    /// Takes no new stream any more, and closes the connection when none is left and all is written.
    fn retire(&self);

    /// Waits until the connection is closed.
    fn closed(&self) -> BoxFuture<'_, ()>;
}

/// How a client speaks to its server.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Makes a connection for streams that is closed when it has had none for `idle_timeout`.
    ///
    /// # Errors
    /// The peer does not speak this transport, or the socket is lost.
    fn connect(&self, io: Io, idle_timeout: Duration) -> BoxFuture<'_, Result<Arc<dyn Connection>, Error>>;

    /// Returns what makes ping-pong calls.
    fn unary(&self, paths: UnaryPaths) -> Arc<dyn UnaryTransport>;

    /// Returns the error of a call that `reason` ended before its stream was opened. `left` is the time that was
    /// left until its deadline. Default: the error that the stream would have ended with, as a TTHeader stream.
    fn not_opened(&self, reason: &Reason, call: &OutgoingCall<'_>, left: Option<Duration>) -> Error {
        reason.for_stream(call.caller, left).0.into()
    }
}

/// The ways by which a client's ping-pong calls can reach the server.
#[derive(Clone, Debug)]
pub struct UnaryPaths {
    /// Makes connections that nothing else uses.
    pub dialer: Arc<Dialer>,
    /// Whether connections from `dialer` are kept for later calls.
    pub reuse: bool,
    /// Opens streams on the connections of the client's pool.
    pub streams: Arc<dyn OpenStreams>,
}

/// Opens streams on the connections of one client.
pub trait OpenStreams: fmt::Debug + Send + Sync + 'static {
    /// Opens a stream, as [`Client::open`](crate::client::Client::open) does.
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
    /// Makes a call. Dropping the future gives it up.
    ///
    /// # Errors
    /// No connection could be had, or it was lost; the deadline passed; the scope was canceled. What the
    /// handler ended with is the response's.
    fn call<'a>(&'a self, request: UnaryRequest<'a>) -> BoxFuture<'a, Result<UnaryResponse, Error>>;
}

/// The number of bytes by which a server recognizes a protocol.
pub const PREFACE_LEN: usize = 8;

/// A connection that a server accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The byte stream.
    pub io: Io,
    /// Bytes that were read from it, the preface first.
    pub read: BytesMut,
}

/// A protocol that a server speaks. The first of a server's protocols that recognizes a connection serves it.
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
