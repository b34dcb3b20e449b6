//! The tokens of an IDL file: comments, strings, numbers, with their positions. Knows no grammar.

/// A token with its position and the comments before it.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// From 1.
    pub(crate) line: usize,
    pub(crate) comments: Vec<Comment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name, with dots if it has some.
    Word(String),
    /// A number as it is written, with its sign.
    Number(String),
    /// The text between the quotes, with escapes as written.
    Text(String),
    /// Any other character.
    Symbol(char),
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Comment {
    /// With its marks.
    pub(crate) text: String,
    /// The lines it begins and ends on.
    pub(crate) lines: (usize, usize),
    /// Whether another token precedes it on its line.
    pub(crate) is_behind: bool,
}

/// An error and its line.
pub(crate) type Wrong = (usize, String);

/// Returns the tokens of `text`; the last one is [`Kind::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Wrong> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lexer = Lexer { rest: text, line: 1, comments: Vec::new(), tokens: Vec::new() };
    loop {
        lexer.skip()?;
        let line = lexer.line;
        let kind = lexer.kind()?;
        let is_end = kind == Kind::End;
        let comments = std::mem::take(&mut lexer.comments);
        lexer.tokens.push(Token { kind, line, comments });
        if is_end {
            return Ok(lexer.tokens);
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    /// Those since the last token.
    comments: Vec<Comment>,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    /// Skips whitespace and comments.
    fn skip(&mut self) -> Result<(), Wrong> {
        loop {
            let space = self.rest.len() - self.rest.trim_start().len();
            self.take(space);
            let length = if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.rest.find(['\n', '\r']).unwrap_or(self.rest.len())
            } else if let Some(inner) = self.rest.strip_prefix("/*") {
                let end = inner.find("*/");
                end.ok_or((self.line, "comment has no end, close it with `*/`".to_owned()))? + 4
            } else {
                return Ok(());
            };
            let first = self.line;
            let is_behind = self.tokens.last().is_some_and(|token| token.line == first);
            let text = self.take(length).to_owned();
            self.comments.push(Comment { text, lines: (first, self.line), is_behind });
        }
    }

    fn kind(&mut self) -> Result<Kind, Wrong> {
        let Some(first) = self.rest.chars().next() else { return Ok(Kind::End) };
        if first == '"' || first == '\'' {
            return self.text(first).map(Kind::Text);
        }
        if first.is_ascii_digit() || matches!(first, '+' | '-' | '.') {
            let number = number(self.rest);
            if number > 0 {
                return Ok(Kind::Number(self.take(number).to_owned()));
            }
        }
        if is_letter(first) {
            let end = self.rest.find(|c| !is_letter(c) && !char::is_ascii_digit(&c) && c != '.');
            return Ok(Kind::Word(self.take(end.unwrap_or(self.rest.len())).to_owned()));
        }
        self.take(first.len_utf8());
        Ok(Kind::Symbol(first))
    }

    fn text(&mut self, quote: char) -> Result<String, Wrong> {
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            if c == '\\' {
                chars.next();
            } else if c == quote {
                let whole = self.take(at + 1);
                return Ok(whole[1..at].to_owned());
            }
        }
        Err((self.line, format!("string has no end, close it with {quote}")))
    }

    /// Takes `length` bytes and counts their lines.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        // Some old files end lines with a carriage return only.
        let returns = taken.matches('\r').count() - taken.matches("\r\n").count();
        self.line += taken.matches('\n').count() + returns;
        taken
    }
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

/// Returns the length of the number that `text` begins with.
fn number(text: &str) -> usize {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let sign = usize::from(text.starts_with(['+', '-']));
    let body = &text[sign..];
    if let Some(prefix) = ["0x", "0X", "0o", "0O"].iter().find(|prefix| body.starts_with(**prefix)) {
        let rest = &body[prefix.len()..];
        return sign + prefix.len() + rest.len()
            - rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).len();
    }
    let whole = digits(body);
    let mut length = whole;
    if body[length..].starts_with('.') {
        let fraction = digits(&body[length + 1..]);
        if whole + fraction == 0 {
            return 0;
        }
        length += 1 + fraction;
    }
    if length == 0 {
        return 0;
    }
    if body[length..].starts_with(['e', 'E']) {
        let rest = &body[length + 1..];
        let signed = usize::from(rest.starts_with(['+', '-']));
        let exponent = digits(&rest[signed..]);
        if exponent > 0 {
            length += 1 + signed + exponent;
        }
    }
    sign + length
}
