//! What a call starts with and ends with, as values. Each transport writes them in its own keys.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::{ApplicationException, Error, RecvTimeout};

use crate::cancel::Scope;
use crate::io::Address;
use crate::metainfo::{Metainfo, Pair};
use crate::{Metadata, Method};

/// What a client starts a stream or a ping-pong call with.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingCall<'a> {
    /// The method.
    pub method: &'a Method,
    /// The name of the service that is called.
    pub callee: &'a str,
    /// The caller's own service name: the name that a cancel adds to its path.
    pub caller: &'a Arc<str>,
    /// Metainfo that travels with the call.
    pub metainfo: Option<&'a Metainfo>,
    /// Headers set by the user.
    pub headers: &'a Metadata,
    /// The scope that ends the call when it is canceled. `None`: only the stream's own handles do.
    pub scope: Option<&'a Scope>,
    /// The instant at which the call ends by itself.
    pub deadline: Option<Instant>,
    /// The deadline that the peer is sent, if it differs from `deadline`.
    pub wire_deadline: Option<Instant>,
    /// The longest wait of each Recv. Default: unlimited.
    pub recv_timeout: Option<RecvTimeout>,
    /// The longest wait of each Send; then the stream ends with code 12904. Default: unlimited.
    pub send_timeout: Option<Duration>,
}

/// What a peer started a stream or a ping-pong call with.
#[derive(Clone, Debug)]
pub struct CallHead {
    /// The service's name in the IDL, as the client sent it; empty if it sent none.
    pub service: Bytes,
    /// The method's name, as the client sent it.
    pub method: Bytes,
    /// Every string of the header, metainfo included, under its key on the wire.
    pub metadata: Metadata,
    /// The caller's metainfo. `None` if there is none.
    pub metainfo: Option<Metainfo>,
    /// The time that was left until the client's deadline, if it sent one.
    pub timeout: Option<Duration>,
    /// The address of the client.
    pub peer: Address,
}

impl CallHead {
    /// Returns `Service.Method`, as error texts name a call.
    pub fn call_name(&self) -> String {
        call_name(&self.service, &self.method)
    }
}

/// Returns `Service.Method`, as error texts name a call.
pub fn call_name(service: &[u8], method: &[u8]) -> String {
    format!("{}.{}", String::from_utf8_lossy(service), String::from_utf8_lossy(method))
}

/// What a handler ends a stream with.
#[derive(Debug, Default)]
pub struct StreamEnd {
    /// The trailer.
    pub trailer: Metadata,
    /// Metainfo that is sent back to the caller.
    pub backward: Vec<Pair>,
    /// The error, if the handler failed.
    pub error: Option<HandlerError>,
}

/// Why a handler's call failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HandlerError {
    /// The handler returned an error.
    Returned(Error),
    /// No handler ran, or it panicked.
    Refused(ApplicationException),
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
        }
    }
}

/// A ping-pong call that a client makes.
#[derive(Clone, Copy)]
pub struct UnaryRequest<'a> {
    /// What the call starts with.
    pub call: OutgoingCall<'a>,
    /// The encoded arguments.
    pub body: &'a Bytes,
}

/// The response to a ping-pong call: as a client receives it, or, with [`HandlerError`], as a handler gives it.
pub struct UnaryResponse<E = Error> {
    /// Headers of the response.
    pub metadata: Metadata,
    /// Metainfo that the handler sends back to the caller.
    pub backward: Vec<Pair>,
    /// The encoded result, or the error that the handler ended with.
    pub result: Result<Bytes, E>,
}

/// A ping-pong call that a handler serves.
pub struct UnaryCall {
    /// What the client started the call with.
    pub head: CallHead,
    /// The encoded arguments.
    pub body: Bytes,
    /// Canceled when the connection closes (unless the call is oneway), and when the handler has returned.
    pub scope: Scope,
}

impl UnaryResponse<HandlerError> {
    /// Returns the response to a call that no handler served.
    pub fn refused(exception: ApplicationException) -> Self {
        let result = Err(HandlerError::Refused(exception));
        Self { metadata: Metadata::new(), backward: Vec::new(), result }
    }
}

/// `Debug` prints the length of a body, not its content: it may be a secret.
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
