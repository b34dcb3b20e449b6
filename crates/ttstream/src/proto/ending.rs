//! How streams end: by a cancel, their handler, a timeout, a protocol violation, or their connection. Owns
//! the frames that end a stream at the peer: at most one Rst and one trailer per stream, and nothing after
//! them.
//!
//! | cause | method | Rst | received messages |
//! |---|---|---|---|
//! | client: its scope ends, or a deadline passes | `cancel` | yes | dropped |
//! | client: the last sender is dropped | `abandon_send` | yes | dropped |
//! | the last handle is dropped | `release` | client: yes | dropped |
//! | server: the handler returns | `finish` | no | dropped |
//! | server: graceful shutdown ends | `end_all` | yes | dropped |
//! | server: no handler may be started | `refuse` | yes | dropped |
//! | a timeout of the stream passes | `end_by_timeout` | yes | kept |
//! | a protocol violation of the stream | `end_at_fault` | yes | kept |
//! | client: a trailer or an Rst arrives | `end` | no | kept |
//! | server: an Rst arrives, or the connection is lost | `end_under_handler` | no | dropped |
//! | the connection is lost | `handle_closed` | no | client: kept |

use std::time::{Duration, Instant};

use kerrors::{ApplicationException, CancelPath, Code, Error, Side, StreamError};
use stream_core::Retryable;
use ttheader_codec::{EncodeError, FrameType, key};

use super::connection::Connection;
use super::error::handler_returned;
use super::event::Event;
use super::id::{StreamId, StreamKey};
use super::method::{Frame, Method};
use super::stream::Stream;
use crate::Metadata;
use crate::cancel::Reason;

/// The largest text of an Rst frame, in bytes: readers keep no more. A user's cause has no limit of its own.
const MAX_RST_TEXT: usize = 4096;

/// The end of a stream by its handler.
#[derive(Clone, Debug, Default)]
pub struct Finish {
    /// Strings of the trailer frame, including a business error.
    pub trailer: Metadata,
    /// The error that the handler returned, unless it is a business error.
    pub exception: Option<ApplicationException>,
}

impl Connection {
    /// Client: cancels the stream because the scope that it was opened under was canceled for `reason`. Ends
    /// it here, and at the peer by an Rst frame. Does nothing if it has ended.
    pub fn cancel(&mut self, key: StreamKey, reason: &Reason) {
        let Some(call) = self.live_stream(key).and_then(Stream::call) else { return };
        let (error, path) = reason.for_stream(call.service(), call.timeout());
        self.discard(key);
        if !reason.is_from_stream() {
            self.push_event(Event::Reset(key, error.clone()));
        }
        self.end(key, Err(error.into()), Some(&path));
    }

    /// Client: cancels the stream for `reason` because its last sender was dropped, unless its direction has
    /// ended.
    pub fn abandon_send(&mut self, key: StreamKey, reason: &Reason) {
        if self.stream(key).is_some_and(Stream::is_open) {
            self.cancel(key, reason);
        }
    }

    /// Server: ends the stream because its handler has returned. Sends the queued frames and the trailer;
    /// remaining handles get [`HANDLER_RETURNED`](kerrors::Code::HANDLER_RETURNED). Does nothing the second
    /// time.
    pub fn finish(&mut self, key: StreamKey, finish: &Finish) {
        if !self.handler_finished(key) {
            return;
        }
        if self.live_stream(key).is_some() {
            // A header that cannot be encoded is lost; the trailer still contains the outcome.
            let _ = self.write_header(key);
        }
        self.write_trailer(key, finish);
        self.discard(key);
        self.unroute(key);
        self.set_ended(key, Err(handler_returned().into()));
        self.forget(key);
    }

    /// Server: refuses a stream whose handler was not started, with `error`: its code is
    /// [`TOO_MANY_STREAMS`](kerrors::Code::TOO_MANY_STREAMS), and its text names the limit.
    pub fn refuse(&mut self, key: StreamKey, error: &StreamError) {
        self.end(key, Err(error.clone().into()), Some(&CancelPath::of("")));
        self.finish(key, &Finish::default());
    }

    /// Drops received messages that were not taken, and all further ones.
    pub fn discard_incoming(&mut self, key: StreamKey) {
        self.with_recv_flow(key, |stream, flow| stream.recv_mut().discard_incoming(flow));
    }

    /// Releases the stream because its last handle was dropped. A client's stream that has not ended is
    /// canceled with [`CANCELED`](kerrors::Code::CANCELED).
    pub fn release(&mut self, key: StreamKey) {
        self.cancel(key, &Reason::Canceled);
        self.discard_incoming(key);
        if let Some(stream) = self.stream_mut(key) {
            stream.release();
        }
        self.forget(key);
    }

    /// Server: ends every open stream, here and at the peer, with
    /// [`CONNECTION_CLOSED`](kerrors::Code::CONNECTION_CLOSED). `service` is the server's own name, for the
    /// cancel path.
    pub fn end_all(&mut self, service: &str) {
        for key in self.keys() {
            if self.live_stream(key).is_none() {
                continue;
            }
            let error = StreamError::new(Code::CONNECTION_CLOSED);
            self.discard(key);
            self.end(key, Err(error.clone().into()), Some(&CancelPath::of(service)));
            self.push_event(Event::Canceled(key, error));
        }
    }

    /// Client: the connection is about to be closed at `now`, and the peer has not read all that was sent: the stream that was
    /// opened just before, by the last frame that was sent, has not begun there.
    pub fn mark_unread(&mut self, now: Instant) {
        if let Some(key) = self.last_opening(now) {
            self.mark_retryable(key, Retryable::Always);
        }
    }

    /// Client: the connection is about to be closed because it was lost: a stream of which nothing was received may have
    /// begun there, unless its opening was not sent.
    pub fn mark_lost(&mut self) {
        let keys = if self.side() == Side::Client { self.keys() } else { Vec::new() };
        for key in keys {
            self.mark_retryable(key, Retryable::IfIdempotent);
        }
        for key in self.unsent_openings() {
            self.mark_retryable(key, Retryable::Always);
        }
    }

    /// Client: the stream is about to end so that it may be opened again.
    pub(super) fn mark_retryable(&mut self, key: StreamKey, retryable: Retryable) {
        self.stream_mut(key).into_iter().for_each(|stream| stream.mark_retryable(retryable));
    }

    /// Client: returns whether a stream waits of which the peer cannot have seen anything if it has not read all.
    pub fn may_be_unread(&self, now: Instant) -> bool {
        let last = self.last_opening(now);
        self.closed().is_none() && last.is_some_and(|key| self.live_stream(key).is_some())
    }

    /// Client: returns whether the stream, once it has ended, may be opened again.
    pub fn retryable(&self, key: StreamKey) -> Retryable {
        self.stream(key).map(Stream::retryable).unwrap_or_default()
    }

    /// Ends all streams because the connection was lost: a client's with `error`, a server's with
    /// [`CONNECTION_CLOSED`](kerrors::Code::CONNECTION_CLOSED).
    pub fn handle_closed(&mut self, error: &StreamError) {
        if !self.set_closed(error) {
            return;
        }
        for key in self.keys() {
            match self.side() {
                Side::Client => self.end(key, Err(error.clone().on_side(Side::Client).into()), None),
                Side::Server => self.end_under_handler(key, StreamError::new(Code::CONNECTION_CLOSED)),
            }
            // Frames that a returned handler has queued can no longer be sent.
            self.purge(key);
            self.forget(key);
        }
        self.push_event(Event::Openable);
    }

    /// Ends the stream here and at the peer because a Send has timed out.
    pub fn handle_send_timeout(&mut self, key: StreamKey, timeout: Duration) {
        self.end_by_timeout(key, StreamError::send_timeout(self.side(), timeout));
    }

    /// Ends the stream with `error`, here and at the peer. Received messages can still be taken. Does nothing
    /// if the stream has ended.
    pub(super) fn end_by_timeout(&mut self, key: StreamKey, error: StreamError) {
        let Some(stream) = self.live_stream(key) else { return };
        let path = CancelPath::of(stream.call().map_or("", |call| call.service()));
        self.end(key, Err(error.clone().into()), Some(&path));
        self.push_event(match self.side() {
            Side::Client => Event::Reset(key, error),
            Side::Server => Event::Canceled(key, error),
        });
    }

    /// Ends the stream with `error` because of a protocol violation, here and at the peer. Other streams
    /// continue. Received messages can still be taken.
    pub(super) fn end_at_fault(&mut self, key: StreamKey, error: StreamError) {
        self.end_by_timeout(key, error.on_side(self.side()));
    }

    /// Server: ends the stream with `error` while its handler runs. Does nothing if it has ended.
    pub(super) fn end_under_handler(&mut self, key: StreamKey, error: StreamError) {
        if self.live_stream(key).is_some() {
            self.discard(key);
            self.end(key, Err(error.clone().into()), None);
            self.push_event(Event::Canceled(key, error));
        }
    }

    /// Ends the stream for its handles, and at the peer: by an Rst frame if `rst` has its path, and a
    /// client's stream also by its trailer, since some peers do not know Rst. Does nothing if it has ended.
    pub(super) fn end(&mut self, key: StreamKey, outcome: Result<(), Error>, rst: Option<&CancelPath>) {
        let error = outcome.as_ref().err().and_then(Error::stream).cloned();
        if !self.set_ended(key, outcome) {
            return;
        }
        self.purge(key);
        if let (Some(path), Some(error)) = (rst, error) {
            self.write_rst(key, &error, path);
        }
        if self.side() == Side::Client {
            self.write_trailer(key, &Finish::default());
            self.unroute(key);
        }
        self.forget(key);
    }

    /// Replies with an Rst to a frame of an unknown stream.
    pub(super) fn reply_rst(
        &mut self,
        id: StreamId,
        method: &Method,
        error: &StreamError,
        path: &CancelPath,
    ) {
        let (strings, payload) = rst_parts(method.name(), id, error, path);
        self.reply(id, method, &Frame::new(FrameType::Rst, &strings, &payload));
    }

    /// Server: asks the client to open no new stream here. Those that it opens meanwhile are served, until
    /// [`drain`](Self::drain).
    pub fn hand_over(&mut self) {
        if self.closed().is_none() && !self.is_draining() {
            self.write_notice(&StreamError::new(Code::DRAINING));
        }
    }

    /// Server: sends a notice about the connection itself, in a frame that other peers ignore.
    fn write_notice(&mut self, error: &StreamError) {
        let Ok(method) = self.method_named(b"") else { return };
        let exception = ApplicationException::new(error.code().number(), error.message());
        let (strings, payload) = (Metadata::new(), exception.encode("", 0));
        self.notice(&method, &Frame::new(FrameType::Rst, &strings, &payload));
    }

    fn write_rst(&mut self, key: StreamKey, error: &StreamError, path: &CancelPath) {
        if !self.mark_reset(key) {
            return;
        }
        let side = self.side();
        let Some(stream) = self.stream_mut(key) else { return };
        if side == Side::Server {
            // A server's Rst is its last frame. A client's is followed by its trailer.
            stream.send_mut().mark_trailer_sent();
        }
        let (method, id) = (stream.method().name().clone(), stream.id());
        let (strings, payload) = rst_parts(&method, id, error, path);
        if self.write(key, &Frame::new(FrameType::Rst, &strings, &payload)).is_err() {
            self.write_bare_rst(key, error);
        }
    }

    /// Queues an Rst with the code only, if the limits are too small for more: without it the stream would
    /// stay open at the peer.
    #[cold]
    fn write_bare_rst(&mut self, key: StreamKey, error: &StreamError) {
        let bare = StreamError::new(error.code()).with_cause(String::new());
        let (strings, payload) = rst_parts(&[], key.id(), &bare, &CancelPath::of(""));
        let _ = self.write_last(key, &Frame::new(FrameType::Rst, &strings, &payload));
    }

    /// Queues this side's trailer, unless it was queued or replaced by an Rst.
    pub(super) fn write_trailer(&mut self, key: StreamKey, finish: &Finish) {
        let Some(stream) = self.stream_mut(key) else { return };
        if !stream.send_mut().mark_trailer_sent() {
            return;
        }
        let (method, id) = (stream.method().name().clone(), stream.id());
        let encode =
            |exception: &ApplicationException| exception.encode(&String::from_utf8_lossy(&method), id.get());
        let payload = finish.exception.as_ref().map(encode).unwrap_or_default();
        let frame = Frame::new(FrameType::Trailer, &finish.trailer, &payload);
        if let Err(error) = self.write(key, &frame) {
            // A stream must not stay open because its trailer is too large.
            let exception = trailer_refused(&error);
            let (strings, payload) = (Metadata::new(), encode(&exception));
            let _ = self.write_last(key, &Frame::new(FrameType::Trailer, &strings, &payload));
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
    let mut text = error.message();
    if text.len() > MAX_RST_TEXT {
        text = (0..=MAX_RST_TEXT).rev().find_map(|end| text.get(..end)).unwrap_or_default();
    }
    let exception = ApplicationException::new(error.code().number(), text);
    (strings, exception.encode(&String::from_utf8_lossy(method), id.get()))
}
