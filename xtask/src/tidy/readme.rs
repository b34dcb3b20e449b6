//! The files of a published crate: a README whose Rust is compiled, and both licences.
//!
//! A Rust block of a README must be a block of the crate's front page, its `//!` comment: that is compiled as a
//! documentation test, so the README's is too. Hidden lines (`# `) are left out.

use super::tree::{File, Spot, Tree};
use crate::workspace::Package;

const LICENSES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];
/// What the package index shows of a crate.
const KEYS: [&str; 4] = ["description", "readme", "keywords", "categories"];

pub(super) fn find(tree: &Tree) -> Vec<Spot> {
    let published = tree.packages.iter().filter(|package| package.published);
    let manifests = published.filter_map(|package| Some((package, tree.file(&package.manifest)?)));
    manifests.flat_map(|(package, manifest)| missing(tree, package, manifest)).collect()
}

fn missing(tree: &Tree, package: &Package, manifest: &File) -> Vec<Spot> {
    let has_key = |key: &str| manifest.text.lines().any(|line| line.starts_with(&format!("{key} = ")));
    let keys = KEYS.iter().filter(|key| !has_key(key)).map(|key| format!("no `{key}`"));
    let has_file = |name: &str| tree.file(&format!("{}/{name}", package.folder())).is_some();
    let files = ["README.md"].into_iter().chain(LICENSES).filter(|name| !has_file(name));
    let files = files.map(|name| format!("no {name} beside it"));
    let mut found: Vec<Spot> = keys.chain(files).map(|what| manifest.spot(0, what)).collect();
    found.extend(uncompiled(tree, package));
    found
}

/// Rust blocks of a README that the front page does not have.
fn uncompiled(tree: &Tree, package: &Package) -> Vec<Spot> {
    let file = |name: &str| tree.file(&format!("{}/{name}", package.folder()));
    let Some(readme) = file("README.md") else { return Vec::new() };
    let front = file("src/lib.rs").map(|lib| front_page(&lib.text)).unwrap_or_default();
    let compiled: Vec<String> = blocks(&front, |_| true).into_iter().map(|(_, code)| code).collect();
    let shown = blocks(&readme.text, |language| language == "rust");
    let alien = shown.into_iter().filter(|(_, code)| !compiled.contains(code));
    alien.map(|(at, _)| readme.spot(at, "this code is not on the front page in src/lib.rs")).collect()
}

/// The `//!` comment at the head of a file, as Markdown.
fn front_page(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

/// Fenced blocks of the wanted languages: where each begins, and its lines that are shown.
fn blocks(text: &str, wanted: fn(&str) -> bool) -> Vec<(usize, String)> {
    let (mut found, mut block, mut at) = (Vec::new(), None::<(usize, bool, String)>, 0);
    for line in text.split_inclusive('\n') {
        match (line.trim_end().strip_prefix("```"), &mut block) {
            (Some(language), None) => block = Some((at, wanted(language), String::new())),
            (Some(_), Some(_)) => {
                let ended = block.take().filter(|(_, wanted, _)| *wanted);
                found.extend(ended.map(|(at, _, code)| (at, code)));
            }
            (None, Some((_, _, code))) if !is_hidden(line) => code.push_str(line),
            (None, _) => {}
        }
        at += line.len();
    }
    found
}

fn is_hidden(line: &str) -> bool {
    line.trim_end() == "#" || line.starts_with("# ")
}
