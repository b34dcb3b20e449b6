//! `kitex-codegen`: the generator as a program. Owns its arguments and output; the library does the work.
//!
//! The standard output has the path of each file that was written and nothing else. An error is one line on the
//! standard error, `file:line: what is wrong, what to do` for an IDL, and exit code 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use kitex_codegen::{Builder, Generated};

const HELP: &str = "\
Generates Rust clients and servers for the crate kitex from Thrift IDL, and from .proto files if
it was built with the feature protobuf.

Usage: kitex-codegen --idl FILE... --out DIR [--include DIR...] [--check]

  --idl FILE      an IDL, Protobuf if its name ends with .proto; each becomes DIR/<name of the file>.rs; may be given
                  more than once
  --out DIR       folder for the code; made if it is missing
  --include DIR   folder where included files are looked for, after that of the including file; may be given more
                  than once
  --check         writes nothing, and fails if a file is out of date
  --help          prints this
  --version       prints the version
";

/// The arguments.
#[derive(Debug, Default)]
struct Words {
    idls: Vec<PathBuf>,
    out: Option<PathBuf>,
    include: Vec<PathBuf>,
    check: bool,
}

enum Asked {
    Print(String),
    Generate(Words),
}

fn main() -> ExitCode {
    let result = match parse(env::args_os().skip(1)) {
        Ok(Asked::Print(text)) => print(&text),
        Ok(Asked::Generate(words)) => generate(words),
        Err(problem) => Err(format!("{problem}: see kitex-codegen --help")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // If this fails, there is no other place to report it.
            let _ = writeln!(io::stderr(), "{problem}");
            ExitCode::FAILURE
        }
    }
}

fn parse(args: impl Iterator<Item = OsString>) -> Result<Asked, String> {
    let mut words = Words::default();
    let mut args = args;
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy().into_owned();
        let (name, attached) = match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(OsString::from(value))),
            _ => (text.as_str(), None),
        };
        let mut value = || {
            let value = attached.clone().or_else(|| args.next()).filter(|value| !value.is_empty());
            value.map(PathBuf::from).ok_or_else(|| format!("{name} has no value"))
        };
        match name {
            "--idl" => words.idls.push(value()?),
            "--out" if words.out.is_some() => return Err("--out is given twice".to_owned()),
            "--out" => words.out = Some(value()?),
            "--include" => words.include.push(value()?),
            "--check" => words.check = true,
            "--help" | "-h" => return Ok(Asked::Print(HELP.to_owned())),
            "--version" | "-V" => {
                return Ok(Asked::Print(format!("kitex-codegen {}\n", env!("CARGO_PKG_VERSION"))));
            }
            _ => return Err(format!("unknown argument {name:?}")),
        }
    }
    Ok(Asked::Generate(words))
}

fn generate(words: Words) -> Result<(), String> {
    let Some(out) = words.out else { return Err("--out is missing: see kitex-codegen --help".to_owned()) };
    if words.idls.is_empty() {
        return Err("--idl is missing: see kitex-codegen --help".to_owned());
    }
    let builder = words.idls.into_iter().fold(Builder::new(), Builder::idl);
    let builder = words.include.into_iter().fold(builder, Builder::include_dir).out_dir(out);
    let generated = builder.generate().map_err(|error| error.to_string())?;
    if words.check { check(&generated) } else { write(&generated) }
}

fn write(generated: &[Generated]) -> Result<(), String> {
    for generated in generated {
        generated.write().map_err(|error| error.to_string())?;
        print(&format!("{}\n", generated.path.display()))?;
    }
    Ok(())
}

fn check(generated: &[Generated]) -> Result<(), String> {
    for generated in generated {
        if !generated.is_current().map_err(|error| error.to_string())? {
            return Err(format!("{}: out of date, generate it again", generated.path.display()));
        }
    }
    Ok(())
}

/// A closed standard output is an error, not a panic.
fn print(text: &str) -> Result<(), String> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| format!("standard output: {error}"))
}
