//! The latency of a cancel to the last handler: the client prints when it cancels, the server when its
//! handler is canceled.

use std::time::Duration;

use clap::{Args, ValueEnum};
use kitex::Context;
use serde_json::json;

use crate::dial::{Failure, Target};
use crate::lab::Req;
use crate::line::{now, print};

/// The arguments of `lab-peer lat`.
#[derive(Debug, Args)]
pub struct LatArgs {
    #[command(flatten)]
    target: Target,
    /// Whether a Recv is pending on each stream.
    #[arg(long, value_enum, default_value = "recv")]
    what: What,
    /// Number of streams.
    #[arg(long, default_value_t = 100)]
    c: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Recv,
    Norecv,
}

const APART: Duration = Duration::from_millis(10);
const ALIVE: Duration = Duration::from_millis(300);
const LINGER: Duration = Duration::from_secs(6);

/// Opens streams and cancels each.
///
/// # Errors
/// A stream cannot be opened.
pub async fn run(args: LatArgs) -> Result<(), Failure> {
    let client = args.target.client()?;
    let mut tasks = Vec::new();
    for seq in 0..args.c {
        let (ctx, canceler) = Context::background().with_cancel();
        let request = Req { msg: Some("idle".into()), seq: Some(seq), payload: None };
        let mut stream = client.down(&ctx, request).await?;
        let receive = args.what == What::Recv;
        tasks.push(tokio::spawn(async move {
            let cancel = async {
                tokio::time::sleep(ALIVE).await;
                print(&json!({"ev": "cancel", "seq": seq, "ts": now()}));
                canceler.cancel();
            };
            if receive {
                let ((), _) = tokio::join!(cancel, stream.recv());
            } else {
                cancel.await;
            }
            tokio::time::sleep(LINGER).await;
            drop(stream);
        }));
        tokio::time::sleep(APART).await;
    }
    for task in tasks {
        task.await?;
    }
    Ok(())
}
