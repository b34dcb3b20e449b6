//! What a value costs, and what of it is kept: stack, boxes, sets without a hash, defaults.

use std::thread;

use bytes::{Bytes, BytesMut};
use kitex_thrift::{Fault, Limits, Payload};

use super::wire::*;
use crate::shapes::{Broad, Choice, Inner, Node, Odd, Outer, Point, Preset, Ring, Row, Rows};

/// On a thread with half the stack that tokio gives its own.
fn on_a_small_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap()
}

/// 161 bytes overflowed the stack of a worker while structs stood in one another.
#[test]
fn stack_per_level_is_small_in_every_nesting() {
    let ways = [
        ("field", wire().field(STRUCT, 1), wire().stop()),
        ("list", wire().field(LIST, 2).list(STRUCT, 1), wire().stop()),
        ("map", wire().field(MAP, 3).map(I32, STRUCT, 1).i32(1), wire().stop()),
        ("union", wire().field(STRUCT, 4).field(STRUCT, 1), wire().stop().stop()),
        (
            "list of unions",
            wire().field(STRUCT, 4).field(LIST, 2).list(STRUCT, 1).field(STRUCT, 1),
            wire().stop().stop().stop(),
        ),
        ("skipped field", wire().field(STRUCT, 99), wire().stop()),
        ("skipped list", wire().field(LIST, 99).list(STRUCT, 1), wire().stop()),
        ("skipped map", wire().field(MAP, 99).map(I32, STRUCT, 1).i32(1), wire().stop()),
    ];
    for (name, open, close) in ways {
        let nested = wire().times(40, &open.0).stop().times(40, &close.0).done();
        let decoded = on_a_small_stack(move || Broad::decode(nested).map(drop));
        assert_eq!(decoded, Ok(()), "{name}");
        let deep = wire().times(100_000, &open.0).done();
        let error = on_a_small_stack(move || Broad::decode(deep).map(drop)).unwrap_err();
        assert!(
            matches!(error.fault(), Fault::TooDeep { .. } | Fault::TooMuchStack { .. }),
            "{name}: {error}"
        );
    }
}

/// The bound holds for any depth that a user allows.
#[test]
fn stack_is_bounded() {
    let deep = wire().times(1_000_000, &wire().field(STRUCT, 1).0).done();
    let decode = move || Broad::decode_within(deep, &Limits::new().depth(usize::MAX)).map(drop);
    let error = on_a_small_stack(decode).unwrap_err();
    assert!(matches!(error.fault(), Fault::TooMuchStack { .. }), "{error}");
}

#[test]
fn depth_that_kitex_reads_is_read() {
    for levels in [65, 200] {
        let tail = wire().field(I32, 3).i32(1).stop();
        let chain = wire().times(levels, &wire().field(STRUCT, 1).0).bytes(&tail.0.repeat(levels + 1)).done();
        assert!(on_a_small_stack(move || Node::decode(chain)).is_ok(), "{levels}");
    }
    let limits = Limits::new().depth(64);
    let chain = wire().times(65, &wire().field(STRUCT, 1).0).done();
    let error = Node::decode_within(chain, &limits).unwrap_err();
    assert_eq!(*error.fault(), Fault::TooDeep { at: 64 * 3, limit: 64 });
}

#[test]
fn memory_limit_counts_what_a_message_holds() {
    // Twenty boxes, not twenty rows.
    assert!(size_of::<Broad>() < 400, "{}", size_of::<Broad>());
    let element = wire().field(BINARY, 1).text(b"value-12").stop();
    for count in [10_000, 80_000] {
        let size = i32::try_from(count).unwrap();
        let rows = wire().field(LIST, 1).list(STRUCT, size).times(count, &element.0).stop();
        assert_eq!(Rows::decode(rows.done()).unwrap().rows.unwrap().len(), count);
        let broad = wire().field(STRUCT, 5).bytes(&element.0).stop();
        let broad = wire().field(LIST, 2).list(STRUCT, size / 2).times(count / 2, &broad.0).stop();
        assert_eq!(Rows::decode(broad.done()).unwrap().broad.unwrap().len(), count / 2);
    }
}

#[test]
fn set_without_a_hash_keeps_all_elements() {
    let doubles = [-0.0, 0.0, f64::NAN, f64::NAN, 1.5, 1.5];
    let odd = Odd {
        doubles: Some(doubles.into_iter().collect()),
        by_double: Some([(1.5, "a".into()), (1.5, "b".into())].into_iter().collect()),
        sets: Some([[1, 2].into_iter().collect(), [2, 1].into_iter().collect()].into_iter().collect()),
        by_map: Some([([("k".into(), 1)].into_iter().collect(), 2)].into_iter().collect()),
        points: Some([Point { x: 1.0 }, Point { x: 1.0 }].into_iter().collect()),
    };
    let mut buf = BytesMut::new();
    odd.encode(&mut buf).unwrap();
    let got = Odd::decode(buf.freeze()).unwrap();
    let bits = |set: &[f64]| set.iter().map(|double| double.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&got.doubles.clone().unwrap()), bits(&doubles));
    assert_eq!(got.by_double.clone().unwrap().get(&1.5).unwrap(), "a");
    assert_eq!((got.by_double, got.sets, got.points), (odd.by_double, odd.sets, odd.points));
    assert_eq!(got.by_map.unwrap()[0].0, odd.by_map.unwrap()[0].0);
}

/// Go's literal has the zero of `y`, not its default, and Kitex writes it; that of `z` is nil, which is not written.
#[test]
fn struct_literal_in_a_default_has_zeros_for_missing_fields() {
    assert_eq!(Outer::default().p, Some(Inner { x: Some(5), y: Some("".into()), z: None }));
    let mut buf = BytesMut::new();
    Outer::default().encode(&mut buf).unwrap();
    let written = wire().field(STRUCT, 1).field(I32, 1).i32(5).field(BINARY, 2).text(b"").stop().stop();
    assert_eq!(buf, written.done());
    assert_eq!(Outer::decode(Bytes::from_static(&[0])).unwrap(), Outer::default());
}

/// Kitex reads each field into a new value.
#[test]
fn what_arrives_replaces_a_default_and_an_earlier_field_whole() {
    let (x, y) = (wire().field(I32, 1).i32(7), wire().field(BINARY, 2).text(b"w"));
    let bytes = wire()
        .field(STRUCT, 1)
        .stop()
        .field(STRUCT, 2)
        .field(I32, 99)
        .i32(1)
        .stop()
        .field(LIST, 3)
        .list(BINARY, 1)
        .text(b"no number")
        .field(STRUCT, 4)
        .bytes(&x.0)
        .stop()
        .field(STRUCT, 4)
        .bytes(&y.0)
        .stop()
        .field(STRUCT, 5)
        .stop()
        .stop();
    let decoded = Preset::decode(bytes.done()).unwrap();
    let v = Some(Choice::Unknown);
    let q = Inner { x: None, y: Some("w".into()), z: Some(vec![1]) };
    assert_eq!(decoded, Preset { p: Inner::default(), u: Choice::Unknown, l: vec![], q, v });
    // Nothing would be written for `None`, and the next reader would have the default.
    assert_ne!(decoded.v, Preset::default().v);
}

#[test]
fn recursive_defaults_terminate() {
    let ring = Ring::default();
    assert!(ring.b.unwrap().c.a.is_none());
    let inner = ring.this.unwrap();
    assert_eq!((inner.b, inner.this, inner.list), (None, None, Some(vec![])));
    assert_eq!(Ring::decode(Bytes::from_static(&[0])).unwrap(), Ring::default());
}

#[test]
fn memory_limit_counts_boxed_values() {
    let row = wire().field(STRUCT, 5).stop().stop();
    let limits = Limits::new().expansion(0);
    assert!(Broad::decode_within(row.clone().done(), &limits.allowance(size_of::<Row>())).is_ok());
    let error = Broad::decode_within(row.done(), &limits.allowance(size_of::<Row>() - 1)).unwrap_err();
    assert!(matches!(error.fault(), Fault::TooMuchMemory { .. }), "{error}");
}
