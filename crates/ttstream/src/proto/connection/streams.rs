//! The life of a stream on its connection.

use kerrors::{CancelPath, Code, Error, StreamError};

use super::super::id::{StreamId, StreamKey};
use super::super::stream::Stream;
use super::super::timers::Timer;
use super::Connection;

impl Connection {
    /// Server: returns the code to refuse a new stream with, if it is to be refused. `charge` is that of its header.
    pub(in crate::proto) fn refuses(&self, charge: u32) -> Option<Code> {
        if self.draining {
            return Some(Code::DRAINING);
        }
        let headers = self.header_bytes.saturating_add(charge as usize);
        // The header of the only handler is within the limits of a frame. Messages have as much again.
        let over = self.running > 0 && headers > self.config.receive_window / 2;
        (over || self.running >= self.limits.max_concurrent_streams).then_some(Code::TOO_MANY_STREAMS)
    }

    /// Adds a new stream.
    pub(in crate::proto) fn insert(&mut self, stream: Stream) -> StreamKey {
        let key = self.table.insert(stream);
        self.credit.begin(key);
        key
    }

    /// Server: adds a new stream, whose handler is to be run.
    pub(in crate::proto) fn accept(&mut self, stream: Stream) -> StreamKey {
        self.running = self.running.saturating_add(1);
        self.header_bytes = self.header_bytes.saturating_add(stream.header_charge());
        self.count_other();
        self.insert(stream)
    }

    /// Server: records that the handler has returned. Returns `false`, and changes nothing, if it had before.
    pub(in crate::proto) fn handler_finished(&mut self, key: StreamKey) -> bool {
        let Some(stream) = self.table.get_mut(key) else { return false };
        let first = stream.finish();
        let charge = stream.header_charge();
        if first {
            self.running = self.running.saturating_sub(1);
            self.header_bytes = self.header_bytes.saturating_sub(charge);
            self.count_other();
        }
        first
    }

    /// Ends the stream for its handles, and wakes them. Returns `false` if it has already ended: the first
    /// outcome stays.
    pub(in crate::proto) fn set_ended(&mut self, key: StreamKey, outcome: Result<(), Error>) -> bool {
        let ended = self.with_recv_flow(key, |stream, flow| stream.end(outcome, flow)).flatten();
        let Some(armed) = ended else { return false };
        self.credit.end_burst(key);
        self.timers.disarm(armed.deadline, Timer::Stream(key));
        self.timers.disarm(armed.recv, Timer::Recv(key));
        self.timers.disarm(armed.idle, Timer::Idle(key));
        self.wake(key);
        true
    }

    /// Records that an Rst frame was received or is to be queued. Returns `false` if one was before.
    pub(in crate::proto) fn mark_reset(&mut self, key: StreamKey) -> bool {
        self.never_reset = false;
        self.table.get_mut(key).is_some_and(Stream::mark_reset)
    }

    /// Stops routing frames to the stream; its handles still find it.
    pub(in crate::proto) fn unroute(&mut self, key: StreamKey) {
        self.table.unroute(key);
    }

    pub(in crate::proto) fn remove(&mut self, key: StreamKey) {
        self.table.remove(key);
    }

    /// Removes the stream if neither frames nor handles can reach it.
    pub(in crate::proto) fn forget(&mut self, key: StreamKey) {
        if let Some(stream) = self.table.get(key).filter(|stream| stream.is_gone()) {
            self.causes.extend(stream.cause().cloned());
            self.table.remove(key);
        }
    }

    pub(in crate::proto) fn remember_reset(&mut self, id: StreamId, error: StreamError, path: CancelPath) {
        self.table.remember_reset(id, error, path);
    }

    pub(in crate::proto) fn take_reset(&mut self, id: StreamId) -> Option<(StreamError, CancelPath)> {
        self.table.take_reset(id)
    }

    /// Marks the connection as closed. Returns `false`, and changes nothing, if it was closed before.
    pub(in crate::proto) fn set_closed(&mut self, error: &StreamError) -> bool {
        let first = self.closed.is_none();
        if first {
            self.closed = Some(error.clone());
            self.count_other();
            self.timers.disarm(self.arrival.end(), Timer::Arrival);
        }
        first
    }
}
