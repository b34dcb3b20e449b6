//! Attacks over TTHeader Streaming and ping-pong calls, each a row.

use super::attack::Attack;
use crate::conformance::wire::{Raw, call, exception, message};

const HEADER: &str = "2";
const DATA: &str = "3";
const TRAILER: &str = "4";
const RST: &str = "5";
const META: &str = "1";
/// A type that no frame has.
const UNKNOWN: &str = "9";
/// Words for a handler that sends without end.
const ENDLESS: &str = "n=-1;size=1024";
const KB: usize = 1024;
const MB: usize = 1024 * KB;
/// Streams that are open on one connection at most, by the default of a server.
const STREAMS: usize = 1024;

/// All of them.
pub(super) const ROWS: &[Attack] = &[
    Attack {
        name: "unused-connections",
        class: "connections that are never used",
        connections: 1_000,
        ..BASE
    },
    Attack {
        name: "slow-first-bytes",
        class: "slow loris before the protocol is known",
        connections: 300,
        pace: 300,
        seconds: 8,
        unit: |_, at| header(1, "Bidi").get(at).map(|byte| vec![*byte]).unwrap_or_default(),
        ..BASE
    },
    Attack {
        name: "slow-frames",
        class: "slow loris in headers, messages and ping-pong calls",
        connections: 300,
        pace: 300,
        seconds: 22,
        unit: slow_frame,
        ..BASE
    },
    Attack {
        name: "partial-frames",
        class: "parts of large messages on 100 connections",
        connections: 100,
        unit: partial_frame,
        ..BASE
    },
    Attack {
        name: "pinned-buffers",
        class: "small messages among data that is discarded",
        connections: 8,
        reads: false,
        unit: pinned_buffer,
        ..BASE
    },
    Attack {
        name: "header-pairs",
        class: "headers of many small pairs, streams left open on 4 connections",
        connections: 4,
        pace: 2_000,
        unit: |_, at| opened(at, STREAMS, || headers_of(at + 1, 1_000, 1)),
        ..BASE
    },
    Attack {
        name: "header-values",
        class: "headers of large values, streams left open on 4 connections",
        connections: 4,
        unit: |_, at| opened(at, STREAMS, || headers_of(at + 1, 4, 60_000)),
        ..BASE
    },
    Attack {
        name: "trailer-values",
        class: "trailers of large values, handlers left running on 4 connections",
        connections: 4,
        unit: |_, at| opened(at, STREAMS, || [request(at + 1, "idle"), trailer(at + 1)].concat()),
        ..BASE
    },
    Attack {
        name: "method-names",
        class: "long names of methods that do not exist, responses read",
        connections: 4,
        unit: |_, at| header(at + 1, &long_name(at, 16 * KB)),
        ..BASE
    },
    Attack {
        name: "unread-trailers",
        class: "long names of methods that do not exist, responses not read",
        connections: 4,
        reads: false,
        pace: 5_000,
        unit: |_, at| header(at + 1, &long_name(at, 8_000)),
        ..BASE
    },
    Attack {
        name: "unread-resets",
        class: "frames that make the server reset, resets not read",
        connections: 4,
        reads: false,
        pace: 20_000,
        unit: |_, at| made_to_reset(at + 1),
        ..BASE
    },
    Attack {
        name: "made-to-reset",
        class: "frames that make the server reset, resets read",
        pace: 20_000,
        unit: |_, at| made_to_reset(at + 1),
        ..BASE
    },
    RAPID_RESET,
    Attack {
        name: "rapid-reset-many",
        class: "200,000 streams opened and reset on 100 connections",
        connections: 100,
        ..RAPID_RESET
    },
    Attack {
        name: "unknown-streams",
        class: "data of streams that do not exist",
        unit: |_, _| data(9_999, "Bidi", &vec![7; 60 * KB]),
        ..BASE
    },
    Attack {
        name: "stream-zero",
        class: "frames of stream 0",
        pace: 20_000,
        unit: |_, at| if at % 2 == 0 { header(0, "Bidi") } else { frame(META, 0, "", 1, 100, &[]) },
        ..BASE
    },
    Attack {
        name: "messages-not-taken",
        class: "slow consumers: messages that handlers do not take, on 4 connections",
        connections: 4,
        reads: false,
        unit: untaken_message,
        ..BASE
    },
    Attack {
        name: "dead-readers",
        class: "dead readers: 200 endless responses on 4 connections, nothing read",
        connections: 4,
        reads: false,
        unit: |_, at| opened(at, 50, || request(at + 1, ENDLESS)),
        ..BASE
    },
    Attack {
        name: "handlers",
        class: "70,000 handlers at once on 70 connections",
        connections: 70,
        pace: 18_000,
        unit: |_, at| opened(at, STREAMS, || request(at + 1, "idle")),
        ..BASE
    },
    Attack {
        name: "unread-calls",
        class: "ping-pong calls whose responses are not read",
        connections: 100,
        reads: false,
        pace: 2_000,
        unit: |_, at| call("Unary", id(at), &"x".repeat(16 * KB)),
        ..BASE
    },
    Attack {
        name: "empty-messages",
        class: "100,000 empty messages per second on one stream",
        unit: |_, at| match at {
            0 => header(1, "Up"),
            _ => data(1, "Up", &[0]).repeat(100),
        },
        ..BASE
    },
];

const BASE: Attack = Attack::BASE;

const RAPID_RESET: Attack = Attack {
    name: "rapid-reset",
    class: "200,000 streams opened and reset on one connection",
    pace: 33_000,
    most: 200_000,
    seconds: 7,
    unit: |_, at| [request(at + 1, "idle"), rst(at + 1)].concat(),
    ..BASE
};

/// Nothing once `most` streams are open.
fn opened(at: usize, most: usize, open: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    if at < most { open() } else { Vec::new() }
}

/// A byte at a time, of what the number of the connection says.
fn slow_frame(connection: usize, at: usize) -> Vec<u8> {
    const BEGIN: usize = 200;
    let (begin, rest): (fn() -> Vec<u8>, _) = match connection % 3 {
        0 => (|| headers_of(1, 1, 60_000), b'v'),
        1 => (|| [header(1, "Bidi"), data(1, "Bidi", &vec![0; MB])].concat(), 0),
        _ => (|| call("Unary", 1, &"x".repeat(60_000)), b'x'),
    };
    if at == 0 { begin()[..BEGIN].to_vec() } else { vec![rest] }
}

/// Most of a message of 15 MB, which never ends.
fn partial_frame(_: usize, at: usize) -> Vec<u8> {
    const CHUNK: usize = 60 * KB;
    const LEN: usize = 15_000_000;
    if at > 0 {
        return if at * CHUNK < LEN - CHUNK { vec![0; CHUNK] } else { Vec::new() };
    }
    let mut begin = data(1, "Up", &[]);
    let len = u32::try_from(begin.len() - 4 + LEN).unwrap_or(u32::MAX);
    begin.splice(..4, len.to_be_bytes());
    [header(1, "Up"), begin].concat()
}

/// A message of one byte that its handler does not take, in a buffer full of something else.
fn pinned_buffer(_: usize, at: usize) -> Vec<u8> {
    match at {
        0 => blocked_handlers(1),
        _ => [data(9_999, "Bidi", &vec![7; 60 * KB]), data(1, "Bidi", &[0])].concat(),
    }
}

/// A message for one of many handlers that take none.
fn untaken_message(_: usize, at: usize) -> Vec<u8> {
    const HANDLERS: usize = 64;
    match at {
        0 => blocked_handlers(HANDLERS),
        _ => data(at % HANDLERS + 1, "Bidi", &message(&"x".repeat(60 * KB), 0)),
    }
}

/// Streams whose handlers echo, behind others of the same connection that fill everything that may wait to be written.
fn blocked_handlers(count: usize) -> Vec<u8> {
    let endless = (0..4).flat_map(|at| request(count + 1 + at, ENDLESS));
    endless.chain((0..count).flat_map(|at| header(at + 1, "Bidi"))).collect()
}

fn made_to_reset(stream: usize) -> Vec<u8> {
    [header(stream, "Bidi"), frame(UNKNOWN, stream, "Bidi", 0, 0, &[])].concat()
}

fn request(stream: usize, words: &str) -> Vec<u8> {
    [header(stream, "Down"), data(stream, "Down", &message(words, 0))].concat()
}

fn header(stream: usize, method: &str) -> Vec<u8> {
    frame(HEADER, stream, method, 0, 0, &[])
}

fn headers_of(stream: usize, pairs: usize, bytes: usize) -> Vec<u8> {
    frame(HEADER, stream, "Bidi", pairs, bytes, &[])
}

fn data(stream: usize, method: &str, payload: &[u8]) -> Vec<u8> {
    frame(DATA, stream, method, 0, 0, payload)
}

fn trailer(stream: usize) -> Vec<u8> {
    frame(TRAILER, stream, "Down", 4, 60_000, &[])
}

fn rst(stream: usize) -> Vec<u8> {
    frame(RST, stream, "Down", 0, 0, &exception("Down", 0, "a cancel"))
}

/// A frame with so many pairs, each with a value of so many bytes.
fn frame(kind: &str, stream: usize, method: &str, pairs: usize, bytes: usize, payload: &[u8]) -> Vec<u8> {
    let mut raw = Raw::of_stream(kind, id(stream), method);
    if kind == HEADER {
        raw.strings.push(("isn".to_owned(), "Lab".to_owned()));
    }
    raw.strings.extend((0..pairs).map(|pair| (format!("k{pair}"), "v".repeat(bytes))));
    raw.payload = payload.to_vec();
    raw.encode()
}

/// Another name for each number.
fn long_name(at: usize, bytes: usize) -> String {
    format!("{at:0bytes$}")
}

fn id(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
