//! The program `kitex-codegen`: what it prints where, and its exit code.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const GOOD: &str = "namespace rs good\nstruct A { 1: i64 a }\nservice S { A M(1: A a) }\n";
const BAD: &str = "struct A {\n  1: Missing a\n}\n";

fn run(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kitex-codegen")).args(args).current_dir(dir).output().unwrap()
}

/// What it prints and its exit code, in a folder with `good.thrift` and `bad.thrift` and a current `made/good.rs`.
fn prints(args: &str) -> (String, String, Option<i32>) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("good.thrift"), GOOD).unwrap();
    fs::write(dir.path().join("bad.thrift"), BAD).unwrap();
    fs::create_dir(dir.path().join("common")).unwrap();
    fs::write(dir.path().join("common/base.thrift"), "struct Base {}\n").unwrap();
    fs::write(dir.path().join("uses.thrift"), "include \"base.thrift\"\nstruct A { 1: base.Base b }\n")
        .unwrap();
    assert!(run(dir.path(), &["--idl", "good.thrift", "--out", "made"]).status.success());
    let output = run(dir.path(), &args.split_whitespace().collect::<Vec<_>>());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[test]
fn the_program_prints_its_result_and_one_line_for_an_error() {
    for (args, stdout, stderr) in [
        ("--idl good.thrift --out out", "out/good.rs\n", ""),
        ("--idl=good.thrift --out=deep/out", "deep/out/good.rs\n", ""),
        ("--idl good.thrift --idl uses.thrift --include common --out out", "out/good.rs\nout/uses.rs\n", ""),
        ("--check --idl good.thrift --out made", "", ""),
        ("--check --idl good.thrift --out out", "", "out/good.rs: out of date, generate it again\n"),
        ("--idl good.thrift", "", "--out is missing: see kitex-codegen --help\n"),
        ("--out out", "", "--idl is missing: see kitex-codegen --help\n"),
        ("--idl", "", "--idl has no value: see kitex-codegen --help\n"),
        ("good.thrift", "", "unknown argument \"good.thrift\": see kitex-codegen --help\n"),
        ("--out a --out b", "", "--out is given twice: see kitex-codegen --help\n"),
    ] {
        let code = i32::from(!stderr.is_empty());
        assert_eq!(prints(args), (stdout.to_owned(), stderr.to_owned(), Some(code)), "{args}");
    }
}

#[test]
fn an_error_of_an_idl_has_file_and_line_and_nothing_is_written() {
    for (args, place) in [
        ("--idl good.thrift --idl bad.thrift --out out", "bad.thrift:2: "),
        ("--idl missing.thrift --out out", "missing.thrift: cannot read"),
        ("--idl uses.thrift --out out", "uses.thrift:1: "),
        ("--idl good.thrift --out good.thrift", "good.thrift/good.rs: cannot "),
    ] {
        let (stdout, stderr, code) = prints(args);
        assert!(stderr.starts_with(place), "{args}: {stderr}");
        assert_eq!(
            (stdout.as_str(), stderr.matches('\n').count(), code),
            ("", 1, Some(1)),
            "{args}: {stderr}"
        );
    }
}

#[test]
fn the_program_writes_what_the_library_generates() {
    let dir = tempfile::tempdir().unwrap();
    let idl = dir.path().join("good.thrift");
    fs::write(&idl, GOOD).unwrap();
    let output = run(dir.path(), &["--idl", "good.thrift", "--out", "out"]);
    assert!(output.status.success());
    let generated = kitex_codegen::Builder::new().idl(idl).out_dir("out").generate().unwrap();
    let written = fs::read_to_string(dir.path().join("out/good.rs")).unwrap();
    assert_eq!(written, generated[0].text);
    assert!(written.contains("pub trait S"));
}

#[test]
fn help_names_every_argument() {
    let (stdout, stderr, code) = prints("--help");
    for argument in ["--idl", "--out", "--include", "--check", "--version"] {
        assert!(stdout.contains(argument), "{argument}");
    }
    assert_eq!((stderr.as_str(), code), ("", Some(0)));
    assert_eq!(prints("--version").0, format!("kitex-codegen {}\n", env!("CARGO_PKG_VERSION")));
}
