//! The pass meets in pilota-build's text exactly what it met when it was written, and stops where it does
//! not.

use std::{path::Path, sync::Arc};

use super::{Counts, run};
use crate::{Error, catalog::Catalog, idl::Idl, pilota};

fn counts(idl: &str) -> Counts {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/idl").join(idl);
    let (text, catalog) = pilota::run(Arc::new(Idl::read(&path, &[]).unwrap()), &[]).unwrap();
    run(&path, &text, &catalog).unwrap().1
}

#[test]
fn the_pinned_pilota_build_writes_what_the_pass_expects() {
    let lab = Counts {
        messages: 7,
        dropped: 46,
        renamed: 4,
        lists: 0,
        sets: 0,
        maps: 0,
        boxes: 0,
        guards: 3,
        results: 2,
        lengths: 22,
        paths: 134,
    };
    assert_eq!(counts("lab.thrift"), lab);
    let zoo = Counts {
        messages: 39,
        dropped: 111,
        renamed: 21,
        lists: 10,
        sets: 4,
        maps: 6,
        boxes: 2,
        guards: 20,
        results: 6,
        lengths: 104,
        paths: 824,
    };
    assert_eq!(counts("zoo.thrift"), zoo);
}

/// What the pass says to a module that pilota-build might write one day.
#[track_caller]
fn refused(decoder: &str, expected: &str) {
    let text = format!(
        "pub mod out {{ pub mod a {{
            pub struct S {{}}
            impl ::pilota::thrift::Message for S {{
                fn decode<T: ::pilota::thrift::TInputProtocol>(__protocol: &mut T) -> R {{ {decoder} }}
            }}
        }} }}"
    );
    match run(Path::new("a.thrift"), &text, &Catalog::new()) {
        Err(Error::Shape { message, .. }) => assert_eq!(message, expected, "{decoder}"),
        other => panic!("{decoder}: {other:?}"),
    }
}

#[test]
fn another_way_to_read_a_container_is_refused() {
    refused("unsafe { x() }", "an unsafe block is left");
    refused("let list = __protocol.read_list_begin()?;", "a decoder calls read_list_begin");
    refused(
        "let m = { let x = __protocol.read_map_begin()?; HashMap::new() };",
        "a decoder calls read_map_begin",
    );
    refused("let v = Vec::with_capacity(n);", "a decoder calls with_capacity");
    refused("v.reserve(n);", "a decoder calls reserve");
    refused("let x = __protocol.get_bytes(None, n)?;", "a decoder calls get_bytes");
    refused("match id { Some(1) => x(), _ => y() }", "a field is read whatever its type");
    refused("S::decode(__protocol).await", "an async decoder is left");
}

#[test]
fn text_that_is_not_rust_or_not_in_modules_is_refused() {
    for text in ["pub mod {", "pub struct S;", "pub mod a {} pub mod b {}", "pub mod out { pub struct S; }"] {
        let result = run(Path::new("a.thrift"), text, &Catalog::new());
        assert!(matches!(result, Err(Error::Shape { .. })), "{text}");
    }
}
