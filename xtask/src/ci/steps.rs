//! The table of checks, in the order in which they run: cheap ones that fail often come first.
//! A step is a list of commands; a missing tool is a reason to skip it.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::bench::instructions;
use crate::command::{Cmd, install};
use crate::fuzz;
use crate::idl_values;
use crate::workspace::Workspace;

/// One check.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) plan: fn(&Setting) -> Result<Plan>,
    /// The step runs tests: it fails if none was run.
    pub(super) tests: bool,
}

/// The environment of a plan.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) workspace: Workspace,
    pub(super) fuzz_seconds: u32,
}

/// What a step does on this machine.
#[derive(Debug)]
pub(super) enum Plan {
    Run {
        commands: Vec<Cmd>,
        /// The part of the step that cannot be checked on this machine, and why.
        without: Option<String>,
    },
    Skip(String),
}

#[rustfmt::skip]
pub(super) const STEPS: &[Step] = &[
    Step { name: "fmt", what: "code is formatted by rustfmt.toml", plan: fmt, tests: false },
    Step { name: "clippy", what: "no target has a warning", plan: clippy, tests: false },
    Step { name: "tidy", what: "dependencies, imports, names and docs follow the rules of tidy", plan: tidy, tests: false },
    Step { name: "codegen", what: "generated code that is checked in is up to date", plan: codegen, tests: false },
    Step { name: "sans-io", what: "proto and cancel build without a runtime", plan: sans_io, tests: false },
    Step { name: "no-std", what: "the codec builds without std", plan: no_std, tests: false },
    Step { name: "doc", what: "documentation builds without warnings and dead links", plan: doc, tests: false },
    Step { name: "test", what: "every test passes, doc tests included", plan: test, tests: true },
    Step { name: "examples", what: "every example runs to its end", plan: examples, tests: false },
    Step { name: "package", what: "each library builds from its package", plan: package, tests: false },
    Step { name: "outside", what: "a crate outside the workspace builds from paths and from packages", plan: outside, tests: true },
    Step { name: "msrv", what: "the libraries build with the lowest Rust that they declare", plan: msrv, tests: false },
    Step { name: "public", what: "no public interface has a type of a private dependency", plan: public, tests: false },
    Step { name: "loom", what: "loom models of the cancellation tree, the driver and streams in memory", plan: loom, tests: true },
    Step { name: "counts", what: "instruction counts of the benchmarks are within their limits", plan: counts, tests: false },
    Step { name: "fuzz", what: "each fuzz target runs for a short time", plan: fuzz, tests: false },
    Step { name: "soak", what: "many streams that end in every way leak nothing", plan: soak, tests: false },
    Step { name: "browser", what: "tests of the chat's page in a browser, and of its gateway with OpenAI's clients", plan: browser, tests: true },
    Step { name: "interop", what: "interop tests with real Kitex, and gRPC's interop suite with grpc-go", plan: interop, tests: true },
    Step { name: "deny", what: "licenses, bans, sources and advisories of dependencies", plan: deny, tests: false },
];

/// An example, and the arguments with which it ends by itself.
#[derive(Debug)]
pub(crate) struct Example {
    pub(crate) package: &'static str,
    pub(crate) name: &'static str,
    pub(crate) args: &'static [&'static str],
}

/// Every example. `tidy` finds those that are missing here.
#[rustfmt::skip]
pub(crate) const EXAMPLES: &[Example] = &[
    Example { package: "kitex", name: "balance", args: &[] },
    Example { package: "kitex", name: "cancel_cascade", args: &[] },
    Example { package: "kitex", name: "deadline", args: &[] },
    Example { package: "kitex", name: "detach", args: &[] },
    Example { package: "kitex", name: "echo", args: &[] },
    Example { package: "kitex", name: "middleware", args: &[] },
    Example { package: "kitex", name: "retry", args: &[] },
    Example { package: "kitex", name: "shutdown", args: &[] },
    Example { package: "kitex", name: "simulate", args: &[] },
    Example { package: "kitex", name: "testing", args: &[] },
    Example { package: "kitex", name: "timeouts", args: &[] },
    Example { package: "kitex-etcd", name: "discovery_etcd", args: &[] },
    Example { package: "kitex-metrics", name: "metrics", args: &[] },
    Example { package: "kitex", name: "tls", args: &[] },
    Example { package: "kitex-otel", name: "otel", args: &[] },
    Example { package: "ttheader-codec", name: "dump", args: &[] },
    Example { package: "ttheader-codec", name: "embed_codec", args: &[] },
];

/// Examples that need features of their package: name and features.
const FEATURES_OF_EXAMPLES: &[(&str, &str)] = &[("simulate", "simulation"), ("tls", "tls")];

/// Examples that need each other, so that a test runs them: package and name.
pub(crate) const TESTED_EXAMPLES: &[(&str, &str)] =
    &[("chat", "client"), ("chat", "service"), ("kitex-top", "services")];

const OUTSIDE: &str = "crates/outside";
const NO_NIGHTLY: &str = "there is no nightly toolchain: rustup toolchain install nightly";
/// Enough to see a leak of one way of ending; `cargo xtask soak` runs a million.
const SOAK_STREAMS: u64 = 20_000;
/// Enough for a hundred servers and runtimes to die; ten minutes are `cargo xtask soak --dying 600`.
const DYING_SECONDS: u64 = 15;
/// A target that has `core` and `alloc` and no `std`.
const NO_STD_TARGET: &str = "x86_64-unknown-none";

fn fmt(_: &Setting) -> Result<Plan> {
    let outside = [fuzz::FOLDER, OUTSIDE].map(|folder| Path::new(folder).join("Cargo.toml"));
    let outside = outside.into_iter().filter(|manifest| manifest.exists());
    let outside = outside.map(|manifest| Cmd::new("cargo fmt --check --manifest-path").path(&manifest));
    Ok(run([Cmd::new("cargo fmt --all --check")].into_iter().chain(outside)))
}

fn clippy(_: &Setting) -> Result<Plan> {
    // No crate of the workspace turns this feature on.
    let simulated = Cmd::new("cargo clippy -p kitex --features simulation --all-targets -- -D warnings");
    Ok(run([Cmd::new("cargo clippy --workspace --all-targets -- -D warnings"), simulated]))
}

fn tidy(_: &Setting) -> Result<Plan> {
    Ok(run([Cmd::new("cargo xtask tidy")]))
}

fn codegen(_: &Setting) -> Result<Plan> {
    Ok(run([Cmd::new("cargo xtask codegen --check")]))
}

/// Clippy rather than check: it also finds what is dead without the feature.
fn sans_io(_: &Setting) -> Result<Plan> {
    let clippy =
        |package| Cmd::new("cargo clippy --no-default-features -p").args(&[package, "--", "-D", "warnings"]);
    Ok(run([clippy("stream-core"), clippy("ttstream")]))
}

fn no_std(_: &Setting) -> Result<Plan> {
    let check = Cmd::new("cargo check -p ttheader-codec --no-default-features");
    let installed = Cmd::new("rustup target list --installed").probe().unwrap_or_default();
    if installed.lines().any(|target| target == NO_STD_TARGET) {
        return Ok(run([check.args(&["--target", NO_STD_TARGET])]));
    }
    let without = format!("a build for a machine that has no std: rustup target add {NO_STD_TARGET}");
    Ok(Plan::Run { commands: vec![check], without: Some(without) })
}

fn doc(setting: &Setting) -> Result<Plan> {
    // The libraries with the features with which their pages are built.
    let published = Cmd::new("cargo doc --no-deps --all-features");
    let published = setting.workspace.published().fold(published, |doc, (name, _)| doc.args(&["-p", name]));
    let docs = [Cmd::new("cargo doc --workspace --no-deps"), published];
    Ok(run(docs.map(|doc| doc.env("RUSTDOCFLAGS", "-D warnings"))))
}

fn test(_: &Setting) -> Result<Plan> {
    install_etcd();
    // Without it the test that needs it prints that it is skipped.
    install("libfaketime");
    // What these features add has tests of its own. Tests of other crates turn them on too, but with all else.
    let features = Cmd::new("cargo test -p kitex --features inspect-http,tls --test it -- inspect tls::");
    let simulated = Cmd::new("cargo test -p kitex --features simulation --test simulate");
    let documented = Cmd::new("cargo test -p kitex --features simulation --doc testing");
    Ok(run([Cmd::new("cargo test --workspace --no-fail-fast"), features, simulated, documented]))
}

/// Installs etcd where that is possible: without it the tests that need it print that they are skipped.
fn install_etcd() {
    if Cmd::new("etcd --version").probe().is_none() {
        install("etcd-server");
    }
}

fn examples(_: &Setting) -> Result<Plan> {
    Ok(run(EXAMPLES.iter().map(|Example { package, name, args }| {
        let features = FEATURES_OF_EXAMPLES.iter().filter(|(example, _)| example == name);
        let features = features.map(|(_, features)| *features).collect::<Vec<_>>().join(",");
        let run = Cmd::new("cargo run --quiet").args(&["--package", package, "--features", &features]);
        run.args(&["--example", name, "--"]).args(args)
    })))
}

fn package(_: &Setting) -> Result<Plan> {
    Ok(run([Cmd::new("cargo xtask package")]))
}

fn outside(setting: &Setting) -> Result<Plan> {
    let manifest = Path::new(OUTSIDE).join("Cargo.toml");
    let cargo = |command: &str| {
        let cargo = Cmd::new(command).args(&["--locked", "--manifest-path"]).path(&manifest);
        cargo.arg("--target-dir").path(&setting.workspace.target.join("outside"))
    };
    let clippy = cargo("cargo clippy --all-targets").args(&["--", "-D", "warnings"]);
    Ok(run([clippy, cargo("cargo test"), Cmd::new("cargo xtask outside")]))
}

fn msrv(setting: &Setting) -> Result<Plan> {
    let rust = setting.workspace.rust_version.as_str();
    // rustup keeps `1.88` and `1.88.0` apart.
    let names = [rust.to_owned(), format!("{rust}.0")];
    let installed =
        |name: &&String| Cmd::new("rustup run").args(&[name, "cargo", "--version"]).probe().is_some();
    let Some(toolchain) = names.iter().find(installed) else {
        return Ok(skip(&format!(
            "there is no Rust {rust}: rustup toolchain install {rust} --profile minimal"
        )));
    };
    let check = Cmd::new("cargo").arg(format!("+{toolchain}"));
    let check = check.args(&["check", "--all-features", "--target-dir"]);
    let check = check.path(&setting.workspace.target.join("msrv"));
    Ok(run([setting.workspace.published().fold(check, |check, (name, _)| check.args(&["-p", name]))]))
}

fn public(_: &Setting) -> Result<Plan> {
    if !has_nightly() {
        return Ok(skip(NO_NIGHTLY));
    }
    Ok(run([Cmd::new("cargo xtask public")]))
}

fn loom(setting: &Setting) -> Result<Plan> {
    if !any_file_has(Path::new("crates/stream-core/src"), "loom::model")? {
        return Ok(skip("no file of crates/stream-core/src says `loom::model`"));
    }
    // Without tokio, which makes something else of `cfg(loom)`; the modelled code needs none of it.
    let test = Cmd::new(
        "cargo test -p stream-core -p ttstream --release --lib --no-default-features loom --target-dir",
    );
    let test = test.path(&setting.workspace.target.join("loom"));
    Ok(run([test.env("RUSTFLAGS", "--cfg loom").env("LOOM_MAX_PREEMPTIONS", "2")]))
}

fn counts(_: &Setting) -> Result<Plan> {
    Ok(match instructions::obstacle()? {
        Some(obstacle) => skip(&obstacle),
        None => run([Cmd::new("cargo xtask bench --instructions")]),
    })
}

fn fuzz(setting: &Setting) -> Result<Plan> {
    if !Path::new(fuzz::FOLDER).exists() {
        return Ok(skip("there is no crates/fuzz"));
    }
    if !has_nightly() {
        return Ok(skip(NO_NIGHTLY));
    }
    let target = |target: &String| {
        fuzz::target_command(target, &setting.workspace, setting.fuzz_seconds, fuzz::Sanitizer::Address)
    };
    let targets: Vec<Cmd> = fuzz::targets()?.iter().map(target).collect::<Result<_>>()?;
    Ok(run(fuzz::install().into_iter().chain(targets)))
}

fn soak(_: &Setting) -> Result<Plan> {
    Ok(run([crate::soak::command(SOAK_STREAMS), crate::soak::dying(DYING_SECONDS)]))
}

fn browser(setting: &Setting) -> Result<Plan> {
    if let Some(obstacle) = crate::browser::obstacle() {
        return Ok(skip(&obstacle));
    }
    let mut commands = crate::browser::checks(&setting.workspace);
    let without = match crate::browser::clients(&setting.workspace, false) {
        Ok(clients) => {
            commands.push(clients);
            None
        }
        Err(reason) => Some(format!("OpenAI's client libraries: {reason}")),
    };
    Ok(Plan::Run { commands, without })
}

fn interop(_: &Setting) -> Result<Plan> {
    if Cmd::new("go version").probe().is_none() {
        return Ok(skip("there is no go"));
    }
    if !Path::new("crates/interop/tests").exists() {
        return Ok(skip("there is no crates/interop/tests"));
    }
    install_etcd();
    let suite = Cmd::new("cargo xtask interop --suite grpc-go");
    Ok(run([Cmd::new("cargo xtask interop"), suite, idl_values::small()]))
}

fn deny(_: &Setting) -> Result<Plan> {
    if Cmd::new("cargo deny --version").probe().is_none() {
        return Ok(skip("there is no cargo-deny: cargo install cargo-deny --locked"));
    }
    let check = Cmd::new("cargo deny check --hide-inclusion-graph bans licenses sources");
    if Cmd::new("cargo deny fetch db").probe().is_some() {
        return Ok(run([check.arg("advisories")]));
    }
    let without = Some("advisories: their database cannot be reached".to_owned());
    Ok(Plan::Run { commands: vec![check], without })
}

fn has_nightly() -> bool {
    Cmd::new("rustup run nightly cargo --version").probe().is_some()
}

fn run(commands: impl IntoIterator<Item = Cmd>) -> Plan {
    Plan::Run { commands: commands.into_iter().collect(), without: None }
}

fn skip(reason: &str) -> Plan {
    Plan::Skip(reason.to_owned())
}

fn any_file_has(folder: &Path, words: &str) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            any_file_has(&path, words)?
        } else {
            fs::read(&path)?.windows(words.len()).any(|window| window == words.as_bytes())
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}
