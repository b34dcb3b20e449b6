//! Chooses and orders what is shown, and makes lines of it. Owns the columns; knows nothing of terminals.

use std::cmp::Reverse;

use clap::ValueEnum;
use serde_json::Value;

use crate::board::Snapshot;
use crate::table::{clean, lines};

/// The order of trees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// The oldest first.
    #[default]
    Age,
    /// Those with the most messages first.
    Messages,
    /// Those with the most bytes first.
    Bytes,
    /// By the name of the service at the root.
    Service,
}

impl Sort {
    pub(crate) const fn next(self) -> Self {
        match self {
            Self::Age => Self::Messages,
            Self::Messages => Self::Bytes,
            Self::Bytes => Self::Service,
            Self::Service => Self::Age,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Messages => "messages",
            Self::Bytes => "bytes",
            Self::Service => "service",
        }
    }
}

/// What is shown, and in which order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    /// Part of a service's name; empty for all.
    pub(crate) service: String,
    pub(crate) sort: Sort,
    pub(crate) reverse: bool,
}

impl Choice {
    /// Returns what was chosen, in order: trees, and cascades with the latest first.
    pub(crate) fn apply(&self, mut snapshot: Snapshot) -> Snapshot {
        let wanted = self.service.to_lowercase();
        snapshot.trees.retain(|tree| has(tree, "children", &wanted));
        snapshot
            .cascades
            .retain(|cascade| list(cascade, "hops").iter().any(|hop| has(hop, "children", &wanted)));
        match self.sort {
            Sort::Age => snapshot.trees.sort_by_key(|tree| Reverse(tree["age_ms"].as_u64())),
            Sort::Messages => snapshot.trees.sort_by_key(|tree| Reverse(total(tree, "messages"))),
            Sort::Bytes => snapshot.trees.sort_by_key(|tree| Reverse(total(tree, "bytes"))),
            Sort::Service => snapshot.trees.sort_by_cached_key(name),
        }
        snapshot.cascades.reverse();
        if self.reverse {
            snapshot.trees.reverse();
            snapshot.cascades.reverse();
        }
        snapshot
    }
}

/// Whether a service with `wanted` in its name is part of a tree. Trees are at most 64 deep.
fn has(tree: &Value, below: &str, wanted: &str) -> bool {
    let is = |key: &str| tree[key].as_str().is_some_and(|name| name.to_lowercase().contains(wanted));
    wanted.is_empty()
        || is("process")
        || is("own_service")
        || list(tree, below).iter().any(|child| has(child, below, wanted))
}

/// Messages or bytes of all streams of a tree.
fn total(tree: &Value, unit: &str) -> u64 {
    let own = ["sent", "received"].iter().filter_map(|way| tree[way][unit].as_u64());
    let below = list(tree, "children").iter().map(|child| total(child, unit));
    own.chain(below).fold(0, u64::saturating_add)
}

/// The pages of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Page {
    /// Open streams.
    #[default]
    Streams,
    /// Cancels that have ended.
    Cascades,
}

impl Page {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Streams => Self::Cascades,
            Self::Cascades => Self::Streams,
        }
    }

    /// Returns the lines of the page; the first has the titles.
    pub(crate) fn lines(self, snapshot: &Snapshot) -> Vec<String> {
        match self {
            Self::Streams => {
                let mut rows = vec![STREAM_TITLES.map(str::to_owned)];
                snapshot.trees.iter().for_each(|tree| grow(tree, 0, &mut rows));
                lines(&rows, &(3..6))
            }
            Self::Cascades => {
                let mut rows = vec![CASCADE_TITLES.map(str::to_owned)];
                snapshot.cascades.iter().for_each(|cascade| hops(cascade, &mut rows));
                lines(&rows, &(2..4))
            }
        }
    }
}

/// The addresses are last, since a narrow terminal cuts them.
const STREAM_TITLES: [&str; 8] = ["service", "stream", "state", "age", "sent", "received", "local", "peer"];
const CASCADE_TITLES: [&str; 6] = ["service", "stream", "code", "took", "canceled path", "cause"];

fn grow(node: &Value, depth: usize, rows: &mut Vec<[String; 8]>) {
    let branch = if depth == 0 { String::new() } else { format!("{}└ ", " ".repeat(depth - 1)) };
    let traffic = |way: &str| format!("{}, {} B", count(&node[way]["messages"]), count(&node[way]["bytes"]));
    rows.push([
        format!("{branch}{}", name(node)),
        stream(node),
        text(node, "state"),
        format!("{:.1} s", node["age_ms"].as_f64().unwrap_or_default() / 1000.0),
        traffic("sent"),
        traffic("received"),
        text(node, "local"),
        text(node, "peer"),
    ]);
    for child in list(node, "children") {
        grow(child, depth + 1, rows);
    }
}

/// A row for each hop, in the order of the paths; those after the first are indented.
fn hops(cascade: &Value, rows: &mut Vec<[String; 6]>) {
    for (at, hop) in list(cascade, "hops").iter().enumerate() {
        let branch = if at == 0 { "" } else { "└ " };
        let path: Vec<String> =
            list(hop, "path").iter().map(|name| clean(name.as_str().unwrap_or_default())).collect();
        rows.push([
            format!("{branch}{}", name(hop)),
            stream(hop),
            hop["code"].as_i64().map_or_else(|| "-".to_owned(), |code| code.to_string()),
            format!("{} µs", count(&hop["took_us"])),
            if path.is_empty() { "-".to_owned() } else { path.join(" -> ") },
            text(hop, "cause"),
        ]);
    }
}

/// The name that a process has for itself, else the one that was given for it.
fn name(end: &Value) -> String {
    let own = text(end, "own_service");
    if own.is_empty() { text(end, "process") } else { own }
}

/// The side and the method.
fn stream(end: &Value) -> String {
    format!("{} {}.{}", text(end, "side"), text(end, "service"), text(end, "method"))
}

fn text(value: &Value, key: &str) -> String {
    clean(value[key].as_str().unwrap_or_default())
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn end(process: &str, side: &str, age: u64, messages: u64, children: &[Value]) -> Value {
        json!({"process": process, "own_service": process, "side": side, "service": "Chat", "method": "Ask",
            "state": "open", "age_ms": age, "sent": {"messages": messages, "bytes": 10 * (9 - messages)},
            "received": {"messages": 0, "bytes": 0}, "local": "a:1", "peer": "b:2", "children": children})
    }

    fn snapshot() -> Snapshot {
        let model = end("model", "server", 20, 3, &[]);
        let trees = vec![
            end("gateway", "client", 30, 1, &[end("agent", "server", 25, 1, &[model])]),
            end("batch", "client", 90, 2, &[]),
            end("user\u{1b}[31m", "client", 10, 4, &[]),
        ];
        let hop = |process: &str, took: u64, path: &[&str]| {
            json!({"process": process, "own_service": process, "side": "server", "service": "Chat", "method": "Ask",
                "code": 12007, "took_us": took, "path": path, "cause": "user pressed stop"})
        };
        let cascades = vec![
            json!({"hops": [hop("other", 5, &[])]}),
            json!({"hops": [hop("gateway", 70, &["user"]), hop("agent", 40, &["user", "gateway"])]}),
        ];
        Snapshot { services: Vec::new(), trees, cascades }
    }

    #[test]
    fn choice_filters_and_sorts_trees_and_cascades() {
        let all = |service: &str, sort: Sort, reverse: bool| {
            let chosen = Choice { service: service.to_owned(), sort, reverse }.apply(snapshot());
            let names =
                chosen.trees.iter().map(|tree| name(tree).split(' ').next().unwrap_or_default().to_owned());
            (names.collect::<Vec<_>>().join(","), chosen.cascades.len())
        };
        for (service, sort, reverse, trees, cascades) in [
            ("", Sort::Age, false, "batch,gateway,user", 2),
            ("", Sort::Age, true, "user,gateway,batch", 2),
            // Messages of a whole tree.
            ("", Sort::Messages, false, "gateway,user,batch", 2),
            ("", Sort::Bytes, false, "gateway,batch,user", 2),
            ("", Sort::Service, false, "batch,gateway,user", 2),
            // Any service of a tree.
            ("MODEL", Sort::Age, false, "gateway", 0),
            ("agent", Sort::Age, false, "gateway", 1),
            ("nothing", Sort::Age, false, "", 0),
        ] {
            assert_eq!(
                all(service, sort, reverse),
                (trees.to_owned(), cascades),
                "{service} {sort:?} {reverse}"
            );
        }
    }

    #[test]
    fn page_lines_have_each_stream_below_its_parent_and_each_hop_with_its_time() {
        let chosen = Choice::default().apply(snapshot());
        let streams = Page::Streams.lines(&chosen);
        let names: Vec<&str> =
            streams.iter().map(|line| line.split("  ").next().unwrap_or_default()).collect();
        assert_eq!(names[..5], ["service", "batch", "gateway", "└ agent", " └ model"]);
        assert!(
            streams.iter().all(|line| !line.contains('\u{1b}')),
            "a peer's control characters: {streams:?}"
        );
        assert!(streams[2].contains("client Chat.Ask  open   0.0 s  1, 80 B"), "{streams:#?}");
        let cascades = Page::Cascades.lines(&chosen);
        let rows: Vec<String> =
            cascades.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(rows[1], "gateway server Chat.Ask 12007 70 µs user user pressed stop");
        assert_eq!(rows[2], "└ agent server Chat.Ask 12007 40 µs user -> gateway user pressed stop");
        assert!(rows[3].starts_with("other "), "the latest cascade first: {rows:?}");
    }
}
