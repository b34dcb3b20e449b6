//! Tests that documentation names as its proof: they exist.
//!
//! In a table of a `.md` file, a column whose title has the word `test` names tests as
//! `crate::test_name` or `crate::module::test_name`, each between backticks.

use super::tree::{File, Spot, Tree};
use super::words::is_in;

pub(super) fn tests(tree: &Tree) -> Vec<Spot> {
    let documents = tree.files.iter().filter(|file| file.path.ends_with(".md"));
    let names =
        documents.flat_map(|file| named_tests(file).into_iter().map(move |(at, name)| (file, at, name)));
    let gone = names.filter(|(_, _, name)| !exists(tree, name));
    gone.map(|(file, at, name)| file.spot(at, format!("there is no test `{name}`"))).collect()
}

fn exists(tree: &Tree, name: &str) -> bool {
    let Some((owner, _)) = name.split_once("::") else { return true };
    let test = name.rsplit("::").next().unwrap_or(name);
    let package =
        tree.packages.iter().find(|package| package.name.replace('-', "_") == owner.replace('-', "_"));
    let files =
        tree.sources().filter(|(file, _)| package.is_some_and(|crate_| is_in(&file.path, crate_.folder())));
    files
        .flat_map(|(file, source)| source.functions().map(move |function| (file, function)))
        .any(|(file, function)| function.name == test && file.is_test(function.at))
}

/// Where the test columns of a document name what.
fn named_tests(file: &File) -> Vec<(usize, &str)> {
    let (mut named, mut columns, mut at) = (Vec::new(), None::<Vec<usize>>, 0);
    for line in file.text.split_inclusive('\n') {
        if !line.trim_start().starts_with('|') {
            columns = None;
        } else if let Some(columns) = &columns {
            named.extend(cells(line, columns).flat_map(between_backticks).map(|name| (at, name)));
        } else {
            columns = Some(test_columns(line));
        }
        at += line.len();
    }
    named
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
