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
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod words;

use self::tree::{Spot, Tree};
use self::words::{Look, Place, find_words};
use crate::Result;
use crate::workspace::Workspace;

/// One rule, and why it is there.
struct Rule {
    name: &'static str,
    why: &'static str,
    find: Find,
}

enum Find {
    /// Words that must not stand there.
    Words(&'static [&'static str], Place),
    Check(fn(&Tree) -> Vec<Spot>),
}

/// Files that spell out what is forbidden.
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
        why: "the machine and the tree take time as an argument and wake nobody by themselves",
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
        why: "only io, dial and server of stream-core touch a socket, and the address that serves inspection",
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
        why: "a code's number stands in kerrors/src/code.rs alone: use the name",
        find: Find::Check(once::codes),
    },
    Rule {
        name: "keys",
        why: "a key of the wire stands in ttheader-codec/src/key.rs alone: use the name",
        find: Find::Check(once::keys),
    },
    Rule {
        name: "ignored",
        why: "a test that does not run shows nothing",
        find: Find::Words(&["#[ignore"], Place { look: Look::Code, within: &[], except: &[] }),
    },
    Rule {
        name: "notes",
        why: "a note to oneself belongs into an issue",
        find: Find::Words(
            &["TODO", "FIXME"],
            Place { look: Look::Text, within: &[], except: RULES_THEMSELVES },
        ),
    },
    Rule {
        name: "machine",
        why: "nobody else has this folder",
        find: Find::Words(
            &["/work/", "/root/", "/home/"],
            Place { look: Look::Text, within: &[], except: RULES_THEMSELVES },
        ),
    },
    Rule {
        name: "hosts",
        why: "where packages come from is the business of each machine's settings",
        find: Find::Words(
            &["crates.io", "proxy.golang.org", "sum.golang.org", "pypi.org", "registry.npmjs.org"],
            Place { look: Look::Text, within: &[], except: RULES_THEMSELVES },
        ),
    },
    Rule {
        name: "opening",
        why: "a file opens with `//!`: what it owns and what it must not know",
        find: Find::Check(shape::openings),
    },
    Rule {
        name: "length",
        why: "a file this long usually holds two things; if not, give it a row in xtask/src/tidy/shape.rs",
        find: Find::Check(shape::lengths),
    },
    Rule {
        name: "lints",
        why: "lints stand once, in the workspace: `[lints] workspace = true`",
        find: Find::Check(shape::lints),
    },
    Rule {
        name: "examples",
        why: "every example is run: give it a row in xtask/src/ci/steps.rs",
        find: Find::Check(shape::examples),
    },
    Rule {
        name: "readme",
        why: "a published crate has a README whose code compiles, both licences, and what an index shows of it",
        find: Find::Check(readme::find),
    },
    Rule {
        name: "map",
        why: "a reader who looks for it finds nothing: give the name that it has now",
        find: Find::Check(map::find),
    },
    Rule { name: "docs", why: "a promise whose test is gone is not kept", find: Find::Check(docs::tests) },
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
