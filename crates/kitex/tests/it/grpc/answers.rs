//! Responses that break the rules of a method's mode, or of HTTP/2. Each is a clear error, and the next call works.

use kitex::bytes::Bytes;
use kitex::client::Transport;
use kitex::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::odd::{Answer, GRPC, MESSAGE, headers, response, serve};
use super::text;
use crate::fixture::{EchoClient, builder, req, soon};

fn client(address: &str) -> EchoClient {
    EchoClient::new(builder(address).transport(Transport::Grpc).build().unwrap())
}

const OK: &[(&str, &str)] = &[("grpc-status", "0")];

/// The response, and how it ends Unary and Up, each of which has one response.
const ANSWERS: &[(&str, Answer, &str, &str)] = &[
    (
        "trailers only, without an error",
        |mut respond| {
            respond.send_response(response(200, &[GRPC, OK[0]]), true).unwrap();
        },
        "remote or network error: EOF",
        "remote or network error: stream ended without a response",
    ),
    (
        "no message",
        |mut respond| {
            let mut send = respond.send_response(response(200, &[GRPC]), false).unwrap();
            send.send_trailers(headers(OK)).unwrap();
        },
        "remote or network error: EOF",
        "remote or network error: stream ended without a response",
    ),
    (
        "two messages",
        |mut respond| {
            let mut send = respond.send_response(response(200, &[GRPC]), false).unwrap();
            send.send_data(Bytes::from_static(RESULT), false).unwrap();
            send.send_data(Bytes::from_static(RESULT), false).unwrap();
            send.send_trailers(headers(OK)).unwrap();
        },
        "remote or network error: KITEX: grpc client streaming protocol violation: get <nil>, want <EOF>",
        "remote or network error: stream has a second response",
    ),
    (
        "an encoding that is not known",
        |mut respond| {
            let mut send =
                respond.send_response(response(200, &[GRPC, ("grpc-encoding", "snappy")]), false).unwrap();
            send.send_data(Bytes::from_static(MESSAGE), true).unwrap();
        },
        "remote or network error: rpc error: code = 13 desc = no kitex compressor registered found for:snappy",
        "rpc error: code = 13 desc = no kitex compressor registered found for:snappy",
    ),
    (
        "a compressed message without an encoding",
        |mut respond| {
            let mut send = respond.send_response(response(200, &[GRPC]), false).unwrap();
            send.send_data(Bytes::from_static(&[1, 0, 0, 0, 1, 0]), true).unwrap();
        },
        "remote or network error: rpc error: code = 13 desc = kitex compression algorithm not found",
        "rpc error: code = 13 desc = kitex compression algorithm not found",
    ),
    (
        "503 of a proxy",
        |mut respond| {
            respond.send_response(response(503, &[("content-type", "text/html")]), true).unwrap();
        },
        "remote or network error: rpc error: code = 14 desc = Service Unavailable: HTTP status code 503; transport: \
         received the unexpected content-type \"text/html\"",
        "rpc error: code = 14 desc = Service Unavailable: HTTP status code 503; transport: received the unexpected \
         content-type \"text/html\"",
    ),
];

/// A message that is an empty result of Unary: a struct whose field 0 is an empty struct.
const RESULT: &[u8] = &[0, 0, 0, 0, 5, 12, 0, 0, 0, 0];

#[tokio::test]
async fn responses_that_break_the_mode_of_a_method_are_clear_errors() {
    for (what, answer, unary, up) in ANSWERS {
        let client = client(&serve(*answer).await);
        let ctx = Context::background();
        assert_eq!(text(soon(client.unary(&ctx, req("", 0))).await), *unary, "{what}");
        let mut stream = client.up(&ctx).await.unwrap();
        assert_eq!(text(soon(stream.close_and_recv()).await), *up, "{what}");
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const PREFACE: usize = 24;
const HEADERS: u8 = 1;

/// A server that answers each connection with SETTINGS and then these bytes, once the request has come.
async fn raw(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                socket.write_all(&frame(4, 0, 0, b"")).await.unwrap();
                socket.read_exact(&mut [0; PREFACE]).await.unwrap();
                let mut head = [0; 9];
                while head[3] != HEADERS {
                    socket.read_exact(&mut head).await.unwrap();
                    let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                    socket.read_exact(&mut vec![0; usize::try_from(len).unwrap()]).await.unwrap();
                }
                socket.write_all(&bytes).await.unwrap();
                let mut rest = [0; 1000];
                while socket.read(&mut rest).await.is_ok_and(|len| len > 0) {}
            });
        }
    });
    address
}

#[tokio::test]
async fn responses_that_break_http2_are_clear_errors() {
    // `:status: 200`, then a literal header.
    let header = [&[0x88, 0, 12][..], b"content-type", &[16], b"application/grpc"].concat();
    let first = frame(1, 4, 1, &header);
    let message = frame(0, 0, 1, MESSAGE);
    let lost = "connection error: desc = \"error reading from server, remoteAddress=";
    let rows = [
        (
            "a second header",
            [&first[..], &message, &first].concat(),
            "rpc error: code = 13 desc = a HEADERS frame cannot appear in the middle of a stream",
        ),
        ("a message before the header", message.clone(), lost),
        ("a frame that is too long", [&first[..], &[0, 0x40, 1, 0, 0, 0, 0, 0, 1]].concat(), lost),
        ("what is no frame", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".to_vec(), lost),
        ("a stream that nobody opened", frame(1, 4, 2, &header), lost),
    ];
    for (what, bytes, expected) in rows {
        let client = client(&raw(bytes).await);
        let mut bidi = client.bidi(&Context::background()).await.unwrap();
        let ended: Result<_> = loop {
            match soon(bidi.recv()).await {
                Ok(Some(_)) => {}
                ended => break ended,
            }
        };
        let ended = text(ended);
        assert!(ended.starts_with(expected), "{what}: {ended}");
    }
}
