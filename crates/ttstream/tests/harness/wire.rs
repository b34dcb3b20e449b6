//! One direction between two peers: bytes in flight. Can be cut into chunks, delayed, held, narrowed, cut
//! off, and edited frame by frame. Knows nothing of connections.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::frames::{Seen, Tap};

/// A proxy: maps a frame to none, itself, another one or several.
pub(crate) type Edit = Box<dyn FnMut(Seen) -> Vec<Seen> + Send>;

pub(crate) struct Wire {
    /// The frames that the sender wrote, before any edit.
    pub(crate) sent: Tap,
    /// The frames that the receiver got.
    pub(crate) received: Tap,
    /// The time that bytes are in flight.
    pub(crate) latency: Duration,
    /// Sizes of the chunks that bytes arrive in, cyclically; none: as they were written.
    pub(crate) cuts: Vec<usize>,
    /// While it is set, nothing arrives.
    pub(crate) held: bool,
    /// The number of bytes that may be in flight: the socket's buffers.
    pub(crate) window: usize,
    /// A proxy in the middle.
    pub(crate) edit: Option<Edit>,
    chunks: VecDeque<(Instant, Bytes)>,
    under_way: usize,
    next_cut: usize,
    /// The number of bytes that are still delivered; none: all.
    left: Option<usize>,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            sent: Tap::default(),
            received: Tap::default(),
            latency: Duration::ZERO,
            cuts: Vec::new(),
            held: false,
            window: usize::MAX,
            edit: None,
            chunks: VecDeque::new(),
            under_way: 0,
            next_cut: 0,
            left: None,
        }
    }
}

impl Wire {
    /// Returns the number of bytes it accepts now.
    pub(crate) fn room(&self) -> usize {
        self.window.saturating_sub(self.under_way)
    }

    /// Adds bytes written by the sender.
    pub(crate) fn write(&mut self, bytes: &[u8], now: Instant) {
        let frames = self.sent.feed(bytes);
        let Some(edit) = &mut self.edit else { return self.push(bytes, now) };
        let passed: Vec<Bytes> = frames.iter().cloned().flat_map(edit).map(|seen| seen.encode()).collect();
        for bytes in passed {
            self.push(&bytes, now);
        }
    }

    /// Adds bytes written by a proxy.
    pub(crate) fn inject(&mut self, bytes: &[u8], now: Instant) {
        self.push(bytes, now);
    }

    /// Delivers only `bytes` more, including those in flight.
    pub(crate) fn cut_off_after(&mut self, bytes: usize) {
        self.left = Some(bytes);
    }

    /// Reads the next chunk if it has arrived.
    pub(crate) fn read(&mut self, into: &mut BytesMut, now: Instant) -> bool {
        if self.held || self.next_arrival().is_none_or(|at| at > now) {
            return false;
        }
        let Some((_, mut chunk)) = self.chunks.pop_front() else { return false };
        self.under_way -= chunk.len();
        if let Some(left) = &mut self.left {
            chunk.truncate(*left);
            *left -= chunk.len();
        }
        self.received.feed(&chunk);
        into.extend_from_slice(&chunk);
        true
    }

    /// Returns when the next chunk arrives, if it is not held.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.chunks.front().filter(|_| !self.held).map(|(at, _)| *at)
    }

    /// Returns whether no bytes are in flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    fn push(&mut self, mut bytes: &[u8], now: Instant) {
        let earliest = self.chunks.back().map_or(now, |(at, _)| *at);
        let at = earliest.max(now + self.latency);
        while !bytes.is_empty() {
            let (chunk, rest) = bytes.split_at(self.cut(bytes.len()));
            self.under_way += chunk.len();
            self.chunks.push_back((at, Bytes::copy_from_slice(chunk)));
            bytes = rest;
        }
    }

    fn cut(&mut self, len: usize) -> usize {
        let Some(cut) = self.cuts.get(self.next_cut % self.cuts.len().max(1)) else { return len };
        self.next_cut += 1;
        len.min(*cut.max(&1))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("sent", &self.sent).finish_non_exhaustive()
    }
}
