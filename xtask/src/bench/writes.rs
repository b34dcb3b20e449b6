//! Write calls to the system for one echo, at both ends together. Owns the two ways to count them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::peers::{Pair, Peer, Programs};
use super::scale::Scale;
use super::works::{ECHO_100, OURS};
use crate::Result;
use crate::command::Cmd;
use crate::process::{Lines, Running, pause};

/// What was counted, and how.
#[derive(Debug)]
pub(super) struct Writes {
    pub(super) how: &'static str,
    /// Write calls an echo, of the client and of the server.
    pub(super) peers: Vec<(Peer, f64, f64)>,
}

#[derive(Clone, Copy, Debug)]
enum Counter {
    /// Counts in the kernel: costs next to nothing.
    Perf,
    /// Stops the program at each call, so that it is slow and its batches are others than its own.
    Strace,
}

const CALLS: [&str; 4] = ["write", "writev", "sendto", "sendmsg"];
const PEERS: [Peer; 5] = [Peer::Ours, Peer::Kitex, Peer::Tonic, Peer::Bare, Peer::BareCurrent];

/// Counts.
///
/// # Errors
/// Neither way is open here.
pub(super) fn run(programs: &Programs, scale: &Scale) -> Result<Writes> {
    let counter = Counter::find()
        .ok_or("neither `perf stat -e syscalls:sys_enter_write` nor `strace -c` works on this machine")?;
    let peers = PEERS.into_iter().map(|peer| {
        let (client, server) = measure(programs, counter, peer, scale.count_seconds)?;
        println!("write calls an echo: {}: client {client:.3}, server {server:.3}", peer.name());
        Ok((peer, client, server))
    });
    Ok(Writes { how: counter.describe(), peers: peers.collect::<Result<_>>()? })
}

impl Writes {
    /// Of both ends together.
    pub(super) fn of(&self, pair: Pair) -> Option<f64> {
        let found = self.peers.iter().find(|(peer, ..)| *peer == pair.client);
        found.map(|(_, client, server)| client + server)
    }

    pub(super) fn ours(&self) -> Option<f64> {
        self.of(OURS)
    }
}

impl Counter {
    fn find() -> Option<Self> {
        let perf =
            Cmd::new("perf stat -x , -o").arg("/dev/null").arg("-e").arg(events()).args(&["--", "true"]);
        let strace = Cmd::new("strace -c -f -o").arg("/dev/null").arg("true");
        let perf = perf.probe().map(|_| Self::Perf);
        perf.or_else(|| strace.probe().map(|_| Self::Strace))
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Perf => "counted by `perf stat` at the tracepoints of the calls, at full speed",
            Self::Strace => {
                "counted by `strace -c -f`, which slows both ends and makes their batches larger than they are"
            }
        }
    }
}

fn measure(programs: &Programs, counter: Counter, peer: Peer, seconds: u64) -> Result<(f64, f64)> {
    let server = programs.server(peer, Lines::Discard)?;
    let (of_client, of_server) =
        (programs.folder().join("client.writes"), programs.folder().join("server.writes"));
    let counts = match counter {
        Counter::Perf => {
            let words = client_words(programs, peer, server.addr, seconds);
            let inner = perf(&of_client, &[]).into_iter().chain(words);
            let pid = server.pid().to_string();
            let words: Vec<String> = perf(&of_server, &["-p", &pid]).into_iter().chain(inner).collect();
            let echoes = echoes(programs, peer, &words, seconds)?;
            (perf_calls(&of_client)?, perf_calls(&of_server)?, echoes)
        }
        Counter::Strace => {
            let until = (seconds + 3).to_string();
            let pid = server.pid().to_string();
            let attach = ["timeout", "-s", "INT", &until].map(str::to_owned).into_iter();
            let attach: Vec<String> = attach.chain(strace(&of_server, &["-p", &pid])).collect();
            let _server = Running::start(&attach, Lines::Discard, &programs.log(peer))?;
            pause(Duration::from_millis(500));
            let words = client_words(programs, peer, server.addr, seconds);
            let words: Vec<String> = strace(&of_client, &[]).into_iter().chain(words).collect();
            let echoes = echoes(programs, peer, &words, seconds)?;
            pause(Duration::from_secs(3));
            (strace_calls(&of_client)?, strace_calls(&of_server)?, echoes)
        }
    };
    let (client, server, echoes) = counts;
    Ok((client / echoes, server / echoes))
}

/// Runs the bench under a counter; gives how many echoes there were.
fn echoes(programs: &Programs, peer: Peer, words: &[String], seconds: u64) -> Result<f64> {
    let mut client = Running::start(words, Lines::Read, &programs.log(peer))?;
    let until = Instant::now() + Duration::from_secs(seconds + 20);
    let line = client.event("bench", until)?.ok_or("the client has ended without a figure")?;
    client.wait(until)?;
    let seconds = Duration::from_secs(seconds).as_secs_f64();
    let ops = line["ops_s"].as_f64().filter(|ops| *ops > 0.0);
    Ok(ops.ok_or("the client has done nothing")? * seconds)
}

fn client_words(programs: &Programs, peer: Peer, addr: SocketAddr, seconds: u64) -> Vec<String> {
    programs.client_words(peer, addr, &ECHO_100.words(Pair::of(peer), seconds))
}

fn events() -> String {
    CALLS.map(|call| format!("syscalls:sys_enter_{call}")).join(",")
}

fn perf(out: &Path, extra: &[&str]) -> Vec<String> {
    let (events, out) = (events(), out.display().to_string());
    let words = [&["perf", "stat", "-x", ",", "-o", &out, "-e", &events], extra, &["--"]].concat();
    words.into_iter().map(str::to_owned).collect()
}

fn strace(out: &Path, extra: &[&str]) -> Vec<String> {
    let (calls, out) = (format!("trace={}", CALLS.join(",")), out.display().to_string());
    let words = [&["strace", "-c", "-f", "-o", &out, "-e", &calls], extra].concat();
    words.into_iter().map(str::to_owned).collect()
}

/// The first field of each line that names an event.
fn perf_calls(path: &Path) -> Result<f64> {
    let text = fs::read_to_string(path)?;
    let lines = text.lines().filter(|line| line.contains("sys_enter_"));
    sum(lines.map(|line| line.split(',').next().unwrap_or_default()))
}

/// The fourth column of each line that names a call.
fn strace_calls(path: &Path) -> Result<f64> {
    let text = fs::read_to_string(path)?;
    let lines =
        text.lines().filter(|line| line.split_whitespace().last().is_some_and(|call| CALLS.contains(&call)));
    sum(lines.map(|line| line.split_whitespace().nth(3).unwrap_or_default()))
}

fn sum<'a>(numbers: impl Iterator<Item = &'a str>) -> Result<f64> {
    let mut sum = 0.0;
    for number in numbers {
        sum += number.parse::<f64>().map_err(|_| format!("`{number}` is no count of calls"))?;
    }
    Ok(sum)
}
