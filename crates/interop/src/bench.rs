//! Throughput: many tasks over one client, each repeating one operation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use kitex::{Context, Result, ThreadPerCore};

use crate::dial::{Failure, Target};
use crate::lab::{LabClient, Req};
use crate::tally::{Ran, Tally, print_bench};

/// The arguments of `lab-peer bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
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
    /// Number of threads with a runtime each for the tasks, instead of one runtime of all cores; 0: one per
    /// core.
    #[arg(long)]
    cores: Option<usize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// One Bidi stream each, ping-pong.
    Echo,
    /// One endless Down each.
    Down,
    /// Repeated Down n=1, each read to its end.
    Open,
    /// Ping-pong calls.
    Unary,
}

/// Runs the tasks and prints the result.
///
/// # Errors
/// The client cannot be built, or an operation failed; the line is printed in any case.
pub async fn run(args: BenchArgs) -> Result<(), Failure> {
    let client = args.target.client()?;
    let BenchArgs { what, c, b, t, cores, .. } = args;
    let cores = cores.map(ThreadPerCore::start).transpose()?;
    let failed = Arc::new(AtomicBool::new(false));
    let tallies: Vec<Arc<Tally>> = (0..c).map(|_| Arc::default()).collect();
    let tasks: Vec<_> = tallies
        .iter()
        .map(|tally| {
            let (client, tally, failed) = (client.clone(), tally.clone(), failed.clone());
            let task = async move {
                if let Err(error) = work(&client, what, b, &tally).await {
                    eprintln!("lab-peer: {error}");
                    failed.store(true, Ordering::Relaxed);
                }
            };
            match &cores {
                Some(cores) => cores.spawn(task),
                None => tokio::spawn(task),
            }
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(t)).await;
    let times = tallies.iter().flat_map(|tally| tally.take()).collect();
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    print_bench(&Ran { what: &format!("{what:?}").to_lowercase(), tasks: c, bytes: b, seconds: t }, times);
    if failed.load(Ordering::Relaxed) { Err("an operation failed".into()) } else { Ok(()) }
}

async fn work(client: &LabClient, what: What, bytes: usize, tally: &Tally) -> Result<()> {
    let ctx = Context::background();
    let payload = kitex::bytes::Bytes::from(vec![0; bytes]);
    match what {
        What::Echo => {
            let mut stream = client.bidi(&ctx).await?;
            let req = Req { msg: Some("".into()), seq: Some(0), payload: Some(payload) };
            loop {
                let started = Instant::now();
                stream.send(&req).await?;
                stream.recv().await?;
                tally.add(started);
            }
        }
        What::Down => {
            let mut stream = client.down(&ctx, words(format!("n=-1;size={bytes}"))).await?;
            loop {
                let started = Instant::now();
                stream.recv().await?;
                tally.add(started);
            }
        }
        What::Open => loop {
            let started = Instant::now();
            let mut stream = client.down(&ctx, words(format!("n=1;size={bytes}"))).await?;
            while stream.recv().await?.is_some() {}
            tally.add(started);
        },
        What::Unary => {
            let req = Req { msg: Some("".into()), seq: Some(0), payload: Some(payload) };
            loop {
                let started = Instant::now();
                client.unary(&ctx, req.clone()).await?;
                tally.add(started);
            }
        }
    }
}

fn words(msg: String) -> Req {
    Req { msg: Some(msg.into()), seq: Some(0), payload: None }
}
