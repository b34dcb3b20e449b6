//! One simulated connection: two ends, and the packets under way between them. Behaves as TCP of Linux does at its socket.
//! Does no IO, and knows no link, no clock and no other connection.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::Waker;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::random::Random;

/// What travels over a connection.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    Bytes(Bytes),
    /// Nothing more follows: the sender has shut its end down.
    End,
    /// The connection is reset.
    Reset,
}

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Client,
    Server,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Client, Self::Server];

    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// A connection between two hosts.
#[derive(Debug)]
pub(super) struct Connection {
    client: End,
    server: End,
}

/// One end, with what is under way to it.
#[derive(Debug)]
pub(super) struct End {
    pub(super) host: Arc<str>,
    /// Draws what the link does to packets that this end sends.
    pub(super) random: Random,
    /// When the link has transmitted all that this end has sent.
    pub(super) busy_until: Instant,
    /// Packets to this end, with the times at which they arrive, in order.
    pub(super) under_way: VecDeque<(Instant, Packet)>,
    arrived: BytesMut,
    /// Bytes that are under way to this end or have arrived, and were not taken.
    untaken: usize,
    capacity: usize,
    has_ended: bool,
    failed: Option<ErrorKind>,
    /// The peer has reset the connection, and the owner of this end was not yet informed.
    unreported_reset: bool,
    is_shut: bool,
    is_dropped: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl End {
    fn new(host: Arc<str>, random: Random, capacity: usize, now: Instant) -> Self {
        Self {
            host,
            random,
            busy_until: now,
            under_way: VecDeque::new(),
            arrived: BytesMut::new(),
            untaken: 0,
            capacity,
            has_ended: false,
            failed: None,
            unreported_reset: false,
            is_shut: false,
            is_dropped: false,
            reader: None,
            writer: None,
        }
    }

    fn fail(&mut self, kind: ErrorKind) -> Vec<Waker> {
        self.failed = self.failed.or(Some(kind));
        self.under_way.clear();
        self.untaken = self.arrived.len();
        self.wakers()
    }

    fn wakers(&mut self) -> Vec<Waker> {
        self.reader.take().into_iter().chain(self.writer.take()).collect()
    }
}

impl Connection {
    /// Returns a connection from the first host to the second.
    pub(super) fn new(hosts: [Arc<str>; 2], random: &Random, capacity: usize, now: Instant) -> Self {
        let [client, server] = hosts;
        Self {
            client: End::new(client, random.fork(0), capacity, now),
            server: End::new(server, random.fork(1), capacity, now),
        }
    }

    pub(super) fn end(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    pub(super) fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Returns whether `host` has one of the ends.
    pub(super) fn is_of(&self, host: &str) -> bool {
        Side::BOTH.iter().any(|side| &*self.end(*side).host == host)
    }

    /// Returns whether it connects these hosts, in either direction.
    pub(super) fn is_between(&self, first: &str, second: &str) -> bool {
        let (client, server) = (&*self.client.host, &*self.server.host);
        (client, server) == (first, second) || (client, server) == (second, first)
    }

    /// Returns whether nobody has an end of it any more.
    pub(super) fn is_over(&self) -> bool {
        self.client.is_dropped && self.server.is_dropped
    }

    /// Returns how many bytes `side` may write now.
    fn room(&self, side: Side) -> usize {
        let other = self.end(side.other());
        other.capacity.saturating_sub(other.untaken)
    }

    /// Accepts bytes that `side` writes, as far as there is room.
    pub(super) fn accept(&mut self, side: Side, slices: &[IoSlice<'_>]) -> io::Result<Bytes> {
        if let Some(kind) = self.end(side).failed {
            return Err(kind.into());
        }
        if self.end(side).is_shut {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let (mut accepted, room) = (BytesMut::new(), self.room(side));
        for slice in slices {
            let left = room.saturating_sub(accepted.len());
            accepted.extend_from_slice(slice.get(..left).unwrap_or(slice));
        }
        if accepted.is_empty() && slices.iter().any(|slice| !slice.is_empty()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.end_mut(side.other()).untaken += accepted.len();
        Ok(accepted.freeze())
    }

    /// Returns bytes that have arrived at `side`, at most `room` of them, and the task that waits to write more.
    pub(super) fn take(&mut self, side: Side, room: usize) -> io::Result<(BytesMut, Option<Waker>)> {
        let end = self.end_mut(side);
        if !end.arrived.is_empty() {
            let taken = end.arrived.split_to(room.min(end.arrived.len()));
            end.untaken = end.untaken.saturating_sub(taken.len());
            return Ok((taken, self.end_mut(side.other()).writer.take()));
        }
        match end.failed {
            Some(kind) => {
                end.unreported_reset = false;
                Err(kind.into())
            }
            None if end.has_ended || end.is_shut => Ok((BytesMut::new(), None)),
            None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// Returns whether `side` has something to read: bytes, the end, or an error.
    pub(super) fn is_readable(&self, side: Side) -> bool {
        let end = self.end(side);
        !end.arrived.is_empty() || end.failed.is_some() || end.has_ended || end.is_shut
    }

    /// Returns whether a write of `side` accepts bytes or fails.
    pub(super) fn is_writable(&self, side: Side) -> bool {
        let end = self.end(side);
        end.failed.is_some() || end.is_shut || self.room(side) > 0
    }

    /// Returns whether the peer of `side` has ended or reset the connection.
    pub(super) fn is_closed_by_peer(&self, side: Side) -> bool {
        self.end(side).has_ended || self.end(side).failed.is_some()
    }

    /// Returns whether the peer of `side` has reset the connection, once.
    pub(super) fn take_reset(&mut self, side: Side) -> bool {
        std::mem::take(&mut self.end_mut(side).unreported_reset)
    }

    /// Registers the task that waits to read at `side`. Returns the one before.
    pub(super) fn wait_to_read(&mut self, side: Side, waker: Waker) -> Option<Waker> {
        self.end_mut(side).reader.replace(waker)
    }

    /// Registers the task that waits to write at `side`. Returns the one before.
    pub(super) fn wait_to_write(&mut self, side: Side, waker: Waker) -> Option<Waker> {
        self.end_mut(side).writer.replace(waker)
    }

    /// A packet arrives at `side`. Returns tasks to wake, and whether the sender is to be reset, since nobody reads here.
    pub(super) fn arrive(&mut self, side: Side, packet: Packet) -> (Vec<Waker>, bool) {
        let end = self.end_mut(side);
        if end.failed.is_some() {
            return (Vec::new(), false);
        }
        match packet {
            Packet::Bytes(_) if end.is_shut => return (end.fail(ErrorKind::BrokenPipe), true),
            Packet::Bytes(bytes) => end.arrived.extend_from_slice(&bytes),
            Packet::End => end.has_ended = true,
            Packet::Reset => {
                end.unreported_reset = true;
                return (end.fail(ErrorKind::ConnectionReset), false);
            }
        }
        (end.reader.take().into_iter().collect(), false)
    }

    /// Shuts `side` down. Returns tasks to wake, and the packet to send, if there is one.
    pub(super) fn shut_down(&mut self, side: Side) -> (Vec<Waker>, Option<Packet>) {
        let end = self.end_mut(side);
        let sends_end = !std::mem::replace(&mut end.is_shut, true) && end.failed.is_none();
        (end.wakers(), sends_end.then_some(Packet::End))
    }

    /// The owner of `side` drops it. As on Linux, bytes that it has not read are answered by a reset.
    pub(super) fn drop_end(&mut self, side: Side) -> (Vec<Waker>, Option<Packet>) {
        let end = self.end_mut(side);
        end.is_dropped = true;
        let has_unread = !std::mem::take(&mut end.arrived).is_empty() && end.failed.is_none();
        let (wakers, packet) = self.shut_down(side);
        (wakers, if has_unread { Some(Packet::Reset) } else { packet })
    }

    /// The connection fails at `side` at once: what is under way to it is lost.
    pub(super) fn fail(&mut self, side: Side, kind: ErrorKind) -> Vec<Waker> {
        let end = self.end_mut(side);
        end.unreported_reset |= kind == ErrorKind::ConnectionReset && end.failed.is_none();
        end.fail(kind)
    }
}
