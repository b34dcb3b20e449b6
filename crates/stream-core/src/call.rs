//! The values that a call starts and ends with. Each transport encodes them in its own way.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::{ApplicationException, Error, RecvTimeout, StreamError};

use crate::cancel::Scope;
use crate::io::Address;
use crate::metainfo::{Metainfo, Pair};
use crate::overload::Overload;
use crate::{Extensions, Metadata, Method};

/// Whether a call is a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallKind {
    /// A stream, in any direction.
    Stream,
    /// One request, one response or none.
    PingPong,
}

/// The head of a stream or ping-pong call that a client starts.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct OutgoingCall<'a> {
    /// The method.
    pub method: &'a Method,
    /// The name of the service that is called.
    pub callee: &'a Arc<str>,
    /// The caller's own service name, which a cancel adds to its path.
    pub caller: &'a Arc<str>,
    /// The name of the method whose handler makes the call; empty outside of handlers.
    pub caller_method: &'a str,
    /// Metainfo sent with the call.
    pub metainfo: Option<&'a Metainfo>,
    /// Headers set by the user.
    pub headers: &'a Metadata,
    /// Values of the call's context, for observers. They are not sent.
    pub extensions: Option<&'a Extensions>,
    /// The address that the call goes to, whatever the client's instances are. `None`: the client's balancer selects an
    /// instance.
    pub address: Option<&'a str>,
    /// A tag, key and value, that the instance must have.
    pub tag: Option<(&'a str, &'a str)>,
    /// Whether the handler is idempotent until its first message, so that the call may be tried again if its connection is
    /// lost before that. `None`: as the client's [`Retry`](crate::client::Retry) says.
    pub idempotent: Option<bool>,
    /// The scope whose cancel ends the call. `None`: only the stream's own handles can cancel it.
    pub scope: Option<&'a Scope>,
    /// The deadline of the call.
    pub deadline: Option<Instant>,
    /// The deadline sent to the peer, if it differs from `deadline`.
    pub wire_deadline: Option<Instant>,
    /// The timeout of each Recv. Default: none.
    pub recv_timeout: Option<RecvTimeout>,
    /// The timeout of each Send; then the stream ends with [`SEND_TIMEOUT`](kerrors::Code::SEND_TIMEOUT).
    /// Default: none.
    pub send_timeout: Option<Duration>,
}

static NO_HEADERS: Metadata = Metadata::new();

impl<'a> OutgoingCall<'a> {
    /// Returns a call of `method` at the service `callee` by the service `caller`, without metainfo, headers, deadline
    /// and timeouts, and under no scope.
    pub fn new(method: &'a Method, callee: &'a Arc<str>, caller: &'a Arc<str>) -> Self {
        Self {
            method,
            callee,
            caller,
            caller_method: "",
            metainfo: None,
            headers: &NO_HEADERS,
            extensions: None,
            address: None,
            tag: None,
            idempotent: None,
            scope: None,
            deadline: None,
            wire_deadline: None,
            recv_timeout: None,
            send_timeout: None,
        }
    }
}

/// The head of a stream or ping-pong call that a peer has started.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallHead {
    /// The service's name in the IDL, as the client sent it; empty if it sent none.
    pub service: Bytes,
    /// The method's name, as the client sent it.
    pub method: Bytes,
    /// Every string of the header but the service's name, metainfo included, under its key on the wire.
    pub metadata: Metadata,
    /// The caller's metainfo. `None` if there is none.
    pub metainfo: Option<Metainfo>,
    /// The time that was left until the client's deadline, if it sent one.
    pub timeout: Option<Duration>,
    /// The address of the client.
    pub peer: Address,
    /// The name of the calling service, if a header has it.
    pub caller: Option<Bytes>,
    /// The protocol of the call, as Kitex names it: `TTHeaderStreaming`, `TTHeader`, `Framed`, `GRPC`.
    pub protocol: &'static str,
    /// Values that observers set for the handler, and those of its connection, such as the peer's certificates.
    /// Transports leave it empty.
    pub extensions: Extensions,
}

impl CallHead {
    /// Returns the head of a call of a method, carried by `protocol`, without metadata, metainfo and timeout.
    pub fn new(service: Bytes, method: Bytes, peer: Address, protocol: &'static str) -> Self {
        Self {
            service,
            method,
            metadata: Metadata::new(),
            metainfo: None,
            timeout: None,
            peer,
            caller: None,
            protocol,
            extensions: Extensions::default(),
        }
    }

    /// Returns `Service.Method`, as error texts name a call.
    pub fn call_name(&self) -> String {
        call_name(&self.service, &self.method)
    }
}

/// Returns a name that a peer has sent, with U+FFFD for what is no UTF-8.
pub fn name_text(name: &[u8]) -> Cow<'_, str> {
    // Valid text is checked faster so.
    std::str::from_utf8(name).map_or_else(|_| String::from_utf8_lossy(name), Cow::Borrowed)
}

/// Returns `Service.Method`, as error texts name a call.
pub fn call_name(service: &[u8], method: &[u8]) -> String {
    format!("{}.{}", name_text(service), name_text(method))
}

/// The end of a stream that a handler has served.
#[derive(Debug, Default)]
pub struct StreamEnd {
    /// The trailer.
    pub trailer: Metadata,
    /// Metainfo that is sent back to the caller.
    pub backward: Vec<Pair>,
    /// The error, if the handler failed.
    pub error: Option<HandlerError>,
}

/// The error of a handler's stream or call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HandlerError {
    /// The handler returned an error.
    Returned(Error),
    /// No handler ran, or it panicked.
    Refused(ApplicationException),
    /// No handler ran, since a limit of the server was reached: the call may be made elsewhere.
    Overloaded(Overload),
}

impl StreamEnd {
    /// Returns the end of a handler that returned `error`.
    pub fn failed(error: Error) -> Self {
        Self { error: Some(HandlerError::Returned(error)), ..Self::default() }
    }

    /// Returns the end of a stream that no handler served.
    pub fn refused(exception: ApplicationException) -> Self {
        Self { error: Some(HandlerError::Refused(exception)), ..Self::default() }
    }
}

impl From<HandlerError> for Error {
    fn from(error: HandlerError) -> Self {
        match error {
            HandlerError::Returned(error) => error,
            HandlerError::Refused(exception) => Self::Remote(exception),
            HandlerError::Overloaded(overload) => StreamError::from(overload).into(),
        }
    }
}

/// A ping-pong call that a client makes.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct UnaryRequest<'a> {
    /// The head of the call.
    pub call: OutgoingCall<'a>,
    /// The encoded arguments.
    pub body: &'a Bytes,
    /// Receives events that only the transport sees. `None`: the call has no observer.
    pub events: Option<&'a dyn UnaryEvents>,
    /// The address of the instance that has refused the call before: others are preferred.
    pub refused_by: Option<&'a Arc<str>>,
}

/// Receives events of a ping-pong call that only the transport sees.
pub trait UnaryEvents: Send + Sync {
    /// The call has a connection.
    fn connected(&self, local: &Address, peer: &Address);

    /// Its arguments, with this number of bytes, were passed to the connection.
    fn sent(&self, bytes: usize);
}

impl<'a> UnaryRequest<'a> {
    /// Returns a call with these arguments and without an observer.
    pub fn new(call: OutgoingCall<'a>, body: &'a Bytes) -> Self {
        Self { call, body, events: None, refused_by: None }
    }

    /// The call has a connection. Called once by transports.
    pub fn connected(&self, local: &Address, peer: &Address) {
        self.events.into_iter().for_each(|events| events.connected(local, peer));
    }

    /// The arguments were passed to the connection. Called once by transports.
    pub fn sent(&self) {
        self.events.into_iter().for_each(|events| events.sent(self.body.len()));
    }
}

/// The response to a ping-pong call: as a client receives it, or, with [`HandlerError`], as a handler returns
/// it.
pub struct UnaryResponse<E = Error> {
    /// Headers of the response.
    pub metadata: Metadata,
    /// What stands behind the response. A transport without trailers of calls puts it beside the headers.
    pub trailer: Metadata,
    /// Metainfo that the handler sends back to the caller.
    pub backward: Vec<Pair>,
    /// The encoded result, or the error that the handler ended with.
    pub result: Result<Bytes, E>,
}

/// A ping-pong call that a handler serves.
pub struct UnaryCall {
    /// The head that the client started the call with.
    pub head: CallHead,
    /// The encoded arguments.
    pub body: Bytes,
    /// Canceled when the connection closes (unless the call is oneway) and when the handler returns.
    pub scope: Scope,
    /// The address of this end.
    pub local: Address,
}

impl UnaryResponse<HandlerError> {
    /// Returns the response to a call that no handler served.
    pub fn refused(exception: ApplicationException) -> Self {
        Self::failed(HandlerError::Refused(exception))
    }

    /// Returns the response to a call that ended with `error`, without metadata.
    pub fn failed(error: HandlerError) -> Self {
        let result = Err(error);
        Self { metadata: Metadata::new(), trailer: Metadata::new(), backward: Vec::new(), result }
    }
}

/// `Debug` prints the length of a body, not its content, which may be secret.
impl fmt::Debug for UnaryRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnaryRequest").field("call", &self.call).field("body", &self.body.len()).finish()
    }
}

impl<E: fmt::Debug> fmt::Debug for UnaryResponse<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = self.result.as_ref().map(Bytes::len);
        f.debug_struct("UnaryResponse")
            .field("metadata", &self.metadata)
            .field("result", &result)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for UnaryCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnaryCall")
            .field("head", &self.head)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}
