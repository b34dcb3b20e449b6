//! What happens when a timer fires: a stream's deadline, the timeout of a Recv, the check whether a stream
//! is idle, and the end of the time that the connection may stay unread.

use std::time::Instant;

use kerrors::{Code, StreamError};

use super::connection::Connection;
use super::error::ConnectionError;
use super::id::StreamKey;
use super::timers::Timer;
use crate::cancel::Reason;

impl Connection {
    /// Fires every timer that is due at `now`. The connection may be [closed](Self::closed) by it.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.pop_due(now) {
            match timer {
                Timer::Stream(key) => self.cancel(key, &Reason::DeadlineExceeded),
                Timer::Recv(key) => self.handle_recv_timeout(key),
                Timer::Idle(key) => self.handle_idle_check(key, now),
                Timer::Stall => self.handle_stall(now),
            }
        }
    }

    fn handle_recv_timeout(&mut self, key: StreamKey) {
        let Some(stream) = self.stream_mut(key) else { return };
        let Some(timeout) = stream.recv_mut().timer_fired() else { return };
        if stream.receive_outcome().is_some() {
            // The Recv returns how the peer's direction ended, though its task has not run yet.
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

    /// The connection was unread for too long: ends the streams that are at their window, and, if the
    /// connection is at its own, the stream that holds most.
    fn handle_stall(&mut self, now: Instant) {
        self.stall_expired();
        for key in self.keys() {
            if self.stream(key).is_some_and(|stream| stream.recv().is_blocking()) {
                self.end_at_fault(key, StreamError::new(Code::SLOW_CONSUMER));
            }
        }
        if !self.is_over_receive_window() {
            return;
        }
        match self.fullest_stream() {
            Some(key) => {
                self.end_at_fault(key, StreamError::new(Code::SLOW_CONSUMER));
                self.arm_stall_if_paused(now);
            }
            None => self.handle_closed(&StreamError::from(&ConnectionError::BudgetExhausted)),
        }
    }

    /// Returns the live stream that holds most.
    fn fullest_stream(&self) -> Option<StreamKey> {
        let held = |key: StreamKey| Some((self.live_stream(key)?.recv().bytes(), key));
        let fullest = self.keys().into_iter().filter_map(held).max();
        fullest.filter(|(bytes, _)| *bytes > 0).map(|(_, key)| key)
    }
}
