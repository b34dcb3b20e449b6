//! Words in text, and paths in folders. A word is not found inside a longer one: `spawn` is not in `respawn`.

/// Whether `path` is the file `place`, the file `place.rs`, or under the folder `place`.
pub(super) fn is_in(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
}

/// Returns where `word` is in `text` as a whole word.
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
