//! How streams end: by a cancel, their handler, a timeout, a fault of the peer, their connection. Owns the
//! frames that end a stream at the peer: at most one Rst and one trailer per stream, and nothing after them.
//!
//! | what happens | method | Rst | what has arrived |
//! |---|---|---|---|
//! | client: its scope ends, or a deadline passes | `cancel` | yes | dropped |
//! | client: the last sender is dropped | `abandon_send` | yes | dropped |
//! | the last handle is dropped | `release` | client: yes | dropped |
//! | server: the handler returns | `finish` | no | dropped |
//! | server: it shuts down | `end_all` | yes | dropped |
//! | a timeout of the stream passes | `end_by_timeout` | yes | kept |
//! | the peer breaks a rule of the stream | `end_at_fault` | yes | kept |
//! | client: a trailer or an Rst arrives | `end` | no | kept |
//! | server: an Rst arrives, or the connection is lost | `end_under_handler` | no | dropped |
//! | the connection is lost | `handle_closed` | no | client: kept |

use std::time::Duration;

use kerrors::{ApplicationException, CancelPath, Code, Error, Side, StreamError};
use ttheader_codec::{EncodeError, FrameType, key};

use super::connection::Connection;
use super::error::handler_returned;
use super::event::Event;
use super::id::{StreamId, StreamKey};
use super::method::{Frame, Method};
use super::stream::Stream;
use crate::Metadata;
use crate::cancel::Reason;

/// Bytes of an Rst frame's text: what a reader keeps of it. A cause that a user gives has no bound of its own.
const MAX_RST_TEXT: usize = 4096;

/// What a handler ends a stream with.
#[derive(Clone, Debug, Default)]
pub struct Finish {
    /// Strings of the trailer frame; a business error is among them.
    pub trailer: Metadata,
    /// The error that the handler returned, unless it is a business error.
    pub exception: Option<ApplicationException>,
}

impl Connection {
    /// Client: the scope under which the stream was opened has ended for `reason`. Ends the stream here, and
    /// at the peer by an Rst frame. Does nothing if it has ended.
    pub fn cancel(&mut self, key: StreamKey, reason: &Reason) {
        let Some(call) = self.live_stream(key).and_then(Stream::call) else { return };
        let (error, path) = reason.for_stream(call.service(), call.timeout());
        self.discard(key);
        if !matches!(reason, Reason::Stream(_)) {
            self.push_event(Event::Reset(key, error.clone()));
        }
        self.end(key, Err(error.into()), Some(&path));
    }

    /// Client: no sender is left, and none has closed the direction: cancels the stream for `reason`, unless
    /// its direction has ended.
    pub fn abandon_send(&mut self, key: StreamKey, reason: &Reason) {
        if self.stream(key).is_some_and(Stream::is_open) {
            self.cancel(key, reason);
        }
    }

    /// Server: the handler has returned. Sends what is left to send, and ends the stream with 12012 for
    /// every handle that is left. Does nothing the second time.
    pub fn finish(&mut self, key: StreamKey, finish: &Finish) {
        if !self.handler_finished(key) {
            return;
        }
        if self.live_stream(key).is_some() {
            // A header that cannot be encoded is lost; the trailer still tells how the stream ended.
            let _ = self.write_header(key);
        }
        self.write_trailer(key, finish);
        self.discard(key);
        self.unroute(key);
        self.set_ended(key, Err(handler_returned().into()));
        self.forget(key);
    }

    /// Drops the messages that were received and not taken, and all that arrive.
    pub fn discard_incoming(&mut self, key: StreamKey) {
        self.with_recv_flow(key, |stream, flow| stream.recv_mut().discard_incoming(flow));
    }

    /// No handle of the stream is left. A client's stream that has not ended is canceled, 12007.
    pub fn release(&mut self, key: StreamKey) {
        self.cancel(key, &Reason::Canceled);
        self.discard_incoming(key);
        if let Some(stream) = self.stream_mut(key) {
            stream.release();
        }
        self.forget(key);
    }

    /// Server: ends every stream that has not ended, here and at the peer, with 12013. `service` is the
    /// server's own name, for the cancel path.
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

    /// The connection is lost: every stream ends, a client's with `error`, a server's with 12013.
    pub fn handle_closed(&mut self, error: &StreamError) {
        if !self.set_closed(error) {
            return;
        }
        for key in self.keys() {
            match self.side() {
                Side::Client => self.end(key, Err(error.clone().on_side(Side::Client).into()), None),
                Side::Server => self.end_under_handler(key, StreamError::new(Code::CONNECTION_CLOSED)),
            }
            // The frames that a handler queued before it returned cannot be sent.
            self.purge(key);
            self.forget(key);
        }
        self.push_event(Event::Openable);
    }

    /// A Send could not queue its message in time: ends the stream here and at the peer.
    pub fn handle_send_timeout(&mut self, key: StreamKey, timeout: Duration) {
        self.end_by_timeout(key, StreamError::send_timeout(self.side(), timeout));
    }

    /// Ends the stream with `error`, here and at the peer. What has arrived can still be taken. Does nothing
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

    /// The peer has broken a rule of this stream. Ends it, and no other, with `error`, here and at the peer.
    /// What has arrived can still be taken.
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

    /// Ends the stream for its handles, and at the peer: by an Rst frame if there is a path for it, and a
    /// client's by its trailer too, since there are peers that know no Rst. Does nothing if it has ended.
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

    /// Answers a frame of a stream that is not there.
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

    /// The limits are very tight. The code alone must leave: the stream would stay open at the peer.
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
