//! Limits of handshakes: their time and their number.

use std::time::Duration;

use kitex::Context;
use kitex::client::Transport;
use kitex::tls::ServerTls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::certificates::Authority;
use super::{HOST, KINDS, Kind, TRANSPORTS, call, client, text};
use crate::fixture::{Handlers, LONG, Peer, builder, soon};

/// The beginning of a ClientHello of 512 bytes.
const BEGUN: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc];

/// Returns whether the peer closes the connection before the test ends, by an end or a reset.
async fn is_closed(socket: &mut TcpStream) -> bool {
    let mut read = Vec::new();
    let _ = soon(socket.read_to_end(&mut read)).await;
    true
}

#[tokio::test]
async fn handshake_timeout_closes_a_connection_in_any_state_of_its_handshake() {
    let authority = Authority::new("trusted");
    let tls = ServerTls::builder(authority.identity(&[HOST])).build().unwrap();
    // The preface timeout would close a connection too, much later.
    let peer = Peer::with(Handlers::default(), |server| {
        server.tls(tls).handshake_timeout(Duration::from_millis(100)).preface_timeout(LONG * 10)
    });
    let peer = peer.await;
    for begun in [&b""[..], &[0x16], BEGUN] {
        let mut socket = TcpStream::connect(&peer.address).await.unwrap();
        socket.write_all(begun).await.unwrap();
        assert!(is_closed(&mut socket).await, "{begun:?}");
    }
    // One byte now and then does not prolong it.
    let mut socket = TcpStream::connect(&peer.address).await.unwrap();
    soon(async {
        for byte in BEGUN.iter().chain([0; 512].iter()) {
            if socket.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the connection is open after five seconds");
    })
    .await;
}

#[tokio::test]
async fn preface_timeout_begins_after_the_handshake() {
    let authority = Authority::new("trusted");
    let tls = ServerTls::builder(authority.identity(&[HOST])).build().unwrap();
    let peer =
        Peer::with(Handlers::default(), |server| server.tls(tls).preface_timeout(Duration::from_millis(100)));
    let peer = peer.await;
    let tls = kitex::tls::ClientTls::builder(authority.roots()).build().unwrap();
    let connector = tls.connector(std::sync::Arc::new(kitex::client::SystemConnector), &[]);
    let io = kitex::client::Connector::connect(&connector, &peer.address, LONG);
    let io = soon(io).await.unwrap();
    let mut buffer = kitex::stream_core::io::ReadBuffer::default();
    assert!(matches!(soon(buffer.fill(&io)).await, Ok(0)), "closed with close_notify");
}

#[tokio::test]
async fn max_handshakes_closes_the_newest_and_leaves_established_connections_alone() {
    let authority = Authority::new("trusted");
    let tls = ServerTls::builder(authority.identity(&[HOST])).build().unwrap();
    let peer = Peer::with(Handlers::default(), |server| {
        server.tls(tls).max_handshakes(2).handshake_timeout(LONG * 10)
    });
    let peer = peer.await;
    let tls = kitex::tls::ClientTls::builder(authority.roots()).build().unwrap();
    let established = client(&peer, Transport::TtHeader, &tls);
    call(&established, Kind::Stream).await.unwrap();

    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut socket = TcpStream::connect(&peer.address).await.unwrap();
        socket.write_all(BEGUN).await.unwrap();
        slow.push(socket);
    }
    let refused = async || {
        let ended = call(&client(&peer, Transport::TtHeader, &tls), Kind::Stream).await;
        text(&ended).contains("closed the connection during the handshake")
    };
    // It takes a moment until both have been accepted.
    soon(async {
        while !refused().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(refused().await);
    call(&established, Kind::Stream).await.unwrap();

    drop(slow);
    soon(async {
        while refused().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn connect_timeout_bounds_a_handshake() {
    let authority = Authority::new("trusted");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tls = kitex::tls::ClientTls::builder(authority.roots()).build().unwrap();
    for transport in TRANSPORTS {
        for kind in KINDS {
            let client = builder(&address).transport(transport).tls(tls.clone());
            let client = client.connect_timeout(Duration::from_millis(50)).build().unwrap();
            let found = text(&call(&crate::fixture::EchoClient::new(client), kind).await);
            assert!(found.contains("no answer within 50ms"), "{transport:?}, {kind:?}: {found}");
        }
    }
    // A deadline that is earlier ends the call, not the dial.
    let client =
        crate::fixture::EchoClient::new(builder(&address).tls(tls).connect_timeout(LONG).build().unwrap());
    let ctx = Context::background().with_timeout(Duration::from_millis(50));
    let ended = soon(client.bidi(&ctx)).await.map(drop);
    assert_eq!(crate::fixture::ended(&ended), "12015 client");
}

#[tokio::test]
async fn graceful_shutdown_closes_connections_in_a_handshake() {
    let authority = Authority::new("trusted");
    let tls = ServerTls::builder(authority.identity(&[HOST])).build().unwrap();
    let peer = Peer::with(Handlers::default(), |server| {
        server.tls(tls).handshake_timeout(LONG * 10).exit_wait(LONG * 10)
    });
    let peer = peer.await;
    let mut socket = TcpStream::connect(&peer.address).await.unwrap();
    socket.write_all(BEGUN).await.unwrap();
    let tls = kitex::tls::ClientTls::builder(authority.roots()).build().unwrap();
    // Accepted after the other.
    call(&client(&peer, Transport::TtHeader, &tls), Kind::Stream).await.unwrap();
    peer.shut_down().await;
    assert!(is_closed(&mut socket).await);
}
