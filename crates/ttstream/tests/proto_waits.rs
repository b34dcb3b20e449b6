//! Timeouts and wakes: Recv timeout, stream idle timeout, deadlines, and the events that wake a waiting task.

mod harness;

use std::task::Poll;
use std::time::Duration;

use harness::frames::Seen;
use harness::{Dial, Pair};
use kerrors::{Code, RecvTimeout, Side};
use stream_core::Metadata;
use stream_core::cancel::Reason;
use ttheader_codec::FrameType;
use ttstream::proto::{Config, Event, Finish, ServerLimits, StreamKey};

const MS: Duration = Duration::from_millis(1);

#[test]
fn recv_timeout_does_not_fire_if_a_message_arrived_in_time() {
    for keep in [false, true] {
        let recv_timeout = Some(RecvTimeout { timeout: 100 * MS, disable_cancel_remote: keep });
        let (mut pair, key, handler) = Pair::opened(&Dial { recv_timeout, ..Dial::default() });
        assert!(pair.recv(Side::Client, key).is_pending());
        pair.advance(99 * MS);
        pair.send(Side::Server, handler, b"in time").unwrap();
        pair.drive();
        // The task of the pending Recv runs late.
        pair.advance(10 * MS);
        assert_eq!(pair.recv(Side::Client, key).map(Result::unwrap), Poll::Ready(Some("in time".into())));
        assert!(pair.recv(Side::Client, key).is_pending(), "keep {keep}: the stream continues");
        pair.advance(99 * MS);
        assert!(pair.recv(Side::Client, key).is_pending(), "keep {keep}: the next Recv has a new timeout");
        pair.advance(MS);
        assert!(pair.recv(Side::Client, key).is_ready());
    }
}

#[test]
fn recv_timeout_does_not_fire_if_the_half_close_arrived_in_time() {
    let recv_timeout = Some(RecvTimeout::new(100 * MS));
    let limits = ServerLimits { recv_timeout, ..ServerLimits::default() };
    let mut pair = Pair::with_limits(Config::default(), Config::default(), limits);
    let key = pair.open(&Dial::default());
    pair.drive();
    let handler = pair.accepted(key);
    assert!(pair.recv(Side::Server, handler).is_pending());
    pair.advance(99 * MS);
    pair.client.conn.close_send(key);
    // The handler's task runs late.
    pair.advance(10 * MS);
    assert_eq!(pair.recv(Side::Server, handler).map(Result::unwrap), Poll::Ready(None));
    assert!(pair.server.conn.outcome(handler).is_none(), "the stream continues");
}

#[test]
fn stream_idle_timeout_fires_within_a_quarter_of_its_time() {
    for side in [Side::Client, Side::Server] {
        let restless = Config::default().stream_idle_timeout(100 * MS);
        let (client, server) = match side {
            Side::Client => (restless, Config::default()),
            Side::Server => (Config::default(), restless),
        };
        let mut pair = Pair::new(client, server);
        let key = pair.open(&Dial::default());
        pair.drive();
        let handler = pair.accepted(key);
        for sender in [Side::Client, Side::Server, Side::Client] {
            pair.advance(90 * MS);
            let from = if sender == Side::Client { key } else { handler };
            pair.send(sender, from, b"m").unwrap();
        }
        pair.advance(100 * MS);
        assert!(pair.client.conn.outcome(key).is_none(), "{side:?}: the idle timeout has not passed");
        pair.advance(25 * MS);
        let ended = pair.client.conn.outcome(key).and_then(Result::err).and_then(|error| error.code());
        assert_eq!(ended, Some(Code::IDLE_TIMEOUT), "{side:?}");
        pair.server.conn.finish(handler, &Finish::default());
        pair.server.conn.release(handler);
        pair.client.conn.release(key);
        pair.drive();
        pair.check_empty();
    }
}

#[test]
fn the_time_left_until_the_deadline_is_sent_in_the_header() {
    for (deadline, timeout) in
        [(None, None), (Some(1500 * MS), Some("1500")), (Some(Duration::from_micros(999)), Some("0"))]
    {
        let (pair, key, handler) = Pair::opened(&Dial { deadline, ..Dial::default() });
        let header = pair.to_server.sent.last(key.id().get(), FrameType::Header).unwrap();
        assert_eq!(header.timeout.as_deref(), timeout.map(str::as_bytes));
        let millis = timeout.map(|timeout| Duration::from_millis(timeout.parse().unwrap()));
        assert_eq!(pair.server.conn.timeout(handler), millis);
    }
    for odd in ["", "-1", "soon", "99999999999999999999999"] {
        let mut pair = Pair::default();
        let now = pair.now();
        let seen = Seen { timeout: Some(odd.into()), ..Seen::new(1, FrameType::Header) };
        pair.to_server.inject(&seen.encode(), now);
        pair.drive();
        let Some(Event::Opened(handler)) = pair.server.events.first().cloned() else { panic!("not opened") };
        assert_eq!(pair.server.conn.timeout(handler), None, "{odd:?}");
    }
}

#[test]
fn recv_timeout_restarts_with_each_recv() {
    let recv_timeout = Some(RecvTimeout::new(100 * MS));
    let (mut pair, key, handler) = Pair::opened(&Dial { recv_timeout, ..Dial::default() });
    for _ in 0..5 {
        assert!(pair.recv(Side::Client, key).is_pending());
        pair.advance(60 * MS);
        pair.send(Side::Server, handler, b"m").unwrap();
        pair.drive();
        assert!(pair.recv(Side::Client, key).is_ready());
    }
    assert_eq!(pair.client.conn.poll_timeout(), None, "no Recv is pending");
}

#[test]
fn recv_timeout_does_not_fire_for_a_dropped_recv() {
    let recv_timeout = Some(RecvTimeout::new(100 * MS));
    let (mut pair, key, handler) = Pair::opened(&Dial { recv_timeout, ..Dial::default() });
    assert!(pair.recv(Side::Client, key).is_pending());
    pair.advance(50 * MS);
    pair.client.conn.stop_recv(key);
    assert_eq!(pair.client.conn.poll_timeout(), None);
    pair.advance(100 * MS);
    assert!(pair.client.conn.outcome(key).is_none());
    pair.send(Side::Server, handler, b"m").unwrap();
    pair.drive();
    assert_eq!(pair.client.events, [], "no task waits, so none is woken");
}

#[test]
fn recv_timeout_that_keeps_the_stream_is_returned_once_per_recv() {
    let recv_timeout = Some(RecvTimeout { timeout: 100 * MS, disable_cancel_remote: true });
    let (mut pair, key, handler) = Pair::opened(&Dial { recv_timeout, ..Dial::default() });
    for _ in 0..3 {
        assert!(pair.recv(Side::Client, key).is_pending());
        pair.advance(100 * MS);
        let Poll::Ready(Err(error)) = pair.recv(Side::Client, key) else { panic!("no timeout") };
        assert_eq!(error.code(), Some(Code::RECV_TIMEOUT));
    }
    assert!(pair.recv(Side::Client, key).is_pending());
    pair.send(Side::Server, handler, b"late").unwrap();
    pair.drive();
    assert_eq!(pair.recv(Side::Client, key).map(Result::unwrap), Poll::Ready(Some("late".into())));
    assert_eq!(pair.to_server.sent.word(1), "H", "nothing was sent");
}

/// Each row: an event while Recv waits at both ends, and Send too if nothing can be written; and the tasks
/// that are woken: Recv and Send of the client, Recv and Send of the server.
#[test]
fn each_wait_is_woken_by_its_event() {
    type Act = fn(&mut Pair, StreamKey, StreamKey);
    const RECV: [bool; 2] = [true, false];
    const BOTH: [bool; 2] = [true, true];
    const NONE: [bool; 2] = [false, false];
    let rows: [(&str, bool, Act, [[bool; 2]; 2]); 11] = [
        ("a message", false, |pair, _, handler| drop(pair.send(Side::Server, handler, b"m")), [RECV, NONE]),
        (
            "the response header",
            false,
            |pair, _, handler| pair.server.conn.send_header(handler).unwrap(),
            [RECV, NONE],
        ),
        ("the half close", false, |pair, key, _| pair.client.conn.close_send(key), [NONE, RECV]),
        ("a meta frame", false, |pair, _, _| inject(pair, &Seen::new(1, FrameType::Meta)), [RECV, NONE]),
        ("a cancel", false, |pair, key, _| pair.client.conn.cancel(key, &Reason::Canceled), [RECV, RECV]),
        (
            "a stuck cancel",
            true,
            |pair, key, _| pair.client.conn.cancel(key, &Reason::Canceled),
            [BOTH, NONE],
        ),
        (
            "the return",
            true,
            |pair, _, handler| pair.server.conn.finish(handler, &Finish::default()),
            [NONE, BOTH],
        ),
        ("the loss", true, |pair, _, _| pair.lose(), [BOTH, BOTH]),
        ("an rst", true, |pair, _, _| inject(pair, &Seen::rst(1, 1, "x", "")), [BOTH, NONE]),
        ("a trailer", true, |pair, _, _| inject(pair, &Seen::new(1, FrameType::Trailer)), [BOTH, NONE]),
        ("a protocol violation", true, |pair, _, _| inject(pair, &Seen::unknown(1, b"9")), [BOTH, NONE]),
    ];
    for (name, stuck, act, woken) in rows {
        let (mut pair, key, handler) = Pair::opened(&Dial::default());
        let waits = [(Side::Client, key), (Side::Server, handler)];
        for (side, waiting) in waits {
            assert!(pair.recv(side, waiting).is_pending());
            if stuck {
                pair.wire_from(side).window = 0;
                while pair.send(side, waiting, &[0; 30_000]).unwrap() {}
            }
        }
        act(&mut pair, key, handler);
        pair.drive();
        let seen = waits.map(|(side, waiting)| {
            let events = &pair.peer(side).events;
            [Event::Readable(waiting), Event::Writable(waiting)].map(|event| events.contains(&event))
        });
        assert_eq!(seen, woken, "{name}");
    }
}

#[test]
fn a_response_header_wakes_its_waiter_and_is_sent_once() {
    let (mut pair, key, handler) = Pair::opened(&Dial::default());
    assert!(pair.client.conn.header(key).is_pending());
    let answer: Metadata = [("hk", "hv")].into_iter().collect();
    assert!(pair.server.conn.set_header(handler, &answer));
    pair.server.conn.send_header(handler).unwrap();
    pair.drive();
    assert!(pair.client.events.contains(&Event::Readable(key)));
    let Poll::Ready(Ok(header)) = pair.client.conn.header(key) else { panic!("no header") };
    assert_eq!(header.get_str("hk"), Some("hv"));
    assert!(!pair.server.conn.set_header(handler, &answer), "it was already sent");
    pair.server.conn.send_header(handler).unwrap();
    pair.drive();
    assert_eq!(pair.to_client.sent.word(1), "H");
}

fn inject(pair: &mut Pair, seen: &Seen) {
    let now = pair.now();
    pair.to_client.inject(&seen.encode(), now);
}
