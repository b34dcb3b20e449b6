//! `.proto` files: what they give, and the one line for what is wrong with them. Whether the code compiles and works
//! is a test of `kitex`.
#![cfg(feature = "protobuf")]

use std::fs;
use std::path::Path;

use kitex_codegen::{Builder, Generated};

/// Generates the code of `files`, of which the first `idls` are named and the others only imported.
fn generate(files: &[(&str, &str)], idls: usize) -> Result<Vec<Generated>, String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let builder = Builder::new().include_dir(dir.path()).out_dir("out");
    let named = files.iter().take(idls);
    let generated = named.fold(builder, |builder, (name, _)| builder.idl(dir.path().join(name))).generate();
    generated.map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

fn of(text: &str) -> Result<String, String> {
    generate(&[("a.proto", text)], 1).map(|mut generated| generated.remove(0).text)
}

const HEAD: &str = "syntax = \"proto3\";\npackage a.b;\n";

#[test]
fn the_text_of_a_proto_is_what_is_checked_in() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kitex/tests");
    let builder = Builder::new().idl(tests.join("idl/speech.proto")).out_dir(tests.join("generated"));
    let generated = builder.generate().unwrap().remove(0);
    assert!(generated.is_current().unwrap(), "run cargo xtask codegen and look at the change");
    assert_eq!(builder.generate().unwrap().remove(0).text, generated.text, "two runs give the same bytes");
    let names: Vec<_> = generated.inputs.iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["speech.proto"], "what protox has itself is no file");
}

#[test]
fn a_proto_that_is_wrong_has_one_line_with_its_place() {
    let rows = [
        (format!("{HEAD}message A {{\n  Missing m = 1;\n}}\n"), "a.proto:4: "),
        (format!("{HEAD}message A {{\n  int32 a 1;\n}}\n"), "a.proto:4: "),
        (format!("{HEAD}import \"none.proto\";\n"), "a.proto:3: "),
        (format!("{HEAD}message A {{ int32 a = 1; int32 b = 1; }}\n"), "a.proto:3: "),
        ("syntax = \"proto3\";\nmessage A {}\n".to_owned(), "a.proto:1: there is no package"),
    ];
    for (text, place) in rows {
        let error = of(&text).unwrap_err();
        assert!(error.starts_with(place), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn names_of_a_service_stay_apart_from_its_messages() {
    let text = of(&format!(
        "{HEAD}message Talk {{}}\nmessage ChatServer {{}}\n\
         service Chat {{ rpc New(Talk) returns (ChatServer); rpc Type(Talk) returns (Talk); }}\n"
    ))
    .unwrap();
    for part in
        ["pub trait Chat:", "pub struct ChatServer_<", "pub struct ChatClient ", "fn new_(", "fn r#type("]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn comments_of_a_proto_never_become_code_of_rustdoc() {
    let text = of(&format!(
        "{HEAD}// One.\n//\n//     let x = 1;\n// ```\n// y = 2\nmessage A {{}}\n\
         // Two.\n//     let z = 3;\nservice S {{ rpc M(A) returns (A); }}\n"
    ))
    .unwrap();
    for line in ["/// let x = 1;", "/// ```text", "/// y = 2", "/// let z = 3;"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("///  "), "{text}");
    assert_eq!(text.matches("/// ```").count(), 2, "a fence that is left open is closed: {text}");
}

#[test]
fn protos_that_share_packages_are_generated_together() {
    let common = ("dir/common.proto", "syntax = \"proto3\";\npackage a;\nmessage Base {}\n");
    let uses = |package: &str, service: &str| {
        format!(
            "syntax = \"proto3\";\npackage {package};\nimport \"dir/common.proto\";\n\
             service {service} {{ rpc M(a.Base) returns (a.Base); }}\n"
        )
    };
    let (one, two) = (uses("a.one", "One"), uses("two", "Two"));
    let generated = generate(&[("one.proto", &one), ("two.proto", &two), common], 2).unwrap();
    assert_eq!(generated[0].text.matches("pub struct Base ").count(), 1);
    for part in
        ["OneClient", "TwoClient", "ONE_DESCRIPTORS", "TWO_DESCRIPTORS", "super::Base", "super::a::Base"]
    {
        assert!(generated[0].text.contains(part), "{part}");
    }
    assert!(generated[1].text.contains("Its code is in one.rs"), "{}", generated[1].text);
    assert!(generated.iter().all(|generated| generated.inputs.len() == 2));
}

#[test]
fn a_proto_and_a_thrift_stand_side_by_side_unless_they_share_a_module() {
    let proto = format!("{HEAD}message A {{}}\n");
    let thrift = |namespace: &str| format!("namespace rs {namespace}\nstruct B {{ 1: i64 b }}\n");
    let files = |namespace| generate(&[("one.proto", &proto), ("two.thrift", &thrift(namespace))], 2);
    let generated = files("c").unwrap();
    assert!(generated[0].text.contains("struct A") && generated[1].text.contains("struct B"));
    let error = files("a").unwrap_err();
    assert!(error.contains("have the same outermost module"), "{error}");
}

#[test]
fn attributes_stand_at_messages_where_they_were_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let idl = dir.path().join("a.proto");
    fs::write(&idl, format!("{HEAD}message A {{ int32 x = 1; }}\nmessage B {{}}\n")).unwrap();
    let builder = Builder::new().idl(idl).out_dir("out");
    let builder = builder.type_attribute("A", "#[derive(One)]").field_attribute("A.x", "#[field]");
    let text = builder.type_attribute(".", "#[all]").generate().unwrap().remove(0).text;
    assert_eq!((text.matches("#[derive(One)]").count(), text.matches("#[all]").count()), (1, 2), "{text}");
    assert!(text.contains("#[field]\n"), "{text}");
}
