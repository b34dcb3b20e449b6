//! Import circles: files of one crate that use each other's items, directly or through others.
//! Owns the graph of files and the search in it; what a file uses, and where that is defined, is in the
//! modules below.

mod modules;
mod resolve;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::modules::Crate;
use super::tree::{File, Spot, Tree};

/// Crates, by folder, that still have circles. The list only shrinks: a crate without a circle has no row.
const TOLERATED: &[&str] = &[];

/// Which file uses which, and the first place where it does.
type Graph<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Use>>;

/// A path in the code of one file that names an item of another.
#[derive(Clone, Debug)]
struct Use {
    line: usize,
    item: String,
}

/// Circles of all crates, and files that belong to no crate and so are not checked.
pub(super) fn find(tree: &Tree) -> Vec<Spot> {
    find_except(tree, TOLERATED)
}

fn find_except(tree: &Tree, tolerated: &[&str]) -> Vec<Spot> {
    let manifests = tree.files.iter().filter_map(|file| file.path.strip_suffix("/Cargo.toml"));
    let (mut spots, mut left) = (Vec::new(), tolerated.to_vec());
    for folder in manifests {
        let src = format!("{folder}/src/");
        let crates: Vec<Crate<'_>> = roots(tree, &src).map(|root| Crate::read(tree, root)).collect();
        let circles: Vec<Spot> = crates.iter().flat_map(|krate| circles(&graph(krate))).collect();
        spots.extend(unreached(tree, &src, &crates));
        spots.extend(crates.into_iter().flat_map(|krate| krate.errors));
        match left.iter().position(|row| *row == folder) {
            Some(row) if !circles.is_empty() => drop(left.remove(row)),
            _ => spots.extend(circles),
        }
    }
    spots.extend(left.into_iter().map(|folder| Spot {
        path: format!("{folder}/Cargo.toml"),
        line: 1,
        what: "no circle is left: remove its row of `TOLERATED`".to_owned(),
    }));
    spots
}

/// The files of `src` that are the root of a library or of a program.
fn roots<'a>(tree: &'a Tree, src: &str) -> impl Iterator<Item = &'a File> {
    tree.files.iter().filter(move |file| {
        let path = file.path.strip_prefix(src).and_then(|path| path.strip_suffix(".rs"));
        path.is_some_and(is_root)
    })
}

/// Whether a file of `src`, without its ending, is the root of a library or of a program.
fn is_root(path: &str) -> bool {
    match path.split('/').collect::<Vec<_>>()[..] {
        ["lib" | "main"] | ["bin", _] => true,
        ["bin", _, main] => main == "main",
        _ => false,
    }
}

/// Files that no `mod` of a crate declares: their imports would go unseen.
fn unreached<'a>(tree: &'a Tree, src: &str, crates: &[Crate<'a>]) -> Vec<Spot> {
    let reached: BTreeSet<&str> = crates.iter().flat_map(Crate::files).collect();
    let sources = tree.sources().map(|(file, _)| file).filter(|file| file.path.starts_with(src));
    let missed = sources.filter(|file| !reached.contains(&*file.path) && !file.is_test(0));
    missed.map(|file| file.spot(0, "no `mod` declares this file")).collect()
}

fn graph<'a>(krate: &Crate<'a>) -> Graph<'a> {
    let mut graph = Graph::new();
    for used in &krate.used {
        let Some(definer) = krate.definer(used.module, &used.path) else { continue };
        let (from, to) = (krate.file(used.module), krate.file(definer));
        if from != to {
            let place = || Use { line: used.line, item: used.path.join("::") };
            graph.entry(from).or_default().entry(to).or_insert_with(place);
        }
    }
    graph
}

/// One circle, the shortest, of each group of files that reach each other.
fn circles(graph: &Graph<'_>) -> Vec<Spot> {
    let mut left: BTreeSet<&str> = graph.keys().copied().collect();
    let mut spots = Vec::new();
    while let Some(circle) = left.iter().filter_map(|start| way(graph, start, start)).min_by_key(Vec::len) {
        let start = circle[0];
        let group: BTreeSet<&str> = left
            .iter()
            .copied()
            .filter(|file| way(graph, start, file).is_some() && way(graph, file, start).is_some())
            .collect();
        spots.push(describe(graph, &circle, group.len()));
        left.retain(|file| !group.contains(file));
    }
    spots
}

/// The shortest way along at least one edge, both ends included.
fn way<'a>(graph: &Graph<'a>, from: &'a str, to: &'a str) -> Option<Vec<&'a str>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(file) = queue.pop_front() {
        for &next in graph.get(file).into_iter().flat_map(BTreeMap::keys) {
            if before.contains_key(next) {
                continue;
            }
            before.insert(next, file);
            if next == to {
                return Some(back(&before, from, to));
            }
            queue.push_back(next);
        }
    }
    None
}

fn back<'a>(before: &BTreeMap<&'a str, &'a str>, from: &'a str, to: &'a str) -> Vec<&'a str> {
    let mut way = vec![to];
    let mut at = to;
    while let Some(&file) = before.get(at) {
        way.push(file);
        if file == from {
            break;
        }
        at = file;
    }
    way.reverse();
    way
}

fn describe(graph: &Graph<'_>, circle: &[&str], group: usize) -> Spot {
    let edges = circle.windows(2).filter_map(|edge| Some((edge[0], graph.get(edge[0])?.get(edge[1])?)));
    let chain: Vec<String> =
        edges.clone().map(|(from, Use { line, item })| format!("{from}:{line} (`{item}`)")).collect();
    let (first, line) = (circle[0], edges.map(|(_, used)| used.line).next().unwrap_or(1));
    let more = if group + 1 > circle.len() {
        format!("; {group} files use each other in circles")
    } else {
        String::new()
    };
    Spot { path: first.to_owned(), line, what: format!("{} -> {first}{more}", chain.join(" -> ")) }
}
