//! The client of the bare loop, which also measures.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use interop::lab::{Req, Resp};
use interop::line::print;
use interop::tally::{Ran, print_bench};
use kitex::kitex_thrift::Payload;
use serde_json::json;
use tokio::net::TcpStream;
use ttheader_codec::FrameType;

use crate::args::{BenchArgs, HoldArgs, What};
use crate::calls::request;
use crate::pump::Pump;
use crate::wire::{Frame, Method, take_frame};

/// Keeps every stream busy for the duration and prints the result.
pub(crate) async fn bench(addr: SocketAddr, args: BenchArgs) -> io::Result<()> {
    let mut pump = Pump::new(TcpStream::connect(addr).await?)?;
    let mut lanes = Lanes::new(args);
    let end = Instant::now() + Duration::from_secs(args.t);
    (0..args.c).for_each(|lane| lanes.start(lane, &mut pump));
    while Instant::now() < end {
        if !pump.turn(false).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while let Some(frame) = take_frame(&mut pump.input) {
            lanes.take(frame, &mut pump);
        }
    }
    let what = format!("{:?}", args.what).to_lowercase();
    print_bench(&Ran { what: &what, tasks: args.c, bytes: args.b, seconds: args.t }, lanes.times);
    Ok(())
}

/// The operations in flight. Stream `i` belongs to lane `i % lanes`.
struct Lanes {
    what: What,
    method: Method,
    request: Req,
    started: Vec<Instant>,
    last: Vec<i32>,
    times: Vec<f64>,
}

impl Lanes {
    fn new(args: BenchArgs) -> Self {
        let BenchArgs { what, c, .. } = args;
        let (method, request) = request(args);
        let last = (1..).take(c).collect();
        Self { what, method, request, started: vec![Instant::now(); c], last, times: Vec::new() }
    }

    /// Opens the lane's next stream.
    fn start(&mut self, lane: usize, pump: &mut Pump) {
        let id = self.last[lane];
        self.last[lane] = id + i32::try_from(self.last.len()).expect("few lanes");
        self.started[lane] = Instant::now();
        self.method.put_bare(id, FrameType::Header, &mut pump.output);
        self.method.put_data(id, &self.request, &mut pump.output);
        if self.what != What::Echo {
            self.method.put_bare(id, FrameType::Trailer, &mut pump.output);
        }
    }

    fn take(&mut self, frame: Frame, pump: &mut Pump) {
        let Frame { id, frame_type, payload, .. } = frame;
        let lane = usize::try_from(id - 1).expect("ids are ours") % self.started.len();
        match (self.what, frame_type) {
            (What::Echo, FrameType::Data) => {
                Resp::decode(payload).expect("the peer is ours");
                self.done(lane);
                self.method.put_data(id, &self.request, &mut pump.output);
            }
            (What::Down, FrameType::Data) => {
                Resp::decode(payload).expect("the peer is ours");
                self.done(lane);
            }
            (What::Open, FrameType::Data) => {
                Resp::decode(payload).expect("the peer is ours");
            }
            (What::Open, FrameType::Trailer) => {
                self.done(lane);
                self.start(lane, pump);
            }
            _ => {}
        }
    }

    fn done(&mut self, lane: usize) {
        let now = Instant::now();
        let took = now - std::mem::replace(&mut self.started[lane], now);
        self.times.push(took.as_secs_f64() * 1e6);
    }
}

/// Opens idle streams and holds them.
pub(crate) async fn hold(addr: SocketAddr, args: HoldArgs) -> io::Result<()> {
    let mut pump = Pump::new(TcpStream::connect(addr).await?)?;
    let method = Method::down();
    let request = Req { msg: Some("idle".into()), seq: Some(0), payload: None };
    for id in (1..).take(args.c) {
        method.put_bare(id, FrameType::Header, &mut pump.output);
        method.put_data(id, &request, &mut pump.output);
        method.put_bare(id, FrameType::Trailer, &mut pump.output);
    }
    // Nothing is received: this ends when everything is written and the time is over.
    let _ = tokio::time::timeout(Duration::from_secs(1), async {
        while pump.turn(false).await? {}
        io::Result::Ok(())
    })
    .await;
    print(&json!({"ev": "held"}));
    tokio::time::sleep(Duration::from_secs(args.t)).await;
    Ok(())
}
