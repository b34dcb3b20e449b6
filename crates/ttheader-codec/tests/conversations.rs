//! Every frame that Kitex client and server were recorded to exchange decodes, and encodes back to a
//! frame of the same meaning. Kitex iterates maps, so the order of pairs is free.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bytes::BytesMut;
use serde_json::Value;
use ttheader_codec::{Head, Header, HeaderTemplate, Limits, decode_frame, encode_header};

#[test]
fn every_recorded_frame_survives_decode_and_encode() {
    let mut frames = 0;
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/conversations")).unwrap()
    {
        let path = file.unwrap().path();
        let conversation: Vec<Value> = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for recorded in conversation.iter().filter(|recorded| recorded.get("frame").is_some()) {
            check(recorded["hex"].as_str().unwrap(), &recorded["frame"]);
            frames += 1;
        }
    }
    assert_eq!(frames, 75, "the recordings changed");
}

fn check(hex: &str, expected: &Value) {
    let wire = from_hex(hex);
    let mut buf = BytesMut::from(&wire[..]);
    let frame = decode_frame(&mut buf, &Limits::default()).unwrap().expect("a whole frame");
    assert!(buf.is_empty(), "bytes left after the frame");
    let header = frame.header();
    assert_eq!(i64::from(header.flags.bits()), expected["flags"].as_i64().unwrap());
    assert_eq!(i64::from(header.sequence_id), expected["seq"].as_i64().unwrap());
    assert_eq!(frame.payload, from_hex(expected["payload"].as_str().unwrap()));
    for (key, value) in expected["int"].as_object().unwrap() {
        assert_eq!(header.int(key.parse().unwrap()), Some(value.as_str().unwrap().as_bytes()));
    }
    for (key, value) in expected["str"].as_object().unwrap() {
        assert_eq!(header.string(key.as_bytes()), Some(value.as_str().unwrap().as_bytes()));
    }

    let head = Head { flags: header.flags, sequence_id: header.sequence_id, protocol_id: header.protocol_id };
    let mut again = BytesMut::new();
    encode_header(&mut again, head, header.strings(), header.ints(), frame.payload.len()).unwrap();
    again.extend_from_slice(&frame.payload);
    assert_eq!(again, wire, "the order of pairs is kept, so the bytes are too");

    if header.strings().next().is_none() {
        let template = HeaderTemplate::new(head, header.ints()).unwrap();
        let mut templated = BytesMut::new();
        template.write(header.sequence_id, frame.payload.len(), &mut templated).unwrap();
        templated.extend_from_slice(&frame.payload);
        assert_eq!(templated, wire);
    }
    assert_eq!(
        meaning(&header),
        meaning(&decode_frame(&mut again, &Limits::default()).unwrap().unwrap().header())
    );
}

type Meaning = (BTreeSet<(u16, Vec<u8>)>, BTreeSet<(Vec<u8>, Vec<u8>)>);

fn meaning(header: &Header<'_>) -> Meaning {
    (
        header.ints().map(|(key, value)| (key, value.to_vec())).collect(),
        header.strings().map(|(key, value)| (key.to_vec(), value.to_vec())).collect(),
    )
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
