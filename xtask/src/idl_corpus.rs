//! `cargo xtask idl-corpus --dir DIR`: generates and compiles every IDL below a folder, with our generator and with
//! Kitex's, and prints a table. Owns the two scratch projects; nothing of it is kept.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use kitex_codegen::Builder;

use crate::Result;
use crate::workspace::Workspace;

/// Arguments of `cargo xtask idl-corpus`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Folder with IDLs, at any depth.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Folder where included files are looked for; may be given more than once.
    #[arg(long, value_name = "DIR")]
    include: Vec<PathBuf>,
    /// Leaves out Kitex's tool and the Go compiler.
    #[arg(long)]
    no_kitex: bool,
    /// Prints only what Kitex builds and we do not.
    #[arg(long)]
    faults: bool,
}

/// One IDL and its results.
struct Case {
    name: String,
    path: PathBuf,
    ours: Verdict,
    kitex: Verdict,
}

/// The result of a generator and its compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Builds,
    /// The generator's line.
    Refused(String),
    /// The compiler's first line.
    DoesNotCompile(String),
    NotTried,
}

impl Verdict {
    fn shown(&self) -> String {
        match self {
            Self::Builds => "builds".to_owned(),
            Self::Refused(line) => format!("refused: {line}"),
            Self::DoesNotCompile(line) => format!("does not compile: {line}"),
            Self::NotTried => "-".to_owned(),
        }
    }
}

pub(crate) fn run(options: &Options) -> Result {
    let workspace = Workspace::load()?;
    let scratch = workspace.target.join("idl-corpus");
    let _ = fs::remove_dir_all(scratch.join("rust/src"));
    fs::create_dir_all(scratch.join("rust/src"))?;
    let mut paths = Vec::new();
    find(&options.dir.canonicalize()?, &mut paths)?;
    let mut cases: Vec<Case> = paths
        .into_iter()
        .enumerate()
        .map(|(at, path)| Case {
            name: format!("case_{at}"),
            path,
            ours: Verdict::NotTried,
            kitex: Verdict::NotTried,
        })
        .collect();
    ours(&workspace, &scratch.join("rust"), options, &mut cases)?;
    if !options.no_kitex {
        kitex(&workspace, &scratch.join("go"), options, &mut cases)?;
    }
    print(options, &cases);
    Ok(())
}

/// The IDLs below a folder, in order.
fn find(dir: &Path, found: &mut Vec<PathBuf>) -> Result {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<_, std::io::Error>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            find(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "thrift") {
            found.push(path);
        }
    }
    Ok(())
}

/// Generates all, then compiles all that were accepted in one crate, without those that failed before until the
/// rest compiles: an error in one may hide those of others.
fn ours(workspace: &Workspace, root: &Path, options: &Options, cases: &mut [Case]) -> Result {
    for case in cases.iter_mut() {
        let builder = options.include.iter().fold(Builder::new(), Builder::include_dir);
        case.ours = match builder.idl(&case.path).out_dir(root.join("src")).generate() {
            Err(error) => Verdict::Refused(error.to_string()),
            Ok(generated) => {
                let text: String = generated.into_iter().map(|generated| generated.text).collect();
                fs::write(root.join("src").join(&case.name).with_extension("rs"), text)?;
                Verdict::Builds
            }
        };
    }
    let kitex = workspace.root.join("crates/kitex");
    let manifest = format!(
        "[package]\nname = \"idl-corpus\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\nkitex = {{ path = {kitex:?} }}\n\n[workspace]\n"
    );
    fs::write(root.join("Cargo.toml"), manifest)?;
    fs::copy(workspace.root.join("Cargo.lock"), root.join("Cargo.lock"))?;
    loop {
        let accepted = cases.iter().filter(|case| case.ours == Verdict::Builds);
        let lib: String = accepted.map(|case| format!("mod {};\n", case.name)).collect();
        fs::write(root.join("src/lib.rs"), format!("#![deny(warnings)]\n{lib}"))?;
        let output = Command::new("cargo")
            .args(["check", "--quiet", "--message-format", "short"])
            .current_dir(root)
            .env("CARGO_TARGET_DIR", root.join("target"))
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut is_known = false;
        for case in cases.iter_mut().filter(|case| case.ours == Verdict::Builds) {
            let file = format!("src/{}.rs:", case.name);
            if let Some(line) = text.lines().find(|line| line.starts_with(&file)) {
                case.ours = Verdict::DoesNotCompile(line.to_owned());
                is_known = true;
            }
        }
        if !is_known {
            return Err(format!("cargo check failed for no IDL's sake: {text}").into());
        }
    }
}

/// Generates and compiles with Kitex, in a copy of the Kitex peer's module.
fn kitex(workspace: &Workspace, root: &Path, options: &Options, cases: &mut [Case]) -> Result {
    let _ = fs::remove_dir_all(root);
    fs::create_dir_all(root)?;
    for file in ["go.mod", "go.sum"] {
        fs::copy(workspace.root.join("crates/interop/kitex-peer").join(file), root.join(file))?;
    }
    for case in cases {
        let dir = format!("gen_{}", case.name);
        let mut tool = Command::new("go");
        tool.args(["tool", "kitex", "-streamx", "-module", "kitex-peer", "-gen-path", &dir]);
        for include in &options.include {
            tool.arg("-I").arg(include.canonicalize()?);
        }
        case.kitex = match failed(tool.arg(&case.path).current_dir(root))? {
            Some(line) => Verdict::Refused(line),
            None if !root.join(&dir).is_dir() => Verdict::Builds,
            None => {
                let mut build = Command::new("go");
                build.args(["build", &format!("./{dir}/...")]).current_dir(root);
                failed(&mut build)?.map_or(Verdict::Builds, Verdict::DoesNotCompile)
            }
        };
        let _ = fs::remove_dir_all(root.join(&dir));
    }
    Ok(())
}

/// Returns the last line that a failed command printed.
fn failed(command: &mut Command) -> Result<Option<String>> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(None);
    }
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(Some(lines.next_back().unwrap_or("no word").to_owned()))
}

fn print(options: &Options, cases: &[Case]) {
    let is_fault = |case: &Case| case.kitex == Verdict::Builds && case.ours != Verdict::Builds;
    let mut table = String::from("| IDL | ours | Kitex and Go | |\n|---|---|---|---|\n");
    let dir = options.dir.canonicalize().unwrap_or_default();
    for case in cases.iter().filter(|case| !options.faults || is_fault(case)) {
        let name = case.path.strip_prefix(&dir).unwrap_or(&case.path).display();
        let mark = if is_fault(case) { "fault" } else { "" };
        let _ = writeln!(table, "| {name} | {} | {} | {mark} |", case.ours.shown(), case.kitex.shown());
    }
    println!("{table}");
    let count = |wanted: &dyn Fn(&Case) -> bool| cases.iter().filter(|case| wanted(case)).count();
    println!(
        "{} IDLs; Kitex builds {}, ours {} of them and {} in all",
        cases.len(),
        count(&|case| case.kitex == Verdict::Builds),
        count(&|case| case.kitex == Verdict::Builds && case.ours == Verdict::Builds),
        count(&|case| case.ours == Verdict::Builds),
    );
}
