//! Rows of text as lines, each column as wide as what stands in it. Knows nothing of what it says.

/// Lines of equal columns; what stands in a column from `numbers` on stands to the right.
pub(crate) fn lines<const N: usize>(rows: &[[String; N]], numbers: usize) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if column < numbers { format!("  {cell:width$}") } else { format!("  {cell:>width$}") }
        });
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
