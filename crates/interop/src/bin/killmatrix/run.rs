//! Runs one cell: five processes, the fault, and the ends of all.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Handle;

use crate::caller::Mode;
use crate::matrix::{Cell, Fault, Moment};
use crate::net::{Holder, Proxy, Space};
use crate::process::Process;

/// How a service or the client has ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) service: &'static str,
    /// Nothing if it did not end in time.
    pub(crate) line: Option<Value>,
    pub(crate) after: Duration,
}

/// What a cell has shown.
#[derive(Debug)]
pub(crate) enum Shown {
    Ends(Vec<End>),
    /// It cannot be run on this machine.
    Skipped(String),
}

/// A chain of running processes.
struct Chain {
    a: Process,
    b: Process,
    c: Process,
    d: Process,
    e: Process,
    proxy: Option<Proxy>,
    space: Option<Space>,
}

const LOCAL: &str = "127.0.0.1";
/// How long a process may need to start, and a stream to reach the end of the chain. On a machine that is slow a dial or a
/// deadline may end it before there is any fault: then all is started again.
const START: Duration = Duration::from_secs(60);
const ATTEMPTS: u64 = 4;
/// How long an end is waited for. When it came is a figure of the table: what a busy machine adds to it fails nothing.
const WAIT: Duration = Duration::from_secs(240);

/// Runs a cell, until `limit` at the latest.
///
/// # Errors
/// The chain does not start.
pub(crate) fn run(cell: &Cell, limit: Instant, runtime: &Handle) -> Result<Shown, String> {
    let mut seen = String::new();
    for attempt in 1..=ATTEMPTS {
        if limit <= Instant::now() {
            return Err(format!("the time of the run is over. {seen}"));
        }
        let space = match (cell.fault == Fault::Blackhole).then(Space::create).transpose() {
            Ok(space) => space,
            Err(why) => return Ok(Shown::Skipped(why)),
        };
        let mut chain = Chain::start(cell, space, cell.deadline() * attempt, limit, runtime)?;
        match chain.wait_for_stream(cell) {
            Ok(()) => {
                let began = Instant::now();
                chain.strike(cell)?;
                return Ok(Shown::Ends(chain.ends(cell, began)));
            }
            Err(why) => seen = why,
        }
    }
    Err(seen)
}

impl Chain {
    fn start(
        cell: &Cell,
        space: Option<Space>,
        deadline: u64,
        limit: Instant,
        runtime: &Handle,
    ) -> Result<Self, String> {
        let outer = space.as_ref().map(|space| &space.outer);
        let inner = space.as_ref().map(|space| &space.inner);
        let (host, guest) = space.as_ref().map_or((LOCAL, LOCAL), |_| (Space::OUTER, Space::INNER));
        let slow_last = cell.fault == Fault::SlowReader && cell.mode == Mode::Client;
        let start = |name: &str, host: &str, next: &str, slow: bool, space: Option<&Holder>| {
            service(cell, name, host, next, slow, |words| Process::start(words, space, limit))
        };

        let (e, e_at) = start("E", LOCAL, "", slow_last, outer)?;
        let (d, d_at) = start("D", host, &e_at, false, outer)?;
        let (c, c_at) = start("C", guest, &d_at, false, inner)?;
        let proxy = (cell.fault == Fault::Reset).then(|| Proxy::start(c_at.clone(), runtime)).transpose();
        let proxy = proxy.map_err(|error| error.to_string())?;
        let c_for_b = proxy.as_ref().map_or(c_at, |proxy| proxy.address.clone());
        let (b, b_at) = start("B", LOCAL, &c_for_b, false, outer)?;
        let mut words = vec!["caller".to_owned(), "--addr".to_owned(), b_at];
        let mode = format!("{:?}", cell.mode).to_lowercase();
        words.extend(["--mode", &mode, "--word", cell.word()].map(str::to_owned));
        words.extend(["--deadline".to_owned(), deadline.to_string()]);
        words.extend((cell.fault == Fault::SlowReader && !slow_last).then(|| "--slow".to_owned()));
        words.extend(["--wire".to_owned(), cell.wire.arg()]);
        let a = Process::start(&words, outer, limit)?;
        Ok(Self { a, b, c, d, e, proxy, space })
    }

    /// Until the stream has reached the last service, and its answer the client.
    fn wait_for_stream(&mut self, cell: &Cell) -> Result<(), String> {
        if self.e.next("opened", START).is_none() {
            let end = self.a.next("end", Duration::ZERO);
            return Err(format!("the stream did not reach E; A has seen {end:?}"));
        }
        if cell.fault != Fault::SlowReader && cell.mode != Mode::Client {
            self.a.next("first", START).ok_or("no message reached A")?;
        }
        Ok(())
    }

    fn strike(&mut self, cell: &Cell) -> Result<(), String> {
        match cell.fault {
            Fault::Kill => self.c.kill(),
            Fault::Stop => self.c.signal("STOP"),
            Fault::Blackhole => self.space.as_ref().map_or(Ok(()), Space::take_down)?,
            Fault::Reset => self.proxy.iter().for_each(Proxy::reset),
            Fault::Refused => {
                self.c.kill();
                self.a.next("end", WAIT).ok_or("the first stream did not end")?;
                self.b.next("end", WAIT).ok_or("the first stream did not end at B")?;
                self.a.say("again");
            }
            Fault::SlowReader => {}
        }
        if cell.moment == Moment::Canceling {
            self.a.say("cancel");
        }
        Ok(())
    }

    fn ends(&mut self, cell: &Cell, mut began: Instant) -> Vec<End> {
        let a_is_slow = cell.fault == Fault::SlowReader && cell.mode != Mode::Client;
        let mut ends = Vec::new();
        if !a_is_slow {
            ends.push(end(&self.a, "A", began));
        }
        for service in cell.services() {
            if *service == "C" && cell.fault == Fault::Stop {
                self.c.signal("CONT");
                began = Instant::now();
            }
            let process = match *service {
                "B" => &self.b,
                "C" => &self.c,
                "D" => &self.d,
                _ => &self.e,
            };
            ends.push(end(process, service, began));
        }
        if a_is_slow {
            self.a.say("read");
            ends.push(end(&self.a, "A", began));
        }
        ends
    }
}

fn end(process: &Process, service: &'static str, began: Instant) -> End {
    let line = process.next("end", WAIT.saturating_sub(began.elapsed()));
    End { service, line, after: began.elapsed() }
}

/// Starts a service on a free port of `host`. Returns it and its address.
fn service(
    cell: &Cell,
    name: &str,
    host: &str,
    next: &str,
    slow: bool,
    start: impl FnOnce(&[String]) -> Result<Process, String>,
) -> Result<(Process, String), String> {
    let address = format!("{host}:0");
    let mut words: Vec<String> = ["hop", "--name", name, "--addr", &address].map(str::to_owned).to_vec();
    if !next.is_empty() {
        words.extend(["--next".to_owned(), next.to_owned()]);
    }
    words.extend(slow.then(|| "--slow".to_owned()));
    words.extend(["--wire".to_owned(), cell.wire.arg()]);
    let process = start(&words)?;
    let listening = process.next("listening", START).ok_or_else(|| format!("{name} does not listen"))?;
    let address = listening["addr"].as_str().unwrap_or_default().to_owned();
    Ok((process, address))
}
