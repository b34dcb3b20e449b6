//! What one call or stream may have of its own.

use std::time::Duration;

use kerrors::RecvTimeout;
use stream_core::Metadata;

/// What one call or stream may have of its own.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CallOptions {
    /// How long each Recv may wait.
    pub recv_timeout: Option<RecvTimeout>,
    /// How long each Send may wait. Then the stream ends with 12904.
    pub send_timeout: Option<Duration>,
    /// Strings that the header takes along, beside metainfo.
    pub headers: Metadata,
}
