//! The status of a gRPC call: code, text and details, and Kitex's text for them.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::text::{bounded, write_escaped};
use crate::{ErrorKind, RecvTimeout, StreamError};

/// How a gRPC stream or call ended. Cheap to clone.
///
/// Its text is Kitex's: `rpc error: code = 13 desc = handler failed [biz error]`, with control characters
/// escaped.
///
/// ```
/// let status = kerrors::GrpcStatus::new(1, "context canceled");
/// assert_eq!(status.to_string(), "rpc error: code = 1 desc = context canceled");
/// assert_eq!(status.kind(), kerrors::ErrorKind::Canceled);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct GrpcStatus(Arc<Parts>);

#[derive(Clone, PartialEq, Eq)]
struct Parts {
    code: u32,
    message: Cow<'static, str>,
    details: Vec<u8>,
    kind: ErrorKind,
    /// Whether the text is only the message.
    bare: bool,
    retryable: bool,
    /// The cancel behind it.
    origin: Option<StreamError>,
}

/// Names of the codes that gRPC and Kitex define.
impl GrpcStatus {
    /// Success.
    pub const OK: u32 = 0;
    /// The call was canceled. Kitex also uses it for an unknown method.
    pub const CANCELED: u32 = 1;
    /// The peer sent no code.
    pub const UNKNOWN: u32 = 2;
    /// The deadline passed.
    pub const DEADLINE_EXCEEDED: u32 = 4;
    /// The server does not implement what was asked for.
    pub const UNIMPLEMENTED: u32 = 12;
    /// Not permitted. Kitex also uses it for a message that cannot be decoded.
    pub const PERMISSION_DENIED: u32 = 7;
    /// A limit was exceeded.
    pub const RESOURCE_EXHAUSTED: u32 = 8;
    /// The handler failed, or a peer violated the protocol.
    pub const INTERNAL: u32 = 13;
    /// The server cannot be reached, or is shutting down.
    pub const UNAVAILABLE: u32 = 14;
    /// The caller is not authenticated.
    pub const UNAUTHENTICATED: u32 = 16;
    /// Kitex: no message was received within the Recv timeout.
    pub const RECV_TIMEOUT: u32 = 17;
    /// Kitex: the called service does not exist.
    pub const UNKNOWN_SERVICE: u32 = 20;
}

impl GrpcStatus {
    /// Returns a status of this end. Its kind follows from its code.
    pub fn new(code: u32, message: impl Into<Cow<'static, str>>) -> Self {
        let (message, kind) = (message.into(), kind_of(code));
        let (details, bare, retryable, origin) = (Vec::new(), false, false, None);
        Self(Arc::new(Parts { code, message, details, kind, bare, retryable, origin }))
    }

    /// Returns a status with a message received from a peer. At most 4 KiB of the message are kept.
    pub fn received(code: u32, message: &[u8]) -> Self {
        Self::new(code, bounded(message))
    }

    /// Returns a violation of the protocol: code 13, kind [`ErrorKind::Protocol`].
    pub fn protocol(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Self::INTERNAL, message).with_kind(ErrorKind::Protocol)
    }

    /// Returns the status of a stream that waited too long in Recv: code 17.
    pub fn recv_timeout(config: RecvTimeout) -> Self {
        let text = format!("stream Recv timeout, timeout config={config}");
        Self::new(Self::RECV_TIMEOUT, text).map(|parts| parts.retryable = config.disable_cancel_remote)
    }

    /// Returns the status of a stream whose connection was lost: code 2, kind [`ErrorKind::Connection`].
    pub fn connection_lost(remote: &dyn fmt::Display, error: &dyn fmt::Display) -> Self {
        let text = format!("error reading from server, remoteAddress={remote}, error={error}");
        let text = format!("connection error: desc = \"{text}\"");
        Self::new(Self::UNKNOWN, text).with_kind(ErrorKind::Connection).bare()
    }

    /// Returns the same status with another kind.
    #[must_use]
    pub fn with_kind(self, kind: ErrorKind) -> Self {
        self.map(|parts| parts.kind = kind)
    }

    /// Returns the same status with details: the bytes of a `google.rpc.Status`.
    #[must_use]
    pub fn with_details(self, details: impl Into<Vec<u8>>) -> Self {
        self.map(|parts| parts.details = details.into())
    }

    /// Returns the same status, with only the message as its text.
    #[must_use]
    pub fn bare(self) -> Self {
        self.map(|parts| parts.bare = true)
    }

    /// Returns the same status with the cancel behind it: code, path and cause, in the terms of TTHeader Streaming.
    /// Neither text nor kind change.
    #[must_use]
    pub fn with_origin(self, origin: StreamError) -> Self {
        self.map(|parts| parts.origin = Some(origin))
    }

    /// Returns the cancel behind the status: code, path and cause. `None` if nothing was canceled, or if the peer
    /// does not say more than the status does.
    pub fn origin(&self) -> Option<&StreamError> {
        self.0.origin.as_ref()
    }

    /// Returns the code.
    pub fn code(&self) -> u32 {
        self.0.code
    }

    /// Returns the kind, on which a program should branch.
    pub fn kind(&self) -> ErrorKind {
        match self.0.kind {
            ErrorKind::Application => ErrorKind::of_failure(&self.0.message),
            // Kitex's code of an unknown method is that of a cancel.
            ErrorKind::Canceled => ErrorKind::of_missing(&self.0.message, ErrorKind::Canceled),
            kind => kind,
        }
    }

    /// Returns the text without the code, as sent in `grpc-message`.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the details, the bytes of a `google.rpc.Status`; empty if there are none.
    pub fn details(&self) -> &[u8] {
        &self.0.details
    }

    /// Returns whether the text is only the message, as for a lost connection.
    pub fn is_bare(&self) -> bool {
        self.0.bare
    }

    /// Returns whether the stream still works and Recv may be called again.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    fn map(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

fn kind_of(code: u32) -> ErrorKind {
    match code {
        GrpcStatus::CANCELED => ErrorKind::Canceled,
        GrpcStatus::DEADLINE_EXCEEDED | GrpcStatus::RECV_TIMEOUT => ErrorKind::Timeout,
        GrpcStatus::RESOURCE_EXHAUSTED | GrpcStatus::UNAVAILABLE => ErrorKind::Refused,
        GrpcStatus::UNIMPLEMENTED | GrpcStatus::UNKNOWN_SERVICE => ErrorKind::Unimplemented,
        _ => ErrorKind::Application,
    }
}

impl fmt::Display for GrpcStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.bare {
            write!(f, "rpc error: code = {} desc = ", self.0.code)?;
        }
        write_escaped(f, &self.0.message)
    }
}

impl fmt::Debug for GrpcStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcStatus")
            .field("code", &self.0.code)
            .field("kind", &self.kind())
            .field("message", &self.0.message)
            .field("details", &self.0.details.len())
            .finish()
    }
}

impl Error for GrpcStatus {}
