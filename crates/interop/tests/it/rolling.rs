//! Servers of this project are replaced, one after the other, under a client on Kitex.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::peer::Peer::{Go, Rust};
use crate::peer::{Process, go_is_here};

/// The least number of streams that are opened between two replacements.
const BETWEEN: usize = 50;

/// A list of servers, which the client reads each half second, as a registry of it would say.
struct List(PathBuf);

impl List {
    fn new(name: &str) -> Self {
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rolling-{name}-{}", std::process::id())))
    }

    /// Replaces the list at once: the client never reads a part of it.
    fn write(&self, lines: &[String]) {
        let next = self.0.with_extension("next");
        fs::write(&next, lines.join("\n")).expect("the file is ours");
        fs::rename(&next, &self.0).expect("the file is ours");
    }
}

impl Drop for List {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A server that leaves is first removed from the list, as by `Registration::deregister`. It shuts down once the client chooses
/// it no more. Each of three servers is replaced once; for a minute of replacements at 200 openings a second:
/// `KITEX_ROLLING_SECONDS=60 cargo test -p interop --test it -- --nocapture rolling_restart`.
#[test]
fn rolling_restart_under_a_kitex_client_costs_no_stream() {
    if !go_is_here() {
        return;
    }
    for (proto, pool) in [("tt", "mux"), ("tt", "long"), ("grpc", "mux")] {
        let (ended, replaced) = check(proto, pool);
        println!("{proto} {pool}: {replaced} servers replaced, {ended}");
        assert_eq!(ended["failed"], json!({}), "{proto} {pool}");
        let ok = ended["ok"].as_u64().unwrap_or_default();
        assert!(ok >= (BETWEEN * replaced) as u64, "{proto} {pool}: {ok} streams");
    }
}

/// Returns how the streams of the client have ended, and how many servers were replaced under it.
fn check(proto: &str, pool: &str) -> (Value, usize) {
    let list = List::new(&format!("{proto}-{pool}"));
    let serve = || Process::serve(Rust, "--drain 500");
    let mut servers: Vec<_> = (0..3).map(|_| serve()).collect();
    list.write(&addresses(&servers));
    let path = list.0.display();
    let client =
        Process::start(Go, &format!("rolling --addr {path} --proto {proto} --pool {pool} --after 500"));
    let (began, seconds) = (Instant::now(), seconds());
    let mut replaced = 0;
    while replaced < 3 || began.elapsed() < seconds {
        let (leaving, address) = servers.remove(0);
        servers.push(serve());
        // All are used.
        leaving.find("its streams", |lines| (handlers(lines) > BETWEEN).then_some(()));
        list.write(&addresses(&servers));
        client.find("that it has left", |lines| {
            lines.iter().any(|line| line["ev"] == "left" && line["addr"] == address).then_some(())
        });
        leaving.terminate();
        let left = leaving.ends();
        assert_eq!(left.code, Some(0), "{proto} {pool}: {left:?}");
        let failed: Vec<_> =
            left.lines.iter().filter(|line| line["ev"] == "server" && line["err"] != "").collect();
        assert!(failed.is_empty(), "{proto} {pool}: {failed:?}");
        replaced += 1;
    }
    list.write(&["end".to_owned()]);
    let ended = client.find("its result", |lines| lines.iter().find(|line| line["ev"] == "rolling").cloned());
    (ended, replaced)
}

fn seconds() -> Duration {
    let seconds =
        std::env::var("KITEX_ROLLING_SECONDS").map_or(0, |seconds| seconds.parse().expect("a number"));
    Duration::from_secs(seconds)
}

fn addresses(servers: &[(Process, String)]) -> Vec<String> {
    servers.iter().map(|(_, address)| address.clone()).collect()
}

/// Returns how many handlers of streams have ended.
fn handlers(lines: &[Value]) -> usize {
    lines.iter().filter(|line| line["ev"] == "server").count()
}
