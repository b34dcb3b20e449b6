//! A peer process: its program, arguments, output and exit. A process lives no longer than its value.

use std::env;
use std::fmt;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::lines::Lines;

/// Names the Go twin's program. `cargo xtask interop` builds it and sets this.
const TWIN: &str = "KITEX_LAB_PEER";

/// Names the version of Kitex that the Go twin is built on, if it is not that of its `go.mod`.
const VERSION: &str = "KITEX_LAB_VERSION";

/// The implementation of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Rust,
    Go,
}

impl Peer {
    pub(crate) fn program(self) -> String {
        match self {
            Self::Rust => env!("CARGO_BIN_EXE_lab-peer").to_owned(),
            Self::Go => twin().unwrap_or_else(|| panic!("{TWIN} is unset, and the test did not ask")),
        }
    }
}

/// Returns the path of the Go twin, if this run has one.
fn twin() -> Option<String> {
    let twin = env::var(TWIN).ok().filter(|path| !path.is_empty())?;
    assert!(Path::new(&twin).exists(), "{TWIN} names {twin}, which is not there: cargo xtask interop");
    Some(twin)
}

/// The older version of Kitex that the Go twin is built on, if it is one.
pub(crate) fn older_kitex() -> Option<String> {
    env::var(VERSION).ok().filter(|version| !version.is_empty())
}

/// Returns whether a test that needs the Go twin can run. If not, prints that it is skipped.
pub(crate) fn go_is_here() -> bool {
    let here = twin().is_some();
    if !here {
        say(&format!("skipped: it needs the Go twin, and {TWIN} is unset"));
    }
    here
}

/// Prints a note of the running test, past the capture of its output.
pub(crate) fn say(what: &str) {
    let test = thread::current().name().unwrap_or_default().to_owned();
    // The reader has closed the pipe: ignored.
    let _ = writeln!(io::stderr(), "{test}: {what}");
}

/// A running peer. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    command: String,
    out: Arc<Lines>,
    err: Arc<Lines>,
}

/// The end of a process.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) lines: Vec<Value>,
    pub(crate) errors: Vec<String>,
}

impl Process {
    /// Starts `peer` with `words`, parted by spaces. Those that start with `rust:` are for a Rust peer alone.
    pub(crate) fn start(peer: Peer, words: &str) -> Self {
        Self::start_with(peer, words, &[])
    }

    /// As [`start`](Self::start), with these variables.
    pub(crate) fn start_with(peer: Peer, words: &str, variables: &[(String, String)]) -> Self {
        let mut command = Command::new(peer.program());
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let words_of = |word: &'_ str| match word.strip_prefix("rust:") {
            Some(word) => (peer == Peer::Rust).then(|| word.to_owned()),
            None => Some(word.to_owned()),
        };
        command.args(words.split_whitespace().filter_map(words_of)).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{peer:?} {words}: {error}"));
        let out = Lines::of(child.stdout.take().expect("stdout is a pipe"));
        let err = Lines::of(child.stderr.take().expect("stderr is a pipe"));
        Self { child, command: format!("{peer:?} {words}"), out, err }
    }

    /// Starts a server on a free address, and waits until it listens.
    pub(crate) fn serve(peer: Peer, words: &str) -> (Self, String) {
        Self::serve_with(peer, words, &[])
    }

    /// As [`serve`](Self::serve), with these variables.
    pub(crate) fn serve_with(peer: Peer, words: &str, variables: &[(String, String)]) -> (Self, String) {
        for _ in 0..ATTEMPTS {
            let address = free_address();
            let server = Self::start_with(peer, &format!("server --addr {address} {words}"), variables);
            if server.listens() {
                return (server, address);
            }
            // Between the choice of a port and its use another process may have taken it.
            server.err.end();
            assert!(server.err.all().iter().any(|line| line.contains("in use")), "no server: {server:?}");
        }
        panic!("{ATTEMPTS} free ports were all taken before they were used");
    }

    /// Waits until it listens. Returns `false` if it has ended instead.
    pub(crate) fn listens(&self) -> bool {
        self.out.take(1).iter().any(|line| line.contains("listening"))
    }

    /// Returns the next `count` lines.
    pub(crate) fn take(&self, count: usize) -> Vec<Value> {
        parse(&self.out.take(count))
    }

    /// Returns the next `count` lines, or those that there are after `at_most`.
    pub(crate) fn take_within(&self, count: usize, at_most: Duration) -> Vec<Value> {
        parse(&self.out.take_within(count, at_most))
    }

    /// Returns the number of lines so far.
    pub(crate) fn count(&self) -> usize {
        self.out.all().len()
    }

    /// Waits until `find` returns a value for all lines so far, and returns it.
    pub(crate) fn find<T>(&self, what: &str, mut find: impl FnMut(&[Value]) -> Option<T>) -> T {
        let found = self.out.find(|lines| find(&parse(lines)));
        found.unwrap_or_else(|| panic!("{what} never came: {self:?}"))
    }

    /// Returns the first `count` lines on standard error.
    pub(crate) fn warnings(&self, count: usize) -> Vec<String> {
        let found = self.err.find(|lines| (lines.len() >= count).then(|| lines.to_vec()));
        found.unwrap_or_else(|| panic!("{count} lines on stderr never came: {self:?}"))
    }

    /// Returns the lines that were not taken after `at_most`.
    pub(crate) fn rest(&self, at_most: Duration) -> Vec<Value> {
        parse(&self.out.rest(at_most))
    }

    /// Returns its resident memory in KB; 0 if it is unknown.
    pub(crate) fn rss_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        rss.and_then(|rss| rss.split_whitespace().next()?.parse().ok()).unwrap_or_default()
    }

    /// Waits until it exits.
    pub(crate) fn ends(mut self) -> Ended {
        assert!(self.out.end() && self.err.end(), "does not end: {self:?}");
        let status = self.child.wait().expect("it is our child");
        Ended { code: status.code(), lines: self.rest(Duration::ZERO), errors: self.err.all() }
    }

    /// Asks it to end, by SIGTERM.
    pub(crate) fn terminate(&self) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(killed.expect("there is a program kill").success(), "{self:?}");
    }

    /// Kills it. Returns the lines that were not taken.
    pub(crate) fn kill(mut self) -> Vec<Value> {
        self.end_now();
        assert!(self.out.end(), "does not end: {self:?}");
        self.rest(Duration::ZERO)
    }

    fn end_now(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_now();
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}", self.command)?;
        let lines = |name, lines: &Lines| lines.all().into_iter().map(move |line| (name, line));
        for (name, line) in lines("stdout", &self.out).chain(lines("stderr", &self.err)) {
            write!(f, "\n  {name}: {line:.400}")?;
        }
        Ok(())
    }
}

const ATTEMPTS: usize = 5;

/// Returns an address on which nothing listens.
pub(crate) fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").to_string()
}

fn parse(lines: &[String]) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    lines.iter().map(parse).collect()
}
