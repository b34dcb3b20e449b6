//! user -> gateway -> agent -> model: the user cancels, the whole chain ends immediately, and each hop reports the code
//! and the cancel path.
//! `cargo run -p kitex --example cancel_cascade`

mod shared;

use kitex::{Client, Code, Context, Error, Result, Server, ServerStreamingServer, Side};
use shared::echo::{Mirror, MirrorClient, MirrorServer};
use shared::{Ended, Req, Resp, brief, req, resp, serve, soon};
use tokio::sync::mpsc;

/// Receives the name and the error of each hop.
type Seen = mpsc::Sender<(&'static str, Error)>;

/// A service in the middle: calls the next one, and forwards its responses.
struct Relay {
    name: &'static str,
    next: MirrorClient,
    seen: Seen,
}

impl Relay {
    /// Passes on `ctx`, so that a cancel propagates.
    async fn pass_on(&self, ctx: &Context, req: Req, stream: &ServerStreamingServer<Resp>) -> Result<()> {
        let mut responses = self.next.down(ctx, req).await?;
        while let Some(response) = responses.recv().await? {
            stream.send(&response).await?;
        }
        Ok(())
    }
}

#[kitex::async_trait]
impl Mirror for Relay {
    async fn ping(&self, ctx: Context, req: Req) -> Result<Resp> {
        self.next.ping(&ctx, req).await
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        let ended = self.pass_on(&ctx, req, &stream).await;
        if let Err(error) = &ended {
            let _ = self.seen.try_send((self.name, error.clone()));
        }
        ended
    }
}

/// The last service: sends three words, then waits until it is canceled.
struct Model(Seen);

#[kitex::async_trait]
impl Mirror for Model {
    async fn ping(&self, _: Context, _: Req) -> Result<Resp> {
        Ok(resp("pong", 0))
    }

    async fn down(&self, ctx: Context, _: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        for (seq, word) in (0..).zip(["light", "is", "scattered"]) {
            stream.send(&resp(word, seq)).await?;
        }
        let error =
            ctx.until_canceled(std::future::pending::<()>()).await.expect_err("only a cancel ends it");
        let _ = self.0.try_send(("model", error.clone()));
        Err(error)
    }
}

#[tokio::main]
async fn main() -> Ended {
    let (seen, mut reported) = mpsc::channel(3);
    let mut next = serve(Server::builder("model").service(MirrorServer::new(Model(seen.clone())))).await?;
    for (name, calls) in [("agent", "model"), ("gateway", "agent")] {
        // Calls of a handler use its service's name, so the client needs no `caller`.
        let client = MirrorClient::new(Client::builder(calls).address(next).build()?);
        let relay = Relay { name, next: client, seen: seen.clone() };
        next = serve(Server::builder(name).service(MirrorServer::new(relay))).await?;
    }
    let user = MirrorClient::new(Client::builder("gateway").caller("user").address(next).build()?);

    let (ctx, canceler) = Context::background().with_cancel();
    let mut stream = user.down(&ctx, req("why is the sky blue?", 0)).await?;
    for _ in 0..3 {
        println!("{:?}", stream.recv().await?.and_then(|response| response.msg).unwrap_or_default());
    }
    canceler.cancel();

    let error = stream.recv().await.expect_err("the stream is canceled");
    println!("{:8} {}", "user", brief(&error));
    assert!(error.is_canceled() && error.path().is_none(), "the user's own cancel has no path here");
    let mut hops = Vec::new();
    for _ in 0..3 {
        hops.extend(soon(reported.recv()).await);
    }
    hops.sort_by_key(|(name, _)| ["gateway", "agent", "model"].iter().position(|hop| hop == name));
    for (name, error) in &hops {
        println!("{name:8} {}", brief(error));
    }
    println!("\nthe model's, as it is logged:\n{}", hops[2].1);

    let sides = [Side::Client, Side::Client, Side::Server];
    let paths = ["user", "user -> gateway", "user -> gateway -> agent"];
    for ((name, error), (side, path)) in hops.iter().zip(sides.iter().zip(paths)) {
        assert_eq!((error.code(), error.side()), (Some(Code::CANCELED), Some(*side)), "{name}");
        assert_eq!(error.path().map(ToString::to_string).as_deref(), Some(path), "{name}");
    }
    Ok(())
}
