//! The error type of calls and streams.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::{
    ApplicationException, BizStatusError, CancelPath, Code, ErrorKind, GrpcStatus, Side, StreamError,
};

/// The result of a call, a Send or a Recv.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call or a stream failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A stream ended: canceled, timed out, refused, failed.
    Stream(StreamError),
    /// A gRPC stream ended: canceled, timed out, refused, failed.
    Grpc(GrpcStatus),
    /// The service returned a business error.
    Biz(BizStatusError),
    /// The handler of a ping-pong call failed.
    Remote(ApplicationException),
    /// No connection could be established.
    Connect {
        /// The address, as given.
        address: String,
        /// The error of the system.
        source: Arc<io::Error>,
    },
    /// The connection of a ping-pong call was lost, or its response was invalid.
    Network(Arc<dyn StdError + Send + Sync>),
    /// A ping-pong call got no response in time.
    Timeout(String),
    /// A message could not be encoded or decoded. The stream itself is not affected.
    Codec(Arc<dyn StdError + Send + Sync>),
    /// The context of a call or of a handler has ended. The text is the reason's.
    Context {
        /// [`ErrorKind::Canceled`] or [`ErrorKind::Timeout`].
        kind: ErrorKind,
        /// The reason.
        reason: Arc<dyn StdError + Send + Sync>,
    },
    /// Any other error that a handler returns; the peer gets its text.
    Other(Arc<dyn StdError + Send + Sync>),
}

impl Error {
    /// Returns a custom error of a handler: the peer gets its text, after `biz error: `.
    pub fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Other(error.into().into())
    }

    /// Returns the error of a message that cannot be encoded or decoded.
    pub fn codec(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Codec(error.into().into())
    }

    /// Returns the error of a ping-pong call whose connection failed.
    pub fn network(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Network(error.into().into())
    }

    /// Returns the error of a response with neither a result nor an exception.
    pub fn missing_result(method: &str) -> Self {
        let text = format!("{method} failed: unknown result");
        Self::Remote(ApplicationException::new(ApplicationException::MISSING_RESULT, text))
    }

    /// Returns the stream error, if it is one.
    pub fn stream(&self) -> Option<&StreamError> {
        match self {
            Self::Stream(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the business error, if it is one.
    pub fn biz(&self) -> Option<&BizStatusError> {
        match self {
            Self::Biz(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the code of the stream error, of the cancel behind a gRPC status, or else the number of the gRPC status
    /// (0 to 20, which no constant of [`Code`] has). `None` for errors without a code on the wire, and for
    /// [`biz`](Self::biz) errors, whose code is the service's own.
    pub fn code(&self) -> Option<Code> {
        let of_status = |status: &GrpcStatus| Code::new(i32::try_from(status.code()).unwrap_or(i32::MAX));
        let of_stream = self.stream().or_else(|| self.grpc_origin()).map(StreamError::code);
        of_stream.or_else(|| self.grpc_status().map(of_status))
    }

    /// Returns the gRPC status, if the stream or call was carried by gRPC and failed with one. The text of a unary
    /// call's error is `remote or network error: ` and then the status's.
    pub fn grpc_status(&self) -> Option<&GrpcStatus> {
        match self {
            Self::Grpc(status) => Some(status),
            Self::Network(error) => error.downcast_ref(),
            _ => None,
        }
    }

    /// Returns the kind, which every error has: what a program should branch on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Stream(error) => error.kind(),
            Self::Grpc(status) => status.kind(),
            Self::Biz(_) => ErrorKind::Business,
            Self::Remote(exception) => exception.kind(),
            Self::Connect { .. } => ErrorKind::Connection,
            Self::Network(_) => self.grpc_status().map_or(ErrorKind::Connection, GrpcStatus::kind),
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::Codec(_) => ErrorKind::Codec,
            Self::Context { kind, .. } => *kind,
            Self::Other(_) => ErrorKind::Application,
        }
    }

    /// Returns the text without code, side and path: of a cancel its cause, of a gRPC status its message.
    pub fn message(&self) -> Cow<'_, str> {
        match (self, self.grpc_status()) {
            (Self::Stream(error), _) => error.message().into(),
            (_, Some(status)) => status.message().into(),
            (Self::Biz(error), _) => (&*error.message).into(),
            (Self::Remote(exception), _) => exception.text(),
            _ => self.to_string().into(),
        }
    }

    /// Returns whether the stream still works and Recv may be called again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Stream(error) => error.is_retryable(),
            Self::Grpc(status) => status.is_retryable(),
            _ => false,
        }
    }

    /// Returns the end of the stream at which the error occurred; of a gRPC status only where the cancel behind it is
    /// known.
    pub fn side(&self) -> Option<Side> {
        self.stream().or_else(|| self.grpc_origin()).and_then(StreamError::side)
    }

    /// Returns whether the call or stream was canceled: whether [`kind`](Self::kind) is [`ErrorKind::Canceled`].
    pub fn is_canceled(&self) -> bool {
        self.kind() == ErrorKind::Canceled
    }

    /// Returns whether the program of a caller, or of a service on the cancel path, ended the call on purpose: a cancel
    /// (codes 12007 to 12012 and gRPC's 1). False for a closed connection and for a timeout, which the peer's Rst reports
    /// as a cancel too. Alerts should not fire for it: the user has pressed Stop.
    pub fn is_user_cancel(&self) -> bool {
        let of_code = |code: Code| (Code::CANCELED..=Code::HANDLER_RETURNED).contains(&code);
        let error = self.stream().or_else(|| self.grpc_origin());
        self.is_canceled() && error.is_none_or(|error| of_code(error.code()))
    }

    /// Returns the cancel path: the services that a cancel passed, over TTHeader Streaming or gRPC.
    pub fn path(&self) -> Option<&CancelPath> {
        self.stream().or_else(|| self.grpc_origin()).and_then(StreamError::path)
    }

    fn grpc_origin(&self) -> Option<&StreamError> {
        self.grpc_status().and_then(GrpcStatus::origin)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => error.fmt(f),
            Self::Grpc(status) => status.fmt(f),
            Self::Biz(error) => error.fmt(f),
            Self::Remote(error) => write!(f, "remote or network error[remote]: {error}"),
            Self::Connect { address, source } => write!(f, "cannot connect to {address}: {source}"),
            Self::Network(error) => write!(f, "remote or network error: {error}"),
            Self::Timeout(text) => write!(f, "rpc timeout: {text}"),
            Self::Codec(error) | Self::Other(error) | Self::Context { reason: error, .. } => error.fmt(f),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Stream(error) => error.source(),
            Self::Connect { source, .. } => Some(&**source),
            Self::Network(error)
            | Self::Codec(error)
            | Self::Other(error)
            | Self::Context { reason: error, .. } => error.source(),
            Self::Grpc(_) | Self::Biz(_) | Self::Remote(_) | Self::Timeout(_) => None,
        }
    }
}

impl From<StreamError> for Error {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl From<GrpcStatus> for Error {
    fn from(status: GrpcStatus) -> Self {
        Self::Grpc(status)
    }
}

impl From<BizStatusError> for Error {
    fn from(error: BizStatusError) -> Self {
        Self::Biz(error)
    }
}
