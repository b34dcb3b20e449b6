//! A server whose handlers leave work behind, and one that takes no stream at all.

use std::net::SocketAddr;

use interop::dial::Failure;
use interop::lab::{Lab, LabClient, LabPingError, LabServer, Req, Resp};
use kitex::{
    BidiStreamingServer, ClientStreamingServer, Context, Error, Result, Server, ServerStreamingServer,
};

/// Opens Down at `next` and returns while a task still passes it on.
struct Odd {
    next: LabClient,
}

/// A server of handlers that leave work behind: `detach` lets it go on, anything else lets it end with
/// the handler.
///
/// # Errors
/// The system gives no port.
pub(crate) async fn leaver(next: LabClient) -> Result<SocketAddr, Failure> {
    let server = Server::builder("ServiceO").service(LabServer::new(Odd { next })).bind(LOOPBACK).await?;
    let address = server.local_addr();
    tokio::spawn(server.serve());
    Ok(address)
}

/// A server that refuses every stream.
///
/// # Errors
/// The system gives no port.
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
            // The stream behind us ends with 12012 as soon as the handler has returned.
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
    Error::other("only Down is here")
}
