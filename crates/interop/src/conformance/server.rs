//! Scripts against a server under test: one connection each. A script whose connection must stay open ends with a fence, a
//! stream or call that is answered: what had to come, has come before its answer, or the script waits for it.

use std::net::TcpStream;
use std::time::Duration;

use super::pattern::{Pattern, Transcript};
use super::play::{Line, Writes};
use super::report::Outcome;
use super::step::{Step, steps};

/// A script against a server.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
    pub(super) writes: Writes,
    pub(super) fence: Fence,
    pub(super) want: String,
}

/// What shows that the connection still works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fence {
    /// A stream of Bidi with one message.
    Stream,
    /// A framed call.
    Framed,
    /// A call over TTHeader.
    Call,
}

impl Script {
    pub(super) fn new(name: impl Into<String>, sends: &str, want: &str) -> Self {
        let (writes, fence, want) = (Writes::Steps, Fence::Stream, want.to_owned());
        Self { name: name.into(), steps: steps(sends), writes, fence, want }
    }

    /// Sends these bytes after the steps.
    pub(super) fn bytes(mut self, bytes: Vec<u8>) -> Self {
        self.steps.push(Step::Send(bytes));
        self
    }

    /// Runs these steps after the others.
    pub(super) fn then(mut self, text: &str) -> Self {
        self.steps.extend(steps(text));
        self
    }

    pub(super) fn fence(self, fence: Fence) -> Self {
        Self { fence, ..self }
    }

    pub(super) fn writes(self, writes: Writes) -> Self {
        Self { writes, ..self }
    }

    /// Bytes of all steps together.
    pub(super) fn len(&self) -> usize {
        let len = |step: &Step| if let Step::Send(bytes) = step { bytes.len() } else { 0 };
        self.steps.iter().map(len).sum()
    }

    /// Runs it against the server at `address`.
    pub(super) fn run(&self, address: &str, patience: Duration) -> Outcome {
        let line = TcpStream::connect(address).and_then(|socket| Line::new(socket, patience));
        match line {
            Ok(line) => self.play(line),
            Err(error) => Outcome { passed: false, seen: format!("no connection: {error}") },
        }
    }

    fn play(&self, mut line: Line) -> Outcome {
        let pattern = Pattern::parse(&self.want);
        let went = line.run(&self.steps, self.writes);
        let passed = match pattern.closed {
            Some(true) => line.read_until(|seen| pattern.matches(seen)),
            None => went && line.read_until(|seen| pattern.matches(seen)),
            // The second fence is answered after what the first one has overtaken.
            Some(false) => went && (0..FENCES).all(|at| self.pass_fence(at, &mut line, &pattern)),
        };
        Outcome { passed, seen: without_fences(&line.seen).show() }
    }

    fn pass_fence(&self, at: i32, line: &mut Line, pattern: &Pattern) -> bool {
        let id = FIRST_FENCE + at;
        let (sends, kind) = match self.fence {
            Fence::Stream => (format!("H{id} Bidi / D{id} fence / T{id}"), 'T'),
            Fence::Framed => (format!("F{id} Ping fence"), 'C'),
            Fence::Call => (format!("C{id} Unary fence"), 'C'),
        };
        let sent = line.run(&steps(&sends), Writes::Together);
        sent && line.read_until(|seen| seen.count(id, kind) == 1 && pattern.matches(&without_fences(seen)))
    }
}

const FIRST_FENCE: i32 = 0x7000_0001;
const FENCES: i32 = 2;

fn without_fences(seen: &Transcript) -> Transcript {
    let fences = FIRST_FENCE..FIRST_FENCE + FENCES;
    let streams = seen.streams.iter().filter(|(sid, _)| !fences.contains(sid));
    Transcript { streams: streams.map(|(sid, seen)| (*sid, seen.clone())).collect(), closed: seen.closed }
}
