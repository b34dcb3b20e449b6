//! The form of files: their first line, their length, their lints.

use super::source::Source;
use super::tree::{File, Spot, Tree};
use crate::ci::{EXAMPLES, TESTED_EXAMPLES};

/// Lines of code of a file.
const LONG_FILE: usize = 500;
/// Lines of code of a function.
const LONG_FUNCTION: usize = 70;

/// Files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];
/// Functions that may be longer: file, name, reason.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// Manifests that inherit no lints, each with its reason.
const OWN_LINTS: &[(&str, &str)] = &[
    ("crates/fuzz/Cargo.toml", "outside the workspace, so there is nothing that it could inherit"),
    ("crates/outside/Cargo.toml", "outside the workspace, as a user's crate is"),
];

/// Rust files that do not open with `//!`, or as a generator marks its own.
pub(super) fn openings(tree: &Tree) -> Vec<Spot> {
    let bare = |file: &File| !file.text.starts_with("//!") && !file.is_generated();
    let files = tree.sources().map(|(file, _)| file).filter(|file| bare(file));
    files.map(|file| file.spot(0, "no `//!` in the first line")).collect()
}

pub(super) fn lengths(tree: &Tree) -> Vec<Spot> {
    let by_hand = tree.files.iter().filter(|file| !file.is_generated());
    by_hand.flat_map(|file| long_file(file).into_iter().chain(long_functions(file))).collect()
}

fn long_file(file: &File) -> Option<Spot> {
    let lines = file.source.as_ref()?.code_lines();
    let listed = LONG_FILES.iter().any(|(path, _)| *path == file.path);
    (lines > LONG_FILE && !listed)
        .then(|| file.spot(0, format!("{lines} lines of code, more than {LONG_FILE}")))
}

fn long_functions(file: &File) -> impl Iterator<Item = Spot> {
    let functions = file.source.iter().flat_map(Source::functions);
    let long = functions.filter(|function| function.code_lines > LONG_FUNCTION);
    let long = long.filter(|function| {
        !LONG_FUNCTIONS.iter().any(|(path, name, _)| *path == file.path && *name == function.name)
    });
    long.map(|function| {
        let what = format!(
            "`{}` has {} lines of code, more than {LONG_FUNCTION}",
            function.name, function.code_lines
        );
        file.spot(function.at, what)
    })
}

/// Manifests of crates that do not inherit the workspace's lints.
pub(super) fn lints(tree: &Tree) -> Vec<Spot> {
    let manifests = tree.files.iter().filter(|file| file.path.ends_with("Cargo.toml"));
    let crates = manifests.filter(|file| file.text.contains("[package]"));
    let strays = crates
        .filter(|file| !inherits_lints(&file.text) && !OWN_LINTS.iter().any(|(path, _)| *path == file.path));
    strays.map(|file| file.spot(0, "lints are not inherited")).collect()
}

fn inherits_lints(manifest: &str) -> bool {
    let section = manifest.split("\n[").find_map(|section| section.strip_prefix("lints]"));
    section.is_some_and(|section| section.lines().any(|line| line == "workspace = true"))
        || manifest.lines().any(|line| line == "lints.workspace = true")
}

/// Examples that `cargo xtask ci` does not run.
pub(super) fn examples(tree: &Tree) -> Vec<Spot> {
    let examples = tree.packages.iter().flat_map(|package| {
        let folder = format!("{}/examples/", package.folder());
        tree.files.iter().filter_map(move |file| Some((package, file, file.path.strip_prefix(&folder)?)))
    });
    let unknown = examples.filter_map(|(package, file, rest)| {
        let name = rest.strip_suffix("/main.rs").or_else(|| rest.strip_suffix(".rs"))?;
        let listed =
            EXAMPLES.iter().map(|row| (row.package, row.name)).chain(TESTED_EXAMPLES.iter().copied());
        let listed = listed.into_iter().any(|row| row == (package.name.as_str(), name));
        (!listed && !name.contains('/')).then(|| file.spot(0, format!("example `{name}` is not run")))
    });
    unknown.collect()
}
