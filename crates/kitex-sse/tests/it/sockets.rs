//! Over sockets, with axum: each way in which a browser goes away ends the call.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::Response;
use kitex_sse::{Sse, SseBody, set_lost_peer_timeout};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::generated::echo::MirrorClient;
use crate::{Lab, assert_disconnected, respond};

async fn words(State((client, words)): State<(MirrorClient, &'static str)>) -> Response<SseBody> {
    respond(client, Sse::new(), words.to_owned()).await
}

/// Serves a path that streams `said`, and asks it.
async fn ask(lab: &Lab, said: &'static str) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let router = Router::new().route("/", get(words)).with_state((lab.client.clone(), said));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut socket = TcpStream::connect(address).await.expect("connects");
    socket.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("written");
    socket
}

async fn read_until(socket: &mut TcpStream, text: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let mut chunk = [0; 1024];
        let len = socket.read(&mut chunk).await.expect("readable");
        assert!(len > 0, "ended after {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&chunk[..len]);
    }
}

#[tokio::test]
async fn a_closed_connection_cancels_the_call() {
    for (said, comes, reset) in
        [("wait", "", false), ("wait", "", true), ("a wait", "data: a", false), ("a wait", "data: a", true)]
    {
        let mut lab = Lab::new();
        let mut socket = ask(&lab, said).await;
        if comes.is_empty() {
            let waits = tokio::time::timeout(Duration::from_secs(60), lab.waits.notified());
            waits.await.expect("the handler waits");
        } else {
            read_until(&mut socket, comes).await;
        }
        if reset {
            SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("set");
        }
        drop(socket);
        assert_disconnected(&lab.ended().await);
    }
}

#[tokio::test]
async fn a_reader_that_stops_reading_can_still_be_canceled() {
    let mut lab = Lab::new();
    let mut socket = ask(&lab, "flood").await;
    read_until(&mut socket, "data: x").await;
    let sent = || lab.sent.load(std::sync::atomic::Ordering::SeqCst);
    let mut before = u64::MAX;
    while before != sent() {
        before = sent();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    drop(socket);
    assert_disconnected(&lab.ended().await);
}

#[tokio::test]
async fn set_lost_peer_timeout_sets_the_option() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let socket = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connects");
    set_lost_peer_timeout(&socket, Duration::from_secs(9)).expect("set");
    if cfg!(target_os = "linux") {
        assert_eq!(SockRef::from(&socket).tcp_user_timeout().expect("read"), Some(Duration::from_secs(9)));
    }
}
