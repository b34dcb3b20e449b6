//! Scripts against a client under test: for each, a listener of its own to which the client connects, started by a command
//! that takes the words of `lab-peer client`. Judged by the frames that it sends, and by the last line that it prints.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::pattern::{Pattern, glob};
use super::play::{Line, Writes};
use super::report::Outcome;
use super::step::steps;

/// A script against a client. `$` stands for the id of its first stream or call.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) name: String,
    /// Words of the client.
    pub(super) words: String,
    pub(super) steps: String,
    pub(super) writes: Writes,
    /// What it must send.
    pub(super) frames: String,
    /// What it must print of the end of its call.
    pub(super) end: String,
}

impl Script {
    pub(super) fn new(name: impl Into<String>, words: &str, steps: &str, frames: &str, end: &str) -> Self {
        let [words, steps, frames, end] = [words, steps, frames, end].map(str::to_owned);
        Self { name: name.into(), words, steps, writes: Writes::Steps, frames, end }
    }

    pub(super) fn writes(self, writes: Writes) -> Self {
        Self { writes, ..self }
    }

    pub(super) fn want(&self) -> String {
        format!("{}, then {}", self.frames, self.end)
    }

    /// Runs it with the client that `command` starts.
    pub(super) fn run(&self, command: &str, patience: Duration) -> Outcome {
        self.play(command, patience)
            .unwrap_or_else(|error| Outcome { passed: false, seen: error.to_string() })
    }

    fn play(&self, command: &str, patience: Duration) -> io::Result<Outcome> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        // Ends the thread below after `events` is dropped.
        let waker = Waker(listener.local_addr()?);
        let (sender, events) = mpsc::sync_channel(8);
        let _client = Client::start(command, &waker.0.to_string(), &self.words, sender.clone())?;
        thread::spawn(move || {
            let sockets = listener.incoming().map_while(Result::ok);
            // The script may be over.
            let _ = sockets.map(|socket| sender.send(Event::Connected(socket))).find(Result::is_err);
        });
        let mut line = loop {
            let socket = match events.recv_timeout(patience) {
                Ok(Event::Connected(socket)) => socket,
                other => return Ok(Outcome { passed: false, seen: format!("it did not call: {other:?}") }),
            };
            let mut line = Line::new(socket, patience)?;
            // A client that waits for too long on a busy machine closes a connection unused, and dials again.
            if line.read_until(|seen| !seen.streams.is_empty()) || !line.seen.closed {
                break line;
            }
        };
        let id = line.seen.streams.keys().next().copied().unwrap_or_default();
        let of_stream = |text: &str| text.replace('$', &id.to_string());
        let went = line.run(&steps(&of_stream(&self.steps)), self.writes);
        // The client exits, with its connection.
        line.read_until(|seen| seen.closed);
        let end = match events.recv_timeout(patience) {
            Ok(Event::Exited(lines)) => end_of(&lines),
            _ => "HANGS".to_owned(),
        };
        let passed =
            went && Pattern::parse(&of_stream(&self.frames)).matches(&line.seen) && glob(&self.end, &end);
        Ok(Outcome { passed, seen: format!("{}, then {end}", line.seen.show()) })
    }
}

/// Connects to an address when dropped.
struct Waker(SocketAddr);

impl Drop for Waker {
    fn drop(&mut self) {
        // Nothing may listen there any more.
        let _ = TcpStream::connect(self.0);
    }
}

/// What happens to a client under test.
#[derive(Debug)]
enum Event {
    Connected(TcpStream),
    /// It has closed its output, which is this.
    Exited(String),
}

/// A client under test. Killed when dropped.
struct Client(Child);

impl Client {
    fn start(command: &str, address: &str, words: &str, events: SyncSender<Event>) -> io::Result<Self> {
        let mut parts = command.split_whitespace();
        let mut command = Command::new(parts.next().unwrap_or_default());
        command.args(parts).arg("--addr").arg(address).args(words.split_whitespace());
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut client = Self(child);
        if let Some(mut stdout) = client.0.stdout.take() {
            thread::spawn(move || {
                let mut lines = String::new();
                // What is no text has no line; the script may be over.
                let _ = stdout.read_to_string(&mut lines);
                let _ = events.send(Event::Exited(lines));
            });
        }
        Ok(client)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have exited.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a client has printed of the end of its call: kind, messages, response and error, as far as there are.
fn end_of(lines: &str) -> String {
    let mut lines = lines.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = lines.find(|line| line.get("err").is_some());
    last.map_or_else(|| "nothing".to_owned(), |line| shown(&line))
}

fn shown(line: &Value) -> String {
    let part = |name: &str, value: &Value| match value {
        Value::String(text) if !text.is_empty() => Some(format!("{name}={text}")),
        Value::Number(number) => Some(format!("{name}={number}")),
        Value::Object(pairs) if !pairs.is_empty() => Some(format!("{name}={}", Value::Object(pairs.clone()))),
        _ => None,
    };
    let parts = [
        part("kind", &line["kind"]),
        part("n", &line["n"]),
        part("msg", &line["resp"]["msg"]),
        part("trailer", &line["trailer"]),
        part("err", &line["err"]),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
