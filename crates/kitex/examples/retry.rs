//! Retry: a stream or call that no handler can have seen is tried again elsewhere, within a limit and a budget; one whose
//! server was lost while its handler ran is too, if handlers are declared idempotent until their first message.
//! `cargo run -p kitex --example retry`

mod shared;

use std::env;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kitex::client::{PoolKind, Retry, RoundRobin, SharedInstances, StaticAddresses};
use kitex::server::ServerBuilder;
use kitex::{Client, Code, Context, Error, Result, Server, ServerStreamingServer};
use shared::echo::{Mirror, MirrorClient, MirrorServer};
use shared::{Ended, Req, Resp, brief, req, resp, serve, soon};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::Notify;

/// How many handlers of this process have begun with a long answer, and a notice of each.
#[derive(Clone, Default)]
struct Model {
    long: Arc<AtomicUsize>,
    begun: Arc<Notify>,
}

#[kitex::async_trait]
impl Mirror for Model {
    async fn ping(&self, ctx: Context, _: Req) -> Result<Resp> {
        Ok(resp(ctx.persistent("RetryReq").map_or("first", |_| "tried again"), 0))
    }

    async fn down(&self, ctx: Context, question: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        // Services below do not retry a call that is a retry itself.
        let attempt = ctx.persistent("RetryReq").map_or("first", |_| "tried again");
        if question.msg.as_deref() == Some("long") {
            self.long.fetch_add(1, Ordering::SeqCst);
            self.begun.notify_one();
            if attempt == "first" {
                // Has no first message yet when its server is lost.
                return Err(ctx.canceled().await.into());
            }
        }
        stream.send(&resp(attempt, 0)).await
    }
}

/// Returns the error of a stream that is refused. The opening itself fails only if the refusal is known by then.
async fn refusal(client: &MirrorClient) -> Error {
    match client.down(&Context::background(), req("hello", 0)).await {
        Ok(mut stream) => stream.recv().await.expect_err("it is refused"),
        Err(error) => error,
    }
}

/// Set for the process that [`lost`] kills.
const PROCESS: &str = "KITEX_EXAMPLE_PROCESS";

/// What that process does: prints its address, and a line for each long answer that has begun.
async fn process(model: &Model, server: ServerBuilder) -> Ended {
    println!("{}", serve(server).await?);
    loop {
        model.begun.notified().await;
        println!("begun");
    }
}

/// Opens a stream whose server is killed before its first message; `other` is another one. Returns the message, or the
/// error.
async fn lost(
    other: &str,
    retry: Retry,
) -> std::result::Result<Result<String>, Box<dyn std::error::Error + Send + Sync>> {
    let mut process = Command::new(env::current_exe()?);
    let mut process = process.env(PROCESS, "").stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(process.stdout.take().ok_or("no output")?).lines();
    let address = soon(lines.next_line()).await?.ok_or("no address")?;
    let instances = SharedInstances::default();
    instances.set([&*address]);
    let client = Client::builder("model").caller("gateway").addresses(instances.clone());
    let client = MirrorClient::new(client.pool(PoolKind::Mux(1)).retry(retry).build()?);
    let ctx = Context::background();
    let mut long = client.down(&ctx, req("long", 0)).await?;
    assert_eq!(soon(lines.next_line()).await?.as_deref(), Some("begun"));
    // An answer to a later stream of the same connection: the server has read the first one to its end.
    soon(client.down(&ctx, req("short", 0)).await?.recv()).await?;
    instances.set([&*address, other]);
    soon(process.kill()).await?;
    let first = soon(long.recv()).await;
    Ok(first.map(|first| first.and_then(|first| first.msg).unwrap_or_default().to_string()))
}

#[tokio::main]
async fn main() -> Ended {
    let model = Model::default();
    let server = || Server::builder("model").service(MirrorServer::new(model.clone()));
    if env::var_os(PROCESS).is_some() {
        return process(&model, server()).await;
    }
    // One server is full: it refuses each stream with 12900 before its handler begins.
    let (full, free) = (serve(server().max_concurrent_streams(0)).await?, serve(server()).await?);
    let both = StaticAddresses::new([&full, &free]);
    let client = |addresses: StaticAddresses, retry: Retry| {
        // Round robin, so that the first stream goes to the first address.
        let client = Client::builder("model").caller("gateway").addresses(addresses);
        client.balance(RoundRobin::default()).retry(retry).build().map(MirrorClient::new)
    };
    let ctx = Context::background();

    let by_default = client(both.clone(), Retry::default())?;
    let first = by_default.down(&ctx, req("hello", 0)).await?.recv().await?;
    let attempt = first.and_then(|first| first.msg).unwrap_or_default();
    println!("one of two servers is full: the stream was {attempt}");
    assert_eq!(attempt, "tried again");

    let never = client(both, Retry::none())?;
    let refused = refusal(&never).await;
    println!("without retry: {}", brief(&refused));
    assert_eq!(refused.code(), Some(Code::TOO_MANY_STREAMS));

    let only_full = client(StaticAddresses::new([&full]), Retry::default().limit(2).budget(0, 3))?;
    for number in 1..=3 {
        let refused = refusal(&only_full).await;
        println!("stream {number}, if all servers are full: {}", brief(&refused));
        assert_eq!(
            refused.code(),
            Some(Code::TOO_MANY_STREAMS),
            "the refusal, once limit or budget is used up"
        );
    }

    // A canceled call is not tried again.
    let (canceled, canceler) = ctx.with_cancel();
    canceler.cancel();
    let error = by_default.down(&canceled, req("hello", 0)).await.map(drop).expect_err("it is canceled");
    println!("a canceled call: {}", brief(&error));
    assert!(error.is_canceled());

    // A handler may have done something when its server is killed: only its author knows whether it may run again.
    let error = lost(&free, Retry::default()).await?.expect_err("its handler has begun");
    println!("a server is killed while a handler runs: {}", brief(&error));
    assert_eq!((error.code(), model.long.load(Ordering::SeqCst)), (Some(Code::TRANSPORT_CLOSING), 0));
    let attempt = lost(&free, Retry::default().idempotent(true)).await??;
    println!("the same if handlers are idempotent until their first message: the stream was {attempt}");
    assert_eq!((&*attempt, model.long.load(Ordering::SeqCst)), ("tried again", 1));
    Ok(())
}
