//! Everything a call or a stream may end with, in one type for the door.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::{ApplicationException, BizStatusError, CancelPath, Code, GrpcStatus, Kind, Side, StreamError};

/// The result of a call, a Send or a Recv.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How a call or a stream ended, if not well.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A stream ended: canceled, timed out, refused, failed.
    Stream(StreamError),
    /// A gRPC stream ended: canceled, timed out, refused, failed.
    Grpc(GrpcStatus),
    /// The service answered with a business error.
    Biz(BizStatusError),
    /// A ping-pong call's handler failed at the remote end.
    Remote(ApplicationException),
    /// No connection could be had.
    Connect {
        /// The address as it was given.
        address: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A ping-pong call's connection was lost, or its answer made no sense.
    Network(Arc<dyn StdError + Send + Sync>),
    /// A ping-pong call had no answer in time.
    Timeout(String),
    /// A message could not be encoded or decoded. Nothing else of the stream is harmed.
    Codec(Arc<dyn StdError + Send + Sync>),
    /// Anything that a handler wants to end with; the peer reads its text.
    Other(Arc<dyn StdError + Send + Sync>),
}

impl Error {
    /// An error of the handler's own: the peer sees its text, after `biz error: `.
    pub fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Other(error.into().into())
    }

    /// A message that cannot be encoded or decoded.
    pub fn codec(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Codec(error.into().into())
    }

    /// A ping-pong call whose connection failed it.
    pub fn network(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Network(error.into().into())
    }

    /// An answer that holds neither a result nor an exception.
    pub fn missing_result(method: &str) -> Self {
        let text = format!("{method} failed: unknown result");
        Self::Remote(ApplicationException::new(ApplicationException::MISSING_RESULT, text))
    }

    /// The stream error, if it is one.
    pub fn stream(&self) -> Option<&StreamError> {
        match self {
            Self::Stream(error) => Some(error),
            _ => None,
        }
    }

    /// The business error, if it is one.
    pub fn biz(&self) -> Option<&BizStatusError> {
        match self {
            Self::Biz(error) => Some(error),
            _ => None,
        }
    }

    /// Code of the stream error.
    pub fn code(&self) -> Option<Code> {
        self.stream().map(StreamError::code)
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

    /// Returns the kind of the stream error or of the gRPC status.
    pub fn kind(&self) -> Option<Kind> {
        self.stream().map(StreamError::kind).or_else(|| self.grpc_status().map(GrpcStatus::kind))
    }

    /// Returns whether the stream still works and Recv may be called again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Stream(error) => error.is_retryable(),
            Self::Grpc(status) => status.is_retryable(),
            _ => false,
        }
    }

    /// Which end of the stream it was seen at.
    pub fn side(&self) -> Option<Side> {
        self.stream().and_then(StreamError::side)
    }

    /// Whether somebody canceled the stream: its caller, or its callee.
    pub fn is_canceled(&self) -> bool {
        self.kind() == Some(Kind::Canceled)
    }

    /// The services along which a cancel came.
    pub fn path(&self) -> Option<&CancelPath> {
        self.stream().and_then(StreamError::path)
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
            Self::Codec(error) | Self::Other(error) => error.fmt(f),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Stream(error) => error.source(),
            Self::Connect { source, .. } => Some(&**source),
            Self::Network(error) | Self::Codec(error) | Self::Other(error) => error.source(),
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
