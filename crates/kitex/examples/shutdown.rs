//! Graceful shutdown: running streams may end, new ones are refused so that clients go elsewhere, late ones are canceled.
//! `cargo run -p kitex --example shutdown`

mod shared;

use std::time::Duration;

use kitex::client::PoolKind;
use kitex::{Client, Code, Context, Error, Result, Server, ServerStreamingServer};
use shared::echo::{Mirror, MirrorClient, MirrorServer};
use shared::{Ended, Req, Resp, req, resp, soon};
use tokio::sync::{mpsc, oneshot, watch};

/// Sends one word at once, and the second when it is allowed. If it never is, reports how the stream ended.
struct Model {
    go_on: watch::Receiver<bool>,
    reporter: mpsc::Sender<Error>,
}

#[kitex::async_trait]
impl Mirror for Model {
    async fn ping(&self, _: Context, _: Req) -> Result<Resp> {
        Ok(resp("pong", 0))
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        stream.send(&resp("first", 0)).await?;
        if req.msg.as_deref() == Some("endless") {
            let error = Error::from(ctx.canceled().await);
            let _ = self.reporter.try_send(error.clone());
            return Err(error);
        }
        let mut go_on = self.go_on.clone();
        let _ = ctx.until_canceled(go_on.wait_for(|go| *go)).await?;
        stream.send(&resp("last", 1)).await
    }
}

#[tokio::main]
async fn main() -> Ended {
    let ((allow, go_on), (reporter, mut reported)) = (watch::channel(false), mpsc::channel(1));
    let model = Model { go_on, reporter };
    let server = Server::builder("model").service(MirrorServer::new(model));
    let server = server.exit_wait(Duration::from_secs(1)).bind("127.0.0.1:0").await?;
    let address = server.local_addr().to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    // `server.run()` does the same on SIGTERM and Ctrl-C.
    let serving = tokio::spawn(server.serve_until(async { drop(stopped.await) }));

    // All streams on one connection, so that the order of what is seen is the order of the server.
    let client = Client::builder("model").caller("user").address(address).pool(PoolKind::Mux(1));
    let client = MirrorClient::new(client.build()?);
    let ctx = Context::background();
    let mut draining = client.down(&ctx, req("short", 0)).await?;
    let mut endless = client.down(&ctx, req("endless", 0)).await?;
    assert!(draining.recv().await?.is_some() && endless.recv().await?.is_some());

    stop.send(()).expect("the server waits for it");
    let attempt = async || client.down(&ctx, req("new", 0)).await?.recv().await;
    let refused = loop {
        // It takes a moment until the server has begun to shut down.
        match attempt().await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    println!("a new stream: {refused}");
    // With another address the client would have used that one, and nobody would have noticed.
    assert!(matches!(refused, Error::Connect { .. }) || refused.code() == Some(Code::DRAINING));

    allow.send_replace(true);
    while let Some(response) = draining.recv().await? {
        println!("the stream that runs: {:?}", response.msg.unwrap_or_default());
    }
    println!("the stream that runs: ended well");

    let late = endless.recv().await.expect_err("its time is over");
    println!("the late one, at the client: {late}");
    assert_eq!(late.code(), Some(Code::CONNECTION_CLOSED));
    assert_eq!(late.path().map(ToString::to_string).as_deref(), Some("model"), "who ended it");
    let handler = soon(reported.recv()).await.expect("the handler reports");
    println!("the late one, at the server: {handler}");
    assert_eq!(handler.code(), Some(Code::CONNECTION_CLOSED));
    soon(serving).await?;
    println!("nothing is left, and the server has returned");
    Ok(())
}
