//! The sending half of a stream: queued frames, and which frames were sent. Knows neither the stream's state
//! nor the connection's queue.

use std::mem;

use bytes::Bytes;

use super::queue::{Item, Queue};
use crate::Metadata;
use crate::Traffic;

#[derive(Debug)]
pub(super) struct SendHalf {
    /// Allocated on first use, since few streams have queued frames.
    queue: Option<Box<Queue<QueuedFrame>>>,
    sent: Traffic,
    /// Strings of the header frame, until it is sent; `None` for none.
    header: Option<Box<Metadata>>,
    header_sent: bool,
    /// This side's last frame has been queued.
    trailer_sent: bool,
    /// A Send waits for room (backpressure).
    waiting: bool,
}

/// A frame that is queued until its stream's turn.
#[derive(Debug)]
pub(super) enum QueuedFrame {
    /// Payload of a data frame.
    Data(Bytes),
    /// A whole frame.
    Encoded(Bytes),
}

impl Item for QueuedFrame {
    fn len(&self) -> usize {
        match self {
            Self::Data(bytes) | Self::Encoded(bytes) => bytes.len(),
        }
    }
}

impl SendHalf {
    /// Returns an empty half. `header_sent` on a client, whose header frame opens the stream.
    #[inline]
    pub(super) fn new(header_sent: bool) -> Self {
        Self {
            queue: None,
            sent: Traffic::default(),
            header: None,
            header_sent,
            trailer_sent: false,
            waiting: false,
        }
    }

    /// Returns the number of messages sent or queued.
    pub(super) fn sent(&self) -> Traffic {
        self.sent
    }

    /// Counts one message of `len` bytes.
    pub(super) fn count(&mut self, len: usize) {
        self.sent.count(len);
    }

    /// Returns the number of queued bytes, each frame charged at least 256.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes())
    }

    /// Returns whether no frame is queued.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.is_empty())
    }

    /// Queues a frame; returns its charge in bytes.
    pub(super) fn push(&mut self, frame: QueuedFrame) -> usize {
        self.queue.get_or_insert_default().push(frame)
    }

    /// Returns the next frame with its charge in bytes.
    pub(super) fn pop(&mut self) -> Option<(QueuedFrame, usize)> {
        self.queue.as_mut()?.pop()
    }

    /// Drops the queued frames; returns their charge in bytes. If the trailer was queued, it was the last of
    /// them, so it counts as not sent.
    pub(super) fn purge(&mut self) -> usize {
        self.trailer_sent &= self.is_empty();
        self.queue.take().map_or(0, |mut queue| queue.clear())
    }

    /// Adds strings to the header frame. Returns `false` if it was already sent.
    pub(super) fn add_header(&mut self, header: &Metadata) -> bool {
        if !self.header_sent {
            let strings = self.header.get_or_insert_default();
            strings.extend(header.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        !self.header_sent
    }

    /// Returns the strings of the header frame, which is now to be sent; `None` if it was already sent.
    pub(super) fn take_header(&mut self) -> Option<Metadata> {
        if mem::replace(&mut self.header_sent, true) {
            return None;
        }
        Some(self.header.take().map_or_else(Metadata::new, |header| *header))
    }

    /// Records that the header frame could not be encoded: its strings are dropped, and it is still to be sent.
    pub(super) fn drop_header(&mut self) {
        self.header_sent = false;
    }

    /// Records that the last frame is queued. Returns `false` if it was before.
    pub(super) fn mark_trailer_sent(&mut self) -> bool {
        !mem::replace(&mut self.trailer_sent, true)
    }

    /// Records that a Send waits for room (backpressure).
    pub(super) fn wait(&mut self) {
        self.waiting = true;
    }

    /// Returns whether a Send waits, which is then woken: the next call returns `false`.
    pub(super) fn take_waiting(&mut self) -> bool {
        mem::take(&mut self.waiting)
    }
}
