//! TLS under streams and ping-pong calls of both transports. Certificates are made by each test.

mod certificates;
mod handshakes;
mod limits;
mod reload;
mod streams;

use kitex::client::Transport;
use kitex::tls::{ClientTls, ServerTls};
use kitex::{Context, Error, Result};

use self::certificates::Authority;
use crate::fixture::{EchoClient, Handlers, Peer, req, soon};

/// The host of the addresses on which tests listen.
const HOST: &str = "127.0.0.1";

const TRANSPORTS: [Transport; 2] = [Transport::TtHeader, Transport::Grpc];

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Stream,
    PingPong,
}

const KINDS: [Kind; 2] = [Kind::Stream, Kind::PingPong];

/// Makes a call that succeeds, if its connection does.
async fn call(client: &EchoClient, kind: Kind) -> Result<()> {
    let ctx = Context::background();
    match kind {
        Kind::Stream => {
            let mut down = soon(client.down(&ctx, req("", 3))).await?;
            for seq in 0..3 {
                assert_eq!(soon(down.recv()).await?.unwrap().seq, Some(seq));
            }
            assert_eq!(soon(down.recv()).await?, None);
        }
        Kind::PingPong => assert_eq!(soon(client.unary(&ctx, req("", 7))).await?.seq, Some(7)),
    }
    Ok(())
}

/// The text of how a call ended.
fn text(result: &Result<()>) -> String {
    result.as_ref().err().map_or_else(|| "ok".to_owned(), Error::to_string)
}

/// A server with a certificate of `authority` for the loopback address, and the TLS of clients that trust it.
async fn serve(authority: &Authority, handlers: Handlers) -> (Peer, ClientTls) {
    let tls = ServerTls::builder(authority.identity(&[HOST])).build().unwrap();
    let peer = Peer::with(handlers, |server| server.tls(tls)).await;
    (peer, ClientTls::builder(authority.roots()).build().unwrap())
}

fn client(peer: &Peer, transport: Transport, tls: &ClientTls) -> EchoClient {
    peer.client_with(|client| client.transport(transport).tls(tls.clone()))
}
