//! One small IDL a kind: each generates, and all of them compile with the facade, without a warning. A case is an
//! IDL in `tests/corpus`, or a folder there: its `main.thrift`, or else all of its IDLs, for one builder. The folder `inc`
//! holds what some include.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use kitex_codegen::Builder;

/// What the strictest users deny.
const LINTS: &str = "//! Generated.
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, missing_copy_implementations, missing_debug_implementations, unused_qualifications)]
#![deny(unused_results, unreachable_pub, variant_size_differences)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery, clippy::unwrap_used, clippy::indexing_slicing)]
#![deny(clippy::arithmetic_side_effects, clippy::missing_docs_in_private_items)]
";

/// Those whose types get serde's derives too.
const SERIALIZED: [&str; 8] = [
    "set_and_key_types",
    "unions",
    "recursive",
    "all_keys",
    "recursive_key",
    "union_empties",
    "union_containers",
    "underscores",
];

/// Name and IDLs of each case. All IDLs of one case are given to one builder.
fn cases() -> Vec<(String, Vec<PathBuf>)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut cases = Vec::new();
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        match path.is_dir() {
            false => cases.push((name, vec![path])),
            true if path.join("main.thrift").is_file() => cases.push((name, vec![path.join("main.thrift")])),
            true if name == "shared_include" => {
                let idls = ["model", "gateway", "agent"].map(|idl| path.join(idl).with_extension("thrift"));
                cases.push((name, idls.into()));
            }
            true if name == "inc" => {}
            true => {
                let idls = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
                let mut idls: Vec<PathBuf> = idls.filter(|path| path.is_file()).collect();
                idls.sort();
                cases.push((name, idls));
            }
        }
    }
    cases.sort();
    assert!(cases.len() > 200, "{} cases", cases.len());
    cases
}

/// A crate with a module for each case, which holds what a user would include.
fn write_crate(root: &Path) {
    let mut lib = LINTS.to_owned();
    let mut failed = String::new();
    for (name, idls) in cases() {
        let mut builder = Builder::new().out_dir(root.join("src").join(&name));
        if SERIALIZED.contains(&name.as_str()) {
            builder = builder.type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]");
        }
        for idl in idls {
            builder = builder.idl(idl);
        }
        match builder.generate() {
            Ok(generated) => {
                writeln!(lib, "/// A case.\nmod case_{name} {{").unwrap();
                for generated in generated {
                    generated.write().unwrap();
                    let file = generated.path.file_name().unwrap().to_str().unwrap();
                    writeln!(lib, "    include!(\"{name}/{file}\");").unwrap();
                }
                lib.push_str("}\n");
            }
            Err(error) => writeln!(failed, "{name}: {error}").unwrap(),
        }
    }
    assert!(failed.is_empty(), "refused:\n{failed}");
    fs::write(root.join("src/lib.rs"), lib).unwrap();
}

#[test]
fn every_kind_of_idl_compiles_without_a_warning() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("corpus");
    let _ = fs::remove_dir_all(root.join("src"));
    fs::create_dir_all(root.join("src")).unwrap();
    write_crate(&root);
    let kitex = workspace.join("crates/kitex");
    // The versions that this workspace has been tested with, and which are here.
    fs::copy(workspace.join("Cargo.lock"), root.join("Cargo.lock")).unwrap();
    for edition in ["2024", "2021"] {
        let manifest = format!(
            "[package]\nname = \"corpus\"\nversion = \"0.1.0\"\nedition = \"{edition}\"\n\n[dependencies]\nkitex = {{ path = {kitex:?}, features = [\"serde\"] }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\n[workspace]\n"
        );
        fs::write(root.join("Cargo.toml"), manifest).unwrap();
        let checked = Command::new(env!("CARGO"))
            .args(["clippy", "--quiet", "--offline", "--message-format", "short"])
            .current_dir(&root)
            .env("CARGO_TARGET_DIR", root.join("target"))
            .output()
            .unwrap();
        assert!(checked.status.success(), "{edition}: {}", String::from_utf8_lossy(&checked.stderr));
    }
}
