//! What has arrived and was not taken: the sums that bound it, and what happens at the bounds. The
//! connection is then not read for a while; when that has lasted too long, the stream at fault ends.

use std::time::Instant;

use bytes::Bytes;
use kerrors::{Code, StreamError};

use super::StreamKey;
use super::connection::{Connection, Event};
use super::inbound::ConnectionError;
use super::stream::Stream;
use super::timers::Timer;

/// Frames that reply to protocol violations and are not yet written; with more the connection is not read.
const MAX_REPLIES: usize = 100;

#[derive(Debug, Default)]
pub(super) struct RecvFlow {
    /// What all inboxes are charged.
    bytes: usize,
    /// Streams that have not ended and whose inbox is at its bound.
    full: usize,
    /// Until when the connection may stay unread.
    stall_at: Option<Instant>,
}

impl Connection {
    /// Whether the connection must not be read now: a stream that nobody reads is full, the budget is
    /// spent, or the peer does not read what it provokes.
    pub fn is_paused(&self) -> bool {
        self.recv_flow.full > 0
            || self.recv_flow.bytes >= self.config.receive_window
            || self.outbound.replies() > MAX_REPLIES
    }

    /// Bytes that have arrived and were not taken; a message counts 256 at least.
    pub fn received_bytes(&self) -> usize {
        self.recv_flow.bytes
    }

    /// Changes a stream, and keeps the sums over all inboxes true.
    pub(super) fn with_inbox<R>(
        &mut self,
        key: StreamKey,
        change: impl FnOnce(&mut Stream) -> R,
    ) -> Option<R> {
        let paused = self.is_paused();
        let bound = self.config.stream_receive_window;
        let stream = self.table.get_mut(key)?;
        let (bytes, full) = (stream.inbox.bytes(), is_full(stream, bound));
        let result = change(stream);
        self.recv_flow.bytes =
            self.recv_flow.bytes.saturating_sub(bytes).saturating_add(stream.inbox.bytes());
        let full_now = is_full(stream, bound);
        self.recv_flow.full =
            self.recv_flow.full.saturating_sub(usize::from(full)).saturating_add(usize::from(full_now));
        self.resume_if(paused);
        Some(result)
    }

    pub(super) fn receive(&mut self, key: StreamKey, message: Bytes, now: Instant) {
        self.with_inbox(key, |stream| {
            stream.received.count(message.len());
            stream.inbox.push(message);
        });
        self.wake(key);
        if self.is_paused() {
            self.arm_stall(now);
        }
    }

    pub(super) fn take_message(&mut self, key: StreamKey) -> Option<Bytes> {
        self.with_inbox(key, |stream| stream.inbox.pop()).flatten()
    }

    /// Drops what has arrived and was not taken.
    pub(super) fn discard(&mut self, key: StreamKey) {
        self.with_inbox(key, |stream| stream.inbox.clear());
    }

    pub(super) fn resume_if(&mut self, was_paused: bool) {
        if was_paused && !self.is_paused() {
            self.timers.disarm(self.recv_flow.stall_at.take(), Timer::Stall);
            self.events.push_back(Event::Resumed);
        }
    }

    fn arm_stall(&mut self, now: Instant) {
        if self.recv_flow.stall_at.is_some() {
            return;
        }
        let solo = self.table.routed() <= 1;
        let bound = if solo {
            self.config.slow_consumer_timeout_exclusive
        } else {
            self.config.slow_consumer_timeout
        };
        self.set_stall(now.checked_add(bound));
    }

    /// Another stream has joined: it need not wait for as long as the full one might alone.
    pub(super) fn share_stall(&mut self, now: Instant) {
        let shared = now.checked_add(self.config.slow_consumer_timeout);
        if self.recv_flow.stall_at > shared && shared.is_some() {
            self.timers.disarm(self.recv_flow.stall_at, Timer::Stall);
            self.set_stall(shared);
        }
    }

    fn set_stall(&mut self, at: Option<Instant>) {
        self.recv_flow.stall_at = at;
        at.into_iter().for_each(|at| self.timers.arm(at, Timer::Stall));
    }

    /// The connection was unread for too long: the streams at fault end.
    pub(super) fn handle_stall(&mut self, now: Instant) {
        self.recv_flow.stall_at = None;
        for key in self.slow_streams() {
            self.end_at_fault(key, StreamError::new(Code::SLOW_CONSUMER));
        }
        if self.recv_flow.bytes < self.config.receive_window {
            return;
        }
        match self.fullest_stream() {
            Some(key) => {
                self.end_at_fault(key, StreamError::new(Code::SLOW_CONSUMER));
                self.arm_stall(now);
            }
            None => self.handle_closed(&StreamError::from(&ConnectionError::BudgetExhausted)),
        }
    }

    fn slow_streams(&self) -> Vec<StreamKey> {
        let bound = self.config.stream_receive_window;
        let slow = |key: &StreamKey| self.table.get(*key).is_some_and(|stream| is_full(stream, bound));
        self.table.keys().into_iter().filter(slow).collect()
    }

    fn fullest_stream(&self) -> Option<StreamKey> {
        let bytes = |key: &StreamKey| {
            self.table
                .get(*key)
                .filter(|stream| stream.outcome().is_none())
                .map(|stream| stream.inbox.bytes())
        };
        let live = self.table.keys().into_iter().filter_map(|key| Some((bytes(&key)?, key)));
        live.max().filter(|(bytes, _)| *bytes > 0).map(|(_, key)| key)
    }
}

/// A stream that has ended receives nothing any more, so it holds nothing up.
fn is_full(stream: &Stream, bound: usize) -> bool {
    stream.outcome().is_none() && stream.inbox.bytes() >= bound
}
