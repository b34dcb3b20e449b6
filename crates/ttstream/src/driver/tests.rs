//! Connections over in-memory streams, on a paused clock: timeouts to the millisecond, and backpressure of
//! pipes that are smaller than a message.

use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use kerrors::{Code, Side, StreamError};
use stream_core::MemoryBudget;
use tokio::time::Instant;
use ttheader_codec::{FrameType, Head, encode_header, key};

use super::read::{Reader, Wake};
use super::{Link, SocketConfig, read_loop, start};
use crate::Message;
use crate::Metadata;
use crate::cancel::Scope;
use crate::io::Io;
use crate::proto::{Config, Connection, Finish, Method, Open, StreamKey};

const IDLE: Duration = Duration::from_secs(60);
const NEVER: Duration = Duration::from_secs(86_400);

type Opened = Arc<Mutex<Vec<StreamKey>>>;

/// Returns a connection that reads and writes, and the streams that its peer opens.
fn connection(side: Side, io: Io, idle: Duration) -> (Arc<Link>, Opened) {
    let memory = MemoryBudget::unlimited();
    let link = start(Connection::new(side, Config::default()), io, SocketConfig::default(), idle, memory);
    let opened = Opened::default();
    let keys = opened.clone();
    tokio::spawn(read_loop(link.clone(), BytesMut::new(), move |key| keys.lock().unwrap().push(key)));
    (link, opened)
}

async fn open(link: &Link) -> StreamKey {
    let (method, metadata, service) = (Arc::new(Method::new("M").unwrap()), Metadata::new(), "A".into());
    let open = Open {
        method: &method,
        metadata: &metadata,
        service: &service,
        deadline: None,
        wire_deadline: None,
        recv_timeout: None,
    };
    poll_fn(|cx| link.poll_open(cx, &open)).await.unwrap()
}

async fn send(link: &Link, key: StreamKey, message: &[u8]) {
    poll_fn(|cx| link.poll_send(cx, key, &Message::Borrowed(message))).await.unwrap();
}

async fn closed_after(link: &Link) -> Duration {
    let began = Instant::now();
    link.closed().await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn backpressure_longer_than_the_write_timeout_ends_the_connection() {
    let (io, _peer) = Io::pair(1024);
    let (link, _) = connection(Side::Client, io, NEVER);
    let key = open(&link).await;
    send(&link, key, &[0; 4096]).await;
    let took = closed_after(&link).await;
    assert_eq!(took.as_secs(), SocketConfig::default().write_timeout.as_secs());
    let outcome = link.lock(|state| state.connection.outcome(key)).unwrap().unwrap_err();
    assert_eq!(outcome.stream().map(StreamError::code), Some(Code::TRANSPORT_CLOSING));
}

/// The rest of a frame comes in time or never, while this end does not run for longer than a frame may take.
#[tokio::test(start_paused = true)]
async fn a_frame_is_slow_only_if_no_more_of_it_waits_to_be_read() {
    for is_complete in [true, false] {
        let (io, peer) = Io::pair(1024);
        let memory = MemoryBudget::unlimited();
        let connection = Connection::new(Side::Server, Config::default());
        let link = start(connection, io, SocketConfig::default(), NEVER, memory);
        let (mut reader, mut opened) = (Reader::new(link.clone(), BytesMut::new()), 0);
        let mut frame = BytesMut::new();
        let ints = [(key::FRAME_TYPE, FrameType::Header.as_bytes()), (key::TO_METHOD, &b"M"[..])];
        encode_header(&mut frame, Head::streaming(1), [], ints, 0).unwrap();
        let (begun, rest) = frame.split_at(frame.len() / 2);
        peer.try_write_vectored(&[IoSlice::new(begun)]).unwrap();
        let wake = poll_fn(|cx| reader.poll(cx)).await;
        assert!(reader.handle(wake, &mut |_| opened += 1).await);
        if is_complete {
            peer.try_write_vectored(&[IoSlice::new(rest)]).unwrap();
        }
        tokio::time::advance(Duration::from_secs(20)).await;
        // The timer is seen first.
        reader.handle(Wake::Timer, &mut |_| opened += 1).await;
        let wake = poll_fn(|cx| reader.poll(cx)).await;
        assert_eq!(reader.handle(wake, &mut |_| opened += 1).await, is_complete);
        assert_eq!(opened, usize::from(is_complete));
    }
}

#[tokio::test(start_paused = true)]
async fn idle_timeout_closes_a_connection_without_streams() {
    let (io, peer) = Io::pair(1024);
    let (link, _) = connection(Side::Client, io, IDLE);
    let (server, _) = connection(Side::Server, peer, NEVER);
    assert_eq!(closed_after(&link).await.as_secs(), IDLE.as_secs());
    assert_eq!(closed_after(&server).await, Duration::ZERO, "the peer has closed");
}

#[tokio::test(start_paused = true)]
async fn backpressure_of_small_pipes_keeps_messages_whole_and_in_order() {
    for capacity in [1, 7, 64 * 1024] {
        let (io, peer) = Io::pair(capacity);
        let (client, _) = connection(Side::Client, io, NEVER);
        let (server, opened) = connection(Side::Server, peer, NEVER);
        let key = open(&client).await;
        let lens = [0, 1, 5_000, 40_000];
        for len in lens {
            send(&client, key, &vec![7; len]).await;
        }
        client.update_connection(|connection| connection.close_send(key));
        while opened.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (handler, scope) = (opened.lock().unwrap()[0], Scope::new());
        server.begin(handler, &scope);
        let mut received = Vec::new();
        while let Some(message) = poll_fn(|cx| server.poll_recv(cx, handler, None)).await.unwrap() {
            assert!(message.iter().all(|byte| *byte == 7));
            received.push(message.len());
        }
        assert_eq!(received, lens, "capacity {capacity}");
        send(&server, handler, b"answer").await;
        server.finish(handler, &Finish::default(), &scope);
        let answer = poll_fn(|cx| client.poll_recv(cx, key, None)).await.unwrap();
        assert_eq!(answer.as_deref(), Some(&b"answer"[..]));
        assert_eq!(poll_fn(|cx| client.poll_recv(cx, key, None)).await.unwrap(), None);
    }
}
