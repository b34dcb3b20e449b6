//! Allowed dependencies. A crate's manifest may name only what is in its row.

use super::tree::{Spot, Tree};
use crate::workspace::{Kind, Package};

/// The crates that one crate may use.
struct Row {
    name: &'static str,
    /// Crates of this workspace.
    ours: &'static [&'static str],
    /// External crates. Users have to trust their code.
    others: &'static [&'static str],
    /// Additional crates for tests, benches and examples.
    tests: &'static [&'static str],
}

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
        others: &["base64", "bytes", "flate2", "h2", "http", "serde_json", "slab", "thiserror", "tokio", "tracing"],
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
        ours: &["kerrors", "kitex-grpc", "kitex-thrift", "kitex-tls", "stream-core", "ttheader-codec", "ttstream"],
        others: &[
            "async-trait", "bytes", "futures-core", "http-body-util", "hyper", "hyper-util", "prost", "prost-types",
            "serde_json", "thiserror", "tokio", "tower-layer",
        ],
        tests: &["flate2", "futures-util", "h2", "http", "proptest", "rcgen", "tracing-subscriber"],
    },
    Row {
        name: "kitex-tls",
        ours: &["stream-core"],
        others: &["bytes", "rustls", "rustls-webpki", "thiserror", "tokio", "tracing"],
        tests: &["rcgen"],
    },
    Row {
        name: "kitex-metrics",
        ours: &["kerrors", "stream-core"],
        others: &["foldhash", "prometheus"],
        tests: &["kitex", "tokio"],
    },
    Row {
        name: "kitex-etcd",
        ours: &["kerrors", "kitex-tls", "stream-core"],
        others: &["base64", "bytes", "http-body-util", "hyper", "serde_json", "thiserror", "tokio", "tracing"],
        tests: &["kitex", "rcgen", "tracing-subscriber"],
    },
    Row {
        name: "kitex-dns",
        ours: &["stream-core"],
        others: &["futures-util", "hickory-resolver", "thiserror", "tokio", "tracing"],
        tests: &["kitex"],
    },
    Row {
        name: "kitex-otel",
        ours: &["kerrors", "stream-core"],
        others: &["bytes", "opentelemetry", "opentelemetry_sdk"],
        tests: &[
            "http-body-util", "hyper", "hyper-util", "kitex", "opentelemetry-otlp", "opentelemetry-proto", "prost",
            "tokio",
        ],
    },
    Row {
        name: "kitex-grpc-services",
        ours: &["kitex"],
        others: &["thiserror", "tokio"],
        tests: &[],
    },
    Row {
        name: "kitex-sse",
        ours: &["kitex"],
        others: &[
            "axum-core", "bytes", "futures-core", "http", "http-body", "serde_json", "socket2", "thiserror", "tokio",
        ],
        tests: &["axum", "http-body-util"],
    },
    Row {
        name: "kitex-codegen",
        ours: &[],
        others: &[
            "heck", "prettyplease", "proc-macro2", "prost", "prost-build", "prost-types", "protox", "syn", "thiserror",
        ],
        tests: &["async-trait", "bytes", "kitex-thrift", "tempfile"],
    },
    Row {
        name: "chat",
        ours: &[
            "kerrors", "kitex", "kitex-grpc", "kitex-metrics", "kitex-otel", "kitex-sse", "kitex-thrift", "stream-core",
            "ttheader-codec", "ttstream",
        ],
        others: &[
            "axum", "bytes", "clap", "fastrand", "futures-core", "futures-util", "opentelemetry-otlp",
            "opentelemetry_sdk", "reqwest", "rustls", "rustix",
            "serde_json", "thiserror", "tokio", "unicode-width",
        ],
        tests: &[],
    },
    Row {
        name: "kitex-top",
        ours: &["kitex"],
        others: &["clap", "crossterm", "serde_json", "tokio", "unicode-width"],
        tests: &["chat"],
    },
    Row {
        name: "interop",
        ours: &[
            "kerrors", "kitex", "kitex-grpc", "kitex-grpc-services", "kitex-thrift", "stream-core", "ttheader-codec",
            "ttstream",
        ],
        others: &["base64", "clap", "serde_json", "tokio", "tracing-subscriber"],
        tests: &[
            "bytes", "chat", "http-body-util", "hyper", "hyper-util", "kitex-etcd", "kitex-metrics", "kitex-otel",
            "opentelemetry-otlp", "opentelemetry-proto", "opentelemetry_sdk", "prost", "rcgen", "rustls", "tonic", "tonic-prost",
        ],
    },
    Row {
        name: "bench",
        ours: &["interop", "kerrors", "kitex", "kitex-metrics", "stream-core", "ttheader-codec", "ttstream"],
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
    tree.packages.iter().flat_map(|package| disallowed(tree, package)).collect()
}

/// Dependencies of `package` that its row does not allow.
fn disallowed(tree: &Tree, package: &Package) -> Vec<Spot> {
    let Some(row) = ROWS.iter().find(|row| row.name == package.name) else {
        return vec![spot(tree, package, "name", format!("`{}` has no row", package.name))];
    };
    let disallowed = package.uses.iter().filter(|used| !row.allows(&used.name, used.kind));
    disallowed
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
