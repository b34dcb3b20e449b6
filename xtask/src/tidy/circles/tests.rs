//! The search for circles on planted crates. A row is the files of a crate under `a/src`, and the chain that
//! is found in it, if any.

use super::find_except;
use crate::tidy::tree::Tree;

struct Row {
    what: &'static str,
    files: &'static [(&'static str, &'static str)],
    chain: Option<&'static str>,
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row {
        what: "siblings that import each other",
        files: &[
            ("lib.rs", "mod b;\nmod c;"),
            ("b.rs", "use crate::c::C;\npub struct B(C);"),
            ("c.rs", "\nuse super::b::{B};\npub struct C;\nimpl C { fn b() -> Option<B> { None } }"),
        ],
        chain: Some("a/src/b.rs:1 (`crate::c::C`) -> a/src/c.rs:2 (`super::b::B`) -> a/src/b.rs"),
    },
    Row {
        what: "siblings of which one uses the other",
        files: &[
            ("lib.rs", "mod b;\nmod c;"),
            ("b.rs", "use crate::c::C;\npub struct B(C);"),
            ("c.rs", "pub struct C;"),
        ],
        chain: None,
    },
    Row {
        what: "three files, by inline paths, in a macro, and in a folder",
        files: &[
            ("main.rs", "mod b;\nmod c;\nmod d;"),
            ("b.rs", "fn f() { crate::c::g() }"),
            ("c/mod.rs", "pub fn g() { println!(\"{}\", crate::d::h()) }"),
            ("d.rs", "pub fn h() -> [u8; crate::b::N] { [0] }"),
        ],
        chain: Some("a/src/b.rs:1 (`crate::c::g`) -> a/src/c/mod.rs:1 (`crate::d::h`) -> a/src/d.rs:1 (`crate::b::N`) -> a/src/b.rs"),
    },
    Row {
        what: "a child that uses what its parent defines, and a parent that uses the child",
        files: &[
            ("lib.rs", "mod p;"),
            ("p.rs", "mod c;\nuse c::C;\npub struct P(C);"),
            ("p/c.rs", "pub struct C;\nimpl C { fn of(_: &super::P) {} }"),
        ],
        chain: Some("a/src/p.rs:2 (`c::C`) -> a/src/p/c.rs:2 (`super::P`) -> a/src/p.rs"),
    },
    Row {
        what: "a parent that only declares and re-exports its child",
        files: &[
            ("lib.rs", "mod p;"),
            ("p.rs", "mod c;\npub use c::C;\npub struct P;"),
            ("p/c.rs", "pub struct C(super::P);"),
        ],
        chain: None,
    },
    Row {
        what: "a parent whose own code uses what it re-exports",
        files: &[
            ("lib.rs", "mod p;"),
            ("p.rs", "mod c;\npub use c::C;\npub struct P;\nfn f() -> C { C(P) }"),
            ("p/c.rs", "pub struct C(super::P);"),
        ],
        chain: Some("a/src/p.rs:4 (`C`) -> a/src/p/c.rs:1 (`super::P`) -> a/src/p.rs"),
    },
    Row {
        what: "siblings through their parent's re-exports, of which one is a glob and one renames",
        files: &[
            ("lib.rs", "mod p;"),
            ("p/mod.rs", "mod b;\nmod c;\npub use b::*;\npub(crate) use c::C as D;"),
            ("p/b.rs", "pub struct B(super::D);"),
            ("p/c.rs", "pub struct C(Option<crate::p::B>);"),
        ],
        chain: Some("a/src/p/b.rs:1 (`super::D`) -> a/src/p/c.rs:1 (`crate::p::B`) -> a/src/p/b.rs"),
    },
    Row {
        what: "children that use each other's items through their parent's re-exports, one way",
        files: &[
            ("lib.rs", "mod p;"),
            ("p/mod.rs", "mod b;\nmod c;\npub use b::B;\npub use c::C;"),
            ("p/b.rs", "pub struct B(super::C);"),
            ("p/c.rs", "pub struct C;"),
        ],
        chain: None,
    },
    Row {
        what: "an imported module, whose items are used",
        files: &[
            ("lib.rs", "mod b;\nmod c;"),
            ("b.rs", "use crate::c;\nfn f() -> c::C { c::C }\npub struct B;"),
            ("c.rs", "use super::b::{self};\npub struct C;\nfn g(_: b::B) {}"),
        ],
        chain: Some("a/src/b.rs:2 (`c::C`) -> a/src/c.rs:3 (`b::B`) -> a/src/b.rs"),
    },
    Row {
        what: "a glob of the parent, through which only a sibling is used",
        files: &[
            ("lib.rs", "mod b;\nmod c;\nuse c::C;\nfn f(_: C) {}"),
            ("b.rs", "pub struct B;"),
            ("c.rs", "use super::*;\npub struct C(b::B);"),
        ],
        chain: None,
    },
    Row {
        what: "tests, and what is not a test though it says so",
        files: &[
            ("lib.rs", "mod b;\nmod c;"),
            ("b.rs", "use crate::c::C;\npub struct B(C);"),
            ("c.rs", "pub struct C;\n#[cfg(all(test, loom))]\nuse crate::b::B;\n#[cfg(test)]\nmod tests { use crate::b::B; }\n#[cfg(test)]\nmod more;"),
            ("c/more.rs", "use crate::b::B;"),
        ],
        chain: None,
    },
    Row {
        what: "code under another cfg",
        files: &[
            ("lib.rs", "mod b;\n#[cfg(feature = \"x\")]\nmod c;"),
            ("b.rs", "#[cfg(not(test))]\nuse crate::c::C;\npub struct B;"),
            ("c.rs", "#[cfg(unix)]\nfn f(_: crate::b::B) {}\npub struct C;"),
        ],
        chain: Some("a/src/b.rs:2 (`crate::c::C`) -> a/src/c.rs:2 (`crate::b::B`) -> a/src/b.rs"),
    },
    Row {
        what: "two programs of one crate, each of which has a module of the same name",
        files: &[
            ("lib.rs", "pub struct L;"),
            ("bin/x/main.rs", "mod m;\nfn main() { m::f() }"),
            ("bin/x/m.rs", "pub fn f() { a::L; }"),
            ("bin/y.rs", "#[path = \"x/m.rs\"]\nmod m;\nfn main() {}"),
        ],
        chain: None,
    },
    Row {
        what: "names of other crates that are like ours, and variables that are like functions",
        files: &[
            ("lib.rs", "mod b;\nmod io;\npub use io::read;\nfn f(read: u8) -> u8 { read }\npub struct L;"),
            ("b.rs", "use std::io;\nuse crate::L;\nfn f() -> io::Result<()> { io::stdin() }"),
            ("io.rs", "use crate::L;\npub fn read() {}"),
        ],
        chain: None,
    },
];

#[test]
fn each_circle_is_found_and_nothing_else() {
    for Row { what, files, chain } in ROWS {
        let found: Vec<String> = find_except(&tree(files), &[]).into_iter().map(|spot| spot.what).collect();
        assert_eq!(found, chain.iter().map(|&chain| chain.to_owned()).collect::<Vec<_>>(), "{what}");
    }
}

#[test]
fn a_circle_is_at_its_first_edge_and_says_how_many_files_are_in_its_group() {
    let files = [
        ("lib.rs", "mod b;\nmod c;\nmod d;"),
        ("b.rs", "\n\nfn f(_: crate::c::C, _: crate::d::D) {}\npub struct B;"),
        ("c.rs", "pub struct C(crate::b::B);"),
        ("d.rs", "pub struct D(crate::b::B);"),
    ];
    let found = find_except(&tree(&files), &[]);
    let [spot] = &found[..] else { panic!("one group, one finding: {found:?}") };
    assert_eq!((&*spot.path, spot.line), ("a/src/b.rs", 3));
    assert!(spot.what.ends_with("; 3 files use each other in circles"), "{}", spot.what);
}

#[test]
fn a_tolerated_crate_may_have_circles_until_it_has_none() {
    let circle = [
        ("lib.rs", "mod b;\nmod c;"),
        ("b.rs", "pub struct B(Option<crate::c::C>);"),
        ("c.rs", "pub struct C(Option<crate::b::B>);"),
    ];
    assert_eq!(find_except(&tree(&circle), &["a"]), []);
    let found = find_except(&tree(&[("lib.rs", "")]), &["a"]);
    assert_eq!((found.len(), &*found[0].path), (1, "a/Cargo.toml"), "{found:?}");
    assert_eq!(find_except(&tree(&[("lib.rs", "")]), &["gone"]).len(), 1, "a row of no crate");
}

#[test]
fn what_cannot_be_checked_is_found() {
    check_error("a file without a `mod`", &[("lib.rs", ""), ("b.rs", "")], "a/src/b.rs", 1);
    check_error("a `mod` without a file", &[("lib.rs", "\nmod b;")], "a/src/lib.rs", 2);
    check_error("a file that is no Rust", &[("lib.rs", "mod b;"), ("b.rs", "\nfn 1")], "a/src/b.rs", 2);
}

fn check_error(what: &str, files: &[(&str, &str)], path: &str, line: usize) {
    let found = find_except(&tree(files), &[]);
    let places: Vec<_> = found.iter().map(|spot| (&*spot.path, spot.line)).collect();
    assert_eq!(places, [(path, line)], "{what}: {found:?}");
}

fn tree(files: &[(&str, &str)]) -> Tree {
    let paths: Vec<String> = files.iter().map(|(path, _)| format!("a/src/{path}")).collect();
    let files = paths.iter().zip(files).map(|(path, (_, text))| (&**path, (*text).to_owned()));
    Tree::new(files.chain([("a/Cargo.toml", "[package]".to_owned())]), Vec::new())
}
