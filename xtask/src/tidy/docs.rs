//! Tests that documentation names as its proof: they exist.
//!
//! In a table of a `.md` file, a column whose title has the word `test` names tests as `crate::test_name` or
//! `crate::file::test_name`, each between backticks. A cell of it that is empty is a claim without a proof.

use super::text::is_in;
use super::tree::{File, Spot, Tree};

/// The tables of threats, and the number of their rows.
const THREATS: (&str, usize) = ("docs/reliability.md", 54);

/// The beginning of a test cell of a threat that nothing is done about, or that no test shows.
const NOT_HELD: &str = "not held: ";

pub(super) fn tests(tree: &Tree) -> Vec<Spot> {
    let documents = tree.files.iter().filter(|file| file.path.ends_with(".md"));
    let cells =
        documents.flat_map(|file| test_cells(file).into_iter().map(move |(at, cell)| (file, at, cell)));
    cells
        .flat_map(|(file, at, cell)| {
            let gone = between_backticks(cell).filter(|name| !exists(tree, name));
            let gone = gone.map(move |name| file.spot(at, format!("there is no test `{name}`")));
            let empty = cell.trim().is_empty().then(|| file.spot(at, "a row that names no test"));
            gone.chain(empty).collect::<Vec<_>>()
        })
        .collect()
}

/// The rows of the tables of threats are numbered without a gap, and each names a test or says why there is none.
pub(super) fn threats(tree: &Tree) -> Vec<Spot> {
    let (path, number) = THREATS;
    let Some(file) = tree.file(path) else { return Vec::new() };
    let mut found = Vec::new();
    let mut last = (0, 0);
    for (at, cell) in test_cells(file) {
        let row = file.text[at..].lines().next().unwrap_or_default();
        let Some(row) = row.split('|').nth(1).and_then(|cell| cell.trim().parse().ok()) else { continue };
        if row != last.1 + 1 {
            found.push(file.spot(at, format!("row {row} after row {}", last.1)));
        }
        last = (at, row);
        if !cell.trim().starts_with(NOT_HELD) && !between_backticks(cell).any(|name| name.contains("::")) {
            found.push(
                file.spot(at, format!("a row that names no test and does not begin with `{NOT_HELD}`")),
            );
        }
    }
    if last.1 != number {
        found.push(file.spot(last.0, format!("the last row is {}, not {number}", last.1)));
    }
    found
}

/// Whether a crate has the test `crate::file::test`; the file, or a folder, may be left out.
fn exists(tree: &Tree, name: &str) -> bool {
    let parts: Vec<&str> = name.split("::").collect();
    let [owner, places @ .., test] = &parts[..] else { return true };
    let is_owner = |name: &str| name.replace('-', "_") == owner.replace('-', "_");
    let Some(package) = tree.packages.iter().find(|package| is_owner(&package.name)) else { return false };
    let stands_in = |path: &str| {
        let path = path.strip_suffix(".rs").unwrap_or(path);
        places.iter().all(|place| path.split('/').any(|part| part == *place))
    };
    tree.sources()
        .filter(|(file, _)| is_in(&file.path, package.folder()) && stands_in(&file.path))
        .flat_map(|(_, source)| source.functions())
        .any(|function| function.name == *test && function.is_test)
}

/// The cells of a document's test columns, and where their rows begin.
fn test_cells(file: &File) -> Vec<(usize, &str)> {
    let (mut found, mut columns, mut at) = (Vec::new(), None::<Vec<usize>>, 0);
    for line in file.text.split_inclusive('\n') {
        if !line.trim_start().starts_with('|') {
            columns = None;
        } else if let Some(columns) = &columns {
            found.extend(cells(line, columns).map(|cell| (at, cell)));
        } else {
            columns = Some(test_columns(line));
        }
        at += line.len();
    }
    found
}

fn test_columns(titles: &str) -> Vec<usize> {
    let titles = titles.split('|').enumerate();
    titles.filter(|(_, title)| title.to_lowercase().contains("test")).map(|(column, _)| column).collect()
}

fn cells<'a>(row: &'a str, columns: &[usize]) -> impl Iterator<Item = &'a str> {
    row.split('|').enumerate().filter(|(column, _)| columns.contains(column)).map(|(_, cell)| cell)
}

fn between_backticks(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}
