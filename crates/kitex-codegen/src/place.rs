//! Where things stand in an IDL file, and which comment stands with them. Owns a scan for words, strings,
//! braces and comments, because the parser's tree has no places and loses comments between fields; it checks
//! nothing.

use std::{collections::HashMap, ops::Range};

/// The words, brackets and comments of a file with their lines.
#[derive(Debug)]
pub(crate) struct Places {
    tokens: Vec<Token>,
    comments: Vec<Comment>,
    /// The tokens that name what is defined, by name.
    items: HashMap<String, Vec<usize>>,
}

#[derive(Debug)]
struct Comment {
    text: String,
    /// The lines it begins and ends on.
    lines: (usize, usize),
    /// Whether it stands behind something on its line.
    is_behind: bool,
}

#[derive(Debug)]
struct Token {
    /// A word, a string with its quotes, or one other character.
    text: String,
    line: usize,
    /// How many `{` are open around it.
    depth: usize,
}

impl Places {
    pub(crate) fn new(text: &str) -> Self {
        let mut scan = Scan { text, at: 0, line: 1, depth: 0, tokens: Vec::new(), comments: Vec::new() };
        while scan.at < text.len() {
            scan.step();
        }
        let items = scan.items();
        Self { tokens: scan.tokens, comments: scan.comments, items }
    }

    /// The line where the item `name` is defined; the first line if it is nowhere.
    pub(crate) fn item(&self, name: &str) -> usize {
        self.item_at(name).map_or(1, |at| self.tokens[at].line)
    }

    /// The lines of all definitions of `name`.
    pub(crate) fn items(&self, name: &str) -> impl Iterator<Item = usize> {
        self.items.get(name).into_iter().flatten().map(|at| self.tokens[*at].line)
    }

    /// The line of `member` within the braces of `item`; the item's line if it is nowhere.
    pub(crate) fn member(&self, item: &str, member: &str) -> usize {
        self.nth_member(item, member, 1)
    }

    /// The line of the `nth` time that `member` is named within the braces of `item`, from 1.
    pub(crate) fn nth_member(&self, item: &str, member: &str, nth: usize) -> usize {
        let Some(start) = self.item_at(item) else { return 1 };
        let mut found = self.body(start).filter(|at| self.tokens[*at].text == member);
        found.nth(nth - 1).map_or(self.tokens[start].line, |at| self.tokens[at].line)
    }

    /// The line of the field with `id` within the braces of `item`; the item's line if it is nowhere.
    pub(crate) fn field(&self, item: &str, id: i32) -> usize {
        let Some(start) = self.item_at(item) else { return 1 };
        let id = id.unsigned_abs().to_string();
        let is_id = |at: &usize| self.tokens[*at].depth == 1 && self.tokens[*at].text == id;
        let is_field = |at: &usize| is_id(at) && self.tokens.get(at + 1).is_some_and(|next| next.text == ":");
        self.body(start).find(is_field).map_or(self.tokens[start].line, |at| self.tokens[at].line)
    }

    /// The comment right above `line`, or else the one behind what stands on it.
    pub(crate) fn comment(&self, line: usize) -> String {
        let end = self.comments.partition_point(|comment| comment.lines.1 < line);
        let mut above = Vec::new();
        let mut next = line;
        for comment in self.comments[..end].iter().rev().filter(|comment| !comment.is_behind) {
            if comment.lines.1 + 1 != next {
                break;
            }
            above.insert(0, comment.text.as_str());
            next = comment.lines.0;
        }
        let behind = || self.comments.get(end).filter(|comment| comment.is_behind && comment.lines.0 == line);
        match above.is_empty() {
            true => behind().map_or_else(String::new, |comment| comment.text.clone()),
            false => above.join("\n"),
        }
    }

    /// The line of the method `name(` of a service, the `nth` of that name.
    pub(crate) fn method(&self, service: &str, name: &str, nth: usize) -> usize {
        let Some(start) = self.item_at(service) else { return 1 };
        let is_method = |at: &usize| {
            self.tokens[*at].text == name && self.tokens.get(at + 1).is_some_and(|next| next.text == "(")
        };
        let mut found = self.body(start).filter(is_method);
        found.nth(nth - 1).map_or(self.tokens[start].line, |at| self.tokens[at].line)
    }

    /// The line where `path` is included.
    pub(crate) fn include(&self, path: &str) -> usize {
        let is_path = |token: &&Token| token.text.trim_matches(['"', '\'']) == path;
        self.tokens.iter().find(is_path).map_or(1, |token| token.line)
    }

    fn item_at(&self, name: &str) -> Option<usize> {
        self.items.get(name).and_then(|at| at.first()).copied()
    }

    fn body(&self, start: usize) -> Range<usize> {
        let opened =
            self.tokens[start..].iter().position(|token| token.depth > 0).map_or(start, |at| at + start);
        let closed = self.tokens[opened..].iter().position(|token| token.depth == 0);
        opened..closed.map_or(self.tokens.len(), |at| at + opened)
    }
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    depth: usize,
    tokens: Vec<Token>,
    comments: Vec<Comment>,
}

impl Scan<'_> {
    fn step(&mut self) {
        let rest = &self.text[self.at..];
        let first = rest.chars().next().unwrap_or(' ');
        match first {
            '#' => self.comment(until(rest, "\n")),
            '/' if rest.starts_with("//") => self.comment(until(rest, "\n")),
            '/' if rest.starts_with("/*") => self.comment(until(&rest[2..], "*/") + 4),
            '"' | '\'' => self.string(first),
            c if is_word(c) => self.token(rest.find(|c| !is_word(c)).unwrap_or(rest.len())),
            c if c.is_whitespace() => self.pass(c.len_utf8()),
            '{' => {
                self.depth += 1;
                self.token(1);
            }
            '}' => {
                self.depth = self.depth.saturating_sub(1);
                self.token(1);
            }
            c => self.token(c.len_utf8()),
        }
    }

    fn string(&mut self, quote: char) {
        let inner = &self.text[self.at + 1..];
        self.token(inner.find(quote).map_or(inner.len() + 1, |length| length + 2));
    }

    fn comment(&mut self, length: usize) {
        let (start, first) = (self.at, self.line);
        let is_behind = self.tokens.last().is_some_and(|token| token.line == first);
        self.pass(length);
        let text = self.text[start..self.at].to_owned();
        self.comments.push(Comment { text, lines: (first, self.line), is_behind });
    }

    fn token(&mut self, length: usize) {
        let text = self.text[self.at..self.at + length].to_owned();
        self.tokens.push(Token { text, line: self.line, depth: self.depth });
        self.pass(length);
    }

    fn pass(&mut self, length: usize) {
        let end = (self.at + length).min(self.text.len());
        self.line += self.text[self.at..end].matches('\n').count();
        self.at = end;
    }
}

impl Scan<'_> {
    /// What is defined outside of all braces.
    fn items(&self) -> HashMap<String, Vec<usize>> {
        let mut items: HashMap<String, Vec<usize>> = HashMap::new();
        let mut next = 0;
        while next < self.tokens.len() {
            let name = self.defined(next).filter(|name| *name < self.tokens.len());
            if let Some(at) = name {
                items.entry(self.tokens[at].text.clone()).or_default().push(at);
            }
            next = name.unwrap_or(next) + 1;
        }
        items
    }

    /// The token that names what the keyword at `at` defines.
    fn defined(&self, at: usize) -> Option<usize> {
        match self.tokens[at].text.as_str() {
            _ if self.tokens[at].depth > 0 => None,
            "struct" | "union" | "exception" | "enum" | "service" => Some(at + 1),
            "typedef" | "const" => Some(self.after_type(at + 1)),
            _ => None,
        }
    }

    /// The token after a type: a path, what it is a container of, and annotations.
    fn after_type(&self, start: usize) -> usize {
        let text = |at: usize| self.tokens.get(at).map_or("", |token| token.text.as_str());
        let mut at = start + 1;
        while text(at) == "." {
            at += 2;
        }
        let mut open = 0;
        while matches!(text(at), "<" | "(") || open > 0 {
            match text(at) {
                "<" | "(" => open += 1,
                ">" | ")" => open -= 1,
                "" => break,
                _ => {}
            }
            at += 1;
        }
        at
    }
}

fn until(text: &str, end: &str) -> usize {
    text.find(end).unwrap_or(text.len())
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
