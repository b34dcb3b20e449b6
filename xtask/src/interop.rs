//! `cargo xtask interop`: builds `lab-peer` and the Kitex peer in Go, then runs the tests of both.
//! A test that needs the Kitex peer finds it by [`PEER_VARIABLE`]; if that is unset, it prints so and passes. The same holds
//! for gRPC's interop suite and [`SUITE_VARIABLE`].

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::Result;
use crate::command::Cmd;
use crate::workspace::Workspace;

/// The path of the Kitex peer, for the tests.
const PEER_VARIABLE: &str = "KITEX_LAB_PEER";
/// Version of Kitex that it is built on, for the tests.
const VERSION_VARIABLE: &str = "KITEX_LAB_VERSION";

/// The path of the program on Kitex with its telemetry, for the tests.
const OTEL_VARIABLE: &str = "OTEL_PEER";
/// The path of the program on Kitex with registry-etcd, for the tests.
const ETCD_VARIABLE: &str = "ETCD_PEER";
/// Path of the program on grpc-go, for the tests.
const SUITE_VARIABLE: &str = "GRPC_GO_PEER";
/// Older versions of Kitex that the Kitex peer can be built on, and the tags that its sources need for each.
const OLDER: &[(&str, &str)] = &[("v0.15.1", "kitex_v0_15")];

/// Words of `cargo xtask interop`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Runs this suite and nothing else.
    #[arg(long, value_name = "SUITE", conflicts_with_all = ["kitex", "only"])]
    suite: Option<Suite>,
    /// Builds the Kitex peer on this version of Kitex instead of that in its go.mod: v0.15.1, the oldest that can cancel a
    /// stream.
    #[arg(long, value_name = "VERSION")]
    kitex: Option<String>,
    /// Runs only the tests whose names have this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Suite {
    /// gRPC's interop suite, with grpc-go at either end.
    GrpcGo,
}

pub(crate) fn run(options: &Options) -> Result {
    let workspace = Workspace::load()?;
    match options.suite {
        Some(Suite::GrpcGo) => grpc_go(&workspace),
        None => lab_peer(&workspace, options),
    }
}

fn grpc_go(workspace: &Workspace) -> Result {
    need_go("Go 1.26")?;
    let folder = workspace.root.join("crates/interop/grpc-go-peer");
    let program = workspace.target.join("grpc-go-peer");
    Cmd::new("go build -o").path(&program).path(Path::new(".")).dir(&folder).start()?;
    let tests = Cmd::new("cargo test --release -p interop --test it -- grpc_go");
    tests.env(SUITE_VARIABLE, program.display().to_string()).start()
}

fn lab_peer(workspace: &Workspace, options: &Options) -> Result {
    let mut tests = Cmd::new("cargo test --release -p interop");
    if let Some(only) = &options.only {
        tests = tests.arg("--test").arg("it").arg(only);
    }
    let kitex_peer = match &options.kitex {
        None => build_peer(workspace)?,
        Some(version) => {
            tests = tests.env(VERSION_VARIABLE, version);
            build_older_peer(workspace, version)?
        }
    };
    if options.kitex.is_none() {
        for (variable, name) in [(OTEL_VARIABLE, "otel-peer"), (ETCD_VARIABLE, "etcd-peer")] {
            tests = tests.env(variable, build_small_peer(workspace, name)?.display().to_string());
        }
    }
    Cmd::new("cargo build --release -p interop").start()?;
    tests.env(PEER_VARIABLE, kitex_peer.display().to_string()).start()
}

/// Generates the Go code of the peer's IDLs into `folder`.
fn generate(workspace: &Workspace, folder: &Path) -> Result {
    let command = || Cmd::new("go tool kitex -streamx -module kitex-peer");
    let idl = |path: &str| workspace.root.join("crates").join(path);
    command().path(&idl("interop/idl/lab.thrift")).dir(folder).start()?;
    command()
        .arg("-I")
        .path(&idl("interop/idl"))
        .path(&idl("interop/idl/lab_pb.proto"))
        .dir(folder)
        .start()?;
    command().path(&idl("chat/idl/chat.thrift")).dir(folder).start()
}

/// In a copy of the Kitex peer's module, which asks for the other version of Kitex.
fn build_older_peer(workspace: &Workspace, version: &str) -> Result<PathBuf> {
    let known = OLDER.iter().find(|(known, _)| *known == version);
    let Some((_, tag)) = known else { return Err(format!("there is no peer on Kitex {version}").into()) };
    let folder = workspace.target.join(format!("kitex-{version}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(workspace.root.join("crates/interop/kitex-peer"))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
    }
    let kitex_peer = folder.join("kitex-lab-peer");
    let require = format!("github.com/cloudwego/kitex@{version}");
    Cmd::new("go get").arg(require).dir(&folder).start()?;
    generate(workspace, &folder)?;
    Cmd::new("go build -mod=mod -tags")
        .arg(*tag)
        .arg("-o")
        .path(&kitex_peer)
        .arg(".")
        .dir(&folder)
        .start()?;
    Ok(kitex_peer)
}

/// The generated Go code is not in the repository, so it is generated first.
pub(crate) fn build_peer(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.root.join("crates/interop/kitex-peer");
    let kitex_peer = workspace.target.join("kitex-lab-peer");
    need_go("Go 1.24")?;
    generate(workspace, &folder)?;
    Cmd::new("go build -o").path(&kitex_peer).path(Path::new(".")).dir(&folder).start()?;
    Ok(kitex_peer)
}

/// Builds one of the programs with a module of their own, so that the Kitex peer does not have their dependencies. The
/// generated code is not in the repository either.
fn build_small_peer(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let folder = workspace.root.join("crates/interop").join(name);
    let program = workspace.target.join(name);
    let generate = Cmd::new("go tool kitex -streamx -module").args(&[name, "../idl/lab.thrift"]);
    generate.dir(&folder).start()?;
    Cmd::new("go build -o").path(&program).path(Path::new(".")).dir(&folder).start()?;
    Ok(program)
}

fn need_go(version: &str) -> Result {
    match Cmd::new("go version").probe() {
        Some(_) => Ok(()),
        None => Err(format!("there is no go: {version} or later is needed").into()),
    }
}
