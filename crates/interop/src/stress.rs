//! Clients that misbehave on purpose: slow consumers, many idle streams, calls to a server that is down.

use std::time::Duration;

use clap::Args;
use kitex::Context;
use serde_json::json;

use crate::dial::{Failure, Target};
use crate::lab::{LabClient, Req};
use crate::line::print;

/// The arguments of `lab-peer slow`.
#[derive(Debug, Args)]
pub struct SlowArgs {
    #[command(flatten)]
    target: Target,
    /// Duration in seconds.
    #[arg(long, default_value_t = 8)]
    t: u64,
}

/// Reads one message a second from a fast sender: a slow consumer.
///
/// # Errors
/// The stream cannot be opened.
pub async fn slow(args: SlowArgs) -> Result<(), Failure> {
    let client = args.target.client()?;
    let mut stream = client.down(&Context::background(), request("n=-1;size=1024", 0)).await?;
    for second in 1..=args.t {
        if let Err(error) = stream.recv().await {
            eprintln!("lab-peer: {error}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        print(&json!({"ev": "rss", "s": second, "kb": rss_kb()}));
    }
    Ok(())
}

/// The arguments of `lab-peer hold`.
#[derive(Debug, Args)]
pub struct HoldArgs {
    #[command(flatten)]
    target: Target,
    /// Number of streams.
    #[arg(long, default_value_t = 10_000)]
    c: i64,
    /// Seconds to hold them.
    #[arg(long, default_value_t = 3)]
    t: u64,
}

/// Holds idle streams, and exits without closing them.
///
/// # Errors
/// A stream cannot be opened.
pub async fn hold(args: HoldArgs) -> Result<(), Failure> {
    let client = args.target.client()?;
    let mut streams = Vec::new();
    for seq in 0..args.c {
        streams.push(client.down(&Context::background(), request("idle", seq)).await?);
    }
    print(&json!({"ev": "held"}));
    tokio::time::sleep(Duration::from_secs(args.t)).await;
    std::process::exit(0);
}

/// The arguments of `lab-peer redial`.
#[derive(Debug, Args)]
pub struct RedialArgs {
    #[command(flatten)]
    target: Target,
    /// Number of calls, one a second.
    #[arg(long, default_value_t = 8)]
    t: u64,
}

/// Calls once a second.
///
/// # Errors
/// The client cannot be built.
pub async fn redial(args: RedialArgs) -> Result<(), Failure> {
    let client = args.target.client()?;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    for k in 0..args.t {
        second.tick().await;
        let call = tokio::time::timeout(Duration::from_millis(950), call(&client));
        let result = match call.await {
            Ok(Ok(())) => "ok".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "HANGS".to_owned(),
        };
        print(&json!({"ev": "redial", "k": k, "r": result}));
    }
    Ok(())
}

async fn call(client: &LabClient) -> kitex::Result<()> {
    let ctx = Context::background().with_timeout(Duration::from_millis(900));
    let mut stream = client.down(&ctx, request("n=1", 0)).await?;
    while stream.recv().await?.is_some() {}
    Ok(())
}

fn request(msg: &'static str, seq: i64) -> Req {
    Req { msg: Some(msg.into()), seq: Some(seq), payload: None }
}

/// Returns the resident memory of this process in KB; 0 if it is unknown.
pub fn rss_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    rss.and_then(|rss| rss.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
