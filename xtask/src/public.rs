//! `cargo xtask public`: the external crates in the public interface of each library. A new major version of such a crate
//! breaks our users, so each is listed here.
//!
//! Reads rustdoc's JSON, which requires a nightly toolchain. It lists an item once for each use: a type, a trait, a
//! re-export. Blanket implementations (`impl<T> Trait for T`) of other crates are ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::Result;
use crate::command::Cmd;
use crate::workspace::Workspace;

/// Libraries, and external crates whose items may be in their public interface: `bytes` for payloads, `ahash` and
/// `faststr` in generated types, `tower_layer` and `futures_core` for their traits, `async_trait` for its macro,
/// `prost` and `prost_types` for code of `.proto` files, `serde_json` for the streams as JSON, `http` and
/// `http_body` for responses, `prometheus` for the registry,
/// `opentelemetry` for its providers, `axum_core` for the extractor, `serde_core` by the feature `serde`, `tokio` for sockets and tasks.
#[rustfmt::skip]
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "kitex",
        &[
            "ahash", "async_trait", "bytes", "faststr", "futures_core", "prost", "prost_types", "serde_json", "tokio",
            "tower_layer",
        ],
    ),
    ("kitex-metrics", &["prometheus"]),
    ("kitex-otel", &["opentelemetry"]),
    ("kitex-sse", &["axum_core", "bytes", "futures_core", "http", "http_body", "serde_json"]),
    ("kitex-thrift", &["ahash", "bytes", "faststr", "serde_core"]),
    ("stream-core", &["bytes", "tokio"]),
    ("ttheader-codec", &["bytes"]),
    ("ttstream", &["bytes"]),
];

/// Part of every program.
const STANDARD: [&str; 3] = ["alloc", "core", "std"];

/// Prints the external crates in public interfaces, and fails if one is not in the table, or no longer used.
pub(crate) fn run() -> Result {
    let workspace = Workspace::load()?;
    // Ours are released together.
    let ours: Vec<String> = workspace.published().map(|(name, _)| name.replace('-', "_")).collect();
    let mut findings = Vec::new();
    for (name, _) in workspace.published() {
        let mut found = crates_of(&interface(&workspace, name)?);
        found.retain(|name, _| !ours.contains(name));
        println!("{name}: {}", found.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
        let allowed =
            ALLOWED.iter().find(|(library, _)| *library == name).map_or(&[][..], |(_, crates)| crates);
        findings.extend(compare(name, &found, allowed));
    }
    match findings.is_empty() {
        true => Ok(()),
        false => {
            Err(format!("public interfaces differ from xtask/src/public.rs:\n{}", findings.join("\n")).into())
        }
    }
}

/// What rustdoc says of a library with all its features.
fn interface(workspace: &Workspace, name: &str) -> Result<Value> {
    let target = workspace.target.join("public");
    let rustdoc = Cmd::new("cargo +nightly rustdoc --lib --all-features --quiet --package").arg(name);
    let rustdoc = rustdoc.arg("--target-dir").path(&target);
    rustdoc.args(&["--", "-Z", "unstable-options", "--output-format", "json"]).run()?;
    let json = target.join("doc").join(format!("{}.json", name.replace('-', "_")));
    Ok(serde_json::from_str(&fs::read_to_string(json)?)?)
}

fn compare(library: &str, found: &BTreeMap<String, BTreeSet<String>>, allowed: &[&str]) -> Vec<String> {
    let alien = found.iter().filter(|(name, _)| !allowed.contains(&name.as_str()));
    let alien = alien.map(|(name, items)| {
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        format!("{library} shows items of {name}: {}", items.join(", "))
    });
    let unused = allowed.iter().filter(|name| !found.contains_key(**name));
    alien.chain(unused.map(|name| format!("{library} shows no item of {name} any more"))).collect()
}

/// The crates of others that items of a library name, and their items.
fn crates_of(interface: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut named = BTreeSet::new();
    for item in interface["index"].as_object().into_iter().flat_map(|index| index.values()) {
        let implementation = &item["inner"]["impl"];
        let inherited = !implementation["blanket_impl"].is_null() || implementation["is_synthetic"] == true;
        if item["crate_id"] == 0 && !inherited {
            find_names(&item["inner"], &mut named);
        }
    }
    let mut crates: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for id in named {
        let path = &interface["paths"][id.to_string()];
        let owner = &interface["external_crates"][path["crate_id"].to_string()]["name"];
        let Some(owner) = owner.as_str().filter(|owner| !STANDARD.contains(owner)) else { continue };
        let words = path["path"].as_array().into_iter().flatten().filter_map(Value::as_str);
        crates.entry(owner.to_owned()).or_default().insert(words.collect::<Vec<_>>().join("::"));
    }
    crates
}

/// Ids of what `value` names: a type or trait has a `path` beside its `id`, a re-export a `source`.
fn find_names(value: &Value, named: &mut BTreeSet<u64>) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("path") || fields.contains_key("source") {
                named.extend(fields.get("id").and_then(Value::as_u64));
            }
            fields.values().for_each(|value| find_names(value, named));
        }
        Value::Array(values) => values.iter().for_each(|value| find_names(value, named)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{compare, crates_of};

    #[test]
    fn crates_of_others_in_a_public_interface_are_found() {
        let of_function = json!({"function": {"sig": {"inputs": [["a", {"resolved_path": {"path": "Bytes", "id": 7, "args": {
            "angle_bracketed": {"args": [{"type": {"resolved_path": {"path": "Vec", "id": 8}}}]}}}}]]}}});
        let of_impl = json!({"impl": {"trait": {"path": "Stream", "id": 9}, "blanket_impl": null}});
        let of_blanket =
            json!({"impl": {"trait": {"path": "Instrument", "id": 10}, "blanket_impl": {"generic": "T"}}});
        let of_use = json!({"use": {"source": "bytes::Buf", "name": "Buf", "id": 11}});
        for (inner, crate_id, expected) in [
            (&of_function, 0, &["library shows items of bytes: bytes::Bytes"][..]),
            (&of_impl, 0, &["library shows items of futures_core: futures_core::Stream"]),
            (&of_blanket, 0, &[]),
            (&of_use, 0, &["library shows items of bytes: bytes::Buf"]),
            (&of_function, 2, &[]),
        ] {
            let interface = json!({
                "index": {"1": {"crate_id": crate_id, "inner": inner}},
                "paths": {
                    "7": {"crate_id": 2, "path": ["bytes", "Bytes"]},
                    "8": {"crate_id": 1, "path": ["alloc", "Vec"]},
                    "9": {"crate_id": 3, "path": ["futures_core", "Stream"]},
                    "10": {"crate_id": 4, "path": ["tracing", "Instrument"]},
                    "11": {"crate_id": 2, "path": ["bytes", "Buf"]},
                },
                "external_crates": {
                    "1": {"name": "alloc"}, "2": {"name": "bytes"}, "3": {"name": "futures_core"}, "4": {"name": "tracing"},
                },
            });
            assert_eq!(compare("library", &crates_of(&interface), &[]), expected, "{inner}");
        }
    }

    #[test]
    fn a_row_that_is_not_needed_any_more_is_found() {
        let interface = json!({"index": {}, "paths": {}, "external_crates": {}});
        let found = compare("library", &crates_of(&interface), &["bytes"]);
        assert_eq!(found, ["library shows no item of bytes any more"]);
    }
}
