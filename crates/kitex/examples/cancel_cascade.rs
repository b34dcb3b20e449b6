//! user -> gateway -> agent -> model, and the user goes away: one cancel ends the whole chain at once, and
//! each hop can say who canceled and along which path.
//! `cargo run -p kitex --example cancel_cascade`

mod shared;

use kitex::{Client, Code, Context, Error, Result, Server, ServerStreamingServer, Side};
use shared::echo::{Mirror, MirrorClient, MirrorServer};
use shared::{Ended, Req, Resp, brief, req, resp, serve, soon};
use tokio::sync::mpsc;

/// Where each hop leaves its name and the error it saw.
type Seen = mpsc::Sender<(&'static str, Error)>;

/// A service in the middle: asks the next one, and passes on what comes.
struct Relay {
    name: &'static str,
    next: MirrorClient,
    seen: Seen,
}

impl Relay {
    /// All that it takes for a cancel to run through: `ctx` is handed on.
    async fn pass_on(&self, ctx: &Context, req: Req, stream: &ServerStreamingServer<Resp>) -> Result<()> {
        let mut answers = self.next.down(ctx, req).await?;
        while let Some(answer) = answers.recv().await? {
            stream.send(&answer).await?;
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

/// The last service: three words, then it thinks for ever.
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
        let error = ctx.until_canceled(std::future::pending::<()>()).await.expect_err("nobody else ends it");
        let _ = self.0.try_send(("model", error.clone()));
        Err(error)
    }
}

#[tokio::main]
async fn main() -> Ended {
    let (seen, mut told) = mpsc::channel(3);
    let mut next = serve(Server::builder("model").service(MirrorServer::new(Model(seen.clone())))).await?;
    for (name, calls) in [("agent", "model"), ("gateway", "agent")] {
        // A handler's calls are made in its service's name, so the client needs none of its own.
        let client = MirrorClient::new(Client::builder(calls).address(next).build()?);
        let relay = Relay { name, next: client, seen: seen.clone() };
        next = serve(Server::builder(name).service(MirrorServer::new(relay))).await?;
    }
    let user = MirrorClient::new(Client::builder("gateway").caller("user").address(next).build()?);

    let (ctx, canceler) = Context::background().with_cancel();
    let mut stream = user.down(&ctx, req("why is the sky blue?", 0)).await?;
    for _ in 0..3 {
        println!("{:?}", stream.recv().await?.and_then(|answer| answer.msg).unwrap_or_default());
    }
    canceler.cancel();

    let error = stream.recv().await.expect_err("the stream is canceled");
    println!("{:8} {}", "user", brief(&error));
    assert!(error.is_canceled() && error.path().is_none(), "the user's own cancel has no path here");
    let mut hops = Vec::new();
    for _ in 0..3 {
        hops.extend(soon(told.recv()).await);
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
