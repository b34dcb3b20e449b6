//! Another client of a server under attack: echoes on its own connection, with their latencies, and calls on new connections.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use kitex::{BidiStreamingClient, Context, Error, Result};
use serde_json::json;

use crate::dial::{Failure, Pool, Target};
use crate::lab::{LabClient, Req, Resp};
use crate::line::{now, print};

/// The arguments of `flood probe`.
#[derive(Debug, Args)]
pub struct ProbeArgs {
    #[command(flatten)]
    target: Target,
    /// Duration in seconds.
    #[arg(long, default_value_t = 60)]
    t: u64,
}

/// Time between the end of an echo and the next.
const APART: Duration = Duration::from_millis(2);
/// Time between two calls on new connections.
const NEW: Duration = Duration::from_millis(100);
/// Time between two lines.
const REPORT: Duration = Duration::from_millis(200);
/// A response that takes longer is a failure.
const PATIENCE: Duration = Duration::from_secs(5);
/// Texts of failures that a line shows.
const SHOWN: usize = 5;

/// What has happened since the last line.
#[derive(Debug, Default)]
struct Seen {
    micros: Vec<u64>,
    calls: u64,
    failures: Vec<String>,
}

type Log = Arc<Mutex<Seen>>;

/// Echoes until the time is over, and prints a line for each fifth of a second.
///
/// # Errors
/// The client cannot be built.
pub async fn run(args: ProbeArgs) -> std::result::Result<(), Failure> {
    let log = Log::default();
    let mut fresh = args.target.clone();
    fresh.transport.pool = Pool::Short;
    let (client, fresh) = (args.target.client()?, fresh.client()?);
    let tasks =
        [tokio::spawn(echo_forever(client, log.clone())), tokio::spawn(call_forever(fresh, log.clone()))];
    let ends = Instant::now() + Duration::from_secs(args.t);
    let mut ticks = tokio::time::interval(REPORT);
    while Instant::now() < ends {
        ticks.tick().await;
        report(&log);
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

fn report(log: &Log) {
    let Seen { micros, calls, failures } = std::mem::take(&mut *lock(log));
    let (failed, texts) = (failures.len(), failures.into_iter().take(SHOWN).collect::<Vec<_>>());
    print(
        &json!({"ev": "echoes", "ts": now(), "us": micros, "calls": calls, "failed": failed, "err": texts}),
    );
}

async fn echo_forever(client: LabClient, log: Log) {
    loop {
        if let Err(error) = echoes(&client, &log).await {
            lock(&log).failures.push(error.to_string());
        }
        tokio::time::sleep(NEW).await;
    }
}

async fn echoes(client: &LabClient, log: &Log) -> Result<()> {
    let mut stream = within(client.bidi(&Context::background())).await?;
    loop {
        let began = Instant::now();
        within(echo(&mut stream)).await?;
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        lock(log).micros.push(micros);
        tokio::time::sleep(APART).await;
    }
}

async fn call_forever(client: LabClient, log: Log) {
    loop {
        let called = within(async {
            let mut stream = client.bidi(&Context::background()).await?;
            echo(&mut stream).await?;
            stream.close_send();
            while stream.recv().await?.is_some() {}
            Ok(())
        });
        let called = called.await;
        {
            let mut seen = lock(&log);
            seen.calls += 1;
            seen.failures.extend(called.err().map(|error| error.to_string()));
        }
        tokio::time::sleep(NEW).await;
    }
}

async fn echo(stream: &mut BidiStreamingClient<Req, Resp>) -> Result<()> {
    stream.send(&Req { msg: Some("echo".into()), seq: Some(1), payload: None }).await?;
    stream.recv().await?.map(drop).ok_or_else(|| Error::other("the stream has ended"))
}

async fn within<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| Err(Error::other(format!("no response in {} s", PATIENCE.as_secs()))))
}

fn lock(log: &Log) -> std::sync::MutexGuard<'_, Seen> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
