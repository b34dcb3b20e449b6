//! Rust text as a rule wants it: the code without comments and strings, the strings apart, and which part
//! of it is test. Reads letters, not grammar: what only a compiler knows is not known here.

use std::ops::Range;

use proc_macro2::{TokenStream, TokenTree};

use super::words::{find_word, is_word_letter};

/// One Rust file, taken apart.
#[derive(Debug)]
pub(super) struct Source {
    /// The text with comments, strings and character literals blanked; every byte keeps its place.
    pub(super) code: String,
    /// Where each string stands, and what is between its quotes.
    pub(super) strings: Vec<(usize, String)>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    pub(super) at: usize,
    pub(super) code_lines: usize,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let mut source = Self { code: String::with_capacity(text.len()), strings: Vec::new() };
        let mut rest = text;
        while !rest.is_empty() {
            let piece = Piece::first_of(rest);
            source.push(&piece);
            rest = &rest[piece.len()..];
        }
        source
    }

    fn push(&mut self, piece: &Piece<'_>) {
        match *piece {
            Piece::Code(part) => self.code.push_str(part),
            Piece::Blank(part) => blank(&mut self.code, part),
            Piece::String { open, text, close } => {
                self.strings.push((self.code.len(), text.to_owned()));
                blank(&mut self.code, open);
                blank(&mut self.code, text);
                self.code.push_str(close);
            }
        }
    }

    /// Items under `#[cfg(test)]` and its like.
    pub(super) fn test_items(&self) -> impl Iterator<Item = Range<usize>> {
        self.code.match_indices("#[cfg(").filter_map(|(at, _)| {
            let attribute = at..at + self.code[at..].find(']')? + 1;
            let condition = &self.code[attribute.clone()];
            let tests = find_word(condition, "test").next().is_some() && !condition.contains("not(test");
            tests.then(|| at..item_end(&self.code, attribute.end))
        })
    }

    /// Modules under `#[cfg(test)]` that are files of their own.
    pub(super) fn test_modules(&self) -> impl Iterator<Item = &str> {
        self.test_items().filter_map(|item| {
            let words: Vec<&str> = self.code[item].strip_suffix(';')?.split_whitespace().collect();
            if let [.., "mod", module] = *words { Some(module) } else { None }
        })
    }

    /// Every function that has a body, those inside other functions too.
    pub(super) fn functions(&self) -> impl Iterator<Item = Function<'_>> {
        find_word(&self.code, "fn").filter_map(|at| {
            let name = self.code[at + 2..].trim_start();
            let name = &name[..name.find(|letter| !is_word_letter(letter)).unwrap_or(name.len())];
            let text = &self.code[at..item_end(&self.code, at)];
            (!name.is_empty() && text.ends_with('}')).then(|| Function {
                name,
                at,
                code_lines: count_lines(text),
            })
        })
    }

    /// Lines that hold more than comments and blanks.
    pub(super) fn code_lines(&self) -> usize {
        count_lines(&self.code)
    }
}

/// What a text begins with.
enum Piece<'a> {
    Code(&'a str),
    /// A comment or a character.
    Blank(&'a str),
    String {
        open: &'a str,
        text: &'a str,
        close: &'a str,
    },
}

impl<'a> Piece<'a> {
    fn first_of(rest: &'a str) -> Self {
        if rest.starts_with("//") {
            Self::Blank(&rest[..rest.find('\n').unwrap_or(rest.len())])
        } else if rest.starts_with("/*") {
            Self::Blank(&rest[..block_comment(rest)])
        } else if rest.starts_with('"') {
            Self::string(rest, 1, closing_quote(rest), 1)
        } else if let Some(hashes) = raw_string(rest) {
            let close = format!("\"{}", &rest[1..=hashes]);
            let text = &rest[hashes + 2..];
            Self::string(rest, hashes + 2, text.find(&close).map(|at| at + hashes + 2), close.len())
        } else if let Some(length) = character(rest) {
            Self::Blank(&rest[..length])
        } else {
            let next =
                rest.char_indices().skip(1).find(|(_, letter)| matches!(letter, '/' | '"' | '\'' | 'r'));
            Self::Code(&rest[..next.map_or(rest.len(), |(at, _)| at)])
        }
    }

    /// A string that opens with `open` bytes and closes at `end` with `close` bytes; without an end, the rest.
    fn string(rest: &'a str, open: usize, end: Option<usize>, close: usize) -> Self {
        let (end, close) = end.map_or((rest.len(), 0), |end| (end, close));
        Self::String { open: &rest[..open], text: &rest[open..end], close: &rest[end..end + close] }
    }

    fn len(&self) -> usize {
        match self {
            Self::Code(part) | Self::Blank(part) => part.len(),
            Self::String { open, text, close } => open.len() + text.len() + close.len(),
        }
    }
}

/// Length of the block comment that `rest` begins with; they nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match rest.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") if depth == 1 => return at + 2,
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

/// Where the string that `rest` begins with closes.
fn closing_quote(rest: &str) -> Option<usize> {
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some(at),
            '\\' => drop(letters.next()),
            _ => {}
        }
    }
    None
}

/// Number of `#` of the raw string that `rest` begins with.
fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// Length of the character that `rest` begins with; none for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut letters = rest.strip_prefix('\'')?.chars();
    match (letters.next()?, letters.next()?) {
        ('\\', escaped) => {
            let start = 2 + escaped.len_utf8();
            rest[start..].find('\'').map(|end| start + end + 1)
        }
        (letter, '\'') => Some(letter.len_utf8() + 2),
        _ => None,
    }
}

fn blank(code: &mut String, part: &str) {
    code.extend(part.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
}

/// End of the item that begins at `start`: after its body, or after its semicolon.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_i32;
    for (at, letter) in code[start..].char_indices() {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth <= 0 && matches!(letter, '}' | ';') {
            return start + at + 1;
        }
    }
    code.len()
}

fn count_lines(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

/// Whether the condition of a `cfg` asks for tests.
pub(super) fn names_test(condition: TokenStream) -> bool {
    let mut negated = false;
    for token in condition {
        match token {
            TokenTree::Group(group) if !negated && names_test(group.stream()) => return true,
            TokenTree::Ident(name) if name == "test" => return true,
            TokenTree::Ident(name) => negated = name == "not",
            _ => negated = false,
        }
    }
    false
}
