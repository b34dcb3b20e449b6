//! Any bytes as a struct of any shape: a value or an error, within the limits; a value survives encoding and
//! decoding, also one that was not decoded before. The first byte of an input selects the struct.
#![no_main]

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use fuzz::Script;
use fuzz::thrift::shapes::{
    All, Bombs, Chain, Choice, Empty, LabError, Node, PingArgs, PingResult, Req, Wide,
};
use kitex_thrift::{Limits, Payload};
use libfuzzer_sys::fuzz_target;

const TIGHT: Limits = Limits::new().depth(4).expansion(1).allowance(64);

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let check = script.pick(&[
        check::<All>,
        check::<Bombs>,
        check::<Node>,
        check::<Choice>,
        check::<Chain>,
        check::<Req>,
        check::<PingArgs>,
        check::<PingResult>,
        check::<LabError>,
        check::<Wide>,
        check::<Empty>,
    ]);
    check(script.rest());
    let node = node(&mut Script::new(input), 20);
    assert_eq!(Node::decode(write(&node)).as_ref(), Ok(&node));
});

fn check<T: Payload + Debug + PartialEq>(input: &[u8]) {
    let payload = Bytes::copy_from_slice(input);
    let value = match T::decode(payload.clone()) {
        Ok(value) => value,
        Err(error) => {
            assert!(error.to_string().len() <= 256, "{error}");
            assert!(T::decode_within(payload, &TIGHT).is_err(), "tight limits accept more");
            return;
        }
    };
    if let Ok(tight) = T::decode_within(payload, &TIGHT) {
        check_same(&tight, &value);
    }
    let written = write(&value);
    let again = T::decode(written.clone()).expect("an encoded value can be decoded");
    check_same(&again, &value);
    // The order of hash tables is unspecified, but the length is fixed.
    assert_eq!(write(&again).len(), written.len());
    for len in [0, written.len() / 2, written.len() - 1] {
        assert!(T::decode(written.slice(..len)).is_err(), "{len} of {} bytes", written.len());
    }
}

#[allow(clippy::eq_op)]
fn check_same<T: Debug + PartialEq>(one: &T, other: &T) {
    // NaN is not equal to itself.
    let comparable = one == one;
    assert!(!comparable || one == other, "{one:?} is not {other:?}");
}

fn write(value: &impl Payload) -> Bytes {
    let mut out = BytesMut::from(&b"before"[..]);
    value.encode(&mut out).expect("a decoded value can be encoded");
    let written = out.split_off(6);
    assert_eq!(out, "before");
    written.freeze()
}

/// Returns a tree of any shape, within the limit of depth.
fn node(script: &mut Script<'_>, depth: usize) -> Node {
    let shape = if depth == 0 || script.is_empty() { 0 } else { script.byte() };
    let next = (shape & 1 == 1).then(|| Box::new(node(script, depth - 1)));
    let children = (shape & 2 == 2).then(|| (0..shape >> 6).map(|_| node(script, depth - 1)).collect());
    Node { next, children, value: script.int() }
}
