//! Which openings of a client the server cannot have read. Owns no field: those are the [`Connection`]'s.

use std::time::Instant;

use super::super::id::StreamKey;
use super::Connection;

/// Client: the bytes that the byte stream was given, and the openings among them.
impl Connection {
    /// The header frame of a stream was queued last.
    #[inline]
    pub(in super::super) fn opened(&mut self, key: StreamKey, now: Instant) {
        self.peer.add_opening(key, self.outbound.end(), self.outbound.given(), now);
    }

    /// Returns the streams whose header frame was not given to the byte stream: the server has seen nothing of them.
    pub(in super::super) fn unsent_openings(&self) -> Vec<StreamKey> {
        self.peer.unsent(self.outbound.given())
    }

    /// Returns the stream that was opened just before `now`, by the last frame that the byte stream was given.
    pub(in super::super) fn last_opening(&self, now: Instant) -> Option<StreamKey> {
        self.peer.last(self.outbound.given(), now)
    }
}
