//! What workers do on runtimes that die: calls of every mode, some of whose streams outlive the runtime that dialed.

use std::sync::Arc;
use std::time::Duration;

use interop::dial::Failure;
use interop::lab::{LabClient, Req, Resp};
use kitex::{Context, Error, Result, ServerStreamingClient};
use tokio::time::timeout;

use super::ledger::{Ledger, PATIENCE};
use super::parts::{Random, World, runtime};

/// What a call does.
#[derive(Clone, Copy, Debug)]
enum Call {
    Down,
    Up,
    Bidi,
    Ping,
    Unary,
    /// Waits for what ends it: the server, the connection, or the runtime.
    Idle,
    Cancel,
    Drop,
    Deadline,
    Panic,
}

const CALLS: [Call; 10] = [
    Call::Down,
    Call::Up,
    Call::Bidi,
    Call::Ping,
    Call::Unary,
    Call::Idle,
    Call::Cancel,
    Call::Drop,
    Call::Deadline,
    Call::Panic,
];

/// One runtime's life.
pub(crate) fn work(world: &World, random: &mut Random) -> std::result::Result<(), Failure> {
    let runtime = runtime(random)?;
    let tasks: Vec<_> = (0..1 + random.below(20))
        .map(|_| {
            let (client, call) = (random.pick(&world.clients).clone(), *random.pick(&CALLS));
            runtime.spawn(watched(world.ledger.clone(), call, client))
        })
        .collect();
    let client = random.pick(&world.clients).clone();
    let kept = runtime.block_on(async {
        // Waits for a server if there is none.
        timeout(PATIENCE, opened(&client)).await
    });
    let dies_early = random.below(2) == 0;
    if dies_early {
        let life = random.millis(100);
        runtime.block_on(async { tokio::time::sleep(life).await });
        world.ledger.death("runtime");
    } else {
        runtime.block_on(async {
            for task in tasks {
                // A panic would be ours.
                if task.await.is_err() {
                    world.ledger.wrong("a call has panicked".to_owned());
                }
            }
        });
    }
    runtime.shutdown_background();
    match kept {
        Err(_) => world.ledger.wrong("an opening hangs".to_owned()),
        Ok(Err(error)) => world.ledger.call("outliving", &Err(error)),
        Ok(Ok(stream)) => outlive(&world.ledger, stream)?,
    }
    Ok(())
}

/// The runtime that dialed is gone: the stream says so on another.
fn outlive(ledger: &Ledger, mut stream: ServerStreamingClient<Resp>) -> std::result::Result<(), Failure> {
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rest = async {
        while stream.recv().await?.is_some() {}
        Ok(())
    };
    let ended = other.block_on(async { timeout(PATIENCE, rest).await });
    match ended {
        Err(_) => ledger.wrong("a stream hangs whose runtime is gone".to_owned()),
        Ok(ended) => ledger.call("outliving", &ended),
    }
    Ok(())
}

async fn watched(ledger: Arc<Ledger>, call: Call, client: LabClient) {
    match timeout(PATIENCE, made(call, &client)).await {
        Ok(result) => ledger.call(&format!("{call:?}"), &result),
        Err(_) => ledger.wrong(format!("{call:?} hangs, {:?}", client)),
    }
}

async fn made(call: Call, client: &LabClient) -> Result<()> {
    let (ctx, canceler) = Context::background().with_cancel();
    match call {
        Call::Down => drain(client, &ctx, "n=5;delay=5").await,
        Call::Idle => drain(client, &ctx, "n=1;idle").await,
        Call::Panic => drain(client, &ctx, "n=1;panic").await,
        Call::Deadline => drain(client, &ctx.with_timeout(Duration::from_millis(50)), "n=1;idle").await,
        Call::Ping => match client.ping(&ctx, request("x")).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::other(error.to_string())),
        },
        Call::Unary => client.unary(&ctx, request("x")).await.map(drop),
        Call::Up => {
            let mut stream = client.up(&ctx).await?;
            for _ in 0..5 {
                stream.send(&request("x")).await?;
            }
            stream.close_and_recv().await.map(drop)
        }
        Call::Bidi => {
            let mut stream = client.bidi(&ctx).await?;
            for _ in 0..5 {
                stream.send(&request("x")).await?;
                stream.recv().await?;
            }
            stream.close_send();
            while stream.recv().await?.is_some() {}
            Ok(())
        }
        Call::Cancel => {
            let mut stream = opened_under(client, &ctx).await?;
            canceler.cancel();
            stream.recv().await.map(drop)
        }
        Call::Drop => opened_under(client, &ctx).await.map(drop),
    }
}

async fn opened(client: &LabClient) -> Result<ServerStreamingClient<Resp>> {
    opened_under(client, &Context::background()).await
}

async fn opened_under(client: &LabClient, ctx: &Context) -> Result<ServerStreamingClient<Resp>> {
    client.down(ctx, request("n=1;idle")).await
}

async fn drain(client: &LabClient, ctx: &Context, msg: &'static str) -> Result<()> {
    let mut stream = client.down(ctx, request(msg)).await?;
    while stream.recv().await?.is_some() {}
    Ok(())
}

fn request(msg: &'static str) -> Req {
    Req { msg: Some(msg.into()), seq: Some(0), payload: None }
}
