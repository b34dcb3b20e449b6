//! The client of the chain: opens one stream, and reads from its standard input when to cancel it, to read, or to call again.

use std::time::Duration;

use clap::{Args, ValueEnum};
use interop::dial::Failure;
use interop::lab::LabClient;
use interop::line::print;
use kitex::{Canceler, Context, Result};
use serde_json::json;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, channel};

use crate::hop::FLOOD;
use crate::link::{Link, end_line, req};

/// The arguments of the client.
#[derive(Debug, Args)]
pub(crate) struct CallerArgs {
    #[arg(long)]
    addr: String,
    #[arg(long, value_enum)]
    mode: Mode,
    /// What flows: `idle` (one message), `flow` (one each 10 ms), `flood`.
    #[arg(long)]
    word: String,
    /// It reads nothing.
    #[arg(long)]
    slow: bool,
    /// Deadline in seconds.
    #[arg(long)]
    deadline: u64,
    #[command(flatten)]
    link: Link,
}

/// The kind of method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Client,
    Server,
    Bidi,
}

/// Calls, and prints how the call ended; calls again for each line `again`.
pub(crate) async fn run(args: CallerArgs) -> Result<(), Failure> {
    let client = args.link.client("A", &args.addr, args.slow)?;
    let (sender, mut lines) = channel(8);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(std::result::Result::ok) {
            // The process may be about to end.
            let _ = sender.blocking_send(line);
        }
        // The run is gone.
        std::process::exit(0);
    });
    let read = Notify::new();
    loop {
        let (ctx, canceler) = Context::background().with_cancel();
        let ctx = ctx.with_timeout(Duration::from_secs(args.deadline));
        let ended = tokio::select! {
            ended = call(&args, &client, &ctx, &read) => ended,
            never = obey(&mut lines, &canceler, &read) => never,
        };
        print(&end_line("A", ended.as_ref().err()));
        while let Some(line) = lines.recv().await {
            if line == "again" {
                break;
            }
        }
    }
}

/// Cancels at a line `cancel`, and lets a slow reader read at a line `read`. Never returns.
async fn obey(lines: &mut Receiver<String>, canceler: &Canceler, read: &Notify) -> Result<()> {
    while let Some(line) = lines.recv().await {
        match line.as_str() {
            "cancel" => canceler.cancel(),
            "read" => read.notify_one(),
            _ => {}
        }
    }
    std::future::pending().await
}

async fn call(args: &CallerArgs, client: &LabClient, ctx: &Context, read: &Notify) -> Result<()> {
    match args.mode {
        Mode::Client => up(args, client, ctx).await,
        Mode::Server => down(args, client, ctx, read).await,
        Mode::Bidi => bidi(args, client, ctx, read).await,
    }
}

async fn up(args: &CallerArgs, client: &LabClient, ctx: &Context) -> Result<()> {
    let stream = client.up(ctx).await?;
    let send = async |size| stream.send(&req(&args.word, size)).await;
    tokio::select! {
        sent = flow(&args.word, send) => sent,
        // What has ended the stream is with a Send after that.
        _ = ctx.canceled() => loop {
            send(0).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        },
    }
}

async fn down(args: &CallerArgs, client: &LabClient, ctx: &Context, read: &Notify) -> Result<()> {
    let mut stream = client.down(ctx, req(&args.word, 0)).await?;
    pause(args, ctx, read).await;
    let mut received = 0_u64;
    while stream.recv().await?.is_some() {
        first(&mut received);
    }
    Ok(())
}

async fn bidi(args: &CallerArgs, client: &LabClient, ctx: &Context, read: &Notify) -> Result<()> {
    let (sender, mut receiver) = client.bidi(ctx).await?.split();
    let sending = flow(&args.word, async |size| sender.send(&req(&args.word, size)).await);
    let receiving = async {
        pause(args, ctx, read).await;
        let mut received = 0_u64;
        while receiver.recv().await?.is_some() {
            first(&mut received);
        }
        Ok(())
    };
    tokio::pin!(receiving);
    tokio::select! {
        biased;
        ended = &mut receiving => ended,
        // What ended the stream is with the receiver.
        _ = sending => receiving.await,
    }
}

/// A slow reader takes nothing before a line `read`: the run writes it when the peer has seen the end.
async fn pause(args: &CallerArgs, ctx: &Context, read: &Notify) {
    if args.slow {
        tokio::select! {
            () = read.notified() => {}
            _ = ctx.canceled() => {}
        }
    }
}

/// Sends as `word` says, until a send fails.
async fn flow(word: &str, send: impl AsyncFn(usize) -> Result<()>) -> Result<()> {
    loop {
        send(if word == "flood" { FLOOD } else { 0 }).await?;
        match word {
            "idle" => std::future::pending().await,
            "flow" => tokio::time::sleep(Duration::from_millis(10)).await,
            _ => {}
        }
    }
}

fn first(received: &mut u64) {
    if *received == 0 {
        print(&json!({"ev": "first"}));
    }
    *received += 1;
}
