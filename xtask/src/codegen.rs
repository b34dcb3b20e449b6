//! `cargo xtask codegen`: writes the generated code that is checked in, or with `--check` lists files that are out of date.
//! Owns the table of IDLs; `kitex-codegen` generates the code.

use std::path::{Path, PathBuf};

use clap::Args;
use kitex_codegen::{Builder, Generated};

use crate::Result;

/// IDLs and the folders of their code, from the root. An IDL's includes are looked for beside it.
const TABLE: &[(&str, &str)] = &[
    ("crates/chat/idl/chat.thrift", "crates/chat/src/generated"),
    ("crates/interop/idl/lab.thrift", "crates/interop/src/generated"),
    ("crates/interop/idl/grpc_testing.proto", "crates/interop/src/generated"),
    ("crates/interop/idl/lab_pb.proto", "crates/interop/tests/generated"),
    ("crates/kitex-grpc-services/idl/health.proto", "crates/kitex-grpc-services/src/generated"),
    ("crates/kitex-grpc-services/idl/reflection.proto", "crates/kitex-grpc-services/src/generated"),
    ("crates/kitex/idl/echo.thrift", "crates/kitex/examples/generated"),
    ("crates/kitex/tests/idl/speech.proto", "crates/kitex/tests/generated"),
    ("crates/kitex-codegen/tests/idl/zoo.thrift", "crates/kitex-codegen/tests/golden"),
    ("crates/kitex-codegen/tests/idl/lab.thrift", "crates/kitex-codegen/tests/golden"),
    ("crates/kitex-thrift/tests/idl/shapes.thrift", "crates/kitex-thrift/tests/generated"),
];

/// Arguments of `cargo xtask codegen`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Writes nothing and fails if generated code is out of date.
    #[arg(long)]
    check: bool,
    /// Generates code for this IDL instead of those of the project.
    #[arg(long, value_name = "FILE", requires = "out")]
    idl: Option<PathBuf>,
    /// Folder for the code of `--idl`.
    #[arg(long, value_name = "DIR", requires = "idl")]
    out: Option<PathBuf>,
    /// Folder where included files are looked for; may be given more than once.
    #[arg(long, value_name = "DIR")]
    include: Vec<PathBuf>,
}

/// Generates what the options name.
pub(crate) fn run(options: &Options) -> Result {
    let generated = generate(options)?;
    if options.check { check(&generated) } else { write(&generated) }
}

fn generate(options: &Options) -> Result<Vec<Generated>> {
    let include = |builder, dir: &PathBuf| Builder::include_dir(builder, dir);
    let builder = options.include.iter().fold(Builder::new(), include);
    if let Some((idl, out)) = options.idl.as_ref().zip(options.out.as_ref()) {
        return Ok(builder.idl(idl).out_dir(out).generate()?);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(""));
    let mut generated = Vec::new();
    for (idl, out) in TABLE {
        generated.extend(builder.clone().idl(root.join(idl)).out_dir(root.join(out)).generate()?);
    }
    Ok(generated)
}

fn write(generated: &[Generated]) -> Result {
    for generated in generated {
        generated.write()?;
        println!("{}", generated.path.display());
    }
    Ok(())
}

fn check(generated: &[Generated]) -> Result {
    let mut stale = Vec::new();
    for generated in generated {
        if !generated.is_current()? {
            stale.push(generated.path.display().to_string());
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("stale generated code, run cargo xtask codegen: {}", stale.join(", ")).into())
}
