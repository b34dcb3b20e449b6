//! What a client knows of its server: which streams the server may not have read, and how many it accepts on the
//! connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use stream_core::UNREAD_FOR;

use super::id::{StreamId, StreamKey};

/// The largest number of streams that are recorded as unanswered. Others are not opened again if they are lost.
const MAX_UNANSWERED: usize = 4096;

/// How long a server that has refused a stream is assumed to refuse more than are open.
const REFUSED_FOR: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct PeerState {
    /// Streams that were opened lately, the oldest first, and when. The server has sent nothing on them, or on a later
    /// one, which it would have read after them.
    unanswered: VecDeque<(StreamKey, Instant)>,
    /// The server has refused a stream at this time, while so many others were open.
    refused: Option<(usize, Instant)>,
}

impl PeerState {
    /// The server has sent a frame on the stream `id`, so it has read everything up to its opening.
    #[inline]
    pub(super) fn on_received(&mut self, id: StreamId) {
        while self.unanswered.front().is_some_and(|(key, _)| key.id() <= id) {
            self.unanswered.pop_front();
        }
    }

    /// A stream is opened.
    #[inline]
    pub(super) fn add_unanswered(&mut self, key: StreamKey, now: Instant) {
        while self.unanswered.front().is_some_and(|(_, at)| !is_recent(*at, now)) {
            self.unanswered.pop_front();
        }
        if self.unanswered.len() < MAX_UNANSWERED {
            self.unanswered.push_back((key, now));
        }
    }

    /// Returns the streams that were opened just before `now` and that the server may not have read.
    pub(super) fn unanswered(&self, now: Instant) -> Vec<StreamKey> {
        self.unanswered.iter().filter(|(_, at)| is_recent(*at, now)).map(|(key, _)| *key).collect()
    }

    /// The server has refused a stream, beside `others` that are open.
    pub(super) fn refuse(&mut self, others: usize, now: Instant) {
        self.refused = Some((others, now));
    }

    /// Returns whether the server takes no more than the `live` streams that are open. Once a second one more is tried.
    pub(super) fn is_full(&mut self, live: usize, now: Instant) -> bool {
        let Some((streams, at)) = &mut self.refused else { return false };
        if live >= *streams && now.saturating_duration_since(*at) >= REFUSED_FOR {
            (*streams, *at) = (live.saturating_add(1), now);
        }
        live >= *streams
    }
}

fn is_recent(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) <= UNREAD_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unanswered_streams_are_those_opened_lately_and_after_the_last_that_was_read() {
        let (mut peer, start) = (PeerState::default(), Instant::now());
        let key = |id| StreamKey::new(0, StreamId::new(id).unwrap());
        let id = |id| StreamId::new(id).unwrap();
        peer.add_unanswered(key(1), start);
        peer.add_unanswered(key(2), start);
        // An answer to the first says nothing of the second.
        peer.on_received(id(1));
        assert_eq!(peer.unanswered(start), [key(2)]);
        peer.add_unanswered(key(3), start + Duration::from_millis(400));
        assert_eq!(peer.unanswered(start + UNREAD_FOR), [key(2), key(3)]);
        assert_eq!(peer.unanswered(start + UNREAD_FOR + Duration::from_millis(1)), [key(3)]);
        peer.on_received(id(3));
        assert_eq!(peer.unanswered(start), []);
    }

    #[test]
    fn is_full_holds_until_a_stream_ends_and_one_more_is_tried_each_second() {
        let (mut peer, start) = (PeerState::default(), Instant::now());
        assert!(!peer.is_full(100, start));
        peer.refuse(16, start);
        assert!(peer.is_full(16, start) && peer.is_full(99, start) && !peer.is_full(15, start));
        let later = start + REFUSED_FOR;
        assert!(!peer.is_full(16, later), "one more");
        assert!(peer.is_full(17, later));
    }
}
