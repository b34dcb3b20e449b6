//! One attack on one server: starts the server, another client and the attack, and looks at all of them from outside.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::Result;
use crate::command::Cmd;
use crate::interop::build_peer;
use crate::process::{Lines, Running, Server, pause};
use crate::workspace::Workspace;

/// The server that is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Ours,
    Kitex,
    /// Ours with a memory budget of [`BUDGET`].
    Limited,
}

/// Bytes.
const BUDGET: u64 = 64_000_000;

pub(super) const SERVERS: [Target; 2] = [Target::Ours, Target::Kitex];

/// An attack of the table of `interop::flood`.
#[derive(Clone, Debug)]
pub(super) struct Attack {
    pub(super) name: String,
    pub(super) class: String,
    pub(super) proto: String,
    seconds: u64,
}

/// What one attack has cost one server.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) attack: Attack,
    pub(super) server: Target,
    pub(super) figures: Figures,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// Bytes above the start.
    pub(super) peak: u64,
    /// The same, [`SETTLE`] after the end; nothing if the server has ended.
    pub(super) after: Option<u64>,
    /// Latencies of another client.
    pub(super) before: Latencies,
    pub(super) during: Latencies,
    /// Calls of the other client that failed.
    pub(super) failed: u64,
    /// Connections of the attack, and how many of them the server has closed.
    pub(super) opened: u64,
    pub(super) closed: u64,
    /// Cores that were busy with the server and the attack.
    pub(super) cores: f64,
    /// The attack was ended because the server took too much memory.
    pub(super) stopped: bool,
}

/// Microseconds; nothing if there was no echo.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latencies {
    pub(super) p50: Option<u64>,
    pub(super) p99: Option<u64>,
}

/// The programs, built.
#[derive(Debug)]
pub(super) struct Programs {
    flood: PathBuf,
    kitex: PathBuf,
    log: PathBuf,
}

/// What an attack is started with: it runs while a core is idle, as if it had its own.
const IDLE: [&str; 3] = ["chrt", "--idle", "0"];
/// What a client needs until its latencies are steady.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long the other client is watched before the attack.
const BEFORE: Duration = Duration::from_millis(1_500);
/// After the end of an attack.
const SETTLE: Duration = Duration::from_secs(5);
/// A server that takes more is not attacked any more.
pub(super) const MOST_MEMORY: u64 = 4_000_000_000;
/// Time between two looks at the server.
const LOOK: Duration = Duration::from_millis(20);
/// What an attack may take beyond its own time.
const LATE: Duration = Duration::from_secs(30);

impl Programs {
    pub(super) fn build(workspace: &Workspace, debug: bool) -> Result<Self> {
        let (option, folder) = if debug { ("", "debug") } else { ("--release", "release") };
        Cmd::new(&format!("cargo build {option} --package interop --bin flood")).start()?;
        let kitex = build_peer(workspace)?;
        let flood = workspace.target.join(folder).join("flood");
        Ok(Self { flood, kitex, log: workspace.target.join("flood.log") })
    }

    pub(super) fn attacks(&self) -> Result<Vec<Attack>> {
        let listed = Cmd::new("").path(&self.flood).arg("list").read()?;
        let parse = |line: &str| {
            let line: Value = serde_json::from_str(line)?;
            let text = |key: &str| line[key].as_str().map(str::to_owned).ok_or("a line without a name");
            let seconds = line["seconds"].as_u64().ok_or("a line without seconds")?;
            Ok(Attack { name: text("name")?, class: text("class")?, proto: text("proto")?, seconds })
        };
        listed.lines().map(parse).collect()
    }

    fn server(&self, target: Target) -> Result<Server> {
        let words = |addr: SocketAddr| {
            let addr = addr.to_string();
            match target {
                Target::Ours => words(&self.flood, &["serve", "--addr", &addr]),
                Target::Limited => {
                    words(&self.flood, &["serve", "--addr", &addr, "--memory-budget", &BUDGET.to_string()])
                }
                Target::Kitex => words(&self.kitex, &["server", "--addr", &addr, "--name", "ServiceB"]),
            }
        };
        // Not to a file: to write what some attacks make Kitex log would cost more than they do.
        Server::start(words, Lines::Discard, Path::new("/dev/null"))
    }

    fn run(&self, before: &[&str], line: &[&str]) -> Result<Running> {
        let before = before.iter().map(|&word| word.to_owned());
        let words: Vec<String> = before.chain(words(&self.flood, line)).collect();
        Running::start(&words, Lines::Read, &self.log)
    }
}

fn words(program: &Path, words: &[&str]) -> Vec<String> {
    std::iter::once(program.display().to_string()).chain(words.iter().map(|&word| word.to_owned())).collect()
}

/// A server whose attack has ended, and which is left alone for [`SETTLE`].
#[derive(Debug)]
pub(super) struct Settling {
    server: Server,
    probe: Running,
    figures: Figures,
    /// Its memory before the attack.
    start: u64,
    watched: u64,
    began: u64,
    ended: u64,
}

/// Runs an attack, for its own time unless `seconds` is given.
pub(super) fn measure(
    programs: &Programs,
    attack: &Attack,
    target: Target,
    seconds: Option<u64>,
) -> Result<Settling> {
    let mut server = programs.server(target)?;
    let addr = server.addr.to_string();
    let probe = programs.run(&[], &["probe", "--addr", &addr, "--proto", &attack.proto, "--t", "300"])?;
    let first = probe.event("echoes", Instant::now() + LATE)?;
    first.ok_or("the other client cannot be served")?;
    pause(WARM_UP);
    let start = server.memory()?;
    server.reset_peak()?;
    let watched = now();
    pause(BEFORE);
    let began = now();
    let figures = during(programs, attack, &mut server, seconds)?;
    Ok(Settling { server, probe, figures, start, watched, began, ended: now() })
}

impl Settling {
    /// Waits, and returns the figures.
    pub(super) fn settle(mut self) -> Figures {
        pause(SETTLE);
        let alive = matches!(self.server.running.has_ended(), Ok(false));
        let mut figures = self.figures;
        let peak = figures.peak.max(self.server.peak().unwrap_or_default());
        figures.peak = peak.saturating_sub(self.start);
        let memory = if alive { self.server.memory().ok() } else { None };
        figures.after = memory.map(|memory| memory.saturating_sub(self.start));
        let lines = self.probe.events();
        figures.before = Latencies::of(&lines, self.watched, self.began);
        figures.during = Latencies::of(&lines, self.began, self.ended);
        let failed = lines.iter().filter(|line| line["ts"].as_u64() > Some(self.began));
        figures.failed = failed.filter_map(|line| line["failed"].as_u64()).sum();
        figures
    }
}

/// Runs the attack to its end.
fn during(
    programs: &Programs,
    attack: &Attack,
    server: &mut Server,
    seconds: Option<u64>,
) -> Result<Figures> {
    let seconds = seconds.unwrap_or(attack.seconds);
    let (addr, time) = (server.addr.to_string(), seconds.to_string());
    let (began, first) = (Instant::now(), server.running.processor_time().unwrap_or_default());
    let mut client = programs.run(&IDLE, &["attack", &attack.name, "--addr", &addr, "--seconds", &time])?;
    let mut figures = Figures::default();
    let (mut by_server, mut by_attack) = (first, Duration::ZERO);
    while !client.has_ended()? {
        if began.elapsed() > Duration::from_secs(seconds) + LATE {
            return Err(format!("attack {} does not end", attack.name).into());
        }
        by_server = server.running.processor_time().unwrap_or(by_server);
        by_attack = client.processor_time().unwrap_or(by_attack);
        let memory = server.memory().unwrap_or_default();
        figures.peak = figures.peak.max(memory);
        if memory > MOST_MEMORY {
            figures.stopped = true;
            break;
        }
        pause(LOOK);
    }
    figures.cores =
        (by_server.saturating_sub(first) + by_attack).as_secs_f64() / began.elapsed().as_secs_f64();
    if !figures.stopped {
        let line = client.event("attacked", Instant::now() + LATE)?;
        let line = line.ok_or_else(|| format!("attack {} has failed", attack.name))?;
        figures.opened = line["opened"].as_u64().unwrap_or_default();
        figures.closed = line["closed"].as_u64().unwrap_or_default();
    }
    Ok(figures)
}

impl Latencies {
    /// Of the lines that were printed between these times.
    fn of(lines: &[Value], from: u64, to: u64) -> Self {
        let between = lines.iter().filter(|line| line["ts"].as_u64().is_some_and(|ts| from < ts && ts <= to));
        let micros = between.flat_map(|line| line["us"].as_array().into_iter().flatten());
        let mut micros: Vec<u64> = micros.filter_map(Value::as_u64).collect();
        micros.sort_unstable();
        let at = |per_cent| micros.get(micros.len() * per_cent / 100).copied();
        Self { p50: at(50), p99: at(99) }
    }
}

/// Nanoseconds since 1970, as the other client's lines have them.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
