//! What it was measured on and with. Says nothing that would name the machine.

use std::fs;

use crate::Result;
use crate::command::Cmd;
use crate::workspace::Workspace;

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) date: String,
    /// What it is, and its value.
    pub(crate) facts: Vec<(&'static str, String)>,
}

pub(crate) fn describe(workspace: &Workspace) -> Result<Machine> {
    let lock = fs::read_to_string(workspace.root.join("Cargo.lock"))?;
    let kitex_peer = fs::read_to_string(workspace.root.join("crates/interop/kitex-peer/go.mod"))?;
    let gopkg = fs::read_to_string(workspace.root.join("crates/bench/gopkg-bench/go.mod"))?;
    let crates = ["tokio", "tonic", "hyper", "h2", "prost"];
    let crates = crates.into_iter().filter_map(|name| Some(format!("{name} {}", locked(&lock, name)?)));
    let facts = vec![
        ("processor", processor()),
        ("an idle core", idle()),
        ("memory", memory()),
        ("system", first_line(&Cmd::new("uname -s -r -m"))),
        ("Rust", first_line(&Cmd::new("rustc --version"))),
        ("Go", first_line(&Cmd::new("go version"))),
        ("Kitex", required(&kitex_peer, "github.com/cloudwego/kitex")),
        ("gopkg", required(&gopkg, "github.com/cloudwego/gopkg")),
        ("crates", crates.collect::<Vec<_>>().join(", ")),
        ("this workspace", commit()),
    ];
    Ok(Machine { date: first_line(&Cmd::new("date -u +%Y-%m-%d")), facts })
}

/// Cores that the programs may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Programs that run or wait for a core, on average over the last minute.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let cores = cores();
    let model = model.map_or("unknown", |(_, model)| model.trim());
    format!("{model}, {cores} cores for all programs together")
}

/// What a core does that has nothing to do: how long a wake-up takes follows from it.
fn idle() -> String {
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    let governor = read("/sys/devices/system/cpu/cpuidle/current_governor");
    let polls = read("/sys/module/haltpoll/parameters/guest_halt_poll_ns");
    let polls = polls.map(|polls| format!(", polls for {polls} ns before it sleeps"));
    format!("{}{}", governor.as_deref().unwrap_or("unknown"), polls.unwrap_or_default())
}

fn memory() -> String {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kb = info.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
    let kb: u64 = kb.and_then(|kb| kb.parse().ok()).unwrap_or_default();
    format!("{} GB", kb / 1_000_000)
}

/// The commit that was measured, and whether something was changed on top of it.
fn commit() -> String {
    let commit = first_line(&Cmd::new("git rev-parse --short HEAD"));
    let changed =
        Cmd::new("git status --porcelain --untracked-files=no").probe().is_some_and(|out| !out.is_empty());
    if changed { format!("{commit} with changes") } else { commit }
}

fn first_line(command: &Cmd) -> String {
    let printed = command.probe().unwrap_or_default();
    printed.lines().next().unwrap_or("unknown").to_owned()
}

/// Version of a crate in a lock file.
fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let start = format!("name = \"{name}\"\nversion = \"");
    let (_, rest) = lock.split_once(&start)?;
    rest.split('"').next()
}

/// Version of a module in a `go.mod`.
fn required(module: &str, name: &str) -> String {
    let lines = module.lines().map(|line| line.trim().trim_start_matches("require "));
    let mut versions = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    versions.next().unwrap_or("unknown").to_owned()
}
