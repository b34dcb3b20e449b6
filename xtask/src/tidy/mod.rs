//! `cargo xtask tidy`: what the compiler cannot check. Reads the tree as text, and `cargo metadata`.
//! Owns the table of rules and how findings are shown; a rule that is more than words has its own file.

mod circles;
mod docs;
mod edges;
mod map;
mod once;
mod readme;
mod shape;
mod source;
mod terms;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod words;

use self::tree::{Spot, Tree};
use self::words::{Look, Place, find_words};
use crate::Result;
use crate::workspace::Workspace;

/// One rule and its reason.
struct Rule {
    name: &'static str,
    why: &'static str,
    find: Find,
}

enum Find {
    /// Words that must not be used there.
    Words(&'static [&'static str], Place),
    Check(fn(&Tree) -> Vec<Spot>),
}

/// Files that contain the forbidden words.
const RULES_THEMSELVES: &[&str] = &["xtask/src/tidy"];

const RULES: &[Rule] = &[
    Rule {
        name: "edges",
        why: "each crate uses what its row in xtask/src/tidy/edges.rs allows; extend the row on purpose",
        find: Find::Check(edges::find),
    },
    Rule {
        name: "circles",
        why: "files that use each other cannot be read, tested or moved alone",
        find: Find::Check(circles::find),
    },
    Rule {
        name: "sans-io",
        why: "the state machine and the cancellation tree take time as an argument, and use no runtime",
        find: Find::Words(
            &["tokio", "Instant::now", "SystemTime", "spawn"],
            Place {
                look: Look::Product,
                within: &["crates/ttstream/src/proto", "crates/stream-core/src/cancel"],
                except: &[],
            },
        ),
    },
    Rule {
        name: "sockets",
        why: "only io, dial and server of stream-core use sockets, and kitex's HTTP address for inspection",
        find: Find::Words(
            &["TcpStream", "TcpListener", "socket2"],
            Place {
                look: Look::Product,
                within: &[
                    "crates/kerrors",
                    "crates/kitex",
                    "crates/kitex-codegen",
                    "crates/kitex-thrift",
                    "crates/stream-core",
                    "crates/ttheader-codec",
                    "crates/ttstream",
                ],
                except: &[
                    "crates/kitex/src/inspect/http.rs",
                    "crates/stream-core/src/dial",
                    "crates/stream-core/src/io",
                    "crates/stream-core/src/server",
                ],
            },
        ),
    },
    Rule {
        name: "locks",
        why: "loom sees only the locks of stream-core's sync.rs",
        find: Find::Check(once::locks),
    },
    Rule {
        name: "codes",
        why: "code numbers are only in kerrors/src/code.rs: use the name",
        find: Find::Check(once::codes),
    },
    Rule {
        name: "keys",
        why: "wire keys are only in ttheader-codec/src/key.rs: use the name",
        find: Find::Check(once::keys),
    },
    Rule {
        name: "ignored",
        why: "an ignored test shows nothing",
        find: Find::Words(&["#[ignore"], Place { look: Look::Code, within: &[], except: &[] }),
    },
    Rule {
        name: "notes",
        why: "file an issue instead",
        find: Find::Words(
            &["TODO", "FIXME"],
            Place { look: Look::Text, within: &[], except: RULES_THEMSELVES },
        ),
    },
    Rule {
        name: "terms",
        why: "old names must not come back; ARCHITECTURE.md has the glossary",
        find: Find::Check(terms::find),
    },
    Rule {
        name: "machine",
        why: "this folder exists on one machine only",
        find: Find::Words(
            &["/work/", "/root/", "/home/"],
            Place { look: Look::Text, within: &[], except: RULES_THEMSELVES },
        ),
    },
    Rule {
        name: "hosts",
        why: "the source of packages is a setting of each machine",
        find: Find::Words(
            &["crates.io", "proxy.golang.org", "sum.golang.org", "pypi.org", "registry.npmjs.org"],
            Place { look: Look::Text, within: &[], except: RULES_THEMSELVES },
        ),
    },
    Rule {
        name: "opening",
        why: "a file begins with `//!`: what it owns and what it must not depend on",
        find: Find::Check(shape::openings),
    },
    Rule {
        name: "length",
        why: "a file this long usually does two things: split it, or give it a row in xtask/src/tidy/shape.rs",
        find: Find::Check(shape::lengths),
    },
    Rule {
        name: "lints",
        why: "lints are defined once, in the workspace: `[lints] workspace = true`",
        find: Find::Check(shape::lints),
    },
    Rule {
        name: "examples",
        why: "every example must be run: give it a row in xtask/src/ci/steps.rs",
        find: Find::Check(shape::examples),
    },
    Rule {
        name: "readme",
        why: "a published crate needs a README whose code compiles, both licences, and the metadata that an index shows",
        find: Find::Check(readme::find),
    },
    Rule { name: "map", why: "the name does not exist: give its current name", find: Find::Check(map::find) },
    Rule { name: "docs", why: "the test does not exist", find: Find::Check(docs::tests) },
    Rule {
        name: "threats",
        why: "each threat has its number, and a test or the reason why it is not held",
        find: Find::Check(docs::threats),
    },
];

/// Prints what the rules find, one line each.
pub(crate) fn run() -> Result {
    let tree = Tree::read(Workspace::load()?)?;
    let findings: Vec<String> = RULES.iter().flat_map(|rule| rule.apply(&tree)).collect();
    findings.iter().for_each(|finding| println!("{finding}"));
    if !findings.is_empty() {
        return Err(format!("tidy: findings: {}", findings.len()).into());
    }
    println!("tidy: {} rules, {} files, nothing found", RULES.len(), tree.files.len());
    Ok(())
}

impl Rule {
    fn apply(&self, tree: &Tree) -> Vec<String> {
        let spots = match &self.find {
            Find::Words(words, place) => find_words(tree, words, place),
            Find::Check(check) => check(tree),
        };
        let line = |Spot { path, line, what }| format!("{path}:{line}: {what}: {} [{}]", self.why, self.name);
        spots.into_iter().map(line).collect()
    }
}
