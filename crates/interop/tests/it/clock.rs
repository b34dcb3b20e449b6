//! A wall clock that jumps: real processes under libfaketime, which moves their wall clock and leaves the monotonic one alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::peer::Peer::Rust;
use crate::peer::{Process, say};

/// Where Debian has it.
const FOLDER: &str = "/usr/lib";
const LIBRARY: &str = "faketime/libfaketime.so.1";

/// Returns the library; `None`, and prints so, if it is not there.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir(FOLDER).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = folders.map(|folder| folder.join(LIBRARY)).find(|path| path.exists());
    if found.is_none() {
        say("skipped: there is no libfaketime: apt-get install libfaketime");
    }
    found
}

/// Environment of a process whose wall clock is what `offset` says.
fn environment(library: &Path, offset: &Path) -> Vec<(String, String)> {
    let text = |path: &Path| path.display().to_string();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        pair("LD_PRELOAD", &text(library)),
        pair("FAKETIME_TIMESTAMP_FILE", &text(offset)),
        pair("FAKETIME_NO_CACHE", "1"),
        pair("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ]
}

/// A file that says how far the wall clock of processes is off. Removed when dropped.
struct Offset(PathBuf);

impl Offset {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("faketime-{}-{name}", std::process::id()));
        let offset = Self(path);
        offset.set("+0");
        offset
    }

    /// Written whole, since processes read it meanwhile.
    fn set(&self, offset: &str) {
        let whole = self.0.with_extension("new");
        fs::write(&whole, offset).expect("the folder for temporary files can be written");
        fs::rename(&whole, &self.0).expect("both are in one folder");
    }
}

impl Drop for Offset {
    fn drop(&mut self) {
        // It may be gone.
        let _ = fs::remove_file(&self.0);
    }
}

/// Seconds that the wall clock of the process that printed the line is ahead of ours.
fn ahead(line: &Value) -> i64 {
    let seconds = |nanos: u64| i64::try_from(nanos / 1_000_000_000).unwrap_or_default();
    seconds(line["ts"].as_u64().unwrap_or_default()) - seconds(interop::line::now())
}

/// How long the stream with a deadline may last.
const DEADLINE: Duration = Duration::from_secs(6);

/// One stream has a deadline, which neither comes early nor an hour late; the other passes all its messages.
#[test]
fn wall_clock_jumps_change_no_deadline_and_end_no_stream() {
    let Some(library) = library() else { return };
    thread::scope(|scope| {
        for (proto, late) in [("tt", "code=12015"), ("grpc", "deadline exceeded")] {
            for jump in ["+1h", "-1h"] {
                let library = &library;
                scope.spawn(move || check(library, proto, late, jump));
            }
        }
    });
}

fn check(library: &Path, proto: &str, late: &str, jump: &str) {
    let offset = Offset::new(&format!("{proto}{jump}"));
    let environment = environment(library, &offset.0);
    let (server, address) = Process::serve_with(Rust, "--name ServiceB", &environment);
    let client = |words: &str| {
        let words = format!("client --addr {address} --proto {proto} {words}");
        Process::start_with(Rust, &words, &environment)
    };
    let began = Instant::now();
    let deadline = client(&format!("--what timeout --after {} --msg n=-1;delay=10", DEADLINE.as_millis()));
    let whole = client("--what down --msg n=200;delay=10");
    for client in [&deadline, &whole] {
        client.take(1);
    }
    offset.set(jump);

    let whole = whole.ends();
    let end = whole.lines.last().expect("it prints its end");
    assert_eq!((&end["kind"], &end["n"]), (&"eof".into(), &200.into()), "{proto} {jump}: {whole:?}");
    let deadline = deadline.ends();
    let took = began.elapsed();
    let end = deadline.lines.last().expect("it prints its end");
    assert!(end["err"].as_str().is_some_and(|text| text.contains(late)), "{proto} {jump}: {deadline:?}");
    assert!(took >= DEADLINE, "{proto} {jump}: {took:?}");

    // The clock of the server has jumped: its next line says so.
    let next = client("--what down --msg n=1").ends();
    assert_eq!(next.code, Some(0), "{proto} {jump}: {next:?}");
    let lines = server.take(3);
    let off = lines.last().map(ahead).unwrap_or_default();
    let far = if jump == "+1h" { off > 1800 } else { off < -1800 };
    assert!(far, "{proto} {jump}: {off} s, {lines:?}");
}
