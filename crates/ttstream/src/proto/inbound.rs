//! What a peer sends: bytes to frames, frames to streams. Owns what each frame means in each state, and
//! which protocol violation ends the stream, which the connection, and which is ignored.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use kerrors::{ApplicationException, CancelPath, Code, Side, StreamError};
use ttheader_codec::{
    DecodeError, Flags, FrameType, Header, Limits, Oversize, key, peek_frame, peek_oversize,
};

use super::connection::Connection;
use super::error::ConnectionError;
use super::event::Event;
use super::id::{StreamId, StreamKey};
use super::role::Handling;
use super::stream::Stream;
use crate::{Metadata, status};

/// Payloads below this size are copied out of the read buffer, so that a message which is not taken holds
/// at most eight times its size.
const COPY_BELOW: usize = 8 * 1024;

/// Payloads of meta frames up to this size are kept.
const MAX_META: usize = 8 * 1024;

/// What an Rst frame without a readable payload stands for: Kitex reads it as this exception.
const DEFAULT_RST: (i32, &str) = (13, "rst");

impl Connection {
    /// Bytes have arrived: takes every whole frame out of `buf`, or, if the connection gets
    /// [paused](Self::is_paused), every one until then. To be called again after
    /// [`Event::Resumed`](super::Event::Resumed), with new bytes or without.
    ///
    /// A frame that exceeds a limit is passed over as its bytes come, and ends its stream alone, with 12004.
    ///
    /// # Errors
    /// The connection cannot go on; it has been closed.
    pub fn handle_read(&mut self, buf: &mut BytesMut, now: Instant) -> Result<(), ConnectionError> {
        while !self.is_paused() && self.closed().is_none() {
            match self.read_frame(buf, now) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.handle_closed(&StreamError::from(&error));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Takes the next frame. Returns `false` if it has not come whole.
    fn read_frame(&mut self, buf: &mut BytesMut, now: Instant) -> Result<bool, ConnectionError> {
        if !self.skipped(buf) {
            return Ok(false);
        }
        let header = match peek_frame(buf, &self.config().limits) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(false),
            Err(error) if error.is_over_limit() => return self.pass_over(buf, &error),
            Err(error) => return Err(error.into()),
        };
        if !header.flags.contains(Flags::STREAMING) {
            return Err(ConnectionError::NotStreaming(header.flags.bits()));
        }
        let (frame_len, header_len, payload_len) =
            (header.frame_len(), header.header_len, header.payload_len);
        let Some(id) = StreamId::new(header.sequence_id) else {
            buf.advance(frame_len);
            return Ok(true);
        };
        match header.frame_type() {
            Some(FrameType::Data) => match self.data_target(id, &header)? {
                Some(key) => {
                    buf.advance(header_len);
                    let message = take_payload(buf, payload_len);
                    self.handle_data(key, message, now);
                }
                None => buf.advance(frame_len),
            },
            Some(frame_type) => {
                let payload = buf.get(header_len..frame_len).unwrap_or_default();
                self.handle_frame(id, frame_type, &header, payload, now)?;
                buf.advance(frame_len);
            }
            None => {
                self.handle_unknown_type(id);
                buf.advance(frame_len);
            }
        }
        Ok(true)
    }

    /// A frame exceeds a limit: ends its stream, and passes over the frame. Returns `false` if its header has
    /// not come whole.
    #[cold]
    fn pass_over(&mut self, buf: &[u8], error: &DecodeError) -> Result<bool, ConnectionError> {
        let limits: Limits = self.config().limits;
        let Some(oversize) = peek_oversize(buf, &limits)? else { return Ok(false) };
        let Oversize { flags, sequence_id, frame_len, header } = oversize;
        if !flags.contains(Flags::STREAMING) {
            return Err(ConnectionError::NotStreaming(flags.bits()));
        }
        if let Some(id) = StreamId::new(sequence_id) {
            self.handle_oversize(id, header.as_ref(), error)?;
        }
        self.skip(frame_len);
        Ok(true)
    }

    /// Ends the stream of a frame that is passed over. Where even the header is, its stream can be found, but
    /// not what the frame is.
    fn handle_oversize(
        &mut self,
        id: StreamId,
        header: Option<&Header<'_>>,
        error: &DecodeError,
    ) -> Result<(), ConnectionError> {
        let refused = StreamError::new(Code::ILLEGAL_FRAME).with_cause(error.to_string());
        let frame_type = header.map(Header::frame_type);
        match (self.find(id), frame_type, self.side()) {
            (Some(_), Some(Some(FrameType::Header)), Side::Server) => {
                return Err(ConnectionError::DuplicateStream(id.get()));
            }
            // For observers only: the stream can go on without it.
            (_, Some(Some(FrameType::Meta)), _) => {}
            (Some(key), frame_type, _) => {
                if frame_type == Some(Some(FrameType::Rst)) {
                    self.mark_reset(key);
                }
                self.end_at_fault(key, refused);
            }
            // It may have opened a stream, which the peer would wait for.
            (None, None | Some(Some(FrameType::Header)), Side::Server) => {
                let method = header.and_then(Header::to_method).unwrap_or_default();
                let method = self.method_named(method)?;
                self.reply_rst(id, &method, &refused, &CancelPath::of(""));
            }
            (None, _, _) => {}
        }
        Ok(())
    }

    /// Returns the stream that a data frame is for, if the stream takes it.
    fn data_target(
        &mut self,
        id: StreamId,
        header: &Header<'_>,
    ) -> Result<Option<StreamKey>, ConnectionError> {
        let Some(key) = self.find(id) else {
            self.handle_late_data(id, header)?;
            return Ok(None);
        };
        Ok(self.stream(key).is_some_and(Stream::takes_data).then_some(key))
    }

    /// Data of a stream that the peer has reset, it seems, without its handler: something between the two
    /// has reset one side only. One Rst frame stops the sender.
    fn handle_late_data(&mut self, id: StreamId, header: &Header<'_>) -> Result<(), ConnectionError> {
        if let Some((error, path)) = self.take_reset(id) {
            let method = self.method_named(header.to_method().unwrap_or_default())?;
            self.reply_rst(id, &method, &error, &path);
        }
        Ok(())
    }

    fn handle_data(&mut self, key: StreamKey, message: Bytes, now: Instant) {
        self.with_recv_flow(key, |stream, flow| stream.receive(message, flow));
        self.wake(key);
        self.arm_stall_if_paused(now);
    }

    fn handle_frame(
        &mut self,
        id: StreamId,
        frame_type: FrameType,
        header: &Header<'_>,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), ConnectionError> {
        match (self.find(id), frame_type, self.side()) {
            (None, FrameType::Header, Side::Server) => self.handle_open(id, header, now),
            (Some(_), FrameType::Header, Side::Server) => Err(ConnectionError::DuplicateStream(id.get())),
            (Some(key), FrameType::Header, Side::Client) => {
                self.handle_header(key, header);
                Ok(())
            }
            (Some(key), FrameType::Trailer, _) => {
                self.handle_trailer(key, header, payload);
                Ok(())
            }
            (Some(key), FrameType::Rst, _) => {
                self.handle_rst(key, header, payload);
                Ok(())
            }
            (Some(key), FrameType::Meta, Side::Client) => {
                self.handle_meta(key, header, payload);
                Ok(())
            }
            // Frames for a stream that has ended were on their way when it did.
            (None, _, _) | (Some(_), FrameType::Meta | FrameType::Data, _) => Ok(()),
        }
    }

    /// Server: a peer opens a stream.
    fn handle_open(
        &mut self,
        id: StreamId,
        header: &Header<'_>,
        now: Instant,
    ) -> Result<(), ConnectionError> {
        let method = self.method_named(header.to_method().unwrap_or_default())?;
        if let Some(code) = self.refuses() {
            self.reply_rst(id, &method, &StreamError::new(code), &CancelPath::of(""));
            return Ok(());
        }
        let (handling, recv_timeout) = (Handling::new(peer_timeout(header)), self.handler_recv_timeout());
        let stream = Stream::server(id, method, handling, strings_of(header), recv_timeout);
        let key = self.accept(stream);
        self.plan_idle_check(key, now);
        self.push_event(Event::Opened(key));
        Ok(())
    }

    /// Client: the server answers with its header. A second header ends the stream, and no other.
    fn handle_header(&mut self, key: StreamKey, header: &Header<'_>) {
        let Some(stream) = self.stream_mut(key) else { return };
        if stream.recv_mut().set_header(|| strings_of(header)) {
            self.wake(key);
            return;
        }
        let cause = format!("stream[{}] already set header", stream.id().get());
        self.end_at_fault(key, StreamError::new(Code::UNEXPECTED_HEADER).with_cause(cause));
    }

    /// Client: something for its observers, from a proxy for example.
    fn handle_meta(&mut self, key: StreamKey, header: &Header<'_>, payload: &[u8]) {
        let Some(call) = self.stream_mut(key).and_then(Stream::call_mut) else { return };
        let meta = || (strings_of(header), Bytes::copy_from_slice(payload));
        if payload.len() <= MAX_META && call.push_meta(meta) {
            self.wake(key);
        }
    }

    fn handle_trailer(&mut self, key: StreamKey, header: &Header<'_>, payload: &[u8]) {
        let trailer = strings_of(header);
        let outcome = status::from_trailer(self.side(), payload, &trailer);
        let side = self.side();
        let Some(stream) = self.stream_mut(key) else { return };
        match side {
            Side::Client if !stream.is_ended() => {
                stream.recv_mut().set_trailer(trailer);
                self.end(key, outcome, None);
            }
            Side::Server if stream.close_remote(outcome, trailer) => self.wake(key),
            // A second trailer, or one that was on its way when the stream ended.
            Side::Client | Side::Server => {}
        }
    }

    fn handle_rst(&mut self, key: StreamKey, header: &Header<'_>, payload: &[u8]) {
        let path = header.string(key::CANCEL_PATH).and_then(CancelPath::from_wire);
        let (code, text) = match ApplicationException::decode(payload) {
            Ok(exception) => (exception.type_id, exception.text().into_owned()),
            Err(_) => (DEFAULT_RST.0, DEFAULT_RST.1.to_owned()),
        };
        let error = StreamError::received(self.side(), Code::new(code), text.as_bytes(), path);
        let Some(stream) = self.stream(key) else { return };
        let Some(call) = stream.call() else {
            self.mark_reset(key);
            return self.end_under_handler(key, error);
        };
        if !stream.is_ended() && !stream.is_reset() {
            let service = call.service();
            let path = error.path().map_or_else(|| CancelPath::of(service), |path| path.then(service));
            self.remember_reset(key.id(), error.clone(), path);
        }
        if error.code() == Code::DRAINING {
            self.drain();
        }
        self.mark_reset(key);
        self.end(key, Err(error.into()), None);
    }

    /// A frame type that does not exist: whatever it means, its stream cannot go on.
    fn handle_unknown_type(&mut self, id: StreamId) {
        if let Some(key) = self.find(id) {
            let error = StreamError::new(Code::ILLEGAL_FRAME).with_cause("unexpected frame type");
            self.end_at_fault(key, error);
        }
    }
}

/// Returns the time that the client's header frame says is left until its deadline.
fn peer_timeout(header: &Header<'_>) -> Option<Duration> {
    let millis = std::str::from_utf8(header.int(key::RPC_TIMEOUT)?).ok()?;
    millis.parse().ok().map(Duration::from_millis)
}

fn take_payload(buf: &mut BytesMut, len: usize) -> Bytes {
    if len >= COPY_BELOW {
        return buf.split_to(len).freeze();
    }
    let message = Bytes::copy_from_slice(buf.get(..len).unwrap_or_default());
    buf.advance(len);
    message
}

fn strings_of(header: &Header<'_>) -> Metadata {
    Metadata::copied_from(header.string_count(), header.strings())
}
