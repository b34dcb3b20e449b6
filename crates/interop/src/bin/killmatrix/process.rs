//! A program of the chain as a process: its lines, and the signals that are sent to it. Killed when dropped.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::net::Holder;

/// A running program.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Receiver<Value>,
    limit: Instant,
}

impl Process {
    /// Starts this program with `words`, in a network namespace if there is one. No wait for it is longer than until `limit`.
    pub(crate) fn start(words: &[String], space: Option<&Holder>, limit: Instant) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = space.map_or_else(|| Command::new(&own), |space| space.command(&own));
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", own.display()))?;
        let (sender, lines) = sync_channel(1024);
        let out = child.stdout.take().ok_or("it has no output")?;
        thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            // The cell may be over.
            lines
                .filter_map(|line| serde_json::from_str(&line).ok())
                .for_each(|line| drop(sender.send(line)));
        });
        Ok(Self { child, lines, limit })
    }

    /// Returns the next line of this kind.
    pub(crate) fn next(&self, kind: &str, at_most: Duration) -> Option<Value> {
        let deadline = self.limit.min(Instant::now() + at_most);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).ok()?;
            if line["ev"] == kind {
                return Some(line);
            }
        }
    }

    /// Writes a line to its standard input.
    pub(crate) fn say(&mut self, line: &str) {
        if let Some(stdin) = &mut self.child.stdin {
            // It may have ended.
            let _ = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        }
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&mut self, name: &str) {
        let id = self.child.id().to_string();
        // `nsenter` becomes the program that it starts.
        let _ = Command::new("kill").args([&format!("-{name}"), &id]).status();
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
