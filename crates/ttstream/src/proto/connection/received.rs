//! Received bytes: how fast a frame arrives, and those that are skipped.

use std::time::Instant;

use bytes::{Buf, BytesMut};

use super::super::arrival::Check;
use super::super::error::ConnectionError;
use super::super::timers::Timer;
use super::Connection;

impl Connection {
    /// Records that `buffered` bytes are to be processed.
    #[inline]
    pub(in crate::proto) fn bytes_arrived(&mut self, buffered: usize) {
        self.arrival.on_bytes(buffered);
    }

    /// Records that `left` bytes remain, and whether a frame was processed. Watches how fast the next frame arrives.
    #[inline]
    pub(in crate::proto) fn bytes_processed(&mut self, left: usize, completed: bool, now: Instant) {
        if self.closed.is_some() {
            return;
        }
        let partial = left > 0 || self.to_skip > 0;
        if let Some(at) = self.arrival.on_processed(left, completed, partial, now) {
            self.timers.arm(at, Timer::Arrival);
        }
    }

    /// Returns whether the current frame arrives too slowly, as far as this end has read.
    pub fn is_frame_slow(&self, now: Instant) -> bool {
        self.arrival.is_slow(self.is_paused(), now)
    }

    /// Records that more bytes wait to be read: the current frame is not slow, but this end. It has as long again.
    pub fn read_is_late(&mut self) {
        self.arrival.on_resumed();
    }

    /// Checks how fast the current frame arrives.
    ///
    /// # Errors
    /// Too slowly.
    pub(in crate::proto) fn check_arrival(&mut self, now: Instant) -> Result<(), ConnectionError> {
        match self.arrival.check(self.is_paused(), now) {
            Check::Idle => {}
            Check::Again(at) => self.timers.arm(at, Timer::Arrival),
            Check::TooSlow => return Err(ConnectionError::SlowFrame),
        }
        Ok(())
    }

    /// Skips the next `len` received bytes without buffering them.
    pub(in crate::proto) fn skip(&mut self, len: usize) {
        self.to_skip = len;
    }

    /// Drops the bytes to be skipped from the front of `buf`. Returns whether all of them have arrived.
    #[inline]
    pub(in crate::proto) fn skipped(&mut self, buf: &mut BytesMut) -> bool {
        if self.to_skip > 0 {
            let step = self.to_skip.min(buf.len());
            buf.advance(step);
            self.to_skip = self.to_skip.saturating_sub(step);
        }
        self.to_skip == 0
    }
}
