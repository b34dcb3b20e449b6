//! The commands of a connection's user, as a script selects them: all commands of both roles, in any state,
//! and their allowed results. Commands of the other role do nothing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kerrors::{ApplicationException, CancelPath, Code, Side, StreamError};
use stream_core::cancel::Reason;
use stream_core::{Message, Metadata};
use ttstream::proto::{Finish, Method, Open, StreamKey};

use crate::handle::Handle;
use crate::peer::recv_timeout;
use crate::{Peer, Script};

/// The service that opens streams.
pub(crate) const SERVICE: &str = "ServiceA";
/// The largest number of streams of one input, to bound its time.
const MOST_STREAMS: usize = 64;

impl Peer {
    /// Runs one command of a user.
    pub fn act(&mut self, script: &mut Script<'_>) {
        match (script.byte() % 16, self.side) {
            (0 | 13, Side::Client) => self.open(script),
            (0, Side::Server) => self.at(script, Self::set_header),
            (1 | 2, _) => self.at(script, Self::send),
            (3 | 4, _) => self.at(script, |peer, at, _| peer.recv(at)),
            (5, _) => self.at(script, |peer, at, _| peer.header(at)),
            (6, _) => self.at(script, |peer, at, _| peer.stop_recv(at)),
            (7, _) => self.at(script, |peer, at, _| peer.close_send(at)),
            (8, _) => self.at(script, Self::cancel),
            (9, _) => self.at(script, |peer, at, _| peer.abandon_send(at)),
            (10, _) => self.at(script, |peer, at, _| peer.discard_incoming(at)),
            (11, _) => self.at(script, |peer, at, _| peer.release(at)),
            (12, _) => self.at(script, |peer, at, _| peer.send_header(at)),
            (13 | 14, Side::Server) => self.at(script, Self::finish_somehow),
            (14, Side::Client) => self.at(script, Self::cancel_again),
            _ => self.at(script, Self::do_rarely),
        }
        self.settle();
        if self.side == Side::Server {
            self.handles.retain(|handle| !(handle.finished && handle.released));
        }
    }

    /// Calls `what` with one of the newest handles.
    fn at(&mut self, script: &mut Script<'_>, what: impl Fn(&mut Self, usize, &mut Script<'_>)) {
        let back = usize::from(script.byte()) % self.handles.len().clamp(1, 8) + 1;
        if let Some(at) = self.handles.len().checked_sub(back) {
            what(self, at, script);
        }
    }

    /// Returns the key of a handle that is not released.
    fn held(&self, at: usize) -> Option<StreamKey> {
        self.handles.get(at).filter(|handle| !handle.released).map(|handle| handle.key)
    }

    fn open(&mut self, script: &mut Script<'_>) {
        if self.handles.len() >= MOST_STREAMS {
            return;
        }
        let (metadata, odd) = metadata(script);
        let timeout = script.pick(&[None, None, None, Some(0), Some(1), Some(50), Some(u64::MAX)]);
        let deadline = timeout.and_then(|millis| self.now.checked_add(Duration::from_millis(millis)));
        let recv_timeout = recv_timeout(script);
        let method = Arc::new(Method::new("M").expect("it is short"));
        let service = Arc::from(SERVICE);
        let (method, metadata, service, wire_deadline) = (&method, &metadata, &service, None);
        let open = Open { method, metadata, service, deadline, wire_deadline, recv_timeout };
        match self.conn.open(&open, self.now) {
            Ok(Some(key)) => {
                assert!(self.closed().is_none() && deadline.is_none_or(|at| at > self.now));
                let known = self.taken.insert(key.id().get(), Default::default());
                assert!(known.is_none(), "{key:?} is reused");
                self.handles.push(Handle { deadline, recv_timeout, ..Handle::new(key, 0) });
            }
            Ok(None) => self.waits_open = true,
            Err(error) => {
                let late = error.code() == Code::STREAM_TIMEOUT && deadline == Some(self.now);
                let odd = error.code() == Code::ILLEGAL_OPERATION && odd;
                assert!(late || odd || self.closed().is_some(), "{error}");
            }
        }
    }

    fn send(&mut self, at: usize, script: &mut Script<'_>) {
        let Some(key) = self.held(at) else { return };
        let size = script.pick(&[0, 4, 100, 1000, 8 * 1024, 17 * 1024, 40 * 1024]);
        let message = message(self.handles[at].sent, size);
        let payload = match script.byte() % 2 {
            0 => Message::Borrowed(&message),
            _ => Message::Owned(message.clone().into()),
        };
        let answer = self.conn.send(key, &payload);
        self.handles[at].saw_send(answer);
    }

    /// Calls Recv once.
    pub(crate) fn recv(&mut self, at: usize) {
        let Some(key) = self.held(at) else { return };
        let answer = self.conn.recv(key, self.now);
        let handle = &mut self.handles[at];
        handle.saw_recv(answer, &self.taken[&key.id().get()], self.now);
    }

    /// Receives all messages of a stream, up to its end; returns whether there were any.
    pub(crate) fn recv_all(&mut self, at: usize) -> bool {
        let before = self.handles[at].received;
        while !self.handles[at].waits_recv && !self.handles[at].at_end {
            let seen = self.handles[at].received;
            self.recv(at);
            self.settle();
            if self.handles[at].received == seen {
                break;
            }
        }
        self.handles[at].received > before
    }

    /// One task takes a stream's messages and its header, so its Recv was dropped.
    fn header(&mut self, at: usize) {
        let Some(key) = self.held(at) else { return };
        self.stop_recv(at);
        let answer = self.conn.header(key);
        let handle = &mut self.handles[at];
        handle.waits_header = answer.is_pending();
        assert!(!handle.waits_header || handle.outcome.is_none(), "{handle:?}: waits after the end");
    }

    fn stop_recv(&mut self, at: usize) {
        let Some(key) = self.held(at) else { return };
        self.conn.stop_recv(key);
        self.handles[at].stopped_recv();
    }

    pub(crate) fn close_send(&mut self, at: usize) {
        let Some(key) = self.held(at) else { return };
        self.conn.close_send(key);
        self.handles[at].closed |= self.side == Side::Client;
    }

    fn cancel(&mut self, at: usize, script: &mut Script<'_>) {
        if let Some(key) = self.held(at) {
            self.canceled(at);
            self.conn.cancel(key, &reason(script));
        }
    }

    /// Cancels a stream that may already be released, as a scope may do.
    fn cancel_again(&mut self, at: usize, script: &mut Script<'_>) {
        self.canceled(at);
        self.conn.cancel(self.handles[at].key, &reason(script));
    }

    fn abandon_send(&mut self, at: usize) {
        let Some(key) = self.held(at) else { return };
        if !self.handles[at].closed {
            self.canceled(at);
        }
        self.conn.abandon_send(key, &Reason::Canceled);
    }

    fn canceled(&mut self, at: usize) {
        let handle = &mut self.handles[at];
        handle.discarded |= self.side == Side::Client && handle.outcome.is_none();
    }

    fn discard_incoming(&mut self, at: usize) {
        let Some(key) = self.held(at) else { return };
        self.conn.discard_incoming(key);
        self.handles[at].discarded = true;
    }

    pub(crate) fn release(&mut self, at: usize) {
        let Some(key) = self.held(at) else { return };
        self.check_outcome(at);
        self.conn.release(key);
        let handle = &mut self.handles[at];
        handle.released = true;
        if self.side == Side::Client && handle.outcome.is_none() {
            handle.outcome = Some(Err(StreamError::new(Code::CANCELED).on_side(Side::Client).into()));
        }
    }

    fn set_header(&mut self, at: usize, script: &mut Script<'_>) {
        let Some(key) = self.held(at) else { return };
        let (header, odd) = metadata(script);
        let set = self.conn.set_header(key, &header);
        assert!(!set || self.side == Side::Server);
        self.handles[at].odd_header |= odd;
    }

    fn send_header(&mut self, at: usize) {
        let Some(key) = self.held(at) else { return };
        if let Err(error) = self.conn.send_header(key) {
            let handle = &self.handles[at];
            let odd = handle.odd_header && error.code() == Some(Code::ILLEGAL_OPERATION);
            assert!(odd || handle.outcome.is_some() || handle.closed, "{handle:?}: {error}");
        }
    }

    fn finish_somehow(&mut self, at: usize, script: &mut Script<'_>) {
        let exception = match script.byte() % 3 {
            0 => Some(ApplicationException::new(script.int(), script.text())),
            _ => None,
        };
        let (trailer, _) = metadata(script);
        self.finish(at, &Finish { trailer, exception });
    }

    /// Lets the handler return, with its handles released or not.
    pub(crate) fn finish(&mut self, at: usize, finish: &Finish) {
        let Some(handle) = self.handles.get(at).filter(|handle| !handle.finished) else { return };
        self.conn.finish(handle.key, finish);
        let handle = &mut self.handles[at];
        (handle.finished, handle.closed) =
            (self.side == Side::Server, self.side == Side::Server || handle.closed);
    }

    fn do_rarely(&mut self, at: usize, script: &mut Script<'_>) {
        match (script.byte(), self.side) {
            (0, Side::Server) => self.conn.drain(),
            (1, Side::Server) => self.conn.end_all("ServiceB"),
            (2..=63, _) => self.send_timeout(at),
            (64..=127, _) => self.take_meta(at),
            _ => self.ask(at),
        }
    }

    fn send_timeout(&mut self, at: usize) {
        if let Some(key) = self.held(at) {
            self.conn.handle_send_timeout(key, Duration::from_millis(1));
        }
    }

    fn take_meta(&mut self, at: usize) {
        let Some(key) = self.held(at) else { return };
        if self.conn.take_meta(key).is_some() {
            assert!(self.side == Side::Client && self.taken[&key.id().get()].metas > 0);
        }
    }

    fn ask(&mut self, at: usize) {
        let Some(key) = self.held(at) else { return };
        let timeout = self.conn.timeout(key);
        assert!(timeout.is_none() || self.side == Side::Server);
        self.check_outcome(at);
        assert!(self.conn.method(key).is_some());
        let (handle, taken) = (&self.handles[at], &self.taken[&key.id().get()]);
        let trailer = self.conn.trailer(key).is_some() && handle.opening == taken.openings;
        assert!(!trailer || taken.trailer, "a trailer that was not sent");
    }

    pub(crate) fn check_outcome(&mut self, at: usize) {
        let Some(key) = self.held(at) else { return };
        let outcome = self.conn.outcome(key);
        self.handles[at].saw_outcome(outcome);
    }
}

/// Returns the n-th message of a stream: its number, then padding.
fn message(number: usize, size: usize) -> Vec<u8> {
    let mut message = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    message.resize(size.max(4), 0);
    message
}

/// Returns the strings of a frame, and whether they may not fit into a frame.
fn metadata(script: &mut Script<'_>) -> (Metadata, bool) {
    let pairs = script.pick(&[0, 0, 0, 0, 1, 2]);
    let metadata: Metadata = (0..pairs).map(|_| (script.blob().to_vec(), script.swollen())).collect();
    let odd = metadata.iter().any(|(_, value)| value.len() > 5000);
    (metadata, odd)
}

fn reason(script: &mut Script<'_>) -> Reason {
    match script.byte() % 6 {
        0 | 1 => Reason::Canceled,
        2 => Reason::Cause(Arc::new(io::Error::other(script.text()))),
        3 => Reason::DeadlineExceeded,
        4 => {
            let (code, path) = (Code::new(script.int()), CancelPath::from_wire(&script.swollen()));
            Reason::Stream(StreamError::received(Side::Server, code, script.blob(), path))
        }
        _ => Reason::Foreign(Arc::new(io::Error::other(script.text()))),
    }
}
