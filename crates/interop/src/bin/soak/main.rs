//! Soak test: many streams that end in every way, in one process: a client, a middle service and a last one,
//! over loopback TCP, with a proxy that injects faults, handlers that leave background work, and a server
//! that refuses. After all have ended, tasks, streams, file descriptors and memory must be as before.
//!
//! ```text
//! cargo xtask soak
//! cargo xtask soak --dying 600
//! ```

mod dying;
mod odd;
mod proxy;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use interop::dial::Failure;
use interop::lab::{LabClient, Req};
use interop::local::Chain;
use kitex::client::{ConnectionConfig, PoolKind};
use kitex::{Client, Code, Context, RecvTimeout, observe};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Semaphore;

use self::proxy::Harm;

#[derive(Debug, Parser)]
#[command(about = "Opens many streams, ends them in every way, and checks for leaks")]
struct Args {
    /// Number of streams to open.
    #[arg(long, default_value_t = 1_000_000)]
    streams: u64,
    /// Number of concurrent streams.
    #[arg(long, default_value_t = 200)]
    at_once: u64,
    /// Seconds in which runtimes, dials and servers die at random, in place of streams that end in every way.
    #[arg(long, value_name = "SECONDS")]
    dying: Option<u64>,
    /// Seed of what dies when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A way of ending: its name, and the client's actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    Foreign,
    Idle,
    HandlerLeaves,
    HandlerDetaches,
    Refused,
    Lost,
    RstToClient,
    RstToServer,
    SendTimeout,
}

/// Ways that share connections.
const WAYS: [Way; 21] = [
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
    Way::Foreign,
    Way::Idle,
    Way::HandlerLeaves,
    Way::HandlerDetaches,
    Way::Refused,
];

/// Ways that each need a connection of their own.
const OWN_CONNECTION_WAYS: [Way; 4] = [Way::Lost, Way::RstToClient, Way::RstToServer, Way::SendTimeout];

/// One of this many streams ends in a way of `OWN_CONNECTION_WAYS`.
const OWN_CONNECTION_EVERY: u64 = 50;

impl Way {
    fn of_turn(turn: u64) -> Self {
        let pick = |turn: u64, ways: &[Self]| ways[usize::try_from(turn).unwrap_or_default() % ways.len()];
        if turn.is_multiple_of(OWN_CONNECTION_EVERY) {
            pick(turn / OWN_CONNECTION_EVERY, &OWN_CONNECTION_WAYS)
        } else {
            pick(turn, &WAYS)
        }
    }

    /// Returns the code that the client gets.
    fn code(self) -> Option<Code> {
        match self {
            Self::Fail | Self::Panic | Self::RstToServer => Some(Code::APPLICATION),
            Self::Cancel | Self::CancelBeforeOpen | Self::DropSender => Some(Code::CANCELED),
            Self::CancelWithCause => Some(Code::CANCELED_WITH_CAUSE),
            Self::Deadline => Some(Code::STREAM_TIMEOUT),
            Self::RecvTimeout => Some(Code::RECV_TIMEOUT),
            Self::Foreign => Some(Code::INTERNAL_CANCELED),
            Self::Idle => Some(Code::IDLE_TIMEOUT),
            Self::Refused => Some(Code::TOO_MANY_STREAMS),
            Self::Lost => Some(Code::TRANSPORT_CLOSING),
            Self::RstToClient => Some(Code::CANCELED_BY_DOWNSTREAM),
            Self::SendTimeout => Some(Code::SEND_TIMEOUT),
            _ => None,
        }
    }
}

/// The number of streams that ended in each way, and how many of them with the expected code. Occasionally a
/// timeout is faster than another end.
#[derive(Debug, Default)]
struct Tally(Mutex<BTreeMap<Way, (u64, u64)>>);

impl Tally {
    fn add(&self, way: Way, expected: bool) {
        let mut ways = self.0.lock().expect("no panic under the lock");
        let (ended, matched) = ways.entry(way).or_default();
        (*ended, *matched) = (*ended + 1, *matched + u64::from(expected));
    }

    fn check(&self) -> Result<(), Failure> {
        let ways = self.0.lock().expect("as above");
        let wrong: Vec<_> = ways.iter().filter(|(_, (ended, matched))| matched * 2 < *ended).collect();
        println!("streams that ended, and with the expected code: {ways:?}");
        if wrong.is_empty() { Ok(()) } else { Err(format!("unexpected codes: {wrong:?}").into()) }
    }
}

/// The clients of all peers.
#[derive(Debug)]
struct Peers {
    chain: LabClient,
    /// A client with a short idle timeout.
    restless: LabClient,
    leaver: LabClient,
    refuser: LabClient,
    cut: LabClient,
    rst_to_client: LabClient,
    rst_to_server: LabClient,
    /// A client of a peer that reads nothing.
    mute: LabClient,
}

impl Peers {
    async fn start() -> Result<Self, Failure> {
        let chain = Chain::start(3).await?;
        let first = chain.address();
        let alone = |address: SocketAddr| {
            let client = Client::builder("ServiceB").caller("ServiceA").address(address.to_string());
            client.pool(PoolKind::Short).send_timeout(SHORT)
        };
        let shared = |address: SocketAddr| alone(address).pool(PoolKind::Mux(1));
        let harmed =
            async |harm| Ok::<_, Failure>(LabClient::new(alone(proxy::start(first, harm).await?).build()?));
        let restless = ConnectionConfig::default().stream_idle_timeout(SHORT);
        Ok(Self {
            restless: LabClient::new(shared(first).connection(restless).build()?),
            leaver: LabClient::new(shared(odd::leaver(chain.client("ServiceO")?).await?).build()?),
            refuser: LabClient::new(shared(odd::refuser(chain.client("ServiceR")?).await?).build()?),
            cut: harmed(Harm::Cut).await?,
            rst_to_client: harmed(Harm::RstToClient).await?,
            rst_to_server: harmed(Harm::RstToServer).await?,
            mute: harmed(Harm::Mute).await?,
            chain: chain.client("ServiceA")?,
        })
    }
}

const SHORT: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    // The handlers panic on purpose.
    std::panic::set_hook(Box::new(|_| {}));
    let args = Args::parse();
    let done = match args.dying {
        Some(seconds) => dying::run(Duration::from_secs(seconds), args.seed),
        None => Runtime::new().map_err(Failure::from).and_then(|runtime| runtime.block_on(run(args))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    let peers = Arc::new(Peers::start().await?);
    // Warm-up: pools, allocator and runtime reach their size first.
    spend(&peers, args.at_once, args.streams.min(20_000) / 2).await?;
    let before = Left::settled().await;
    let tally = spend(&peers, args.at_once, args.streams).await?;
    let after = Left::settled_to(&before).await;
    println!("before {before:?}\nafter  {after:?}");
    after.check(&before)?;
    tally.check()?;
    println!("{} streams, {} ways of ending: no leaks", args.streams, WAYS.len() + OWN_CONNECTION_WAYS.len());
    Ok(())
}

/// Ends `streams` streams, each in the next way.
async fn spend(peers: &Arc<Peers>, at_once: u64, streams: u64) -> Result<Arc<Tally>, Failure> {
    let (next, tally) = (Arc::new(AtomicU64::new(0)), Arc::new(Tally::default()));
    let tasks: Vec<_> = (0..at_once)
        .map(|_| {
            let (peers, next, tally) = (peers.clone(), next.clone(), tally.clone());
            tokio::spawn(async move {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= streams {
                        return;
                    }
                    let way = Way::of_turn(turn);
                    let ended = end(&peers, way).await;
                    tally.add(way, ended.err().and_then(|error| error.code()) == way.code());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await?;
    }
    Ok(tally)
}

async fn end(peers: &Peers, way: Way) -> kitex::Result<()> {
    let ctx = Context::background();
    match way {
        Way::Idle => drain(&peers.restless, &ctx, "n=1;idle").await,
        Way::HandlerLeaves => drain(&peers.leaver, &ctx, "leave").await,
        Way::HandlerDetaches => drain(&peers.leaver, &ctx, "detach").await,
        Way::Refused => drain(&peers.refuser, &ctx, "n=1").await,
        Way::Lost => drain(&peers.cut, &ctx, "n=1;idle").await,
        Way::RstToClient => drain(&peers.rst_to_client, &ctx, "n=1;idle").await,
        Way::RstToServer => drain(&peers.rst_to_server, &ctx, "n=1;idle").await,
        Way::SendTimeout => {
            let stream = peers.mute.up(&ctx).await?;
            let payload = Some(kitex::bytes::Bytes::from_static(&[0; 64 * 1024]));
            let req = Req { payload, ..request("") };
            loop {
                stream.send(&req).await?;
            }
        }
        way => end_at(&peers.chain, way).await,
    }
}

/// Ways that need only the chain.
async fn end_at(client: &LabClient, way: Way) -> kitex::Result<()> {
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
        Way::Cancel | Way::CancelWithCause | Way::Foreign => {
            let mut stream = client.down(&ctx, request("n=1;idle")).await?;
            stream.recv().await?;
            match way {
                Way::Cancel => canceler.cancel(),
                Way::Foreign => canceler.cancel_foreign("grpc: canceled"),
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
            // One at a time: the number of idle connections in the calls' pool must be deterministic.
            let _one = ONE_CALL.acquire().await;
            client.unary(&ctx, request("x")).await.map(drop)
        }
        way => Err(kitex::Error::other(format!("{way:?} needs another peer"))),
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

/// The resources of the process.
#[derive(Debug)]
struct Left {
    tasks: usize,
    streams: usize,
    descriptors: usize,
    rss_kb: u64,
}

/// The idle timeout of a connection, 60 s, and some more.
const IDLE_SECONDS: u32 = 75;

impl Left {
    /// Returns the resources as soon as no stream is left, or after a while.
    async fn settled() -> Self {
        for _ in 0..200 {
            if observe::streams().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // The tasks of the last handlers end after their streams.
        tokio::time::sleep(Duration::from_millis(500)).await;
        Self {
            tasks: Handle::current().metrics().num_alive_tasks(),
            streams: observe::streams().len(),
            descriptors: std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            rss_kb: interop::stress::rss_kb(),
        }
    }

    /// Returns the resources as soon as there are no more than `before`, or when connections that a pool has opened beside
    /// a full one have passed their idle timeout.
    async fn settled_to(before: &Self) -> Self {
        let mut after = Self::settled().await;
        for _ in 0..IDLE_SECONDS {
            if after.is_within(before) {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            after = Self::settled().await;
        }
        after
    }

    fn is_within(&self, before: &Self) -> bool {
        self.tasks <= before.tasks && self.streams == 0 && self.descriptors <= before.descriptors
    }

    fn check(&self, before: &Self) -> Result<(), Failure> {
        let grown = self.rss_kb.saturating_sub(before.rss_kb);
        match (self.is_within(before), grown <= MAX_GROWTH_KB) {
            (true, true) => Ok(()),
            (false, _) => Err("tasks, streams or descriptors are left".into()),
            (true, false) => Err(format!("memory grew by {grown} KB, more than {MAX_GROWTH_KB}").into()),
        }
    }
}

const MAX_GROWTH_KB: u64 = 8 * 1024;
