//! The state of one connection and the operations on it that all other parts use. Owns every field: the sums
//! over streams, the timers of streams and the events. Makes no protocol decisions: those are in the files
//! above, see [`proto`](super).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use kerrors::{Error, RecvTimeout, Side, StreamError};
use ttheader_codec::EncodeError;

use super::arrival::Arrival;
use super::config::{Config, ServerLimits};
use super::credit::Credit;
use super::error::ConnectionError;
use super::event::Event;
use super::id::{StreamId, StreamKey};
use super::method::{Method, Methods};
use super::outbound::Outbound;
use super::peer::PeerState;
use super::recv_flow::RecvFlow;
use super::stream::{Stream, StreamSnapshot};
use super::table::Table;
use super::timers::{Timer, Timers};
use super::transmit::Transmit;
use super::violations::{Violation, Violations};

mod flow;
mod frames;
mod openings;
mod received;
mod streams;

/// The largest number of queued replies to protocol violations. With more, the connection is not read.
const MAX_REPLIES: usize = 100;

/// The largest number of bytes of frames other than data in the next write. With more, the connection is not read: the
/// peer does not read what its frames cause.
const MAX_CONTROL: usize = 4 * 1024 * 1024;

/// One connection. Commands for one side only do nothing on the other.
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
    credit: Credit,
    closed: Option<StreamError>,
    /// Server: handlers that have not finished.
    running: usize,
    /// No new stream may be opened: the server shuts down gracefully, or has announced that to the client.
    draining: bool,
    /// No Rst frame was received or sent.
    never_reset: bool,
    /// The peer sends nothing more: flow control pauses the connection no more.
    unlimited: bool,
    last_id: i32,
    /// The bytes still to arrive of a frame that is skipped.
    to_skip: usize,
    /// Client: what it knows of its server.
    peer: PeerState,
    arrival: Arrival,
    violations: Violations,
    /// Server: the charges of the headers of running handlers.
    header_bytes: usize,
    /// The bytes of a frame that has not arrived whole.
    partial_bytes: usize,
    /// See [`take_causes`](Self::take_causes).
    causes: Vec<Error>,
}

/// For the driver: events, writes and timers.
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
            credit: Credit::new(&config),
            config,
            limits,
            closed: None,
            running: 0,
            draining: false,
            never_reset: true,
            unlimited: false,
            last_id: 0,
            to_skip: 0,
            peer: PeerState::default(),
            arrival: Arrival::default(),
            violations: Violations::new(limits.max_concurrent_streams),
            header_bytes: 0,
            partial_bytes: 0,
            causes: Vec::new(),
        }
    }

    /// Returns the errors of removed streams that hold a value of the user: the cause of a cancel, whose drop is user
    /// code. To be dropped without a lock.
    pub fn take_causes(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.causes)
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Moves the bytes to be written next to `out`, which must be empty. Returns `false` if there are none.
    pub fn poll_transmit(&mut self, out: &mut Transmit) -> bool {
        debug_assert!(out.is_empty(), "the last batch is written before the next is taken");
        let paused = self.is_paused();
        let served = self.outbound.take(&mut self.table, out);
        self.count_unsent();
        if !served.is_empty() {
            self.wake_served(&served);
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

    /// For models: returns when the timer fires that watches how fast a frame arrives. It may stay armed when no frame
    /// does.
    #[cfg(fuzzing)]
    pub fn arrival_timeout(&self) -> Option<Instant> {
        self.arrival.armed()
    }

    /// Returns whether flow control pauses the connection, so that it must not be read: a stream is at its
    /// window, all streams together are at the connection's, or the peer does not read what its frames
    /// cause: replies to protocol violations, trailers. [`Event::Resumed`] follows.
    pub fn is_paused(&self) -> bool {
        let blocked = self.recv_flow.is_blocked()
            || self.outbound.replies() > MAX_REPLIES
            || self.outbound.control() > MAX_CONTROL;
        blocked && !self.unlimited
    }

    /// Ends flow control, since the peer has closed its end: what is left to read is what the system has received, so it is
    /// bounded, and the last frames and the end itself are behind it. A connection that is paused is
    /// [resumed](Event::Resumed).
    pub fn end_flow_control(&mut self) {
        let paused = self.is_paused();
        self.unlimited = true;
        self.resume_if(paused);
    }

    /// Returns whether there is something to write; never on a closed connection.
    pub fn has_transmit(&self) -> bool {
        self.closed.is_none() && !self.outbound.is_empty()
    }

    /// Returns the number of bytes to be written.
    pub fn transmit_bytes(&self) -> usize {
        self.outbound.bytes()
    }

    /// Returns whether a cancel is queued to be written.
    pub fn is_urgent(&self) -> bool {
        self.outbound.is_urgent()
    }

    /// Returns whether flow control is by credits: both ends have it on, and know that of each other.
    pub fn has_credits(&self) -> bool {
        self.credit.is_agreed()
    }

    /// Returns the number of bytes received and not yet taken, each message charged at least 256.
    pub fn received_bytes(&self) -> usize {
        self.recv_flow.bytes()
    }

    /// Server: begins graceful shutdown: new streams are refused with an Rst frame of code
    /// [`DRAINING`](kerrors::Code::DRAINING).
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Returns whether no new stream may be opened on the connection.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Returns the error that the connection was closed with.
    pub fn closed(&self) -> Option<&StreamError> {
        self.closed.as_ref()
    }

    /// Returns whether the connection can be reused: it has no stream, and no Rst frame was ever received or
    /// sent.
    pub fn is_clean(&self) -> bool {
        self.never_reset && self.held_streams() == 0
    }

    /// Returns whether an Rst frame was ever received or sent.
    pub fn has_canceled(&self) -> bool {
        !self.never_reset
    }

    /// Returns the number of streams that have not ended on the wire.
    pub fn live_streams(&self) -> usize {
        self.table.routed()
    }

    /// Returns the number of streams that have not ended on the wire or still have a handle.
    pub fn held_streams(&self) -> usize {
        self.table.len()
    }

    /// Returns a snapshot of every stream that frames or handles can still reach.
    pub fn streams(&self) -> impl Iterator<Item = StreamSnapshot> + '_ {
        self.table.keys().into_iter().filter_map(|key| Some(self.table.get(key)?.snapshot(key)))
    }
}

/// For the files above: reading.
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

    /// Returns the stream, for changes that affect no other part of the connection.
    pub(super) fn stream_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.table.get_mut(key)
    }

    /// Returns the stream if it has not ended.
    pub(super) fn live_stream(&self, key: StreamKey) -> Option<&Stream> {
        self.table.get(key).filter(|stream| !stream.is_ended())
    }

    /// Server: returns the timeout of each Recv of a handler.
    pub(super) fn handler_recv_timeout(&self) -> Option<RecvTimeout> {
        self.limits.recv_timeout
    }

    /// Counts a violation of the peer.
    ///
    /// # Errors
    /// Returns the error to close the connection with if there were too many.
    pub(super) fn count_violation(
        &mut self,
        violation: Violation,
        now: Instant,
    ) -> Result<(), ConnectionError> {
        self.violations.count(violation, now)
    }

    /// Returns the method of a name received from the peer, of no service.
    pub(super) fn method_named(&mut self, name: &[u8]) -> Result<Arc<Method>, EncodeError> {
        self.method_of(None, name)
    }

    /// Returns the method `name` of `service`.
    pub(super) fn method_of(
        &mut self,
        service: Option<&[u8]>,
        name: &[u8],
    ) -> Result<Arc<Method>, EncodeError> {
        self.methods.get(service, name)
    }

    pub(super) fn peer_mut(&mut self) -> &mut PeerState {
        &mut self.peer
    }

    /// Returns an unused stream id.
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

/// For the files above: events and timers.
impl Connection {
    pub(super) fn push_event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Reports events for the tasks concerned: Recv always, Send if the stream has ended.
    pub(super) fn wake(&mut self, key: StreamKey) {
        let Some(stream) = self.table.get_mut(key) else { return };
        if stream.recv_mut().take_waiting() {
            self.events.push_back(Event::Readable(key));
        }
        if stream.is_ended() {
            self.wake_sender(key);
        }
    }

    /// Reports an event for a Send that waits, since its stream takes no more messages.
    pub(super) fn wake_sender(&mut self, key: StreamKey) {
        if self.table.get_mut(key).is_some_and(|stream| stream.send_mut().take_waiting()) {
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

    /// Schedules the next check of the stream's idle timeout, if it has one.
    pub(super) fn plan_idle_check(&mut self, key: StreamKey, now: Instant) {
        let Some(timeout) = self.config.stream_idle_timeout else { return };
        let at = self.table.get_mut(key).and_then(|stream| stream.plan_idle_check(timeout, now));
        self.arm(at, Timer::Idle(key));
    }
}
