//! `cargo xtask package`: packages every library and builds it from its package, with the other libraries from theirs.
//! Owns what must be removed before, so that no package of an earlier run is built in place of a new one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Result;
use crate::command::Cmd;
use crate::workspace::Workspace;

/// It takes about a minute on two cores; if it takes this long, something hangs.
const LIMIT: Duration = Duration::from_secs(1_200);

/// Builds the packages.
pub(crate) fn run() -> Result {
    let workspace = Workspace::load()?;
    let target = workspace.target.join("packages");
    // Cargo finds what it has unpacked and built by name and version, and neither changes between two commits.
    for (name, version) in workspace.published() {
        for registry in entries(&cargo_home()?.join("registry").join("src"), "-")? {
            remove(&registry.join(format!("{name}-{version}")))?;
        }
        for built in entries(&target.join("debug").join(".fingerprint"), &format!("{name}-"))? {
            remove(&built)?;
        }
    }
    let package = "cargo package --locked --workspace --allow-dirty --quiet --target-dir";
    let package = Cmd::new(package).path(&target);
    workspace.private().fold(package, |package, name| package.args(&["--exclude", name])).within(LIMIT).run()
}

/// Cargo's own folder, as its documentation defines it.
fn cargo_home() -> Result<PathBuf> {
    match std::env::var_os("CARGO_HOME") {
        Some(home) => Ok(home.into()),
        None => match std::env::home_dir() {
            Some(home) => Ok(home.join(".cargo")),
            None => Err("neither CARGO_HOME nor a home directory is set".into()),
        },
    }
}

/// The entries of `folder` whose names start with `prefix`; none if there is no such folder.
fn entries(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn remove(folder: &Path) -> Result {
    match folder.exists() {
        true => Ok(fs::remove_dir_all(folder)?),
        false => Ok(()),
    }
}
