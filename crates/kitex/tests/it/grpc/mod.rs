//! Tests of gRPC. Tests of both transports are in the other files.

mod answers;
mod compression;
mod crossing;
mod ends;
mod errors;
mod floods;
mod keepalive;
mod limits;
mod odd;

use kitex::client::{ClientBuilder, PoolKind, Transport};
use kitex::server::ServerBuilder;
use kitex::testing::{Network, TestServer};
use kitex::{Context, Result, Server};

use crate::fixture::echo::EchoServer;
use crate::fixture::{EchoClient, Handlers, Peer, req, soon};

pub(crate) const CANCELED_BY_A: &str = "rpc error: code = 1 desc = transport: RSTStream Frame received with error code: \
                             CANCEL [triggered by ServiceA]";

/// Serves in memory, for tests on a paused clock. Returns the server and what builds a client of it for ServiceA.
pub(crate) fn in_memory(
    handlers: Handlers,
    change: impl FnOnce(ServerBuilder) -> ServerBuilder,
) -> (TestServer, impl Fn() -> ClientBuilder) {
    let network = Network::new();
    let server = change(Server::builder("ServiceB").service(EchoServer::new(handlers)));
    let server = network.serve(server).expect("a server that makes sense");
    let client = move || {
        let client = network.client("ServiceB").caller("ServiceA");
        client.pool(PoolKind::Mux(1)).transport(Transport::Grpc)
    };
    (server, client)
}

pub(crate) fn client(peer: &Peer) -> EchoClient {
    peer.client_with(|client| client.transport(Transport::Grpc))
}

pub(crate) fn text<T>(result: Result<T>) -> String {
    result.err().map_or_else(|| "ok".to_owned(), |error| error.to_string())
}

/// Reads a stream to its end.
pub(crate) async fn drain(client: &EchoClient, seq: i64) -> (usize, Result<()>) {
    let mut count = 0;
    let mut down = match client.down(&Context::background(), req("", seq)).await {
        Ok(down) => down,
        Err(error) => return (count, Err(error)),
    };
    loop {
        match soon(down.recv()).await {
            Ok(Some(_)) => count += 1,
            Ok(None) => return (count, Ok(())),
            Err(error) => return (count, Err(error)),
        }
    }
}
