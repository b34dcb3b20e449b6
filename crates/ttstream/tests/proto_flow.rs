//! Flow control (received messages that are not taken), backpressure (queued data that is not written), slow
//! consumers and the limit of concurrent streams.

mod harness;

use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use harness::frames::Seen;
use harness::{Dial, Pair};
use kerrors::{Code, Side};
use stream_core::Message;
use stream_core::cancel::Reason;
use ttheader_codec::FrameType;
use ttstream::proto::{Config, Event, Finish, ServerLimits, StreamKey};

const MS: Duration = Duration::from_millis(1);

/// Returns a pair with `streams` accepted streams.
fn opened(client: Config, server: Config, streams: usize) -> (Pair, Vec<(StreamKey, StreamKey)>) {
    let mut pair = Pair::new(client, server);
    let keys = open_streams(&mut pair, streams);
    (pair, keys)
}

/// Opens streams that the server accepts: returns the client's key and the server's of each.
fn open_streams(pair: &mut Pair, streams: usize) -> Vec<(StreamKey, StreamKey)> {
    let keys: Vec<StreamKey> = (0..streams).map(|_| pair.open(&Dial::default())).collect();
    pair.drive();
    keys.into_iter().map(|key| (key, pair.accepted(key))).collect()
}

fn at_most(max_concurrent_streams: usize) -> ServerLimits {
    ServerLimits { max_concurrent_streams, ..ServerLimits::default() }
}

/// Sends until backpressure makes it wait; returns the number of messages.
fn fill(pair: &mut Pair, side: Side, key: StreamKey, message: &[u8]) -> usize {
    (0..).take_while(|_| pair.send(side, key, message).unwrap()).count()
}

fn code(pair: &mut Pair, side: Side, key: StreamKey) -> Option<Code> {
    pair.peer(side).conn.outcome(key)?.err()?.code()
}

fn small() -> Config {
    Config::default().stream_receive_window(1024)
}

#[test]
fn flow_control_pauses_reading_at_the_stream_receive_window() {
    let (mut pair, keys) = opened(small(), Config::default(), 1);
    let (key, handler) = keys[0];
    for message in [[0; 256], [1; 256], [2; 256], [3; 256], [4; 256]] {
        pair.send(Side::Server, handler, &message).unwrap();
        pair.drive();
    }
    assert!(pair.client.conn.is_paused());
    assert_eq!(pair.client.conn.received_bytes(), 1024, "the fifth was not read");
    pair.advance(29_000 * MS);
    let first = pair.recv(Side::Client, key).map(Result::unwrap);
    assert_eq!(first, Poll::Ready(Some(Bytes::from_static(&[0; 256]))));
    pair.drive();
    assert!(pair.client.events.contains(&Event::Resumed));
    assert_eq!(pair.client.conn.received_bytes(), 1024, "the fifth was read");
    pair.advance(29_000 * MS);
    assert!(pair.client.conn.outcome(key).is_none(), "each pause restarts the timeout");
}

#[test]
fn a_stream_receive_window_of_zero_admits_one_message_at_a_time() {
    let (mut pair, keys) = opened(Config::default().stream_receive_window(0), Config::default(), 1);
    let (key, handler) = keys[0];
    for message in [b"one", b"two"] {
        pair.send(Side::Server, handler, message).unwrap();
    }
    for message in ["one", "two"] {
        pair.drive();
        assert!(pair.client.conn.is_paused(), "{message} is at the window");
        assert_eq!(pair.client.conn.received_bytes(), 256, "{message} is held alone");
        let taken = pair.recv(Side::Client, key).map(Result::unwrap);
        assert_eq!(taken, Poll::Ready(Some(Bytes::from(message))));
        assert!(!pair.client.conn.is_paused(), "{message} is taken");
    }
}

#[test]
fn slow_consumer_timeout_ends_a_stream_that_is_not_received_on() {
    for (streams, time) in [(1, 30_000 * MS), (2, 500 * MS), (100, 500 * MS)] {
        let (mut pair, keys) = opened(small(), Config::default(), streams);
        let (key, handler) = keys[0];
        fill(&mut pair, Side::Server, handler, &[0; 256]);
        pair.drive();
        for (_, other) in &keys[1..] {
            pair.send(Side::Server, *other, b"fast").unwrap();
        }
        pair.advance(time - MS);
        assert_eq!(code(&mut pair, Side::Client, key), None);
        pair.advance(MS);
        assert_eq!(code(&mut pair, Side::Client, key), Some(Code::SLOW_CONSUMER));
        assert_eq!(code(&mut pair, Side::Server, handler), Some(Code::SLOW_CONSUMER));
        for (other, _) in &keys[1..] {
            let message = pair.recv(Side::Client, *other).map(Result::unwrap);
            assert_eq!(message, Poll::Ready(Some("fast".into())));
        }
        let left = (0..).take_while(|_| matches!(pair.recv(Side::Client, key), Poll::Ready(Ok(_)))).count();
        assert_eq!(left, 4, "received messages are kept");
    }
}

#[test]
fn slow_consumer_timeout_is_shorter_once_a_second_stream_is_open() {
    let (mut pair, keys) = opened(small(), Config::default(), 1);
    fill(&mut pair, Side::Server, keys[0].1, &[0; 256]);
    pair.advance(10_000 * MS);
    assert!(pair.client.conn.is_paused());
    let second = pair.open(&Dial::default());
    pair.drive();
    let handler = pair.accepted(second);
    pair.send(Side::Server, handler, b"fast").unwrap();
    pair.advance(500 * MS);
    let message = pair.recv(Side::Client, second).map(Result::unwrap);
    assert_eq!(message, Poll::Ready(Some("fast".into())), "the connection is shared from then on");
}

#[test]
fn slow_consumer_timeout_at_the_connection_window_ends_the_fullest_stream() {
    let budget = Config::default().receive_window(4096);
    let (mut pair, keys) = opened(budget, Config::default(), 3);
    for (messages, (_, handler)) in [3, 9, 4].into_iter().zip(&keys) {
        for _ in 0..messages {
            pair.send(Side::Server, *handler, &[0; 256]).unwrap();
        }
        pair.drive();
    }
    assert!(pair.client.conn.is_paused());
    pair.advance(500 * MS);
    let codes: Vec<_> = keys.iter().map(|(key, _)| code(&mut pair, Side::Client, *key)).collect();
    assert_eq!(codes, [None, Some(Code::SLOW_CONSUMER), None]);
    assert!(pair.client.conn.is_paused(), "its messages still count");
    pair.client.conn.release(keys[1].0);
    assert!(!pair.client.conn.is_paused());
    assert_eq!(pair.client.conn.poll_timeout(), None);
}

#[test]
fn backpressure_bounds_queued_data_and_wakes_its_senders() {
    let (mut pair, keys) = opened(Config::default(), Config::default(), 40);
    let config = Config::default();
    pair.to_server.window = 0;
    let sent: Vec<usize> =
        keys.iter().map(|(key, _)| 1000 * fill(&mut pair, Side::Client, *key, &[0; 1000])).collect();
    let (batch, message) = (64 * 1024, 1100);
    assert!(sent[0] <= config.stream_send_buffer + batch + message, "{}", sent[0]);
    assert!(sent[1..].iter().all(|sent| *sent <= config.stream_send_buffer + message), "{sent:?}");
    let all: usize = sent.iter().sum();
    assert!((config.send_buffer - batch..config.send_buffer + message).contains(&all), "{all}");

    pair.to_server.window = usize::MAX;
    pair.drive();
    for (key, _) in &keys {
        assert!(pair.client.events.contains(&Event::Writable(*key)));
        assert!(pair.send(Side::Client, *key, b"more").unwrap());
    }
}

#[test]
fn max_concurrent_streams_counts_handlers_until_they_return() {
    let mut pair = Pair::with_limits(Config::default(), Config::default(), at_most(2));
    let keys = open_streams(&mut pair, 2);
    for (returns, expected) in [(false, Some(Code::TOO_MANY_STREAMS)), (true, None)] {
        pair.client.conn.cancel(keys[0].0, &Reason::Canceled);
        if returns {
            pair.server.conn.finish(keys[0].1, &Finish::default());
        }
        pair.drive();
        let next = pair.open(&Dial::default());
        pair.drive();
        assert_eq!(code(&mut pair, Side::Client, next), expected);
    }
}

#[test]
fn backpressure_on_open_ends_with_an_openable_event() {
    let (mut pair, keys) = opened(Config::default(), Config::default(), 40);
    pair.to_server.window = 0;
    for (key, _) in &keys {
        fill(&mut pair, Side::Client, *key, &[0; 1000]);
    }
    assert_eq!(pair.try_open(&Dial::default()), Ok(None));
    pair.to_server.window = usize::MAX;
    pair.drive();
    assert!(pair.client.events.contains(&Event::Openable));
    pair.open(&Dial::default());
}

#[test]
fn windows_and_buffers_are_full_at_exactly_their_bound() {
    let config = Config::default().stream_send_buffer(1024).stream_receive_window(1024);
    let (mut pair, keys) = opened(config.clone(), config, 1);
    let (key, _) = keys[0];
    let sent = fill(&mut pair, Side::Client, key, &[0; 256]);
    pair.write_batch(Side::Client);
    let direct = pair.to_server.sent.word(1).matches('D').count();
    assert_eq!(sent - direct, 4, "messages queued behind the batch");
    pair.drive();
    assert_eq!(pair.server.conn.received_bytes(), 1024);
}

#[test]
fn streams_with_queued_frames_are_served_in_turn() {
    let (rounds, short) = (10, 70);
    let (mut pair, keys) = opened(Config::default(), Config::default(), 1 + rounds * short);
    let ((key, handler), others) = (keys[0], &keys[1..]);
    fill(&mut pair, Side::Server, handler, &[0; 1000]);
    // Handlers that send one message each, as many between two writes as fit into one write.
    let mut words = Vec::new();
    for others in others.chunks(short) {
        pair.write_batch(Side::Server);
        words.push(pair.to_client.sent.word(key.id().get()).len());
        for (_, other) in others {
            assert!(pair.send(Side::Server, *other, &[0; 1000]).unwrap());
        }
    }
    assert!(words[0] < words[4] && words[4] < words[9], "frames after each write: {words:?}");
}

#[test]
fn an_rst_overtakes_the_data_of_its_stream_and_no_other() {
    let (mut pair, keys) = opened(Config::default(), Config::default(), 2);
    pair.to_server.window = 0;
    let other = fill(&mut pair, Side::Client, keys[1].0, &[1; 1000]);
    let own = fill(&mut pair, Side::Client, keys[0].0, &[0; 1000]);
    assert_eq!(own, 66, "everything is queued");
    pair.client.conn.cancel(keys[0].0, &Reason::Canceled);
    pair.to_server.window = usize::MAX;
    pair.drive();
    assert_eq!(pair.to_server.sent.word(1), "HRT");
    assert_eq!(pair.to_server.sent.word(2), format!("H{}", "D".repeat(other)));
}

#[test]
fn flow_control_pauses_reading_while_replies_to_violations_are_queued() {
    let mut pair = Pair::with_limits(Config::default(), Config::default(), at_most(0));
    pair.to_client.window = 0;
    let now = pair.now();
    for id in 1..=4000 {
        pair.to_server.inject(&Seen::new(id, FrameType::Header).encode(), now);
    }
    pair.drive();
    assert!(pair.server.conn.is_paused());
    pair.to_client.window = usize::MAX;
    pair.drive();
    assert!(!pair.server.conn.is_paused());
    assert_eq!(pair.to_client.sent.frames().len(), 4000, "each gets a reply eventually");
    pair.check_wire();
    pair.check_empty();
}

#[test]
fn two_peers_that_only_send_do_not_deadlock() {
    let (mut pair, keys) = opened(Config::default(), Config::default(), 1);
    let (key, handler) = keys[0];
    pair.to_server.window = 256 * 1024;
    pair.to_client.window = 256 * 1024;
    for _ in 0..200 {
        for (side, key) in [(Side::Client, key), (Side::Server, handler)] {
            while matches!(pair.send(side, key, &[0; 10_000]), Ok(true)) {}
        }
        pair.advance(1000 * MS);
    }
    for (side, key) in [(Side::Client, key), (Side::Server, handler)] {
        assert_eq!(code(&mut pair, side, key), Some(Code::SLOW_CONSUMER), "{side:?}");
    }
    pair.server.conn.finish(handler, &Finish::default());
    pair.server.conn.release(handler);
    pair.client.conn.release(key);
    pair.drive();
    pair.check_wire();
    pair.check_empty();
}

#[test]
fn one_slow_consumer_delays_other_streams_by_half_a_second_once() {
    let (mut pair, keys) = opened(Config::default(), Config::default(), 100);
    let (slow, rest) = (keys[0].1, &keys[1..]);
    pair.to_client.window = 256 * 1024;
    let mut worst = Duration::ZERO;
    for _ in 0..50 {
        while matches!(pair.send(Side::Server, slow, &[0; 10_000]), Ok(true)) {
            pair.drive();
        }
        for (_, handler) in rest {
            pair.send(Side::Server, *handler, b"fast").unwrap();
        }
        let began = pair.now();
        for (key, _) in rest {
            while pair.recv(Side::Client, *key).is_pending() {
                pair.advance(10 * MS);
            }
        }
        worst = worst.max(pair.now() - began);
    }
    assert_eq!(code(&mut pair, Side::Client, keys[0].0), Some(Code::SLOW_CONSUMER));
    assert!(worst <= 510 * MS, "{worst:?}");
}

#[test]
fn messages_of_any_size_pass_any_flow_control_window_in_order() {
    let sizes = [0, 1, 255, 256, 8191, 8192, 16_383, 16_384, 70_000, 200_000];
    for (window, cuts) in
        [(1, vec![]), (7, vec![3, 1]), (1000, vec![999]), (50_000, vec![8192, 1]), (usize::MAX, vec![])]
    {
        let (mut pair, keys) = opened(Config::default(), Config::default(), 1);
        let (key, handler) = keys[0];
        pair.to_client.window = window;
        pair.to_client.cuts = cuts;
        for (at, size) in sizes.into_iter().enumerate().filter(|(_, size)| window > 7 || *size < 20_000) {
            let message = Bytes::from(vec![u8::try_from(at).unwrap(); size]);
            let owned = Message::Owned(message.clone());
            let payload = if at % 2 == 0 { owned } else { Message::Borrowed(&message) };
            while !pair.server.conn.send(handler, &payload).unwrap() {
                pair.drive();
            }
            pair.drive();
            assert_eq!(pair.recv(Side::Client, key).map(Result::unwrap), Poll::Ready(Some(message)));
        }
    }
}
