//! Many streams in every way of ending, in one process: a client, a middle service and a last one, over
//! loopback TCP. When all have ended, everything must be as it was: tasks, streams, descriptors, memory.
//!
//! ```text
//! cargo run --release -p interop --bin soak -- --streams 1000000
//! ```

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use interop::dial::Failure;
use interop::lab::{LabClient, Req};
use interop::local::Chain;
use kitex::{Context, RecvTimeout, observe};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

#[derive(Debug, Parser)]
#[command(about = "Opens many streams, ends them in every way, and looks what is left")]
struct Args {
    /// Streams to open.
    #[arg(long, default_value_t = 1_000_000)]
    streams: u64,
    /// Streams at once.
    #[arg(long, default_value_t = 200)]
    at_once: u64,
}

/// A way of ending: its name, and what a client does for it.
#[derive(Clone, Copy, Debug)]
enum Way {
    Clean,
    Biz,
    Fail,
    Panic,
    Cancel,
    CancelWithCause,
    CancelBeforeOpen,
    Deadline,
    RecvTimeout,
    DropUnread,
    DropMidway,
    DropSender,
    HalfClose,
    UploadClean,
    UploadDropped,
    Unary,
}

const WAYS: [Way; 16] = [
    Way::Clean,
    Way::Biz,
    Way::Fail,
    Way::Panic,
    Way::Cancel,
    Way::CancelWithCause,
    Way::CancelBeforeOpen,
    Way::Deadline,
    Way::RecvTimeout,
    Way::DropUnread,
    Way::DropMidway,
    Way::DropSender,
    Way::HalfClose,
    Way::UploadClean,
    Way::UploadDropped,
    Way::Unary,
];

#[tokio::main]
async fn main() -> ExitCode {
    // The panics are the handlers', on purpose.
    std::panic::set_hook(Box::new(|_| {}));
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    let chain = Chain::start(3).await?;
    let client = chain.client("ServiceA")?;
    // Pools, allocator and runtime grow to their size first.
    spend(&client, args.at_once, args.streams.min(20_000) / 2).await?;
    let before = Left::settled().await;
    spend(&client, args.at_once, args.streams).await?;
    let after = Left::settled().await;
    println!("before {before:?}\nafter  {after:?}");
    after.check(&before)?;
    println!("{} streams, {} ways of ending: nothing is left", args.streams, WAYS.len());
    Ok(())
}

/// Ends `streams` streams, each in the next way.
async fn spend(client: &LabClient, at_once: u64, streams: u64) -> Result<(), Failure> {
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..at_once)
        .map(|_| {
            let (client, next) = (client.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= streams {
                        return;
                    }
                    // However it ends is well: what counts is what is left.
                    let way = WAYS[usize::try_from(turn).unwrap_or_default() % WAYS.len()];
                    let _ = end(&client, way).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await?;
    }
    Ok(())
}

async fn end(client: &LabClient, way: Way) -> kitex::Result<()> {
    let (ctx, canceler) = Context::background().with_cancel();
    match way {
        Way::Clean => drain(client, &ctx, "n=3").await,
        Way::Biz => drain(client, &ctx, "n=1;biz=404").await,
        Way::Fail => drain(client, &ctx, "n=1;fail").await,
        Way::Panic => drain(client, &ctx, "panic").await,
        Way::Deadline => drain(client, &ctx.with_timeout(Duration::from_millis(5)), "n=1;idle").await,
        Way::RecvTimeout => {
            let timeout = RecvTimeout::new(Duration::from_millis(5));
            drain(&client.with_recv_timeout(timeout), &ctx, "n=1;idle").await
        }
        Way::CancelBeforeOpen => {
            canceler.cancel();
            drain(client, &ctx, "n=1").await
        }
        Way::Cancel | Way::CancelWithCause => {
            let mut stream = client.down(&ctx, request("n=1;idle")).await?;
            stream.recv().await?;
            match way {
                Way::Cancel => canceler.cancel(),
                _ => canceler.cancel_with_cause("user pressed stop"),
            }
            stream.recv().await.map(drop)
        }
        Way::DropUnread => client.down(&ctx, request("n=-1;size=100")).await.map(drop),
        Way::DropMidway => {
            let mut stream = client.down(&ctx, request("n=-1;size=100")).await?;
            stream.recv().await.map(drop)
        }
        Way::HalfClose => {
            let mut stream = client.bidi(&ctx).await?;
            stream.send(&request("x")).await?;
            stream.close_send();
            while stream.recv().await?.is_some() {}
            Ok(())
        }
        Way::DropSender => {
            let (sender, mut receiver) = client.bidi(&ctx).await?.split();
            sender.send(&request("x")).await?;
            drop(sender);
            receiver.recv().await.map(drop)
        }
        Way::UploadClean => {
            let mut stream = client.up(&ctx).await?;
            stream.send(&request("x")).await?;
            stream.close_and_recv().await.map(drop)
        }
        Way::UploadDropped => {
            let stream = client.up(&ctx).await?;
            stream.send(&request("x")).await
        }
        Way::Unary => {
            // One at a time: how many idle connections the calls' pool keeps must not depend on chance.
            let _one = ONE_CALL.acquire().await;
            client.unary(&ctx, request("x")).await.map(drop)
        }
    }
}

static ONE_CALL: Semaphore = Semaphore::const_new(1);

async fn drain(client: &LabClient, ctx: &Context, msg: &'static str) -> kitex::Result<()> {
    let mut stream = client.down(ctx, request(msg)).await?;
    while stream.recv().await?.is_some() {}
    Ok(())
}

fn request(msg: &'static str) -> Req {
    Req { msg: Some(msg.into()), seq: Some(0), payload: None }
}

/// What a process has.
#[derive(Debug)]
struct Left {
    tasks: usize,
    streams: usize,
    descriptors: usize,
    rss_kb: u64,
}

impl Left {
    /// As soon as no stream is left, or after a while.
    async fn settled() -> Self {
        for _ in 0..200 {
            if observe::streams().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // The last handlers' tasks end after their streams.
        tokio::time::sleep(Duration::from_millis(500)).await;
        Self {
            tasks: Handle::current().metrics().num_alive_tasks(),
            streams: observe::streams().len(),
            descriptors: std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            rss_kb: interop::stress::rss_kb(),
        }
    }

    fn check(&self, before: &Self) -> Result<(), Failure> {
        let grown = self.rss_kb.saturating_sub(before.rss_kb);
        let same = self.tasks <= before.tasks && self.streams == 0 && self.descriptors <= before.descriptors;
        match (same, grown <= MAX_GROWTH_KB) {
            (true, true) => Ok(()),
            (false, _) => Err("tasks, streams or descriptors are left".into()),
            (true, false) => Err(format!("memory grew by {grown} KB, more than {MAX_GROWTH_KB}").into()),
        }
    }
}

const MAX_GROWTH_KB: u64 = 8 * 1024;
