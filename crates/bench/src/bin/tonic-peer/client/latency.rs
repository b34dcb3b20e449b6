//! The latency of a drop to the last handler: the client prints when it drops, the server when its handler is
//! canceled. Idle streams on an idle or saturated connection.

use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use interop::line::{now, print};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::{Target, idle};
use crate::failure::Failure;
use crate::lab::{LabClient, Req};

/// The arguments of `tonic-peer lat`.
#[derive(Debug, Args)]
pub(crate) struct LatArgs {
    #[command(flatten)]
    target: Target,
    /// The other load of the connection.
    #[arg(long, value_enum, default_value = "recv")]
    what: What,
    /// Number of streams.
    #[arg(long, default_value_t = 100)]
    c: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// A receive is pending on each stream.
    Recv,
    /// The same, and other streams saturate the connection.
    Flood,
}

const APART: Duration = Duration::from_millis(10);
const ALIVE: Duration = Duration::from_millis(300);
const LINGER: Duration = Duration::from_secs(6);
/// The number of flooding streams, and the size of their messages, as in `bench-flood`.
const FLOOD: (usize, usize) = (8, 16 * 1024);

/// Opens streams and drops each.
pub(crate) async fn run(args: LatArgs) -> Result<(), Failure> {
    let mut client = args.target.client().await?;
    if args.what == What::Flood {
        for _ in 0..FLOOD.0 {
            tokio::spawn(flood(client.clone()));
        }
        tokio::time::sleep(ALIVE).await;
    }
    let mut tasks = Vec::new();
    for seq in 0..args.c {
        let mut stream = client.down(idle(seq)).await?.into_inner();
        tasks.push(tokio::spawn(async move {
            // It never receives a message: this ends when the time is over.
            let _ = tokio::time::timeout(ALIVE, stream.message()).await;
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
async fn flood(mut client: LabClient<Channel>) {
    let (requests, receiver) = mpsc::channel(4);
    let req = Req { msg: String::new(), seq: 0, payload: Bytes::from(vec![0; FLOOD.1]) };
    let feed = async { while requests.send(req.clone()).await.is_ok() {} };
    let (ended, ()) = tokio::join!(client.up(ReceiverStream::new(receiver)), feed);
    if let Err(error) = ended {
        eprintln!("tonic-peer: {error}");
    }
}
