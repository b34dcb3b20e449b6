//! Why a scope was canceled, and the error that a stream opened under it ends with. Owns Kitex's rules for
//! the code and the path of a cancel at each hop.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kerrors::{
    CancelPath, Code, Error as KitexError, ErrorKind, GrpcStatus, NON_TTSTREAM_PATH, Side, StreamError,
};

/// Why a scope was canceled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// Code of this service canceled it.
    Canceled,
    /// Code of this service canceled it, with a cause.
    Cause(Arc<dyn Error + Send + Sync>),
    /// Its deadline passed.
    DeadlineExceeded,
    /// A stream that it belongs to ended: canceled by the upstream, its connection lost, its handler
    /// returned.
    Stream(StreamError),
    /// A cancel that is not of a TTHeader stream, for example of a gRPC handler.
    Foreign(Arc<dyn Error + Send + Sync>),
}

impl Reason {
    /// Returns the error that a stream opened by `service` under the scope ends with, and the cancel path
    /// that it sends to its peer. `timeout` is the time that was left until the scope's deadline when the
    /// stream was opened.
    pub fn for_stream(&self, service: &str, timeout: Option<Duration>) -> (StreamError, CancelPath) {
        match self {
            Self::Canceled => {
                (StreamError::new(Code::CANCELED).on_side(Side::Client), CancelPath::of(service))
            }
            Self::Cause(cause) => {
                let error = StreamError::new(Code::CANCELED_WITH_CAUSE).with_source(cause.clone());
                (error.on_side(Side::Client), CancelPath::of(service))
            }
            Self::DeadlineExceeded => (StreamError::stream_timeout(timeout), CancelPath::of(service)),
            Self::Stream(error) => passed_on(error, service),
            Self::Foreign(cause) => {
                if let Some(origin) = cause.downcast_ref::<GrpcStatus>().and_then(GrpcStatus::origin) {
                    return passed_on(origin, service);
                }
                let error = StreamError::new(Code::INTERNAL_CANCELED).with_source(cause.clone());
                (error.on_side(Side::Client), CancelPath::of(NON_TTSTREAM_PATH).then(service))
            }
        }
    }

    /// Returns whether the cause is the end of a stream above, over any transport, and not a cancel in this process or a
    /// deadline.
    pub fn is_from_stream(&self) -> bool {
        match self {
            Self::Stream(_) => true,
            Self::Foreign(cause) => cause.is::<GrpcStatus>(),
            Self::Canceled | Self::Cause(_) | Self::DeadlineExceeded => false,
        }
    }

    /// Returns the stream error behind the reason, if there is one: code, side and path.
    pub fn stream(&self) -> Option<&StreamError> {
        match self {
            Self::Stream(error) => Some(error),
            _ => None,
        }
    }
}

/// What came from above goes on with one more name on its path.
fn passed_on(error: &StreamError, service: &str) -> (StreamError, CancelPath) {
    let path = error.path().map_or_else(|| CancelPath::of(service), |path| path.then(service));
    (error.clone().on_side(Side::Client), path)
}

impl From<Reason> for KitexError {
    /// What a handler may end with when its context has ended: the stream's error, or the reason's own words.
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Stream(error) => error.into(),
            Reason::Foreign(cause) => match cause.downcast_ref::<GrpcStatus>() {
                Some(status) => status.clone().into(),
                None => context_error(ErrorKind::Canceled, Reason::Foreign(cause)),
            },
            Reason::DeadlineExceeded => context_error(ErrorKind::Timeout, reason),
            Reason::Canceled | Reason::Cause(_) => context_error(ErrorKind::Canceled, reason),
        }
    }
}

fn context_error(kind: ErrorKind, reason: Reason) -> KitexError {
    KitexError::Context { kind, reason: Arc::new(reason) }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canceled => f.write_str("context canceled"),
            Self::DeadlineExceeded => f.write_str("context deadline exceeded"),
            Self::Stream(error) => error.fmt(f),
            Self::Cause(cause) | Self::Foreign(cause) => cause.fmt(f),
        }
    }
}

impl Error for Reason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Stream(error) => Some(error),
            Self::Cause(cause) | Self::Foreign(cause) => Some(&**cause),
            Self::Canceled | Self::DeadlineExceeded => None,
        }
    }
}
