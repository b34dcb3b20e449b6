//! Breaks text at spaces for a terminal of a known width. Owns where lines end; knows nothing of the output.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Breaks text that comes in pieces. A word that turns out to be too long for its line is moved to the next one, so that
/// each piece can be shown as it comes.
#[derive(Debug, Default)]
pub struct Wrap {
    /// Cells that the current line has used.
    column: usize,
    /// The word at the end of the line, as far as it has come.
    word: String,
}

impl Wrap {
    /// Returns a wrap at the start of a line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the output that continues the text with `piece` on a terminal of `width` columns. The last column stays
    /// free: what a terminal does after a character there differs.
    pub fn push(&mut self, piece: &str, width: usize) -> String {
        let limit = width.saturating_sub(1).max(1);
        let mut out = String::with_capacity(piece.len());
        for c in piece.chars() {
            match c {
                '\n' => self.end_line(&mut out),
                ' ' | '\t' if self.column >= limit => self.end_line(&mut out),
                ' ' | '\t' => {
                    out.push(' ');
                    self.column += 1;
                    self.word.clear();
                }
                c => self.add(c, limit, &mut out),
            }
        }
        out
    }

    fn end_line(&mut self, out: &mut String) {
        out.push('\n');
        self.column = 0;
        self.word.clear();
    }

    fn add(&mut self, c: char, limit: usize, out: &mut String) {
        let cells = c.width().unwrap_or(0);
        // Scripts with wide characters have no spaces: their lines may be broken before each.
        if cells > 1 {
            self.word.clear();
        }
        if self.column + cells > limit {
            let begun = self.word.width();
            let moved = if begun < self.column { std::mem::take(&mut self.word) } else { String::new() };
            if !moved.is_empty() {
                // Back to the start of the word, and the rest of the line erased.
                out.push_str(&format!("\x1b[{begun}D\x1b[K"));
            }
            self.end_line(out);
            out.push_str(&moved);
            self.column = moved.width();
            self.word = moved;
        }
        out.push(c);
        self.column += cells;
        if cells < 2 {
            self.word.push(c);
        }
    }
}

/// Returns the lines of a text that is whole, each below `width` columns, the second and later ones indented. A word that
/// is longer than a line has a line of its own.
pub(crate) fn paragraph(text: &str, indent: usize, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    // Leading spaces are the first line's own indent.
    line.extend(text.chars().take_while(|c| *c == ' '));
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.width() + 1 + word.width() >= width {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines.push(line);
    lines
}

/// Returns a line that fits below `width` columns: what is too long ends with `…`.
pub(crate) fn cut(line: &str, width: usize) -> String {
    if line.width() < width {
        return line.to_owned();
    }
    let (mut cut, mut cells) = (String::new(), 1);
    for c in line.chars() {
        cells += c.width().unwrap_or(0);
        if cells >= width {
            break;
        }
        cut.push(c);
    }
    cut + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrap_push_breaks_lines_at_spaces_wherever_a_piece_ends() {
        let rows: [(&[&str], usize, &str); 8] = [
            (&["one two"], 80, "one two"),
            (&["one two three"], 9, "one two\nthree"),
            (&["one tw", "o three"], 6, "one\ntwo\nthree"),
            // Exactly full: the space after it ends the line.
            (&["four", " five"], 5, "four\nfive"),
            (&["a\nb c"], 80, "a\nb c"),
            // Longer than a line.
            (&["abcdefgh"], 5, "abcd\nefgh"),
            // Two cells each, without spaces.
            (&["天空是", "蓝色的"], 8, "天空是\n蓝色的"),
            // A combining mark has no cell.
            (&["e\u{301}e\u{301}e\u{301}"], 4, "e\u{301}e\u{301}e\u{301}"),
        ];
        for (pieces, width, expected) in rows {
            let mut wrap = Wrap::new();
            let out: String = pieces.iter().map(|piece| wrap.push(piece, width)).collect();
            assert_eq!(seen(&out), expected, "{pieces:?} at {width}");
        }
    }

    /// Returns what is on the screen: a move back takes back what was written of the word.
    fn seen(out: &str) -> String {
        let mut seen = String::new();
        let mut rest = out;
        while let Some((before, after)) = rest.split_once("\x1b[") {
            seen.push_str(before);
            let (cells, after) = after.split_once('D').expect("a move back");
            let kept = seen.chars().count() - cells.parse::<usize>().expect("a number");
            seen = seen.chars().take(kept).collect();
            rest = after.strip_prefix("\x1b[K").expect("the rest of the line is erased");
        }
        (seen + rest).lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn paragraph_and_cut_fit_their_width() {
        let text = "  12007: user code invoking stream RPC with context processed by context.WithCancel";
        for width in 12..100 {
            let lines = paragraph(text, 4, width);
            let words: Vec<&str> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
            assert_eq!(words, text.split_whitespace().collect::<Vec<_>>(), "{width}");
            for line in &lines {
                let fits = line.width() < width || line.split_whitespace().count() == 1;
                assert!(fits, "{width}: {line}");
                assert!(cut(line, width).width() < width, "{width}: {line}");
            }
        }
        assert_eq!(
            (cut("abcd", 5).as_str(), cut("abcd", 4).as_str(), cut("天空", 4).as_str()),
            ("abcd", "ab…", "天…")
        );
    }
}
