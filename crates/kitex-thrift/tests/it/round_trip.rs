//! Any encoded value decodes to the same value.

use bytes::{Bytes, BytesMut};
use kitex_thrift::FastStr;
use kitex_thrift::Payload;
use proptest::{collection::vec, option::of, prelude::*};

use crate::shapes::{All, Choice, Color, Empty, Node, Req, Wide};

fn encoded(value: &impl Payload) -> Bytes {
    let mut buf = BytesMut::from(&b"before"[..]);
    value.encode(&mut buf).unwrap();
    let written = buf.split_off(6);
    assert_eq!(buf, "before");
    written.freeze()
}

/// A value of every field, as bytes.
pub(crate) fn sample() -> Bytes {
    let inner = All { text: Some("inner".into()), ..All::default() };
    let all = All {
        flag: Some(true),
        small: Some(-1),
        short: Some(-2),
        medium: Some(-3),
        long: Some(-4),
        ratio: Some(0.5),
        text: Some("text".into()),
        blob: Some(Bytes::from_static(b"blob")),
        id: Some([9; 16]),
        color: Some(Color::GREEN),
        names: Some(vec!["a".into(), "b".into()]),
        numbers: Some([1, 2].into_iter().collect()),
        counts: Some([("one".into(), 1)].into_iter().collect()),
        more: Some(vec![1, 2, 3]),
        rows: Some(vec![vec![Bytes::from_static(b"x")], vec![]]),
        groups: Some([("group".into(), vec![inner])].into_iter().collect()),
        choice: Some(Choice::Choices(vec![Choice::Number(1), Choice::Text("t".into())])),
        wide: Some(vec![Wide { a: Some("a".into()), ..Wide::default() }]),
        sorted: Some([(1, "x".into())].into_iter().collect()),
        ordered: Some(["x".into()].into_iter().collect()),
        word: Some("word".into()),
    };
    let bytes = encoded(&all);
    assert_eq!(All::decode(bytes.clone()).unwrap(), all);
    bytes
}

fn text() -> impl Strategy<Value = FastStr> {
    prop_oneof!["\\PC{0,40}", "[a-z]{500,530}"].prop_map(FastStr::from)
}

fn blob() -> impl Strategy<Value = Bytes> {
    prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 500..530)].prop_map(Bytes::from)
}

fn choice() -> impl Strategy<Value = Choice> {
    let leaf = prop_oneof![any::<i64>().prop_map(Choice::Number), text().prop_map(Choice::Text)];
    leaf.prop_recursive(4, 20, 4, |inner| vec(inner, 0..4).prop_map(Choice::Choices))
}

fn all() -> impl Strategy<Value = All> {
    let numbers = (of(any::<bool>()), of(any::<i8>()), of(any::<i16>()), of(any::<i32>()), of(any::<i64>()));
    let flat = (of(-1e9..1e9f64), of(text()), of(blob()), of(any::<[u8; 16]>()), of(any::<i32>()));
    let containers =
        (of(vec(text(), 0..5)), of(vec(any::<i32>(), 0..9)), of(vec((text(), any::<i64>()), 0..5)));
    let nested = (of(vec(vec(blob(), 0..4), 0..4)), of(choice()), of(vec((any::<i64>(), text()), 0..5)));
    (numbers, flat, containers, nested).prop_map(|(numbers, flat, containers, nested)| All {
        flag: numbers.0,
        small: numbers.1,
        short: numbers.2,
        medium: numbers.3,
        long: numbers.4,
        ratio: flat.0,
        text: flat.1,
        blob: flat.2,
        id: flat.3,
        color: flat.4.map(Color::from),
        names: containers.0,
        numbers: containers.1.map(|numbers| numbers.into_iter().collect()),
        counts: containers.2.map(|counts| counts.into_iter().collect()),
        rows: nested.0,
        choice: nested.1,
        sorted: nested.2.map(|sorted| sorted.into_iter().collect()),
        ..All::default()
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_itself(all in all()) {
        prop_assert_eq!(All::decode(encoded(&all)).unwrap(), all);
    }

    /// As any other message, all of it is unknown and passed over.
    #[test]
    fn what_is_encoded_can_be_skipped(all in all()) {
        prop_assert_eq!(Empty::decode(encoded(&all)).unwrap(), Empty {});
    }

    #[test]
    fn any_bytes_end_in_a_value_or_an_error(bytes in vec(any::<u8>(), 0..300)) {
        let bytes = Bytes::from(bytes);
        let _ = (All::decode(bytes.clone()), Node::decode(bytes.clone()), Req::decode(bytes.clone()));
        let _ = Choice::decode(bytes);
    }

    /// One byte off is what random bytes never reach: deep inside.
    #[test]
    fn any_byte_changed_ends_in_a_value_or_an_error(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = BytesMut::from(sample());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = All::decode(bytes.freeze());
    }

    #[test]
    fn failed_decode_keeps_only_its_error_text(bytes in vec(any::<u8>(), 1..300)) {
        if let Err(error) = All::decode(bytes.into()) {
            prop_assert!(error.to_string().len() <= 256, "{}", error);
        }
    }
}
