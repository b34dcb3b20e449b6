//! Writes a reply, one token at a time. Owns the sampling; knows nothing of time or of streams.
//!
//! A token is drawn from all places in the text that follow the same two to four tokens, weighted by the
//! relevance of the paragraph around each place for the prompt. The model is thus an n-gram model with
//! back-off whose counts depend on the prompt.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use fastrand::Rng;

use super::text::{Opens, Text, ends_sentence, is_mark};
use super::topic::Topics;

/// A reply that is being written.
pub(super) struct Writer {
    text: Arc<Text>,
    topics: Topics,
    rng: Rng,
    /// The number of tokens after which the next end of a sentence ends the reply.
    enough: usize,
    written: usize,
    /// The sentence so far.
    sentence: Vec<&'static str>,
    /// The place of the last token in the text.
    place: Option<usize>,
    /// The number of consecutive tokens from one sentence of the text.
    run: usize,
    used: HashSet<usize>,
}

impl Writer {
    pub(super) fn new(text: Arc<Text>, topics: Topics, mut rng: Rng) -> Self {
        let enough = rng.usize(ENOUGH);
        let (sentence, used) = (Vec::new(), HashSet::new());
        Self { text, topics, rng, enough, written: 0, sentence, place: None, run: 0, used }
    }

    /// The reply ends with the sentence in which it has so many tokens.
    pub(super) fn with_length(mut self, length: Option<usize>) -> Self {
        self.enough = length.unwrap_or(self.enough);
        self
    }

    /// Returns the next token to append, with the space before it; `None` at the end of the reply.
    pub(super) fn next(&mut self) -> Option<String> {
        let place = if self.sentence.is_empty() {
            if self.written >= self.enough {
                return None;
            }
            self.first_place()
        } else {
            self.next_place()
        };
        let token = self.text.tokens[place];
        self.run = if self.place.is_some_and(|last| last + 1 == place) { self.run + 1 } else { 0 };
        self.place = Some(place);
        self.used.insert(self.text.sentence_at(place));
        self.sentence.push(token);
        if ends_sentence(token) {
            self.sentence.clear();
        }
        let space = if self.written == 0 || is_mark(token) { "" } else { " " };
        self.written += 1;
        Some(format!("{space}{token}"))
    }

    /// Returns the start of a new sentence: related to the prompt, not used before, preferably the text's
    /// next one.
    fn first_place(&mut self) -> usize {
        let next = self.place.map(|place| self.text.sentence_at(place) + 1);
        let candidates = self.text.sentences.iter().enumerate().map(|(at, sentence)| {
            let mut weight = self.topics.weight(sentence.paragraph).powi(2);
            // The first sentence should use the question's own words.
            let other_words = if self.written == 0 { 0.005 } else { 1.0 };
            weight *= other_words + f64::from(self.topics.shared(&sentence.stems)).powi(2);
            weight *= match (self.written, sentence.opens) {
                (0, Opens::Section) => 64.0,
                (0, Opens::Paragraph) => 8.0,
                _ => 1.0,
            };
            weight *= match (next == Some(at), sentence.leans) {
                (true, _) if self.run > LONG_RUN => AGAIN * AGAIN,
                (true, _) => 16.0,
                (false, true) => 0.01,
                (false, false) => 1.0,
            };
            if self.used.contains(&at) {
                weight *= AGAIN * AGAIN;
            }
            (sentence.tokens.start, weight)
        });
        draw(&mut self.rng, candidates.collect())
    }

    /// Returns the place where the sentence continues. After a linking word, such as "of the", many words can
    /// follow, and two or three tokens of context are sufficient. After another word they do not determine
    /// whether it is a subject or an object, so more are required.
    fn next_place(&mut self) -> usize {
        let on = self.place.map_or(0, |place| place + 1);
        // An early change of the source can lose the verb, and the text's own sentence always ends.
        if !TURNS.contains(&self.sentence.len()) {
            return on;
        }
        let links = self.sentence.last().is_some_and(|token| LINKS.contains(token));
        let order = match links {
            true if self.run >= SHORT_RUN && self.rng.f64() < BACK_OFF => 2,
            true => 3,
            false => 4,
        };
        let candidates = self.text.after(&self.sentence, order).map(|place| {
            let mut weight = self.topics.weight(self.text.paragraph_at(place));
            if place == on && self.run >= SHORT_RUN {
                weight *= GO_ON;
            } else if place != on && self.used.contains(&self.text.sentence_at(place)) {
                weight *= AGAIN;
            }
            (place, weight)
        });
        let candidates: Vec<_> = candidates.collect();
        if candidates.is_empty() { on } else { draw(&mut self.rng, candidates) }
    }
}

/// Draws one of the candidates by weight.
fn draw(rng: &mut Rng, candidates: Vec<(usize, f64)>) -> usize {
    let total: f64 = candidates.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.f64() * total;
    let last = candidates.last().map_or(0, |(place, _)| *place);
    candidates
        .into_iter()
        .find(|(_, weight)| {
            left -= weight;
            left < 0.0
        })
        .map_or(last, |(place, _)| place)
}

/// The number of tokens of a reply before its last sentence ends.
const ENOUGH: Range<usize> = 60..160;

/// The lengths of a sentence, in tokens, at which it may continue at another place of the text.
const TURNS: Range<usize> = 5..40;

/// The number of consecutive tokens from the text after which the next sentence must not be the text's next
/// one, so that a reply is not a copy.
const LONG_RUN: usize = 20;

/// The number of consecutive tokens from one sentence of the text before two tokens of context are
/// sufficient.
const SHORT_RUN: usize = 3;

/// The probability that two tokens of context are sufficient.
const BACK_OFF: f64 = 0.5;

/// The weight of a sentence of the text that was followed for a while.
const GO_ON: f64 = 0.25;

/// The weight of a sentence of the text that the reply has used before.
const AGAIN: f64 = 0.01;

/// Words, and a mark, after which a new part of the sentence begins.
#[rustfmt::skip]
const LINKS: &[&str] = &[
    ",", "and", "as", "at", "because", "by", "for", "from", "in", "into", "of", "on", "or", "so", "than", "that", "the",
    "through", "to", "when", "which", "while", "with",
];
