//! gzip: what a server does for a client that asks for it, and for one that does not; a message that becomes too
//! large.

use std::io::Write;

use http::{HeaderMap, Request};
use kitex::Context;
use kitex::bytes::Bytes;
use kitex::client::{Compression, Transport};
use kitex::server::GrpcConfig;
use tokio::net::TcpStream;

use super::text;
use crate::fixture::{EchoClient, Handlers, Peer, large, req, soon};

type Pairs<'a> = &'a [(&'static str, &'static str)];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A message with the flag `flag`.
fn message(flag: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[flag], &len[..], payload].concat()
}

/// A request of Echo, `payload` long.
fn payload(len: usize) -> Vec<u8> {
    use kitex::kitex_thrift::Payload;
    let mut buf = kitex::bytes::BytesMut::new();
    large(len).encode(&mut buf).unwrap();
    buf.to_vec()
}

/// What the first message of a Bidi was answered with: `grpc-encoding`, the flag and the length; or the status.
async fn ask(address: &str, headers: Pairs<'_>, body: Vec<u8>) -> String {
    let socket = TcpStream::connect(address).await.unwrap();
    let (mut requests, connection) = h2::client::Builder::new()
        .initial_window_size(1 << 24)
        .initial_connection_window_size(1 << 24)
        .handshake::<_, Bytes>(socket)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut request = Request::post("http://ServiceB/Echo/Bidi").body(()).unwrap();
    let fixed = [("content-type", "application/grpc+thrift")];
    let pairs =
        fixed.iter().chain(headers).map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    *request.headers_mut() = pairs.collect();
    let (response, mut send) = requests.send_request(request, false).unwrap();
    send.send_data(body.into(), true).unwrap();
    let response = soon(response).await.unwrap();
    let value = |headers: &HeaderMap, name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let status = |headers: &HeaderMap| {
        format!("{:?} {:?}", value(headers, "grpc-status"), value(headers, "grpc-message"))
    };
    if response.body().is_end_stream() {
        return status(response.headers());
    }
    let encoding = value(response.headers(), "grpc-encoding");
    let mut body = response.into_body();
    let mut read = Vec::new();
    while let Some(chunk) = soon(body.data()).await {
        read.extend_from_slice(&chunk.unwrap());
    }
    let Some(&[flag, a, b, c, d]) = read.first_chunk::<5>() else {
        return status(&soon(body.trailers()).await.unwrap().unwrap());
    };
    let is_short = u32::from_be_bytes([a, b, c, d]) < 1000;
    format!("{encoding:?} flag {flag} {}", if is_short { "short" } else { "long" })
}

const GZIP: (&str, &str) = ("grpc-encoding", "gzip");

#[tokio::test]
async fn a_server_compresses_only_for_a_client_that_does_and_accepts_it() {
    let peer = Peer::with(Handlers::default(), |server| {
        server.grpc(GrpcConfig::default().max_message_size(1 << 20))
    })
    .await;
    let plain = || message(0, &payload(100_000));
    let packed = || message(1, &gzip(&payload(100_000)));
    let accept = |list| ("grpc-accept-encoding", list);
    let rows: [(Pairs<'_>, Vec<u8>, &str); 9] = [
        (&[GZIP, accept("gzip")], packed(), "Some(\"gzip\") flag 1 short"),
        (&[GZIP, accept("identity, gzip")], packed(), "Some(\"gzip\") flag 1 short"),
        (&[GZIP, accept("gzip")], plain(), "Some(\"gzip\") flag 1 short"),
        (&[GZIP], packed(), "None flag 0 long"),
        (&[accept("gzip")], plain(), "None flag 0 long"),
        (&[], packed(), "Some(\"13\") Some(\"kitex compression algorithm not found [biz error]\")"),
        (
            &[("grpc-encoding", "snappy")],
            plain(),
            "Some(\"12\") Some(\"no kitex compressor registered found for:snappy\")",
        ),
        (
            &[GZIP],
            message(1, &gzip(&vec![0; 64 << 20])),
            "Some(\"8\") Some(\"received message after decompression larger than max 1048576 [biz error]\")",
        ),
        (
            &[GZIP],
            message(1, b"this is no gzip at all"),
            "Some(\"13\") Some(\"cannot decompress message: invalid gzip header [biz error]\")",
        ),
    ];
    for (headers, body, expected) in rows {
        assert_eq!(ask(&peer.address, headers, body).await, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn compression_of_a_client_holds_in_both_directions_of_each_mode() {
    let peer = Peer::start(Handlers::default()).await;
    let config = GrpcConfig::default().compression(Some(Compression::Gzip));
    let client: EchoClient = peer.client_with(|client| client.transport(Transport::Grpc).grpc(config));
    let ctx = Context::background();
    let sent = large(300_000);
    assert_eq!(soon(client.ping(&ctx, sent.clone())).await.unwrap().payload, sent.payload);
    assert_eq!(soon(client.unary(&ctx, sent.clone())).await.unwrap().payload, sent.payload);
    let mut bidi = client.bidi(&ctx).await.unwrap();
    for _ in 0..3 {
        soon(bidi.send(&sent)).await.unwrap();
        assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().payload, sent.payload);
    }
    bidi.close_send();
    assert_eq!(soon(bidi.recv()).await.unwrap(), None);
    let mut down = client.down(&ctx, req("", 3)).await.unwrap();
    for _ in 0..3 {
        assert!(soon(down.recv()).await.unwrap().is_some());
    }
    assert_eq!(soon(down.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn a_message_that_becomes_too_large_ends_a_clients_stream_and_no_other() {
    let zeros = Bytes::from(vec![0; 4 << 20]);
    let peer = Peer::start(Handlers::default().bidi(move |_, stream| {
        let payload = Some(zeros.clone());
        async move { stream.send(&crate::fixture::Resp { payload, ..crate::fixture::resp("", 0) }).await }
    }))
    .await;
    let config = GrpcConfig::default().compression(Some(Compression::Gzip)).max_message_size(1 << 20);
    let client: EchoClient = peer.client_with(|client| client.transport(Transport::Grpc).grpc(config));
    let mut bidi = client.bidi(&Context::background()).await.unwrap();
    let expected = "rpc error: code = 8 desc = received message after decompression larger than max 1048576";
    for _ in 0..2 {
        assert_eq!(text(soon(bidi.recv()).await), expected);
    }
    soon(client.ping(&Context::background(), req("", 0))).await.unwrap();
}
