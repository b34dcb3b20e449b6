//! Code, path and cause of a cancel between peers of this crate, beside the RST_STREAM frame, which has no room for
//! them: a frame of our own goes before it. Owns who may send one, and its payload.
//!
//! A server that serves a request with our `user-agent` announces on that connection that it reads and sends such
//! frames; a client sends them where they are announced. Everyone else gets HTTP/2 and nothing more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, BufMut, BytesMut};
use kerrors::{CancelPath, Code, Side, StreamError};
use stream_core::sync::Mutex;

use crate::frames;

/// What a server announces, on stream 0: the version of the payload below.
const ANNOUNCEMENT: &[u8] = &[1];
/// Bytes of a cause or of a path that are sent at most.
const MAX_TEXT: usize = 4096;
/// Bytes that wait to be written, and bytes of cancels whose reset has not come, at most. What is beyond that is
/// lost, and the reset then says what it says to everyone.
const MAX_WAITING: usize = 1024 * 1024;

/// What one connection sends and receives of cancels.
#[derive(Debug)]
pub(crate) struct Origins {
    side: Side,
    /// Anything has come from the peer.
    received: AtomicBool,
    /// Something has come since the keepalive looked.
    activity: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Server: the announcement was queued. Client: it came.
    announced: bool,
    queued: BytesMut,
    /// By stream: those that are never reset are the oldest.
    received: BTreeMap<u32, StreamError>,
    received_bytes: usize,
}

impl Origins {
    /// Returns those of a connection of which this end is `side`.
    pub(crate) fn new(side: Side) -> Self {
        let (received, activity) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { side, received, activity, state: Mutex::default() }
    }

    /// Bytes have come from the peer.
    pub(crate) fn hear(&self) {
        self.received.store(true, Ordering::Relaxed);
        self.activity.store(true, Ordering::Relaxed);
    }

    /// Returns whether bytes have come since the last call.
    pub(crate) fn take_activity(&self) -> bool {
        self.activity.swap(false, Ordering::Relaxed)
    }

    /// Returns whether anything has come from the peer.
    pub(crate) fn has_received(&self) -> bool {
        self.received.load(Ordering::Relaxed)
    }

    /// Server: the client may send code, path and cause of its cancels.
    pub(crate) fn announce(&self) {
        let mut state = self.state.lock();
        if !state.announced {
            state.announced = true;
            frames::put(&mut state.queued, 0, ANNOUNCEMENT);
        }
    }

    /// The stream is about to be reset because of `error`, whose path for the peer is `path`.
    pub(crate) fn send(&self, stream: u32, error: &StreamError, path: &CancelPath) {
        let mut state = self.state.lock();
        if state.announced && state.queued.len() < MAX_WAITING {
            frames::put(&mut state.queued, stream, &encode(error, path));
        }
    }

    /// Returns whether there is something to write.
    pub(crate) fn has_queued(&self) -> bool {
        !self.state.lock().queued.is_empty()
    }

    /// Returns the frames that are to be written.
    pub(crate) fn take_queued(&self) -> BytesMut {
        self.state.lock().queued.split()
    }

    /// A frame of our own has come.
    pub(crate) fn receive(&self, stream: u32, payload: &[u8]) {
        let mut state = self.state.lock();
        if stream == 0 {
            state.announced |= self.side == Side::Client && payload == ANNOUNCEMENT;
            return;
        }
        let Some(error) = decode(self.side, payload).filter(|_| state.announced) else { return };
        state.received_bytes = state.received_bytes.saturating_add(size(&error));
        let known = state.received.insert(stream, error);
        let oldest = if state.received_bytes > MAX_WAITING { state.received.pop_first() } else { None };
        let gone = known.into_iter().chain(oldest.map(|(_, error)| error));
        state.received_bytes = gone.fold(state.received_bytes, |all, error| all.saturating_sub(size(&error)));
    }

    /// Returns why the peer has reset the stream, if it said so.
    pub(crate) fn take(&self, stream: u32) -> Option<StreamError> {
        let mut state = self.state.lock();
        let error = state.received.remove(&stream)?;
        state.received_bytes = state.received_bytes.saturating_sub(size(&error));
        Some(error)
    }
}

/// What an entry costs.
fn size(error: &StreamError) -> usize {
    let path = error.path().map_or(0, |path| path.as_wire().len());
    path.saturating_add(error.message().len()).saturating_add(256)
}

/// Code, length of the path, path, cause.
fn encode(error: &StreamError, path: &CancelPath) -> Vec<u8> {
    let (path, text) = (start(path.as_wire()), start(error.message()));
    let mut out = Vec::with_capacity(path.len().saturating_add(text.len()).saturating_add(6));
    out.put_i32(error.code().number());
    out.put_u16(u16::try_from(path.len()).unwrap_or_default());
    out.put_slice(path.as_bytes());
    out.put_slice(text.as_bytes());
    out
}

fn start(text: &str) -> &str {
    (0..=MAX_TEXT.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

/// Returns what a payload says; `None` if it is malformed.
fn decode(side: Side, payload: &[u8]) -> Option<StreamError> {
    let (mut head, rest) = payload.split_at_checked(6)?;
    let (code, len) = (head.get_i32(), head.get_u16());
    let (path, text) = rest.split_at_checked(usize::from(len))?;
    Some(StreamError::received(side, Code::new(code), text, CancelPath::from_wire(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{Found, Scanner};

    fn pass(from: &Origins, to: &Origins) -> usize {
        let bytes = from.take_queued();
        Scanner::default().scan(&bytes, |found| match found {
            Found::Own(stream, payload) => to.receive(stream, payload),
            Found::Headers(_) => unreachable!("frames of our own have no headers"),
        });
        bytes.len()
    }

    #[test]
    fn code_path_and_cause_arrive_once_the_server_has_announced() {
        let (client, server) = (Origins::new(Side::Client), Origins::new(Side::Server));
        let error = StreamError::new(Code::CANCELED_WITH_CAUSE).with_cause("user pressed stop");
        let path = CancelPath::of("ServiceA").then("ServiceB");
        client.send(1, &error, &path);
        assert!(!client.has_queued(), "nothing is sent to a peer that has not asked for it");
        server.announce();
        server.announce();
        assert_eq!(pass(&server, &client), 10, "once a connection");
        client.send(3, &error, &path);
        pass(&client, &server);
        assert_eq!(
            server.take(3).unwrap().to_string(),
            "[ttstream error, code=12008] [server-side stream] [canceled path: ServiceA -> ServiceB] user pressed stop"
        );
        assert_eq!((server.take(3), server.take(1)), (None, None));
    }

    #[test]
    fn texts_of_any_length_are_cut_and_what_waits_is_bounded() {
        let (client, server) = (Origins::new(Side::Client), Origins::new(Side::Server));
        server.announce();
        pass(&server, &client);
        let error = StreamError::new(Code::CANCELED).with_cause("é".repeat(100_000));
        for stream in 0..10_000 {
            client.send(stream, &error, &CancelPath::of(&"x".repeat(100_000)));
        }
        assert!(pass(&client, &server) < 2 * MAX_WAITING, "a peer that reads nothing");
        for stream in 0..10_000 {
            client.send(stream, &error, &CancelPath::of("A"));
            pass(&client, &server);
        }
        let state = server.state.lock();
        assert!(
            state.received.len() < 300 && state.received_bytes <= MAX_WAITING,
            "a peer that resets nothing"
        );
        assert_eq!(state.received.last_key_value().unwrap().1.message().len(), 4096);
        assert_eq!(state.received.values().map(size).sum::<usize>(), state.received_bytes);
    }

    #[test]
    fn malformed_payloads_are_passed_over() {
        let server = Origins::new(Side::Server);
        server.announce();
        for payload in [&b""[..], &[0; 5], &[0, 0, 0, 0, 0, 1], &[0, 0, 0, 0, 0xff, 0xff, 0]] {
            server.receive(1, payload);
            assert_eq!(server.take(1), None, "{payload:?}");
        }
        let client = Origins::new(Side::Client);
        for (stream, payload) in [(0, &b"\x02"[..]), (0, b""), (1, ANNOUNCEMENT)] {
            client.receive(stream, payload);
            assert!(!client.state.lock().announced, "{stream} {payload:?}");
        }
    }
}
