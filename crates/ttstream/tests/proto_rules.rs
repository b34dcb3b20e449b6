//! Rules of one stream that the table does not have: the results of commands, late frames, and which stream
//! or connection a protocol violation ends.

mod harness;

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use harness::frames::Seen;
use harness::wire::Wire;
use harness::{Dial, Pair};
use kerrors::{ApplicationException, Code, Error, RecvTimeout, Side, StreamError};
use stream_core::cancel::Reason;
use stream_core::{Metadata, Retryable};
use ttheader_codec::FrameType;
use ttstream::proto::{Config, Event, Finish, Method, Open, StreamKey};

fn text<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.expect_err("an error").to_string()
}

#[test]
fn a_handler_gets_one_canceled_event() {
    let (rst, odd) = (Seen::rst(1, 12007, "stop", "A"), Seen::unknown(1, b"9"));
    for frames in [[&rst, &odd, &rst], [&odd, &odd, &rst]] {
        let (mut pair, _, _) = Pair::opened(&Dial::default());
        let now = pair.now();
        for seen in frames {
            pair.to_server.inject(&seen.encode(), now);
        }
        pair.drive();
        let canceled = pair.server.events.iter().filter(|event| matches!(event, Event::Canceled(..)));
        assert_eq!(canceled.count(), 1, "{:?}", pair.server.events);
    }
}

#[test]
fn a_connection_lost_at_any_byte_delivers_earlier_messages() {
    let (mut reference, key, handler) = answered();
    let whole = reference.to_client.sent.frames().iter().map(|seen| seen.encode().len()).collect::<Vec<_>>();
    reference.server.conn.finish(handler, &Finish::default());
    reference.drive();
    let trailer = reference.to_client.sent.last(1, FrameType::Trailer).unwrap().encode().len();
    let messages: usize = whole.iter().sum();
    for cut in 0..=messages + trailer {
        let (mut pair, _, handler) = answered_through(|wire| wire.cut_off_after(cut));
        pair.server.conn.finish(handler, &Finish::default());
        pair.drive();
        pair.client.conn.handle_closed(&StreamError::new(Code::TRANSPORT_CLOSING));
        let mut taken = 0;
        let end = loop {
            match pair.recv(Side::Client, key) {
                Poll::Ready(Ok(Some(_))) => taken += 1,
                Poll::Ready(end) => break end,
                Poll::Pending => panic!("no end after {cut} bytes"),
            }
        };
        let arrived = [whole[0] + whole[1], messages].iter().filter(|end| **end <= cut).count();
        assert_eq!(taken, arrived, "messages in {cut} bytes");
        assert_eq!(end.is_ok(), cut == messages + trailer, "{cut} bytes: {end:?}");
    }
}

/// Returns a stream on which the server has sent a header and two messages.
fn answered() -> (Pair, StreamKey, StreamKey) {
    answered_through(|_| {})
}

fn answered_through(change: impl FnOnce(&mut Wire)) -> (Pair, StreamKey, StreamKey) {
    let (mut pair, key, handler) = Pair::opened(&Dial::default());
    change(&mut pair.to_client);
    for message in [&b"one"[..], b"two"] {
        pair.send(Side::Server, handler, message).unwrap();
    }
    pair.drive();
    (pair, key, handler)
}

#[test]
fn a_queued_half_close_is_sent_when_a_cancel_purges_its_stream() {
    let (mut pair, key, _) = Pair::opened(&Dial::default());
    pair.to_server.window = 0;
    while pair.send(Side::Client, key, &[7; 20_000]).unwrap() {}
    pair.client.conn.close_send(key);
    pair.drive();
    pair.client.conn.cancel(key, &Reason::Canceled);
    pair.to_server.window = usize::MAX;
    pair.drive();
    let word = pair.to_server.sent.word(1);
    assert!(word.ends_with("DRT"), "a peer without Rst waits for the trailer: {word}");
    pair.check_wire();
}

fn inject(pair: &mut Pair, seen: &Seen) {
    let now = pair.now();
    pair.to_client.inject(&seen.encode(), now);
}

#[test]
fn send_header_after_the_end_sends_nothing() {
    let (mut pair, key, handler) = Pair::opened(&Dial::default());
    pair.client.conn.cancel(key, &Reason::Canceled);
    pair.drive();
    let expected = "[ttstream error, code=12007] [server-side stream] [canceled path: ServiceA] user code";
    assert!(text(pair.server.conn.send_header(handler)).starts_with(expected));
    assert!(text(pair.send(Side::Server, handler, b"m")).starts_with(expected));
    assert!(matches!(pair.client.conn.header(key), Poll::Ready(Err(_))));
    pair.server.conn.finish(handler, &Finish::default());
    pair.drive();
    assert_eq!(pair.to_client.sent.word(1), "T");
}

#[test]
fn an_encode_error_fails_one_call_and_not_the_connection() {
    let (mut pair, key, handler) = Pair::opened(&Dial::default());
    let large: Metadata = [("k", vec![b'v'; 65_536])].into_iter().collect();
    let method = Arc::new(Method::new("M").unwrap());
    let service: Arc<str> = "ServiceA".into();
    let open = Open {
        method: &method,
        metadata: &large,
        service: &service,
        deadline: None,
        wire_deadline: None,
        recv_timeout: None,
    };
    let now = pair.now();
    let error = pair.client.conn.open(&open, now).unwrap_err();
    let expected = "[ttstream error, code=12005] [client-side stream] header key or value of 65536 bytes";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert_eq!(pair.client.conn.held_streams(), 1, "no stream was opened");

    assert!(pair.server.conn.set_header(handler, &large));
    assert_eq!(text(pair.server.conn.send_header(handler)).split(' ').nth(2), Some("code=12005]"));
    let finish = Finish { trailer: large, exception: None };
    pair.server.conn.finish(handler, &finish);
    pair.drive();
    let Poll::Ready(Err(error)) = pair.recv(Side::Client, key) else { panic!("no end") };
    assert!(error.to_string().contains("trailer cannot be sent"), "{error}");
    assert_eq!(pair.client.conn.closed(), None);
    pair.open(&Dial::default());
}

#[test]
fn a_header_that_cannot_be_encoded_fails_one_call_and_a_header_still_precedes_messages() {
    let large: Metadata = [("k", vec![b'v'; 65_536])].into_iter().collect();
    let small: Metadata = [("k", "small")].into_iter().collect();
    for (by_send, again, expected) in [
        (false, None, None),
        (true, None, None),
        (false, Some(&small), Some("small")),
        (true, Some(&small), Some("small")),
    ] {
        let row = format!("failed by Send: {by_send}, set again: {}", again.is_some());
        let (mut pair, key, handler) = Pair::opened(&Dial::default());
        assert!(pair.server.conn.set_header(handler, &large), "{row}");
        let failed = match by_send {
            true => text(pair.send(Side::Server, handler, b"lost")),
            false => text(pair.server.conn.send_header(handler)),
        };
        assert_eq!(failed.split(' ').nth(2), Some("code=12005]"), "{row}");
        if let Some(strings) = again {
            assert!(pair.server.conn.set_header(handler, strings), "{row}");
        }
        assert!(pair.send(Side::Server, handler, b"sent").unwrap(), "{row}");
        pair.server.conn.finish(handler, &Finish::default());
        pair.drive();
        pair.check_wire();
        assert_eq!(pair.to_client.sent.word(1), "HDT", "{row}");
        assert_eq!(pair.to_client.sent.frames()[0].get(b"k"), expected, "{row}");
        assert!(matches!(pair.client.conn.header(key), Poll::Ready(Ok(_))), "{row}");
        assert!(
            matches!(pair.recv(Side::Client, key), Poll::Ready(Ok(Some(message))) if *message == *b"sent"),
            "{row}"
        );
    }
}

#[test]
fn open_with_a_passed_deadline_sends_nothing() {
    let mut pair = Pair::default();
    let error = pair.try_open(&Dial { deadline: Some(Duration::ZERO), ..Dial::default() }).unwrap_err();
    let expected = "[ttstream error, code=12015] [client-side stream] stream timeout, timeout in ctx: 0s";
    assert_eq!(error.to_string(), expected);
    pair.drive();
    assert!(pair.to_server.sent.frames().is_empty());
    pair.check_empty();
}

#[test]
fn open_on_a_closed_connection_returns_its_error() {
    let (mut pair, key, handler) = Pair::opened(&Dial::default());
    pair.lose();
    pair.client.conn.handle_closed(&StreamError::new(Code::DRAINING));
    pair.drive();
    let lost = "[ttstream error, code=12006] [client-side stream] transport is closing";
    assert_eq!(pair.try_open(&Dial::default()).unwrap_err().to_string(), lost);
    assert_eq!(text(pair.send(Side::Client, key, b"m")), lost, "the first reason stays");
    assert!(pair.client.events.contains(&Event::Openable), "a waiting open is woken");
    pair.server.conn.finish(handler, &Finish::default());
    pair.drive();
    assert_eq!(pair.to_client.sent.word(1), "");
}

#[test]
fn retryable_depends_on_the_loss_and_on_what_has_arrived() {
    type Change = fn(&mut Pair, StreamKey, StreamKey);
    let header: Change = |pair, _, handler| {
        pair.server.conn.send_header(handler).unwrap();
    };
    let message: Change = |pair, _, handler| {
        pair.send(Side::Server, handler, b"not taken").unwrap();
    };
    let cancel: Change = |pair, key, _| {
        pair.client.conn.cancel(key, &Reason::Canceled);
    };
    let recv_timeout: Change = |pair, key, _| {
        assert!(pair.recv(Side::Client, key).is_pending());
        pair.advance(Duration::from_secs(60));
    };
    let end: Change = |pair, _, handler| pair.server.conn.finish(handler, &Finish::default());
    // What happens before the end of the connection; whether it was lost, and the server had not read everything.
    let rows: [(&str, Change, bool, bool, Retryable); 10] = [
        ("nothing", |_, _, _| {}, true, false, Retryable::IfIdempotent),
        ("nothing, unread", |_, _, _| {}, true, true, Retryable::Always),
        ("a violation", |_, _, _| {}, false, false, Retryable::Never),
        ("a header", header, true, false, Retryable::Never),
        ("a header, unread", header, true, true, Retryable::Never),
        ("a message", message, true, false, Retryable::Never),
        ("a cancel", cancel, true, false, Retryable::Never),
        ("a cancel, unread", cancel, true, true, Retryable::Never),
        ("a Recv timeout", recv_timeout, true, false, Retryable::Never),
        ("the handler's end", end, true, false, Retryable::Never),
    ];
    for (what, change, is_lost, is_unread, expected) in rows {
        let timeout = Some(RecvTimeout::new(Duration::from_secs(30)));
        let (mut pair, key, handler) = Pair::opened(&Dial { recv_timeout: timeout, ..Dial::default() });
        change(&mut pair, key, handler);
        pair.drive();
        assert_eq!(pair.client.conn.retryable(key), Retryable::Never, "{what}: the connection is open");
        for side in [Side::Client, Side::Server] {
            let now = pair.now();
            let conn = &mut pair.peer(side).conn;
            if is_lost {
                conn.mark_lost();
            }
            if is_unread {
                conn.mark_unread(now);
            }
            conn.handle_closed(&StreamError::new(Code::TRANSPORT_CLOSING));
        }
        assert_eq!(pair.client.conn.retryable(key), expected, "{what}");
        assert_eq!(pair.server.conn.retryable(handler), Retryable::Never, "{what}: at the server");
    }
}

#[test]
fn data_for_a_reset_stream_is_answered_with_one_rst() {
    let (mut pair, key, handler) = Pair::opened(&Dial::default());
    let now = pair.now();
    pair.to_client.inject(&Seen::rst(1, 12009, "no", "Gateway").encode(), now);
    pair.drive();
    pair.client.conn.release(key);
    for _ in 0..3 {
        pair.to_client.inject(&Seen::new(1, FrameType::Data).payload("m").encode(), now);
        pair.drive();
    }
    assert_eq!(pair.to_server.sent.word(1), "HTR");
    let rst = pair.to_server.sent.last(1, FrameType::Rst).unwrap();
    assert_eq!(rst.get(b"ttscp"), Some("Gateway,ServiceA"));
    assert_eq!(rst.exception(), Some(ApplicationException::new(12009, "no")));
    assert!(pair.server.conn.outcome(handler).unwrap().is_err());
}

#[test]
fn a_sent_rst_is_not_followed_by_another() {
    let (mut pair, key, _) = Pair::opened(&Dial::default());
    pair.client.conn.cancel(key, &Reason::Canceled);
    let now = pair.now();
    pair.to_client.inject(&Seen::rst(1, 12009, "no", "").encode(), now);
    pair.to_client.inject(&Seen::new(1, FrameType::Data).payload("m").encode(), now);
    pair.drive();
    assert_eq!(pair.to_server.sent.word(1), "HRT");
}

#[test]
fn a_dropped_sender_cancels_unless_close_send_was_called() {
    for (close, word) in [(false, "HRT"), (true, "HT")] {
        let (mut pair, key, handler) = Pair::opened(&Dial::default());
        if close {
            pair.client.conn.close_send(key);
        }
        pair.client.conn.abandon_send(key, &Reason::Canceled);
        pair.server.conn.abandon_send(handler, &Reason::Canceled);
        pair.drive();
        assert_eq!(pair.to_server.sent.word(1), word);
        assert_eq!(pair.client.conn.outcome(key).is_some(), !close);
        assert_eq!(pair.server.conn.outcome(handler).is_some(), !close);
    }
}

#[test]
fn trailer_is_available_once_it_has_arrived() {
    let (mut pair, key, handler) = Pair::opened(&Dial::default());
    let now = pair.now();
    pair.to_server.inject(&Seen::new(1, FrameType::Trailer).string("ck", "cv").encode(), now);
    assert_eq!(pair.client.conn.trailer(key), None);
    let finish = Finish { trailer: [("tk", "tv")].into_iter().collect(), exception: None };
    pair.drive();
    assert_eq!(pair.server.conn.trailer(handler).and_then(|trailer| trailer.get_str("ck")), Some("cv"));
    pair.server.conn.finish(handler, &finish);
    pair.drive();
    assert_eq!(pair.client.conn.trailer(key).and_then(|trailer| trailer.get_str("tk")), Some("tv"));
}

#[test]
fn meta_frames_are_queued_in_order_and_bounded() {
    let (mut pair, key, handler) = Pair::opened(&Dial::default());
    let meta =
        |at: u8, len: usize| Seen::new(1, FrameType::Meta).string("k", vec![at]).payload(vec![at; len]);
    inject(&mut pair, &meta(0, 100_000));
    for at in 1..200 {
        inject(&mut pair, &meta(at, 1));
    }
    pair.drive();
    let kept: Vec<_> = std::iter::from_fn(|| pair.client.conn.take_meta(key)).collect();
    assert!((1..=64).contains(&kept.len()), "{}", kept.len());
    for (at, (strings, payload)) in (1..).zip(&kept) {
        assert_eq!((strings.get("k").map(|value| value[0]), payload[0]), (Some(at), at));
    }
    let now = pair.now();
    pair.to_server.inject(&meta(1, 1).encode(), now);
    pair.drive();
    assert_eq!(pair.server.conn.take_meta(handler), None, "meta frames are for clients");
}

#[test]
fn has_canceled_reports_a_sent_or_received_rst() {
    type Act = fn(&mut Pair, StreamKey, StreamKey);
    let rows: [(&str, Act, [bool; 2]); 4] = [
        ("nothing", |_, _, _| {}, [false, false]),
        ("a cancel", |pair, key, _| pair.client.conn.cancel(key, &Reason::Canceled), [true, true]),
        ("an rst", |pair, _, _| inject(pair, &Seen::rst(1, 1, "x", "")), [true, false]),
        ("a protocol violation", |pair, _, _| inject(pair, &Seen::unknown(1, b"9")), [true, true]),
    ];
    for (name, act, canceled) in rows {
        let (mut pair, key, handler) = Pair::opened(&Dial::default());
        act(&mut pair, key, handler);
        pair.drive();
        pair.server.conn.finish(handler, &Finish::default());
        pair.server.conn.release(handler);
        pair.drive();
        pair.client.conn.release(key);
        pair.drive();
        let seen = [&pair.client, &pair.server].map(|peer| peer.conn.has_canceled());
        assert_eq!(seen, canceled, "{name}");
    }
}

#[test]
fn frames_queued_by_a_returned_handler_are_sent_or_dropped_with_the_connection() {
    for lost in [false, true] {
        let (mut pair, key, handler) = Pair::opened(&Dial::default());
        pair.to_client.window = 0;
        while pair.send(Side::Server, handler, &[0; 30_000]).unwrap() {}
        pair.server.conn.finish(handler, &Finish::default());
        pair.server.conn.release(handler);
        if lost {
            pair.lose();
        }
        pair.to_client.window = usize::MAX;
        pair.drive();
        assert_eq!(pair.server.conn.held_streams(), 0);
        assert_eq!(pair.to_client.sent.word(1).ends_with("DT"), !lost);
        pair.client.conn.release(key);
        pair.drive();
        pair.check_empty();
    }
}

#[test]
fn a_stream_key_of_a_removed_stream_finds_nothing() {
    let (mut pair, key, handler) = Pair::opened(&Dial::default());
    assert_eq!(StreamKey::from_token(key.token()), Some(key));
    pair.client.conn.release(key);
    pair.drive();
    pair.server.conn.finish(handler, &Finish::default());
    pair.server.conn.release(handler);
    pair.drive();
    pair.check_empty();
    let next = pair.open(&Dial::default());
    pair.drive();
    assert_eq!(next.index(), key.index(), "the slot is reused");
    pair.client.conn.cancel(key, &Reason::Canceled);
    pair.client.conn.release(key);
    pair.server.conn.finish(handler, &Finish::default());
    assert_eq!(text(pair.send(Side::Server, handler, b"m")), text(returned()));
    assert!(pair.client.conn.outcome(next).is_none());
    assert!(pair.server.conn.outcome(pair.accepted(next)).is_none());
}

fn returned() -> Result<(), Error> {
    Err(StreamError::new(Code::HANDLER_RETURNED).on_side(Side::Server).into())
}

#[test]
fn discard_incoming_drops_messages_on_arrival() {
    let (mut pair, key, handler) = Pair::opened(&Dial::default());
    pair.send(Side::Client, key, b"one").unwrap();
    pair.drive();
    pair.server.conn.discard_incoming(handler);
    for _ in 0..100 {
        pair.send(Side::Client, key, &[0; 50_000]).unwrap();
        pair.drive();
    }
    assert_eq!(pair.server.conn.received_bytes(), 0);
    pair.send(Side::Server, handler, b"still here").unwrap();
    pair.drive();
    assert_eq!(pair.recv(Side::Client, key).map(Result::unwrap), Poll::Ready(Some("still here".into())));
}

#[test]
fn frames_of_unknown_streams_are_ignored() {
    let mut pair = Pair::new(Config::default(), Config::default());
    let now = pair.now();
    for id in [0, 7, -7, i32::MIN] {
        for frame_type in [FrameType::Meta, FrameType::Data, FrameType::Trailer, FrameType::Rst] {
            let frame = Seen::new(id, frame_type).payload("anything").encode();
            pair.to_server.inject(&frame, now);
            pair.to_client.inject(&frame, now);
        }
        pair.to_client.inject(&Seen::new(id, FrameType::Header).encode(), now);
        pair.to_client.inject(&Seen::unknown(id, b"").encode(), now);
        pair.to_server.inject(&Seen::unknown(id, b"77").encode(), now);
    }
    pair.to_server.inject(&Seen::new(0, FrameType::Header).encode(), now);
    pair.drive();
    assert!(pair.client.events.is_empty() && pair.server.events.is_empty());
    assert!(pair.to_client.sent.frames().is_empty() && pair.to_server.sent.frames().is_empty());
    pair.check_empty();
}

#[test]
fn a_negative_stream_id_is_valid() {
    let mut pair = Pair::default();
    let now = pair.now();
    pair.to_server.inject(&Seen::new(-5, FrameType::Header).string("k", "v").encode(), now);
    pair.to_server.inject(&Seen::new(-5, FrameType::Data).payload("m").encode(), now);
    pair.drive();
    let Some(Event::Opened(handler)) = pair.server.events.first().cloned() else { panic!("not opened") };
    assert_eq!(handler.id().get(), -5);
    assert_eq!(StreamKey::from_token(handler.token()), Some(handler));
    assert_eq!(
        pair.recv(Side::Server, handler).map(Result::unwrap),
        Poll::Ready(Some(Bytes::from_static(b"m")))
    );
    let Poll::Ready(Ok(header)) = pair.server.conn.header(handler) else { panic!("no header") };
    assert_eq!(header.get_str("k"), Some("v"));
}
