//! What the codec promises of any bytes: limits before allocation, no panic, the same frames however
//! the bytes are cut, and encode as the inverse of decode.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use ttheader_codec::{
    DecodeError, EncodeError, FrameType, Head, HeaderTemplate, Limits, decode_frame, decode_header,
    encode_header, encode_header_within, key, peek_frame, peek_oversize,
};

type Strings = Vec<(Vec<u8>, Vec<u8>)>;
type Ints = Vec<(u16, Vec<u8>)>;

fn encode(id: i32, strings: &Strings, ints: &Ints, payload: &[u8]) -> Result<BytesMut, EncodeError> {
    let mut wire = BytesMut::new();
    let strings = strings.iter().map(|(key, value)| (&key[..], &value[..]));
    let ints = ints.iter().map(|(key, value)| (*key, &value[..]));
    encode_header(&mut wire, Head::streaming(id), strings, ints, payload.len())?;
    wire.extend_from_slice(payload);
    Ok(wire)
}

proptest! {
    #[test]
    fn a_frame_decodes_to_what_was_encoded(
        id: i32,
        strings in vec((vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..300)), 0..20),
        ints in vec((any::<u16>(), vec(any::<u8>(), 0..40)), 0..20),
        payload in vec(any::<u8>(), 0..200),
    ) {
        let mut wire = encode(id, &strings, &ints, &payload).unwrap();
        let frame = decode_frame(&mut wire, &Limits::default()).unwrap().unwrap();
        let header = frame.header();
        prop_assert_eq!(header.sequence_id, id);
        prop_assert_eq!(header.ints().map(|(k, v)| (k, v.to_vec())).collect::<Ints>(), ints);
        prop_assert_eq!(header.strings().map(|(k, v)| (k.to_vec(), v.to_vec())).collect::<Strings>(), strings);
        prop_assert_eq!(&frame.payload[..], &payload[..]);
        prop_assert!(wire.is_empty());
    }

    #[test]
    fn frames_are_the_same_however_the_bytes_are_cut(
        payloads in vec(vec(any::<u8>(), 0..60), 1..8),
        cuts in vec(1usize..40, 1..200),
    ) {
        let mut wire = BytesMut::new();
        for payload in &payloads {
            wire.extend_from_slice(&encode(1, &vec![], &vec![(key::FRAME_TYPE, b"3".to_vec())], payload).unwrap());
        }
        let (mut received, mut decoded, mut cuts) = (BytesMut::new(), Vec::new(), cuts.into_iter().cycle());
        while !wire.is_empty() {
            received.extend_from_slice(&wire.split_to(cuts.next().unwrap().min(wire.len())));
            while let Some(frame) = decode_frame(&mut received, &Limits::default()).unwrap() {
                prop_assert_eq!(frame.header().frame_type(), Some(FrameType::Data));
                decoded.push(frame.payload.to_vec());
            }
        }
        prop_assert_eq!(decoded, payloads);
    }

    #[test]
    fn arbitrary_bytes_are_a_frame_an_error_or_incomplete(bytes in vec(any::<u8>(), 0..400), blocks in vec(any::<u8>(), 0..80)) {
        let _ = decode_frame(&mut BytesMut::from(&bytes[..]), &Limits::default());
        // The same behind a header that is right so far, so that the blocks are reached.
        let words = u8::try_from(blocks.len().div_ceil(4) + 1).unwrap();
        let mut wire = vec![0, 0, 1, 200, 0x10, 0, 0, 2, 0, 0, 0, 1, 0, words, 0x10, 0];
        wire.extend_from_slice(&blocks);
        wire.resize(14 + usize::from(words) * 4, 0);
        if let Ok(header) = decode_header(&wire, &Limits::default()) {
            let header = header.unwrap();
            prop_assert!(header.ints().count() + header.strings().count() <= blocks.len());
            prop_assert_eq!(header.string_count(), header.strings().count());
        }
    }
}

#[test]
fn a_limit_holds_before_the_bytes_arrive() {
    let limits = Limits { frame_len: 1000, header_len: 100, pairs: 3 };
    let rows: &[(&str, &[u8], DecodeError)] = &[
        ("frame", &[0, 0, 4, 0, 0x10, 0], DecodeError::FrameTooLarge { frame_len: 1028, limit: 1000 }),
        ("magic before length", b"HTTP/1", DecodeError::Magic { found: 0x2f31 }),
        (
            "header",
            &[0, 0, 1, 0, 0x10, 0, 0, 2, 0, 0, 0, 1, 0, 22],
            DecodeError::HeaderTooLarge { header_len: 102, limit: 100 },
        ),
        (
            "header in frame",
            &[0, 0, 0, 30, 0x10, 0, 0, 2, 0, 0, 0, 1, 0, 8],
            DecodeError::HeaderOverrun { frame_len: 34, header_len: 46 },
        ),
        ("no info", &[0, 0, 0, 30, 0x10, 0, 0, 2, 0, 0, 0, 1, 0, 0], DecodeError::HeaderEmpty),
    ];
    for (name, bytes, expected) in rows {
        assert_eq!(peek_frame(bytes, &limits).unwrap_err(), *expected, "{name}");
        assert!(expected.to_string().len() <= 256);
    }
    let four = encode(1, &vec![], &vec![(1, vec![]); 4], b"").unwrap();
    assert_eq!(peek_frame(&four, &limits).unwrap_err(), DecodeError::TooManyPairs { limit: 3 });
    let three = encode(1, &vec![], &vec![(1, vec![]); 3], b"").unwrap();
    assert!(peek_frame(&three, &limits).unwrap().is_some());
}

#[test]
fn a_refused_header_writes_nothing() {
    let large = vec![0; 65_536];
    let wide: Strings = vec![(vec![0; 60_000], vec![0; 60_000]); 3];
    let many: Ints = vec![(0, vec![]); 65_536];
    let rows: Vec<(Strings, Ints, usize, EncodeError)> = vec![
        (vec![(large.clone(), vec![])], vec![], 0, EncodeError::ValueTooLarge { len: 65_536 }),
        (vec![], vec![(1, large)], 0, EncodeError::ValueTooLarge { len: 65_536 }),
        (vec![], many, 0, EncodeError::TooManyPairs),
        (wide, vec![], 0, EncodeError::HeaderTooLarge { len: 360_017 }),
        (vec![], vec![], 0x3fff_fff3, EncodeError::FrameTooLarge { len: 0x4000_0005 }),
    ];
    for (strings, ints, payload_len, expected) in rows {
        let mut wire = BytesMut::from(&b"before"[..]);
        let strings = strings.iter().map(|(key, value)| (&key[..], &value[..]));
        let ints = ints.iter().map(|(key, value)| (*key, &value[..]));
        let refused = encode_header(&mut wire, Head::streaming(1), strings, ints, payload_len).unwrap_err();
        assert_eq!(refused, expected);
        assert_eq!(wire, b"before"[..]);
    }
    let template = HeaderTemplate::new(Head::streaming(1), [(key::TO_METHOD, &b"m"[..])]).unwrap();
    assert!(template.write(1, 0x4000_0000, &mut BytesMut::new()).is_err());
}

#[test]
fn limits_of_a_writer_match_those_of_a_reader() {
    let text = |len: usize| vec![b'v'; len];
    let limits = Limits { frame_len: 300, header_len: 200, pairs: 4 };
    for pairs in 0..8 {
        for len in [0, 1, 20, 100, 170, 171, 172, 173, 174, 175] {
            for payload_len in [0, 90, 100, 130, 200, 260, 280, 290] {
                let strings: Strings = (0..pairs).map(|_| (vec![], text(len))).collect();
                let strings = strings.iter().map(|(key, value)| (&key[..], &value[..]));
                let mut wire = BytesMut::new();
                let head = Head::streaming(9);
                let written =
                    encode_header_within(&limits, &mut wire, head, strings.clone(), [], payload_len);
                let refused = wire.is_empty();
                wire.clear();
                encode_header(&mut wire, head, strings, [], payload_len).unwrap();
                wire.resize(wire.len() + payload_len, 0);
                let read = peek_frame(&wire, &limits);
                assert_eq!(
                    written.is_ok(),
                    read.is_ok(),
                    "{pairs} of {len}, {payload_len}: {written:?}, {read:?}"
                );
                assert_eq!(written.is_err(), refused, "{written:?}");
                if let Err(error) = read {
                    assert!(error.is_over_limit());
                    let oversize = peek_oversize(&wire, &limits).unwrap().unwrap();
                    assert_eq!((oversize.sequence_id, oversize.frame_len), (9, wire.len()));
                    let too_long = matches!(error, DecodeError::HeaderTooLarge { .. });
                    assert!(oversize.header.is_none() || !too_long, "{error}");
                }
            }
        }
    }
}

#[test]
fn an_acl_token_gets_its_own_block() {
    let wire = encode(1, &vec![(key::ACL_TOKEN.to_vec(), b"tok".to_vec())], &vec![], b"").unwrap();
    let header = peek_frame(&wire, &Limits::default()).unwrap().unwrap();
    assert_eq!(header.string(key::ACL_TOKEN), Some(&b"tok"[..]));
    assert_eq!(header.header_len, 22, "as the recorded `acl token only`");
}
