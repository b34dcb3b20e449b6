//! What a peer may do wrong before its connection is closed: violations per time, frames that arrive slowly, headers
//! that are held, and trailers that are not read.

mod harness;

use std::ops::Range;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use harness::frames::Seen;
use harness::{Dial, Pair};
use kerrors::{ApplicationException, Side};
use stream_core::Metadata;
use ttheader_codec::FrameType::{Data, Header, Meta, Rst, Trailer};
use ttheader_codec::Limits;
use ttstream::proto::{Config, ConnectionError, Event, Finish, ServerLimits, StreamKey};

const SECOND: Duration = Duration::from_secs(1);

/// One kind of violation: a frame of it, and how many of them a connection survives in a time.
struct Row {
    name: &'static str,
    frame: fn(i32) -> Seen,
    survives: usize,
    window: Duration,
    error: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        name: "frame over a limit",
        frame: |_| (0..40).fold(Seen::new(9_999, Data), |seen, at| seen.string(format!("{at}"), "")),
        survives: 1024,
        window: Duration::from_secs(60),
        error: "too many frames that end their stream",
    },
    Row {
        name: "header of stream 0",
        frame: |_| Seen::new(0, Header),
        survives: 100,
        window: Duration::from_secs(60),
        error: "too many frames of stream 0",
    },
    Row {
        name: "meta frame of stream 0",
        frame: |_| Seen::new(0, Meta).payload(vec![7; 100]),
        survives: 100,
        window: Duration::from_secs(60),
        error: "too many frames of stream 0",
    },
    Row {
        name: "stream beyond max_concurrent_streams",
        frame: |at| Seen::new(10 + at, Header),
        survives: 4096,
        window: SECOND,
        error: "too many streams beyond max_concurrent_streams",
    },
    Row {
        name: "data of an unknown stream",
        frame: |_| Seen::new(9_999, Data).payload(vec![7; 1024 * 1024 - 100]),
        survives: 64,
        window: Duration::from_secs(10),
        error: "too many bytes for streams that do not exist",
    },
];

/// Returns a server with one stream, and room for no other.
fn one_stream() -> (Pair, StreamKey, StreamKey) {
    let limits = ServerLimits { max_concurrent_streams: 1, ..ServerLimits::default() };
    let config = Config::default().limits(Limits { frame_len: 2_000_000, pairs: 32, ..Limits::default() });
    let mut pair = Pair::with_limits(config.clone(), config, limits);
    let key = pair.open(&Dial::default());
    pair.drive();
    let handler = pair.accepted(key);
    (pair, key, handler)
}

fn commit(pair: &mut Pair, row: &Row, times: usize) {
    for at in 0..times {
        let frame = (row.frame)(i32::try_from(at).unwrap()).encode();
        let now = pair.now();
        pair.to_server.inject(&frame, now);
        pair.drive();
    }
}

#[test]
fn violations_of_each_kind_close_a_connection_at_their_rate() {
    for row in ROWS {
        let name = row.name;
        let (mut pair, key, _) = one_stream();
        for _ in 0..2 {
            commit(&mut pair, row, row.survives);
            assert!(pair.server.conn.closed().is_none(), "{name}: {:?}", pair.server.error);
            pair.send(Side::Client, key, b"still here").unwrap();
            pair.drive();
            pair.advance(row.window);
        }
        commit(&mut pair, row, row.survives + 1);
        assert_eq!(pair.server.error.as_ref().map(ToString::to_string).as_deref(), Some(row.error), "{name}");
        let end = pair.client.conn.outcome(key).expect("an end").unwrap_err();
        assert_eq!(end.stream().map(|error| error.code().number()), Some(12006), "{name}");
    }
}

#[test]
fn violations_do_not_count_refusals_of_a_draining_server() {
    let (mut pair, key, _) = one_stream();
    pair.server.conn.drain();
    commit(&mut pair, &ROWS[3], 3 * 4096);
    assert!(pair.server.conn.closed().is_none() && pair.client.conn.outcome(key).is_none());
}

type Frame = fn() -> Seen;
type With = fn(Seen) -> Seen;

/// Frames whose bytes arrive slowly: name, frame, bytes per second, and whether the connection is closed.
const ARRIVALS: &[(&str, Frame, usize, bool)] = &[
    ("a header, 1 B/s", || Seen::new(3, Header), 1, true),
    ("a message, 1 B/s", || Seen::new(1, Data).payload(vec![7; 1_000_000]), 1, true),
    ("a message, 1000 B/s", || Seen::new(1, Data).payload(vec![7; 1_000_000]), 1000, true),
    ("a message, 1100 B/s", || Seen::new(1, Data).payload(vec![7; 200_000]), 1100, false),
    ("a frame over a limit, 1 B/s", || Seen::new(1, Data).payload(vec![7; 3_000_000]), 1, true),
    ("a frame over a limit, 20 KB/s", || Seen::new(1, Data).payload(vec![7; 3_000_000]), 20_000, false),
    ("an Rst, 5 B/s", || Seen::rst(1, 12007, "a cancel", "user"), 5, true),
    ("a header, 500 B/s", || Seen::new(3, Header), 500, false),
];

#[test]
fn slow_frames_close_their_connection_below_1_kib_per_second() {
    for side in [Side::Client, Side::Server] {
        for &(name, frame, rate, closes) in ARRIVALS {
            let (mut pair, ..) = one_stream();
            let other = if side == Side::Client { Side::Server } else { Side::Client };
            // Frames of the peer itself would arrive in the middle of this one.
            pair.wire_from(other).edit = Some(Box::new(|_| Vec::new()));
            let mut bytes: Bytes = frame().encode();
            let mut seconds = 0;
            while !bytes.is_empty() && pair.peer(side).conn.closed().is_none() {
                let piece = bytes.split_to(rate.min(bytes.len()));
                let now = pair.now();
                let wire = if side == Side::Client { &mut pair.to_client } else { &mut pair.to_server };
                wire.inject(&piece, now);
                pair.advance(SECOND);
                seconds += 1;
            }
            let closed = pair.peer(side).conn.closed().is_some();
            let why = pair.peer(side).conn.closed().map(ToString::to_string);
            assert_eq!(closed, closes, "{side:?} {name}: after {seconds} s, {why:?}");
            assert!(!closes || (10..=20).contains(&seconds), "{side:?} {name}: after {seconds} s");
        }
    }
}

#[test]
fn slow_frames_do_not_include_pauses_between_frames_or_by_flow_control() {
    let narrow = Config::default().stream_receive_window(1024).slow_consumer_timeout_exclusive(3600 * SECOND);
    let mut pair = Pair::new(Config::default(), narrow);
    let key = pair.open(&Dial::default());
    pair.drive();
    let handler = pair.accepted(key);
    pair.advance(3600 * SECOND);
    assert!(pair.server.conn.closed().is_none(), "between frames");
    for message in [[1; 1024], [2; 1024], [3; 1024]] {
        pair.send(Side::Client, key, &message).unwrap();
    }
    pair.drive();
    assert!(pair.server.conn.is_paused());
    pair.advance(600 * SECOND);
    assert!(pair.server.conn.closed().is_none(), "paused");
    for _ in 0..3 {
        assert!(pair.recv(Side::Server, handler).is_ready());
        pair.drive();
    }
    assert!(pair.server.conn.closed().is_none());
}

/// Headers that a peer opens streams with, and the streams that 16 MiB of them have room for.
const HEADERS: &[(&str, With, Range<usize>)] = &[
    ("200 KB", |seen| (0..4).fold(seen, |seen, at| seen.string(format!("k{at}"), vec![7; 50_000])), 40..45),
    ("1,000 short pairs", |seen| (0..1000).fold(seen, |seen, at| seen.string(format!("{at}"), "")), 100..130),
    ("no string", |seen| seen, 300..301),
];

#[test]
fn header_bytes_of_running_handlers_are_bounded() {
    for (name, with, expected) in HEADERS {
        let mut pair = Pair::default();
        for round in 0..2 {
            pair.server.events.clear();
            for id in 1..=300 {
                let now = pair.now();
                let frame = with(Seen::new(id + 1000 * round, Header)).encode();
                pair.to_server.inject(&frame, now);
                pair.drive();
                pair.advance(SECOND);
            }
            let opened: Vec<StreamKey> = pair
                .server
                .events
                .iter()
                .filter_map(|event| match event {
                    Event::Opened(key) => Some(*key),
                    _ => None,
                })
                .collect();
            assert!(expected.contains(&opened.len()), "{name}: {} streams", opened.len());
            let refused = pair.to_client.sent.frames().iter().filter(|seen| seen.frame_type() == Some(Rst));
            let codes: Vec<i32> = refused.map(|seen| seen.exception().unwrap().type_id).collect();
            assert_eq!(codes.iter().filter(|code| **code == 12900).count(), codes.len(), "{name}");
            assert!(pair.server.conn.closed().is_none(), "{name}");
            for key in opened {
                pair.server.conn.finish(key, &Finish::default());
            }
            pair.drive();
        }
    }
}

#[test]
fn trailers_of_a_client_are_kept_up_to_16_kib() {
    for (len, kept) in [(15_000, true), (17_000, false)] {
        let (mut pair, key, handler) = Pair::opened(&Dial::default());
        let now = pair.now();
        let trailer = Seen::new(key.id().get(), Trailer).string("k", vec![b'v'; len]);
        pair.to_server.inject(&trailer.encode(), now);
        pair.drive();
        assert!(matches!(pair.recv(Side::Server, handler), Poll::Ready(Ok(None))), "{len}");
        let strings = pair.server.conn.trailer(handler).map(Metadata::len);
        assert_eq!(strings, Some(usize::from(kept)), "{len}");
    }
}

#[test]
fn trailers_that_a_peer_does_not_read_pause_its_connection() {
    let mut pair = Pair::default();
    pair.to_client.window = 0;
    let mut streams = 0;
    while !pair.server.conn.is_paused() && streams < 10_000 {
        streams += 1;
        let now = pair.now();
        pair.to_server.inject(&Seen::new(streams, Header).encode(), now);
        pair.drive();
        let Some(Event::Opened(key)) = pair.server.events.pop() else { panic!("stream {streams}") };
        let exception = ApplicationException::new(1, "x".repeat(8_000));
        pair.server.conn.finish(key, &Finish { exception: Some(exception), ..Finish::default() });
    }
    assert!(pair.server.conn.is_paused(), "after {streams} streams");
    assert!(pair.server.conn.transmit_bytes() < 5 * 1024 * 1024, "{}", pair.server.conn.transmit_bytes());
    pair.to_client.window = usize::MAX;
    pair.drive();
    assert!(!pair.server.conn.is_paused() && pair.server.events.contains(&Event::Resumed));
}

#[test]
fn violations_name_what_to_look_for() {
    let rows = [
        (ConnectionError::SlowFrame, "a frame arrives too slowly: less than 1 KiB per second"),
        (ConnectionError::TooManyViolations("frames of stream 0"), "too many frames of stream 0"),
    ];
    for (error, text) in rows {
        assert_eq!(error.to_string(), text);
    }
}
