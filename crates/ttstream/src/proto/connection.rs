//! The state of one connection and the operations on it that all other parts use: it owns every field, and
//! with them the sums over streams, the timers of streams and the events. Decides nothing about the
//! protocol: that is done in the files above, see [`proto`](super).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use kerrors::{CancelPath, Code, Error, RecvTimeout, Side, StreamError};
use ttheader_codec::{EncodeError, FrameType, Limits};

use super::config::{Config, ServerLimits};
use super::event::Event;
use super::id::{StreamId, StreamKey};
use super::method::{Frame, Method, Methods};
use super::outbound::Outbound;
use super::recv_flow::RecvFlow;
use super::stream::{Stream, StreamSnapshot};
use super::table::Table;
use super::timers::{Timer, Timers};
use super::transmit::Transmit;
use crate::Message;

/// Queued replies to protocol violations. With more the connection is not read.
const MAX_REPLIES: usize = 100;

/// One connection. Some commands are for clients or servers only: at the other end they do nothing.
#[derive(Debug)]
pub struct Connection {
    side: Side,
    config: Config,
    limits: ServerLimits,
    table: Table,
    outbound: Outbound,
    timers: Timers,
    methods: Methods,
    events: VecDeque<Event>,
    recv_flow: RecvFlow,
    closed: Option<StreamError>,
    /// Server: handlers that have not finished.
    running: usize,
    /// No new stream is to be opened: the server shuts down, or the client's server has said so.
    draining: bool,
    /// No Rst frame was received or sent.
    never_reset: bool,
    last_id: i32,
    /// Bytes still to arrive of a frame that is passed over.
    to_skip: usize,
}

/// What the driver does: events, writes and timers.
impl Connection {
    /// Returns a connection without streams, on the server's side with the default [`ServerLimits`].
    pub fn new(side: Side, config: Config) -> Self {
        Self::with_limits(side, config, ServerLimits::default())
    }

    /// Returns a server's connection without streams.
    pub fn server(config: Config, limits: ServerLimits) -> Self {
        Self::with_limits(Side::Server, config, limits)
    }

    fn with_limits(side: Side, config: Config, limits: ServerLimits) -> Self {
        Self {
            side,
            table: Table::default(),
            outbound: Outbound::new(&config),
            timers: Timers::default(),
            methods: Methods::default(),
            events: VecDeque::new(),
            recv_flow: RecvFlow::new(&config),
            config,
            limits,
            closed: None,
            running: 0,
            draining: false,
            never_reset: true,
            last_id: 0,
            to_skip: 0,
        }
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Moves what is to be written next to `out`, which must be empty. Returns `false` if there is nothing.
    pub fn poll_transmit(&mut self, out: &mut Transmit) -> bool {
        debug_assert!(out.is_empty(), "the last batch is written before the next is taken");
        let paused = self.is_paused();
        for key in self.outbound.take(&mut self.table, out) {
            if self.table.get_mut(key).is_some_and(|stream| self.outbound.wakes_sender(stream)) {
                self.events.push_back(Event::Writable(key));
            }
            self.forget(key);
        }
        if self.outbound.take_room() {
            self.events.push_back(Event::Openable);
            for key in self.table.keys() {
                let stream = self.table.get_mut(key).filter(|stream| stream.send().is_empty());
                if stream.is_some_and(|stream| stream.send_mut().take_waiting()) {
                    self.events.push_back(Event::Writable(key));
                }
            }
        }
        self.resume_if(paused);
        !out.is_empty()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whether the connection must not be read now: a stream is at its window, all streams together are at
    /// the connection's, or the peer does not read the replies that it provokes. [`Event::Resumed`] follows.
    pub fn is_paused(&self) -> bool {
        self.recv_flow.is_blocked() || self.outbound.replies() > MAX_REPLIES
    }

    /// Whether something is to be written. On a closed connection nothing is.
    pub fn has_transmit(&self) -> bool {
        self.closed.is_none() && !self.outbound.is_empty()
    }

    /// Returns the bytes that are to be written.
    pub fn transmit_bytes(&self) -> usize {
        self.outbound.bytes()
    }

    /// Whether a cancel is among what is to be written.
    pub fn is_urgent(&self) -> bool {
        self.outbound.is_urgent()
    }

    /// Returns the bytes that were received and not yet taken, each message charged at least 256.
    pub fn received_bytes(&self) -> usize {
        self.recv_flow.bytes()
    }

    /// Server: takes no new stream from now on; one that is opened gets an Rst frame of code 12903.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether no new stream is to be opened on the connection.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Returns what the connection was closed with.
    pub fn closed(&self) -> Option<&StreamError> {
        self.closed.as_ref()
    }

    /// Whether the connection has no stream and no Rst frame was ever received or sent: it is as good as
    /// new.
    pub fn is_clean(&self) -> bool {
        self.never_reset && self.held_streams() == 0
    }

    /// Whether an Rst frame was ever received or sent.
    pub fn has_canceled(&self) -> bool {
        !self.never_reset
    }

    /// Returns the number of streams that have not ended on the wire.
    pub fn live_streams(&self) -> usize {
        self.table.routed()
    }

    /// Returns the number of streams that have not ended on the wire or that a handle still holds.
    pub fn held_streams(&self) -> usize {
        self.table.len()
    }

    /// Returns every stream that frames or handles can still reach.
    pub fn streams(&self) -> impl Iterator<Item = StreamSnapshot> + '_ {
        self.table.keys().into_iter().filter_map(|key| Some(self.table.get(key)?.snapshot(key)))
    }
}

/// What the files above build on: reading.
impl Connection {
    pub(super) fn side(&self) -> Side {
        self.side
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn keys(&self) -> Vec<StreamKey> {
        self.table.keys()
    }

    pub(super) fn find(&self, id: StreamId) -> Option<StreamKey> {
        self.table.find(id)
    }

    pub(super) fn stream(&self, key: StreamKey) -> Option<&Stream> {
        self.table.get(key)
    }

    /// The stream, for changes that concern no other part of the connection.
    pub(super) fn stream_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.table.get_mut(key)
    }

    /// Returns the stream if it has not ended.
    pub(super) fn live_stream(&self, key: StreamKey) -> Option<&Stream> {
        self.table.get(key).filter(|stream| !stream.is_ended())
    }

    /// Server: returns the longest wait of each Recv of a handler.
    pub(super) fn handler_recv_timeout(&self) -> Option<RecvTimeout> {
        self.limits.recv_timeout
    }

    /// Server: returns why a stream that a peer opens is to be refused.
    pub(super) fn refuses(&self) -> Option<Code> {
        if self.draining {
            return Some(Code::DRAINING);
        }
        (self.running >= self.limits.max_concurrent_streams).then_some(Code::TOO_MANY_STREAMS)
    }

    /// Returns the method of this name, which a peer has sent.
    pub(super) fn method_named(&mut self, name: &[u8]) -> Result<Arc<Method>, EncodeError> {
        self.methods.get(name)
    }

    /// Passes over the next `len` bytes that are read, without keeping them.
    pub(super) fn skip(&mut self, len: usize) {
        self.to_skip = len;
    }

    /// Drops what is to be passed over from the front of `buf`. Returns whether all of it has come.
    #[inline]
    pub(super) fn skipped(&mut self, buf: &mut BytesMut) -> bool {
        if self.to_skip > 0 {
            let step = self.to_skip.min(buf.len());
            buf.advance(step);
            self.to_skip = self.to_skip.saturating_sub(step);
        }
        self.to_skip == 0
    }

    /// Returns an id that no stream has.
    pub(super) fn next_id(&mut self) -> StreamId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            match StreamId::new(self.last_id) {
                Some(id) if self.table.find(id).is_none() => return id,
                _ => {}
            }
        }
    }
}

/// What the files above build on: the life of a stream.
impl Connection {
    /// Client: adds a stream that it opens.
    pub(super) fn insert(&mut self, stream: Stream) -> StreamKey {
        self.table.insert(stream)
    }

    /// Server: adds a stream whose handler is to be run.
    pub(super) fn accept(&mut self, stream: Stream) -> StreamKey {
        self.running = self.running.saturating_add(1);
        self.table.insert(stream)
    }

    /// Server: the handler has returned. Returns `false`, and changes nothing, if it had before.
    pub(super) fn handler_finished(&mut self, key: StreamKey) -> bool {
        let first = self.table.get_mut(key).is_some_and(Stream::finish);
        if first {
            self.running = self.running.saturating_sub(1);
        }
        first
    }

    /// Ends the stream for its handles, and wakes them. Returns `false` if it has ended before: the first
    /// outcome stays.
    pub(super) fn set_ended(&mut self, key: StreamKey, outcome: Result<(), Error>) -> bool {
        let ended = self.with_recv_flow(key, |stream, flow| stream.end(outcome, flow)).flatten();
        let Some(armed) = ended else { return false };
        self.timers.disarm(armed.deadline, Timer::Stream(key));
        self.timers.disarm(armed.recv, Timer::Recv(key));
        self.timers.disarm(armed.idle, Timer::Idle(key));
        self.wake(key);
        true
    }

    /// An Rst frame was received or is to be queued. Returns `false` if one was before.
    pub(super) fn mark_reset(&mut self, key: StreamKey) -> bool {
        self.never_reset = false;
        self.table.get_mut(key).is_some_and(Stream::mark_reset)
    }

    /// Frames no longer find the stream; its handles still do.
    pub(super) fn unroute(&mut self, key: StreamKey) {
        self.table.unroute(key);
    }

    pub(super) fn remove(&mut self, key: StreamKey) {
        self.table.remove(key);
    }

    /// Removes the stream if neither frames nor handles can reach it.
    pub(super) fn forget(&mut self, key: StreamKey) {
        if self.table.get(key).is_some_and(Stream::is_gone) {
            self.table.remove(key);
        }
    }

    pub(super) fn remember_reset(&mut self, id: StreamId, error: StreamError, path: CancelPath) {
        self.table.remember_reset(id, error, path);
    }

    pub(super) fn take_reset(&mut self, id: StreamId) -> Option<(StreamError, CancelPath)> {
        self.table.take_reset(id)
    }

    /// Marks the connection as closed. Returns `false`, and changes nothing, if it was.
    pub(super) fn set_closed(&mut self, error: &StreamError) -> bool {
        let first = self.closed.is_none();
        if first {
            self.closed = Some(error.clone());
        }
        first
    }
}

/// What the files above build on: events and timers.
impl Connection {
    pub(super) fn push_event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Wakes the tasks for which something has changed: a Recv always, a Send if the stream has ended.
    pub(super) fn wake(&mut self, key: StreamKey) {
        let Some(stream) = self.table.get_mut(key) else { return };
        if stream.recv_mut().take_waiting() {
            self.events.push_back(Event::Readable(key));
        }
        if stream.is_ended() && stream.send_mut().take_waiting() {
            self.events.push_back(Event::Writable(key));
        }
    }

    pub(super) fn arm(&mut self, at: Option<Instant>, timer: Timer) {
        if let Some(at) = at {
            self.timers.arm(at, timer);
        }
    }

    pub(super) fn disarm(&mut self, at: Option<Instant>, timer: Timer) {
        self.timers.disarm(at, timer);
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        self.timers.pop_due(now)
    }

    /// Plans the next check whether the stream is idle, if there is an idle timeout.
    pub(super) fn plan_idle_check(&mut self, key: StreamKey, now: Instant) {
        let Some(timeout) = self.config.stream_idle_timeout else { return };
        let at = self.table.get_mut(key).and_then(|stream| stream.plan_idle_check(timeout, now));
        self.arm(at, Timer::Idle(key));
    }
}

/// What the files above build on: frames to be written.
impl Connection {
    /// Whether there is room to open a stream; if not, [`Event::Openable`] follows when there is.
    pub(super) fn has_room(&mut self) -> bool {
        self.outbound.has_room()
    }

    /// Whether there is room for a message of the stream; if not, [`Event::Writable`] follows when there is.
    pub(super) fn has_room_for(&mut self, key: StreamKey) -> bool {
        self.table.get_mut(key).is_some_and(|stream| self.outbound.has_room_for(stream))
    }

    /// Queues one message.
    pub(super) fn write_data(&mut self, key: StreamKey, payload: &Message<'_>) -> Result<(), EncodeError> {
        let Some(stream) = self.table.get_mut(key) else { return Ok(()) };
        self.outbound.data(key, stream, payload)
    }

    /// Queues a frame of the stream, unless the connection is closed.
    pub(super) fn write(&mut self, key: StreamKey, frame: &Frame<'_>) -> Result<(), EncodeError> {
        match self.table.get_mut(key) {
            Some(stream) if self.closed.is_none() => {
                self.outbound.frame(key, stream, frame, &self.config.limits)
            }
            _ => Ok(()),
        }
    }

    /// As [`write`](Self::write), for a frame without which the peer's end of the stream would stay open: it
    /// leaves even if it exceeds the limits.
    #[cold]
    pub(super) fn write_last(&mut self, key: StreamKey, frame: &Frame<'_>) -> Result<(), EncodeError> {
        match self.table.get_mut(key) {
            Some(stream) if self.closed.is_none() => self.outbound.frame(key, stream, frame, &Limits::FORMAT),
            _ => Ok(()),
        }
    }

    /// Server: queues the stream's header frame if it was not sent.
    pub(super) fn write_header(&mut self, key: StreamKey) -> Result<(), EncodeError> {
        let header = self.table.get_mut(key).and_then(|stream| stream.send_mut().take_header());
        header.map_or(Ok(()), |header| self.write(key, &Frame::new(FrameType::Header, &header, &[])))
    }

    /// Queues a frame for a stream that is not there.
    pub(super) fn reply(&mut self, id: StreamId, method: &Method, frame: &Frame<'_>) {
        self.outbound.reply(id, method, frame);
    }

    /// Drops the frames that the stream has queued.
    pub(super) fn purge(&mut self, key: StreamKey) {
        if let Some(stream) = self.table.get_mut(key) {
            self.outbound.purge(stream);
        }
    }
}

/// What the files above build on: flow control of what is received.
impl Connection {
    /// Changes what a stream holds, and reports when the connection may be read again because of it.
    pub(super) fn with_recv_flow<R>(
        &mut self,
        key: StreamKey,
        change: impl FnOnce(&mut Stream, &mut RecvFlow) -> R,
    ) -> Option<R> {
        let paused = self.is_paused();
        let stream = self.table.get_mut(key)?;
        let result = change(stream, &mut self.recv_flow);
        self.resume_if(paused);
        Some(result)
    }

    /// Drops the messages that the stream holds.
    pub(super) fn discard(&mut self, key: StreamKey) {
        self.with_recv_flow(key, |stream, flow| stream.recv_mut().clear(flow));
    }

    fn resume_if(&mut self, was_paused: bool) {
        if was_paused && !self.is_paused() {
            self.recv_flow.disarm_stall(&mut self.timers);
            self.events.push_back(Event::Resumed);
        }
    }

    pub(super) fn is_over_receive_window(&self) -> bool {
        self.recv_flow.is_over_window()
    }

    /// Limits how long the connection stays unread, if it is not read now.
    pub(super) fn arm_stall_if_paused(&mut self, now: Instant) {
        if self.is_paused() {
            self.recv_flow.arm_stall(now, self.table.routed() <= 1, &mut self.timers);
        }
    }

    pub(super) fn share_stall(&mut self, now: Instant) {
        self.recv_flow.share_stall(now, &mut self.timers);
    }

    pub(super) fn stall_expired(&mut self) {
        self.recv_flow.stall_expired();
    }
}
