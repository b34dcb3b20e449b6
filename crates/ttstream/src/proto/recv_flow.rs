//! Flow control of received messages: how many bytes the streams of a connection hold that were not yet
//! taken, how many streams are at their window, and how long the connection may stay unread because of it.
//! Knows no stream: each [`RecvHalf`](super::recv_half::RecvHalf) reports what it holds.

use std::time::{Duration, Instant};

use super::config::Config;
use super::timers::{Timer, Timers};

#[derive(Debug)]
pub(super) struct RecvFlow {
    stream_window: usize,
    window: usize,
    timeout: Duration,
    timeout_exclusive: Duration,
    /// Bytes that all streams hold.
    bytes: usize,
    /// Streams that have not ended and are at their window.
    blocking: usize,
    /// Until when the connection may stay unread.
    stall_at: Option<Instant>,
}

/// Whether a stream is counted as at its window. Only [`RecvFlow`] can change it.
#[derive(Debug, Default)]
pub(super) struct Blocking(bool);

impl Blocking {
    pub(super) fn get(&self) -> bool {
        self.0
    }
}

impl RecvFlow {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            // A stream that holds nothing blocks nothing.
            stream_window: config.stream_receive_window.max(1),
            window: config.receive_window,
            timeout: config.slow_consumer_timeout,
            timeout_exclusive: config.slow_consumer_timeout_exclusive,
            bytes: 0,
            blocking: 0,
            stall_at: None,
        }
    }

    /// Returns the bytes that all streams hold, each message charged at least 256.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all streams together are at the connection's window.
    pub(super) fn is_over_window(&self) -> bool {
        self.bytes >= self.window
    }

    /// Whether nothing more may be received now.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocking > 0 || self.is_over_window()
    }

    /// A live stream has received `charge` bytes and now holds `held`.
    pub(super) fn charge(&mut self, charge: usize, held: usize, blocking: &mut Blocking) {
        self.bytes = self.bytes.saturating_add(charge);
        if !blocking.0 && held >= self.stream_window {
            blocking.0 = true;
            self.blocking = self.blocking.saturating_add(1);
        }
    }

    /// `charge` bytes were taken from a stream, which now holds `held`.
    pub(super) fn credit(&mut self, charge: usize, held: usize, blocking: &mut Blocking) {
        self.bytes = self.bytes.saturating_sub(charge);
        if held < self.stream_window {
            self.unblock(blocking);
        }
    }

    /// The stream blocks the connection no more: it has room again, or it has ended and receives nothing.
    pub(super) fn unblock(&mut self, blocking: &mut Blocking) {
        if std::mem::take(&mut blocking.0) {
            self.blocking = self.blocking.saturating_sub(1);
        }
    }

    /// The connection is not read from now on: limits for how long. `exclusive` if it has one stream only.
    pub(super) fn arm_stall(&mut self, now: Instant, exclusive: bool, timers: &mut Timers) {
        if self.stall_at.is_none() {
            let timeout = if exclusive { self.timeout_exclusive } else { self.timeout };
            self.set_stall(now.checked_add(timeout), timers);
        }
    }

    /// Another stream has joined. It need not wait for as long as the blocking stream might alone.
    pub(super) fn share_stall(&mut self, now: Instant, timers: &mut Timers) {
        let shared = now.checked_add(self.timeout);
        if self.stall_at > shared && shared.is_some() {
            self.disarm_stall(timers);
            self.set_stall(shared, timers);
        }
    }

    /// The connection may be read again.
    pub(super) fn disarm_stall(&mut self, timers: &mut Timers) {
        timers.disarm(self.stall_at.take(), Timer::Stall);
    }

    /// The time that the connection may stay unread has passed, and its timer is gone.
    pub(super) fn stall_expired(&mut self) {
        self.stall_at = None;
    }

    fn set_stall(&mut self, at: Option<Instant>, timers: &mut Timers) {
        self.stall_at = at;
        at.into_iter().for_each(|at| timers.arm(at, Timer::Stall));
    }
}
