//! Calls over Unix sockets, with Kitex at either end.

use std::env;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::peer::Peer::{self, Go, Rust};
use crate::peer::{Process, go_is_here};

/// The path of a socket in a temporary folder.
struct Socket(PathBuf);

impl Socket {
    fn new(test: &str) -> Self {
        let folder = env::temp_dir().join(format!("lab-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for a socket");
        Self(folder)
    }

    fn path(&self) -> String {
        self.0.join("lab.sock").display().to_string()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const CALLS: &[&str] = &[
    "--what down --msg n=3",
    "--what bidi --msg hello",
    "--what up --msg hello",
    "--what unary --msg hello",
    "--what cancel --msg n=3;idle --after 3",
];

/// Returns a line without the time and without the error of a trailer read after the end of a stream: Kitex's
/// is "stream is closed".
fn comparable(mut line: Value) -> Value {
    if let Some(fields) = line.as_object_mut() {
        fields.retain(|name, _| name != "ts" && name != "terr");
    }
    line
}

/// Returns the client's lines of each call, and the server's of its handlers.
fn run(server: Peer, client: Peer) -> (Vec<Vec<Value>>, Vec<Value>) {
    let socket = Socket::new(&format!("{server:?}-{client:?}"));
    let path = socket.path();
    let server = Process::start(server, &format!("server --addr {path}"));
    assert!(server.listens(), "{server:?}");
    let seen = CALLS.iter().map(|call| {
        let ended = Process::start(client, &format!("client --addr {path} {call}")).ends();
        assert_eq!((ended.code, &ended.errors[..]), (Some(0), &[][..]), "{call}: {ended:?}");
        ended.lines.into_iter().map(comparable).collect()
    });
    (seen.collect(), server.take(2))
}

#[test]
fn calls_over_unix_sockets_print_the_same_as_over_tcp() {
    let ours = run(Rust, Rust);
    assert!(ours.0.iter().all(|lines| !lines.is_empty()), "{ours:?}");
    let canceled = ours.0.last().unwrap().iter().any(|line| line["kind"] == "canceled");
    assert!(canceled, "{ours:?}");
    if !go_is_here() {
        return;
    }
    for (server, client) in [(Go, Rust), (Rust, Go)] {
        let seen = run(server, client);
        assert_eq!(seen.0, ours.0, "{server:?} serves {client:?}");
    }
}
