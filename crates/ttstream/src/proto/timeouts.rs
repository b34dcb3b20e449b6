//! The effects of timers: a stream's deadline, the timeout of a Recv, the idle timeout, and the slow consumer
//! timeout.

use std::time::Instant;

use kerrors::{Code, StreamError};
use stream_core::memory::NO_MEMORY;

use super::connection::Connection;
use super::error::ConnectionError;
use super::id::StreamKey;
use super::timers::Timer;
use crate::cancel::Reason;

impl Connection {
    /// Fires every timer that is due at `now`. This may [close](Self::closed) the connection.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.pop_due(now) {
            match timer {
                Timer::Stream(key) => self.cancel(key, &Reason::DeadlineExceeded),
                Timer::Recv(key) => self.handle_recv_timeout(key),
                Timer::Idle(key) => self.handle_idle_check(key, now),
                Timer::Stall => self.handle_stall(now),
                Timer::Arrival => self.handle_arrival_check(now),
            }
        }
    }

    fn handle_recv_timeout(&mut self, key: StreamKey) {
        let Some(stream) = self.stream_mut(key) else { return };
        let Some(timeout) = stream.recv_mut().timer_fired() else { return };
        if stream.receive_outcome().is_some() {
            // The Recv will return how the peer's direction ended when its task runs.
            return;
        }
        if timeout.disable_cancel_remote {
            stream.recv_mut().expire();
            self.wake(key);
        } else {
            let error = stream.recv_timeout_error(timeout);
            self.end_by_timeout(key, error);
        }
    }

    fn handle_idle_check(&mut self, key: StreamKey, now: Instant) {
        let Some(stream) = self.stream_mut(key) else { return };
        if !stream.check_idle() {
            return self.plan_idle_check(key, now);
        }
        let timeout = self.config().stream_idle_timeout.unwrap_or_default();
        self.end_by_timeout(key, StreamError::idle_timeout(self.side(), timeout));
    }

    /// Closes the connection if the frame that is arriving does so too slowly.
    fn handle_arrival_check(&mut self, now: Instant) {
        if self.check_arrival(now).is_err() {
            self.handle_closed(&StreamError::from(&ConnectionError::SlowFrame));
        }
    }

    /// Ends slow consumers after the connection was paused for too long: the streams at their window. If the connection is at
    /// its own, makes room: by the messages of a stream that was ended as a slow consumer before, or else by an end of the
    /// stream that holds most.
    fn handle_stall(&mut self, now: Instant) {
        self.end_stall(now);
        let is_blocking =
            |key: &StreamKey| self.stream(*key).is_some_and(|stream| stream.recv().is_blocking());
        let blocking: Vec<StreamKey> = self.keys().into_iter().filter(is_blocking).collect();
        for key in &blocking {
            self.end_at_fault(*key, StreamError::new(Code::SLOW_CONSUMER));
        }
        if !self.is_over_receive_window() {
            return;
        }
        if blocking.is_empty() {
            match (self.fullest_slow_consumer(), self.fullest_stream()) {
                (Some(key), _) => self.discard(key),
                (None, Some(key)) => self.end_at_fault(key, StreamError::new(Code::SLOW_CONSUMER)),
                (None, None) => {
                    return self.handle_closed(&StreamError::from(&ConnectionError::BudgetExhausted));
                }
            }
        }
        self.arm_stall_if_paused(now, None);
    }

    /// Ends the stream that holds most, because the memory budget is used up, and drops what it holds: messages that were received
    /// and not taken, and frames that are queued. Returns the bytes that are free now; `None` if a part of a frame, or what is being written, is more
    /// than any stream holds, and more than `part`: then the connection is to be closed.
    pub fn shed(&mut self, part: usize) -> Option<usize> {
        let before = self.held_by_streams();
        let live = |key: &StreamKey| self.live_stream(*key).is_some();
        let live = self.keys().into_iter().filter(live);
        let keys = live.chain(self.fullest_slow_consumer()).map(|key| (self.held_by(key), key));
        let fullest = keys.max().filter(|(held, _)| *held > 0);
        if self.own_bytes() > fullest.map_or(part, |(held, _)| held.max(part)) {
            return None;
        }
        let Some((_, key)) = fullest else { return Some(0) };
        self.end_at_fault(key, StreamError::new(Code::SLOW_CONSUMER).with_cause(NO_MEMORY));
        self.discard(key);
        Some(before.saturating_sub(self.held_by_streams()))
    }

    /// Returns the live stream that holds most.
    fn fullest_stream(&self) -> Option<StreamKey> {
        let held = |key: StreamKey| Some((self.live_stream(key)?.recv().bytes(), key));
        let fullest = self.keys().into_iter().filter_map(held).max();
        fullest.filter(|(bytes, _)| *bytes > 0).map(|(_, key)| key)
    }
}
