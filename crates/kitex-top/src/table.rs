//! Rows of text as lines with aligned columns, and lines that fit a terminal. Knows nothing of the content.

use std::ops::Range;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Returns lines of aligned columns; the columns of `numbers` are right-aligned.
pub(crate) fn lines<const N: usize>(rows: &[[String; N]], numbers: &Range<usize>) -> Vec<String> {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or_default());
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            let pad = " ".repeat(width.saturating_sub(cell.width()));
            if numbers.contains(&column) { format!("{pad}{cell}  ") } else { format!("{cell}{pad}  ") }
        });
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Returns a peer's text on one line, without control characters and those that reorder text.
pub(crate) fn clean(text: &str) -> String {
    let unsafe_here = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().take(MAX_TEXT).map(|c| if unsafe_here(c) { ' ' } else { c }).collect()
}

const MAX_TEXT: usize = 300;

/// Returns a line below `width` columns: one that is too long ends with `…`.
pub(crate) fn cut(line: &str, width: usize) -> String {
    if line.width() < width {
        return line.to_owned();
    }
    let (mut cut, mut cells) = (String::new(), 1);
    for c in line.chars() {
        cells += c.width().unwrap_or_default();
        if cells >= width {
            break;
        }
        cut.push(c);
    }
    cut + "…"
}
