//! Bounds under pressure: what waits to be taken, what waits to be written, who waits for whom and for
//! how long.

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

/// A pair with `streams` streams that the server has accepted.
fn opened(client: Config, server: Config, streams: usize) -> (Pair, Vec<(StreamKey, StreamKey)>) {
    let mut pair = Pair::new(client, server);
    let keys = open_streams(&mut pair, streams);
    (pair, keys)
}

/// Opens streams that the server accepts: the client's key and the server's of each.
fn open_streams(pair: &mut Pair, streams: usize) -> Vec<(StreamKey, StreamKey)> {
    let keys: Vec<StreamKey> = (0..streams).map(|_| pair.open(&Dial::default())).collect();
    pair.drive();
    keys.into_iter().map(|key| (key, pair.accepted(key))).collect()
}

fn at_most(max_concurrent_streams: usize) -> ServerLimits {
    ServerLimits { max_concurrent_streams, ..ServerLimits::default() }
}

/// Sends until it has to wait; gives how many messages that were.
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
fn a_full_stream_stops_the_reading_until_a_message_is_taken() {
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
    assert!(pair.client.conn.outcome(key).is_none(), "each pause has its own time");
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
        assert_eq!(pair.client.conn.received_bytes(), 256, "{message} is there alone");
        let taken = pair.recv(Side::Client, key).map(Result::unwrap);
        assert_eq!(taken, Poll::Ready(Some(Bytes::from(message))));
        assert!(!pair.client.conn.is_paused(), "{message} is taken");
    }
}

#[test]
fn a_stream_that_nobody_reads_ends_after_the_time_of_its_kind() {
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
        assert_eq!(left, 4, "what had arrived stays");
    }
}

#[test]
fn a_second_stream_does_not_wait_as_long_as_a_lone_one() {
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
    assert_eq!(message, Poll::Ready(Some("fast".into())), "the connection is shared from now on");
}

#[test]
fn the_fullest_stream_makes_room_and_keeps_what_it_has() {
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
    assert!(pair.client.conn.is_paused(), "what it has still counts");
    pair.client.conn.release(keys[1].0);
    assert!(!pair.client.conn.is_paused());
    assert_eq!(pair.client.conn.poll_timeout(), None);
}

#[test]
fn a_budget_that_only_ended_streams_hold_closes_the_connection_at_last() {
    let budget = Config::default().receive_window(2048);
    let (mut pair, keys) = opened(budget, Config::default(), 2);
    for (_, handler) in &keys {
        fill(&mut pair, Side::Server, *handler, &[0; 256]);
    }
    pair.advance(500 * MS);
    assert_eq!(code(&mut pair, Side::Client, keys[0].0), Some(Code::SLOW_CONSUMER));
    pair.advance(30_000 * MS);
    assert_eq!(pair.client.conn.closed().map(kerrors::StreamError::code), Some(Code::TRANSPORT_CLOSING));
    assert_eq!(pair.client.conn.poll_timeout(), None);
}

#[test]
fn what_waits_to_be_written_is_bounded_and_its_senders_are_woken() {
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
fn a_handler_that_has_returned_makes_room_and_one_whose_stream_was_reset_does_not() {
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
fn who_cannot_open_is_told_when_it_can() {
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
fn a_bound_is_reached_by_what_equals_it() {
    let config = Config::default().stream_send_buffer(1024).stream_receive_window(1024);
    let (mut pair, keys) = opened(config.clone(), config, 1);
    let (key, _) = keys[0];
    let sent = fill(&mut pair, Side::Client, key, &[0; 256]);
    pair.write_batch(Side::Client);
    let direct = pair.to_server.sent.word(1).matches('D').count();
    assert_eq!(sent - direct, 4, "messages that wait behind the batch");
    pair.drive();
    assert_eq!(pair.server.conn.received_bytes(), 1024);
}

#[test]
fn a_queue_has_its_turn_though_others_find_room_at_once() {
    let (rounds, short) = (10, 70);
    let (mut pair, keys) = opened(Config::default(), Config::default(), 1 + rounds * short);
    let ((key, handler), others) = (keys[0], &keys[1..]);
    fill(&mut pair, Side::Server, handler, &[0; 1000]);
    // Handlers that send one message each, as many between two writes as one write holds.
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
    assert_eq!(own, 66, "all of it is queued");
    pair.client.conn.cancel(keys[0].0, &Reason::Canceled);
    pair.to_server.window = usize::MAX;
    pair.drive();
    assert_eq!(pair.to_server.sent.word(1), "HRT");
    assert_eq!(pair.to_server.sent.word(2), format!("H{}", "D".repeat(other)));
}

#[test]
fn a_peer_that_does_not_read_what_it_provokes_is_not_read() {
    let mut pair = Pair::with_limits(Config::default(), Config::default(), at_most(0));
    pair.to_client.window = 0;
    let now = pair.now();
    for id in 1..=5000 {
        pair.to_server.inject(&Seen::new(id, FrameType::Header).encode(), now);
    }
    pair.drive();
    assert!(pair.server.conn.is_paused());
    pair.to_client.window = usize::MAX;
    pair.drive();
    assert!(!pair.server.conn.is_paused());
    assert_eq!(pair.to_client.sent.frames().len(), 5000, "each is answered in the end");
    pair.check_wire();
    pair.check_empty();
}

#[test]
fn two_peers_that_only_send_come_to_an_end() {
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
fn one_slow_stream_costs_the_others_half_a_second_once() {
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
fn a_message_of_any_size_passes_any_window_in_order() {
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
