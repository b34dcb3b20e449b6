//! Throughput: the tasks of `lab-peer bench`, over one tonic channel.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use interop::tally::{Ran, Tally, print_bench};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::Channel;

use super::Target;
use crate::failure::Failure;
use crate::lab::{LabClient, Req};

/// The arguments of `tonic-peer bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    target: Target,
    /// The operation of each task.
    #[arg(long, value_enum, default_value = "echo")]
    what: What,
    /// Number of tasks.
    #[arg(long, default_value_t = 100)]
    c: usize,
    /// Size of the payload, in bytes.
    #[arg(long, default_value_t = 1024)]
    b: usize,
    /// Duration in seconds.
    #[arg(long, default_value_t = 4)]
    t: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// One Bidi stream each, ping-pong.
    Echo,
    /// One endless Down each.
    Down,
    /// Repeated Down n=1, each read to its end.
    Open,
    /// Unary calls.
    Unary,
}

/// The number of queued requests of a stream.
const REQUESTS: usize = 4;

/// Runs the tasks and prints the result.
pub(crate) async fn run(args: BenchArgs) -> Result<(), Failure> {
    let client = args.target.client().await?;
    let BenchArgs { what, c, b, t, .. } = args;
    let tallies: Vec<Arc<Tally>> = (0..c).map(|_| Arc::default()).collect();
    let tasks: Vec<_> = tallies
        .iter()
        .map(|tally| {
            let (client, tally) = (client.clone(), tally.clone());
            tokio::spawn(async move { work(client, what, b, &tally).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(t)).await;
    let times = tallies.iter().flat_map(|tally| tally.take()).collect();
    let failed = tasks.iter().any(tokio::task::JoinHandle::is_finished);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    print_bench(&Ran { what: &format!("{what:?}").to_lowercase(), tasks: c, bytes: b, seconds: t }, times);
    if failed { Err("an operation failed".into()) } else { Ok(()) }
}

/// Repeats the operation until it is aborted or fails.
async fn work(client: LabClient<Channel>, what: What, bytes: usize, tally: &Tally) {
    let ended = match what {
        What::Echo => echo(client, bytes, tally).await,
        What::Down => down(client, bytes, tally).await,
        What::Open => open(client, bytes, tally).await,
        What::Unary => unary(client, bytes, tally).await,
    };
    if let Err(error) = ended {
        eprintln!("tonic-peer: {error}");
    }
}

async fn echo(mut client: LabClient<Channel>, bytes: usize, tally: &Tally) -> Result<(), Status> {
    let (requests, receiver) = mpsc::channel(REQUESTS);
    let mut responses = client.bidi(ReceiverStream::new(receiver)).await?.into_inner();
    let req = Req { msg: String::new(), seq: 0, payload: Bytes::from(vec![0; bytes]) };
    loop {
        let started = Instant::now();
        requests.send(req.clone()).await.map_err(|_| Status::aborted("the stream has ended"))?;
        responses.message().await?;
        tally.add(started);
    }
}

async fn down(mut client: LabClient<Channel>, bytes: usize, tally: &Tally) -> Result<(), Status> {
    let mut responses = client.down(words(format!("n=-1;size={bytes}"))).await?.into_inner();
    loop {
        let started = Instant::now();
        responses.message().await?;
        tally.add(started);
    }
}

async fn open(mut client: LabClient<Channel>, bytes: usize, tally: &Tally) -> Result<(), Status> {
    loop {
        let started = Instant::now();
        let mut responses = client.down(words(format!("n=1;size={bytes}"))).await?.into_inner();
        while responses.message().await?.is_some() {}
        tally.add(started);
    }
}

async fn unary(mut client: LabClient<Channel>, bytes: usize, tally: &Tally) -> Result<(), Status> {
    let req = Req { msg: String::new(), seq: 0, payload: Bytes::from(vec![0; bytes]) };
    loop {
        let started = Instant::now();
        client.unary(req.clone()).await?;
        tally.add(started);
    }
}

fn words(msg: String) -> Req {
    Req { msg, seq: 0, payload: Bytes::new() }
}
