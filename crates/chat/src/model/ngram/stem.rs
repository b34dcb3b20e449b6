//! Words of a text, their stems, and the list of words without content. Knows nothing of the use of a text.

/// Returns the stems of words with content: "skies" and "sky" are the same, "baking" and "bake" too.
pub(super) fn stems(text: &str) -> impl Iterator<Item = String> {
    words(text).filter(|word| !WITHOUT_CONTENT.contains(&word.as_str())).map(|word| stem(&word))
}

pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'')
        .map(|word| word.trim_matches('\'').to_lowercase())
        .map(|word| word.strip_suffix("'s").map_or(word.clone(), str::to_owned))
        .filter(|word| !word.is_empty())
}

fn stem(word: &str) -> String {
    let cut = ENDINGS.iter().filter_map(|(ending, instead)| Some((word.strip_suffix(ending)?, *instead)));
    let (body, instead) = cut.into_iter().find(|(body, _)| body.chars().count() >= 3).unwrap_or((word, ""));
    let mut stem = format!("{body}{instead}");
    if stem.chars().count() > 3 && stem.ends_with('e') {
        stem.pop();
    }
    if stem.ends_with('y') {
        stem.pop();
        stem.push('i');
    }
    let mut last = stem.chars().rev();
    if body.len() < word.len() && last.next() == last.next() && stem.chars().count() > 3 {
        stem.pop();
    }
    stem
}

/// Endings, the longest first, and their replacements.
const ENDINGS: &[(&str, &str)] =
    &[("ies", "y"), ("ing", ""), ("ers", "er"), ("es", ""), ("ed", ""), ("s", "")];

#[rustfmt::skip]
const WITHOUT_CONTENT: &[&str] = &[
    "a", "about", "actually", "after", "again", "all", "also", "always", "am", "an", "and", "another", "any", "are", "as", "at",
    "be", "because", "become", "becomes", "before", "both", "but", "by", "call", "called", "can", "come", "could", "did", "different", "do", "does",
    "each", "even", "every", "everything", "explain", "first", "for", "from", "get", "give", "go", "goes", "going", "had", "happen", "happens",
    "has", "have", "he", "her", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "itself", "just", "keep",
    "kind", "know", "less", "like", "little", "look", "made", "make", "makes", "many", "may", "me", "more", "most", "much", "must", "my",
    "no", "not", "of", "often", "on", "one", "only", "or", "other", "others", "our", "out", "over", "own", "people", "please",
    "really", "reason", "same", "she", "should", "show", "so", "some", "such", "take", "takes", "tell", "than", "that", "the", "their", "them",
    "then", "there", "these", "they", "thing", "things", "this", "those", "to", "too", "two", "up", "us", "use", "very", "want",
    "was", "way", "we", "were", "what", "when", "where", "which", "while", "who", "why", "will", "with", "without", "work",
    "works", "would", "you", "your",
];
