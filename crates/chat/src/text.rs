//! Makes text of peers safe to display. Knows nothing of its content.

/// Returns a peer's text on one line, bounded, without terminal control characters.
pub(crate) fn one_line(text: &str) -> String {
    let text = text.trim();
    let mut line: String =
        text.chars().take(MAX_QUOTED).map(|c| if c.is_control() || is_format(c) { ' ' } else { c }).collect();
    if text.chars().nth(MAX_QUOTED).is_some() {
        line.push('…');
    }
    line
}

/// Returns a piece of a reply without terminal control characters. Line breaks are kept.
pub(crate) fn printable(text: &str) -> String {
    let obeyed = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || is_order(c);
    text.chars().filter(|c| !obeyed(*c)).collect()
}

/// Returns whether a character reorders or hides the text around it.
const fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Returns whether a character reorders the text around it. Joiners of letters are part of the text.
const fn is_order(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

const MAX_QUOTED: usize = 300;
