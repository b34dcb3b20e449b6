//! Who may use whom. A crate's row is all that its manifest may name.

use super::tree::{Spot, Tree};
use crate::workspace::{Kind, Package};

/// What one crate may use.
struct Row {
    name: &'static str,
    /// Crates of this workspace.
    ours: &'static [&'static str],
    /// Crates of others. Each is code that our users must trust.
    others: &'static [&'static str],
    /// What tests, benches and examples may use besides.
    tests: &'static [&'static str],
}

/// `kitex` and all below it.
const FACADE: &[&str] =
    &["kerrors", "kitex", "kitex-grpc", "kitex-thrift", "stream-core", "ttheader-codec", "ttstream"];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row {
        name: "kerrors",
        ours: &[],
        others: &["thiserror"],
        tests: &["proptest"],
    },
    Row {
        name: "ttheader-codec",
        ours: &[],
        others: &["bytes", "thiserror"],
        tests: &["proptest", "serde_json"],
    },
    Row {
        name: "stream-core",
        ours: &["kerrors"],
        others: &["bytes", "futures-util", "loom", "pin-project", "slab", "socket2", "tokio", "tracing"],
        tests: &["proptest"],
    },
    Row {
        name: "ttstream",
        ours: &["kerrors", "stream-core", "ttheader-codec"],
        others: &["bytes", "foldhash", "loom", "serde_json", "slab", "thiserror", "tokio", "tracing"],
        tests: &["proptest"],
    },
    Row {
        name: "kitex-grpc",
        ours: &["kerrors", "stream-core"],
        others: &["base64", "bytes", "h2", "http", "serde_json", "slab", "thiserror", "tokio", "tracing"],
        tests: &[],
    },
    Row {
        name: "kitex-thrift",
        ours: &[],
        others: &["ahash", "bytes", "faststr", "serde", "thiserror"],
        tests: &["kerrors", "peak_alloc", "proptest", "serde_json"],
    },
    Row {
        name: "kitex",
        ours: &["kerrors", "kitex-grpc", "kitex-thrift", "stream-core", "ttheader-codec", "ttstream"],
        others: &[
            "async-trait", "bytes", "futures-core", "http-body-util", "hyper", "hyper-util", "serde_json",
            "thiserror", "tokio", "tower-layer",
        ],
        tests: &["futures-util", "h2", "http", "proptest", "tracing-subscriber"],
    },
    Row {
        name: "kitex-codegen",
        ours: &[],
        others: &["heck", "prettyplease", "proc-macro2", "syn", "thiserror"],
        tests: &["async-trait", "bytes", "kitex-thrift", "tempfile"],
    },
    Row {
        name: "chat",
        ours: FACADE,
        others: &[
            "bytes", "clap", "fastrand", "futures-core", "futures-util", "reqwest", "rustls", "serde_json",
            "thiserror", "tokio",
        ],
        tests: &[],
    },
    Row {
        name: "interop",
        ours: FACADE,
        others: &["base64", "clap", "serde_json", "tokio", "tracing-subscriber"],
        tests: &["bytes"],
    },
    Row {
        name: "bench",
        ours: &["interop", "kerrors", "kitex", "stream-core", "ttheader-codec", "ttstream"],
        others: &[
            "bytes", "clap", "prost", "serde_json", "stats_alloc", "tokio", "tokio-stream", "tonic", "tonic-build",
            "tonic-prost",
        ],
        tests: &["criterion"],
    },
    Row {
        name: "build-script",
        ours: &["kitex", "kitex-codegen"],
        others: &["tokio"],
        tests: &[],
    },
    Row {
        name: "xtask",
        ours: &["kitex-codegen"],
        others: &["clap", "proc-macro2", "serde_json", "syn"],
        tests: &[],
    },
];

pub(super) fn find(tree: &Tree) -> Vec<Spot> {
    tree.packages.iter().flat_map(|package| strangers(tree, package)).collect()
}

/// What `package` uses and its row does not name.
fn strangers(tree: &Tree, package: &Package) -> Vec<Spot> {
    let Some(row) = ROWS.iter().find(|row| row.name == package.name) else {
        return vec![spot(tree, package, "name", format!("`{}` has no row", package.name))];
    };
    let strangers = package.uses.iter().filter(|used| !row.allows(&used.name, used.kind));
    strangers
        .map(|used| spot(tree, package, &used.name, format!("`{}` uses `{}`", package.name, used.name)))
        .collect()
}

impl Row {
    fn allows(&self, name: &str, kind: Kind) -> bool {
        let tests = if kind == Kind::Dev { self.tests } else { &[] };
        [self.ours, self.others, tests].iter().any(|names| names.contains(&name))
    }
}

/// The line of the manifest that begins with `word`, or its first line.
fn spot(tree: &Tree, package: &Package, word: &str, what: String) -> Spot {
    let text = tree.file(&package.manifest).map_or("", |file| &file.text);
    let line = text
        .lines()
        .position(|line| line.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '.', '='])));
    Spot { path: package.manifest.clone(), line: line.map_or(1, |line| line + 1), what }
}
