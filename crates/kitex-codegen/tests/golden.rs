//! The text that is generated, byte for byte. `cargo xtask codegen` writes the files that it is compared
//! with; whether they compile and work is `generated`'s.

use std::{fs, path::Path};

use kitex_codegen::{Builder, Generated};

fn generate(name: &str) -> Generated {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let idl = tests.join("idl").join(name).with_extension("thrift");
    let mut generated = Builder::new().idl(idl).out_dir(tests.join("golden")).generate().unwrap();
    generated.remove(0)
}

#[test]
fn generated_code_equals_the_checked_in_files() {
    for name in ["lab", "zoo"] {
        let generated = generate(name);
        let golden = fs::read_to_string(&generated.path).unwrap();
        let differs = golden.lines().zip(generated.text.lines()).position(|(old, new)| old != new);
        assert_eq!(
            differs, None,
            "{name}.rs differs from that line on, run cargo xtask codegen and look at the change"
        );
        assert!(generated.is_current().unwrap());
    }
}

#[test]
fn generation_is_deterministic() {
    assert_eq!(generate("zoo").text, generate("zoo").text);
}

#[test]
fn inputs_are_the_idl_and_what_it_includes() {
    let inputs = generate("zoo").inputs;
    let names: Vec<_> = inputs.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["zoo.thrift", "base.thrift"]);
}

#[test]
fn generated_code_has_no_unsafe_and_no_unbounded_reads() {
    let text = generate("zoo").text;
    for left_over in [
        "unsafe",
        "as_mut_ptr",
        "read_list_begin",
        "read_set_begin",
        "read_map_begin",
        ".await?;\n                __protocol",
    ] {
        assert!(!text.contains(left_over), "{left_over}");
    }
}

#[test]
fn unchanged_files_are_not_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    let idl = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/idl/lab.thrift");
    let generated = Builder::new().idl(idl).out_dir(dir.path().join("deep/er")).generate().unwrap().remove(0);
    assert!(!generated.is_current().unwrap());
    generated.write().unwrap();
    assert!(generated.is_current().unwrap());
    let written = fs::metadata(&generated.path).unwrap().modified().unwrap();
    generated.write().unwrap();
    assert_eq!(fs::metadata(&generated.path).unwrap().modified().unwrap(), written);
}

/// Two services with a common include in one crate: one set of modules, and both files can be included.
#[test]
fn idls_that_share_modules_are_generated_together() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/shared_include");
    let generate = |names: &[&str]| {
        let builder = names.iter().fold(Builder::new().out_dir("out"), |builder, name| {
            builder.idl(dir.join(name).with_extension("thrift"))
        });
        builder.generate().unwrap()
    };
    let together = generate(&["model", "gateway"]);
    let paths: Vec<_> = together.iter().map(|generated| generated.path.display().to_string()).collect();
    assert_eq!(paths, ["out/model.rs", "out/gateway.rs"]);
    assert_eq!(together[0].text.matches("pub struct Message ").count(), 1);
    for service in ["ModelClient", "GatewayClient", "AgentClient"] {
        assert!(together[0].text.contains(&format!("pub struct {service} ")), "{service}");
    }
    assert!(together[1].text.lines().all(|line| line.starts_with("//")), "{}", together[1].text);
    assert!(together[1].text.contains("Its code is in model.rs"), "{}", together[1].text);
    // Alone, each is whole.
    assert!(generate(&["gateway"])[0].text.contains("pub struct Message "));
}

#[test]
fn type_and_field_attributes_are_generated() {
    let idl = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/idl/lab.thrift");
    let builder = Builder::new().idl(idl).out_dir("out");
    let text = builder
        .type_attribute(".", "#[derive(All)]")
        .type_attribute("Req", "#[derive(One)]")
        .field_attribute("Req.seq", "#[field]")
        .generate()
        .unwrap()
        .remove(0)
        .text;
    assert_eq!(text.matches("#[derive(All)]").count(), 3);
    assert_eq!(text.matches("#[derive(One)]").count(), 1);
    assert!(text.contains("#[derive(One)]\n    pub struct Req {"), "{text}");
    assert!(text.contains("#[field]\n        pub seq: Option<i64>,"), "{text}");
}

/// Kitex puts it before the service's name in the path of a gRPC request.
#[test]
fn methods_of_a_thrift_have_the_package_of_kitex() {
    let rows = [
        ("namespace go lab", "lab"),
        ("namespace go acme.Chat.V1", "v1"),
        ("namespace go one\nnamespace go two", "one"),
        ("namespace * all.of", "of"),
        ("namespace * all\nnamespace go own", "own"),
        ("namespace rs other", "some_file"),
        ("", "some_file"),
    ];
    for (namespaces, package) in rows {
        let dir = tempfile::tempdir().unwrap();
        let idl = dir.path().join("Some_File.thrift");
        fs::write(&idl, format!("{namespaces}\nservice S {{ void M() }}\n")).unwrap();
        let text = Builder::new().idl(idl).out_dir("out").generate().unwrap().remove(0).text;
        assert!(text.contains(&format!(".with_package({package:?})")), "{namespaces}: {text}");
    }
}
