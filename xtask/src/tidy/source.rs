//! Rust text for rules: the code without comments and strings, the strings, and which parts are tests. Reads tokens, not
//! grammar.

use std::ops::Range;

use proc_macro2::{Span, TokenStream, TokenTree};

use super::text::{find_word, is_word_letter};

/// One Rust file, taken apart.
#[derive(Debug)]
pub(super) struct Source {
    /// The text with comments, strings and character literals blanked; every byte keeps its place.
    pub(super) code: String,
    /// The position of each string, and its text.
    pub(super) strings: Vec<(usize, String)>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    pub(super) at: usize,
    pub(super) code_lines: usize,
    /// It has the attribute `test`, or one of that name from elsewhere.
    pub(super) is_test: bool,
}

impl Source {
    /// A file that cannot be parsed has no code: the compiler reports it.
    pub(super) fn new(text: &str) -> Self {
        let blank = text.bytes().map(|byte| if byte == b'\n' { byte } else { b' ' }).collect();
        let mut taken = Taken { text, code: blank, strings: Vec::new() };
        if let Ok(tokens) = text.parse() {
            taken.take_all(tokens);
        }
        // Whole tokens of a text are text.
        let code = String::from_utf8(taken.code).unwrap_or_default();
        Self { code, strings: taken.strings }
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
                is_test: is_test(&self.code[..at]),
            })
        })
    }

    /// Lines that hold more than comments and blanks.
    pub(super) fn code_lines(&self) -> usize {
        count_lines(&self.code)
    }
}

/// Whether the attributes at the end of `code`, before a function, say that it is a test.
fn is_test(code: &str) -> bool {
    let attributes = code.rsplit([';', '{', '}']).next().unwrap_or_default();
    attributes.contains("#[test]") || attributes.contains("::test]") || attributes.contains("::test(")
}

/// What was taken out of a text so far.
struct Taken<'a> {
    text: &'a str,
    code: Vec<u8>,
    strings: Vec<(usize, String)>,
}

impl Taken<'_> {
    fn take_all(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                // What a documentation comment was made into.
                TokenTree::Group(group) if self.text[group.span().byte_range()].starts_with('/') => {}
                TokenTree::Group(group) => {
                    self.take(group.span_open());
                    self.take_all(group.stream());
                    self.take(group.span_close());
                }
                TokenTree::Literal(literal) => self.take_literal(literal.span()),
                token => self.take(token.span()),
            }
        }
    }

    /// Keeps a token as code; not the `#` of what a documentation comment was made into.
    fn take(&mut self, span: Span) {
        let range = span.byte_range();
        let token = &self.text[range.clone()];
        if !token.starts_with('/') || token.len() == 1 {
            self.code[range].copy_from_slice(token.as_bytes());
        }
    }

    /// Keeps a number as code, a string apart, and of a character nothing.
    fn take_literal(&mut self, span: Span) {
        let range = span.byte_range();
        let literal = &self.text[range.clone()];
        match (literal.find('"'), literal.rfind('"')) {
            _ if literal.starts_with('\'') || literal.starts_with("b'") => {}
            (Some(open), Some(close)) if open < close => {
                self.strings.push((range.start + open + 1, literal[open + 1..close].to_owned()));
            }
            _ => self.take(span),
        }
    }
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
