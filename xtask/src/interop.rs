//! `cargo xtask interop`: builds `lab-peer` and its Go twin on real Kitex, then runs the tests of both.
//! A test that needs the twin finds it by [`TWIN_VARIABLE`]; where that is unset it says so and passes.

use std::path::{Path, PathBuf};

use crate::Result;
use crate::command::Cmd;
use crate::workspace::Workspace;

/// Path of the Go twin, for the tests.
const TWIN_VARIABLE: &str = "KITEX_LAB_PEER";

pub(crate) fn run() -> Result {
    let workspace = Workspace::load()?;
    let twin = build_twin(&workspace)?;
    start(&Cmd::new("cargo build --release -p interop"))?;
    start(&Cmd::new("cargo test --release -p interop").env(TWIN_VARIABLE, twin.display().to_string()))
}

/// The generated Go code stays out of the repository, so it is written anew.
pub(crate) fn build_twin(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.root.join("crates/interop/kitex-peer");
    let twin = workspace.target.join("kitex-lab-peer");
    if Cmd::new("go version").probe().is_none() {
        return Err("there is no go: the twin needs Go 1.24 or later".into());
    }
    start(&Cmd::new("go tool kitex -streamx -module kitex-peer ../idl/lab.thrift").dir(&folder))?;
    start(&Cmd::new("go build -o").path(&twin).path(Path::new(".")).dir(&folder))?;
    Ok(twin)
}

fn start(command: &Cmd) -> Result {
    println!("   $ {command}");
    command.run()
}
