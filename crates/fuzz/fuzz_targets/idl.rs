//! Any text as a Thrift IDL: code is generated, or an error names a line of the file. Files that include others are left out, since
//! they would be read.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, fs, process};

use kitex_codegen::{Builder, Error};
use libfuzzer_sys::fuzz_target;

/// What an error says if the generated code cannot be parsed. Only attributes may do that, which are any Rust.
const NO_RUST: &str = "generated code is no Rust";

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    // Other errors quote the text.
    if ["include", "attributes", NO_RUST].iter().any(|word| text.contains(word)) {
        return;
    }
    let folder = FOLDER.get_or_init(|| {
        let folder = env::temp_dir().join(format!("fuzz-idl-{}", process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        folder
    });
    let path = folder.join("a.thrift");
    fs::write(&path, text.as_bytes()).expect("a temporary file");
    match Builder::new().idl(&path).out_dir(folder).generate() {
        Ok(generated) => assert_eq!(generated.len(), 1),
        Err(Error::Idl { line, problem, .. }) => {
            // A carriage return alone ends a line too.
            let ends = text.matches(|end| matches!(end, '\n' | '\r')).count();
            assert!(line <= ends + 1, "line {line}: {problem}");
            assert!(!problem.is_empty() && !problem.contains(NO_RUST), "{problem}");
        }
        Err(error) => panic!("{error}"),
    }
});
