//! Two peers in one test: a client's connection, a server's, a wire in each direction and a virtual clock.
//! Modeled on the test harness of quinn-proto.
#![allow(dead_code, reason = "each test file uses its own part of the harness")]

pub(crate) mod frames;
pub(crate) mod seed;
pub(crate) mod wire;

use std::io::IoSlice;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kerrors::{Code, Error, RecvTimeout, Side, StreamError};
use stream_core::{Message, Metadata};
use ttstream::proto::{
    Config, Connection, ConnectionError, Event, Method, Open, ServerLimits, StreamKey, Transmit,
};
use wire::Wire;

/// One end: a connection, and the state that a driver would hold for it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) conn: Connection,
    /// All its events, in order.
    pub(crate) events: Vec<Event>,
    /// The error that closed it.
    pub(crate) error: Option<ConnectionError>,
    /// It was paused, and not resumed since.
    unread: bool,
    out: Transmit,
    buf: BytesMut,
}

/// The parameters of a new stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dial {
    pub(crate) method: &'static str,
    pub(crate) service: &'static str,
    pub(crate) deadline: Option<Duration>,
    pub(crate) recv_timeout: Option<RecvTimeout>,
}

impl Default for Dial {
    fn default() -> Self {
        Self { method: "M", service: "ServiceA", deadline: None, recv_timeout: None }
    }
}

#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) client: Peer,
    pub(crate) server: Peer,
    pub(crate) to_server: Wire,
    pub(crate) to_client: Wire,
    now: Instant,
    lost: bool,
}

impl Default for Pair {
    fn default() -> Self {
        Self::new(Config::default(), Config::default())
    }
}

impl Pair {
    pub(crate) fn new(client: Config, server: Config) -> Self {
        Self::with_limits(client, server, ServerLimits::default())
    }

    pub(crate) fn with_limits(client: Config, server: Config, limits: ServerLimits) -> Self {
        Self {
            client: Peer::new(Connection::new(Side::Client, client)),
            server: Peer::new(Connection::server(server, limits)),
            to_server: Wire::default(),
            to_client: Wire::default(),
            now: Instant::now(),
            lost: false,
        }
    }

    /// Returns a pair with one accepted stream: the client's key and the server's.
    pub(crate) fn opened(dial: &Dial) -> (Self, StreamKey, StreamKey) {
        let mut pair = Self::default();
        let key = pair.open(dial);
        pair.drive();
        let handler = pair.accepted(key);
        (pair, key, handler)
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn peer(&mut self, side: Side) -> &mut Peer {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Returns the wire that `side` writes to.
    pub(crate) fn wire_from(&mut self, side: Side) -> &mut Wire {
        match side {
            Side::Client => &mut self.to_server,
            Side::Server => &mut self.to_client,
        }
    }

    pub(crate) fn open(&mut self, dial: &Dial) -> StreamKey {
        self.try_open(dial).expect("the stream opens").expect("the connection has room")
    }

    pub(crate) fn try_open(&mut self, dial: &Dial) -> Result<Option<StreamKey>, StreamError> {
        let open = Open {
            method: &Arc::new(Method::new(dial.method).unwrap()),
            metadata: &Metadata::new(),
            service: &dial.service.into(),
            deadline: dial.deadline.map(|deadline| self.now + deadline),
            wire_deadline: None,
            recv_timeout: dial.recv_timeout,
        };
        self.client.conn.open(&open, self.now)
    }

    /// Returns the server's key of the client's stream.
    pub(crate) fn accepted(&self, key: StreamKey) -> StreamKey {
        let opened = self.server.events.iter().rev().find_map(|event| match event {
            Event::Opened(opened) if opened.id() == key.id() => Some(*opened),
            _ => None,
        });
        opened.expect("the server has seen the stream")
    }

    pub(crate) fn send(&mut self, side: Side, key: StreamKey, message: &[u8]) -> Result<bool, Error> {
        self.peer(side).conn.send(key, &Message::Borrowed(message))
    }

    pub(crate) fn recv(&mut self, side: Side, key: StreamKey) -> Poll<Result<Option<Bytes>, Error>> {
        let now = self.now;
        self.peer(side).conn.recv(key, now)
    }

    /// Moves bytes both ways until nothing changes. No time passes.
    pub(crate) fn drive(&mut self) {
        loop {
            let mut moved = self.client.flush(&mut self.to_server, self.now);
            moved |= self.server.flush(&mut self.to_client, self.now);
            moved |= self.server.take(&mut self.to_server, self.now);
            moved |= self.client.take(&mut self.to_client, self.now);
            self.close_other_end();
            if !moved {
                break;
            }
        }
        self.client.collect();
        self.server.collect();
    }

    /// Lets time pass; timers fire when they are due.
    pub(crate) fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.drive();
        while let Some(at) = self.next_due().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.client.conn.handle_timeout(self.now);
            self.server.conn.handle_timeout(self.now);
            self.drive();
        }
        self.now = end;
    }

    /// Loses the connection: bytes in flight are lost, and both ends notice.
    pub(crate) fn lose(&mut self) {
        self.to_server.cut_off_after(0);
        self.to_client.cut_off_after(0);
        self.lost = true;
        for side in [Side::Client, Side::Server] {
            self.peer(side).conn.handle_closed(&StreamError::new(Code::TRANSPORT_CLOSING));
        }
    }

    /// Writes one batch of `side`.
    pub(crate) fn write_batch(&mut self, side: Side) {
        let (peer, wire) = match side {
            Side::Client => (&mut self.client, &mut self.to_server),
            Side::Server => (&mut self.server, &mut self.to_client),
        };
        peer.conn.poll_transmit(&mut peer.out);
        while !peer.out.is_empty() {
            peer.write(wire, self.now);
        }
    }

    /// Returns when the next event is due without further input.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let arrivals = [&self.to_server, &self.to_client].map(Wire::next_arrival);
        let timers = [&self.client, &self.server].map(|peer| peer.conn.poll_timeout());
        // Bytes for a paused connection do not wait for time.
        let arrivals = arrivals.into_iter().flatten().filter(|at| *at > self.now);
        arrivals.chain(timers.into_iter().flatten()).min()
    }

    /// Returns whether no bytes are in flight.
    pub(crate) fn is_idle(&self) -> bool {
        let ways =
            [(&self.client, &self.to_server, &self.server), (&self.server, &self.to_client, &self.client)];
        ways.iter().all(|(from, wire, to)| {
            let read = wire.is_empty() && !to.conn.is_paused();
            !from.conn.has_transmit() && (read || to.conn.closed().is_some())
        })
    }

    /// Checks the invariant of the wire in both directions.
    pub(crate) fn check_wire(&self) {
        self.to_server.sent.check(Side::Client);
        self.to_client.sent.check(Side::Server);
    }

    /// Checks that nothing is left: no stream, no byte, no timer once that of the last partial frame has fired.
    pub(crate) fn check_empty(&mut self) {
        self.advance(Duration::from_secs(10));
        for (side, peer) in [("client", &self.client), ("server", &self.server)] {
            let conn = &peer.conn;
            assert_eq!(conn.held_streams(), 0, "{side} holds streams");
            assert_eq!(conn.live_streams(), 0, "{side} routes streams");
            assert_eq!(conn.received_bytes(), 0, "{side} holds received bytes");
            assert_eq!(conn.poll_timeout(), None, "{side} has a timer");
            assert!(!conn.has_transmit(), "{side} has something to write");
            assert!(!conn.is_paused(), "{side} is paused");
        }
    }

    /// An end that fails closes its socket, and the other end sees that.
    fn close_other_end(&mut self) {
        let closed = [&self.client, &self.server].iter().any(|peer| peer.conn.closed().is_some());
        if closed && !self.lost {
            self.lose();
        }
    }
}

impl Peer {
    fn new(conn: Connection) -> Self {
        Self {
            conn,
            events: Vec::new(),
            error: None,
            unread: false,
            out: Transmit::default(),
            buf: BytesMut::new(),
        }
    }

    fn flush(&mut self, wire: &mut Wire, now: Instant) -> bool {
        let mut moved = false;
        loop {
            if self.conn.closed().is_some()
                || (self.out.is_empty() && !self.conn.poll_transmit(&mut self.out))
            {
                return moved;
            }
            if wire.room() == 0 {
                return moved;
            }
            self.write(wire, now);
            moved = true;
        }
    }

    /// Makes one vectored write, of as many bytes as the wire accepts.
    fn write(&mut self, wire: &mut Wire, now: Instant) {
        let written = gather(&self.out, wire.room());
        wire.write(&written, now);
        self.out.advance(written.len());
    }

    fn take(&mut self, wire: &mut Wire, now: Instant) -> bool {
        let mut moved = false;
        self.collect();
        while !self.unread && self.conn.closed().is_none() {
            let read = wire.read(&mut self.buf, now);
            let before = self.buf.len();
            self.error = self.conn.handle_read(&mut self.buf, now).err();
            self.unread = self.conn.is_paused();
            moved |= self.buf.len() < before;
            if !read {
                break;
            }
        }
        moved
    }

    /// Records the events of the connection.
    pub(crate) fn collect(&mut self) {
        while let Some(event) = self.conn.poll_event() {
            self.unread &= event != Event::Resumed;
            self.events.push(event);
        }
    }
}

fn gather(out: &Transmit, most: usize) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 8];
    let filled = out.fill(&mut slices);
    let mut bytes = Vec::new();
    for slice in &slices[..filled] {
        bytes.extend_from_slice(&slice[..slice.len().min(most - bytes.len())]);
    }
    bytes
}
