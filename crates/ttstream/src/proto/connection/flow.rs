//! Flow control of a connection, by credits and by pauses, and what the connection holds of the memory budget. Owns no field: those
//! are the [`Connection`]'s.

use std::sync::Weak;
use std::time::Instant;

use kerrors::Code;
use stream_core::MemoryBudget;
use stream_core::memory::Shed;

use super::super::credit::{Credit, Grant};
use super::super::event::Event;
use super::super::id::StreamKey;
use super::super::recv_flow::RecvFlow;
use super::super::stream::Stream;
use super::Connection;

/// The step in which it is counted what waits to be written.
const STEP: usize = 16 * 1024;

/// The memory budget.
impl Connection {
    /// Counts in `budget` what the connection holds: received messages, headers of handlers, parts of frames, and what waits to be
    /// written. `shed` ends a stream if the budget is used up.
    pub fn count_in(&mut self, budget: &MemoryBudget, shed: Weak<dyn Shed>) {
        self.recv_flow.count_in(budget, shed);
    }

    /// Sets the number of bytes that were read and are no whole frame yet.
    #[inline]
    pub fn set_partial_bytes(&mut self, bytes: usize) {
        self.partial_bytes = bytes;
        self.count_other();
    }

    /// Returns the bytes that only the end of the connection frees: of a part of a frame, or of what is being written or is written
    /// next, whichever is more. None once it is closed.
    pub fn own_bytes(&self) -> usize {
        let writing = self.outbound.unsent().saturating_sub(self.outbound.queued());
        if self.closed.is_some() { 0 } else { self.partial_bytes.max(writing) }
    }

    #[inline]
    pub(super) fn count_other(&mut self) {
        // In steps: most changes cost a comparison.
        let unsent = self.outbound.unsent();
        let unsent = unsent.saturating_sub(unsent % STEP);
        let own = self.partial_bytes.saturating_add(unsent);
        // Of a closed connection its tasks drop them.
        let own = if self.closed.is_some() { 0 } else { own };
        self.recv_flow.set_other(self.header_bytes.saturating_add(own));
    }

    /// Counts what waits to be written, now that this has changed.
    #[inline]
    pub(super) fn count_unsent(&mut self) {
        if self.recv_flow.is_limited() {
            self.count_other();
        }
    }

    /// Returns what a stream holds of the memory budget: messages that were received and not taken, and frames that are queued.
    pub(in crate::proto) fn held_by(&self, key: StreamKey) -> usize {
        let held = |stream: &Stream| stream.recv().bytes().saturating_add(stream.send().queued_bytes());
        self.table.get(key).map_or(0, held)
    }

    /// Returns what all streams hold.
    pub(in crate::proto) fn held_by_streams(&self) -> usize {
        self.recv_flow.bytes().saturating_add(self.outbound.queued())
    }
}

/// For the files above: flow control, by credits and by pauses.
impl Connection {
    pub(in crate::proto) fn credit(&self) -> &Credit {
        &self.credit
    }

    pub(in crate::proto) fn credit_mut(&mut self) -> &mut Credit {
        &mut self.credit
    }

    /// No stream pauses the connection from now on.
    pub(in crate::proto) fn end_blocking_by_streams(&mut self) {
        self.recv_flow.end_blocking_by_streams();
    }

    /// Queues a frame of this end's credits.
    pub(in crate::proto) fn write_credit(&mut self, grant: Option<Grant>) {
        // Never refused: it is short.
        let _ = self.outbound.put_control(|out| self.credit.put(grant, out));
    }

    /// Grants the stream what it may receive in addition, if that is worth a frame and it still receives.
    pub(in crate::proto) fn grant(&mut self, key: StreamKey) {
        let Some(stream) = self.table.get(key).filter(|stream| stream.may_get_data()) else { return };
        let grant = self.credit.take_grant(key, stream.recv().bytes(), self.recv_flow.pressure());
        if let Some(bytes) = grant.filter(|_| self.closed.is_none()) {
            self.write_credit(Some((key.id(), bytes)));
        }
    }

    /// Changes the messages that a stream holds, and reports it if the connection may be read again.
    pub(in crate::proto) fn with_recv_flow<R>(
        &mut self,
        key: StreamKey,
        change: impl FnOnce(&mut Stream, &mut RecvFlow) -> R,
    ) -> Option<R> {
        let paused = self.is_paused();
        let stream = self.table.get_mut(key)?;
        let result = change(stream, &mut self.recv_flow);
        if self.credit.grants() {
            self.grant(key);
        }
        self.resume_if(paused);
        Some(result)
    }

    /// Drops the messages that the stream holds.
    pub(in crate::proto) fn discard(&mut self, key: StreamKey) {
        self.with_recv_flow(key, |stream, flow| stream.recv_mut().clear(flow));
    }

    pub(super) fn resume_if(&mut self, was_paused: bool) {
        if was_paused && !self.is_paused() {
            self.recv_flow.disarm_stall(&mut self.timers);
            self.arrival.on_resumed();
            self.events.push_back(Event::Resumed);
        }
    }

    pub(in crate::proto) fn is_over_receive_window(&self) -> bool {
        self.recv_flow.is_over_window()
    }

    /// Arms the slow consumer timer if the connection is paused: by the stream `cause`, if that is at its window.
    #[inline]
    pub(in crate::proto) fn arm_stall_if_paused(&mut self, now: Instant, cause: Option<StreamKey>) {
        if self.recv_flow.is_blocked() && self.is_paused() {
            self.arm_stall(now, cause, None);
        }
    }

    #[cold]
    fn arm_stall(&mut self, now: Instant, cause: Option<StreamKey>, latest: Option<Instant>) {
        let waits = self.recv_flow.is_over_window() && self.fullest_slow_consumer().is_some();
        let exclusive = self.table.routed() <= 1 && !waits;
        let stream = cause.and_then(|key| self.table.get_mut(key).map(|stream| (key, stream.recv_mut())));
        let cause =
            stream.filter(|(_, recv)| recv.is_blocking()).map(|(key, recv)| (key, recv.blocking_mut()));
        self.recv_flow.arm_stall(now, cause, exclusive, latest, &mut self.timers);
    }

    /// A stream was opened: others wait for one that pauses the connection.
    pub(in crate::proto) fn share_stall(&mut self, now: Instant) {
        if let Some((cause, latest)) = self.recv_flow.share_stall(&mut self.timers) {
            self.arm_stall(now, cause, latest);
        }
    }

    /// Accounts for a pause that has ended, since the connection is read again at `now`.
    #[inline]
    pub(in crate::proto) fn end_stall_if_resumed(&mut self, now: Instant) {
        if self.recv_flow.has_ended_stall() {
            self.end_stall(now);
        }
    }

    /// Accounts for a pause.
    #[cold]
    pub(in crate::proto) fn end_stall(&mut self, now: Instant) {
        let Some((key, paused)) = self.recv_flow.end_stall(now) else { return };
        if let Some(stream) = self.table.get_mut(key) {
            self.recv_flow.charge_stall(stream.recv_mut().blocking_mut(), paused, now);
        }
    }

    /// Returns the stream that was ended as a slow consumer and holds most.
    pub(in crate::proto) fn fullest_slow_consumer(&self) -> Option<StreamKey> {
        let held = |key: StreamKey| {
            let stream = self.table.get(key)?;
            let error = stream.outcome()?.as_ref().err()?.stream()?;
            (error.code() == Code::SLOW_CONSUMER).then(|| (stream.recv().bytes(), key))
        };
        let fullest = self.table.keys().into_iter().filter_map(held).max();
        fullest.filter(|(bytes, _)| *bytes > 0).map(|(_, key)| key)
    }
}
