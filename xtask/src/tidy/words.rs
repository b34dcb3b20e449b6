//! Finds words in text. A word is not found inside a longer one: `spawn` is not in `respawn`.

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

/// Whether `path` is the file `place`, the file `place.rs`, or under the folder `place`.
pub(super) fn is_in(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
}

/// Where `word` stands in `text` on its own.
pub(super) fn find_word(text: &str, word: &str) -> impl Iterator<Item = usize> {
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = text[..at].chars().next_back().is_some_and(is_word_letter);
        let after = text[at + word.len()..].chars().next().is_some_and(is_word_letter);
        let goes_on = after && word.ends_with(is_word_letter);
        !before && !goes_on
    })
}

pub(super) fn is_word_letter(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}
