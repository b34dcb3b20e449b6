//! Finds words that must not be used in a part of the tree.

use super::text::{find_word, is_in};
use super::tree::{File, Spot, Tree};

/// Which part of the tree a row of words is about.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) look: Look,
    /// Folders, or files without their ending; none means everywhere.
    pub(super) within: &'static [&'static str],
    pub(super) except: &'static [&'static str],
}

/// Which part of a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Code that is not test: no comments, no strings.
    Product,
    /// All code: no comments, no strings.
    Code,
    /// Every letter of every file.
    Text,
}

pub(super) fn find_words(tree: &Tree, words: &[&str], place: &Place) -> Vec<Spot> {
    let files = tree.files.iter().filter(|file| place.has(&file.path));
    let pairs = files.flat_map(|file| words.iter().map(move |word| (file, word)));
    pairs.flat_map(|(file, word)| spots(file, word, place.look)).collect()
}

fn spots(file: &File, word: &str, look: Look) -> Vec<Spot> {
    let text = match look {
        Look::Text => Some(&*file.text),
        Look::Code | Look::Product => file.source.as_ref().map(|source| &*source.code),
    };
    let found = find_word(text.unwrap_or_default(), word);
    let found = found.filter(|at| look != Look::Product || !file.is_test(*at));
    found.map(|at| file.spot(at, format!("`{word}`"))).collect()
}

impl Place {
    fn has(&self, path: &str) -> bool {
        let within = self.within.is_empty() || self.within.iter().any(|place| is_in(path, place));
        within && !self.except.iter().any(|place| is_in(path, place))
    }
}
