//! How streams end: by their user, their handler, their deadline, their peer, their connection. Owns
//! every transition to `Ended` and the frames that tell the peer: at most one Rst and one trailer a
//! stream, and nothing behind them.

use std::mem;
use std::time::{Duration, Instant};

use kerrors::{ApplicationException, CancelPath, Code, Error, Side, StreamError};
use ttheader_codec::{EncodeError, FrameType, key};

use super::connection::{Connection, Event, Finish, handler_returned};
use super::method::{Frame, Method};
use super::stream::{Role, State, Stream};
use super::timers::Timer;
use super::{StreamId, StreamKey};
use crate::Metadata;
use crate::cancel::Reason;

/// How often it is looked, in the time that a stream may be idle, whether it is.
const IDLE_LOOKS: u32 = 4;

impl Connection {
    /// Client: the scope under which the stream was opened has ended for `reason`. Ends the stream here,
    /// at once, and at the peer by an Rst frame. Does nothing if it has ended.
    pub fn cancel(&mut self, key: StreamKey, reason: &Reason) {
        let live = self.table.get_mut(key).filter(|stream| stream.outcome().is_none());
        let Some(call) = live.and_then(Stream::call) else { return };
        let (error, path) = reason.for_stream(&call.service, call.timeout());
        self.discard(key);
        if !matches!(reason, Reason::Stream(_)) {
            self.events.push_back(Event::Reset(key, error.clone()));
        }
        self.end(key, Err(error.into()), Some(&path));
    }

    /// Client: nobody will send any more, and nobody said that this is the end: cancels the stream for
    /// `reason`, unless its direction has ended.
    pub fn abandon_send(&mut self, key: StreamKey, reason: &Reason) {
        if self.table.get(key).is_some_and(|stream| matches!(stream.state, State::Open)) {
            self.cancel(key, reason);
        }
    }

    /// Server: the handler has returned. Sends what is left to send, and ends the stream with 12012 for
    /// every handle that is still there. Does nothing the second time.
    pub fn finish(&mut self, key: StreamKey, finish: &Finish) {
        let Some(stream) = self.table.get_mut(key) else { return };
        let ended = stream.outcome().is_some();
        let Some(handling) = stream.handling() else { return };
        if mem::replace(&mut handling.finished, true) {
            return;
        }
        self.running = self.running.saturating_sub(1);
        if !ended {
            // A header that cannot be encoded is lost; the trailer still tells how the stream ended.
            let _ = self.answer(key);
        }
        self.write_trailer(key, finish);
        self.discard(key);
        self.table.unroute(key);
        self.set_ended(key, Err(handler_returned().into()));
        self.forget(key);
    }

    /// Nobody will take what arrives for the stream: what has arrived is dropped, and what comes too.
    pub fn discard_incoming(&mut self, key: StreamKey) {
        self.discard(key);
        if let Some(stream) = self.table.get_mut(key) {
            stream.discard_incoming = true;
        }
    }

    /// No handle of the stream is left. A client's stream that has not ended is canceled, 12007.
    pub fn release(&mut self, key: StreamKey) {
        self.cancel(key, &Reason::Canceled);
        self.discard_incoming(key);
        if let Some(stream) = self.table.get_mut(key) {
            stream.released = true;
        }
        self.forget(key);
    }

    /// Server: takes no new stream; one that is opened gets an Rst of code 12903.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Server: ends every stream that has not ended, here and at the peer, with 12013. `service` is the
    /// server's own name, for the path.
    pub fn end_all(&mut self, service: &str) {
        for key in self.table.keys() {
            if self.table.get(key).is_some_and(|stream| stream.outcome().is_some()) {
                continue;
            }
            let error = StreamError::new(Code::CONNECTION_CLOSED);
            self.discard(key);
            self.end(key, Err(error.clone().into()), Some(&CancelPath::of(service)));
            self.events.push_back(Event::Canceled(key, error));
        }
    }

    /// The connection is gone: every stream ends, a client's with `error`, a server's with 12013.
    pub fn handle_closed(&mut self, error: &StreamError) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(error.clone());
        for key in self.table.keys() {
            match self.side {
                Side::Client => self.end(key, Err(error.clone().on_side(Side::Client).into()), None),
                Side::Server => self.end_under_handler(key, StreamError::new(Code::CONNECTION_CLOSED)),
            }
            // What a handler has left behind as it returned can go nowhere.
            if let Some(stream) = self.table.get_mut(key) {
                self.outbound.purge(stream);
            }
            self.forget(key);
        }
        self.events.push_back(Event::Openable);
    }

    pub(super) fn handle_deadline(&mut self, key: StreamKey) {
        self.cancel(key, &Reason::DeadlineExceeded);
    }

    pub(super) fn handle_recv_timeout(&mut self, key: StreamKey) {
        let Some(stream) = self.table.get_mut(key) else { return };
        let Some(wait) = &mut stream.recv_wait else { return };
        wait.until = None;
        let requests_over = matches!((&stream.state, &stream.role), (State::HalfClosed, Role::Server(_)));
        if stream.inbox.bytes() > 0 || requests_over {
            // The Recv has its answer, though nobody has run to take it.
            return;
        }
        if wait.config.disable_cancel_remote {
            wait.timed_out = true;
            self.wake(key);
        } else {
            let error = stream.recv_timeout_error();
            self.end_by_itself(key, error);
        }
    }

    /// A Send could not queue its message in time: the stream ends here and there.
    pub fn handle_send_timeout(&mut self, key: StreamKey, timeout: Duration) {
        self.end_by_itself(key, StreamError::send_timeout(self.side, timeout));
    }

    /// Looks four times in the idle timeout whether a message has gone either way, so that messages cost
    /// nothing.
    pub(super) fn watch_idle(&mut self, key: StreamKey, now: Instant) {
        let Some(pause) = self.config.stream_idle_timeout.and_then(|idle| idle.checked_div(IDLE_LOOKS))
        else {
            return;
        };
        let Some(stream) = self.table.get_mut(key) else { return };
        let idle = stream.idle.get_or_insert_default();
        idle.next_look = now.checked_add(pause);
        idle.next_look.into_iter().for_each(|at| self.timers.arm(at, Timer::Idle(key)));
    }

    pub(super) fn handle_idle_check(&mut self, key: StreamKey, now: Instant) {
        let Some(stream) = self.table.get_mut(key) else { return };
        let messages = stream.sent.messages.wrapping_add(stream.received.messages);
        let idle = stream.idle.get_or_insert_default();
        let quiet = mem::replace(&mut idle.messages, messages) == messages;
        idle.quiet_looks = if quiet { idle.quiet_looks.saturating_add(1) } else { 0 };
        if idle.quiet_looks < IDLE_LOOKS {
            return self.watch_idle(key, now);
        }
        let timeout = self.config.stream_idle_timeout.unwrap_or_default();
        self.end_by_itself(key, StreamError::idle_timeout(self.side, timeout));
    }

    /// A time of the stream's own has passed: it ends here and there, and what has arrived stays to be
    /// taken. Does nothing if it has ended.
    fn end_by_itself(&mut self, key: StreamKey, error: StreamError) {
        let live = self.table.get_mut(key).filter(|stream| stream.outcome().is_none());
        let Some(stream) = live else { return };
        let path = CancelPath::of(stream.call().map_or("", |call| &call.service));
        self.end(key, Err(error.clone().into()), Some(&path));
        self.events.push_back(match self.side {
            Side::Client => Event::Reset(key, error),
            Side::Server => Event::Canceled(key, error),
        });
    }

    /// Ends a stream for its handles, and at the peer: by an Rst frame if there is a path to tell, and a
    /// client's by the trailer too, since there are peers that know no Rst. Does nothing if it has ended.
    pub(super) fn end(&mut self, key: StreamKey, outcome: Result<(), Error>, rst: Option<&CancelPath>) {
        let error = outcome.as_ref().err().and_then(Error::stream).cloned();
        if !self.set_ended(key, outcome) {
            return;
        }
        if let Some(stream) = self.table.get_mut(key) {
            // A trailer that waits is the last in its queue, so it goes with what stands before it.
            stream.trailer_sent &= stream.outbox.is_empty();
            self.outbound.purge(stream);
        }
        if let (Some(path), Some(error)) = (rst, error) {
            self.write_rst(key, &error, path);
        }
        if self.side == Side::Client {
            self.write_trailer(key, &Finish::default());
            self.table.unroute(key);
        }
        self.forget(key);
    }

    /// Server: the stream has ended, and its handler is to learn of it.
    pub(super) fn end_under_handler(&mut self, key: StreamKey, error: StreamError) {
        if self.table.get(key).is_some_and(|stream| stream.outcome().is_none()) {
            self.discard(key);
            self.end(key, Err(error.clone().into()), None);
            self.events.push_back(Event::Canceled(key, error));
        }
    }

    /// What the peer sends cannot go on: its stream ends here and there, and no other does. What has
    /// arrived stays to be taken.
    pub(super) fn end_at_fault(&mut self, key: StreamKey, error: StreamError) {
        self.end_by_itself(key, error.on_side(self.side));
    }

    /// The one place where a stream ends. `false` if it had ended before: the first reason stays.
    fn set_ended(&mut self, key: StreamKey, outcome: Result<(), Error>) -> bool {
        let timers = self.with_inbox(key, |stream| {
            if stream.outcome().is_some() {
                return None;
            }
            stream.state = State::Ended(Box::new(outcome));
            let deadline = stream.call().and_then(|call| call.deadline.as_ref()).map(|deadline| deadline.at);
            Some((
                deadline,
                stream.recv_wait.as_mut().and_then(|wait| wait.until.take()),
                stream.idle.take().and_then(|idle| idle.next_look),
            ))
        });
        let Some(Some((deadline, recv, idle))) = timers else { return false };
        self.timers.disarm(deadline, Timer::Stream(key));
        self.timers.disarm(recv, Timer::Recv(key));
        self.timers.disarm(idle, Timer::Idle(key));
        self.wake(key);
        true
    }

    /// Wakes who waits for what has changed: a Recv always, a Send if the stream has ended.
    pub(super) fn wake(&mut self, key: StreamKey) {
        let Some(stream) = self.table.get_mut(key) else { return };
        if mem::take(&mut stream.wants_recv) {
            self.events.push_back(Event::Readable(key));
        }
        if stream.outcome().is_some() && mem::take(&mut stream.wants_send) {
            self.events.push_back(Event::Writable(key));
        }
    }

    /// Removes a stream that neither frames nor handles can reach.
    pub(super) fn forget(&mut self, key: StreamKey) {
        let gone = |stream: &Stream| stream.released && !stream.is_routed() && stream.outbox.is_empty();
        if self.table.get(key).is_some_and(gone) {
            self.table.remove(key);
        }
    }

    /// Answers a frame of a stream that is not there.
    pub(super) fn reply_rst(
        &mut self,
        id: StreamId,
        method: &Method,
        error: &StreamError,
        path: &CancelPath,
    ) {
        let (strings, payload) = rst_parts(method.name(), id, error, path);
        self.outbound.reply(id, method, &Frame::new(FrameType::Rst, &strings, &payload));
    }

    fn write_rst(&mut self, key: StreamKey, error: &StreamError, path: &CancelPath) {
        let Some(stream) = self.table.get_mut(key) else { return };
        if mem::replace(&mut stream.reset, true) {
            return;
        }
        self.never_reset = false;
        // A server's Rst says all. A client's is followed by its trailer.
        stream.trailer_sent |= self.side == Side::Server;
        let (strings, payload) = rst_parts(stream.method.name(), stream.id, error, path);
        // Never refused: a path is bounded, and a text is far below the bound of a frame.
        let _ = self.write(key, &Frame::new(FrameType::Rst, &strings, &payload));
    }

    pub(super) fn write_trailer(&mut self, key: StreamKey, finish: &Finish) {
        let Some(stream) = self.table.get_mut(key) else { return };
        if mem::replace(&mut stream.trailer_sent, true) {
            return;
        }
        let (method, id) = (stream.method.name().clone(), stream.id);
        let encode =
            |exception: &ApplicationException| exception.encode(&String::from_utf8_lossy(&method), id.get());
        let payload = finish.exception.as_ref().map(encode).unwrap_or_default();
        let frame = Frame::new(FrameType::Trailer, &finish.trailer, &payload);
        if let Err(error) = self.write(key, &frame) {
            // A stream must not stay open because its trailer is too large.
            let exception = trailer_refused(&error);
            let (strings, payload) = (Metadata::new(), encode(&exception));
            let _ = self.write(key, &Frame::new(FrameType::Trailer, &strings, &payload));
        }
    }
}

fn trailer_refused(error: &EncodeError) -> ApplicationException {
    let text = format!("trailer cannot be sent: {error}");
    ApplicationException::new(ApplicationException::INTERNAL_ERROR, text)
}

fn rst_parts(method: &[u8], id: StreamId, error: &StreamError, path: &CancelPath) -> (Metadata, Vec<u8>) {
    let mut strings = Metadata::new();
    if !path.as_wire().is_empty() {
        strings.insert(key::CANCEL_PATH, path.as_wire().to_owned());
    }
    let exception = ApplicationException::new(error.code().number(), error.message());
    (strings, exception.encode(&String::from_utf8_lossy(method), id.get()))
}
