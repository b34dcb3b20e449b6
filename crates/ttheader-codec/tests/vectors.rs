//! Every recorded input decodes with the verdict and the content of Kitex's own decoder, but for the
//! divergences listed here by name.

use std::collections::BTreeMap;

use serde_json::Value;
use ttheader_codec::{DecodeError, Header, Limits, decode_header};

type Check = fn(&DecodeError) -> bool;

/// Inputs that Kitex accepts and we refuse, each with the reason.
const DIVERGENCES: &[(&str, Check)] = &[
    ("transforms 2", transforms),
    ("transforms exactly fill", transforms),
    ("length smaller than the header (negative payload)", overrun),
    ("length 0", overrun),
    ("length 0x3fffffff", too_large),
    ("length 0x40000000", too_large),
    ("length 0xffffffff", too_large),
    ("random 61, mutated", too_large),
    ("random 62, mutated", overrun),
];

fn transforms(error: &DecodeError) -> bool {
    matches!(error, DecodeError::Transforms { .. })
}

fn overrun(error: &DecodeError) -> bool {
    matches!(error, DecodeError::HeaderOverrun { .. })
}

fn too_large(error: &DecodeError) -> bool {
    matches!(error, DecodeError::FrameTooLarge { .. })
}

#[test]
fn every_recorded_input_decodes_as_in_kitex() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("data/vectors.json")).unwrap();
    assert_eq!(vectors.len(), 450);
    let mut diverged = Vec::new();
    for vector in &vectors {
        let name = vector["name"].as_str().unwrap();
        let bytes = from_hex(vector["hex"].as_str().unwrap());
        let decoded = decode_header(&bytes, &Limits::default());
        match (vector["kitex_accepts"].as_bool().unwrap(), decoded) {
            (true, Ok(Some(header))) => assert_same(name, vector, &header),
            (false, Ok(None) | Err(_)) => {}
            (true, Err(error)) => diverged.push((name, error)),
            (kitex_accepts, ours) => panic!("{name}: kitex_accepts={kitex_accepts}, ours {ours:?}"),
        }
    }
    for (name, error) in &diverged {
        let (_, check) = DIVERGENCES
            .iter()
            .find(|(listed, _)| listed == name)
            .unwrap_or_else(|| panic!("{name} is refused with {error:?}, which no divergence lists"));
        assert!(check(error), "{name}: {error:?}");
    }
    assert_eq!(diverged.len(), DIVERGENCES.len(), "a listed divergence did not happen: {diverged:?}");
}

fn assert_same(name: &str, vector: &Value, header: &Header<'_>) {
    let number = |field: &str| vector[field].as_i64().unwrap_or_default();
    assert_eq!(i64::from(header.flags.bits()), number("flags"), "{name}: flags");
    assert_eq!(i64::from(header.sequence_id), number("seq"), "{name}: seq");
    assert_eq!(i64::from(header.protocol_id.as_u8()), number("protocol_id"), "{name}: protocol id");
    assert_eq!(header.header_len, usize::try_from(number("header_len")).unwrap(), "{name}: header length");
    assert_eq!(header.payload_len, usize::try_from(number("payload_len")).unwrap(), "{name}: payload length");

    let ints: BTreeMap<String, Vec<u8>> =
        header.ints().map(|(key, value)| (key.to_string(), value.to_vec())).collect();
    assert_eq!(ints, pairs(&vector["int"], ToOwned::to_owned), "{name}: ints");
    for (key, value) in &ints {
        assert_eq!(header.int(key.parse().unwrap()), Some(&value[..]), "{name}: the last of duplicates wins");
    }
    let strings: BTreeMap<Vec<u8>, Vec<u8>> =
        header.strings().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    assert_eq!(strings, pairs(&vector["str"], from_hex), "{name}: strings");
    for (key, value) in &strings {
        assert_eq!(header.string(key), Some(&value[..]), "{name}: the last of duplicates wins");
    }
    assert_eq!(header.to_method(), header.int(9), "{name}: method");
}

fn pairs<K: Ord>(object: &Value, key: impl Fn(&str) -> K) -> BTreeMap<K, Vec<u8>> {
    let object = object.as_object().into_iter().flatten();
    object.map(|(k, v)| (key(k), from_hex(v.as_str().unwrap()))).collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
