//! Keepalive, and how long a connection stays after a cancel.

use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use kitex::bytes::BytesMut;
use kitex::client::{ClientBuilder, Connector, GrpcConfig, Transport};
use kitex::stream_core::io::{Io, ReadBuffer, write_all};
use kitex::{Context, ErrorKind};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::in_memory;
use crate::fixture::{EchoClient, Handlers, LONG, Peer, brief, builder, ended, reports, req, soon};

const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const RST_STREAM: u8 = 3;

/// Connects in memory, once.
#[derive(Debug)]
struct Once(Mutex<Option<Io>>);

impl Connector for Once {
    fn connect<'a>(
        &'a self,
        _: &'a str,
        _: Duration,
    ) -> Pin<Box<dyn Future<Output = io::Result<Io>> + Send + 'a>> {
        let io = self.0.lock().unwrap().take();
        Box::pin(async { io.ok_or_else(|| io::ErrorKind::NotConnected.into()) })
    }
}

/// A server in memory that sends its SETTINGS and then nothing. Returns what builds its client, and the types of the frames that
/// it reads.
fn mute() -> (ClientBuilder, mpsc::Receiver<u8>) {
    let (near, far) = Io::pair(64 * 1024);
    let (sender, frames) = mpsc::channel(1000);
    tokio::spawn(async move {
        write_all(&far, &mut BytesMut::from(SETTINGS), LONG).await.unwrap();
        let mut read = ReadBuffer::default();
        let mut preface = PREFACE.len();
        while let Ok(1..) = read.fill(&far).await {
            let bytes = read.bytes();
            let skipped = bytes.split_to(preface.min(bytes.len()));
            preface -= skipped.len();
            while let Some(&[high, middle, low, kind]) = bytes.first_chunk() {
                let len = HEAD + usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap();
                if bytes.len() < len {
                    break;
                }
                let _ = bytes.split_to(len);
                sender.send(kind).await.unwrap();
            }
        }
    });
    let client = builder("mute:1").connector(Once(Mutex::new(Some(near))));
    (client.transport(Transport::Grpc), frames)
}

fn fast() -> GrpcConfig {
    let config = GrpcConfig::default().keepalive_interval(Duration::from_millis(50));
    config.keepalive_timeout(Duration::from_millis(300))
}

#[tokio::test(start_paused = true)]
async fn keepalive_ends_the_streams_of_a_server_that_does_not_answer() {
    let (client, mut frames) = mute();
    let client = client.grpc(fast()).build().unwrap();
    let mut down = EchoClient::new(client).down(&Context::background(), req("", 0)).await.unwrap();
    let error = soon(down.recv()).await.unwrap_err();
    assert_eq!((brief(&error).as_str(), error.kind()), ("12006 client", ErrorKind::Connection), "{error}");
    let mut pings = 0;
    while let Some(frame) = soon(frames.recv()).await {
        pings += u32::from(frame == PING);
    }
    assert_eq!(pings, 1, "no second one before the answer to the first");
}

#[tokio::test(start_paused = true)]
async fn keepalive_is_off_by_default_and_sends_no_ping_without_a_stream() {
    for (config, has_stream) in [(GrpcConfig::default(), true), (fast(), false)] {
        let (client, mut frames) = mute();
        let client = EchoClient::new(client.grpc(config).build().unwrap());
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

#[tokio::test(start_paused = true)]
async fn keepalive_leaves_idle_streams_of_a_peer_that_answers() {
    let (_server, client) = in_memory(Handlers::default(), |server| server.grpc(fast()));
    let client = EchoClient::new(client().grpc(fast()).build().unwrap());
    let mut bidi = client.bidi(&Context::background()).await.unwrap();
    for seq in 0..2 {
        bidi.send(&req("", seq)).await.unwrap();
        assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(seq));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// A Kitex server that reads the end of a connection may drop the reset before it.
#[tokio::test(start_paused = true)]
async fn a_dropped_client_keeps_its_connection_for_a_while_after_a_cancel() {
    let (client, mut frames) = mute();
    let client = EchoClient::new(client.build().unwrap());
    let down = client.down(&Context::background(), req("", 0)).await.unwrap();
    while soon(frames.recv()).await.expect("a request comes") != HEADERS {}
    drop((down, client));
    while soon(frames.recv()).await.expect("a reset comes before the end") != RST_STREAM {}
    let reset = Instant::now();
    while soon(frames.recv()).await.is_some() {}
    assert!(reset.elapsed() >= Duration::from_millis(250), "{:?}", reset.elapsed());
}
