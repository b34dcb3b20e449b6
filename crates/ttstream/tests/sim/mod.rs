//! A random schedule: two peers whose users, wires and clock do anything in any order. The invariants of the
//! model are checked after each step; at the end, that nothing is left.

mod model;

use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kerrors::{ApplicationException, Code, RecvTimeout, Side, StreamError};
use stream_core::Metadata;
use stream_core::cancel::Reason;
use ttheader_codec::FrameType;
use ttstream::proto::{Config, Event, Finish, ServerLimits};

use super::harness::frames::Seen;
use super::harness::seed::Seed;
use super::harness::{Dial, Pair};
use model::End;

const STEPS: usize = 80;
const MAX_MESSAGE: usize = 3000;

/// The faults between the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faults {
    /// Delays, chunks, narrow and stuck wires.
    Slow,
    /// The same, proxies that reset streams, and lost connections.
    ResetsAndLosses,
}

/// Plays the schedule of one seed.
pub(crate) fn play(seed: u64, faults: Faults) {
    let mut seed = Seed::new(seed);
    let [(client, _), (server, limits)] = [config(&mut seed), config(&mut seed)];
    let bounds = [client.clone(), server.clone()];
    let mut world = World {
        pair: Pair::with_limits(client, server, limits),
        seed,
        bounds,
        limits,
        ends: Vec::new(),
        waits_open: false,
        faults,
    };
    for _ in 0..STEPS {
        world.step();
        world.check();
    }
    world.finish_all();
}

fn config(seed: &mut Seed) -> (Config, ServerLimits) {
    let mut size = |least| seed.within(least..least * 8);
    let (stream_receive_window, receive_window) = (size(1000), size(4000));
    let (stream_send_buffer, send_buffer) = (size(1000), size(4000));
    let ms = |ms| Duration::from_millis(u64::try_from(ms).unwrap());
    let (slow_consumer_timeout, slow_consumer_timeout_exclusive) =
        (ms(seed.within(10..300)), ms(seed.within(10..3000)));
    let max_concurrent_streams = seed.within(1..12);
    let stream_idle_timeout = seed.once_in(4).then(|| ms(seed.within(50..2000)));
    let disable_cancel_remote = seed.once_in(2);
    let timeout = ms(seed.within(1..600));
    let recv_timeout = seed.once_in(4).then_some(RecvTimeout { timeout, disable_cancel_remote });
    let config = Config::default()
        .stream_receive_window(stream_receive_window)
        .receive_window(receive_window)
        .stream_send_buffer(stream_send_buffer)
        .send_buffer(send_buffer)
        .slow_consumer_timeout(slow_consumer_timeout)
        .slow_consumer_timeout_exclusive(slow_consumer_timeout_exclusive)
        .stream_idle_timeout(stream_idle_timeout)
        .flow_credits(!seed.once_in(4));
    let config = if seed.once_in(3) { config.slow_consumer_rate(seed.within(0..1_000_000)) } else { config };
    (config, ServerLimits { max_concurrent_streams, recv_timeout })
}

struct World {
    pair: Pair,
    seed: Seed,
    bounds: [Config; 2],
    limits: ServerLimits,
    /// Both ends of each stream, the client's first: [client, server], [client, server].
    ends: Vec<[Option<End>; 2]>,
    waits_open: bool,
    faults: Faults,
}

impl World {
    fn step(&mut self) {
        match self.seed.below(40) {
            0..=3 => self.open(),
            4..=13 => self.send(),
            14..=23 => self.recv(),
            24 => self.close_send(),
            25..=26 => self.finish(),
            27 if self.seed.once_in(4) => self.send_timeout(),
            27 => self.cancel(),
            28 => self.release(),
            29 => self.give_up(),
            30 => self.headers(),
            31..=33 => {
                let ms = self.seed.size(400);
                self.pair.advance(Duration::from_millis(u64::try_from(ms).unwrap()));
            }
            34..=37 => self.change_wire(),
            _ if self.faults == Faults::ResetsAndLosses => self.inject_fault(),
            _ => {}
        }
        if !self.seed.once_in(3) {
            self.pair.drive();
        }
        self.take_events();
    }

    fn open(&mut self) {
        let seed = &mut self.seed;
        let ms = |seed: &mut Seed| Duration::from_millis(u64::try_from(seed.within(1..600)).unwrap());
        let deadline = seed.once_in(4).then(|| ms(seed));
        let disable_cancel_remote = seed.once_in(2);
        let recv_timeout = seed.once_in(3).then(|| RecvTimeout { timeout: ms(seed), disable_cancel_remote });
        match self.pair.try_open(&Dial { deadline, recv_timeout, ..Dial::default() }) {
            Ok(Some(key)) => self.ends.push([Some(End::new(Side::Client, key)), None]),
            Ok(None) => self.waits_open = true,
            Err(_) => assert!(self.pair.client.conn.closed().is_some()),
        }
    }

    /// Returns one end that has a handle, of either side.
    fn any_end(&mut self) -> Option<(usize, usize)> {
        let at = self.seed.below(self.ends.len().max(1));
        let side = self.seed.below(2);
        let end = self.ends.get(at)?[side].as_ref()?;
        (!end.released).then_some((at, side))
    }

    fn end(&mut self, (at, side): (usize, usize)) -> &mut End {
        self.ends[at][side].as_mut().expect("the end exists")
    }

    fn send(&mut self) {
        let Some(place) = self.any_end() else { return };
        let size = self.seed.size(MAX_MESSAGE);
        for _ in 0..self.seed.within(1..4) {
            self.refresh(place);
            let end = self.end(place);
            let (side, key, message) = (end.side, end.key, end.message(size));
            let result = self.pair.send(side, key, &message);
            self.end(place).saw_send(result);
        }
    }

    fn recv(&mut self) {
        let Some(place) = self.any_end() else { return };
        for _ in 0..self.seed.within(1..4) {
            self.recv_at(place);
        }
    }

    /// Calls Recv once; returns whether it returned a message.
    fn recv_at(&mut self, place: (usize, usize)) -> bool {
        self.take_events();
        self.refresh(place);
        let end = self.end(place);
        if end.discard_incoming {
            return false;
        }
        let (side, key) = (end.side, end.key);
        let result = self.pair.recv(side, key);
        let more = matches!(result, Poll::Ready(Ok(Some(_))));
        if self.end(place).saw_recv(result) {
            self.check_clean_end(place);
        }
        more
    }

    /// Checks a clean end: the peer's trailer has arrived, and every message was received.
    fn check_clean_end(&mut self, (at, side): (usize, usize)) {
        let [client, server] = &self.ends[at];
        let (here, there) = if side == 0 { (client, server) } else { (server, client) };
        let (here, there) = (here.as_ref().unwrap(), there.as_ref().expect("a clean end has two sides"));
        let id = here.key.id().get();
        let wire = if side == 0 { &self.pair.to_client } else { &self.pair.to_server };
        assert!(wire.received.last(id, FrameType::Trailer).is_some(), "{here:?}: no trailer");
        assert!(there.closed || self.faults == Faults::ResetsAndLosses, "{here:?}: {there:?} continues");
        // A client that was reset by a proxy closes its direction like one that has nothing more to send.
        if self.faults == Faults::Slow {
            assert_eq!(here.received, there.sent, "{here:?}: messages of {there:?} are lost");
        }
    }

    /// Returns one client's end that has a handle and has not ended.
    fn any_client(&mut self) -> Option<&mut End> {
        let at = self.seed.below(self.ends.len().max(1));
        let end = self.ends.get_mut(at)?[0].as_mut()?;
        (!end.released && end.outcome.is_none()).then_some(end)
    }

    fn close_send(&mut self) {
        let Some(end) = self.any_client() else { return };
        end.closed = true;
        let key = end.key;
        self.pair.client.conn.close_send(key);
    }

    fn cancel(&mut self) {
        let reason = match self.seed.below(5) {
            0 => Some(Reason::Canceled),
            1 => Some(Reason::Cause(Arc::new(io::Error::other("cause")))),
            2 => Some(Reason::Stream(StreamError::new(Code::CONNECTION_CLOSED))),
            3 => Some(Reason::Foreign(Arc::new(io::Error::other("foreign")))),
            _ => None,
        };
        let Some(key) = self.any_client().map(|end| end.key) else { return };
        let conn = &mut self.pair.client.conn;
        match reason {
            Some(reason) => conn.cancel(key, &reason),
            None => conn.abandon_send(key, &Reason::Canceled),
        }
    }

    fn finish(&mut self) {
        let at = self.seed.below(self.ends.len().max(1));
        let exception = match self.seed.below(3) {
            0 => Some(ApplicationException::new(6, "failed")),
            _ => None,
        };
        let biz = self.seed.once_in(4).then_some(("biz-status", "7"));
        let finish = Finish { trailer: biz.into_iter().collect(), exception };
        self.finish_at(at, &finish);
    }

    fn finish_at(&mut self, at: usize, finish: &Finish) {
        let Some([_, Some(end)]) = self.ends.get_mut(at) else { return };
        if !std::mem::replace(&mut end.closed, true) {
            let key = end.key;
            self.pair.server.conn.finish(key, finish);
        }
    }

    fn release(&mut self) {
        let Some(place) = self.any_end() else { return };
        let end = self.end(place);
        end.released = true;
        let (side, key) = (end.side, end.key);
        self.pair.peer(side).conn.release(key);
    }

    fn give_up(&mut self) {
        let Some(place) = self.any_end() else { return };
        let ignore = self.seed.once_in(3);
        let end = self.end(place);
        end.waits_recv = false;
        end.discard_incoming |= ignore;
        let (side, key) = (end.side, end.key);
        let conn = &mut self.pair.peer(side).conn;
        conn.stop_recv(key);
        if ignore {
            conn.discard_incoming(key);
        }
    }

    fn send_timeout(&mut self) {
        let Some(place) = self.any_end() else { return };
        let end = self.end(place);
        let (side, key) = (end.side, end.key);
        self.pair.peer(side).conn.handle_send_timeout(key, Duration::from_millis(5));
    }

    fn headers(&mut self) {
        let Some((at, side)) = self.any_end() else { return };
        let key = self.end((at, side)).key;
        if side == 0 {
            // One task takes the stream's messages and its header, so its Recv was dropped.
            self.pair.client.conn.stop_recv(key);
            self.end((at, side)).waits_recv = self.pair.client.conn.header(key).is_pending();
            return;
        }
        let header: Metadata = [("k", "v")].into_iter().collect();
        self.pair.server.conn.set_header(key, &header);
        let _ = self.pair.server.conn.send_header(key);
    }

    fn change_wire(&mut self) {
        let side = *self.seed.pick(&[Side::Client, Side::Server]);
        let window = *self.seed.pick(&[0, 1, 100, 5000, usize::MAX, usize::MAX]);
        let latency = Duration::from_millis(u64::try_from(self.seed.size(80)).unwrap());
        let held = self.seed.once_in(4);
        let cuts = (0..self.seed.below(5)).map(|_| self.seed.within(1..700)).collect();
        let wire = self.pair.wire_from(side);
        (wire.window, wire.latency, wire.held, wire.cuts) = (window, latency, held, cuts);
    }

    fn inject_fault(&mut self) {
        match self.seed.below(24) {
            0 | 1 => return self.pair.lose(),
            2 => return self.pair.server.conn.end_all("ServiceB"),
            3 => return self.pair.server.conn.drain(),
            _ => {}
        }
        let Some((at, side)) = self.any_end() else { return };
        let id = self.end((at, side)).key.id().get();
        let now = self.pair.now();
        let wire = self.pair.wire_from(*self.seed.pick(&[Side::Client, Side::Server]));
        // Only between frames: bytes in flight may be cut anywhere.
        if wire.is_empty() && wire.window == usize::MAX {
            wire.inject(&Seen::rst(id, 12009, "storm", "Gateway").encode(), now);
        }
    }

    fn take_events(&mut self) {
        for side in [Side::Client, Side::Server] {
            let peer = self.pair.peer(side);
            peer.collect();
            for event in std::mem::take(&mut peer.events) {
                self.take_event(side, &event);
            }
        }
    }

    fn take_event(&mut self, side: Side, event: &Event) {
        let at = usize::from(side == Side::Server);
        match event {
            Event::Opened(key) => {
                let opened = self
                    .ends
                    .iter_mut()
                    .find(|[client, _]| client.as_ref().is_some_and(|client| client.key.id() == key.id()));
                let [_, server] = opened.expect("the client has opened it");
                assert!(server.replace(End::new(Side::Server, *key)).is_none(), "opened twice");
            }
            Event::Readable(key) | Event::Writable(key) => {
                let ends = self.ends.iter_mut().filter_map(|ends| ends[at].as_mut());
                for end in ends.filter(|end| end.key == *key) {
                    match event {
                        Event::Readable(_) => end.waits_recv = false,
                        _ => end.waits_send = false,
                    }
                }
            }
            Event::Openable => self.waits_open = false,
            _ => {}
        }
    }

    /// Checks one end's outcome.
    fn refresh(&mut self, place: (usize, usize)) {
        let end = self.end(place);
        let (side, key) = (end.side, end.key);
        let outcome = self.pair.peer(side).conn.outcome(key);
        self.end(place).saw_outcome(outcome);
    }

    fn check(&mut self) {
        for at in 0..self.ends.len() {
            for side in 0..2 {
                if self.ends[at][side].as_ref().is_some_and(|end| !end.released) {
                    self.refresh((at, side));
                }
            }
        }
        for (bounds, peer) in self.bounds.iter().zip([&self.pair.client, &self.pair.server]) {
            let received = peer.conn.received_bytes();
            assert!(received <= bounds.receive_window + MAX_MESSAGE, "{received} bytes are held");
        }
        let (running, bound) = (self.pair.server.conn.live_streams(), self.limits.max_concurrent_streams);
        assert!(running <= bound, "{running} of {bound} handlers run");
    }

    /// Releases the wires, receives everything and returns every handler: every stream ends, no task waits,
    /// and nothing is left.
    fn finish_all(&mut self) {
        for side in [Side::Client, Side::Server] {
            let wire = self.pair.wire_from(side);
            (wire.window, wire.latency, wire.held) = (usize::MAX, Duration::ZERO, false);
        }
        self.take_everything();
        assert!(!self.waits_open, "a waiting open was not woken");
        for end in self.ends.iter().flatten().flatten().filter(|end| !end.released) {
            assert!(!end.waits_send, "{end:?}: its Send was not woken");
        }
        for at in 0..self.ends.len() {
            self.finish_at(at, &Finish::default());
        }
        self.take_everything();
        for ends in &self.ends {
            for end in ends.iter().flatten().filter(|end| !end.released) {
                assert!(end.outcome.is_some(), "{end:?} has no end");
            }
        }
        for at in 0..self.ends.len() {
            for end in self.ends[at].iter().flatten().filter(|end| !end.released) {
                self.pair.peer(end.side).conn.release(end.key);
            }
        }
        self.pair.drive();
        self.pair.check_wire();
        self.pair.check_empty();
    }

    /// Each pass makes room for the messages behind it, which the next pass receives.
    fn take_everything(&mut self) {
        let mut busy = true;
        while busy {
            self.pair.advance(Duration::from_millis(10));
            busy = !self.pair.is_idle();
            for at in 0..self.ends.len() {
                for side in 0..2 {
                    if self.ends[at][side].as_ref().is_some_and(|end| !end.released) {
                        while self.recv_at((at, side)) {
                            busy = true;
                        }
                    }
                }
            }
        }
        self.take_events();
        self.check();
    }
}
