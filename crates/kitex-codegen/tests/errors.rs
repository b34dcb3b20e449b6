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
            "argument `a` of streaming method `M` is not a struct, wrap it in one",
        ),
        (
            r#"S M(1: list<S> a) (streaming.mode="bidirectional")"#,
            "argument `a` of streaming method `M` is not a struct, wrap it in one",
        ),
        (
            r#"i64 M(1: S a) (streaming.mode="server")"#,
            "result of streaming method `M` is not a struct, wrap it in one",
        ),
        (
            r#"void M(1: S a) (streaming.mode="server")"#,
            "result of streaming method `M` is not a struct, wrap it in one",
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
        ("void M() throws (1: S e)", "`e` that method `M` throws is not an exception, define it as one"),
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
fn names_must_be_unique() {
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
            "main.thrift:3: field `a` is defined twice in `S`, rename one of them",
        ),
        (
            "enum E {\n  A = 1\n  B = 1\n}",
            "main.thrift:3: number 1 is used twice in `E`, give `B` one of its own",
        ),
        (
            "enum E {\n  A = 1\n  A = 2\n}",
            "main.thrift:3: value `A` is defined twice in `E`, rename one of them",
        ),
        (
            "enum E {\n  A = 4294967296\n}",
            "main.thrift:2: number 4294967296 of `A` is not an i32, use a smaller one",
        ),
    ];
    for (idl, expected) in rows {
        check(idl, expected);
    }
}

#[test]
fn unknown_names_are_refused() {
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
        ("typedef A A", "main.thrift:1: `A` contains itself, put a struct between"),
        ("typedef list<B> A\ntypedef A B", "main.thrift:1: `A` contains itself, put a struct between"),
        (
            "const i32 A = B\nconst i32 B = A",
            "main.thrift:1: constant refers to itself or nests more than 100 levels deep, give it another value",
        ),
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
            "main.thrift:3: found `}`, expected the name of a field, as in `1: i32 name`".to_owned(),
        ),
        ("\n\nstrukt S {}", format!("main.thrift:3: `strukt` cannot begin a definition, {definitions}")),
        ("{}", format!("main.thrift:1: `{{` cannot begin a definition, {definitions}")),
        (
            "struct S {\n  99999: i32 a\n}",
            "main.thrift:2: field id 99999 of `a` does not fit in an i16, use one up to 32767".to_owned(),
        ),
        ("service S {\n  void M(1: i32 a,,)\n}", "main.thrift:2: found `,`, expected a type".to_owned()),
        ("\n/* x\n", "main.thrift:2: comment has no end, close it with `*/`".to_owned()),
        ("\ninclude \"x", "main.thrift:2: string has no end, close it with \"".to_owned()),
        ("struct S {\n  1: i32 a\n", "main.thrift:3: found the end of the file, expected `}`".to_owned()),
        (
            "enum E { A = 99999999999999999999 }",
            "main.thrift:1: `99999999999999999999` is not a whole number of 64 bits, use one".to_owned(),
        ),
    ];
    for (idl, expected) in rows {
        check(idl, &expected);
    }
}

#[test]
fn constants_and_defaults_must_fit_their_type() {
    let rows = [
        ("i32 X = \"a\"", "found a text, expected a whole number"),
        ("i32 X = 1.5", "found `1.5`, expected a whole number"),
        ("double X = 1e400", "number is too large for a double, use one up to 1.7976931348623157e308"),
        (
            "list<double> X = [-2e999]",
            "number is too large for a double, use one up to 1.7976931348623157e308",
        ),
        ("list<i8> X = [128]", "128 does not fit in an i8, use another number or type"),
        ("set<i32> X = [4294967296]", "4294967296 does not fit in an i32, use another number or type"),
        ("string X = 1", "found `1`, expected a text in quotes"),
        ("bool X = \"a\"", "found a text, expected true or false"),
        ("list<i32> X = {1: 2}", "found a map, expected a list, as [1, 2]"),
        ("map<i32, i32> X = [1]", "found a list, expected a map, as {\"key\": 1}"),
        ("S X = {\"b\": 1}", "`S` has no field `b`, correct its name"),
        ("S X = {1: 1}", "found `1`, expected the name of a field in quotes"),
        ("U X = {\"a\": 1, \"b\": 2}", "`U` is a union and holds one value, name one"),
        ("E X = E.B", "unknown constant `E.B`, define it or include its file"),
        ("E X = \"A\"", "found a text, expected a value of the enum, as Color.RED"),
        ("string X = \"\\q\"", "escape `\\q` in a string is not valid in Go, write `\\\\` for a backslash"),
        ("string X = \"\\xff\"", "string is not utf-8, use the type binary or another escape"),
        (
            "uuid X = \"1\"",
            "found a text, expected a uuid in quotes, as \"00112233-4455-6677-8899-aabbccddeeff\"",
        ),
    ];
    let types = "struct S { 1: i32 a } union U { 1: i32 a, 2: i32 b } enum E { A }";
    for (value, problem) in rows {
        check(&format!("{types}\nconst {value}"), &format!("main.thrift:2: {problem}"));
    }
}

#[test]
fn an_annotation_that_cannot_be_followed_is_refused() {
    let name = "a name in Rust, of letters, digits and underscores";
    let rows = [
        (r#"struct T {} (rust.name = "1x")"#, format!("`rust.name` cannot be \"1x\", use {name}")),
        (r#"struct T {} (pilota.name = "")"#, format!("`pilota.name` cannot be \"\", use {name}")),
        (r#"enum T {} (rust.name = "a-b")"#, format!("`rust.name` cannot be \"a-b\", use {name}")),
        (r#"service T {} (rust.name = "a b")"#, format!("`rust.name` cannot be \"a b\", use {name}")),
        (r#"service V { void M() (rust.name = "-") }"#, format!("`rust.name` cannot be \"-\", use {name}")),
        (
            r#"struct S { 1: i32 a (rust.name = "x.y") }"#,
            format!("`rust.name` cannot be \"x.y\", use {name}"),
        ),
        (
            r#"service V { void M(1: i32 a (rust.name = "é")) }"#,
            format!("`rust.name` cannot be \"é\", use {name}"),
        ),
        (
            r#"struct S { 1: string a (rust.type = "bytes") }"#,
            "`rust.type` cannot be \"bytes\", use \"btree\", \"string\" or \"vec\"".to_owned(),
        ),
        (
            r#"typedef list<map<i32, i32> (rust.type = "tree")> T"#,
            "`rust.type` cannot be \"tree\", use \"btree\", \"string\" or \"vec\"".to_owned(),
        ),
        (
            r#"struct S { 1: i32 a (rust.box = "yes") }"#,
            "`rust.box` cannot be \"yes\", use \"true\" or \"false\"".to_owned(),
        ),
        (
            r#"union S { 1: i32 a (rust.arc = "1") }"#,
            "`rust.arc` cannot be \"1\", use \"true\" or \"false\"".to_owned(),
        ),
    ];
    for (idl, expected) in rows {
        check(&format!("\n{idl}"), &format!("main.thrift:2: annotation {expected}"));
    }
}

#[test]
fn attributes_that_are_not_rust_are_refused() {
    let rows = [
        "struct T { 1: i32 a } (rust.attributes = \"#[foo\")",
        "struct T {\n 1: i32 a (rust.attributes = \"fn x() {}\")\n}",
        "enum T { A } (rust.attributes = \"derive(Hash)\")",
        "union T { 1: i32 a } (rust.attributes = \"#[a] struct X;\")",
    ];
    for idl in rows {
        let line = 2 + idl.matches('\n').count() / 2;
        let error = error(&format!("\n{idl}"), &[]).unwrap();
        assert!(error.starts_with(&format!("main.thrift:{line}: attributes `")), "{error}");
        assert!(error.ends_with("` are not valid in Rust, write them as `#[derive(Name)]`"), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("main.thrift");
    fs::write(&path, "\nstruct T {\n  1: i32 a\n}").unwrap();
    let builder = || Builder::new().idl(&path).out_dir("out");
    for (builder, line) in
        [(builder().type_attribute("T", "#["), 2), (builder().field_attribute("T.a", "x"), 3)]
    {
        let error = builder.generate().unwrap_err().to_string();
        assert!(error.contains(&format!("main.thrift:{line}: attributes `")), "{error}");
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
fn builder_without_input_is_an_error() {
    let error = Builder::new().generate().unwrap_err();
    assert_eq!(error.to_string(), "no idl given, name one with idl");
    assert_eq!(format!("{error:?}"), error.to_string(), "what a build script prints that returns it");
    let error = Builder::new().idl("a/x.thrift").idl("b/x.thrift").out_dir("out").generate().unwrap_err();
    let text = "two idls have the same file name, give each a builder and an out_dir";
    assert_eq!(error.to_string(), text);
    let error = Builder::new().idl("/nowhere/a.thrift").out_dir("out").generate().unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path == Path::new("/nowhere/a.thrift")), "{error}");
    assert!(error.to_string().starts_with("/nowhere/a.thrift: cannot read: "), "{error}");
}
