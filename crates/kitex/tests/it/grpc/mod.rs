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

use kitex::client::Transport;
use kitex::{Context, Result};

use crate::fixture::{EchoClient, Peer, req, soon};

pub(crate) const CANCELED_BY_A: &str = "rpc error: code = 1 desc = transport: RSTStream Frame received with error code: \
                             CANCEL [triggered by ServiceA]";

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
