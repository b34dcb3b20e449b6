//! What a client knows of its server: which openings the server cannot have read, and how many streams it accepts on the
//! connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use stream_core::UNREAD_FOR;

use super::id::StreamKey;

/// The largest number of openings that are recorded. Streams beyond it are not opened again if they are lost.
const MAX_OPENINGS: usize = 4096;

/// How long a server that has refused a stream is assumed to refuse more than are open.
const REFUSED_FOR: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct PeerState {
    /// Openings that end where the bytes given to the byte stream end, or further on, in their order.
    openings: VecDeque<Opening>,
    /// The server has refused a stream at this time, while so many others were open.
    refused: Option<(usize, Instant)>,
}

/// The header frame of a stream.
#[derive(Debug)]
struct Opening {
    key: StreamKey,
    /// Where it ends among all bytes of the connection.
    end: u64,
    at: Instant,
}

impl PeerState {
    /// A stream is opened, by a frame that ends at `end`, after `given` bytes were given to the byte stream.
    #[inline]
    pub(super) fn add_opening(&mut self, key: StreamKey, end: u64, given: u64, now: Instant) {
        while self.openings.front().is_some_and(|opening| opening.end < given) {
            self.openings.pop_front();
        }
        if self.openings.len() < MAX_OPENINGS {
            self.openings.push_back(Opening { key, end, at: now });
        }
    }

    /// Returns the streams whose openings were not given to the byte stream whole, of which `given` bytes were.
    pub(super) fn unsent(&self, given: u64) -> Vec<StreamKey> {
        self.openings.iter().filter(|opening| opening.end > given).map(|opening| opening.key).collect()
    }

    /// Returns the stream whose opening, just before `now`, was the last that the byte stream was given. A peer that has not
    /// read all has not read its last byte.
    pub(super) fn last(&self, given: u64, now: Instant) -> Option<StreamKey> {
        let last = self.openings.iter().find(|opening| opening.end == given);
        last.filter(|opening| is_recent(opening.at, now)).map(|opening| opening.key)
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
    use super::super::id::StreamId;
    use super::*;

    #[test]
    fn an_opening_is_unread_for_certain_if_nothing_was_given_after_it() {
        let (mut peer, start) = (PeerState::default(), Instant::now());
        let key = |id| StreamKey::new(0, StreamId::new(id).unwrap());
        for (id, end) in [(1, 100), (2, 200), (3, 300)] {
            peer.add_opening(key(id), end, 0, start);
        }
        // Bytes that were given; the last opening, and those that were not given whole.
        let rows: [(u64, Option<i32>, &[i32]); 6] = [
            (0, None, &[1, 2, 3]),
            (99, None, &[1, 2, 3]),
            (100, Some(1), &[2, 3]),
            (101, None, &[2, 3]),
            (300, Some(3), &[]),
            (301, None, &[]),
        ];
        for (given, last, unsent) in rows {
            let unsent: Vec<_> = unsent.iter().map(|id| key(*id)).collect();
            assert_eq!((peer.last(given, start), peer.unsent(given)), (last.map(key), unsent), "{given}");
        }
        assert_eq!(peer.last(300, start + UNREAD_FOR), Some(key(3)));
        assert_eq!(peer.last(300, start + UNREAD_FOR + Duration::from_millis(1)), None);
        // Those that were followed by something are forgotten.
        peer.add_opening(key(4), 400, 201, start);
        assert_eq!(peer.openings.len(), 2);
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
