//! Frames, independent of connections: decoded by the codec alone, compared by meaning, or generated with any
//! mistake that is still a frame.

use bytes::{Bytes, BytesMut};
use kerrors::{ApplicationException, MessageBegin, MessageKind};
use ttheader_codec::{
    DecodeError, Flags, Frame, FrameType, Head, Header, Limits, ProtocolId, decode_frame, encode_header, key,
};

use crate::Script;

/// Removes every whole frame from `buf`; the rest is not a whole frame.
pub fn rest_of_frames(buf: &mut BytesMut, limits: &Limits) -> (Vec<Frame>, Option<DecodeError>) {
    let mut frames = Vec::new();
    loop {
        match decode_frame(buf, limits) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}

/// Asserts that two headers have the same meaning. Their encodings may differ: padding, the order of blocks.
pub fn same_meaning(one: &Header<'_>, other: &Header<'_>) {
    assert_eq!(fixed(one), fixed(other));
    assert!(one.ints().eq(other.ints()), "ints differ");
    assert!(plain(one).eq(plain(other)), "strings differ");
    assert!(tokens(one).eq(tokens(other)), "ACL tokens differ");
    assert_eq!(one.frame_type(), other.frame_type());
    assert_eq!(one.to_method(), other.to_method());
    assert_eq!(one.payload_len, other.payload_len);
}

fn fixed(header: &Header<'_>) -> Head {
    let &Header { flags, sequence_id, protocol_id, .. } = header;
    Head { flags, sequence_id, protocol_id }
}

fn plain<'a>(header: &Header<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    header.strings().filter(|(found, _)| *found != key::ACL_TOKEN)
}

fn tokens<'a>(header: &Header<'a>) -> impl Iterator<Item = &'a [u8]> {
    header.strings().filter(|(found, _)| *found == key::ACL_TOKEN).map(|(_, token)| token)
}

/// Returns one frame of a stream, of any type and with any content.
pub(crate) fn hostile_frame(script: &mut Script<'_>) -> Bytes {
    let kind = script.pick(&[&b"1"[..], b"2", b"2", b"3", b"3", b"3", b"4", b"5", b"6", b""]);
    let head = Head {
        flags: script.pick(&[Flags::STREAMING, Flags::STREAMING, Flags::from_bits(0xffff), Flags::NONE]),
        sequence_id: hostile_id(script),
        protocol_id: script.pick(&[ProtocolId::ThriftStruct, ProtocolId::ThriftBinary]),
    };
    let method = script.pick(&[&b"M"[..], b"Other", b"", b"\xff\n"]);
    let strings = hostile_strings(script);
    let payload = hostile_payload(script);
    let strings = strings.iter().map(|(key, value)| (*key, &value[..]));
    let timeout = script.pick(&[&b"1"[..], b"18446744073709551616", b"-1", b"\xff"]);
    let mut ints = vec![(key::FRAME_TYPE, kind), (key::TO_METHOD, method), (key::RPC_TIMEOUT, timeout)];
    let windows: [&[u8]; 8] = [b"", b"", b"1000", b"1000", b"1", b"0", b"4294967296", b"-1"];
    ints.extend(Some((key::FLOW_CREDITS, script.pick(&windows))).filter(|(_, window)| !window.is_empty()));
    let mut out = BytesMut::new();
    // A frame that cannot be encoded is not sent.
    if encode_header(&mut out, head, strings, ints, payload.len()).is_ok() {
        out.extend_from_slice(&payload);
    }
    out.freeze()
}

/// Usually one of few, so that frames have a stream.
fn hostile_id(script: &mut Script<'_>) -> i32 {
    match script.byte() {
        byte @ 0..=199 => i32::from(byte % 5),
        200..=219 => -1,
        _ => script.int(),
    }
}

fn hostile_strings<'a>(script: &mut Script<'a>) -> Vec<(&'a [u8], Vec<u8>)> {
    let count = script.pick(&[0, 0, 0, 1, 1, 2, 3]);
    let mut strings = Vec::new();
    for _ in 0..count {
        let key = match script.byte() % 8 {
            0 | 1 => key::CANCEL_PATH,
            2 => key::BIZ_STATUS,
            3 => key::BIZ_MESSAGE,
            4 => key::BIZ_EXTRA,
            5 => key::ACL_TOKEN,
            _ => script.blob(),
        };
        strings.push((key, script.swollen()));
    }
    strings
}

fn hostile_payload(script: &mut Script<'_>) -> Vec<u8> {
    match script.byte() % 8 {
        0 | 1 => Vec::new(),
        2 | 3 => script.blob().to_vec(),
        4 if script.byte() % 2 == 0 => script.swollen(),
        4 => grants(script),
        5 => ApplicationException::new(script.int(), script.text()).encode("M", 1),
        6 => {
            let mut message = Vec::new();
            MessageBegin { name: b"M", kind: MessageKind::Call, sequence_id: 1 }.write(&mut message);
            message.extend_from_slice(script.blob());
            message
        }
        _ => ApplicationException::new(0, script.text()).encode_body(),
    }
}

/// Returns grants of credit, of any size and for any stream.
fn grants(script: &mut Script<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    for _ in 0..script.pick(&[1, 1, 2, 9]) {
        payload.extend_from_slice(&hostile_id(script).to_be_bytes());
        let bytes = script.pick(&[256_u32, 1000, 1, 0, u32::MAX]);
        payload.extend_from_slice(&bytes.to_be_bytes());
    }
    payload
}

/// The facts of a frame that an observer can see.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) id: i32,
    pub(crate) kind: Option<FrameType>,
    pub(crate) payload: Bytes,
}

impl From<Frame> for Seen {
    fn from(frame: Frame) -> Self {
        let header = frame.header();
        Self { id: header.sequence_id, kind: header.frame_type(), payload: frame.payload.clone() }
    }
}
