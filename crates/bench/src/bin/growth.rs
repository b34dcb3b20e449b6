//! The cost of an echo by the number of streams and connections, in processor time of both ends: the number
//! of messages in flight is constant, and the streams are used in turn.
//!
//! The window is divided among lanes. A lane visits its streams in turn; on each it sends its share of the
//! window and receives as many messages.

use std::fs;
use std::time::{Duration, Instant};

use clap::Parser;
use interop::dial::{Failure, Pool, Proto, Transport};
use interop::lab::{LabClient, Req, Resp};
use interop::line::print;
use kitex::{BidiStreamingClient, Context};
use serde_json::json;
use tokio::task::JoinSet;

/// The arguments of `bench-growth`.
#[derive(Debug, Parser)]
struct Args {
    /// Address of the server.
    #[arg(long, default_value = "127.0.0.1:9001")]
    addr: String,
    /// The server's process id, to include its processor time.
    #[arg(long)]
    pid: u32,
    /// Number of streams on each connection.
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// Number of connections.
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Duration in seconds.
    #[arg(long, default_value_t = 2)]
    t: u64,
}

type Stream = BidiStreamingClient<Req, Resp>;

/// The number of messages in flight.
const WINDOW: usize = 256;
const LANES: usize = 16;
/// The system's unit of processor time.
const TICKS_PER_SECOND: u64 = 100;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let lanes = open(&args).await?;
    let (before, started) = (ticks(args.pid)?, Instant::now());
    let end = started + Duration::from_secs(args.t);
    let burst = WINDOW / lanes.len();
    let mut tasks = JoinSet::new();
    for lane in lanes {
        tasks.spawn(work(lane, burst, end));
    }
    let mut echoes = 0_u64;
    while let Some(done) = tasks.join_next().await {
        echoes += done??;
    }
    let ticks = ticks(args.pid)? - before;
    let took = u64::try_from(started.elapsed().as_millis())?.max(1);
    print(&json!({
        "ev": "growth", "streams": args.streams, "connections": args.connections,
        "ops_s": echoes * 1000 / took, "cpu_ns": ticks * (1_000_000_000 / TICKS_PER_SECOND) / echoes.max(1),
    }));
    // Closing ten thousand streams is not measured.
    std::process::exit(0);
}

/// Opens all streams, distributed over the lanes.
async fn open(args: &Args) -> Result<Vec<Vec<Stream>>, Failure> {
    let transport =
        Transport { cancel_origin: false, proto: Proto::Tt, pool: Pool::Mux, psize: 1, busy_poll: 0 };
    let lanes = LANES.min(args.streams * args.connections);
    let mut dealt: Vec<Vec<Stream>> = (0..lanes).map(|_| Vec::new()).collect();
    for number in 0..args.connections {
        let client: LabClient = transport.client(&args.addr, "ServiceB", "ServiceA")?;
        for stream in 0..args.streams {
            dealt[(number + stream) % lanes].push(client.bidi(&Context::background()).await?);
        }
    }
    for stream in dealt.iter_mut().flatten() {
        echo(stream, 1).await?;
    }
    Ok(dealt)
}

async fn work(mut lane: Vec<Stream>, burst: usize, end: Instant) -> kitex::Result<u64> {
    let mut echoes = 0;
    loop {
        for stream in &mut lane {
            if Instant::now() >= end {
                return Ok(echoes);
            }
            echoes += echo(stream, burst).await?;
        }
    }
}

async fn echo(stream: &mut Stream, burst: usize) -> kitex::Result<u64> {
    let payload = kitex::bytes::Bytes::from_static(&[0; 1024]);
    let req = Req { msg: Some("".into()), seq: Some(0), payload: Some(payload) };
    for _ in 0..burst {
        stream.send(&req).await?;
    }
    let mut echoed = 0;
    for _ in 0..burst {
        stream.recv().await?;
        echoed += 1;
    }
    Ok(echoed)
}

/// Returns the processor time of this process and of `pid`.
fn ticks(pid: u32) -> Result<u64, Failure> {
    let mut sum = 0;
    for process in ["self".to_owned(), pid.to_string()] {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // After the program's name, which may contain anything: fields from 3 on. Times are fields 14 and 15.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        for field in fields.split_whitespace().skip(11).take(2) {
            sum += field.parse::<u64>()?;
        }
    }
    Ok(sum)
}
