//! Formats rows of text as lines with columns as wide as their content. Knows nothing of the content.

use std::ops::Range;

use unicode_width::UnicodeWidthStr;

use crate::wrap::paragraph;

/// Returns lines of aligned columns; the columns of `numbers` are right-aligned.
pub(crate) fn lines<const N: usize>(rows: &[[String; N]], numbers: Range<usize>) -> Vec<String> {
    let widths = widths(rows);
    rows.iter().map(|row| line(row, widths, &numbers).trim_end().to_owned()).collect()
}

/// As [`lines`], below `width` columns: the last column is broken at spaces. Where even that does not fit, each row is a
/// paragraph of its cells, each with the title of its column. The first row has the titles.
pub(crate) fn table<const N: usize>(
    rows: &[[String; N]],
    numbers: Range<usize>,
    width: usize,
) -> Vec<String> {
    let widths = widths(rows);
    let before: usize = widths.iter().take(N.saturating_sub(1)).map(|width| width + GAP).sum();
    let room = width.saturating_sub(before);
    if widths.last().is_none_or(|last| GAP + last < room) {
        return lines(rows, numbers);
    }
    if room < MIN_LAST {
        return stacked(rows, width);
    }
    let mut lines = Vec::new();
    for row in rows {
        let Some(last) = row.last() else { continue };
        let mut row = row.clone();
        // One character fewer than the room: the column itself begins after a gap.
        for (at, part) in paragraph(last, 0, room - GAP).into_iter().enumerate() {
            if at > 0 {
                row.iter_mut().for_each(String::clear);
            }
            if let Some(last) = row.last_mut() {
                *last = part;
            }
            lines.push(line(&row, widths, &numbers).trim_end().to_owned());
        }
    }
    lines
}

fn stacked<const N: usize>(rows: &[[String; N]], width: usize) -> Vec<String> {
    let Some((titles, rows)) = rows.split_first() else { return Vec::new() };
    let text = |row: &[String; N]| {
        let cells = titles.iter().zip(row).map(|(title, cell)| format!("{title} {cell}"));
        format!("  {}", cells.collect::<Vec<_>>().join(", "))
    };
    rows.iter().flat_map(|row| paragraph(&text(row), 4, width)).collect()
}

fn widths<const N: usize>(rows: &[[String; N]]) -> [usize; N] {
    std::array::from_fn(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or_default())
}

fn line<const N: usize>(row: &[String; N], widths: [usize; N], numbers: &Range<usize>) -> String {
    let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
        let pad = " ".repeat(width.saturating_sub(cell.width()));
        if numbers.contains(&column) { format!("  {pad}{cell}") } else { format!("  {cell}{pad}") }
    });
    cells.collect()
}

/// Between two columns.
const GAP: usize = 2;
/// The last column is not made narrower than this.
const MIN_LAST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_fits_each_width_and_breaks_at_spaces() {
        let row = |cells: [&str; 4]| cells.map(str::to_owned);
        let rows = [
            row(["service", "received after", "tokens", "canceled path"]),
            row(["gateway", "85 µs", "10", "user"]),
            row(["model", "1240 µs", "10", "user -> gateway -> agent"]),
        ];
        for width in 20..90 {
            let lines = table(&rows, 1..3, width);
            assert!(lines.iter().all(|line| line.width() < width), "{width}: {lines:#?}");
            let mut words: Vec<&str> = lines
                .iter()
                .flat_map(|line| line.split([' ', ',']))
                .filter(|word| !word.is_empty())
                .collect();
            let expected =
                ["service", "received", "tokens", "gateway", "85", "model", "1240", "agent", "path"];
            words.retain(|word| expected.contains(word));
            assert!(expected.iter().all(|word| words.contains(word)), "{width}: {lines:#?}");
        }
        let wide = table(&rows, 1..3, usize::MAX);
        assert_eq!(wide[2], "  model           1240 µs      10  user -> gateway -> agent");
        assert_eq!(wide, lines(&rows, 1..3));
    }
}
