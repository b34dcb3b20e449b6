//! Limits affect one stream only: a writer refuses a frame that a peer with the same limits would refuse, as
//! an error of that call, and a reader skips a frame that exceeds its limits and ends that stream only.

mod harness;

use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use harness::frames::Seen;
use harness::{Dial, Pair};
use kerrors::{ApplicationException, Error, Side};
use stream_core::Metadata;
use stream_core::cancel::Reason;
use ttheader_codec::FrameType::{self, Data, Header, Meta, Rst, Trailer};
use ttheader_codec::Limits;
use ttstream::proto::{Config, Finish, Method, Open, StreamKey};

const LIMITS: Limits = Limits { frame_len: 2000, header_len: 1000, pairs: 10 };

fn limited() -> Config {
    Config::default().limits(LIMITS)
}

/// The limit that a frame exceeds.
#[derive(Clone, Copy, Debug)]
enum Beyond {
    FrameLen,
    HeaderLen,
    Pairs,
}

const BEYOND: [Beyond; 3] = [Beyond::FrameLen, Beyond::HeaderLen, Beyond::Pairs];

impl Beyond {
    fn frame(self, frame_type: FrameType, id: i32) -> Seen {
        let seen = Seen::new(id, frame_type);
        match self {
            Self::FrameLen => seen.payload(vec![7; 70_000]),
            Self::HeaderLen => seen.string("k", vec![b'v'; 1500]),
            Self::Pairs => (0..20).fold(seen, |seen, at| seen.string(format!("k{at}"), "v")),
        }
    }

    fn strings(self) -> Metadata {
        match self {
            Self::FrameLen => Metadata::new(),
            Self::HeaderLen => [("k", vec![b'v'; 1500])].into_iter().collect(),
            Self::Pairs => (0..20).map(|at| (format!("k{at}"), "v")).collect(),
        }
    }
}

/// Returns two streams on one connection: the client's keys and the server's.
fn two_streams(config: &Config) -> (Pair, [StreamKey; 2], [StreamKey; 2]) {
    let mut pair = Pair::new(config.clone(), config.clone());
    let keys = [pair.open(&Dial::default()), pair.open(&Dial::default())];
    pair.drive();
    let handlers = keys.map(|key| pair.accepted(key));
    (pair, keys, handlers)
}

/// Checks that the second stream still passes messages both ways.
fn goes_on(pair: &mut Pair, key: StreamKey, handler: StreamKey, row: &str) {
    for (from, from_key, to, to_key) in
        [(Side::Client, key, Side::Server, handler), (Side::Server, handler, Side::Client, key)]
    {
        assert!(pair.send(from, from_key, b"still here").unwrap(), "{row}");
        pair.drive();
        let got = pair.recv(to, to_key).map(Result::unwrap);
        assert_eq!(got, Poll::Ready(Some(Bytes::from_static(b"still here"))), "{row}");
    }
    assert!(pair.client.conn.closed().is_none() && pair.server.conn.closed().is_none(), "{row}");
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> i32 {
    result.expect_err("an error").stream().expect("a stream error").code().number()
}

#[test]
fn limits_of_a_reader_end_the_stream_of_an_oversize_frame_only() {
    for side in [Side::Client, Side::Server] {
        for beyond in BEYOND {
            for frame_type in [Header, Data, Trailer, Rst] {
                if (side, frame_type) == (Side::Server, Header) {
                    continue; // Opens a stream: see the next test.
                }
                for cuts in [vec![], vec![1], vec![97]] {
                    let row = format!("{side:?} {beyond:?} {frame_type:?} {cuts:?}");
                    let (mut pair, keys, handlers) = two_streams(&limited());
                    let (culprit, wire) = match side {
                        Side::Client => (keys[0], &mut pair.to_client),
                        Side::Server => (handlers[0], &mut pair.to_server),
                    };
                    wire.cuts = cuts;
                    let now = pair.now();
                    let before = Seen::new(1, Data).payload("before").encode();
                    let oversize = beyond.frame(frame_type, 1).encode();
                    let wire = if side == Side::Client { &mut pair.to_client } else { &mut pair.to_server };
                    wire.inject(&before, now);
                    wire.inject(&oversize, now);
                    pair.drive();
                    let got = pair.recv(side, culprit).map(Result::unwrap);
                    assert_eq!(got, Poll::Ready(Some(Bytes::from_static(b"before"))), "{row}");
                    let Poll::Ready(end) = pair.recv(side, culprit) else { panic!("{row}: no end") };
                    assert_eq!(code(end), 12004, "{row}");
                    goes_on(&mut pair, keys[1], handlers[1], &row);
                }
            }
        }
    }
}

#[test]
fn limits_refuse_a_stream_opened_by_an_oversize_header_only() {
    for beyond in BEYOND {
        let row = format!("{beyond:?}");
        let (mut pair, keys, handlers) = two_streams(&limited());
        let now = pair.now();
        pair.to_server.inject(&beyond.frame(Header, 7).encode(), now);
        pair.drive();
        assert_eq!(pair.to_client.sent.word(7), "R", "{row}");
        let rst = pair.to_client.sent.last(7, Rst).unwrap().exception().unwrap();
        assert_eq!(rst.type_id, 12004, "{row}");
        goes_on(&mut pair, keys[1], handlers[1], &row);
    }
}

#[test]
fn limits_ignore_an_oversize_frame_of_no_stream_or_for_observers() {
    for beyond in BEYOND {
        let (mut pair, keys, handlers) = two_streams(&limited());
        let now = pair.now();
        for id in [0, 7] {
            for frame_type in [Meta, Data, Trailer, Rst] {
                pair.to_client.inject(&beyond.frame(frame_type, id).encode(), now);
            }
        }
        if !matches!(beyond, Beyond::HeaderLen) {
            // The type of a frame whose header is skipped is unknown.
            pair.to_client.inject(&beyond.frame(Meta, keys[0].id().get()).encode(), now);
        }
        pair.drive();
        for at in [0, 1] {
            goes_on(&mut pair, keys[at], handlers[at], &format!("{beyond:?}"));
        }
    }
}

#[test]
fn limits_skip_oversize_frames_without_buffering() {
    let (mut pair, keys, handlers) = two_streams(&limited());
    let now = pair.now();
    let whole = Seen::new(1, Data).payload(vec![7; 1_000_000]).encode();
    for chunk in whole.chunks(10_000) {
        pair.to_client.inject(chunk, now);
        pair.drive();
        assert_eq!(pair.client.conn.received_bytes(), 0);
    }
    goes_on(&mut pair, keys[1], handlers[1], "a megabyte");
    // An impossible length of a frame.
    pair.to_client.inject(&[0xff, 0xff, 0xff, 0xff, 0x10, 0, 0, 2, 0, 0, 0, 1, 0, 4], now);
    pair.drive();
    assert!(pair.client.conn.closed().is_some());
}

fn open(
    pair: &mut Pair,
    method: &str,
    metadata: &Metadata,
) -> Result<Option<StreamKey>, kerrors::StreamError> {
    let now = pair.now();
    let method = Arc::new(Method::new(method.to_owned()).unwrap());
    let service: Arc<str> = "ServiceA".into();
    let open = Open {
        method: &method,
        metadata,
        service: &service,
        deadline: None,
        wire_deadline: None,
        recv_timeout: None,
    };
    pair.client.conn.open(&open, now)
}

#[test]
fn limits_of_a_writer_fail_the_call_of_an_oversize_frame() {
    for side in [Side::Client, Side::Server] {
        // A data frame has 16 + 2 * 4 + 2 bytes of header around the names: the exact bound is found by
        // search.
        let (mut pair, keys, handlers) = two_streams(&limited());
        let key = if side == Side::Client { keys[0] } else { handlers[0] };
        let mut most = 0;
        for len in 1900..2000 {
            match pair.send(side, key, &vec![7; len]) {
                Ok(sent) => {
                    assert!(sent && most + 1 == len || most == 0, "{side:?}: one bound");
                    most = len;
                }
                Err(error) => assert_eq!(code::<()>(Err(error)), 12005, "{side:?} {len}"),
            }
            pair.drive();
            let (other, other_key) =
                if side == Side::Client { (Side::Server, handlers[0]) } else { (Side::Client, keys[0]) };
            while let Poll::Ready(Ok(Some(_))) = pair.recv(other, other_key) {}
        }
        let largest = pair.wire_from(side).sent.last(1, Data).unwrap().encode().len();
        assert_eq!(largest, LIMITS.frame_len, "{side:?}: the largest accepted frame is written");
        goes_on(&mut pair, keys[0], handlers[0], "the same stream");
        goes_on(&mut pair, keys[1], handlers[1], "the other stream");
    }
}

#[test]
fn limits_fail_only_the_call_of_an_oversize_header_or_trailer() {
    for beyond in [Beyond::HeaderLen, Beyond::Pairs] {
        let row = format!("{beyond:?}");
        let strings = beyond.strings();
        let (mut pair, keys, handlers) = two_streams(&limited());

        let error = open(&mut pair, "M", &strings).unwrap_err();
        assert_eq!(error.code().number(), 12005, "{row}: a client's header");
        assert_eq!(pair.client.conn.held_streams(), 2, "{row}: no stream was opened");

        assert!(pair.server.conn.set_header(handlers[0], &strings));
        assert_eq!(code(pair.server.conn.send_header(handlers[0])), 12005, "{row}: a server's header");

        pair.server.conn.finish(handlers[0], &Finish { trailer: strings, exception: None });
        pair.drive();
        let Poll::Ready(end) = pair.recv(Side::Client, keys[0]) else { panic!("{row}: no end") };
        let text = end.unwrap_err().to_string();
        assert!(text.contains("trailer cannot be sent: header of"), "{row}: {text}");
        goes_on(&mut pair, keys[1], handlers[1], &row);
    }
    let (mut pair, ..) = two_streams(&limited());
    let name = "m".repeat(1500);
    assert_eq!(pair.client.conn.prepare_method(b"", name.as_bytes()).unwrap_err().code().number(), 12005);
    assert_eq!(open(&mut pair, &name, &Metadata::new()).unwrap_err().code().number(), 12005);
}

#[test]
fn limits_hold_for_error_texts_of_any_length() {
    let long = "e".repeat(100_000);
    for limits in [LIMITS, Limits::default()] {
        let row = format!("{limits:?}");
        let (mut pair, keys, handlers) = two_streams(&Config::default().limits(limits));
        let cause: Box<dyn std::error::Error + Send + Sync> = long.clone().into();
        pair.client.conn.cancel(keys[0], &Reason::Cause(cause.into()));
        pair.drive();
        let Some(Err(error)) = pair.server.conn.outcome(handlers[0]) else { panic!("{row}: not canceled") };
        assert_eq!(code::<()>(Err(error)), 12008, "{row}");
        goes_on(&mut pair, keys[1], handlers[1], &row);

        let exception = Some(ApplicationException::new(6, long.clone()));
        pair.server.conn.finish(handlers[1], &Finish { trailer: Metadata::new(), exception });
        pair.drive();
        let Poll::Ready(end) = pair.recv(Side::Client, keys[1]) else { panic!("{row}: no end") };
        assert_eq!(code(end), 12001, "{row}");
        assert!(pair.client.conn.closed().is_none() && pair.server.conn.closed().is_none(), "{row}");
    }
}

#[test]
fn limits_fail_only_the_call_of_a_proxy_that_adds_to_a_maximum() {
    // A client sends the largest header that the gateway accepts; the gateway adds two pairs of its own, and
    // calls a method with a longer name.
    let (mut pair, keys, handlers) = two_streams(&limited());
    let most: Metadata = (0..LIMITS.pairs - 2).map(|at| (format!("k{at}"), "v")).collect();
    assert!(open(&mut pair, "M", &most).unwrap().is_some(), "the largest header that the gateway accepts");
    let relayed: Metadata = (0..LIMITS.pairs).map(|at| (format!("k{at}"), "v")).collect();
    assert_eq!(open(&mut pair, "M", &relayed).unwrap_err().code().number(), 12005);
    let key = open(&mut pair, "AMuchLongerMethod", &Metadata::new()).unwrap().unwrap();
    let most = vec![7; LIMITS.frame_len - 40];
    assert_eq!(pair.send(Side::Client, keys[0], &most).map_err(|error| error.to_string()), Ok(true));
    assert_eq!(code(pair.send(Side::Client, key, &most)), 12005);
    pair.drive();
    assert!(matches!(pair.recv(Side::Server, handlers[0]), Poll::Ready(Ok(Some(_)))));
    goes_on(&mut pair, keys[1], handlers[1], "the others");
}
