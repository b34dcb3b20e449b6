//! One stream: its state, sending half and receiving half. Knows nothing of other streams; the effects of a
//! transition on the connection are in [`ending`](super::ending).

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::{Error, RecvTimeout, Side, StreamError};

use super::error::illegal_operation;
use super::id::{StreamId, StreamKey};
use super::idle::IdleWatch;
use super::method::Method;
use super::recv_flow::RecvFlow;
use super::recv_half::RecvHalf;
use super::role::{Call, Handling};
use super::send_half::SendHalf;
use super::state::StreamState;
use crate::Metadata;
use crate::Traffic;
use stream_core::{Retryable, StreamPhase};

/// State and traffic of a stream at one moment.
#[derive(Clone, Copy, Debug)]
pub struct StreamSnapshot {
    /// The stream.
    pub key: StreamKey,
    /// The phase of its life.
    pub phase: StreamPhase,
    /// Messages sent or queued.
    pub sent: Traffic,
    /// Messages received, taken or not.
    pub received: Traffic,
}

#[derive(Debug)]
pub(super) struct Stream {
    id: StreamId,
    method: Arc<Method>,
    state: StreamState,
    role: Role,
    send: SendHalf,
    recv: RecvHalf,
    /// `None` without an idle timeout.
    idle: Option<Box<IdleWatch>>,
    /// An Rst frame was received or queued: none may follow.
    reset: bool,
    /// All handles were dropped.
    released: bool,
    /// Client: whether it may be opened again, once it has ended.
    retryable: Retryable,
}

#[derive(Debug)]
enum Role {
    Client(Call),
    Server(Handling),
}

/// The instants that the timers of a stream were armed for.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArmedTimers {
    pub(super) deadline: Option<Instant>,
    pub(super) recv: Option<Instant>,
    pub(super) idle: Option<Instant>,
}

impl Stream {
    /// Returns a stream that this side opens.
    #[inline]
    pub(super) fn client(
        id: StreamId,
        method: Arc<Method>,
        call: Call,
        recv_timeout: Option<RecvTimeout>,
    ) -> Self {
        Self::new(id, method, Role::Client(call), SendHalf::new(true), RecvHalf::new(None, recv_timeout))
    }

    /// Returns a stream that the peer has opened with `header`.
    #[inline]
    pub(super) fn server(
        id: StreamId,
        method: Arc<Method>,
        handling: Handling,
        header: Metadata,
        recv_timeout: Option<RecvTimeout>,
    ) -> Self {
        let recv = RecvHalf::new(Some(header), recv_timeout);
        Self::new(id, method, Role::Server(handling), SendHalf::new(false), recv)
    }

    #[inline]
    fn new(id: StreamId, method: Arc<Method>, role: Role, send: SendHalf, recv: RecvHalf) -> Self {
        let state = StreamState::open();
        Self {
            id,
            method,
            state,
            role,
            send,
            recv,
            idle: None,
            reset: false,
            released: false,
            retryable: Retryable::Never,
        }
    }

    pub(super) fn id(&self) -> StreamId {
        self.id
    }

    pub(super) fn method(&self) -> &Arc<Method> {
        &self.method
    }

    pub(super) fn snapshot(&self, key: StreamKey) -> StreamSnapshot {
        let (sent, received) = (self.send.sent(), self.recv.received());
        StreamSnapshot { key, phase: self.state.phase(), sent, received }
    }

    pub(super) fn send(&self) -> &SendHalf {
        &self.send
    }

    pub(super) fn send_mut(&mut self) -> &mut SendHalf {
        &mut self.send
    }

    pub(super) fn recv(&self) -> &RecvHalf {
        &self.recv
    }

    pub(super) fn recv_mut(&mut self) -> &mut RecvHalf {
        &mut self.recv
    }

    /// Client: returns its end of the stream.
    pub(super) fn call(&self) -> Option<&Call> {
        match &self.role {
            Role::Client(call) => Some(call),
            Role::Server(_) => None,
        }
    }

    pub(super) fn call_mut(&mut self) -> Option<&mut Call> {
        match &mut self.role {
            Role::Client(call) => Some(call),
            Role::Server(_) => None,
        }
    }

    /// Server: returns its end of the stream.
    pub(super) fn handling(&self) -> Option<&Handling> {
        match &self.role {
            Role::Client(_) => None,
            Role::Server(handling) => Some(handling),
        }
    }

    fn side(&self) -> Side {
        match &self.role {
            Role::Client(_) => Side::Client,
            Role::Server(_) => Side::Server,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state.is_open()
    }

    pub(super) fn is_ended(&self) -> bool {
        self.state.is_ended()
    }

    /// Returns the outcome of the stream; `None` if it has not ended.
    pub(super) fn outcome(&self) -> Option<&Result<(), Error>> {
        self.state.outcome()
    }

    /// Returns the error that the stream ended with, if it holds the cause of a cancel, which is a value of the user.
    pub(super) fn cause(&self) -> Option<&Error> {
        let error = self.outcome()?.as_ref().err();
        error.filter(|error| std::error::Error::source(error).is_some())
    }

    /// Returns how the peer's direction ended; `None` if more may arrive.
    pub(super) fn receive_outcome(&self) -> Option<Result<(), Error>> {
        self.state.receive_outcome(self.side())
    }

    /// # Errors
    /// The error that the stream ended with, or [`ILLEGAL_OPERATION`](kerrors::Code::ILLEGAL_OPERATION), if
    /// this side may not send.
    pub(super) fn check_send(&self) -> Result<(), Error> {
        let side = self.side();
        if self.state.can_send(side) {
            return Ok(());
        }
        match self.outcome() {
            Some(Err(error)) => Err(error.clone()),
            _ => Err(illegal_operation(side, &"stream is closed send").into()),
        }
    }

    /// Returns whether an incoming message is kept.
    pub(super) fn takes_data(&self) -> bool {
        self.state.can_receive(self.side()) && !self.recv.discards()
    }

    /// Returns whether the peer may still send data, wanted or not.
    pub(super) fn may_get_data(&self) -> bool {
        match &self.role {
            Role::Client(_) => !self.is_ended(),
            // The end of a server's stream is not always known to its client before the handler returns.
            Role::Server(handling) => !self.state.is_half_closed() && !handling.is_finished(),
        }
    }

    /// Client: ends the client's direction. Returns whether the state changed.
    pub(super) fn close_local(&mut self) -> bool {
        self.side() == Side::Client && self.state.close_local()
    }

    /// Server: ends the client's direction, with the strings of its trailer. Returns whether the state
    /// changed.
    pub(super) fn close_remote(&mut self, outcome: Result<(), Error>, trailer: Metadata) -> bool {
        let changed = self.side() == Side::Server && self.state.close_remote(outcome);
        if changed {
            self.recv.set_trailer(trailer);
        }
        changed
    }

    /// Ends the stream with `outcome`. Returns the timers to disarm; `None`, and changes nothing, if it has
    /// ended before.
    #[inline]
    pub(super) fn end(&mut self, outcome: Result<(), Error>, flow: &mut RecvFlow) -> Option<ArmedTimers> {
        self.state.end(outcome).then(|| ArmedTimers {
            deadline: self.call().and_then(Call::deadline),
            recv: self.recv.end(flow),
            idle: self.idle.take().and_then(|idle| idle.next_check()),
        })
    }

    /// Server: records that the handler has returned. Returns whether this was the first time.
    pub(super) fn finish(&mut self) -> bool {
        match &mut self.role {
            Role::Client(_) => false,
            Role::Server(handling) => handling.finish(),
        }
    }

    /// Server: returns what the header counts for in the connection's sum, in bytes.
    pub(super) fn header_charge(&self) -> usize {
        match &self.role {
            Role::Client(_) => 0,
            Role::Server(handling) => handling.header_charge() as usize,
        }
    }

    /// Records that an Rst frame was received or is to be queued. Returns `false` if one was before.
    pub(super) fn mark_reset(&mut self) -> bool {
        !mem::replace(&mut self.reset, true)
    }

    pub(super) fn is_reset(&self) -> bool {
        self.reset
    }

    /// Client: the stream is about to end so that it may be opened again, unless it has ended before or part of a
    /// response was received.
    pub(super) fn mark_retryable(&mut self, retryable: Retryable) {
        let is_answered = self.recv.header().is_some() || self.recv.received().messages > 0;
        if !self.is_ended() && !is_answered {
            self.retryable = retryable;
        }
    }

    /// Client: returns whether the stream may be opened again.
    pub(super) fn retryable(&self) -> Retryable {
        self.retryable
    }

    /// Records that all handles were dropped.
    pub(super) fn release(&mut self) {
        self.released = true;
    }

    /// Returns whether neither frames nor handles can reach the stream, and none of its frames are queued.
    pub(super) fn is_gone(&self) -> bool {
        self.released && !self.is_routed() && self.send.is_empty()
    }

    /// Returns whether frames are routed to the stream: on a client until its end, on a server until its
    /// handler has returned.
    fn is_routed(&self) -> bool {
        match &self.role {
            Role::Client(_) => !self.is_ended(),
            Role::Server(handling) => !handling.is_finished(),
        }
    }

    pub(super) fn recv_timeout_error(&self, timeout: RecvTimeout) -> StreamError {
        StreamError::recv_timeout(self.side(), timeout)
    }

    /// Schedules the next check of the idle timeout. Returns when it is due.
    pub(super) fn plan_idle_check(&mut self, timeout: Duration, now: Instant) -> Option<Instant> {
        self.idle.get_or_insert_default().plan(timeout, now)
    }

    /// Returns whether no message has passed for the whole idle timeout.
    pub(super) fn check_idle(&mut self) -> bool {
        let messages = self.send.sent().messages.wrapping_add(self.recv.received().messages);
        self.idle.get_or_insert_default().check(messages)
    }

    /// Receives a message, unless incoming messages are dropped.
    #[inline]
    pub(super) fn receive(&mut self, message: Bytes, flow: &mut RecvFlow) {
        if self.takes_data() {
            self.recv.push(message, flow);
        }
    }
}
