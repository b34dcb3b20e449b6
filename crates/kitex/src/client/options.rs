//! Options of one call or stream.

use std::sync::Arc;
use std::time::Duration;

use kerrors::RecvTimeout;
use stream_core::Metadata;

/// Options of one call or stream.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CallOptions {
    /// The timeout of each Recv.
    pub recv_timeout: Option<RecvTimeout>,
    /// How long each Send may wait; then the stream ends with [`Code::SEND_TIMEOUT`](crate::Code::SEND_TIMEOUT).
    pub send_timeout: Option<Duration>,
    /// The address that the call goes to, whatever the client's instances are.
    pub address: Option<Arc<str>>,
    /// A tag, key and value, that the instance must have.
    pub tag: Option<(Arc<str>, Arc<str>)>,
    /// Whether the handler is idempotent until its first message, so that the call is also tried again if its connection is
    /// lost before that: see [`Retry::idempotent`](super::Retry::idempotent). `None`: as [`Retry`](super::Retry) says.
    pub idempotent: Option<bool>,
    /// Strings of the header, in addition to metainfo.
    pub headers: Metadata,
}
