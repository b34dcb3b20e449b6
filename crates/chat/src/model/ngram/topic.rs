//! What a prompt is about. Owns how much each paragraph of the text matters for a prompt; knows nothing of how words follow each other.

use std::collections::HashSet;

use fastrand::Rng;

use super::stem::{stems, words};
use super::text::Text;

/// The relevance of the paragraphs of a text for a prompt.
pub(super) struct Topics {
    stems: HashSet<String>,
    weights: Vec<f64>,
}

impl Topics {
    /// Scores a text for a prompt. If they share no word, the subject is random, so that a reply still has
    /// one subject.
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

    /// Returns the weight of a paragraph, from almost 0 to 1.
    pub(super) fn weight(&self, paragraph: usize) -> f64 {
        self.weights[paragraph]
    }

    /// Returns the number of the prompt's words among these.
    pub(super) fn shared(&self, stems: &HashSet<String>) -> u32 {
        self.stems.iter().map(|stem| u32::from(stems.contains(stem))).sum()
    }
}

/// Returns the scores of the paragraphs. A word in the heading counts three times as much as one in the
/// paragraph, and a rare word more than a frequent one.
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

/// The weight of an unrelated paragraph. Above zero, so that a sentence can end with words from any
/// paragraph.
const OFF_TOPIC: f64 = 0.00005;

/// The largest number of words with content of a prompt that are used.
const MAX_WORDS: usize = 200;
