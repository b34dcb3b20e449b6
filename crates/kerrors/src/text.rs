//! Text from a peer: truncated when it is received, escaped when it is shown.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Bytes of a peer's message that are kept. Longer ones are truncated; Kitex's texts have up to 140.
const MAX_MESSAGE: usize = 4096;

/// Reads a peer's bytes as text, at most [`MAX_MESSAGE`] of them.
pub(crate) fn bounded(bytes: &[u8]) -> String {
    let cut = bytes.get(..MAX_MESSAGE).unwrap_or(bytes);
    lossy(cut).into_owned()
}

/// Reads bytes of a peer as text. Valid UTF-8, the usual case, is checked a machine word at a time, not byte by
/// byte as [`String::from_utf8_lossy`] does.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Text of a peer, shown with its control characters escaped, so that it cannot forge a line of a log.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, self.0)
    }
}

/// Writes text as [`Escaped`] shows it.
pub(crate) fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut clean = text;
    while let Some(at) = clean.find(char::is_control) {
        let (before, rest) = clean.split_at(at);
        f.write_str(before)?;
        let mut chars = rest.chars();
        for escaped in chars.next().into_iter().flat_map(char::escape_default) {
            f.write_char(escaped)?;
        }
        clean = chars.as_str();
    }
    f.write_str(clean)
}
