//! Clients that send what costs them little and a server much. Each is held or closed, and harms no other connection.

use std::time::Duration;

use kitex::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client;
use crate::fixture::{Handlers, Peer, req, soon};

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
