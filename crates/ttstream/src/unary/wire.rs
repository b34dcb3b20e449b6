//! Messages of ping-pong calls: decoding and encoding, for both protocols. No IO.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kerrors::{ExceptionError, MessageBegin, MessageKind};
use thiserror::Error;
use ttheader_codec::{
    DecodeError, EncodeError, Head, LENGTH_LEN, Limits, Oversize, decode_frame, encode_header_within, key,
    peek_oversize,
};

use super::CallProtocol;
use crate::Metadata;

const FRAMED: &[u8] = b"framed";

/// A received message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) kind: MessageKind,
    pub(super) sequence_id: i32,
    pub(super) metadata: Metadata,
    pub(super) timeout: Option<Duration>,
    /// The name of the service that sent it, if its header says so.
    pub(super) from: Option<Bytes>,
    /// The struct after the envelope.
    pub(super) body: Bytes,
}

/// The error of bytes that are not a message. Fatal for the connection.
#[derive(Debug, Error)]
pub(crate) enum WireError {
    #[error(transparent)]
    Header(#[from] DecodeError),
    #[error(transparent)]
    Message(#[from] ExceptionError),
    #[error("framed message of {len} bytes exceeds the limit of {limit}")]
    TooLarge { len: usize, limit: usize },
}

impl WireError {
    /// Returns whether the message exceeds a limit of the reader.
    pub(super) fn is_over_limit(&self) -> bool {
        match self {
            Self::Header(error) => error.is_over_limit(),
            Self::TooLarge { .. } => true,
            Self::Message(_) => false,
        }
    }
}

/// A message that exceeds a limit, and is skipped.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) name: String,
    pub(super) kind: MessageKind,
    pub(super) sequence_id: i32,
    /// Its bytes.
    pub(super) len: usize,
}

/// Returns the known facts of the message at the front of `buf`, which [`decode`] refused with `error`
/// because it exceeds `limits`; `None` if more bytes are needed.
///
/// # Errors
/// The end or the kind of the message cannot be determined.
pub(super) fn peek_refused(
    protocol: CallProtocol,
    buf: &[u8],
    limits: &Limits,
    error: WireError,
) -> Result<Option<Refused>, WireError> {
    match protocol {
        CallProtocol::Ttheader => peek_ttheader(buf, limits, error),
        CallProtocol::Framed => peek_framed(buf, error),
    }
}

fn peek_ttheader(buf: &[u8], limits: &Limits, error: WireError) -> Result<Option<Refused>, WireError> {
    let Some(Oversize { sequence_id, frame_len: len, header, .. }) = peek_oversize(buf, limits)? else {
        return Ok(None);
    };
    let Some(header) = header else { return Err(error) };
    let name = String::from_utf8_lossy(header.to_method().unwrap_or_default()).into_owned();
    let kind = match header.int(key::MSG_TYPE) {
        Some(b"4") => MessageKind::Oneway,
        _ => MessageKind::Call,
    };
    Ok(Some(Refused { name, kind, sequence_id, len }))
}

fn peek_framed(buf: &[u8], error: WireError) -> Result<Option<Refused>, WireError> {
    let WireError::TooLarge { len, .. } = error else { return Err(error) };
    let payload = buf.get(LENGTH_LEN..).unwrap_or_default();
    match MessageBegin::read(payload) {
        _ if len > Limits::FORMAT.frame_len => Err(error),
        Ok((MessageBegin { name, kind, sequence_id }, _)) => {
            let name = String::from_utf8_lossy(name).into_owned();
            Ok(Some(Refused { name, kind, sequence_id, len: len.saturating_add(LENGTH_LEN) }))
        }
        Err(ExceptionError::Truncated) if payload.len() < MAX_BEGIN => Ok(None),
        Err(_) => Err(error),
    }
}

/// The number of bytes that must contain the name of a message that is too large.
const MAX_BEGIN: usize = 64 * 1024;

/// Removes the next whole message from `buf`.
pub(super) fn decode(
    protocol: CallProtocol,
    buf: &mut BytesMut,
    limits: &Limits,
) -> Result<Option<Message>, WireError> {
    match protocol {
        CallProtocol::Ttheader => decode_ttheader(buf, limits),
        CallProtocol::Framed => match take_framed(buf, limits)? {
            Some(payload) => Message::read(&payload, Metadata::new()).map(Some),
            None => Ok(None),
        },
    }
}

fn decode_ttheader(buf: &mut BytesMut, limits: &Limits) -> Result<Option<Message>, WireError> {
    let Some(frame) = decode_frame(buf, limits)? else { return Ok(None) };
    let header = frame.header();
    let timeout = header.int(key::RPC_TIMEOUT).and_then(|ms| std::str::from_utf8(ms).ok()?.parse().ok());
    let from = header.int(key::FROM_SERVICE).filter(|name| !name.is_empty()).map(Bytes::copy_from_slice);
    let metadata = Metadata::copied_from(header.string_count(), header.strings());
    let payload = match frame.payload.first_chunk() {
        Some([0x80, 0x01]) | None => frame.payload,
        Some(_) => {
            // Whatever length it claims, the frame around it is within the limits, and is the whole message.
            let limits = Limits { frame_len: usize::MAX, ..*limits };
            let mut framed = BytesMut::from(frame.payload);
            take_framed(&mut framed, &limits)?.ok_or(ExceptionError::Truncated)?
        }
    };
    let message = Message::read(&payload, metadata)?;
    Ok(Some(Message { timeout: timeout.map(Duration::from_millis), from, ..message }))
}

fn take_framed(buf: &mut BytesMut, limits: &Limits) -> Result<Option<Bytes>, WireError> {
    let Some(len) = buf.first_chunk().map(|len| u32::from_be_bytes(*len)) else { return Ok(None) };
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if len > limits.frame_len {
        return Err(WireError::TooLarge { len, limit: limits.frame_len });
    }
    if buf.len() < len.saturating_add(4) {
        return Ok(None);
    }
    buf.advance(4);
    Ok(Some(buf.split_to(len).freeze()))
}

impl Message {
    fn read(payload: &Bytes, metadata: Metadata) -> Result<Self, WireError> {
        let (MessageBegin { name, kind, sequence_id }, body) = MessageBegin::read(payload)?;
        let name = String::from_utf8_lossy(name).into_owned();
        let body = payload.slice_ref(body);
        Ok(Self { name, kind, sequence_id, metadata, timeout: None, from: None, body })
    }
}

/// A message to write.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) name: &'a str,
    pub(super) kind: MessageKind,
    pub(super) sequence_id: i32,
    pub(super) metadata: &'a Metadata,
    pub(super) body: &'a [u8],
    pub(super) request: Option<RequestInts<'a>>,
}

/// The integers that only a request's header has.
#[derive(Debug)]
pub(super) struct RequestInts<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) timeout: Option<Duration>,
}

/// Appends the message to `out`, which is unchanged on an error, for example if a peer with these limits
/// would not accept the message.
pub(super) fn encode(
    protocol: CallProtocol,
    message: &Outgoing<'_>,
    limits: &Limits,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let mut begin = Vec::with_capacity(message.name.len().saturating_add(16));
    let &Outgoing { name, kind, sequence_id, .. } = message;
    MessageBegin { name: name.as_bytes(), kind, sequence_id }.write(&mut begin);
    let len = begin.len().saturating_add(message.body.len());
    let length = u32::try_from(len).map_err(|_| EncodeError::FrameTooLarge { len })?;
    match protocol {
        CallProtocol::Ttheader => put_header(message, len.saturating_add(4), limits, out)?,
        CallProtocol::Framed if len > limits.frame_len => {
            return Err(EncodeError::FrameOverLimit { len, limit: limits.frame_len });
        }
        CallProtocol::Framed => {}
    }
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&begin);
    out.extend_from_slice(message.body);
    Ok(())
}

fn put_header(
    message: &Outgoing<'_>,
    payload_len: usize,
    limits: &Limits,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let kind = [b'0'.saturating_add(message.kind as u8)];
    let timeout = message.request.as_ref().and_then(|request| request.timeout);
    let timeout = timeout.map(|left| left.as_millis().to_string());
    let mut ints: Vec<(u16, &[u8])> = vec![(key::MSG_TYPE, &kind)];
    ints.extend(timeout.iter().map(|ms| (key::RPC_TIMEOUT, ms.as_bytes())));
    if let Some(request) = &message.request {
        ints.extend([
            (key::TRANSPORT_TYPE, FRAMED),
            (key::FROM_SERVICE, request.from.as_bytes()),
            (key::FROM_METHOD, &[]),
            (key::TO_SERVICE, request.to.as_bytes()),
            (key::TO_METHOD, message.name.as_bytes()),
        ]);
    }
    let head = Head::ping_pong(message.sequence_id);
    let (strings, ints) = (message.metadata.as_slices(), ints.iter().copied());
    encode_header_within(limits, out, head, strings, ints, payload_len).map(drop)
}
