//! Two connections with each other: with any commands of their users, and any chunks and delays of bytes,
//! there is no protocol violation, nothing is lost, and all streams end.

use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use kerrors::{Code, Side, StreamError};
use ttheader_codec::Limits;

use crate::handle::{Handle, is_beyond_credit, stream_error};
use crate::verbs::SERVICE;
use crate::{Peer, Script};

/// A client's connection, a server's, and the bytes in flight between them.
#[derive(Debug)]
pub struct Pair {
    client: Peer,
    server: Peer,
    to_server: BytesMut,
    to_client: BytesMut,
    lost: bool,
}

impl Pair {
    /// Returns two new connections.
    pub fn new(script: &mut Script<'_>, now: Instant) -> Self {
        let mut peer = |side| Peer::new(side, Peer::bounds(script, Limits::default()), now);
        Self {
            client: peer(Side::Client),
            server: peer(Side::Server),
            to_server: BytesMut::new(),
            to_client: BytesMut::new(),
            lost: false,
        }
    }

    /// Runs one step: a command of either user, moved bytes, or elapsed time.
    pub fn act(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0..=4 => self.client.act(script),
            5..=8 => self.server.act(script),
            9..=11 => self.carry_to_server(cut(script), cut(script)),
            12..=13 => self.carry_to_client(cut(script), cut(script)),
            14 => self.advance(script.pick(&[1, 9, 30, 500, 30_000])),
            _ if script.byte() == 0 => self.lose(),
            _ => {}
        }
        self.check();
    }

    /// Writes, reads, receives and finishes everything, and checks that every stream has ended and nothing is
    /// left.
    pub fn finish_all(&mut self) {
        self.take_everything();
        for at in 0..self.server.handles.len() {
            self.server.finish(at, &Default::default());
        }
        self.take_everything();
        for peer in [&self.client, &self.server] {
            peer.check_woken(true);
            let endless = peer.handles.iter().find(|handle| handle.outcome.is_none() && !handle.released);
            assert!(endless.is_none(), "{endless:?} has no end");
        }
        self.client.release_all();
        self.server.release_all();
        self.carry_all();
        self.client.check_empty();
        self.server.check_empty();
    }

    fn carry_to_server(&mut self, write: usize, read: usize) {
        self.to_server.extend_from_slice(&self.client.write(write));
        let read = read.min(self.to_server.len());
        self.server.read(&self.to_server[..read]);
        self.to_server.advance(read);
    }

    fn carry_to_client(&mut self, write: usize, read: usize) {
        self.to_client.extend_from_slice(&self.server.write(write));
        let read = read.min(self.to_client.len());
        self.client.read(&self.to_client[..read]);
        self.to_client.advance(read);
    }

    fn carry_all(&mut self) {
        while self.client.has_output() || self.server.has_output() || !self.is_still() {
            self.carry_to_server(usize::MAX, usize::MAX);
            self.carry_to_client(usize::MAX, usize::MAX);
        }
        self.check();
    }

    fn is_still(&self) -> bool {
        self.to_server.is_empty() && self.to_client.is_empty()
    }

    fn advance(&mut self, millis: u64) {
        let now = self.client.now + Duration::from_millis(millis);
        self.client.advance(now);
        self.server.advance(now);
    }

    fn lose(&mut self) {
        self.lost = true;
        for peer in [&mut self.client, &mut self.server] {
            peer.lose(&StreamError::new(Code::TRANSPORT_CLOSING));
        }
    }

    /// Each pass makes room for the messages behind it, which the next pass receives.
    fn take_everything(&mut self) {
        let mut busy = true;
        while busy {
            self.carry_all();
            self.advance(10);
            busy = false;
            for peer in [&mut self.client, &mut self.server] {
                for at in 0..peer.handles.len() {
                    busy |= peer.recv_all(at);
                }
            }
            busy |= self.client.has_output() || self.server.has_output();
        }
    }

    fn check(&mut self) {
        for peer in [&self.client, &self.server] {
            let Some(error) = peer.closed() else { continue };
            // A conforming peer may be closed for one reason only: its user is a slow consumer.
            assert!(self.lost || error.code() == Code::TRANSPORT_CLOSING, "{:?} gave up: {error}", peer.side);
        }
        if !self.lost && (self.client.closed().is_some() || self.server.closed().is_some()) {
            self.lose();
        }
        for handle in self.client.handles.iter().chain(&self.server.handles) {
            let error = stream_error(&handle.outcome);
            assert!(!error.is_some_and(is_beyond_credit), "{handle:?}: its peer has not kept to its credit");
        }
        for server in &self.server.handles {
            if let Some(client) = self.client.handles.iter().find(|client| client.key.id() == server.key.id())
            {
                check_cancel(client, server);
                check_messages(client, server, &self.server);
                check_messages(server, client, &self.client);
            }
        }
    }
}

/// Checks that a stream ended by its client ends at the server with the same code, and with the client's name
/// last in its path.
fn check_cancel(client: &Handle, server: &Handle) {
    let Some(error) = stream_error(&server.outcome).filter(|error| error.is_canceled()) else { return };
    // An end by the server itself has no path.
    if server.finished || error.code() == Code::CONNECTION_CLOSED && error.path().is_none() {
        return;
    }
    let canceled = stream_error(&client.outcome).expect("a canceled stream has an error");
    assert_eq!(error.code(), canceled.code(), "{client:?}, {server:?}");
    assert_eq!(error.path().and_then(|path| path.services().last()), Some(SERVICE), "{server:?}");
}

/// Checks that one end has received what the other has sent, in order; everything if the end is clean.
fn check_messages(from: &Handle, to: &Handle, receiver: &Peer) {
    let taken = &receiver.taken[&to.key.id().get()];
    assert!(taken.data.len() <= from.sent, "{to:?} has received more than {from:?} has sent");
    if let Some(last) = taken.data.last() {
        let number = u32::from_be_bytes(*last.first_chunk().expect("a number"));
        assert_eq!(usize::try_from(number), Ok(taken.data.len() - 1), "{to:?}: lost or reordered");
    }
    // A server's stream continues after its client's clean end.
    let half = to.outcome.is_none() && !to.released && taken.trailer;
    let clean = half || matches!(to.outcome, Some(Ok(())));
    if clean && !to.discarded {
        assert_eq!(taken.data.len(), from.sent, "{to:?}: a clean end before the last message");
    }
}

/// Returns where bytes are cut: usually anywhere, rarely nowhere.
fn cut(script: &mut Script<'_>) -> usize {
    match script.byte() {
        255 => usize::MAX,
        byte @ 128.. => usize::from(byte - 127) * 300,
        byte => byte.into(),
    }
}
