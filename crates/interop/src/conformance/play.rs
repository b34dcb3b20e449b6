//! One connection of a script: sends its steps, and records what comes back. Owns the socket and every wait; a wait ends
//! when what it waits for has come, or after the patience of the run.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::pattern::Transcript;
use super::step::Step;
use super::wire::Inbox;

/// How the bytes of a script are divided into writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Writes {
    /// One write a step.
    #[default]
    Steps,
    /// All steps in one write.
    Together,
    /// One write a byte.
    Bytes,
    /// Two writes for all steps, divided before this byte.
    SplitAt(usize),
}

/// A socket, and what came from it.
#[derive(Debug)]
pub(super) struct Line {
    socket: TcpStream,
    inbox: Inbox,
    deadline: Instant,
    pub(super) seen: Transcript,
}

impl Line {
    pub(super) fn new(socket: TcpStream, patience: Duration) -> std::io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(patience))?;
        let (inbox, deadline) = (Inbox::default(), Instant::now() + patience);
        Ok(Self { socket, inbox, deadline, seen: Transcript::default() })
    }

    /// Runs the steps. Returns `false` at a wait whose time is up.
    pub(super) fn run(&mut self, steps: &[Step], writes: Writes) -> bool {
        if writes == Writes::Steps {
            return steps.iter().all(|step| self.step(step));
        }
        // What is waited for comes before all bytes.
        let waits = steps.iter().filter(|step| matches!(step, Step::Wait(..)));
        if !waits.into_iter().all(|wait| self.step(wait)) {
            return false;
        }
        let sent =
            steps.iter().filter_map(|step| if let Step::Send(bytes) = step { Some(bytes) } else { None });
        let bytes: Vec<u8> = sent.flatten().copied().collect();
        match writes {
            Writes::Bytes => bytes.chunks(1).for_each(|byte| self.send(byte)),
            Writes::SplitAt(at) => {
                let (first, rest) = bytes.split_at(at.min(bytes.len()));
                self.send(first);
                // So that the two are rarely read as one; nothing depends on it.
                std::thread::yield_now();
                self.send(rest);
            }
            _ => self.send(&bytes),
        }
        true
    }

    fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::Send(bytes) => self.send(bytes),
            Step::Finish => {
                // The peer may have closed it.
                let _ = self.socket.shutdown(Shutdown::Write);
            }
            &Step::Wait(sid, kind, count) => {
                return self.read_until(|seen| seen.count(sid, kind) >= count || seen.closed)
                    && !self.seen.closed;
            }
        }
        true
    }

    /// A peer that has closed the connection is seen when it is read.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    /// Reads until `enough`. Returns `false` if the time is up, or the connection has ended, before that.
    pub(super) fn read_until(&mut self, enough: impl Fn(&Transcript) -> bool) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if enough(&self.seen) {
                return true;
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if self.seen.closed || left.is_zero() {
                return false;
            }
            // A timeout of zero is refused, and was excluded above.
            let _ = self.socket.set_read_timeout(Some(left));
            match self.socket.read(&mut buffer) {
                Ok(0) => self.seen.closed = true,
                Ok(read) => self.received(&buffer[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.seen.closed = true,
            }
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        self.inbox.feed(bytes);
        while let Some((sid, seen)) = self.inbox.next() {
            self.seen.streams.entry(sid).or_default().push(seen);
        }
    }
}
