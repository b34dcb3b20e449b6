//! Payloads that a real Kitex v0.16.3 client and server sent each other. `tests/data` holds whole
//! conversations, one object a frame; here only the thrift inside is read.

use std::{fs, path::Path};

use bytes::{Buf, Bytes, BytesMut};
use kerrors::{ApplicationException, MessageBegin, MessageKind};
use kitex_thrift::Payload;
use serde_json::Value;

use crate::shapes::{PingArgs, PingResult, Req};

/// The direction and the bytes of each frame of a conversation.
fn frames(name: &str) -> Vec<(String, Bytes)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).with_extension("json");
    let frames: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let frame =
        |frame: &Value| (frame["dir"].as_str().unwrap().to_owned(), unhex(frame["hex"].as_str().unwrap()));
    frames.iter().map(frame).collect()
}

fn unhex(hex: &str) -> Bytes {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The payload of a TTHeader frame, and the frame's type if it is one of a stream.
fn payload(mut frame: Bytes) -> (Option<u8>, Bytes) {
    let header = frame.split_to(14);
    let info = frame.split_to(usize::from(u16::from_be_bytes([header[12], header[13]])) * 4);
    // Int key 27 and its one-digit value, as it is in the info.
    let kind = info.windows(5).find(|bytes| bytes[..4] == [0, 27, 0, 1]).map(|bytes| bytes[4]);
    (kind, frame)
}

const DATA: u8 = b'3';

/// All messages of a stream's conversation that went in one direction.
fn messages(name: &str, dir: &str) -> Vec<Req> {
    let of_dir = frames(name).into_iter().filter(|(of, _)| of == dir);
    let data = of_dir.map(|(_, frame)| payload(frame)).filter(|(kind, _)| *kind == Some(DATA));
    // `Resp` has the fields of `Req`.
    data.map(|(_, bytes)| Req::decode(bytes).unwrap()).collect()
}

#[test]
fn every_message_of_every_stream_is_read() {
    let rows = [
        ("bidi_streaming", 5, 5),
        ("biz_error", 1, 1),
        ("cancel", 1, 2),
        ("client_streaming", 5, 1),
        ("deadline", 1, 4),
        ("handler_error", 1, 1),
        ("server_streaming", 1, 3),
        ("server_streaming_header_trailer", 1, 2),
    ];
    for (name, up, down) in rows {
        let (up_seen, down_seen) = (messages(name, "c2s"), messages(name, "s2c"));
        assert_eq!((up_seen.len(), down_seen.len()), (up, down), "{name}");
        for message in up_seen.iter().chain(&down_seen) {
            assert!(message.msg.is_some() && message.seq.is_some() && message.payload.is_some(), "{name}");
        }
    }
}

#[test]
fn encoded_messages_are_as_kitex_writes_them() {
    for (_, bytes) in frames("server_streaming")
        .into_iter()
        .map(|(_, frame)| payload(frame))
        .filter(|(kind, _)| *kind == Some(DATA))
    {
        let mut buf = BytesMut::new();
        Req::decode(bytes.clone()).unwrap().encode(&mut buf).unwrap();
        // Kitex writes numbers first, so the order differs and nothing else.
        let sorted = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.sort_unstable();
            bytes
        };
        assert_eq!(sorted(&buf), sorted(&bytes));
    }
}

#[test]
fn ping_pong_calls_and_results_are_read() {
    for (name, is_ttheader) in [("ping_framed", false), ("unary_framed", false), ("unary_ttheader", true)] {
        let [call, reply] = frames(name).try_into().unwrap();
        let message = |(_, frame): (String, Bytes)| {
            let mut framed = if is_ttheader { payload(frame).1 } else { frame };
            let length = framed.get_u32() as usize;
            assert_eq!(length, framed.len(), "{name}");
            let (begin, body) = MessageBegin::read(&framed).unwrap();
            ((begin.name.to_vec(), begin.kind, begin.sequence_id), framed.slice_ref(body))
        };
        let (call, args) = message(call);
        let (reply, result) = message(reply);
        assert_eq!((call.1, reply.1), (MessageKind::Call, MessageKind::Reply), "{name}");
        assert_eq!((call.0, call.2), (reply.0, reply.2), "{name}");
        let sent = PingArgs::decode(args).unwrap().req;
        let PingResult::Success(echoed) = PingResult::decode(result).unwrap() else { panic!("{name}") };
        assert_eq!((sent.msg, sent.seq, sent.payload), (echoed.msg, echoed.seq, echoed.payload), "{name}");
    }
}

#[test]
fn errors_of_streams_are_messages_of_kind_exception() {
    for (name, dir) in [("handler_error", "s2c"), ("cancel", "c2s"), ("deadline", "c2s")] {
        let all = frames(name).into_iter().filter(|(of, _)| of == dir).map(|(_, frame)| payload(frame));
        let errors: Vec<_> = all.filter(|(kind, bytes)| *kind != Some(DATA) && !bytes.is_empty()).collect();
        assert!(!errors.is_empty(), "{name}");
        for (_, bytes) in errors {
            ApplicationException::decode(&bytes).unwrap();
        }
    }
}
