//! Frames and Thrift payloads as bytes, written and read by hand: the runner shares no encoder with what it checks. Owns the
//! layout; does no IO. A reader that meets what it does not know returns `None`.

use std::collections::BTreeMap;

use kitex::bytes::BytesMut;
use ttheader_codec::{Limits, decode_frame};

/// Int key of the method.
const METHOD: u16 = 9;
/// Int key of the frame type.
const FRAME_TYPE: u16 = 27;
/// Version and type of a Thrift message.
const CALL: u32 = 0x8001_0001;
const REPLY: u32 = 0x8001_0002;
const EXCEPTION: u32 = 0x8001_0003;

/// A frame of TTHeader with each field as the script sets it, valid or not.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) flags: u16,
    pub(crate) sid: i32,
    pub(crate) protocol: u8,
    pub(crate) ints: Vec<(u16, String)>,
    pub(crate) strings: Vec<(String, String)>,
    pub(crate) payload: Vec<u8>,
    /// Bytes after the blocks of pairs.
    pub(crate) blocks: Vec<u8>,
}

impl Raw {
    /// A frame of a stream; `kind` is the value of the frame type.
    pub(crate) fn of_stream(kind: &str, sid: i32, method: &str) -> Self {
        let ints = vec![(FRAME_TYPE, kind.to_owned()), (METHOD, method.to_owned())];
        let (strings, payload, blocks) = (Vec::new(), Vec::new(), Vec::new());
        Self { flags: 2, sid, protocol: 0x10, ints, strings, payload, blocks }
    }

    /// A ping-pong call, whose payload is a framed message.
    pub(crate) fn of_call(sequence: i32, service: &str, method: &str, payload: Vec<u8>) -> Self {
        let ints = vec![(1, "framed".to_owned()), (METHOD, method.to_owned()), (22, "1".to_owned())];
        let strings = vec![("isn".to_owned(), service.to_owned())];
        Self { flags: 0, sid: sequence, protocol: 0, ints, strings, payload, blocks: Vec::new() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut info = vec![self.protocol, 0];
        if !self.strings.is_empty() {
            info.push(0x01);
            put_u16(&mut info, self.strings.len());
            for (key, value) in &self.strings {
                put_short(&mut info, key.as_bytes());
                put_short(&mut info, value.as_bytes());
            }
        }
        info.push(0x10);
        put_u16(&mut info, self.ints.len());
        for (key, value) in &self.ints {
            info.extend_from_slice(&key.to_be_bytes());
            put_short(&mut info, value.as_bytes());
        }
        info.extend_from_slice(&self.blocks);
        frame(self.flags, self.sid, info, &self.payload)
    }
}

/// A frame around header info as it is, padded.
pub(crate) fn frame(flags: u16, sid: i32, mut info: Vec<u8>, payload: &[u8]) -> Vec<u8> {
    info.resize(info.len().next_multiple_of(4), 0);
    let mut out = Vec::with_capacity(14 + info.len() + payload.len());
    put_u32(&mut out, 10 + info.len() + payload.len());
    out.extend_from_slice(&0x1000_u16.to_be_bytes());
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend_from_slice(&sid.to_be_bytes());
    put_u16(&mut out, info.len() / 4);
    out.extend(info);
    out.extend_from_slice(payload);
    out
}

/// `Req {1: msg, 2: seq}`, which is `Resp` too.
pub(crate) fn message(msg: &str, seq: i64) -> Vec<u8> {
    let mut out = vec![11, 0, 1];
    put_long(&mut out, msg.as_bytes());
    out.extend_from_slice(&[10, 0, 2]);
    out.extend_from_slice(&seq.to_be_bytes());
    out.push(0);
    out
}

/// A Thrift message of type EXCEPTION.
pub(crate) fn exception(method: &str, code: i32, text: &str) -> Vec<u8> {
    let mut out = envelope(EXCEPTION, method, 0);
    out.extend_from_slice(&[11, 0, 1]);
    put_long(&mut out, text.as_bytes());
    out.extend_from_slice(&[8, 0, 2]);
    out.extend_from_slice(&code.to_be_bytes());
    out.push(0);
    out
}

/// A framed call with one argument.
pub(crate) fn call(method: &str, sequence: i32, msg: &str) -> Vec<u8> {
    framed(CALL, method, sequence, (1, &message(msg, 7)))
}

/// A framed reply.
pub(super) fn reply(method: &str, sequence: i32, msg: &str) -> Vec<u8> {
    framed(REPLY, method, sequence, (0, &message(msg, 7)))
}

/// A framed exception.
pub(super) fn framed_exception(method: &str, sequence: i32, code: i32, text: &str) -> Vec<u8> {
    let mut message = exception(method, code, text);
    let at = 8 + method.len();
    message.splice(at..at + 4, sequence.to_be_bytes());
    with_length(&message)
}

fn framed(kind: u32, method: &str, sequence: i32, (field, value): (u8, &[u8])) -> Vec<u8> {
    let mut message = envelope(kind, method, sequence);
    message.extend_from_slice(&[12, 0, field]);
    message.extend_from_slice(value);
    message.push(0);
    with_length(&message)
}

fn with_length(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_long(&mut out, message);
    out
}

fn envelope(kind: u32, method: &str, sequence: i32) -> Vec<u8> {
    let mut out = kind.to_be_bytes().to_vec();
    put_long(&mut out, method.as_bytes());
    out.extend_from_slice(&sequence.to_be_bytes());
    out
}

fn put_u16(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes());
}

fn put_u32(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes());
}

fn put_short(out: &mut Vec<u8>, value: &[u8]) {
    put_u16(out, value.len());
    out.extend_from_slice(value);
}

fn put_long(out: &mut Vec<u8>, value: &[u8]) {
    put_u32(out, value.len());
    out.extend_from_slice(value);
}

/// One frame or message as it is compared with a pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// `H` header, `D` data, `T` trailer, `E` trailer with an error, `B` business error, `R` Rst, `M` meta, `C` reply of a
    /// call, `X` exception of a call, `?` anything else.
    pub(super) kind: char,
    pub(super) code: Option<i32>,
    pub(super) text: String,
    pub(super) strings: BTreeMap<String, String>,
}

/// Bytes received and not yet read as frames.
#[derive(Debug, Default)]
pub(super) struct Inbox(BytesMut);

impl Inbox {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Returns the next frame or framed message, with its id.
    pub(super) fn next(&mut self) -> Option<(i32, Seen)> {
        let head = self.0.get(..6)?;
        if head.get(4..6) == Some(&[0x10, 0x00]) {
            let frame = decode_frame(&mut self.0, &Limits::FORMAT).ok().flatten()?;
            let header = frame.header();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let strings = header.strings().map(|(key, value)| (text(key), text(value))).collect();
            let kind = header.int(FRAME_TYPE).map(text);
            let seen = if header.flags.bits() & 2 == 0 {
                of_call(frame.payload.get(4..).unwrap_or_default(), strings)
            } else {
                of_stream(kind.as_deref().unwrap_or_default(), &frame.payload, strings)
            };
            return Some((header.sequence_id, seen));
        }
        let len = usize::try_from(u32::from_be_bytes(*self.0.first_chunk()?)).ok()?;
        let message = self.0.get(4..4 + len)?.to_vec();
        let _ = self.0.split_to(4 + len);
        let sequence = Reader(&message).envelope().map_or(0, |(_, sequence)| sequence);
        Some((sequence, of_call(&message, BTreeMap::new())))
    }
}

fn of_stream(kind: &str, payload: &[u8], strings: BTreeMap<String, String>) -> Seen {
    let kind = match kind {
        "1" => 'M',
        "2" => 'H',
        "3" => 'D',
        "4" if strings.contains_key("biz-status") => 'B',
        "4" if !payload.is_empty() => 'E',
        "4" => 'T',
        "5" => 'R',
        _ => '?',
    };
    let (code, text) = match kind {
        'D' => (None, msg_of(&mut Reader(payload))),
        'B' => biz_of(&strings),
        _ => error_of(payload).unwrap_or_default(),
    };
    Seen { kind, code, text, strings }
}

fn of_call(message: &[u8], strings: BTreeMap<String, String>) -> Seen {
    if let Some((code, text)) = error_of(message) {
        return Seen { kind: 'X', code, text, strings };
    }
    if strings.contains_key("biz-status") {
        let (code, text) = biz_of(&strings);
        return Seen { kind: 'B', code, text, strings };
    }
    let mut reader = Reader(message);
    let is_reply = reader.envelope().is_some_and(|(kind, _)| kind == REPLY || kind == CALL);
    // The result is one field, absent if there is none.
    let text = reader.take(3).map(|_| msg_of(&mut reader)).unwrap_or_default();
    Seen { kind: if is_reply { 'C' } else { '?' }, code: None, text, strings }
}

fn biz_of(strings: &BTreeMap<String, String>) -> (Option<i32>, String) {
    let text = |key: &str| strings.get(key).cloned().unwrap_or_default();
    (text("biz-status").parse().ok(), text("biz-message"))
}

/// Code and text of an exception.
fn error_of(message: &[u8]) -> Option<(Option<i32>, String)> {
    let mut reader = Reader(message);
    reader.envelope().filter(|(kind, _)| *kind == EXCEPTION)?;
    let (mut code, mut text) = (None, String::new());
    loop {
        match reader.take(1)?.first()? {
            0 => return Some((code, text)),
            11 => text = reader.take(2).and_then(|_| reader.string())?,
            8 => code = reader.take(2).and_then(|_| reader.i32()),
            _ => return None,
        }
    }
}

/// The `msg` of a `Req` or `Resp`, whose fields come in any order.
fn msg_of(reader: &mut Reader<'_>) -> String {
    loop {
        let value = match reader.take(3) {
            Some([11, 0, 1]) => return reader.string().unwrap_or_default(),
            Some([11, ..]) => reader.string().map(drop),
            Some([10, ..]) => reader.take(8).map(drop),
            _ => None,
        };
        if value.is_none() {
            return String::new();
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<String> {
        let len = usize::try_from(self.i32()?).ok()?;
        Some(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    /// Version with type, and sequence id, of a message.
    fn envelope(&mut self) -> Option<(u32, i32)> {
        let kind = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        self.string()?;
        Some((kind, self.i32()?))
    }
}
