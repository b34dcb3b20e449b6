//! The connection as its users see it: the verbs of clients, of handlers and of both, what is to be
//! done, and when. What arrives comes in through [`inbound`](super::inbound), how a stream ends is
//! [`ending`](super::ending)'s, what waits to be taken [`recv_flow`](super::recv_flow)'s.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::{ApplicationException, Code, Error, RecvTimeout, Side, StreamError};
use ttheader_codec::{EncodeError, FrameType};

use super::method::{Frame, Methods};
use super::outbound::{Outbound, Payload, Transmit};
use super::recv_flow::RecvFlow;
use super::stream::{Call, Deadline, RecvWait, Role, State, Stream, Traffic};
use super::table::Table;
use super::timers::{Timer, Timers};
use super::{Config, Method, StreamId, StreamKey};
use crate::Metadata;

/// Something happened that somebody waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Server: a peer opened a stream; run its handler, then [`finish`](Connection::finish) it.
    Opened(StreamKey),
    /// A Recv that was told to wait may go on.
    Readable(StreamKey),
    /// A Send that was told to wait may go on.
    Writable(StreamKey),
    /// An open that was told to wait may go on.
    Openable,
    /// Server: the stream has ended under its handler, with this.
    Canceled(StreamKey, StreamError),
    /// Client: the stream was ended from here, with this, and not because one above it was.
    Reset(StreamKey, StreamError),
    /// The connection may be read again.
    Resumed,
}

/// What a client opens a stream with.
#[derive(Clone, Debug)]
pub struct Open<'a> {
    /// The method.
    pub method: &'a Arc<Method>,
    /// Strings of the header frame.
    pub metadata: &'a Metadata,
    /// The caller's own service name: what a cancel puts on its path.
    pub service: &'a Arc<str>,
    /// When the stream is to end by itself.
    pub deadline: Option<Instant>,
    /// The deadline that the peer is told, if it is another.
    pub wire_deadline: Option<Instant>,
    /// How long each Recv may wait.
    pub recv_timeout: Option<RecvTimeout>,
}

/// What a handler ends a stream with.
#[derive(Clone, Debug, Default)]
pub struct Finish {
    /// Strings of the trailer frame; a business error stands among them.
    pub trailer: Metadata,
    /// What went wrong, if something did.
    pub exception: Option<ApplicationException>,
}

/// A stream as it stands.
#[derive(Clone, Copy, Debug)]
pub struct StreamState {
    /// Which.
    pub key: StreamKey,
    /// `open`, `half closed` or `ended`.
    pub state: &'static str,
    /// What went out.
    pub sent: Traffic,
    /// What came in.
    pub received: Traffic,
}

/// One connection. Its role decides which verbs make sense: the others do nothing.
#[derive(Debug)]
pub struct Connection {
    pub(super) side: Side,
    pub(super) config: Config,
    pub(super) table: Table,
    pub(super) outbound: Outbound,
    pub(super) timers: Timers,
    pub(super) methods: Methods,
    pub(super) events: VecDeque<Event>,
    pub(super) recv_flow: RecvFlow,
    pub(super) closed: Option<StreamError>,
    /// Server: handlers that have not finished.
    pub(super) running: usize,
    /// Nothing new is begun: the server is on its way out, and a client has been told so.
    pub(super) draining: bool,
    /// Every stream so far has ended by its trailers.
    pub(super) never_reset: bool,
    last_id: i32,
    /// Somebody waits for the connection's send quota.
    quota_wanted: bool,
}

impl Connection {
    /// A connection on which nothing has happened.
    pub fn new(side: Side, config: Config) -> Self {
        Self {
            side,
            config,
            table: Table::default(),
            outbound: Outbound::default(),
            timers: Timers::default(),
            methods: Methods::default(),
            events: VecDeque::new(),
            recv_flow: RecvFlow::default(),
            closed: None,
            running: 0,
            draining: false,
            never_reset: true,
            last_id: 0,
            quota_wanted: false,
        }
    }

    /// Client: opens a stream. `Ok(None)`: too much waits to be written; try again after
    /// [`Event::Openable`].
    ///
    /// # Errors
    /// 12015 if the deadline has passed, 12005 if the header cannot be encoded, and what the connection
    /// was closed with.
    pub fn open(&mut self, open: &Open<'_>, now: Instant) -> Result<Option<StreamKey>, StreamError> {
        if let Some(error) = &self.closed {
            return Err(error.clone().on_side(Side::Client));
        }
        let timeout = open.deadline.map(|deadline| deadline.saturating_duration_since(now));
        if timeout == Some(Duration::ZERO) {
            return Err(StreamError::stream_timeout(timeout));
        }
        if self.outbound.bytes() >= self.config.send_buffer {
            self.quota_wanted = true;
            return Ok(None);
        }
        let deadline = open.deadline.zip(timeout).map(|(at, timeout)| Box::new(Deadline { at, timeout }));
        let role = Role::Client(Call { service: open.service.clone(), deadline, metas: None });
        let id = self.next_id();
        let mut stream = Stream::new(id, open.method.clone(), role);
        stream.recv_wait = open.recv_timeout.map(RecvWait::new);
        let key = self.table.insert(stream);
        let told = open.wire_deadline.or(open.deadline);
        let timeout = told.map(|deadline| deadline.saturating_duration_since(now));
        let frame = Frame { timeout, ..Frame::new(FrameType::Header, open.metadata, &[]) };
        if let Err(error) = self.write(key, &frame) {
            self.table.remove(key);
            return Err(illegal_operation(Side::Client, &error));
        }
        if let Some(at) = open.deadline {
            self.timers.arm(at, Timer::Stream(key));
        }
        self.watch_idle(key, now);
        self.share_stall(now);
        Ok(Some(key))
    }

    /// Client: ends its direction with a trailer. Does nothing if it has ended.
    pub fn close_send(&mut self, key: StreamKey) {
        let Some(stream) = self.table.get_mut(key) else { return };
        if let (State::Open, Role::Client(_)) = (&stream.state, &stream.role) {
            stream.state = State::HalfClosed;
            self.write_trailer(key, &Finish::default());
        }
    }

    /// Server: adds to what the answer's header frame will hold. `false` if it has left already.
    pub fn set_header(&mut self, key: StreamKey, header: &Metadata) -> bool {
        let handling = self.table.get_mut(key).and_then(Stream::handling);
        handling.filter(|handling| !handling.answered).is_some_and(|handling| {
            let answer = handling.answer.get_or_insert_default();
            answer.extend(header.iter().map(|(key, value)| (key.clone(), value.clone())));
            true
        })
    }

    /// Server: sends the answer's header frame now, if it has not left.
    ///
    /// # Errors
    /// What the stream ended with: one that has ended sends no header any more, since a client may close
    /// the whole connection over it. 12005 if it cannot be encoded; then it is lost.
    pub fn send_header(&mut self, key: StreamKey) -> Result<(), Error> {
        let Some(stream) = self.table.get_mut(key) else { return Err(returned()) };
        check_send(stream, self.side)?;
        self.answer(key).map_err(|error| illegal_operation(self.side, &error).into())
    }

    /// Queues one message. `Ok(false)`: too much waits already; try again after [`Event::Writable`].
    ///
    /// # Errors
    /// What the stream ended with; 12005 if this side's direction has ended or the message is too large
    /// for a frame.
    pub fn send(&mut self, key: StreamKey, payload: &Payload<'_>) -> Result<bool, Error> {
        let Some(stream) = self.table.get_mut(key) else { return Err(returned()) };
        check_send(stream, self.side)?;
        let spent = self.outbound.bytes() >= self.config.send_buffer;
        if spent || stream.outbox.bytes() >= self.config.stream_send_buffer {
            stream.wants_send = true;
            self.quota_wanted |= spent;
            return Ok(false);
        }
        self.answer(key).map_err(|error| illegal_operation(self.side, &error))?;
        let Some(stream) = self.table.get_mut(key) else { return Err(returned()) };
        let queued = self.outbound.data(key, stream, payload);
        queued.map(|()| true).map_err(|error| illegal_operation(self.side, &error).into())
    }

    /// The next message; `None` at the clean end of the peer's direction.
    ///
    /// # Errors
    /// What the stream ended with, after every message that came before; 12014 if this Recv has waited
    /// too long.
    pub fn recv(&mut self, key: StreamKey, now: Instant) -> Poll<Result<Option<Bytes>, Error>> {
        if let Some(message) = self.take_message(key) {
            self.stop_recv(key);
            return Poll::Ready(Ok(Some(message)));
        }
        let Some(stream) = self.table.get_mut(key) else { return Poll::Ready(Err(returned())) };
        match (&stream.state, &stream.role) {
            (State::Ended(outcome), _) => Poll::Ready((**outcome).clone().map(|()| None)),
            (State::HalfClosed, Role::Server(handling)) => {
                Poll::Ready(handling.requests_end.clone().map(|()| None).map_err(|error| *error))
            }
            _ if stream.recv_wait.as_mut().is_some_and(|wait| mem::take(&mut wait.timed_out)) => {
                Poll::Ready(Err(stream.recv_timeout_error().into()))
            }
            _ => {
                stream.wants_recv = true;
                if let Some(RecvWait { config, until: until @ None, .. }) = stream.recv_wait.as_deref_mut() {
                    *until = now.checked_add(config.timeout);
                    until.iter().for_each(|at| self.timers.arm(*at, Timer::Recv(key)));
                }
                Poll::Pending
            }
        }
    }

    /// The Recv that was under way is over, or was given up.
    pub fn stop_recv(&mut self, key: StreamKey) {
        let Some(stream) = self.table.get_mut(key) else { return };
        stream.wants_recv = false;
        if let Some(wait) = &mut stream.recv_wait {
            wait.timed_out = false;
            self.timers.disarm(wait.until.take(), Timer::Recv(key));
        }
    }

    /// What the peer answered or opened the stream with, once it is there.
    ///
    /// # Errors
    /// What the stream ended with, if it did so without a header.
    pub fn header(&mut self, key: StreamKey) -> Poll<Result<Metadata, Error>> {
        let Some(stream) = self.table.get_mut(key) else { return Poll::Ready(Err(returned())) };
        match (&stream.header, &stream.state) {
            (Some(header), _) => Poll::Ready(Ok(header.clone())),
            (None, State::Ended(outcome)) => Poll::Ready((**outcome).clone().map(|()| Metadata::new())),
            (None, State::Open | State::HalfClosed) => {
                stream.wants_recv = true;
                Poll::Pending
            }
        }
    }

    /// Client: the next meta frame that nobody has looked at.
    pub fn take_meta(&mut self, key: StreamKey) -> Option<(Metadata, Bytes)> {
        self.table.get_mut(key)?.call()?.metas.as_mut()?.0.pop_front()
    }

    /// Server: what the peer opened the stream with; from then on nothing.
    pub fn take_header(&mut self, key: StreamKey) -> Option<Metadata> {
        self.table.get_mut(key).and_then(|stream| stream.header.as_mut()).map(mem::take)
    }

    /// What the peer answered or opened the stream with, if it is there.
    pub fn received_header(&self, key: StreamKey) -> Option<&Metadata> {
        self.table.get(key).and_then(|stream| stream.header.as_ref())
    }

    /// What the peer ended its direction with, once it has.
    pub fn trailer(&self, key: StreamKey) -> Option<&Metadata> {
        self.table.get(key).and_then(|stream| stream.trailer.as_ref())
    }

    /// Server: what the client said was left until its deadline.
    pub fn timeout(&mut self, key: StreamKey) -> Option<Duration> {
        self.table.get_mut(key).and_then(Stream::handling).and_then(|handling| handling.timeout)
    }

    /// The method of a stream.
    pub fn method(&self, key: StreamKey) -> Option<&Arc<Method>> {
        self.table.get(key).map(|stream| &stream.method)
    }

    /// Every stream that frames or handles can still reach.
    pub fn streams(&self) -> impl Iterator<Item = StreamState> + '_ {
        self.table.keys().into_iter().filter_map(|key| {
            let stream = self.table.get(key)?;
            let state = match stream.state {
                State::Open => "open",
                State::HalfClosed => "half closed",
                State::Ended(_) => "ended",
            };
            Some(StreamState { key, state, sent: stream.sent, received: stream.received })
        })
    }

    /// What the stream ended with, if it has.
    pub fn outcome(&self, key: StreamKey) -> Option<Result<(), Error>> {
        self.table.get(key).and_then(Stream::outcome).cloned()
    }

    /// Time has passed: ends what had its time. If the connection cannot go on, it has been closed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Stream(key) => self.handle_deadline(key),
                Timer::Recv(key) => self.handle_recv_timeout(key),
                Timer::Idle(key) => self.handle_idle_check(key, now),
                Timer::Stall => self.handle_stall(now),
            }
        }
    }

    /// What somebody waits for.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Moves what is to be written next to `out`, which must be empty. `false` if there is nothing.
    pub fn poll_transmit(&mut self, out: &mut Transmit) -> bool {
        debug_assert!(out.is_empty(), "the last batch is written before the next is taken");
        let paused = self.is_paused();
        for key in self.outbound.take(&mut self.table, out) {
            let half = self.config.stream_send_buffer / 2;
            let stream = self.table.get_mut(key).filter(|stream| stream.outbox.bytes() <= half);
            if stream.is_some_and(|stream| mem::take(&mut stream.wants_send)) {
                self.events.push_back(Event::Writable(key));
            }
            self.forget(key);
        }
        if self.quota_wanted && self.outbound.bytes() < self.config.send_buffer {
            self.offer_quota();
        }
        self.resume_if(paused);
        !out.is_empty()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whether no new stream is to be opened on it.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether something is to be written. On a closed connection nothing is.
    pub fn has_transmit(&self) -> bool {
        self.closed.is_none() && !self.outbound.is_empty()
    }

    /// Bytes that are to be written.
    pub fn transmit_bytes(&self) -> usize {
        self.outbound.bytes()
    }

    /// Whether a cancel is among what is to be written.
    pub fn is_urgent(&self) -> bool {
        self.outbound.is_urgent()
    }

    /// What the connection was closed with.
    pub fn closed(&self) -> Option<&StreamError> {
        self.closed.as_ref()
    }

    /// Whether nothing is under way and no stream was ever canceled: the connection is as good as new.
    pub fn is_clean(&self) -> bool {
        self.never_reset && self.held_streams() == 0
    }

    /// Whether a stream was ever canceled on it, from either end.
    pub fn has_canceled(&self) -> bool {
        !self.never_reset
    }

    /// Streams that have not ended on the wire.
    pub fn live_streams(&self) -> usize {
        self.table.routed()
    }

    /// Streams that have not ended, or that a handle still holds.
    pub fn held_streams(&self) -> usize {
        self.table.len()
    }

    /// Queues a frame of a stream's.
    pub(super) fn write(&mut self, key: StreamKey, frame: &Frame<'_>) -> Result<(), EncodeError> {
        match self.table.get_mut(key) {
            Some(stream) if self.closed.is_none() => self.outbound.frame(key, stream, frame),
            _ => Ok(()),
        }
    }

    /// Server: sends the answer's header frame before the first frame that needs it.
    pub(super) fn answer(&mut self, key: StreamKey) -> Result<(), EncodeError> {
        let Some(handling) = self.table.get_mut(key).and_then(Stream::handling) else { return Ok(()) };
        if mem::replace(&mut handling.answered, true) {
            return Ok(());
        }
        let header = handling.answer.take().map_or_else(Metadata::new, |header| *header);
        self.write(key, &Frame::new(FrameType::Header, &header, &[]))
    }

    fn offer_quota(&mut self) {
        self.quota_wanted = false;
        self.events.push_back(Event::Openable);
        for key in self.table.keys() {
            let stream = self.table.get_mut(key).filter(|stream| stream.outbox.is_empty());
            if stream.is_some_and(|stream| mem::take(&mut stream.wants_send)) {
                self.events.push_back(Event::Writable(key));
            }
        }
    }

    fn next_id(&mut self) -> StreamId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            match StreamId::new(self.last_id) {
                Some(id) if self.table.find(id).is_none() => return id,
                _ => {}
            }
        }
    }
}

fn check_send(stream: &Stream, side: Side) -> Result<(), Error> {
    match (&stream.state, side) {
        (State::Open, _) | (State::HalfClosed, Side::Server) => Ok(()),
        (State::Ended(outcome), _) if let Err(error) = &**outcome => Err(error.clone()),
        (State::HalfClosed, Side::Client) | (State::Ended(_), _) => {
            Err(illegal_operation(side, &"stream is closed send").into())
        }
    }
}

fn illegal_operation(side: Side, cause: &impl ToString) -> StreamError {
    StreamError::new(Code::ILLEGAL_OPERATION).on_side(side).with_cause(cause.to_string())
}

/// What a handle is told whose stream is gone: only a server's can be, after its handler returned.
fn returned() -> Error {
    handler_returned().into()
}

/// What ends whatever a handler has left behind.
pub(crate) fn handler_returned() -> StreamError {
    StreamError::new(Code::HANDLER_RETURNED).on_side(Side::Server)
}
