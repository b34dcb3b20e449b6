//! The page that maps other frameworks' names to ours: every name in its last column must exist in the libraries.
//!
//! A word between backticks counts if the sources of the published crates have each of its parts, as a word.

use std::collections::HashSet;

use super::text::is_in;
use super::tree::{File, Spot, Tree};

const PAGE: &str = "docs/api-map.md";

pub(super) fn find(tree: &Tree) -> Vec<Spot> {
    let Some(page) = tree.file(PAGE) else { return Vec::new() };
    let published = || tree.packages.iter().filter(|package| package.published);
    let is_library =
        |file: &&File| published().any(|package| is_in(&file.path, &format!("{}/src", package.folder())));
    let manifests = published().filter_map(|package| tree.file(&package.manifest));
    let known: HashSet<&str> =
        tree.files.iter().filter(is_library).chain(manifests).flat_map(|file| words(&file.text)).collect();
    let mut at = 0;
    let mut found = Vec::new();
    for line in page.text.split_inclusive('\n') {
        for name in names(line) {
            let gone = words(name).find(|word| !known.contains(word));
            found.extend(gone.map(|word| page.spot(at, format!("no library has `{word}` of `{name}`"))));
        }
        at += line.len();
    }
    found
}

/// What the last column of a row has between backticks.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let row = line.trim().strip_prefix('|').and_then(|row| row.strip_suffix('|'));
    let cell = row.and_then(|row| row.rsplit('|').next()).unwrap_or_default();
    cell.split('`').skip(1).step_by(2)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    text.split(move |c| !word(c)).filter(|word| !word.is_empty())
}
