//! Clients that send what costs them little and a server much. Each is held or closed, and harms no other connection.

use std::time::Duration;

use kitex::Context;
use kitex::server::GrpcConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client;
use crate::fixture::{Handlers, Peer, answer, reports, req, soon, until_canceled};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
const MB: usize = 1024 * 1024;

/// What becomes of the client.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// It reads no answers, so it is not read either: no answer piles up.
    Held,
    Closed,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What a client sends: first something, then something again and again.
fn floods() -> Vec<(&'static str, Vec<u8>, Vec<u8>, Fate)> {
    // A block of headers that never ends: a literal of 100 bytes, not indexed.
    let header = [&[0x00, 1, b'x', 100][..], &[b'v'; 100]].concat();
    vec![
        ("pings", Vec::new(), frame(6, 0, 0, &[7; 8]), Fate::Held),
        ("settings", Vec::new(), frame(4, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]), Fate::Held),
        ("empty CONTINUATION", frame(1, 0, 1, &header), frame(9, 0, 1, b""), Fate::Closed),
        ("CONTINUATION", frame(1, 0, 1, &header), frame(9, 0, 1, &header.repeat(100)), Fate::Closed),
        ("DATA of no stream", Vec::new(), frame(0, 0, 1, b"x"), Fate::Closed),
    ]
}

/// A literal that is kept in no table; lengths of one byte, without Huffman's code.
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// A block of headers as one frame.
fn block(flags: u8, stream: u32, fields: &[u8]) -> Vec<u8> {
    const END_HEADERS: u8 = 4;
    frame(1, END_HEADERS | flags, stream, fields)
}

/// The request of a stream of `Echo`.
fn opened(stream: u32, method: &str) -> Vec<u8> {
    let path = field(":path", &format!("/Echo/{method}"));
    let (authority, kind) =
        (field(":authority", "ServiceB"), field("content-type", "application/grpc+thrift"));
    block(0, stream, &[&[0x83, 0x86][..], &path, &authority, &kind].concat())
}

fn reset(stream: u32, code: u8) -> Vec<u8> {
    frame(3, 0, stream, &[0, 0, 0, code])
}

/// A stream of `Bidi` that is reset at once: the server reads both at the same time.
fn opened_and_reset(stream: u32) -> Vec<u8> {
    const CANCEL: u8 = 8;
    [opened(stream, "Bidi"), reset(stream, CANCEL)].concat()
}

/// A reset is counted wherever it is seen: here as the stream is accepted.
#[tokio::test]
async fn streams_that_are_reset_before_they_are_accepted_count_as_resets() {
    const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 11];
    // A burst of 100; h2 has no limit below 1,024 of its own.
    let limits = GrpcConfig::default().max_resets_per_second(10);
    let peer = Peer::with(Handlers::default(), |server| server.grpc(limits)).await;
    let mut other = client(&peer).bidi(&Context::background()).await.unwrap();
    for (streams, is_closed) in [(90, false), (200, true)] {
        let mut socket = TcpStream::connect(&peer.address).await.unwrap();
        let flood: Vec<u8> = (0..streams).flat_map(|at| opened_and_reset(2 * at + 1)).collect();
        // A PING is answered after all of that.
        let sent = [PREFACE, &flood, &frame(6, 0, 0, b"the last")].concat();
        socket.write_all(&sent).await.unwrap();
        let mut seen = Vec::new();
        let has = |seen: &[u8], part: &[u8]| seen.windows(part.len()).any(|window| window == part);
        let last = if is_closed { &ENHANCE_YOUR_CALM[..] } else { b"the last" };
        let read = async {
            while !has(&seen, last) && socket.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {}
        };
        soon(read).await;
        let goaway = has(&seen, &ENHANCE_YOUR_CALM);
        assert_eq!(goaway, is_closed, "{streams}: {seen:?}");
        other.send(&req("", 7)).await.unwrap();
        assert_eq!(soon(other.recv()).await.unwrap().unwrap().seq, Some(7), "{streams}");
    }
}

#[tokio::test]
async fn floods_of_small_frames_are_held_or_end_their_own_connection_alone() {
    let peer = Peer::start(Handlers::default()).await;
    let client = client(&peer);
    let mut other = client.bidi(&Context::background()).await.unwrap();
    for (what, first, again, fate) in floods() {
        let mut socket = TcpStream::connect(&peer.address).await.unwrap();
        socket.write_all(&[PREFACE, &first].concat()).await.unwrap();
        let flood = again.repeat(10_000);
        let mut sent = 0;
        let seen = loop {
            match tokio::time::timeout(Duration::from_secs(2), socket.write_all(&flood)).await {
                Ok(Ok(())) => sent += flood.len(),
                Ok(Err(_)) => break Fate::Closed,
                Err(_) => break Fate::Held,
            }
            // Buffers of the system take a few.
            assert!(sent < 256 * MB, "{what}: everything is read");
        };
        assert_eq!(seen, fate, "{what}");
        other.send(&req("", 7)).await.unwrap();
        assert_eq!(soon(other.recv()).await.unwrap().unwrap().seq, Some(7), "{what}");
        let _ = tokio::time::timeout(Duration::from_millis(10), socket.read(&mut [0; 64])).await;
    }
}

/// Reads until `part` has come.
async fn read_to(socket: &mut TcpStream, seen: &mut Vec<u8>, part: &[u8], what: &str) {
    let has = |seen: &[u8]| seen.windows(part.len()).any(|window| window == part);
    let read = async { while !has(seen) && socket.read_buf(seen).await.is_ok_and(|read| read > 0) {} };
    soon(read).await;
    assert!(has(seen), "{what}: {seen:?}");
}

/// Trailers of a request are not of gRPC, and no window bounds them: they end their stream, whatever its handler has taken.
#[tokio::test]
async fn trailers_of_a_request_end_its_stream_alone() {
    const PROTOCOL_ERROR: u8 = 1;
    const END_STREAM: u8 = 1;
    let (reporter, mut reports) = reports();
    let down = reporter.clone();
    let handlers = Handlers::default()
        .bidi(move |ctx, mut stream| {
            let reporter = reporter.clone();
            async move {
                if let Some(req) = stream.recv().await? {
                    stream.send(&answer(req)).await?;
                }
                until_canceled(ctx, reporter).await
            }
        })
        .down(move |ctx, _, _| until_canceled(ctx, down.clone()));
    let peer = Peer::start(handlers).await;
    let (mut socket, mut seen) = (TcpStream::connect(&peer.address).await.unwrap(), Vec::new());
    socket.write_all(PREFACE).await.unwrap();
    // An empty struct.
    let message = |stream| frame(0, 0, stream, &[0, 0, 0, 0, 1, 0]);
    // What becomes of the messages before the trailers, the method, and their number.
    let rows = [
        ("a message that is taken", "Bidi", 1),
        ("messages that are not taken", "Bidi", 20),
        ("a handler that takes no further message", "Down", 1),
    ];
    for ((what, method, messages), stream) in rows.into_iter().zip([1, 3, 5]) {
        socket.write_all(&[opened(stream, method), message(stream).repeat(messages)].concat()).await.unwrap();
        assert_eq!(reports.next().await, "begun", "{what}");
        socket.write_all(&block(END_STREAM, stream, &field("k", "v"))).await.unwrap();
        read_to(&mut socket, &mut seen, &reset(stream, PROTOCOL_ERROR), what).await;
        assert_eq!(reports.next().await, "canceled", "{what}");
    }
    // The connection takes further streams.
    socket.write_all(&[opened(7, "Bidi"), message(7)].concat()).await.unwrap();
    assert_eq!(reports.next().await, "begun");
}
