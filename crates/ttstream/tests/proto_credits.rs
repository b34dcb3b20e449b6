//! Flow control by credits: its negotiation, what a sender may send, what a receiver grants, and peers and relays that do
//! not keep to it.

mod harness;

use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use harness::frames::Seen;
use harness::{Dial, Pair};
use kerrors::{Code, Side};
use stream_core::cancel::Reason;
use ttheader_codec::FrameType;
use ttstream::proto::{Config, Event, Finish, StreamKey};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const SIDES: [Side; 2] = [Side::Client, Side::Server];

/// Returns a window of 1 KiB a stream, also before the first grant.
fn small() -> Config {
    Config::default().flow_credits(true).stream_receive_window(1024)
}

/// Returns a pair that has agreed on credits, with `streams` accepted streams: the client's key and the server's of each.
fn agreed(client: Config, server: Config, streams: usize) -> (Pair, Vec<(StreamKey, StreamKey)>) {
    let mut pair = Pair::new(client, server);
    let keys: Vec<StreamKey> = (0..streams).map(|_| pair.open(&Dial::default())).collect();
    pair.drive();
    assert!(pair.client.conn.has_credits() && pair.server.conn.has_credits());
    let keys = keys.into_iter().map(|key| (key, pair.accepted(key))).collect();
    (pair, keys)
}

/// Sends until Send waits; returns the number of messages.
fn fill(pair: &mut Pair, side: Side, key: StreamKey, message: &[u8]) -> usize {
    let mut sent = 0;
    loop {
        while pair.send(side, key, message).unwrap() {
            sent += 1;
        }
        pair.drive();
        let events = &mut pair.peer(side).events;
        if !events.contains(&Event::Writable(key)) {
            return sent;
        }
        events.retain(|event| *event != Event::Writable(key));
    }
}

fn take(pair: &mut Pair, side: Side, key: StreamKey) -> usize {
    (0..).take_while(|_| matches!(pair.recv(side, key), Poll::Ready(Ok(Some(_))))).count()
}

fn code(pair: &mut Pair, side: Side, key: StreamKey) -> Option<Code> {
    pair.peer(side).conn.outcome(key)?.err()?.code()
}

fn other(side: Side) -> Side {
    if side == Side::Client { Side::Server } else { Side::Client }
}

/// Whether the client and the server have credits on; the offers in two header frames; the frames of stream 0 to the
/// server and to the client.
type Negotiation = (bool, bool, [Option<&'static str>; 2], &'static str, &'static str);
const NEGOTIATIONS: [Negotiation; 4] = [
    (false, false, [None, None], "", ""),
    (true, false, [Some("1024"), None], "", ""),
    (false, true, [None, None], "", ""),
    (true, true, [Some("1024"), None], "M", "MM"),
];

#[test]
fn flow_credits_are_used_if_both_ends_have_them_on() {
    for (client, server, offers, to_server, to_client) in NEGOTIATIONS {
        let row = format!("client {client}, server {server}");
        let mut pair = Pair::new(small().flow_credits(client), small().flow_credits(server));
        let keys = [(), ()].map(|()| {
            let key = pair.open(&Dial::default());
            pair.drive();
            key
        });
        for (key, offer) in keys.iter().zip(offers) {
            let header = pair.to_server.sent.last(key.id().get(), FrameType::Header).unwrap();
            assert_eq!(header.credits.as_deref(), offer.map(str::as_bytes), "{row}");
        }
        assert_eq!(pair.to_server.sent.word(0), to_server, "{row}");
        assert_eq!(pair.to_client.sent.word(0), to_client, "{row}");
        for side in SIDES {
            assert_eq!(pair.peer(side).conn.has_credits(), client && server, "{row}");
        }
        let no_offer = |seen: &Seen| seen.id == 0 || seen.credits.is_none();
        assert!(pair.to_client.sent.frames().iter().all(no_offer), "{row}");
    }
}

#[test]
fn flow_credits_make_send_wait_for_a_slow_consumer_alone() {
    for side in SIDES {
        let (mut pair, keys) = agreed(small(), small(), 2);
        let [slow, fast] = [0, 1].map(|at| if side == Side::Client { keys[at] } else { swap(keys[at]) });
        assert_eq!(fill(&mut pair, side, slow.0, &[0; 256]), 4, "{side:?}");
        pair.advance(HOUR);
        assert!(!pair.peer(other(side)).conn.is_paused());
        for _ in 0..100 {
            assert!(pair.send(side, fast.0, b"fast").unwrap());
            pair.drive();
            assert_eq!(take(&mut pair, other(side), fast.1), 1, "{side:?}");
        }
        assert_eq!(code(&mut pair, side, slow.0), None);
        assert_eq!(take(&mut pair, other(side), slow.1), 4);
        pair.drive();
        assert!(pair.peer(side).events.contains(&Event::Writable(slow.0)), "{side:?}: its Send is woken");
        assert_eq!(fill(&mut pair, side, slow.0, &[0; 256]), 4, "{side:?}");
    }
}

fn swap((client, server): (StreamKey, StreamKey)) -> (StreamKey, StreamKey) {
    (server, client)
}

/// The window, the size of messages, and how many are sent before Send waits: one that is larger than what is left is sent
/// whole.
const SIZES: [(usize, usize, usize); 6] =
    [(1024, 0, 4), (1024, 256, 4), (1024, 1023, 2), (1024, 1024, 1), (1024, 100_000, 1), (0, 10, 1)];

#[test]
fn flow_credits_let_a_message_of_any_size_pass() {
    for (window, size, expected) in SIZES {
        let config = small().stream_receive_window(window);
        let (mut pair, keys) = agreed(config.clone(), config, 1);
        let (key, handler) = keys[0];
        for _ in 0..10 {
            let row = format!("window {window}, size {size}");
            assert_eq!(fill(&mut pair, Side::Server, handler, &vec![0; size]), expected, "{row}");
            assert_eq!(take(&mut pair, Side::Client, key), expected, "{row}");
            pair.drive();
        }
    }
}

#[test]
fn flow_credits_are_granted_when_half_is_taken() {
    let (mut pair, keys) = agreed(small(), small(), 1);
    let (key, handler) = keys[0];
    fill(&mut pair, Side::Client, key, &[0; 256]);
    for grants in [0, 1, 1, 2] {
        assert!(matches!(pair.recv(Side::Server, handler), Poll::Ready(Ok(Some(_)))));
        pair.drive();
        let frames = pair.to_client.sent.of(0).filter(|seen| !seen.payload.is_empty());
        let payloads: Vec<Bytes> = frames.map(|seen| seen.payload.clone()).collect();
        assert_eq!(payloads, vec![Bytes::from_static(&[0, 0, 0, 1, 0, 0, 2, 0]); grants]);
    }
}

/// The client sends much before it knows that the server grants credits.
#[test]
fn flow_credits_hold_after_a_burst_before_the_answer() {
    let mut pair = Pair::new(small(), small());
    pair.to_client.held = true;
    let key = pair.open(&Dial::default());
    for _ in 0..100 {
        assert!(pair.send(Side::Client, key, &[0; 256]).unwrap());
        pair.drive();
    }
    let handler = pair.accepted(key);
    assert!(!pair.server.conn.is_paused(), "the client will stop");
    pair.to_client.held = false;
    pair.drive();
    assert_eq!(fill(&mut pair, Side::Client, key, &[0; 256]), 0);
    for _ in 0..96 {
        assert!(matches!(pair.recv(Side::Server, handler), Poll::Ready(Ok(Some(_)))));
        pair.drive();
    }
    assert_eq!(fill(&mut pair, Side::Client, key, &[0; 256]), 0, "the window is still full");
    assert_eq!(take(&mut pair, Side::Server, handler), 4);
    pair.drive();
    assert_eq!(fill(&mut pair, Side::Client, key, &[0; 256]), 4);
}

/// More than a batch is queued when the peer's answer arrives: what announces the limit follows all of it.
#[test]
fn flow_credits_hold_after_data_that_was_queued_before_the_answer() {
    for side in SIDES {
        let mut pair = Pair::new(small(), small());
        let key = pair.open(&Dial::default());
        if side == Side::Server {
            pair.to_client.held = true;
            pair.drive();
        }
        let (sender, receiver) = match side {
            Side::Client => (key, None),
            Side::Server => (pair.accepted(key), Some(key)),
        };
        pair.wire_from(side).window = 1000;
        let mut sent = 0;
        while pair.send(side, sender, &[0; 8000]).unwrap() {
            sent += 1;
        }
        assert!(sent > 8, "{side:?}: more than one batch");
        pair.to_client.held = false;
        pair.drive();
        let receiver = receiver.unwrap_or_else(|| pair.accepted(key));
        assert!(pair.client.conn.has_credits() && pair.server.conn.has_credits(), "{side:?}");
        assert_eq!(take(&mut pair, other(side), receiver), sent, "{side:?}");
        assert_eq!(code(&mut pair, other(side), receiver), None, "{side:?}");
        pair.drive();
        assert!(pair.peer(side).events.contains(&Event::Writable(sender)), "{side:?}: its Send is woken");
        assert_eq!(fill(&mut pair, side, sender, &[0; 256]), 4, "{side:?}: the window is free");
    }
}

#[test]
fn flow_credits_hold_up_no_sender_to_a_stream_that_discards() {
    let (mut pair, keys) = agreed(small(), small(), 2);
    let discard = |pair: &mut Pair, side: Side, key| pair.peer(side).conn.discard_incoming(key);
    discard(&mut pair, Side::Server, keys[0].1);
    discard(&mut pair, Side::Client, keys[1].0);
    for _ in 0..1000 {
        for (side, key) in [(Side::Client, keys[0].0), (Side::Server, keys[1].1)] {
            assert!(pair.send(side, key, &[0; 1000]).unwrap(), "{side:?}");
        }
        pair.drive();
    }
}

/// Streams whose messages are not taken, and those of them that hold 1 MiB; the others hold a quarter of it.
const DEAD: [(usize, usize); 4] = [(1, 1), (5, 5), (20, 5), (47, 5)];

#[test]
fn flow_credits_are_smaller_for_many_streams_that_are_not_taken() {
    for (dead, full) in DEAD {
        let config = Config::default().flow_credits(true);
        let (mut pair, keys) = agreed(config.clone(), config, dead + 1);
        let sent: Vec<usize> = keys[1..]
            .iter()
            .map(|(_, handler)| fill(&mut pair, Side::Server, *handler, &[0; 16384]))
            .collect();
        let least = 256 * 1024 / 16384;
        assert_eq!(sent.iter().filter(|sent| **sent == 4 * least).count(), full, "{dead}: {sent:?}");
        assert_eq!(sent.iter().filter(|sent| **sent == least).count(), dead - full, "{dead}: {sent:?}");
        pair.advance(HOUR);
        assert!(!pair.client.conn.is_paused(), "{dead}");
        assert!(pair.send(Side::Server, keys[0].1, b"fast").unwrap());
        pair.drive();
        assert_eq!(take(&mut pair, Side::Client, keys[0].0), 1, "{dead}");
    }
}

#[test]
fn an_rst_behind_a_stream_that_is_not_taken_arrives_at_once() {
    let (mut pair, keys) = agreed(small(), small(), 2);
    for (key, _) in &keys {
        fill(&mut pair, Side::Client, *key, &[0; 256]);
    }
    pair.client.conn.cancel(keys[1].0, &Reason::Canceled);
    pair.drive();
    assert_eq!(code(&mut pair, Side::Server, keys[1].1), Some(Code::CANCELED));
    assert_eq!(code(&mut pair, Side::Server, keys[0].1), None);
}

#[test]
fn two_peers_that_send_10_mb_before_they_receive_end_with_data() {
    let window = 12 * 1024 * 1024;
    let config =
        Config::default().flow_credits(true).stream_receive_window(window).receive_window(5 * window);
    let (mut pair, keys) = agreed(config.clone(), config, 1);
    let (key, handler) = keys[0];
    pair.to_server.window = 256 * 1024;
    pair.to_client.window = 256 * 1024;
    let mut sent = [0, 0];
    while sent != [1000, 1000] {
        let before = sent;
        for (at, (side, key)) in [(Side::Client, key), (Side::Server, handler)].into_iter().enumerate() {
            while sent[at] < 1000 && pair.send(side, key, &[0; 10_000]).unwrap() {
                sent[at] += 1;
            }
        }
        pair.drive();
        assert_ne!(sent, before, "both wait");
    }
    assert_eq!([take(&mut pair, Side::Client, key), take(&mut pair, Side::Server, handler)], [1000, 1000]);
}

/// What a hostile client sends after the negotiation, and how its stream and its connection end.
type Hostile = fn() -> Vec<Seen>;
const HOSTILE: [(&str, Hostile, Option<Code>, bool); 6] = [
    ("what it may send", || vec![data(256); 4], None, false),
    ("more than it may send", || vec![data(256); 5], Some(Code::ILLEGAL_FRAME), false),
    ("a message of any size, and another one", || vec![data(9000); 2], Some(Code::ILLEGAL_FRAME), false),
    ("many grants", || vec![grant(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]); 10_000], None, false),
    ("frames that are no grants", || vec![grant(b"odd"); 101], None, true),
    ("frames of another meaning", || vec![Seen::new(0, FrameType::Meta); 101], None, true),
];

fn data(len: usize) -> Seen {
    Seen::new(1, FrameType::Data).payload(vec![0; len])
}

fn grant(payload: &'static [u8]) -> Seen {
    Seen::new(0, FrameType::Meta).credits("1024").payload(payload)
}

#[test]
fn flow_credits_bound_a_client_that_does_not_keep_to_them() {
    for (row, frames, expected, closed) in HOSTILE {
        let (mut pair, keys) = agreed(small(), small(), 1);
        let now = pair.now();
        for frame in frames() {
            pair.to_server.inject(&frame.encode(), now);
        }
        pair.drive();
        assert_eq!(pair.server.conn.closed().is_some(), closed, "{row}");
        if !closed {
            assert_eq!(code(&mut pair, Side::Server, keys[0].1), expected, "{row}");
            assert!(pair.send(Side::Server, keys[0].1, b"more").is_ok() == expected.is_none(), "{row}");
        }
    }
}

#[test]
fn a_flood_of_grants_closes_the_connection() {
    let (mut pair, _) = agreed(small(), small(), 1);
    let now = pair.now();
    let flood = Seen::new(0, FrameType::Meta).credits("1024").payload(vec![0; 1024 * 1024]).encode();
    for frames in 1..=64 {
        assert!(pair.server.conn.closed().is_none(), "after {frames} MiB in no time");
        pair.to_server.inject(&flood, now);
        pair.drive();
    }
    assert!(pair.server.conn.closed().is_some());
}

/// Windows of a peer that is not of this crate; whether they are an offer.
const OFFERS: [(&str, bool); 7] = [
    ("1", true),
    ("4294967295", true),
    ("4294967296", false),
    ("0", false),
    ("-1", false),
    ("", false),
    ("a", false),
];

#[test]
fn flow_credits_of_a_malformed_offer_are_off() {
    for (offer, accepted) in OFFERS {
        let mut pair = Pair::new(Config::default(), small());
        let now = pair.now();
        pair.to_server.inject(&Seen::new(1, FrameType::Header).credits(offer).encode(), now);
        pair.drive();
        assert_eq!(pair.to_client.sent.word(0), if accepted { "M" } else { "" }, "{offer}");
    }
}

/// A relay that passes on header frames and not those of stream 0: nothing changes but that no end knows of the other.
#[test]
fn flow_credits_are_off_behind_a_relay_that_drops_frames_of_stream_0() {
    for from in SIDES {
        let mut pair = Pair::new(small(), small());
        pair.wire_from(from).edit = Some(Box::new(|seen| if seen.id == 0 { vec![] } else { vec![seen] }));
        let key = pair.open(&Dial::default());
        pair.drive();
        let handler = pair.accepted(key);
        for (side, key, peer) in [(Side::Client, key, handler), (Side::Server, handler, key)] {
            for _ in 0..100 {
                assert!(pair.send(side, key, &[0; 256]).unwrap(), "{from:?} {side:?}");
                pair.drive();
                assert_eq!(take(&mut pair, other(side), peer), 1, "{from:?} {side:?}");
            }
        }
    }
}

/// A relay ends the client's side alone, while the server waits for credit: it is woken, and gets an Rst.
#[test]
fn flow_credits_do_not_hide_that_a_relay_has_reset_the_client() {
    let (mut pair, keys) = agreed(small(), small(), 1);
    let (key, handler) = keys[0];
    fill(&mut pair, Side::Server, handler, &[0; 256]);
    let now = pair.now();
    pair.to_client.inject(&Seen::rst(key.id().get(), 12009, "storm", "Gateway").encode(), now);
    pair.drive();
    assert_eq!(code(&mut pair, Side::Client, key), Some(Code::new(12009)));
    assert!(pair.server.events.contains(&Event::Writable(handler)));
    assert!(pair.send(Side::Server, handler, b"late").unwrap());
    pair.drive();
    assert_eq!(code(&mut pair, Side::Server, handler), Some(Code::new(12009)));
}

#[test]
fn close_send_wakes_a_send_that_waits_for_credit() {
    let (mut pair, keys) = agreed(small(), small(), 1);
    let (key, handler) = keys[0];
    fill(&mut pair, Side::Client, key, &[0; 256]);
    pair.client.conn.close_send(key);
    pair.drive();
    assert!(pair.client.events.contains(&Event::Writable(key)));
    assert_eq!(take(&mut pair, Side::Server, handler), 4, "the trailer needs no credit");
    assert_eq!(pair.recv(Side::Server, handler).map(Result::unwrap), Poll::Ready(None));
    pair.server.conn.finish(handler, &Finish::default());
    pair.server.conn.release(handler);
    pair.drive();
    assert!(matches!(pair.client.conn.outcome(key), Some(Ok(()))));
    pair.client.conn.release(key);
    pair.check_wire();
    pair.check_empty();
}

/// The window of the connection still holds: a peer whose streams are all full is paused, and loses a stream.
#[test]
fn receive_window_pauses_a_connection_with_credits_too() {
    let (mut pair, keys) = agreed(small().receive_window(4096), small(), 20);
    for (_, handler) in &keys {
        fill(&mut pair, Side::Server, *handler, &[0; 256]);
    }
    assert!(pair.client.conn.is_paused());
    assert!(pair.client.conn.received_bytes() <= 4096);
    pair.advance(500 * MS);
    let ended = keys.iter().filter(|(key, _)| pair.client.conn.outcome(*key).is_some()).count();
    assert_eq!(ended, 1);
}
