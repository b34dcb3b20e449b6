//! Any bytes: the three ways to read a frame agree, lengths add up, limits hold, and a decoded frame can be
//! encoded with the same meaning.
#![no_main]

use bytes::BytesMut;
use fuzz::same_meaning;
use libfuzzer_sys::fuzz_target;
use ttheader_codec::{
    Frame, Head, Header, LENGTH_LEN, Limits, MAX_INFO_LEN, PREFIX_LEN, decode_frame, decode_header,
    encode_header, peek_frame,
};

const TIGHT: Limits = Limits { frame_len: 600, header_len: 120, pairs: 3 };

fuzz_target!(|input: &[u8]| {
    check(input, &Limits::default());
    check(input, &TIGHT);
    let tight = peek_frame(input, &TIGHT).ok().flatten();
    if let Some(tight) = tight {
        let whole = peek_frame(input, &Limits::default()).unwrap().expect("loose limits accept more");
        same_meaning(&tight, &whole);
    }
});

fn check(input: &[u8], limits: &Limits) {
    let mut buf = BytesMut::from(input);
    let decoded = decode_frame(&mut buf, limits);
    let peeked = peek_frame(input, limits);
    let alone = decode_header(input, limits);
    match (decoded, peeked, alone) {
        (Ok(Some(frame)), Ok(Some(peeked)), Ok(Some(alone))) => {
            check_lengths(input, &peeked, limits);
            same_meaning(&peeked, &alone);
            same_meaning(&peeked, &frame.header());
            assert_eq!(input[peeked.header_len..peeked.frame_len()], frame.payload);
            assert_eq!(input[peeked.frame_len()..], buf);
            check_header_alone(input, &peeked, limits);
            check_written_again(&frame);
        }
        (Ok(None), Ok(None), Ok(alone)) => {
            assert_eq!(input, buf, "nothing was taken");
            let missing = alone.is_none_or(|header| header.frame_len() > input.len());
            assert!(missing, "a whole frame was not taken");
        }
        (Ok(None), Ok(None), Err(_)) => assert_eq!(input, buf, "an error in a header without its payload"),
        (Err(decoded), Err(peeked), Err(alone)) => {
            assert_eq!((decoded, decoded), (peeked, alone));
            assert_eq!(input, buf, "nothing was taken");
            assert!(decoded.to_string().len() <= 256);
        }
        (decoded, peeked, alone) => panic!("{decoded:?}, {peeked:?}, {alone:?}"),
    }
}

fn check_lengths(input: &[u8], header: &Header<'_>, limits: &Limits) {
    let length = u32::from_be_bytes(*input.first_chunk().unwrap());
    assert_eq!(header.frame_len(), usize::try_from(length).unwrap() + LENGTH_LEN);
    assert_eq!(header.frame_len(), header.header_len + header.payload_len);
    assert!(header.frame_len() <= limits.frame_len.min(input.len()));
    assert!(header.header_len <= limits.header_len.min(PREFIX_LEN + MAX_INFO_LEN));
    assert!(header.ints().count() + header.strings().count() <= limits.pairs);
    let ints = header.ints().map(|(_, value)| 2 + value.len()).sum::<usize>();
    let strings = header.strings().map(|(key, value)| key.len() + value.len()).sum::<usize>();
    // The key of an ACL token is not on the wire.
    assert!(ints + strings <= header.header_len + 22 * header.strings().count());
    for (key, _) in header.ints().take(4) {
        assert_eq!(header.int(key), header.ints().filter(|(found, _)| *found == key).last().map(|(_, v)| v));
    }
}

/// Checks that a header can be decoded without its payload.
fn check_header_alone(input: &[u8], header: &Header<'_>, limits: &Limits) {
    let alone = decode_header(&input[..header.header_len], limits).unwrap().expect("the header is complete");
    same_meaning(header, &alone);
    assert!(decode_header(&input[..header.header_len - 1], limits).unwrap().is_none());
}

fn check_written_again(frame: &Frame) {
    let header = frame.header();
    let written = write(frame);
    let mut buf = written.clone();
    let again = decode_frame(&mut buf, &Limits::default()).unwrap().expect("a whole frame");
    assert!(buf.is_empty());
    assert!(again.header().header_len <= header.header_len, "the encoded header is larger");
    same_meaning(&header, &again.header());
    assert_eq!(frame.payload, again.payload);
    assert_eq!(written, write(&again), "one meaning has one form");
}

fn write(frame: &Frame) -> BytesMut {
    let header = frame.header();
    let Header { flags, sequence_id, protocol_id, .. } = header;
    let head = Head { flags, sequence_id, protocol_id };
    let mut out = BytesMut::new();
    let len = frame.payload.len();
    let written = encode_header(&mut out, head, header.strings(), header.ints(), len);
    assert_eq!(written, Ok(out.len()));
    out.extend_from_slice(&frame.payload);
    out
}
