//! What a peer sends: bytes to frames, frames to streams. Owns what each frame means in each state, and
//! which protocol violation ends the stream, which the connection, and which is ignored.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use kerrors::{ApplicationException, CancelPath, Code, Side, StreamError};
use thiserror::Error as ThisError;
use ttheader_codec::{DecodeError, EncodeError, Flags, FrameType, Header, key, peek_frame};

use super::connection::{Connection, Event};
use super::stream::{Handling, MAX_METAS, RecvWait, Role, State, Stream};
use super::{StreamId, StreamKey};
use crate::{Metadata, status};

/// Payloads below this size are copied out of the read buffer, so that a message which nobody takes
/// holds at most eight times its size.
const COPY_BELOW: usize = 8 * 1024;

/// What an Rst frame without a readable payload stands for: Kitex reads it as this exception.
const DEFAULT_RST: (i32, &str) = (13, "rst");

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The bytes are no frame.
    #[error(transparent)]
    Frame(#[from] DecodeError),
    /// A frame that belongs to no stream, on a connection of streams.
    #[error("unexpected header flags: {0}")]
    NotStreaming(u16),
    /// The peer opened a stream that is open.
    #[error("stream[{0}] already set header")]
    DuplicateStream(i32),
    /// A method's name is longer than can be repeated.
    #[error(transparent)]
    Method(#[from] EncodeError),
    /// The connection's receive budget is held by streams that have ended.
    #[error("receive budget of the connection is exhausted")]
    BudgetExhausted,
}

impl From<&ConnectionError> for StreamError {
    /// What the connection's streams end with.
    fn from(error: &ConnectionError) -> Self {
        let code = match error {
            ConnectionError::Frame(_) | ConnectionError::NotStreaming(_) | ConnectionError::Method(_) => {
                Code::ILLEGAL_FRAME
            }
            ConnectionError::DuplicateStream(_) => Code::UNEXPECTED_HEADER,
            ConnectionError::BudgetExhausted => Code::TRANSPORT_CLOSING,
        };
        Self::new(code).with_cause(error.to_string())
    }
}

impl Connection {
    /// Bytes have arrived: takes every whole frame out of `buf`, or, if the connection gets
    /// [paused](Self::is_paused), every one until then. To be called again after [`Event::Resumed`],
    /// with new bytes or without.
    ///
    /// # Errors
    /// The connection cannot go on; it has been closed.
    pub fn handle_read(&mut self, buf: &mut BytesMut, now: Instant) -> Result<(), ConnectionError> {
        while !self.is_paused() && self.closed.is_none() {
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

    fn read_frame(&mut self, buf: &mut BytesMut, now: Instant) -> Result<bool, ConnectionError> {
        let Some(header) = peek_frame(buf, &self.config.limits)? else { return Ok(false) };
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
                    self.receive(key, message, now);
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

    /// The stream that a data frame is for, if it is to have it.
    fn data_target(
        &mut self,
        id: StreamId,
        header: &Header<'_>,
    ) -> Result<Option<StreamKey>, ConnectionError> {
        let Some(key) = self.table.find(id) else {
            self.handle_late_data(id, header)?;
            return Ok(None);
        };
        let takes = self.table.get(key).is_some_and(|stream| match (&stream.state, self.side) {
            (State::Open, _) | (State::HalfClosed, Side::Client) => !stream.discard_incoming,
            // After the client's trailer its data means nothing; after the end nobody takes it.
            (State::HalfClosed, Side::Server) | (State::Ended(_), _) => false,
        });
        Ok(takes.then_some(key))
    }

    /// A stream that the peer has reset, it seems, and that its handler does not know of: something
    /// between us has reset one side only. One Rst of ours stops the sender.
    fn handle_late_data(&mut self, id: StreamId, header: &Header<'_>) -> Result<(), ConnectionError> {
        if let Some((error, path)) = self.table.take_reset(id) {
            let method = self.methods.get(header.to_method().unwrap_or_default())?;
            self.reply_rst(id, &method, &error, &path);
        }
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
        match (self.table.find(id), frame_type, self.side) {
            (None, FrameType::Header, Side::Server) => self.handle_open(id, header, now),
            (Some(_), FrameType::Header, Side::Server) => Err(ConnectionError::DuplicateStream(id.get())),
            (Some(key), FrameType::Header, Side::Client) => {
                self.handle_answer(key, header);
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
            // Frames for a stream that has ended were under way when it did.
            (None, _, _) | (Some(_), FrameType::Meta | FrameType::Data, _) => Ok(()),
        }
    }

    /// A peer opens a stream.
    fn handle_open(
        &mut self,
        id: StreamId,
        header: &Header<'_>,
        now: Instant,
    ) -> Result<(), ConnectionError> {
        let method = self.methods.get(header.to_method().unwrap_or_default())?;
        if let Some(code) = self.refuses() {
            self.reply_rst(id, &method, &StreamError::new(code), &CancelPath::of(""));
            return Ok(());
        }
        let handling = Handling { timeout: peer_timeout(header), ..Handling::default() };
        let mut stream = Stream::new(id, method, Role::Server(handling));
        stream.header = Some(Metadata::from_header(header));
        stream.recv_wait = self.config.recv_timeout.map(RecvWait::new);
        let key = self.table.insert(stream);
        self.watch_idle(key, now);
        self.running = self.running.saturating_add(1);
        self.events.push_back(Event::Opened(key));
        Ok(())
    }

    fn refuses(&self) -> Option<Code> {
        if self.draining {
            return Some(Code::DRAINING);
        }
        (self.running >= self.config.max_concurrent_streams).then_some(Code::TOO_MANY_STREAMS)
    }

    /// The server answers a stream. A second answer ends the stream, and no other.
    fn handle_answer(&mut self, key: StreamKey, header: &Header<'_>) {
        let Some(stream) = self.table.get_mut(key) else { return };
        if stream.header.is_none() {
            stream.header = Some(Metadata::from_header(header));
            self.wake(key);
            return;
        }
        let cause = format!("stream[{}] already set header", stream.id.get());
        self.end_at_fault(key, StreamError::new(Code::UNEXPECTED_HEADER).with_cause(cause));
    }

    /// Something for the client's observers, from a proxy for one.
    fn handle_meta(&mut self, key: StreamKey, header: &Header<'_>, payload: &[u8]) {
        let Some(call) = self.table.get_mut(key).and_then(Stream::call) else { return };
        let metas = &mut call.metas.get_or_insert_default().0;
        if metas.len() >= MAX_METAS || payload.len() > COPY_BELOW {
            return;
        }
        metas.push_back((Metadata::from_header(header), Bytes::copy_from_slice(payload)));
        self.wake(key);
    }

    fn handle_trailer(&mut self, key: StreamKey, header: &Header<'_>, payload: &[u8]) {
        let trailer = Metadata::from_header(header);
        let outcome = status::from_trailer(self.side, payload, &trailer);
        let Some(stream) = self.table.get_mut(key) else { return };
        match (&mut stream.state, &mut stream.role) {
            (State::Ended(_), _) => {}
            (State::Open | State::HalfClosed, Role::Client(_)) => {
                stream.trailer = Some(trailer);
                self.end(key, outcome, None);
            }
            (state @ State::Open, Role::Server(handling)) => {
                *state = State::HalfClosed;
                handling.requests_end = outcome.map_err(Box::new);
                stream.trailer = Some(trailer);
                self.wake(key);
            }
            (State::HalfClosed, Role::Server(_)) => {}
        }
    }

    fn handle_rst(&mut self, key: StreamKey, header: &Header<'_>, payload: &[u8]) {
        let path = header.string(key::CANCEL_PATH).and_then(CancelPath::from_wire);
        let (code, text) = match ApplicationException::decode(payload) {
            Ok(exception) => (exception.type_id, exception.text().into_owned()),
            Err(_) => (DEFAULT_RST.0, DEFAULT_RST.1.to_owned()),
        };
        let error = StreamError::received(self.side, Code::new(code), text.as_bytes(), path);
        let Some(stream) = self.table.get_mut(key) else { return };
        let id = stream.id;
        match &stream.role {
            Role::Client(call) => {
                self.draining |= error.code() == Code::DRAINING;
                let own = error
                    .path()
                    .map_or_else(|| CancelPath::of(&call.service), |path| path.then(&call.service));
                if stream.outcome().is_none() && !stream.reset {
                    self.table.remember_reset(id, error.clone(), own);
                }
                self.mark_reset(key);
                self.end(key, Err(error.into()), None);
            }
            Role::Server(_) => {
                self.mark_reset(key);
                self.end_under_handler(key, error);
            }
        }
    }

    fn mark_reset(&mut self, key: StreamKey) {
        self.never_reset = false;
        if let Some(stream) = self.table.get_mut(key) {
            stream.reset = true;
        }
    }

    /// A frame type that does not exist: whatever it means, its stream cannot go on.
    fn handle_unknown_type(&mut self, id: StreamId) {
        if let Some(key) = self.table.find(id) {
            let error = StreamError::new(Code::ILLEGAL_FRAME).with_cause("unexpected frame type");
            self.end_at_fault(key, error);
        }
    }
}

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
