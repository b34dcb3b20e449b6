//! Graceful shutdown: what runs may end in its time and loses nothing, what is new is refused, what is left
//! is told why; then the connections are closed and the address is free.

use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use kitex::{Context, Error, Server};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use ttheader_codec::FrameType::{Data, Header, Rst};
use ttheader_codec::key;

use crate::fixture::chain::idle;
use crate::fixture::echo::EchoServer;
use crate::fixture::{
    EchoClient, Handlers, LONG, Nobody, Peer, Wire, brief, builder, ended, reports, req, resp, soon, until,
};

/// So long that a test which waits for it fails.
const NEVER: Duration = Duration::from_secs(3600);

/// A server with this exit wait, on an address that nobody else gets.
async fn serve(handlers: Handlers, wait: Duration) -> (Peer, Nobody) {
    let nobody = Nobody::new();
    let server = Server::builder("ServiceB").service(EchoServer::new(handlers)).exit_wait(wait);
    (Peer::bind(server, &nobody.address).await, nobody)
}

/// Waits until the server refuses new streams.
async fn draining(client: &EchoClient) {
    soon(async {
        loop {
            let mut bidi = client.bidi(&Context::background()).await.unwrap();
            match bidi.recv().now_or_later(&bidi_probe(&bidi).await).await {
                end if end == "12903 client" => return,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await;
}
