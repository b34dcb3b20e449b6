//! Received data: bytes to frames, frames to streams. Owns the meaning of each frame in each state, and which
//! protocol violations end the stream, which the connection, and which are ignored.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use kerrors::{ApplicationException, CancelPath, Code, Side, StreamError};
use stream_core::Retryable;
use ttheader_codec::{
    DecodeError, Flags, FrameType, Header, Limits, Oversize, key, peek_frame, peek_oversize,
};

use super::connection::Connection;
use super::error::ConnectionError;
use super::event::Event;
use super::id::{StreamId, StreamKey};
use super::role::Handling;
use super::stream::Stream;
use super::violations::Violation;
use crate::{Metadata, status};

/// Payloads below this size are copied out of the read buffer, so that a message that is not taken keeps at
/// most eight times its size alive.
const COPY_BELOW: usize = 8 * 1024;

/// The largest payload of a meta frame that is kept, in bytes.
const MAX_META: usize = 8 * 1024;

/// The largest trailer frame of a client whose strings are kept, in bytes.
const MAX_CLIENT_TRAILER: usize = 16 * 1024;

/// What a pair of strings takes in memory in addition to its bytes.
const PAIR: usize = 64;

/// The exception that an Rst frame without a readable payload stands for, as in Kitex.
const DEFAULT_RST: (i32, &str) = (13, "rst");

impl Connection {
    /// Processes all whole frames of the received bytes in `buf`, or, if the connection gets
    /// [paused](Self::is_paused), those until then. To be called again after
    /// [`Event::Resumed`](super::Event::Resumed), with new bytes or without.
    ///
    /// A frame that exceeds a limit is skipped as its bytes arrive, and ends only its stream, with
    /// [`ILLEGAL_FRAME`](kerrors::Code::ILLEGAL_FRAME).
    ///
    /// # Errors
    /// The protocol violation by which the connection was closed.
    pub fn handle_read(&mut self, buf: &mut BytesMut, now: Instant) -> Result<(), ConnectionError> {
        self.end_stall_if_resumed(now);
        self.bytes_arrived(buf.len());
        let mut completed = false;
        while !self.is_paused() && self.closed().is_none() {
            match self.read_frame(buf, now) {
                Ok(true) => completed = true,
                Ok(false) => break,
                Err(error) => {
                    self.handle_closed(&StreamError::from(&error));
                    return Err(error);
                }
            }
        }
        self.bytes_processed(buf.len(), completed, now);
        Ok(())
    }

    /// Processes the next frame. Returns `false` if it has not completely arrived.
    fn read_frame(&mut self, buf: &mut BytesMut, now: Instant) -> Result<bool, ConnectionError> {
        if !self.skipped(buf) {
            return Ok(false);
        }
        let header = match peek_frame(buf, &self.config().limits) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(false),
            Err(error) if error.is_over_limit() => return self.pass_over(buf, &error, now),
            Err(error) => return Err(error.into()),
        };
        if !header.flags.contains(Flags::STREAMING) {
            return Err(ConnectionError::NotStreaming(header.flags.bits()));
        }
        let (frame_len, header_len, payload_len) =
            (header.frame_len(), header.header_len, header.payload_len);
        let Some(id) = StreamId::new(header.sequence_id) else {
            let payload = buf.get(header_len..frame_len).unwrap_or_default();
            self.handle_connection_frame(&header, payload, now)?;
            buf.advance(frame_len);
            return Ok(true);
        };
        match header.frame_type() {
            Some(FrameType::Data) => match self.data_target(id, &header)? {
                Some(key) => {
                    buf.advance(header_len);
                    let message = take_payload(buf, payload_len);
                    self.handle_data(key, message, now)?;
                }
                None => {
                    self.count_violation(Violation::Unwanted(frame_len), now)?;
                    buf.advance(frame_len);
                }
            },
            Some(frame_type) => {
                let payload = buf.get(header_len..frame_len).unwrap_or_default();
                self.handle_frame(id, frame_type, &header, payload, now)?;
                buf.advance(frame_len);
            }
            None => {
                self.handle_unknown_type(id, now)?;
                buf.advance(frame_len);
            }
        }
        Ok(true)
    }

    /// Skips a frame that exceeds a limit, and ends its stream. Returns `false` if its header has not
    /// completely arrived.
    #[cold]
    fn pass_over(&mut self, buf: &[u8], error: &DecodeError, now: Instant) -> Result<bool, ConnectionError> {
        let limits: Limits = self.config().limits;
        let Some(oversize) = peek_oversize(buf, &limits)? else { return Ok(false) };
        let Oversize { flags, sequence_id, frame_len, header } = oversize;
        if !flags.contains(Flags::STREAMING) {
            return Err(ConnectionError::NotStreaming(flags.bits()));
        }
        if let Some(id) = StreamId::new(sequence_id) {
            self.count_violation(Violation::Fault, now)?;
            self.handle_oversize(id, header.as_ref(), error)?;
        }
        self.skip(frame_len);
        Ok(true)
    }

    /// Ends the stream of a skipped frame. If the header itself is over a limit, the stream is known but not
    /// the type of the frame.
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
            // For observers only: the stream can continue without it.
            (_, Some(Some(FrameType::Meta)), _) => {}
            (Some(key), frame_type, _) => {
                if frame_type == Some(Some(FrameType::Rst)) {
                    self.mark_reset(key);
                }
                self.end_at_fault(key, refused);
            }
            // It may have opened a stream that the peer waits for.
            (None, None | Some(Some(FrameType::Header)), Side::Server) => {
                let method = header.and_then(Header::to_method).unwrap_or_default();
                let method = self.method_named(method)?;
                self.reply_rst(id, &method, &refused, &CancelPath::of(""));
            }
            (None, _, _) => {}
        }
        Ok(())
    }

    /// Returns the stream of a data frame, if it accepts data.
    fn data_target(
        &mut self,
        id: StreamId,
        header: &Header<'_>,
    ) -> Result<Option<StreamKey>, ConnectionError> {
        let Some(key) = self.find(id) else {
            self.handle_late_data(id, header)?;
            return Ok(None);
        };
        if self.stream(key).is_some_and(Stream::takes_data) {
            return Ok(Some(key));
        }
        self.handle_dropped(key, header.payload_len);
        Ok(None)
    }

    /// Handles data of a stream after its Rst: a proxy has reset this side only. One Rst frame stops the
    /// sender.
    fn handle_late_data(&mut self, id: StreamId, header: &Header<'_>) -> Result<(), ConnectionError> {
        if let Some((error, path)) = self.take_reset(id) {
            let method = self.method_named(header.to_method().unwrap_or_default())?;
            self.reply_rst(id, &method, &error, &path);
        }
        Ok(())
    }

    fn handle_data(&mut self, key: StreamKey, message: Bytes, now: Instant) -> Result<(), ConnectionError> {
        if self.is_beyond_credit(key) {
            return self.handle_excess(key, now);
        }
        self.credit_mut().count_received(key, message.len());
        self.with_recv_flow(key, |stream, flow| stream.receive(message, flow));
        self.wake(key);
        self.arm_stall_if_paused(now, Some(key));
        Ok(())
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
            (Some(key), FrameType::Header, Side::Client) => self.handle_header(key, header, now),
            (Some(key), FrameType::Trailer, _) => {
                self.handle_trailer(key, header, payload);
                Ok(())
            }
            (Some(key), FrameType::Rst, _) => {
                self.handle_rst(key, header, payload, now);
                Ok(())
            }
            (Some(key), FrameType::Meta, Side::Client) => {
                self.handle_meta(key, header, payload);
                Ok(())
            }
            // Frames for an ended stream were in flight when it ended.
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
        self.handle_offer(header);
        let service = header.string(key::IDL_SERVICE);
        let method = self.method_of(service, header.to_method().unwrap_or_default())?;
        let charge = header_charge(header);
        if let Some(code) = self.refuses(charge) {
            self.reply_rst(id, &method, &StreamError::new(code), &CancelPath::of(""));
            return match code {
                Code::TOO_MANY_STREAMS => self.count_violation(Violation::Refused, now),
                _ => Ok(()),
            };
        }
        let handling = Handling::new(peer_timeout(header), charge);
        let recv_timeout = self.handler_recv_timeout();
        let stream = Stream::server(id, method, handling, opening_strings(header, service), recv_timeout);
        let key = self.accept(stream);
        self.plan_idle_check(key, now);
        self.push_event(Event::Opened(key));
        Ok(())
    }

    /// Client: handles the header of the response. A second header ends the stream, and no other.
    fn handle_header(
        &mut self,
        key: StreamKey,
        header: &Header<'_>,
        now: Instant,
    ) -> Result<(), ConnectionError> {
        let Some(stream) = self.stream_mut(key) else { return Ok(()) };
        if stream.recv_mut().set_header(|| strings_of(header)) {
            self.wake(key);
            return Ok(());
        }
        let cause = format!("stream[{}] already set header", stream.id().get());
        self.end_at_fault(key, StreamError::new(Code::UNEXPECTED_HEADER).with_cause(cause));
        self.count_violation(Violation::Fault, now)
    }

    /// Client: keeps a meta frame, for example from a proxy, for observers.
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
            Side::Server if stream.close_remote(outcome, bounded(trailer, header)) => self.wake(key),
            // A second trailer, or one that was in flight when the stream ended.
            Side::Client | Side::Server => {}
        }
    }

    /// Handles a frame of stream 0: one of credits, a notice of a server, or of no meaning.
    #[cold]
    fn handle_connection_frame(
        &mut self,
        header: &Header<'_>,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), ConnectionError> {
        if header.frame_type() == Some(FrameType::Meta) && self.handle_credit(header, payload, now)? {
            return Ok(());
        }
        self.count_violation(Violation::StreamZero, now)?;
        if header.frame_type() == Some(FrameType::Rst) && self.side() == Side::Client {
            self.handle_notice(payload);
        }
        Ok(())
    }

    /// Client: handles a notice about the connection itself: no new stream is to be opened on it.
    fn handle_notice(&mut self, payload: &[u8]) {
        let code = ApplicationException::decode(payload).map(|exception| Code::new(exception.type_id));
        if code == Ok(Code::DRAINING) {
            self.drain();
        }
    }

    fn handle_rst(&mut self, key: StreamKey, header: &Header<'_>, payload: &[u8], now: Instant) {
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
        match error.code() {
            Code::DRAINING => self.drain(),
            Code::TOO_MANY_STREAMS => {
                let others = self.live_streams().saturating_sub(1);
                self.peer_mut().refuse(others, now);
            }
            _ => {}
        }
        if matches!(error.code(), Code::DRAINING | Code::TOO_MANY_STREAMS) && error.path().is_none() {
            self.mark_retryable(key, Retryable::Always);
        }
        self.mark_reset(key);
        self.release_credit(key);
        self.end(key, Err(error.into()), None);
    }

    /// Ends the stream of a frame whose type is unknown.
    fn handle_unknown_type(&mut self, id: StreamId, now: Instant) -> Result<(), ConnectionError> {
        let Some(key) = self.find(id) else { return Ok(()) };
        let error = StreamError::new(Code::ILLEGAL_FRAME).with_cause("unexpected frame type");
        self.end_at_fault(key, error);
        self.count_violation(Violation::Fault, now)
    }
}

/// Returns the strings of a client's trailer, none if they are too long: they are kept as long as the handler runs.
fn bounded(trailer: Metadata, header: &Header<'_>) -> Metadata {
    match header.header_len <= MAX_CLIENT_TRAILER {
        true => trailer,
        false => Metadata::new(),
    }
}

/// Returns what a header counts for: its length, and what its pairs take in memory.
fn header_charge(header: &Header<'_>) -> u32 {
    let pairs = header.string_count().saturating_mul(PAIR);
    u32::try_from(header.header_len.saturating_add(pairs)).unwrap_or(u32::MAX)
}

/// Returns the time left until the client's deadline, from its header frame.
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

/// Returns the strings that a stream is opened with but the name of the service, which is kept once for all
/// streams of the method.
fn opening_strings(header: &Header<'_>, service: Option<&[u8]>) -> Metadata {
    if service.is_none() {
        return strings_of(header);
    }
    let strings = header.strings().filter(|&(key, _)| key != key::IDL_SERVICE);
    Metadata::copied_from(header.string_count().saturating_sub(1), strings)
}

fn strings_of(header: &Header<'_>) -> Metadata {
    Metadata::copied_from(header.string_count(), header.strings())
}
