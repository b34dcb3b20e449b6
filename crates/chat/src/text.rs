//! Text of peers, made fit to be shown. Knows nothing of what it says.

/// A peer's text on one line, bounded, with nothing in it that a terminal could obey.
pub(crate) fn one_line(text: &str) -> String {
    let text = text.trim();
    let mut line: String =
        text.chars().take(MAX_QUOTED).map(|c| if c.is_control() || is_format(c) { ' ' } else { c }).collect();
    if text.chars().nth(MAX_QUOTED).is_some() {
        line.push('…');
    }
    line
}

/// A piece of a reply without what a terminal could obey. Its lines stay lines.
pub(crate) fn printable(text: &str) -> String {
    let obeyed = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || is_order(c);
    text.chars().filter(|c| !obeyed(*c)).collect()
}

/// Characters that reorder or hide the text around them.
const fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Characters that reorder the text around them. Those that only join letters are part of the text.
const fn is_order(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

const MAX_QUOTED: usize = 300;
