//! The latency of a drop to the handler over a saturated connection: some streams send without end, others
//! are opened, left idle, and dropped. Prints the same lines as `lab-peer lat`.

use std::time::Duration;

use clap::Parser;
use interop::dial::{Failure, Target};
use interop::lab::{LabClient, Req};
use interop::line::{now, print};
use kitex::Context;
use serde_json::json;

/// The arguments of `bench-flood`.
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    target: Target,
    /// Number of dropped streams.
    #[arg(long, default_value_t = 100)]
    c: i64,
}

const APART: Duration = Duration::from_millis(10);
const ALIVE: Duration = Duration::from_millis(300);
const LINGER: Duration = Duration::from_secs(6);
/// The number of flooding streams, and the size of their messages, as in `tonic-peer lat --what flood`.
const FLOOD: (usize, usize) = (8, 16 * 1024);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let client = args.target.client()?;
    for _ in 0..FLOOD.0 {
        tokio::spawn(flood(client.clone()));
    }
    tokio::time::sleep(ALIVE).await;
    let mut tasks = Vec::new();
    for seq in 0..args.c {
        let request = Req { msg: Some("idle".into()), seq: Some(seq), payload: None };
        let mut stream = client.down(&Context::background(), request).await?;
        tasks.push(tokio::spawn(async move {
            // It never receives a message: this ends when the time is over.
            let _ = tokio::time::timeout(ALIVE, stream.recv()).await;
            print(&json!({"ev": "cancel", "seq": seq, "ts": now()}));
            drop(stream);
        }));
        tokio::time::sleep(APART).await;
    }
    for task in tasks {
        task.await?;
    }
    tokio::time::sleep(LINGER).await;
    Ok(())
}

/// Sends without end.
async fn flood(client: LabClient) {
    let payload = kitex::bytes::Bytes::from(vec![0; FLOOD.1]);
    let req = Req { msg: Some("".into()), seq: Some(0), payload: Some(payload) };
    let ended = async {
        let stream = client.up(&Context::background()).await?;
        loop {
            stream.send(&req).await?;
        }
    };
    let ended: kitex::Result<()> = ended.await;
    if let Err(error) = ended {
        eprintln!("bench-flood: {error}");
    }
}
