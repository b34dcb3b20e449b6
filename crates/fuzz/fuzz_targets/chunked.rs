//! The same bytes in any pieces: the same frames and the same error as in one piece, and the same events of a
//! server's connection. The first eight bytes of an input are the sizes of the pieces.
#![no_main]

use std::time::Instant;

use bytes::BytesMut;
use fuzz::{Script, rest_of_frames, same_meaning};
use libfuzzer_sys::fuzz_target;
use ttheader_codec::Limits;
use ttstream::proto::{Config, Connection, ConnectionError, Event, ServerLimits};

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let sizes: [u8; 8] = std::array::from_fn(|_| script.byte());
    let input = script.rest();
    check_frames(input, &sizes);
    check_connection(input, &sizes);
});

/// Cuts `input` into pieces of the given sizes, cyclically; a large size means 64 bytes more.
fn pieces<'a>(mut input: &'a [u8], sizes: &[u8; 8]) -> impl Iterator<Item = &'a [u8]> {
    let sizes = sizes.iter().map(|size| match usize::from(*size) {
        small @ 0..=32 => small.max(1),
        large => large * 64,
    });
    sizes.collect::<Vec<_>>().into_iter().cycle().map_while(move |size| {
        let (piece, rest) = input.split_at(size.min(input.len()));
        input = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn check_frames(input: &[u8], sizes: &[u8; 8]) {
    let limits = Limits::default();
    let mut whole = BytesMut::from(input);
    let (expected, expected_error) = rest_of_frames(&mut whole, &limits);

    let (mut frames, mut error, mut buf) = (Vec::new(), None, BytesMut::new());
    for piece in pieces(input, sizes) {
        buf.extend_from_slice(piece);
        if error.is_none() {
            let (more, stop) = rest_of_frames(&mut buf, &limits);
            frames.extend(more);
            error = stop;
        }
    }
    assert_eq!((frames.len(), error), (expected.len(), expected_error));
    assert_eq!(buf, whole, "the rest differs");
    for (frame, expected) in frames.iter().zip(&expected) {
        same_meaning(&frame.header(), &expected.header());
        assert_eq!(frame.payload, expected.payload);
    }
}

fn check_connection(input: &[u8], sizes: &[u8; 8]) {
    let now = Instant::now();
    let whole = play(std::iter::once(input), now);
    let cut = play(pieces(input, sizes), now);
    // The timer that watches the arrival of frames may be armed by a piece.
    let timer = |(_, watched): &(Played, Option<Instant>)| watched.is_none();
    if timer(&cut) && timer(&whole) {
        assert_eq!(cut.0.3, whole.0.3);
    }
    let rest =
        |((events, error, received, _, left), _): (Played, Option<Instant>)| (events, error, received, left);
    assert_eq!(rest(cut), rest(whole));
}

type Played = (Vec<Event>, Option<ConnectionError>, usize, Option<Instant>, usize);

/// Returns what came of it, and when the timer fires that watches the arrival of frames.
fn play<'a>(pieces: impl Iterator<Item = &'a [u8]>, now: Instant) -> (Played, Option<Instant>) {
    let bounds = Config::default().stream_receive_window(2048).receive_window(4096);
    let mut connection =
        Connection::server(bounds, ServerLimits { max_concurrent_streams: 4, ..ServerLimits::default() });
    let (mut buf, mut error) = (BytesMut::new(), None);
    for piece in pieces {
        buf.extend_from_slice(piece);
        error = error.or(connection.handle_read(&mut buf, now).err());
    }
    let events = std::iter::from_fn(|| connection.poll_event()).collect();
    let watched = connection.arrival_timeout();
    ((events, error, connection.received_bytes(), connection.poll_timeout(), buf.len()), watched)
}
