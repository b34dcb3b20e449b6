//! The training text of the model: tokens in order, sentences, paragraphs, and the successors of each pair of
//! tokens. Owns the format of the text; knows nothing of prompts or of sampling.
//!
//! A line that begins with `#` opens a section and lists words that a question about it may use. Empty lines
//! separate paragraphs. A token is a word or a punctuation mark.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::stem::stems;

/// A parsed text.
pub(super) struct Text {
    pub(super) tokens: Vec<&'static str>,
    pub(super) sentences: Vec<Sentence>,
    pub(super) paragraphs: Vec<Paragraph>,
    pub(super) sections: Vec<Section>,
    after_two: HashMap<[&'static str; 2], Vec<usize>>,
    sentence_at: Vec<usize>,
}

/// From its first word to its full stop.
pub(super) struct Sentence {
    pub(super) tokens: Range<usize>,
    pub(super) paragraph: usize,
    pub(super) stems: HashSet<String>,
    pub(super) opens: Opens,
    /// Refers to the previous sentence by "this" or "it".
    pub(super) leans: bool,
}

/// The unit that a sentence opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opens {
    Nothing,
    Paragraph,
    Section,
}

/// A few related sentences.
pub(super) struct Paragraph {
    pub(super) section: usize,
    pub(super) stems: HashSet<String>,
}

/// A few paragraphs on one subject.
pub(super) struct Section {
    pub(super) words: HashSet<String>,
    pub(super) stems: HashSet<String>,
}

impl Text {
    pub(super) fn read(source: &'static str) -> Self {
        let mut text = Self {
            tokens: Vec::new(),
            sentences: Vec::new(),
            paragraphs: Vec::new(),
            sections: Vec::new(),
            after_two: HashMap::new(),
            sentence_at: Vec::new(),
        };
        for block in source.split("\n\n") {
            match block.trim_start().strip_prefix('#') {
                Some(heading) => text.open_section(heading),
                None => text.add_paragraph(block),
            }
        }
        text.count();
        text
    }

    /// Returns the places in the text where a token follows the last `order` tokens (two or more) of
    /// `context` within one sentence.
    pub(super) fn after(&self, context: &[&'static str], order: usize) -> impl Iterator<Item = usize> {
        let places = match context {
            [.., a, b] if order <= context.len() => self.after_two.get(&[*a, *b]),
            _ => None,
        };
        let end = &context[context.len().saturating_sub(order)..];
        places.into_iter().flatten().copied().filter(move |&place| self.within_sentence(place).ends_with(end))
    }

    /// Returns the tokens of the sentence before `place`.
    fn within_sentence(&self, place: usize) -> &[&'static str] {
        &self.tokens[self.sentences[self.sentence_at[place]].tokens.start..place]
    }

    pub(super) fn sentence_at(&self, place: usize) -> usize {
        self.sentence_at[place]
    }

    pub(super) fn paragraph_at(&self, place: usize) -> usize {
        self.sentences[self.sentence_at[place]].paragraph
    }

    fn open_section(&mut self, heading: &str) {
        let words = heading.split_whitespace().map(str::to_lowercase).collect();
        self.sections.push(Section { words, stems: stems(heading).collect() });
    }

    fn add_paragraph(&mut self, block: &'static str) {
        let Some(section) = self.sections.len().checked_sub(1) else { return };
        let paragraph = self.paragraphs.len();
        self.paragraphs.push(Paragraph { section, stems: stems(block).collect() });
        let mut first = self.tokens.len();
        let opens_section = paragraph == 0 || self.paragraphs[paragraph - 1].section != section;
        let mut opens = if opens_section { Opens::Section } else { Opens::Paragraph };
        for token in block.split_whitespace().flat_map(split_mark) {
            self.tokens.push(token);
            self.sentence_at.push(self.sentences.len());
            if ends_sentence(token) {
                let tokens = first..self.tokens.len();
                let words = &self.tokens[tokens.clone()];
                let stems = words.iter().flat_map(|token| stems(token)).collect();
                let leans = leans(words);
                self.sentences.push(Sentence { tokens, paragraph, stems, opens, leans });
                first = self.tokens.len();
                opens = Opens::Nothing;
            }
        }
        // A sentence without a full stop could never end.
        self.tokens.truncate(first);
        self.sentence_at.truncate(first);
    }

    /// Records the successors of each pair of tokens within a sentence.
    fn count(&mut self) {
        for sentence in &self.sentences {
            for next in sentence.tokens.clone().skip(2) {
                self.after_two.entry([self.tokens[next - 2], self.tokens[next - 1]]).or_default().push(next);
            }
        }
    }
}

/// Returns whether a token ends a sentence.
pub(super) fn ends_sentence(token: &str) -> bool {
    matches!(token, "." | "?" | "!")
}

/// Returns whether a token is appended to the previous word without a space.
pub(super) fn is_mark(token: &str) -> bool {
    matches!(token, "." | "?" | "!" | "," | ";" | ":")
}

/// Returns whether the first words of a sentence refer to the previous one.
fn leans(sentence: &[&str]) -> bool {
    sentence.iter().take(3).any(|word| POINTING_BACK.contains(&word.to_lowercase().as_str()))
}

/// Returns a word, and the mark at its end if there is one.
fn split_mark(word: &'static str) -> impl Iterator<Item = &'static str> {
    let body = word.trim_end_matches(|c: char| is_mark(c.encode_utf8(&mut [0; 4])));
    [body, &word[body.len()..]].into_iter().filter(|part| !part.is_empty())
}

const POINTING_BACK: &[&str] = &[
    "another", "both", "but", "it", "its", "others", "same", "second", "such", "them", "then", "these",
    "they", "this", "those",
];
