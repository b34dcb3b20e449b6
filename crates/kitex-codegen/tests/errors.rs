//! What is wrong in an IDL ends as one line with file, line and remedy. A row is an IDL and that line.

use std::{fs, path::Path};

use kitex_codegen::{Builder, Error};

/// The error of `main.thrift` beside `other` files, with the directory's name taken out.
fn error(main: &str, others: &[(&str, &str)]) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in others.iter().chain(&[("main.thrift", main)]) {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let generated = Builder::new().idl(dir.path().join("main.thrift")).out_dir("out").generate();
    let text = generated.err()?.to_string();
    Some(text.replace(&format!("{}/", dir.path().display()), ""))
}

#[track_caller]
fn check(idl: &str, expected: &str) {
    let error = error(idl, &[]).unwrap_or_else(|| panic!("accepted: {idl}"));
    assert_eq!(error, expected);
    assert!(!error.contains('\n'), "more than one line");
}

/// A service with one method.
fn method(method: &str) -> String {
    format!("struct S {{}}\nexception E {{}}\ntypedef S T\n\nservice Svc {{\n  {method}\n}}\n")
}

#[test]
fn a_method_that_no_peer_could_serve_is_refused() {
    let rows = [
        (
            r#"S M(1: string a) (streaming.mode="client")"#,
            "argument `a` of streaming method `M` is no struct, wrap it in one",
        ),
        (
            r#"S M(1: list<S> a) (streaming.mode="bidirectional")"#,
            "argument `a` of streaming method `M` is no struct, wrap it in one",
        ),
        (
            r#"i64 M(1: S a) (streaming.mode="server")"#,
            "result of streaming method `M` is no struct, wrap it in one",
        ),
        (
            r#"void M(1: S a) (streaming.mode="server")"#,
            "result of streaming method `M` is no struct, wrap it in one",
        ),
        (r#"S M() (streaming.mode="server")"#, "streaming method `M` has 0 arguments, give it exactly one"),
        (
            r#"S M(1: S a, 2: S b) (streaming.mode="client")"#,
            "streaming method `M` has 2 arguments, give it exactly one",
        ),
        (
            r#"S M(1: S a, 2: S b) (streaming.mode="unary")"#,
            "streaming method `M` has 2 arguments, give it exactly one",
        ),
        (
            r#"S M(1: S a) (streaming.mode="client", streaming.mode="server")"#,
            "method `M` has more than one streaming.mode, keep one",
        ),
        (
            r#"S M(1: S a) (streaming.mode="both")"#,
            "unknown streaming.mode \"both\" on method `M`, use unary, client, server or bidirectional",
        ),
        (
            r#"oneway S M(1: S a) (streaming.mode="server")"#,
            "method `M` cannot be both oneway and streaming, remove one of them",
        ),
        ("oneway i32 M()", "oneway method `M` has a result, make it void"),
        ("oneway void M() throws (1: E e)", "oneway method `M` cannot throw, remove throws"),
        ("void M() throws (1: S e)", "`e` that method `M` throws is no exception, define it as one"),
        ("void M(1: i32 a, 1: i32 b)", "method `M` has the id or the name of `b` twice, change one of them"),
        ("void M(1: void a)", "`a` cannot be void, only the result of a method can"),
        ("void M(1: Nope a)", "unknown type `Nope`, define it or include its file"),
        ("Nope M()", "unknown type `Nope`, define it or include its file"),
        ("void M()\n  void M()", "service `Svc` has a method `M` already, rename one of them"),
    ];
    for (text, problem) in rows {
        let line = 6 + text.matches('\n').count();
        check(&method(text), &format!("main.thrift:{line}: {problem}"));
    }
}

#[test]
fn a_method_that_kitex_serves_is_accepted() {
    let rows = [
        r#"S M(1: S a) (streaming.mode="client")"#,
        r#"T M(1: T a) (streaming.mode="bidirectional")"#,
        r#"string M(1: i32 a) (streaming.mode="unary")"#,
        "void M() throws (1: E e, 2: E f)",
        "void M() throws (1: E other, 2: E ok)",
        "void M() throws ()",
        r#"S M(1: S a) throws (1: E e) (streaming.mode="server")"#,
        "void M(1: i32 aB, 2: i32 a_b, -1: i32 c)",
        "void M(i32 a, i32 b)",
        "void M()\n  void m()",
        "oneway void M(1: i32 ctx, 2: i32 args, 3: i32 stream)",
    ];
    for text in rows {
        assert_eq!(error(&method(text), &[]), None, "{text}");
    }
}

#[test]
fn a_name_stands_for_one_thing() {
    let rows = [
        (
            "struct A {}\nenum A {}",
            "main.thrift:2: `A` is already defined in namespace `main` at main.thrift:1, rename one of them",
        ),
        (
            "struct S {\n  1: i32 a\n  1: i32 b\n}",
            "main.thrift:3: field id 1 is used twice in `S`, give `b` an id of its own",
        ),
        (
            "struct S {\n  1: i32 a\n  2: i32 a\n}",
            "main.thrift:3: field `a` is there twice in `S`, rename one of them",
        ),
        (
            "enum E {\n  A = 1\n  B = 1\n}",
            "main.thrift:3: number 1 is used twice in `E`, give `B` one of its own",
        ),
        (
            "enum E {\n  A = 1\n  A = 2\n}",
            "main.thrift:3: value `A` is there twice in `E`, rename one of them",
        ),
        (
            "enum E {\n  A = 4294967296\n}",
            "main.thrift:2: number 4294967296 of `A` is no i32, use a smaller one",
        ),
    ];
    for (idl, expected) in rows {
        check(idl, expected);
    }
}

#[test]
fn what_is_named_must_be_there() {
    let rows = [
        ("struct S {\n  1: Nope a\n}", "main.thrift:2: unknown type `Nope`, define it or include its file"),
        (
            "struct S {\n  1: list<base.Nope> a\n}",
            "main.thrift:2: unknown type `base.Nope`, define it or include its file",
        ),
        ("typedef Nope A", "main.thrift:1: unknown type `Nope`, define it or include its file"),
        ("service V {}\nstruct S {\n  1: V a\n}", "main.thrift:3: `V` is a service, use a struct"),
        (
            "\nservice S extends Nope {}",
            "main.thrift:2: unknown service `Nope`, define it or include its file",
        ),
        (
            "service A extends B {}\nservice B extends A {}",
            "main.thrift:1: service `A` extends itself, remove one `extends`",
        ),
        (
            "service A { void M() }\nservice B extends A {\n  void M()\n}",
            "main.thrift:3: service `B` has a method `M` already, rename one of them",
        ),
        (
            "struct S {\n  1: i32 a = NOPE\n}",
            "main.thrift:2: unknown constant `NOPE`, define it or include its file",
        ),
        (
            "enum E { A }\nconst E X = E.B",
            "main.thrift:2: unknown constant `E.B`, define it or include its file",
        ),
        ("typedef A A", "main.thrift:1: `A` holds itself, put a struct between"),
        ("typedef list<B> A\ntypedef A B", "main.thrift:1: `A` holds itself, put a struct between"),
        ("const i32 A = B\nconst i32 B = A", "main.thrift:1: constant refers to itself, give it a value"),
    ];
    for (idl, expected) in rows {
        check(idl, expected);
    }
}

#[test]
fn a_syntax_error_has_its_line() {
    let definitions = "use include, namespace, const, typedef, enum, struct, union, exception or service";
    let rows = [
        (
            "struct S {\n  1: i32\n}",
            "main.thrift:3: `}` stands where something else must, write the name of a field, as in `1: i32 name`"
                .to_owned(),
        ),
        ("\n\nstrukt S {}", format!("main.thrift:3: `strukt` begins no definition, {definitions}")),
        ("{}", format!("main.thrift:1: `{{` begins no definition, {definitions}")),
        (
            "struct S {\n  99999: i32 a\n}",
            "main.thrift:2: field id 99999 of `a` does not fit in an i16, use one up to 32767".to_owned(),
        ),
        (
            "service S {\n  void M(1: i32 a,,)\n}",
            "main.thrift:2: `,` stands where something else must, write a type".to_owned(),
        ),
        ("\n/* x\n", "main.thrift:2: comment has no end, close it with `*/`".to_owned()),
        ("\ninclude \"x", "main.thrift:2: string has no end, close it with \"".to_owned()),
        ("struct S {\n  1: i32 a\n", "main.thrift:3: the end of the file stands where something else must, write `}`".to_owned()),
        (
            "enum E { A = 99999999999999999999 }",
            "main.thrift:1: `99999999999999999999` is no whole number of 64 bits, use one".to_owned(),
        ),
    ];
    for (idl, expected) in rows {
        check(idl, &expected);
    }
}

#[test]
fn a_value_fits_its_type() {
    let rows = [
        ("i32 X = \"a\"", "a text stands where something else must, write a whole number"),
        ("i32 X = 1.5", "`1.5` stands where something else must, write a whole number"),
        ("list<i8> X = [128]", "128 does not fit in an i8, use another number or type"),
        ("set<i32> X = [4294967296]", "4294967296 does not fit in an i32, use another number or type"),
        ("string X = 1", "`1` stands where something else must, write a text in quotes"),
        ("bool X = \"a\"", "a text stands where something else must, write true or false"),
        ("list<i32> X = {1: 2}", "a map stands where something else must, write a list, as [1, 2]"),
        ("map<i32, i32> X = [1]", "a list stands where something else must, write a map, as {\"key\": 1}"),
        ("S X = {\"b\": 1}", "`S` has no field `b`, correct its name"),
        ("S X = {1: 1}", "`1` stands where something else must, write the name of a field in quotes"),
        ("U X = {\"a\": 1, \"b\": 2}", "`U` is a union and holds one value, name one"),
        ("E X = E.B", "unknown constant `E.B`, define it or include its file"),
        ("E X = \"A\"", "a text stands where something else must, write a value of the enum, as Color.RED"),
        ("string X = \"\\q\"", "escape `\\q` in a string is none of Go's, write `\\\\` for a backslash"),
        ("string X = \"\\xff\"", "string is not utf-8, use the type binary or another escape"),
        (
            "uuid X = \"1\"",
            "a text stands where something else must, write a uuid in quotes, as \"00112233-4455-6677-8899-aabbccddeeff\"",
        ),
    ];
    let types = "struct S { 1: i32 a } union U { 1: i32 a, 2: i32 b } enum E { A }";
    for (value, problem) in rows {
        check(&format!("{types}\nconst {value}"), &format!("main.thrift:2: {problem}"));
    }
}

#[test]
fn includes_are_found_or_named() {
    let missing = "\ninclude \"nope.thrift\"";
    check(
        missing,
        "main.thrift:2: included file `nope.thrift` not found, correct the path or name its directory with include_dir",
    );

    let circle = error("include \"a.thrift\"", &[("a.thrift", "\ninclude \"main.thrift\"")]).unwrap();
    assert!(circle.starts_with("a.thrift:2: `"), "{circle}");
    assert!(circle.ends_with("includes this file in turn, move what both need to a third file"), "{circle}");

    let twice = [("a.thrift", "namespace rs x\n\nstruct S {}"), ("b.thrift", "namespace rs x\nstruct S {}")];
    let twice = error("include \"a.thrift\"\ninclude \"b.thrift\"", &twice).unwrap();
    assert_eq!(
        twice,
        "b.thrift:2: `S` is already defined in namespace `x` at a.thrift:3, rename one of them"
    );

    let in_other = error("include \"a.thrift\"", &[("a.thrift", "struct S {\n 1: Nope a\n}")]).unwrap();
    assert_eq!(in_other, "a.thrift:2: unknown type `Nope`, define it or include its file");
}

#[test]
fn a_builder_says_what_it_lacks() {
    let error = Builder::new().generate().unwrap_err();
    assert_eq!(error.to_string(), "no idl given, name one with idl");
    let error = Builder::new().idl("a/x.thrift").idl("b/x.thrift").out_dir("out").generate().unwrap_err();
    let text = "two idls have the same file name, give each a builder and an out_dir";
    assert_eq!(error.to_string(), text);
    let error = Builder::new().idl("/nowhere/a.thrift").out_dir("out").generate().unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path == Path::new("/nowhere/a.thrift")), "{error}");
    assert!(error.to_string().starts_with("/nowhere/a.thrift: cannot read: "), "{error}");
}
