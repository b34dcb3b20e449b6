//! Deadline propagation: each hop knows the remaining time, which is never more than its caller has, and when it passes
//! the whole chain ends. `cargo run -p kitex --example deadline`

mod shared;

use std::time::{Duration, Instant};

use kitex::{Client, Code, Context, Error, ErrorKind, Result, Server, ServerStreamingServer};
use shared::echo::{Mirror, MirrorClient, MirrorServer};
use shared::{Ended, Req, Resp, brief, req, resp, serve, soon};
use tokio::sync::mpsc;

/// The report of a hop: the remaining time when it is called, and the error that ended it.
enum Word {
    Has(&'static str, Duration),
    Ended(&'static str, Error),
}

/// A service that waits before it calls the next; the last one never responds.
struct Hop {
    name: &'static str,
    next: Option<MirrorClient>,
    reporter: mpsc::Sender<Word>,
}

impl Hop {
    async fn work(&self, ctx: &Context, req: Req, stream: &ServerStreamingServer<Resp>) -> Result<()> {
        ctx.until_canceled(tokio::time::sleep(WORK)).await?;
        let Some(next) = &self.next else { return ctx.until_canceled(std::future::pending()).await };
        let mut responses = next.down(ctx, req).await?;
        while let Some(response) = responses.recv().await? {
            stream.send(&response).await?;
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
            let _ = self.reporter.try_send(Word::Has(self.name, left));
        }
        let ended = self.work(&ctx, req, &stream).await;
        if let Err(error) = &ended {
            let _ = self.reporter.try_send(Word::Ended(self.name, error.clone()));
        }
        ended
    }
}

const TOTAL: Duration = Duration::from_millis(1500);
const WORK: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> Ended {
    let (reporter, mut reported) = mpsc::channel(6);
    let mut next = None::<MirrorClient>;
    for name in ["model", "agent", "gateway"] {
        let hop = Hop { name, next, reporter: reporter.clone() };
        let address = serve(Server::builder(name).service(MirrorServer::new(hop))).await?;
        // Only the user's client needs a `caller`: calls of a handler use its service's name.
        let client = Client::builder(name).address(address);
        let client = if name == "gateway" { client.caller("user") } else { client };
        next = Some(MirrorClient::new(client.build()?));
    }
    let user = next.expect("three services");

    println!("{:8} gives it {TOTAL:?}", "user");
    let ctx = Context::background().with_timeout(TOTAL);
    let mut stream = user.down(&ctx, req("why is the sky blue?", 0)).await?;
    let error = stream.recv().await.expect_err("no response is sent");
    println!("{:8} {error}", "user");
    // `Client::builder(..).timeout(..)` would give the same error.
    assert_eq!((error.code(), error.kind()), (Some(Code::STREAM_TIMEOUT), ErrorKind::Timeout));

    let (mut before, mut ended) = (TOTAL, 0);
    while ended < 3 {
        match soon(reported.recv()).await.expect("each hop reports") {
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
