//! Slow consumers on a connection with other streams: how long they hold it up, which of them lose their stream, and what
//! becomes of messages that they never take.

mod harness;

use std::ops::Range;
use std::task::Poll;
use std::time::Duration;

use harness::frames::Seen;
use harness::{Dial, Pair};
use kerrors::{Code, Side};
use ttheader_codec::FrameType::Trailer;
use ttstream::proto::{Config, Event, Finish, StreamKey};

const MS: Duration = Duration::from_millis(1);
const MESSAGE: usize = 10_000;

/// Returns a pair with `streams` accepted streams: the client's key and the server's of each.
fn opened(client: Config, streams: usize) -> (Pair, Vec<(StreamKey, StreamKey)>) {
    let mut pair = Pair::new(client, Config::default());
    pair.to_client.window = 256 * 1024;
    let keys: Vec<StreamKey> = (0..streams).map(|_| pair.open(&Dial::default())).collect();
    pair.drive();
    let keys = keys.into_iter().map(|key| (key, pair.accepted(key))).collect();
    (pair, keys)
}

/// Sends until backpressure makes the handler wait.
fn fill(pair: &mut Pair, handler: StreamKey) {
    while matches!(pair.send(Side::Server, handler, &[7; MESSAGE]), Ok(true)) {
        pair.drive();
    }
}

fn code(pair: &mut Pair, key: StreamKey) -> Option<Code> {
    pair.client.conn.outcome(key)?.err()?.code()
}

/// A consumer whose sender is always faster.
struct Row {
    name: &'static str,
    /// It takes so many messages at once.
    takes: usize,
    /// The milliseconds before it does.
    every: u32,
    /// The milliseconds after that in which its sender pauses, and it takes all.
    idle: u32,
    /// When its stream ends, in milliseconds.
    ends: Option<Range<u32>>,
}

const ROWS: &[Row] = &[
    Row { name: "takes nothing", takes: 0, every: 10, idle: 0, ends: Some(500..501) },
    Row { name: "one message in 499 ms", takes: 1, every: 499, idle: 0, ends: Some(500..520) },
    Row { name: "1 MB/s", takes: 1, every: 10, idle: 0, ends: Some(500..1300) },
    Row { name: "1 MB/s in large portions", takes: 25, every: 250, idle: 0, ends: Some(500..1300) },
    Row { name: "5 MB/s", takes: 1, every: 2, idle: 0, ends: Some(1000..3000) },
    Row { name: "10 MB/s", takes: 1, every: 1, idle: 0, ends: None },
    Row { name: "10 MB/s in portions", takes: 50, every: 50, idle: 0, ends: None },
    Row { name: "a pause of 90 ms in each 500 ms", takes: 200, every: 90, idle: 410, ends: None },
];

#[test]
fn slow_consumer_timeout_is_spent_by_all_pauses_of_a_stream() {
    for row in ROWS {
        let (mut pair, keys) = opened(Config::default(), 2);
        let (key, handler) = keys[0];
        let began = pair.now();
        let ended = loop {
            fill(&mut pair, handler);
            pair.advance(row.every * MS);
            if code(&mut pair, key).is_some() {
                break Some(pair.now() - began);
            }
            for _ in 0..row.takes {
                if pair.recv(Side::Client, key).is_pending() {
                    break;
                }
            }
            pair.drive();
            if row.idle > 0 {
                while pair.recv(Side::Client, key).is_ready() {
                    pair.drive();
                }
                pair.advance(row.idle * MS);
            }
            if pair.now() - began > 10_000 * MS {
                break None;
            }
        };
        let name = row.name;
        match &row.ends {
            None => assert_eq!(ended, None, "{name}"),
            Some(expected) => {
                assert_eq!(code(&mut pair, key), Some(Code::SLOW_CONSUMER), "{name}");
                // The step in which it has ended may be long.
                let ended = ended.unwrap();
                assert!(ended >= expected.start * MS, "{name}: {ended:?}");
                assert!(ended <= (expected.end + row.every) * MS, "{name}: {ended:?}");
            }
        }
        assert_eq!(code(&mut pair, keys[1].0), None, "{name}");
    }
}

#[test]
fn slow_consumer_rate_of_zero_accepts_any_progress() {
    let (mut pair, keys) = opened(Config::default().slow_consumer_rate(0), 2);
    let (key, handler) = keys[0];
    for _ in 0..100 {
        fill(&mut pair, handler);
        pair.advance(499 * MS);
        assert!(pair.recv(Side::Client, key).is_ready());
        pair.drive();
    }
    assert_eq!(code(&mut pair, key), None);
}

#[test]
fn slow_consumer_timeout_is_regained_in_time_without_a_pause() {
    // Most of the allowance is spent by one pause. The next is as long, after a time without one.
    for (rest, expected) in [(10, Some(Code::SLOW_CONSUMER)), (1000, Some(Code::SLOW_CONSUMER)), (2000, None)]
    {
        let (mut pair, keys) = opened(Config::default().stream_receive_window(2 * MESSAGE), 2);
        let (key, handler) = keys[0];
        for _ in 0..2 {
            assert_eq!(code(&mut pair, key), None);
            for _ in 0..2 {
                pair.send(Side::Server, handler, &[7; MESSAGE]).unwrap();
            }
            pair.drive();
            assert!(pair.client.conn.is_paused());
            pair.advance(480 * MS);
            while let Poll::Ready(Ok(Some(_))) = pair.recv(Side::Client, key) {}
            pair.advance(rest * MS);
        }
        assert_eq!(code(&mut pair, key), expected, "after {rest} ms");
    }
}

/// Many consumers that take nothing, and others whose messages are behind theirs.
#[test]
fn slow_consumer_timeouts_of_many_streams_are_bounded_together() {
    let (mut pair, keys) = opened(Config::default(), 70);
    let (dead, alive) = keys.split_at(20);
    let began = pair.now();
    for _ in 0..300 {
        for (_, handler) in dead {
            while matches!(pair.send(Side::Server, *handler, &[7; MESSAGE]), Ok(true)) {}
        }
        pair.advance(10 * MS);
        if dead.iter().all(|(key, _)| pair.client.conn.outcome(*key).is_some()) {
            break;
        }
    }
    for (_, handler) in alive {
        pair.send(Side::Server, *handler, b"fast").unwrap();
    }
    for (key, _) in alive {
        while pair.recv(Side::Client, *key).is_pending() {
            pair.advance(10 * MS);
        }
    }
    let took = pair.now() - began;
    assert!(took < 2500 * MS, "{took:?}");
    for (key, _) in dead {
        assert_eq!(code(&mut pair, *key), Some(Code::SLOW_CONSUMER));
    }
    assert!(pair.client.conn.closed().is_none());
    assert!(pair.client.conn.received_bytes() <= 17 * 1024 * 1024);
}

#[test]
fn flow_control_window_held_by_slow_consumers_is_freed() {
    let (mut pair, keys) = opened(Config::default().receive_window(4 * MESSAGE), 3);
    for (_, handler) in &keys[..2] {
        for _ in 0..2 {
            pair.send(Side::Server, *handler, &[7; MESSAGE]).unwrap();
        }
    }
    pair.drive();
    assert!(pair.client.conn.is_paused());
    pair.send(Side::Server, keys[2].1, b"fast").unwrap();
    pair.advance(2000 * MS);
    let codes: Vec<_> = keys.iter().map(|(key, _)| code(&mut pair, *key)).collect();
    assert_eq!(codes.iter().filter(|code| **code == Some(Code::SLOW_CONSUMER)).count(), 1, "{codes:?}");
    let fast = pair.recv(Side::Client, keys[2].0).map(Result::unwrap);
    assert_eq!(fast, Poll::Ready(Some("fast".into())));
    assert!(pair.client.conn.closed().is_none());
}

#[test]
fn flow_control_window_held_by_clean_ends_loses_none_of_their_messages() {
    let (mut pair, keys) = opened(Config::default().receive_window(4 * MESSAGE), 3);
    for (_, handler) in &keys[..2] {
        pair.send(Side::Server, *handler, &[7; MESSAGE]).unwrap();
        pair.server.conn.finish(*handler, &Finish::default());
    }
    for _ in 0..3 {
        pair.send(Side::Server, keys[2].1, &[7; MESSAGE]).unwrap();
    }
    pair.advance(60_000 * MS);
    for (key, _) in &keys[..2] {
        assert!(matches!(pair.recv(Side::Client, *key), Poll::Ready(Ok(Some(_)))));
        assert!(matches!(pair.recv(Side::Client, *key), Poll::Ready(Ok(None))));
    }
    assert_eq!(code(&mut pair, keys[2].0), Some(Code::SLOW_CONSUMER));
}

/// What is behind the messages of a stream that pauses the connection, when the peer has closed its end.
#[test]
fn end_flow_control_reads_what_is_left_of_a_paused_connection() {
    let (mut pair, keys) = opened(Config::default().stream_receive_window(1), 1);
    let (key, handler) = keys[0];
    for _ in 0..5 {
        pair.send(Side::Server, handler, &[7; MESSAGE]).unwrap();
    }
    pair.drive();
    let now = pair.now();
    pair.to_client.inject(&Seen::new(key.id().get(), Trailer).encode(), now);
    pair.drive();
    assert_eq!(pair.client.conn.received_bytes(), MESSAGE);
    pair.client.conn.end_flow_control();
    assert!(!pair.client.conn.is_paused());
    pair.drive();
    assert!(pair.client.events.contains(&Event::Resumed));
    let messages =
        (0..).take_while(|_| matches!(pair.recv(Side::Client, key), Poll::Ready(Ok(Some(_))))).count();
    assert_eq!(messages, 5);
    assert!(matches!(pair.recv(Side::Client, key), Poll::Ready(Ok(None))), "a clean end");
}
