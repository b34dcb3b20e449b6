//! A server whose handlers leave background work, and one that refuses every stream.

use std::net::SocketAddr;

use interop::dial::Failure;
use interop::lab::{Lab, LabClient, LabPingError, LabServer, Req, Resp};
use kitex::{
    BidiStreamingServer, ClientStreamingServer, Context, Error, Result, Server, ServerStreamingServer,
};

/// Opens Down at `next` and returns while a task still forwards it.
struct Odd {
    next: LabClient,
}

/// Starts a server of handlers that leave background work: `detach` lets it continue, anything else lets it
/// end with the handler.
///
/// # Errors
/// The system's, if no port can be bound.
pub(crate) async fn leaver(next: LabClient) -> Result<SocketAddr, Failure> {
    let server = Server::builder("ServiceO").service(LabServer::new(Odd { next })).bind(LOOPBACK).await?;
    let address = server.local_addr();
    tokio::spawn(server.serve());
    Ok(address)
}

/// Starts a server that refuses every stream.
///
/// # Errors
/// The system's, if no port can be bound.
pub(crate) async fn refuser(next: LabClient) -> Result<SocketAddr, Failure> {
    let server = Server::builder("ServiceR").service(LabServer::new(Odd { next })).max_concurrent_streams(0);
    let server = server.bind(LOOPBACK).await?;
    let address = server.local_addr();
    tokio::spawn(server.serve());
    Ok(address)
}

const LOOPBACK: &str = "127.0.0.1:0";

#[kitex::async_trait]
impl Lab for Odd {
    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        let detached = req.msg.as_deref() == Some("detach");
        let (ctx, msg) = if detached { (ctx.detach(), "n=3") } else { (ctx, "n=-1;delay=1") };
        let req = Req { msg: Some(msg.into()), seq: Some(0), payload: None };
        let mut answers = self.next.down(&ctx, req).await?;
        tokio::spawn(async move {
            // The downstream stream ends with 12012 as soon as the handler has returned.
            while let Ok(Some(answer)) = answers.recv().await {
                let _ = stream.send(&answer).await;
            }
        });
        Ok(())
    }

    async fn ping(&self, _: Context, _: Req) -> Result<Resp, LabPingError> {
        Err(not_asked().into())
    }

    async fn unary(&self, _: Context, _: Req) -> Result<Resp> {
        Err(not_asked())
    }

    async fn up(&self, _: Context, _: ClientStreamingServer<Req>) -> Result<Resp> {
        Err(not_asked())
    }

    async fn bidi(&self, _: Context, _: BidiStreamingServer<Req, Resp>) -> Result<()> {
        Err(not_asked())
    }
}

fn not_asked() -> Error {
    Error::other("only Down is implemented")
}
