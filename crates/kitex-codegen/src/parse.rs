//! Thrift's grammar, as thriftgo reads it. Owns the syntax; `check` interprets names and
//! values.

mod members;
mod types;

use crate::{
    ast::{Annotations, File, Item, ItemKind},
    docs,
    lex::{self, Comment, Kind, Token, Wrong},
};

/// Returns the syntax tree of a file, or its syntax error.
pub(crate) fn file(text: &str) -> Result<File, Wrong> {
    Parser { tokens: lex::tokens(text)?, at: 0 }.file()
}

type Parsed<T> = Result<T, Wrong>;

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn file(mut self) -> Parsed<File> {
        let mut file = File::default();
        while *self.peek() != Kind::End {
            if !self.separator() {
                self.definition(&mut file)?;
            }
        }
        Ok(file)
    }

    fn definition(&mut self, file: &mut File) -> Parsed<()> {
        self.structured_annotations()?;
        let docs = self.docs_above();
        let line = self.line();
        let Kind::Word(word) = self.peek().clone() else { return Err(self.unknown_definition()) };
        match word.as_str() {
            "include" => {
                self.next();
                file.includes.push((self.text("the path of the included file in quotes")?, line));
            }
            "cpp_include" | "hs_include" => {
                self.next();
                self.text("a path in quotes")?;
            }
            "namespace" => {
                self.next();
                let language =
                    if self.symbol('*') { "*".to_owned() } else { self.word("a language or `*`")? };
                // Apache Thrift allows quotes here.
                let name = match self.peek().clone() {
                    Kind::Text(text) => {
                        self.next();
                        text
                    }
                    _ => self.word("a namespace")?,
                };
                self.annotations()?;
                file.namespaces.push((language, name));
            }
            "const" | "typedef" | "enum" | "struct" | "union" | "exception" | "service" => {
                self.next();
                let (name, line, kind) = self.item(&word)?;
                let annotations = self.annotations()?;
                let docs = self.docs_or_behind(docs);
                file.items.push(Item { name, line, docs, annotations, kind });
            }
            _ => return Err(self.unknown_definition()),
        }
        Ok(())
    }

    fn item(&mut self, word: &str) -> Parsed<(String, usize, ItemKind)> {
        if word == "const" || word == "typedef" {
            let ty = self.ty()?;
            let line = self.line();
            let name = self.word(&format!("the name of the {word}"))?;
            let kind = if word == "const" {
                self.expect('=', "`=` and the value of the constant")?;
                ItemKind::Const(ty, self.value()?)
            } else {
                ItemKind::Typedef(ty)
            };
            return Ok((name, line, kind));
        }
        let line = self.line();
        let name = self.word(&format!("the name of the {word}"))?;
        let kind = match word {
            "enum" => ItemKind::Enum(self.enum_values()?),
            "service" => ItemKind::Service(self.service()?),
            _ => {
                self.expect('{', "`{` and the fields")?;
                let fields = self.fields('}')?;
                match word {
                    "struct" => ItemKind::Struct(fields),
                    "union" => ItemKind::Union(fields),
                    _ => ItemKind::Exception(fields),
                }
            }
        };
        Ok((name, line, kind))
    }

    fn unknown_definition(&self) -> Wrong {
        let known = "include, namespace, const, typedef, enum, struct, union, exception or service";
        (self.line(), format!("{} cannot begin a definition, use {known}", self.found()))
    }

    /// Reads `(key = "value", key)`, any number of times.
    fn annotations(&mut self) -> Parsed<Annotations> {
        let mut annotations = Annotations::default();
        while self.symbol('(') {
            while !self.symbol(')') {
                let key = self.word("the name of an annotation or `)`")?;
                let value = if self.symbol('=') { self.annotation_value()? } else { String::new() };
                annotations.0.push((key, value));
                self.separator();
            }
        }
        Ok(annotations)
    }

    fn annotation_value(&mut self) -> Parsed<String> {
        match self.peek().clone() {
            Kind::Text(text) => {
                self.next();
                // Only quotes are escaped here.
                Ok(text.replace("\\\"", "\"").replace("\\'", "'"))
            }
            Kind::Word(word) | Kind::Number(word) => {
                self.next();
                Ok(word)
            }
            _ => self.value().map(|_| String::new()),
        }
    }

    /// Reads `@Name{...}`, which does not affect code.
    fn structured_annotations(&mut self) -> Parsed<()> {
        while self.symbol('@') {
            self.word("the name of an annotation")?;
            if *self.peek() == Kind::Symbol('{') {
                let line = self.line();
                let mut depth = 0_usize;
                loop {
                    match self.next() {
                        Kind::Symbol('{') => depth += 1,
                        Kind::Symbol('}') => depth -= 1,
                        Kind::End => return Err((line, "annotation has no end, close it with `}`".into())),
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn peek(&self) -> &Kind {
        self.ahead(0)
    }

    fn ahead(&self, count: usize) -> &Kind {
        self.tokens.get(self.at + count).map_or(&Kind::End, |token| &token.kind)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.line)
    }

    fn next(&mut self) -> Kind {
        let kind = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len().saturating_sub(1));
        kind
    }

    /// Takes a symbol if it comes next.
    fn symbol(&mut self, symbol: char) -> bool {
        let is_next = *self.peek() == Kind::Symbol(symbol);
        if is_next {
            self.next();
        }
        is_next
    }

    fn separator(&mut self) -> bool {
        self.symbol(',') || self.symbol(';')
    }

    fn expect(&mut self, symbol: char, wanted: &str) -> Parsed<()> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.wrong(wanted)) }
    }

    fn word(&mut self, wanted: &str) -> Parsed<String> {
        match self.peek().clone() {
            Kind::Word(word) => {
                self.next();
                Ok(word)
            }
            _ => Err(self.wrong(wanted)),
        }
    }

    fn text(&mut self, wanted: &str) -> Parsed<String> {
        match self.peek().clone() {
            Kind::Text(text) => {
                self.next();
                Ok(text)
            }
            _ => Err(self.wrong(wanted)),
        }
    }

    /// Returns the error of an unexpected token.
    fn wrong(&self, wanted: &str) -> Wrong {
        (self.line(), format!("found {}, expected {wanted}", self.found()))
    }

    fn found(&self) -> String {
        match self.peek() {
            Kind::Word(text) | Kind::Number(text) => format!("`{text}`"),
            Kind::Text(text) => format!("\"{}\"", text.chars().take(30).collect::<String>().escape_debug()),
            Kind::Symbol(c) => format!("`{}`", c.escape_debug()),
            Kind::End => "the end of the file".to_owned(),
        }
    }

    /// Returns the comment right above the next token.
    fn docs_above(&self) -> Vec<String> {
        let Some(token) = self.tokens.get(self.at) else { return Vec::new() };
        let (mut below, mut chosen) = (token.line, Vec::new());
        for comment in token.comments.iter().rev() {
            if comment.is_behind || comment.lines.1 + 1 < below {
                break;
            }
            below = comment.lines.0;
            chosen.push(comment);
        }
        lines(chosen.into_iter().rev())
    }

    /// Returns `docs`, or if there are none the comment that follows on the same line.
    fn docs_or_behind(&self, docs: Vec<String>) -> Vec<String> {
        if !docs.is_empty() || self.at == 0 {
            return docs;
        }
        let line = self.tokens[self.at - 1].line;
        let comments = &self.tokens[self.at].comments;
        lines(comments.iter().filter(|comment| comment.is_behind && comment.lines.0 == line).take(1))
    }
}

fn lines<'a>(comments: impl Iterator<Item = &'a Comment>) -> Vec<String> {
    let text: Vec<&str> = comments.map(|comment| comment.text.as_str()).collect();
    docs::lines(&text.join("\n"))
}
