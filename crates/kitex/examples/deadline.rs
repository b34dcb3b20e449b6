//! A deadline travels: each hop knows how much time is left, which is never more than its caller has, and
//! when it passes the whole chain ends. `cargo run -p kitex --example deadline`

mod shared;

use std::time::{Duration, Instant};

use kitex::{Client, Code, Context, Error, Kind, Result, Server, ServerStreamingServer};
use shared::echo::{Mirror, MirrorClient, MirrorServer};
use shared::{Ended, Req, Resp, brief, req, resp, serve, soon};
use tokio::sync::mpsc;

/// What a hop tells: when it is called how much time it has, and at the end what ended it.
enum Word {
    Has(&'static str, Duration),
    Ended(&'static str, Error),
}

/// A service that takes its time before it calls the next; the last one never answers.
struct Hop {
    name: &'static str,
    next: Option<MirrorClient>,
    tell: mpsc::Sender<Word>,
}

impl Hop {
    async fn work(&self, ctx: &Context, req: Req, stream: &ServerStreamingServer<Resp>) -> Result<()> {
        ctx.until_canceled(tokio::time::sleep(WORK)).await?;
        let Some(next) = &self.next else { return ctx.until_canceled(std::future::pending()).await };
        let mut answers = next.down(ctx, req).await?;
        while let Some(answer) = answers.recv().await? {
            stream.send(&answer).await?;
        }
        Ok(())
    }
}

#[kitex::async_trait]
impl Mirror for Hop {
    async fn ping(&self, _: Context, _: Req) -> Result<Resp> {
        Ok(resp("pong", 0))
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        if let Some(deadline) = ctx.deadline() {
            let left = deadline.saturating_duration_since(Instant::now());
            let _ = self.tell.try_send(Word::Has(self.name, left));
        }
        let ended = self.work(&ctx, req, &stream).await;
        if let Err(error) = &ended {
            let _ = self.tell.try_send(Word::Ended(self.name, error.clone()));
        }
        ended
    }
}

const TOTAL: Duration = Duration::from_millis(1500);
const WORK: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> Ended {
    let (tell, mut told) = mpsc::channel(6);
    let mut next = None::<MirrorClient>;
    for name in ["model", "agent", "gateway"] {
        let hop = Hop { name, next, tell: tell.clone() };
        let address = serve(Server::builder(name).service(MirrorServer::new(hop))).await?;
        // Only the user's client needs a name of its own: a handler's calls are made in its service's.
        let client = Client::builder(name).address(address);
        let client = if name == "gateway" { client.caller("user") } else { client };
        next = Some(MirrorClient::new(client.build()?));
    }
    let user = next.expect("three services");

    println!("{:8} gives it {TOTAL:?}", "user");
    let ctx = Context::background().with_timeout(TOTAL);
    let mut stream = user.down(&ctx, req("why is the sky blue?", 0)).await?;
    let error = stream.recv().await.expect_err("nobody answers");
    println!("{:8} {error}", "user");
    // The same error would have come with `Client::builder(..).timeout(..)`.
    assert_eq!((error.code(), error.kind()), (Some(Code::STREAM_TIMEOUT), Some(Kind::Timeout)));

    let (mut before, mut ended) = (TOTAL, 0);
    while ended < 3 {
        match soon(told.recv()).await.expect("each hop tells") {
            Word::Has(name, left) => {
                println!("{name:8} has {} ms left", left.as_millis());
                assert!(left <= before, "{name} has more than its caller");
                before = left.saturating_sub(WORK / 2);
            }
            Word::Ended(name, error) => {
                println!("{name:8} {}", brief(&error));
                ended += 1;
            }
        }
    }
    assert!(before < TOTAL - 2 * WORK, "the time shrinks from hop to hop");
    Ok(())
}
