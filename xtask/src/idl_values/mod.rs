//! `cargo xtask idl-values`: random values of random types, written by Kitex's generated code, read and written by
//! ours, and back. Owns the two scratch projects; the programs are in `xtask/idl-values`, nothing of it is kept.

mod idl;
mod random;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use kitex_codegen::Builder;

use self::idl::Module;
use self::random::Random;
use crate::Result;
use crate::command::Cmd;
use crate::workspace::Workspace;

/// Words of `cargo xtask idl-values`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Types at least: structs, unions, exceptions, arguments and results.
    #[arg(long, default_value_t = 1_200)]
    types: usize,
    /// Values of each type; each is sent in eight forms.
    #[arg(long, default_value_t = 20)]
    values: usize,
    /// Seed of types and values.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The programs, and what they are called in their projects.
const GO: [(&str, &str); 4] = [
    ("main.go", include_str!("../../idl-values/main.go")),
    ("peer.go", include_str!("../../idl-values/peer.go")),
    ("values.go", include_str!("../../idl-values/values.go")),
    ("alter.go", include_str!("../../idl-values/alter.go")),
];
const RUST: &str = include_str!("../../idl-values/main.rs");

pub(crate) fn run(options: &Options) -> Result {
    let workspace = Workspace::load()?;
    let scratch = workspace.target.join("idl-values");
    let mut random = Random::new(options.seed);
    let mut modules: Vec<Module> = Vec::new();
    while modules.iter().map(|module| module.values().len()).sum::<usize>() < options.types {
        modules.push(idl::module(&mut random, &modules));
    }
    let idls = scratch.join("idl");
    write_idls(&idls, &modules)?;
    let go = go(&workspace, &scratch.join("go"), &idls, &modules)?;
    let rust = rust(&workspace, &scratch.join("rust"), &idls, &modules)?;
    let seed = options.seed.to_string();
    let values = options.values.to_string();
    Cmd::new("").path(&go).arg("-rust").path(&rust).args(&["-seed", &seed, "-values", &values]).start()
}

/// The command of a small run, for `ci`.
pub(crate) fn small() -> Cmd {
    Cmd::new("cargo xtask idl-values --types 100")
}

fn write_idls(dir: &Path, modules: &[Module]) -> Result {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir)?;
    let mut main = String::new();
    for module in modules {
        fs::write(dir.join(format!("r{}.thrift", module.number)), module.text())?;
        let _ = writeln!(main, "include \"r{}.thrift\"", module.number);
    }
    main.push_str("namespace go all\nnamespace rs all\nservice All {}\n");
    fs::write(dir.join("main.thrift"), main)?;
    Ok(())
}

/// Builds Rust's program: our generator's code and a table of its types.
fn rust(workspace: &Workspace, root: &Path, idls: &Path, modules: &[Module]) -> Result<PathBuf> {
    let _ = fs::remove_dir_all(root.join("src"));
    fs::create_dir_all(root.join("src"))?;
    let main = idls.join("main.thrift");
    for generated in Builder::new().idl(main).out_dir(root.join("src")).generate()? {
        fs::write(root.join("src/generated.rs"), generated.text)?;
    }
    let mut table = String::from("include!(\"generated.rs\");\n\nstatic TABLE: &[Turn] = &[\n");
    for (module, value) in values(modules) {
        let _ = writeln!(table, "    turn::<r{module}::{value}>,");
    }
    table.push_str("];\n");
    fs::write(root.join("src/modules.rs"), table)?;
    fs::write(root.join("src/main.rs"), RUST)?;
    let kitex = workspace.root.join("crates/kitex");
    let manifest = format!(
        "[package]\nname = \"idl-values\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\nkitex = {{ path = {kitex:?} }}\n\n[workspace]\n\n[profile.dev]\ndebug = false\nincremental = false\n"
    );
    fs::write(root.join("Cargo.toml"), manifest)?;
    fs::copy(workspace.root.join("Cargo.lock"), root.join("Cargo.lock"))?;
    let target = root.join("target");
    Cmd::new("cargo build --quiet")
        .dir(root)
        .env("CARGO_TARGET_DIR", target.display().to_string())
        .start()?;
    Ok(target.join("debug/idl-values"))
}

/// Builds Go's program: the code of Kitex's tool and a table of its types.
fn go(workspace: &Workspace, root: &Path, idls: &Path, modules: &[Module]) -> Result<PathBuf> {
    let _ = fs::remove_dir_all(root);
    fs::create_dir_all(root)?;
    for file in ["go.mod", "go.sum"] {
        fs::copy(workspace.root.join("crates/interop/kitex-peer").join(file), root.join(file))?;
    }
    Cmd::new("go tool kitex -streamx -module kitex-peer")
        .path(&idls.join("main.thrift"))
        .dir(root)
        .start()?;
    let mut registry = String::from("package main\n\nimport (\n");
    for module in modules {
        let _ = writeln!(registry, "\t\"kitex-peer/kitex_gen/r{}\"", module.number);
    }
    registry.push_str(")\n\nvar kinds = []kind{\n");
    for (module, value) in values(modules) {
        let _ = writeln!(
            registry,
            "\t{{\"r{module}.{value}\", func() any {{ return r{module}.New{value}() }}}},"
        );
    }
    registry.push_str("}\n");
    fs::write(root.join("registry.go"), registry)?;
    for (name, text) in GO {
        fs::write(root.join(name), text)?;
    }
    let program = root.join("idl-values");
    Cmd::new("go build -o").path(&program).arg(".").dir(root).start()?;
    Ok(program)
}

/// Module and name of each type, in the order in which both programs number them.
fn values(modules: &[Module]) -> impl Iterator<Item = (usize, String)> {
    modules.iter().flat_map(|module| module.values().into_iter().map(|value| (module.number, value)))
}
