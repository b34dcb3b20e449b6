//! Bytes that no honest peer sends. A row is bytes and the fault that they end with; nothing panics, nothing
//! hangs.

use bytes::Bytes;
use kitex_thrift::{DecodeError, Fault, Limits, Payload};

use super::wire::*;
use crate::shapes::{All, Bombs, Chain, Choice, Color, HasUnion, Node, PingArgs, Req};

/// The default limit of levels.
const LIMIT: usize = Limits::new().depth;

#[track_caller]
#[allow(clippy::needless_pass_by_value)] // a row reads better without borrows
fn check<T: Payload>(bytes: Wire, expected: Fault) {
    let error = refused::<T>(bytes.done());
    assert_eq!(*error.fault(), expected, "{error}");
    assert!(error.to_string().len() <= 256, "{error}");
}

#[track_caller]
fn refused<T: Payload>(bytes: Bytes) -> DecodeError {
    T::decode(bytes).err().expect("accepted")
}

#[test]
fn length_beyond_the_payload_is_refused() {
    let text = |length: i32| wire().field(BINARY, 1).i32(length).bytes(b"abc");
    check::<Req>(text(i32::MAX), Fault::Truncated { at: 7, wanted: 0x7fff_ffff, left: 3 });
    check::<Req>(text(4), Fault::Truncated { at: 7, wanted: 4, left: 3 });
    check::<Req>(text(-1), Fault::NegativeLength { at: 3, length: -1 });
    check::<Req>(text(i32::MIN), Fault::NegativeLength { at: 3, length: i32::MIN });

    let binary = |length: i32| wire().field(BINARY, 3).i32(length);
    check::<Req>(binary(i32::MAX), Fault::Truncated { at: 7, wanted: 0x7fff_ffff, left: 0 });
    check::<Req>(binary(-5), Fault::NegativeLength { at: 3, length: -5 });

    let skipped = |length: i32| wire().field(BINARY, 99).i32(length);
    check::<Req>(skipped(i32::MAX), Fault::Truncated { at: 7, wanted: 0x7fff_ffff, left: 0 });
    check::<Req>(skipped(-1), Fault::NegativeLength { at: 3, length: -1 });
}

#[test]
fn count_beyond_the_payload_is_refused() {
    let rows = [
        (LIST, 11, BINARY, 4),
        (SET, 12, I32, 4),
        (LIST, 14, I64, 8),
        (LIST, 18, STRUCT, 1),
        (LIST, 15, LIST, 5),
    ];
    for (ttype, id, element, smallest) in rows {
        for unknown in [0, 100] {
            let bytes = |count: i32| wire().field(ttype, id + unknown).list(element, count).times(40, &[0]);
            let too_many = i32::try_from(40 / smallest + 1).unwrap();
            check::<All>(bytes(too_many), Fault::Overcount { at: 4, count: 40 / smallest + 1, left: 40 });
            check::<All>(bytes(i32::MAX), Fault::Overcount { at: 4, count: 0x7fff_ffff, left: 40 });
            check::<All>(bytes(-1), Fault::NegativeLength { at: 4, length: -1 });
        }
    }
    let map = |count: i32| wire().field(MAP, 13).map(BINARY, I64, count).times(24, &[0]);
    check::<All>(map(3), Fault::Overcount { at: 5, count: 3, left: 24 });
    check::<All>(map(i32::MAX), Fault::Overcount { at: 5, count: 0x7fff_ffff, left: 24 });
    check::<All>(map(i32::MIN), Fault::NegativeLength { at: 5, length: i32::MIN });
    let skipped = wire().field(MAP, 77).map(I8, MAP, 0x1000_0000).times(24, &[0]);
    check::<All>(skipped, Fault::Overcount { at: 5, count: 0x1000_0000, left: 24 });
}

#[test]
fn elements_must_have_a_type_that_takes_bytes() {
    for code in [0, 1] {
        let fault = |at| Fault::UnknownType { at, code };
        check::<All>(wire().field(LIST, 11).list(code, 1).stop(), fault(4));
        check::<All>(wire().field(LIST, 99).list(code, i32::MAX).stop(), fault(4));
        check::<All>(wire().field(MAP, 13).map(BINARY, code, 1).stop(), fault(5));
        check::<All>(wire().field(MAP, 99).map(code, BINARY, 1).stop(), fault(5));
        // Some peers write type 0 for the elements of an empty container.
        assert_eq!(
            All::decode(wire().field(LIST, 11).list(code, 0).stop().done()).unwrap().names,
            Some(vec![])
        );
        assert!(All::decode(wire().field(MAP, 13).map(code, code, 0).stop().done()).is_ok());
        assert!(All::decode(wire().field(LIST, 99).list(code, 0).stop().done()).is_ok());
    }
}

#[test]
fn unknown_types_are_refused_not_guessed() {
    for code in [5, 7, 9, 17, 18, 0x7f, 0xff] {
        check::<Req>(wire().field(code, 1), Fault::UnknownType { at: 0, code });
        check::<All>(wire().field(LIST, 11).list(code, 1).stop(), Fault::UnknownType { at: 3, code });
    }
    check::<Req>(wire().field(1, 1), Fault::UnknownType { at: 0, code: 1 });
}

/// 100,000 levels of a field that is decoded, and of one that is skipped.
#[test]
fn depth_is_bounded_where_it_is_decoded_and_where_it_is_skipped() {
    let deep = |head: Wire| wire().times(100_000, &head.0);
    let limit = LIMIT;
    let known = wire().field(STRUCT, 1);
    check::<Chain>(deep(known.clone()), Fault::TooDeep { at: LIMIT * 3, limit });
    check::<Node>(deep(known), Fault::TooDeep { at: LIMIT * 3, limit });
    // A list and its element are two levels.
    let children = wire().field(LIST, 2).list(STRUCT, 1);
    check::<Node>(deep(children), Fault::TooDeep { at: LIMIT / 2 * 8, limit });
    let choices = wire().field(LIST, 3).list(STRUCT, 1);
    check::<Choice>(deep(choices), Fault::TooDeep { at: LIMIT / 2 * 8, limit });

    check::<Req>(deep(wire().field(STRUCT, 9)), Fault::TooDeep { at: LIMIT * 3, limit });
    let lists = wire().field(LIST, 9).bytes(&deep(wire().list(LIST, 1)).0);
    check::<Req>(lists, Fault::TooDeep { at: 3 + (LIMIT - 1) * 5, limit });
    let maps = wire().field(MAP, 9).bytes(&deep(wire().map(I8, MAP, 1).u8(0)).0);
    check::<Req>(maps, Fault::TooDeep { at: 3 + (LIMIT - 1) * 7, limit });
}

#[test]
fn decoded_and_skipped_levels_count_together() {
    let chain = |decoded: usize, skipped: usize| {
        let known = wire().times(decoded - 1, &wire().field(STRUCT, 1).0);
        known.times(skipped, &wire().field(STRUCT, 9).0).times(decoded + skipped, &[0])
    };
    for (decoded, skipped) in [(LIMIT, 0), (1, LIMIT - 1), (LIMIT / 2, LIMIT / 2)] {
        assert!(Chain::decode(chain(decoded, skipped).done()).is_ok(), "{decoded} + {skipped}");
    }
    for (decoded, skipped) in [(LIMIT + 1, 0), (1, LIMIT), (LIMIT / 2, LIMIT / 2 + 1)] {
        let error = refused::<Chain>(chain(decoded, skipped).done());
        assert!(matches!(error.fault(), Fault::TooDeep { .. }), "{decoded} + {skipped}: {error}");
    }
}

#[test]
fn text_must_be_utf_8_whether_it_is_copied_or_shared() {
    for length in [1, 30, 512, 513, 100_000] {
        let mut text = vec![b'a'; length];
        text[length - 1] = 0xff;
        check::<Req>(wire().field(BINARY, 1).text(&text).stop(), Fault::NotUtf8 { at: 7 });
        // A binary may be anything.
        let req = Req::decode(wire().field(BINARY, 3).text(&text).stop().done()).unwrap();
        assert_eq!(req.payload.unwrap(), text);
    }
    let key = wire().field(MAP, 13).map(BINARY, I64, 1).text(b"\xc0\x80").i64(1).stop();
    check::<All>(key, Fault::NotUtf8 { at: 13 });
}

#[test]
fn a_value_cut_off_anywhere_is_refused() {
    let whole = super::round_trip::sample();
    for length in 0..whole.len() {
        assert!(All::decode(whole.slice(..length)).is_err(), "{length} of {} bytes", whole.len());
    }
    assert!(All::decode(whole).is_ok());
}

#[test]
fn a_skipped_value_cut_off_anywhere_is_refused() {
    // To `Chain`, all fields of `All` but the first are unknown.
    let whole = wire().field(STRUCT, 2).bytes(&super::round_trip::sample()).stop().done();
    for length in 0..whole.len() {
        assert!(Chain::decode(whole.slice(..length)).is_err(), "{length} of {} bytes", whole.len());
    }
    assert_eq!(Chain::decode(whole).unwrap(), Chain::default());
}

#[test]
fn a_field_of_another_type_is_skipped_as_thrift_does() {
    let values = [
        (BOOL, wire().u8(1)),
        (I8, wire().u8(1)),
        (I16, wire().bytes(&[0, 1])),
        (I32, wire().i32(1)),
        (I64, wire().i64(1)),
        (DOUBLE, wire().i64(1)),
        (BINARY, wire().text(b"text")),
        (STRUCT, wire().field(I32, 1).i32(1).stop()),
        (MAP, wire().map(I32, BINARY, 1).i32(1).text(b"v")),
        (SET, wire().list(I32, 2).i32(1).i32(2)),
        (LIST, wire().list(BINARY, 2).text(b"a").text(b"b")),
        (UUID, wire().times(16, &[7])),
    ];
    for (ttype, value) in values {
        let field = |id| wire().field(ttype, id).bytes(&value.0);
        // A union that held a field of the wrong type would misread all that follows.
        let after = |id: i16| field(id).field(I64, 1).i64(5).stop().done();
        if ttype != I64 {
            assert_eq!(Choice::decode(after(1)).unwrap(), Choice::Number(5), "{ttype}");
            let req = Req::decode(field(2).field(BINARY, 1).text(b"msg").stop().done()).unwrap();
            assert_eq!((req.msg.as_deref(), req.seq), (Some("msg"), None), "{ttype}");
        }
        assert_eq!(Choice::decode(after(77)).unwrap(), Choice::Number(5), "{ttype}");
    }
}

#[test]
fn missing_required_fields_are_named() {
    check::<Node>(wire().stop(), Fault::MissingField { field: "value" });
    check::<PingArgs>(wire().field(I64, 1).i64(1).stop(), Fault::MissingField { field: "req" });
}

#[test]
fn an_error_names_the_field_while_that_is_short() {
    let error = refused::<Req>(wire().field(BINARY, 3).i32(9).done());
    assert_eq!(error.to_string(), "field 3 of Req: 9 bytes wanted at byte 7, 0 left");
    let inner = wire().field(STRUCT, 1).field(STRUCT, 1).field(I32, 3);
    assert_eq!(
        refused::<Node>(inner.done()).to_string(),
        "field 1.1.3 of Node: 4 bytes wanted at byte 9, 0 left"
    );
    let deep = wire().times(60, &wire().field(STRUCT, 1).0);
    assert_eq!(refused::<Chain>(deep.done()).to_string(), "1 bytes wanted at byte 180, 0 left");
}

#[test]
fn empty_payload_is_refused_and_a_stop_byte_is_a_struct() {
    check::<Req>(wire(), Fault::Empty);
    assert_eq!(Req::decode(wire().stop().done()).unwrap(), Req::default());
}

#[test]
fn bytes_after_the_end_are_ignored_as_kitex_does() {
    let bytes = wire().field(I64, 2).i64(7).stop().times(1000, &[0xff]).done();
    assert_eq!(Req::decode(bytes).unwrap().seq, Some(7));
}

#[test]
fn enum_keeps_unknown_numbers() {
    let all = All::decode(wire().field(I32, 10).i32(-77).stop().done()).unwrap();
    assert_eq!(all.color, Some(Color::from(-77)));
}

#[test]
fn bool_is_true_for_1_only() {
    for (byte, value) in [(0, false), (1, true), (2, false), (255, false)] {
        let all = All::decode(wire().field(BOOL, 1).u8(byte).stop().done()).unwrap();
        assert_eq!(all.flag, Some(value), "{byte}");
    }
}

#[test]
fn memory_limit_counts_elements_that_are_small_on_the_wire() {
    let count = 1 << 20;
    let size = i32::try_from(count).unwrap();
    let list = wire().field(LIST, 1).list(STRUCT, size).times(count, &[0]).stop();
    let limit = Limits::default().expansion * list.0.len() + Limits::default().allowance;
    check::<Bombs>(list.clone(), Fault::TooMuchMemory { at: 8, limit });
    let set = wire().field(SET, 2).list(STRUCT, size).times(count, &[0]).stop();
    check::<Bombs>(set, Fault::TooMuchMemory { at: 8, limit });
    // Elements of another type are skipped, however many they are.
    let other = wire().field(LIST, 1).list(BOOL, size).times(count, &[0]).stop();
    assert_eq!(Bombs::decode(other.done()).unwrap().list, Some(vec![]));

    let generous = Limits::new().expansion(1000);
    assert_eq!(Bombs::decode_within(list.done(), &generous).unwrap().list.unwrap().len(), count);
}

#[test]
fn memory_limit_counts_many_small_containers() {
    // 16 elements at a time, far below the limit each.
    let inner = wire().field(LIST, 1).list(STRUCT, 16).times(16, &[0]).stop();
    let rows = 40_000;
    let sum = wire().field(LIST, 16).list(STRUCT, 0).stop();
    assert!(All::decode(sum.done()).is_ok());
    let repeated = wire().times(rows, &inner.0[..inner.0.len() - 1]).stop();
    let error = refused::<Bombs>(repeated.done());
    assert!(matches!(error.fault(), Fault::TooMuchMemory { .. }), "{error}");
}

#[test]
fn memory_limit_counts_boxes() {
    // Each element is an empty chain in a box: 4 bytes on the wire.
    let link = wire().field(STRUCT, 1).stop().stop();
    // A slot in the list and a box for each.
    let tight = Limits::new().expansion(0).allowance(100 * 2 * size_of::<Chain>());
    let chains = |count: u8| {
        let head = wire().field(LIST, 4).list(STRUCT, count.into());
        head.times(count.into(), &link.0).stop().done()
    };
    assert!(Bombs::decode_within(chains(100), &tight).is_ok());
    let error = Bombs::decode_within(chains(101), &tight).unwrap_err();
    assert!(matches!(error.fault(), Fault::TooMuchMemory { .. }), "{error}");
}

#[test]
fn dense_payloads_are_within_the_default_limits() {
    let count = 1 << 20;
    let size = i32::try_from(count).unwrap();
    let full = wire().times(1, &[]).bytes(&wire_of_wide().0);
    let wide = wire().field(LIST, 1).list(STRUCT, size / 8).times(count / 8, &full.0).stop();
    assert_eq!(Bombs::decode(wide.done()).unwrap().list.unwrap().len(), count / 8);
    let strings = wire().field(LIST, 5).list(BINARY, size).times(count, &wire().text(b"abcd").0).stop();
    assert_eq!(Bombs::decode(strings.done()).unwrap().strings.unwrap().len(), count);
    let numbers = wire().field(LIST, 14).list(I64, size).times(count, &[1; 8]).stop();
    assert_eq!(All::decode(numbers.done()).unwrap().more.unwrap().len(), count);
}

/// A struct with eight empty strings: 7 bytes on the wire and 40 in memory each.
fn wire_of_wide() -> Wire {
    (1..=8).fold(wire(), |wire, id| wire.field(BINARY, id).text(b"")).stop()
}

#[test]
fn short_strings_and_binaries_do_not_pin_the_frame() {
    for (length, is_shared) in [(0, false), (1, false), (512, false), (513, true), (5000, true)] {
        let frame = wire().field(BINARY, 3).text(&vec![7; length]).stop().done();
        let (start, end) = (frame.as_ptr() as usize, frame.as_ptr() as usize + frame.len());
        let payload = Req::decode(frame.clone()).unwrap().payload.unwrap();
        let within = (start..end).contains(&(payload.as_ptr() as usize)) && length > 0;
        assert_eq!(within, is_shared, "{length}");
    }
}

/// Kitex writes a union that is nil as an empty struct, and a newer peer a variant that is not known here.
#[test]
fn a_union_without_a_known_variant_is_absent_or_unknown() {
    let unions = [
        ("nil", wire().stop()),
        ("newer variant", wire().field(BINARY, 9).text(b"x").stop()),
        ("newer type", wire().field(BINARY, 1).text(b"x").stop()),
    ];
    for (name, union) in unions {
        let field = |id: i16| wire().field(STRUCT, id).bytes(&union.0);
        let got = HasUnion::decode(field(1).bytes(&field(2).0).stop().done()).unwrap();
        assert_eq!((got.plain, got.optional), (None, None), "{name}");
        let list = wire().field(LIST, 3).list(STRUCT, 2).bytes(&union.0).field(I64, 1).i64(7).stop();
        let got = HasUnion::decode(list.stop().done()).unwrap();
        assert_eq!(got.list, Some(vec![Choice::Unknown, Choice::Number(7)]), "{name}");
        let map = wire().field(MAP, 4).map(I32, STRUCT, 1).i32(1).bytes(&union.0).stop();
        assert_eq!(HasUnion::decode(map.done()).unwrap().map.unwrap()[&1], Choice::Unknown, "{name}");
        assert_eq!(Choice::decode(union.clone().done()).unwrap(), Choice::Unknown, "{name}");
    }
    // Of two the last counts, as the last of two fields with one id does.
    let two = wire().field(BINARY, 2).text(b"x").field(I64, 1).i64(5).stop();
    assert_eq!(Choice::decode(two.done()).unwrap(), Choice::Number(5));
}
