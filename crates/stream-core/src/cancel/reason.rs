//! Why a scope was canceled, and what that makes of a stream that was opened under it. Owns the rules
//! of Kitex by which a cancel gets its code and its path at each hop.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kerrors::{CancelPath, Code, Error as KitexError, GrpcStatus, NON_TTSTREAM_PATH, Side, StreamError};

/// Why a scope was canceled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// Somebody here canceled it.
    Canceled,
    /// Somebody here canceled it and said why.
    Cause(Arc<dyn Error + Send + Sync>),
    /// Its deadline passed.
    DeadlineExceeded,
    /// A stream that it belongs to ended: canceled by the upstream, its connection lost, its handler
    /// returned.
    Stream(StreamError),
    /// Something that is no TTHeader stream canceled it, a gRPC handler for one.
    Foreign(Arc<dyn Error + Send + Sync>),
}

impl Reason {
    /// What a stream that `service` opened under the scope ends with, and the path that it tells its
    /// peer. `timeout` is what was left until the scope's deadline when the stream was opened.
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
            Self::Stream(error) => {
                let path = error.path().map_or_else(|| CancelPath::of(service), |path| path.then(service));
                (error.clone().on_side(Side::Client), path)
            }
            Self::Foreign(cause) => {
                let error = StreamError::new(Code::INTERNAL_CANCELED).with_source(cause.clone());
                (error.on_side(Side::Client), CancelPath::of(NON_TTSTREAM_PATH).then(service))
            }
        }
    }

    /// The stream error behind it: code, side and path.
    pub fn stream(&self) -> Option<&StreamError> {
        match self {
            Self::Stream(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Reason> for KitexError {
    /// What a handler may end with that was told: the stream's error, or the reason's own words.
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Stream(error) => error.into(),
            Reason::Foreign(cause) => match cause.downcast_ref::<GrpcStatus>() {
                Some(status) => status.clone().into(),
                None => Self::other(Reason::Foreign(cause)),
            },
            other => Self::other(other),
        }
    }
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
