//! The commands of a stream's handles: open, send, receive, and access to received headers and trailers.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::{Error, RecvTimeout, Side, StreamError};
use ttheader_codec::FrameType;

use super::connection::Connection;
use super::ending::Finish;
use super::error::{handler_returned, illegal_operation};
use super::id::StreamKey;
use super::method::{Frame, Method};
use super::role::{Call, Handling};
use super::stream::Stream;
use super::timers::Timer;
use crate::{Message, Metadata};

/// The head of a stream that a client opens.
#[derive(Clone, Debug)]
pub struct Open<'a> {
    /// The method.
    pub method: &'a Arc<Method>,
    /// Strings of the header frame.
    pub metadata: &'a Metadata,
    /// The caller's own service name, which a cancel adds to its path.
    pub service: &'a Arc<str>,
    /// The deadline of the stream; `None` for none.
    pub deadline: Option<Instant>,
    /// The deadline sent to the peer; `None` for the same.
    pub wire_deadline: Option<Instant>,
    /// The timeout of each Recv; `None` for none.
    pub recv_timeout: Option<RecvTimeout>,
}

impl Connection {
    /// Client: opens a stream. Returns `Ok(None)` if too much data is queued (backpressure): try again after
    /// [`Event::Openable`](super::Event::Openable).
    ///
    /// # Errors
    /// [`STREAM_TIMEOUT`](kerrors::Code::STREAM_TIMEOUT) if the deadline has passed,
    /// [`ILLEGAL_OPERATION`](kerrors::Code::ILLEGAL_OPERATION) if the header cannot be encoded, and the error
    /// that the connection was closed with.
    pub fn open(&mut self, open: &Open<'_>, now: Instant) -> Result<Option<StreamKey>, StreamError> {
        if let Some(error) = self.closed() {
            return Err(error.clone().on_side(Side::Client));
        }
        let timeout = open.deadline.map(|deadline| deadline.saturating_duration_since(now));
        if timeout == Some(Duration::ZERO) {
            return Err(StreamError::stream_timeout(timeout));
        }
        if !self.has_room() {
            return Ok(None);
        }
        let call = Call::new(open.service.clone(), open.deadline.zip(timeout));
        let stream = Stream::client(self.next_id(), open.method.clone(), call, open.recv_timeout);
        let key = self.insert(stream);
        let deadline = open.wire_deadline.or(open.deadline);
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(now));
        let offer = self.credit_mut().offer();
        let frame = Frame { timeout, offer, ..Frame::new(FrameType::Header, open.metadata, &[]) };
        if let Err(error) = self.write(key, &frame) {
            self.remove(key);
            return Err(illegal_operation(Side::Client, &error));
        }
        self.credit_mut().offered();
        self.opened(key, now);
        self.arm(open.deadline, Timer::Stream(key));
        self.plan_idle_check(key, now);
        self.share_stall(now);
        Ok(Some(key))
    }

    /// Client: returns the method `name` of `service`, which caches the common parts of its frames.
    ///
    /// # Errors
    /// [`ILLEGAL_OPERATION`](kerrors::Code::ILLEGAL_OPERATION) if the name is longer than 65,535 bytes, or
    /// than a header may be.
    pub fn prepare_method(&mut self, service: &[u8], name: &[u8]) -> Result<Arc<Method>, StreamError> {
        let method = self.method_of(Some(service), name).and_then(|method| {
            method.check(&self.config().limits)?;
            Ok(method)
        });
        method.map_err(|error| illegal_operation(self.side(), &error))
    }

    /// Client: whether the server takes no more streams for now: it has refused one while no more were open than are.
    /// Once a second one more is tried.
    pub fn is_full(&mut self, now: Instant) -> bool {
        let live = self.live_streams();
        self.peer_mut().is_full(live, now)
    }

    /// Client: ends the sending direction with a trailer. Does nothing if it has ended.
    pub fn close_send(&mut self, key: StreamKey) {
        if self.stream_mut(key).is_some_and(Stream::close_local) {
            self.write_trailer(key, &Finish::default());
            self.wake_sender(key);
        }
    }

    /// Server: adds strings to the header frame. Returns `false` if the frame was already sent.
    pub fn set_header(&mut self, key: StreamKey, header: &Metadata) -> bool {
        self.stream_mut(key).is_some_and(|stream| stream.send_mut().add_header(header))
    }

    /// Server: sends the header frame now, unless it was already sent.
    ///
    /// # Errors
    /// The error that the stream ended with: a header after the end may make a client close the connection.
    /// [`ILLEGAL_OPERATION`](kerrors::Code::ILLEGAL_OPERATION) if it cannot be encoded: its strings are
    /// dropped, and a header without them precedes the next message unless others are set.
    pub fn send_header(&mut self, key: StreamKey) -> Result<(), Error> {
        self.check_send(key)?;
        self.write_header(key).map_err(|error| illegal_operation(self.side(), &error).into())
    }

    /// Queues one message. Returns `Ok(false)` if too much data is queued (backpressure): try again after
    /// [`Event::Writable`](super::Event::Writable).
    ///
    /// # Errors
    /// The error that the stream ended with; [`ILLEGAL_OPERATION`](kerrors::Code::ILLEGAL_OPERATION) if this
    /// side's direction has ended or the message is too large for a frame within the limits.
    pub fn send(&mut self, key: StreamKey, payload: &Message<'_>) -> Result<bool, Error> {
        self.check_send(key)?;
        if !self.has_room_for(key) {
            return Ok(false);
        }
        let queued = self.write_header(key).and_then(|()| self.write_data(key, payload));
        queued.map(|()| true).map_err(|error| illegal_operation(self.side(), &error).into())
    }

    /// Returns the next message; `None` at the clean end of the peer's direction.
    ///
    /// # Errors
    /// The error that the stream ended with, after all messages before it;
    /// [`RECV_TIMEOUT`](kerrors::Code::RECV_TIMEOUT) if this Recv has timed out.
    pub fn recv(&mut self, key: StreamKey, now: Instant) -> Poll<Result<Option<Bytes>, Error>> {
        let taken = self.with_recv_flow(key, |stream, flow| stream.recv_mut().pop(flow)).flatten();
        if let Some(message) = taken {
            self.stop_recv(key);
            return Poll::Ready(Ok(Some(message)));
        }
        let Some(stream) = self.stream_mut(key) else { return Poll::Ready(Err(returned())) };
        if let Some(outcome) = stream.receive_outcome() {
            return Poll::Ready(outcome.map(|()| None));
        }
        if stream.recv_mut().take_expired()
            && let Some(timeout) = stream.recv().timeout()
        {
            return Poll::Ready(Err(stream.recv_timeout_error(timeout).into()));
        }
        let until = stream.recv_mut().wait_with_timeout(now);
        self.arm(until, Timer::Recv(key));
        Poll::Pending
    }

    /// Ends the pending Recv because it has returned or was dropped.
    pub fn stop_recv(&mut self, key: StreamKey) {
        let until = self.stream_mut(key).and_then(|stream| stream.recv_mut().stop_waiting());
        self.disarm(until, Timer::Recv(key));
    }

    /// Returns the strings of the peer's header frame, once it has arrived.
    ///
    /// # Errors
    /// The error that the stream ended with, if it ended without a header.
    pub fn header(&mut self, key: StreamKey) -> Poll<Result<Metadata, Error>> {
        let Some(stream) = self.stream_mut(key) else { return Poll::Ready(Err(returned())) };
        if let Some(header) = stream.recv().header() {
            return Poll::Ready(Ok(header.clone()));
        }
        if let Some(outcome) = stream.outcome() {
            return Poll::Ready(outcome.clone().map(|()| Metadata::new()));
        }
        stream.recv_mut().wait();
        Poll::Pending
    }

    /// Client: removes and returns the next meta frame.
    pub fn take_meta(&mut self, key: StreamKey) -> Option<(Metadata, Bytes)> {
        self.stream_mut(key)?.call_mut()?.pop_meta()
    }

    /// Server: returns the strings of the header frame that opened the stream; from then on they are empty.
    pub fn take_header(&mut self, key: StreamKey) -> Option<Metadata> {
        self.stream_mut(key).and_then(|stream| stream.recv_mut().take_header())
    }

    /// Returns the strings of the peer's header frame, if it has arrived.
    pub fn received_header(&self, key: StreamKey) -> Option<&Metadata> {
        self.stream(key).and_then(|stream| stream.recv().header())
    }

    /// Returns the strings of the peer's trailer frame, if it has arrived.
    pub fn trailer(&self, key: StreamKey) -> Option<&Metadata> {
        self.stream(key).and_then(|stream| stream.recv().trailer())
    }

    /// Server: returns the time that was left until the client's deadline, as the client sent it.
    pub fn timeout(&self, key: StreamKey) -> Option<Duration> {
        self.stream(key).and_then(Stream::handling).and_then(Handling::timeout)
    }

    /// Returns the method of a stream.
    pub fn method(&self, key: StreamKey) -> Option<&Arc<Method>> {
        self.stream(key).map(Stream::method)
    }

    /// Returns the name of the calling service, at a client's end.
    pub fn caller(&self, key: StreamKey) -> Option<&Arc<str>> {
        self.stream(key).and_then(Stream::call).map(Call::service)
    }

    /// Returns the outcome of the stream, if it has ended.
    pub fn outcome(&self, key: StreamKey) -> Option<Result<(), Error>> {
        self.stream(key).and_then(Stream::outcome).cloned()
    }

    fn check_send(&self, key: StreamKey) -> Result<(), Error> {
        self.stream(key).map_or_else(|| Err(returned()), Stream::check_send)
    }
}

/// Returns the error for a handle of a removed stream: only a server's is removed before its handles, after
/// its handler has returned.
fn returned() -> Error {
    handler_returned().into()
}
