//! What must come back: patterns, and what came. Owns their text form; knows no bytes.
//!
//! `1: H D*2 E6"biz error: …" | 3: H? T | open`: what each stream must have sent, in order, and whether the connection is
//! still open after it. A stream that no group names must have sent nothing. A frame is a kind (see [`Seen`]), then as
//! wanted its code, its text, and pairs of its header as `{key=value}`; `?` at the end lets it be absent, `*` lets it come
//! any number of times, `*3` says how often. `…` in a text stands for anything.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::wire::Seen;

/// What a peer has sent, by stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Transcript {
    pub(super) streams: BTreeMap<i32, Vec<Seen>>,
    pub(super) closed: bool,
}

/// A parsed pattern.
#[derive(Clone, Debug, Default)]
pub(super) struct Pattern {
    streams: BTreeMap<i32, Vec<Token>>,
    /// Whether the peer must have closed the connection; `None` if that is left to it.
    pub(super) closed: Option<bool>,
}

#[derive(Clone, Debug)]
struct Token {
    kind: char,
    code: Option<i32>,
    text: Option<String>,
    pair: Option<(String, String)>,
    least: usize,
    most: usize,
}

impl Pattern {
    /// # Panics
    /// The text is not a pattern: a mistake in a row.
    pub(super) fn parse(text: &str) -> Self {
        let mut pattern = Self::default();
        for group in text.split(" | ").map(str::trim).filter(|group| !group.is_empty()) {
            match group {
                "open" => pattern.closed = Some(false),
                "closed" => pattern.closed = Some(true),
                _ => {
                    let (sid, tokens) = group.split_once(':').unwrap_or_else(|| panic!("a stream: {text}"));
                    let sid = sid.parse().unwrap_or_else(|_| panic!("a stream id: {text}"));
                    pattern.streams.insert(sid, Token::parse_all(tokens));
                }
            }
        }
        pattern
    }

    pub(super) fn matches(&self, seen: &Transcript) -> bool {
        let closed = self.closed.is_none_or(|closed| closed == seen.closed);
        let named = self.streams.iter().all(|(sid, tokens)| {
            matches(tokens, seen.streams.get(sid).map(Vec::as_slice).unwrap_or_default())
        });
        closed && named && seen.streams.keys().all(|sid| self.streams.contains_key(sid))
    }
}

impl Token {
    fn parse_all(text: &str) -> Vec<Self> {
        let (mut tokens, mut quoted, mut word) = (Vec::new(), false, String::new());
        for letter in text.chars().chain([' ']) {
            quoted ^= letter == '"';
            if letter != ' ' || quoted {
                word.push(letter);
            } else if !word.is_empty() {
                tokens.push(Self::parse(&std::mem::take(&mut word)));
            }
        }
        tokens
    }

    fn parse(word: &str) -> Self {
        let (body, least, most) = match word.rsplit_once('*') {
            Some((body, "")) => (body, 0, usize::MAX),
            Some((body, count)) if count.parse::<usize>().is_ok() => {
                let count = count.parse().unwrap_or_default();
                (body, count, count)
            }
            _ => word.strip_suffix('?').map_or((word, 1, 1), |body| (body, 0, 1)),
        };
        let (body, pair) = match body.strip_suffix('}').and_then(|body| body.split_once('{')) {
            Some((body, pair)) => (body, pair.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))),
            None => (body, None),
        };
        let (body, text) = match body.strip_suffix('"').and_then(|body| body.split_once('"')) {
            Some((body, text)) => (body, Some(text.to_owned())),
            None => (body, None),
        };
        let mut letters = body.chars();
        let kind = letters.next().unwrap_or_else(|| panic!("a kind of frame: {word}"));
        Self { kind, code: letters.as_str().parse().ok(), text, pair, least, most }
    }

    fn is(&self, seen: &Seen) -> bool {
        self.kind == seen.kind
            && self.code.is_none_or(|code| seen.code == Some(code))
            && self.text.as_ref().is_none_or(|text| glob(text, &seen.text))
            && self.pair.as_ref().is_none_or(|(key, value)| seen.strings.get(key) == Some(value))
    }
}

fn matches(tokens: &[Token], seen: &[Seen]) -> bool {
    let Some((token, rest)) = tokens.split_first() else { return seen.is_empty() };
    let run = seen.iter().take(token.most).take_while(|seen| token.is(seen)).count();
    (token.least..=run).rev().any(|taken| matches(rest, &seen[taken..]))
}

/// Whether `text` is `pattern`, in which `…` stands for anything.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('…') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    rest.is_empty() || text.char_indices().any(|(at, _)| glob(rest, &text[at..]))
}

impl Transcript {
    /// The frames of each stream, as a pattern would say them.
    pub(super) fn show(&self) -> String {
        let groups = self.streams.iter().map(|(sid, seen)| format!("{sid}: {}", show_all(seen)));
        groups.chain([if self.closed { "closed" } else { "open" }.to_owned()]).collect::<Vec<_>>().join(" | ")
    }

    pub(super) fn count(&self, sid: i32, kind: char) -> usize {
        self.streams.get(&sid).into_iter().flatten().filter(|seen| seen.kind == kind).count()
    }
}

fn show_all(seen: &[Seen]) -> String {
    let mut shown = String::new();
    for run in seen.chunk_by(|a, b| a == b) {
        let (Some(first), length) = (run.first(), run.len()) else { continue };
        shown.push_str(if shown.is_empty() { "" } else { " " });
        shown.push(first.kind);
        // A `String` takes any text.
        let _ = first.code.map(|code| write!(shown, "{code}"));
        if !first.text.is_empty() {
            let _ = write!(shown, "\"{:.90}\"", first.text);
        }
        if length > 1 {
            let _ = write!(shown, "*{length}");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::wire::Seen;
    use super::{Pattern, Transcript, glob};

    #[test]
    fn conformance_patterns_match_what_they_say_and_nothing_else() {
        let seen =
            |kind, code, text: &str| Seen { kind, code, text: text.to_owned(), strings: BTreeMap::new() };
        let sent = vec![
            seen('H', None, ""),
            seen('D', None, "a"),
            seen('D', None, "b c"),
            seen('E', Some(6), "boom: x"),
        ];
        let seen = Transcript { streams: BTreeMap::from([(1, sent)]), closed: false };
        let rows = [
            ("1: H D D E | open", true),
            ("1: H D*2 E6 | open", true),
            ("1: H? D* T? E | open", true),
            (r#"1: H D"a" D"b c" E6"boom…""#, true),
            ("1: H D*2 E | closed", false),
            ("1: H D E | open", false),
            ("1: H D*3 E | open", false),
            ("1: H D*2 | open", false),
            ("1: H D*2 E7 | open", false),
            (r#"1: H D"b" D E"#, false),
            ("1: H{k=v} D*2 E", false),
            ("1: H D*2 E | 3: T", false),
            ("open", false),
        ];
        for (pattern, matches) in rows {
            assert_eq!(Pattern::parse(pattern).matches(&seen), matches, "{pattern}");
        }
    }

    #[test]
    fn conformance_texts_may_have_parts_that_are_left_open() {
        let rows = [
            ("a…c", "abc", true),
            ("a…c", "ac", true),
            ("…", "", true),
            ("a…c", "abd", false),
            ("a", "ab", false),
        ];
        for (pattern, text, matches) in rows {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }
}
