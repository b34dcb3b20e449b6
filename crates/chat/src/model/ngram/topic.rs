//! What a prompt is about. Owns stems, words without content, and how much each paragraph of the text
//! matters for a prompt; knows nothing of how words follow each other.

use std::collections::HashSet;

use fastrand::Rng;

use super::text::Text;

/// A prompt, held against a text.
pub(super) struct Topics {
    stems: HashSet<String>,
    weights: Vec<f64>,
}

impl Topics {
    /// If the prompt shares no word with the text, the subject is drawn by chance: a reply should still
    /// stay with one.
    pub(super) fn of(prompt: &str, text: &Text, rng: &mut Rng) -> Self {
        let stems: HashSet<String> = stems(prompt).take(MAX_WORDS).collect();
        let scores = if stems.is_empty() { heading_scores(prompt, text) } else { scores(&stems, text) };
        let best = scores.iter().copied().fold(0.0, f64::max);
        let weights = if best > 0.0 {
            scores.iter().map(|score| (score / best).powi(3).max(OFF_TOPIC)).collect()
        } else {
            let chosen = rng.usize(..text.sections.len());
            let weight = |section| if section == chosen { 1.0 } else { OFF_TOPIC };
            text.paragraphs.iter().map(|paragraph| weight(paragraph.section)).collect()
        };
        Self { stems, weights }
    }

    /// How much a paragraph matters, from almost nothing to 1.
    pub(super) fn weight(&self, paragraph: usize) -> f64 {
        self.weights[paragraph]
    }

    /// How many of the prompt's words are among these.
    pub(super) fn shared(&self, stems: &HashSet<String>) -> u32 {
        self.stems.iter().map(|stem| u32::from(stems.contains(stem))).sum()
    }
}

/// A word in the heading counts three times as much as one in the paragraph, and a rare word more than
/// one that is everywhere.
fn scores(prompt: &HashSet<String>, text: &Text) -> Vec<f64> {
    let mut scores = vec![0.0; text.paragraphs.len()];
    for stem in prompt {
        let found: Vec<f64> = text
            .paragraphs
            .iter()
            .map(|paragraph| {
                let heading = text.sections[paragraph.section].stems.contains(stem);
                3.0 * f64::from(u8::from(heading)) + f64::from(u8::from(paragraph.stems.contains(stem)))
            })
            .collect();
        let places: f64 = found.iter().filter(|&&count| count > 0.0).fold(0.0, |sum, _| sum + 1.0);
        let rarity = (1.0 + 200.0 / (1.0 + places)).ln();
        for (score, count) in scores.iter_mut().zip(found) {
            *score += rarity * count;
        }
    }
    scores
}

/// "Who are you?" has no word with content, but a heading may list its words all the same.
fn heading_scores(prompt: &str, text: &Text) -> Vec<f64> {
    let words: HashSet<String> = words(prompt).collect();
    let shared =
        |section: usize| words.intersection(&text.sections[section].words).fold(0.0, |sum, _| sum + 1.0);
    text.paragraphs.iter().map(|paragraph| shared(paragraph.section)).collect()
}

/// The words with content, without their endings: "skies" and "sky" are one, "baking" and "bake" too.
pub(super) fn stems(text: &str) -> impl Iterator<Item = String> {
    words(text).filter(|word| !WITHOUT_CONTENT.contains(&word.as_str())).map(|word| stem(&word))
}

fn words(text: &str) -> impl Iterator<Item = String> {
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

/// What a paragraph weighs that has nothing to do with the prompt. Above zero, so that a sentence that
/// began well can end with words from elsewhere.
const OFF_TOPIC: f64 = 0.00005;

/// Words with content of a prompt that are looked at.
const MAX_WORDS: usize = 200;

/// Endings, the longest first, and what stays in their place.
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
