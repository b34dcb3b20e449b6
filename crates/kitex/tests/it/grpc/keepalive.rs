//! Keepalive, and how long a connection stays after a cancel.

use std::time::{Duration, Instant};

use kitex::client::{GrpcConfig, Transport};
use kitex::{Context, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::fixture::{EchoClient, Handlers, Peer, brief, builder, ended, reports, req, soon};

const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PING: u8 = 6;
const RST_STREAM: u8 = 3;

/// A server that sends its SETTINGS and then nothing. Returns its address, and the types of the frames that it reads.
async fn mute() -> (String, mpsc::Receiver<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, frames) = mpsc::channel(1000);
    tokio::spawn(async move {
        let mut socket = listener.accept().await.unwrap().0;
        socket.write_all(SETTINGS).await.unwrap();
        socket.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
        let mut head = [0; 9];
        while socket.read_exact(&mut head).await.is_ok() {
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            socket.read_exact(&mut vec![0; usize::try_from(len).unwrap()]).await.unwrap();
            sender.send(head[3]).await.unwrap();
        }
    });
    (address, frames)
}

fn fast() -> GrpcConfig {
    let config = GrpcConfig::default().keepalive_interval(Duration::from_millis(50));
    config.keepalive_timeout(Duration::from_millis(300))
}

#[tokio::test]
async fn keepalive_ends_the_streams_of_a_server_that_does_not_answer() {
    let (address, mut frames) = mute().await;
    let client = builder(&address).transport(Transport::Grpc).grpc(fast()).build().unwrap();
    let mut down = EchoClient::new(client).down(&Context::background(), req("", 0)).await.unwrap();
    let error = soon(down.recv()).await.unwrap_err();
    assert_eq!((brief(&error).as_str(), error.kind()), ("12006 client", ErrorKind::Connection), "{error}");
    let mut pings = 0;
    while let Some(frame) = soon(frames.recv()).await {
        pings += u32::from(frame == PING);
    }
    assert_eq!(pings, 1, "no second one before the answer to the first");
}

#[tokio::test]
async fn keepalive_is_off_by_default_and_sends_no_ping_without_a_stream() {
    for (config, has_stream) in [(GrpcConfig::default(), true), (fast(), false)] {
        let (address, mut frames) = mute().await;
        let client = builder(&address).transport(Transport::Grpc).grpc(config).build().unwrap();
        let client = EchoClient::new(client);
        let down = client.down(&Context::background(), req("", 0)).await.unwrap();
        let down = has_stream.then_some(down);
        let mut seen = Vec::new();
        while let Ok(frame) = tokio::time::timeout(Duration::from_millis(600), frames.recv()).await {
            seen.push(frame.expect("the connection stays open"));
        }
        assert!(seen.len() > 2 && !seen.contains(&PING), "{seen:?}");
        drop(down);
    }
}

#[tokio::test]
async fn keepalive_ends_the_streams_of_a_client_that_does_not_answer() {
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().bidi(move |_, mut stream| {
        let reporter = reporter.clone();
        async move {
            let result = stream.recv().await.map(drop);
            reporter.send(ended(&result));
            result
        }
    });
    let peer = Peer::with(handlers, |server| server.grpc(fast())).await;
    let socket = TcpStream::connect(&peer.address).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(socket).await.unwrap();
    let mut request = http::Request::post("http://ServiceB/Echo/Bidi").body(()).unwrap();
    request.headers_mut().insert("content-type", "application/grpc+thrift".parse().unwrap());
    let _stream = requests.send_request(request, false).unwrap();
    // It sends the request, and then reads no more.
    let mut connection = Box::pin(connection);
    let _ = tokio::time::timeout(Duration::from_millis(50), &mut connection).await;
    assert_eq!(reported.next().await, "12013 nowhere");
}

#[tokio::test]
async fn keepalive_leaves_idle_streams_of_a_peer_that_answers() {
    let peer = Peer::with(Handlers::default(), |server| server.grpc(fast())).await;
    let client = peer.client_with(|client| client.transport(Transport::Grpc).grpc(fast()));
    let mut bidi = client.bidi(&Context::background()).await.unwrap();
    for seq in 0..2 {
        bidi.send(&req("", seq)).await.unwrap();
        assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(seq));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// A Kitex server that reads the end of a connection may drop the reset before it.
#[tokio::test]
async fn a_dropped_client_keeps_its_connection_for_a_while_after_a_cancel() {
    let (address, mut frames) = mute().await;
    let client = builder(&address).transport(Transport::Grpc).build().unwrap();
    let client = EchoClient::new(client);
    let down = client.down(&Context::background(), req("", 0)).await.unwrap();
    // The request has been sent.
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop((down, client));
    while soon(frames.recv()).await.expect("a reset comes before the end") != RST_STREAM {}
    let reset = Instant::now();
    while soon(frames.recv()).await.is_some() {}
    // 250 ms, less what this task was late to see the reset.
    assert!(reset.elapsed() > Duration::from_millis(50), "{:?}", reset.elapsed());
}
