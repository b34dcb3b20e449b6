//! What may be in one file only: code numbers, wire keys, locks. They are read from that file, so that there is no second
//! list.

use std::collections::BTreeSet;

use super::text::{is_in, is_word_letter};
use super::tree::{File, Spot, Tree};

const CODES: &str = "crates/kerrors/src/code.rs";
const KEYS: &str = "crates/ttheader-codec/src/key.rs";
/// Crates that read the wire format independently, or use another one.
const OWN_FORMAT: &[&str] = &["crates/fuzz", "crates/interop", "crates/kitex-grpc"];
/// What runs checks names the codes that a peer must see, as tests do.
const CHECKS: &[&str] = &["crates/interop/src/conformance", "crates/interop/src/bin/killmatrix"];
const SYNC: &str = "crates/stream-core/src/sync.rs";
const MODELED: &[&str] = &["crates/stream-core/src", "crates/ttstream/src"];
/// The infrastructure of models is not modelled itself.
const MODELS: &[&str] = &["crates/stream-core/src/io/model.rs", "crates/stream-core/src/rt/model.rs"];
const LOCKS: &[&str] = &["Condvar", "Mutex", "RwLock"];

/// Numbers of [`CODES`] in other code, and in its strings.
pub(super) fn codes(tree: &Tree) -> Vec<Spot> {
    let codes: BTreeSet<&str> = tree
        .file(CODES)
        .into_iter()
        .flat_map(numbers)
        .map(|(_, number)| number)
        .filter(|n| n.len() == 5)
        .collect();
    let is_check = |file: &File| CHECKS.iter().any(|place| is_in(&file.path, place));
    let others = tree.files.iter().filter(|file| file.path != CODES && !is_check(file));
    let found = others.flat_map(|file| numbers(file).into_iter().map(move |(at, number)| (file, at, number)));
    let found = found.filter(|(file, at, number)| codes.contains(number) && !file.is_test(*at));
    found.map(|(file, at, number)| file.spot(at, format!("`{number}`"))).collect()
}

/// Strings of [`KEYS`] in other code; for a prefix, every string that begins with it.
pub(super) fn keys(tree: &Tree) -> Vec<Spot> {
    let keys: Vec<&str> = tree.file(KEYS).into_iter().flat_map(strings).map(|(_, key)| key).collect();
    let is_key =
        |text: &str| keys.iter().any(|&key| text == key || key.ends_with('_') && text.starts_with(key));
    let free = |file: &File| {
        file.path == KEYS || file.is_example() || OWN_FORMAT.iter().any(|place| is_in(&file.path, place))
    };
    let others = tree.files.iter().filter(|file| !free(file));
    let found = others.flat_map(|file| strings(file).map(move |(at, text)| (file, at, text)));
    let found = found.filter(|(file, at, text)| is_key(text) && !file.is_test(*at));
    found.map(|(file, at, text)| file.spot(at, format!("\"{text}\""))).collect()
}

/// Locks of the standard library in the crates that loom models.
pub(super) fn locks(tree: &Tree) -> Vec<Spot> {
    let sources = tree.sources().filter(|(file, _)| MODELED.iter().any(|src| is_in(&file.path, src)));
    let sources = sources.filter(|(file, _)| file.path != SYNC && !MODELS.contains(&file.path.as_str()));
    let paths = sources.flat_map(|(file, source)| {
        source.code.match_indices("std::sync::").map(move |(at, _)| (file, at, &source.code[at..]))
    });
    let named = paths.filter(|(file, at, path)| !file.is_test(*at) && names_a_lock(path));
    named.map(|(file, at, _)| file.spot(at, "a lock of `std::sync`")).collect()
}

/// Whether the path that `code` begins with, or the group that it ends in, names a lock.
fn names_a_lock(code: &str) -> bool {
    let path = code.find(|letter| !is_word_letter(letter) && letter != ':').map_or(code, |end| {
        let group = if code[end..].starts_with('{') { code[end..].find(';') } else { None };
        &code[..end + group.unwrap_or(0)]
    });
    path.split(|letter| !is_word_letter(letter)).any(|name| LOCKS.contains(&name))
}

fn strings(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.source.iter().flat_map(|source| &source.strings).map(|(at, text)| (*at, &**text))
}

/// Numbers in the code of `file` or in its strings.
fn numbers(file: &File) -> Vec<(usize, &str)> {
    let code = file.source.iter().flat_map(|source| digits(0, &source.code));
    code.chain(strings(file).flat_map(|(at, text)| digits(at, text))).collect()
}

fn digits(offset: usize, text: &str) -> impl Iterator<Item = (usize, &str)> {
    let runs = text.split(|letter: char| !letter.is_ascii_digit()).filter(|run| !run.is_empty());
    runs.map(move |run| (offset + run.as_ptr().addr() - text.as_ptr().addr(), run))
}
